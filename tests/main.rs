//! Integration tests, one binary: most meet the program as its users do, with real sockets, real peers and no sound card.
//!
//! `make test` installs the peers; a test whose peer is missing fails and says so.

mod accuracy;
mod bounds;
mod cli;
mod clock;
mod company;
mod drivers;
mod ensemble;
mod ensemble_clients;
mod groups;
mod interfaces;
mod interop;
mod jumps;
mod lab;
mod late;
mod layout;
mod leaders;
mod node;
mod readme;
mod relay;
mod render;
mod router;
mod router_cli;
mod schedules;
mod sealed;
mod senders;

/// Shared with the benchmarks: faults of a JACK server.
#[cfg(feature = "jack")]
#[path = "../benches/faults/mod.rs"]
mod faults;
/// The random generator, and quantiles.
#[path = "../benches/report/mod.rs"]
mod report;
