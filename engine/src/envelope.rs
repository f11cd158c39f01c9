//! [`Envelope`]: the level of a voice over time, from its onset through attack, decay and sustain to its release.
//!
//! All pieces are straight lines, and the level is a function of the time since the onset alone: it is the same
//! whatever the lengths of the runs it is asked for in, and reaches exact silence. Not for: gain (`ramp`).

use crate::event::VoiceShape;
use crate::ramp::Values;

/// Where a voice is in its life, and how loud. `RT:` yes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    /// From the onset to the first frame asked for (frames); negative for a voice begun ahead of its onset.
    offset: f64,
    /// Frames since then.
    elapsed: u64,
    attack: f64,
    decay: f64,
    sustain: f64,
    release: f64,
    /// When the release begins [frames since the onset], and from which level.
    release_at: f64,
    release_from: f64,
}

/// One straight line of the envelope.
struct Piece {
    start: f64,
    end: f64,
    level: f64,
    slope: f64,
}

impl Envelope {
    /// An envelope whose next frame lies `offset` frames after its onset, at `rate` frames per second.
    pub(crate) fn new(shape: &VoiceShape, rate: f64, offset: f64) -> Envelope {
        let frames = |seconds: f32| f64::from(seconds) * rate;
        let mut envelope = Envelope {
            offset,
            elapsed: 0,
            attack: frames(shape.attack),
            decay: frames(shape.decay),
            sustain: f64::from(shape.sustain),
            release: frames(shape.release),
            release_at: frames(shape.dur),
            release_from: 0.0,
        };
        if envelope.release_at.is_finite() {
            envelope.release_from = envelope.held(envelope.release_at);
        }
        envelope
    }

    /// Releases now, unless it is released already.
    pub(crate) fn release(&mut self) {
        let now = self.now();
        if now < self.release_at {
            self.release_from = self.held(now);
            self.release_at = now;
        }
    }

    /// Falls to silence within so many frames from now at the latest, from wherever it is.
    pub(crate) fn fade(&mut self, frames: f64) {
        let now = self.now();
        if now < self.release_at {
            self.release();
            self.release = self.release.min(frames);
        } else if self.release_at + self.release - now > frames {
            self.release_from = self.level(now);
            self.release_at = now;
            self.release = frames;
        }
    }

    /// Moves on by so much without a frame, forwards or back (frames).
    pub(crate) fn shift(&mut self, frames: f64) {
        self.offset += frames;
    }

    /// Whether it is being released.
    pub(crate) fn released(&self) -> bool {
        self.now() >= self.release_at
    }

    /// The level of the next frame.
    pub(crate) fn value(&self) -> f64 {
        self.level(self.now())
    }

    /// How many of the next so many frames come before its end.
    pub(crate) fn sounding(&self, frames: usize) -> usize {
        self.count_before(self.release_at + self.release, frames)
    }

    /// The levels of the next `room.len()` frames, written there if they differ; moves on.
    pub(crate) fn run<'a>(&mut self, room: &'a mut [f32]) -> Values<'a> {
        let piece = self.piece(self.now());
        if piece.slope == 0.0 && self.count_before(piece.end, room.len()) == room.len() {
            self.elapsed += room.len() as u64;
            return Values::Flat(piece.level as f32);
        }
        let mut rest = &mut *room;
        while !rest.is_empty() {
            let piece = self.piece(self.now());
            let count = self.count_before(piece.end, rest.len()).max(1);
            let (line, after) = rest.split_at_mut(count);
            for (i, level) in line.iter_mut().enumerate() {
                *level = (piece.level + piece.slope * (self.time(i) - piece.start)) as f32;
            }
            self.elapsed += count as u64;
            rest = after;
        }
        Values::Moving(room)
    }

    /// The time of the next frame [frames since the onset].
    fn now(&self) -> f64 {
        self.time(0)
    }

    /// The time of the frame so many after the next one. Every comparison is made with this, and no other sum.
    fn time(&self, frames: usize) -> f64 {
        self.offset + (self.elapsed as f64 + f64::from(frames as u32))
    }

    /// How many of the next so many frames come before a time.
    fn count_before(&self, end: f64, frames: usize) -> usize {
        if frames > 0 && self.time(frames - 1) < end {
            // Nearly always: a piece is longer than a run.
            return frames;
        }
        // The cast saturates: a negative distance is none, an endless one all. It may be one off by rounding.
        let mut count = ((end - self.now()).ceil() as usize).min(frames);
        while count > 0 && self.time(count - 1) >= end {
            count -= 1;
        }
        while count < frames && self.time(count) < end {
            count += 1;
        }
        count
    }

    fn level(&self, now: f64) -> f64 {
        let piece = self.piece(now);
        piece.level + piece.slope * (now - piece.start)
    }

    /// The level if it were not released.
    fn held(&self, now: f64) -> f64 {
        let piece = self.held_piece(now);
        piece.level + piece.slope * (now - piece.start)
    }

    fn piece(&self, now: f64) -> Piece {
        if now < self.release_at {
            let held = self.held_piece(now);
            Piece { end: held.end.min(self.release_at), ..held }
        } else if now < self.release_at + self.release {
            let slope = -self.release_from / self.release;
            let end = self.release_at + self.release;
            Piece { start: self.release_at, end, level: self.release_from, slope }
        } else {
            Piece { start: self.release_at, end: f64::INFINITY, level: 0.0, slope: 0.0 }
        }
    }

    fn held_piece(&self, now: f64) -> Piece {
        let decayed = self.attack + self.decay;
        if now < 0.0 {
            // A source that rings before its onset is heard there, unless the attack has yet to begin.
            let level = if self.attack > 0.0 { 0.0 } else { 1.0 };
            Piece { start: now, end: 0.0, level, slope: 0.0 }
        } else if now < self.attack {
            Piece { start: 0.0, end: self.attack, level: 0.0, slope: 1.0 / self.attack }
        } else if now < decayed {
            let slope = (self.sustain - 1.0) / self.decay;
            Piece { start: self.attack, end: decayed, level: 1.0, slope }
        } else {
            Piece { start: decayed, end: f64::INFINITY, level: self.sustain, slope: 0.0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A power of two, so that the times below are whole frames exactly.
    const RATE: f64 = 1_024.0;
    const FRAME: f32 = 1.0 / 1_024.0;

    fn shape(attack: f32, decay: f32, sustain: f32, release: f32, dur: f32) -> VoiceShape {
        VoiceShape { attack, decay, sustain, release, dur, ..VoiceShape::default() }
    }

    fn take(envelope: &mut Envelope, frames: usize) -> Vec<f32> {
        let mut room = vec![0.0; frames];
        let values = envelope.run(&mut room);
        (0..frames).map(|i| values.at(i)).collect()
    }

    #[test]
    fn goes_through_its_stages() {
        let shape = shape(4.0 * FRAME, 4.0 * FRAME, 0.5, 2.0 * FRAME, 12.0 * FRAME);
        let levels = take(&mut Envelope::new(&shape, RATE, 0.0), 16);
        let expected =
            [0.0, 0.25, 0.5, 0.75, 1.0, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.0, 0.0];
        assert!(levels.iter().zip(expected).all(|(level, expected)| (level - expected).abs() < 1e-6));
        assert_eq!(levels[14..], [0.0, 0.0]);
    }

    #[test]
    fn an_onset_between_two_frames_shifts_all_of_it() {
        let shape = shape(4.0 * FRAME, 0.0, 1.0, 4.0 * FRAME, 8.0 * FRAME);
        let levels = take(&mut Envelope::new(&shape, RATE, 0.5), 13);
        assert_eq!(levels[..4], [0.125, 0.375, 0.625, 0.875]);
        assert_eq!(levels[7..], [1.0, 0.875, 0.625, 0.375, 0.125, 0.0]);
    }

    #[test]
    fn ahead_of_the_onset_only_a_sound_without_attack_is_heard() {
        let level =
            |attack| take(&mut Envelope::new(&shape(attack, 0.0, 1.0, 0.0, f32::INFINITY), RATE, -2.5), 4);
        assert_eq!(level(0.0), [1.0; 4]);
        assert_eq!(level(1.0 * FRAME), [0.0, 0.0, 0.0, 0.5]);
    }

    #[test]
    fn a_release_during_the_attack_leaves_from_the_level_reached() {
        let mut envelope =
            Envelope::new(&shape(8.0 * FRAME, 0.0, 1.0, 4.0 * FRAME, f32::INFINITY), RATE, 0.0);
        take(&mut envelope, 4);
        envelope.release();
        assert!(envelope.released());
        assert_eq!(envelope.sounding(100), 4);
        assert_eq!(take(&mut envelope, 5), [0.5, 0.375, 0.25, 0.125, 0.0]);
        envelope.release();
        assert_eq!(envelope.value(), 0.0);
    }

    #[test]
    fn ends_when_its_release_does() {
        let envelope = Envelope::new(&shape(0.0, 0.0, 1.0, 2.0 * FRAME, 3.0 * FRAME), RATE, 0.25);
        assert_eq!(envelope.sounding(100), 5);
        assert_eq!(Envelope::new(&shape(0.0, 0.0, 1.0, 0.0, f32::INFINITY), RATE, 0.0).sounding(100), 100);
        let mut cut = Envelope::new(&shape(0.0, 0.0, 1.0, 0.0, f32::INFINITY), RATE, 0.0);
        cut.release();
        assert_eq!(cut.sounding(100), 0);
    }

    #[test]
    fn fades_at_once_even_while_it_is_released_slowly() {
        let mut envelope = Envelope::new(&shape(0.0, 0.0, 1.0, 1.0, f32::INFINITY), RATE, 0.0);
        envelope.release();
        take(&mut envelope, 512);
        envelope.fade(4.0);
        assert_eq!(take(&mut envelope, 5), [0.5, 0.375, 0.25, 0.125, 0.0]);
    }

    proptest! {
        #[test]
        fn the_same_whatever_the_run_lengths(
            times in prop::array::uniform3(0.0f32..0.1),
            sustain in 0.0f32..1.0,
            dur in prop::option::of(0.0f32..0.3),
            offset in -16.0f64..1.0,
            stop in 0usize..300,
            cuts in prop::collection::vec(1usize..60, 1..20),
        ) {
            let [attack, decay, release] = times;
            let mut whole = Envelope::new(&shape(attack, decay, sustain, release, dur.unwrap_or(f32::INFINITY)), RATE, offset);
            let mut parts = whole;
            let total: usize = cuts.iter().sum();
            let stop = stop.min(total);
            let mut expected = take(&mut whole, stop);
            whole.release();
            expected.extend(take(&mut whole, total - stop));
            let mut at = 0;
            for cut in cuts {
                let before = cut.min(stop.saturating_sub(at));
                prop_assert_eq!(&take(&mut parts, before)[..], &expected[at..at + before]);
                if at + before == stop && before < cut {
                    parts.release();
                }
                prop_assert_eq!(&take(&mut parts, cut - before)[..], &expected[at + before..at + cut]);
                at += cut;
            }
            prop_assert!(expected.iter().all(|level| (0.0..=1.0).contains(level)));
        }
    }
}
