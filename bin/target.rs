//! [`Target`]: where to send OSC, as the user wrote it, and the [`Link`] to it once it is open.
//!
//! Blocking sockets of the standard library, for the commands that only send. Not for: receiving from many
//! (the net crate's reactor).

use anyhow::Context;
use downbeat_net::framing::{DEFAULT_LIMIT, Framing, Split, Splitter};
use downbeat_sync::{Clock, Span};
use std::collections::VecDeque;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::Duration;

/// How long a TCP connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Where a router listens, if nobody says otherwise.
const ROUTER_PORT: u16 = 55_555;
/// A router has so long to take what it was sent and close the connection.
const LEAVING: Span = Span::from_secs(3);
/// A read timeout of zero would mean to wait for ever.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);
/// Packets that are read at a time while something else is to be done.
const DRAINED: usize = 64;

/// `[udp|tcp|slip]://host:port`, or `router://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    transport: Transport,
    /// Host and port, not looked up yet.
    place: String,
}

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp(Framing),
    /// To the group one has joined there.
    Router,
}

impl Transport {
    const NAMES: [(&'static str, Transport); 4] = [
        ("udp", Transport::Udp),
        ("tcp", Transport::Tcp(Framing::Length)),
        ("slip", Transport::Tcp(Framing::Slip)),
        ("router", Transport::Router),
    ];
}

impl FromStr for Target {
    type Err = String;

    /// A node, or another program that is spoken to directly.
    fn from_str(text: &str) -> Result<Target, String> {
        let target = Target::anywhere(text)?;
        if target.is_router() {
            Err("only downbeat send and play go through a router".to_owned())
        } else {
            Ok(target)
        }
    }
}

/// Whether something like `host:port` or `[::1]` ends in a port.
fn has_port(place: &str) -> bool {
    place.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'))
}

impl Target {
    /// A router too.
    pub(crate) fn anywhere(text: &str) -> Result<Target, String> {
        let (scheme, place) = text.split_once("://").unwrap_or(("udp", text));
        let known = Transport::NAMES.iter().find(|(name, _)| *name == scheme);
        let (_, transport) =
            known.ok_or_else(|| format!("{scheme}:// is none of udp://, tcp://, slip:// and router://"))?;
        let place = &match transport {
            Transport::Router if !has_port(place) => format!("{place}:{ROUTER_PORT}"),
            _ => place.to_owned(),
        };
        match place.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
                Ok(Target { transport: *transport, place: place.to_owned() })
            }
            _ => Err("give host:port, such as 192.168.1.20:9000, pi.local:9000 or [::1]:9000".to_owned()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme =
            Transport::NAMES.iter().find(|(_, it)| *it == self.transport).map_or("", |(name, _)| name);
        write!(f, "{scheme}://{}", self.place)
    }
}

impl Target {
    /// A router by its place alone, `host[:port]`.
    pub(crate) fn router(text: &str) -> Result<Target, String> {
        Target::anywhere(&format!("router://{}", text.strip_prefix("router://").unwrap_or(text)))
    }

    /// Whether packets go as datagrams.
    pub(crate) fn is_udp(&self) -> bool {
        self.transport == Transport::Udp
    }

    /// Whether packets go to a group at a router.
    pub(crate) fn is_router(&self) -> bool {
        self.transport == Transport::Router
    }

    /// Looks the host up and opens the way there.
    pub(crate) fn open(&self) -> anyhow::Result<Link> {
        let wire = match self.transport {
            Transport::Udp => {
                let socket =
                    connect_udp(&self.addresses()?).with_context(|| format!("cannot send to {self}"))?;
                Wire::Udp(socket)
            }
            transport @ (Transport::Tcp(_) | Transport::Router) => {
                let framing = if let Transport::Tcp(framing) = transport { framing } else { Framing::Length };
                let stream = self.connect().with_context(|| {
                    format!("cannot connect to {self}; does anybody listen on TCP there?")
                })?;
                Wire::Tcp { stream, framing, splitter: Box::new(Splitter::new(DEFAULT_LIMIT)) }
            }
        };
        Ok(Link::new(self, wire))
    }

    /// Looks the host up and connects to it, whatever the transport.
    pub(crate) fn connect(&self) -> anyhow::Result<TcpStream> {
        Ok(connect_tcp(&self.addresses()?)?)
    }

    /// The same, but answers to datagrams may come from anywhere: whoever hears a broadcast answers from an address of its own.
    pub(crate) fn open_wide(&self) -> anyhow::Result<Link> {
        if !self.is_udp() {
            return self.open();
        }
        let (socket, to) = first_that_works(&self.addresses()?, |address| Ok((any_udp(address)?, *address)))
            .with_context(|| format!("cannot send to {self}"))?;
        Ok(Link::new(self, Wire::Wide(socket, to)))
    }

    fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let mut addresses: Vec<SocketAddr> = self
            .place
            .to_socket_addrs()
            .with_context(|| format!("cannot find the host of {self}"))?
            .collect();
        // A datagram to nobody fails silently, and most OSC programs listen on IPv4 alone.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }
}

/// The open way to a target.
pub(crate) struct Link {
    target: Target,
    wire: Wire,
    /// The other side of a stream has said all it wanted to.
    is_closed: bool,
    /// What came at once with the packet at which somebody broke off: for whoever reads next.
    kept: VecDeque<Vec<u8>>,
}

enum Wire {
    Udp(UdpSocket),
    /// Not connected.
    Wide(UdpSocket, SocketAddr),
    Tcp {
        stream: TcpStream,
        framing: Framing,
        splitter: Box<Splitter>,
    },
}

impl Link {
    fn new(target: &Target, wire: Wire) -> Link {
        Link { target: target.clone(), wire, is_closed: false, kept: VecDeque::new() }
    }

    /// Sends one packet.
    pub(crate) fn send(&mut self, packet: &[u8]) -> anyhow::Result<()> {
        let sent = match &mut self.wire {
            Wire::Udp(socket) => match socket.send(packet) {
                // The answer to an earlier datagram: nobody listens. This one was not sent; try once more, as a node
                // may have come since.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => socket.send(packet).map(drop),
                sent => sent.map(drop),
            },
            Wire::Wide(socket, to) => socket.send_to(packet, *to).map(drop),
            Wire::Tcp { stream, framing, .. } => {
                let mut framed = Vec::with_capacity(packet.len() + 8);
                framing.frame_into(packet, &mut framed);
                stream.write_all(&framed)
            }
        };
        sent.with_context(|| format!("cannot send {} bytes to {}", packet.len(), self.target))
    }

    /// Whether nothing will come back any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Hands every packet that comes back within `wait` to `take`, until that breaks off or the other side closes.
    pub(crate) fn receive(
        &mut self,
        clock: Clock,
        wait: Span,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<()> {
        while let Some(packet) = self.kept.pop_front() {
            if take(&packet)?.is_break() {
                return Ok(());
            }
        }
        let mut buffer = vec![0; 65_536];
        let end = clock.now() + wait;
        loop {
            let left = end - clock.now();
            if left <= Span::ZERO {
                break;
            }
            self.wire.set_read_timeout(Duration::from(left).max(SHORTEST_WAIT))?;
            if self.read(&mut buffer, &mut take)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Tells the other side of a stream that this was all, and hands what it still says to `take` until it closes too: closing
    /// with something unread would destroy what was sent.
    pub(crate) fn leave(
        &mut self,
        clock: Clock,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Wire::Tcp { stream, .. } = &self.wire else { return Ok(()) };
        stream.shutdown(Shutdown::Write).with_context(|| format!("cannot leave {}", self.target))?;
        self.receive(clock, LEAVING, |packet| take(packet).map(ControlFlow::Continue))
    }

    /// Hands the packets that have come back by now to `take`; not without end, if they come faster than they are read.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
        self.kept.drain(..).for_each(|packet| take(&packet));
        let mut buffer = vec![0; 65_536];
        self.wire.set_nonblocking(true)?;
        let mut read = Ok(());
        for _ in 0..DRAINED {
            let once = self.read(&mut buffer, &mut |packet| {
                take(packet);
                Ok(ControlFlow::Continue(()))
            });
            match once {
                Ok(ControlFlow::Continue(())) => {}
                other => {
                    read = other.map(drop);
                    break;
                }
            }
        }
        self.wire.set_nonblocking(false)?;
        read
    }

    /// Reads once. Breaks off if nothing came, or `take` does; what came at once with that is kept.
    fn read(
        &mut self,
        buffer: &mut [u8],
        take: &mut impl FnMut(&[u8]) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<ControlFlow<()>> {
        let received = match &mut self.wire {
            Wire::Udp(socket) | Wire::Wide(socket, _) => socket.recv(buffer),
            Wire::Tcp { stream, .. } => stream.read(buffer),
        };
        let bytes = match received {
            Ok(len) => &buffer[..len],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(ControlFlow::Break(()));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(ControlFlow::Continue(())),
            Err(error) => {
                return Err(error).with_context(|| format!("no answer from {}; is it running?", self.target));
            }
        };
        let Wire::Tcp { splitter, .. } = &mut self.wire else { return take(bytes) };
        if bytes.is_empty() {
            self.is_closed = true;
            return Ok(ControlFlow::Break(()));
        }
        let (mut input, mut enough) = (bytes, false);
        loop {
            match splitter.next(&mut input) {
                Split::Packet(packet) if enough => self.kept.push_back(packet.to_vec()),
                Split::Packet(packet) => enough = take(packet)?.is_break(),
                Split::More if enough => return Ok(ControlFlow::Break(())),
                Split::More => return Ok(ControlFlow::Continue(())),
                Split::Broken(why) => {
                    return Err(why).with_context(|| format!("cannot read what {} answers", self.target));
                }
            }
        }
    }
}

impl Wire {
    fn set_read_timeout(&self, timeout: Duration) -> std::io::Result<()> {
        match self {
            Wire::Udp(socket) | Wire::Wide(socket, _) => socket.set_read_timeout(Some(timeout)),
            Wire::Tcp { stream, .. } => stream.set_read_timeout(Some(timeout)),
        }
    }

    fn set_nonblocking(&self, on: bool) -> std::io::Result<()> {
        match self {
            Wire::Udp(socket) | Wire::Wide(socket, _) => socket.set_nonblocking(on),
            Wire::Tcp { stream, .. } => stream.set_nonblocking(on),
        }
    }
}

/// A socket of the family of the first address it can be connected to.
fn connect_udp(addresses: &[SocketAddr]) -> std::io::Result<UdpSocket> {
    first_that_works(addresses, |address| {
        let socket = any_udp(address)?;
        socket.connect(address)?;
        Ok(socket)
    })
}

/// A socket of the family of this address.
fn any_udp(address: &SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.set_broadcast(true)?;
    Ok(socket)
}

fn connect_tcp(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    first_that_works(addresses, |address| {
        let stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

fn first_that_works<T>(
    addresses: &[SocketAddr],
    mut attempt: impl FnMut(&SocketAddr) -> std::io::Result<T>,
) -> std::io::Result<T> {
    let mut failure = std::io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match attempt(address) {
            Ok(open) => return Ok(open),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_and_print_the_same() {
        for (typed, printed) in [
            ("localhost:9000", "udp://localhost:9000"),
            ("udp://10.0.0.7:1", "udp://10.0.0.7:1"),
            ("tcp://pi.local:9000", "tcp://pi.local:9000"),
            ("slip://[::1]:9000", "slip://[::1]:9000"),
        ] {
            assert_eq!(typed.parse::<Target>().map(|target| target.to_string()), Ok(printed.to_owned()));
        }
        for wrong in
            ["", "9000", ":9000", "host", "host:", "host:99999", "host:0", "http://host:80", "router://host"]
        {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn routers_have_a_usual_port() {
        for (typed, printed) in [
            ("router://host", "router://host:55555"),
            ("router://host:1234", "router://host:1234"),
            ("router://[::1]", "router://[::1]:55555"),
            ("router://[::1]:7", "router://[::1]:7"),
        ] {
            assert_eq!(Target::anywhere(typed).map(|target| target.to_string()), Ok(printed.to_owned()));
        }
        for wrong in ["router://", "router://:7", "router://host:", "router://host:0"] {
            assert!(Target::anywhere(wrong).is_err(), "{wrong}");
        }
    }
}
