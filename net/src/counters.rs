//! [`NetCounters`]: what the reactor counts, for anyone to read.
//!
//! Not for: what the engine counts ([`downbeat_engine::Counters`]) or the address space (`hub`).

use std::sync::atomic::{AtomicU32, AtomicU64};

/// Counts since the start, written by the network thread. Relaxed atomics only.
#[derive(Debug, Default)]
pub struct NetCounters {
    /// Datagrams received.
    pub packets: AtomicU64,
    /// Packets received on connections.
    pub stream_packets: AtomicU64,
    /// Datagrams the kernel dropped because its buffer was full: the node did not read fast enough.
    pub kernel_drops: AtomicU64,
    /// Datagrams whose arrival is our own reading, because the kernel's stamp was missing or not to be believed.
    pub unstamped: AtomicU64,
    /// Datagrams sent of which somebody wants to know when they left.
    pub sent_timed: AtomicU64,
    /// Those of them whose departure the kernel told.
    pub sent_stamped: AtomicU64,
    /// Datagrams that could not be sent.
    pub unsent: AtomicU64,
    /// Packets queued for connections.
    pub delivered: AtomicU64,
    /// Of these, those by SLIP that are longer than Pd's slipdec takes, by default [1,006 bytes].
    pub long_for_slip: AtomicU64,
    /// Packets dropped because the other side did not read what it was sent.
    pub dropped: AtomicU64,
    /// Bytes received on connections.
    pub received_bytes: AtomicU64,
    /// Bytes written to connections.
    pub sent_bytes: AtomicU64,
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections open now.
    pub connections: AtomicU32,
    /// Connections refused because there were too many.
    pub refused: AtomicU64,
    /// Connections refused because there were too many from their address.
    pub crowded: AtomicU64,
    /// Connections closed because the other side did not read what it was sent.
    pub cut: AtomicU64,
    /// Connections closed because what came was no framed OSC, or too large.
    pub broken: AtomicU64,
    /// Packets of SLIP streams dropped for a bad escape.
    pub spoiled: AtomicU64,
    /// Lines about connections that were not logged, because there were too many.
    pub unlogged: AtomicU64,
}
