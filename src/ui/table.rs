//! Tables with aligned columns that fit a width.

use std::fmt::Write as _;

use super::paint::{Paint, Tone};
use super::text::{printable, shorten, width};

/// Blanks between columns.
const GAP: usize = 2;

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) tone: Option<Tone>,
}

impl Cell {
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self { text: printable(text.as_ref()).replace('\n', " "), tone: None }
    }

    pub(super) fn toned(self, tone: Tone) -> Self {
        Self { tone: Some(tone), ..self }
    }
}

/// One way to make a table narrower.
#[derive(Clone, Copy, Debug)]
pub(super) enum Squeeze {
    /// If a column says the same everywhere, says it once, in a line above the table.
    Hoist(usize),
    /// Shortens a column's cells, to no less than so many columns of the screen.
    Shorten(usize, usize),
    /// Leaves a column out.
    Drop(usize),
}

/// A table, and how it may be made narrower: one step after the other until it fits. What no step touches is never cut.
pub(super) struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<Cell>>,
    steps: Vec<Squeeze>,
    /// Columns of numbers.
    right: Vec<usize>,
}

impl Table {
    pub(super) fn new(headers: &[&str], rows: Vec<Vec<Cell>>) -> Self {
        let mut rows = rows;
        for row in &mut rows {
            row.resize_with(headers.len(), Cell::default);
        }
        Self { headers: headers.iter().map(|&header| header.to_owned()).collect(), rows, steps: Vec::new(), right: Vec::new() }
    }

    /// A table of texts: the last column gives way first; what tells kernels apart never does.
    pub(super) fn plain(headers: &[&str], rows: &[Vec<String>]) -> Self {
        let cells = rows.iter().map(|row| row.iter().map(Cell::new).collect()).collect();
        let may_give_way = |column: &usize| !["KERNEL", "RELEASE"].contains(&headers[*column]);
        let steps = [24, 12].into_iter().flat_map(|least| (0..headers.len()).rev().filter(may_give_way).map(move |column| Squeeze::Shorten(column, least)));
        Self { steps: steps.collect(), ..Self::new(headers, cells) }
    }

    pub(super) fn squeeze(self, steps: &[Squeeze]) -> Self {
        Self { steps: steps.to_vec(), ..self }
    }

    pub(super) fn align_right(self, columns: &[usize]) -> Self {
        Self { right: columns.to_vec(), ..self }
    }

    /// The lines, each with its end.
    pub(super) fn lay_out(&self, columns: Option<usize>, paint: Paint) -> String {
        let (widths, hoisted) = self.widths(columns);
        let shown: Vec<(usize, usize)> = widths.iter().enumerate().filter_map(|(column, width)| Some((column, (*width)?))).collect();
        let line = |cells: &dyn Fn(usize) -> (String, Option<Tone>)| {
            let mut line = String::new();
            for (place, &(column, columns)) in shown.iter().enumerate() {
                let (text, tone) = cells(column);
                let text = shorten(&text, columns);
                let blanks = " ".repeat(columns - width(&text));
                let text = paint.maybe(&text, tone);
                let gap = if place == 0 { "" } else { "  " };
                let (before, after) = if self.right.contains(&column) { (blanks.as_str(), "") } else { ("", blanks.as_str()) };
                line.extend([gap, before, &text, after]);
            }
            line.truncate(line.trim_end().len());
            line + "\n"
        };
        let mut text = String::new();
        if !hoisted.is_empty() {
            let _ = writeln!(text, "{}", hoisted.join(" · "));
        }
        text += &line(&|column| (self.headers[column].clone(), Some(Tone::Quiet)));
        for row in &self.rows {
            text += &line(&|column| (row[column].text.clone(), row[column].tone));
        }
        text
    }

    /// The width of every column that stays, and what is said above the table.
    fn widths(&self, columns: Option<usize>) -> (Vec<Option<usize>>, Vec<&str>) {
        let widest = |column: usize| self.rows.iter().map(|row| width(&row[column].text)).chain([width(&self.headers[column])]).max();
        let mut widths: Vec<Option<usize>> = (0..self.headers.len()).map(widest).collect();
        let mut hoisted = Vec::new();
        for step in &self.steps {
            let excess = columns.map_or(0, |columns| total(&widths).saturating_sub(columns));
            if excess == 0 {
                break;
            }
            match *step {
                Squeeze::Hoist(column) => {
                    if let Some(value) = self.same_everywhere(column) {
                        widths[column] = None;
                        hoisted.push((column, value));
                    }
                }
                Squeeze::Shorten(column, least) => {
                    let least = least.max(width(&self.headers[column]));
                    widths[column] = widths[column].map(|width| width.saturating_sub(excess).max(least).min(width));
                }
                Squeeze::Drop(column) => widths[column] = None,
            }
        }
        self.give_back(&mut widths, columns, &widest);
        hoisted.sort_unstable();
        (widths, hoisted.into_iter().map(|(_, value)| value).filter(|value| !value.is_empty()).collect())
    }

    /// Later steps may have made more room than was missing: columns that were shortened before get it back.
    fn give_back(&self, widths: &mut [Option<usize>], columns: Option<usize>, widest: &dyn Fn(usize) -> Option<usize>) {
        for step in &self.steps {
            let room = columns.map_or(0, |columns| columns.saturating_sub(total(widths)));
            if let Squeeze::Shorten(column, _) = *step {
                widths[column] = widths[column].map(|width| (width + room).min(widest(column).unwrap_or(width)));
            }
        }
    }

    fn same_everywhere(&self, column: usize) -> Option<&str> {
        let first = self.rows.first()?[column].text.as_str();
        self.rows.iter().all(|row| row[column].text == first).then_some(first)
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown: Vec<usize> = widths.iter().flatten().copied().collect();
    shown.iter().sum::<usize>() + GAP * shown.len().saturating_sub(1)
}
