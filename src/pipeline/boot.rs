//! The kernel is booted with what is going to be published.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::TargetError;
use crate::boot::{Booter, Plan, Report, Subject, Unassembled};
use crate::fetch::source::PreparedFirmware;
use crate::image::artifacts::Artifacts;
use crate::plan::Target;
use crate::record::BootRecord;

/// Loads a target's modules into its kernel.
pub(super) async fn boot(
    booter: &Booter,
    target: &Target,
    artifacts: Arc<Artifacts>,
    firmware: Option<&PreparedFirmware>,
    (work, log): (&Path, &Path),
    cancel: &CancellationToken,
) -> Result<Report, TargetError> {
    let files = Unassembled::new(artifacts, firmware.map(|firmware| firmware.tar.as_path()))?;
    let release = &target.kernel.release;
    let subject = Subject {
        plan: boot_plan(target, "/opt", firmware.is_some()),
        arch: target.arch,
        packages: target.kernel.image.clone(),
        rules: target.distro.profile.boot.clone().ok_or_else(|| crate::boot::BootError::NoPackages(release.clone()))?,
        files: Arc::new(files),
    };
    Ok(booter.check(subject, work, log, cancel).await?)
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
        optional_firmware: Some(profile.firmware.optional.clone()),
    }
}

/// What the record keeps of a boot.
#[must_use]
pub fn boot_record(report: &Report, log: &Path) -> BootRecord {
    BootRecord {
        accelerator: report.accelerator.name().to_owned(),
        seconds: super::seconds(report.time),
        loaded: report.loaded.clone(),
        bound: report.bound.clone(),
        taint: report.taint,
        log: log.is_file().then(|| log.display().to_string()),
    }
}
