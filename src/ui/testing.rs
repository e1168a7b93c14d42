//! A made-up run, a place to print to that remembers, and a terminal that shows what was printed.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::terminal::Terminal;
use super::{Ui, UiOptions, lock};
use crate::builder::BuildEvent;
use crate::error::{Exit, Failure};
use crate::finding::{Finding, Severity};
use crate::pipeline::event::{Event, Phase};
use crate::record::{Outcome, Record, SCHEMA, TargetLabel, TargetRecord};

/// Remembers what is written.
#[derive(Clone, Default)]
pub(super) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub(super) fn text(&self) -> String {
        String::from_utf8(lock(&self.0).clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A printer with standard output and standard error that are remembered. With a size they are terminals.
pub(super) fn ui(options: UiOptions, size: Option<(usize, usize)>) -> (Ui, Sink, Sink) {
    let terminal = Terminal { out_is_tty: size.is_some(), err_is_tty: size.is_some(), dumb: false, color: None, columns: None, size: Box::new(move || size) };
    let (out, err) = (Sink::default(), Sink::default());
    (Ui::on(terminal, options, Box::new(out.clone()), Box::new(err.clone())), out, err)
}

/// Compares with a file of `tests/golden/ui`; `SNAPSHOTS=overwrite` writes it anew.
pub(super) fn assert_golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ui").join(name);
    let expected = snapbox::Data::read_from(&path, Some(snapbox::data::DataFormat::Text)).raw();
    snapbox::assert_data_eq!(actual, expected);
}

/// What a terminal shows after some text: enough of ECMA-48 for what `Screen` writes.
pub(super) struct Vt {
    columns: usize,
    rows: usize,
    /// Everything since the beginning; the last `rows` lines are on the screen.
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Vt {
    pub(super) fn show(columns: usize, rows: usize, text: &str) -> Self {
        let mut vt = Self { columns, rows, lines: vec![Vec::new()], row: 0, column: 0 };
        vt.write(text);
        vt
    }

    fn write(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['));
                    let mut sequence = String::new();
                    while !sequence.ends_with(|c: char| c.is_ascii_alphabetic()) {
                        sequence.push(chars.next().unwrap());
                    }
                    self.control(&sequence);
                }
                '\r' => self.column = 0,
                '\n' => (self.column, self.row) = (0, self.row + 1),
                c => self.put(c),
            }
            while self.lines.len() <= self.row {
                self.lines.push(Vec::new());
            }
        }
    }

    fn put(&mut self, c: char) {
        if self.column == self.columns {
            (self.column, self.row) = (0, self.row + 1);
            self.lines.resize_with(self.lines.len().max(self.row + 1), Vec::new);
        }
        let line = &mut self.lines[self.row];
        line.resize(line.len().max(self.column + 1), ' ');
        line[self.column] = c;
        self.column += 1;
    }

    fn control(&mut self, sequence: &str) {
        let (count, command) = sequence.split_at(sequence.len() - 1);
        let count = count.parse().unwrap_or(1);
        let top = self.lines.len().saturating_sub(self.rows);
        match command {
            "A" => self.row = self.row.saturating_sub(count).max(top),
            "B" => self.row = (self.row + count).min(self.lines.len() - 1),
            "K" => self.lines[self.row].truncate(self.column),
            "m" => {}
            other => panic!("nobody should write {other}"),
        }
    }

    /// Everything since the beginning.
    pub(super) fn text(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect();
        lines.join("\n").trim_end().to_owned() + "\n"
    }
}

/// 19:22:00 on a day in November.
pub(super) fn at(milliseconds: u64) -> Duration {
    Duration::from_mins(29_921_482) + Duration::from_millis(milliseconds)
}

pub(super) fn label(driver: &str, version: &str, kernel: &str) -> TargetLabel {
    TargetLabel {
        driver: driver.into(),
        version: version.into(),
        distro: "debian".into(),
        distro_release: "bookworm".into(),
        kernel: kernel.into(),
        arch: "amd64".into(),
    }
}

pub(super) fn target_record(target: TargetLabel, outcome: Outcome, why: &str) -> TargetRecord {
    let built = outcome == Outcome::Built;
    TargetRecord {
        unverified: Vec::new(),
        target,
        outcome,
        why: why.into(),
        image: built.then(|| "127.0.0.1:5000/drivers/v4l2loopback:0.15.3".into()),
        digest: (built || outcome == Outcome::Published).then(|| format!("sha256:77d0e2{}", "ab".repeat(29))),
        index_digest: None,
        input_digest: format!("sha256:{}", "cd".repeat(32)),
        source: None,
        headers: vec!["linux-headers-6.1.0-56-amd64 6.1.170-3".into()],
        compiler: None,
        modules: vec!["v4l2loopback.ko".into()],
        checks: if built { 14 } else { 0 },
        findings: Vec::new(),
        boot: None,
        image_bytes: if built { 4_200_000 } else { 0 },
        pushed_bytes: if built { 31_400 } else { 0 },
        attachments: Vec::new(),
        seconds: 9.8,
        phases: [("compile".to_owned(), 3.2)].into(),
        log: None,
        signer: None,
        rollout: None,
    }
}

pub(super) fn targets() -> Vec<TargetLabel> {
    vec![
        label("v4l2loopback", "0.15.3", "6.1.0-55-amd64"),
        label("v4l2loopback", "0.15.3", "6.12.107+deb12-cloud-amd64"),
        label("zfs", "2.2.4", "6.12.107+deb12-amd64"),
        label("v4l2loopback", "0.15.3", "6.1.0-54-amd64"),
    ]
}

pub(super) fn compile_failure() -> Failure {
    Failure::new(Exit::Failed, "zfs 2.2.4 for 6.12.107+deb12-amd64 (debian bookworm, amd64) did not compile")
        .fact("step", "[build 4/7] RUN ./configure --with-linux=…")
        .fact("log", ".kmodforge/logs/zfs.log (1204 lines)\nconfigure: error:\n    *** The maximum supported kernel version is 6.9.")
        .help("zfs 2.3.4 supports this kernel: --driver zfs@2.3.4")
}

/// The records that [`run`] ends with.
pub(super) fn records() -> Vec<TargetRecord> {
    let [one, two, three, four] = targets().try_into().unwrap();
    let mut warned = target_record(two, Outcome::Built, "built");
    warned.findings = vec![Finding::new("firmware", Severity::Warning, "`v4l2loopback.ko` may ask for `x.bin`").help("add it to the driver's profile")];
    vec![
        target_record(one, Outcome::Built, "built"),
        warned,
        target_record(three, Outcome::Failed, "did not compile"),
        target_record(four, Outcome::Published, "already published"),
    ]
}

pub(super) fn record(targets: Vec<TargetRecord>) -> Record {
    Record { schema: SCHEMA, tool: "kmodforge 0.1.0".into(), started: 1_795_288_920, seconds: 53.2, builder: "Docker Engine 28.5.2".into(), targets }
}

/// A run of four targets with one of every kind of event. Three are at work at 4.5 s; the run is over at 53 s.
pub(super) fn run() -> Vec<(Duration, Event)> {
    let build = Event::Build;
    let step = |name: &str| BuildEvent::StepStarted { step: "s1".into(), name: name.into() };
    let done = |name: &str, cached| BuildEvent::StepDone { step: "s1".into(), name: name.into(), cached, time: Duration::from_millis(3_140) };
    let make = "[build 4/7] RUN make -C /usr/src/linux-headers-6.1.0-55-amd64 M=/src modules";
    let finished = |target: usize, seconds: u64, failure: Option<Failure>| Event::TargetFinished {
        target,
        record: Box::new(records().remove(target)),
        failure: failure.map(Box::new),
        time: Duration::from_millis(seconds * 1000 + 840),
    };
    let events = vec![
        (0, Event::Started { targets: targets().into() }),
        (0, Event::Note("builder: Docker Engine 28.5.2, BuildKit 0.25.2".into())),
        (100, Event::TargetStarted(0)),
        (200, Event::TargetStarted(1)),
        (300, Event::Phase(0, Phase::Headers)),
        (400, build(0, done("[headers 1/3] FROM docker.io/library/debian:bookworm-slim", true))),
        (500, Event::Phase(0, Phase::Compile)),
        (600, build(0, step(make))),
        (700, build(0, BuildEvent::Log { step: "s1".into(), line: "\x1b[1m  CC [M]\x1b[0m  /src/v4l2loopback.o\r".into() })),
        (800, build(0, BuildEvent::Warning("FromAsCasing: `as` and `FROM` differ in case".into()))),
        (900, Event::Phase(1, Phase::Fetch)),
        (1_000, build(1, BuildEvent::Transfer { what: "transferring context".into(), bytes: 1_000_000 })),
        (2_000, build(1, BuildEvent::Transfer { what: "transferring context".into(), bytes: 4_200_000 })),
        (3_000, Event::TargetStarted(2)),
        (3_100, Event::Phase(2, Phase::Compile)),
        (3_200, build(2, step("[build 4/7] RUN ./configure --with-linux=/usr/src/linux-headers-6.12.107+deb12-amd64"))),
        (6_100, build(1, BuildEvent::Transfer { what: "transferring context".into(), bytes: 90_000_000 })),
        (6_200, build(0, done(make, false))),
        (6_300, Event::Phase(0, Phase::Check)),
        (6_400, Event::Phase(0, Phase::Publish)),
        (6_500, Event::Upload { target: 0, bytes: 0, total: 31_400 }),
        (9_900, Event::Upload { target: 0, bytes: 31_400, total: 31_400 }),
        (9_940, finished(0, 9, None)),
        (44_000, finished(2, 41, Some(compile_failure()))),
        (44_100, finished(3, 0, None)),
        (53_000, finished(1, 52, None)),
    ];
    events.into_iter().map(|(time, event)| (at(time), event)).collect()
}
