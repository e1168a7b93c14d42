//! `kmodforge deploy daemonset`.

use super::kustomize;
use crate::cli::DaemonsetArgs;
use crate::deploy::daemonset::{DeployError, Options, deployment};
use crate::deploy::fleet::Fleet;
use crate::deploy::manifest::{self, UnwritableObject};
use crate::deploy::nodes::SelectionError;
use crate::error::{Exit, Failure};
use crate::ui::Ui;

/// Prints the objects, or writes them to a tree for kustomize.
///
/// # Errors
/// When nodes cannot be told apart, or nothing can be written.
pub(super) fn run(fleet: &Fleet, args: &DaemonsetArgs, ui: &Ui) -> Result<(), Failure> {
    let deployment = deployment(&fleet.images, &options(args))?;
    match &args.kustomize {
        None => ui.data(&manifest::stream(&deployment.objects)?),
        Some(folder) => {
            kustomize::write(folder, &manifest::kustomization(&deployment.objects)?)?;
            ui.note(&format!("written to `{0}`: kubectl apply -k {0}", folder.display()));
        }
    }
    deployment.notes.iter().for_each(|note| ui.note(note));
    Ok(())
}

fn options(args: &DaemonsetArgs) -> Options {
    let pods = args.pods.clone();
    Options {
        kernel_label: pods.kernel_label,
        namespace: pods.namespace,
        namespace_per: pods.namespace_per,
        node_selector: pods.node_selector.into_iter().map(|label| (label.key.to_string(), label.value)).collect(),
        tolerations: pods.tolerations,
        pull_secrets: pods.pull_secrets,
        update: pods.update,
        priority_class: pods.priority_class,
        selinux_type: pods.selinux_type,
        apparmor: pods.apparmor,
        labeller_image: args.labeller_image.clone(),
        catch_all: args.catch_all,
    }
}

impl From<DeployError> for Failure {
    fn from(error: DeployError) -> Self {
        let failure = Self::new(Exit::Usage, error.to_string());
        match error {
            DeployError::Selection(SelectionError::NoLabel { .. }) => {
                failure.help("give nodes a label of your own, cut at 63 characters, and name it: --kernel-label KEY")
            }
            DeployError::Selection(SelectionError::Same { images: [first, second], .. }) => failure
                .fact("found", format!("{first}\n{second}"))
                .help("deploy one of the two: a record of its own, or --driver NAME@VERSION and --distro ID:RELEASE"),
            DeployError::Namespace { reason, .. } => failure.help(format!("{reason}; choose a shorter --namespace")),
            DeployError::SameName { kernels: [first, second], .. } => {
                failure.fact("found", format!("{first}\n{second}")).help("deploy them from different records, into different namespaces")
            }
            DeployError::Unwritable(_) => failure,
        }
    }
}

impl From<UnwritableObject> for Failure {
    fn from(error: UnwritableObject) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}
