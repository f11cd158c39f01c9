//! [`Law`]: what a network does to its packets, and [`Dice`], which draw it for one after another. Pure, and repeatable.
//!
//! The three networks are those of the reference's simulations (timing, 2.2). Not for: doing it (`wire`).

use super::Way;
use crate::report::random::Random;
use downbeat_sync::Span;

/// Seconds.
type Seconds = f64;

/// One way through a network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Law {
    /// What every packet takes at least.
    pub(crate) floor: Seconds,
    /// What it takes besides, mostly.
    pub(crate) tail: Tail,
    /// This part of the packets is held up further, evenly up to so long.
    pub(crate) spikes: (f64, Seconds),
    /// A receiver that sleeps to save power.
    pub(crate) sleep: Option<Sleep>,
    /// These parts of the packets are lost, and come twice.
    pub(crate) loss: f64,
    pub(crate) twice: f64,
    /// Whether no packet overtakes another; if not, they come in the order that their delays make.
    pub(crate) in_order: bool,
    /// From when to when nothing passes, since the start.
    pub(crate) holes: Vec<(Seconds, Seconds)>,
}

/// The distribution of usual delays above the floor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tail {
    /// Exponential of this mean.
    Exponential(Seconds),
    /// Gamma of shape 1.5 and this scale.
    Gamma(Seconds),
}

/// In the first `asleep` of every `period`, the part `held` of all packets waits evenly up to `longest`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sleep {
    pub(crate) period: Seconds,
    pub(crate) asleep: Seconds,
    pub(crate) held: f64,
    pub(crate) longest: Seconds,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// It comes after this delay; and once more after that one, if there is a second.
    Comes(Span, Option<Span>),
    /// The network lost it.
    Lost,
    /// It fell into a black hole.
    Hole,
}

impl Law {
    /// Nothing but a delay.
    pub(crate) fn constant(floor: Seconds) -> Law {
        Law {
            floor,
            tail: Tail::Exponential(0.0),
            spikes: (0.0, 0.0),
            sleep: None,
            loss: 0.0,
            twice: 0.0,
            in_order: false,
            holes: Vec::new(),
        }
    }

    /// A network by its name, both ways.
    pub(crate) fn named(name: &str) -> Option<[Law; 2]> {
        match name {
            "lan" => Some(Way::BOTH.map(|_| Law::lan())),
            "wifi" => Some(Way::BOTH.map(Law::wifi)),
            "wan" => Some(Way::BOTH.map(Law::wan)),
            _ => None,
        }
    }

    /// A wired network at home.
    pub(crate) fn lan() -> Law {
        Law { tail: Tail::Exponential(25e-6), spikes: (0.02, 3e-3), loss: 0.001, ..Law::constant(150e-6) }
    }

    /// A wireless one, whose station saves power: what goes back to it waits while it sleeps.
    pub(crate) fn wifi(way: Way) -> Law {
        let (mean, sleep) = match way {
            Way::Forth => (0.8e-3, None),
            Way::Back => (1.5e-3, Some(Sleep { period: 20.0, asleep: 5.0, held: 0.8, longest: 0.1 })),
        };
        Law { tail: Tail::Exponential(mean), spikes: (0.05, 20e-3), sleep, loss: 0.05, ..Law::constant(1e-3) }
    }

    /// The internet.
    pub(crate) fn wan(way: Way) -> Law {
        let scale = if way == Way::Forth { 1.5e-3 } else { 3e-3 };
        Law { tail: Tail::Gamma(scale), ..Law::constant(20e-3) }
    }
}

/// A law and its chance. The n-th packet's draws depend on the seed and n alone, not on when it comes.
pub(crate) struct Dice {
    law: Law,
    random: Random,
}

impl Dice {
    pub(crate) fn new(law: Law, seed: u64, way: Way) -> Dice {
        let mut random = Random(seed ^ ((way as u64) << 63));
        // Seeds that lie close together do not begin alike.
        random.bits();
        Dice { law, random }
    }

    /// The law.
    pub(crate) fn law(&self) -> &Law {
        &self.law
    }

    /// What becomes of the next packet, which comes so long after the start (s).
    pub(crate) fn throw(&mut self, now: Seconds) -> Fate {
        let [lost, twice] = [self.random.unit(), self.random.unit()];
        let delays = [self.delay(now), self.delay(now)];
        if self.law.holes.iter().any(|(from, to)| (*from..*to).contains(&now)) {
            Fate::Hole
        } else if lost < self.law.loss {
            Fate::Lost
        } else {
            Fate::Comes(delays[0], (twice < self.law.twice).then_some(delays[1]))
        }
    }

    fn delay(&mut self, now: Seconds) -> Span {
        let unit: [f64; 7] = std::array::from_fn(|_| self.random.unit());
        let exponential = -(1.0 - unit[0]).ln();
        let tail = match self.law.tail {
            Tail::Exponential(mean) => mean * exponential,
            Tail::Gamma(scale) => {
                // A gamma variable of shape 1/2 is half the square of a normal one (Box and Muller 1958).
                let normal = (-2.0 * (1.0 - unit[1]).ln()).sqrt() * (std::f64::consts::TAU * unit[2]).cos();
                scale * (exponential + 0.5 * normal * normal)
            }
        };
        let (chance, longest) = self.law.spikes;
        let spike = if unit[3] < chance { longest * unit[4] } else { 0.0 };
        let held = match self.law.sleep {
            Some(sleep) if now.rem_euclid(sleep.period) < sleep.asleep && unit[5] < sleep.held => {
                sleep.longest * unit[6]
            }
            _ => 0.0,
        };
        Span::from_secs_f64(self.law.floor + tail + spike + held)
    }
}
