//! [`OnsetFilter`]: offset and rate of a line along the early edge of noisy, one-sided stamps.
//!
//! Not for: stamps that are wrong because frames were lost (`slip` finds those first).
//!
//! The filter is `one_sided`; this is how it is tuned to the callbacks of a host.
//!
//! The numbers below were chosen on traces of a JACK dummy server, idle and loaded, at 64, 256 and 1024 frames, against
//! robust lines through block quantiles, lower hulls, and Kalman filters of block statistics. Near them the error is
//! flat: half or twice of any changes the spread by a tenth. What limits it is the stamps' own wander: their average
//! over a second still has 20 us of standard deviation, over ten seconds 10 us.

use super::{DeviceRate, Seconds};
use crate::one_sided::{Correction, OneSided, Tuning};

/// What a late innovation weighs against an early one of the same size. With 0.1 the line moves half as far again when
/// the load changes; with 0.001 it takes ten seconds to settle.
const LATE_WEIGHT: f64 = 0.01;
/// Standard error of one early stamp, in mean deviations.
const NOISE: f64 = 0.4;
/// The same where the rate is known this well from the start [ppm]: then there is no hurry to learn it, and averaging for
/// longer takes a seventh off the spread, which would be a fifth wider if the rate were not known.
const NOISE_KNOWN: f64 = 0.8;
const KNOWN: f64 = 1.5;
/// Of fewer callbacks a second, fewer touch the early edge: periods longer than this weigh their late stamps more and
/// trust each less, in proportion.
const DENSE: Seconds = 1.0 / 187.5;
/// Innovations beyond so many mean deviations count in proportion, not squared.
const HUBER: f64 = 4.0;
/// Random walk of the device's rate: 0.06 ppm in a second, 0.5 ppm in a minute of warming up [1/√s].
const RATE_WANDER: f64 = 0.06e-6;
/// Random walk of the early edge itself, which moves with the host's load [s/√s].
const EDGE_WANDER: f64 = 0.5e-6;
/// What is believed of the first stamp.
const FIRST_STAMP: Seconds = 200e-6;
/// Mean deviation to start with, its bounds, and its memory.
const DEVIATION: Seconds = 100e-6;
const DEVIATION_MIN: Seconds = 2e-6;
const DEVIATION_MAX: Seconds = 1e-3;
const DEVIATION_MEMORY: Seconds = 10.0;
/// Stamps are not independent, which the filter assumes: the error found on traces is about so many times its own.
const CORRELATED: f64 = 4.0;

const TUNING: Tuning = Tuning {
    late_weight: LATE_WEIGHT,
    huber: HUBER,
    noise: NOISE,
    edge_wander: EDGE_WANDER,
    rate_wander: RATE_WANDER,
    bounded: HUBER,
    deviation: (DEVIATION_MIN, DEVIATION_MAX),
};

/// How well offset and rate are known. The two themselves are the frame map.
#[derive(Clone, Debug)]
pub(super) struct OnsetFilter {
    filter: OneSided,
    noise: f64,
}

impl OnsetFilter {
    /// For a device whose rate is known so well.
    pub(super) fn new(known: DeviceRate) -> OnsetFilter {
        OnsetFilter {
            filter: OneSided::new(FIRST_STAMP, 1e-6 * known.sigma, DEVIATION),
            noise: if known.sigma < KNOWN { NOISE_KNOWN } else { NOISE },
        }
    }

    /// Mean distance of the stamps from the line.
    pub(super) fn deviation(&self) -> Seconds {
        self.filter.deviation()
    }

    /// Standard error of the offset.
    pub(super) fn sigma(&self) -> Seconds {
        CORRELATED * self.filter.offset_sigma()
    }

    /// Standard error of the rate [1], from stamps that lie `dt` apart: the sparser, the more independent.
    pub(super) fn rate_sigma(&self, dt: Seconds) -> f64 {
        (CORRELATED * DENSE / dt.max(DENSE)).max(2.0) * self.filter.rate_sigma()
    }

    /// `dt` of the device goes by, and what is known ages.
    pub(super) fn predict(&mut self, dt: Seconds) {
        self.filter.predict(dt, &TUNING);
    }

    /// A stamp came `lateness` after the line, `dt` of the device after the stamp before.
    pub(super) fn update(&mut self, lateness: Seconds, dt: Seconds) -> Correction {
        let sparse = (dt / DENSE).max(1.0);
        let tuning = Tuning { late_weight: LATE_WEIGHT * sparse, noise: self.noise * sparse, ..TUNING };
        self.filter.update(lateness, (dt / DEVIATION_MEMORY).min(1.0), &tuning)
    }

    /// The line was moved by an amount uncertain by about `sigma`. The rate stays known.
    pub(super) fn moved(&mut self, sigma: Seconds) {
        self.filter.moved(sigma);
    }
}
