//! [`Group`]: where the nodes of a network hear each other: a multicast group, on every interface of this host, also on those
//! that come later.
//!
//! The system joins a group on one interface, that of the route at this moment: a Pi whose Wi-Fi comes after its node would hear
//! nobody for good, one with cable and Wi-Fi only those on one side, and two on a switch without a router nobody at all. So it is
//! looked every few seconds which interfaces there are, and what is said to all is said on each of them.
//!
//! Not for: receiving, and sending to one (`udp`).

use crate::udp::UdpPort;
use downbeat_sync::{LocalTime, Span};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

/// How often it is looked which interfaces there are.
const LOOK: Span = Span::from_secs(3);
/// Interfaces that are used at once: Linux lets a socket join 20 groups.
const INTERFACES: usize = 16;

/// See the module. It is heard there, never spoken from there: who answers needs the node's own port.
#[derive(Debug)]
pub struct Group {
    socket: Socket,
    address: SocketAddrV4,
    /// Not on the other interfaces than that of this address.
    only: Option<Ipv4Addr>,
    joined: Vec<Interface>,
    /// `None` before the first.
    next_look: Option<LocalTime>,
}

/// An interface that can do multicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interface {
    index: u32,
    address: Ipv4Addr,
}

impl Interface {
    /// Whichever the system chooses.
    const ANY: Interface = Interface { index: 0, address: Ipv4Addr::UNSPECIFIED };
}

impl Group {
    /// Binds to a group's port, which other nodes of this host may be bound to as well: what is said to all is heard by each.
    /// Needs no network yet. With `only`, an address of this host, other interfaces than its own are left alone.
    ///
    /// # Errors
    /// What the system says: the port is taken by a program that shares it with nobody.
    pub fn bind(address: SocketAddrV4, only: Option<Ipv4Addr>) -> io::Result<Group> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Else it would also hear what comes in where another program has joined.
        #[cfg(target_os = "linux")]
        socket.set_multicast_all_v4(false)?;
        socket.bind(&SockAddr::from(address))?;
        Ok(Group { socket, address, only, joined: Vec::new(), next_look: None })
    }

    /// Another handle on the socket, to receive from.
    pub(crate) fn reader(&self) -> io::Result<UdpSocket> {
        self.socket.try_clone().map(UdpSocket::from)
    }

    /// Whether this is where the group is spoken to.
    pub(crate) fn is_at(&self, address: SocketAddr) -> bool {
        address == SocketAddr::V4(self.address)
    }

    /// Joins on interfaces that have come, leaves those that have gone; but not all the time.
    pub(crate) fn look(&mut self, now: LocalTime) {
        let is_first = self.next_look.is_none();
        if self.next_look.is_some_and(|next| now.is_before(next)) {
            return;
        }
        self.next_look = Some(now + LOOK);
        let there = interfaces().unwrap_or_else(|error| {
            tracing::debug!("cannot list the network interfaces, the system chooses one: {error}");
            vec![Interface::ANY]
        });
        self.use_these(&chosen(there, self.only));
        if is_first && self.joined.is_empty() {
            tracing::info!("there is no network yet; other nodes are looked for as soon as there is");
        }
    }

    fn use_these(&mut self, there: &[Interface]) {
        let (socket, group) = (&self.socket, self.address.ip());
        self.joined.retain(|joined| {
            let stays = there.iter().any(|interface| interface.index == joined.index);
            if !stays {
                tracing::debug!("not listening for other nodes on {} any more", joined.address);
                // One that is gone for good has taken its membership with it, or not: Linux counts it until it is left.
                let _ = socket.leave_multicast_v4_n(group, &InterfaceIndexOrAddress::Index(joined.index));
            }
            stays
        });
        for interface in there {
            if let Some(joined) = self.joined.iter_mut().find(|joined| joined.index == interface.index) {
                joined.address = interface.address;
                continue;
            }
            match socket.join_multicast_v4_n(group, &InterfaceIndexOrAddress::Index(interface.index)) {
                Ok(()) => {
                    tracing::debug!("listening for other nodes on {}", interface.address);
                    self.joined.push(*interface);
                }
                Err(error) => {
                    tracing::debug!("cannot listen for other nodes on {}: {error}", interface.address)
                }
            }
        }
    }

    /// Says this to all, on every interface, from a port that they can answer to. Without a network nobody is there to hear it.
    pub(crate) fn say(&self, port: &UdpPort, packet: &[u8]) {
        for interface in &self.joined {
            if let Err(error) = port.send_by(interface.address, self.address.into(), packet) {
                tracing::debug!("cannot speak to other nodes on {}: {error}", interface.address);
            }
        }
    }
}

/// Each interface once, by its first address, and not more than are used.
fn chosen(there: Vec<Interface>, only: Option<Ipv4Addr>) -> Vec<Interface> {
    let mut chosen: Vec<Interface> = Vec::new();
    for interface in there {
        let is_wanted = only.is_none_or(|only| only == interface.address || interface == Interface::ANY);
        if is_wanted && chosen.len() < INTERFACES && chosen.iter().all(|other| other.index != interface.index)
        {
            chosen.push(interface);
        }
    }
    chosen
}

/// Every address of the interfaces that are up, can do multicast, and lead out of this host.
#[cfg(unix)]
fn interfaces() -> io::Result<Vec<Interface>> {
    use nix::ifaddrs::getifaddrs;
    use nix::net::if_::{InterfaceFlags, if_nametoindex};
    let leads_out = |flags: InterfaceFlags| {
        flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST)
            && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
    };
    let there = getifaddrs()?.filter(|found| leads_out(found.flags));
    let there = there.filter_map(|found| {
        let address = found.address.as_ref()?.as_sockaddr_in()?.ip();
        // It may be gone by now.
        let index = if_nametoindex(found.interface_name.as_str()).ok()?;
        Some(Interface { index, address })
    });
    Ok(there.collect())
}

#[cfg(not(unix))]
fn interfaces() -> io::Result<Vec<Interface>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interface_is_used_once_and_of_a_named_address_only_its_own() {
        let there = |count: u8| {
            let of = |n: u8| {
                [1, 2].map(|host| Interface { index: n.into(), address: Ipv4Addr::new(10, 0, n, host) })
            };
            (1..=count).flat_map(of).collect::<Vec<_>>()
        };
        let indices = |chosen: Vec<Interface>| chosen.iter().map(|one| one.index).collect::<Vec<_>>();
        assert_eq!(indices(chosen(there(3), None)), [1, 2, 3]);
        assert_eq!(chosen(there(3), Some(Ipv4Addr::new(10, 0, 2, 2))), [there(2)[3]]);
        assert_eq!(chosen(there(3), Some(Ipv4Addr::new(10, 0, 9, 9))), []);
        assert_eq!(chosen(there(200), None).len(), INTERFACES);
        // Where the system does not tell, it has the choice, whatever was named.
        assert_eq!(chosen(vec![Interface::ANY], Some(Ipv4Addr::LOCALHOST)), [Interface::ANY]);
    }
}
