//! [`Listener`]: a bound socket on which connections come in.
//!
//! Not for: letting them in (`tcp`).

use crate::framing::Framing;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;

/// Connections that wait to be accepted, at most; the system may grant fewer.
const ACCEPT_BACKLOG: i32 = 1024;

/// A bound socket on which connections come in.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: std::net::TcpListener,
    /// How packets are framed for a peer that has sent nothing yet. That of all others is recognised.
    pub framing: Framing,
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
