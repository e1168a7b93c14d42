//! What a distro profile says about packages, compiled.

use regex::Regex;

use super::IndexError;
use crate::arch::Arch;
use crate::kernel::KernelRelease;
use crate::profile::distro::{DistroProfile, Release};

/// Which packages of an index matter, and why.
#[derive(Debug)]
pub(super) struct Rules {
    recognise: Vec<Regex>,
    /// What comes before and after the release in the name of a headers package.
    headers: (String, String),
    dependencies: Regex,
    compilers: Regex,
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
        let templates = [&compiler.native_package, &compiler.cross_package];
        let names = Arch::ALL.iter().flat_map(|arch| templates.map(|template| package_pattern(template, *arch)));
        let boot = distro.boot.as_ref();
        let images = boot.map(|boot| boot.packages.iter().map(|group| group.split('|').map(around_kernel).collect()).collect());
        let image_dependencies = boot.and_then(|boot| boot.dependencies.as_ref()).map(|pattern| anchored("boot.dependencies", pattern)).transpose()?;
        let essence = (kernels, compiler, &distro.runtime.packages, &release.default_compiler, boot, env!("CARGO_PKG_VERSION"));
        Ok(Self {
            recognise,
            headers: around_kernel(&kernels.headers_package),
            dependencies: anchored("kernels.headers_dependencies", &kernels.headers_dependencies)?,
            compilers: anchored("toolchain.compiler.from_dependencies", &compiler.from_dependencies)?,
            compiler_packages: names.map(|pattern| compile("toolchain.compiler", &pattern)).collect::<Result<_, _>>()?,
            default_compiler: release.default_compiler.clone(),
            images: images.unwrap_or_default(),
            image_dependencies,
            runtime: distro.runtime.packages.iter().map(|group| group.split('|').map(|name| name.trim().to_owned()).collect()).collect(),
            digest: crate::fetch::sha256(&serde_json::to_vec(&essence).unwrap_or_default()),
        })
    }

    /// The release and flavour of a headers package's kernel.
    pub(super) fn kernel(&self, package: &str) -> Option<(KernelRelease, String)> {
        let release = package.strip_prefix(self.headers.0.as_str())?.strip_suffix(self.headers.1.as_str())?;
        let captures = self.recognise.iter().find_map(|pattern| pattern.captures(release))?;
        let flavour = captures.name("flavour").map(|flavour| flavour.as_str().to_owned()).unwrap_or_default();
        Some((release.parse().ok()?, flavour))
    }

    /// Whether a dependency belongs to the kernel's headers.
    pub(super) fn is_headers_dependency(&self, package: &str) -> bool {
        self.dependencies.is_match(package)
    }

    /// The compiler's program, when a dependency names it: `gcc-12` for `linux-compiler-gcc-12-x86`.
    pub(super) fn compiler_program<'p>(&self, package: &'p str) -> Option<&'p str> {
        Some(self.compilers.captures(package)?.name("program")?.as_str())
    }

    /// Whether a package is a compiler that the profile may ask for.
    pub(super) fn is_compiler(&self, package: &str) -> bool {
        let programs = self.compiler_packages.iter().filter_map(|pattern| pattern.captures(package)?.name("program"));
        programs.map(|program| program.as_str()).any(|program| {
            let named = self.compilers.captures(program).and_then(|captures| captures.name("program"));
            self.default_compiler.as_deref() == Some(program) || named.is_some_and(|named| named.as_str() == program)
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
            || self.kernel(package).is_some()
            || self.is_compiler(package)
            || self.is_image(package)
            || self.is_image_dependency(package)
    }
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
