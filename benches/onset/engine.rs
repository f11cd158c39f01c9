//! [`Engine`]: the node and scsynth as programs that are sent clicks.

use crate::recorder::THRESHOLD;
use crate::relay::netns::{Host, Net};
use crate::report::peer;
use crate::report::told::{self, Reading, Told};
use downbeat_net::osc::{self, Arg, BundleWriter};
use downbeat_sync::Clock;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};
use nix::unistd::Pid;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that is not ready by now never will be.
const PATIENCE: Duration = Duration::from_secs(20);

/// The environment names the folder in which nodes keep their state; without, they keep none.
pub(crate) const STATE: &str = "ONSET_STATE";
/// Clicks per system call, where many are sent at once.
const BURST: usize = 128;
/// How long an engine may take to end by itself, which a node uses to write down what it has learned.
const FAREWELL: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Node,
    /// A node that leads, even if it was there only a moment before the others.
    Leader,
    /// A node on its virtual device, with blocks of so many frames, that records what it plays.
    Virtual(u32),
    /// A node whose host's clocks are 1,234 s and 80 ppm off, and that follows the first engine.
    Follower,
    Scsynth,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Node => "downbeat node",
            Kind::Leader => "downbeat node, leading",
            Kind::Virtual(_) => "downbeat node, virtual device",
            Kind::Follower => "downbeat node, following",
            Kind::Scsynth => "scsynth OffsetOut",
        }
    }
}

/// Where an engine runs.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// On loopback, at a free port.
    Here,
    /// On a host of this net, at port 9000 of its only address.
    On(&'a Net, Host),
}

/// A running engine; ends with this value.
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    socket: UdpSocket,
    synth: i32,
    packet: Vec<u8>,
}

impl Engine {
    /// Starts one on the server that the environment names, and waits until it answers. `None` if it is not installed. `leader`
    /// is where a follower finds the node that it follows.
    pub(crate) fn start(kind: Kind, place: Place<'_>, leader: Option<SocketAddr>) -> Option<Engine> {
        let socket = place.socket();
        let address = place.address();
        let [host, port] = [address.ip().to_string(), address.port().to_string()];
        let mut command = match kind {
            Kind::Node | Kind::Leader | Kind::Virtual(_) | Kind::Follower => {
                let mut command = place.command(env!("CARGO_BIN_EXE_downbeat"));
                command.args(["node", "--onset", "frame", "--no-limiter"]);
                if let Kind::Virtual(block) = kind {
                    command.args(["--host", "virtual", "--rate", "48000", "--buffer", &block.to_string()]);
                    command.arg("--record").arg(recording());
                } else {
                    command.args(["--host", "jack"]);
                }
                command.args(["--bind", &host, "--port", &port, "--no-discovery"]);
                match std::env::var_os(STATE) {
                    // To a clock that is off the card's rate is another one.
                    Some(folder) if kind != Kind::Follower => command.arg("--state").arg(folder),
                    _ => command.arg("--no-state"),
                };
                if kind == Kind::Leader {
                    command.arg("--leader");
                }
                if let (Kind::Follower, Some(leader)) = (kind, leader) {
                    command.args(["--sim-clock", "ppm=+80,offset=1234s"]);
                    command.args(["--peer", &leader.to_string()]);
                }
                command
            }
            Kind::Scsynth => {
                let mut command = Command::new(peer::program("scsynth", "supercollider-server")?);
                command.args(["-i", "0", "-o", "1", "-D", "0", "-R", "0", "-B", &host, "-u", &port]);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the program was found");
        socket.connect(address).expect("the host has a network");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("it is a timeout");
        let mut engine = Engine { kind, child, address, socket, synth: 1_000, packet: Vec::new() };
        engine.wait();
        if kind == Kind::Scsynth {
            engine.send("/d_recv", [Arg::Blob(&click_synth())]);
            // It answers from a block's end, which may be longer away than a socket's patience.
            let start = Instant::now();
            while !engine.answers() {
                assert!(start.elapsed() < PATIENCE, "scsynth takes the synth definition");
            }
        }
        Some(engine)
    }

    /// What a node tells when it is asked this.
    pub(crate) fn told(&self, question: &str) -> Told {
        let start = Instant::now();
        loop {
            if let Some(told) = told::ask(&self.socket, question) {
                return told;
            }
            assert!(start.elapsed() < PATIENCE, "{} does not answer {question}", self.kind.name());
        }
    }

    /// A node's published clock; nothing where the reading is not certain.
    pub(crate) fn read_clock(&self, clock: Clock, number: i32) -> Option<Reading> {
        let asked = told::ask_time(&self.socket, clock, number);
        let mut room = [0; 2048];
        loop {
            let len = self.socket.recv(&mut room).ok()?;
            if let Some((_, time)) = told::time(&room[..len]).filter(|(answered, _)| *answered == number) {
                return Reading::certain(asked, time);
            }
        }
    }

    /// A click at a timetag.
    pub(crate) fn click_at(&mut self, timetag: u64) {
        self.write_click(timetag);
        // What is lost shows as a missing click.
        let _ = self.socket.send(&self.packet);
    }

    /// A click at each timetag, sent as fast as the socket takes them, many per system call; how long that took.
    pub(crate) fn clicks_at(&mut self, timetags: impl Iterator<Item = u64>) -> Duration {
        let mut packets = Vec::new();
        for timetag in timetags {
            self.write_click(timetag);
            packets.push(self.packet.clone());
        }
        let slices: Vec<_> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
        let mut headers = MultiHeaders::<()>::preallocate(BURST, None);
        let start = Instant::now();
        for burst in slices.chunks(BURST) {
            let to = vec![None; burst.len()];
            // What is lost shows as a missing click.
            let _ = sendmmsg(self.socket.as_raw_fd(), &mut headers, burst, to, [], MsgFlags::empty());
        }
        start.elapsed()
    }

    fn write_click(&mut self, timetag: u64) {
        self.packet.clear();
        let mut bundle = BundleWriter::new(&mut self.packet, timetag);
        match self.kind {
            Kind::Node | Kind::Leader | Kind::Virtual(_) | Kind::Follower => {
                bundle.message("/click", [Arg::Float(1.0)])
            }
            Kind::Scsynth => {
                self.synth += 1;
                let synth = [Arg::from("click"), Arg::Int(self.synth), Arg::Int(0), Arg::Int(0)];
                bundle.message("/s_new", synth)
            }
        }
        .expect("it is legal");
    }

    /// A click as soon as may be.
    pub(crate) fn click_now(&mut self) {
        match self.kind {
            Kind::Node | Kind::Leader | Kind::Virtual(_) | Kind::Follower => {
                self.send("/click", [Arg::Float(1.0)])
            }
            Kind::Scsynth => {
                self.synth += 1;
                let synth = self.synth;
                self.send("/s_new", [Arg::from("click"), Arg::Int(synth), Arg::Int(0), Arg::Int(0)]);
            }
        }
    }

    /// Ends a node that records, and returns the frames at which it clicked.
    pub(crate) fn recorded(self) -> Vec<u64> {
        drop(self);
        let file = recording();
        let mut wav = hound::WavReader::open(&file).expect("it was written to its end");
        let channels = usize::from(wav.spec().channels);
        let first = wav.samples::<f32>().step_by(channels).enumerate();
        let loud = first.filter(|(_, sample)| sample.as_ref().is_ok_and(|sample| sample.abs() > THRESHOLD));
        let clicks = loud.map(|(frame, _)| frame as u64).collect();
        // Where nothing was written there is nothing to remove.
        let _ = std::fs::remove_file(&file);
        clicks
    }

    /// Frees what has sounded, where that is needed.
    pub(crate) fn tidy(&mut self) {
        if self.kind == Kind::Scsynth {
            self.send("/g_freeAll", [Arg::Int(0)]);
        }
    }

    fn send<const N: usize>(&mut self, address: &str, args: [Arg<'_>; N]) {
        self.packet.clear();
        osc::write(&mut self.packet, address, args).expect("it is legal");
        let _ = self.socket.send(&self.packet);
    }

    fn answers(&self) -> bool {
        self.socket.recv(&mut [0; 2048]).is_ok()
    }

    fn wait(&mut self) {
        let start = Instant::now();
        loop {
            self.send("/status", []);
            if self.answers() {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "{} did not start", self.kind.name());
            std::thread::sleep(Duration::from_millis(5));
        }
        // Answers to earlier questions.
        while self.answers() {}
    }
}

/// Where a virtual device records.
fn recording() -> PathBuf {
    peer::scratch(&format!("onset-{}.wav", std::process::id()))
}

impl Drop for Engine {
    fn drop(&mut self) {
        let asked = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let start = Instant::now();
        while asked.is_ok() && start.elapsed() < FAREWELL {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // One that has ended already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Place<'_> {
    fn address(self) -> SocketAddr {
        match self {
            Place::Here => {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
                socket.local_addr().expect("it is bound")
            }
            Place::On(_, host) => host.port_facing(Host::Relay, 9_000),
        }
    }

    /// A socket on the same host, so that what is measured is not how clicks come there.
    fn socket(self) -> UdpSocket {
        let bind = |ip: Ipv4Addr| UdpSocket::bind((ip, 0)).expect("a host has its address");
        match self {
            Place::Here => bind(Ipv4Addr::LOCALHOST),
            Place::On(net, host) => {
                net.on(host, || bind(host.facing(Host::Relay))).expect("the namespace is there")
            }
        }
    }

    fn command(self, program: &str) -> Command {
        match self {
            Place::Here => Command::new(program),
            Place::On(net, host) => net.command(host, program),
        }
    }
}

/// `SynthDef(\click, { OffsetOut.ar(0, Impulse.ar(0)) })` in SuperCollider's file format, version 2.
fn click_synth() -> Vec<u8> {
    let mut file = b"SCgf".to_vec();
    let text = |file: &mut Vec<u8>, name: &str| {
        file.push(name.len() as u8);
        file.extend(name.bytes());
    };
    let int = |file: &mut Vec<u8>, value: i32| file.extend(value.to_be_bytes());
    const AUDIO_RATE: u8 = 2;
    const CONSTANT: i32 = -1;
    int(&mut file, 2);
    file.extend(1i16.to_be_bytes());
    text(&mut file, "click");
    // One constant, 0; no parameters and no names of any; two unit generators.
    int(&mut file, 1);
    file.extend(0f32.to_be_bytes());
    int(&mut file, 0);
    int(&mut file, 0);
    int(&mut file, 2);
    for (name, inputs, outputs) in
        [("Impulse", [[CONSTANT, 0], [CONSTANT, 0]], 1), ("OffsetOut", [[CONSTANT, 0], [0, 0]], 0)]
    {
        text(&mut file, name);
        file.push(AUDIO_RATE);
        int(&mut file, 2);
        int(&mut file, outputs);
        file.extend(0i16.to_be_bytes());
        for input in inputs.iter().flatten() {
            int(&mut file, *input);
        }
        file.extend((0..outputs).map(|_| AUDIO_RATE));
    }
    // No variants.
    file.extend(0i16.to_be_bytes());
    file
}
