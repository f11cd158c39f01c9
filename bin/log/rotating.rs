//! [`RotatingFile`]: a log file that does not grow for ever. When it is full it becomes `NAME.1`, that one `NAME.2`, and the
//! oldest goes.
//!
//! Not for: what is logged.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A file is full with this (bytes).
const FULL: u64 = 10_000_000;
/// Full files that are kept.
const KEPT: u32 = 10;

/// See the module.
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    length: u64,
    full: u64,
}

impl RotatingFile {
    /// Opens the file, to go on at its end; makes its folder if that is not there.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(path: &Path) -> io::Result<RotatingFile> {
        RotatingFile::of_size(path, FULL)
    }

    fn of_size(path: &Path, full: u64) -> io::Result<RotatingFile> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = append_to(path)?;
        let length = file.metadata()?.len();
        Ok(RotatingFile { path: path.to_owned(), file, length, full })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..KEPT).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.file = append_to(&self.path)?;
        self.length = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for RotatingFile {
    /// Takes a whole line or nothing of it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.length > 0 && self.length + line.len() as u64 > self.full {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.length += line.len() as u64;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/router.log");
        let mut file = RotatingFile::of_size(&path, 20).unwrap();
        for number in 0..26 {
            writeln!(file, "line {number:02}").unwrap();
        }
        // Two lines of eight bytes fit in twenty.
        let read = |name: &str| fs::read_to_string(path.with_file_name(name)).unwrap();
        assert_eq!(read("router.log"), "line 24\nline 25\n");
        assert_eq!(read("router.log.1"), "line 22\nline 23\n");
        assert_eq!(read("router.log.10"), "line 04\nline 05\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 11);
        drop(file);
        let mut file = RotatingFile::of_size(&path, 20).unwrap();
        writeln!(file, "line 26").unwrap();
        assert_eq!(
            (read("router.log").as_str(), read("router.log.1").as_str()),
            ("line 26\n", "line 24\nline 25\n")
        );
    }
}
