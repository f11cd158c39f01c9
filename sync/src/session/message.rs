//! What nodes say to each other about time. Local times in it are the speaker's, so their type is [`RemoteTime`]. How it is
//! written in bytes is the net crate's business.

use crate::{Epochs, RemoteLine, RemoteTime, Span};
use std::fmt;
use std::net::SocketAddr;

/// A node. The upper half is the number of its host, which stays from launch to launch, so that what was learned of the host's
/// clock can be found again; the lower half is drawn at random at each start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

impl PeerId {
    /// A node on a host of this number.
    pub const fn new(host: u32, launch: u32) -> PeerId {
        PeerId((host as u64) << 32 | launch as u64)
    }

    /// The number of its host.
    pub const fn host(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// As people read it: sixteen hexadecimal digits.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a node says of itself, in every message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Who speaks.
    pub id: PeerId,
    /// Whose time it keeps, be it through others: its own id if it leads.
    pub leader: PeerId,
    /// What it carries.
    pub claim: Claim,
    /// How it makes room time of its local clock, and how sure it is of that.
    ///
    /// Others measure its local clock, which nobody steers, and apply this line to it: so that they follow every bend and jump
    /// of it at once, and never mistake one for a fault of the network.
    pub line: RemoteLine,
    /// How far the ensemble's time is ahead of room time, and the latest jump that was announced: what a leader says of it is
    /// heeded by those who follow it.
    pub epochs: Epochs,
}

/// What a node carries, and what is said of its leader: by this one offer goes before another (see `election`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// 1 if a person pinned the speaker as leader, else 0.
    pub priority: u8,
    /// Which session it carries: drawn by the session's founder.
    pub session: u64,
    /// How long the session has existed.
    pub age: Span,
    /// How many leaders the session has had.
    pub term: u32,
    /// How many nodes follow its leader.
    pub followers: u32,
    /// How long ago its leader gave the last answer that its time goes back to, be it through others: zero of a leader itself.
    pub quiet: Span,
    /// It is about to give its session up for an older one: nobody is to join the session through it.
    pub yields: bool,
}

/// What one node sends another.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// I am here; this is how things stand.
    Hello(Hello),
    /// What time is it?
    Ping(Ping),
    /// This.
    Pong(Pong),
}

/// Said by a leader as its heartbeat, and by anybody who is new.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// How things stand.
    pub standing: Standing,
    /// Counts the hellos of this node: an older one is a replay.
    pub count: u64,
    /// Who else is there: the leader, if it is not the speaker; then the followers in the order in which they succeed it.
    pub known: Vec<(PeerId, SocketAddr)>,
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ping {
    /// How things stand with the one who asks.
    pub standing: Standing,
    /// Comes back in the answer; nobody else knows it.
    pub nonce: u64,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pong {
    /// How things stand.
    pub standing: Standing,
    /// The question's.
    pub nonce: u64,
    /// When it came, by the local clock of the one who answers.
    pub received: RemoteTime,
    /// When this left, by the same, as far as was known before.
    pub answered: RemoteTime,
    /// When the answer before this one really left: known only when it was gone, and only if the host's kernel tells.
    pub before: Option<Departure>,
}

/// When a message really left, by the local clock of the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Which: the nonce of its question.
    pub nonce: u64,
    /// When.
    pub at: RemoteTime,
}
