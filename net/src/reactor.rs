//! [`Reactor`]: the network thread's loop. It stamps and receives, hands packets to a [`Handler`], sends what that wants sent.
//!
//! It never waits for anything but the sockets, so never for a timetag. Not for: what packets mean. A handler is told
//! the time and given bytes; it owns no socket, so that it runs in tests without one.

use crate::counters::NetCounters;
use crate::endpoint::{ConnId, Endpoint};
use crate::framing::Framing;
use crate::group::Group;
use crate::tcp::{Connections, Listener, StreamLimits};
use crate::udp::{Backlog, UdpPort, bind_udp};
use downbeat_sync::{Clock, LocalTime, Span, WallAnchor};
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Batches read from the datagram socket before everybody else has a turn: a flood starves nobody.
const BATCHES_PER_TURN: usize = 8;
/// The longest sleep, for a handler that has no deadline.
const LONGEST_WAIT: Span = Span::from_secs(1);

/// Connections made elsewhere that wait to be taken.
const ADOPTIONS: usize = 4;
/// What the poll tells at once.
const EVENTS: usize = 1024;

const WAKER: Token = Token(0);
const UDP: Token = Token(1);
const GROUP: Token = Token(2);
/// Listeners and connections are numbered from here.
const STREAMS: usize = 3;

/// Whoever understands packets: a node, a router, a monitor.
///
/// The loop: `on_packet` for everything that came, then `on_tick`, then `poll` until it has nothing more.
pub trait Handler {
    /// A packet came, at this time by the kernel's stamp where there is one.
    fn on_packet(&mut self, arrival: LocalTime, from: Endpoint, packet: &[u8]);

    /// A connection was opened by this peer.
    fn on_open(&mut self, conn: ConnId, peer: SocketAddr) {
        let _ = (conn, peer);
    }

    /// The connection that was handed over by [`Handle::adopt`] is watched from now on.
    fn on_connected(&mut self, conn: ConnId) {
        let _ = conn;
    }

    /// A connection is about to be closed for this reason: its stream makes no sense, or it does not read what it is sent. Returns
    /// the packet it is to be told before, if any. It is sent where that is still possible, before [`Handler::on_close`] or
    /// after: a peer that does not read gets it only if it begins to.
    fn last_words(&mut self, conn: ConnId, why: &str) -> Option<Vec<u8>> {
        let _ = (conn, why);
        None
    }

    /// A connection is closed, by whomever.
    fn on_close(&mut self, conn: ConnId) {
        let _ = conn;
    }

    /// The packet that was sent with this cookie left at this time, by the kernel's stamp. Told as soon as it is known, mostly
    /// before any answer to it; never, where there are no such stamps.
    fn on_sent(&mut self, cookie: u64, at: LocalTime) {
        let _ = (cookie, at);
    }

    /// Time went on: called after every batch of packets and at the deadline, perhaps more often.
    fn on_tick(&mut self, now: WallAnchor);

    /// When the handler wants its next tick at the latest.
    fn deadline(&self) -> Option<LocalTime>;

    /// The next thing to do for the handler, until `None`. `now` is the moment before it is sent, for what carries a stamp.
    fn poll(&mut self, now: LocalTime) -> Option<Outgoing<'_>>;
}

/// What a handler wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// Send this OSC packet, framed as the connection is.
    Send {
        /// To whom.
        to: Endpoint,
        /// One OSC packet.
        packet: &'a [u8],
        /// If the handler wants to know when it left: the cookie for [`Handler::on_sent`]. Datagrams only.
        stamp: Option<u64>,
    },
    /// Send this OSC packet on each of these connections, framed as each is.
    Deliver {
        /// To whom.
        to: &'a [ConnId],
        /// One OSC packet.
        packet: &'a [u8],
    },
    /// Close this connection after what was sent to it.
    Close(ConnId),
    /// Read nothing from this connection until it is resumed: what its peer sends waits at the peer. That it has gone is
    /// noticed when it is resumed, unless it broke off.
    Pause(ConnId),
    /// Read from this connection again.
    Resume(ConnId),
}

/// Bound sockets, for a reactor to run.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Datagrams.
    pub udp: Option<std::net::UdpSocket>,
    /// Connections; the framing of each is recognised.
    pub tcp: Vec<Listener>,
    /// What is said to all nodes.
    pub group: Option<Group>,
}

/// A handle on a running reactor, for other threads and signal handlers.
#[derive(Clone, Debug)]
pub struct Handle {
    stop: Arc<AtomicBool>,
    adoptions: SyncSender<std::net::TcpStream>,
    waker: Arc<Waker>,
}

/// See the module.
pub struct Reactor {
    poll: Poll,
    events: Events,
    clock: Clock,
    handle: Handle,
    udp: Option<Datagrams>,
    group: Option<Datagrams>,
    membership: Option<Group>,
    streams: Connections,
    /// Connections that other threads made.
    adopted: Receiver<std::net::TcpStream>,
    counters: Arc<NetCounters>,
    /// Whether it was said once that something cannot be sent.
    complained: bool,
}

/// A datagram socket, and whether there may be more in it.
struct Datagrams {
    port: UdpPort,
    backlog: Backlog,
}

impl Datagrams {
    fn watch(
        socket: Option<std::net::UdpSocket>,
        token: Token,
        poll: &Poll,
    ) -> io::Result<Option<Datagrams>> {
        let Some(socket) = socket else { return Ok(None) };
        let mut port = UdpPort::new(socket)?;
        poll.registry().register(&mut port.socket, token, Interest::READABLE)?;
        Ok(Some(Datagrams { port, backlog: Backlog::More }))
    }

    /// Reads what there is, but only so much that everybody else has a turn.
    fn receive(&mut self, clock: &Clock, counters: &NetCounters, handler: &mut impl Handler) {
        let mut batches = BATCHES_PER_TURN;
        while self.backlog == Backlog::More && batches > 0 {
            batches -= 1;
            let on_packet = |arrival, from, packet: &[u8]| {
                handler.on_packet(arrival, Endpoint::Udp(from), packet);
            };
            self.backlog = self.port.receive(clock, counters, on_packet).unwrap_or_else(|error| {
                tracing::debug!("receiving datagrams: {error}");
                Backlog::Drained
            });
        }
    }
}

impl Sockets {
    /// Datagrams and connections on one port; 0 takes a free one. Without an address: every address of this host, IPv6 and
    /// IPv4, or IPv4 alone where the host has no IPv6.
    ///
    /// # Errors
    /// When the port is taken, the address is not this host's, or a multicast group cannot be joined.
    pub fn bind(address: Option<IpAddr>, port: u16, groups: &[IpAddr]) -> io::Result<Sockets> {
        match address {
            Some(address) => Sockets::bind_both(SocketAddr::new(address, port), groups),
            None => {
                let all = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
                Sockets::bind_both(all, groups).or_else(|error| match error.kind() {
                    io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
                    _ => Sockets::bind_both(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), groups),
                })
            }
        }
    }

    /// The address both are bound to.
    ///
    /// # Errors
    /// When there is no socket, or the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match (&self.udp, self.tcp.first()) {
            (Some(udp), _) => udp.local_addr(),
            (None, Some(tcp)) => tcp.socket.local_addr(),
            (None, None) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn bind_both(address: SocketAddr, groups: &[IpAddr]) -> io::Result<Sockets> {
        // A port that is free for datagrams may be taken for connections: if any will do, try another.
        let mut attempts = if address.port() == 0 { 16 } else { 1 };
        loop {
            attempts -= 1;
            let udp = bind_udp(address, groups)?;
            match crate::tcp::bind_tcp(udp.local_addr()?) {
                Ok(socket) => {
                    let tcp = vec![Listener { socket, layers: Framing::Length.into() }];
                    return Ok(Sockets { udp: Some(udp), tcp, group: None });
                }
                Err(error) if attempts == 0 || error.kind() != io::ErrorKind::AddrInUse => return Err(error),
                Err(_) => {}
            }
        }
    }
}

impl Handle {
    /// Makes [`Reactor::run`] return soon.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Gives the reactor a connection that was made elsewhere, where it may have taken a while. Its handler is told:
    /// [`Handler::on_connected`]. Packets are framed as in OSC 1.0, until the peer shows that it frames otherwise.
    ///
    /// # Errors
    /// When the reactor is gone, or has not taken those before.
    pub fn adopt(&self, stream: std::net::TcpStream) -> io::Result<()> {
        self.adoptions
            .try_send(stream)
            .map_err(|_| io::Error::other("the network thread takes no connection"))?;
        self.wake();
        Ok(())
    }

    /// Makes the reactor tick now: something its handler looks at has changed.
    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::warn!("cannot wake the network thread: {error}");
        }
    }
}

impl Reactor {
    /// A loop over these sockets. It cannot be moved to another thread: make it on the one that runs it, and give its
    /// [`Reactor::handle`] to the others.
    ///
    /// # Errors
    /// When the system has no more descriptors, or refuses a socket.
    pub fn new(
        sockets: Sockets,
        clock: Clock,
        limits: StreamLimits,
        counters: Arc<NetCounters>,
    ) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let udp = Datagrams::watch(sockets.udp, UDP, &poll)?;
        let reader = sockets.group.as_ref().map(Group::reader).transpose()?;
        let group = Datagrams::watch(reader, GROUP, &poll)?;
        let streams = Connections::new(
            sockets.tcp,
            limits,
            Arc::clone(&counters),
            poll.registry().try_clone()?,
            STREAMS,
            clock.now(),
        )?;
        let (adoptions, adopted) = sync_channel(ADOPTIONS);
        let handle = Handle { stop: Arc::default(), adoptions, waker };
        let events = Events::with_capacity(EVENTS);
        let membership = sockets.group;
        Ok(Reactor {
            poll,
            events,
            clock,
            handle,
            udp,
            group,
            membership,
            streams,
            adopted,
            counters,
            complained: false,
        })
    }

    /// A handle to stop or wake it from elsewhere.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until [`Handle::stop`].
    ///
    /// # Errors
    /// When the system refuses to poll. Errors of single sockets are counted and logged, and end nothing else.
    pub fn run(&mut self, handler: &mut impl Handler) -> io::Result<()> {
        while !self.handle.stop.load(Ordering::Acquire) {
            self.turn(handler)?;
        }
        self.streams.flush(self.clock.now(), handler);
        Ok(())
    }

    /// Lets nobody in any more, writes what waits, closes every connection, and returns when all have read what they were
    /// sent, but after so long in any case.
    ///
    /// # Errors
    /// As [`Reactor::run`].
    pub fn part(&mut self, handler: &mut impl Handler, patience: Span) -> io::Result<()> {
        let until = self.clock.now() + patience;
        self.obey(handler);
        self.streams.close_all();
        while !self.streams.is_empty() && self.clock.now().is_before(until) {
            self.turn(handler)?;
        }
        Ok(())
    }

    /// Waits for packets, a wake-up or the handler's deadline, and deals with what came.
    ///
    /// # Errors
    /// As [`Reactor::run`].
    pub fn turn(&mut self, handler: &mut impl Handler) -> io::Result<()> {
        self.wait(handler)?;
        for event in &self.events {
            match event.token() {
                WAKER => {}
                token @ (UDP | GROUP) => {
                    let datagrams = if token == UDP { &mut self.udp } else { &mut self.group };
                    if let Some(datagrams) = datagrams {
                        // What is on the error queue is no packet, but tells that one has left.
                        if event.is_error() {
                            datagrams.port.collect(&self.clock, &self.counters, |cookie, at| {
                                handler.on_sent(cookie, at);
                            });
                        }
                        if event.is_readable() {
                            datagrams.backlog = Backlog::More;
                        }
                    }
                }
                Token(stream) => self.streams.ready(stream, event),
            }
        }
        for datagrams in [&mut self.udp, &mut self.group].into_iter().flatten() {
            datagrams.receive(&self.clock, &self.counters, handler);
        }
        while let Ok(stream) = self.adopted.try_recv() {
            if let Err(error) = self.streams.adopt(stream, handler) {
                tracing::warn!("a connection that was made cannot be used: {error}");
            }
        }
        self.streams.receive(&self.clock, handler);
        if let Some(membership) = &mut self.membership {
            membership.look(self.clock.now());
        }
        handler.on_tick(self.clock.anchor());
        self.obey(handler);
        // Whom a connection's end concerns is told of it now.
        while self.streams.flush(self.clock.now(), handler) {
            self.obey(handler);
        }
        Ok(())
    }

    /// For tests that turn it by hand.
    #[cfg(test)]
    pub(crate) fn streams(&self) -> &Connections {
        &self.streams
    }

    /// Does what the handler wants done.
    fn obey(&mut self, handler: &mut impl Handler) {
        let mut is_timed = false;
        while let Some(outgoing) = handler.poll(self.clock.now()) {
            match outgoing {
                Outgoing::Send { to: Endpoint::Udp(to), packet, stamp } => {
                    is_timed |= stamp.is_some();
                    self.send(to, packet, stamp);
                }
                Outgoing::Send { to: Endpoint::Tcp(conn) | Endpoint::Member(conn, _), packet, .. } => {
                    self.streams.deliver(&[conn], packet);
                }
                Outgoing::Deliver { to, packet } => self.streams.deliver(to, packet),
                Outgoing::Close(conn) => self.streams.close_after_flush(conn),
                Outgoing::Pause(conn) => self.streams.pause(conn),
                Outgoing::Resume(conn) => self.streams.resume(conn),
            }
        }
        // Mostly the kernel knows already, which saves a turn.
        if is_timed && let Some(udp) = &mut self.udp {
            udp.port.collect(&self.clock, &self.counters, |cookie, at| handler.on_sent(cookie, at));
        }
    }

    fn wait(&mut self, handler: &impl Handler) -> io::Result<()> {
        let datagrams = [&self.udp, &self.group];
        let is_behind = datagrams.into_iter().flatten().any(|datagrams| datagrams.backlog == Backlog::More);
        let timeout = if is_behind || self.streams.has_backlog() {
            Span::ZERO
        } else {
            let now = self.clock.now();
            let until = [handler.deadline(), self.streams.deadline()].into_iter().flatten();
            until.map(|deadline| deadline - now).fold(LONGEST_WAIT, Span::min).max(Span::ZERO)
        };
        match self.poll.poll(&mut self.events, Some(timeout.into())) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            other => other,
        }
    }

    fn send(&mut self, to: SocketAddr, packet: &[u8], stamp: Option<u64>) {
        if let (Some(udp), Some(group)) =
            (&self.udp, self.membership.as_ref().filter(|group| group.is_at(to)))
        {
            return group.say(&udp.port, packet);
        }
        let sent = match (&mut self.udp, stamp) {
            (Some(udp), Some(cookie)) => udp.port.send_timed(to, packet, cookie, &self.counters),
            (Some(udp), None) => udp.port.send(to, packet),
            (None, _) => Err(io::ErrorKind::NotConnected.into()),
        };
        if let Err(error) = sent {
            self.counters.unsent.fetch_add(1, Ordering::Relaxed);
            if !std::mem::replace(&mut self.complained, true) {
                tracing::warn!(
                    "cannot send to udp {to}: {error}; from here on this is only counted, as lost in /status"
                );
            }
            tracing::debug!("cannot send {} bytes to udp {to}: {error}", packet.len());
        }
    }
}

#[cfg(test)]
mod tests;
