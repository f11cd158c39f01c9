//! What arrives, what it means, who hears it.
//!
//! The path of a packet, from a socket to the engine's ring:
//!
//! ```text
//! reactor  stamp, receive a batch  ->  osc  a borrowed view, sizes checked  ->  score  address + arguments -> Event
//! ```
//!
//! A router has no engine: `reactor -> router -> reactor`. `osc`, `framing`, `score`, `seal`, `timing`, `hub`, `router` and `member` are
//! pure; only `reactor`, its ports `udp` and `tcp`, `group` and `stamps` touch sockets.
#![forbid(unsafe_code)]

mod allowance;
mod counters;
mod endpoint;
pub mod framing;
mod group;
pub mod hub;
mod key;
pub mod member;
mod numbers;
pub mod osc;
mod reactor;
pub mod router;
pub mod score;
pub mod seal;
mod stamps;
mod tcp;
mod time_reply;
pub mod timing;
mod udp;

pub use counters::NetCounters;
pub use endpoint::{ConnId, Endpoint};
pub use group::Group;
pub use hub::{Hub, HubConfig, LoadRequest, Output, Recording, Tally};
pub use key::Key;
pub use reactor::{Handle, Handler, Outgoing, Reactor, Sockets};
pub use tcp::{Certificate, CertificateError, Layers, Listener, Slow, StreamLimits, bind_tcp};
pub use udp::{MAX_DATAGRAM, bind_udp};
