//! [`Router`], a running router, and [`Client`], a client of it that shows every byte it is sent.
//!
//! The router is the original, tcposcrouter in a venv, or ours. A client frames and takes apart by itself, by either
//! framing, so that a mistake of ours in framing is seen. Not for: what is asked of a router (`tests/router.rs`).

use super::{Lab, PATIENCE, Process, osc, repository};
use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rosc::OscType;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// The password of every group here.
pub(crate) const SECRET: &str = "secret";

const END: u8 = 0xc0;
const ESC: u8 = 0xdb;
const ESC_END: u8 = 0xdc;
const ESC_ESC: u8 = 0xdd;

/// How packets are told apart on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// OSC 1.0: its length before each packet.
    Length,
    /// OSC 1.1: SLIP.
    Slip,
}

use Framing::{Length, Slip};

impl Framing {
    /// A packet as it has to stand on the stream.
    pub(crate) fn frame(self, packet: &[u8]) -> Vec<u8> {
        match self {
            Length => [&(packet.len() as u32).to_be_bytes(), packet].concat(),
            Slip => [&[END], &escaped(packet)[..], &[END]].concat(),
        }
    }

    /// Takes the next whole packet off what came.
    fn take(self, came: &mut Vec<u8>) -> Option<Vec<u8>> {
        let end = match self {
            Length => 4 + u32::from_be_bytes(*came.first_chunk()?) as usize,
            Slip => {
                let ends = came.iter().take_while(|&&byte| byte == END).count();
                came.drain(..ends);
                1 + came.iter().position(|&byte| byte == END)?
            }
        };
        if came.len() < end {
            return None;
        }
        let frame: Vec<u8> = came.drain(..end).collect();
        Some(match self {
            Length => frame[4..].into(),
            Slip => unescaped(&frame[..end - 1]),
        })
    }
}

/// Without the ENDs around it.
pub(crate) fn escaped(packet: &[u8]) -> Vec<u8> {
    let bytes = packet.iter().flat_map(|&byte| match byte {
        END => vec![ESC, ESC_END],
        ESC => vec![ESC, ESC_ESC],
        byte => vec![byte],
    });
    bytes.collect()
}

fn unescaped(frame: &[u8]) -> Vec<u8> {
    let mut bytes = frame.iter();
    let mut packet = Vec::new();
    while let Some(&byte) = bytes.next() {
        packet.push(match (byte, if byte == ESC { bytes.next() } else { None }) {
            (ESC, Some(&ESC_END)) => END,
            (ESC, Some(&ESC_ESC)) => ESC,
            (ESC, other) => panic!("{other:?} after an ESC in {frame:?}"),
            (byte, _) => byte,
        });
    }
    packet
}

/// What came next on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A packet, byte for byte.
    Packet(Vec<u8>),
    /// The router closed the connection.
    End,
    /// Nothing, for as long as was waited.
    Nothing,
}

/// A connection to a router.
pub(crate) struct Client {
    /// What a test calls it.
    pub(crate) name: String,
    stream: TcpStream,
    pub(crate) framing: Framing,
    came: Vec<u8>,
}

impl Client {
    /// Sends a packet, framed. A router may have closed the connection: then it goes nowhere.
    pub(crate) fn send(&mut self, packet: &[u8]) {
        self.raw(&self.framing.frame(packet));
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.write_all(bytes) {
            assert!(gone(error.kind()), "{}: {error}", self.name);
        }
    }

    /// Sends a message.
    pub(crate) fn say(&mut self, address: &str, args: impl Into<Vec<OscType>>) {
        self.send(&osc::message(address, args));
    }

    /// What comes next, within this time.
    pub(crate) fn hear_within(&mut self, time: Duration) -> Heard {
        let deadline = Instant::now() + time;
        let mut room = [0; 65_536];
        loop {
            if let Some(packet) = self.framing.take(&mut self.came) {
                return Heard::Packet(packet);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Heard::Nothing;
            }
            self.stream.set_read_timeout(Some(left)).expect("a timeout can be set");
            match self.stream.read(&mut room) {
                Ok(0) => return Heard::End,
                Ok(count) => self.came.extend_from_slice(&room[..count]),
                Err(error) if gone(error.kind()) => return Heard::End,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{}: {error}", self.name),
            }
        }
    }

    /// What comes next; something must.
    pub(crate) fn hear(&mut self) -> Heard {
        let heard = self.hear_within(PATIENCE);
        assert_ne!(heard, Heard::Nothing, "{} hears nothing", self.name);
        heard
    }

    /// The next packet that is no list of users.
    pub(crate) fn hear_but_lists(&mut self) -> Vec<u8> {
        loop {
            match self.hear() {
                Heard::Packet(packet) if names(&packet).is_some() => {}
                Heard::Packet(packet) => return packet,
                other => panic!("{} hears {other:?}", self.name),
            }
        }
    }

    /// The next byte on the stream.
    pub(crate) fn hear_byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        self.stream.read_exact(&mut byte).expect("something comes");
        byte[0]
    }

    /// Says that it has nothing more to say, and goes on listening.
    pub(crate) fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it is open");
    }

    /// Ends the connection as a host that forgot it does.
    pub(crate) fn reset(self) {
        let at_once = linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.stream, sockopt::Linger, &at_once).expect("it can be set");
    }
}

fn gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// A register message, with the password that belongs to the user's name here.
pub(crate) fn register(user: &str, group: &str) -> Vec<u8> {
    let texts = [user, &format!("pw-{user}"), group, SECRET].map(|text| OscType::String(text.into()));
    osc::message("/oscrouter/register", [&texts[..], &[OscType::Int(1)]].concat())
}

/// The names in a list of users, if the packet is one.
pub(crate) fn names(packet: &[u8]) -> Option<Vec<String>> {
    let tail = packet.strip_prefix(b"/oscrouter/userlist\0")?;
    let tags = tail.iter().position(|&byte| byte == 0)?;
    let texts = &tail[(tags / 4 + 1) * 4..];
    let texts = texts.split(|&byte| byte == 0).filter(|text| !text.is_empty());
    Some(texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect())
}

/// A running router.
pub(crate) struct Router {
    pub(crate) process: Process,
    /// Where it expects lengths, and where SLIP.
    ports: [u16; 2],
}

impl Router {
    /// tcposcrouter, from the venv that `make setup` makes.
    pub(crate) fn original(lab: &Lab) -> Router {
        let program = repository(".venv/tcposcrouter/bin/tcposcrouter");
        assert!(program.exists(), "no {}: make setup", program.display());
        let mut command = Command::new(program);
        command.args(["--osc-port", "0", "--osc11-port", "0", "--log-dir"]).arg(lab.path("."));
        let mut process = Process::spawn(command);
        let ports = ["spec-1.0", "spec-1.1"].map(|which| {
            let line = process.wait_for(which);
            let port = line.trim_end_matches(')').rsplit(' ').next().and_then(|port| port.parse().ok());
            port.unwrap_or_else(|| panic!("no port in {line:?}"))
        });
        Router { process, ports }
    }

    /// Ours, with these flags more, on ports that the system chooses.
    pub(crate) fn ours(lab: &Lab, flags: &[&str]) -> Router {
        Router::ours_on(lab, [0, 0], flags)
    }

    /// Ours, on these ports.
    pub(crate) fn ours_on(lab: &Lab, ports: [u16; 2], flags: &[&str]) -> Router {
        let [length, slip] = ports.map(|port| port.to_string());
        let mut args = vec!["router", "--bind", "127.0.0.1", "--osc-port", &length, "--osc11-port", &slip];
        args.extend(flags);
        let mut process = lab.spawn(args);
        let line = process.wait_for("router is ready on");
        let ports = ["(OSC 1.0)", "(OSC 1.1)"].map(|which| {
            let place = line.split(", ").find_map(|place| place.trim_end().strip_suffix(which));
            let port = place.and_then(|place| place.trim_end().rsplit(':').next()?.parse().ok());
            port.unwrap_or_else(|| panic!("no port in {line:?}"))
        });
        Router { process, ports }
    }

    /// Kills it, as a power cut does, and starts it anew in the same place.
    pub(crate) fn killed_and_started_again(self, lab: &Lab) -> Router {
        let ports = self.ports;
        drop(self);
        Router::ours_on(lab, ports, &[])
    }

    /// A new connection, to the port that expects this framing.
    pub(crate) fn connect(&self, framing: Framing, name: &str) -> Client {
        self.connect_to(framing, framing, name)
    }

    /// A new connection by one framing to the port that expects a framing.
    pub(crate) fn connect_to(&self, expects: Framing, framing: Framing, name: &str) -> Client {
        let port = self.ports[usize::from(expects == Slip)];
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the router listens");
        stream.set_nodelay(true).expect("it can be set");
        Client { name: name.into(), stream, framing, came: Vec::new() }
    }
}
