//! Which ensemble a node belongs to, and where it looks for the others.
//!
//! Not for: what they say to each other (the session).

use super::hosts;
use crate::args::NodeArgs;
use crate::key::{self, random};
use crate::state::State;
use anyhow::Context;
use downbeat_net::Group;
use downbeat_net::timing::Membership;
use downbeat_sync::{EnsembleTime, PeerId, SessionConfig};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};

/// Where all nodes of a network hear each other: a group of the organisation-local scope (RFC 2365).
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 79, 83), 9_077);

/// How a node takes part.
pub(super) struct Company {
    pub(super) session: SessionConfig,
    pub(super) membership: Membership,
    /// Where it hears the others.
    pub(super) group: Option<Group>,
    /// Where they hear it.
    pub(super) meeting: Option<SocketAddr>,
}

/// What the flags say of the ensemble, with addresses looked up and files read, and what is remembered of it, for a node that
/// listens at `own`.
pub(super) fn find(
    args: &NodeArgs,
    own: SocketAddr,
    state: Option<&State>,
    now: EnsembleTime,
) -> anyhow::Result<Company> {
    let key = args.key_file.as_deref().map(key::read).transpose()?;
    let peers = args.peer.iter().map(|peer| look_up(peer, own)).collect::<anyhow::Result<Vec<_>>>()?;
    let session = SessionConfig {
        id: PeerId::new(hosts::own_number(state, now), hosts::draw()),
        secret: random(),
        leader: args.leader,
        peers,
        follow: args.timescale.into(),
        beliefs: state.map_or(Vec::new(), |state| hosts::recall(state, now)),
        max_drift: args.max_drift,
    };
    // A node that listens on this host only wants no company from elsewhere.
    let loopback = args.bind.filter(IpAddr::is_loopback);
    let is_private = loopback.is_some();
    if let Some(address) = loopback.filter(|_| !args.no_discovery && args.peer.is_empty()) {
        tracing::info!("not looking for other nodes: {address} is this host only; name them with --peer");
    }
    let group = if args.no_discovery || is_private { None } else { listen(own.ip()) };
    let meeting = group.is_some().then_some(SocketAddr::V4(GROUP));
    Ok(Company { session, membership: Membership { ensemble: args.ensemble.clone(), key }, group, meeting })
}

/// A node that listens on one address only looks for others on its interface only.
fn listen(own: IpAddr) -> Option<Group> {
    let only = match own {
        own if own.is_unspecified() => None,
        IpAddr::V4(own) => Some(own),
        IpAddr::V6(own) => {
            tracing::warn!(
                "--bind {own}: not looking for other nodes, who find each other by IPv4; name them with --peer"
            );
            return None;
        }
    };
    Group::bind(GROUP, only).inspect_err(|error| tracing::warn!("not looking for other nodes: {error}")).ok()
}

/// The first address of a peer that can be reached from ours.
fn look_up(peer: &str, own: SocketAddr) -> anyhow::Result<SocketAddr> {
    let mut addresses = peer
        .to_socket_addrs()
        .with_context(|| format!("cannot find --peer {peer}: give host:port, such as 192.168.1.20:9000"))?;
    let kind = match own.ip() {
        IpAddr::V4(_) => "IPv4 ",
        IpAddr::V6(own) if own.is_unspecified() => "",
        IpAddr::V6(_) => "IPv6 ",
    };
    addresses
        .find(|peer| kind.is_empty() || peer.is_ipv4() == own.is_ipv4())
        .with_context(|| format!("--peer {peer} has no {kind}address, and this node listens on {}", own.ip()))
}
