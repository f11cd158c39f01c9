//! [`Process`]: a program that runs beside a test, watched line by line, and gone when the test is.

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running program.
pub(crate) struct Process {
    child: Child,
    /// Lines of stderr, as they come.
    log: Receiver<String>,
    /// Lines of stdout, as they come.
    out: Receiver<String>,
    seen: Vec<String>,
    /// Where it listens.
    pub(crate) port: u16,
}

/// What a program said before it ended.
pub(crate) struct Output {
    /// Its exit code, if no signal ended it.
    pub(crate) code: Option<i32>,
    /// All lines of its stdout.
    pub(crate) stdout: String,
    /// All lines of its stderr.
    pub(crate) stderr: String,
}

impl Process {
    /// Starts it and waits until it says on which port it listens.
    pub(crate) fn start(command: Command) -> Process {
        let mut process = Process::spawn(command);
        let line = process.wait_for("on udp");
        let port = line.split_whitespace().find_map(|word| {
            let (_, port) = word.trim_end_matches(',').rsplit_once(':')?;
            port.parse().ok()
        });
        process.port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        process
    }

    /// Starts it and waits for nothing.
    pub(crate) fn spawn(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let log = lines(child.stderr.take().expect("stderr is piped"));
        let out = lines(child.stdout.take().expect("stdout is piped"));
        Process { child, log, out, seen: Vec::new(), port: 0 }
    }

    /// The next line on stderr that contains `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.log.recv_timeout(deadline - Instant::now().min(deadline)) {
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
        panic!("no {text:?} among: {:#?}", self.seen);
    }

    /// Whether it has said this on stderr by now.
    pub(crate) fn said(&mut self, text: &str) -> bool {
        self.seen.extend(self.log.try_iter());
        self.seen.iter().any(|line| line.contains(text))
    }

    /// The next line on stdout.
    pub(crate) fn line(&mut self) -> String {
        self.out.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no line on stdout ({error})"))
    }

    /// All that is left on stdout, once it has ended.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.out.iter().collect()
    }

    /// Waits until it has ended, and returns all it said.
    pub(crate) fn output(mut self) -> Output {
        let code = self.wait().code();
        let all = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect();
        Output { code, stdout: all(&self.out), stderr: all(&self.log) }
    }

    /// Where it listens, for `downbeat send`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A datagram socket connected to it.
    pub(crate) fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
        socket.connect(self.address()).expect("loopback can be reached");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        socket
    }

    /// Sends it a signal by name: `INT`, `TERM`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "it can be sent {name}");
    }

    /// Interrupts it, as Ctrl-C does, and waits until it has ended.
    pub(crate) fn interrupt(&mut self) -> ExitStatus {
        self.signal("INT");
        self.wait()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end; it said {:#?}", self.seen);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Resident memory (bytes).
    pub(crate) fn resident(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).expect("it runs");
        let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("statm has its columns");
        pages * 4096
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines on a thread of its own, so that the program is never held up by a full pipe.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
