//! Any image's modules, loaded into their kernel.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Report;
use crate::boot::{BootError, Booter, Plan, PlannedModule, Subject};
use crate::cli::VerifyArgs;
use crate::error::{Exit, Failure};
use crate::pipeline::{boot_plan, boot_record};
use crate::record::BootRecord;

/// Boots the kernel of an image with its files; what is found is added to the report.
///
/// # Errors
/// When nothing could be booted.
pub(super) async fn boot(booter: &Booter, args: &VerifyArgs, report: &mut Report, work: &Path, cancel: &CancellationToken) -> Result<BootRecord, Failure> {
    let target = &report.target;
    let rules = target.distro.profile.boot.clone().ok_or_else(|| BootError::NoPackages(report.kernel.clone()))?;
    std::fs::create_dir_all(&args.log_dir).map_err(|error| Failure::new(Exit::Failed, format!("`{}`: {error}", args.log_dir.display())))?;
    let log = args.log_dir.join(format!("verify-{}-{}.boot.log", report.kernel.tag(), report.arch));
    let subject = Subject {
        plan: plan(report),
        arch: report.arch,
        packages: target.kernel.image.clone(),
        rules,
        files: Arc::clone(&report.contents) as Arc<_>,
        log: log.clone(),
        tell: Arc::new(|_| ()),
    };
    let result = booter.check(&subject, work, cancel).await?;
    let record = boot_record(&result, &log, Vec::new());
    report.findings.extend(result.findings);
    Ok(record)
}

/// What the driver's profile says; without one, every module that there is, in the order of their names.
fn plan(report: &Report) -> Plan {
    let firmware = report.contents.entries().any(|(path, _)| path.starts_with("firmware/"));
    let base = base(report.modules.first().map(String::as_str).unwrap_or_default());
    let mut plan = boot_plan(&report.target, &base, firmware);
    if !report.known_driver {
        plan.optional_firmware = None;
        let modules = report.modules.iter().filter_map(|path| path.rsplit('/').next()?.split(".ko").next());
        plan.modules = modules.map(|name| PlannedModule { name: name.to_owned(), parameters: std::collections::BTreeMap::new() }).collect();
    }
    plan
}

/// The directory that `modprobe -d` is given: `/opt` for `/opt/lib/modules/…`, `/` for `/lib/modules/…` and `/usr/lib/modules/…`.
fn base(module: &str) -> String {
    let before = module.split_once("lib/modules/").map_or("", |(before, _)| before.trim_end_matches('/'));
    if matches!(before, "" | "/usr") { "/".to_owned() } else { before.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_from_where_they_are() {
        for (path, expected) in [
            ("/opt/lib/modules/6.1/extra/a.ko", "/opt"),
            ("/lib/modules/6.1/a.ko", "/"),
            ("/usr/lib/modules/6.1/a.ko", "/"),
            ("/usr/local/opt/lib/modules/6.1/a.ko", "/usr/local/opt"),
        ] {
            assert_eq!(base(path), expected);
        }
    }
}
