//! [`Stamps`]: datagrams that tell when they left, by the kernel's clock.
//!
//! On Linux such a datagram asks for its own stamp when it is sent, so that all others cost what they ever did. The kernel
//! numbers those that ask, and puts each stamp on the socket's error queue under its number, mostly before the call that
//! sends returns. Where it refuses, and elsewhere, nobody tells, and whoever sent goes by its own clock.
//!
//! Not for: when datagrams arrive (`udp`), nor what follows from when they left (the session).

#[cfg(target_os = "linux")]
pub(crate) use linux::Stamps;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Stamps;

#[cfg(target_os = "linux")]
mod linux {
    use crate::counters::NetCounters;
    use downbeat_sync::{Clock, LocalTime, Span};
    use nix::libc;
    use nix::sys::socket::{
        ControlMessageOwned, MsgFlags, RecvMsg, TimestampingFlag, recvmsg, setsockopt, sockopt,
    };
    use nix::sys::time::TimeSpec;
    use socket2::{MsgHdr, SockAddr, SockRef};
    use std::collections::VecDeque;
    use std::io::{self, IoSlice};
    use std::net::SocketAddr;
    use std::os::fd::{AsFd, AsRawFd};
    use std::sync::atomic::Ordering;

    /// Datagrams whose stamps are waited for, at most: later ones push out earlier ones, which are never told of.
    const WAITING: usize = 256;
    /// No stamp is longer on its way; an older one comes from a stepped wall clock.
    const OLDEST: Span = Span::from_secs(2);

    /// See the module.
    pub(crate) struct Stamps {
        asking: Asking,
        /// The number of the next datagram that asks.
        next: u32,
        /// Numbers, and what the sender calls them.
        waiting: VecDeque<(u32, u64)>,
        /// Room for what is told of one: the stamp in two forms, and the note that has the number.
        note: Vec<u8>,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Asking {
        NotYet,
        On,
        Refused,
    }

    impl Stamps {
        pub(crate) fn new() -> Stamps {
            let note = nix::cmsg_space!(TimeSpec, [TimeSpec; 3], libc::sock_extended_err, libc::sockaddr_in6);
            Stamps { asking: Asking::NotYet, next: 0, waiting: VecDeque::new(), note }
        }

        /// Sends a datagram and asks when it leaves, if the kernel tells such things. Nothing is asked of the kernel before the
        /// first, so that a socket that sends none receives as cheaply as before.
        ///
        /// # Errors
        /// What the socket says, that its buffer is full too.
        pub(crate) fn send(
            &mut self,
            socket: &mio::net::UdpSocket,
            to: SocketAddr,
            packet: &[u8],
            cookie: u64,
        ) -> io::Result<()> {
            if self.asking == Asking::NotYet {
                self.begin(socket);
            }
            if self.asking == Asking::Refused {
                return socket.send_to(packet, to).map(|_| ());
            }
            let (address, buffers, request) = (SockAddr::from(to), [IoSlice::new(packet)], request());
            let message = MsgHdr::new().with_addr(&address).with_buffers(&buffers).with_control(&request);
            let sent = socket.try_io(|| SockRef::from(socket).sendmsg(&message, libc::MSG_DONTWAIT));
            if let Err(error) = sent {
                // Nobody says whether it was numbered before it failed.
                self.begin(socket);
                if error.kind() != io::ErrorKind::InvalidInput {
                    return Err(error);
                }
                // Some systems take the wish for numbers, but not the request; or it is the address that is wrong.
                socket.send_to(packet, to)?;
                self.asking = Asking::Refused;
                return Ok(());
            }
            if self.waiting.len() == WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back((self.next, cookie));
            self.next = self.next.wrapping_add(1);
            Ok(())
        }

        /// Tells of all that are known to have left. Only what was sent from here adds to the queue, so this ends.
        pub(crate) fn collect(
            &mut self,
            socket: &mio::net::UdpSocket,
            clock: &Clock,
            counters: &NetCounters,
            mut on_sent: impl FnMut(u64, LocalTime),
        ) {
            if self.asking != Asking::On {
                return;
            }
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT);
            while let Ok(note) = recvmsg::<()>(fd, &mut [], Some(&mut self.note), flags) {
                let Some((number, stamp)) = read(&note) else { continue };
                let Some(place) = self.waiting.iter().position(|(waiting, _)| *waiting == number) else {
                    continue;
                };
                let nanos = i128::from(stamp.tv_sec()) * 1_000_000_000 + i128::from(stamp.tv_nsec());
                // Read after the stamp, which lies before it.
                if let Some((_, cookie)) = self.waiting.remove(place)
                    && let Some(at) = clock.anchor().local_of_stamp(nanos, OLDEST)
                {
                    counters.sent_stamped.fetch_add(1, Ordering::Relaxed);
                    on_sent(cookie, at);
                }
            }
        }

        /// Has the kernel count from 0, which it does whenever numbers are wanted that were not wanted before.
        fn begin(&mut self, socket: &impl AsFd) {
            self.next = 0;
            self.waiting.clear();
            let reporting = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE;
            let numbered = reporting
                | TimestampingFlag::SOF_TIMESTAMPING_OPT_ID
                | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY;
            // Arrivals have their stamps in another form already. Kernels before 6.12 cannot be kept from giving them in this
            // one too, which costs a little and is passed over by `udp`.
            let lean = numbered | TimestampingFlag::from_bits_retain(libc::SOF_TIMESTAMPING_OPT_RX_FILTER);
            let set = |flags| setsockopt(socket, sockopt::Timestamping, &flags);
            let begun = set(reporting).and_then(|()| set(lean).or_else(|_| set(numbered)));
            self.asking = if begun.is_ok() { Asking::On } else { Asking::Refused };
            if let Err(error) = begun {
                tracing::debug!("the kernel does not tell when datagrams leave: {error}");
            }
        }
    }

    /// The bytes of a control message (cmsghdr, then its value) that asks for the stamp of one datagram.
    pub(super) fn request() -> [u8; REQUEST] {
        let (level, kind) = (libc::SOL_SOCKET, libc::SO_TIMESTAMPING);
        let value = TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE.bits();
        let head = REQUEST_USED.to_ne_bytes();
        let fields = [level.to_ne_bytes(), kind.to_ne_bytes(), value.to_ne_bytes()];
        let mut bytes = head.into_iter().chain(fields.into_iter().flatten());
        std::array::from_fn(|_| bytes.next().unwrap_or(0))
    }

    /// Its length, a C `size_t`; the level, the kind and the value; then up to a whole number of lengths.
    const REQUEST_USED: usize = size_of::<usize>() + 3 * size_of::<u32>();
    const REQUEST: usize = REQUEST_USED.next_multiple_of(size_of::<usize>());

    /// Which datagram left, and when.
    fn read(note: &RecvMsg<'_, '_, ()>) -> Option<(u32, TimeSpec)> {
        let (mut number, mut stamp) = (None, None);
        for part in note.cmsgs().into_iter().flatten() {
            match part {
                ControlMessageOwned::ScmTimestampsns(stamps) => stamp = Some(stamps.system),
                ControlMessageOwned::Ipv4RecvErr(why, _) | ControlMessageOwned::Ipv6RecvErr(why, _)
                    if why.ee_origin == libc::SO_EE_ORIGIN_TIMESTAMPING =>
                {
                    number = Some(why.ee_data);
                }
                _ => {}
            }
        }
        number.zip(stamp)
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use crate::counters::NetCounters;
    use downbeat_sync::{Clock, LocalTime};
    use std::io;
    use std::net::SocketAddr;

    /// Nobody tells.
    pub(crate) struct Stamps;

    impl Stamps {
        pub(crate) fn new() -> Stamps {
            Stamps
        }

        pub(crate) fn send(
            &mut self,
            socket: &mio::net::UdpSocket,
            to: SocketAddr,
            packet: &[u8],
            _: u64,
        ) -> io::Result<()> {
            socket.send_to(packet, to).map(|_| ())
        }

        pub(crate) fn collect(
            &mut self,
            _: &mio::net::UdpSocket,
            _: &Clock,
            _: &NetCounters,
            _: impl FnMut(u64, LocalTime),
        ) {
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
