//! The crowd: who is taken notice of, who is forgotten, and who is greeted.
//!
//! Anybody can say hello by any name, as often as the network carries it. So a node that has said only one thing, and has
//! answered nothing, is a stranger: of those some of the newest are known, and some are greeted; a flood of forged ones costs
//! nobody else the place, and no more than a few look-ups each. Who forges two different ones by each name fills the table
//! all the same: against that there is the key. Whatever looks at all nodes is done ten times a second, not for each message.
//!
//! Not for: whom to follow (`leadership`).

use super::message::{PeerId, Standing};
use super::peer::{Peer, Use};
use super::timers::Timer;
use super::{FORGET, GONE, IN_TURN, SUCCESSORS, Session};
use crate::{LocalTime, Span, SyncState};
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Nodes that are known at once; more are not taken notice of.
pub(super) const PEERS: usize = 4_096;
/// Of those so many may be strangers; of more the newest are known.
pub(super) const STRANGERS: usize = 1_024;
/// Nobody is greeted more often than this.
const GREETING: Span = Span::from_millis(200);
/// Strangers that are greeted in that time, at most. Whoever is not greeted says hello again.
pub(super) const STRANGERS_GREETED: usize = 64;

/// To whom a hello is owed, and who had one a moment ago.
#[derive(Debug, Default)]
pub(super) struct Greetings {
    waiting: VecDeque<SocketAddr>,
    /// When, and whether it was a stranger.
    lately: BTreeMap<SocketAddr, (LocalTime, bool)>,
    strangers: usize,
}

impl Greetings {
    /// Owes one to a node, unless it had one a moment ago. Says whether there was room.
    fn owe(&mut self, to: SocketAddr, is_stranger: bool, now: LocalTime) -> bool {
        if self.lately.contains_key(&to) {
            return true;
        }
        let is_full = self.lately.len() >= PEERS + STRANGERS_GREETED;
        if is_full || (is_stranger && self.strangers >= STRANGERS_GREETED) {
            return false;
        }
        self.lately.insert(to, (now, is_stranger));
        self.strangers += usize::from(is_stranger);
        self.waiting.push_back(to);
        true
    }

    /// Owes one to each of these, whatever they had.
    pub(super) fn owe_all(&mut self, to: impl IntoIterator<Item = SocketAddr>) {
        self.waiting.extend(to);
    }

    /// Who is to be greeted next.
    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        self.waiting.pop_front()
    }

    fn forget(&mut self, now: LocalTime) {
        self.lately.retain(|_, (at, _)| now - *at < GREETING);
        self.strangers = self.lately.values().filter(|(_, is_stranger)| *is_stranger).count();
    }
}

impl Session {
    /// Takes notice of a node that spoke; `count` is that of its hello, if that is what it said. Says whether it is a new one, or `None` if there is no room for it.
    pub(super) fn notice(
        &mut self,
        standing: &Standing,
        count: Option<u64>,
        from: SocketAddr,
        now: LocalTime,
    ) -> Option<bool> {
        let id = standing.id;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.hear(count, now);
            return Some(false);
        }
        if self.strangers.len() >= STRANGERS || self.peers.len() >= PEERS {
            self.forget_a_stranger();
        }
        if self.peers.len() >= PEERS {
            self.tally.dropped += 1;
            return None;
        }
        if self.peers.is_empty() {
            self.timers.set(Timer::Count, now);
        }
        self.peers.insert(id, Peer::new(from, *standing, self.config.max_drift, now));
        self.strangers.push_back(id);
        Some(true)
    }

    /// Forgets the stranger that has been known for longest, but none that is just being asked. Those who turned out to be nodes
    /// leave the queue with it.
    fn forget_a_stranger(&mut self) {
        for _ in 0..self.strangers.len() {
            let Some(id) = self.strangers.pop_front() else { return };
            match self.peers.get(&id) {
                Some(peer) if peer.is_stranger() && peer.used_as() == Use::None => {
                    self.peers.remove(&id);
                    self.tally.dropped += 1;
                    return;
                }
                Some(peer) if peer.is_stranger() => self.strangers.push_back(id),
                _ => {}
            }
        }
    }

    /// Forgets who is gone, counts who follows, finds out who succeeds, and takes down what was learned: now and then, for there
    /// may be thousands.
    pub(super) fn take_stock(&mut self, now: LocalTime) {
        // Who never answered anything has to make room first.
        let is_crowded = self.peers.len() > PEERS / 2;
        let tally = &mut self.tally;
        self.peers.retain(|_, peer| {
            let patience = if is_crowded && !peer.is_proven(now, FORGET) { GONE } else { FORGET };
            let stays = now - peer.heard < patience;
            if !stays {
                tally.stray += peer.stray;
                tally.absurd += peer.absurd;
            }
            stays
        });
        self.strangers.retain(|id| self.peers.get(id).is_some_and(Peer::is_stranger));
        self.greetings.forget(now);
        let (own, leader) = (self.config.id, self.leader());
        let follows =
            |peer: &&Peer, of: PeerId| peer.follows == of && now - peer.heard < GONE && !peer.is_stranger();
        self.followers = self.peers.values().filter(|peer| follows(peer, own)).count() as u32;
        let heirs = self.peers.iter().filter(|(id, peer)| **id != leader && follows(peer, leader));
        let heirs = heirs.map(|(id, peer)| (peer.known_since(), *id, peer.address));
        self.heirs = first(heirs.collect(), SUCCESSORS).into_iter().map(|(_, id, at)| (id, at)).collect();
        self.list_the_asked();
        for id in &self.asked {
            let peer = self.peers.get(id).filter(|peer| peer.estimator().state(now) == SyncState::Locked);
            if let Some(rate) = peer.and_then(|peer| peer.estimator().learned_rate()) {
                self.beliefs.learn(*id, rate, now);
            }
        }
    }

    pub(super) fn list_the_asked(&mut self) {
        self.asked.clear();
        self.asked.extend(self.peers.iter().filter(|(_, peer)| peer.deadline().is_some()).map(|(id, _)| *id));
    }

    /// Says hello to one node, but not all the time. Who was named by others only is a stranger.
    pub(super) fn greet(&mut self, to: SocketAddr, id: Option<PeerId>, now: LocalTime) {
        let is_stranger = id.and_then(|id| self.peers.get(&id)).is_none_or(Peer::is_stranger);
        if !self.greetings.owe(to, is_stranger, now) {
            self.tally.dropped += 1;
        }
    }

    /// The heartbeat for followers whom no broadcast reaches, a few at a time.
    pub(super) fn greet_in_turn(&mut self) {
        let own = self.config.id;
        let follows = |peer: &&Peer| peer.follows == own && !peer.is_stranger();
        let followers: Vec<SocketAddr> =
            self.peers.values().filter(follows).map(|peer| peer.address).collect();
        let some = (0..IN_TURN.min(followers.len())).map(|n| followers[(self.turn + n) % followers.len()]);
        self.greetings.owe_all(some);
        self.turn = self.turn.wrapping_add(IN_TURN);
    }
}

/// The first `most` of them in the order in which they succeed: whoever came first has the best idea of the ensemble's time.
fn first(
    mut followers: Vec<(LocalTime, PeerId, SocketAddr)>,
    most: usize,
) -> Vec<(LocalTime, PeerId, SocketAddr)> {
    let order = |a: &(LocalTime, PeerId, SocketAddr), b: &(LocalTime, PeerId, SocketAddr)| -> Ordering {
        (a.0 - b.0).cmp(&Span::ZERO).then(a.1.cmp(&b.1))
    };
    if followers.len() > most {
        followers.select_nth_unstable_by(most, order);
        followers.truncate(most);
    }
    followers.sort_unstable_by(order);
    followers
}
