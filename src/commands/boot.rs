//! Whether and how a run boots kernels.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::session::Session;
use crate::arch::Arch;
use crate::boot::{Accelerator, BootOptions, Booter};
use crate::cli::BootArgs;
use crate::error::{Exit, Failure};
use crate::project::Seconds;
use crate::ui::Ui;

/// What boots, if anything is to be booted: the command line counts, then the project file.
///
/// # Errors
/// When options say how, and nothing says whether.
pub fn booter(session: &Session, args: &BootArgs) -> Result<Option<Arc<Booter>>, Failure> {
    let project = session.project.as_ref().and_then(|project| project.content.boot).unwrap_or_default();
    let on = !args.no_boot && (args.boot || project.on);
    if !on && (args.boot_timeout.is_some() || args.boot_enforce_signatures) {
        let option = if args.boot_timeout.is_some() { "--boot-timeout" } else { "--boot-enforce-signatures" };
        return Err(Failure::new(Exit::Usage, format!("`{option}` does nothing without a boot")).help("add --boot, or `boot: true` in the project file"));
    }
    if !on {
        return Ok(None);
    }
    let mut options = BootOptions::default();
    if let Some(seconds) = args.boot_timeout.or(project.settings.timeout.map(Seconds::get)) {
        options.timeout = Duration::from_secs(seconds.into());
    }
    options.enforce_signatures = args.boot_enforce_signatures || project.settings.enforce_signatures;
    Ok(Some(Arc::new(Booter::new(session.fetcher.clone(), options))))
}

/// Looks for QEMU before anything is built, and tells what kernels will run on.
///
/// # Errors
/// When there is no QEMU for one of the architectures.
pub async fn prepare(booter: &Booter, arches: impl IntoIterator<Item = Arch>, ui: &Ui) -> Result<(), Failure> {
    for arch in arches.into_iter().collect::<BTreeSet<_>>() {
        let emulator = booter.emulator(arch).await?;
        let how = match (emulator.accelerator, &emulator.why) {
            (Accelerator::Kvm, _) => "with KVM".to_owned(),
            (Accelerator::Tcg, why) => format!("emulated: {}", why.as_deref().unwrap_or_default()),
        };
        ui.note(&format!("boot: {arch} kernels run in {}, {how}", emulator.program.display()));
    }
    Ok(())
}
