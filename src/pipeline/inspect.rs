//! Static checks of what a builder has sent.

use std::collections::BTreeSet;

use super::TargetError;
use crate::check::{self, Expectations, ExpectedModule, KernelFacts, Subject};
use crate::fetch::source::PreparedFirmware;
use crate::finding::{Finding, Severity};
use crate::image::artifacts::Artifacts;
use crate::image::scan::Kind;
use crate::kmod::config::KernelConfig;
use crate::kmod::symvers::Symvers;
use crate::kmod::{Module, is_module_file, kernel_name};
use crate::pattern::matches;
use crate::plan::Target;

/// What the checks say.
pub struct Inspection {
    /// How many were made.
    pub checks: usize,
    /// What they found, worst first.
    pub findings: Vec<Finding>,
    /// First line of the compiler's `--version`.
    pub compiler: String,
    /// Whether a module taints the kernel as proprietary.
    pub proprietary: bool,
}

/// Checks the modules of a target against its kernel and its profile.
///
/// # Errors
/// When the result cannot be read. Findings, however bad, are no error.
pub fn inspect(target: &Target, artifacts: &Artifacts, firmware: Option<&PreparedFirmware>) -> Result<Inspection, TargetError> {
    let kernel = kernel_facts(target, artifacts)?;
    let modules = read_modules(artifacts, "modules/")?;
    let firmware: BTreeSet<String> = firmware.map(|firmware| firmware.files.iter().cloned().collect()).unwrap_or_default();
    let expectations = expectations(target);
    let depmod = text(artifacts, &format!("modules/opt/lib/modules/{}/modules.dep", target.kernel.release.directory())).ok();
    let subject = Subject {
        kernel: &kernel,
        modules: &modules,
        firmware: &firmware,
        expectations: Some(&expectations),
        modules_dep: depmod.as_deref(),
        signatures: None,
    };
    let mut findings = check::run_all(&subject);
    findings.extend(left_behind(target, &text(artifacts, "evidence/built-modules")?));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let compiler = text(artifacts, "evidence/compiler").unwrap_or_default().trim().to_owned();
    let proprietary = modules.iter().any(|(_, module)| !module.info.is_gpl_compatible());
    Ok(Inspection { checks: check::CHECKS.len(), findings, compiler, proprietary })
}

impl Inspection {
    /// The findings that forbid publishing.
    pub fn errors(&self) -> Vec<Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).cloned().collect()
    }
}

/// What the headers in a result tell about the target's kernel.
///
/// # Errors
/// When a file is missing or cannot be parsed.
pub fn kernel_facts(target: &Target, artifacts: &Artifacts) -> Result<KernelFacts, TargetError> {
    let symvers = text(artifacts, "evidence/Module.symvers")?;
    let reference = artifacts.read("evidence/reference.ko")?;
    let headers = target.headers().into_iter().next();
    Ok(KernelFacts {
        release: target.kernel.release.clone(),
        arch: target.arch,
        headers: headers.unwrap_or_default(),
        config: KernelConfig::parse(&text(artifacts, "evidence/config")?),
        symvers: Symvers::parse(&symvers).map_err(|error| TargetError::Evidence { file: "Module.symvers", message: error.to_string() })?,
        reference: Some(Module::parse("reference.ko", &reference)?),
    })
}

/// Every module below a prefix, by its path in the image.
fn read_modules(artifacts: &Artifacts, prefix: &str) -> Result<Vec<(String, Module)>, TargetError> {
    artifacts
        .paths(prefix.trim_end_matches('/'))
        .filter(|(path, kind)| matches!(kind, Kind::File { .. }) && is_module_file(path))
        .map(|(path, _)| {
            let inner = &path[prefix.len() - 1..];
            Ok((inner.to_owned(), Module::parse(inner.rsplit('/').next().unwrap_or(inner), &artifacts.read(path)?)?))
        })
        .collect()
}

fn text(artifacts: &Artifacts, path: &str) -> Result<String, TargetError> {
    Ok(String::from_utf8_lossy(&artifacts.read(path)?).into_owned())
}

/// What the driver's profile says about the image.
pub fn expectations(target: &Target) -> Expectations {
    let directory = format!("/opt/lib/modules/{}", target.kernel.release.directory());
    let modules = target.driver.modules().iter().map(|module| {
        let built = module.file.as_ref().and_then(|file| file.as_str().rsplit('/').next().map(ToOwned::to_owned));
        ExpectedModule {
            name: module.name.clone(),
            path: format!("{directory}/{}/{}", module.install, built.unwrap_or_else(|| format!("{}.ko", module.name))),
            optional: module.optional,
        }
    });
    Expectations { modules: modules.collect(), optional_firmware: target.driver.optional_firmware().map(<[_]>::to_vec), config: target.driver.config_rules() }
}

/// Modules that the build made and the profile does not name: shipped nowhere, and perhaps forgotten.
fn left_behind(target: &Target, built: &str) -> Option<Finding> {
    let known = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or(path);
        let name = kernel_name(file.trim_end_matches(".ko"));
        let driver = &target.driver;
        driver.modules().iter().any(|module| kernel_name(&module.name) == name)
            || driver.profile.ignored_modules.iter().any(|pattern| matches(pattern, file) || matches(pattern, path))
    };
    let unknown: Vec<_> = built.lines().filter(|path| !known(path)).collect();
    let first = unknown.first()?;
    let more = if unknown.len() > 1 { format!(" and {} more", unknown.len() - 1) } else { String::new() };
    let finding = Finding::new("modules-unexpected", Severity::Warning, format!("the build also made `{first}`{more}, which the profile does not name"));
    Some(finding.help("add it to `modules`, or to `ignored_modules` if it is not to be shipped"))
}
