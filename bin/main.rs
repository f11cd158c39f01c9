//! The `downbeat` program: what the user types.
//!
//! Wiring only: flags become settings (`args`, `config`), one file per command puts the libraries together. Not for:
//! anything that decides what is heard or when.
#![forbid(unsafe_code)]

mod args;
mod config;
mod devices;
mod key;
mod listen;
mod node;
mod output;
mod play;
mod quantity;
mod render;
mod replay;
mod score;
mod send;
mod state;
mod status;
mod stop;
mod target;
mod value;
mod way;

use args::{Cli, Command, General, SyncCommand};
use downbeat_sync::Clock;
use output::Unread;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let clock = Clock::new();
    let Cli { general, command } = config::cli();
    log_to_stderr(&general);
    let outcome = match command {
        Command::Send(args) => send::run(args),
        Command::Listen(args) => listen::run(args),
        Command::Play(args) => play::run(args),
        Command::Node(args) => node::run(*args, clock),
        Command::Render(args) => render::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Status(args) => status::run(args),
        Command::Sync(SyncCommand::Replay(args)) => replay::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Unread>() => ExitCode::SUCCESS,
        Err(error) => {
            // `{:#}`: the whole chain, from what was wanted to what the system said.
            output::note(format_args!("{error:#}"));
            if error.is::<WrongUsage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Marks an error as the user's, where only the command could tell.
#[derive(Debug)]
struct WrongUsage;

impl std::fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrong usage (see --help)")
    }
}

/// Logs of this level and above go to stderr; RUST_LOG, where it is set, says it in more detail.
fn log_to_stderr(general: &General) {
    let level = match i16::from(general.verbose) - i16::from(general.quiet) {
        ..=-2 => LevelFilter::OFF,
        -1 => LevelFilter::ERROR,
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would tell stderr that stderr cannot be written to, and panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(general.verbose > 0)
        .without_time()
        .init();
}
