//! [`Dialect`]: how a client of each server says that it is there and what it has to say, and [`Inlet`], how it is answered.
//!
//! The routers are spoken to by either framing of OSC, nats-server by its own text protocol. Not for: sockets (`swarm`).

use downbeat_net::framing::{DEFAULT_LIMIT, Framing, Split, Splitter};
use downbeat_net::osc;
use std::io::Write;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// OSC 1.0.
    Length,
    /// OSC 1.1.
    Slip,
    /// A group is a subject, an OSC packet what is published there.
    Nats,
}

/// The password of every group.
pub(crate) const SECRET: &str = "secret";

impl Dialect {
    /// Appends what makes a client a member of a group. It is heard of as [`Heard::Registered`].
    pub(crate) fn register(self, user: &str, group: &str, password: &str, out: &mut Vec<u8>) {
        if self == Dialect::Nats {
            let hello = r#"CONNECT {"verbose":false,"pedantic":false,"echo":false,"protocol":1}"#;
            write!(out, "{hello}\r\nSUB {group} 1\r\nPING\r\n").expect("memory takes it");
            return;
        }
        let mut packet = Vec::new();
        let args = [user.into(), password.into(), group.into(), SECRET.into(), 1.into()];
        osc::write(&mut packet, "/oscrouter/register", args).expect("it is legal");
        self.frame(group, &packet, out);
    }

    /// Appends a packet for the group.
    pub(crate) fn frame(self, group: &str, packet: &[u8], out: &mut Vec<u8>) {
        match self {
            Dialect::Length => Framing::Length.frame_into(packet, out),
            Dialect::Slip => Framing::Slip.frame_into(packet, out),
            Dialect::Nats => {
                write!(out, "PUB {group} {}\r\n", packet.len()).expect("memory takes it");
                out.extend_from_slice(packet);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// What a server said.
#[derive(Debug)]
pub(crate) enum Heard<'a> {
    /// The client is a member of its group now.
    Registered,
    /// So many users are in it.
    Users(usize),
    /// What another member sent.
    Packet(&'a [u8]),
    /// It wants to know whether the client lives.
    Ping,
    /// It is not content.
    Error(&'a [u8]),
}

/// Takes apart what a server says.
pub(crate) struct Inlet {
    dialect: Dialect,
    splitter: Splitter,
    text: Vec<u8>,
    /// Where in the text the next line begins.
    next: usize,
}

impl Inlet {
    /// Of a new connection.
    pub(crate) fn new(dialect: Dialect) -> Inlet {
        Inlet { dialect, splitter: Splitter::new(DEFAULT_LIMIT), text: Vec::new(), next: 0 }
    }

    /// The next thing said, to be called until there is none.
    pub(crate) fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Heard<'a>> {
        if self.dialect == Dialect::Nats {
            return self.next_line(input);
        }
        match self.splitter.next(input) {
            Split::Packet(packet) => Some(of_router(packet)),
            Split::More => None,
            Split::Broken(broken) => panic!("a server that was measured sent nonsense: {broken}"),
        }
    }

    fn next_line(&mut self, input: &mut &[u8]) -> Option<Heard<'_>> {
        self.text.extend_from_slice(std::mem::take(input));
        loop {
            let rest = &self.text[self.next..];
            let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { break };
            let start = self.next + line + 2;
            let line = &rest[..line];
            if line.starts_with(b"MSG ") {
                let size = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
                let size: usize = String::from_utf8_lossy(size).parse().expect("a message has a size");
                if self.text.len() < start + size + 2 {
                    break;
                }
                self.next = start + size + 2;
                return Some(Heard::Packet(&self.text[start..start + size]));
            }
            let heard = match line.first() {
                Some(b'-') => Some(self.next..start - 2),
                _ => None,
            };
            let (ping, pong) = (line == b"PING", line == b"PONG");
            self.next = start;
            match heard {
                Some(error) => return Some(Heard::Error(&self.text[error])),
                None if ping => return Some(Heard::Ping),
                None if pong => return Some(Heard::Registered),
                // Who it is, and that all is well.
                None => {}
            }
        }
        self.text.drain(..self.next);
        self.next = 0;
        None
    }
}

fn of_router(packet: &[u8]) -> Heard<'_> {
    match packet.strip_prefix(b"/oscrouter/") {
        Some(rest) if rest.starts_with(b"register/") => Heard::Registered,
        Some(rest) if rest.starts_with(b"userlist\0") => {
            let tags = rest[b"userlist\0".len()..].iter().take_while(|&&byte| byte != 0).count();
            Heard::Users(tags.saturating_sub(1))
        }
        Some(rest) if rest.starts_with(b"error\0") => Heard::Error(packet),
        _ => Heard::Packet(packet),
    }
}

/// How many messages a packet holds: the elements of a bundle, else one.
pub(crate) fn messages(packet: &[u8]) -> u64 {
    let Some(mut elements) = packet.strip_prefix(b"#bundle\0").and_then(|rest| rest.get(8..)) else {
        return 1;
    };
    let mut count = 0;
    while let Some((size, rest)) = elements.split_first_chunk() {
        elements = rest.get(u32::from_be_bytes(*size) as usize..).unwrap_or_default();
        count += 1;
    }
    count
}
