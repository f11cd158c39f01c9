//! The time vocabulary: [`LocalTime`], [`RemoteTime`], [`EnsembleTime`] and their difference [`Span`].
//!
//! One unit inside: the NTP tick, 2^-32 s (about 233 ps). Not for: reading clocks (`clock`) or converting between
//! them (`estimate`). All arithmetic wraps, so the NTP era that ends in 2036 is no special case: two ensemble times are
//! compared by their nearest distance, which is right as long as they lie within 68 years of each other.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// Ticks in a second.
const TICKS_PER_SEC: i64 = 1 << 32;
const NANOS_PER_SEC: i128 = 1_000_000_000;
/// Seconds from the NTP epoch (1900) to the Unix epoch (1970), RFC 5905 section 6.
const NTP_TO_UNIX_SECS: u64 = 2_208_988_800;

/// A signed distance between two times of the same clock [ticks of 2^-32 s, ±68 years].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// The longest span, 68 years.
    pub const MAX: Span = Span(i64::MAX);

    /// A span of so many NTP ticks.
    pub const fn from_ticks(ticks: i64) -> Span {
        Span(ticks)
    }

    /// NTP ticks, signed.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Whole seconds [-2^31 to 2^31 - 1].
    pub const fn from_secs(secs: i64) -> Span {
        Span(secs * TICKS_PER_SEC)
    }

    /// Milliseconds, rounded to the nearest tick.
    pub const fn from_millis(millis: i64) -> Span {
        Span::from_nanos(millis * 1_000_000)
    }

    /// Microseconds, rounded to the nearest tick.
    pub const fn from_micros(micros: i64) -> Span {
        Span::from_nanos(micros * 1_000)
    }

    /// Nanoseconds, rounded to the nearest tick.
    pub const fn from_nanos(nanos: i64) -> Span {
        Span::from_ratio(nanos as i128, NANOS_PER_SEC)
    }

    /// `numerator / denominator` seconds, rounded to the nearest tick; `denominator` must be positive.
    ///
    /// `Span::from_ratio(frames, rate)` is how long so many frames last.
    pub const fn from_ratio(numerator: i128, denominator: i128) -> Span {
        let scaled = numerator * TICKS_PER_SEC as i128;
        Span((scaled + denominator / 2).div_euclid(denominator) as i64)
    }

    /// Seconds; saturates at the ends of the range, and NaN is no time at all.
    pub fn from_secs_f64(secs: f64) -> Span {
        Span((secs * TICKS_PER_SEC as f64).round() as i64)
    }

    /// Seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / TICKS_PER_SEC as f64
    }

    /// Nanoseconds, rounded to the nearest.
    pub const fn as_nanos(self) -> i64 {
        ((self.0 as i128 * NANOS_PER_SEC + (TICKS_PER_SEC as i128 / 2)) >> 32) as i64
    }

    /// The distance without its sign.
    pub const fn abs(self) -> Span {
        Span(self.0.saturating_abs())
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Span;
    fn sub(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl Neg for Span {
    type Output = Span;
    fn neg(self) -> Span {
        Span(self.0.saturating_neg())
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Span) {
        *self = *self + other;
    }
}

impl SubAssign for Span {
    fn sub_assign(&mut self, other: Span) {
        *self = *self - other;
    }
}

impl From<std::time::Duration> for Span {
    /// Rounded to the nearest tick; saturates at 68 years.
    fn from(duration: std::time::Duration) -> Span {
        let nanos = duration.as_nanos().min(Span::MAX.as_nanos() as u128);
        Span::from_nanos(nanos as i64)
    }
}

impl From<Span> for std::time::Duration {
    /// Negative spans become zero.
    fn from(span: Span) -> std::time::Duration {
        std::time::Duration::from_nanos(span.as_nanos().max(0) as u64)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// With the unit that suits: `12.5 ms`, `-3 us`, `2.25 s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.as_secs_f64();
        let (value, unit) = match secs.abs() {
            x if x >= 1.0 => (secs, "s"),
            x if x >= 1e-3 => (secs * 1e3, "ms"),
            _ => (secs * 1e6, "us"),
        };
        let rounded = (value * 1e3).round() / 1e3;
        write!(f, "{rounded} {unit}")
    }
}

/// A point on the scale of some clock: what the lines between clocks ([`ClockLine`](crate::ClockLine)) need of it.
pub trait Instant: Copy + Add<Span, Output = Self> + Sub<Self, Output = Span> {}

/// What the clocks have in common; the types stay apart.
macro_rules! point_in_time {
    ($name:ident) => {
        impl Instant for $name {}

        impl Add<Span> for $name {
            type Output = $name;
            fn add(self, span: Span) -> $name {
                $name(self.0.wrapping_add_signed(span.0))
            }
        }

        impl Sub<Span> for $name {
            type Output = $name;
            fn sub(self, span: Span) -> $name {
                $name(self.0.wrapping_sub(span.0 as u64))
            }
        }

        impl AddAssign<Span> for $name {
            fn add_assign(&mut self, span: Span) {
                *self = *self + span;
            }
        }

        /// The nearest distance: across an era's end too, because the difference wraps before it is read as signed.
        impl Sub for $name {
            type Output = Span;
            fn sub(self, other: $name) -> Span {
                Span(self.0.wrapping_sub(other.0) as i64)
            }
        }

        impl $name {
            /// Which of the two comes first, by their nearest distance. Deliberately not `Ord`: a circle has no order.
            pub fn compare(self, other: $name) -> Ordering {
                (self - other).cmp(&Span::ZERO)
            }

            /// Strictly earlier than `other`.
            pub fn is_before(self, other: $name) -> bool {
                self - other < Span::ZERO
            }

            /// The later of the two.
            pub fn later(self, other: $name) -> $name {
                if self.is_before(other) { other } else { self }
            }

            /// The earlier of the two.
            pub fn earlier(self, other: $name) -> $name {
                if other.is_before(self) { other } else { self }
            }
        }
    };
}

/// A time on this host's own oscillator (CLOCK_MONOTONIC_RAW), in NTP ticks since an arbitrary start.
///
/// It never steps and nobody slews it; it means nothing on another host.
///
/// ```compile_fail
/// use downbeat_sync::{EnsembleTime, LocalTime};
/// let _ = LocalTime::from_ticks(5) - EnsembleTime::from_bits(3); // two clocks: only a ClockEstimate may convert
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalTime(u64);

point_in_time!(LocalTime);

impl LocalTime {
    /// So many ticks after the local clock's start.
    pub const fn from_ticks(ticks: u64) -> LocalTime {
        LocalTime(ticks)
    }

    /// Ticks since the local clock's start.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// This time as it stands in a message: to other hosts it is one of a remote clock.
    pub const fn to_remote(self) -> RemoteTime {
        RemoteTime(self.0)
    }
}

impl fmt::Debug for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "local {:.9}", self.0 as f64 / TICKS_PER_SEC as f64)
    }
}

/// A time on the raw oscillator of *another* host, in NTP ticks since that clock's arbitrary start.
///
/// Every time that stands in a message about time, and is not the ensemble's, is one of these. What it is here only an estimate of that
/// clock knows ([`RemoteEstimate`](crate::RemoteEstimate)).
///
/// ```compile_fail
/// use downbeat_sync::{LocalTime, RemoteTime};
/// let _ = LocalTime::from_ticks(5) - RemoteTime::from_ticks(3); // two oscillators
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RemoteTime(u64);

point_in_time!(RemoteTime);

impl RemoteTime {
    /// So many ticks after that clock's start.
    pub const fn from_ticks(ticks: u64) -> RemoteTime {
        RemoteTime(ticks)
    }

    /// Ticks since that clock's start.
    pub const fn ticks(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for RemoteTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remote {:.9}", self.0 as f64 / TICKS_PER_SEC as f64)
    }
}

/// A time on the clock the ensemble shares: exactly the 64 bits of an OSC timetag (NTP, seconds since 1900 and fraction).
///
/// Where events wait it is room time: the same but for the jumps that were announced, which move nothing there. Only
/// [`crate::RoomClock`] makes the one of the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnsembleTime(u64);

point_in_time!(EnsembleTime);

impl EnsembleTime {
    /// From the bits of an OSC timetag. The tags 0 and 1 mean "at once" and are no times: see [`EnsembleTime::from_timetag`].
    pub const fn from_bits(bits: u64) -> EnsembleTime {
        EnsembleTime(bits)
    }

    /// The bits of an OSC timetag.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The time a timetag names, or `None` for "at once" (1 by OSC 1.0; scsynth and others also send 0).
    pub const fn from_timetag(bits: u64) -> Option<EnsembleTime> {
        if bits <= 1 { None } else { Some(EnsembleTime(bits)) }
    }

    /// A span since 1970-01-01T00:00:00Z. Leap seconds are not counted, as in every Unix clock.
    pub const fn from_unix(since_1970: Span) -> EnsembleTime {
        EnsembleTime((NTP_TO_UNIX_SECS << 32).wrapping_add_signed(since_1970.0))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z, beyond 2036 too.
    pub const fn from_unix_nanos(nanos: i128) -> EnsembleTime {
        let ticks = (nanos * (1i128 << 32) + NANOS_PER_SEC / 2).div_euclid(NANOS_PER_SEC);
        EnsembleTime((NTP_TO_UNIX_SECS << 32).wrapping_add(ticks as u64))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z, taking the era (1968 to 2104) that NTP's wrap leaves open.
    pub const fn unix_nanos(self) -> i128 {
        // Eras are told apart by the top bit (RFC 5905 figure 4's convention, and SNTP's): set means 1968 to 2036.
        let secs = (self.0 >> 32) as i128 + if self.0 >> 63 == 0 { 1i128 << 32 } else { 0 };
        let fraction = ((self.0 & 0xffff_ffff) as i128 * NANOS_PER_SEC + (1 << 31)) >> 32;
        (secs - NTP_TO_UNIX_SECS as i128) * NANOS_PER_SEC + fraction
    }
}

impl fmt::Debug for EnsembleTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ensemble {}.{:08x}", self.0 >> 32, self.0 as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_span_of_frames_is_exact_to_half_a_tick() {
        assert_eq!(Span::from_ratio(48_000, 48_000), Span::from_secs(1));
        assert_eq!(Span::from_ratio(1, 48_000).ticks(), 89_478); // 2^32 / 48000 = 89478.485
        assert_eq!(Span::from_ratio(-1, 48_000).ticks(), -89_478);
    }

    #[test]
    fn the_era_ends_without_a_jump() {
        let before = EnsembleTime::from_bits(u64::MAX - 5);
        let after = before + Span::from_ticks(10);
        assert_eq!(after - before, Span::from_ticks(10));
        assert!(before.is_before(after));
        assert_eq!(after.bits(), 4);
    }

    #[test]
    fn unix_times_survive_the_era() {
        for secs in [0i128, 1_700_000_000, 2_085_978_495, 2_085_978_497, 4_000_000_000] {
            let nanos = secs * NANOS_PER_SEC + 123_456_789;
            assert_eq!(EnsembleTime::from_unix_nanos(nanos).unix_nanos(), nanos);
        }
        assert_eq!(EnsembleTime::from_unix(Span::ZERO).bits() >> 32, 2_208_988_800);
    }

    #[test]
    fn immediate_tags_are_no_times() {
        assert_eq!(EnsembleTime::from_timetag(0), None);
        assert_eq!(EnsembleTime::from_timetag(1), None);
        assert_eq!(EnsembleTime::from_timetag(2), Some(EnsembleTime::from_bits(2)));
    }

    #[test]
    fn spans_print_with_their_unit() {
        assert_eq!(Span::from_millis(1500).to_string(), "1.5 s");
        assert_eq!(Span::from_micros(-2500).to_string(), "-2.5 ms");
        assert_eq!(Span::from_nanos(750).to_string(), "0.75 us");
    }

    proptest! {
        #[test]
        fn nanoseconds_round_trip(nanos in -4_000_000_000_000_000i64..4_000_000_000_000_000) {
            prop_assert_eq!(Span::from_nanos(nanos).as_nanos(), nanos);
        }

        #[test]
        fn a_difference_is_undone_by_its_sum(a: u64, span in i64::MIN / 2..i64::MAX / 2) {
            let a = EnsembleTime::from_bits(a);
            prop_assert_eq!((a + Span::from_ticks(span)) - a, Span::from_ticks(span));
        }

        #[test]
        fn a_frame_survives_its_timetag(frame in 0i128..1 << 40, rate in prop::sample::select(vec![44_100i128, 48_000, 96_000])) {
            // Truncated to ticks and back, a frame is itself again: 2^-32 s is 22 ppm of a frame at 96 kHz.
            let span = Span::from_ratio(frame, rate);
            let back = (span.ticks() as i128 * rate + (1 << 31)) >> 32;
            prop_assert_eq!(back, frame);
        }
    }
}
