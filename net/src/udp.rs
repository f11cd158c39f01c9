//! [`UdpPort`]: a datagram socket that receives in batches, each packet with its arrival stamp.
//!
//! On Linux a batch is one recvmmsg, the stamp is the kernel's and the packets it had to drop are counted; elsewhere it is
//! recv_from and the caller's own clock. Not for: what a packet means, nor when to read (`reactor`).

use crate::counters::NetCounters;
use crate::stamps::Stamps;
use downbeat_sync::{Clock, LocalTime};
#[cfg(target_os = "linux")]
use linux::Batch;
#[cfg(not(target_os = "linux"))]
use portable::Batch;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::sync::atomic::Ordering;

/// The largest datagram IPv4 can carry (bytes).
pub const MAX_DATAGRAM: usize = 65_507;
/// What the kernel is asked to hold while the node is busy elsewhere: its default overflows after 277 packets (bytes).
const RECEIVE_BUFFER: usize = 4 << 20;

/// A bound datagram socket and the memory it receives into.
pub(crate) struct UdpPort {
    pub(crate) socket: mio::net::UdpSocket,
    reach: Reach,
    batch: Batch,
    stamps: Stamps,
}

/// Which addresses a socket can send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    V4,
    V6,
    /// IPv4 by mapped addresses.
    Both,
}

/// What a call of [`UdpPort::receive`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// Nothing: the next packet will wake the poll.
    Drained,
    /// Perhaps more: read again before sleeping.
    More,
}

/// Binds a datagram socket: on `::` it receives IPv4 too. Joins these multicast groups on the default interface, and may
/// broadcast.
///
/// # Errors
/// What the system says: the address is taken or not this host's, a group is none.
pub fn bind_udp(address: SocketAddr, groups: &[IpAddr]) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    enlarge_buffer(&socket);
    socket.bind(&SockAddr::from(address))?;
    for group in groups {
        let joined = match group {
            IpAddr::V4(group) => socket.join_multicast_v4(group, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => socket.join_multicast_v6(group, 0),
        };
        joined.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot join the multicast group {group}: {error}"))
        })?;
    }
    Ok(socket.into())
}

/// As large as allowed: beyond net.core.rmem_max only root may go. Failing is no error, only less room.
fn enlarge_buffer(socket: &Socket) {
    #[cfg(target_os = "linux")]
    if linux::force_buffer(socket, RECEIVE_BUFFER).is_ok() {
        return;
    }
    if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
        tracing::debug!("the socket keeps its small receive buffer: {error}");
    }
}

impl UdpPort {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<UdpPort> {
        socket.set_nonblocking(true)?;
        let reach = match socket.local_addr()? {
            SocketAddr::V4(_) => Reach::V4,
            SocketAddr::V6(_) if SockRef::from(&socket).only_v6()? => Reach::V6,
            SocketAddr::V6(_) => Reach::Both,
        };
        let batch = Batch::new(&socket);
        Ok(UdpPort { socket: mio::net::UdpSocket::from_std(socket), reach, batch, stamps: Stamps::new() })
    }

    /// Receives one batch and hands each packet over with its arrival and its sender.
    ///
    /// # Errors
    /// What the socket says, but never that there is nothing to read.
    pub(crate) fn receive(
        &mut self,
        clock: &Clock,
        counters: &NetCounters,
        on_packet: impl FnMut(LocalTime, SocketAddr, &[u8]),
    ) -> io::Result<Backlog> {
        match self.batch.receive(&self.socket, clock, counters, on_packet) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Backlog::Drained),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Backlog::More),
            other => other,
        }
    }

    /// Sends a datagram, or fails at once.
    ///
    /// # Errors
    /// What the socket says, that its buffer is full too.
    pub(crate) fn send(&self, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
        self.socket.send_to(packet, self.reachable(to)?).map(|_| ())
    }

    /// The same, of a datagram of which is wanted when it leaves: [`UdpPort::collect`] tells, if anybody does.
    ///
    /// # Errors
    /// As [`UdpPort::send`].
    pub(crate) fn send_timed(
        &mut self,
        to: SocketAddr,
        packet: &[u8],
        cookie: u64,
        counters: &NetCounters,
    ) -> io::Result<()> {
        let to = self.reachable(to)?;
        self.stamps.send(&self.socket, to, packet, cookie)?;
        counters.sent_timed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Tells which datagrams have left, and when.
    pub(crate) fn collect(
        &mut self,
        clock: &Clock,
        counters: &NetCounters,
        on_sent: impl FnMut(u64, LocalTime),
    ) {
        self.stamps.collect(&self.socket, clock, counters, on_sent);
    }

    /// The same to a multicast group, on the interface of this address of ours.
    ///
    /// # Errors
    /// As [`UdpPort::send`].
    pub(crate) fn send_by(&self, interface: Ipv4Addr, to: SocketAddr, packet: &[u8]) -> io::Result<()> {
        // A dual-stack socket has this option too, though it is IPv4's.
        SockRef::from(&self.socket).set_multicast_if_v4(&interface)?;
        self.send(to, packet)
    }

    /// The address by which this socket reaches another. That there is none, the system would say in words that tell nobody why.
    fn reachable(&self, to: SocketAddr) -> io::Result<SocketAddr> {
        let none = |own: &str| {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("this node listens on {own} only")))
        };
        match (to, self.reach) {
            (SocketAddr::V4(v4), Reach::Both) => {
                Ok(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into())
            }
            (SocketAddr::V4(_), Reach::V6) => none("IPv6"),
            (SocketAddr::V6(_), Reach::V4) => none("IPv4"),
            (to, _) => Ok(to),
        }
    }
}

/// An IPv4 sender as such, though a dual-stack socket saw it as a mapped IPv6 address.
fn plain(v6: SocketAddrV6) -> SocketAddr {
    match v6.ip().to_ipv4_mapped() {
        Some(v4) => SocketAddr::from((v4, v6.port())),
        None => v6.into(),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Backlog, MAX_DATAGRAM, plain};
    use crate::counters::NetCounters;
    use downbeat_sync::{Clock, LocalTime, Span, WallAnchor};
    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, setsockopt, sockopt,
    };
    use nix::sys::time::TimeSpec;
    use std::io::{self, IoSliceMut};
    use std::net::SocketAddr;
    use std::os::fd::{AsFd, AsRawFd};
    use std::sync::atomic::Ordering;

    /// Packets per system call.
    const BATCH: usize = 32;
    /// Room for each packet: whole pages, so that a small packet touches only its own.
    const ROOM: usize = MAX_DATAGRAM.next_multiple_of(4096);
    /// No packet waits longer in a socket of a node that lives; an older stamp comes from a stepped wall clock.
    const OLDEST: Span = Span::from_secs(2);

    /// Memory for one recvmmsg: allocated once, resident only as far as packets ever filled it.
    pub(super) struct Batch {
        headers: MultiHeaders<SockaddrStorage>,
        bytes: Vec<u8>,
        /// The kernel's count of dropped packets as last seen; it wraps.
        dropped: u32,
    }

    /// Sets the receive buffer beyond the system's limit, if this process may.
    pub(super) fn force_buffer(socket: &impl AsFd, bytes: usize) -> nix::Result<()> {
        setsockopt(socket, sockopt::RcvBufForce, &bytes)
    }

    impl Batch {
        pub(super) fn new(socket: &impl AsFd) -> Batch {
            if let Err(error) = setsockopt(socket, sockopt::ReceiveTimestampns, &true) {
                tracing::debug!("no receive stamps from the kernel, taking our own: {error}");
            }
            if let Err(error) = setsockopt(socket, sockopt::RxqOvfl, &1) {
                tracing::debug!("packets that the kernel drops will not be counted: {error}");
            }
            Batch { headers: fresh_headers(), bytes: vec![0; BATCH * ROOM], dropped: 0 }
        }

        pub(super) fn receive(
            &mut self,
            socket: &mio::net::UdpSocket,
            clock: &Clock,
            counters: &NetCounters,
            mut on_packet: impl FnMut(LocalTime, SocketAddr, &[u8]),
        ) -> io::Result<Backlog> {
            let mut rooms = self.bytes.chunks_exact_mut(ROOM);
            let mut slices: [[IoSliceMut; 1]; BATCH] = std::array::from_fn(|_| {
                [IoSliceMut::new(rooms.next().expect("the memory is of BATCH rooms"))]
            });
            let (headers, fd) = (&mut self.headers, socket.as_raw_fd());
            let received = socket
                .try_io(|| Ok(recvmmsg(fd, headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?))?;

            // Read after the packets: their stamps lie before it. Once for all, for three clocks cost as much as a packet.
            let anchor = clock.anchor();
            let (mut count, mut unstamped, mut shrunk, mut dropped) = (0, 0, false, self.dropped);
            for message in received {
                count += 1;
                shrunk |= message.flags.contains(MsgFlags::MSG_CTRUNC);
                let stamp = notes(&message, &anchor, &mut dropped);
                unstamped += u64::from(stamp.is_none());
                if let Some(from) = sender(&message) {
                    on_packet(stamp.unwrap_or(anchor.local), from, message.iovs().next().unwrap_or_default());
                }
            }
            counters.packets.fetch_add(count as u64, Ordering::Relaxed);
            counters.unstamped.fetch_add(unstamped, Ordering::Relaxed);
            counters.kernel_drops.fetch_add(dropped.wrapping_sub(self.dropped).into(), Ordering::Relaxed);
            self.dropped = dropped;
            if shrunk {
                // Each receive leaves in a header how much of its control buffer it used, and nix lets the next one have
                // no more than that: after a packet without a stamp, none would fit any more. Fresh headers have it all.
                self.headers = fresh_headers();
            }
            Ok(if count == BATCH { Backlog::More } else { Backlog::Drained })
        }
    }

    fn fresh_headers() -> MultiHeaders<SockaddrStorage> {
        // The stamp, the count of dropped packets, and the stamp once more in a longer form (`stamps`).
        MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec, u32, [TimeSpec; 3])))
    }

    /// When the packet arrived, if the kernel says so; and how many were dropped before it.
    fn notes(
        message: &RecvMsg<'_, '_, SockaddrStorage>,
        anchor: &WallAnchor,
        dropped: &mut u32,
    ) -> Option<LocalTime> {
        let mut arrival = None;
        for note in message.cmsgs().into_iter().flatten() {
            match note {
                ControlMessageOwned::ScmTimestampns(stamp) => {
                    let nanos = i128::from(stamp.tv_sec()) * 1_000_000_000 + i128::from(stamp.tv_nsec());
                    arrival = anchor.local_of_stamp(nanos, OLDEST);
                }
                ControlMessageOwned::RxqOvfl(total) => *dropped = total,
                _ => {}
            }
        }
        arrival
    }

    fn sender(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<SocketAddr> {
        let address = message.address?;
        if let Some(v4) = address.as_sockaddr_in() {
            return Some(SocketAddr::V4((*v4).into()));
        }
        address.as_sockaddr_in6().map(|v6| plain((*v6).into()))
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use super::{Backlog, MAX_DATAGRAM, plain};
    use crate::counters::NetCounters;
    use downbeat_sync::{Clock, LocalTime};
    use std::io;
    use std::net::SocketAddr;
    use std::sync::atomic::Ordering;

    /// Room for one packet.
    pub(super) struct Batch {
        bytes: Vec<u8>,
    }

    impl Batch {
        pub(super) fn new(_: &std::net::UdpSocket) -> Batch {
            Batch { bytes: vec![0; MAX_DATAGRAM] }
        }

        pub(super) fn receive(
            &mut self,
            socket: &mio::net::UdpSocket,
            clock: &Clock,
            counters: &NetCounters,
            mut on_packet: impl FnMut(LocalTime, SocketAddr, &[u8]),
        ) -> io::Result<Backlog> {
            let (length, from) = socket.recv_from(&mut self.bytes)?;
            let from = match from {
                SocketAddr::V6(v6) => plain(v6),
                v4 => v4,
            };
            counters.packets.fetch_add(1, Ordering::Relaxed);
            counters.unstamped.fetch_add(1, Ordering::Relaxed);
            on_packet(clock.now(), from, &self.bytes[..length]);
            Ok(Backlog::More)
        }
    }
}
