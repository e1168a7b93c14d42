//! `kmodforge deploy`: manifests and units for what is published, on standard output.

mod daemonset;
mod files;
mod fleet;
mod helm;
mod kmm;
mod kustomize;
mod systemd;

use crate::cli::{DeployCommand, GlobalArgs};
use crate::error::{Exit, Failure};
use crate::ui::Ui;

/// Prints what deploys the images.
///
/// # Errors
/// When there is nothing to deploy, or something is not published.
pub async fn run(global: &GlobalArgs, command: DeployCommand, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        DeployCommand::Daemonset(args) => daemonset::run(&fleet::gather(global, &args.fleet, ui).await?, &args, ui)?,
        DeployCommand::Kmm(args) => kmm::run(global, &args, ui).await?,
        DeployCommand::Helm(args) => helm::run(global, &args, ui).await?,
        DeployCommand::Systemd(args) => systemd::run(global, &args, ui).await?,
    }
    Ok(Exit::Done)
}
