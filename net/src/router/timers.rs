//! [`Timers`]: what is due, and when. One entry for each connection or group at most.
//!
//! Not for: what is done then (`super`).

use super::secret::Tag;
use crate::endpoint::ConnId;
use downbeat_sync::{LocalTime, Span};
use std::collections::BTreeSet;

/// What may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A connection has to have registered, or sent something.
    Conn(ConnId),
    /// A group's changes are to be told.
    List(Tag),
}

/// See the module. Local times wrap, so they are kept as spans since the start, which have an order.
pub(super) struct Timers {
    start: LocalTime,
    entries: BTreeSet<(Span, Due)>,
}

impl Timers {
    pub(super) fn new(start: LocalTime) -> Timers {
        Timers { start, entries: BTreeSet::new() }
    }

    pub(super) fn set(&mut self, at: LocalTime, due: Due) {
        self.entries.insert((at - self.start, due));
    }

    /// Takes back what was set for this time.
    pub(super) fn unset(&mut self, at: LocalTime, due: Due) {
        self.entries.remove(&(at - self.start, due));
    }

    pub(super) fn first(&self) -> Option<LocalTime> {
        self.entries.first().map(|(after, _)| self.start + *after)
    }

    /// What is due now, the oldest first; it is no longer set then.
    pub(super) fn pop(&mut self, now: LocalTime) -> Option<Due> {
        let is_due = self.entries.first().is_some_and(|(after, _)| *after <= now - self.start);
        is_due.then(|| self.entries.pop_first()).flatten().map(|(_, due)| due)
    }
}
