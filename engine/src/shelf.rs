//! [`Shelf`]: which files are in memory, so that one that is asked for under many names is there once.
//!
//! Not for: which file a path means (`folder`).

use crate::clip::Clip;
use crate::folder::{LoadError, SampleFolder};
use crate::wav::ClipConfig;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

/// A file as it was when it was read: its path without links, its size (bytes), its time.
type Version = (PathBuf, u64, Option<SystemTime>);

/// The clips that were loaded, as long as somebody has them.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    clips: HashMap<Version, Weak<Clip>>,
}

impl Shelf {
    /// The file at a path below the folder, read only if it is not in memory or has changed.
    ///
    /// # Errors
    /// Those of [`SampleFolder::load`].
    pub(crate) fn load(
        &mut self,
        folder: &SampleFolder,
        file: &str,
        config: ClipConfig,
    ) -> Result<Arc<Clip>, LoadError> {
        let path = folder.resolve(file)?;
        let version = fs::metadata(&path).ok().map(|meta| (path, meta.len(), meta.modified().ok()));
        let known = version.as_ref().and_then(|version| self.clips.get(version)?.upgrade());
        if let Some(clip) = known {
            return Ok(clip);
        }
        let clip = Arc::new(folder.load(file, config)?);
        self.clips.retain(|_, clip| clip.strong_count() > 0);
        self.clips.extend(version.map(|version| (version, Arc::downgrade(&clip))));
        Ok(clip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::{Scratch, write_wav};

    #[test]
    fn a_file_is_in_memory_once_until_it_changes_or_nobody_has_it() {
        let scratch = Scratch::new("shelf");
        write_wav(&scratch.path("tick.wav"), &[&[0.5; 10]]);
        let folder = SampleFolder::open(scratch.root()).unwrap();
        let mut shelf = Shelf::default();
        let mut load = |file: &str| shelf.load(&folder, file, ClipConfig::default());
        let first = load("tick.wav").unwrap();
        assert!(Arc::ptr_eq(&first, &load("./tick.wav").unwrap()));
        write_wav(&scratch.path("tick.wav"), &[&[0.5; 20]]);
        let second = load("tick.wav").unwrap();
        assert_eq!((first.frames(), second.frames()), (10, 20));
        drop((first, second));
        write_wav(&scratch.path("tock.wav"), &[&[0.5; 30]]);
        let third = load("tock.wav").unwrap();
        assert!(load("none.wav").is_err());
        assert_eq!((third.frames(), shelf.clips.len()), (30, 1));
    }
}
