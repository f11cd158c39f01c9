//! [`Weather`]: what a network's load and its routes add to its usual delays, for a while or for good. All of it is lawful: no stamp
//! is wrong, nothing arrives early.
//!
//! Not for: a network's usual law (`link`), nor for faults.

use super::link::Way;
use crate::report::random::Random;

/// A kind of load. Which way it is on, and when it begins within a quarter of a minute, the seed decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    /// None.
    Fair,
    /// One way has a queue of about so much, from then on for so long (s).
    Queue { more: f64, from: f64, lasts: f64 },
    /// One way is congested: the same, and a third of its packets up to 60 ms more; the other way now and then 30 ms.
    Congested { more: f64, from: f64, lasts: f64 },
    /// A queue on one way grows to so much, from then on, in so long (s), and stays.
    Ramp { more: f64, from: f64, lasts: f64 },
    /// One way is longer by so much from then on, for good (s).
    Route { more: f64, from: f64 },
    /// One way changes to and fro by so much, and the other by a seventh of it, every 30 to 120 s (s).
    Flap { more: f64 },
    /// One way fills a buffer of so much in so long, loses a packet, and begins anew at half of it (s).
    Saw { more: f64, period: f64 },
    /// What comes down is held until the next beacon (s).
    Beacon { period: f64 },
    /// For half of each such period one way has so much more (s).
    Periodic { more: f64, period: f64 },
}

/// The weather of one seed.
pub(crate) struct Sky {
    weather: Weather,
    loaded: Way,
    shift: f64,
    /// For [`Weather::Flap`]: when it changes next, and whether it is the longer way.
    turns: (f64, bool),
    random: Random,
}

impl Sky {
    pub(crate) fn new(weather: Weather, seed: u64) -> Sky {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x3e);
        let loaded = if random.unit() < 0.5 { Way::Up } else { Way::Down };
        let shift = random.unit();
        Sky { weather, loaded, shift, turns: (30.0 + 90.0 * shift, false), random }
    }

    /// What a packet takes longer that leaves at `t` and would take `delay`.
    pub(crate) fn more(&mut self, t: f64, delay: f64, way: Way) -> f64 {
        let is_loaded = way == self.loaded;
        let since = |from: f64| t - from - 15.0 * self.shift;
        match self.weather {
            Weather::Fair => 0.0,
            Weather::Queue { more, from, lasts } => {
                let is_on = is_loaded && (0.0..lasts).contains(&since(from));
                if is_on { 0.93 * more + self.random.exponential(0.07 * more) } else { 0.0 }
            }
            Weather::Congested { more, from, lasts } => {
                let is_on = (0.0..lasts).contains(&since(from));
                let part = if is_loaded { 0.33 } else { 0.1 };
                let burst =
                    if self.random.unit() < part { self.random.unit() * 0.06 * part / 0.33 } else { 0.0 };
                let queue = if is_loaded { more + self.random.exponential(0.2 * more) } else { 0.0 };
                let noise = if is_loaded { 0.0 } else { self.random.exponential(100e-6) };
                if is_on { queue + burst + noise } else { 0.0 }
            }
            Weather::Ramp { more, from, lasts } => {
                if is_loaded {
                    more * (since(from) / lasts).clamp(0.0, 1.0)
                } else {
                    0.0
                }
            }
            Weather::Route { more, from } => {
                if is_loaded && since(from) > 0.0 {
                    more
                } else {
                    0.0
                }
            }
            Weather::Flap { more } => {
                while t > self.turns.0 {
                    self.turns = (self.turns.0 + 30.0 + 90.0 * self.random.unit(), !self.turns.1);
                }
                match self.turns.1 {
                    true => {
                        if is_loaded {
                            more
                        } else {
                            more / 7.0
                        }
                    }
                    false => 0.0,
                }
            }
            Weather::Saw { more, period } => {
                let part = (t / period + self.shift).fract();
                if is_loaded { more * (0.5 + 0.5 * part) } else { 0.0 }
            }
            Weather::Beacon { period } => match way {
                Way::Up => 0.0,
                Way::Down => {
                    let there = (t + delay) / period + self.shift;
                    period * (there.ceil() - there)
                }
            },
            Weather::Periodic { more, period } => {
                if is_loaded && (t / period + self.shift).fract() < 0.5 {
                    more
                } else {
                    0.0
                }
            }
        }
    }
}
