//! [`WavOut`]: writes frames to a WAV file of 32-bit float, which stays readable whatever becomes of the process.
//!
//! A WAV file ends at 4 GiB (3 hours of stereo at 48 kHz); what follows goes on, without a frame missing, in `NAME-2.wav`
//! and so on. Not for: threads and rings (`recorder`).

use hound::{SampleFormat, WavSpec, WavWriter};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// Bytes of sound one file may hold: what a RIFF length can say, without hound's header (68 bytes).
const MAX_BYTES: u64 = u32::MAX as u64 - 128;

/// A WAV file being written. Dropping it finishes the file, but tells nobody if that fails: see [`WavOut::finish`].
pub struct WavOut {
    path: PathBuf,
    spec: WavSpec,
    writer: WavWriter<BufWriter<File>>,
    /// The same file, to be looked at.
    file: File,
    /// Which of the files this is, from 1 on.
    part: u32,
    /// Frames in this file, and how many of them no header speaks of yet.
    frames: u64,
    unflushed: u64,
    max_frames: u64,
}

impl WavOut {
    /// Makes the file, or makes it anew.
    ///
    /// # Errors
    /// If it cannot be made, or there is no channel, or the sample rate is 0.
    pub fn create(path: &Path, channels: u16, rate: u32) -> io::Result<WavOut> {
        if channels == 0 || rate == 0 || u64::from(rate) * 4 * u64::from(channels) > u64::from(u32::MAX) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let spec =
            WavSpec { channels, sample_rate: rate, bits_per_sample: 32, sample_format: SampleFormat::Float };
        let (writer, file) = create(path, spec)?;
        let max_frames = MAX_BYTES / (4 * u64::from(channels));
        let mut out = WavOut {
            path: path.to_owned(),
            spec,
            writer,
            file,
            part: 1,
            frames: 0,
            unflushed: 0,
            max_frames,
        };
        out.flush()?;
        Ok(out)
    }

    /// Appends interleaved frames. Each second of sound, and at the end of each file, the header is brought up to date,
    /// so that a process that is killed loses at most that second.
    ///
    /// # Errors
    /// If the disk is full or gone: what was written before stays readable. `NotFound` if the file was deleted, as is found out within
    /// a second of sound: all of it is lost then.
    pub fn write(&mut self, interleaved: &[f32]) -> io::Result<()> {
        for frame in interleaved.chunks_exact(usize::from(self.spec.channels)) {
            self.push(frame.iter().copied())?;
        }
        Ok(())
    }

    /// Appends so many frames of silence.
    ///
    /// # Errors
    /// Like [`WavOut::write`].
    pub fn write_silence(&mut self, frames: u64) -> io::Result<()> {
        (0..frames).try_for_each(|_| self.push((0..self.spec.channels).map(|_| 0.0)))
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// If the disk is full or gone.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.writer.finalize().map_err(io_error)
    }

    /// Frames in the file that is written now.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    fn push(&mut self, frame: impl Iterator<Item = f32>) -> io::Result<()> {
        if self.frames == self.max_frames {
            self.next_part()?;
        }
        for sample in frame {
            self.writer.write_sample(sample).map_err(io_error)?;
        }
        self.frames += 1;
        self.unflushed += 1;
        if self.unflushed >= u64::from(self.spec.sample_rate) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unflushed = 0;
        self.writer.flush().map_err(io_error)?;
        if is_deleted(&self.file)? {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was deleted"));
        }
        Ok(())
    }

    fn next_part(&mut self) -> io::Result<()> {
        self.flush()?;
        self.part += 1;
        let path = part_path(&self.path, self.part);
        tracing::info!(file = %path.display(), "a WAV file is full at 4 GiB: going on in the next");
        (self.writer, self.file) = create(&path, self.spec)?;
        self.frames = 0;
        self.flush()
    }
}

fn create(path: &Path, spec: WavSpec) -> io::Result<(WavWriter<BufWriter<File>>, File)> {
    let file = File::create(path)?;
    let writer = WavWriter::new(BufWriter::new(file.try_clone()?), spec).map_err(io_error)?;
    Ok((writer, file))
}

/// Whether no path leads to an open file any more.
#[cfg(unix)]
fn is_deleted(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let meta = file.metadata()?;
    // A pipe or a device is no file of ours.
    Ok(meta.is_file() && meta.nlink() == 0)
}

#[cfg(not(unix))]
fn is_deleted(_: &File) -> io::Result<bool> {
    Ok(false)
}

fn part_path(path: &Path, part: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or_else(String::new, |kind| format!(".{}", kind.to_string_lossy()));
    path.with_file_name(format!("{stem}-{part}{extension}"))
}

fn io_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::{Scratch, read_wav};

    #[test]
    fn the_file_on_disk_is_readable_without_being_finished() {
        let scratch = Scratch::new("flush");
        let path = scratch.path("out.wav");
        let mut out = WavOut::create(&path, 2, 100).unwrap();
        assert_eq!(hound::WavReader::open(&path).unwrap().duration(), 0);
        for second in 1..=5 {
            out.write(&[[0.25, -0.5]; 99].concat()).unwrap();
            assert_eq!(read_wav(&path)[0].len(), 100 * (second - 1));
            out.write_silence(1).unwrap();
            assert_eq!(read_wav(&path)[0].len(), 100 * second);
        }
        std::mem::forget(out);
        let planar = read_wav(&path);
        assert_eq!(planar[0][..100], [[0.25; 99].as_slice(), &[0.0]].concat());
        assert_eq!(planar[1][400..], [[-0.5; 99].as_slice(), &[0.0]].concat());
    }

    #[test]
    fn a_full_file_is_followed_by_another_without_a_gap() {
        let scratch = Scratch::new("parts");
        let path = scratch.path("out.wav");
        let mut out = WavOut::create(&path, 1, 48_000).unwrap();
        assert_eq!(out.max_frames, 1_073_741_791);
        out.max_frames = 10;
        let frames: Vec<f32> = (0..25).map(|n| n as f32).collect();
        out.write(&frames).unwrap();
        out.finish().unwrap();
        let parts = ["out.wav", "out-2.wav", "out-3.wav"].map(|name| read_wav(&scratch.path(name)).remove(0));
        assert_eq!(parts.each_ref().map(Vec::len), [10, 10, 5]);
        assert_eq!(parts.concat(), frames);
    }

    #[test]
    fn many_channels_are_written_and_none_refused() {
        let scratch = Scratch::new("wide");
        let path = scratch.path("out.wav");
        let mut out = WavOut::create(&path, 6, 48_000).unwrap();
        out.write(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        out.finish().unwrap();
        assert_eq!(hound::WavReader::open(&path).unwrap().spec().channels, 6);
        assert_eq!(read_wav(&path), [[1.0], [2.0]]);
        assert!(WavOut::create(&path, 0, 48_000).is_err());
        assert!(WavOut::create(&path, 2, 0).is_err());
        assert!(WavOut::create(&scratch.path("no/folder.wav"), 2, 48_000).is_err());
    }
}
