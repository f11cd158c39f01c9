//! What Ctrl-C, SIGTERM and SIGHUP do: let the command finish what it has begun.

use anyhow::Context;

/// Calls `stop` on the first such signal; a second one ends the program at once, with 130 as shells expect.
pub(crate) fn on_signal(stop: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    let mut asked = false;
    ctrlc::set_handler(move || {
        if asked {
            std::process::exit(130);
        }
        asked = true;
        stop();
    })
    .context("cannot catch Ctrl-C")
}
