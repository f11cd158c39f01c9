//! [`Endpoint`]: whoever sent a packet, and whom an answer goes to.
//!
//! Not for: sockets (`reactor`).

use std::fmt;
use std::net::SocketAddr;

/// A sender, or a receiver of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address that datagrams came from. IPv4 is always written as such, never as an IPv4-mapped IPv6 address.
    Udp(SocketAddr),
    /// A connection.
    Tcp(ConnId),
}

/// A TCP connection, by a number that is not used again for another one before 2^32 more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    /// Its place in the reactor's table.
    pub(crate) slot: u32,
    /// How many connections there were before it.
    pub(crate) serial: u32,
}

impl ConnId {
    /// For handlers under test: the connection of this number. A reactor makes its own.
    pub const fn numbered(serial: u32) -> ConnId {
        ConnId { slot: serial, serial }
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.serial)
    }
}

/// `udp 10.0.0.7:57120` or `connection 12`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Udp(address) => write!(f, "udp {address}"),
            Endpoint::Tcp(conn) => conn.fmt(f),
        }
    }
}
