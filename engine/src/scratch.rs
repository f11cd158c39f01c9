//! Folders for tests that need real files: made on the spot, gone when the test is over.

use crate::wav::{WavError, WavFile};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("downbeat-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        Scratch(path.canonicalize().expect("it was just made"))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes a float file of 48 kHz, and the folders it lies in.
pub(crate) fn write_wav(path: &Path, planar: &[&[f32]]) {
    fs::create_dir_all(path.parent().expect("a file lies in a folder"))
        .expect("the scratch folder is writable");
    let spec = hound::WavSpec {
        channels: planar.len() as u16,
        sample_rate: 48_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("the scratch folder is writable");
    for frame in 0..planar[0].len() {
        for channel in planar {
            writer.write_sample(channel[frame]).expect("the disk has room");
        }
    }
    writer.finalize().expect("the disk has room");
}

/// All frames of a file, by channels.
pub(crate) fn read_wav(path: &Path) -> Vec<Vec<f32>> {
    let mut file = match WavFile::open(path) {
        Err(WavError::Empty) => return vec![Vec::new(); 2],
        file => file.expect("it is a WAV file"),
    };
    let mut planar = vec![Vec::new(); file.channels()];
    file.read(0, file.frames() as usize, &mut planar).expect("it is whole");
    planar
}
