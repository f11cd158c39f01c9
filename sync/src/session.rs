//! [`Session`]: a node among others: whom it asks for the time, whom it follows, and what time it publishes.
//!
//! Sans-io: it is given messages, the time and nothing else, and is asked what to send; [`Session`] says how to drive it.
//!
//! A node begins as leader of a session of its own, whose time starts as its wall clock, and says hello. If somebody carries an
//! older session, it joins that: it asks the leader in a burst, or a follower where there is no leader just then, and takes
//! over the time once it knows it. From then on it asks a few times a second, and its published clock is steered after the
//! estimate. Two other followers are asked as well, as witnesses: if the leader's time steps without announcement and they both
//! say it did not, the leader is outvoted. When the leader is not heard for [`LEASE`], the first follower on its list goes
//! on with the time it has; nobody's time jumps for that.
//!
//! What is estimated, steered and told to each other is room time, which no announced jump moves; how far the ensemble's time is
//! ahead of it, and from when, is told beside it (`epochs`).
//!
//! Not for: estimating (`estimator`), the rules of who leads (`election`), bytes (the net crate).

mod beliefs;
mod carried;
mod crowd;
mod departures;
mod election;
mod jumps;
mod leadership;
mod leading;
mod message;
mod peer;
mod reference;
mod report;
mod source;
mod timers;

pub use message::{Claim, Departure, Hello, Message, PeerId, Ping, Pong, Standing};
pub use reference::Reference;
pub use report::{News, PeerReport, SessionTally};

use crate::{
    ClockEstimate, EnsembleTime, FollowWall, Jump, LocalTime, MaxDrift, RateBelief, Span, Steering,
    Timescale, WallAnchor,
};
use beliefs::Beliefs;
use carried::Carried;
use crowd::Greetings;
use departures::{Departures, Sent};
use jumps::Jumps;
use leadership::{Following, Joining};
use peer::{PATIENCE, Peer};
use report::Headlines;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use timers::{Timer, Timers};

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
    Following(Following),
}

/// A question that is to be answered.
#[derive(Clone, Copy, Debug)]
struct Answer {
    to: SocketAddr,
    asker: PeerId,
    nonce: u64,
    arrival: LocalTime,
}

/// A node among others: it finds out who leads, asks for the time, and publishes it.
///
/// Sans-io: it opens no socket and reads no clock. The caller drives it by a loop:
///
/// 1. Hand in each message that arrives with [`Session::handle`], with the local time of its arrival.
/// 2. Call [`Session::advance`] with the time of both clocks, then [`Session::poll`] until it returns `None`, and send at once
///    what it returns. Do so after each batch of messages, and at [`Session::deadline`] at the latest.
/// 3. If an [`Output::Send`] has a `stamp`, and the caller learns when the message really left, call [`Session::sent`] with
///    both. Without that, the time of `poll` counts.
///
/// Read the published clock with [`Session::clock`] or [`Session::estimate`] after each `advance`.
///
/// Two nodes in virtual time, whose wall clocks are a second apart, on a network that takes 1 ms:
///
/// ```
/// use downbeat_sync::{EnsembleTime, LocalTime, Message, Output, PeerId, Session, SessionConfig, Span, WallAnchor};
/// use std::net::SocketAddr;
///
/// let address = |node: usize| SocketAddr::from(([10, 0, 0, 1 + node as u8], 9000));
/// let wall = |node: usize, now: LocalTime| WallAnchor {
///     local: now,
///     wall: EnsembleTime::from_unix(Span::from_secs(1_700_000_000 + node as i64)) + (now - LocalTime::from_ticks(0)),
///     uncertainty: Span::ZERO,
///     synchronised: false,
/// };
/// let mut now = LocalTime::from_ticks(0);
/// let mut nodes = [0, 1].map(|node| {
///     let (id, other) = (PeerId::new(node as u32 + 1, 7), address(1 - node));
///     let config = SessionConfig { id, secret: node as u64, peers: vec![other], ..SessionConfig::default() };
///     Session::new(config, wall(node, now))
/// });
/// let mut on_their_way: Vec<(usize, Message)> = Vec::new();
/// for _ in 0..10_000 {
///     now += Span::from_millis(1);
///     for (node, message) in std::mem::take(&mut on_their_way) {
///         nodes[node].handle(now, address(1 - node), &message);
///     }
///     for (node, session) in nodes.iter_mut().enumerate() {
///         session.advance(wall(node, now));
///         while let Some(output) = session.poll(now) {
///             // There are but two: the other one gets it, be it meant for one or for all.
///             let (message, stamp) = match output {
///                 Output::Send { message, stamp, .. } => (message, stamp),
///                 Output::Announce(message) => (message, None),
///             };
///             on_their_way.push((1 - node, message));
///             if let Some(cookie) = stamp {
///                 session.sent(cookie, now);
///             }
///         }
///     }
/// }
/// assert_eq!(nodes[0].leader(), nodes[1].leader());
/// let [one, two] = nodes.map(|node| node.estimate().ensemble_at(now));
/// assert!((one - two).abs() < Span::from_micros(50));
/// ```
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    role: Role,
    /// The older session that is to be joined, once its time is known.
    joining: Option<Joining>,
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
    timers: Timers,
    /// When it went on with time last, and since when it has done so without standing still for a lease.
    advanced: LocalTime,
    awake: LocalTime,
    /// Who is asked, how many follow, and who of them come first: found out now and then, for there may be thousands.
    asked: Vec<PeerId>,
    followers: u32,
    heirs: Vec<(PeerId, SocketAddr)>,
    beliefs: Beliefs,
    nonces: u64,
    tally: SessionTally,
    news: Headlines,
    /// It was said how far the wall clock of this pinned leader is from the room's time.
    is_told_apart: bool,
}

impl Session {
    /// Leads a session of its own.
    pub fn new(config: SessionConfig, start: WallAnchor) -> Session {
        let now = start.local;
        let timescale = Timescale::new(start, config.follow);
        let published = Steering::new(timescale.estimate());
        let mut timers = Timers::new(now);
        timers.set(Timer::Look, now + LOOK);
        let session = draw(config.secret, 0);
        Session {
            session,
            jumps: Jumps::new(session),
            nonces: 0,
            beliefs: Beliefs::new(config.id, &config.beliefs, now),
            config,
            role: Role::Leading(Box::new(timescale)),
            joining: None,
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
            timers,
            advanced: now,
            awake: now,
            asked: Vec::new(),
            followers: 0,
            heirs: Vec::new(),
            tally: SessionTally::default(),
            news: Headlines::default(),
            is_told_apart: false,
        }
    }

    /// The published clock: local to ensemble time, as of the last [`Session::advance`]. Across a jump see [`Session::clock`].
    pub fn estimate(&self) -> ClockEstimate {
        let line = self.published.line();
        line.ahead_by(self.jumps.ahead()).in_epoch(line.epoch + self.jumps.count())
    }

    /// Whether the ensemble's time is kept here.
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// Whose time is published.
    pub fn leader(&self) -> PeerId {
        match self.role {
            Role::Leading(_) => self.config.id,
            Role::Following(Following { leader, .. }) => leader,
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
        match message {
            Message::Hello(hello) => {
                if let Some(is_new) = is_new {
                    self.hear(hello, from, is_new, arrival);
                }
            }
            Message::Ping(ping) => {
                // It may be an old one, said again: of a leader it tells nothing, of others whom they follow.
                if let Some(peer) = self.peers.get_mut(&standing.id).filter(|_| standing.id != leader) {
                    peer.follows = standing.leader;
                }
                // To answer, nobody need be known.
                if self.answers.len() < ANSWERS {
                    let (to, asker, nonce) = (from, standing.id, ping.nonce);
                    self.answers.push_back(Answer { to, asker, nonce, arrival });
                } else {
                    self.tally.dropped += 1;
                }
            }
            Message::Pong(pong) => self.learn(pong, from, arrival),
        }
        // Anybody may say an old question again: it tells nothing of the leader, and of others only that they claim to lead.
        let is_claim = standing.id != leader && standing.leader == standing.id;
        if is_claim || !matches!(message, Message::Ping(_)) {
            self.consider(standing.id, from, arrival);
        }
    }

    /// Goes on with time. Returns the jump of the published clock, if there was one.
    pub fn advance(&mut self, now: WallAnchor) -> Option<Jump> {
        let local = now.local;
        if local - self.advanced >= LEASE {
            // Stopped, or its host was: that it heard nobody meanwhile tells nothing of them.
            self.awake = local;
        }
        self.advanced = local;
        if self.timers.is_due(Timer::Count, local) {
            self.take_stock(local);
            self.wait_no_longer(local);
            self.hand_over(local);
            if self.peers.is_empty() {
                // A node that is alone need not wake for it: the first other one sets it again.
                self.timers.stop(Timer::Count);
            } else {
                self.timers.set(Timer::Count, local + COUNT);
            }
        }
        let taken = self.pass(local);
        match &self.role {
            Role::Leading(_) => self.lead(now),
            Role::Following(_) => self.mind_the_leader(now),
        }
        let corrected = self.steer(local).map(|jump| self.corrected(jump));
        // One that was heard of too late took effect just now.
        let jump = jumps::together(jumps::together(taken, corrected), self.pass(local));
        if jump.is_some() {
            self.timers.set(Timer::Hello, local);
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
                self.timers.set(Timer::Hello, local);
            }
        } else if timescale.correct(now) {
            let jump = self.published.jump(&timescale.estimate(), local);
            self.carried = None;
            // The session is no older for it.
            self.born += jump.by;
            self.timers.set(Timer::Hello, local);
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
        if self.timers.is_due(Timer::Hello, now) {
            // A follower that is not answered says so as often as a leader says that it lives.
            let is_answered = self.quiet(now) < source::STALE;
            let next = match self.leads() {
                true if self.announcement(now).is_some() => jumps::REPEAT,
                false if is_answered => SIGN_OF_LIFE,
                _ => HEARTBEAT,
            };
            self.timers.set(Timer::Hello, now + next);
            if self.leads() {
                self.greet_in_turn();
            }
            return Some(Output::Announce(Message::Hello(self.hello(now))));
        }
        if self.timers.is_due(Timer::Knock, now) {
            self.timers.set(Timer::Knock, now + KNOCK);
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
        let asks = self.asked.iter().filter_map(|id| self.peers.get(id)?.deadline());
        let jump = self.next_jump();
        // The next hello is always due at some time.
        let all = asks.chain(self.timers.first()).chain(jump);
        all.reduce(LocalTime::earlier).unwrap_or(self.published.line().anchor())
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

    /// What this node carries.
    fn claim(&self, now: LocalTime) -> Claim {
        let (term, followers) = self.reign();
        Claim {
            priority: u8::from(self.config.leader),
            session: self.session,
            age: self.published.line().ensemble_at(now) - self.born,
            term,
            followers,
            quiet: self.quiet(now),
            yields: self.joining.is_some(),
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
