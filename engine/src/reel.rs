//! [`Reel`]: how many frames are missing in a recording, and where: those that nobody rendered while a device was away or stood
//! still, or the whole node did, and those that a device lost. Pure: it is told when each block leaves the connector.
//!
//! The frame clock knows best where a frame belongs; only where it begins anew, or found frames missing, can there be a gap.
//! Not for: frames that were rendered and could not be written (`recorder`).

use downbeat_sync::{LocalTime, Span};

/// Until when the output is recorded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reel {
    /// When the last recorded frame ended at the connector.
    until: Option<LocalTime>,
    /// How much more is recorded than time has passed: two devices overlapped, or the line of the last moved back.
    ahead: Span,
    /// How long the line of this device goes.
    settled: Span,
}

/// A new device's line moves in its first second, as much as its first callback was late ...
const SETTLING: Span = Span::from_secs(1);
/// ... and by more than this only if frames are missing: the frame clock does not count those in its first half second.
const LEAP: Span = Span::from_millis(20);

impl Reel {
    /// A block begins and ends at these times: how many frames are missing before it.
    pub(crate) fn go_on(&mut self, begin: LocalTime, end: LocalTime, was_lost: bool, rate: u32) -> u64 {
        let apart = self.until.map_or(Span::ZERO, |until| begin - until);
        let mut missing = 0;
        if self.settled == Span::ZERO || was_lost || apart > LEAP {
            missing = frames_of(apart - self.ahead, rate);
            self.ahead += Span::from_ratio(missing.into(), rate.into()) - apart;
        } else if self.settled < SETTLING {
            self.ahead -= apart;
        }
        self.settled += end - begin;
        self.until = Some(end);
        missing
    }

    /// A block is not recorded that ends at this time: how many frames that are.
    pub(crate) fn stay_behind(&mut self, end: LocalTime, rate: u32) -> u64 {
        let until = *self.until.get_or_insert(end);
        let missing = frames_of(end - until, rate);
        self.until = Some(until + Span::from_ratio(missing.into(), rate.into()));
        missing
    }

    /// Another device comes.
    pub(crate) fn cut(&mut self) {
        self.settled = Span::ZERO;
    }
}

/// Whole frames, rounded; none of a time that is negative.
fn frames_of(span: Span, rate: u32) -> u64 {
    ((i128::from(span.ticks().max(0)) * i128::from(rate) + (1 << 31)) >> 32) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1 << 40;

    /// Blocks of 100 frames at 1 kHz from one time to another (ms), and what is missing before each that misses any.
    fn reeled(reel: &mut Reel, from: i64, to: i64, was_lost: bool) -> Vec<(i64, u64)> {
        let at = |millis| LocalTime::from_ticks(START) + Span::from_millis(millis);
        let mut missing = Vec::new();
        for begin in (from..to).step_by(100) {
            let frames = reel.go_on(at(begin), at(begin + 100), was_lost && begin == from, 1_000);
            missing.extend((frames > 0).then_some((begin, frames)));
        }
        missing
    }

    #[test]
    fn a_recording_keeps_the_place_of_what_nobody_rendered() {
        let mut reel = Reel::default();
        assert_eq!(reeled(&mut reel, 0, 2_000, false), []);
        assert_eq!(reeled(&mut reel, 8_000, 9_000, true), [(8_000, 6_000)], "the node stood still");
        reel.cut();
        assert_eq!(reeled(&mut reel, 9_300, 10_000, false), [(9_300, 300)], "a device was away");
        // The next one overlaps the last by 200 ms: the recording is ahead until frames are missing.
        reel.cut();
        assert_eq!(reeled(&mut reel, 9_800, 11_000, false), []);
        reel.cut();
        assert_eq!(reeled(&mut reel, 11_500, 12_000, false), [(11_500, 300)]);
        assert_eq!(reeled(&mut reel, 12_400, 13_000, false), [(12_400, 400)], "the node stood still at once");
    }

    #[test]
    fn a_line_that_settles_moves_no_recording_for_good() {
        let (mut reel, at) =
            (Reel::default(), |millis| LocalTime::from_ticks(START) + Span::from_millis(millis));
        for device in 0..100 {
            // Each device's line begins 5 ms late, and settles with its second block.
            reel.cut();
            let begin = device * 2_000;
            let mut missing = reel.go_on(at(begin + 5), at(begin + 105), false, 1_000);
            for block in 1..20 {
                missing += reel.go_on(at(begin + block * 100), at(begin + block * 100 + 100), false, 1_000);
            }
            assert!(missing <= 5, "{missing} frames before device {device}");
            assert!(reel.ahead.abs() <= Span::from_millis(5), "{} ahead at device {device}", reel.ahead);
        }
    }

    #[test]
    fn what_a_device_of_another_rate_plays_is_missing_in_the_recording() {
        let (mut reel, at) =
            (Reel::default(), |millis| LocalTime::from_ticks(START) + Span::from_millis(millis));
        assert_eq!(reeled(&mut reel, 0, 1_000, false), []);
        reel.cut();
        let lost: u64 = (10..20).map(|block| reel.stay_behind(at(block * 100 + 133), 1_000)).sum();
        assert_eq!(lost, 1_033);
        reel.cut();
        assert_eq!(reeled(&mut reel, 2_100, 2_500, false), [(2_100, 67)]);
    }
}
