//! [`ClockEstimate`]: the straight line between local and ensemble time, and the only converter between the two.
//!
//! Not for: finding that line. A leader draws it from its wall clock (`timescale`); a follower from exchanges with peers.

use crate::{EnsembleTime, LocalTime, Span};

/// Ensemble time as a straight line over local time, with what is known about its error.
///
/// `RT:` copying and evaluating it is safe anywhere: a few multiplications, no branches on the heap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockEstimate {
    local: LocalTime,
    ensemble: EnsembleTime,
    /// Ensemble seconds per local second, less one.
    rate: f64,
    /// Standard error of the offset at the anchor.
    pub sigma: Span,
    /// The error's hard limit at the anchor, where one is known; [`Span::MAX`] where not.
    pub bound: Span,
    /// Counts the jumps of the timescale: two estimates of one epoch are one continuous clock.
    pub epoch: u32,
}

impl ClockEstimate {
    /// The line through one point at the local clock's own rate, taken as exact.
    pub fn new(local: LocalTime, ensemble: EnsembleTime) -> ClockEstimate {
        ClockEstimate { local, ensemble, rate: 0.0, sigma: Span::ZERO, bound: Span::ZERO, epoch: 0 }
    }

    /// The same point with another rate: `rate` ensemble seconds per local second, less one [1; 1e-6 is 1 ppm].
    pub fn with_rate(self, rate: f64) -> ClockEstimate {
        ClockEstimate { rate, ..self }
    }

    /// The same line, known this well at its anchor.
    pub fn with_error(self, sigma: Span, bound: Span) -> ClockEstimate {
        ClockEstimate { sigma, bound, ..self }
    }

    /// The same line, in this epoch.
    pub fn in_epoch(self, epoch: u32) -> ClockEstimate {
        ClockEstimate { epoch, ..self }
    }

    /// Ensemble seconds per local second, less one [1; 1e-6 is 1 ppm].
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The local time at which the line is anchored: its freshest evidence.
    pub fn anchor(&self) -> LocalTime {
        self.local
    }

    /// Ensemble time at a local time.
    pub fn ensemble_at(&self, local: LocalTime) -> EnsembleTime {
        let since = local - self.local;
        // The rate's part is small, so doing only that in floating point keeps every tick of the rest.
        self.ensemble + since + Span::from_ticks((since.ticks() as f64 * self.rate).round() as i64)
    }

    /// Local time at an ensemble time; undoes [`ClockEstimate::ensemble_at`] to within one tick per day of distance.
    pub fn local_at(&self, ensemble: EnsembleTime) -> LocalTime {
        let since = ensemble - self.ensemble;
        let inverse = -self.rate / (1.0 + self.rate);
        self.local + since + Span::from_ticks((since.ticks() as f64 * inverse).round() as i64)
    }

    /// The same line, anchored at another local time.
    pub fn anchored_at(&self, local: LocalTime) -> ClockEstimate {
        ClockEstimate { local, ensemble: self.ensemble_at(local), ..*self }
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
