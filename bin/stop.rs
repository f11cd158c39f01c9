//! What Ctrl-C, SIGTERM and SIGHUP do: let the command finish what it has begun.

use crate::output::note;
use anyhow::Context;
use downbeat_sync::{Clock, LocalTime, Span};
use std::thread;
use std::time::Duration;

/// A signal that comes sooner than this after the first is the same one: `timeout` and some terminals send two.
const IMPATIENT: Span = Span::from_secs(1);

/// Calls `stop` on the first such signal; a later one ends the program at once, with 130 as shells expect.
pub(crate) fn on_signal(clock: Clock, stop: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    let mut asked: Option<LocalTime> = None;
    ctrlc::set_handler(move || match asked {
        None => {
            asked = Some(clock.now());
            stop();
        }
        Some(first) if clock.now() - first > IMPATIENT => std::process::exit(130),
        Some(_) => {}
    })
    .context("cannot catch Ctrl-C")
}

/// How long a node may take to end by itself. A service manager's patience is longer, a musician's is not: two seconds, of
/// which some remain for a machine that is busy.
const PATIENCE: Duration = Duration::from_millis(1_700);

/// The same, but the program ends within two seconds of the first signal, whatever hangs: a driver, a disk, a name server.
pub(crate) fn in_time(clock: Clock, stop: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    on_signal(clock, move || {
        let watch = || {
            thread::sleep(PATIENCE);
            note("the node does not end by itself, and is ended");
            leave(1);
        };
        // First of all: what is to be watched might hang as well.
        let watched = thread::Builder::new().name("watchdog".into()).spawn(watch);
        stop();
        if watched.is_err() {
            watch();
        }
    })
}

/// Ends the program at once. What libraries do at a program's end is left out, for they may wait for what hangs.
pub(crate) fn leave(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

#[cfg(test)]
mod tests;
