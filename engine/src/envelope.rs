//! [`Envelope`]: the level of a voice over time, from its onset through attack, decay and sustain to its release.
//!
//! All pieces are straight lines, and the level is a function of the time since the onset alone: it is the same
//! whatever the lengths of the runs it is asked for in, and reaches exact silence. Not for: gain (`ramp`).

use crate::event::VoiceShape;

/// Where a voice is in its life, and how loud. `RT:` yes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    /// From the onset to the first frame asked for [frames]; negative for a voice begun ahead of its onset.
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

/// The levels of one run of frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Level {
    /// The same for every frame.
    Flat(f32),
    /// Written out frame by frame.
    Moving,
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
            release_at: shape.dur.map_or(f64::INFINITY, frames),
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
        count_before(self.release_at + self.release, self.now(), frames)
    }

    /// The levels of the next `out.len()` frames; moves on. `out` is written only if they differ.
    pub(crate) fn fill(&mut self, out: &mut [f32]) -> Level {
        let piece = self.piece(self.now());
        if piece.slope == 0.0 && count_before(piece.end, self.now(), out.len()) == out.len() {
            self.elapsed += out.len() as u64;
            return Level::Flat(piece.level as f32);
        }
        let mut rest = out;
        while !rest.is_empty() {
            let piece = self.piece(self.now());
            let count = count_before(piece.end, self.now(), rest.len()).max(1);
            let (line, after) = rest.split_at_mut(count);
            let first = self.elapsed as f64;
            for (i, level) in line.iter_mut().enumerate() {
                let now = self.offset + (first + f64::from(i as u32));
                *level = (piece.level + piece.slope * (now - piece.start)) as f32;
            }
            self.elapsed += count as u64;
            rest = after;
        }
        Level::Moving
    }

    /// The time of the next frame [frames since the onset].
    fn now(&self) -> f64 {
        self.offset + self.elapsed as f64
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

/// How many of so many frames from `now` on come before `end`.
fn count_before(end: f64, now: f64, frames: usize) -> usize {
    // The cast saturates: a negative distance is none, an endless one all.
    ((end - now).ceil() as usize).min(frames)
}
