//! What a distro profile says about packages, compiled.

use regex::Regex;

use super::IndexError;
use super::packages::Stanza;
use crate::arch::Arch;
use crate::kernel::KernelRelease;
use crate::profile::distro::{DistroProfile, Family, Release};

/// Which packages of an index matter, and why.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) family: Family,
    recognise: Vec<Regex>,
    /// What comes before and after the release in the name of a headers package.
    headers: Option<(String, String)>,
    /// Names of headers packages, and the release as a template over their versions.
    headers_versions: Vec<(Regex, String)>,
    dependencies: Option<Regex>,
    compilers: Option<Regex>,
    /// Compilers of kernels whose headers name none.
    kernel_compilers: Vec<(Regex, String)>,
    /// Names of compiler packages, with a group for the program.
    compiler_packages: Vec<Regex>,
    default_compiler: Option<String>,
    /// Packages of the kernel's image, as groups of what comes before and after the release in their names.
    pub(super) images: Vec<Vec<(String, String)>>,
    image_dependencies: Option<Regex>,
    /// Groups of alternative names.
    pub(super) runtime: Vec<Vec<String>>,
    /// Changes whenever an index may be read differently.
    pub(super) digest: String,
}

impl Rules {
    /// Compiles a profile's patterns. Those of the catalogue have been checked, so an error here is one of a profile
    /// that was put together in another way.
    pub(super) fn of(distro: &DistroProfile, release: &Release) -> Result<Self, IndexError> {
        let compile = |field: &'static str, pattern: &str| {
            Regex::new(pattern).map_err(|error| IndexError::Pattern { field, pattern: pattern.to_owned(), reason: last_line(&error.to_string()) })
        };
        // The pattern by itself first, so that a message quotes what the profile says.
        let anchored = |field, pattern: &str| compile(field, pattern).and_then(|_| compile(field, &format!("^(?:{pattern})$")));
        let kernels = &distro.kernels;
        let compiler = &distro.toolchain.compiler;
        let recognise = kernels.recognise.iter().map(|pattern| anchored("kernels.recognise", pattern)).collect::<Result<_, _>>()?;
        let templates = [Some(&compiler.native_package), compiler.cross_package.as_ref()];
        let names = Arch::ALL.iter().flat_map(|arch| templates.into_iter().flatten().map(|template| package_pattern(template, *arch)));
        let optional = |field, pattern: &Option<String>| pattern.as_deref().map(|pattern| anchored(field, pattern)).transpose();
        let versions = kernels.headers_versions.iter().map(|(name, release)| Ok((anchored("kernels.headers_versions", name)?, release.clone())));
        let kernel_compilers = release.compilers.iter().map(|rule| Ok((anchored("compilers.kernels", &rule.kernels)?, rule.program.clone())));
        let boot = distro.boot.as_ref();
        let images = boot.map(|boot| boot.packages.iter().map(|group| group.split('|').map(around_kernel).collect()).collect());
        let image_dependencies = boot.and_then(|boot| boot.dependencies.as_ref()).map(|pattern| anchored("boot.dependencies", pattern)).transpose()?;
        let essence = (kernels, compiler, &distro.runtime.packages, &release.default_compiler, &release.compilers, boot, env!("CARGO_PKG_VERSION"));
        Ok(Self {
            family: distro.family,
            recognise,
            headers: kernels.headers_package.as_deref().map(around_kernel),
            headers_versions: versions.collect::<Result<_, _>>()?,
            dependencies: optional("kernels.headers_dependencies", &kernels.headers_dependencies)?,
            compilers: optional("toolchain.compiler.from_dependencies", &compiler.from_dependencies)?,
            kernel_compilers: kernel_compilers.collect::<Result<_, _>>()?,
            compiler_packages: names.map(|pattern| compile("toolchain.compiler", &pattern)).collect::<Result<_, _>>()?,
            default_compiler: release.default_compiler.clone(),
            images: images.unwrap_or_default(),
            image_dependencies,
            runtime: distro.runtime.packages.iter().map(|group| group.split('|').map(|name| name.trim().to_owned()).collect()).collect(),
            digest: crate::fetch::sha256(&serde_json::to_vec(&essence).unwrap_or_default()),
        })
    }

    /// The release and flavour of a headers package's kernel.
    pub(super) fn kernel(&self, package: &Stanza) -> Option<(KernelRelease, String)> {
        let release = self.release_in_name(&package.name).map(ToOwned::to_owned).or_else(|| self.release_in_version(package))?;
        let captures = self.recognise.iter().find_map(|pattern| pattern.captures(&release))?;
        let flavour = captures.name("flavour").map(|flavour| flavour.as_str().trim_start_matches('+').to_owned()).unwrap_or_default();
        Some((release.parse().ok()?, flavour))
    }

    /// What stands for the release in a package's name: `6.1.0-56-amd64` in `linux-headers-6.1.0-56-amd64`.
    fn release_in_name<'p>(&self, package: &'p str) -> Option<&'p str> {
        let (before, after) = self.headers.as_ref()?;
        package.strip_prefix(before.as_str())?.strip_suffix(after.as_str())
    }

    /// The release that a package's version tells.
    fn release_in_version(&self, package: &Stanza) -> Option<String> {
        let (_, template) = self.headers_versions.iter().find(|(name, _)| name.is_match(&package.name))?;
        let version = package.version.split_once(':').map_or(package.version.as_str(), |(_, version)| version);
        let (version, revision) = version.rsplit_once('-').unwrap_or((version, ""));
        // SUSE's end in the number of a rebuild, which kernels do not know of.
        let source = revision.rsplit_once('.').map_or(revision, |(source, _)| source);
        let (upstream, patchset) = split_patchset(version);
        let filled = template.replace("{version}", version).replace("{revision}", revision).replace("{source_revision}", source);
        Some(filled.replace("{upstream}", &upstream).replace("{patchset}", patchset).replace("{arch}", &package.arch))
    }

    fn is_headers(&self, package: &str) -> bool {
        let named = self.release_in_name(package).is_some_and(|release| self.recognise.iter().any(|pattern| pattern.is_match(release)));
        named || self.headers_versions.iter().any(|(name, _)| name.is_match(package))
    }

    /// The compiler of a kernel whose headers name none, where the profile tells.
    pub(super) fn compiler_of(&self, release: &KernelRelease) -> Option<&str> {
        self.kernel_compilers.iter().find(|(kernels, _)| kernels.is_match(release.as_str())).map(|(_, program)| program.as_str())
    }

    /// Whether a dependency belongs to the kernel's headers.
    pub(super) fn is_headers_dependency(&self, package: &str) -> bool {
        self.dependencies.as_ref().is_some_and(|pattern| pattern.is_match(package))
    }

    /// The compiler's program, when a dependency names it: `gcc-12` for `linux-compiler-gcc-12-x86`.
    pub(super) fn compiler_program<'p>(&self, package: &'p str) -> Option<&'p str> {
        Some(self.compilers.as_ref()?.captures(package)?.name("program")?.as_str())
    }

    /// Whether a package is a compiler that the profile may ask for.
    pub(super) fn is_compiler(&self, package: &str) -> bool {
        let programs = self.compiler_packages.iter().filter_map(|pattern| pattern.captures(package)?.name("program"));
        programs.map(|program| program.as_str()).any(|program| {
            self.default_compiler.as_deref() == Some(program)
                || self.compiler_program(program) == Some(program)
                || self.kernel_compilers.iter().any(|(_, named)| named == program)
        })
    }

    /// Whether a dependency of a kernel's image belongs to the kernel.
    pub(super) fn is_image_dependency(&self, package: &str) -> bool {
        self.image_dependencies.as_ref().is_some_and(|pattern| pattern.is_match(package))
    }

    fn is_image(&self, package: &str) -> bool {
        let release = |(before, after): &(String, String)| package.strip_prefix(before.as_str())?.strip_suffix(after.as_str());
        let recognised = |release: &str| self.recognise.iter().any(|pattern| pattern.is_match(release));
        self.images.iter().flatten().filter_map(release).any(recognised)
    }

    /// Whether a package matters at all.
    pub(super) fn wants(&self, package: &str) -> bool {
        self.runtime.iter().flatten().any(|name| name == package)
            || self.is_headers_dependency(package)
            || self.is_headers(package)
            || self.is_compiler(package)
            || self.is_image(package)
            || self.is_image_dependency(package)
    }
}

/// `6.16.8` and `arch3` of Arch's `6.16.8.arch3`; `6.8.0` and `arch1` of `6.8.arch1`, since kernels have three numbers.
fn split_patchset(version: &str) -> (String, &str) {
    let at = version.match_indices('.').map(|(at, _)| at).find(|at| version[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic()));
    let (upstream, patchset) = at.map_or((version, ""), |at| (&version[..at], &version[at + 1..]));
    let missing = 2_usize.saturating_sub(upstream.matches('.').count());
    (format!("{upstream}{}", ".0".repeat(missing)), patchset)
}

/// What comes before and after the release in a package's name.
fn around_kernel(template: &str) -> (String, String) {
    let (before, after) = template.split_once("{kernel}").unwrap_or((template, ""));
    (before.to_owned(), after.to_owned())
}

/// `{program}-{triplet}` as a pattern for one architecture.
fn package_pattern(template: &str, arch: Arch) -> String {
    let escaped = regex::escape(template).replace(r"\{triplet\}", &regex::escape(arch.gnu_triplet()));
    format!("^{}$", escaped.replacen(r"\{program\}", "(?P<program>.+)", 1))
}

/// A regex error has several lines; the last says what is wrong.
fn last_line(error: &str) -> String {
    error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
