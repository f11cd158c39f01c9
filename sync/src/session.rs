//! [`Session`]: a node among others: whom it asks for the time, whom it follows, and what time it publishes.
//!
//! Sans-io: it is given messages, the time and nothing else, and is asked what to send. Call [`Session::poll`] until it has
//! nothing more to send, at [`Session::deadline`] at the latest, and [`Session::advance`] as often.
//!
//! A node begins as leader of a session of its own, whose time starts as its wall clock, and says hello. If somebody leads
//! already, it follows: it asks the leader in a burst, and from then on a few times a second, and its published clock is
//! steered after the estimate. Two other followers are asked as well, as witnesses: if the leader's time steps without
//! announcement and they both say it did not, the leader is outvoted. When the leader is not heard for [`LEASE`], the first
//! follower on its list goes on with the time it has; nobody's time jumps for that.
//!
//! Not for: estimating (`estimator`), the rules of succession (`election`), bytes (the net crate).

mod election;
mod message;
mod peer;

pub use message::{Claim, Hello, Message, PeerId, Ping, Pong, Standing};

use crate::{
    ClockEstimate, EnsembleTime, FollowWall, Jump, LocalTime, Span, Steering, SyncState, Timescale, Verdict,
    WallAnchor,
};
use peer::{Peer, Use};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

/// Nodes that are known at once; more are not taken notice of.
const PEERS: usize = 4_096;
/// A leader's heartbeat.
const HEARTBEAT: Span = Span::from_millis(500);
/// A leader that is not heard for so long is gone: nothing of it came, neither heartbeats nor answers.
pub const LEASE: Span = Span::from_millis(1_200);
/// How much later each further successor acts, so that the first is heard before.
const STAGGER: Span = Span::from_millis(400);
/// Successors that a heartbeat names.
const SUCCESSORS: usize = 8;
/// Followers that are sent each heartbeat besides, in turn: those whom a broadcast does not reach.
const IN_TURN: usize = 8;
/// A follower that did not ask for so long is gone.
const GONE: Span = Span::from_secs(5);
/// What is known of a node that is not heard is forgotten after this.
const FORGET: Span = Span::from_secs(60);
/// A follower says hello to everybody this often.
const SIGN_OF_LIFE: Span = Span::from_secs(20);
/// Named peers that do not answer are said hello to this often.
const KNOCK: Span = Span::from_secs(2);
/// Nobody is answered a hello more often than this.
const GREETING: Span = Span::from_millis(200);
/// Answers that wait to be sent, at most.
const ANSWERS: usize = 4_096;
/// After so many claims two leaders weigh their ages differently, which they may within a message's delay: then the lower
/// number leads.
const STUBBORN: u32 = 10;
/// Nodes that are asked at once whether they live, because they claim to lead.
const CANDIDATES: usize = 4;
/// Witnesses of a leader's time.
const WITNESSES: usize = 2;
/// Whoever was outvoted is not followed for so long.
const BANNED: Span = Span::from_secs(60);
/// How far a witness may be from the published clock and still confirm it.
const CONFIRMS: Span = Span::from_millis(1);
/// A new leader's time is taken over when it is known this well, or after so long.
const READY: Span = Span::from_micros(300);
const READY_AFTER: Span = Span::from_millis(1_000);
/// How often it is looked at who is still there.
const COUNT: Span = Span::from_millis(100);
/// How often the published clock is steered, and the wall clock looked at.
const STEER: Span = Span::from_millis(100);
const LOOK: Span = Span::from_secs(1);

/// What a session is made with.
#[derive(Clone, Debug, Default)]
pub struct SessionConfig {
    /// This node: a random number, drawn at start, where there may be others.
    pub id: PeerId,
    /// A second random number: no other host can tell what questions this node will ask.
    pub secret: u64,
    /// Pinned as leader by a person.
    pub leader: bool,
    /// Nodes that were named: they are said hello to wherever they are.
    pub peers: Vec<SocketAddr>,
    /// What this host's wall clock is good for while it leads.
    pub follow: FollowWall,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// To one node.
    Send(SocketAddr, Message),
    /// To whoever is in reach of a broadcast.
    Announce(Message),
}

/// How a node takes part.
#[derive(Clone, Debug)]
enum Role {
    /// The ensemble's time is kept here.
    Leading(Box<Timescale>),
    /// It is kept elsewhere.
    Following {
        leader: PeerId,
        since: LocalTime,
        /// Its time is the published one now.
        joined: bool,
    },
}

/// What a session counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionTally {
    /// Leaders that were lost and succeeded, here or elsewhere.
    pub successions: u32,
    /// Leaders that were outvoted.
    pub outvoted: u32,
    /// Answers nobody asked for, hellos that came again.
    pub stray: u64,
    /// Questions not answered, nodes not taken notice of, for want of room.
    pub dropped: u64,
}

/// A row of what is known of other nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeerReport {
    /// Who.
    pub id: PeerId,
    /// Where.
    pub address: SocketAddr,
    /// Whether it leads.
    pub leads: bool,
    /// How long ago it was heard.
    pub silent: Span,
    /// What is measured of it, if it is asked: how far ahead of the published clock, with its standard error.
    pub offset: Option<(Span, Span)>,
    /// The least round trip.
    pub round_trip: Option<Span>,
    /// Exchanges that were kept out.
    pub doubted: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    role: Role,
    published: Steering,
    session: u64,
    term: u32,
    born: EnsembleTime,
    peers: BTreeMap<PeerId, Peer>,
    /// Who succeeds the leader, in order.
    successors: Vec<PeerId>,
    answers: VecDeque<(SocketAddr, u64, LocalTime)>,
    greetings: VecDeque<SocketAddr>,
    greeted: BTreeMap<SocketAddr, LocalTime>,
    hellos: u64,
    turn: usize,
    next_hello: LocalTime,
    next_knock: LocalTime,
    next_steer: LocalTime,
    next_look: LocalTime,
    next_count: LocalTime,
    /// Who is asked, and who follows: counted now and then, for there may be a thousand.
    asked: Vec<PeerId>,
    followers: u32,
    nonces: u64,
    tally: SessionTally,
}

impl Session {
    /// Leads a session of its own.
    pub fn new(config: SessionConfig, start: WallAnchor) -> Session {
        let now = start.local;
        let timescale = Timescale::new(start, config.follow);
        let published = Steering::new(timescale.estimate());
        Session {
            session: draw(config.secret, 0),
            nonces: 0,
            config,
            role: Role::Leading(Box::new(timescale)),
            published,
            term: 0,
            born: start.wall,
            peers: BTreeMap::new(),
            successors: Vec::new(),
            answers: VecDeque::new(),
            greetings: VecDeque::new(),
            greeted: BTreeMap::new(),
            hellos: 0,
            turn: 0,
            next_hello: now,
            next_knock: now,
            next_steer: now,
            next_look: now + LOOK,
            next_count: now,
            asked: Vec::new(),
            followers: 0,
            tally: SessionTally::default(),
        }
    }

    /// The published clock: local to ensemble time.
    pub fn estimate(&self) -> ClockEstimate {
        self.published.line()
    }

    /// How good it is.
    pub fn state(&self, now: LocalTime) -> SyncState {
        match &self.role {
            Role::Leading(_) => SyncState::Locked,
            Role::Following { joined: false, .. } => SyncState::Acquiring,
            Role::Following { leader, .. } => {
                self.peers.get(leader).map_or(SyncState::Holdover, |peer| peer.estimator().state(now))
            }
        }
    }

    /// Whether the ensemble's time is kept here.
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// Whose time is published.
    pub fn leader(&self) -> PeerId {
        match self.role {
            Role::Leading(_) => self.config.id,
            Role::Following { leader, .. } => leader,
        }
    }

    /// How often the published clock jumped.
    pub fn jumps(&self) -> u32 {
        self.published.jumps()
    }

    /// What it counted.
    pub fn tally(&self) -> SessionTally {
        let stray = self.peers.values().map(|peer| peer.stray).sum::<u64>();
        SessionTally { stray: self.tally.stray + stray, ..self.tally }
    }

    /// What is known of the others, the leader first.
    pub fn peers(&self, now: LocalTime) -> Vec<PeerReport> {
        let published = self.published.line().ensemble_at(now);
        let mut rows: Vec<PeerReport> = self
            .peers
            .iter()
            .map(|(id, peer)| {
                let asked = peer.used_as() != Use::None;
                let estimate = peer.estimate(now).filter(|_| asked);
                PeerReport {
                    id: *id,
                    address: peer.address,
                    leads: peer.standing.leader == *id,
                    silent: now - peer.heard,
                    offset: estimate.map(|estimate| (estimate.ensemble_at(now) - published, estimate.sigma)),
                    round_trip: peer.estimator().least_round_trip().filter(|_| asked),
                    doubted: peer.estimator().counts().0,
                }
            })
            .collect();
        let leader = self.leader();
        rows.sort_by_key(|row| (row.id != leader, row.offset.is_none(), row.id));
        rows
    }

    /// Takes a message that arrived at `arrival`.
    pub fn handle(&mut self, arrival: LocalTime, from: SocketAddr, message: &Message) {
        let standing = match message {
            Message::Hello(hello) => &hello.standing,
            Message::Ping(ping) => &ping.standing,
            Message::Pong(pong) => &pong.standing,
        };
        if standing.id == self.config.id {
            return; // Our own, from a broadcast.
        }
        let is_new = !self.peers.contains_key(&standing.id);
        if is_new && self.peers.len() >= PEERS {
            self.tally.dropped += 1;
            return;
        }
        let leader = self.leader();
        let peer = self.peers.entry(standing.id).or_insert_with(|| Peer::new(from, *standing, arrival));
        peer.heard = peer.heard.later(arrival);
        match message {
            Message::Hello(hello) => self.hear(hello, from, is_new, arrival),
            Message::Ping(ping) => {
                // It may be an old one, said again: of a leader it tells nothing, of others whom they follow.
                if standing.id != leader {
                    peer.standing.leader = standing.leader;
                }
                if self.answers.len() < ANSWERS {
                    self.answers.push_back((from, ping.nonce, arrival));
                } else {
                    self.tally.dropped += 1;
                }
            }
            Message::Pong(pong) => self.learn(pong, from, arrival),
        }
        if !(matches!(message, Message::Ping(_)) && standing.id == leader) {
            self.consider(standing.id, from, arrival);
        }
    }

    /// Goes on with time. Tells of the jump of the published clock, if there was one.
    pub fn advance(&mut self, now: WallAnchor) -> Option<Jump> {
        let local = now.local;
        if !local.is_before(self.next_count) {
            self.next_count = local + COUNT;
            self.take_stock(local);
        }
        let jump = match &mut self.role {
            Role::Leading(timescale) => {
                if local.is_before(self.next_look) {
                    return None;
                }
                self.next_look = local + LOOK;
                let jump = timescale.look(now);
                let line = timescale.estimate();
                match jump {
                    Some(_) => {
                        let jump = self.published.jump(&line, local);
                        // The session is no older for it.
                        self.born += jump.by;
                        Some(jump)
                    }
                    None => {
                        self.published.adopt(&line);
                        None
                    }
                }
            }
            Role::Following { leader, since, .. } => {
                let (leader, since) = (*leader, *since);
                self.break_circle(leader, since, now);
                self.mind_the_leader(leader, now);
                self.steer(local)
            }
        };
        if jump.is_some() {
            self.next_hello = local;
        }
        jump
    }

    /// The next thing to send, as of `now`: stamps are taken here, so send it at once.
    pub fn poll(&mut self, now: LocalTime) -> Option<Output> {
        if let Some((to, nonce, arrival)) = self.answers.pop_front() {
            let standing = self.standing(now);
            let pong = Pong { standing, nonce, received: arrival, answered: now };
            return Some(Output::Send(to, Message::Pong(pong)));
        }
        if let Some(to) = self.greetings.pop_front() {
            return Some(Output::Send(to, Message::Hello(self.hello(now))));
        }
        if !now.is_before(self.next_hello) {
            self.next_hello = now + if self.leads() { HEARTBEAT } else { SIGN_OF_LIFE };
            if self.leads() {
                self.greet_in_turn();
            }
            return Some(Output::Announce(Message::Hello(self.hello(now))));
        }
        if !now.is_before(self.next_knock) {
            self.next_knock = now + KNOCK;
            let silent = |to: &&SocketAddr| {
                !self.peers.values().any(|peer| peer.address == **to && now - peer.heard < KNOCK)
            };
            let knocks: Vec<SocketAddr> = self.config.peers.iter().filter(silent).copied().collect();
            self.greetings.extend(knocks);
            if !self.greetings.is_empty() {
                return self.poll(now);
            }
        }
        let standing = self.standing(now);
        let is_due = |id: &&PeerId| {
            self.peers.get(id).and_then(Peer::deadline).is_some_and(|next| !now.is_before(next))
        };
        let due = *self.asked.iter().find(is_due)?;
        let peer = self.peers.get_mut(&due)?;
        self.nonces += 1;
        let ping = peer.ask(now, draw(self.config.secret, self.nonces), standing)?;
        Some(Output::Send(peer.address, Message::Ping(ping)))
    }

    /// When to call [`Session::poll`] and [`Session::advance`] at the latest.
    pub fn deadline(&self) -> LocalTime {
        let own = match self.role {
            Role::Leading(_) => self.next_look,
            Role::Following { .. } => self.next_steer,
        };
        let asks = self.asked.iter().filter_map(|id| self.peers.get(id)?.deadline());
        let all = asks.chain([self.next_hello, self.next_knock]);
        all.fold(own, |first, next| if next.is_before(first) { next } else { first })
    }

    fn hear(&mut self, hello: &Hello, from: SocketAddr, is_new: bool, now: LocalTime) {
        let own = self.leader();
        let Some(peer) = self.peers.get_mut(&hello.standing.id) else { return };
        if hello.count <= peer.count {
            self.tally.stray += 1;
            return;
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
        }
        if hello.standing.id == own {
            self.successors = hello.known.iter().map(|(id, _)| *id).collect();
        }
        if is_new || hello.standing.leader != own {
            self.greet(from, now);
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
                self.greet(address, now);
            }
        }
    }

    fn learn(&mut self, pong: &Pong, from: SocketAddr, now: LocalTime) {
        let Some(peer) = self.peers.get_mut(&pong.standing.id) else { return };
        let Some(verdict) = peer.answer(pong, now) else { return };
        peer.address = from;
        let has_jumped = peer.standing.line.epoch != pong.standing.line.epoch;
        peer.standing = pong.standing;
        if has_jumped {
            self.next_steer = now;
        }
        let is_leader = peer.used_as() == Use::Leader;
        if verdict == Verdict::Moved && is_leader && self.is_outvoted(now) {
            if let Some(peer) = self.peers.get_mut(&pong.standing.id) {
                peer.ban(now + BANNED);
            }
            self.tally.outvoted += 1;
        }
    }

    /// Whether witnesses say that the published clock is right, and more of them than say that it is not.
    fn is_outvoted(&self, now: LocalTime) -> bool {
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

    /// Follows whoever speaks, if that is whom to follow.
    fn consider(&mut self, id: PeerId, from: SocketAddr, now: LocalTime) {
        let Some(peer) = self.peers.get(&id) else { return };
        if peer.is_banned(now) {
            return;
        }
        let theirs = peer.standing;
        if theirs.leader != id {
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
        let own_priority = u8::from(self.config.leader);
        let stubborn = peer.claims > STUBBORN && id < own && theirs.claim.priority >= own_priority;
        let before = match &self.role {
            Role::Leading(_) => {
                stubborn || election::goes_before((&theirs.claim, id), (&self.claim(now), own))
            }
            Role::Following { leader, .. } => match self.peers.get(leader) {
                Some(leader) if leader.silent(now) < LEASE && !leader.is_banned(now) => {
                    // What it said last is a while ago.
                    let age = leader.standing.claim.age + leader.silent(now);
                    election::goes_before((&theirs.claim, id), (&Claim { age, ..leader.standing.claim }, own))
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
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.claims += u32::from(matches!(self.role, Role::Leading(_)));
            }
            self.greet(from, now);
        }
    }

    fn follow(&mut self, leader: PeerId, now: LocalTime) {
        let Some(peer) = self.peers.get(&leader) else { return };
        let claim = peer.standing.claim;
        self.session = claim.session;
        self.term = claim.term;
        self.born = self.published.line().ensemble_at(now) - claim.age;
        self.tally.successions += u32::from(matches!(self.role, Role::Following { joined: true, .. }));
        self.role = Role::Following { leader, since: now, joined: false };
        self.successors.clear();
        self.next_steer = now;
        self.appoint(now);
        self.greet(self.peers[&leader].address, now);
    }

    /// Decides who is asked: the leader, and two witnesses.
    fn appoint(&mut self, now: LocalTime) {
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
                    **id != leader && now - peer.heard < FORGET && peer.standing.leader == leader
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
            let belief = peer.estimator().learned_rate().unwrap_or_default();
            peer.set_use(use_, belief, now);
        }
        self.list_the_asked();
    }

    /// Forgets who is gone, and counts who follows.
    fn take_stock(&mut self, now: LocalTime) {
        self.peers.retain(|_, peer| now - peer.heard < FORGET);
        self.greeted.retain(|_, at| now - *at < GREETING);
        let own = self.config.id;
        let follows = |peer: &&Peer| peer.standing.leader == own && now - peer.heard < GONE;
        self.followers = self.peers.values().filter(follows).count() as u32;
        self.list_the_asked();
    }

    fn list_the_asked(&mut self) {
        self.asked.clear();
        self.asked.extend(self.peers.iter().filter(|(_, peer)| peer.deadline().is_some()).map(|(id, _)| *id));
    }

    /// Asks a node a few questions, to learn whether it lives.
    fn probe(&mut self, id: PeerId, now: LocalTime) {
        if !self.asked.contains(&id) && self.asked.len() >= 1 + WITNESSES + CANDIDATES {
            self.tally.dropped += 1;
            return;
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.probe(now);
            if !self.asked.contains(&id) {
                self.asked.push(id);
            }
        }
    }

    /// Two nodes that began to follow each other at one moment would do so for ever: the lower number leads.
    fn break_circle(&mut self, leader: PeerId, since: LocalTime, now: WallAnchor) {
        let is_circle = self
            .peers
            .get(&leader)
            .is_some_and(|peer| peer.standing.leader == self.config.id && peer.is_proven(now.local, LEASE));
        if is_circle && now.local - since > LEASE && self.config.id < leader {
            self.succeed(now);
        }
    }

    /// Whether the leader is still there; if not, who comes next.
    fn mind_the_leader(&mut self, leader: PeerId, now: WallAnchor) {
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
        let heir = heir.map(|(id, peer)| (*id, peer.standing.claim));
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
    fn succeed(&mut self, now: WallAnchor) {
        let timescale = Timescale::resume(self.published.straight(now.local), now, self.config.follow);
        self.published.adopt(&timescale.estimate());
        self.role = Role::Leading(Box::new(timescale));
        self.term = self.term.saturating_add(1);
        self.tally.successions += 1;
        self.next_look = now.local + LOOK;
        self.next_hello = now.local;
        self.appoint(now.local);
        let everybody: Vec<SocketAddr> = self.peers.values().map(|peer| peer.address).take(ANSWERS).collect();
        for address in everybody {
            self.greet(address, now.local);
        }
    }

    fn steer(&mut self, now: LocalTime) -> Option<Jump> {
        if now.is_before(self.next_steer) {
            return None;
        }
        self.next_steer = now + STEER;
        self.appoint(now);
        let Role::Following { leader, since, joined } = &mut self.role else { return None };
        let peer = self.peers.get(leader)?;
        if peer.is_banned(now) {
            return None;
        }
        let target = peer.estimate(now)?;
        if !*joined && target.sigma > READY && now - *since < READY_AFTER {
            return None;
        }
        *joined = true;
        let jump = self.published.follow(&target, now);
        self.born = if jump.is_some() {
            self.published.line().ensemble_at(now) - peer.standing.claim.age
        } else {
            self.born
        };
        jump
    }

    /// Says hello to one node, but not all the time.
    fn greet(&mut self, to: SocketAddr, now: LocalTime) {
        if self.greeted.len() < PEERS && !self.greeted.contains_key(&to) {
            self.greeted.insert(to, now);
            self.greetings.push_back(to);
        }
    }

    /// The heartbeat for followers whom no broadcast reaches, a few at a time.
    fn greet_in_turn(&mut self) {
        let own = self.config.id;
        let followers: Vec<SocketAddr> =
            self.peers.values().filter(|peer| peer.standing.leader == own).map(|peer| peer.address).collect();
        for n in 0..IN_TURN.min(followers.len()) {
            self.greetings.push_back(followers[(self.turn + n) % followers.len()]);
        }
        self.turn = self.turn.wrapping_add(IN_TURN);
    }

    fn hello(&mut self, now: LocalTime) -> Hello {
        self.hellos += 1;
        let own = self.leader();
        let leader = self.peers.get(&own).map(|peer| (own, peer.address));
        let mut followers: Vec<(LocalTime, PeerId, SocketAddr)> = self
            .peers
            .iter()
            .filter(|(id, peer)| **id != own && peer.standing.leader == own && now - peer.heard < GONE)
            .map(|(id, peer)| (peer.known_since(), *id, peer.address))
            .collect();
        // Whoever came first succeeds first: it has the best idea of the ensemble's time.
        followers.sort_by(|a, b| (a.0 - b.0).cmp(&Span::ZERO).then(a.1.cmp(&b.1)));
        let followers = followers.into_iter().map(|(_, id, address)| (id, address));
        let known = leader.into_iter().chain(followers).take(SUCCESSORS).collect();
        Hello { standing: self.standing(now), count: self.hellos, known }
    }

    fn standing(&self, now: LocalTime) -> Standing {
        let line = self.published.line();
        Standing { id: self.config.id, leader: self.leader(), claim: self.claim(now), line }
    }

    fn claim(&self, now: LocalTime) -> Claim {
        Claim {
            priority: u8::from(self.config.leader),
            session: self.session,
            age: self.published.line().ensemble_at(now) - self.born,
            term: self.term,
            followers: if self.leads() { self.followers } else { 0 },
        }
    }
}

/// The `n`-th number of a sequence that only the holder of the secret can continue: SipHash of both, as the standard library
/// has it.
fn draw(secret: u64, n: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (secret, n).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
