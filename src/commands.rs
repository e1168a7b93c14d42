//! One file per verb.

use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command};
use crate::error::{Exit, Failure};
use crate::ui::Ui;

pub mod completions;
pub mod man;
pub mod profile;

/// Does what the command line asks for.
///
/// # Errors
/// When that could not be done; what is said about it is not printed yet.
pub async fn run(cli: Cli, ui: &Ui, _cancel: CancellationToken) -> Result<Exit, Failure> {
    match cli.command {
        Command::Completions(args) => completions::run(&args, ui),
        Command::Man(args) => man::run(&args, ui),
        _ => Err(Failure::new(Exit::Failed, "not in this build")),
    }
}
