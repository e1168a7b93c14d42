//! A driver's build steps as shell commands.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{RenderError, SOURCE_DIR};
use crate::plan::{PlannedDistro, PlannedDriver, Target};
use crate::profile::InnerPath;
use crate::profile::driver::{Dkms, Kbuild, Make, Run, Step};
use crate::profile::placeholder::{Placeholders, expand};
use crate::template::quote_shell;

/// How long a `dkms.conf` may take. Those that there are take less than one second.
const DKMS_CONF_SECONDS: u32 = 30;

/// What differs between drivers: how the source is compiled.
pub(super) struct Recipe {
    /// The kernel's headers.
    pub(super) kernel_dir: String,
    /// What is packaged of the kernel's sources.
    pub(super) kernel_source: String,
    /// ` NAME=value` for the reference module's `make`.
    pub(super) make_variables: String,
    /// The build's steps, each one a line of shell, run in the source's directory.
    pub(super) steps: Vec<String>,
    /// What a build by `dkms.conf` is told, as `name=value`; nothing for other builds.
    pub(super) dkms_settings: Vec<String>,
}

impl Recipe {
    pub(super) fn of(target: &Target) -> Result<Self, RenderError> {
        let values = Values::of(target);
        let unknown = |message| RenderError::Placeholder { driver: target.driver.profile.id.to_string(), message };
        let mut make_variables = String::new();
        values.variables(&mut make_variables, &BTreeMap::new()).map_err(unknown)?;
        let steps = target.driver.build().steps.iter().filter_map(|step| values.step(step)).collect::<Result<_, _>>().map_err(unknown)?;
        let dkms_settings = match target.driver.dkms() {
            Some(dkms) => values.dkms_settings(target, dkms).map_err(unknown)?,
            None => Vec::new(),
        };
        Ok(Self { kernel_dir: values.kernel_dir, kernel_source: values.kernel_source, make_variables, steps, dkms_settings })
    }
}

/// What stands in a recipe for something that the shell knows only when it runs, and the shell's words for it.
///
/// A mark goes through the quoting filter like every other character, and is then replaced by the end of the quotes, the words, and new quotes.
const MARKS: [(char, &str); 5] = [
    ('\u{e000}', "\"$KERNEL_FULL_VERSION\""),
    ('\u{e001}', "\"$(cat /kmodforge/cc)\""),
    ('\u{e002}', "\"$(cat /kmodforge/arch)\""),
    ('\u{e003}', "\"$(uname -m)\""),
    ('\u{e004}', "\"$(uname -m)-linux-gnu\""),
];

/// A quoted text with the shell's words in the places of the marks. A quote beside a mark is always the one that opens or closes.
pub(super) fn unmark(quoted: &str) -> String {
    let mut text = quoted.to_owned();
    for (mark, words) in MARKS {
        text = text.replace(&format!("'{mark}'"), words).replace(&format!("'{mark}"), &format!("{words}'"));
        text = text.replace(&format!("{mark}'"), &format!("'{words}")).replace(mark, &format!("'{words}'"));
    }
    text
}

impl Recipe {
    /// The recipe for a kernel, a compiler and an architecture that the builder is told.
    pub(super) fn for_any_kernel(driver: &PlannedDriver, distro: &PlannedDistro) -> Result<Self, RenderError> {
        let [kernel, cc, arch, machine, triplet] = MARKS.map(|(mark, _)| mark.to_string());
        let values = Values::new(driver, distro, &kernel, "", [cc, arch, machine, triplet]);
        let unknown = |message| RenderError::Placeholder { driver: driver.profile.id.to_string(), message };
        let steps =
            driver.build().steps.iter().filter_map(|step| Some(values.step(step)?.map(|step| unmark(&step)))).collect::<Result<_, _>>().map_err(unknown)?;
        let [kernel_dir, kernel_source] = [values.kernel_dir, values.kernel_source].map(|directory| unmark(&quote_shell(&directory)));
        Ok(Self { kernel_dir, kernel_source, make_variables: String::new(), steps, dkms_settings: Vec::new() })
    }
}

/// What placeholders stand for, and variables that every `make` gets.
struct Values<'a> {
    placeholders: Placeholders,
    kernel_dir: String,
    kernel_source: String,
    cross: &'a str,
    variables: &'a BTreeMap<String, String>,
}

impl<'a> Values<'a> {
    fn of(target: &'a Target) -> Self {
        let cross = target.toolchain.cross.as_str();
        let [arch, machine, triplet] = [target.arch.kbuild(), target.arch.machine(), target.arch.gnu_triplet()].map(ToOwned::to_owned);
        let cc = format!("{cross}{}", target.toolchain.compiler);
        Self::new(&target.driver, &target.distro, target.kernel.release.as_str(), cross, [cc, arch, machine, triplet])
    }

    fn new(driver: &PlannedDriver, distro: &'a PlannedDistro, kernel: &str, cross: &'a str, [cc, arch, machine, triplet]: [String; 4]) -> Self {
        let rules = &distro.profile.kernels;
        let (base, flavour) = kernel.rsplit_once('-').unwrap_or((kernel, ""));
        let directory = |template: &str| {
            let filled = template.replace("{kernel}", kernel).replace("{kernel_base}", base);
            filled.replace("{kernel_flavour}", flavour).replace("{machine}", &machine)
        };
        let kernel_dir = directory(&rules.directory);
        let kernel_source = rules.source_directory.as_deref().map_or_else(|| kernel_dir.clone(), directory);
        let placeholders = Placeholders::default()
            .with("kernel", kernel)
            .with("kernel_dir", &kernel_dir)
            .with("kernel_source", &kernel_source)
            .with("source", SOURCE_DIR)
            .with("cc", cc)
            .with("cross", cross)
            .with("arch", arch)
            .with("machine", &machine)
            .with("triplet", triplet)
            .with("version", driver.version().version.as_str());
        Self { placeholders, kernel_dir, kernel_source, cross, variables: &distro.profile.toolchain.variables }
    }

    /// A step's command; none for `dkms.conf`, whose steps only the builder learns.
    fn step(&self, step: &Step) -> Option<Result<String, String>> {
        match step {
            Step::Kbuild(kbuild) => Some(self.kbuild(kbuild)),
            Step::Make(make) => Some(self.make(make)),
            Step::Run(run) => Some(self.run(run)),
            Step::Dkms(_) => None,
        }
    }

    /// Settings of `templates/dkms/dkms.sh`.
    fn dkms_settings(&self, target: &Target, Dkms { directory }: &Dkms) -> Result<Vec<String>, String> {
        let mut variables = Vec::new();
        if !self.cross.is_empty() && !self.variables.contains_key("CROSS_COMPILE") {
            variables.push(format!("CROSS_COMPILE={}", self.cross));
        }
        for (name, value) in self.variables {
            // The form of `MAKEFLAGS`: a backslash before what would end a word.
            variables.push(format!("{name}={}", self.expand(value)?.replace('\\', "\\\\").replace(' ', "\\ ")));
        }
        let distro = &target.distro.profile.dkms;
        let settings = [
            ("kernel", target.kernel.release.to_string()),
            ("kernel_dir", self.kernel_dir.clone()),
            ("machine", target.arch.machine().to_owned()),
            ("compiler", target.toolchain.compiler.clone()),
            ("cross", self.cross.to_owned()),
            ("source", below_source(directory)),
            ("name", target.driver.profile.id.to_string()),
            ("version", target.driver.version().version.to_string()),
            ("destination", distro.destination.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("variables", variables.join(" ")),
            ("limit", DKMS_CONF_SECONDS.to_string()),
        ];
        Ok(settings.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
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

pub(super) fn below_source(directory: &InnerPath) -> String {
    if *directory == InnerPath::root() { SOURCE_DIR.to_owned() } else { format!("{SOURCE_DIR}/{directory}") }
}
