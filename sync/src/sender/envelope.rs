//! [`Envelope`]: the upper edge of a sender's leads, and its drift, one packet at a time.
//!
//! Not for: where events go (`super`).
//!
//! A packet is never early: its lead lies below the edge by what the network held it up. `one_sided` finds the edge and its
//! drift. What contradicts the edge, packet after packet, is a step: of the sender's clock, or of the path.
//!
//! On the Wi-Fi of the reference (1 ms + Exp 0.8 ms, one packet in twenty up to 20 ms late, four in five of a quarter of
//! the time up to 100 ms), at 2 to 8 packets a second, the edge stays within half a millisecond over ten minutes. Twice or
//! half of any number below changes that by a fifth.

pub(super) use crate::one_sided::Seconds;
use crate::one_sided::{OneSided, Tuning};

/// What a packet below the edge weighs against one above.
const LATE_WEIGHT: f64 = 0.005;
/// Beyond so many mean deviations it counts in proportion, not squared.
const HUBER: f64 = 6.0;
/// Standard error of a packet on the edge, in mean deviations.
const NOISE: f64 = 0.4;
/// A deviation is the mean of those bounded by so many of it: it stands while half of all packets are held up.
const BOUNDED: f64 = 1.5;
/// To start with; its floor; and over how many packets it is taken.
const DEVIATION: Seconds = 20e-3;
const DEVIATION_MIN: Seconds = 20e-6;
const DEVIATION_MEMORY: f64 = 64.0;
/// Standard deviations to start with: of the edge, after a step of it, and of the drift, which is a crystal's.
const UNKNOWN: Seconds = 50e-3;
const STEPPED: Seconds = 5e-3;
const ANY_RATE: f64 = 100e-6;
/// No clock that is worth following drifts more (1).
const MAX_RATE: f64 = 500e-6;
/// Random walks of the edge [s/√s] and of the drift [1/√s].
const EDGE_WANDER: f64 = 20e-6;
const RATE_WANDER: f64 = 0.3e-6;
const TUNING: Tuning = Tuning {
    late_weight: LATE_WEIGHT,
    huber: HUBER,
    noise: NOISE,
    edge_wander: EDGE_WANDER,
    rate_wander: RATE_WANDER,
    bounded: BOUNDED,
    deviation: (DEVIATION_MIN, Seconds::INFINITY),
};

/// A packet so far above the edge contradicts it, by the larger of the two: seconds, mean deviations.
const EARLY: (Seconds, f64) = (2e-3, 6.0);
/// So many in a row, over so long, prove a step if they agree to this: none can be early.
const EARLY_PROOF: (u32, Seconds) = (4, 0.1);
const AGREE: (Seconds, f64) = (50e-3, 6.0);
/// A packet so far below the edge does not touch it.
const BELOW: (Seconds, f64) = (2e-3, 3.0);
/// So many in a row, over so long, prove a step: longer than Wi-Fi sleeps.
const BELOW_PROOF: (u32, Seconds) = (32, 10.0);
/// The same if every one of them comes too late to be placed: then there is hurry.
const LATE_PROOF: (u32, Seconds) = (8, 1.0);

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surprise {
    /// It was used, or is waiting for others to say the same.
    None,
    /// It confirmed a step: the edge is where it and those before it say.
    Stepped,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    lead: Seconds,
    rate: f64,
    known: OneSided,
    count: u32,
    above: Streak,
    below: Streak,
}

/// Packets in a row that say something else than the edge.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    count: u32,
    since: Seconds,
    lowest: Seconds,
    highest: Seconds,
}

impl Envelope {
    /// After the first packet, from whose lead others are counted.
    pub(super) fn new() -> Envelope {
        Envelope {
            lead: 0.0,
            rate: 0.0,
            known: OneSided::new(UNKNOWN, ANY_RATE, DEVIATION),
            count: 1,
            above: Streak::default(),
            below: Streak::default(),
        }
    }

    /// The same, of a sender that was silent for so long: its drift is known more or less.
    pub(super) fn begin_again(&mut self, lead: Seconds, since: Seconds) {
        let rate_sigma = self.known.rate_sigma().hypot(since.sqrt() * RATE_WANDER).min(ANY_RATE);
        let known = OneSided::new(UNKNOWN, rate_sigma, DEVIATION);
        *self = Envelope { lead, rate: self.rate, known, ..Envelope::new() };
    }

    /// The edge, as of the last call of [`Envelope::go_on`].
    pub(super) fn lead(&self) -> Seconds {
        self.lead
    }

    /// By how much the lead grows in a second (1).
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// Standard error of that.
    pub(super) fn rate_sigma(&self) -> f64 {
        self.known.rate_sigma()
    }

    /// How many packets it rests on.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Lets time pass.
    pub(super) fn go_on(&mut self, since: Seconds) {
        self.lead += self.rate * since;
        self.known.predict(since, &TUNING);
    }

    /// Takes the packet of this moment, whose lead lies so far above the edge. `reserve` is how far below it a packet may
    /// lie and be placed in time.
    pub(super) fn take(&mut self, now: Seconds, above: Seconds, reserve: Seconds) -> Surprise {
        self.count = self.count.saturating_add(1);
        if above > self.least(EARLY) {
            self.below = Streak::default();
            return self.rise(now, above);
        }
        self.above = Streak::default();
        if above < -self.least(BELOW) {
            self.below.add(now, above);
            let late = self.below.highest < -reserve && self.below.proves(now, LATE_PROOF);
            if late || self.below.proves(now, BELOW_PROOF) {
                self.step(self.below.highest);
                return Surprise::Stepped;
            }
        } else {
            self.below = Streak::default();
        }
        self.correct(above);
        Surprise::None
    }

    /// A packet that came too early to be true.
    fn rise(&mut self, now: Seconds, above: Seconds) -> Surprise {
        self.above.add(now, above);
        if self.above.highest - self.above.lowest > self.least(AGREE) {
            // They do not agree: a score whose notes are sent at once, each further ahead, is no step.
            self.above = Streak::default();
            self.above.add(now, above);
        }
        if !self.above.proves(now, EARLY_PROOF) {
            return Surprise::None;
        }
        self.step(self.above.highest);
        Surprise::Stepped
    }

    fn step(&mut self, by: Seconds) {
        self.lead += by;
        self.known.placed(STEPPED);
        self.above = Streak::default();
        self.below = Streak::default();
    }

    fn correct(&mut self, above: Seconds) {
        let memory = 1.0 / f64::from(self.count).min(DEVIATION_MEMORY);
        let correction = self.known.update(-above, memory, &TUNING);
        self.lead -= correction.offset;
        self.rate = (self.rate - correction.rate).clamp(-MAX_RATE, MAX_RATE);
    }

    /// The larger of so many seconds and so many mean deviations.
    fn least(&self, (seconds, deviations): (Seconds, f64)) -> Seconds {
        seconds.max(deviations * self.known.deviation())
    }
}

impl Streak {
    fn add(&mut self, now: Seconds, above: Seconds) {
        if self.count == 0 {
            *self = Streak { count: 1, since: now, lowest: above, highest: above };
        } else {
            self.count = self.count.saturating_add(1);
            self.lowest = self.lowest.min(above);
            self.highest = self.highest.max(above);
        }
    }

    fn proves(&self, now: Seconds, (count, lasting): (u32, Seconds)) -> bool {
        self.count >= count && now - self.since >= lasting
    }
}
