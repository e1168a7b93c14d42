use serde_json::{Value, json};

use super::*;

/// What an attacker who writes source code, or a registry's answers, would put into a log.
const EVIL: &str = "</pre><script>alert(1)</script>\"'&\u{1b}[31m";

fn target(driver: &str, kernel: &str, outcome: &str, why: &str) -> Value {
    json!({
        "target": {"driver": driver, "version": "1.0", "distro": "debian", "distro_release": "bookworm", "kernel": kernel, "arch": "amd64"},
        "outcome": outcome, "why": why, "input_digest": "", "headers": [], "modules": [driver], "checks": 17, "image_bytes": 1, "pushed_bytes": 1,
        "seconds": 61.5, "phases": {"compile": 3.2}, "log": "build.log",
        "findings": if outcome == "rejected" { json!([{"check": "symbol-crc", "severity": "error", "message": EVIL, "found": "1", "expected": "2"}]) } else { json!([]) },
    })
}

fn record(started: u64, targets: &[Value]) -> Record {
    serde_json::from_value(
        json!({"schema": 1, "tool": format!("kmodforge <{started}>"), "started": started, "seconds": 1.0, "builder": "b", "targets": targets}),
    )
    .unwrap()
}

fn report() -> Report {
    let first = record(1, &[target("zfs", "6.1.0-56-amd64", "failed", "did not compile"), target("jool", "6.1.0-56-amd64", "rejected", "check failed")]);
    let second = record(2, &[target("zfs", "6.1.0-56-amd64", "built", "built"), target("zfs", "6.1.0-55-amd64", "unsupported", EVIL)]);
    Report::of(vec![second, first], &|_| Some(EVIL.to_owned()))
}

#[test]
fn the_run_that_began_last_is_right() {
    let report = report();
    let outcomes: Vec<_> = report.entries.iter().map(|(label, entry)| (label.driver.as_str(), label.kernel.as_str(), entry.record.outcome)).collect();
    assert_eq!(
        outcomes,
        [("jool", "6.1.0-56-amd64", Outcome::Rejected), ("zfs", "6.1.0-55-amd64", Outcome::Unsupported), ("zfs", "6.1.0-56-amd64", Outcome::Built)]
    );
    assert_eq!((report.started, report.tools.len()), (2, 2));
}

#[test]
fn nothing_that_was_recorded_is_markup() {
    let (page, xml) = (page(&report()), junit(&report()));
    assert_eq!(page.matches("<script>").count(), 1, "the page's own");
    let safe = "&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{fffd}[31m";
    assert!(page.contains(safe) && xml.contains(safe) && !xml.contains("<script>") && !xml.contains('\u{1b}'));
    assert!(page.contains("kmodforge &lt;1&gt;"));
}

#[test]
fn a_page_runs_its_own_script_and_asks_for_nothing() {
    let page = page(&report());
    let policy = page.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("script-src 'sha256-"), "{policy}");
    for word in ["http://", "https://", "url(", "@import", "src=", "href=", "fetch("] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn every_target_has_a_cell_and_its_findings() {
    let page = page(&report());
    assert_eq!(page.matches("<td class=").count(), 3);
    assert_eq!(page.matches("<dialog ").count(), 3);
    assert!(page.contains("<td class=\"built\" data-words=\"zfs 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64) built built \">"), "{page}");
    assert!(page.contains("built<small>1 min 1 s</small>") && page.contains("<code>symbol-crc</code>"));
}

#[test]
fn kernels_stand_newest_first() {
    let targets = ["6.1.0-9-amd64", "6.1.0-56-amd64", "6.12.1-1-amd64"].map(|kernel| target("zfs", kernel, "built", "built"));
    let page = page(&Report::of(vec![record(1, &targets)], &|_| None));
    let places = ["6.12.1-1-amd64<", "6.1.0-56-amd64<", "6.1.0-9-amd64<"].map(|kernel| page.find(&format!("<th scope=\"row\">{kernel}")).unwrap());
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_boot_is_told_with_its_log() {
    let mut booted = target("zfs", "6.1.0-56-amd64", "built", "built");
    booted["boot"] = json!({"accelerator": "tcg", "seconds": 6.25, "loaded": ["spl", "zfs"], "bound": ["0000:00:04.0"], "taint": 4097, "log": "boot.log"});
    let page = page(&Report::of(vec![record(1, &[booted])], &|name| Some(format!("<{name}>"))));
    assert!(page.contains("<dt>boot</dt><dd>tcg in 6.2 s: loaded spl, zfs; bound 0000:00:04.0; taint 4097</dd>"), "{page}");
    let shared = json!({"accelerator": "tcg", "seconds": 6.25, "loaded": [], "bound": [], "together_with": ["jool 4.1.15"], "log": "boot.log"});
    let mut rejected = target("nvidia-open", "6.1.0-56-amd64", "rejected", "check `boot-load` failed");
    rejected["boot"] = shared;
    let xml = junit(&Report::of(vec![record(1, &[rejected])], &|name| Some(format!("<{name}>"))));
    assert!(xml.contains("<system-out>boot: tcg in 6.2 s together with jool 4.1.15: loaded nothing\n</system-out>"), "{xml}");
    assert!(xml.contains("<system-err>&lt;boot.log&gt;</system-err>"), "{xml}");
    assert!(page.contains("<summary>Boot log</summary><pre>&lt;boot.log&gt;</pre>") && page.contains("<pre>&lt;build.log&gt;</pre>"), "{page}");
}

#[test]
fn literals_are_shown_as_such() {
    let rejected = target("zfs", "6.1.0-56-amd64", "unsupported", "kernel has no `CONFIG_<X>`");
    let page = page(&Report::of(vec![record(1, &[rejected])], &|_| None));
    assert!(page.contains("<small>kernel has no <code>CONFIG_&lt;X&gt;</code></small>"), "{page}");
}

#[test]
fn junit_counts_as_ci_systems_do() {
    let xml = junit(&report());
    assert!(xml.contains("<testsuites name=\"kmodforge\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"184.500\">"), "{xml}");
    assert!(xml.contains("<testsuite name=\"zfs 1.0\" tests=\"2\" failures=\"0\" errors=\"0\" skipped=\"1\" time=\"123.000\">"), "{xml}");
    assert!(xml.contains("<testcase classname=\"zfs.1_0\" name=\"6.1.0-56-amd64 (debian bookworm, amd64)\" time=\"61.500\"></testcase>"), "{xml}");
    assert!(xml.contains("<failure message=\"check failed\" type=\"check\">error[symbol-crc]: "), "{xml}");
}
