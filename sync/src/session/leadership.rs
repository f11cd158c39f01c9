//! Whom to follow: what a session concludes of who speaks, who is silent, and who contradicts the others.
//!
//! Not for: the rules by which two leaders are weighed (`election`), nor for sending anything (`super`).

use super::election;
use super::message::{Hello, PeerId};
use super::peer::{Peer, Use};
use super::{BANNED, FORGET, GONE, LEASE, LOOK, Role, SUCCESSORS, Session};
use crate::{LocalTime, RateBelief, Span, Timescale, WallAnchor};
use std::net::SocketAddr;

/// How much later each further successor acts, so that the first is heard before.
const STAGGER: Span = Span::from_millis(400);
/// So long after a hello the same may come on other ways: Wi-Fi holds back what is said to all.
const COPIES: Span = Span::from_secs(1);
/// Nodes that are asked at once whether they live, because they claim to lead.
const CANDIDATES: usize = 4;
/// Witnesses of a leader's time.
const WITNESSES: usize = 2;
/// How far a witness may be from the published clock and still confirm it.
const CONFIRMS: Span = Span::from_millis(1);

impl Session {
    /// Takes a hello. Says whether it is a new one.
    pub(super) fn hear(&mut self, hello: &Hello, from: SocketAddr, is_new: bool, now: LocalTime) -> bool {
        let own = self.leader();
        let Some(peer) = self.peers.get_mut(&hello.standing.id) else { return false };
        if hello.count <= peer.count {
            // What is said on two interfaces comes twice; later it is an old one, said again.
            let is_copy = hello.count == peer.count && peer.silent(now) < COPIES;
            self.tally.stray += u64::from(!is_copy);
            return false;
        }
        peer.count = hello.count;
        peer.vouched = Some(now);
        // No seal covers where a packet comes from: who was found somewhere is not moved by a hello that somebody passes on.
        if !peer.is_proven(now, LEASE) {
            peer.address = from;
        }
        peer.standing = hello.standing;
        if hello.standing.id == own {
            self.next_steer = now;
            self.successors = hello.known.iter().map(|(id, _)| *id).collect();
        }
        if is_new || hello.standing.leader != own {
            self.greet(from, Some(hello.standing.id), now);
        }
        let strangers: Vec<SocketAddr> = hello
            .known
            .iter()
            .filter(|(id, _)| *id != self.config.id && !self.peers.contains_key(id))
            .map(|(_, address)| *address)
            .take(SUCCESSORS)
            .collect();
        // Who has not shown that it is where it says it is has nobody else spoken to either.
        if self.peers.get(&hello.standing.id).is_some_and(|peer| peer.is_proven(now, FORGET)) {
            for address in strangers {
                self.greet(address, None, now);
            }
        }
        true
    }

    /// Whether witnesses say that the published clock is right, and more of them than say that it is not.
    pub(super) fn is_outvoted(&self, now: LocalTime) -> bool {
        let line = self.published.line();
        let votes = self.peers.values().filter(|peer| peer.used_as() == Use::Witness).filter_map(|peer| {
            let theirs = peer.estimate(now)?;
            let apart = (theirs.ensemble_at(now) - line.ensemble_at(now)).abs();
            Some(apart < CONFIRMS + theirs.sigma + theirs.sigma + theirs.sigma)
        });
        let votes: Vec<bool> = votes.collect();
        let confirm = votes.iter().filter(|confirms| **confirms).count();
        confirm >= WITNESSES && 2 * confirm > votes.len()
    }

    /// Follows whoever speaks, if that is whom to follow. `claims`: it was a new hello.
    pub(super) fn consider(&mut self, id: PeerId, from: SocketAddr, claims: bool, now: LocalTime) {
        let Some(peer) = self.peers.get(&id) else { return };
        if peer.is_banned(now) {
            return;
        }
        let theirs = peer.standing;
        if theirs.leader != id {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.give_in();
            }
            // A leader that follows somebody else now: so do we, once we know it.
            if id == self.leader()
                && theirs.leader != self.config.id
                && self.peers.contains_key(&theirs.leader)
            {
                self.follow(theirs.leader, now);
            }
            return;
        }
        let own = self.leader();
        if id == own {
            return;
        }
        let claim = peer.claim(now);
        let own_priority = u8::from(self.config.leader);
        // Two that never agree on who is the older: the lower number leads.
        let stubborn = peer.is_stubborn(now) && id < own && claim.priority >= own_priority;
        let before = match &self.role {
            Role::Leading(_) => stubborn || election::goes_before((&claim, id), (&self.claim(now), own)),
            Role::Following { leader, .. } => match self.peers.get(leader) {
                Some(leader) if leader.silent(now) < LEASE && !leader.is_banned(now) => {
                    election::goes_before((&claim, id), (&leader.claim(now), own))
                }
                _ => true,
            },
        };
        if before && peer.is_proven(now, LEASE) {
            self.follow(id, now);
        } else if before {
            // A hello may be an old one, said again by somebody else. An answer to a question of ours is not.
            self.probe(id, now);
        } else {
            if claims
                && self.leads()
                && let Some(peer) = self.peers.get_mut(&id)
            {
                peer.insist(now);
            }
            self.greet(from, Some(id), now);
        }
    }

    pub(super) fn follow(&mut self, leader: PeerId, now: LocalTime) {
        let Some(peer) = self.peers.get(&leader) else { return };
        let claim = peer.claim(now);
        self.carry(now);
        self.session = claim.session;
        self.term = claim.term;
        self.born = self.published.line().ensemble_at(now) - claim.age;
        self.tally.successions += u32::from(matches!(self.role, Role::Following { joined: true, .. }));
        self.role = Role::Following { leader, since: now, joined: false };
        self.successors.clear();
        self.heirs.clear();
        self.next_count = now;
        self.next_steer = now;
        self.appoint(now);
        self.greet(self.peers[&leader].address, Some(leader), now);
    }

    /// Decides who is asked: the leader, and two witnesses.
    pub(super) fn appoint(&mut self, now: LocalTime) {
        let leader = match self.role {
            Role::Leading(_) => None,
            Role::Following { leader, .. } => Some(leader),
        };
        let witnesses: Vec<PeerId> = match leader {
            None => Vec::new(),
            Some(leader) => self
                .peers
                .iter()
                .filter(|(id, peer)| {
                    **id != leader && now - peer.heard < FORGET && peer.standing.claim.session == self.session
                })
                .map(|(id, _)| *id)
                .take(WITNESSES)
                .collect(),
        };
        for (id, peer) in &mut self.peers {
            let use_ = if peer.is_banned(now) {
                Use::None
            } else if Some(*id) == leader {
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

    /// Two nodes that began to follow each other at one moment would do so for ever: the lower number leads.
    pub(super) fn break_circle(&mut self, leader: PeerId, since: LocalTime, now: WallAnchor) {
        let is_circle = self
            .peers
            .get(&leader)
            .is_some_and(|peer| peer.standing.leader == self.config.id && peer.is_proven(now.local, LEASE));
        if is_circle && now.local - since > LEASE && self.config.id < leader {
            self.succeed(now);
        }
    }

    /// Whether the leader is still there; if not, who comes next.
    pub(super) fn mind_the_leader(&mut self, leader: PeerId, now: WallAnchor) {
        let local = now.local;
        if self.leads() {
            return;
        }
        let (silent, banned) = match self.peers.get(&leader) {
            Some(peer) => match peer.banned_until().filter(|until| local.is_before(*until)) {
                Some(until) => (local - (until - BANNED), true),
                None => (peer.silent(local), false),
            },
            None => (Span::MAX, false),
        };
        if !banned && silent < LEASE {
            return;
        }
        // Somebody may have succeeded it already.
        let heir = self.peers.iter().filter(|(id, peer)| {
            **id != leader
                && peer.standing.leader == **id
                && peer.silent(local) < LEASE
                && !peer.is_banned(local)
        });
        let heir = heir.map(|(id, peer)| (*id, peer.claim(local)));
        let heir = heir.reduce(|a, b| if election::goes_before((&b.1, b.0), (&a.1, a.0)) { b } else { a });
        if let Some((heir, _)) = heir {
            let proven = self.peers.get(&heir).is_some_and(|peer| peer.is_proven(local, LEASE));
            if proven {
                self.follow(heir, local);
            } else {
                self.probe(heir, local);
            }
            return;
        }
        let alive = |id: &&PeerId| {
            **id == self.config.id
                || self.peers.get(id).is_some_and(|peer| local - peer.heard < GONE && **id != leader)
        };
        let place = self.successors.iter().filter(alive).position(|id| *id == self.config.id);
        let place = place.unwrap_or(SUCCESSORS + (self.config.id.0 % SUCCESSORS as u64) as usize);
        let waited = if banned { silent } else { silent - LEASE };
        if waited >= Span::from_ticks(STAGGER.ticks() * place as i64) {
            self.succeed(now);
        }
    }

    /// Goes on as leader, with the time published so far.
    pub(super) fn succeed(&mut self, now: WallAnchor) {
        self.carry(now.local);
        let line = self.published.straight(now.local);
        let timescale = Timescale::resume(line, self.jumps.latest(), now, self.config.follow);
        self.jumps.lead(self.session, timescale.epochs());
        self.published.adopt(&timescale.estimate());
        self.role = Role::Leading(Box::new(timescale));
        self.term = self.term.saturating_add(1);
        self.tally.successions += 1;
        self.next_look = now.local + LOOK;
        self.next_hello = now.local;
        self.heirs.clear();
        self.next_count = now.local;
        self.appoint(now.local);
        let everybody: Vec<(PeerId, SocketAddr)> =
            self.peers.iter().map(|(id, peer)| (*id, peer.address)).collect();
        for (id, address) in everybody {
            self.greet(address, Some(id), now.local);
        }
    }
}
