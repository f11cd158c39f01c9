//! [`Door`]: letting connections in.
//!
//! Not for: what becomes of them (`tcp`, `connection`).

use super::connection::Connection;
use super::hosts::Crowded;
use super::transport::Transport;
use super::{Connections, Layers};
use crate::endpoint::{ConnId, origin};
use crate::framing::Framing;
use crate::reactor::Handler;
use downbeat_sync::LocalTime;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};
use socket2::{SockRef, TcpKeepalive};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Accepted before everybody else has a turn.
const ACCEPTS_PER_TURN: usize = 128;
/// A silent peer is asked whether it still lives, so that a vanished one does not keep its place for ever.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long after the first such question, and how often again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// A peer that does not confirm what it was sent for so long has vanished.
const UNCONFIRMED: Duration = Duration::from_secs(60);
/// What the kernel holds unsent for one client; the rest waits here, where it is bounded and may be dropped (bytes).
const UNSENT: u32 = 128 << 10;

/// A listener, and whether somebody stands before it.
pub(super) struct Door {
    pub(super) socket: TcpListener,
    pub(super) layers: Layers,
    pub(super) state: Knocking,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Knocking {
    Nobody,
    Somebody,
    /// Somebody, for whom the system has no room. The poll will not tell again of those who wait: try at the next turn.
    InVain,
}

impl Connections {
    /// Lets in who stands before a door, but only so many that everybody else has a turn.
    pub(super) fn welcome(&mut self, door: usize, now: LocalTime, handler: &mut impl Handler) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Door { socket, layers, state }) = self.doors.get_mut(door) else { return };
            if *state == Knocking::Nobody {
                return;
            }
            *state = Knocking::Somebody;
            match socket.accept() {
                Ok((stream, peer)) => {
                    let (layers, peer) =
                        (layers.clone(), SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                    let limit = self.limits.per_address;
                    match self.hosts.may_enter(origin(peer.ip()), limit) {
                        Err(Crowded { is_news }) => {
                            self.counters.crowded.fetch_add(1, Ordering::Relaxed);
                            if is_news {
                                self.log.warn(
                                    now,
                                    format_args!(
                                        "connection from {peer} refused: there are {limit} from its address \
                                         already; more are only counted"
                                    ),
                                );
                            }
                        }
                        Ok(()) => {
                            if let Err(error) = self.admit(stream, &layers, peer, handler) {
                                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                                self.turn_away(now, format_args!("connection from {peer} refused: {error}"));
                            }
                        }
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
        stream: TcpStream,
        layers: &Layers,
        peer: SocketAddr,
        handler: &mut impl Handler,
    ) -> io::Result<()> {
        if self.slots.len() - self.free.len() >= self.limits.connections {
            return Err(io::Error::other(format!("there are {} already", self.limits.connections)));
        }
        let host = origin(peer.ip());
        let id = self.seat(stream, layers, Some(host))?;
        self.hosts.enter(host);
        self.turned_away = false;
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        tracing::debug!("{id} from {peer}");
        handler.on_open(id, peer);
        Ok(())
    }

    /// Takes a connection that was made to somebody else. It needs no room among those who come in.
    pub(crate) fn adopt(
        &mut self,
        stream: std::net::TcpStream,
        handler: &mut impl Handler,
    ) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let id = self.seat(TcpStream::from_std(stream), &Framing::Length.into(), None)?;
        handler.on_connected(id);
        Ok(())
    }

    fn seat(&mut self, mut stream: TcpStream, layers: &Layers, host: Option<IpAddr>) -> io::Result<ConnId> {
        let transport = Transport::new(layers, self.limits.packet)?;
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
        let mut conn = Connection::new(id, stream, transport, layers.framing, self.limits.packet);
        conn.host = host;
        conn.listed_to_read = true;
        self.to_read.push_back(id);
        match self.slots.get_mut(slot as usize) {
            Some(free) => {
                *free = Some(conn);
                self.free.pop();
            }
            None => self.slots.push(Some(conn)),
        }
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        Ok(id)
    }
}
