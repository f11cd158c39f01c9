//! [`Source`] and [`Instrument`]: the traits behind everything that sounds.
//!
//! The sampler and the tones are the first users; a program's own instrument is one more. Not for: level, place and
//! envelope, which every voice has around its source (`voice`), nor for time: a source never knows what time it is.

use crate::event::Param;

/// Most channels a source may produce.
pub const MAX_SOURCE_CHANNELS: usize = 2;
/// Most frames a source is asked for at once.
pub const MAX_RUN: usize = 128;

/// Frames a source fills: one slice per channel, all of one length of at most [`MAX_RUN`].
pub type Run<'a> = [&'a mut [f32]; MAX_SOURCE_CHANNELS];

/// Where and how a source begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// Output frames per second (Hz).
    pub rate: f64,
    /// How far after the onset the first frame filled lies [frames, less than 1].
    ///
    /// With an onset at frame 100.25 the first frame filled is 101, and `offset` is 0.75. A source that rings before its
    /// onset (a sampler whose interpolator is symmetric) is begun that much earlier: then `offset` is negative.
    pub offset: f64,
    /// How much of the sound has passed already at the onset, by the ensemble's clock (nominal frames): not 0 only for late
    /// events that are trimmed.
    pub skip: f64,
    /// A number that is the same on every node for one event: seed noise with it.
    pub seed: u64,
}

impl Start {
    /// For a source that is silent until `lead` frames before its onset: how many frames to wait, and how it starts
    /// after them.
    pub(crate) fn after_silence(self, lead: u32) -> (usize, Start) {
        let wait = (-self.offset - f64::from(lead)).max(0.0).ceil();
        (wait as usize, Start { offset: self.offset + wait, ..self })
    }
}

/// Whether a source has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More to come.
    Playing,
    /// It ended; only so many frames of this run are sound, the rest it left as they were (silence).
    Done(usize),
}

/// Something that sounds.
///
/// # Real-time rules
///
/// Every method runs on the audio thread. None may allocate, free, lock, block, log or panic, nor make a system call;
/// whatever a source needs it owns before it is handed to the engine. The engine checks none of this in release builds:
/// a source that breaks it makes the whole node crackle.
pub trait Source: Send {
    /// How many channels it fills [1 to [`MAX_SOURCE_CHANNELS`]].
    fn channels(&self) -> usize;

    /// Fills the first [`Source::channels`] slices of the run (given silent), from where the last run ended.
    ///
    /// The same sound must come out whatever the lengths of the runs it is asked for in.
    fn fill(&mut self, run: &mut Run<'_>) -> Progress;

    /// Moves a parameter to `value` over so many frames (0: at once). `false` if it has no such parameter.
    fn set(&mut self, param: Param, value: f32, frames: u32) -> bool {
        let _ = (param, value, frames);
        false
    }

    /// Goes through its sound by this much faster from here on [1; within 200 ppm of 0], until told otherwise: so it stays
    /// with the ensemble's time, whatever the sound card's crystal does. `false`, the default, if it cannot; then it
    /// keeps to the card's time.
    ///
    /// Asked once per block of a voice that follows ([`crate::Follow`]).
    fn follow(&mut self, trim: f64) -> bool {
        let _ = trim;
        false
    }

    /// Leaps over so many frames of its sound (more than 0), because the sound card lost them. `false`, the default, if it
    /// cannot; then it goes on where it was.
    fn leap(&mut self, frames: f64) -> bool {
        let _ = frames;
        false
    }
}

/// A source that events start by numbers: what a program registers at an OSC address of its own.
pub trait Instrument: Source {
    /// Begins anew, whatever it was doing. `args` are the event's numeric arguments, NaN where not given.
    fn start(&mut self, start: Start, args: &[f32]);
}
