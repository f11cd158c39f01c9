//! [`Connections`]: TCP connections, bounded in number and in what waits to be sent.
//!
//! A client that does not read is cut off, or loses what is oldest, before it costs memory, and delays nobody. Work is done
//! only for connections on which something happened, however many there are. Not for: what packets mean, nor when to poll
//! (`reactor`).

mod connection;
mod door;
mod end;
mod frames;
mod hosts;
mod listener;
mod log;
mod outbound;
mod tls;
mod transport;
mod websocket;

use crate::counters::NetCounters;
use crate::endpoint::ConnId;
use crate::framing::{DEFAULT_LIMIT, Framing};
use crate::reactor::Handler;
use connection::{Buffers, Connection, Means};
use door::{Door, Knocking};
use downbeat_sync::{Clock, LocalTime, Span};
use end::End;
use frames::{Frames, Wire};
use hosts::Hosts;
use log::Log;
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use outbound::Pool;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use listener::{Layers, Listener, bind_tcp};
pub use tls::{Certificate, CertificateError};

/// Read at once from one connection (bytes).
const READ_SIZE: usize = 64 << 10;
/// The longest record of TLS, decrypted (bytes).
const RECORD: usize = 16 << 10;
/// Pd's slipdec drops longer packets, unless it was told otherwise (pd-externals/slip at 1b1865a, slipdec.c) (bytes).
const SLIPDEC: usize = 1_006;
/// One connection gets this part of a turn.
const SHARES: usize = 4;
/// What a client that is cut off is told.
const TOO_SLOW: &str = "what is sent is not read fast enough";
/// A connection that is closed may take so long to read the last it was sent.
const PARTING: Span = Span::from_secs(2);

/// What connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections at one time; the newest is refused.
    pub connections: usize,
    /// Of these, from one address; of IPv6, from one network of 64 bits. Connections made from here do not count.
    pub per_address: usize,
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
            per_address: usize::MAX,
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
    /// Who has the connections that came in.
    hosts: Hosts,
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
    /// For what was decrypted.
    plain: Box<[u8]>,
    /// For what a transport answers itself.
    answer: Vec<u8>,
    frames: Frames,
    pool: Pool,
    log: Log,
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
        for (number, Listener { socket, layers }) in listeners.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let mut socket = TcpListener::from_std(socket);
            registry.register(&mut socket, Token(first_token + number), Interest::READABLE)?;
            doors.push(Door { socket, layers, state: Knocking::Somebody });
        }
        Ok(Connections {
            turned_away: false,
            hosts: Hosts::default(),
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
            plain: vec![0; RECORD].into_boxed_slice(),
            answer: Vec::new(),
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
            if conn.may_read() && !std::mem::replace(&mut conn.listed_to_read, true) {
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
            if !conn.may_read() {
                continue;
            }
            let buffers = Buffers {
                input: &mut self.buffer[..each.min(READ_SIZE)],
                plain: &mut self.plain,
                answer: &mut self.answer,
            };
            let mut means = Means { limits: &self.limits, counters: &self.counters, pool: &mut self.pool };
            let received = conn.receive(reads, buffers, &mut means, clock, handler);
            left = left.saturating_sub(received);
            if conn.may_read() {
                conn.listed_to_read = true;
                self.to_read.push_back(id);
            }
            if conn.wants_flush() && !std::mem::replace(&mut conn.listed_to_flush, true) {
                self.to_flush.push(id);
            }
        }
    }

    /// Queues a packet for each of these, framed as the connection is. Those that are gone swallow it.
    pub(crate) fn deliver(&mut self, to: &[ConnId], packet: &[u8]) {
        self.frames.clear();
        let (mut delivered, mut too_long) = (0, 0);
        let mut means = Means { limits: &self.limits, counters: &self.counters, pool: &mut self.pool };
        for id in to {
            let Some(conn) = find(&mut self.slots, *id).filter(|conn| conn.takes_more()) else { continue };
            let wire = conn.wire();
            conn.push(self.frames.get(wire, packet), &mut means);
            delivered += 1;
            if packet.len() > SLIPDEC && wire == Wire::Stream(Framing::Slip) {
                conn.long.note();
                too_long += 1;
            }
            if !std::mem::replace(&mut conn.listed_to_flush, true) {
                self.to_flush.push(*id);
            }
        }
        self.counters.delivered.fetch_add(delivered, Ordering::Relaxed);
        if too_long > 0 {
            self.counters.long_for_slip.fetch_add(too_long, Ordering::Relaxed);
        }
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

    /// Reads nothing from a connection until it is resumed. The poll tells of what comes but once, so that it does not disturb.
    pub(crate) fn pause(&mut self, id: ConnId) {
        find(&mut self.slots, id).into_iter().for_each(|conn| conn.paused = true);
    }

    /// Reads from a connection again, also what came meanwhile.
    pub(crate) fn resume(&mut self, id: ConnId) {
        let Some(conn) = find(&mut self.slots, id) else { return };
        conn.paused = false;
        if conn.may_read() && !std::mem::replace(&mut conn.listed_to_read, true) {
            self.to_read.push_back(id);
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
            let mut means = Means { limits: &self.limits, counters: &self.counters, pool: &mut self.pool };
            conn.flush(&mut means);
            if conn.long.is_news() {
                self.log.warn(
                    now,
                    format_args!(
                        "{id} takes SLIP and is sent packets of more than {SLIPDEC} bytes: Pd's slipdec drops \
                         those, unless it is given a larger size"
                    ),
                );
            }
            if conn.behind.is_news() {
                self.log
                    .warn(now, format_args!("{id} does not read fast enough: packets for it are dropped"));
            }
            let Some(end) = conn.end else { continue };
            let is_news = !std::mem::replace(&mut conn.told, true);
            if is_news {
                told = true;
                let why = match (end, conn.fault.take()) {
                    (End::Slow, _) => {
                        self.counters.cut.fetch_add(1, Ordering::Relaxed);
                        self.log.warn(now, format_args!("{id} cut off: it does not read what it is sent"));
                        Some(TOO_SLOW.into())
                    }
                    (End::Broken, fault) => {
                        let fault = fault.unwrap_or_default();
                        self.counters.broken.fetch_add(1, Ordering::Relaxed);
                        self.log.warn(now, format_args!("{id} closed: {fault}"));
                        Some(fault)
                    }
                    (End::Asked | End::Finished | End::Gone, _) => None,
                };
                if let Some(words) = why.and_then(|why| handler.last_words(id, &why)) {
                    self.frames.clear();
                    conn.say_last(self.frames.get(conn.wire(), &words), &mut means);
                }
                handler.on_close(id);
            }
            if conn.is_over(&mut means) {
                self.remove(id);
            } else if is_news {
                self.parting.push_back((now + PARTING, id));
                // It may have been paused: what its peer still sends is read now, to its end.
                if conn.may_read() && !std::mem::replace(&mut conn.listed_to_read, true) {
                    self.to_read.push_back(id);
                }
            }
        }
        self.to_flush = to_flush;
        told
    }

    fn remove(&mut self, id: ConnId) {
        let Some(mut conn) = self.slots.get_mut(id.slot as usize).and_then(Option::take) else { return };
        self.free.push(id.slot);
        conn.host.into_iter().for_each(|host| self.hosts.leave(host));
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = self.registry.deregister(&mut conn.stream) {
            tracing::debug!("{id}: {error}");
        }
    }
}

/// The connection of this number, if it is still there.
fn find(slots: &mut [Option<Connection>], id: ConnId) -> Option<&mut Connection> {
    slots.get_mut(id.slot as usize)?.as_mut().filter(|conn| conn.id == id)
}

#[cfg(test)]
mod tests;
