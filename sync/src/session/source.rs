//! Whose time is taken: the leader's, or through a follower that it answers; who else is asked, and how the published clock is led
//! after the answers.
//!
//! Not for: whom to follow (`leadership`), nor for the estimate itself (`estimator`).

use super::leadership::{Following, Joining};
use super::message::{PeerId, Pong};
use super::peer::{Peer, Use};
use super::timers::Timer;
use super::{BANNED, FORGET, LEASE, READY, READY_AFTER, Role, STEER, Session};
use crate::{Jump, LocalTime, RateBelief, Span};
use std::net::SocketAddr;

/// Nodes that are asked at once whether they live, because they claim to lead.
const CANDIDATES: usize = 4;
/// Witnesses of a leader's time.
const WITNESSES: usize = 2;
/// How far a witness may be from the published clock and still confirm it.
const CONFIRMS: Span = Span::from_millis(1);
/// A leader has not answered for so long: others may know more of it. Longer than one lost answer takes [700 ms].
const ASK_AROUND: Span = Span::from_millis(700);
/// A leader that is heard has not answered for so long: its time is taken through others. Some thirty questions are lost then [1.5 s].
pub(super) const STALE: Span = Span::from_millis(1_500);
/// A follower whose news of the leader is newer than ours by this is answered when we are not. More than a leader's heartbeat, and more
/// than the longest time between two questions, by which two followers' last news of a dead leader may differ [600 ms].
pub(super) const NEWER: Span = Span::from_millis(600);
/// The follower through which the time comes has to answer at least this often.
const ANSWERS: Span = Span::from_millis(2_500);

impl Session {
    /// How long ago the leader gave the last answer that the time here goes back to.
    pub(super) fn quiet(&self, now: LocalTime) -> Span {
        match &self.role {
            Role::Leading(_) => Span::ZERO,
            Role::Following(following) => (now - following.fresh).max(Span::ZERO),
        }
    }

    /// Takes an answer.
    pub(super) fn learn(&mut self, pong: &Pong, from: SocketAddr, now: LocalTime) {
        let id = pong.standing.id;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(has_moved) = peer.answer(pong, now) else { return };
        peer.address = from;
        let has_jumped = peer.standing.line.epoch != pong.standing.line.epoch
            || peer.standing.epochs != pong.standing.epochs;
        peer.note(&pong.standing);
        if has_jumped {
            self.timers.set(Timer::Steer, now);
        }
        if let Role::Following(following) = &mut self.role
            && peer.is_of(following.leader, self.session)
            && (id == following.leader || following.via == Some(id))
        {
            following.fresh = following.fresh.later(now - pong.standing.claim.quiet);
        }
        if has_moved {
            self.doubt(id, now);
        }
    }

    /// Exchanges that waited for better stamps for too long are used as they are.
    pub(super) fn wait_no_longer(&mut self, now: LocalTime) {
        let moved: Vec<PeerId> =
            self.peers.iter_mut().filter_map(|(id, peer)| peer.wait_no_longer(now).then_some(*id)).collect();
        for id in moved {
            self.doubt(id, now);
        }
    }

    /// A clock is not where it was: if it is the one that is followed, and the witnesses saw nothing of it, it is followed no longer.
    fn doubt(&mut self, id: PeerId, now: LocalTime) {
        let is_source = matches!(&self.role, Role::Following(following) if following.source() == id);
        if is_source && self.is_outvoted(id, now) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.ban(now, BANNED);
            }
            self.tally.outvoted += 1;
        }
    }

    /// Whether witnesses say that the published clock is right and the one of `accused` is not, and more of them than say otherwise.
    fn is_outvoted(&self, accused: PeerId, now: LocalTime) -> bool {
        let line = self.published.line();
        let accused = self.peers.get(&accused).and_then(|peer| peer.estimate(now));
        let accused = accused.map(|accused| accused.ensemble_at(now));
        // One that is still where the published clock is has nothing to be outvoted for: it was known badly before.
        if accused.is_some_and(|accused| (accused - line.ensemble_at(now)).abs() < CONFIRMS) {
            return false;
        }
        let votes = self.peers.values().filter(|peer| peer.used_as() == Use::Witness).filter_map(|peer| {
            let theirs = peer.estimate(now)?;
            let apart = (theirs.ensemble_at(now) - line.ensemble_at(now)).abs();
            let is_nearer = accused.is_none_or(|accused| apart < (theirs.ensemble_at(now) - accused).abs());
            Some(is_nearer && apart < CONFIRMS + theirs.sigma + theirs.sigma + theirs.sigma)
        });
        let votes: Vec<bool> = votes.collect();
        let confirm = votes.iter().filter(|confirms| **confirms).count();
        confirm >= WITNESSES && 2 * confirm > votes.len()
    }

    /// Leads the published clock after the time that is taken. Returns its jump, if it makes one.
    pub(super) fn steer(&mut self, now: LocalTime) -> Option<Jump> {
        if !self.timers.is_due(Timer::Steer, now) {
            return None;
        }
        if self.leads() && self.joining.is_none() {
            self.timers.stop(Timer::Steer);
            return None;
        }
        self.timers.set(Timer::Steer, now + STEER);
        self.choose_source(now);
        self.appoint(now);
        if let Some(joining) = self.joining {
            let is_over = self.peers.get(&joining.source).is_none_or(|peer| {
                peer.standing.claim.session != joining.session
                    || peer.standing.leader == self.config.id
                    || peer.is_banned(now)
                    || !peer.is_proven(now, LEASE)
            });
            if is_over {
                self.joining = None;
                self.timers.set(Timer::Hello, now);
                self.appoint(now);
            } else if let Some(jump) = self.try_to_join(joining, now) {
                return jump;
            }
        }
        let Role::Following(following) = &mut self.role else { return None };
        let peer = self.peers.get(&following.source())?;
        // Where it has gone over to another session, its time is not ours.
        if peer.is_banned(now) || peer.standing.claim.session != self.session {
            return None;
        }
        let target = peer.estimate(now)?;
        if !following.taken && target.sigma > READY && now - following.since < READY_AFTER {
            return None;
        }
        following.taken = true;
        let source = following.source();
        self.heed(source, now);
        let peer = self.peers.get(&source)?;
        let jump = self.published.follow(&target, now);
        if jump.is_some() {
            self.born = self.published.line().ensemble_at(now) - peer.claim(now).age;
        }
        jump
    }

    /// Joins an older session if its time is known well enough. Returns the jump that makes, if it is joined.
    fn try_to_join(&mut self, joining: Joining, now: LocalTime) -> Option<Option<Jump>> {
        let target = self.peers.get(&joining.source)?.estimate(now)?;
        if target.sigma > READY && now - joining.since < READY_AFTER {
            return None;
        }
        self.heed(joining.source, now);
        let jump = self.published.follow(&target, now);
        self.enter(joining.source, now);
        Some(jump)
    }

    /// Decides through whom the leader's time comes: from itself, if it answers; otherwise through the follower that has
    /// the newest news of it, newer than ours.
    fn choose_source(&mut self, now: LocalTime) {
        let Role::Following(following) = self.role else { return };
        let Following { leader, via, fresh, asks_around, .. } = following;
        let heard =
            self.peers.get(&leader).filter(|peer| peer.leads(leader, self.session) && !peer.is_banned(now));
        let mut next = following;
        if heard.is_some_and(|peer| peer.is_proven(now, STALE)) {
            next.via = None;
            next.asks_around = false;
        } else if now - fresh >= ASK_AROUND {
            next.asks_around = true;
            let is_told = |id: &PeerId, peer: &Peer| {
                *id != leader
                    && peer.is_of(leader, self.session)
                    && peer.is_proven(now, ANSWERS)
                    && !peer.is_banned(now)
            };
            let is_good = via.is_some_and(|via| self.peers.get(&via).is_some_and(|peer| is_told(&via, peer)));
            let is_heard = heard.is_some_and(|peer| peer.silent(now) < LEASE);
            let last = heard.and_then(|peer| peer.vouched).filter(|_| !is_heard);
            let last = last.map_or(fresh, |last| last.later(fresh));
            let waits = if is_good || is_heard { STALE } else { ASK_AROUND };
            if now - fresh >= waits {
                let news = self.peers.iter().filter(|(id, peer)| is_told(id, peer));
                let news = news.map(|(id, peer)| (*id, now - peer.claim(now).quiet));
                let newest = news.reduce(|a, b| if a.1.is_before(b.1) { b } else { a });
                // Of one that is heard the last news is not known, for its heartbeats are none.
                let newer = if is_heard { NEWER + NEWER } else { NEWER };
                next.via = newest.filter(|(_, news)| *news - last > newer).map(|(id, _)| id).or(via);
                // Now its news is ours.
                if next.via != via {
                    next.fresh = newest.map_or(fresh, |(_, news)| news.later(fresh));
                    next.since = now;
                }
            }
        }
        self.role = Role::Following(next);
        if next.asks_around && !asks_around {
            self.appoint(now);
            self.timers.set(Timer::Hello, now);
            for peer in self.peers.values_mut().filter(|peer| peer.used_as() == Use::Witness) {
                peer.hurry(now);
            }
        }
    }

    /// Decides who is asked: the node whose time is taken, that of a session to be joined, and two witnesses.
    pub(super) fn appoint(&mut self, now: LocalTime) {
        let following = match self.role {
            Role::Leading(_) => None,
            Role::Following(following) => Some(following),
        };
        let source = following.map(|following| following.source());
        let joining = self.joining.map(|joining| joining.source);
        let mut witnesses: Vec<PeerId> = Vec::new();
        if let Some(following) = following {
            let others = self.peers.iter().filter(|(id, peer)| {
                let may = peer.standing.claim.session == self.session && now - peer.heard < FORGET;
                may && Some(**id) != source && **id != following.leader
            });
            let others: Vec<(Span, PeerId)> = others.map(|(id, peer)| (peer.claim(now).quiet, *id)).collect();
            witnesses.extend(others.iter().map(|(_, id)| *id).take(WITNESSES));
            if following.asks_around {
                // One more, that may know most.
                witnesses.extend(others.iter().min().map(|(_, id)| *id));
            }
            // It may answer again.
            witnesses.extend(following.via.map(|_| following.leader));
        }
        for (id, peer) in &mut self.peers {
            let use_ = if peer.is_banned(now) {
                Use::None
            } else if Some(*id) == source || Some(*id) == joining {
                Use::Leader
            } else if peer.used_as() == Use::Candidate && peer.deadline().is_some() {
                Use::Candidate
            } else if witnesses.contains(id) {
                Use::Witness
            } else {
                Use::None
            };
            let belief = peer.estimator().learned_rate().unwrap_or_else(|| self.beliefs.of(*id, now));
            peer.set_use(use_, belief, now);
        }
        self.list_the_asked();
    }

    /// Asks a node a few questions, to learn whether it lives.
    pub(super) fn probe(&mut self, id: PeerId, now: LocalTime) {
        if !self.asked.contains(&id)
            && self.asked.len() >= 1 + WITNESSES + CANDIDATES
            && !self.displaces(id, now)
        {
            self.tally.dropped += 1;
            return;
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.probe(self.beliefs.of(id, now), now);
            if !self.asked.contains(&id) {
                self.asked.push(id);
            }
        }
    }

    /// Stops asking a stranger to have room for one that is none: who says it twice is rather there than who says it once.
    fn displaces(&mut self, id: PeerId, now: LocalTime) -> bool {
        let is_stranger = |id: &PeerId| self.peers.get(id).is_none_or(Peer::is_stranger);
        let Some(place) = self.asked.iter().position(is_stranger).filter(|_| !is_stranger(&id)) else {
            return false;
        };
        let stranger = self.asked.swap_remove(place);
        if let Some(peer) = self.peers.get_mut(&stranger) {
            peer.set_use(Use::None, RateBelief::default(), now);
        }
        true
    }
}
