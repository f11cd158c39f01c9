//! [`Exchange`]: the four stamps of one question and its answer.
//!
//! Not for: asking (`session`) or making a line of many (`estimator`).

use crate::{LocalTime, RemoteTime, Span};

/// One round trip between this host and another.
///
/// The offset of the peer's clock at that moment lies between `answered - returned` and `received - asked`, whatever the
/// network did: nothing arrives before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The question left, by this host's clock.
    pub asked: LocalTime,
    /// It arrived, by the peer's.
    pub received: RemoteTime,
    /// The answer left, by the peer's.
    pub answered: RemoteTime,
    /// It arrived, by this host's.
    pub returned: LocalTime,
}

impl Exchange {
    /// Time spent on the network, both ways. Negative if stamps are wrong.
    pub fn round_trip(&self) -> Span {
        (self.returned - self.asked) - (self.answered - self.received)
    }

    /// Whether an answer left before its question came, or came back before it was asked, or sooner than it left.
    pub fn is_absurd(&self) -> bool {
        self.answered.is_before(self.received)
            || self.returned.is_before(self.asked)
            || self.round_trip() < Span::ZERO
    }
}
