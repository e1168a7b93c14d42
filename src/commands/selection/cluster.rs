//! The kernels of a cluster's nodes.

use super::unlisted;
use crate::catalog::CatalogError;
use crate::cli::{ClusterArgs, SelectArgs};
use crate::commands::session::Session;
use crate::error::{Exit, Failure};
use crate::kernel::KernelRelease;
use crate::kernel_index::{Cluster, ClusterNode, ClusterRequest, read_nodes};
use crate::kernel_selector::KernelSelector;
use crate::ui::Ui;

/// The nodes of the cluster that is to be asked; none if none is. What a user may not expect of them is told.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn nodes(args: &ClusterArgs, ui: &Ui) -> Result<Cluster, Failure> {
    if !args.from_cluster {
        return Ok(Cluster::default());
    }
    let cluster = read_nodes(ClusterRequest { kubeconfig: args.kubeconfig.as_deref(), context: args.context.as_deref() }).await?;
    for (name, why) in &cluster.others {
        ui.note(&format!("left out: node {name}: {why}"));
    }
    for (label, kernels) in cluster.shared_labels() {
        let kernels: Vec<_> = kernels.iter().map(|(kernel, nodes)| format!("`{kernel}` ({})", nodes.join(", "))).collect();
        ui.warning(&format!("different kernels of nodes share the label value `{label}`: {}", kernels.join(" and ")));
    }
    Ok(cluster)
}

/// The kernels of nodes. Where the distribution must be told from a kernel, those that no profile knows are told and left out, and those whose headers
/// no repository has, unless it is said where they are.
///
/// # Errors
/// When none is left, or several distributions have such a kernel.
pub fn selectors(session: &Session, nodes: &[&ClusterNode], select: &SelectArgs, ui: &Ui) -> Result<Vec<KernelSelector>, Failure> {
    let must_be_known = select.distros.is_empty();
    let must_be_published = must_be_known && select.headers_image.is_none() && select.os_version.is_none();
    let mut kernels: Vec<_> = nodes.iter().map(|node| node.kernel.clone()).collect();
    kernels.sort();
    kernels.dedup();
    let (mut selectors, mut refused) = (Vec::new(), None);
    let names = |kernel: &KernelRelease| some(&nodes.iter().filter(|node| node.kernel == *kernel).map(|node| node.name.as_str()).collect::<Vec<_>>());
    for kernel in kernels {
        match session.catalog.recognise(&kernel) {
            Err(CatalogError::NotRecognised { .. }) if must_be_known => {
                ui.note(&format!("left out: {kernel}: no distro profile recognises it ({})", names(&kernel)));
            }
            Ok(profile) if must_be_published && !profile.kernels.are_published() => {
                ui.note(&format!("left out: {kernel}: no repository has the headers of kernels of `{}` ({})", profile.id, names(&kernel)));
                refused = unlisted::refuse(profile).err();
            }
            Err(error) if must_be_known => return Err(error.into()),
            _ => selectors.push(KernelSelector::Exact(kernel)),
        }
    }
    if let (true, Some(refused)) = (selectors.is_empty(), refused) {
        return Err(refused);
    }
    if selectors.is_empty() && !nodes.is_empty() {
        return Err(Failure::new(Exit::Failed, "no distro profile recognises a kernel of the cluster's nodes")
            .help("name the distribution: --distro ID; or write a profile (docs/distro-profiles.md)"));
    }
    Ok(selectors)
}

/// The first names, and how many more there are.
pub fn some(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
