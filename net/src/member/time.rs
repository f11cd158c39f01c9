//! [`RouterTime`]: the router's time, for a host that takes it in the place of its own wall clock.
//!
//! Asked on the member's own connection, as nodes ask each other (`crate::timing`). Not for: tcposcrouter, which would pass the
//! questions on to the group: it hears one every five seconds, and gives no time.

use crate::timing::{Membership, is_timing};
use downbeat_sync::{LocalTime, Message, PeerId, Reference, Span, SyncState, WallAnchor};

/// The router answers for any ensemble.
const ENSEMBLE: &str = "router";
/// After so many questions in vain it is said not to give the time.
const SILENT: u32 = 3;
/// So many answers are enough for a command that sends once.
const ENOUGH: u64 = 12;
/// As sure as this it is used at once; else after some seconds, for what it begins with lasts.
const USEFUL: Span = Span::from_micros(200);

/// See the module.
pub struct RouterTime {
    reference: Reference,
    membership: Membership,
    question: Vec<u8>,
    /// It has been in the place of the wall clock.
    is_used: bool,
}

impl RouterTime {
    /// `id` and `secret` are random numbers.
    pub(super) fn new(id: u64, secret: u64, now: LocalTime) -> RouterTime {
        let membership = Membership { ensemble: ENSEMBLE.to_owned(), key: None };
        let reference = Reference::new(PeerId(id), secret, now);
        RouterTime { reference, membership, question: Vec::new(), is_used: false }
    }

    /// Whether there is something to ask: [`RouterTime::question`], which is to be sent at once.
    pub(super) fn asks(&mut self, now: LocalTime) -> bool {
        let Some(ping) = self.reference.ask(now) else { return false };
        self.question.clear();
        self.membership.write(&mut self.question, &Message::Ping(ping)).is_ok()
    }

    pub(super) fn question(&self) -> &[u8] {
        &self.question
    }

    /// Takes an answer to a question of its own; says whether it was one.
    pub(super) fn hear(&mut self, packet: &[u8], now: LocalTime) -> bool {
        is_timing(packet)
            && matches!(self.membership.read(packet), Ok(Message::Pong(pong)) if self.reference.answer(&pong, now))
    }

    /// There is another connection.
    pub(super) fn again(&mut self, now: LocalTime) {
        self.reference.again(now);
    }

    pub(super) fn awaits(&self, now: LocalTime) -> bool {
        self.reference.awaits(now)
    }

    pub(super) fn deadline(&self) -> LocalTime {
        self.reference.deadline()
    }

    /// How well it is known.
    pub fn state(&self, now: LocalTime) -> SyncState {
        self.reference.state(now)
    }

    /// Whether the router does not answer, and never did.
    pub fn is_not_given(&self) -> bool {
        let (answers, unanswered) = self.reference.counts();
        answers == 0 && unanswered >= SILENT
    }

    /// Whether it is known well enough to stamp by.
    pub fn is_enough(&self) -> bool {
        self.reference.counts().0 >= ENOUGH
    }

    /// Whether it has been good for a wall clock, see [`RouterTime::begins`].
    pub fn is_used(&self) -> bool {
        self.is_used
    }

    /// The router's time in the place of this wall clock, once it is known.
    pub fn wall(&self, now: WallAnchor) -> Option<WallAnchor> {
        let estimate = self.reference.estimate(now.local)?;
        // Until it has been asked for a while, or when it has not been for long, it is as vague as it is unsure.
        let uncertainty = match self.state(now.local) {
            SyncState::Locked => Span::ZERO,
            _ => estimate.sigma,
        };
        // The user says that it is right; it is known as well as it will be when it is locked.
        let synchronised = self.state(now.local) == SyncState::Locked;
        Some(WallAnchor {
            local: now.local,
            wall: estimate.ensemble_at(now.local),
            uncertainty,
            synchronised,
        })
    }

    /// Whether it is good for a wall clock as of now, for the first time.
    pub fn begins(&mut self, now: LocalTime) -> bool {
        let is_good = match self.state(now) {
            SyncState::Locked => true,
            SyncState::Acquiring => self.reference.estimate(now).is_some_and(|line| line.sigma < USEFUL),
            SyncState::Cold | SyncState::Holdover | SyncState::Lost => false,
        };
        let begins = is_good && !self.is_used;
        self.is_used |= is_good;
        begins
    }
}
