//! The kernel is booted with what is going to be published.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::TargetError;
use crate::boot::{BootError, Plan, Report, Subject, Unassembled};
use crate::fetch::source::PreparedFirmware;
use crate::image::artifacts::Artifacts;
use crate::plan::Target;
use crate::record::BootRecord;

/// A target's modules, to be loaded into its kernel.
pub(super) fn subject(
    target: &Target,
    artifacts: Arc<Artifacts>,
    firmware: Option<&PreparedFirmware>,
    log: PathBuf,
    tell: Arc<dyn Fn(&str) + Send + Sync>,
) -> Result<Subject, TargetError> {
    let files = Unassembled::new(artifacts, firmware.map(|firmware| firmware.tar.as_path()))?;
    Ok(Subject {
        plan: boot_plan(target, "/opt", firmware.is_some()),
        arch: target.arch,
        packages: target.kernel.image.clone(),
        rules: target.distro.profile.boot.clone().ok_or_else(|| BootError::NoPackages(target.kernel.release.clone()))?,
        files: Arc::new(files),
        log,
        tell,
    })
}

/// What is done with a target's modules, by its driver's profile.
#[must_use]
pub fn boot_plan(target: &Target, base: &str, firmware: bool) -> Plan {
    let profile = &target.driver.profile;
    Plan {
        kernel: target.kernel.release.clone(),
        base: base.to_owned(),
        remove_first: profile.remove_first.clone(),
        load_first: profile.load_first.clone(),
        modules: Plan::modules(target.driver.modules(), &profile.load),
        load: profile.load.clone(),
        firmware,
        optional_firmware: target.driver.optional_firmware().map(<[_]>::to_vec),
    }
}

/// What the record keeps of a boot; `others` had their modules loaded in it, too, if it was shared.
#[must_use]
pub fn boot_record(report: &Report, log: &Path, others: Vec<String>) -> BootRecord {
    BootRecord {
        accelerator: report.accelerator.name().to_owned(),
        seconds: super::seconds(report.time),
        loaded: report.loaded.clone(),
        bound: report.bound.clone(),
        taint: report.taint,
        together_with: if report.images > 1 { others } else { Vec::new() },
        log: log.is_file().then(|| log.display().to_string()),
    }
}
