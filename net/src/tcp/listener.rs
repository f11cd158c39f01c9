//! [`Listener`]: a bound socket on which connections come in.
//!
//! Not for: letting them in (`tcp`).

use super::tls::Certificate;
use crate::framing::Framing;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Connections that wait to be accepted, at most; the system may grant fewer.
const ACCEPT_BACKLOG: i32 = 1024;

/// A bound socket on which connections come in.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: std::net::TcpListener,
    /// What its connections speak.
    pub layers: Layers,
}

/// What lies between a socket and packets.
#[derive(Clone, Debug)]
pub struct Layers {
    /// Encrypted by TLS, with this certificate.
    pub tls: Option<Certificate>,
    /// Each packet is a message of a WebSocket.
    pub websocket: bool,
    /// How packets are framed for a peer that has sent nothing yet, if they are not messages. That of all others is recognised.
    pub framing: Framing,
}

impl From<Framing> for Layers {
    fn from(framing: Framing) -> Layers {
        Layers { tls: None, websocket: false, framing }
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

impl Listener {
    /// Binds one; port 0 takes a free one. Without an address: every address of this host, IPv6 and IPv4, or IPv4 alone where
    /// the host has no IPv6.
    ///
    /// # Errors
    /// When the port is taken, or the address is not this host's.
    pub fn bind(address: Option<IpAddr>, port: u16, layers: Layers) -> io::Result<Listener> {
        let socket = match address {
            Some(address) => bind_tcp(SocketAddr::new(address, port)),
            None => {
                bind_tcp(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).or_else(|error| {
                    match error.kind() {
                        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
                        _ => bind_tcp(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)),
                    }
                })
            }
        };
        Ok(Listener { socket: socket?, layers })
    }
}
