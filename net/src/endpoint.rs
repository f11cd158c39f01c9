//! [`Endpoint`]: whoever sent a packet, and whom an answer goes to.
//!
//! Not for: sockets (`reactor`).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A sender, or a receiver of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address that datagrams came from. IPv4 is always written as such, never as an IPv4-mapped IPv6 address.
    Udp(SocketAddr),
    /// A connection.
    Tcp(ConnId),
    /// One user of the group that is at the other end of a connection to a router, by a number of ours (`member`). Whoever sends
    /// to it has to make a private message of it first.
    Member(ConnId, u32),
}

impl Endpoint {
    /// The connection that leads there.
    pub fn conn(self) -> Option<ConnId> {
        match self {
            Endpoint::Udp(_) => None,
            Endpoint::Tcp(conn) | Endpoint::Member(conn, _) => Some(conn),
        }
    }
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

/// Whose computer an address is, as far as that can be told: an IPv6 network of 64 bits is one.
pub(crate) fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        address => address,
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.serial)
    }
}

/// `udp 10.0.0.7:57120`, `connection 12`, or `connection 12 user 3`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Udp(address) => write!(f, "udp {address}"),
            Endpoint::Tcp(conn) => conn.fmt(f),
            Endpoint::Member(conn, user) => write!(f, "{conn} user {user}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_host_and_an_ipv4_address_another() {
        let of = |text: &str| origin(text.parse().expect("it is an address"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
