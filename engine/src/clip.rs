//! [`Clip`]: the frames of one sound file, in memory or (its head) in memory and the rest on disk.
//!
//! Immutable once made, shared by `Arc`. Not for: reading files (`wav`), streaming (`stream`), playing (`sampler`).

use crate::source::MAX_SOURCE_CHANNELS;
use std::path::PathBuf;

/// Silent frames before and after the frames of a clip, so that an interpolator may read past both ends.
pub const GUARD: usize = 32;

/// A clip by its place in the engine's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClipId(pub u16);

/// One sound. Planar f32, full scale ±1.
#[derive(Debug)]
pub struct Clip {
    rate: u32,
    frames: u64,
    /// Per channel: [`GUARD`] silent frames, the head, [`GUARD`] more (silent, or the frames that follow the head).
    head: Vec<Vec<f32>>,
    head_frames: usize,
    rest: Option<PathBuf>,
}

impl Clip {
    /// A clip that is all in memory; `channels` has one or two equally long slices.
    ///
    /// # Panics
    /// If there is no channel or more than two, or they differ in length.
    pub fn from_channels(rate: u32, channels: &[&[f32]]) -> Clip {
        assert!(channels.len() <= MAX_SOURCE_CHANNELS, "a clip is mono or stereo");
        let frames = channels[0].len();
        assert!(channels.iter().all(|c| c.len() == frames), "the channels of a clip are equally long");
        let head = channels.iter().map(|c| guarded(c, frames)).collect();
        Clip { rate, frames: frames as u64, head, head_frames: frames, rest: None }
    }

    /// A clip of `frames` frames whose first `head_frames` are in memory, the whole of it in the WAV file `rest`.
    ///
    /// `channels` hold the head and at least [`GUARD`] frames more.
    ///
    /// # Panics
    /// If a channel is shorter than that.
    pub fn streamed(rate: u32, frames: u64, head_frames: usize, channels: &[&[f32]], rest: PathBuf) -> Clip {
        let head = channels.iter().map(|c| guarded(&c[..head_frames + GUARD], head_frames)).collect();
        Clip { rate, frames, head, head_frames, rest: Some(rest) }
    }

    /// Frames per second of the file (Hz).
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Frames in all, those on disk too.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// One or two.
    pub fn channels(&self) -> usize {
        self.head.len()
    }

    /// How many of the frames are in memory.
    pub fn head_frames(&self) -> usize {
        self.head_frames
    }

    /// The head of one channel with its guards: frame 0 stands at index [`GUARD`].
    pub fn head(&self, channel: usize) -> &[f32] {
        &self.head[channel]
    }

    /// The file that holds what the head does not; `None` if the head is all.
    pub fn rest(&self) -> Option<&std::path::Path> {
        self.rest.as_deref()
    }
}

/// A guard, the samples, and silence up to a guard beyond `frames`.
fn guarded(samples: &[f32], frames: usize) -> Vec<f32> {
    let mut out = vec![0.0; GUARD];
    out.extend_from_slice(samples);
    out.resize(GUARD + frames + GUARD, 0.0);
    out
}
