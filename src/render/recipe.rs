//! A driver's build steps as shell commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{RenderError, SOURCE_DIR};
use crate::mirror::Mirrors;
use crate::plan::Target;
use crate::profile::InnerPath;
use crate::profile::distro::Repository;
use crate::profile::driver::{Kbuild, Make, Run, Step};
use crate::template::quote_shell;

/// A line of `sources.list`.
pub fn sources_line(repository: &Repository, mirrors: &Mirrors) -> String {
    let option = if repository.check_valid_until { "" } else { "[check-valid-until=no] " };
    format!("deb {option}{} {} {}", mirrors.package(&repository.url), repository.suite, repository.components.join(" "))
}

/// The build's steps, each one a line of shell, run in the source's directory.
pub fn steps(target: &Target) -> Result<Vec<String>, RenderError> {
    let values = Values::of(target);
    let driver = target.driver.profile.id.as_str();
    let steps = &target.driver.build().steps;
    steps.iter().map(|step| values.step(step)).collect::<Result<_, _>>().map_err(|message| RenderError::Placeholder { driver: driver.to_owned(), message })
}

/// What placeholders stand for.
struct Values(Vec<(&'static str, String)>, String);

impl Values {
    fn of(target: &Target) -> Self {
        let kernel = target.kernel.release.as_str();
        let kernel_dir = target.distro.profile.kernels.directory.replace("{kernel}", kernel);
        let cross = target.toolchain.cross.clone();
        Self(
            vec![
                ("kernel", kernel.to_owned()),
                ("kernel_dir", kernel_dir.clone()),
                ("kernel_source", format!("/lib/modules/{kernel}/source")),
                ("source", SOURCE_DIR.to_owned()),
                ("cc", format!("{cross}{}", target.toolchain.compiler)),
                ("cross", cross.clone()),
                ("arch", target.arch.kbuild().to_owned()),
                ("machine", target.arch.machine().to_owned()),
                ("triplet", target.arch.gnu_triplet().to_owned()),
                ("version", target.driver.version().version.to_string()),
            ],
            kernel_dir,
        )
    }

    fn step(&self, step: &Step) -> Result<String, String> {
        match step {
            Step::Kbuild(kbuild) => self.kbuild(kbuild),
            Step::Make(make) => self.make(make),
            Step::Run(run) => self.run(run),
        }
    }

    fn kbuild(&self, Kbuild { directory, variables, symbols_from }: &Kbuild) -> Result<String, String> {
        let mut command = format!("make -j\"$(nproc)\" -C {} M={}", quote_shell(&self.1), quote_shell(&below_source(directory)));
        if !symbols_from.is_empty() {
            let files: Vec<_> = symbols_from.iter().map(|directory| format!("{}/Module.symvers", below_source(directory))).collect();
            let _ = write!(command, " KBUILD_EXTRA_SYMBOLS={}", quote_shell(&files.join(" ")));
        }
        self.variables(&mut command, variables)?;
        command.push_str(" modules");
        Ok(command)
    }

    fn make(&self, Make { directory, targets, variables }: &Make) -> Result<String, String> {
        let mut command = format!("make -j\"$(nproc)\" -C {}", quote_shell(&below_source(directory)));
        self.variables(&mut command, variables)?;
        for target in targets {
            let _ = write!(command, " {}", quote_shell(&self.expand(target)?));
        }
        Ok(command)
    }

    fn run(&self, Run { directory, command, environment }: &Run) -> Result<String, String> {
        let mut line = String::new();
        if *directory != InnerPath::root() {
            let _ = write!(line, "cd {}; ", quote_shell(directory.as_str()));
        }
        for (name, value) in environment {
            let _ = write!(line, "{name}={} ", quote_shell(&self.expand(value)?));
        }
        let words = command.iter().map(|word| Ok(quote_shell(&self.expand(word)?))).collect::<Result<Vec<_>, String>>()?;
        line.push_str(&words.join(" "));
        Ok(line)
    }

    /// `CROSS_COMPILE` for every make, unless the profile sets it: Debian's header trees take it from the command line only.
    fn variables(&self, command: &mut String, variables: &BTreeMap<String, String>) -> Result<(), String> {
        let cross = self.expand("{cross}")?;
        if !cross.is_empty() && !variables.contains_key("CROSS_COMPILE") {
            let _ = write!(command, " CROSS_COMPILE={}", quote_shell(&cross));
        }
        for (name, value) in variables {
            let _ = write!(command, " {name}={}", quote_shell(&self.expand(value)?));
        }
        Ok(())
    }

    fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            expanded.push_str(before);
            let (name, after) = after.split_once('}').ok_or_else(|| format!("`{text}` has a `{{` without `}}`"))?;
            let value = self.0.iter().find(|(known, _)| *known == name).ok_or_else(|| format!("`{text}` names `{{{name}}}`, which does not exist"))?;
            expanded.push_str(&value.1);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

fn below_source(directory: &InnerPath) -> String {
    if *directory == InnerPath::root() { SOURCE_DIR.to_owned() } else { format!("{SOURCE_DIR}/{directory}") }
}
