//! A builder of our own, for machines where none runs: a `buildkitd` or `dockerd` on a private socket, stopped with the run.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use self::keeper::Keeper;
use super::BuildKit;
use super::endpoint::Endpoint;
use super::select::Options;
use crate::env;
use crate::signer::PASSPHRASE;

mod keeper;
mod mounts;

/// How long a daemon may take until it answers: reading its state from a slow disk takes some seconds.
const STARTING: Duration = Duration::from_mins(1);

/// How many lines of its log are shown of a daemon that does not start.
const TAIL: usize = 8;

/// Why there is no private daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PrivateError {
    /// `buildkitd` or `dockerd`.
    pub(super) program: &'static str,
    /// What is missing, or the end of its log.
    pub(super) message: String,
}

/// A running daemon; dropping it stops it and removes what it leaves.
pub(super) struct PrivateDaemon {
    keeper: Keeper,
    folders: Folders,
}

impl Drop for PrivateDaemon {
    fn drop(&mut self) {
        self.keeper.stop();
        mounts::detach_below(&[&self.folders.state, self.folders.runtime.path()]);
    }
}

/// Where a daemon has its files.
struct Folders {
    /// Sockets, configuration and log; short, as a socket's path may have 107 bytes only.
    runtime: TempDir,
    /// Images and build cache.
    state: PathBuf,
    /// Held while the daemon runs, if the state is to be kept.
    _lock: Option<File>,
}

/// Starts the first daemon that this machine has the programs for.
pub(super) async fn start(options: &Options<'_>) -> Result<BuildKit, Vec<PrivateError>> {
    let mut errors = Vec::new();
    for program in [BUILDKITD, DOCKERD] {
        match start_one(&program, options).await {
            Ok(builder) => return Ok(builder),
            Err(message) => errors.push(PrivateError { program: program.name, message }),
        }
    }
    Err(errors)
}

/// A program that can be a builder.
struct Program {
    name: &'static str,
    /// The command line up to the program, or what is missing for it.
    launcher: fn() -> Result<Vec<PathBuf>, String>,
    arguments: fn(&Folders, &[String]) -> io::Result<Vec<String>>,
    /// Without a bridge, `RUN` steps have no network but the host's.
    host_network: bool,
}

const BUILDKITD: Program = Program { name: "buildkitd", launcher: buildkitd, arguments: buildkitd_arguments, host_network: false };
const DOCKERD: Program = Program { name: "dockerd", launcher: dockerd, arguments: dockerd_arguments, host_network: true };

async fn start_one(program: &Program, options: &Options<'_>) -> Result<BuildKit, String> {
    let launcher = (program.launcher)()?;
    let folders = Folders::create(&options.cache_dir.join("builder"), program.name).map_err(|error| error.to_string())?;
    let arguments = (program.arguments)(&folders, options.insecure_registries).map_err(|error| error.to_string())?;
    let endpoint = Endpoint::Unix(folders.socket());
    let keeper = Keeper::start(command(launcher, &arguments, &folders)?, &folders.state.join("pid")).map_err(|error| error.to_string())?;
    let daemon = PrivateDaemon { keeper, folders };
    let mut builder = wait(&daemon, &endpoint, options).await?;
    builder.facts.host_network = program.host_network;
    builder.private = Some(daemon);
    Ok(builder)
}

/// Tries to connect until it works, the daemon is gone, or the patience is.
async fn wait(daemon: &PrivateDaemon, endpoint: &Endpoint, options: &Options<'_>) -> Result<BuildKit, String> {
    let begun = Instant::now();
    loop {
        let error = match BuildKit::connect(endpoint, options.credentials.clone()).await {
            Ok(builder) => return Ok(builder),
            Err(error) => error,
        };
        if let Some(status) = daemon.keeper.exited() {
            return Err(with_log(&format!("it ended at once: {status}"), &daemon.folders.log()));
        }
        if begun.elapsed() > STARTING {
            return Err(with_log(&format!("it did not answer within {} s: {error}", STARTING.as_secs()), &daemon.folders.log()));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn with_log(message: &str, log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(TAIL)..];
    tail.iter().fold(message.to_owned(), |text, line| text + "\n  " + line)
}

/// `setpriv` ends the daemon should kmodforge be killed, and in the mount namespace of `unshare` its mounts end with it.
/// Without these programs, the next run removes what is left.
fn command(launcher: Vec<PathBuf>, arguments: &[String], folders: &Folders) -> Result<Command, String> {
    let log = folders.log();
    let log = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let errors = log.try_clone().map_err(|error| error.to_string())?;
    let mut words: Vec<OsString> = Vec::new();
    if let Some(setpriv) = env::program("setpriv") {
        words.extend([setpriv.into(), "--pdeathsig".into(), "TERM".into(), "--".into()]);
    }
    if let Some(unshare) = env::program("unshare").filter(|_| is_root()) {
        words.extend([unshare.into(), "--mount".into(), "--propagation".into(), "slave".into(), "--".into()]);
    }
    words.extend(launcher.into_iter().map(OsString::from));
    let (program, first) = words.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    command.args(first).args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
    // A containerd that is slow to end leaves a report there.
    command.env("TMPDIR", folders.runtime.path());
    // Signing is not the builder's business.
    command.env_remove(PASSPHRASE);
    Ok(command)
}

impl Folders {
    /// The state is kept in `base`, unless another run has it: then this one begins with nothing.
    fn create(base: &Path, program: &str) -> io::Result<Self> {
        let runtime = tempfile::Builder::new().prefix("kmodforge-builder-").tempdir()?;
        let (state, lock) = match lock(base) {
            Some(lock) => (base.join(program), Some(lock)),
            None => (runtime.path().join("state"), None),
        };
        fs::create_dir_all(&state)?;
        keeper::end_orphan(&state.join("pid"), &state);
        mounts::detach_below(&[&state]);
        Ok(Self { runtime, state, _lock: lock })
    }

    fn socket(&self) -> PathBuf {
        self.runtime.path().join("builder.sock")
    }

    fn log(&self) -> PathBuf {
        self.runtime.path().join("log")
    }

    fn config(&self, text: &str, name: &str) -> io::Result<String> {
        let path = self.runtime.path().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

/// The lock of the kept state; `None` if somebody has it, or it cannot be made.
fn lock(base: &Path) -> Option<File> {
    fs::create_dir_all(base).ok()?;
    let file = File::options().create(true).append(true).open(base.join("lock")).ok()?;
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}

fn find(program: &str) -> Result<PathBuf, String> {
    env::program(program).ok_or_else(|| format!("no `{program}` on PATH"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn buildkitd() -> Result<Vec<PathBuf>, String> {
    let buildkitd = find("buildkitd")?;
    find("runc").or_else(|_| find("crun")).map_err(|_| "neither `runc` nor `crun` on PATH")?;
    if is_root() {
        return Ok(vec![buildkitd]);
    }
    let rootlesskit = find("rootlesskit").map_err(|_| "it needs root, or `rootlesskit` on PATH")?;
    Ok(vec![rootlesskit, buildkitd])
}

fn buildkitd_arguments(folders: &Folders, insecure: &[String]) -> io::Result<Vec<String>> {
    let registries: String = insecure.iter().fold(String::new(), |text, host| text + &format!("[registry.\"{host}\"]\n  http = true\n"));
    let config = folders.config(&format!("insecure-entitlements = [\"network.host\"]\n{registries}"), "buildkitd.toml")?;
    let socket = format!("unix://{}", folders.socket().display());
    let mut arguments = vec!["--config".to_owned(), config, "--addr".to_owned(), socket];
    arguments.extend(["--root".to_owned(), folders.state.display().to_string()]);
    arguments.extend(["--oci-worker=true", "--containerd-worker=false"].map(str::to_owned));
    if env::program("runc").is_none() {
        arguments.extend(["--oci-worker-binary", "crun"].map(str::to_owned));
    }
    Ok(arguments)
}

fn dockerd() -> Result<Vec<PathBuf>, String> {
    let dockerd = find("dockerd")?;
    if is_root() { Ok(vec![dockerd]) } else { Err("it needs root".to_owned()) }
}

/// No bridge and no packet filter: nothing outside the private folders changes, and `RUN` steps use the host's network.
fn dockerd_arguments(folders: &Folders, insecure: &[String]) -> io::Result<Vec<String>> {
    let registries = serde_json::json!({ "insecure-registries": insecure });
    let config = folders.config(&registries.to_string(), "daemon.json")?;
    let runtime = folders.runtime.path().display();
    let valued = [
        ("--config-file", config),
        ("--host", format!("unix://{}", folders.socket().display())),
        ("--data-root", folders.state.display().to_string()),
        ("--exec-root", format!("{runtime}/exec")),
        ("--pidfile", format!("{runtime}/dockerd.pid")),
        ("--containerd-namespace", "kmodforge".to_owned()),
        ("--containerd-plugins-namespace", "kmodforge-plugins".to_owned()),
    ];
    let plain = ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--userland-proxy=false"];
    Ok(valued.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).chain(plain.map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests;
