//! `kmodforge completions`: completion scripts for shells.

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs};
use crate::error::{Exit, Failure};
use crate::ui::Ui;

/// Prints the script for a shell.
///
/// # Errors
/// None; other verbs have some.
pub fn run(args: &CompletionsArgs, ui: &Ui) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kmodforge", &mut script);
    ui.data(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
