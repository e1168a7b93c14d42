//! What users see, compared with files that can be read: `tests/golden/ui`.

use std::path::Path;
use std::time::Duration;

use super::progress::replay;
use super::testing::{Vt, assert_golden, at, compile_failure, label, record, records, run, target_record, targets, ui};
use super::*;
use crate::pipeline::event::Event;
use crate::record::Outcome;

fn options(progress: ProgressMode) -> UiOptions {
    UiOptions { progress, ..UiOptions::default() }
}

/// What a terminal of this size shows at a moment of the run.
fn screen(columns: usize, rows: usize, events: &[(Duration, Event)], until: Duration, finish: bool) -> String {
    let (ui, _, err) = ui(UiOptions { color: ColorChoice::Always, ..UiOptions::default() }, Some((columns, rows)));
    replay(&ui, events, until, finish);
    Vt::show(columns, rows, &err.text()).text()
}

#[test]
fn terminals_show_what_runs_and_keep_what_is_done() {
    for columns in [60, 80, 120] {
        assert_golden(&format!("tty-{columns}-running.txt"), &screen(columns, 24, &run(), at(4_500), false));
        assert_golden(&format!("tty-{columns}-finished.txt"), &screen(columns, 24, &run(), at(60_000), true));
    }
}

#[test]
fn live_lines_never_wrap_nor_fill_the_screen() {
    let labels: Vec<_> = (0..64).map(|index| label("v4l2loopback", "0.15.3", &format!("6.1.0-{index}-amd64"))).collect();
    let mut events = vec![(at(0), Event::Started { targets: labels.into() })];
    events.extend((0..64).map(|target| (at(1), Event::TargetStarted(target))));
    assert_golden("tty-80-many.txt", &screen(80, 12, &events, at(70_000), false));
    for columns in 1..130 {
        let (ui, _, err) = ui(UiOptions::default(), Some((columns, 5)));
        replay(&ui, &run(), at(4_500), false);
        let shown = err.text();
        let frame = shown.rsplit('\r').next().unwrap_or_default();
        assert!(frame.lines().count() < 5 && frame.lines().all(|line| text::width(line) <= columns), "{columns}: {frame:?}");
    }
}

#[test]
fn live_lines_leave_nothing_behind() {
    let (ui, _, err) = ui(UiOptions { verbose: 1, ..UiOptions::default() }, Some((100, 24)));
    replay(&ui, &run(), at(60_000), true);
    let shown = Vt::show(100, 24, &err.text()).text();
    assert!(!shown.contains('⠋') && !shown.contains('━'), "{shown}");
    assert!(shown.contains("   v4l2loopback 6.1.0-55-amd64 │   CC [M]  /src/v4l2loopback.o\n"), "{shown}");
}

#[test]
fn wrapped_live_lines_are_erased_when_the_window_got_narrower() {
    let columns = Arc::new(std::sync::atomic::AtomicUsize::new(120));
    let (sink, seen) = (testing::Sink::default(), columns.clone());
    let size = Box::new(move || Some((seen.load(std::sync::atomic::Ordering::Relaxed), 24)));
    let mut screen = Screen::new(Box::new(sink.clone()), size, None);
    screen.draw(vec!["x".repeat(100), "y".repeat(30)]);
    columns.store(60, std::sync::atomic::Ordering::Relaxed);
    screen.draw(Vec::new());
    // The terminal wrapped the first line anew: what was written is shown as 60 columns would.
    assert_eq!(Vt::show(60, 24, &sink.text()).text(), "\n");
}

#[test]
fn plain_lines_can_be_searched() {
    for (name, color, verbose) in
        [("plain.txt", ColorChoice::Auto, 0), ("plain-verbose.txt", ColorChoice::Auto, 1), ("plain-color.txt", ColorChoice::Always, 0)]
    {
        let (ui, out, err) = ui(UiOptions { color, verbose, ..UiOptions::default() }, None);
        replay(&ui, &run(), at(60_000), true);
        assert!(!err.text().contains('\r'));
        assert_golden(name, &err.text().replace('\x1b', "␛"));
        assert_eq!(out.text(), "");
    }
}

#[test]
fn names_in_plain_lines_tell_targets_apart() {
    let mut labels = vec![label("zfs", "2.3.4", "6.1.0-56-amd64"); 3];
    labels[1].arch = "arm64".into();
    labels[2].distro_release = "trixie".into();
    let (ui, _, err) = ui(UiOptions::default(), None);
    replay(&ui, &[(at(0), Event::Started { targets: labels.into() }), (at(0), Event::TargetStarted(1)), (at(0), Event::TargetStarted(2))], at(1), true);
    assert_eq!(
        err.text(),
        "19:22:00 run started, 3 targets\n19:22:00 zfs@2.3.4/6.1.0-56-amd64/bookworm/arm64 started\n19:22:00 zfs@2.3.4/6.1.0-56-amd64/trixie/amd64 started\n"
    );
}

#[test]
fn json_lines_obey_their_schema() {
    let (ui, out, err) = ui(UiOptions { quiet: true, ..options(ProgressMode::Json) }, Some((80, 24)));
    replay(&ui, &run(), at(60_000), true);
    assert_golden("events.jsonl", &err.text());
    ui.note("a note");
    ui.warning("a warning");
    ui.finding(&records()[1].findings[0]);
    ui.failure(&compile_failure().id("vermagic").snippet("  --> a.yaml:1:1"));
    ui.summary(&record(records()), Path::new("kmodforge-record.json"));
    ui.log_writer().write_all(b"DEBUG something\n").unwrap();
    let schema = serde_json::to_value(progress_schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for line in err.text().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(validator.is_valid(&line), "{line}");
        kinds.insert(line["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds.len(), 15, "{kinds:?}");
    assert!(!validator.is_valid(&serde_json::json!({ "time": 1.0, "event": "no-such-event" })));
    assert!(!validator.is_valid(&serde_json::json!({ "time": 1.0, "event": "note" })));
    assert_eq!(out.text(), "");
}

#[test]
fn the_schema_and_the_page_about_it_are_up_to_date() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let schema = serde_json::to_value(progress_schema()).unwrap();
    let expected = snapbox::Data::read_from(&docs.join("progress.schema.json"), Some(snapbox::data::DataFormat::Text)).raw();
    snapbox::assert_data_eq!(serde_json::to_string_pretty(&schema).unwrap() + "\n", expected);

    let validator = jsonschema::validator_for(&schema).unwrap();
    let page = std::fs::read_to_string(docs.join("progress-json.md")).unwrap();
    let events = schema["oneOf"].as_array().unwrap().iter().map(|event| event["properties"]["event"]["const"].as_str().unwrap());
    for event in events {
        assert!(page.contains(&format!("\n| `{event}` |")), "`{event}` has no row in docs/progress-json.md");
    }
    let examples: Vec<&str> = page.lines().filter(|line| line.starts_with('{')).collect();
    assert!(examples.len() > 5);
    for line in examples {
        assert!(validator.is_valid(&serde_json::from_str(line).unwrap()), "{line}");
    }
}

#[test]
fn quiet_runs_tell_failures_only() {
    let (ui, out, err) = ui(UiOptions { quiet: true, ..UiOptions::default() }, None);
    replay(&ui, &run(), at(60_000), true);
    ui.note("a note");
    ui.warning("a warning");
    ui.finding(&records()[1].findings[0]);
    ui.summary(&record(records()), Path::new("kmodforge-record.json"));
    assert_eq!(err.text(), format!("{}\n", compile_failure()));
    assert_eq!(out.text(), "");
}

#[test]
fn a_cancelled_run_tells_what_was_broken_off() {
    let mut events: Vec<_> = run().into_iter().filter(|(time, _)| *time < at(4_500)).collect();
    let mut cancelled = Vec::new();
    for (target, label) in targets().into_iter().enumerate() {
        let record = target_record(label, Outcome::Cancelled, "cancelled");
        cancelled.push(record.clone());
        events.push((at(5_000), Event::TargetFinished { target, record: Box::new(record), failure: None, time: Duration::from_secs(4) }));
    }
    for (name, size) in [("cancelled-tty.txt", Some((100, 24))), ("cancelled-plain.txt", None)] {
        let (ui, _, err) = ui(options(if size.is_some() { ProgressMode::Tty } else { ProgressMode::Plain }), size);
        replay(&ui, &events, at(6_000), true);
        ui.summary(&record(cancelled.clone()), Path::new("kmodforge-record.json"));
        assert_golden(name, &Vt::show(size.map_or(200, |(columns, _)| columns), 24, &err.text()).text());
    }
}

#[test]
fn events_about_unknown_targets_are_ignored() {
    let stray = vec![
        (at(0), Event::Started { targets: targets().into() }),
        (at(1), Event::TargetStarted(7)),
        (at(2), Event::Upload { target: 9, bytes: 1, total: 1 }),
        (at(3), Event::TargetFinished { target: 7, record: Box::new(records().remove(0)), failure: None, time: Duration::ZERO }),
    ];
    for progress in [ProgressMode::Tty, ProgressMode::Plain, ProgressMode::Json] {
        let (ui, _, _) = ui(options(progress), Some((80, 24)));
        replay(&ui, &stray, at(10), true);
    }
    let (ui, _, err) = ui(options(ProgressMode::Tty), Some((80, 24)));
    replay(&ui, &[(at(0), Event::Started { targets: Vec::new().into() })], at(10), true);
    assert_eq!(err.text(), "");
}

#[test]
fn the_summary_lists_what_was_worked_on() {
    for columns in [60, 80, 120] {
        let (ui, _, err) = ui(UiOptions { width: Some(columns), ..UiOptions::default() }, None);
        ui.summary(&record(records()), Path::new("kmodforge-record.json"));
        assert_golden(&format!("summary-{columns}.txt"), &err.text());
    }
    let mut many = vec![target_record(label("zfs", "2.3.4", "6.1.0-56-amd64"), Outcome::Published, "already published"); 994];
    let (ui, _, err) = ui(UiOptions::default(), None);
    ui.summary(&record(many.clone()), Path::new("r.json"));
    assert_eq!(err.text(), "994 targets done (994 already published)\nrecord    r.json\n");
    many.extend(records());
    ui.summary(&record(many), Path::new("r.json"));
    assert_eq!(err.text().lines().skip(2).count(), 1 + 3 + 2, "{}", err.text());
}

fn plan_rows() -> Vec<PlanRow> {
    let row = |kernel: &str, state: &str, why: &str| PlanRow {
        driver: "v4l2loopback 0.15.3".into(),
        distro: "debian bookworm".into(),
        kernel: kernel.into(),
        arch: "amd64".into(),
        state: state.into(),
        why: why.into(),
    };
    vec![
        row("6.1.0-56-amd64", "build", "not published"),
        row("6.1.0-55-amd64", "build", "driver source changed"),
        row("6.1.0-54-amd64", "published", "sha256:1f3c9a…"),
        row("6.12.107+deb12-cloud-amd64", "not for", "kernel has no `CONFIG_VIDEO_DEV`"),
    ]
}

#[test]
fn plans_fit_the_screen_and_keep_kernels_whole() {
    let counts = PlanCounts { build: 2, published: 1, impossible: 1 };
    for columns in [60, 80, 120] {
        let (ui, out, err) = ui(UiOptions { width: Some(columns), ..UiOptions::default() }, None);
        ui.plan_table(&plan_rows(), counts);
        assert_golden(&format!("plan-{columns}.txt"), &out.text());
        assert_eq!(err.text(), "2 to build · 1 published · 1 not possible\n");
    }
    let (ui, out, _) = ui(UiOptions { color: ColorChoice::Always, ..UiOptions::default() }, None);
    ui.plan_table(&plan_rows(), counts);
    assert_golden("plan-color.txt", &out.text().replace('\x1b', "␛"));
}

#[test]
fn an_empty_plan_is_one_line() {
    let (ui, out, err) = ui(UiOptions::default(), None);
    ui.plan_table(&[], PlanCounts::default());
    assert_eq!((out.text().as_str(), err.text().as_str()), ("", "no targets\n"));
}

#[test]
fn tables_shorten_texts_before_kernels() {
    let rows = [vec!["6.12.107+deb12-cloud-amd64".to_owned(), "linux-headers-6.12.107+deb12-cloud-amd64".to_owned()], vec!["6.1\x1b[2J".to_owned()]];
    let (narrow, out, _) = ui(UiOptions { width: Some(40), ..UiOptions::default() }, None);
    narrow.table(&["KERNEL", "PACKAGE"], &rows);
    assert_eq!(out.text(), "KERNEL                      PACKAGE\n6.12.107+deb12-cloud-amd64  linux-heade…\n6.1\n");
    let (wide, out, _) = ui(UiOptions::default(), None);
    wide.table(&["KERNEL", "PACKAGE"], &rows);
    assert!(out.text().contains("  linux-headers-6.12.107+deb12-cloud-amd64\n"), "{}", out.text());
}

#[test]
fn doctor_names_remedies() {
    let line = |name: &str, state, text: &str, remedy: Option<&str>| DoctorLine { name: name.into(), state, text: text.into(), remedy: remedy.map(Into::into) };
    let lines = [
        line("builder", DoctorState::Ok, "Docker Engine 28.5.2, BuildKit 0.25.2, at unix:///var/run/docker.sock", None),
        line("registry", DoctorState::Failed, "registry.example/drivers: 401, push is not allowed as `ci`", Some("docker login registry.example")),
        line("qemu", DoctorState::Slow, "KVM did not answer within 2 s; boots are emulated, about 10 s each", None),
        line("signing", DoctorState::Off, "no --sign-key; kernels with Secure Boot will refuse these modules", None),
    ];
    for columns in [60, 120] {
        let (ui, out, _) = ui(UiOptions { width: Some(columns), ..UiOptions::default() }, None);
        ui.doctor(&lines);
        assert_golden(&format!("doctor-{columns}.txt"), &out.text());
    }
}

/// Fails at the first write.
struct Broken(std::io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_left_is_no_mistake_but_a_full_disk_is() {
    let closing = |kind| {
        let terminal = terminal::Terminal { out_is_tty: false, err_is_tty: false, dumb: false, color: None, columns: None, size: Box::new(|| None) };
        let ui = Ui::on(terminal, UiOptions::default(), Box::new(Broken(kind)), Box::new(Broken(kind)));
        ui.data("one\n");
        ui.data("two\n");
        ui.note("nobody hears this");
        ui.close()
    };
    assert_eq!(closing(std::io::ErrorKind::BrokenPipe), Ok(()));
    assert_eq!(closing(std::io::ErrorKind::StorageFull).unwrap_err().to_string(), "error: standard output could not be written: no storage space");
}

#[tokio::test]
async fn a_run_is_shown_until_the_last_sender_is_gone() {
    let (ui, _, err) = ui(options(ProgressMode::Plain), None);
    let progress = ui.progress();
    let events = progress.events();
    events.send(Event::Note("first".into())).unwrap();
    let late = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        events.send(Event::Note("last".into())).unwrap();
    });
    progress.finish().await;
    late.await.unwrap();
    assert!(err.text().contains(" run first\n") && err.text().ends_with(" run last\n"), "{}", err.text());
}

#[test]
fn data_and_live_lines_do_not_mix() {
    let (ui, out, err) = ui(options(ProgressMode::Tty), Some((80, 24)));
    replay(&ui, &run(), at(4_500), false);
    ui.data("sha256:1f3c9a\n");
    ui.close().unwrap();
    assert_eq!(out.text(), "sha256:1f3c9a\n");
    assert!(!Vt::show(80, 24, &err.text()).text().contains('─'));
}
