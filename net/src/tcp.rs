//! [`Connections`]: TCP connections, bounded in number and in what waits to be sent.
//!
//! A client that does not read is cut off, or loses what is oldest, before it costs memory, and delays nobody. Work is done
//! only for connections on which something happened, however many there are. Not for: what packets mean, nor when to poll
//! (`reactor`).

mod connection;
mod frames;
mod listener;
mod log;
mod outbound;

use crate::counters::NetCounters;
use crate::endpoint::ConnId;
use crate::framing::{DEFAULT_LIMIT, Framing};
use crate::reactor::Handler;
use connection::{Connection, End};
use downbeat_sync::{Clock, LocalTime, Span};
use frames::Frames;
use log::Log;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use outbound::Pool;
use socket2::{SockRef, TcpKeepalive};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use listener::{Listener, bind_tcp};

/// Accepted before everybody else has a turn.
const ACCEPTS_PER_TURN: usize = 128;
/// Read at once from one connection (bytes).
const READ_SIZE: usize = 64 << 10;
/// One connection gets this part of a turn.
const SHARES: usize = 4;
/// A silent peer is asked whether it still lives, so that a vanished one does not keep its place for ever.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long after the first such question, and how often again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// A peer that does not confirm what it was sent for so long has vanished.
const UNCONFIRMED: Duration = Duration::from_secs(60);
/// What the kernel holds unsent for one client; the rest waits here, where it is bounded and may be dropped (bytes).
const UNSENT: u32 = 128 << 10;
/// A connection that is closed may take so long to read the last it was sent.
const PARTING: Span = Span::from_secs(2);

/// What connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections at one time; the newest is refused.
    pub connections: usize,
    /// The largest packet received (bytes).
    pub packet: usize,
    /// Bytes waiting to be sent to one client, besides one packet that is half sent or larger than that.
    pub outbound: usize,
    /// What becomes of a client for which more would wait.
    pub slow: Slow,
    /// Read from all connections before others have a turn and answers are sent (bytes): a tenth of it in small packets is a
    /// millisecond's work.
    pub turn: usize,
}

/// What becomes of a client that does not read what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// The connection is closed.
    CutOff,
    /// It loses what has waited longest.
    DropOldest,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            connections: 256,
            packet: DEFAULT_LIMIT,
            outbound: 1 << 20,
            slow: Slow::CutOff,
            turn: 1 << 20,
        }
    }
}

pub(crate) struct Connections {
    doors: Vec<Door>,
    /// Somebody was turned away, and that was logged; once, until somebody is let in again.
    turned_away: bool,
    slots: Vec<Option<Connection>>,
    free: Vec<u32>,
    /// How many connections there have been.
    serial: u32,
    /// Those that have something to read, in the order of their turns.
    to_read: VecDeque<ConnId>,
    /// Those that have something to write, or are to be closed.
    to_flush: Vec<ConnId>,
    /// Those that are closed as soon as all is written, and when they are in any case.
    parting: VecDeque<(LocalTime, ConnId)>,
    limits: StreamLimits,
    counters: Arc<NetCounters>,
    registry: Registry,
    first_token: usize,
    buffer: Box<[u8]>,
    frames: Frames,
    pool: Pool,
    log: Log,
}

/// A listener, and whether somebody stands before it.
struct Door {
    socket: TcpListener,
    framing: Framing,
    state: Knocking,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Knocking {
    Nobody,
    Somebody,
    /// Somebody, for whom the system has no room. The poll will not tell again of those who wait: try at the next turn.
    InVain,
}

impl Connections {
    /// Listeners get the tokens from `first_token` on, connections those after them.
    pub(crate) fn new(
        listeners: Vec<Listener>,
        limits: StreamLimits,
        counters: Arc<NetCounters>,
        registry: Registry,
        first_token: usize,
        now: LocalTime,
    ) -> io::Result<Connections> {
        let mut doors = Vec::new();
        for (number, Listener { socket, framing }) in listeners.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let mut socket = TcpListener::from_std(socket);
            registry.register(&mut socket, Token(first_token + number), Interest::READABLE)?;
            doors.push(Door { socket, framing, state: Knocking::Somebody });
        }
        Ok(Connections {
            turned_away: false,
            slots: Vec::new(),
            free: Vec::new(),
            serial: 0,
            to_read: VecDeque::new(),
            to_flush: Vec::new(),
            parting: VecDeque::new(),
            limits,
            log: Log::new(now, Arc::clone(&counters)),
            counters,
            registry,
            first_token: first_token + doors.len(),
            doors,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            frames: Frames::default(),
            pool: Pool::default(),
        })
    }

    /// Takes note of what the poll said about one of the tokens.
    pub(crate) fn ready(&mut self, token: usize, event: &Event) {
        let Some(slot) = token.checked_sub(self.first_token) else {
            let door = self.doors.len().checked_sub(self.first_token - token);
            if let Some(door) = door.and_then(|door| self.doors.get_mut(door)) {
                door.state = Knocking::Somebody;
            }
            return;
        };
        if let Some(Some(conn)) = self.slots.get_mut(slot) {
            conn.ready(event);
            if conn.readable && !std::mem::replace(&mut conn.listed_to_read, true) {
                self.to_read.push_back(conn.id);
            }
            if conn.wants_flush() && !std::mem::replace(&mut conn.listed_to_flush, true) {
                self.to_flush.push(conn.id);
            }
        }
    }

    /// Whether there was more to do than one turn allows.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.to_read.is_empty() || self.doors.iter().any(|door| door.state == Knocking::Somebody)
    }

    /// When there is something to do though nothing happens.
    pub(crate) fn deadline(&self) -> Option<LocalTime> {
        self.parting.front().map(|(until, _)| *until)
    }

    /// Accepts who is waiting and reads from those who sent something.
    pub(crate) fn receive(&mut self, clock: &Clock, handler: &mut impl Handler) {
        for door in 0..self.doors.len() {
            self.welcome(door, clock.now(), handler);
        }
        let mut left = self.limits.turn;
        let each = left / SHARES;
        let reads = each.div_ceil(READ_SIZE);
        for _ in 0..self.to_read.len() {
            if left == 0 {
                break;
            }
            let Some(id) = self.to_read.pop_front() else { break };
            let Some(conn) = find(&mut self.slots, id) else { continue };
            conn.listed_to_read = false;
            let buffer = &mut self.buffer[..each.min(READ_SIZE)];
            let received = conn.receive(reads, buffer, clock, &self.counters, handler);
            left = left.saturating_sub(received);
            self.counters.received_bytes.fetch_add(received as u64, Ordering::Relaxed);
            if conn.readable {
                conn.listed_to_read = true;
                self.to_read.push_back(id);
            }
            if conn.end.is_some() && !std::mem::replace(&mut conn.listed_to_flush, true) {
                self.to_flush.push(id);
            }
        }
    }

    /// Queues a packet for each of these, framed as the connection is. Those that are gone swallow it.
    pub(crate) fn deliver(&mut self, to: &[ConnId], packet: &[u8]) {
        self.frames.clear();
        let mut delivered = 0;
        for id in to {
            let Some(conn) = find(&mut self.slots, *id).filter(|conn| conn.takes_more()) else { continue };
            let frame = self.frames.get(conn.framing(), packet);
            conn.push(frame, &self.limits, &self.counters, &mut self.pool);
            delivered += 1;
            if !std::mem::replace(&mut conn.listed_to_flush, true) {
                self.to_flush.push(*id);
            }
        }
        self.counters.delivered.fetch_add(delivered, Ordering::Relaxed);
    }

    /// Closes a connection once what was queued has been written.
    pub(crate) fn close_after_flush(&mut self, id: ConnId) {
        if let Some(conn) = find(&mut self.slots, id) {
            conn.end.get_or_insert(End::Asked);
            if !std::mem::replace(&mut conn.listed_to_flush, true) {
                self.to_flush.push(id);
            }
        }
    }

    /// Lets nobody in any more, and closes everybody once what was queued has been written.
    pub(crate) fn close_all(&mut self) {
        for mut door in self.doors.drain(..) {
            if let Err(error) = self.registry.deregister(&mut door.socket) {
                tracing::debug!("a listener: {error}");
            }
        }
        let ids: Vec<ConnId> = self.slots.iter().flatten().map(|conn| conn.id).collect();
        ids.into_iter().for_each(|id| self.close_after_flush(id));
    }

    /// Whether there is no connection left.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Writes what is queued, and closes what is to be closed. Returns whether the handler was told of an end.
    pub(crate) fn flush(&mut self, now: LocalTime, handler: &mut impl Handler) -> bool {
        while let Some((until, id)) = self.parting.front().copied()
            && !now.is_before(until)
        {
            self.parting.pop_front();
            if let Some(conn) = find(&mut self.slots, id) {
                conn.end = Some(End::Gone);
                self.to_flush.push(id);
            }
        }
        let mut told = false;
        let mut to_flush = std::mem::take(&mut self.to_flush);
        for id in to_flush.drain(..) {
            let Some(conn) = find(&mut self.slots, id) else { continue };
            conn.listed_to_flush = false;
            conn.flush(&self.counters, &mut self.pool);
            if conn.has_fallen_behind() {
                self.log
                    .warn(now, format_args!("{id} does not read fast enough: packets for it are dropped"));
            }
            let Some(end) = conn.end else { continue };
            let is_news = !std::mem::replace(&mut conn.told, true);
            if is_news {
                told = true;
                match (end, conn.fault.take()) {
                    (End::Slow, _) => {
                        self.counters.cut.fetch_add(1, Ordering::Relaxed);
                        self.log.warn(now, format_args!("{id} cut off: it does not read what it is sent"));
                    }
                    (End::Broken, fault) => {
                        self.counters.broken.fetch_add(1, Ordering::Relaxed);
                        self.log.warn(now, format_args!("{id} closed: {}", fault.unwrap_or_default()));
                    }
                    (End::Asked | End::Finished | End::Gone, _) => {}
                }
                handler.on_close(id);
            }
            if conn.is_over() {
                self.remove(id);
            } else if is_news {
                self.parting.push_back((now + PARTING, id));
            }
        }
        self.to_flush = to_flush;
        told
    }

    fn remove(&mut self, id: ConnId) {
        let Some(mut conn) = self.slots.get_mut(id.slot as usize).and_then(Option::take) else { return };
        self.free.push(id.slot);
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = self.registry.deregister(&mut conn.stream) {
            tracing::debug!("{id}: {error}");
        }
    }

    /// Lets in who stands before a door, but only so many that everybody else has a turn.
    fn welcome(&mut self, door: usize, now: LocalTime, handler: &mut impl Handler) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Door { socket, framing, state }) = self.doors.get_mut(door) else { return };
            if *state == Knocking::Nobody {
                return;
            }
            *state = Knocking::Somebody;
            match socket.accept() {
                Ok((stream, peer)) => {
                    let (framing, peer) = (*framing, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                    if let Err(error) = self.admit(stream, framing, peer, handler) {
                        self.counters.refused.fetch_add(1, Ordering::Relaxed);
                        self.turn_away(now, format_args!("connection from {peer} refused: {error}"));
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    io::ErrorKind::WouldBlock => *state = Knocking::Nobody,
                    // Out of descriptors or memory.
                    _ => {
                        *state = Knocking::InVain;
                        return self.turn_away(now, format_args!("cannot accept a connection: {error}"));
                    }
                },
            }
        }
    }

    fn turn_away(&mut self, now: LocalTime, why: fmt::Arguments<'_>) {
        if !std::mem::replace(&mut self.turned_away, true) {
            self.log.warn(now, why);
        }
    }

    fn admit(
        &mut self,
        mut stream: TcpStream,
        framing: Framing,
        peer: SocketAddr,
        handler: &mut impl Handler,
    ) -> io::Result<()> {
        if self.slots.len() - self.free.len() >= self.limits.connections {
            return Err(io::Error::other(format!("there are {} already", self.limits.connections)));
        }
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES);
        socket.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        {
            socket.set_tcp_user_timeout(Some(UNCONFIRMED))?;
            socket.set_tcp_notsent_lowat(UNSENT)?;
        }
        let slot = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        let token = Token(self.first_token + slot as usize);
        self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let id = ConnId { slot, serial: self.serial };
        self.serial = self.serial.wrapping_add(1);
        let mut conn = Connection::new(id, stream, framing, self.limits.packet);
        conn.listed_to_read = true;
        self.to_read.push_back(id);
        match self.slots.get_mut(slot as usize) {
            Some(free) => {
                *free = Some(conn);
                self.free.pop();
            }
            None => self.slots.push(Some(conn)),
        }
        self.turned_away = false;
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        tracing::debug!("{id} from {peer}");
        handler.on_open(id, peer);
        Ok(())
    }
}

/// The connection of this number, if it is still there.
fn find(slots: &mut [Option<Connection>], id: ConnId) -> Option<&mut Connection> {
    slots.get_mut(id.slot as usize)?.as_mut().filter(|conn| conn.id == id)
}

#[cfg(test)]
mod tests;
