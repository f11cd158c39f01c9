//! [`Drops`]: the senders of which an event was dropped for coming late, to warn of each of them once.
//!
//! Where late events are dropped, nothing of a sender that stamps "now" is heard, and without a warning nobody would know why.
//! Not for: telling each event's lateness (`super`).

use crate::endpoint::{ConnId, Endpoint};
use std::collections::HashSet;
use std::net::IpAddr;

/// Senders that are remembered. Of more there is no warning, and they are not counted: no memory without bound, whatever
/// addresses the datagrams name.
pub(super) const SENDERS: usize = 1_024;

/// The senders of which an event was dropped.
#[derive(Debug, Default)]
pub(super) struct Drops {
    senders: HashSet<Sender>,
}

/// A sender, as far as it stays the same from message to message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sender {
    /// A host: some programs open a new socket, and so have a new port, for every message.
    Host(IpAddr),
    Conn(ConnId),
    Member(ConnId, u32),
}

impl From<Endpoint> for Sender {
    fn from(endpoint: Endpoint) -> Sender {
        match endpoint {
            Endpoint::Udp(address) => Sender::Host(address.ip()),
            Endpoint::Tcp(conn) => Sender::Conn(conn),
            Endpoint::Member(conn, user) => Sender::Member(conn, user),
        }
    }
}

impl Drops {
    /// Takes note of an event that was dropped. Returns whether it is the first of its sender, of which to warn.
    pub(super) fn dropped(&mut self, from: Endpoint) -> bool {
        let sender = Sender::from(from);
        !self.senders.contains(&sender) && self.senders.len() < SENDERS && self.senders.insert(sender)
    }

    /// Of how many senders events were dropped; [`SENDERS`] stands for more, too.
    pub(super) fn senders(&self) -> u64 {
        self.senders.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddr};

    fn host(host: u32, port: u16) -> Endpoint {
        Endpoint::Udp(SocketAddr::from((Ipv4Addr::from(host), port)))
    }

    #[test]
    fn a_host_is_one_sender_by_whatever_port_and_each_connection_is_one() {
        let mut drops = Drops::default();
        let warned = (0..1_000).filter(|port| drops.dropped(host(1, *port))).count();
        let [conn, other] = [1, 2].map(ConnId::numbered);
        for from in [host(2, 0), Endpoint::Tcp(conn), Endpoint::Tcp(other), Endpoint::Member(conn, 1)] {
            assert!(drops.dropped(from) && !drops.dropped(from), "{from}");
        }
        assert_eq!((warned, drops.senders()), (1, 5));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut drops = Drops::default();
        let warned = (0..2 * SENDERS as u32).filter(|number| drops.dropped(host(*number, 9))).count();
        assert_eq!((warned, drops.senders()), (SENDERS, SENDERS as u64));
        assert!(!drops.dropped(host(0, 9)));
    }
}
