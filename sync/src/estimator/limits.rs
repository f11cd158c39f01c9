//! [`Limits`]: between what the offset must lie, from the stamps of exchanges and nothing else.
//!
//! Not for: where in between it most likely is (`line`), nor for which stamps are wrong (`gate`).
//!
//! Nothing arrives before it is sent: when a question left, the other clock had not yet reached the stamp of its arrival; when
//! the answer came back, it had passed the stamp of its leaving (Cristian 1989). So each exchange limits the offset from above
//! at its beginning and from below at its end. From then on a limit recedes, by the most that two crystals may differ
//! ([`MaxDrift`]). All recede at one speed, so of all limits of one side the tightest now stays the tightest, and one number a
//! side holds what all exchanges together prove (their intersection, Marzullo 1984).
//!
//! That is a proof, under what it assumes: crystals within [`MaxDrift`] of each other; stamps that are rounded to an even grid, if
//! their clock is coarse ([`Grain`]), and else wrong by no more than [`CONVERSION`]; and clocks that nobody sets. Where a clock is set, stamps come early or a host lies, limits may be wrong: until they contradict each other,
//! which ends it at once; until the gate finds the step; or until they are forgotten, by exchanges that come at least
//! [`AGE`] later, whichever is first. By less than the network's round trip a clock may be set without any contradiction.

use super::gate::Stamps;
use super::line::Seconds;
use crate::Exchange;

/// What may be wrong with a stamp besides its grain: some are converted from one clock of a host to another (s).
const CONVERSION: Seconds = 2e-6;
/// A limit is remembered for so long, and for no more than twice that. By then it has receded by more than any network takes
/// [256 s: 51 ms at 200 ppm].
const AGE: Seconds = 256.0;
/// Ticks of a stamp in a second.
const TICKS_PER_SEC: f64 = 4_294_967_296.0;
/// A grain finer than this is part of [`CONVERSION`] (s).
const FINE: Seconds = 1e-6;
/// The difference of two distances of a coarse clock's stamps may be off its grid by this: each of the four was rounded to
/// nanoseconds, then to ticks [ticks].
const OFF_GRID: u64 = 12;
/// Distances that are remembered.
const DISTANCES: usize = 16;

/// The most that two crystals may differ in rate, which has no unit: what a hard bound assumes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxDrift(f64);

impl MaxDrift {
    /// The largest that can be asked for, in parts per million: clocks that run this much apart are not believed at all.
    pub const MOST_PPM: f64 = 1_000.0;

    /// From parts per million, above 0 and up to [`MaxDrift::MOST_PPM`]; else `None`.
    pub fn from_ppm(ppm: f64) -> Option<MaxDrift> {
        (ppm > 0.0 && ppm <= MaxDrift::MOST_PPM).then_some(MaxDrift(ppm / 1e6))
    }

    /// As a rate [1; 1e-6 is 1 ppm].
    pub fn rate(self) -> f64 {
        self.0
    }
}

impl Default for MaxDrift {
    /// Two crystals from the shop, each within 100 ppm of what it says [200 ppm].
    fn default() -> MaxDrift {
        MaxDrift(200e-6)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    drift: f64,
    /// The two clocks' grains: here, there.
    grains: [Grain; 2],
    /// What came since this generation began, and what came in the one before.
    young: Sides,
    old: Sides,
    begun: Seconds,
    newest: Seconds,
}

/// For each direction: what it limits the offset (backward: the negative offset) by from above, as of the base's instant, had
/// it receded since then.
type Sides = [Seconds; 2];

const NOTHING: Sides = [f64::INFINITY; 2];

impl Limits {
    pub(super) fn new(drift: MaxDrift) -> Limits {
        Limits {
            drift: drift.rate(),
            grains: [Grain::default(); 2],
            young: NOTHING,
            old: NOTHING,
            begun: 0.0,
            newest: 0.0,
        }
    }

    /// Looks at how fine the stamps of an exchange are, whether or not the rest of it is believed.
    pub(super) fn see(&mut self, exchange: &Exchange) {
        let [here, there] = &mut self.grains;
        here.see(exchange.asked.ticks());
        here.see(exchange.returned.ticks());
        there.see(exchange.received.ticks());
        there.see(exchange.answered.ticks());
    }

    /// Takes an exchange. If it contradicts those before, one of the assumptions does not hold, and nothing of what is older
    /// counts any more.
    pub(super) fn take(&mut self, stamps: &Stamps) {
        if stamps.x[1] - self.begun > AGE {
            self.old = std::mem::replace(&mut self.young, NOTHING);
            self.begun = stamps.x[1];
        }
        self.newest = self.newest.max(stamps.x[1]);
        let limits = self.of(stamps);
        self.young = [0, 1].map(|side| self.young[side].min(limits[side]));
        let [above, below] = self.at(self.newest);
        if above + below < 0.0 {
            self.young = limits;
            self.old = NOTHING;
            self.begun = stamps.x[1];
        }
    }

    /// The clock was set, or the path is another one: nothing that came so far counts.
    pub(super) fn forget(&mut self) {
        self.young = NOTHING;
        self.old = NOTHING;
    }

    /// The most that the offset, and that its negative, can be at that time; infinite if nothing is known.
    pub(super) fn at(&self, x: Seconds) -> [Seconds; 2] {
        let slack = self.slack();
        // Before the newest exchange they have not receded but are still to come.
        let early = 2.0 * (self.newest - x).max(0.0);
        [0, 1].map(|side| self.young[side].min(self.old[side]) + self.drift * (x + early) + slack)
    }

    /// The same, of one exchange by itself.
    pub(super) fn at_by(&self, stamps: &Stamps, x: Seconds) -> [Seconds; 2] {
        let early = 2.0 * (stamps.x[1] - x).max(0.0);
        self.of(stamps).map(|limit| limit + self.drift * (x + early) + self.slack())
    }

    fn of(&self, stamps: &Stamps) -> Sides {
        [0, 1].map(|side| stamps.y[side] - self.drift * stamps.x[side])
    }

    /// A stamp that was rounded down is early by less than a grain; one that was rounded up, late. What limits the offset is a
    /// difference of one stamp of each clock.
    fn slack(&self) -> Seconds {
        CONVERSION + self.grain()
    }

    /// The grain of the coarser clock (s).
    pub(super) fn grain(&self) -> Seconds {
        let [here, there] = self.grains.map(|grain| grain.secs());
        here.max(there)
    }
}

/// How coarse a clock's stamps are, at most.
///
/// Distances of stamps that lie on an even grid are multiples of its step, and so are the differences of such distances: so the
/// step is no more than the least of these that is not zero. A fine clock, read with any jitter, is known as one after a handful
/// of exchanges: so many distances have a pair that is alike to a part in a hundred of their jitter.
#[derive(Clone, Copy, Debug)]
struct Grain {
    last: Option<u64>,
    /// The last distances, the newest at `next` less one; zero is one that any clock may have [ticks].
    distances: [u64; DISTANCES],
    next: usize,
    /// The least difference so far [ticks].
    least: u64,
}

impl Default for Grain {
    fn default() -> Grain {
        // Of a clock that never told two times nothing is known; it is taken for a fine one.
        Grain { last: None, distances: [0; DISTANCES], next: 0, least: 0 }
    }
}

impl Grain {
    fn see(&mut self, ticks: u64) {
        let Some(last) = self.last.replace(ticks) else { return };
        let distance = (ticks.wrapping_sub(last) as i64).unsigned_abs();
        for other in self.distances.into_iter().chain([0]) {
            let apart = distance.abs_diff(other);
            if apart > OFF_GRID && (apart < self.least || self.least == 0) {
                self.least = apart;
            }
        }
        self.distances[self.next] = distance;
        self.next = (self.next + 1) % DISTANCES;
    }

    fn secs(&self) -> Seconds {
        let secs = (self.least + OFF_GRID) as f64 / TICKS_PER_SEC;
        if secs < FINE { 0.0 } else { secs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(asked: f64, out: f64, back: f64, offset: f64) -> Stamps {
        Stamps { x: [asked, asked + out + back], y: [out + offset, back - offset] }
    }

    fn fine(drift: MaxDrift) -> Limits {
        let mut limits = Limits::new(drift);
        limits.grains = [Grain::default(); 2];
        limits
    }

    #[test]
    fn limits_recede_by_the_most_that_crystals_may_differ() {
        let mut limits = fine(MaxDrift::default());
        limits.take(&stamps(10.0, 2e-3, 1e-3, 0.0));
        let [above, below] = limits.at(20.003);
        assert!((above - (2e-3 + 200e-6 * 10.003 + CONVERSION)).abs() < 1e-9, "{above}");
        assert!((below - (1e-3 + 200e-6 * 10.0 + CONVERSION)).abs() < 1e-9, "{below}");
        // The tighter one of both counts, as long as it is the tighter one.
        limits.take(&stamps(20.0, 9e-3, 9e-3, 0.0));
        assert!((limits.at(20.018)[0] - above).abs() < 4e-6);
        limits.take(&stamps(40.0, 3e-3, 3e-3, 0.0));
        assert!((limits.at(40.006)[1] - (3e-3 + CONVERSION)).abs() < 1e-9);
    }

    #[test]
    fn coarse_stamps_leave_as_much_open_as_their_grain() {
        // Either clock may count in milliseconds; rounded down, either limit may be wrong by nearly one.
        for coarse in [0, 1] {
            let mut limits = fine(MaxDrift::default());
            limits.grains[coarse].least = (1e-3 * TICKS_PER_SEC) as u64;
            limits.take(&stamps(10.0, 2e-3, 1e-3, 0.0));
            let [above, below] = limits.at(10.003);
            assert!(above >= 3e-3 && below >= 2e-3 && above < 3.1e-3, "{above} {below}");
        }
    }

    #[test]
    fn a_contradiction_ends_what_came_before() {
        let mut limits = fine(MaxDrift::default());
        limits.take(&stamps(10.0, 1e-3, 1e-3, 0.0));
        limits.take(&stamps(11.0, 1e-3, 1e-3, 0.05));
        let [above, below] = limits.at(11.002);
        assert!(above > 0.051 && -below < 0.05 && -below > 0.04, "{above} {below}");
    }

    #[test]
    fn what_is_wrong_without_a_contradiction_is_forgotten() {
        let mut limits = fine(MaxDrift::default());
        // Set by half a millisecond, where an exchange takes two.
        limits.take(&stamps(0.0, 1e-3, 1e-3, 0.0));
        let mut wrong_until = 0.0;
        for n in 1..700 {
            let now = f64::from(n);
            // The worst case: the clock runs away as fast as the limit recedes.
            let offset = 1.5e-3 + 200e-6 * now;
            limits.take(&stamps(now, 1e-3, 1e-3, offset));
            if limits.at(now + 2e-3)[0] < offset + 200e-6 * 2e-3 {
                wrong_until = now;
            }
        }
        assert!(wrong_until > 100.0 && wrong_until <= 2.0 * AGE + 1.0, "{wrong_until}");
    }

    /// What is found of a clock that counts in steps of so many nanoseconds, or of one, from a handful of exchanges of these four
    /// stamps' pattern: 20 ms apart, answered at once, with a jitter of up to `most` (s).
    fn found(step: f64, phase: f64, exchanges: u32, most: f64) -> f64 {
        let mut grain = Grain::default();
        for n in 0..exchanges {
            let jitter = |n: u32| most * f64::from(n.wrapping_mul(2_654_435_761) >> 12) / 1_048_576.0;
            let asked = 1_000.0 + 0.02 * f64::from(n);
            for at in [asked + jitter(2 * n), asked + 0.3e-3 + jitter(2 * n) + jitter(2 * n + 1)] {
                let coarse = phase + (at / step).floor() * step;
                let rounded = (coarse * 1e9).round() / 1e9;
                grain.see((rounded * TICKS_PER_SEC).round() as u64);
            }
        }
        grain.secs()
    }

    #[test]
    fn a_coarse_clock_is_found_whatever_its_step_and_phase() {
        let steps = [
            1e-3,
            2e-3,
            4e-3,
            5e-3,
            10e-3,
            20e-3,
            1.0 / 60.0,
            1.0 / 64.0,
            1.0 / 300.0,
            1.0 / 1024.0,
            50e-6,
            1.0 / 32_768.0,
        ];
        for step in steps {
            for (phase, exchanges) in [(0.0, 2), (0.000_137, 4), (0.000_2, 25), (0.77, 1_000), (0.0, 20_000)]
            {
                let found = found(step, phase, exchanges, 23e-3);
                assert!(
                    found == 0.0 && exchanges < 3 || found > step * 0.999_999,
                    "{step} {exchanges}: {found}"
                );
                assert!(exchanges < 100 || found < 1.001 * step, "{step} {exchanges}: {found}");
            }
        }
    }

    #[test]
    fn a_fine_clock_is_known_as_one_after_a_handful_of_exchanges() {
        for (exchanges, most) in [(4, 30e-6), (12, 8e-6), (100, 6e-6)] {
            let found = found(1e-9, 0.0, exchanges, 100e-6);
            assert!(found <= most, "{exchanges}: {found}");
        }
    }

    #[test]
    fn only_a_rate_can_be_assumed_of_crystals() {
        assert_eq!(MaxDrift::from_ppm(200.0), Some(MaxDrift::default()));
        for wrong in [0.0, -1.0, f64::NAN, 1_001.0] {
            assert_eq!(MaxDrift::from_ppm(wrong), None);
        }
    }
}
