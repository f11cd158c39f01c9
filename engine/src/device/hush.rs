//! [`Hush`]: ALSA's own complaints, kept off stderr.
//!
//! Every try to open a card that is not there makes alsa-lib print eight lines. On a thread with a `Hush` they go to a
//! buffer instead, and from there to the log at debug level.

use alsa::Output;
use std::cell::RefCell;
use std::rc::Rc;

/// Diverts what alsa-lib says on this thread. `None` inside: it cannot be diverted, and goes to stderr.
pub(crate) struct Hush(Option<Rc<RefCell<Output>>>);

impl Hush {
    /// From now on, on this thread, for good: alsa-lib has no way back.
    pub(crate) fn new() -> Hush {
        Hush(Output::local_error_handler().ok())
    }

    /// Logs what was said since the last time, and empties the buffer.
    pub(crate) fn flush(&mut self) {
        let Some(output) = self.0.take() else { return };
        let said = output.borrow().to_string();
        let said = said.trim();
        if !said.is_empty() {
            tracing::debug!("alsa-lib: {said}");
        }
        *self = Hush::new();
    }
}
