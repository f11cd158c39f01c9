//! [`Session`]: a node among others: whom it asks for the time, whom it follows, and what time it publishes.
//!
//! Sans-io: it is given messages, the time and nothing else, and is asked what to send. Call [`Session::poll`] until it has
//! nothing more to send, at [`Session::deadline`] at the latest, and [`Session::advance`] as often. Whoever knows when a
//! message really left says so by [`Session::sent`].
//!
//! A node begins as leader of a session of its own, whose time starts as its wall clock, and says hello. If somebody leads
//! already, it follows: it asks the leader in a burst, and from then on a few times a second, and its published clock is
//! steered after the estimate. Two other followers are asked as well, as witnesses: if the leader's time steps without
//! announcement and they both say it did not, the leader is outvoted. When the leader is not heard for [`LEASE`], the first
//! follower on its list goes on with the time it has; nobody's time jumps for that.
//!
//! What is estimated, steered and told to each other is room time, which no announced jump moves; how far the ensemble's time is
//! ahead of it, and from when, is told beside it (`epochs`).
//!
//! Not for: estimating (`estimator`), the rules of succession (`election`), bytes (the net crate).

mod beliefs;
mod carried;
mod crowd;
mod departures;
mod election;
mod jumps;
mod leadership;
mod message;
mod peer;
mod reference;

pub use message::{Claim, Departure, Hello, Message, PeerId, Ping, Pong, Standing};
pub use reference::Reference;

use crate::{
    ClockEstimate, EnsembleTime, FollowWall, Jump, LocalTime, MaxDrift, RateBelief, Span, Steering,
    SyncState, Timescale, WallAnchor,
};
use beliefs::Beliefs;
use carried::Carried;
use crowd::Greetings;
use departures::{Departures, Sent};
use jumps::Jumps;
use peer::{PATIENCE, Peer, Use};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

/// A leader's heartbeat.
const HEARTBEAT: Span = Span::from_millis(500);
/// A leader that is not heard for so long is gone: nothing of it came, neither heartbeats nor answers.
pub const LEASE: Span = Span::from_millis(1_200);
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
/// After a succession the old leader's time is kept nowhere any more after so long.
const HANDED_OVER: Span = GONE;
/// Named peers that do not answer are said hello to this often.
const KNOCK: Span = Span::from_secs(2);
/// Answers that wait to be sent, at most.
const ANSWERS: usize = 4_096;
/// Whoever was outvoted is not followed for so long.
const BANNED: Span = Span::from_secs(60);
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
    /// This node, where there may be others.
    pub id: PeerId,
    /// A second random number: no other host can tell what questions this node will ask.
    pub secret: u64,
    /// Pinned as leader by a person.
    pub leader: bool,
    /// Nodes that were named: they are said hello to wherever they are.
    pub peers: Vec<SocketAddr>,
    /// What this host's wall clock is good for while it leads.
    pub follow: FollowWall,
    /// What is remembered of other hosts' clocks, by the number of the host: how fast they run against ours.
    pub beliefs: Vec<(u32, RateBelief)>,
    /// What its hard bound assumes of the crystals of two hosts.
    pub max_drift: MaxDrift,
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// To one node.
    Send {
        /// Where it is.
        to: SocketAddr,
        /// What it is told.
        message: Message,
        /// If it matters when it really leaves: the cookie for [`Session::sent`].
        stamp: Option<u64>,
    },
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
    /// Stamps of departure that cannot be true.
    pub absurd: u64,
}

/// A question that is to be answered.
#[derive(Clone, Copy, Debug)]
struct Answer {
    to: SocketAddr,
    asker: PeerId,
    nonce: u64,
    arrival: LocalTime,
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
    /// Room time of the session.
    published: Steering,
    /// The time that was kept before this one, as long as others may keep it still.
    carried: Option<Carried>,
    /// How far the ensemble's time is ahead of it.
    jumps: Jumps,
    session: u64,
    term: u32,
    born: EnsembleTime,
    peers: BTreeMap<PeerId, Peer>,
    /// Those of them that were heard once only, in that order; some may have been heard again since.
    strangers: VecDeque<PeerId>,
    /// Who succeeds the leader, in order.
    successors: Vec<PeerId>,
    answers: VecDeque<Answer>,
    departures: Departures,
    greetings: Greetings,
    hellos: u64,
    turn: usize,
    next_hello: LocalTime,
    next_knock: LocalTime,
    next_steer: LocalTime,
    next_look: LocalTime,
    next_count: LocalTime,
    /// Who is asked, how many follow, and who of them come first: found out now and then, for there may be thousands.
    asked: Vec<PeerId>,
    followers: u32,
    heirs: Vec<(PeerId, SocketAddr)>,
    beliefs: Beliefs,
    nonces: u64,
    tally: SessionTally,
}

impl Session {
    /// Leads a session of its own.
    pub fn new(config: SessionConfig, start: WallAnchor) -> Session {
        let now = start.local;
        let timescale = Timescale::new(start, config.follow);
        let published = Steering::new(timescale.estimate());
        let session = draw(config.secret, 0);
        Session {
            session,
            jumps: Jumps::new(session),
            nonces: 0,
            beliefs: Beliefs::new(config.id, &config.beliefs, now),
            config,
            role: Role::Leading(Box::new(timescale)),
            published,
            carried: None,
            term: 0,
            born: start.wall,
            peers: BTreeMap::new(),
            strangers: VecDeque::new(),
            successors: Vec::new(),
            answers: VecDeque::new(),
            departures: Departures::default(),
            greetings: Greetings::default(),
            hellos: 0,
            turn: 0,
            next_hello: now,
            next_knock: now,
            next_steer: now,
            next_look: now + LOOK,
            next_count: now,
            asked: Vec::new(),
            followers: 0,
            heirs: Vec::new(),
            tally: SessionTally::default(),
        }
    }

    /// The published clock: local to ensemble time, as of the last [`Session::advance`]. Across a jump see [`Session::clock`].
    pub fn estimate(&self) -> ClockEstimate {
        let line = self.published.line();
        line.ahead_by(self.jumps.ahead()).in_epoch(line.epoch + self.jumps.count())
    }

    /// The published clock as of `now`, with its standard error and its hard bound then: the older the last answer, the wider.
    ///
    /// Both are of the time that its leader keeps; until a node has joined, of the time it kept before. Who succeeds a leader
    /// keeps by definition the ensemble's time; but for [`HANDED_OVER`] others may still have it from the old one, so for so
    /// long its bound goes on to be of that.
    pub fn estimate_at(&self, now: LocalTime) -> ClockEstimate {
        let room = self.room_at(now);
        let ahead = self.jumps.latest().ahead_at(room.ensemble_at(now));
        room.ahead_by(ahead).in_epoch(room.epoch + self.jumps.count())
    }

    /// The same of room time.
    fn room_at(&self, now: LocalTime) -> ClockEstimate {
        let line = self.published.line().anchored_at(now);
        if let Role::Following { leader, joined: true, .. } = &self.role
            && let Some(target) = self.peers.get(leader).and_then(|peer| peer.estimate(now))
        {
            let behind = (target.ensemble_at(now) - line.ensemble_at(now)).abs();
            return line.with_error(target.sigma + behind, target.bound + behind);
        }
        match &self.carried {
            Some(carried) => line.with_error(line.sigma, carried.bound(&line, now)),
            None => line.with_error(Span::ZERO, Span::ZERO),
        }
    }

    /// From now on another time is kept, or this one in another role: what is known of it is known of what it was.
    fn carry(&mut self, now: LocalTime) {
        match &self.role {
            Role::Leading(_) => self.end_of_carrying(now),
            // One that was never joined was never kept.
            Role::Following { joined: false, .. } => {}
            Role::Following { leader, .. } => {
                let estimate = self.room_at(now);
                let peer = self.peers.get(leader);
                self.carried = peer.and_then(|peer| peer.carry(&estimate, now, self.config.max_drift));
            }
        }
    }

    /// Nobody keeps a time any more whose leader is gone for so long.
    fn end_of_carrying(&mut self, now: LocalTime) {
        self.carried = self.carried.filter(|carried| carried.age(now) < HANDED_OVER);
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

    /// How often the published clock jumped, announced or not.
    pub fn jumps(&self) -> u32 {
        self.published.jumps() + self.jumps.count()
    }

    /// Which session this is, and how long it has existed: a time that all its nodes share, and that no setting of a clock
    /// moves.
    pub fn age(&self, now: LocalTime) -> (u64, Span) {
        let claim = self.claim(now);
        (claim.session, claim.age)
    }

    /// What it counted.
    pub fn tally(&self) -> SessionTally {
        let stray = self.peers.values().map(|peer| peer.stray).sum::<u64>();
        let absurd = self.peers.values().map(|peer| peer.absurd).sum::<u64>();
        SessionTally { stray: self.tally.stray + stray, absurd: self.tally.absurd + absurd, ..self.tally }
    }

    /// What was learned a moment ago of other hosts' clocks, by the number of the host: worth remembering.
    pub fn learned(&self, now: LocalTime) -> impl Iterator<Item = (u32, RateBelief)> {
        self.beliefs.news(now)
    }

    /// What is known of the others, the leader first.
    pub fn peers(&self, now: LocalTime) -> Vec<PeerReport> {
        let published = self.estimate().ensemble_at(now);
        let mut rows: Vec<PeerReport> = self
            .peers
            .iter()
            .map(|(id, peer)| {
                let asked = peer.used_as() != Use::None;
                let estimate = peer.estimate(now).filter(|_| asked);
                let ahead = |estimate: ClockEstimate| {
                    let room = estimate.ensemble_at(now);
                    room + peer.standing.epochs.ahead_at(room) - published
                };
                PeerReport {
                    id: *id,
                    address: peer.address,
                    leads: peer.standing.leader == *id,
                    silent: now - peer.heard,
                    offset: estimate.map(|estimate| (ahead(estimate), estimate.sigma)),
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
        let leader = self.leader();
        let is_new = match message {
            // Who is not known was asked nothing.
            Message::Pong(_) if !self.peers.contains_key(&standing.id) => {
                self.tally.stray += 1;
                return;
            }
            Message::Hello(hello) => self.notice(standing, Some(hello.count), from, arrival),
            _ => self.notice(standing, None, from, arrival),
        };
        let claims = match message {
            Message::Hello(hello) => is_new.is_some_and(|is_new| self.hear(hello, from, is_new, arrival)),
            Message::Ping(ping) => {
                // It may be an old one, said again: of a leader it tells nothing, of others whom they follow.
                if let Some(peer) = self.peers.get_mut(&standing.id).filter(|_| standing.id != leader) {
                    peer.standing.leader = standing.leader;
                }
                // To answer, nobody need be known.
                if self.answers.len() < ANSWERS {
                    let (to, asker, nonce) = (from, standing.id, ping.nonce);
                    self.answers.push_back(Answer { to, asker, nonce, arrival });
                } else {
                    self.tally.dropped += 1;
                }
                false
            }
            Message::Pong(pong) => {
                self.learn(pong, from, arrival);
                false
            }
        };
        if !(matches!(message, Message::Ping(_)) && standing.id == leader) {
            self.consider(standing.id, from, claims, arrival);
        }
    }

    /// Goes on with time. Tells of the jump of the published clock, if there was one.
    pub fn advance(&mut self, now: WallAnchor) -> Option<Jump> {
        let local = now.local;
        if !local.is_before(self.next_count) {
            self.take_stock(local);
            self.wait_no_longer(local);
        }
        let taken = self.pass(local);
        let corrected = match &mut self.role {
            Role::Leading(timescale) => {
                if !local.is_before(self.next_look) {
                    self.next_look = local + LOOK;
                    self.carried = self.carried.filter(|carried| carried.age(local) < HANDED_OVER);
                    if timescale.look(now) {
                        self.next_hello = local;
                    }
                    self.published.adopt(&timescale.estimate());
                    self.jumps.lead(self.session, timescale.epochs());
                }
                None
            }
            Role::Following { leader, since, .. } => {
                let (leader, since) = (*leader, *since);
                self.break_circle(leader, since, now);
                self.mind_the_leader(leader, now);
                self.steer(local)
            }
        };
        let corrected = corrected.map(|jump| self.corrected(jump));
        // One that was heard of too late took effect just now.
        let jump = jumps::together(jumps::together(taken, corrected), self.pass(local));
        if jump.is_some() {
            self.next_hello = local;
        }
        jump
    }

    /// Another clock is the wall clock from now on, whose time this is: while it leads, the ensemble's time is led to it, by a
    /// jump that is announced if anybody follows; else it was wrong, and is set at once. Tells of that jump, if there is one.
    pub fn change_wall(&mut self, now: WallAnchor) -> Option<Jump> {
        let Role::Leading(timescale) = &mut self.role else { return None };
        let local = now.local;
        let mut corrected = None;
        if self.followers > 0 {
            if timescale.change_wall(now) {
                self.next_hello = local;
            }
        } else if timescale.correct(now) {
            let jump = self.published.jump(&timescale.estimate(), local);
            self.carried = None;
            // The session is no older for it.
            self.born += jump.by;
            self.next_hello = local;
            corrected = Some(jump);
        }
        self.published.adopt(&timescale.estimate());
        self.jumps.lead(self.session, timescale.epochs());
        corrected.map(|jump| self.corrected(jump))
    }

    /// The next thing to send, as of `now`: stamps are taken here, so send it at once.
    pub fn poll(&mut self, now: LocalTime) -> Option<Output> {
        if let Some(question) = self.answers.pop_front() {
            return Some(self.reply(question, now));
        }
        if let Some(to) = self.greetings.next() {
            return Some(Output::Send { to, message: Message::Hello(self.hello(now)), stamp: None });
        }
        if !now.is_before(self.next_hello) {
            let is_announcing = self.announcement(now).is_some();
            self.next_hello = now
                + match self.leads() {
                    true if is_announcing => jumps::REPEAT,
                    true => HEARTBEAT,
                    false => SIGN_OF_LIFE,
                };
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
            if !knocks.is_empty() {
                self.greetings.owe_all(knocks);
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
        let stamp = Some(self.departures.expect(Sent::Question(due, ping.nonce)));
        Some(Output::Send { to: peer.address, message: Message::Ping(ping), stamp })
    }

    /// When to call [`Session::poll`] and [`Session::advance`] at the latest.
    pub fn deadline(&self) -> LocalTime {
        let own = match self.role {
            Role::Leading(_) => self.next_look,
            Role::Following { .. } => self.next_steer,
        };
        let asks = self.asked.iter().filter_map(|id| self.peers.get(id)?.deadline());
        let all = asks.chain([self.next_hello, self.next_knock]).chain(self.next_jump());
        all.fold(own, |first, next| if next.is_before(first) { next } else { first })
    }

    fn learn(&mut self, pong: &Pong, from: SocketAddr, now: LocalTime) {
        let Some(peer) = self.peers.get_mut(&pong.standing.id) else { return };
        let Some(has_moved) = peer.answer(pong, now) else { return };
        peer.address = from;
        let has_jumped = peer.standing.line.epoch != pong.standing.line.epoch
            || peer.standing.epochs != pong.standing.epochs;
        peer.standing = pong.standing;
        let leads_us = peer.used_as() == Use::Leader && pong.standing.leader == pong.standing.id;
        if has_jumped {
            self.next_steer = now;
        }
        let claim = pong.standing.claim;
        if leads_us && claim.session != self.session {
            // It followed somebody else for a while, of which nothing was heard here, and has succeeded to that session.
            (self.session, self.term) = (claim.session, claim.term);
            self.born = self.published.line().ensemble_at(now) - claim.age;
        }
        if has_moved {
            self.doubt(pong.standing.id, now);
        }
    }

    /// Exchanges that waited for better stamps for too long are used as they are.
    fn wait_no_longer(&mut self, now: LocalTime) {
        let moved: Vec<PeerId> =
            self.peers.iter_mut().filter_map(|(id, peer)| peer.wait_no_longer(now).then_some(*id)).collect();
        for id in moved {
            self.doubt(id, now);
        }
    }

    /// A clock is not where it was: if it is the leader's, and the witnesses saw nothing of it, it is followed no longer.
    fn doubt(&mut self, id: PeerId, now: LocalTime) {
        let is_leader = self.peers.get(&id).is_some_and(|peer| peer.used_as() == Use::Leader);
        if is_leader && self.is_outvoted(now) {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.ban(now + BANNED);
            }
            self.tally.outvoted += 1;
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
        let leader = *leader;
        self.heed(leader, now);
        let peer = self.peers.get(&leader)?;
        let jump = self.published.follow(&target, now);
        self.born = if jump.is_some() {
            self.published.line().ensemble_at(now) - peer.claim(now).age
        } else {
            self.born
        };
        jump
    }

    fn hello(&mut self, now: LocalTime) -> Hello {
        self.hellos += 1;
        let own = self.leader();
        let leader = self.peers.get(&own).map(|peer| (own, peer.address));
        let known = leader.into_iter().chain(self.heirs.iter().copied()).take(SUCCESSORS).collect();
        Hello { standing: self.standing(now), count: self.hellos, known }
    }

    fn standing(&self, now: LocalTime) -> Standing {
        // Those who are told use it for a while.
        let known = self.room_at(now + PATIENCE);
        let line = self.published.line().with_error(self.room_at(now).sigma, known.bound);
        Standing {
            id: self.config.id,
            leader: self.leader(),
            claim: self.claim(now),
            line: line.to_remote(),
            epochs: self.jumps.latest().told_at(self.published.line().ensemble_at(now)),
        }
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
