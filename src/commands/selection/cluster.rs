//! The kernels of a cluster's nodes.

use crate::catalog::CatalogError;
use crate::cli::ClusterArgs;
use crate::commands::session::Session;
use crate::error::{Exit, Failure};
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

/// The kernels of nodes. Where the distribution must be told from a kernel, those that no profile knows are told and left out.
///
/// # Errors
/// When none is left, or several distributions have such a kernel.
pub fn selectors(session: &Session, nodes: &[&ClusterNode], must_be_known: bool, ui: &Ui) -> Result<Vec<KernelSelector>, Failure> {
    let mut kernels: Vec<_> = nodes.iter().map(|node| node.kernel.clone()).collect();
    kernels.sort();
    kernels.dedup();
    let mut selectors = Vec::new();
    for kernel in kernels {
        match session.catalog.recognise(&kernel) {
            Err(CatalogError::NotRecognised { .. }) if must_be_known => {
                let names: Vec<_> = nodes.iter().filter(|node| node.kernel == kernel).map(|node| node.name.as_str()).collect();
                ui.note(&format!("left out: {kernel}: no distro profile recognises it ({})", some(&names)));
            }
            Err(error) if must_be_known => return Err(error.into()),
            _ => selectors.push(KernelSelector::Exact(kernel)),
        }
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
