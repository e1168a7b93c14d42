//! The report in a real browser, and `JUnit` XML in a real parser.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::stack::{run, scratch};

const EVIL: &str = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

fn target(driver: &str, kernel: &str, outcome: &str, findings: &serde_json::Value) -> serde_json::Value {
    json!({
        "target": {"driver": driver, "version": "1.0", "distro": "debian", "distro_release": "bookworm", "kernel": kernel, "arch": "amd64"},
        "outcome": outcome, "why": outcome, "input_digest": "", "headers": ["linux-headers 6.1"], "modules": [driver], "checks": 17, "image_bytes": 4_200_000,
        "pushed_bytes": 31_000, "seconds": 9.8, "phases": {"compile": 3.2}, "log": format!("{driver}.log"), "findings": findings,
    })
}

/// A folder with a record of three targets, a log, and the page made of them.
fn report() -> tempfile::TempDir {
    let folder = scratch();
    let finding = json!([{"check": "symbol-crc", "severity": "error", "message": EVIL}]);
    let targets = [
        target("zfs", "6.1.0-56-amd64", "built", &json!([])),
        target("zfs", "6.1.0-55-amd64", "failed", &json!([])),
        target("jool", "6.1.0-56-amd64", "rejected", &finding),
    ];
    let record = json!({"schema": 1, "tool": "kmodforge 0.1.0", "started": 1, "seconds": 1.0, "builder": "b", "targets": targets});
    fs::write(folder.path().join("record.json"), record.to_string()).unwrap();
    fs::write(folder.path().join("jool.log"), EVIL).unwrap();
    run(Command::new(env!("CARGO_BIN_EXE_kmodforge")).args(["report", "record.json", "-o", "report.html", "--junit", "junit.xml"]).current_dir(folder.path()));
    folder
}

/// The page as the browser has it after `script` ran in it, as a person at the keyboard would.
fn seen(folder: &Path, hash: &str, script: &str) -> String {
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    // The page's own policy would refuse a script that the test adds.
    let policy = page.split("<meta http-equiv").nth(1).unwrap().split('\n').next().unwrap();
    let page = page.replace(&format!("<meta http-equiv{policy}\n"), "").replace("</body>", &format!("<script>{script}</script></body>"));
    fs::write(folder.join("driven.html"), page).unwrap();
    browse(folder, &format!("driven.html{hash}"))
}

fn browse(folder: &Path, page: &str) -> String {
    let address = format!("file://{}/{page}", folder.display());
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]);
    run(chromium.arg(format!("--user-data-dir={}", folder.join("browser").display())).arg(address).stderr(Stdio::null()))
}

/// Cells that are shown, in order.
fn cells(page: &str) -> Vec<&str> {
    let hidden_row = |before: &str| before.rsplit("<tr").next().is_some_and(|row| row.starts_with(" class=\"hidden\""));
    page.match_indices("<td class=\"")
        .filter(|(at, _)| !hidden_row(&page[..*at]))
        .map(|(at, start)| page[at + start.len()..].split('"').next().unwrap())
        .filter(|class| !class.contains("faded") && !class.contains("hidden"))
        .collect()
}

#[test]
fn the_matrix_shows_every_target() {
    let folder = report();
    let page = browse(folder.path(), "report.html");
    assert_eq!(cells(&page), ["rejected", "built", "failed"], "the newest kernel first: {page}");
    assert!(page.contains("<b>1</b> failed"));
}

#[test]
fn typing_into_the_filter_leaves_what_fits() {
    let folder = report();
    let typed = "filter.value = 'ZFS built'; filter.dispatchEvent(new Event('input'));";
    let page = seen(folder.path(), "", typed);
    assert_eq!(cells(&page), ["built"], "{page}");
    assert!(page.contains("<output id=\"shown\">1 of 3</output>"), "{page}");
    let cleared = seen(folder.path(), "#q=jool", "filter.value = ''; filter.dispatchEvent(new Event('input'));");
    assert_eq!(cells(&cleared).len(), 3);
    assert_eq!(cells(&seen(folder.path(), "#q=symbol-crc", "")), ["rejected"], "an address with a filter in it");
}

#[test]
fn a_click_opens_the_findings_and_the_log() {
    let folder = report();
    let page = seen(folder.path(), "", "document.querySelector('td.rejected button').click();");
    let open: Vec<_> = page.match_indices("<dialog ").filter(|(at, _)| page[*at..].split('>').next().unwrap().contains(" open")).collect();
    let [(at, _)] = open[..] else { panic!("one dialog is open: {page}") };
    let dialog = page[at..].split("</dialog>").next().unwrap();
    assert!(dialog.contains("<code>symbol-crc</code> &lt;img src=x") && dialog.contains("<summary>Log</summary><pre>&lt;img"), "{dialog}");
}

#[test]
fn what_was_recorded_cannot_run() {
    let folder = report();
    let page = browse(folder.path(), "report.html");
    assert!(page.contains("<title>kmodforge report</title>") && !page.contains("<img"), "{page}");
}

#[test]
fn junit_is_well_formed() {
    let folder = report();
    let count = "import sys, xml.etree.ElementTree as t; r = t.parse(sys.argv[1]).getroot(); print(r.get('tests'), r.get('failures'), r.get('errors'), len(r.findall('.//testcase')))";
    let printed = run(Command::new("python3").args(["-c", count]).arg(folder.path().join("junit.xml")));
    assert_eq!(printed, "3 1 1 3\n");
}
