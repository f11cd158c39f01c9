//! [`Sampler`]: plays a clip at any speed, from any fractional onset, out of memory or as it streams from disk.
//!
//! Not for: level, place and envelope (`voice`), reading files (`wav`, `stream`), the mathematics between two frames
//! (`interp`).

use crate::clip::{Clip, GUARD};
use crate::event::{Param, Play};
use crate::interp::{Interp, Kernels, MAX_REACH, Place};
use crate::ramp::Ramp;
use crate::source::{MAX_RUN, Progress, Run, Source, Start};
use crate::stream::StreamReader;
use std::sync::Arc;

/// Frames of a clip looked at for one piece of a run, at most.
const WINDOW: usize = 1_024;

/// One clip being played. `RT:` yes.
pub(crate) struct Sampler {
    clip: Arc<Clip>,
    reader: Option<Box<StreamReader>>,
    kernels: &'static Kernels,
    interp: Interp,
    looped: bool,
    /// Of the next output frame, in frames of the endlessly repeated clip, times 2^64.
    position: i128,
    /// Frames of the clip per output frame.
    step: Ramp,
    /// Frames of the clip per output frame at speed 1.
    natural: f64,
    starved: u64,
}

impl Sampler {
    /// A clip about to be played. `reader` must be there if the clip has a rest, opened at [`Sampler::stream_from`].
    pub(crate) fn new(
        play: &Play,
        clip: Arc<Clip>,
        reader: Option<Box<StreamReader>>,
        start: Start,
        interp: Interp,
    ) -> Sampler {
        let natural = f64::from(clip.rate()) / start.rate;
        let step = natural * f64::from(play.rate);
        Sampler {
            position: position(play, &clip, &start),
            reader,
            kernels: Kernels::get(),
            interp,
            looped: play.looped,
            step: Ramp::new(step),
            natural,
            starved: 0,
            clip,
        }
    }

    /// How many frames before the first one after its onset a clip is to be begun, so that its kernel's ringing ahead
    /// of the onset is heard. `offset` is that first frame's distance from the onset [0 to 1].
    pub(crate) fn lead(play: &Play, clip: &Clip, rate: f64, offset: f64, interp: Interp) -> u32 {
        let step = f64::from(clip.rate()) / rate * f64::from(play.rate);
        if play.start > 0.0 || (step == 1.0 && offset == 0.0) {
            return 0;
        }
        let reach = Kernels::get().reach(interp, step) as f64;
        ((reach / step + offset) as u32).min(interp.lead())
    }

    /// The frame of the clip to open its stream at.
    pub(crate) fn stream_from(play: &Play, clip: &Clip, start: &Start) -> u64 {
        ((position(play, clip, start) >> 64) - MAX_REACH as i128).max(0) as u64
    }

    /// Whether this is the clip it plays.
    pub(crate) fn plays(&self, clip: &Arc<Clip>) -> bool {
        Arc::ptr_eq(&self.clip, clip)
    }

    /// Hands the stream back.
    pub(crate) fn take_reader(&mut self) -> Option<Box<StreamReader>> {
        self.reader.take()
    }

    /// Frames of silence since last asked, played because the disk was late.
    pub(crate) fn take_starved(&mut self) -> u64 {
        std::mem::take(&mut self.starved)
    }

    /// Whether the next output frame and all after it are frames of the clip as they are.
    fn plain(&self) -> bool {
        self.step.at_rest() && self.step.value() == 1.0 && self.position as u64 == 0
    }

    /// How many output frames are left of a clip that is not looped, in units of the position.
    fn end(&self) -> i128 {
        if self.looped {
            return i128::MAX;
        }
        let reach = if self.plain() { 0 } else { self.kernels.reach(self.interp, self.step.value()) };
        (i128::from(self.clip.frames()) + reach as i128) << 64
    }

    /// Plays up to `out.len()` frames in one piece; how many it was.
    fn piece(&mut self, run: &mut Run<'_>, at: usize, len: usize) -> usize {
        let plain = self.plain();
        let reach = if plain { 0 } else { self.kernels.reach(self.interp, self.step.value()) };
        let base = (self.position >> 64) as i64 - (reach as i64 - 1).max(0);
        let mut places = [Place::default(); MAX_RUN];
        let mut count = 0;
        let end = self.end();
        let mut span = 0;
        while count < len && self.position < end {
            let index = ((self.position >> 64) as i64 - (reach as i64 - 1).max(0) - base) as u64;
            if count > 0 && index as usize + 2 * reach + 1 > WINDOW {
                break;
            }
            places[count] = Place { index: index as u32, fraction: (self.position as u64 >> 32) as u32 };
            span = index as usize + (2 * reach).max(1);
            self.position += fixed(self.step.step());
            count += 1;
        }
        let mut window = [0.0; WINDOW];
        for (channel, out) in run[..self.clip.channels()].iter_mut().enumerate() {
            let out = &mut out[at..at + count];
            for (i, frame) in window[..span].iter_mut().enumerate() {
                let frame_at = base + i as i64;
                let frames = self.clip.frames() as i64;
                *frame = if frame_at < 0 || (!self.looped && frame_at >= frames) {
                    0.0
                } else {
                    self.clip.head(channel).get(GUARD + (frame_at % frames) as usize).copied().unwrap_or(0.0)
                };
            }
            if plain {
                out.copy_from_slice(&window[..count]);
            } else {
                self.kernels.read(self.interp, &window[..span], &places[..count], out);
            }
        }
        count
    }
}

impl Source for Sampler {
    fn channels(&self) -> usize {
        self.clip.channels()
    }

    fn fill(&mut self, run: &mut Run<'_>) -> Progress {
        let len = run[0].len();
        if self.clip.frames() == 0 {
            return Progress::Done(0);
        }
        let mut at = 0;
        while at < len {
            if self.position >= self.end() {
                return Progress::Done(at);
            }
            at += self.piece(run, at, len - at);
        }
        Progress::Playing
    }

    fn set(&mut self, param: Param, value: f32, frames: u32) -> bool {
        if param == Param::Rate {
            self.step.head_for(self.natural * f64::from(value), frames);
        }
        param == Param::Rate
    }
}

fn position(play: &Play, clip: &Clip, start: &Start) -> i128 {
    let step = f64::from(clip.rate()) / start.rate * f64::from(play.rate);
    // A whole frame, so that an unpitched clip is copied from wherever it starts.
    let first = (play.start * f64::from(clip.rate())).round();
    fixed(first) + fixed((start.offset + start.skip) * step)
}

/// A number of frames in units of the position.
fn fixed(frames: f64) -> i128 {
    (frames * 2f64.powi(64)) as i128
}
