//! [`Sampler`]: plays a clip at any speed, from any fractional onset, out of memory or as it streams from disk.
//!
//! Not for: level, place and envelope (`voice`), reading files (`wav`, `feeder`), the mathematics between two frames
//! (`interp`).

use crate::clip::{Clip, GUARD};
use crate::event::{Param, Play};
use crate::interp::{Interp, Kernel, LEAD, MAX_REACH};
use crate::places::Places;
use crate::ramp::Ramp;
use crate::source::{MAX_RUN, Progress, Run, Source, Start};
use crate::stream::StreamReader;
use std::sync::Arc;

/// Frames of a clip looked at for one piece of a run, at most.
const WINDOW: usize = 1_024;

/// Frames of a clip per output frame, at most: more would overflow the position within the lifetime of a node.
const MAX_STEP: f64 = (1 << 20) as f64;

/// A step of one frame [frames * 2^32].
const ONE: u64 = 1 << 32;

/// An onset this close to a frame is taken to lie on it, so that an unpitched clip is a copy (frames). The time of a
/// frame, rounded to a timetag, is a fiftieth of that off.
const SNAP: f64 = 1.0 / 2_048.0;

/// One clip being played. `RT:` yes.
pub(crate) struct Sampler {
    clip: Arc<Clip>,
    reader: Option<Box<StreamReader>>,
    interp: Interp,
    looped: bool,
    /// Of the next output frame.
    position: Position,
    /// Frames of the clip per output frame.
    step: Ramp,
    /// How much faster than that it goes, to stay with the ensemble's time [1 is not at all].
    pull: f64,
    /// What follows from the step while it rests.
    pace: Pace,
    output_rate: f64,
    starved: u64,
}

/// A place in the endless repetition of a clip [frames * 2^32].
///
/// An integer, so that a step added ten million times is ten million steps, in whatever portions it is added. What is
/// lost of a step by rounding is less than 2^-33 of a frame: a hundredth of a frame in half an hour.
type Position = i128;

/// A speed that does not change, and what is computed from it once.
#[derive(Clone, Copy)]
struct Pace {
    /// Frames of the clip per output frame.
    step: f64,
    /// The same, and the pull [frames * 2^32].
    fixed: u64,
    kernel: Kernel,
    /// Output frames that a window is enough for.
    room: usize,
}

/// What a piece of a run reads from the clip: `len` frames from `first` on.
#[derive(Clone, Copy)]
struct Span {
    first: i64,
    len: usize,
}

/// Where the frames of a span are.
enum Frames {
    /// In the head, in one piece.
    Head,
    /// In memory, but beyond a seam: behind the end, or where a loop begins anew.
    Scattered,
    /// In the stream's window, which begins at this frame.
    Streamed(i64),
    /// Not yet there.
    Missing,
}

impl Sampler {
    /// A clip about to be played. `reader` is for a clip with a rest, opened at [`Sampler::stream_from`].
    pub(crate) fn new(
        play: &Play,
        clip: Arc<Clip>,
        reader: Option<Box<StreamReader>>,
        start: Start,
        interp: Interp,
    ) -> Sampler {
        let step = step(&clip, start.rate, play.rate);
        Sampler {
            position: position(play, &clip, &start),
            reader,
            interp,
            looped: play.looped,
            step: Ramp::new(step),
            pull: 1.0,
            pace: Pace::new(interp, step, 1.0),
            output_rate: start.rate,
            starved: 0,
            clip,
        }
    }

    /// How many frames before its onset a clip is to be begun, so that its kernel's ringing ahead of it is heard: at most
    /// [`LEAD`]. None for a start within the clip, which is a cut.
    pub(crate) fn lead(play: &Play, clip: &Clip, rate: f64, interp: Interp) -> u32 {
        if play.start > 0.0 {
            return 0;
        }
        let step = step(clip, rate, play.rate);
        let reach = Kernel::choose(interp, step).reach() as f64;
        ((reach / step).ceil() as u32).min(LEAD)
    }

    /// The frame of the clip to open its stream at.
    pub(crate) fn stream_from(play: &Play, clip: &Clip, start: &Start) -> u64 {
        reach_back(position(play, clip, start)) as u64
    }

    /// Whether this is the clip it plays.
    pub(crate) fn plays(&self, clip: &Arc<Clip>) -> bool {
        Arc::ptr_eq(&self.clip, clip)
    }

    /// Whether nothing is left to be heard at its present speed.
    pub(crate) fn is_over(&self) -> bool {
        self.position >= self.end(Kernel::choose(self.interp, self.step.value()).reach())
    }

    /// How long it sounds at its present speed, unless it is stopped [output frames].
    pub(crate) fn lasts(&self) -> f64 {
        self.end(0).saturating_sub(self.position) as f64 / 2f64.powi(32) / self.step.value()
    }

    /// Hands the stream back.
    pub(crate) fn take_reader(&mut self) -> Option<Box<StreamReader>> {
        self.reader.take()
    }

    /// Frames of silence since last asked, played because the disk was late.
    pub(crate) fn take_starved(&mut self) -> u64 {
        std::mem::take(&mut self.starved)
    }

    /// Plays the next frames at a speed that does not change; how many it was: 0 at the end of the clip.
    fn steady(&mut self, run: &mut Run<'_>, from: usize) -> usize {
        if self.pace.step != self.step.value() {
            self.pace = Pace::new(self.interp, self.step.value(), self.pull);
        }
        let Pace { fixed, kernel, room, .. } = self.pace;
        let reach = kernel.reach();
        let wanted = (run[0].len() - from).min(room);
        let fraction = self.position as u32;

        if fixed == ONE {
            let plain = self.position as u32 == 0;
            let reach = if plain { 0 } else { reach };
            let count = self.frames_left(reach).min(wanted);
            let first = whole(self.position) + i64::from(!plain) - reach as i64;
            let span = Span { first, len: count + (2 * reach).saturating_sub(1) };
            self.render(span, run, from..from + count, |window, out| {
                if plain { out.copy_from_slice(window) } else { kernel.filter(window, fraction, out) }
            });
            self.position += (count as i128) << 32;
            return count;
        }

        let left = self.end(reach).saturating_sub(self.position);
        let count = if left > wanted as i128 * i128::from(fixed) {
            wanted
        } else {
            (left.max(0) as u128).div_ceil(u128::from(fixed.max(1))) as usize
        };
        if count > 0 {
            let places = Places::Even { first: u64::from(fraction), step: fixed };
            let last = (u64::from(fraction) + (count as u64 - 1) * fixed) >> 32;
            let span =
                Span { first: whole(self.position) + 1 - reach as i64, len: last as usize + 2 * reach };
            self.render(span, run, from..from + count, |window, out| kernel.read(window, places, out));
        }
        self.position += count as i128 * i128::from(fixed);
        count
    }

    /// Plays the next frames of a changing speed, as long as one kernel serves; how many it was: 0 at the end.
    fn gliding(&mut self, run: &mut Run<'_>, from: usize) -> usize {
        let kernel = Kernel::choose(self.interp, self.step.value());
        let reach = kernel.reach();
        let end = self.end(reach);
        let first = whole(self.position);
        let mut places = [0; MAX_RUN];
        let mut count = 0;
        let mut len = 0;
        let mut position = self.position;
        while count < run[0].len() - from && !self.step.at_rest() && position < end {
            let index = (whole(position) - first) as usize;
            let step = self.step.value();
            let other_kernel = !kernel.is(Kernel::choose(self.interp, step));
            if count > 0 && (other_kernel || index + 2 * reach > WINDOW) {
                break;
            }
            places[count] = (position - (i128::from(first) << 32)) as u64;
            len = index + 2 * reach;
            count += 1;
            position += fixed(step * self.pull);
            self.step.skip(1);
        }
        let span = Span { first: first + 1 - reach as i64, len };
        self.render(span, run, from..from + count, |window, out| {
            kernel.read(window, Places::Listed(&places[..count]), out);
        });
        self.position = position;
        count
    }

    /// Hands the span of every channel to `read`, to fill these frames of the run.
    fn render(
        &mut self,
        span: Span,
        run: &mut Run<'_>,
        frames: std::ops::Range<usize>,
        read: impl Fn(&[f32], &mut [f32]),
    ) {
        let place = self.locate(span);
        for (channel, out) in run[..self.clip.channels()].iter_mut().enumerate() {
            let out = &mut out[frames.clone()];
            match place {
                Frames::Head => {
                    let at = (span.first + GUARD as i64) as usize;
                    read(&self.clip.head(channel)[at..at + span.len], out);
                }
                Frames::Scattered => read(self.collect(span, channel, &mut [0.0; WINDOW]), out),
                Frames::Streamed(first) => {
                    let Some(reader) = &self.reader else { continue };
                    let frames = reader.channel(channel);
                    if span.first >= first {
                        let at = (span.first - first) as usize;
                        read(&frames[at..at + span.len], out);
                    } else {
                        let silent = span.len.min((first - span.first) as usize);
                        let mut window = [0.0; WINDOW];
                        window[silent..span.len].copy_from_slice(&frames[..span.len - silent]);
                        read(&window[..span.len], out);
                    }
                }
                Frames::Missing => {}
            }
        }
        if matches!(place, Frames::Missing) {
            self.starved += frames.len() as u64;
        }
    }

    /// Finds out where a span is, and has it made readable if it streams.
    fn locate(&mut self, span: Span) -> Frames {
        let end = span.first + span.len as i64;
        let streamed = self.clip.rest().is_some();
        // Only where silence follows, it may be read behind the end.
        let tail = if streamed || self.looped { 0 } else { GUARD };
        if span.first >= -(GUARD as i64) && end <= (self.clip.head_frames() + tail) as i64 {
            return Frames::Head;
        }
        if !streamed {
            return Frames::Scattered;
        }
        let first = reach_back(self.position);
        let arrived =
            self.reader.as_mut().is_some_and(|reader| reader.advance(first as u64, end.max(first) as u64));
        if arrived { Frames::Streamed(first) } else { Frames::Missing }
    }

    /// Copies a span of a clip that is all in memory: silence before it, and behind its end unless it is looped.
    fn collect<'a>(&self, span: Span, channel: usize, window: &'a mut [f32; WINDOW]) -> &'a [f32] {
        let frames = self.clip.frames() as i64;
        let clip = &self.clip.head(channel)[GUARD..GUARD + frames as usize];
        let window = &mut window[..span.len];
        let mut done = (-span.first).clamp(0, span.len as i64) as usize;
        while done < span.len {
            let at = span.first + done as i64;
            if at >= frames && !self.looped {
                break;
            }
            let at = (at % frames) as usize;
            let count = (span.len - done).min(clip.len() - at);
            window[done..done + count].copy_from_slice(&clip[at..at + count]);
            done += count;
        }
        window
    }

    /// The position at which nothing is left to be heard by a kernel of this reach.
    fn end(&self, reach: usize) -> Position {
        if self.looped { Position::MAX } else { (i128::from(self.clip.frames()) + reach as i128) << 32 }
    }

    /// How many steps of one frame are left.
    fn frames_left(&self, reach: usize) -> usize {
        // Rounded up: a last frame may begin a fraction before the end.
        let left = -(self.position.saturating_sub(self.end(reach)) >> 32);
        left.clamp(0, MAX_RUN as i128) as usize
    }
}

impl Pace {
    fn new(interp: Interp, step: f64, pull: f64) -> Pace {
        // By the step alone: the little that the pull is must not switch kernels.
        let kernel = Kernel::choose(interp, step);
        let room = ((WINDOW - 2 * kernel.reach() - 2) as f64 / step) as usize;
        Pace { step, fixed: fixed(step * pull) as u64, kernel, room: room.max(1) }
    }
}

impl Source for Sampler {
    fn channels(&self) -> usize {
        self.clip.channels()
    }

    fn fill(&mut self, run: &mut Run<'_>) -> Progress {
        let len = run[0].len();
        let mut at = 0;
        while at < len {
            let count = match self.clip.frames() {
                0 => 0,
                _ if self.step.at_rest() => self.steady(run, at),
                _ => self.gliding(run, at),
            };
            if count == 0 {
                return Progress::Done(at);
            }
            at += count;
        }
        Progress::Playing
    }

    fn set(&mut self, param: Param, value: f32, frames: u32) -> bool {
        if param == Param::Rate {
            self.step.head_for(step(&self.clip, self.output_rate, value), frames);
        }
        param == Param::Rate
    }

    fn follow(&mut self, trim: f64) -> bool {
        self.pull = 1.0 + trim;
        self.pace.fixed = fixed(self.pace.step * self.pull) as u64;
        true
    }

    fn leap(&mut self, frames: f64) -> bool {
        self.position += fixed(self.step.leap(frames));
        true
    }
}

/// Frames of the clip per output frame.
fn step(clip: &Clip, output_rate: f64, rate: f32) -> f64 {
    (f64::from(clip.rate()) / output_rate * f64::from(rate)).clamp(0.0, MAX_STEP)
}

/// Where in the clip the first frame filled lies.
fn position(play: &Play, clip: &Clip, start: &Start) -> Position {
    // A whole frame, so that an unpitched clip is a copy from wherever it starts.
    let first = (play.start * f64::from(clip.rate())).round();
    let frames = clip.frames() as f64;
    let first = if first < frames {
        first
    } else if play.looped {
        first % frames.max(1.0)
    } else {
        // Behind the end: not even the last frames' ringing is left.
        frames + MAX_REACH as f64
    };
    let step = step(clip, start.rate, play.rate);
    let passed = (start.offset + start.skip) * step;
    let snapped = step == 1.0 && (passed - passed.round()).abs() < SNAP;
    fixed(first) + fixed(if snapped { passed.round() } else { passed })
}

/// The frame before which no kernel looks at this position, nor at any after it.
fn reach_back(position: Position) -> i64 {
    (whole(position) - MAX_REACH as i64).max(0)
}

fn whole(position: Position) -> i64 {
    (position >> 32) as i64
}

fn fixed(frames: f64) -> Position {
    (frames * 2f64.powi(32)).round() as Position
}

#[cfg(test)]
mod tests;
