//! [`Board`]: where the network thread writes how the router is, when somebody asks.
//!
//! Whoever asks wakes that thread and waits for its answer, so an answer shows that the thread lives. Not for: how it is shown
//! (`metrics`).

use downbeat_net::router::RouterTally;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A router that lives answers sooner.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the router is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    pub(super) tally: RouterTally,
    pub(super) groups: usize,
    pub(super) users: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Board {
    asked: AtomicBool,
    answer: Mutex<Option<Report>>,
    answered: Condvar,
}

impl Board {
    /// Asks, and waits. `None` if no answer comes in time. `wake` makes the network thread look.
    pub(super) fn ask(&self, wake: impl FnOnce()) -> Option<Report> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        *answer = None;
        self.asked.store(true, Ordering::Release);
        wake();
        let waited = self.answered.wait_timeout_while(answer, PATIENCE, |answer| answer.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    /// Answers, if somebody has asked.
    pub(super) fn answer(&self, report: impl FnOnce() -> Report) {
        if self.asked.swap(false, Ordering::AcqRel) {
            let report = report();
            *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
            self.answered.notify_all();
        }
    }
}
