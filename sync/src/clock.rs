//! The one place that reads the operating system's clocks. Everyone else is given `now`.
//!
//! Not for: deciding anything. CLOCK_MONOTONIC_RAW is taken as local time because nothing steers it: NTP slews
//! CLOCK_MONOTONIC by up to 500 ppm and steps CLOCK_REALTIME. Where RAW is missing, MONOTONIC stands in.

mod kernel;

use crate::{EnsembleTime, LocalTime, Span};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use std::time::Duration;

/// Two readings of the clock around a third take less than this if nothing came between (1 us).
const UNDISTURBED: Span = Span::from_micros(1);

/// A handle on this host's clocks. Copy it freely.
///
/// `RT:` every method that reads the time is one or a few vDSO reads, without a system call on x86-64 and arm64 (Linux 5.3 and later).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    local: ClockId,
    sim: SimClock,
}

/// A distortion of the local clock for measurements: what this node would read if its oscillator ran differently.
#[derive(Clone, Copy, Debug, Default)]
struct SimClock {
    offset: i64,
    ppm: f64,
}

/// Local and wall clock read at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WallAnchor {
    /// Local time of the reading.
    pub local: LocalTime,
    /// CLOCK_REALTIME as a timetag. A Pi without RTC and network starts in 1970.
    pub wall: EnsembleTime,
    /// How far apart the two readings may lie, at most.
    pub uncertainty: Span,
    /// Whether the wall clock is known to be right: the kernel says that NTP or PTP keeps it ([`Clock::is_synchronised`]).
    pub synchronised: bool,
}

impl Clock {
    /// The clock of this host. Falls back to CLOCK_MONOTONIC where the raw one is missing.
    pub fn new() -> Clock {
        let raw = ClockId::CLOCK_MONOTONIC_RAW;
        let local = if clock_gettime(raw).is_ok() { raw } else { ClockId::CLOCK_MONOTONIC };
        Clock { local, sim: SimClock::default() }
    }

    /// The same clock as a host with another oscillator would see it: `ppm` faster, `offset` ahead.
    ///
    /// For tests and measurements of two nodes on one host; device callbacks are then seen through the same distortion.
    pub fn simulated(self, ppm: f64, offset: Span) -> Clock {
        Clock { sim: SimClock { offset: offset.ticks(), ppm }, ..self }
    }

    /// Whether local time is the raw oscillator, which nobody slews.
    pub fn is_raw(&self) -> bool {
        self.local == ClockId::CLOCK_MONOTONIC_RAW
    }

    /// Whether the kernel says that something (NTP, PTP) keeps its wall clock right; `false` where no kernel can be asked. A system
    /// call: once in a while is enough.
    pub fn is_synchronised(&self) -> bool {
        kernel::is_synchronised()
    }

    /// Local time now.
    pub fn now(&self) -> LocalTime {
        let ticks = read(self.local);
        let skewed = ticks as i64 + (ticks as f64 * self.sim.ppm * 1e-6) as i64 + self.sim.offset;
        LocalTime::from_ticks(skewed as u64)
    }

    /// Sleeps until a local time; returns at once if it has passed, and early if a signal comes.
    ///
    /// Nothing sleeps on the raw clock, so this sleeps to an absolute time of CLOCK_MONOTONIC as far ahead: being
    /// preempted on the way in costs nothing, and slewing (at most 500 ppm) only a little of the distance.
    pub fn sleep_until(&self, until: LocalTime) {
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has a monotonic clock");
        let ahead = (until - self.now()).as_nanos();
        if ahead > 0 {
            let wake = Duration::from(monotonic) + Duration::from_nanos(ahead as u64);
            let absolute = ClockNanosleepFlags::TIMER_ABSTIME;
            // The only error left is a signal's interruption, of which the caller is warned.
            let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, absolute, &TimeSpec::from(wake));
        }
    }

    /// Local and wall clock at one instant, of which nobody has said yet that it is right: the first pair of readings that was not interrupted, or the tightest of three.
    pub fn anchor(&self) -> WallAnchor {
        let mut best = self.read_both();
        for _ in 1..3 {
            if best.uncertainty <= UNDISTURBED {
                break;
            }
            let again = self.read_both();
            if again.uncertainty < best.uncertainty {
                best = again;
            }
        }
        best
    }

    fn read_both(&self) -> WallAnchor {
        let before = self.now();
        let wall = EnsembleTime::from_unix(Span::from_ticks(read(ClockId::CLOCK_REALTIME) as i64));
        let gap = self.now() - before;
        WallAnchor {
            local: before + Span::from_ticks(gap.ticks() / 2),
            wall,
            uncertainty: gap,
            synchronised: false,
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::new()
    }
}

impl WallAnchor {
    /// Local time of a recent kernel stamp of CLOCK_REALTIME (nanoseconds since 1970), as sockets give them.
    ///
    /// `None` when the stamp lies in the future or more than `oldest` back: then the wall clock was stepped between
    /// stamp and reading, and the caller's own reading is the better one.
    pub fn local_of_stamp(&self, unix_nanos: i128, oldest: Span) -> Option<LocalTime> {
        let age = self.wall - EnsembleTime::from_unix_nanos(unix_nanos);
        (age >= Span::ZERO && age <= oldest).then(|| self.local - age)
    }
}

/// One clock in ticks since its own start. A clock that exists cannot fail to be read.
fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).expect("a clock that was found at start keeps existing");
    let fraction = ((time.tv_nsec() as u64) << 32) / 1_000_000_000;
    ((time.tv_sec() as u64) << 32) + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_becomes_local_time_unless_the_wall_clock_was_stepped() {
        let anchor = WallAnchor {
            local: LocalTime::from_ticks(0) + Span::from_secs(100),
            wall: EnsembleTime::from_unix(Span::from_secs(1_000)),
            uncertainty: Span::ZERO,
            synchronised: false,
        };
        let oldest = Span::from_millis(50);
        let stamp = |millis: i128| (1_000_000 + millis) * 1_000_000;
        assert_eq!(anchor.local_of_stamp(stamp(-20), oldest), Some(anchor.local - Span::from_millis(20)));
        assert_eq!(anchor.local_of_stamp(stamp(1), oldest), None);
        assert_eq!(anchor.local_of_stamp(stamp(-51), oldest), None);
    }

    #[test]
    fn a_simulated_oscillator_is_ahead_and_fast() {
        let clock = Clock::new();
        let ahead = clock.simulated(0.0, Span::from_secs(1234));
        let gap = ahead.now() - clock.now();
        assert!((gap - Span::from_secs(1234)).abs() < Span::from_millis(500), "{gap}");
    }
}
