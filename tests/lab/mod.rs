//! A [`Lab`]: the real program in a fresh folder, its processes watched and ended, its recordings read.

pub(crate) mod clock;
pub(crate) mod device;
pub(crate) mod ensemble;
pub(crate) mod osc;
mod process;
pub(crate) mod router;
pub(crate) mod schedules;
mod sound;
mod tap;

pub(crate) use process::{Output, PATIENCE, Process};
pub(crate) use sound::{clicks, read_wav};
pub(crate) use tap::Tap;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program under test.
const DOWNBEAT: &str = env!("CARGO_BIN_EXE_downbeat");

/// A folder of its own for each test.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    /// An empty folder, removed with the lab.
    pub(crate) fn new() -> Lab {
        Lab { folder: tempfile::tempdir().expect("the system gives a folder") }
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("the folder takes a file");
        path
    }

    /// Runs the program in the folder until it ends.
    pub(crate) fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.spawn(args).output()
    }

    /// Runs the program, demands that it succeeds, and returns what it printed on stdout.
    pub(crate) fn ok(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
        let output = self.run(args);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        output.stdout
    }

    /// Starts the program in the folder and waits until it says on which port it listens.
    pub(crate) fn start(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Process {
        Process::start(self.command(args))
    }

    /// Starts the program in the folder and waits for nothing.
    pub(crate) fn spawn(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Process {
        Process::spawn(self.command(args))
    }

    /// Starts a node without a sound card on a free port, with these flags more.
    pub(crate) fn node<'a>(&self, flags: impl IntoIterator<Item = &'a str>) -> Process {
        let mut args = vec!["node", "--host", "virtual", "--bind", "127.0.0.1", "--port", "0"];
        args.extend(flags);
        self.start(args)
    }

    /// The program in the folder, for a test that has more to say about how it is started.
    pub(crate) fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(DOWNBEAT);
        // A log level in the environment of whoever runs the tests must not change them.
        command.args(args).current_dir(self.folder.path()).env_remove("RUST_LOG");
        // Nor may a test leave a trace in the state of whoever runs it, or find one.
        command.env_remove("STATE_DIRECTORY").env("XDG_STATE_HOME", self.path("state"));
        command
    }
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether a program is installed.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").expect("there is a PATH");
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}
