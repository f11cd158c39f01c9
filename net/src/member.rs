//! [`Member`]: a client of a router, in a group: it registers, pings, and comes back when the connection is lost.
//!
//! Sans-io: it is given packets, the ends of connections and the time, and asked what to do next ([`Member::step`]). Works with
//! tcposcrouter as with `downbeat router`, which it asks for reasons. Not for: sockets, nor what the group's packets mean.

mod time;

use crate::numbers::Numbers;
use crate::osc::{self, Arg, BundleWriter, Timed, WriteError};
use downbeat_sync::{LocalTime, Span, SyncState};

pub use time::RouterTime;

/// The router is told so often that somebody is there; as SuperCollider's client does.
const PING: Span = Span::from_secs(3);
/// How often to look whether an answer about the time has come.
const LOOK: Span = Span::from_millis(1);
/// Making a connection may take so long, name and all.
const CONNECT: Span = Span::from_secs(15);
/// The answer to a registration may take so long: passwords are hashed on purpose slowly.
const ANSWER: Span = Span::from_secs(10);
/// After a connection was lost, or could not be made: the first pause, which doubles up to the longest.
const PAUSE: Span = Span::from_millis(250);
const LONGEST_PAUSE: Span = Span::from_secs(2);
/// After the router has said no: another try so soon would only be refused again.
const REFUSED_PAUSE: Span = Span::from_secs(30);

const REGISTER: &str = "/oscrouter/register";
const PRIVATE: &str = "/oscrouter/private";
const ERROR: &[u8] = b"/oscrouter/error";
/// Users that have written to us and are known by a number. Of more, the first are forgotten.
const USERS: usize = 1_024;
/// No longer name is remembered (bytes): `downbeat router` lets nobody in who has one, others might.
const LONGEST_NAME: usize = 255;
/// Where the router's own messages stand.
const OWN: &[u8] = b"/oscrouter/";

/// Who somebody is in a group. It has no `Debug`: there are passwords in it.
#[derive(Clone)]
pub struct Identity {
    /// The user's name. What a user sends does not come back to any connection of that user.
    pub user: String,
    /// Chosen by the first who registers by that name in the group.
    pub user_password: String,
    /// The group's name.
    pub group: String,
    /// Chosen by the first in the group.
    pub group_password: String,
    /// Comes back in the answer.
    pub id: i32,
}

/// See the module.
pub struct Member {
    register: Vec<u8>,
    /// The address of the answer to it.
    registered: Vec<u8>,
    ping: Vec<u8>,
    state: State,
    /// When the state asks for something.
    due: LocalTime,
    pause: Span,
    /// Why the router has refused it, if it said so.
    reason: Option<String>,
    tally: MemberTally,
    /// Who has written to us alone.
    users: Numbers<Vec<u8>>,
    /// The router's time, if it is wanted.
    time: Option<RouterTime>,
}

/// How far a member has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It pauses.
    Away,
    Connecting,
    /// Connected; the registration is to be sent.
    Connected,
    Registering,
    Joined,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a connection, then call [`Member::connected`] or [`Member::closed`].
    Connect,
    /// Send [`Member::registration`].
    Register,
    /// Send [`Member::ping`].
    Ping,
    /// Send [`Member::question`], at once.
    Ask,
    /// Close the connection, or give up making one, then call [`Member::closed`].
    Close,
}

/// What a packet from the router was.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The group has a new member: us.
    Joined,
    /// The router refuses something, for this reason. If that was our registration, it closes the connection next.
    Refused(String),
    /// Something else of the router's own: who is in the group now, mostly.
    Routers,
    /// What time it is at the router; we had asked.
    Time,
    /// For us alone.
    Private {
        /// Whose it is, for [`Member::privately`]; `None` if that name is too long to be remembered.
        from: Option<u32>,
        /// The packet as if it had been sent to the group.
        packet: Vec<u8>,
    },
    /// For the whole group: the packet itself.
    Group,
}

/// What a member counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberTally {
    /// How often it came into the group.
    pub joined: u64,
    /// How often a connection was lost, could not be made, or was refused.
    pub failed: u64,
}

/// How things stand with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberReport {
    /// Whether it is in the group.
    pub joined: bool,
    /// What it counted.
    pub tally: MemberTally,
    /// How well the router's time is known, if it is asked for.
    pub time: Option<SyncState>,
}

impl Member {
    /// Somebody who wants to connect now.
    ///
    /// # Errors
    /// If a name or a password has a NUL in it.
    pub fn new(identity: &Identity, now: LocalTime) -> Result<Member, WriteError> {
        let Identity { user, user_password, group, group_password, id } = identity;
        let mut register = Vec::new();
        let words = [user, user_password, group, group_password].map(|word| Arg::from(word.as_str()));
        let words = words.into_iter().chain([Arg::Int(*id), "errors".into()]);
        osc::write(&mut register, REGISTER, words)?;
        let mut ping = Vec::new();
        osc::write(&mut ping, "/oscrouter/ping", [Arg::from(user.as_str())])?;
        Ok(Member {
            register,
            registered: format!("{REGISTER}/{user}/{id}").into_bytes(),
            ping,
            state: State::Away,
            due: now,
            pause: PAUSE,
            reason: None,
            tally: MemberTally::default(),
            users: Numbers::new(USERS),
            time: None,
        })
    }

    /// It also asks the router for its time. `id` and `secret` are random numbers.
    pub fn with_time(mut self, id: u64, secret: u64, now: LocalTime) -> Member {
        self.time = Some(RouterTime::new(id, secret, now));
        self
    }

    /// What to do as of now; ask until there is nothing more.
    pub fn step(&mut self, now: LocalTime) -> Option<Step> {
        let is_due = !now.is_before(self.due);
        match self.state {
            State::Away if is_due => {
                self.go(State::Connecting, now + CONNECT);
                Some(Step::Connect)
            }
            State::Connected => {
                self.go(State::Registering, now + ANSWER);
                Some(Step::Register)
            }
            State::Joined if is_due => {
                self.due = now + PING;
                Some(Step::Ping)
            }
            State::Connecting | State::Registering if is_due => {
                // Asked once; if nobody closes, it is asked again.
                self.due = now + ANSWER;
                Some(Step::Close)
            }
            State::Joined => self.time.as_mut()?.asks(now).then_some(Step::Ask),
            _ => None,
        }
    }

    /// When there is something to do at the latest.
    pub fn deadline(&self) -> LocalTime {
        let question = self.time.as_ref().filter(|_| self.is_joined()).map(RouterTime::deadline);
        question.filter(|question| question.is_before(self.due)).unwrap_or(self.due)
    }

    /// When to read what has come, for those whom nobody tells of it: an answer about the time counts as having come when it is
    /// read, so while one is awaited that is in a millisecond; else it is when there is something to do.
    pub fn next_look(&self, now: LocalTime) -> LocalTime {
        let is_awaited = self.is_joined() && self.time.as_ref().is_some_and(|time| time.awaits(now));
        let (soon, due) = (now + LOOK, self.deadline());
        if is_awaited { soon.earlier(due) } else { due }
    }

    /// A connection is made. Returns whether it is wanted: it may have come after it was given up.
    pub fn connected(&mut self, now: LocalTime) -> bool {
        let is_wanted = self.is_connecting();
        if is_wanted {
            self.reason = None;
            self.go(State::Connected, now);
        }
        is_wanted
    }

    /// There is no connection any more, or none could be made: for this reason, if one is known. Returns what to tell a person.
    pub fn closed(&mut self, why: Option<&str>, now: LocalTime) -> String {
        let reason = self.reason.take();
        let (sentence, pause) = match (self.state, reason) {
            (State::Joined, _) => ("the router has closed the connection".to_owned(), self.pause),
            (State::Connected | State::Registering, None) => (
                "the router has closed the connection without a word, as some do when a password is wrong"
                    .to_owned(),
                REFUSED_PAUSE,
            ),
            (State::Away | State::Connecting, None) => {
                (format!("cannot connect: {}", why.unwrap_or("it takes too long")), self.pause)
            }
            (_, Some(reason)) => (format!("the router refuses: {reason}"), REFUSED_PAUSE),
        };
        self.tally.failed += 1;
        self.pause = (self.pause + self.pause).min(LONGEST_PAUSE);
        self.go(State::Away, now + pause);
        sentence
    }

    /// What a packet from the router is.
    pub fn hear(&mut self, packet: &[u8], now: LocalTime) -> Heard {
        if self.time.as_mut().is_some_and(|time| time.hear(packet, now)) {
            return Heard::Time;
        }
        let mut messages = osc::read(packet).any_tags();
        let (Some(Ok(timed)), None) = (messages.next(), messages.next()) else { return Heard::Group };
        let address = timed.message.address();
        if self.state == State::Registering && address == self.registered {
            self.tally.joined += 1;
            self.pause = PAUSE;
            self.go(State::Joined, now + PING);
            if let Some(time) = &mut self.time {
                time.again(now);
            }
            return Heard::Joined;
        }
        match address {
            ERROR => {
                let reason = timed.message.args().next().and_then(Arg::text).unwrap_or(b"no reason given");
                let reason = String::from_utf8_lossy(reason).into_owned();
                if self.state != State::Joined {
                    self.reason = Some(reason.clone());
                }
                Heard::Refused(reason)
            }
            _ if address == PRIVATE.as_bytes() => match private(&timed, packet) {
                Some((from, packet)) => {
                    let from = (from.len() <= LONGEST_NAME).then(|| self.users.number(from));
                    Heard::Private { from, packet }
                }
                None => Heard::Routers,
            },
            _ if address.starts_with(OWN) => Heard::Routers,
            _ => Heard::Group,
        }
    }

    /// An answer to whoever has written to us alone, as the router takes it for that user alone. `None` if the user was forgotten,
    /// so many have written since, or if the answer is no single message: then it may go to the group.
    pub fn privately(&self, to: u32, answer: &[u8]) -> Option<Vec<u8>> {
        let user = self.users.key(to)?;
        let mut messages = osc::read(answer).any_tags();
        let (Some(Ok(timed)), None) = (messages.next(), messages.next()) else { return None };
        let words = [Arg::Str(user), Arg::Str(timed.message.address())];
        let mut out = Vec::with_capacity(answer.len() + user.len() + 2 * PRIVATE.len());
        osc::write(&mut out, PRIVATE, words.into_iter().chain(timed.message.args())).ok()?;
        Some(out)
    }

    /// The packet that registers.
    pub fn registration(&self) -> &[u8] {
        &self.register
    }

    /// The packet that tells that somebody is there.
    pub fn ping(&self) -> &[u8] {
        &self.ping
    }

    /// The packet that asks for the time.
    pub fn question(&self) -> &[u8] {
        self.time.as_ref().map_or(&[], RouterTime::question)
    }

    /// The router's time, if it was wanted.
    pub fn time(&mut self) -> Option<&mut RouterTime> {
        self.time.as_mut()
    }

    /// Whether it waits for a connection.
    pub fn is_connecting(&self) -> bool {
        self.state == State::Connecting
    }

    /// Whether it is in the group.
    pub fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    /// How things stand.
    pub fn report(&self, now: LocalTime) -> MemberReport {
        let time = self.time.as_ref().map(|time| time.state(now));
        MemberReport { joined: self.is_joined(), tally: self.tally, time }
    }

    fn go(&mut self, state: State, due: LocalTime) {
        self.state = state;
        self.due = due;
    }
}

/// What somebody in the group wrote to us alone, as if it had been sent to all; `None` if this is no such packet.
pub fn unwrapped(packet: &[u8]) -> Option<Vec<u8>> {
    let mut messages = osc::read(packet).any_tags();
    let (Some(Ok(timed)), None) = (messages.next(), messages.next()) else { return None };
    let is_private = timed.message.address() == PRIVATE.as_bytes();
    is_private.then(|| private(&timed, packet)).flatten().map(|(_, packet)| packet)
}

/// Who sends `/oscrouter/private sender address args...`, and what that says, at its time.
fn private<'m>(timed: &Timed<'m>, packet: &[u8]) -> Option<(&'m [u8], Vec<u8>)> {
    let mut args = timed.message.args();
    let sender = args.next()?.text()?;
    let address = args.next()?.text()?;
    let mut out = Vec::with_capacity(packet.len());
    let written = if packet.starts_with(b"#") {
        BundleWriter::new(&mut out, timed.timetag).message(address, args).map(|_| ())
    } else {
        osc::write(&mut out, address, args)
    };
    written.ok().map(|()| (sender, out))
}

#[cfg(test)]
mod tests;
