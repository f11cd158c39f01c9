//! [`Connections`]: TCP connections with their framing, bounded in number and in what waits to be sent.
//!
//! A client that does not read is cut off before it costs memory, and delays nobody. Not for: what packets mean, nor when
//! to poll (`reactor`).

use crate::counters::NetCounters;
use crate::endpoint::{ConnId, Endpoint};
use crate::framing::{DEFAULT_LIMIT, Framing, Split, Splitter};
use crate::reactor::Handler;
use downbeat_sync::Clock;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Connections that wait to be accepted, at most.
const ACCEPT_BACKLOG: i32 = 128;
/// Read at once from one connection (bytes).
const READ_SIZE: usize = 64 << 10;
/// Reads from one connection before the others have a turn.
const READS_PER_TURN: usize = 4;
/// Read from all connections before datagrams have a turn: a tenth of it in small packets is a millisecond's work (bytes).
const BYTES_PER_TURN: usize = 1 << 20;
/// A silent peer is asked whether it still lives, so that a vanished one does not keep its place for ever.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections at one time; the newest is refused.
    pub connections: usize,
    /// The largest packet received (bytes).
    pub packet: usize,
    /// Bytes waiting to be sent to one client; one that needs more is cut off.
    pub outbound: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits { connections: 256, packet: DEFAULT_LIMIT, outbound: 1 << 20 }
    }
}

/// Binds a listener; on `::` it accepts IPv4 too.
///
/// # Errors
/// What the system says: the address is taken, or not this host's.
pub fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A node that is started again must not wait for the connections of the one before to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(ACCEPT_BACKLOG)?;
    Ok(socket.into())
}

pub(crate) struct Connections {
    listener: Option<TcpListener>,
    /// Somebody may be waiting to be accepted.
    knocking: bool,
    /// Somebody was turned away, and that was logged; once, until somebody is let in again.
    turned_away: bool,
    /// Who is read from first in the next turn.
    first: usize,
    slots: Vec<Option<Connection>>,
    /// How many connections there have been.
    serial: u32,
    limits: StreamLimits,
    counters: Arc<NetCounters>,
    registry: Registry,
    first_token: usize,
    buffer: Box<[u8]>,
}

struct Connection {
    id: ConnId,
    stream: TcpStream,
    splitter: Splitter,
    outbound: Vec<u8>,
    /// How much of `outbound` is on its way.
    written: usize,
    readable: bool,
    writable: bool,
    end: Option<End>,
}

/// Why a connection is about to be closed.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The handler wants it.
    Asked,
    /// The peer has sent all it wanted to, and may still read the answers.
    Finished,
    /// The client does not read what it is sent.
    Slow,
    /// It broke.
    Gone,
}

impl Connections {
    /// The listener gets the token `first_token`, connections those after it.
    pub(crate) fn new(
        listener: Option<std::net::TcpListener>,
        limits: StreamLimits,
        counters: Arc<NetCounters>,
        registry: Registry,
        first_token: usize,
    ) -> io::Result<Connections> {
        let mut listener = match listener {
            Some(listener) => {
                listener.set_nonblocking(true)?;
                Some(TcpListener::from_std(listener))
            }
            None => None,
        };
        if let Some(listener) = &mut listener {
            registry.register(listener, Token(first_token), Interest::READABLE)?;
        }
        Ok(Connections {
            knocking: listener.is_some(),
            turned_away: false,
            first: 0,
            listener,
            slots: Vec::new(),
            serial: 0,
            limits,
            counters,
            registry,
            first_token,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
        })
    }

    /// Takes note of what the poll said about one of the tokens.
    pub(crate) fn ready(&mut self, token: usize, event: &Event) {
        if token == self.first_token {
            self.knocking = true;
        } else if let Some(Some(conn)) = self.slots.get_mut(token - self.first_token - 1) {
            conn.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            conn.writable |= event.is_writable();
        }
    }

    /// Whether there was more to read than one turn allows.
    pub(crate) fn has_backlog(&self) -> bool {
        self.slots.iter().flatten().any(|conn| conn.readable)
    }

    /// Accepts who is waiting and reads from those who sent something.
    pub(crate) fn receive(&mut self, clock: &Clock, handler: &mut impl Handler) {
        while self.knocking && self.accept(handler) {}
        let mut left = BYTES_PER_TURN;
        let first = self.first.min(self.slots.len());
        let (before, from) = self.slots.split_at_mut(first);
        let mut turns =
            from.iter_mut().chain(before).flatten().filter(|conn| conn.readable && conn.end.is_none());
        while left > 0
            && let Some(conn) = turns.next()
        {
            left = left.saturating_sub(conn.receive(&mut self.buffer, clock, &self.counters, handler));
            self.first = conn.id.slot as usize + 1;
        }
    }

    /// Queues a packet, framed as the connection is. A connection that is gone swallows it.
    pub(crate) fn send(&mut self, id: ConnId, packet: &[u8]) {
        let limit = self.limits.outbound;
        if let Some(conn) = self.find(id) {
            conn.send(packet, limit);
        }
    }

    /// Closes a connection once what was queued has been written, as far as its socket takes it at once.
    pub(crate) fn close_after_flush(&mut self, id: ConnId) {
        if let Some(conn) = self.find(id) {
            conn.end.get_or_insert(End::Asked);
        }
    }

    /// Writes what is queued, and closes what is to be closed.
    pub(crate) fn flush(&mut self, handler: &mut impl Handler) {
        for slot in &mut self.slots {
            let Some(conn) = slot else { continue };
            conn.flush();
            let Some(end) = conn.end else { continue };
            if end == End::Slow {
                tracing::warn!("{} cut off: it does not read what it is sent", conn.id);
                self.counters.cut.fetch_add(1, Ordering::Relaxed);
            }
            if let Err(error) = self.registry.deregister(&mut conn.stream) {
                tracing::debug!("{}: {error}", conn.id);
            }
            self.counters.connections.fetch_sub(1, Ordering::Relaxed);
            handler.on_close(conn.id);
            *slot = None;
        }
    }

    fn find(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.slots.get_mut(id.slot as usize)?.as_mut().filter(|conn| conn.id == id)
    }

    /// Lets one in. Returns whether to try again at once.
    fn accept(&mut self, handler: &mut impl Handler) -> bool {
        let Some(listener) = &self.listener else { return false };
        match listener.accept() {
            Ok((stream, peer)) => {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                if let Err(error) = self.admit(stream, peer, handler) {
                    self.counters.refused.fetch_add(1, Ordering::Relaxed);
                    self.turn_away(&format!("connection from {peer} refused: {error}"));
                }
                true
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => true,
                io::ErrorKind::WouldBlock => {
                    self.knocking = false;
                    false
                }
                // Out of descriptors or memory. The poll will not tell again of those who wait: try at the next turn.
                _ => {
                    self.turn_away(&format!("cannot accept a connection: {error}"));
                    false
                }
            },
        }
    }

    fn turn_away(&mut self, why: &str) {
        if !std::mem::replace(&mut self.turned_away, true) {
            tracing::warn!("{why}");
        }
    }

    fn admit(
        &mut self,
        mut stream: TcpStream,
        peer: SocketAddr,
        handler: &mut impl Handler,
    ) -> io::Result<()> {
        let slot = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if slot >= self.limits.connections {
            return Err(io::Error::other(format!("there are {} already", self.limits.connections)));
        }
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        let token = Token(self.first_token + 1 + slot);
        self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let id = ConnId { slot: slot as u32, serial: self.serial };
        self.serial = self.serial.wrapping_add(1);
        let conn = Connection {
            id,
            stream,
            splitter: Splitter::new(self.limits.packet),
            outbound: Vec::new(),
            written: 0,
            readable: true,
            writable: true,
            end: None,
        };
        match self.slots.get_mut(slot) {
            Some(free) => *free = Some(conn),
            None => self.slots.push(Some(conn)),
        }
        self.turned_away = false;
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        tracing::debug!("{id} from {peer}");
        handler.on_open(id, peer);
        Ok(())
    }
}

impl Connection {
    /// Returns how many bytes there were.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        clock: &Clock,
        counters: &NetCounters,
        handler: &mut impl Handler,
    ) -> usize {
        let mut bytes = 0;
        for _ in 0..READS_PER_TURN {
            match self.stream.read(buffer) {
                Ok(0) => self.close(End::Finished),
                Ok(length) => {
                    bytes += length;
                    self.split(&buffer[..length], clock, counters, handler);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    break;
                }
                Err(error) => {
                    tracing::debug!("{}: {error}", self.id);
                    self.close(End::Gone);
                }
            }
            if self.end.is_some() {
                break;
            }
        }
        bytes
    }

    fn split(&mut self, mut input: &[u8], clock: &Clock, counters: &NetCounters, handler: &mut impl Handler) {
        let arrival = clock.now();
        let spoiled_before = self.splitter.dropped();
        let broken = loop {
            match self.splitter.next(&mut input) {
                Split::Packet(packet) => {
                    counters.stream_packets.fetch_add(1, Ordering::Relaxed);
                    handler.on_packet(arrival, Endpoint::Tcp(self.id), packet);
                }
                Split::More => break None,
                Split::Broken(reason) => break Some(reason),
            }
        };
        counters.spoiled.fetch_add(self.splitter.dropped() - spoiled_before, Ordering::Relaxed);
        if let Some(reason) = broken {
            counters.broken.fetch_add(1, Ordering::Relaxed);
            tracing::warn!("{} closed: {reason}", self.id);
            self.close(End::Gone);
        }
    }

    fn send(&mut self, packet: &[u8], limit: usize) {
        if self.end.is_some_and(|end| end != End::Finished) {
            return;
        }
        let framing = self.splitter.framing().unwrap_or(Framing::Length);
        framing.frame_into(packet, &mut self.outbound);
        if self.outbound.len() - self.written > limit {
            // What fits in the socket is not waiting.
            self.flush();
            if self.outbound.len() - self.written > limit {
                self.end.get_or_insert(End::Slow);
            }
        }
    }

    fn flush(&mut self) {
        while self.writable && self.written < self.outbound.len() {
            match self.stream.write(&self.outbound[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) => {
                    tracing::debug!("{}: {error}", self.id);
                    return self.close(End::Gone);
                }
            }
        }
        if self.written == self.outbound.len() {
            self.outbound.clear();
            self.outbound.shrink_to(READ_SIZE);
            self.written = 0;
        } else if self.written > self.outbound.len() / 2 {
            self.outbound.drain(..self.written);
            self.written = 0;
        }
    }

    fn close(&mut self, end: End) {
        self.readable = false;
        self.end.get_or_insert(end);
    }
}
