//! A part of a project's matrix.

use super::driver_selector;
use crate::arch::Arch;
use crate::cli::{DistroArg, SelectArgs};
use crate::error::{Exit, Failure};
use crate::kernel::KernelRelease;
use crate::kernel_selector::KernelSelector;
use crate::plan::Plan;
use crate::project::DriverSelector;

/// Options that narrow a project's matrix.
pub(super) struct Filter {
    drivers: Vec<DriverSelector>,
    kernels: Vec<KernelSelector>,
    distros: Vec<DistroArg>,
    arches: Vec<Arch>,
}

impl Filter {
    /// The options that narrow, with the kernels that they name.
    ///
    /// # Errors
    /// When one of them cannot narrow.
    pub(super) fn of(select: &SelectArgs, kernels: Vec<KernelSelector>) -> Result<Self, Failure> {
        if kernels.iter().any(|kernel| matches!(kernel, KernelSelector::Latest(_))) {
            return Err(Failure::new(Exit::Usage, "`latest` cannot narrow a matrix").help("name the driver too (--driver), or put `latest` into the matrix"));
        }
        let drivers = select.drivers.iter().map(|text| driver_selector(text)).collect::<Result<_, _>>()?;
        Ok(Self { drivers, kernels, distros: select.distros.clone(), arches: select.arches.clone() })
    }

    /// Leaves out what does not fit.
    ///
    /// # Errors
    /// When nothing is left.
    pub(super) fn apply(&self, plan: &mut Plan) -> Result<(), Failure> {
        let fits = |driver: &str, version: &str, distro: &str, release: &str, kernel: &KernelRelease, arch: &str| {
            let Self { drivers, kernels, distros, arches } = self;
            (drivers.is_empty() || drivers.iter().any(|d| d.driver.as_str() == driver && d.version.as_ref().is_none_or(|v| v.as_str() == version)))
                && (kernels.is_empty() || kernels.iter().any(|k| k.matches(kernel)))
                && (distros.is_empty() || distros.iter().any(|d| d.id == distro && d.release.as_deref().is_none_or(|r| r == release)))
                && (arches.is_empty() || arches.iter().any(|a| a.oci() == arch))
        };
        plan.targets.retain(|target| {
            let label = target.label();
            fits(&label.driver, &label.version, &label.distro, &label.distro_release, &target.kernel.release, &label.arch)
        });
        plan.skipped.retain(|skipped| {
            let label = &skipped.target;
            label.kernel.parse().is_ok_and(|kernel| fits(&label.driver, &label.version, &label.distro, &label.distro_release, &kernel, &label.arch))
        });
        if plan.targets.is_empty() && plan.skipped.is_empty() {
            return Err(Failure::new(Exit::Usage, "nothing in the project's matrix matches the options").help("see what there is: kmodforge plan"));
        }
        Ok(())
    }
}
