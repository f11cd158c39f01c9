//! [`Life`]: a node from its start to its end on a JACK server, and the account of every click it was sent.
//!
//! Not for: what befalls the server (`trouble`).

use crate::report::told::{self, Told};
use downbeat_net::osc::{Arg, BundleWriter};
use downbeat_sync::{Clock, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Between two clicks, and from a click's being sent to its timetag.
const EVERY: Duration = Duration::from_millis(50);
const LEAD: Span = Span::from_millis(100);
/// Small enough that a thousand of them may fall on one frame.
const GAIN: f32 = 1.0 / 4_096.0;
/// A node that does not answer, or end, by now never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running node that is sent a click every 50 ms.
pub(crate) struct Life {
    child: Child,
    socket: UdpSocket,
    recording: PathBuf,
    /// What it says.
    lines: Receiver<String>,
    /// From its start until it said that it is ready.
    pub(crate) ready: Duration,
    stop: Arc<AtomicBool>,
    clicks: Option<JoinHandle<u64>>,
}

/// What became of a node and its clicks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) sent: u64,
    /// As the node counts: carried out; those of them on the virtual device; those of them late; what was not carried out.
    pub(crate) played: u64,
    pub(crate) unheard: u64,
    pub(crate) late: u64,
    pub(crate) refused: u64,
    pub(crate) stalls: u64,
    /// Clicks in its recording.
    pub(crate) recorded: u64,
    /// From the signal that ended it to its end.
    pub(crate) ending: Duration,
}

impl Account {
    /// Clicks nobody can say anything of, and clicks that were played and are not in the recording, or the reverse.
    pub(crate) fn missing(&self) -> (i64, i64) {
        let told = self.played + self.refused;
        (self.sent as i64 - told as i64, self.played as i64 - self.recorded as i64)
    }
}

impl Life {
    /// Starts a node that wants to play on this server, and waits until it says that it is ready.
    ///
    /// # Errors
    /// What it said instead.
    pub(crate) fn begin((variable, server): (&str, &str), folder: &Path) -> Result<Life, String> {
        let recording = folder.join(format!("{server}.wav"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_downbeat"));
        command.args(["node", "--host", "jack", "--no-state", "--no-limiter", "--onset", "frame"]);
        command.args(["--channels", "1", "--bind", "127.0.0.1", "--port", "0", "--ensemble", server]);
        command.arg("--record").arg(&recording).env(variable, server);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().expect("the program is built");
        let (told, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let mut said = Vec::new();
        let place = loop {
            let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) else {
                // It may have ended already.
                let _ = child.kill();
                let status = child.wait().map_err(|error| error.to_string())?;
                return Err(format!("at its start: {status}, having said {said:?}"));
            };
            let place = line.split("is ready on udp+tcp ").nth(1).and_then(|rest| rest.split(',').next());
            match place.map(str::to_owned) {
                Some(place) => break place,
                None => said.push(line),
            }
        };
        let ready = start.elapsed();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
        socket.connect(&place).expect("loopback is there");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("it is a timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let clicks = thread::spawn({
            let stop = Arc::clone(&stop);
            move || click(&place, &stop)
        });
        Ok(Life { child, socket, recording, lines, ready, stop, clicks: Some(clicks) })
    }

    /// The last lines it said.
    fn last_words(&self) -> String {
        let lines: Vec<String> = self.lines.try_iter().collect();
        lines[lines.len().saturating_sub(4)..].join(" / ")
    }

    /// What the node says of itself now.
    pub(crate) fn told(&self) -> Option<Told> {
        told::ask(&self.socket, "/status")
    }

    /// Clicks played on the card so far.
    fn heard(&self) -> Option<f64> {
        self.told().map(|told| told.number("played") - told.number("unheard"))
    }

    /// Waits until clicks are heard again; how long that took, if it came to that. The first may have been on its way before.
    pub(crate) fn until_heard(&self, patience: Duration) -> Option<Duration> {
        let start = Instant::now();
        let mut before = None;
        while start.elapsed() < patience {
            let heard = self.heard();
            before = before.or(heard);
            if heard.zip(before).is_some_and(|(heard, before)| heard >= before + 2.0) {
                return Some(start.elapsed());
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// How it died, if it is dead.
    pub(crate) fn death(&mut self) -> Option<String> {
        let status = self.child.try_wait().expect("it is ours")?;
        Some(status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}")))
    }

    /// Stops the clicks, asks for the account and ends the node.
    ///
    /// # Errors
    /// How it died, if it did.
    pub(crate) fn end(mut self) -> Result<Account, String> {
        self.stop.store(true, Relaxed);
        let sent = self.clicks.take().map_or(0, |clicks| clicks.join().expect("it does not panic"));
        let start = Instant::now();
        let counted = loop {
            if let Some(death) = self.death() {
                return Err(format!("{death}, having said {}", self.last_words()));
            }
            match self.told() {
                Some(told) if told.number("pending") == 0.0 && told.number("events") >= sent as f64 => {
                    break told;
                }
                Some(told) if start.elapsed() > PATIENCE => break told,
                _ => thread::sleep(Duration::from_millis(20)),
            }
        };
        let count = |key: &str| counted.number(key) as u64;
        let signalled = Instant::now();
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("it is ours");
        let status = loop {
            match self.child.try_wait().expect("it is ours") {
                Some(status) => break status,
                None if signalled.elapsed() > PATIENCE => return Err("it does not end".to_owned()),
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let ending = signalled.elapsed();
        if !status.success() {
            return Err(format!("at its end: {status}, having said {}", self.last_words()));
        }
        Ok(Account {
            sent,
            played: count("played"),
            unheard: count("unheard"),
            late: count("late"),
            refused: count("refused") + count("full") + count("dropped") + count("kernel_drops"),
            stalls: count("stalls"),
            recorded: recorded(&self.recording).map_err(|error| format!("its recording: {error}"))?,
            ending,
        })
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // One that has ended needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.recording);
    }
}

/// Sends a click every 50 ms until it is stopped; how many.
fn click(place: &str, stop: &AtomicBool) -> u64 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.connect(place).expect("loopback is there");
    let clock = Clock::new();
    let (start, mut sent, mut packet) = (Instant::now(), 0, Vec::new());
    while !stop.load(Relaxed) {
        packet.clear();
        let due = clock.anchor().wall + LEAD;
        let mut bundle = BundleWriter::new(&mut packet, due.bits());
        bundle.message("/click", [Arg::Float(GAIN)]).expect("it is legal");
        // Where the node is dead nobody hears it; that is found out elsewhere.
        sent += u64::from(socket.send(&packet).is_ok());
        thread::sleep((EVERY * (sent as u32)).saturating_sub(start.elapsed()));
    }
    sent
}

/// How many clicks are in a recording: those on one frame add up.
fn recorded(path: &Path) -> Result<u64, hound::Error> {
    let mut reader = hound::WavReader::open(path)?;
    let mut clicks = 0.0;
    for sample in reader.samples::<f32>() {
        clicks += f64::from(sample? / GAIN);
    }
    Ok(clicks.round() as u64)
}
