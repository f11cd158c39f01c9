//! What Ctrl-C, SIGTERM and SIGHUP do: let the command finish what it has begun.

use anyhow::Context;
use downbeat_sync::{Clock, LocalTime, Span};

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
