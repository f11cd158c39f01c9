//! [`Checker`]: opens what is sealed, each packet once.
//!
//! Pure: it is told what moment of the session it is. Not for: what is done with a packet, nor for answering (`hub`).

use super::{FRESH, Moment, Sealed, parse, write};
use crate::key::Key;
use crate::osc::WriteError;
use downbeat_sync::{EnsembleTime, Span};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Senders that can be told apart at a time. One more is refused: to forget one would be to take its packets again.
pub const SENDERS: usize = 1_024;
/// Of each sender so many packets are remembered: one that so many later ones have overtaken is refused.
pub(super) const WINDOW: usize = 64;
/// Sessions that this node has left, and might enter again.
pub(super) const LEFT: usize = 16;

/// Why a sealed packet is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is not sealed with our key.
    #[error("not sealed with this ensemble's key")]
    Seal,
    /// It is sealed with our key, but is no such message.
    #[error("malformed: a sealed packet is /sealed sender session age packet seal")]
    Malformed,
    /// Of a session that is not ours.
    #[error("sealed for another session: ask /sealed/time for the one there is now")]
    Session,
    /// Sealed too long ago, or before the node came to this session.
    #[error("sealed too long ago: it may have been kept by somebody")]
    Old,
    /// Sealed in the future.
    #[error("sealed ahead of the session's time: ask /sealed/time for it")]
    Ahead,
    /// It came before, or so many later ones have that nobody can tell.
    #[error("this sealed packet came before")]
    Again,
    /// There are too many senders.
    #[error("{SENDERS} senders have sealed packets just now: wait until some are silent")]
    Crowd,
}

/// What a sealed packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened<'p> {
    /// This one, to be dealt with as any other.
    Packet(&'p [u8]),
    /// The question for the time, of this nonce: see [`Checker::answer`].
    Question(u64),
}

/// See the module.
///
/// That no packet is taken twice rests on two things. A stamp below `floor` is refused, and `floor` never falls; and of each
/// sender the newest stamps are kept for as long as they are not below it.
#[derive(Debug)]
pub struct Checker {
    key: Key,
    session: u64,
    /// Nothing that was sealed before this age of the session is taken any more.
    floor: Span,
    senders: FxHashMap<u64, Stamps>,
    /// Sessions that were left, and what floor they have.
    pub(super) left: VecDeque<(u64, Span)>,
}

impl Checker {
    /// For a node that founds its session.
    pub fn new(key: Key, start: Moment) -> Checker {
        Checker {
            key,
            session: start.session,
            floor: start.age,
            senders: FxHashMap::default(),
            left: VecDeque::new(),
        }
    }

    /// Takes note of the node's session; to be called whenever it may be another. What was sealed before the node came to it
    /// is refused: it may have been taken here before the node was started anew.
    pub fn enter(&mut self, now: Moment) {
        if now.session == self.session {
            return;
        }
        let taken = self.senders.drain().filter_map(|(_, stamps)| stamps.newest()).max();
        let floor = taken.map_or(self.floor, |newest| self.floor.max(newest + Span::from_ticks(1)));
        self.left.retain(|(session, _)| *session != self.session);
        if self.left.len() == LEFT {
            self.left.pop_front();
        }
        self.left.push_back((self.session, floor));
        let again = self.left.iter().find(|(session, _)| *session == now.session);
        self.floor = again.map_or(now.age, |(_, floor)| now.age.max(*floor));
        self.session = now.session;
    }

    /// Opens what [`super::is_sealed`] says is sealed.
    ///
    /// # Errors
    /// When it is not to be trusted; then it has changed nothing.
    pub fn open<'p>(&mut self, now: Moment, packet: &'p [u8]) -> Result<Opened<'p>, SealError> {
        self.enter(now);
        if !self.key.closes(packet) {
            return Err(SealError::Seal);
        }
        match parse(packet).ok_or(SealError::Malformed)? {
            Sealed::Question { nonce } => Ok(Opened::Question(nonce)),
            Sealed::Packet { sender, at, packet } => {
                self.take(now, sender, at)?;
                Ok(Opened::Packet(packet))
            }
            Sealed::Answer { .. } => Err(SealError::Malformed),
        }
    }

    /// The answer to a question for the time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn answer(&self, nonce: u64, at: Moment, time: EnsembleTime) -> Result<Vec<u8>, WriteError> {
        let mut packet = Vec::with_capacity(96);
        write(&self.key, &mut packet, Sealed::Answer { nonce, at, time })?;
        Ok(packet)
    }

    fn take(&mut self, now: Moment, sender: u64, at: Moment) -> Result<(), SealError> {
        if at.session != now.session {
            return Err(SealError::Session);
        }
        self.floor = self.floor.max(now.age - FRESH);
        if at.age < self.floor {
            return Err(SealError::Old);
        }
        if at.age > now.age + FRESH {
            return Err(SealError::Ahead);
        }
        if self.senders.len() >= SENDERS && !self.senders.contains_key(&sender) {
            let floor = self.floor;
            self.senders.retain(|_, stamps| stamps.newest().is_some_and(|newest| newest >= floor));
            if self.senders.len() >= SENDERS {
                return Err(SealError::Crowd);
            }
        }
        let is_new = self.senders.entry(sender).or_default().take(at.age);
        is_new.then_some(()).ok_or(SealError::Again)
    }
}

/// The newest stamps of a sender, the oldest first.
#[derive(Debug, Default)]
struct Stamps(Vec<Span>);

impl Stamps {
    fn newest(&self) -> Option<Span> {
        self.0.last().copied()
    }

    /// Takes note of a stamp, unless it is there or might have been.
    fn take(&mut self, stamp: Span) -> bool {
        let Err(mut place) = self.0.binary_search(&stamp) else { return false };
        if self.0.len() == WINDOW {
            if place == 0 {
                return false;
            }
            self.0.remove(0);
            place -= 1;
        }
        self.0.insert(place, stamp);
        true
    }
}
