//! What arrives, what it means, who hears it.
//!
//! The path of a packet, from a socket to the engine's ring:
//!
//! ```text
//! reactor  stamp, receive a batch  ->  osc  a borrowed view, sizes checked  ->  score  address + arguments -> Event
//! ```
//!
//! `osc`, `framing` and `score` are pure; only `reactor` touches sockets.
#![forbid(unsafe_code)]

pub mod framing;
pub mod osc;
