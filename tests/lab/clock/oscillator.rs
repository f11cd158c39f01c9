//! [`Oscillator`]: a follower's local clock, whose every error is known.

use crate::report::random::Random;
use downbeat_sync::{LocalTime, Span};
use std::f64::consts::TAU;

/// What a follower's crystal does against the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drift {
    /// Its rate, drawn between these, fast for even seeds and slow for odd ones [ppm].
    pub(crate) ppm: (f64, f64),
    /// Its temperature swings the rate by so much to either side [ppm] ...
    pub(crate) swing: f64,
    /// ... in so long (s).
    pub(crate) period: f64,
    /// Random walk of the rate besides: standard deviation after a second [ppm/√s].
    pub(crate) walk: f64,
    /// It leaps by so much to either side [ppm], each so often (s), give or take a third.
    pub(crate) leaps: Option<(f64, f64)>,
    /// It is warmed up: by so much more [ppm], in so long, from then on (s).
    pub(crate) warms: Option<(f64, f64, f64)>,
}

impl Drift {
    /// Two crystals from the shop on a day in a room: what the reference study simulated.
    pub(crate) const ROOM: Drift =
        Drift { ppm: (60.0, 80.0), swing: 0.5, period: 600.0, walk: 0.0, leaps: None, warms: None };
}

/// One crystal.
pub(crate) struct Oscillator {
    /// By how much it gains, without swing and walk [1].
    rate: f64,
    swing: f64,
    omega: f64,
    phase: f64,
    /// The walk second by second: the rate at its beginning [1], and what that gained until then (s).
    walk: Vec<(f64, f64)>,
}

impl Oscillator {
    /// Draws one that will last so many seconds.
    pub(crate) fn new(drift: &Drift, seed: u64, seconds: f64) -> Oscillator {
        let mut random = Random(seed.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ 0x05c1);
        let (low, high) = drift.ppm;
        let ppm = low + (high - low) * random.unit();
        let phase = TAU * random.unit();
        let mut walk = Vec::new();
        if drift.walk > 0.0 || drift.leaps.is_some() || drift.warms.is_some() {
            let (mut rate, mut gained) = (0.0, 0.0);
            let mut leap_at = drift.leaps.map_or(f64::INFINITY, |(_, every)| every * (0.3 + random.unit()));
            for second in 0..=seconds as usize {
                walk.push((rate, gained));
                let mut next = rate;
                if drift.walk > 0.0 {
                    next += 1e-6 * drift.walk * random.normal();
                }
                if let Some((by, every)) = drift.leaps.filter(|_| second as f64 >= leap_at) {
                    leap_at += every * (0.67 + 0.66 * random.unit());
                    next += 1e-6 * by * if random.unit() < 0.5 { 1.0 } else { -1.0 };
                }
                if let Some((by, over, from)) = drift.warms {
                    let is_warming = (from..from + over).contains(&(second as f64));
                    next += if is_warming { 1e-6 * by / over } else { 0.0 };
                }
                gained += 0.5 * (rate + next);
                rate = next;
            }
        }
        Oscillator {
            rate: 1e-6 * if seed.is_multiple_of(2) { ppm } else { -ppm },
            swing: 1e-6 * drift.swing,
            omega: TAU / drift.period,
            phase,
            walk,
        }
    }

    /// Local time at a true time (s).
    pub(crate) fn local(&self, t: f64) -> LocalTime {
        let swung = (self.phase.cos() - (self.omega * t + self.phase).cos()) * self.swing / self.omega;
        let gained = self.rate * t + swung + self.walked(t);
        // The larger part apart, to keep every tick of the smaller.
        LocalTime::from_ticks(1 << 40) + Span::from_secs_f64(t) + Span::from_secs_f64(gained)
    }

    fn walked(&self, t: f64) -> f64 {
        let second = (t as usize).min(self.walk.len().saturating_sub(2));
        let Some([(rate, gained), (next, _)]) = self.walk.get(second..second + 2) else { return 0.0 };
        let s = t - second as f64;
        gained + rate * s + 0.5 * (next - rate) * s * s
    }
}
