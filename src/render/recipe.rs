//! A driver's build steps as shell commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{RenderError, SOURCE_DIR};
use crate::plan::Target;
use crate::profile::InnerPath;
use crate::profile::driver::{Kbuild, Make, Run, Step};
use crate::profile::placeholder::{Placeholders, expand};
use crate::template::quote_shell;

/// What differs between drivers: how the source is compiled.
pub(super) struct Recipe {
    /// The kernel's headers.
    pub(super) kernel_dir: String,
    /// ` NAME=value` for the reference module's `make`.
    pub(super) make_variables: String,
    /// The build's steps, each one a line of shell, run in the source's directory.
    pub(super) steps: Vec<String>,
}

impl Recipe {
    pub(super) fn of(target: &Target) -> Result<Self, RenderError> {
        let values = Values::of(target);
        let unknown = |message| RenderError::Placeholder { driver: target.driver.profile.id.to_string(), message };
        let mut make_variables = String::new();
        values.variables(&mut make_variables, &BTreeMap::new()).map_err(unknown)?;
        let steps = target.driver.build().steps.iter().map(|step| values.step(step)).collect::<Result<_, _>>().map_err(unknown)?;
        Ok(Self { kernel_dir: values.kernel_dir, make_variables, steps })
    }
}

/// What placeholders stand for, and variables that every `make` gets.
struct Values<'a> {
    placeholders: Placeholders,
    kernel_dir: String,
    cross: &'a str,
    variables: &'a BTreeMap<String, String>,
}

impl<'a> Values<'a> {
    fn of(target: &'a Target) -> Self {
        let kernel = target.kernel.release.as_str();
        let rules = &target.distro.profile.kernels;
        let kernel_dir = rules.directory.replace("{kernel}", kernel);
        let source_dir = rules.source_directory.as_ref().map_or_else(|| kernel_dir.clone(), |directory| directory.replace("{kernel}", kernel));
        let cross = target.toolchain.cross.as_str();
        let placeholders = Placeholders::default()
            .with("kernel", kernel)
            .with("kernel_dir", &kernel_dir)
            .with("kernel_source", source_dir)
            .with("source", SOURCE_DIR)
            .with("cc", format!("{cross}{}", target.toolchain.compiler))
            .with("cross", cross)
            .with("arch", target.arch.kbuild())
            .with("machine", target.arch.machine())
            .with("triplet", target.arch.gnu_triplet())
            .with("version", target.driver.version().version.as_str());
        Self { placeholders, kernel_dir, cross, variables: &target.distro.profile.toolchain.variables }
    }

    fn step(&self, step: &Step) -> Result<String, String> {
        match step {
            Step::Kbuild(kbuild) => self.kbuild(kbuild),
            Step::Make(make) => self.make(make),
            Step::Run(run) => self.run(run),
        }
    }

    fn kbuild(&self, Kbuild { directory, variables, symbols_from }: &Kbuild) -> Result<String, String> {
        let mut command = format!("make -j\"$(nproc)\" -C {} M={}", quote_shell(&self.kernel_dir), quote_shell(&below_source(directory)));
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
    fn variables(&self, command: &mut String, own: &BTreeMap<String, String>) -> Result<(), String> {
        if !self.cross.is_empty() && !own.contains_key("CROSS_COMPILE") {
            let _ = write!(command, " CROSS_COMPILE={}", quote_shell(self.cross));
        }
        for (name, value) in self.variables.iter().filter(|(name, _)| !own.contains_key(*name)).chain(own) {
            let _ = write!(command, " {name}={}", quote_shell(&self.expand(value)?));
        }
        Ok(())
    }

    fn expand(&self, text: &str) -> Result<String, String> {
        expand(text, &self.placeholders).map_err(|error| format!("`{text}`: {error}"))
    }
}

fn below_source(directory: &InnerPath) -> String {
    if *directory == InnerPath::root() { SOURCE_DIR.to_owned() } else { format!("{SOURCE_DIR}/{directory}") }
}
