//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use kmodforge::cli::{Cli, Color, Command, Progress};
use kmodforge::commands;
use kmodforge::env;
use kmodforge::error::{Exit, Failure};
use kmodforge::ui::{ColorChoice, ProgressMode, Ui, UiOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            // Help, the version, or a mistake in usage; nobody may be reading.
            let _ = answer.print();
            return ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    let ui = Ui::new(ui_options(&cli));
    let exit = trace(&ui, cli.global.verbose).and_then(|()| run(cli, &ui)).unwrap_or_else(|failure| tell(&ui, &failure));
    let exit = ui.close().map_or_else(|failure| tell(&ui, &failure), |()| exit);
    ExitCode::from(exit as u8)
}

fn tell(ui: &Ui, failure: &Failure) -> Exit {
    ui.failure(failure);
    failure.exit
}

fn ui_options(cli: &Cli) -> UiOptions {
    let progress = match &cli.command {
        Command::Build(args) => args.run.progress,
        Command::Fetch(args) => args.run.progress,
        _ => Progress::Auto,
    };
    UiOptions {
        progress: match progress {
            Progress::Auto => ProgressMode::Auto,
            Progress::Tty => ProgressMode::Tty,
            Progress::Plain => ProgressMode::Plain,
            Progress::Json => ProgressMode::Json,
        },
        color: match cli.global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        },
        verbose: cli.global.verbose,
        quiet: cli.global.quiet,
        width: None,
    }
}

/// Shows what the program does, if `KMODFORGE_LOG` or `-vv` asks for it.
fn trace(ui: &Ui, verbose: u8) -> Result<(), Failure> {
    let filter = match env::var("KMODFORGE_LOG") {
        Some(filter) => filter,
        None if verbose > 1 => "kmodforge=debug".to_owned(),
        None => return Ok(()),
    };
    let filter = tracing_subscriber::EnvFilter::builder().parse(&filter).map_err(|error| {
        Failure::new(Exit::Usage, format!("`KMODFORGE_LOG` is not understood: {error}")).fact("found", filter).help("`debug`, or `kmodforge=debug,hyper=warn`")
    })?;
    let ui = ui.clone();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).without_time().with_writer(move || ui.log_writer()).init();
    Ok(())
}

fn run(cli: Cli, ui: &Ui) -> Result<Exit, Failure> {
    let internal = |error: std::io::Error| Failure::new(Exit::Failed, format!("the program could not start: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(internal)?;
    let result = runtime.block_on(async {
        let cancel = CancellationToken::new();
        tokio::spawn(stop(ui.clone(), cancel.clone(), Signals::listen().map_err(internal)?));
        Box::pin(commands::run(cli, ui, cancel)).await
    });
    // A thread that waits for standard input, say, must not hold up the end.
    runtime.shutdown_background();
    result
}

/// What asks the program to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Cancels the work at the first signal, ends the process at the second.
async fn stop(ui: Ui, cancel: CancellationToken, mut signals: Signals) {
    signals.next().await;
    // Said first, so that it stands above what the verb says when it ends.
    ui.note("stopping; once more to stop at once");
    cancel.cancel();
    signals.next().await;
    let _ = ui.close();
    #[expect(clippy::exit, reason = "the user does not want to wait for anything any more")]
    std::process::exit(Exit::Interrupted as i32);
}
