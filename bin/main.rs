//! The `downbeat` program: what the user types.
//!
//! Wiring only: flags become settings (`args`, `config`), one file per command puts the libraries together. Not for:
//! anything that decides what is heard or when.
#![forbid(unsafe_code)]

mod args;
mod config;
mod devices;
mod group;
mod key;
mod listen;
mod log;
mod node;
mod output;
mod play;
mod quantity;
mod render;
mod replay;
mod router;
mod score;
mod send;
mod state;
mod status;
mod stop;
mod target;
mod value;
mod way;

use args::{Cli, Command, SyncCommand};
use downbeat_sync::Clock;
use output::Unread;
use std::process::ExitCode;

fn main() -> ExitCode {
    let clock = Clock::new();
    let Cli { general, command } = config::cli();
    let file = match &command {
        Command::Router(args) => args.log_dir.as_ref().map(|folder| folder.join("router.log")),
        _ => None,
    };
    let outcome = log::start(&general, file.as_deref()).and_then(|()| match command {
        Command::Send(args) => send::run(args),
        Command::Listen(args) => listen::run(args),
        Command::Play(args) => play::run(args),
        Command::Node(args) => node::run(*args, clock),
        Command::Router(args) => router::run(*args, clock),
        Command::Render(args) => render::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Status(args) => status::run(args),
        Command::Sync(SyncCommand::Replay(args)) => replay::run(args),
    });
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
