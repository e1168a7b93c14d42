//! The table of a plan.

use std::fmt;

use super::paint::Tone;
use super::table::{Cell, Squeeze, Table};

/// One target of a plan, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanRow {
    /// `v4l2loopback 0.15.3`.
    pub driver: String,
    /// `debian bookworm`.
    pub distro: String,
    /// `6.1.0-56-amd64`.
    pub kernel: String,
    /// `amd64`.
    pub arch: String,
    /// `build`, `published`; anything else means that it is not possible: `not for`.
    pub state: String,
    /// `not published`, a digest, `kernel has no CONFIG_VIDEO_DEV`.
    pub why: String,
}

/// How many targets a plan has of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanCounts {
    /// To be built.
    pub build: usize,
    /// Published before with the same inputs.
    pub published: usize,
    /// Not possible on their kernel.
    pub impossible: usize,
}

impl fmt::Display for PlanCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [(self.build, "to build"), (self.published, "published"), (self.impossible, "not possible")];
        let told: Vec<String> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if told.is_empty() { f.write_str("no targets") } else { f.write_str(&told.join(" · ")) }
    }
}

const HEADERS: [&str; 6] = ["DRIVER", "DISTRO", "KERNEL", "ARCH", "STATE", "WHY"];
const DRIVER: usize = 0;
const DISTRO: usize = 1;
const ARCH: usize = 3;
const WHY: usize = 5;

pub(super) fn table(rows: &[PlanRow]) -> Table {
    let mut previous = None;
    let cells = rows.iter().map(|row| {
        let before = previous.replace(row);
        let repeats = |same: fn(&PlanRow) -> &String| before.is_some_and(|before| same(before) == same(row));
        let dim = |cell: Cell, repeats: bool| if repeats { cell.toned(Tone::Quiet) } else { cell };
        let state = match row.state.as_str() {
            "build" => Cell::new(&row.state),
            "published" => Cell::new(&row.state).toned(Tone::Good),
            _ => Cell::new(&row.state).toned(Tone::Caution),
        };
        vec![
            dim(Cell::new(&row.driver), repeats(|row| &row.driver)),
            dim(Cell::new(&row.distro), repeats(|row| &row.distro)),
            Cell::new(&row.kernel),
            dim(Cell::new(&row.arch), repeats(|row| &row.arch)),
            state,
            Cell::new(&row.why),
        ]
    });
    Table::new(&HEADERS, cells.collect()).squeeze(&[
        Squeeze::Shorten(WHY, 30),
        Squeeze::Hoist(ARCH),
        Squeeze::Hoist(DISTRO),
        Squeeze::Hoist(DRIVER),
        Squeeze::Shorten(WHY, 14),
        Squeeze::Shorten(DISTRO, 10),
        Squeeze::Drop(ARCH),
    ])
}
