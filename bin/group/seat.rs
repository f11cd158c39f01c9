//! [`Seat`]: a member of a group at a reactor: the connection that is its own, made anew whenever it is lost.
//!
//! Not for: what a member says and when (the net crate), nor what the group's packets mean.

use super::connector::Connector;
use crate::args::GroupArgs;
use crate::output::{note, printable};
use crate::target::Target;
use anyhow::Context;
use downbeat_net::member::{Heard, Identity, Member, MemberReport, Step};
use downbeat_net::{ConnId, Endpoint, Handle, Outgoing};
use downbeat_sync::{LocalTime, WallAnchor};

/// See the module.
pub(crate) struct Seat {
    member: Member,
    router: Target,
    /// Who and where, for people.
    who: String,
    connector: Connector,
    conn: Option<ConnId>,
    /// A connection that came too late.
    unwanted: Option<ConnId>,
    failure: Option<String>,
    /// What was said last of a failure, so that it is said once.
    said: Option<String>,
    /// It was said that the router does not give the time.
    is_timeless: bool,
}

impl Seat {
    /// One that makes its first connection as soon as the reactor runs.
    pub(crate) fn new(
        router: &Target,
        identity: &Identity,
        args: &GroupArgs,
        handle: Handle,
        now: LocalTime,
    ) -> anyhow::Result<Seat> {
        Ok(Seat {
            member: super::member(identity, args, now)?,
            router: router.clone(),
            who: format!("group \"{}\" as \"{}\"", identity.group, identity.user),
            connector: Connector::start(router.clone(), handle)
                .context("cannot start the router's thread")?,
            conn: None,
            unwanted: None,
            failure: None,
            said: None,
            is_timeless: false,
        })
    }

    /// Takes the connection that the reactor was handed.
    pub(crate) fn connected(&mut self, conn: ConnId, now: LocalTime) {
        if self.member.connected(now) {
            self.conn = Some(conn);
        } else {
            self.unwanted = Some(conn);
        }
    }

    /// Whether this is its router.
    pub(crate) fn is_at(&self, from: Endpoint) -> bool {
        self.conn.is_some_and(|conn| from == Endpoint::Tcp(conn))
    }

    /// What a packet of its router is.
    pub(crate) fn hear(&mut self, packet: &[u8], now: LocalTime) -> Heard {
        let heard = self.member.hear(packet, now);
        match &heard {
            Heard::Joined => {
                self.said = None;
                note(format_args!("joined {} at {}", self.who, self.router));
            }
            Heard::Refused(reason) if self.member.is_joined() => {
                let reason = printable(reason.as_bytes());
                // Once: with some routers anybody in the group can say so, as often as they like.
                if self.said.is_none() {
                    tracing::warn!("{} refuses something: {reason}", self.router);
                    self.said = Some(reason);
                } else {
                    tracing::debug!("{} refuses something: {reason}", self.router);
                }
            }
            _ => {}
        }
        heard
    }

    /// A connection is closed; it may be its own.
    pub(crate) fn closed(&mut self, conn: ConnId, now: LocalTime) {
        if self.conn == Some(conn) {
            self.conn = None;
            self.fail(None, now);
        }
    }

    /// Takes note of connections that could not be made.
    pub(crate) fn tick(&mut self, now: LocalTime) {
        while let Some(why) = self.connector.failure() {
            if self.member.is_connecting() {
                self.fail(Some(&why), now);
            }
        }
        let is_timeless = self.member.time().is_some_and(|time| time.is_not_given());
        if is_timeless && !self.is_timeless {
            tracing::warn!("{} does not tell the time: this host's own is kept", self.router);
            self.is_timeless = true;
        }
    }

    /// The router's time in the place of this wall clock, if it is wanted and known, and whether it is so for the first time.
    pub(crate) fn wall(&mut self, now: WallAnchor) -> Option<(WallAnchor, bool)> {
        let time = self.member.time()?;
        let begins = time.begins(now.local);
        let wall = time.wall(now).filter(|_| time.is_used())?;
        Some((wall, begins))
    }

    /// The next thing to send or close; connections it orders by itself.
    pub(crate) fn step(&mut self, now: LocalTime) -> Option<(ConnId, Step)> {
        if let Some(conn) = self.unwanted.take() {
            return Some((conn, Step::Close));
        }
        loop {
            match (self.member.step(now)?, self.conn) {
                (Step::Connect, _) => self.connector.order(),
                (step, Some(conn)) => return Some((conn, step)),
                (_, None) => self.fail(None, now),
            }
        }
    }

    /// What that is for the reactor.
    pub(crate) fn outgoing(&self, (conn, step): (ConnId, Step)) -> Outgoing<'_> {
        let packet = match step {
            Step::Register => self.member.registration(),
            Step::Ping => self.member.ping(),
            Step::Ask => self.member.question(),
            Step::Connect | Step::Close => return Outgoing::Close(conn),
        };
        Outgoing::Send { to: Endpoint::Tcp(conn), packet, stamp: None }
    }

    /// An answer for one user of the group. All of it hear what cannot be said to one.
    pub(crate) fn privately(&self, user: u32, answer: Vec<u8>) -> Vec<u8> {
        self.member.privately(user, &answer).unwrap_or(answer)
    }

    /// When the next step is due.
    pub(crate) fn deadline(&self) -> LocalTime {
        self.member.deadline()
    }

    /// Why it is not in the group, if that is news: for whoever runs it to tell.
    pub(crate) fn failure(&mut self) -> Option<String> {
        self.failure.take()
    }

    /// Whether it is in the group, how that went, and how well the router's time is known.
    pub(crate) fn report(&self, now: LocalTime) -> MemberReport {
        self.member.report(now)
    }

    /// Where its router is.
    pub(crate) fn router(&self) -> &Target {
        &self.router
    }

    fn fail(&mut self, why: Option<&str>, now: LocalTime) {
        let why = printable(self.member.closed(why, now).as_bytes());
        let sentence = format!("not in {} at {}: {why}", self.who, self.router);
        if self.said.as_ref() == Some(&why) {
            tracing::debug!("{sentence}");
        } else {
            self.said = Some(why);
            self.failure = Some(sentence);
        }
    }
}
