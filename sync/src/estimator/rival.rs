//! [`Rival`]: an estimator that was told nothing of the drift, beside one that was, until the stamps have decided.
//!
//! Not for: how much a belief is still worth before there are stamps; who remembers it knows.
//!
//! What is remembered of a drift may be of another crystal: a host was replaced, a virtual machine moved, a card cloned. A line
//! that is held to a wrong slope is wrong by more with every second, and sure of it: on Wi-Fi for a minute, if nobody looked.
//! So the slope that the stamps have by themselves is held against the belief; its own standard error tells how soon that
//! means anything, which is a second on a wire and five to fifteen on Wi-Fi. If the two contradict each other for a while, the
//! rival takes the place of the one that believed.

use super::line::Seconds;
use super::{Estimator, MaxDrift, RateBelief, Verdict, WINDOW};
use crate::Exchange;

/// Further apart than so many of their standard errors together, they contradict each other.
const CONTRADICTION: f64 = 4.0;
/// That has to last for this part of the time so far: what a young line takes for its standard error wavers.
const LASTS: f64 = 0.1;
/// Of a younger line, or one of fewer stamps, the slope says nothing.
const YOUNG: Seconds = 0.5;
const STAMPS: usize = 20;
/// From this span on, nobody needs the belief.
const OLD: Seconds = 0.5 * WINDOW;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Rival {
    estimator: Estimator,
    belief: RateBelief,
    /// Since when they contradict each other.
    since: Option<Seconds>,
}

impl Rival {
    /// Of one that holds this belief.
    pub(super) fn new(belief: RateBelief) -> Rival {
        Rival { estimator: Estimator::new(RateBelief::default()), belief, since: None }
    }

    /// The same, for such crystals.
    pub(super) fn within(self, drift: MaxDrift) -> Rival {
        Rival { estimator: self.estimator.within(drift), ..self }
    }

    /// Takes the same exchange as the other.
    pub(super) fn take(&mut self, exchange: &Exchange) -> Verdict {
        let verdict = self.estimator.take(exchange);
        let now = self.estimator.newest;
        self.since = if self.contradicts() { self.since.or(Some(now)) } else { None };
        verdict
    }

    /// Whether the belief is wrong.
    pub(super) fn has_won(&self) -> bool {
        self.since.is_some_and(|since| self.estimator.newest - since > LASTS * self.estimator.span())
    }

    /// Whether it has nothing more to say.
    pub(super) fn is_done(&self) -> bool {
        self.estimator.span() > OLD
    }

    /// Takes the other's place.
    pub(super) fn into_estimator(self) -> Estimator {
        self.estimator
    }

    fn contradicts(&self) -> bool {
        let is_young = self.estimator.span() < YOUNG || self.estimator.clouds[0].x.len() < STAMPS;
        let line = self.estimator.line.as_ref().filter(|_| !is_young);
        line.is_some_and(|line| {
            let apart = (line.rate() - self.belief.rate).abs();
            apart > CONTRADICTION * line.rate_sigma.hypot(self.belief.sigma)
        })
    }
}
