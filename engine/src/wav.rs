//! [`WavFile`]: reads the frames of a WAV file, whichever way they are stored. [`load_clip`] makes a [`Clip`] of one.
//!
//! Readable are PCM of 8, 16, 24 and 32 bits (in wider containers too), float of 32 and 64 bits, plain or
//! WAVE_FORMAT_EXTENSIBLE, RIFF or RF64, of any sample rate. Of more than two channels the first two are heard.
//!
//! The files are not read by hound, which writes ours (`wav_out`): its reader (3.5.1) loses the way behind a chunk of odd
//! length, seeks wrong in padded containers, and refuses the files that programs write to pipes.
//!
//! Not for: which file a name means (`folder`), streaming (`feeder`).

mod header;

use crate::clip::{Clip, GUARD};
use header::Header;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes read at once.
const PIECE: usize = 65_536;

/// How much of a file is held in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipConfig {
    /// Files up to this long are loaded whole, longer ones are streamed [s, 0 or more]. Infinity: none is streamed, as
    /// rendering offline wants it, where no disk thread keeps up.
    pub whole: f64,
    /// How much of a streamed file is held in memory, so that it starts at once [s; at least one frame is].
    pub head: f64,
}

impl Default for ClipConfig {
    fn default() -> Self {
        ClipConfig { whole: 10.0, head: 1.0 }
    }
}

/// Why a file is not a clip.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("not a WAV file: {0}")]
    NotWav(&'static str),
    /// It is a WAV file of a kind that is not read.
    #[error("{0} is not readable; PCM of 8, 16, 24 or 32 bits and float of 32 or 64 bits are")]
    Unsupported(String),
    /// Its header cannot be true.
    #[error("broken WAV header: {0}")]
    Malformed(&'static str),
    /// It was cut off, or its header lies.
    #[error("cut off: the header promises {promised} bytes of sound, the file has {there}")]
    Truncated {
        /// By the header (bytes).
        promised: u64,
        /// In the file (bytes).
        there: u64,
    },
    /// It has no frames.
    #[error("there is no sound in it")]
    Empty,
}

/// Loads a file as a clip: all of it, or the head of it if it is longer than `config.whole`.
///
/// Samples that are not finite numbers become silence, and a warning. So does a third channel and any beyond.
///
/// # Errors
/// See [`WavError`].
pub fn load_clip(path: &Path, config: ClipConfig) -> Result<Clip, WavError> {
    let mut file = WavFile::open(path)?;
    let frames = file.frames();
    let head = seconds(config.head, file.rate()).max(1);
    let is_whole =
        frames <= seconds(config.whole, file.rate()) || frames <= head.saturating_add(GUARD as u64);
    let wanted = if is_whole { frames } else { head + GUARD as u64 };
    let mut planar = vec![Vec::new(); file.channels()];
    file.read(0, wanted as usize, &mut planar)?;
    if file.repaired() > 0 {
        tracing::warn!(file = %path.display(), samples = file.repaired(), "not finite: played as silence");
    }
    if file.stored_channels() > file.channels() {
        tracing::warn!(file = %path.display(), channels = file.stored_channels(), "only the first two are played");
    }
    let channels: Vec<&[f32]> = planar.iter().map(Vec::as_slice).collect();
    Ok(if is_whole {
        Clip::from_channels(file.rate(), &channels)
    } else {
        Clip::streamed(file.rate(), frames, head as usize, &channels, path.to_owned())
    })
}

fn seconds(seconds: f64, rate: u32) -> u64 {
    (seconds * f64::from(rate)).round() as u64
}

/// An open WAV file, readable from any frame on.
pub struct WavFile<R = File> {
    reader: R,
    format: header::Format,
    /// The first byte of the sound.
    data: u64,
    frames: u64,
    repaired: u64,
    bytes: Vec<u8>,
}

impl WavFile<File> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// See [`WavError`]. Pipes and devices, whose opening could block, are refused.
    pub fn open(path: &Path) -> Result<WavFile<File>, WavError> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(WavError::NotWav("not a regular file"));
        }
        WavFile::new(File::open(path)?)
    }
}

impl<R: Read + Seek> WavFile<R> {
    /// Reads the header of a file, however it is held.
    ///
    /// # Errors
    /// See [`WavError`].
    pub fn new(mut reader: R) -> Result<WavFile<R>, WavError> {
        let Header { format, data, bytes } = Header::read(&mut reader)?;
        let block = format.block as u64;
        if bytes % block != 0 {
            return Err(WavError::Malformed("the sound ends within a frame"));
        }
        if bytes == 0 {
            return Err(WavError::Empty);
        }
        Ok(WavFile { reader, format, data, frames: bytes / block, repaired: 0, bytes: Vec::new() })
    }

    /// Frames per second [Hz, 1 to 768,000].
    pub fn rate(&self) -> u32 {
        self.format.rate
    }

    /// How many frames there are [1 or more].
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// How many channels are read [1 or 2].
    pub fn channels(&self) -> usize {
        self.stored_channels().min(2)
    }

    /// How many channels the file has [1 or more].
    pub fn stored_channels(&self) -> usize {
        usize::from(self.format.channels)
    }

    /// How many samples read so far were not finite numbers, and were replaced by silence.
    pub fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Appends frames `from..from + frames` to the first [`WavFile::channels`] of `planar`; full scale is ±1, so that
    /// the lowest integer is exactly -1.
    ///
    /// # Errors
    /// If they are not all there. What was appended until then stays.
    pub fn read(&mut self, from: u64, frames: usize, planar: &mut [Vec<f32>]) -> Result<(), WavError> {
        if self.frames.checked_sub(from).is_none_or(|left| left < frames as u64) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let channels = self.channels();
        let block = self.format.block;
        self.reader.seek(SeekFrom::Start(self.data + from * block as u64))?;
        let mut left = frames;
        while left > 0 {
            let now = left.min((PIECE / block).max(1));
            self.bytes.resize(now * block, 0);
            self.reader.read_exact(&mut self.bytes)?;
            for (channel, out) in planar.iter_mut().take(channels).enumerate() {
                let at = channel * self.format.container;
                let stored =
                    self.bytes.chunks_exact(block).map(|frame| &frame[at..at + self.format.container]);
                let repaired = &mut self.repaired;
                let coding = self.format.coding;
                out.extend(stored.map(|bytes| finite(coding.decode(bytes), repaired)));
            }
            left -= now;
        }
        Ok(())
    }
}

fn finite(sample: f32, repaired: &mut u64) -> f32 {
    if sample.is_finite() {
        sample
    } else {
        *repaired += 1;
        0.0
    }
}

#[cfg(test)]
mod tests;
