//! [`FrameMap`]: a straight line between frames and local time, and the only converter between the two.
//!
//! Not for: finding the line of a running device (`frames`).

use crate::{LocalTime, Span};

/// Ticks in a second.
const TICKS_PER_SEC: f64 = 4_294_967_296.0;

/// Frames of a device over local time. `RT:` safe anywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameMap {
    /// The frame at which the line is anchored.
    pub frame: u64,
    /// Local time of that frame.
    pub local: LocalTime,
    /// Frames per local second (Hz).
    pub rate: f64,
}

impl FrameMap {
    /// The line through one point at `rate` (Hz).
    pub fn new(frame: u64, local: LocalTime, rate: f64) -> FrameMap {
        FrameMap { frame, local, rate }
    }

    /// Local time of a frame.
    pub fn local_at(&self, frame: u64) -> LocalTime {
        self.local + self.span_of(frame.wrapping_sub(self.frame) as i64 as f64)
    }

    /// How many frames after the anchor frame a local time lies; negative before it.
    ///
    /// Exact where it can be: a whole rate times ticks is rounded once, and dividing by 2^32 loses nothing.
    pub fn frames_until(&self, local: LocalTime) -> f64 {
        self.frames_in(local - self.local)
    }

    /// How many frames last so long.
    pub fn frames_in(&self, span: Span) -> f64 {
        span.ticks() as f64 * self.rate / TICKS_PER_SEC
    }

    /// How long so many frames last.
    pub fn span_of(&self, frames: f64) -> Span {
        Span::from_ticks((frames * TICKS_PER_SEC / self.rate).round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_is_where_its_time_is(frame in 0u64..1 << 40, rate in 8_000.0..200_000.0f64) {
            let map = FrameMap::new(1 << 20, LocalTime::from_ticks(1 << 50), rate);
            let back = map.frames_until(map.local_at(frame));
            let expected = frame as f64 - (1u64 << 20) as f64;
            prop_assert!((back - expected).abs() < 1e-4 + expected.abs() * 1e-15, "{back} {expected}");
        }
    }

    #[test]
    fn halves_are_halves() {
        let map = FrameMap::new(0, LocalTime::from_ticks(0), 96_000.0);
        let halfway = LocalTime::from_ticks(0) + Span::from_ratio(1_125 * 2 + 1, 2 * 96_000);
        // 2251 / 192000 s is no whole number of ticks; 1/32 s is, and falls on a frame.
        assert!((map.frames_until(halfway) - 1_125.5).abs() < 2e-5);
        let whole = LocalTime::from_ticks(0) + Span::from_ratio(1, 32);
        assert_eq!(map.frames_until(whole), 3_000.0);
    }
}
