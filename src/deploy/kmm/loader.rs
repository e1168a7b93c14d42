//! What KMM's worker is told: which modules, with which parameters, instead of which.

use std::collections::BTreeSet;

use super::{KmmError, KmmVersion};
use crate::deploy::fleet::FleetImage;
use crate::kernel::KernelRelease;
use crate::kmm::{Container, Modprobe, ModprobeArgs};

/// Whether the directory of a kernel's modules has another name than `uname -r`, which modprobe must be told then.
pub(super) fn is_renamed(kernel: &KernelRelease) -> bool {
    kernel.directory() != kernel.as_str()
}

/// Whether what a Module says once for all is the same for two images.
pub(super) fn is_used_alike(image: &FleetImage, other: &FleetImage) -> bool {
    let (a, b) = (&image.rollout, &other.rollout);
    a.loads == b.loads && a.firmware == b.firmware && a.remove_first == b.remove_first && a.hints.device_plugin == b.hints.device_plugin
}

/// The section `modprobe`. KMM loads one module; others that no symbol asks for are `softdep`s of it, the last to load first in the list.
pub(super) fn modprobe(image: &FleetImage, version: KmmVersion) -> Result<Modprobe, KmmError> {
    let rollout = &image.rollout;
    let Some(last) = rollout.loads.last() else { return Err(KmmError::NothingToLoad(image.driver.clone())) };
    let order: Vec<String> = rollout.loads.iter().rev().map(|load| load.module.clone()).collect();
    let renamed = || vec!["-S".to_owned(), image.kernel.directory().to_owned()];
    // 1.x runs the image's modprobe, which finds the raw name there.
    let args = (is_renamed(&image.kernel) && version >= KmmVersion::SEVERAL_IN_TREE).then(|| ModprobeArgs { load: renamed(), unload: renamed() });
    Ok(Modprobe {
        module_name: Some(last.module.clone()),
        dir_name: Some("/opt".into()),
        firmware_path: rollout.firmware.then(|| "/firmware".into()),
        parameters: last.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        args,
        raw_args: None,
        modules_loading_order: if order.len() > 1 { order } else { Vec::new() },
    })
}

/// In-tree modules that are removed first, in a container that has nothing else. KMM looks for files of these names, in which `-` and `_` differ.
pub(super) fn in_tree_modules(image: &FleetImage, version: KmmVersion) -> Result<Container, KmmError> {
    let names: BTreeSet<String> = image.rollout.remove_first.iter().flat_map(|name| [name.replace('-', "_"), name.replace('_', "-")]).collect();
    let names: Vec<String> = names.into_iter().collect();
    Ok(match names.as_slice() {
        [] => Container::default(),
        [one] if version < KmmVersion::SEVERAL_IN_TREE => Container { in_tree_module_to_remove: Some(one.clone()), ..Container::default() },
        _ => {
            version.must_have("list of in-tree modules to remove", KmmVersion::SEVERAL_IN_TREE)?;
            Container { in_tree_modules_to_remove: Some(names), ..Container::default() }
        }
    })
}

/// What must hold on nodes, since KMM cannot see to it.
pub(super) fn assumptions(name: &str, images: &[&FleetImage], version: KmmVersion) -> Vec<String> {
    let Some(first) = images.first() else { return Vec::new() };
    let rollout = &first.rollout;
    let mut assumptions = Vec::new();
    let first_loaded = if rollout.load_first.is_empty() { String::new() } else { format!(" ({} among them)", rollout.load_first.join(", ")) };
    assumptions.push(format!(
        "Module `{name}`: nodes have loaded the kernel's own modules that `{}` needs{first_loaded}; KMM loads from the image alone",
        first.driver
    ));
    if rollout.loads.len() > 1 && rollout.loads.iter().rev().skip(1).any(|load| !load.parameters.is_empty()) {
        assumptions.push(format!(
            "Module `{name}`: KMM passes parameters to the last module only; set those of the others on the nodes (/etc/modprobe.d has no effect)"
        ));
    }
    if rollout.firmware {
        assumptions.push(format!(
            "Module `{name}`: KMM copies firmware to its `worker.firmwareHostPath` ({} on these nodes) through pods with 128 MiB of memory",
            rollout.firmware_directory
        ));
    }
    if !rollout.unload {
        assumptions.push(format!("Module `{name}`: `{}` cannot be unloaded; nodes must be restarted when the Module is removed or changes", first.driver));
    }
    for image in images.iter().filter(|image| is_renamed(&image.kernel)) {
        let kernel = image.kernel.directory();
        let told = if version >= KmmVersion::SEVERAL_IN_TREE { format!("; modprobe is told `-S {kernel}`") } else { String::new() };
        assumptions.push(format!("Module `{name}`: no node that it selects runs `{kernel}`, which KMM takes for {}{told}", image.kernel));
    }
    assumptions
}
