//! [`Server`]: a JACK server without hardware, that a benchmark or a test may kill, stop, and start again.
//!
//! A machine has places for eight servers, and one that was killed keeps its own until one of the same name starts: so each user has
//! one name for good, and the last server of a run is asked to end. Not for: what plays on it (`life`).

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Command, Stdio};

/// Frames per second and per block.
pub(crate) const RATE: u32 = 48_000;
const BLOCK: u32 = 256;

/// A server, running or not; asked to end with this value.
pub(crate) struct Server {
    name: String,
    child: Option<Child>,
}

impl Server {
    /// Starts it; `None` if there is no JACK here.
    pub(crate) fn start(name: &str) -> Option<Server> {
        let mut server = Server { name: name.to_owned(), child: None };
        server.child = Some(server.command().spawn().ok()?);
        Some(server)
    }

    /// By what a client finds it, in its environment.
    pub(crate) fn environment(&self) -> (&'static str, &str) {
        ("JACK_DEFAULT_SERVER", &self.name)
    }

    /// Starts it again, when it has ended.
    pub(crate) fn restart(&mut self) {
        self.child = Some(self.command().spawn().expect("it started before"));
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            kill(Pid::from_raw(child.id() as i32), signal).expect("it is ours, and was not waited for");
        }
    }

    /// Ends it by this signal. One that stands still hears only `SIGKILL`.
    pub(crate) fn end(&mut self, signal: Signal) {
        self.signal(signal);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("it is ours");
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("jackd");
        command.args(["-r", "-n", &self.name, "-d", "dummy"]);
        command.args(["-r", &RATE.to_string(), "-p", &BLOCK.to_string()]);
        command.env("JACK_NO_AUDIO_RESERVATION", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.signal(Signal::SIGCONT);
            self.end(Signal::SIGTERM);
        }
    }
}
