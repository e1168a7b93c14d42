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

/// What boots, if anything is to be booted: the command line counts, then the project file. `together`: drivers for the same kernel share a boot.
///
/// # Errors
/// When options say how, and nothing says whether.
pub fn booter(session: &Session, args: &BootArgs, together: bool) -> Result<Option<Arc<Booter>>, Failure> {
    let project = session.project.as_ref().and_then(|project| project.content.boot).unwrap_or_default();
    let on = !args.no_boot && (args.boot || project.on);
    if !on {
        let options =
            [(args.boot_timeout.is_some(), "--boot-timeout"), (args.boot_enforce_signatures, "--boot-enforce-signatures"), (together, "--boot-together")];
        return options.into_iter().find(|(given, _)| *given).map_or(Ok(None), |(_, option)| {
            let failure = Failure::new(Exit::Usage, format!("`{option}` does nothing without a boot"));
            Err(failure.help("add --boot, or `boot: true` in the project file"))
        });
    }
    let mut options = BootOptions::default();
    if let Some(seconds) = args.boot_timeout.or(project.settings.timeout.map(Seconds::get)) {
        options.timeout = Duration::from_secs(seconds.into());
    }
    options.enforce_signatures = args.boot_enforce_signatures || project.settings.enforce_signatures;
    options.together = together || project.settings.together;
    Ok(Some(Arc::new(Booter::new(session.fetcher.clone(), options))))
}

/// Looks for QEMU and for the devices that drivers need before anything is built, and tells what kernels will run on.
///
/// # Errors
/// When there is no QEMU for one of the architectures, or not with one of the devices.
pub async fn prepare<'a>(booter: &Booter, wanted: impl IntoIterator<Item = (Arch, &'a [String])>, ui: &Ui) -> Result<(), Failure> {
    let mut told = BTreeSet::new();
    for (arch, devices) in wanted {
        if told.insert(arch) {
            let emulator = booter.emulator(arch).await?;
            let how = match (emulator.accelerator, &emulator.why) {
                (Accelerator::Kvm, _) => "with KVM".to_owned(),
                (Accelerator::Tcg, why) => format!("emulated: {}", why.as_deref().unwrap_or_default()),
            };
            ui.note(&format!("boot: {arch} kernels run in {}, {how}", emulator.program.display()));
        }
        booter.devices(arch, devices).await?;
    }
    Ok(())
}
