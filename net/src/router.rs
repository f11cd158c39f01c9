//! [`Router`]: groups over TCP. Clients meet in password-protected groups, and what one sends goes to all others of its group.
//!
//! It speaks the protocol of tcposcrouter 0.2.0, whose clients need no change. Sans-io: it is told of connections, packets and
//! the time, and asked what to do next. After every call, or after some, ask [`Router::poll`] until it has nothing more; call
//! [`Router::tick`] at [`Router::deadline`] at the latest. Not for: sockets and framing (`tcp`), nor the thread that hashes
//! ([`HashJob::run`]).
//!
//! # What clients say
//!
//! | address | arguments | does |
//! |---|---|---|
//! | `/oscrouter/register` | user, its password, group, its password; id; `errors` | has to come first; the first who names a group or a user defines its password |
//! | `/oscrouter/private` | user, address, anything | to all connections of one user of the group |
//! | `/oscrouter/ping` | anything | nothing: whoever pings is not idle |
//! | `/sync/time`, `/sync/time/ii`, `/sync/time/s` | anything | tells the time, as a node does |
//! | `/sync/ping` | as of a peer (`timing`) | tells the time to whoever measures it |
//! | any other | anything | to all other users of the group, on all of their connections |
//!
//! # What the router says
//!
//! | address | arguments | when |
//! |---|---|---|
//! | `/oscrouter/register/USER/ID` | none | the registration is granted; ID is 0 if there was none |
//! | `/oscrouter/userlist` | names, in the order of their first login | after a registration, and when the list changes |
//! | `/oscrouter/private` | the sender's name, then address and arguments as they were sent | a private message came |
//! | `/oscrouter/error` | a sentence ([`Refusal`]) | something was refused, or the connection is about to be closed, also by the transport ([`Router::last_words`]): to those whose registration had `errors` as its sixth argument, or to all ([`RouterConfig::tell_errors`]) |
//! | `/sync/time/reply` and so on, `/sync/pong` | | the question came |
//!
//! # Where it differs from tcposcrouter
//!
//! | what | there | here |
//! |---|---|---|
//! | packets | read and written anew: `t` and the whole message lost, `d` becomes `f`, `h` `i`, `S` `c` `I` dropped, a bundle taken apart and its timetag lost | forwarded byte for byte: every type, even unknown ones, bundles, nesting, timetags |
//! | a timetag in the future | stops the router for all until then | nobody waits |
//! | private messages in a bundle | lose the timetag | arrive in a bundle of the same timetag, if it is not "at once" |
//! | a bundle of messages to the router and others | taken apart | what is for the router is taken out, the rest forwarded as it stood |
//! | registering again | forwarded to the group, with the passwords | a registration: one gets another answer, or moves to another group or user; if it is refused, the connection is closed, as at first |
//! | registering twice, in two groups, or without a user password | leaves users behind that never go, and delivers twice | every connection has one seat; empty user names and passwords are refused |
//! | `/oscrouter/userlist`, `/oscrouter/register/..`, `/oscrouter/error` from a client | forwarded: anybody can tell who is there | refused, the whole packet with it |
//! | address patterns | `/oscrouter/priv*` goes to all, secrets and all | a pattern that means one command is that command; one that means several, or anything only the router sends, is refused |
//! | user list | twice to each at every change, and when nothing changed | once at a change; many changes at once are told in one, 20 ms later or, in a large group, 0.4 ms for each user later |
//! | malformed packets | some are forwarded in part | dropped whole; the connection stays |
//! | passwords | kept, compared and logged as they are | argon2 hashes with a salt each (`hashing`); names are compared by digests, in constant time |
//! | why something was refused | nobody knows | whoever asks is told; all is counted by kind |
//! | a dead client | stays until a write fails | goes after [`RouterConfig::idle`], if that is set |
//! | how much | no limits | [`RouterConfig`]; names of 255 bytes, passwords of 1,024; bundles nested to 8 |
//! | time | none | `/sync/time` and `/sync/ping` are answered, not forwarded |
//!
//! The log tells who came and went and what was refused, each kind once for a connection. What is in a packet, and passwords,
//! it never tells.

mod account;
mod address;
mod clock;
mod config;
mod conn;
mod door;
mod groups;
mod hashing;
mod held;
mod jobs;
mod out;
mod post;
mod refusal;
mod request;
mod secret;
#[cfg(test)]
mod tests;
mod timers;
mod wire;

pub use config::{Rate, RouterConfig};
pub use hashing::{HashJob, HashResult, HashRoom, PasswordHash};
pub use refusal::{Refusal, RouterTally};

use crate::allowance::Allowance;
use crate::endpoint::ConnId;
use crate::key::Key;
use clock::RouterClock;
use conn::Conn;
use downbeat_sync::{EnsembleTime, LocalTime, Span, WallAnchor};
use groups::Groups;
use jobs::Jobs;
use out::{Out, Outbox, To};
use rustc_hash::FxHashMap;
use secret::Secret;
use std::net::SocketAddr;
use std::sync::Arc;
use timers::{Due, Timers};

/// An OSC packet that many connections share.
pub type Packet = Arc<[u8]>;

/// How often digests whose moment is over are wiped, though nobody asks for them, and hashes that could not be made are tried
/// again.
const FORGET: Span = Span::from_secs(10);
/// Lines in the log about connections: ten a second, and after a while a hundred at once.
const LINE: Span = Span::from_millis(100);
const LINES_AT_ONCE: Span = Span::from_ticks(100 * LINE.ticks());

/// What a router wants done.
#[derive(Debug)]
pub enum Output<'a> {
    /// Send a packet to connections, each framed as it is framed. One that is gone meanwhile is passed over.
    Deliver {
        /// To whom, each once.
        to: &'a [ConnId],
        /// One OSC packet.
        packet: &'a Packet,
    },
    /// Close a connection after what was sent to it.
    Close(ConnId),
    /// Read nothing more from a connection until [`Output::Resume`]: its registration waits for a password to be checked. What
    /// was read by then may still be handed to [`Router::handle`]; it is kept, up to 128 kB.
    Pause(ConnId),
    /// Read from a connection again.
    Resume(ConnId),
    /// Give this to a thread, and what its [`HashJob::run`] returns to [`Router::hashed`]. There are never more than two.
    Hash(HashJob),
}

/// A group, as far as it is anybody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupReport<'a> {
    /// Its name, whatever text that is.
    pub name: &'a [u8],
    /// Users.
    pub users: usize,
    /// Connections of these users.
    pub connections: usize,
}

/// See the module.
pub struct Router {
    config: RouterConfig,
    secret: Secret,
    conns: FxHashMap<ConnId, Conn>,
    groups: Groups,
    jobs: Jobs,
    timers: Timers,
    clock: RouterClock,
    outbox: Outbox,
    tally: RouterTally,
    lines: Allowance,
    next_forget: LocalTime,
    /// What [`Router::poll`] lends.
    lent: (Vec<ConnId>, Option<Packet>),
}

impl Router {
    /// A router without connections. `secret` is a random key, drawn at every start.
    pub fn new(config: RouterConfig, secret: Key, start: WallAnchor) -> Router {
        let secret = Secret::new(secret);
        Router {
            config,
            conns: FxHashMap::default(),
            groups: Groups::default(),
            jobs: Jobs::default(),
            timers: Timers::new(start.local),
            clock: RouterClock::new(start, secret.draw("id"), secret.draw("session")),
            outbox: Outbox::default(),
            tally: RouterTally::default(),
            lines: Allowance::new(start.local),
            next_forget: start.local + FORGET,
            lent: (Vec::new(), None),
            secret,
        }
    }

    /// A connection was opened.
    pub fn open(&mut self, conn: ConnId, peer: SocketAddr, now: LocalTime) {
        self.tally.opened += 1;
        self.conns.insert(conn, Conn::new(peer, now));
        self.watch(conn);
    }

    /// A connection is closed, by whomever, or its peer has sent all it wanted to, which is the same here. One that the router
    /// wanted closed is forgotten already.
    pub fn close(&mut self, conn: ConnId, now: LocalTime) {
        self.forget(conn, now);
    }

    /// The transport is about to close a connection, for this reason. Returns what to send it before, if it wants to know.
    pub fn last_words(&mut self, conn: ConnId, why: &str, now: LocalTime) -> Option<Vec<u8>> {
        let known = self.conns.get_mut(&conn).filter(|known| known.errors || self.config.tell_errors)?;
        if known.may_be_told(now) {
            return Some(wire::error(&format!("the connection is closed: {why}")));
        }
        self.tally.untold += 1;
        None
    }

    /// A packet came.
    pub fn handle(&mut self, conn: ConnId, now: LocalTime, packet: &[u8]) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        known.heard = now;
        if let Some(rate) = self.config.rate
            && !known.may_send(now, rate, packet.len())
        {
            return self.refuse(conn, Refusal::Rate, now);
        }
        self.deal(conn, packet, now);
    }

    /// The answer to [`Output::Hash`].
    pub fn hashed(&mut self, ticket: u64, result: HashResult, now: LocalTime) {
        self.answered(ticket, result, now);
    }

    /// Goes on with time.
    pub fn tick(&mut self, now: WallAnchor) {
        self.clock.look(now);
        let now = now.local;
        while let Some(due) = self.timers.pop(now) {
            match due {
                Due::Conn(conn) => self.check_on(conn, now),
                Due::List(group) => self.list(group, now),
            }
        }
        if !now.is_before(self.next_forget) {
            self.next_forget = now + FORGET;
            self.groups.forget(now);
            self.jobs.try_again();
        }
    }

    /// When the next tick is due.
    pub fn deadline(&self) -> Option<LocalTime> {
        let look = self.clock.next_look();
        let forget = self.next_forget.earlier(look);
        match self.timers.first() {
            Some(first) if first.is_before(forget) => Some(first),
            _ => Some(forget),
        }
    }

    /// The next thing to do, as of `now`. What is said about time is stamped with it: send it at once.
    pub fn poll(&mut self, now: LocalTime) -> Option<Output<'_>> {
        while let Some(out) = self.outbox.pop() {
            let (to, packet) = match out {
                Out::Close(conn) => return Some(Output::Close(conn)),
                Out::Pause(conn) => return Some(Output::Pause(conn)),
                Out::Resume(conn) => return Some(Output::Resume(conn)),
                Out::Deliver(to, packet) => (to, packet),
                Out::Pong(conn, asked) => match self.clock.answer(asked, now) {
                    Ok(packet) => (To::One(conn), packet.into()),
                    Err(error) => {
                        tracing::error!("cannot write a message about time: {error}");
                        continue;
                    }
                },
            };
            to.list(&mut self.lent.0);
            if !self.lent.0.is_empty() {
                self.tally.deliveries += self.lent.0.len() as u64;
                return Some(Output::Deliver { to: &self.lent.0, packet: self.lent.1.insert(packet) });
            }
        }
        self.lent.1 = None;
        self.jobs.next(&mut self.groups, &self.secret).map(Output::Hash)
    }

    /// Closes everybody, telling those who want to know that the router stops.
    pub fn stop(&mut self, now: LocalTime) {
        // So that nobody is told that everybody goes.
        self.groups = Groups::default();
        let mut conns: Vec<ConnId> = self.conns.keys().copied().collect();
        conns.sort_unstable();
        conns.into_iter().for_each(|conn| self.expel(conn, Refusal::Stopping, now));
    }

    /// What it counted.
    pub fn tally(&self) -> &RouterTally {
        &self.tally
    }

    /// The groups there are, in no order.
    pub fn groups(&self) -> impl Iterator<Item = GroupReport<'_>> {
        self.groups.iter().map(|group| GroupReport {
            name: &group.name,
            users: group.users().len(),
            connections: group.users().iter().map(|user| user.conns.len()).sum(),
        })
    }

    /// Users of all groups.
    pub fn users(&self) -> usize {
        self.groups.users()
    }

    /// Connections that are open, registered or not.
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// The time it gives at a local time.
    pub fn time_at(&self, at: LocalTime) -> EnsembleTime {
        self.clock.time_at(at)
    }

    /// Deals with a packet that may be dealt with.
    fn deal(&mut self, conn: ConnId, packet: &[u8], now: LocalTime) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        match (&mut known.joining, known.seat) {
            (Some(joining), _) => {
                if !joining.held.hold(packet) {
                    self.expel(conn, Refusal::Held, now);
                }
            }
            (None, Some(seat)) => self.post(conn, seat, packet, now),
            (None, None) => self.first(conn, packet, now),
        }
    }

    /// Sets when a connection is to be looked at again.
    fn watch(&mut self, conn: ConnId) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        let after = if known.seat.is_some() { self.config.idle } else { Some(self.config.registration) };
        let due = after.map(|after| known.heard + after);
        let before = std::mem::replace(&mut known.due, due);
        before.into_iter().for_each(|before| self.timers.unset(before, Due::Conn(conn)));
        due.into_iter().for_each(|due| self.timers.set(due, Due::Conn(conn)));
    }

    /// Looks at a connection that may have been silent for too long.
    fn check_on(&mut self, conn: ConnId, now: LocalTime) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        known.due = None;
        match (known.seat, self.config.idle) {
            // It waits for us.
            _ if known.joining.is_some() => {}
            (None, _) => self.expel(conn, Refusal::RegistrationTimeout, now),
            (Some(_), Some(idle)) if now - known.heard >= idle => self.expel(conn, Refusal::Idle, now),
            (Some(_), _) => self.watch(conn),
        }
    }

    /// Closes a connection.
    fn expel(&mut self, conn: ConnId, why: Refusal, now: LocalTime) {
        self.refuse(conn, why, now);
        self.send(Out::Close(conn));
        self.forget(conn, now);
    }

    /// Counts a refusal, logs it if it is the first of its kind there, and tells who wants to know.
    fn refuse(&mut self, conn: ConnId, why: Refusal, now: LocalTime) {
        self.tally.refused[why.index()] += 1;
        let Some(known) = self.conns.get_mut(&conn) else { return };
        let (peer, is_news) = (known.peer, known.is_news(why));
        let tell = known.errors || self.config.tell_errors;
        let may_be_told = tell && known.may_be_told(now);
        // That the router stops concerns all alike, and whoever stops it knows.
        if is_news && why != Refusal::Stopping && self.may_log(now) {
            tracing::warn!("{conn} from {peer}: {why}");
        }
        if !tell {
            return;
        }
        if may_be_told {
            let reason = wire::error(&why.to_string()).into();
            self.send(Out::Deliver(To::One(conn), reason));
        } else {
            self.tally.untold += 1;
        }
    }

    /// Whether there may be another line in the log: a flood of connections is none of lines.
    fn may_log(&mut self, now: LocalTime) -> bool {
        let may = self.lines.take(now, LINE, LINES_AT_ONCE);
        self.tally.unlogged += u64::from(!may);
        may
    }

    /// Queues something. `false` if there was no room: then it is counted.
    fn send(&mut self, out: Out) -> bool {
        let fits = self.outbox.push(out);
        self.tally.lost += u64::from(!fits);
        fits
    }
}
