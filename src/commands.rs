//! One file per verb.

use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command};
use crate::error::{Exit, Failure};
use crate::ui::Ui;

mod attaching;
pub mod boot;
pub mod build;
pub mod builder;
pub mod completions;
pub mod deploy;
pub mod doctor;
pub mod fetch;
pub mod given;
pub mod kernels;
mod local_image;
pub mod man;
pub mod outputs;
mod part;
pub mod plan;
pub mod profile;
mod records;
pub mod render;
pub mod report;
pub mod selection;
pub mod session;
pub mod sign;
pub mod signing;
pub mod solving;
pub mod verify;

/// Does what the command line asks for.
///
/// # Errors
/// When that could not be done; what is said about it is not printed yet.
pub async fn run(cli: Cli, ui: &Ui, cancel: CancellationToken) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Build(args) => Box::pin(build::run(global, &args, ui, cancel)).await,
        Command::Plan(args) => unless_cancelled(&cancel, plan::run(global, &args, ui)).await,
        Command::Render(args) => unless_cancelled(&cancel, render::run(global, &args, ui)).await,
        Command::Fetch(args) => Box::pin(fetch::run(global, &args, ui, cancel)).await,
        Command::Verify(args) => Box::pin(verify::run(global, &args, ui, cancel)).await,
        Command::Report(args) => report::run(&args, ui),
        Command::Sign(args) => Box::pin(unless_cancelled(&cancel, sign::run(global, &args, ui))).await,
        Command::Deploy(command) => Box::pin(unless_cancelled(&cancel, deploy::run(global, command, ui))).await,
        Command::Kernels(command) => unless_cancelled(&cancel, kernels::run(global, command, ui)).await,
        Command::Profile(command) => Box::pin(profile::run(global, command, ui, cancel)).await,
        Command::Doctor(args) => Box::pin(unless_cancelled(&cancel, doctor::run(global, &args, ui))).await,
        Command::Completions(args) => completions::run(&args, ui),
        Command::Man(args) => man::run(&args, ui),
    }
}

/// For verbs that can simply be dropped.
async fn unless_cancelled(cancel: &CancellationToken, work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    tokio::select! {
        result = work => result,
        () = cancel.cancelled() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}
