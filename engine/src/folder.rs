//! [`SampleFolder`]: the folder that samples come from, and which file of it a name means.
//!
//! Nothing outside the folder is ever opened: no absolute path, no `..`, no link that leads out. The folder is only
//! read. Not for: reading the files themselves (`wav`).

use crate::clip::Clip;
use crate::lane::MAX_CLIPS;
use crate::wav::{self, ClipConfig, WavError};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Folders within folders that are looked into.
const MAX_DEPTH: usize = 16;

/// A folder of samples.
#[derive(Clone, Debug)]
pub struct SampleFolder {
    /// Without links in it, so that what lies below can be told by its path.
    root: PathBuf,
}

/// Why a sample is not there.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The node has none.
    #[error("there is no samples folder")]
    NoFolder,
    /// The path leads out of the folder.
    #[error("{0} lies outside the samples folder")]
    Outside(String),
    /// There is no such file, or it cannot be looked at.
    #[error("{file}: {source}")]
    File {
        /// Relative to the folder.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not a sound we read.
    #[error("{file}: {source}")]
    Wav {
        /// Relative to the folder.
        file: String,
        /// What is wrong with it.
        source: WavError,
    },
    /// Another file has the same name.
    #[error("{file}: the name {name} is taken by {by}")]
    Taken {
        /// Relative to the folder.
        file: String,
        /// The name both would have.
        name: String,
        /// The file that has it.
        by: String,
    },
    /// No more clips fit the engine's table.
    #[error("{0}: more than {MAX_CLIPS} samples")]
    TooMany(String),
}

/// A sample of the folder.
#[derive(Debug)]
pub struct Sample {
    /// Its name, which is an OSC address once a `/` is put before it: `kick`, `drums/kick`.
    ///
    /// It is the file's path without its extension; characters that no OSC address may have are replaced by `_`.
    pub name: String,
    /// The file, relative to the folder.
    pub file: String,
    /// The sound.
    pub clip: Result<Clip, LoadError>,
}

impl SampleFolder {
    /// The folder at `path`.
    ///
    /// # Errors
    /// If there is none, or it may not be looked into.
    pub fn open(path: &Path) -> io::Result<SampleFolder> {
        let root = path.canonicalize()?;
        fs::read_dir(&root)?;
        Ok(SampleFolder { root })
    }

    /// The file at a path below the folder.
    ///
    /// # Errors
    /// [`LoadError::Outside`] if the path leads out of the folder, [`LoadError::File`] if there is no such file.
    pub fn resolve(&self, relative: &str) -> Result<PathBuf, LoadError> {
        let inside = |component| matches!(component, Component::Normal(_) | Component::CurDir);
        if !Path::new(relative).components().all(inside) {
            return Err(LoadError::Outside(relative.to_owned()));
        }
        let found = self.root.join(relative).canonicalize();
        let path = found.map_err(|source| LoadError::File { file: relative.to_owned(), source })?;
        if path.starts_with(&self.root) { Ok(path) } else { Err(LoadError::Outside(relative.to_owned())) }
    }

    /// Loads the file at a path below the folder.
    ///
    /// # Errors
    /// Those of [`SampleFolder::resolve`], and [`LoadError::Wav`].
    pub fn load(&self, relative: &str, config: ClipConfig) -> Result<Clip, LoadError> {
        let path = self.resolve(relative)?;
        wav::load_clip(&path, config).map_err(|source| LoadError::Wav { file: relative.to_owned(), source })
    }

    /// Loads every `.wav` file of the folder and the folders in it, in the order of their paths.
    ///
    /// Hidden files are passed over. Of two files with one name the first has it.
    pub fn load_all(&self, config: ClipConfig) -> Vec<Sample> {
        let mut files = Vec::new();
        let mut seen = HashSet::from([self.root.clone()]);
        self.list("", 0, &mut seen, &mut files);
        files.sort();
        let mut samples: Vec<Sample> = Vec::with_capacity(files.len().min(MAX_CLIPS));
        let mut loaded = 0;
        for file in files {
            let name = name_of(&file);
            let clip = match samples.iter().find(|other| other.name == name && other.clip.is_ok()) {
                Some(other) => {
                    Err(LoadError::Taken { file: file.clone(), name: name.clone(), by: other.file.clone() })
                }
                None if loaded == MAX_CLIPS => Err(LoadError::TooMany(file.clone())),
                None => self.load(&file, config),
            };
            loaded += usize::from(clip.is_ok());
            samples.push(Sample { name, file, clip });
        }
        samples
    }

    /// Adds the files below the folder `relative`. A folder that cannot be looked into has none.
    fn list(&self, relative: &str, depth: usize, seen: &mut HashSet<PathBuf>, files: &mut Vec<String>) {
        let Ok(entries) = fs::read_dir(self.root.join(relative)) else {
            tracing::warn!(folder = relative, "cannot be read: its samples are missing");
            return;
        };
        for entry in entries.flatten() {
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str() else {
                tracing::warn!(file = %entry.path().display(), "not UTF-8: passed over");
                continue;
            };
            if file_name.starts_with('.') {
                continue;
            }
            let below =
                if relative.is_empty() { file_name.to_owned() } else { format!("{relative}/{file_name}") };
            // A link to a folder could lead out, or round in circles.
            let folder = entry.path().canonicalize().ok().filter(|path| path.is_dir());
            if let Some(folder) = folder {
                if folder.starts_with(&self.root) && depth < MAX_DEPTH && seen.insert(folder) {
                    self.list(&below, depth + 1, seen, files);
                }
            } else if Path::new(file_name).extension().is_some_and(|kind| kind.eq_ignore_ascii_case("wav")) {
                files.push(below);
            }
        }
    }
}

/// The name of a sample in a file: its path without the extension, as far as OSC addresses allow.
fn name_of(file: &str) -> String {
    let stem = Path::new(file).with_extension("");
    let allowed = |c: char| c.is_ascii_graphic() && !"#*,?[]{}".contains(c);
    stem.to_string_lossy().chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::{Scratch, write_wav};

    #[test]
    fn a_sample_is_named_by_its_path() {
        assert_eq!(name_of("kick.wav"), "kick");
        assert_eq!(name_of("drums/kick.808.WAV"), "drums/kick.808");
        assert_eq!(name_of("my kick #2 [dry].wav"), "my_kick__2__dry_");
        assert_eq!(name_of("tür.wav"), "t_r");
    }

    #[test]
    fn the_folder_is_loaded_in_order_with_its_faults() {
        let scratch = Scratch::new("folder");
        write_wav(&scratch.path("tick.wav"), &[&[0.5]]);
        write_wav(&scratch.path("drums/kick.wav"), &[&[0.25]]);
        write_wav(&scratch.path("a b.wav"), &[&[0.1]]);
        write_wav(&scratch.path("a_b.wav"), &[&[0.2]]);
        write_wav(&scratch.path("._tick.wav"), &[&[0.5]]);
        fs::write(scratch.path("broken.wav"), "no").unwrap();
        fs::write(scratch.path("notes.txt"), "no").unwrap();
        std::os::unix::fs::symlink("..", scratch.path("drums/loop")).unwrap();

        let samples = SampleFolder::open(scratch.root()).unwrap().load_all(ClipConfig::default());
        let told: Vec<_> = samples
            .iter()
            .map(|s| (s.name.as_str(), s.clip.as_ref().map(Clip::frames).map_err(LoadError::to_string)))
            .collect();
        let taken = "a_b.wav: the name a_b is taken by a b.wav".to_owned();
        let broken = "broken.wav: not a WAV file: it ends before its sound begins".to_owned();
        assert_eq!(
            told,
            [
                ("a_b", Ok(1)),
                ("a_b", Err(taken)),
                ("broken", Err(broken)),
                ("drums/kick", Ok(1)),
                ("tick", Ok(1))
            ]
        );
    }

    #[test]
    fn nothing_outside_the_folder_is_opened() {
        let scratch = Scratch::new("outside");
        write_wav(&scratch.path("secret.wav"), &[&[0.5]]);
        write_wav(&scratch.path("samples/tick.wav"), &[&[0.5]]);
        std::os::unix::fs::symlink("../secret.wav", scratch.path("samples/out.wav")).unwrap();
        std::os::unix::fs::symlink("tick.wav", scratch.path("samples/in.wav")).unwrap();
        std::os::unix::fs::symlink(scratch.root(), scratch.path("samples/up")).unwrap();
        let folder = SampleFolder::open(&scratch.path("samples")).unwrap();
        for inside in ["tick.wav", "./tick.wav", "in.wav"] {
            assert!(folder.load(inside, ClipConfig::default()).is_ok(), "{inside}");
        }
        let absolute = scratch.path("samples/tick.wav");
        for outside in
            ["../secret.wav", "a/../tick.wav", "out.wav", "up/secret.wav", absolute.to_str().unwrap()]
        {
            let error = folder.load(outside, ClipConfig::default()).unwrap_err();
            assert_eq!(error.to_string(), format!("{outside} lies outside the samples folder"));
        }
        assert!(matches!(folder.resolve("none.wav"), Err(LoadError::File { .. })));
        assert!(matches!(folder.resolve("a\0b.wav"), Err(LoadError::File { .. })));
        let names: Vec<_> =
            folder.load_all(ClipConfig::default()).into_iter().map(|s| (s.name, s.clip.is_ok())).collect();
        assert_eq!(names, [("in".into(), true), ("out".into(), false), ("tick".into(), true)]);
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused() {
        let scratch = Scratch::new("irregular");
        fs::create_dir_all(scratch.path("kit.wav")).unwrap();
        let folder = SampleFolder::open(scratch.root()).unwrap();
        let error = folder.load("kit.wav", ClipConfig::default()).unwrap_err();
        assert_eq!(error.to_string(), "kit.wav: not a WAV file: not a regular file");
    }
}
