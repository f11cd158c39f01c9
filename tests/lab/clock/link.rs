//! [`Link`]: a network between two clocks, by its delay law and its faults.
//!
//! The laws are those of the reference study, which found that how the delays lie near their minimum decides which
//! estimator wins: so there are hard floors (exponential) and soft ones (gamma of shape 4 and 9).

use super::weather::{Sky, Weather};
use crate::report::random::Random;

/// A delay law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Profile {
    /// A wire with a switch: 150 us and an exponential 25 us, both ways; of 50 packets one up to 3 ms late.
    Lan,
    /// The same with a soft floor: a gamma law of this shape.
    SoftLan(f64),
    /// 1 ms and an exponential 0.8 ms up, 1.5 ms down; of 20 packets one up to 20 ms late. In 5 of every 20 seconds the
    /// follower's radio saves power, and 80 % of what comes down is held for up to 100 ms. Trials begin in such seconds.
    Wifi,
    /// 1 ms and a gamma law of this shape: mean 1 ms up, 1.8 ms down. A soft floor that differs by direction.
    SoftWifi(f64),
    /// 20 ms and a gamma law of shape 1.5: scale 1.5 ms up, 3 ms down.
    Wan,
}

impl Profile {
    /// All that are measured.
    pub(crate) const ALL: [Profile; 7] = [
        Profile::Lan,
        Profile::SoftLan(4.0),
        Profile::SoftLan(9.0),
        Profile::Wifi,
        Profile::SoftWifi(4.0),
        Profile::SoftWifi(9.0),
        Profile::Wan,
    ];

    /// As tables show it.
    pub(crate) fn name(self) -> String {
        match self {
            Profile::Lan => "LAN".into(),
            Profile::SoftLan(shape) => format!("LAN soft {shape}"),
            Profile::Wifi => "WIFI".into(),
            Profile::SoftWifi(shape) => format!("WIFI soft {shape}"),
            Profile::Wan => "WAN".into(),
        }
    }

    /// An error below this is synchronous enough, for this network [us].
    pub(crate) fn synchronous(self) -> f64 {
        match self {
            Profile::Lan | Profile::SoftLan(_) => 20.0,
            Profile::Wifi | Profile::SoftWifi(_) => 500.0,
            Profile::Wan => 2_000.0,
        }
    }

    /// An error below this is the end of a step [us].
    pub(crate) fn recovered(self) -> f64 {
        match self {
            Profile::Lan | Profile::SoftLan(_) => 100.0,
            _ => 500.0,
        }
    }

    /// Part of the packets that get lost each way.
    fn loss(self) -> f64 {
        match self {
            Profile::Wifi | Profile::SoftWifi(_) => 0.05,
            _ => 0.001,
        }
    }

    /// How long a packet that leaves at `t` takes (s), up or down; `None` if it is lost.
    pub(crate) fn passes(self, random: &mut Random, t: f64, down: bool) -> Option<f64> {
        let is_lost = random.unit() < self.loss();
        (!is_lost).then(|| self.delay(random, t, if down { Way::Down } else { Way::Up }))
    }

    /// How long a packet that leaves at `t` takes (s).
    fn delay(self, random: &mut Random, t: f64, way: Way) -> f64 {
        let down = way == Way::Down;
        let mut rarely = |part: f64, most: f64| if random.unit() < part { random.unit() * most } else { 0.0 };
        match self {
            Profile::Lan => 150e-6 + rarely(0.02, 3e-3) + random.exponential(25e-6),
            Profile::SoftLan(shape) => 150e-6 + rarely(0.02, 3e-3) + random.gamma(shape, 25e-6 / shape),
            Profile::Wifi => {
                let sleeps = down && t.rem_euclid(20.0) < 5.0;
                let held = if sleeps { rarely(0.8, 100e-3) } else { 0.0 };
                1e-3 + held + rarely(0.05, 20e-3) + random.exponential(if down { 1.5e-3 } else { 0.8e-3 })
            }
            Profile::SoftWifi(shape) => 1e-3 + random.gamma(shape, if down { 1.8e-3 } else { 1e-3 } / shape),
            Profile::Wan => 20e-3 + random.gamma(1.5, if down { 3e-3 } else { 1.5e-3 }),
        }
    }
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// From the follower to the reference.
    Up,
    /// Back.
    Down,
}

/// What a network does wrong besides being slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Part of the packets lost each way, beyond the profile's own.
    pub(crate) loss: f64,
    /// Part of the packets that come twice.
    pub(crate) duplicated: f64,
    /// Part of the packets that are overtaken: held for up to 0.4 s.
    pub(crate) reordered: f64,
    /// Part of the reference's stamps, of each kind, that are 5 ms on the early side.
    pub(crate) corrupt: f64,
    /// Between these nothing passes (s).
    pub(crate) hole: Option<(f64, f64)>,
}

impl Faults {
    /// None.
    pub(crate) const NONE: Faults =
        Faults { loss: 0.0, duplicated: 0.0, reordered: 0.0, corrupt: 0.0, hole: None };
}

/// How long an overtaken packet is held at most (s).
const HELD: f64 = 0.4;

/// A profile with faults.
pub(crate) struct Link {
    profile: Profile,
    faults: Faults,
    sky: Sky,
    random: Random,
}

impl Link {
    /// A link whose accidents this seed decides.
    pub(crate) fn new(profile: Profile, faults: Faults, weather: Weather, seed: u64) -> Link {
        let sky = Sky::new(weather, seed);
        Link { profile, faults, sky, random: Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x11) }
    }

    /// When a packet that leaves at `t` arrives (s): once, twice or never.
    pub(crate) fn pass(&mut self, t: f64, way: Way) -> impl Iterator<Item = f64> + use<> {
        let Faults { loss, duplicated, reordered, hole, .. } = self.faults;
        let copies = if self.chance(duplicated) { 2 } else { 1 };
        let is_closed = hole.is_some_and(|(from, to)| (from..to).contains(&t));
        let mut arrivals = [None; 2];
        for arrival in &mut arrivals[..copies] {
            if self.chance(self.profile.loss()) || self.chance(loss) {
                continue;
            }
            let held = if self.chance(reordered) { HELD * self.random.unit() } else { 0.0 };
            let delay = held + self.profile.delay(&mut self.random, t, way);
            let delay = delay + self.sky.more(t, delay, way);
            *arrival = (!is_closed).then_some(t + delay);
        }
        arrivals.into_iter().flatten()
    }

    /// Whether a stamp gets corrupt on its way.
    pub(crate) fn corrupts(&mut self) -> bool {
        self.chance(self.faults.corrupt)
    }

    fn chance(&mut self, part: f64) -> bool {
        part > 0.0 && self.random.unit() < part
    }
}
