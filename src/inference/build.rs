//! How a source is built.

use super::{Given, InferenceError, Place};

/// Variables by which Makefiles take the kernel's build directory, each used by some driver.
const DIRECTORIES: [&str; 17] = [
    "KDIR",
    "KERNELDIR",
    "KERNEL_DIR",
    "KERNEL_SRC",
    "KERNEL_SRC_DIR",
    "KERNEL_SOURCES",
    "KERNEL_SOURCE",
    "KERNELPATH",
    "KERNEL_PATH",
    "KERNEL_TREE",
    "KERNEL_BUILD_DIR",
    "KERNEL_BUILD",
    "BUILDSYSTEM_DIR",
    "KSRC",
    "KLIB_BUILD",
    "KBUILD_DIR",
    "LINUX_DIR",
];

/// Variables by which they take its release. Never `KERNELRELEASE`: Makefiles with two halves take it as a sign that Kbuild reads them.
const RELEASES: [&str; 10] =
    ["KVER", "KVERS", "KVERSION", "KERNEL_VERSION", "KERNEL_UNAME", "KERNELVER", "KPVER", "BUILD_KERNEL", "VM_UNAME", "KERNEL_RELEASE"];

/// What configure scripts and Makefiles for user space find on a machine of a developer.
const TOOLS: [&str; 2] = ["gcc", "libc6-dev"];

/// How a source is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Build {
    pub(super) kind: Kind,
    /// Below the source; `.` for all of it.
    pub(super) directory: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By its `dkms.conf`.
    Dkms,
    /// By the kernel's own Makefile.
    Kbuild,
    /// By its `configure` and Makefile.
    Configure {
        /// Whether `configure` must be made first, and by what.
        made_by: Option<&'static str>,
        /// Whether Autoconf has made it: then it takes options that it does not know.
        autoconf: bool,
        make: Make,
    },
    /// By its own Makefile.
    Make(Make),
}

/// A call of `make`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Make {
    pub(super) targets: Vec<&'static str>,
    pub(super) variables: Vec<(&'static str, &'static str)>,
}

impl Build {
    /// For people.
    pub(super) fn says(&self) -> String {
        let place = if self.directory == "." { String::new() } else { format!(" in `{}`", self.directory) };
        match &self.kind {
            Kind::Dkms => format!("build: by the dkms.conf{place}, which is run in the builder"),
            Kind::Kbuild => format!("build: by the kernel's Makefile; a Kbuild file{place} has `obj-m`"),
            Kind::Configure { made_by: None, .. } => format!("build: by `configure` and `make`{place}"),
            Kind::Configure { made_by: Some(program), .. } => format!("build: by `{program}`, `configure` and `make`{place}"),
            Kind::Make(_) => format!("build: by its own Makefile{place}"),
        }
    }

    /// The steps of a profile, as YAML, and the packages that they need.
    pub(super) fn steps(&self) -> (Vec<String>, Vec<&'static str>) {
        let directory = if self.directory == "." { String::new() } else { format!("directory: {}", quoted(&self.directory)) };
        match &self.kind {
            Kind::Dkms => (vec![format!("dkms: {{{directory}}}")], Vec::new()),
            Kind::Kbuild => (vec![format!("kbuild: {{{directory}}}")], Vec::new()),
            Kind::Make(make) => (vec![make.step(&directory)], TOOLS.to_vec()),
            Kind::Configure { made_by, autoconf, make } => {
                let mut packages = TOOLS.to_vec();
                let mut steps = Vec::new();
                let run = |command: &str, more: &str| {
                    format!("run: {{{}command: [{command}]{more}}}", if directory.is_empty() { String::new() } else { format!("{directory}, ") })
                };
                if let Some(program) = made_by {
                    packages.extend(["autoconf", "automake", "libtool"]);
                    steps.push(run(if *program == "autoreconf" { "autoreconf, -fi" } else { "sh, autogen.sh" }, ""));
                }
                let options = if *autoconf { r#", "--with-linux={kernel_source}", "--with-linux-obj={kernel_dir}", "--with-kernel={kernel_dir}""# } else { "" };
                steps.push(run(
                    &format!("./configure{options}"),
                    r#", environment: {KDIR: "{kernel_dir}", KERNELDIR: "{kernel_dir}", KVER: "{kernel}", CC: "{cc}"}"#,
                ));
                steps.push(make.step(&directory));
                (steps, packages)
            }
        }
    }
}

impl Make {
    fn of(text: &str) -> Self {
        let mentions = |name: &&str| text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == *name);
        let pairs = DIRECTORIES.iter().map(|name| (*name, "{kernel_dir}")).chain(RELEASES.iter().map(|name| (*name, "{kernel}")));
        let named: Vec<_> = pairs.filter(|(name, _)| mentions(name)).collect();
        // One that names none includes a file that does, perhaps; the usual ones do no harm.
        let variables = if named.is_empty() { vec![("KDIR", "{kernel_dir}"), ("KERNELDIR", "{kernel_dir}"), ("KVER", "{kernel}")] } else { named };
        let has =
            |target: &str| text.lines().any(|line| line.strip_prefix(target).is_some_and(|rest| rest.trim_start().starts_with(':') && !rest.contains(":=")));
        // Never a bare `make` where the first target may install or load something.
        let targets = ["modules", "all", "default"].into_iter().filter(|target| has(target)).take(1).collect();
        Self { targets, variables }
    }

    fn step(&self, directory: &str) -> String {
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
        let mut keys = Vec::new();
        if !directory.is_empty() {
            keys.push(directory.to_owned());
        }
        if !self.targets.is_empty() {
            keys.push(format!("targets: [{}]", self.targets.join(", ")));
        }
        keys.push(format!("variables: {{{}}}", variables.join(", ")));
        format!("make: {{{}}}", keys.join(", "))
    }
}

/// A text as YAML, which JSON is.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Place {
    /// For people.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Directory(path) => path,
            Self::Archive { url, .. } => url,
            Self::Deb { name, .. } => name,
        }
    }
}

type IsKind = fn(&Kind) -> bool;

/// What builds a source, most telling first; of several directories the one that is nearest to the top.
pub(super) fn find(given: &Given<'_>) -> Result<Build, InferenceError> {
    let place = || given.place.name().to_owned();
    if let Some(directory) = given.directory {
        let directory = directory.trim_matches('/').trim_start_matches("./");
        let directory = if directory.is_empty() { "." } else { directory };
        return kind_of(given, directory)
            .map(|kind| Build { kind, directory: directory.to_owned() })
            .ok_or_else(|| InferenceError::Directory { place: place(), directory: directory.to_owned() });
    }
    let candidates: [(&'static str, IsKind); 4] = [
        ("`dkms.conf`", |kind| *kind == Kind::Dkms),
        ("`configure`", |kind| matches!(kind, Kind::Configure { .. })),
        ("`obj-m`", |kind| *kind == Kind::Kbuild),
        ("a `Makefile`", |kind| matches!(kind, Kind::Make(_))),
    ];
    let directories: std::collections::BTreeSet<&str> =
        given.outline.files.iter().map(|file| file.rsplit_once('/').map_or(".", |(directory, _)| directory)).collect();
    let builds: Vec<_> =
        directories.into_iter().filter_map(|directory| Some(Build { kind: kind_of(given, directory)?, directory: directory.to_owned() })).collect();
    for (what, is) in candidates {
        let depth = |build: &&Build| if build.directory == "." { 0 } else { 1 + build.directory.matches('/').count() };
        let fitting: Vec<_> = builds.iter().filter(|build| is(&build.kind)).collect();
        let Some(least) = fitting.iter().map(depth).min() else { continue };
        let nearest: Vec<_> = fitting.into_iter().filter(|build| depth(build) == least).collect();
        return match nearest[..] {
            [build] => Ok(build.clone()),
            _ => Err(InferenceError::Several { place: place(), what, directories: nearest.iter().map(|build| build.directory.clone()).collect() }),
        };
    }
    let holds: std::collections::BTreeSet<_> = given.outline.files.iter().map(|file| file.split('/').next().unwrap_or_default().to_owned()).collect();
    Err(InferenceError::Nothing { place: place(), holds: holds.into_iter().take(8).collect() })
}

/// What a directory has, if it has anything that builds modules.
fn kind_of(given: &Given<'_>, directory: &str) -> Option<Kind> {
    let path = |name: &str| if directory == "." { name.to_owned() } else { format!("{directory}/{name}") };
    let has = |name: &str| given.outline.files.contains(&path(name));
    let text = |name: &str| given.outline.texts.get(&path(name)).map(String::as_str);
    let makefile = ["GNUmakefile", "makefile", "Makefile"].into_iter().find_map(text);
    let kbuild = text("Kbuild").or(makefile);
    if has("dkms.conf") {
        return Some(Kind::Dkms);
    }
    let builds_modules = |text: &str| text.lines().any(|line| line.trim_start().starts_with("obj-m") || line.trim_start().starts_with("obj-$("));
    let made_by = if has("autogen.sh") {
        Some("autogen.sh")
    } else if has("configure.ac") || has("configure.in") {
        Some("autoreconf")
    } else {
        None
    };
    if has("configure") || made_by.is_some() {
        let autoconf = made_by.is_some() || text("configure").is_some_and(|text| text.contains("Autoconf"));
        return Some(Kind::Configure { made_by: made_by.filter(|_| !has("configure")), autoconf, make: Make::of(makefile.unwrap_or_default()) });
    }
    if kbuild.is_some_and(builds_modules) {
        return Some(Kind::Kbuild);
    }
    makefile.filter(|text| text.contains("modules") || text.contains("M=")).map(|text| Kind::Make(Make::of(text)))
}
