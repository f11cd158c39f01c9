//! [`Conn`]: what a router knows of a connection.
//!
//! Not for: the socket (`tcp`), nor who sits where (`groups`).

use super::config::Rate;
use super::groups::Seat;
use super::held::Held;
use super::refusal::Refusal;
use super::request::Request;
use crate::allowance::Allowance;
use crate::endpoint;
use downbeat_sync::{LocalTime, Span};
use std::net::{IpAddr, SocketAddr};

/// Reasons told to one client: ten a second, and after a while twenty at once.
const REASON: Span = Span::from_millis(100);
const REASONS_AT_ONCE: Span = Span::from_ticks(20 * REASON.ticks());

/// See the module.
pub(super) struct Conn {
    pub(super) peer: SocketAddr,
    pub(super) seat: Option<Seat>,
    /// The address that answered its registration: nobody else may send it.
    pub(super) registered: Box<[u8]>,
    /// Which state of its group's list it knows.
    pub(super) knows: u64,
    /// It asked to be told why.
    pub(super) errors: bool,
    /// Its registration waits for a password to be checked.
    pub(super) joining: Option<Box<Joining>>,
    /// The transport reads nothing from it until it is told to.
    pub(super) paused: bool,
    /// When it is to be looked at.
    pub(super) due: Option<LocalTime>,
    /// When it sent something.
    pub(super) heard: LocalTime,
    packets: Allowance,
    bytes: Allowance,
    reasons: Allowance,
    /// What was logged of it: a bit for each kind.
    logged: u32,
}

/// A registration that waits, and what came after it.
pub(super) struct Joining {
    pub(super) request: Request,
    pub(super) held: Held,
}

impl Conn {
    pub(super) fn new(peer: SocketAddr, now: LocalTime) -> Conn {
        let allowance = Allowance::new(now);
        Conn {
            peer,
            seat: None,
            registered: Box::default(),
            knows: 0,
            errors: false,
            joining: None,
            paused: false,
            due: None,
            heard: now,
            packets: allowance,
            bytes: allowance,
            reasons: allowance,
            logged: 0,
        }
    }

    /// Whether its rate allows for a packet of so many bytes.
    pub(super) fn may_send(&mut self, now: LocalTime, rate: Rate, bytes: usize) -> bool {
        let [packet, bytes] = rate.cost(bytes);
        self.packets.take(now, packet, Rate::BURST) && self.bytes.take(now, bytes, Rate::BURST)
    }

    /// Whether it may be told another reason.
    pub(super) fn may_be_told(&mut self, now: LocalTime) -> bool {
        self.reasons.take(now, REASON, REASONS_AT_ONCE)
    }

    /// Whether this is the first of its kind, and to be logged.
    pub(super) fn is_news(&mut self, why: Refusal) -> bool {
        let bit = 1 << why.index();
        let is_news = self.logged & bit == 0;
        self.logged |= bit;
        is_news
    }

    /// Of whose computer it is.
    pub(super) fn origin(&self) -> IpAddr {
        endpoint::origin(self.peer.ip())
    }
}

impl Joining {
    pub(super) fn new(request: Request) -> Joining {
        Joining { request, held: Held::default() }
    }
}
