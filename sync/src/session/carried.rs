//! [`Carried`]: how far a node's time may be by now from a time that it kept, and of which it hears no more.
//!
//! Not for: a time that is still heard of, which [`super::Peer`] estimates.

use crate::timescale;
use crate::{ClockEstimate, EnsembleTime, LocalTime, MaxDrift, Span};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// When it was last known, what the node published then, and how wrong that was at most.
    at: LocalTime,
    published: EnsembleTime,
    bound: Span,
    /// How fast that time ran by its own keeper's clock, and how long before that was said.
    rate: f64,
    said: Span,
    drift: MaxDrift,
}

impl Carried {
    /// Of the time that `estimate` tells at its anchor, with its bound. Its keeper said so long ago that it runs at this rate
    /// by its own clock.
    pub(super) fn new(estimate: &ClockEstimate, rate: f64, said: Span, drift: MaxDrift) -> Carried {
        let at = estimate.anchor();
        Carried { at, published: estimate.ensemble_at(at), bound: estimate.bound, rate, said, drift }
    }

    /// How far what is published, `now` on this line, may be from the time as its keeper has it.
    pub(super) fn bound(&self, line: &ClockEstimate, now: LocalTime) -> Span {
        let age = (now - self.at).max(Span::ZERO);
        let secs = age.as_secs_f64();
        let expected = self.published + age + Span::from_secs_f64(self.rate * secs);
        let moved = (line.ensemble_at(now) - expected).abs();
        // The keeper's clock itself may have gained as much.
        let drifted = Span::from_secs_f64(self.drift.rate() * (1.0 + self.rate.abs()) * secs);
        self.bound + moved + drifted + timescale::bend_since(self.rate, self.said + age)
    }

    /// The same instants are told by a time that is ahead of the one so far by so much.
    pub(super) fn rename(&mut self, by: Span) {
        self.published += by;
    }

    /// How long it is carried already.
    pub(super) fn age(&self, now: LocalTime) -> Span {
        now - self.at
    }
}
