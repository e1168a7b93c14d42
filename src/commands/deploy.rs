//! `kmodforge deploy`: manifests and units for what is published, on standard output.

mod daemonset;
mod fleet;
mod kmm;
mod kustomize;

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
    }
    Ok(Exit::Done)
}
