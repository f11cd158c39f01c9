//! [`Connection`]: one TCP connection: reads, splits, queues, writes, and ends.
//!
//! Not for: which connections there are and who has a turn (`tcp`), nor what packets mean.

use super::end::{End, Parting};
use super::frames::{Frame, Wire};
use super::log::Notice;
use super::outbound::{Outbound, Pool};
use super::transport::{Piece, Transport, TransportEnd};
use super::{Slow, StreamLimits};
use crate::counters::NetCounters;
use crate::endpoint::{ConnId, Endpoint};
use crate::framing::{Framing, Split, Splitter};
use crate::reactor::Handler;
use downbeat_sync::{Clock, LocalTime};
use mio::event::Event;
use mio::net::TcpStream;
use std::io::{self, Read};
use std::net::{IpAddr, Shutdown};
use std::sync::atomic::Ordering;

/// Read from a connection that is about to be closed before it is cut off (bytes).
const LAST_WORDS: usize = 1 << 20;
/// What a read of a handshake counts as, at least (bytes): a signature takes as long as so many bytes of packets.
const HANDSHAKE: usize = 16 << 10;

/// See the module.
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) stream: TcpStream,
    /// Whose it is, if it came in.
    pub(super) host: Option<IpAddr>,
    transport: Transport,
    /// Used until the peer shows another.
    framing: Framing,
    splitter: Splitter,
    outbound: Outbound,
    pub(super) end: Option<End>,
    /// What is wrong with what came, if something is.
    pub(super) fault: Option<Box<str>>,
    /// The poll said that there is something to read, and not all of it was.
    readable: bool,
    /// Nothing is read until it is resumed.
    pub(super) paused: bool,
    /// The poll said that the peer will send no more: what is there is to be read to its end.
    hung_up: bool,
    writable: bool,
    /// The peer's end was read.
    finished: bool,
    parting: Parting,
    /// Packets were dropped since the last time that nothing waited.
    pub(super) behind: Notice,
    /// It was sent a packet that is long for what it speaks.
    pub(super) long: Notice,
    /// It stands in the list of those to read from.
    pub(super) listed_to_read: bool,
    /// It stands in the list of those to flush.
    pub(super) listed_to_flush: bool,
    /// The handler knows that it has ended.
    pub(super) told: bool,
    /// Its peer is told why it is closed.
    has_last_words: bool,
    ignored: usize,
}

/// What reading and writing take.
pub(super) struct Means<'m> {
    pub(super) limits: &'m StreamLimits,
    pub(super) counters: &'m NetCounters,
    pub(super) pool: &'m mut Pool,
}

/// What reading takes besides.
pub(super) struct Buffers<'b> {
    /// For what comes.
    pub(super) input: &'b mut [u8],
    /// For that, decrypted.
    pub(super) plain: &'b mut [u8],
    /// For what is answered before anybody has seen a packet.
    pub(super) answer: &'b mut Vec<u8>,
}

impl Connection {
    pub(super) fn new(
        id: ConnId,
        stream: TcpStream,
        transport: Transport,
        framing: Framing,
        packet: usize,
    ) -> Connection {
        Connection {
            id,
            stream,
            host: None,
            transport,
            framing,
            splitter: Splitter::new(packet),
            outbound: Outbound::default(),
            end: None,
            fault: None,
            readable: true,
            paused: false,
            hung_up: false,
            writable: true,
            finished: false,
            parting: Parting::NotYet,
            behind: Notice::No,
            long: Notice::No,
            listed_to_read: false,
            listed_to_flush: false,
            told: false,
            has_last_words: false,
            ignored: 0,
        }
    }

    /// Takes note of what the poll said.
    pub(super) fn ready(&mut self, event: &Event) {
        self.hung_up |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.hung_up;
        self.writable |= event.is_writable() || event.is_error();
        if self.paused && (event.is_error() || event.is_write_closed()) {
            self.end.get_or_insert(End::Gone);
        }
    }

    /// Whether there is something to read, and it is wanted: one that ends is read to its end.
    pub(super) fn may_read(&self) -> bool {
        self.readable && (!self.paused || self.end.is_some())
    }

    /// How its packets are framed on the way out.
    pub(super) fn wire(&self) -> Wire {
        if self.transport.is_websocket() {
            Wire::WebSocket
        } else {
            Wire::Stream(self.splitter.framing().unwrap_or(self.framing))
        }
    }

    /// Whether a packet may be queued.
    pub(super) fn takes_more(&self) -> bool {
        !self.told && matches!(self.end, None | Some(End::Finished)) && self.transport.is_ready()
    }

    /// Whether there is something to write, and a chance to.
    pub(super) fn wants_flush(&self) -> bool {
        self.end.is_some() || (self.writable && self.has_more())
    }

    fn has_more(&self) -> bool {
        self.outbound.waiting() > 0 || self.transport.wants_write()
    }

    /// Reads so many times. Returns how many bytes' work that was.
    pub(super) fn receive(
        &mut self,
        reads: usize,
        mut buffers: Buffers<'_>,
        means: &mut Means<'_>,
        clock: &Clock,
        handler: &mut impl Handler,
    ) -> usize {
        let mut bytes = 0;
        for _ in 0..reads {
            match self.stream.read(buffers.input) {
                Ok(0) => {
                    self.finished = true;
                    self.end.get_or_insert(End::Finished);
                }
                Ok(length) => {
                    means.counters.received_bytes.fetch_add(length as u64, Ordering::Relaxed);
                    // Until both sides have agreed on keys, what costs is not the bytes.
                    bytes += if self.transport.is_ready() { length } else { length.max(HANDSHAKE) };
                    if self.end.is_some() {
                        self.ignore(length);
                    } else {
                        self.take_in(length, &mut buffers, means, clock, handler);
                    }
                    // A password may be in it.
                    buffers.input[..length].fill(0);
                    // The poll tells of whatever comes from now on; only of an end that it has told of, it does not again.
                    self.readable = length == buffers.input.len() || self.hung_up;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(error) => self.fail(&error),
            }
            self.readable &= !self.finished && !self.is_lost();
            if !self.readable {
                break;
            }
        }
        bytes
    }

    fn take_in(
        &mut self,
        length: usize,
        Buffers { input, plain, answer }: &mut Buffers<'_>,
        means: &mut Means<'_>,
        clock: &Clock,
        handler: &mut impl Handler,
    ) {
        let arrival = clock.now();
        let bytes = &input[..length];
        if self.transport.is_plain() {
            return self.split(bytes, arrival, means.counters, handler);
        }
        let mut transport = std::mem::take(&mut self.transport);
        answer.clear();
        let end = transport.receive(bytes, plain, answer, |piece| match piece {
            _ if self.end.is_some() => {}
            Piece::Stream(bytes) => self.split(bytes, arrival, means.counters, handler),
            Piece::Packet(packet) => {
                means.counters.stream_packets.fetch_add(1, Ordering::Relaxed);
                handler.on_packet(arrival, Endpoint::Tcp(self.id), packet);
            }
        });
        self.transport = transport;
        if !answer.is_empty() {
            self.push(Frame::Small(answer), means);
        }
        match end {
            Ok(()) => {}
            Err(TransportEnd::Finished) => {
                self.end.get_or_insert(End::Finished);
            }
            Err(TransportEnd::Broken(why)) => self.break_off(why),
        }
    }

    fn split(
        &mut self,
        mut input: &[u8],
        arrival: LocalTime,
        counters: &NetCounters,
        handler: &mut impl Handler,
    ) {
        let spoiled_before = self.splitter.dropped();
        let mut packets = 0;
        let broken = loop {
            match self.splitter.next(&mut input) {
                Split::Packet(packet) => {
                    packets += 1;
                    handler.on_packet(arrival, Endpoint::Tcp(self.id), packet);
                }
                Split::More => break None,
                Split::Broken(reason) => break Some(reason),
            }
        };
        counters.stream_packets.fetch_add(packets, Ordering::Relaxed);
        counters.spoiled.fetch_add(self.splitter.dropped() - spoiled_before, Ordering::Relaxed);
        if let Some(reason) = broken {
            self.break_off(reason.to_string());
        }
    }

    fn break_off(&mut self, why: String) {
        self.fault = Some(why.into());
        self.end = Some(End::Broken);
    }

    /// What comes after the end was decided on is read, so that closing does not destroy what was sent, but not for ever.
    fn ignore(&mut self, length: usize) {
        self.ignored += length;
        if self.ignored > LAST_WORDS {
            self.end = Some(End::Gone);
        }
    }

    /// Queues a packet.
    pub(super) fn push(&mut self, frame: Frame<'_>, means: &mut Means<'_>) {
        let limit = means.limits.outbound;
        if self.outbound.waiting() + frame.len() > limit {
            // What fits in the socket is not waiting.
            self.flush(means);
            let waiting = self.outbound.waiting();
            if waiting > 0 && waiting + frame.len() > limit {
                return self.overflow(frame, means);
            }
        }
        self.outbound.push(frame, means.pool);
    }

    /// There is no room for a packet.
    fn overflow(&mut self, frame: Frame<'_>, means: &mut Means<'_>) {
        match means.limits.slow {
            Slow::CutOff => {
                self.end.get_or_insert(End::Slow);
                // Nothing of it will be read in time, and whoever does not read has no claim to so much memory.
                let dropped = self.outbound.drop_oldest(0, means.pool) + 1;
                means.counters.dropped.fetch_add(dropped, Ordering::Relaxed);
            }
            Slow::DropOldest => {
                let enough = means.limits.outbound.saturating_sub(frame.len());
                let dropped = self.outbound.drop_oldest(enough, means.pool);
                means.counters.dropped.fetch_add(dropped, Ordering::Relaxed);
                self.outbound.push(frame, means.pool);
                self.behind.note();
            }
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub(super) fn flush(&mut self, means: &mut Means<'_>) {
        if !self.writable || !self.has_more() {
            return;
        }
        let waiting = self.outbound.waiting();
        let Connection { stream, transport, outbound, .. } = self;
        let flushed = outbound.flush(means.pool, |slices| transport.write(slices, stream));
        let flushed = flushed.and_then(|()| transport.flush(stream));
        means.counters.sent_bytes.fetch_add((waiting - outbound.waiting()) as u64, Ordering::Relaxed);
        match flushed {
            Ok(()) if self.behind == Notice::Known => self.behind = Notice::No,
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
            Err(error) => self.fail(&error),
        }
    }

    /// Tells why it is closed, where that is possible: below it something may be broken that carries nothing any more. What is half
    /// written comes before it; a slow peer has as long to read both as any that is closed.
    pub(super) fn say_last(&mut self, frame: Frame<'_>, means: &mut Means<'_>) {
        if self.transport.is_ready() {
            self.outbound.push(frame, means.pool);
            self.has_last_words = true;
        }
    }

    /// Whether nothing is left to do, for one that has ended. It ends as politely as it may: what waits is written first,
    /// and what the peer still sends is read, for closing before would destroy what is on its way to it.
    pub(super) fn is_over(&mut self, means: &mut Means<'_>) -> bool {
        loop {
            if self.is_lost() {
                return true;
            }
            self.flush(means);
            match self.parting {
                Parting::NotYet => {
                    self.parting = Parting::Queued;
                    let mut goodbye = Vec::new();
                    self.transport.say_goodbye(&mut goodbye);
                    if !goodbye.is_empty() {
                        self.outbound.push(Frame::Small(&goodbye), means.pool);
                    }
                }
                _ if self.has_more() => return self.is_lost(),
                Parting::Queued => {
                    self.parting = Parting::Written;
                    self.transport.close();
                }
                Parting::Written => {
                    self.parting = Parting::Shut;
                    if !self.finished && self.stream.shutdown(Shutdown::Write).is_err() {
                        return true;
                    }
                }
                Parting::Shut => return self.finished,
            }
        }
    }

    /// Whether there is nobody left to be polite to.
    fn is_lost(&self) -> bool {
        match self.end {
            Some(End::Gone) => true,
            Some(End::Slow) => !self.has_last_words,
            Some(End::Broken) => self.transport.is_plain() && !self.has_last_words,
            Some(End::Asked | End::Finished) | None => false,
        }
    }

    fn fail(&mut self, error: &io::Error) {
        tracing::debug!("{}: {error}", self.id);
        if self.end != Some(End::Slow) {
            self.end = Some(End::Gone);
        }
    }
}
