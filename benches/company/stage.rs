//! [`Stage`]: nodes of one ensemble on this host, and a cable with the delays of a LAN between each two of them.
//!
//! Each cable is a relay on loopback, so no root is needed, and nothing passes but through cables. Each host's clocks are off in
//! their own way. The nodes play on the virtual device, whose frames have exact instants, and record it: what is heard is
//! exact to a frame of 5 us, where the clock of a JACK client is not. Not for: what is sent and asked (`watch`).

use crate::relay::Way;
use crate::relay::law::Law;
use crate::relay::log::Log;
use crate::relay::wire::{Plan, Relay, Side};
use downbeat_sync::{LocalTime, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Frames per second of the recordings, and per block: late by eight blocks the device would skip some.
pub(crate) const RATE: u32 = 192_000;
const BLOCK: u32 = 4_096;
/// No cable works for longer.
const LASTS: Span = Span::from_secs(900);
/// A node that does not answer by now never will.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a node may take to end its recording.
const FAREWELL: Duration = Duration::from_secs(10);

/// A node as it is started.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Its host's clocks, as `--sim-clock` takes them.
    pub(crate) clocks: String,
    /// How long after the one before it comes.
    pub(crate) after: Duration,
}

/// See the module. Ends with this value, and its recordings with it.
pub(crate) struct Stage {
    pub(crate) nodes: Vec<Node>,
    cables: Vec<Cable>,
    folder: PathBuf,
}

/// A running node.
pub(crate) struct Node {
    child: Child,
    /// Connected to it; does not wait.
    pub(crate) socket: UdpSocket,
    recording: PathBuf,
    /// Frames of its recording per true second: of a fast oscillator more.
    pub(crate) rate: f64,
}

/// Between two nodes, the first of which has side 0.
struct Cable {
    ends: [usize; 2],
    relay: Relay,
}

impl Stage {
    /// Starts the nodes one after the other. Between those for which `is_cut` says so nothing passes yet.
    pub(crate) fn set(parts: &[Part], folder: &Path, is_cut: impl Fn(usize, usize) -> bool) -> Stage {
        std::fs::create_dir_all(folder).expect("the target folder is writable");
        let places: Vec<SocketAddr> = parts.iter().map(|_| free_place()).collect();
        let mut cables = Vec::new();
        for second in 0..parts.len() {
            for first in 0..second {
                let cable = Cable::lay([first, second], &places);
                cable.relay.cut(is_cut(first, second));
                cables.push(cable);
            }
        }
        let mut stage = Stage { nodes: Vec::new(), cables, folder: folder.to_owned() };
        for (number, part) in parts.iter().enumerate() {
            thread::sleep(part.after);
            let node = stage.start(number, places[number], part);
            stage.nodes.push(node);
        }
        stage
    }

    fn start(&self, number: usize, place: SocketAddr, part: &Part) -> Node {
        let recording = self.folder.join(format!("node{number}.wav"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_downbeat"));
        command.args(["node", "--host", "virtual", "--no-state", "--no-limiter", "--onset", "frame"]);
        command.args(["--rate", &RATE.to_string(), "--buffer", &BLOCK.to_string(), "--channels", "1"]);
        command.args(["--bind", &place.ip().to_string(), "--port", &place.port().to_string()]);
        command.args(["--sim-clock", &part.clocks]).arg("--record").arg(&recording);
        for cable in self.cables.iter().filter(|cable| cable.ends.contains(&number)) {
            let side = usize::from(cable.ends[1] == number);
            command.args(["--peer", &cable.relay.end(side).to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the program is built");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
        socket.connect(place).expect("loopback is there");
        let ppm: f64 =
            part.clocks.split(',').find_map(|part| part.strip_prefix("ppm=")?.parse().ok()).unwrap_or(0.0);
        let node = Node { child, socket, recording, rate: f64::from(RATE) * (1.0 + ppm * 1e-6) };
        node.wait();
        node
    }

    /// Cuts all cables for which this says so, and mends the others.
    pub(crate) fn cut(&self, is_cut: impl Fn(usize, usize) -> bool) {
        for cable in &self.cables {
            cable.relay.cut(is_cut(cable.ends[0], cable.ends[1]));
        }
    }

    /// Sends a node a signal.
    pub(crate) fn signal(&self, node: usize, signal: Signal) {
        kill(self.nodes[node].pid(), signal).expect("it is ours, and was not waited for");
    }

    /// Ends nodes and cables: what each node played, if it could end its recording, and what passed each cable.
    pub(crate) fn end(mut self) -> Ended {
        for node in &self.nodes {
            // One that was killed has no use for it.
            let _ = kill(node.pid(), Signal::SIGINT);
        }
        let recordings = self.nodes.iter_mut().map(Node::recorded).collect();
        let logs = self.cables.drain(..).map(|cable| (cable.ends, cable.relay.stop().expect("it ran")));
        Ended { recordings, logs: logs.collect() }
    }
}

/// What is left of a stage.
pub(crate) struct Ended {
    /// What each node played: frames that are not silent, and how loud they are.
    pub(crate) recordings: Vec<Option<Vec<(u64, f32)>>>,
    pub(crate) logs: Vec<([usize; 2], Log)>,
}

impl Ended {
    /// When the last packet of a node left for another, before that time.
    pub(crate) fn last_word(&self, of: usize, before: LocalTime) -> Option<LocalTime> {
        let words = self.logs.iter().filter(|(ends, _)| ends.contains(&of)).flat_map(|(ends, log)| {
            let way = if ends[0] == of { Way::Forth } else { Way::Back };
            log.entries.iter().filter(move |entry| entry.way == way && entry.left.is_before(before))
        });
        words.map(|entry| entry.left).reduce(LocalTime::later)
    }
}

impl Node {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    fn wait(&self) {
        let start = Instant::now();
        self.socket.set_read_timeout(Some(Duration::from_millis(20))).expect("it is a timeout");
        while crate::report::told::ask(&self.socket, "/status").is_none() {
            assert!(start.elapsed() < PATIENCE, "a node does not start");
            thread::sleep(Duration::from_millis(2));
        }
        self.socket.set_nonblocking(true).expect("a socket need not wait");
    }

    fn recorded(&mut self) -> Option<Vec<(u64, f32)>> {
        let start = Instant::now();
        while self.child.try_wait().ok()?.is_none() {
            if start.elapsed() > FAREWELL {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let mut reader = hound::WavReader::open(&self.recording).ok()?;
        let samples = reader.samples::<f32>().map_while(Result::ok);
        let sounds = samples.zip(0u64..).filter(|(sample, _)| *sample != 0.0);
        Some(sounds.map(|(sample, frame)| (frame, sample)).collect())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that has ended already needs no end; one that was stopped hears nothing else.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.nodes.clear();
        // Where nothing was recorded there is none.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Cable {
    fn lay(ends: [usize; 2], places: &[SocketAddr]) -> Cable {
        let sides = ends.map(|end| Side::bind("127.0.0.1:0", Some(places[end])).expect("loopback is there"));
        let seed = (ends[0] * places.len() + ends[1]) as u64;
        let plan = Plan::new(Way::BOTH.map(|_| Law::lan()), seed, LASTS);
        Cable { ends, relay: Relay::start(sides, plan).expect("it has its sockets") }
    }
}

/// A port that is free now, of loopback.
fn free_place() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.local_addr().expect("it is bound")
}
