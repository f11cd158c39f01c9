//! [`Swarm`]: the load tool's connections, all served by one thread that waits for all of them at once.
//!
//! One system call takes in what lies ready on a connection, however many messages that is, and nothing is allocated per
//! message, so that a server is at its limit long before the tool is. Not for: what is sent when (`flow`).

use crate::dialect::{Dialect, Heard, Inlet, messages};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// One connection.
pub(crate) struct Link {
    stream: Option<TcpStream>,
    address: SocketAddrV4,
    dialect: Dialect,
    inlet: Inlet,
    unsent: Vec<u8>,
    pub(crate) user: String,
    pub(crate) group: String,
    /// Not to be read from.
    pub(crate) asleep: bool,
    pub(crate) registered: bool,
    /// How many users the last list had.
    pub(crate) users: usize,
    /// Messages from others.
    pub(crate) heard: u64,
    /// All that came.
    bytes: u64,
}

impl Link {
    /// Whether the server has not closed it.
    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }
}

/// See the module.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    pub(crate) links: Vec<Link>,
    room: Vec<u8>,
}

impl Swarm {
    /// Nobody.
    pub(crate) fn new() -> Swarm {
        let poll = Poll::new().expect("the system gives an epoll");
        Swarm { poll, events: Events::with_capacity(1024), links: Vec::new(), room: vec![0; 256 << 10] }
    }

    /// Connects one more, and returns its index. Nothing is said yet.
    pub(crate) fn connect(
        &mut self,
        address: SocketAddrV4,
        dialect: Dialect,
        user: &str,
        group: &str,
    ) -> usize {
        self.links.push(Link {
            stream: None,
            address,
            dialect,
            inlet: Inlet::new(dialect),
            unsent: Vec::new(),
            user: user.into(),
            group: group.into(),
            asleep: false,
            registered: false,
            users: 0,
            heard: 0,
            bytes: 0,
        });
        let index = self.links.len() - 1;
        assert!(self.reconnect(index), "the server listens");
        index
    }

    /// Connects one whose connection has ended, or ends it and connects anew. Whether anybody listened.
    pub(crate) fn reconnect(&mut self, index: usize) -> bool {
        self.links[index].stream = None;
        let Ok(stream) = std::net::TcpStream::connect(self.links[index].address) else { return false };
        self.adopt(index, stream);
        true
    }

    /// Connects one with a small buffer in its system, who will be read from no more.
    pub(crate) fn put_to_sleep(&mut self, index: usize, buffer: usize) {
        let flags = SockFlag::SOCK_CLOEXEC;
        let own = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("there is a socket");
        setsockopt(&own, sockopt::RcvBuf, &buffer).expect("a buffer can be small");
        let address = SockaddrIn::from(self.links[index].address);
        connect(own.as_raw_fd(), &address).expect("the server listens");
        self.links[index].stream = None;
        self.adopt(index, own.into());
    }

    /// Reads on from one that slept, until there is an end or nothing comes for a while. Whether there was an end.
    pub(crate) fn was_cut_off(&mut self, index: usize) -> bool {
        let Some(stream) = &mut self.links[index].stream else { return true };
        let mut silent = Instant::now();
        while silent.elapsed() < Duration::from_millis(500) {
            match stream.read(&mut self.room) {
                Ok(1..) => silent = Instant::now(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(0) | Err(_) => return true,
            }
        }
        false
    }

    fn adopt(&mut self, index: usize, stream: std::net::TcpStream) {
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_nonblocking(true))
            .expect("a connection can be set up");
        let mut stream = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), interest).expect("there is room for it");
        let link = &mut self.links[index];
        link.inlet = Inlet::new(link.dialect);
        link.unsent.clear();
        (link.registered, link.users) = (false, 0);
        link.stream = Some(stream);
    }

    /// Sends what makes it a member of its group.
    pub(crate) fn register(&mut self, index: usize) {
        let link = &mut self.links[index];
        let mut hello = Vec::new();
        link.dialect.register(&link.user, &link.group, &format!("pw-{}", link.user), &mut hello);
        self.send(index, &hello);
    }

    /// A packet for its group, framed as it has to be.
    pub(crate) fn framed(&self, index: usize, packet: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        self.links[index].dialect.frame(&self.links[index].group, packet, &mut frame);
        frame
    }

    /// Sends bytes, at once as far as the system takes them.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) {
        let link = &mut self.links[index];
        link.unsent.extend_from_slice(bytes);
        link.flush();
    }

    /// All that was received, framing included.
    pub(crate) fn bytes(&self) -> u64 {
        self.links.iter().map(|link| link.bytes).sum()
    }

    /// Waits at most this long for anything to happen, and deals with all that has. `hear` is given each packet from
    /// another member, whom it came to, and when.
    pub(crate) fn turn(&mut self, wait: Duration, mut hear: impl FnMut(usize, &[u8], Instant)) {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            polled => polled.expect("an epoll can be waited for"),
        }
        for event in &self.events {
            let index = event.token().0;
            self.links[index].turn(event, &mut self.room, |packet, now| hear(index, packet, now));
        }
    }

    /// Serves all until something is so, or until time is up; whether it is so.
    pub(crate) fn until(&mut self, patience: Duration, mut is_so: impl FnMut(&[Link]) -> bool) -> bool {
        let start = Instant::now();
        while !is_so(&self.links) {
            if start.elapsed() > patience {
                return false;
            }
            self.turn(Duration::from_millis(1), |_, _, _| {});
        }
        true
    }
}

impl Link {
    fn turn(&mut self, event: &Event, room: &mut [u8], mut hear: impl FnMut(&[u8], Instant)) {
        if event.is_writable() {
            self.flush();
        }
        if !event.is_readable() && !event.is_error() && !event.is_read_closed() || self.asleep {
            return;
        }
        loop {
            let Some(stream) = &mut self.stream else { return };
            match stream.read(room) {
                Ok(0) => return self.stream = None,
                Ok(count) => {
                    self.bytes += count as u64;
                    self.take(&room[..count], &mut hear);
                    // A short read has emptied it, and what comes from now on is told of anew.
                    if count < room.len() && !event.is_read_closed() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.stream = None,
            }
        }
    }

    fn take(&mut self, mut input: &[u8], hear: &mut impl FnMut(&[u8], Instant)) {
        let now = Instant::now();
        let mut pong = false;
        while let Some(heard) = self.inlet.next(&mut input) {
            match heard {
                Heard::Registered => self.registered = true,
                Heard::Users(count) => self.users = count,
                Heard::Ping => pong = true,
                Heard::Packet(packet) => {
                    self.heard += messages(packet);
                    hear(packet, now);
                }
                Heard::Error(text) => eprintln!("{} is told: {}", self.user, text.escape_ascii()),
            }
        }
        if pong {
            self.unsent.extend_from_slice(b"PONG\r\n");
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.unsent.len() {
            let Some(stream) = &mut self.stream else { break };
            match stream.write(&self.unsent[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.stream = None,
            }
        }
        self.unsent.drain(..sent);
    }
}
