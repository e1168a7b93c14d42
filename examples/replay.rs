//! Replays a made-up run, to look at the screen: `cargo run --example replay -- [tty|plain|json] [targets] [-v] [-q]`.

use std::sync::Arc;
use std::time::Duration;

use kmodforge::builder::BuildEvent;
use kmodforge::error::{Exit, Failure};
use kmodforge::finding::{Finding, Severity};
use kmodforge::pipeline::event::{Event, Phase};
use kmodforge::record::{Outcome, Record, SCHEMA, TargetLabel, TargetRecord};
use kmodforge::ui::{ProgressMode, Ui, UiOptions};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| args.iter().any(|arg| arg == word);
    let progress = match args.first().map(String::as_str) {
        Some("tty") => ProgressMode::Tty,
        Some("plain") => ProgressMode::Plain,
        Some("json") => ProgressMode::Json,
        _ => ProgressMode::Auto,
    };
    let count = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(4);
    let ui = Ui::new(UiOptions { progress, verbose: u8::from(has("-v")), quiet: has("-q"), ..UiOptions::default() });
    let targets: Arc<[TargetLabel]> = (0..count).map(label).collect();
    let handle = ui.progress();
    let events = handle.events();
    let _ = events.send(Event::Started { targets: Arc::clone(&targets) });
    let _ = events.send(Event::Note("builder: Docker Engine 28.5.2, BuildKit 0.25.2".into()));
    let workers: Vec<_> = (0..count).map(|target| tokio::spawn(work(target, targets[target].clone(), events.clone()))).collect();
    drop(events);
    let mut records = Vec::new();
    for worker in workers {
        records.extend(worker.await);
    }
    handle.finish().await;
    let record = Record { schema: SCHEMA, tool: "kmodforge 0.1.0".into(), started: 0, seconds: 12.0, builder: "Docker Engine 28.5.2".into(), targets: records };
    ui.summary(&record, "kmodforge-record.json".as_ref());
}

fn label(target: usize) -> TargetLabel {
    let (driver, version) = if target % 4 == 3 { ("zfs", "2.2.4") } else { ("v4l2loopback", "0.15.3") };
    let kernel = if target % 4 == 2 { format!("6.12.{}+deb12-cloud-amd64", 107 + target) } else { format!("6.1.0-{}-amd64", 56 + target) };
    TargetLabel { driver: driver.into(), version: version.into(), distro: "debian".into(), distro_release: "bookworm".into(), kernel, arch: "amd64".into() }
}

/// The story of one target: zfs does not compile.
async fn work(target: usize, label: TargetLabel, events: UnboundedSender<Event>) -> TargetRecord {
    let send = |event| {
        let _ = events.send(event);
    };
    let build = |event| Event::Build(target, event);
    let pause = |ms: u64| sleep(Duration::from_millis(ms * (10 + target as u64 % 7) / 10));
    let fails = label.driver == "zfs";
    send(Event::TargetStarted(target));
    send(Event::Phase(target, Phase::Headers));
    step(&send, target, "1", "[headers 1/3] FROM docker.io/library/debian:bookworm-slim", 600).await;
    send(Event::Phase(target, Phase::Compile));
    for part in 1..40 {
        send(build(BuildEvent::Transfer { what: "transferring context".into(), bytes: part * 104_000 }));
        pause(30).await;
    }
    let command = "[build 4/7] RUN make -C /usr/src/linux-headers-6.1.0-56-amd64 M=/src modules KVER=6.1.0-56-amd64";
    send(build(BuildEvent::StepStarted { step: "2".into(), name: command.into() }));
    for line in 0..30 {
        send(build(BuildEvent::Log { step: "2".into(), line: format!("  CC [M]  /src/file{line}.o\x1b[0m") }));
        pause(100).await;
    }
    send(build(BuildEvent::StepDone { step: "2".into(), name: command.into(), cached: false, time: Duration::from_secs(3) }));
    let mut failure = None;
    if fails {
        failure = Some(Box::new(
            Failure::new(Exit::Failed, format!("{label} did not compile"))
                .fact("step", "[build 4/7] RUN ./configure --with-linux=…")
                .fact(
                    "log",
                    ".kmodforge/logs/zfs-2.2.4-6.12.107_deb12-amd64.log (1204 lines)\nconfigure: error:\n    *** The maximum supported kernel version is 6.9.",
                )
                .help("zfs 2.3.4 supports this kernel: --driver zfs@2.3.4"),
        ));
    } else {
        send(Event::Phase(target, Phase::Check));
        pause(300).await;
        send(Event::Phase(target, Phase::Publish));
        for part in 1..=10 {
            send(Event::Upload { target, bytes: part * 3_100, total: 31_000 });
            pause(80).await;
        }
    }
    let record = record(label, fails, target);
    send(Event::TargetFinished { target, record: Box::new(record.clone()), failure, time: Duration::from_millis(5_800 + 100 * target as u64) });
    record
}

async fn step(send: &impl Fn(Event), target: usize, step: &str, name: &str, ms: u64) {
    send(Event::Build(target, BuildEvent::StepStarted { step: step.into(), name: name.into() }));
    sleep(Duration::from_millis(ms)).await;
    send(Event::Build(target, BuildEvent::StepDone { step: step.into(), name: name.into(), cached: false, time: Duration::from_millis(ms) }));
}

fn record(target: TargetLabel, fails: bool, index: usize) -> TargetRecord {
    let warning = Finding::new("firmware", Severity::Warning, "`v4l2loopback.ko` may ask for `x.bin`").file("/opt/lib/modules/x.ko");
    TargetRecord {
        target,
        outcome: if fails { Outcome::Failed } else { Outcome::Built },
        why: if fails { "did not compile" } else { "built" }.into(),
        image: None,
        digest: (!fails).then(|| format!("sha256:{index:02x}d0e2{}", "ab".repeat(29))),
        index_digest: None,
        input_digest: String::new(),
        source: None,
        headers: Vec::new(),
        compiler: None,
        modules: Vec::new(),
        checks: if fails { 0 } else { 14 },
        findings: if index == 1 { vec![warning] } else { Vec::new() },
        boot: None,
        image_bytes: if fails { 0 } else { 4_200_000 },
        pushed_bytes: if fails { 0 } else { 31_000 },
        attachments: Vec::new(),
        seconds: 5.8,
        phases: std::collections::BTreeMap::new(),
        log: None,
        signer: None,
        rollout: None,
    }
}
