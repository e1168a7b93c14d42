//! How a run ended.

use std::fmt::Write as _;
use std::path::Path;

use super::paint::{Paint, Tone};
use super::table::{Cell, Squeeze, Table};
use super::text::{seconds, short_digest, size, time};
use crate::error::counted;
use crate::record::{Outcome, Record, TargetRecord};
use crate::template::quote_shell;

/// More targets than this that needed no work are counted, not listed.
const LISTED: usize = 20;

const HEADERS: [&str; 9] = ["DRIVER", "DISTRO", "KERNEL", "ARCH", "RESULT", "TIME", "SIZE", "NEW", "DIGEST"];
const DRIVER: usize = 0;
const DISTRO: usize = 1;
const ARCH: usize = 3;
const RESULT: usize = 4;
const TIME: usize = 5;
const SIZE: usize = 6;
const NEW: usize = 7;
const DIGEST: usize = 8;

/// Table, counts and the record's path, without the last line break.
pub(super) fn lay_out(record: &Record, path: &Path, columns: Option<usize>, paint: Paint) -> String {
    let idle = record.targets.iter().filter(|target| is_idle(target)).count();
    let rows: Vec<Vec<Cell>> = record.targets.iter().filter(|target| idle <= LISTED || !is_idle(target)).map(row).collect();
    let table = if rows.is_empty() { String::new() } else { table(rows).lay_out(columns, paint) };
    let label = |label: &str| format!("{}{:2$}", paint.tone(label, Tone::Quiet), "", 10 - label.len());
    let deploy = deploying(record, path).map(|command| format!("\n{}{command}", label("deploy"))).unwrap_or_default();
    format!("{table}{}\n{}{}{deploy}", counts(record, paint), label("record"), path.display())
}

/// The command that would bring the images to nodes, if any of them is published.
fn deploying(record: &Record, path: &Path) -> Option<String> {
    let published = record.targets.iter().filter(|target| target.index_digest.is_some()).count();
    let missing = if published < record.targets.len() { " --allow-missing" } else { "" };
    let path = quote_shell(&path.display().to_string());
    (published > 0).then(|| format!("kmodforge deploy daemonset {path}{missing} | kubectl apply -f -"))
}

fn table(rows: Vec<Vec<Cell>>) -> Table {
    Table::new(&HEADERS, rows).align_right(&[TIME, SIZE, NEW]).squeeze(&[
        Squeeze::Hoist(ARCH),
        Squeeze::Hoist(DISTRO),
        Squeeze::Shorten(RESULT, 20),
        Squeeze::Hoist(DRIVER),
        Squeeze::Drop(DIGEST),
        Squeeze::Drop(SIZE),
        Squeeze::Drop(TIME),
        Squeeze::Drop(NEW),
        Squeeze::Shorten(DISTRO, 10),
        Squeeze::Shorten(RESULT, 9),
    ])
}

fn row(record: &TargetRecord) -> Vec<Cell> {
    let label = &record.target;
    let bytes = |bytes: u64, sign: &str| Cell::new(if bytes > 0 { format!("{sign}{}", size(bytes)) } else { String::new() });
    vec![
        Cell::new(format!("{} {}", label.driver, label.version)),
        Cell::new(format!("{} {}", label.distro, label.distro_release).trim_end()),
        Cell::new(&label.kernel),
        Cell::new(&label.arch),
        Cell::new(&record.why).toned(tone(record.outcome)),
        Cell::new(if is_idle(record) { String::new() } else { time(seconds(record.seconds)) }),
        bytes(record.image_bytes, ""),
        bytes(record.pushed_bytes, "+"),
        Cell::new(record.digest.as_deref().map(short_digest).unwrap_or_default()),
    ]
}

/// What an outcome looks like, everywhere.
pub(super) fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Built | Outcome::Published | Outcome::Fetched => Tone::Good,
        Outcome::Unsupported | Outcome::Cancelled => Tone::Caution,
        Outcome::Rejected | Outcome::Failed => Tone::Bad,
    }
}

fn is_idle(record: &TargetRecord) -> bool {
    matches!(record.outcome, Outcome::Published | Outcome::Unsupported)
}

/// `3 targets done (2 already published), 1 failed`.
fn counts(record: &Record, paint: Paint) -> String {
    let count = |outcome| record.targets.iter().filter(|target| target.outcome == outcome).count();
    let published = count(Outcome::Published);
    let done = count(Outcome::Built) + published;
    let mut told = format!("{} done", counted(done, "target"));
    if published > 0 {
        let _ = write!(told, " ({published} already published)");
    }
    for (outcome, what) in
        [(Outcome::Failed, "failed"), (Outcome::Rejected, "rejected by checks"), (Outcome::Unsupported, "not possible"), (Outcome::Cancelled, "cancelled")]
    {
        if count(outcome) > 0 {
            let _ = write!(told, ", {}", paint.tone(&format!("{} {what}", count(outcome)), tone(outcome)));
        }
    }
    told
}
