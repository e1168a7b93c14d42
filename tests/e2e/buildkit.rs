//! The `BuildKit` client against a Docker Engine (`KMODFORGE_TEST_DOCKER`) and a `buildkitd` (`KMODFORGE_TEST_BUILDKIT`), with a Debian
//! base image in a registry (`KMODFORGE_TEST_REGISTRY`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kmodforge::builder::{BuildEvent, Builder, CacheEntry, Content, ContextFile, Network, Secret, SolveError, SolveOptions, SolveRequest};
use kmodforge::buildkit::BuildKit;
use kmodforge::credentials::Credentials;
use kmodforge::env;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::stack::setting;

mod daemons;

fn base() -> String {
    format!("{}/library/debian:bookworm", setting("KMODFORGE_TEST_REGISTRY"))
}

async fn engine() -> BuildKit {
    BuildKit::connect(&setting("KMODFORGE_TEST_DOCKER").parse().unwrap(), Credentials::default()).await.unwrap()
}

async fn buildkitd() -> BuildKit {
    BuildKit::connect(&setting("KMODFORGE_TEST_BUILDKIT").parse().unwrap(), Credentials::default()).await.unwrap()
}

async fn both() -> [BuildKit; 2] {
    [engine().await, buildkitd().await]
}

fn request(dockerfile: &str) -> SolveRequest {
    SolveRequest {
        name: "test".to_owned(),
        dockerfile: dockerfile.into(),
        stage: "out".to_owned(),
        build_args: Vec::new(),
        context: Vec::new(),
        platform: None,
        options: Arc::new(SolveOptions::default()),
    }
}

fn file(path: &str, data: &[u8]) -> ContextFile {
    ContextFile { path: path.to_owned(), content: Content::Bytes(data.into()) }
}

/// Text that no earlier test has had, so that nothing is cached.
fn unique() -> String {
    format!("{}-{:?}", env::now().as_nanos(), std::thread::current().id()).replace(['(', ')'], "")
}

struct Solved {
    result: Result<(), SolveError>,
    events: Vec<BuildEvent>,
    /// Regular files of the tar, with their content.
    files: BTreeMap<String, Vec<u8>>,
    /// Size of the tar.
    bytes: u64,
    dir: TempDir,
}

impl Solved {
    fn error(self) -> SolveError {
        let left: Vec<_> = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "a failed solve leaves {left:?}");
        self.result.unwrap_err()
    }

    fn lines(&self) -> Vec<&str> {
        self.events.iter().filter_map(|event| if let BuildEvent::Log { line, .. } = event { Some(line.as_str()) } else { None }).collect()
    }
}

async fn solve_until(builder: &BuildKit, request: SolveRequest, cancel: CancellationToken) -> Solved {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.tar");
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let result = builder.solve(request, &output, sender, cancel).await;
    let events = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
    let bytes = fs::metadata(&output).map_or(0, |facts| facts.len());
    let files = if bytes < 100 << 20 && result.is_ok() { unpack(&output) } else { BTreeMap::new() };
    Solved { result, events, files, bytes, dir }
}

async fn solve(builder: &BuildKit, request: SolveRequest) -> Solved {
    solve_until(builder, request, CancellationToken::new()).await
}

fn unpack(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(fs::File::open(path).unwrap());
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut data = Vec::new();
        if entry.header().entry_type().is_file() {
            std::io::Read::read_to_end(&mut entry, &mut data).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), data);
        }
    }
    files
}

#[tokio::test]
async fn daemons_introduce_themselves() {
    let [engine, buildkitd] = both().await;
    assert!(engine.is_engine() && engine.info().name.starts_with("Docker Engine "), "{:?}", engine.info());
    assert!(!buildkitd.is_engine() && buildkitd.info().name.starts_with("buildkitd"), "{:?}", buildkitd.info());
    for builder in [engine, buildkitd] {
        assert!(builder.info().platforms[0].starts_with("linux/"), "{:?}", builder.info());
    }
}

#[tokio::test]
async fn files_go_in_and_come_out() {
    for builder in both().await {
        let mut request = request("FROM scratch AS other\nCOPY a /other\nFROM scratch AS out\nCOPY . /\n");
        request.context = vec![file("a", b"1"), file("dir/b", b"2"), file("dir/deep/c", b"3"), file(".dockerignore", b"*")];
        let solved = solve(&builder, request).await;
        solved.result.unwrap();
        let names: Vec<&str> = solved.files.keys().map(String::as_str).collect();
        assert_eq!(names, [".dockerignore", "a", "dir/b", "dir/deep/c"], "{}", builder.info().name);
        assert_eq!(solved.files["dir/deep/c"], b"3");
        let steps: Vec<_> = solved.events.iter().filter(|event| matches!(event, BuildEvent::StepDone { .. })).collect();
        assert!(format!("{steps:?}").contains("COPY . /") && !format!("{steps:?}").contains("[internal]"), "{steps:?}");
    }
}

#[tokio::test]
async fn a_cached_solve_takes_no_time() {
    for builder in both().await {
        let dockerfile = format!("FROM {} AS run\nRUN echo 1 >/a\nFROM scratch AS out\nCOPY --from=run /a /\n", base());
        solve(&builder, request(&dockerfile)).await.result.unwrap();
        let mut times = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            solve(&builder, request(&dockerfile)).await.result.unwrap();
            times.push(begun.elapsed());
        }
        times.sort();
        assert!(times[2] < Duration::from_millis(900), "{}: {times:?}", builder.info().name);
    }
}

#[tokio::test]
async fn an_empty_context_is_empty() {
    for builder in both().await {
        let solved = solve(&builder, request("FROM scratch AS out\nCOPY . /\n")).await;
        solved.result.unwrap();
        assert!(solved.files.is_empty(), "{}: {:?}", builder.info().name, solved.files.keys());
    }
}

#[tokio::test]
async fn large_contexts_arrive_and_are_never_stale() {
    for builder in both().await {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        for byte in [1, 2, 1] {
            let data = vec![byte; 9 << 20];
            fs::write(&path, &data).unwrap();
            let sha256 = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            let mut request = request("FROM scratch AS out\nCOPY . /\n");
            let big = ContextFile { path: "src/big".to_owned(), content: Content::File { path: path.clone(), sha256 } };
            request.context = vec![big, file("src.txt", b"x"), file("z/y", b"y"), file(".dockerignore", b"*")];
            let solved = solve(&builder, request).await;
            solved.result.unwrap();
            assert!(solved.files["src/big"] == data && solved.files["z/y"] == b"y", "{}", builder.info().name);
            assert_eq!(solved.files.len(), 4, "{:?}", solved.files.keys());
        }
    }
}

#[tokio::test]
async fn a_failed_step_is_told_with_its_log() {
    let padding = "x".repeat(20_000);
    for builder in both().await {
        let run = format!("RUN : {}; for i in $(seq 40); do echo line $i; done; printf 'last' >&2; : {padding}; exit 3", unique());
        let solved = solve(&builder, request(&format!("FROM {} AS out\nRUN true\n{run}\n", base()))).await;
        let lines = solved.lines().iter().filter(|line| line.starts_with("line ")).count();
        let error = solved.error();
        let SolveError::Step { step, exit_code, log, message } = error else { panic!("{}: {error:?}", builder.info().name) };
        assert!(step.contains("3/3] RUN : "), "{}", &step[..60]);
        assert_eq!((exit_code, log.len(), lines), (Some(3), 30, 40));
        assert!(log.contains(&"line 40".to_owned()) && log.contains(&"last".to_owned()), "{log:?}");
        assert!(message.ends_with("exit code: 3"), "{}", &message[message.len() - 60..]);
    }
}

#[tokio::test]
async fn mistakes_are_refused_in_the_builders_words() {
    let missing = format!("FROM {}/no/such:image AS out\n", setting("KMODFORGE_TEST_REGISTRY"));
    for (dockerfile, words, helps) in [
        ("FROM scratch AS out\nRUNN true\n", "unknown instruction: RUNN", false),
        ("FROM scratch AS other\n", "out", false),
        (missing.as_str(), "not found", true),
        ("FROM scratch AS out\nCOPY nothing /\n", "nothing", false),
    ] {
        for builder in both().await {
            let error = solve(&builder, request(dockerfile)).await.error();
            match error {
                SolveError::Refused { message, help } => {
                    assert!(message.contains(words) && !message.contains("frontend dockerfile.v0"), "{message}");
                    assert_eq!(help.is_some(), helps, "{message}");
                }
                SolveError::Step { step, message, .. } => assert!(step.contains("COPY nothing /") && message.contains("not found"), "{step}: {message}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn secrets_arguments_and_networks_reach_the_step() {
    for builder in both().await {
        let dockerfile = format!(
            "FROM {} AS run\nARG WHO\nRUN --mount=type=secret,id=token mkdir /o && cp /run/secrets/token /o/ && echo \"$WHO {}\" >/o/who && ls /sys/class/net >/o/net\n\
             FROM scratch AS out\nCOPY --from=run /o/ /\n",
            base(),
            unique()
        );
        for (network, alone) in [(Network::None, true), (Network::Host, false)] {
            let secrets = vec![Secret { id: "token".to_owned(), data: b"s3cret".as_slice().into() }];
            let options = SolveOptions { network, secrets, no_cache: true, ..SolveOptions::default() };
            let build_args = vec![("WHO".to_owned(), "it's \"me\"".to_owned())];
            let solved = solve(&builder, SolveRequest { options: Arc::new(options), build_args, ..request(&dockerfile) }).await;
            solved.result.unwrap();
            assert_eq!(solved.files["token"], b"s3cret");
            assert!(solved.files["who"].starts_with(b"it's \"me\" "));
            let interfaces = String::from_utf8_lossy(&solved.files["net"]).into_owned();
            assert_eq!(interfaces.trim() == "lo", alone, "{network:?} on {}: {interfaces}", builder.info().name);
        }
    }
}

#[tokio::test]
async fn cancelling_stops_the_step() {
    for builder in both().await {
        let cancel = CancellationToken::new();
        let dockerfile = format!("FROM {} AS out\nRUN : {}; sleep 300\n", base(), unique());
        let (token, started) = (cancel.clone(), Arc::new(tokio::sync::Notify::new()));
        let stop = Arc::clone(&started);
        tokio::spawn(async move {
            stop.notified().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            token.cancel();
        });
        let dir = tempfile::tempdir().unwrap();
        let (sender, mut receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                if matches!(&event, BuildEvent::StepStarted { name, .. } if name.contains("sleep 300")) {
                    started.notify_one();
                }
            }
        });
        let watch = cancel.clone();
        let ended = tokio::spawn(async move {
            watch.cancelled().await;
            Instant::now()
        });
        let result = builder.solve(request(&dockerfile), &dir.path().join("x"), sender, cancel).await;
        assert!(matches!(result, Err(SolveError::Cancelled)), "{result:?}");
        let time = ended.await.unwrap().elapsed();
        assert!(time < Duration::from_millis(2500), "{}: {time:?}", builder.info().name);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn parallel_solves_share_their_work() {
    for builder in both().await {
        let dockerfile =
            format!("FROM {} AS run\nRUN : {}; sleep 1; cat /proc/sys/kernel/random/uuid >/u\nFROM scratch AS out\nCOPY --from=run /u /\n", base(), unique());
        let solves = (0..8).map(|number| {
            let mut request = request(&dockerfile);
            request.name = number.to_string();
            solve(&builder, request)
        });
        let files: Vec<_> = futures::future::join_all(solves).await.into_iter().map(|solved| solved.result.map(|()| solved.files["u"].clone())).collect();
        let first = files[0].clone().unwrap();
        assert!(files.iter().all(|file| *file.as_ref().unwrap() == first), "{}", builder.info().name);
    }
}

#[tokio::test]
async fn registry_caches_are_used_or_refused() {
    let dockerfile = format!("FROM {} AS run\nRUN : {}; date +%N >/t\nFROM scratch AS out\nCOPY --from=run /t /\n", base(), unique());
    let reference = format!("{}/cache:{}", setting("KMODFORGE_TEST_REGISTRY"), unique());
    let entry = CacheEntry { kind: "registry".to_owned(), attributes: vec![("ref".to_owned(), reference), ("mode".to_owned(), "max".to_owned())] };
    let export = SolveRequest { options: Arc::new(SolveOptions { cache_to: vec![entry.clone()], ..SolveOptions::default() }), ..request(&dockerfile) };
    let error = solve(&engine().await, export.clone()).await.error();
    assert!(error.to_string().contains("cannot export cache `type=registry`"), "{error}");
    let made = solve(&buildkitd().await, export).await;
    made.result.unwrap();
    let import = SolveRequest { options: Arc::new(SolveOptions { cache_from: vec![entry], ..SolveOptions::default() }), ..request(&dockerfile) };
    // The Engine's keys are of another version of BuildKit: what counts is that it has looked.
    let looked = solve(&engine().await, import).await;
    looked.result.unwrap();
    let steps = format!("{:?}", looked.events);
    assert!(steps.contains("importing cache manifest"), "{steps}");
}
