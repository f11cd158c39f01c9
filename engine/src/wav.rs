//! [`WavFile`]: reads the frames of a WAV file, whichever way they are stored. [`load_clip`] makes a [`Clip`] of one.
//!
//! Readable are PCM of 8, 16, 24 and 32 bits (in wider containers too), float of 32 and 64 bits, plain or
//! WAVE_FORMAT_EXTENSIBLE, RIFF or RF64, of any sample rate. Of more than two channels the first two are heard.
//! A header is never believed: nothing is allocated from a length that the file does not have.
//!
//! The chunks are walked here and not by hound, which writes our files (`wav_out`): its reader (3.5.1) loses the way
//! behind a chunk of odd length, seeks wrong in padded containers, and refuses the files that programs write to pipes.
//! Layout after Microsoft's RIFF documents as collected at
//! <https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html>; RF64 after EBU Tech 3306.
//!
//! Not for: which file a name means (`folder`), streaming (`feeder`).

use crate::clip::{Clip, GUARD};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes read at once.
const PIECE: usize = 65_536;
/// A file of more chunks than this before its data is not one that a person made.
const MAX_CHUNKS: usize = 4_096;
const MAX_RATE: u32 = 768_000;
/// What a program writes as a length when it cannot come back to fill it in (`ffmpeg -f wav -`).
const UNKNOWN: u32 = u32::MAX;

/// How much of a file is held in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipConfig {
    /// Files up to this long are loaded whole, longer ones are streamed [s, more than 0].
    pub whole: f64,
    /// How much of a streamed file is held in memory, so that it starts at once [s, more than 0].
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
        /// By the header [bytes].
        promised: u64,
        /// In the file [bytes].
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
    format: Format,
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

/// Where the sound of a file lies and what it looks like.
struct Header {
    format: Format,
    /// Its first byte.
    data: u64,
    /// How many bytes of it there are, by the header and in the file.
    bytes: u64,
}

impl Header {
    fn read<R: Read + Seek>(reader: &mut R) -> Result<Header, WavError> {
        let length = reader.seek(SeekFrom::End(0))?;
        reader.seek(SeekFrom::Start(0))?;
        let riff: [u8; 12] = take(reader)?;
        let is_rf64 = match &riff[..4] {
            b"RIFF" => false,
            b"RF64" | b"BW64" => true,
            _ => return Err(WavError::NotWav("it does not begin with RIFF or RF64")),
        };
        if &riff[8..] != b"WAVE" {
            return Err(WavError::NotWav("RIFF, but of another kind"));
        }
        let mut format = None;
        let mut long_data = None;
        let mut at = riff.len() as u64;
        for _ in 0..MAX_CHUNKS {
            reader.seek(SeekFrom::Start(at))?;
            let header: [u8; 8] = take(reader)?;
            let stated = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            let body = at + 8;
            let there = length.saturating_sub(body);
            match &header[..4] {
                b"data" => {
                    let format: Format = format.ok_or(WavError::Malformed("data before the format"))?;
                    let bytes = match (stated, long_data) {
                        (UNKNOWN, Some(long)) => long,
                        (UNKNOWN, None) => there - there % format.block as u64,
                        (stated, _) => u64::from(stated),
                    };
                    if bytes > there {
                        return Err(WavError::Truncated { promised: bytes, there });
                    }
                    return Ok(Header { format, data: body, bytes });
                }
                b"fmt " => format = Some(Format::read(reader, stated)?),
                b"ds64" if is_rf64 => {
                    let sizes: [u8; 16] = take(reader)?;
                    long_data = Some(u64_at(&sizes, 8));
                }
                _ => {}
            }
            // A chunk of odd length is followed by a byte that belongs to nobody.
            at = body + u64::from(stated) + u64::from(stated % 2);
            if at > length {
                return Err(WavError::Malformed("a chunk is longer than the file"));
            }
        }
        Err(WavError::Malformed("too many chunks"))
    }
}

/// What a frame looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Format {
    rate: u32,
    channels: u16,
    /// Bytes of one sample.
    container: usize,
    /// Bytes of one frame.
    block: usize,
    coding: Coding,
}

impl Format {
    /// Reads a `fmt ` chunk of so many bytes.
    fn read(reader: &mut impl Read, length: u32) -> Result<Format, WavError> {
        const PCM: u16 = 1;
        const FLOAT: u16 = 3;
        const EXTENSIBLE: u16 = 0xfffe;
        /// What stands behind the format tag in the GUIDs of PCM and float.
        const SUBTYPE: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];

        if length < 16 {
            return Err(WavError::Malformed("its format is too short"));
        }
        let plain: [u8; 16] = take(reader)?;
        let mut tag = u16_at(&plain, 0);
        let channels = u16_at(&plain, 2);
        let rate = u32::from_le_bytes([plain[4], plain[5], plain[6], plain[7]]);
        let block = usize::from(u16_at(&plain, 12));
        let bits = u16_at(&plain, 14);
        if tag == EXTENSIBLE {
            if length < 40 {
                return Err(WavError::Malformed("its extensible format is too short"));
            }
            let extension: [u8; 24] = take(reader)?;
            if extension[10..] != SUBTYPE {
                return Err(WavError::Unsupported("this extensible format".into()));
            }
            tag = u16_at(&extension, 8);
        }
        if channels == 0 || !block.is_multiple_of(usize::from(channels)) {
            return Err(WavError::Malformed("its channels do not fill its frames"));
        }
        if !(1..=MAX_RATE).contains(&rate) {
            return Err(WavError::Malformed("its sample rate is beyond 1 to 768,000 Hz"));
        }
        let container = block / usize::from(channels);
        let coding = match (tag, bits, container) {
            (PCM | FLOAT, bits, container) if bits == 0 || usize::from(bits) > 8 * container => {
                return Err(WavError::Malformed("its samples do not fit their containers"));
            }
            (PCM, _, 1) => Coding::Int8,
            (PCM, _, 2) => Coding::Int16,
            (PCM, _, 3) => Coding::Int24,
            // `arecord -f S24_LE` and others leave the upper byte to chance; else the upper bits are the valid ones.
            (PCM, 24, 4) => Coding::Int24,
            (PCM, _, 4) => Coding::Int32,
            (FLOAT, 32, 4) => Coding::Float32,
            (FLOAT, 64, 8) => Coding::Float64,
            _ => return Err(WavError::Unsupported(kind(tag, bits))),
        };
        Ok(Format { rate, channels, container, block, coding })
    }
}

fn kind(tag: u16, bits: u16) -> String {
    match tag {
        1 => format!("{bits}-bit PCM"),
        3 => format!("{bits}-bit float"),
        2 | 0x11 => "ADPCM".into(),
        6 => "A-law".into(),
        7 => "mu-law".into(),
        0x55 => "MP3".into(),
        _ => format!("WAVE format {tag:#06x}"),
    }
}

/// How a sample is stored, little-endian.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Coding {
    Int8,
    Int16,
    Int24,
    Int32,
    Float32,
    Float64,
}

impl Coding {
    /// `bytes` are one container.
    fn decode(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Coding::Int8, &[a]) => (f32::from(a) - 128.0) / 128.0,
            (Coding::Int16, &[a, b]) => f32::from(i16::from_le_bytes([a, b])) / 32_768.0,
            (Coding::Int24, &[a, b, c] | &[a, b, c, _]) => {
                (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 / 8_388_608.0
            }
            (Coding::Int32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]) as f32 / 2_147_483_648.0,
            (Coding::Float32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Coding::Float64, &[a, b, c, d, e, f, g, h]) => {
                f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32
            }
            // A container of a coding's own size: checked where the two were read.
            _ => 0.0,
        }
    }
}

fn take<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], WavError> {
    let mut bytes = [0; N];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(WavError::NotWav("it ends before its sound begins"))
        }
        Err(error) => Err(error.into()),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    (0..8).rev().fold(0, |value, byte| value << 8 | u64::from(bytes[at + byte]))
}

#[cfg(test)]
mod tests;
