//! [`ClockLine`]: the straight line from one clock to another, and the only converter between two.
//!
//! Not for: finding that line. A leader draws it from its wall clock (`timescale`); a follower from exchanges with peers
//! (`estimator`), one line from its own clock to the peer's, and one that the peer tells, from there to the ensemble's.

use crate::time::Instant;
use crate::{EnsembleTime, LocalTime, RemoteTime, Span};

/// Ensemble time over local time: what a node goes by.
pub type ClockEstimate = ClockLine<LocalTime, EnsembleTime>;
/// Another host's clock over this one's: what exchanges measure.
pub type RemoteEstimate = ClockLine<LocalTime, RemoteTime>;
/// Ensemble time over another host's clock: what that host says.
pub type RemoteLine = ClockLine<RemoteTime, EnsembleTime>;

/// One clock as a straight line over another, with what is known about its error.
///
/// `RT:` copying and evaluating it is safe anywhere: a few multiplications, no branches on the heap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockLine<Here, There> {
    here: Here,
    there: There,
    /// Seconds of `There`'s clock per second of `Here`'s, less one.
    rate: f64,
    /// Standard error of the offset at the anchor.
    pub sigma: Span,
    /// The error's hard limit at the anchor, where one is known; [`Span::MAX`] where not.
    pub bound: Span,
    /// Counts the jumps of the timescale: two estimates of one epoch are one continuous clock.
    pub epoch: u32,
}

impl<Here: Instant, There: Instant> ClockLine<Here, There> {
    /// The line through one point at the first clock's own rate, taken as exact.
    pub fn new(here: Here, there: There) -> Self {
        ClockLine { here, there, rate: 0.0, sigma: Span::ZERO, bound: Span::ZERO, epoch: 0 }
    }

    /// The same point with another rate: seconds there per second here, less one [1; 1e-6 is 1 ppm].
    pub fn with_rate(self, rate: f64) -> Self {
        ClockLine { rate, ..self }
    }

    /// The same line, known this well at its anchor.
    pub fn with_error(self, sigma: Span, bound: Span) -> Self {
        ClockLine { sigma, bound, ..self }
    }

    /// The same line, in this epoch.
    pub fn in_epoch(self, epoch: u32) -> Self {
        ClockLine { epoch, ..self }
    }

    /// Seconds there per second here, less one [1; 1e-6 is 1 ppm].
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The time here at which the line is anchored: its freshest evidence.
    pub fn anchor(&self) -> Here {
        self.here
    }

    /// The same line, anchored at another time.
    pub fn anchored_at(&self, here: Here) -> Self {
        ClockLine { here, there: self.map(here), ..*self }
    }

    fn map(&self, here: Here) -> There {
        let since = here - self.here;
        // The rate's part is small, so doing only that in floating point keeps every tick of the rest.
        self.there + since + Span::from_ticks((since.ticks() as f64 * self.rate).round() as i64)
    }
}

impl<Here: Instant> ClockLine<Here, EnsembleTime> {
    /// Ensemble time at a time of the first clock.
    pub fn ensemble_at(&self, here: Here) -> EnsembleTime {
        self.map(here)
    }

    /// The line of a time that is ahead of this one's by so much.
    pub fn ahead_by(self, by: Span) -> Self {
        ClockLine { there: self.there + by, ..self }
    }
}

impl<There: Instant> ClockLine<LocalTime, There> {
    /// Local time at a time of the other clock; undoes [`ClockEstimate::ensemble_at`] to within one tick per day of distance.
    pub fn local_at(&self, there: There) -> LocalTime {
        let since = there - self.there;
        let inverse = -self.rate / (1.0 + self.rate);
        self.here + since + Span::from_ticks((since.ticks() as f64 * inverse).round() as i64)
    }
}

impl RemoteEstimate {
    /// The other host's time at a local time.
    pub fn remote_at(&self, local: LocalTime) -> RemoteTime {
        self.map(local)
    }

    /// Local to ensemble time, by way of the other host: its clock as estimated here, and the line that it tells. The error is both
    /// together, at this line's anchor.
    pub fn then(&self, told: &RemoteLine) -> ClockEstimate {
        let rate = (1.0 + self.rate) * (1.0 + told.rate) - 1.0;
        let sigma = self.sigma.as_secs_f64().hypot(told.sigma.as_secs_f64());
        let bound = self.bound + told.bound;
        // Nobody is less sure than what cannot be, however much the stamps differ.
        let sigma = Span::from_secs_f64(sigma).min(bound);
        ClockEstimate::new(self.here, told.map(self.there)).with_rate(rate).with_error(sigma, bound)
    }
}

impl ClockEstimate {
    /// This line as it stands in a message: to other hosts it is over a remote clock.
    pub fn to_remote(&self) -> RemoteLine {
        let ClockLine { here, there, rate, sigma, bound, epoch } = *self;
        ClockLine { here: here.to_remote(), there, rate, sigma, bound, epoch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(rate: f64) -> ClockEstimate {
        ClockEstimate::new(
            LocalTime::from_ticks(1 << 40),
            EnsembleTime::from_unix(Span::from_secs(1_700_000_000)),
        )
        .with_rate(rate)
    }

    #[test]
    fn a_fast_ensemble_gains_its_ppm() {
        let line = line(100e-6);
        let gained =
            line.ensemble_at(line.anchor() + Span::from_secs(1000)) - line.ensemble_at(line.anchor());
        assert!((gained - Span::from_millis(1_000_100)).abs() <= Span::from_ticks(1));
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_tick(secs in -86_400i64..86_400, ppm in -500.0..500.0f64) {
            let line = line(ppm * 1e-6);
            let local = line.anchor() + Span::from_secs(secs) + Span::from_ticks(secs * 7919);
            let back = line.local_at(line.ensemble_at(local));
            prop_assert!((back - local).abs() <= Span::from_ticks(2));
        }

        #[test]
        fn moving_the_anchor_moves_nothing_else(secs in -10_000i64..10_000, at in -10_000i64..10_000) {
            let line = line(60e-6);
            let moved = line.anchored_at(line.anchor() + Span::from_secs(at));
            let probe = line.anchor() + Span::from_secs(secs);
            prop_assert!((moved.ensemble_at(probe) - line.ensemble_at(probe)).abs() <= Span::from_ticks(2));
        }
    }
}
