//! What the fake builder does with each stage of each kernel.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tonic::Status;

use crate::buildkit::{Fake, Job, Kind};
use crate::results::Kernel;

/// What is done in place of the usual.
#[derive(Clone)]
pub(crate) enum Act {
    /// A step prints these lines and ends with this exit code.
    Fail(&'static str, Vec<&'static str>, i32),
    /// The daemon refuses the whole request.
    Refuse(&'static str),
    /// A step begins and never ends.
    Hang(&'static str),
    /// As [`Act::Hang`], and news of the steps go on for some time after the solve was cancelled.
    HangOn(&'static str),
    /// These bytes are sent as the result.
    Send(Vec<u8>),
    /// Half of these bytes, then nothing more.
    SendHalf(Vec<u8>),
}

#[derive(Default)]
struct State {
    /// Kernel (part of its release), stage, act.
    acts: Vec<(String, &'static str, Act)>,
    /// `artifacts 6.1.0-56-amd64`, in the order of beginning.
    log: Vec<String>,
    busy: usize,
    busiest: usize,
}

/// A builder on a bench: does what it is told for some kernels, and the usual for the others.
#[derive(Clone)]
pub(crate) struct Bench {
    state: Arc<Mutex<State>>,
    solves: watch::Sender<usize>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), solves: watch::channel(0).0 }
    }

    /// Starts the daemon.
    pub(crate) fn start(&self) -> Fake {
        let bench = self.clone();
        Fake::start(Kind::Buildkitd, move |job| {
            let bench = bench.clone();
            async move { bench.play(job).await }
        })
    }

    /// From now on, `act` is what happens to a stage of kernels whose release contains this text.
    pub(crate) fn set(&self, kernel: &str, stage: &'static str, act: Act) {
        self.state.lock().unwrap().acts.push((kernel.to_owned(), stage, act));
    }

    /// Everything is as usual again.
    pub(crate) fn clear(&self) {
        let mut book = self.state.lock().unwrap();
        (book.acts, book.log) = (Vec::new(), Vec::new());
    }

    /// Kernels that this stage was solved for, sorted.
    pub(crate) fn solved(&self, stage: &str) -> Vec<String> {
        let book = self.state.lock().unwrap();
        let mut kernels: Vec<_> = book.log.iter().filter_map(|line| Some(line.strip_prefix(stage)?.trim().to_owned())).collect();
        kernels.sort();
        kernels
    }

    /// How many `artifacts` were made at the same time at most.
    pub(crate) fn busiest(&self) -> usize {
        self.state.lock().unwrap().busiest
    }

    /// Waits until so many solves of any stage have begun since the start.
    pub(crate) async fn begun(&self, count: usize) {
        let begun = async { self.solves.subscribe().wait_for(|solves| *solves >= count).await.map(|_| ()) };
        tokio::time::timeout(Duration::from_secs(20), begun).await.expect("the builder was not asked").unwrap();
    }

    async fn play(&self, job: Job) -> Result<(), Status> {
        let stage = job.request.frontend_attrs["target"].clone();
        let kernel = kernel_of(&job);
        let act = {
            let mut book = self.state.lock().unwrap();
            book.log.push(format!("{stage} {kernel}"));
            book.acts.iter().find(|(text, of, _)| kernel.contains(text.as_str()) && *of == stage).map(|(_, _, act)| act.clone())
        };
        self.solves.send_modify(|solves| *solves += 1);
        match act {
            Some(Act::Fail(step, lines, code)) => {
                job.step(step, None);
                for line in lines {
                    job.print(step, &format!("{line}\n"));
                }
                let message = format!("process \"/bin/bash -euo pipefail -c make\" did not complete successfully: exit code: {code}");
                job.step(step, Some(&message));
                Err(Status::unknown(format!("failed to solve: {message}")))
            }
            Some(Act::Refuse(message)) => Err(Status::unknown(format!("failed to solve: {message}"))),
            Some(Act::Hang(step)) => {
                job.step(step, None);
                std::future::pending().await
            }
            Some(Act::HangOn(step)) => {
                job.step(step, None);
                let status = job.status.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    drop(status);
                });
                std::future::pending().await
            }
            Some(Act::Send(bytes)) => self.deliver(&job, &stage, bytes).await,
            Some(Act::SendHalf(bytes)) => {
                let half = bytes[..bytes.len() / 2].to_vec();
                job.send_tar(vec![half]).await
            }
            None => {
                let kernel = Kernel::new(&kernel);
                let tar = match stage.as_str() {
                    "facts" => kernel.facts(),
                    "evidence" => kernel.evidence_alone(),
                    "artifacts" => kernel.artifacts(),
                    _ => crate::results::Tar::new().file("debian_version", b"12\n"),
                };
                self.deliver(&job, &stage, tar.bytes()).await
            }
        }
    }

    async fn deliver(&self, job: &Job, stage: &str, tar: Vec<u8>) -> Result<(), Status> {
        let counts = stage == "artifacts";
        if counts {
            let mut book = self.state.lock().unwrap();
            book.busy += 1;
            book.busiest = book.busiest.max(book.busy);
        }
        job.step("[build 3/4] RUN make modules", None);
        tokio::time::sleep(Duration::from_millis(20)).await;
        job.step("[build 3/4] RUN make modules", Some(""));
        if counts {
            self.state.lock().unwrap().busy -= 1;
        }
        job.send_tar(tar.chunks(32 << 10).map(<[u8]>::to_vec).collect()).await
    }
}

/// The kernel's release, from the first line of the Dockerfile: `# kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)`.
fn kernel_of(job: &Job) -> String {
    let bytes = job.request.frontend_inputs["dockerfile"].def.concat();
    let text = String::from_utf8_lossy(&bytes);
    let (_, rest) = text.split_once(" for ").unwrap();
    rest.split(' ').next().unwrap().to_owned()
}
