//! [`RouterConfig`]: what a router allows.
//!
//! Not for: what the transports allow (connections, packet size, bytes on their way out): those are the edge's.

use downbeat_sync::Span;

/// What a router allows.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterConfig {
    /// How long a connection may take until it registers [10 s].
    pub registration: Span,
    /// A client that sends nothing for so long is closed. `None`: only a connection that breaks ends, for a client may just
    /// listen.
    pub idle: Option<Span>,
    /// Groups at one time; one more is refused.
    pub groups: usize,
    /// Users in one group; one more is refused.
    pub users: usize,
    /// Connections of one user of a group; one more is refused.
    pub connections_per_user: usize,
    /// What one client may send. `None`: as much as it can.
    pub rate: Option<Rate>,
    /// Everybody is told why something was refused or a connection is closed, not only those who asked for it. The original
    /// never says why, so neither do we, unless asked.
    pub tell_errors: bool,
}

impl Default for RouterConfig {
    fn default() -> Self {
        RouterConfig {
            registration: Span::from_secs(10),
            idle: None,
            groups: 1_000,
            users: 1_000,
            connections_per_user: 16,
            rate: None,
            tell_errors: false,
        }
    }
}

/// How much a client may send: so much each second, and after a pause as much at once as in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Packets per second [1 or more].
    pub packets: u32,
    /// Bytes per second, without framing [1 or more].
    pub bytes: u32,
}

impl Rate {
    /// What may be sent at once after a pause, as the time in which it is earned.
    pub(super) const BURST: Span = Span::from_secs(1);

    /// What a packet costs, as the time in which it is earned: as a packet, and by its bytes. One larger than a burst costs a
    /// burst, or it could never be sent.
    pub(super) fn cost(self, bytes: usize) -> [Span; 2] {
        // Rounded down, so that as much as is allowed is.
        let of = |amount: usize, each_second: u32| {
            let ticks =
                Span::from_secs(1).ticks().saturating_mul(amount as i64) / i64::from(each_second.max(1));
            Span::from_ticks(ticks).min(Rate::BURST)
        };
        [of(1, self.packets), of(bytes, self.bytes)]
    }
}
