//! The full build log of a target, and what of it explains a failure.

use std::fs::File;
use std::io::{LineWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::builder::BuildEvent;

/// How many lines of a failed step are shown.
const SHOWN: usize = 10;

/// A build log on disk, to be followed while it grows. What cannot be written is left out: a full disk must not end a build that would fit.
pub(super) struct Log {
    path: PathBuf,
    file: Option<LineWriter<File>>,
    lines: usize,
}

impl Log {
    /// Opens (and empties) the log `name` in a folder.
    pub(super) fn open(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("{name}.log"));
        let file = std::fs::create_dir_all(folder).and_then(|()| File::create(&path)).ok().map(LineWriter::new);
        Self { path, file, lines: 0 }
    }

    /// Writes down what the builder says.
    pub(super) fn write(&mut self, event: &BuildEvent) {
        let line = match event {
            BuildEvent::StepStarted { name, .. } => format!("# {name}"),
            BuildEvent::StepDone { name, cached: true, .. } => format!("# {name}: cached"),
            BuildEvent::StepDone { name, time, .. } => format!("# {name}: {:.1} s", time.as_secs_f64()),
            BuildEvent::Log { line, .. } => line.clone(),
            BuildEvent::Warning(text) => format!("# warning: {text}"),
            BuildEvent::Transfer { .. } => return,
        };
        self.lines += 1;
        if let Some(file) = &mut self.file
            && writeln!(file, "{line}").is_err()
        {
            self.file = None;
        }
    }

    /// Where it is, if it could be written.
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| self.path.as_path())
    }

    /// Where the log of the boot goes: beside it.
    pub(super) fn of_boot(&self) -> PathBuf {
        self.path.with_extension("boot.log")
    }

    /// `path (1204 lines)`.
    pub(super) fn describe(&self) -> String {
        match self.path() {
            Some(path) => format!("{} ({} lines)", path.display(), self.lines),
            None => format!("{} could not be written", self.path.display()),
        }
    }
}

/// How long a step's name gets on the screen and in messages.
const NAME: usize = 160;

/// A step's name as people want to read it: without mounts and the line structure of the Dockerfile, and not all of a long script.
pub(super) fn short_name(name: &str) -> String {
    let words = name.split_whitespace().filter(|word| !word.starts_with("--mount="));
    let mut short = words.collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = short.char_indices().nth(NAME) {
        short.truncate(end);
        short.push('…');
    }
    short
}

/// The event with its step's name made short.
pub(super) fn shorten(event: BuildEvent) -> BuildEvent {
    match event {
        BuildEvent::StepStarted { step, name } => BuildEvent::StepStarted { step, name: short_name(&name) },
        BuildEvent::StepDone { step, name, cached, time } => BuildEvent::StepDone { step, name: short_name(&name), cached, time },
        other => other,
    }
}

/// The lines that say why a step failed: from the first complaint on, else the last ones.
pub(super) fn explain(lines: &[String]) -> Vec<String> {
    let complains = |line: &String| {
        let line = line.to_ascii_lowercase();
        (line.contains("error:") || line.contains("undefined!") || line.contains("no rule to make target") || line.contains("not found"))
            && !line.contains("make[")
            && !line.contains("0 error")
    };
    let from = lines.iter().position(complains).map_or(lines.len().saturating_sub(SHOWN), |first| first);
    lines[from..].iter().take(SHOWN).map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_steps_are_what_they_run() {
        let name = "[build 3/4] RUN --mount=type=bind,from=headers,target=/usr/src     make -C /usr/src/linux   modules";
        assert_eq!(short_name(name), "[build 3/4] RUN make -C /usr/src/linux modules");
        assert_eq!(short_name(&"é".repeat(500)).chars().count(), NAME + 1);
    }

    #[test]
    fn the_first_complaint_is_what_is_shown() {
        let mut lines: Vec<String> = (0..20).map(|number| format!("  CC [M]  file{number}.o")).collect();
        lines.push("nv-pci.c:272:9: error: too few arguments to function `pci_resize_resource`".into());
        lines.push("make[2]: *** [Makefile:1] Error 1".into());
        assert_eq!(explain(&lines), lines[20..]);
        assert_eq!(explain(&lines[..20]).len(), SHOWN);
        assert_eq!(explain(&[]).len(), 0);
    }
}
