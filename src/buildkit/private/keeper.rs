//! One child process, watched by a thread of its own.
//!
//! The thread matters: `setpriv --pdeathsig` sends its signal when the *thread* that started the child ends, and those of tokio come and go.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// How long a daemon may take to end by itself. A `buildkitd` waits for its clients to go, and one of them may be this blocked thread.
const ENDING: Duration = Duration::from_secs(3);

/// Both daemons give up waiting when they are asked for the third time.
const LAST_REQUESTS: u32 = 2;

/// How long a daemon may take after that.
const GIVING_UP: Duration = Duration::from_secs(3);

/// A running child.
pub(super) struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    exit: Arc<OnceLock<ExitStatus>>,
    pid_file: PathBuf,
}

impl Keeper {
    /// Starts the command in a process group of its own, so that Ctrl-C does not reach it before us, and writes its id to `pid_file`.
    pub(super) fn start(mut command: Command, pid_file: &Path) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (tell, started) = channel();
        let exit = Arc::new(OnceLock::new());
        let seen = Arc::clone(&exit);
        let thread = spawn(move || {
            let child = command.process_group(0).spawn();
            // The receiver waits below.
            let _ = tell.send(child.as_ref().map(Child::id).map_err(|error| io::Error::new(error.kind(), error.to_string())));
            if let Ok(child) = child {
                watch(child, &stopped, &seen);
            }
        });
        let pid = started.recv().map_err(io::Error::other)??;
        let keeper = Self { stop: Some(stop), thread: Some(thread), exit, pid_file: pid_file.to_owned() };
        fs::write(pid_file, pid.to_string())?;
        Ok(keeper)
    }

    /// How it ended, if it did.
    pub(super) fn exited(&self) -> Option<ExitStatus> {
        self.exit.get().copied()
    }

    /// Ends it, and waits until it is gone.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has ended the child already.
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.pid_file);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn watch(mut child: Child, stopped: &Receiver<()>, exit: &OnceLock<ExitStatus>) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(50)) {
        if let Ok(Some(status)) = child.try_wait() {
            exit.get_or_init(|| status);
            return;
        }
    }
    terminate(&mut child);
}

fn terminate(child: &mut Child) {
    let pid = Pid::from_child(child);
    // Whatever is sent here, it may be gone by now.
    let _ = kill_process(pid, Signal::TERM);
    if ends_within(child, ENDING) {
        return;
    }
    for _ in 0..LAST_REQUESTS {
        let _ = kill_process(pid, Signal::TERM);
        sleep(Duration::from_millis(20));
    }
    if !ends_within(child, GIVING_UP) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn ends_within(child: &mut Child, limit: Duration) -> bool {
    let asked = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if asked.elapsed() > limit {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
    true
}

/// Ends a daemon that an earlier run had to leave behind: the process of that id, if `mark` is on its command line.
pub(super) fn end_orphan(pid_file: &Path, mark: &Path) {
    let Ok(text) = fs::read_to_string(pid_file) else { return };
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    let command = fs::read(format!("/proc/{}/cmdline", text.trim())).unwrap_or_default();
    if let Some(pid) = pid
        && String::from_utf8_lossy(&command).contains(&*mark.to_string_lossy())
    {
        // It may be gone by now.
        let _ = kill_process(pid, Signal::TERM);
        let asked = Instant::now();
        while test_kill_process(pid).is_ok() && asked.elapsed() < ENDING + GIVING_UP {
            sleep(Duration::from_millis(20));
        }
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = fs::remove_file(pid_file);
}
