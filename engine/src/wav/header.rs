//! The header of a WAV file: its chunks, and how its samples are stored.
//!
//! A header is never believed: each length is held against that of the file. Layout after Microsoft's RIFF documents as
//! collected at <https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html>; RF64 after EBU Tech 3306.

use super::WavError;
use std::io::{self, Read, Seek, SeekFrom};

/// A file of more chunks than this before its data is not one that a person made.
const MAX_CHUNKS: usize = 4_096;
const MAX_RATE: u32 = 768_000;
/// What a program writes as a length when it cannot come back to fill it in (`ffmpeg -f wav -`).
const UNKNOWN: u32 = u32::MAX;

/// Where the sound of a file lies and what it looks like.
pub(super) struct Header {
    pub(super) format: Format,
    /// Its first byte.
    pub(super) data: u64,
    /// How many bytes of it there are, by the header and in the file. Not always whole frames.
    pub(super) bytes: u64,
}

impl Header {
    pub(super) fn read<R: Read + Seek>(reader: &mut R) -> Result<Header, WavError> {
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
pub(super) struct Format {
    pub(super) rate: u32,
    pub(super) channels: u16,
    /// Bytes of one sample.
    pub(super) container: usize,
    /// Bytes of one frame.
    pub(super) block: usize,
    pub(super) coding: Coding,
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
            // `arecord -f S24_LE` leaves the upper byte to chance. A container said to be full has its valid bits on top,
            // as the specification wants it and libsndfile reads it.
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
pub(super) enum Coding {
    Int8,
    Int16,
    Int24,
    Int32,
    Float32,
    Float64,
}

impl Coding {
    /// `bytes` are one container.
    pub(super) fn decode(self, bytes: &[u8]) -> f32 {
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
