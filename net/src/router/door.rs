//! Who is let in: registrations, the checks of their passwords, and how a connection leaves.
//!
//! A registration is decided in one place, [`Router::admit`], which is called again when the answer it had to wait for has
//! come. Until then it has changed nothing. Not for: what members send (`post`).

use super::account::{Account, Check};
use super::conn::Joining;
use super::groups::{Holder, Left, Seat};
use super::hashing::HashResult;
use super::jobs::Queued;
use super::out::{Out, To};
use super::request::{self, Request};
use super::secret::Tag;
use super::timers::Due;
use super::{Refusal, Router, address, wire};
use crate::endpoint::ConnId;
use crate::osc::{self, Message};
use downbeat_sync::{LocalTime, Span};

/// Changes of a list of users are told at most once in this time, and this more for each user [20 ms and 0.4 ms]: when five
/// hundred join at once, each need not be told of each.
const LIST: Span = Span::from_millis(20);
const LIST_EACH: Span = Span::from_micros(400);

/// What a registration comes to.
enum Verdict {
    /// It goes on when a password is checked, in the place of these.
    Wait(Vec<ConnId>),
    Granted(Seat),
    Refused(Refusal),
}

impl Router {
    /// The first packet of a connection: it registers, or the connection is closed.
    pub(super) fn first(&mut self, conn: ConnId, packet: &[u8], now: LocalTime) {
        for timed in osc::read(packet).any_tags() {
            match timed {
                Ok(timed) if address::registers(timed.message.address()) => {
                    return self.register(conn, &timed.message, now);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!("{conn}: {error}");
                    return self.expel(conn, Refusal::Malformed, now);
                }
            }
        }
        self.expel(conn, Refusal::Unregistered, now);
    }

    /// Somebody registers, for the first time or anew.
    pub(super) fn register(&mut self, conn: ConnId, message: &Message<'_>, now: LocalTime) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        known.errors = request::wants_errors(message);
        match Request::read(message, &self.secret) {
            Ok(request) => self.admit(conn, Joining::new(request), now),
            Err(why) => self.expel(conn, why, now),
        }
    }

    /// Decides about a registration, then lets in, closes, or waits.
    fn admit(&mut self, conn: ConnId, joining: Joining, now: LocalTime) {
        match self.decide(conn, &joining.request, now) {
            Verdict::Wait(given_up) => {
                if let Some(known) = self.conns.get_mut(&conn) {
                    known.joining = Some(Box::new(joining));
                    if !std::mem::replace(&mut known.paused, true) {
                        self.send(Out::Pause(conn));
                    }
                }
                given_up.into_iter().for_each(|conn| self.expel(conn, Refusal::Busy, now));
            }
            Verdict::Granted(seat) => {
                self.seat(conn, seat, &joining.request, now);
                self.resume(conn, joining, now);
            }
            Verdict::Refused(why) => self.expel(conn, why, now),
        }
    }

    fn decide(&mut self, conn: ConnId, request: &Request, now: LocalTime) -> Verdict {
        let Some(origin) = self.conns.get(&conn).map(|known| known.origin()) else {
            return Verdict::Refused(Refusal::Unregistered);
        };
        let tag = request.group_tag;
        let holder = Holder { group: tag, user: None };
        if let Some(group) = self.groups.get_mut(tag) {
            match group.account.check(&request.group_password, now) {
                Check::Right => {}
                Check::Wrong => return Verdict::Refused(Refusal::GroupPassword),
                Check::Ask(hash) => {
                    let account = group.account.id;
                    let digest = &request.group_password;
                    return wait_if(self.jobs.check(holder, account, digest, hash, (conn, origin)));
                }
            }
        } else if self.groups.len() >= self.config.groups {
            return Verdict::Refused(Refusal::Groups);
        }
        let limits = (self.config.users, self.config.connections_per_user);
        if let Some(group) = self.groups.get_mut(tag) {
            let is_full = group.users().len() >= limits.0;
            match group.named(request.user_tag) {
                None if is_full => return Verdict::Refused(Refusal::Users),
                None => {}
                Some((id, user)) => match user.account.check(&request.user_password, now) {
                    Check::Right if user.conns.contains(&conn) || user.conns.len() < limits.1 => {
                        return Verdict::Granted(Seat { group: tag, user: id });
                    }
                    Check::Right => return Verdict::Refused(Refusal::Connections),
                    Check::Wrong => return Verdict::Refused(Refusal::UserPassword),
                    Check::Ask(hash) => {
                        let holder = Holder { user: Some(id), ..holder };
                        let account = user.account.id;
                        let digest = &request.user_password;
                        return wait_if(self.jobs.check(holder, account, digest, hash, (conn, origin)));
                    }
                },
            }
        } else {
            let account = Account::new(self.groups.next_account(), request.group_password.clone());
            self.jobs.hash_later(account.id, holder);
            self.groups.found(tag, &request.group, account);
        }
        let account = Account::new(self.groups.next_account(), request.user_password.clone());
        let account_id = account.id;
        let user = self.groups.add(tag, request.user_tag, &request.user, account);
        self.jobs.hash_later(account_id, Holder { user: Some(user), ..holder });
        Verdict::Granted(Seat { group: tag, user })
    }

    /// Gives a connection its seat, takes it from the one it had, and tells it: the answer, then who is there.
    fn seat(&mut self, conn: ConnId, seat: Seat, request: &Request, now: LocalTime) {
        let Some(known) = self.conns.get_mut(&conn) else { return };
        let before = known.seat.replace(seat);
        if known.paused {
            // What it may have sent meanwhile was not read.
            known.heard = now;
        }
        known.registered = wire::registered_address(&request.user, &request.id);
        let answer = wire::bare(&known.registered);
        let peer = known.peer;
        if before != Some(seat) {
            if let Some(group) = self.groups.get_mut(seat.group) {
                group.seat(seat.user, conn);
            }
            if let Some(before) = before {
                self.vacate(conn, before, now);
            }
        }
        self.tally.registered += 1;
        if self.may_log(now) {
            let [user, group] = [&request.user, &request.group].map(|name| name.escape_ascii());
            tracing::info!("{conn} from {peer} is {user} in group {group}");
        }
        self.send(Out::Deliver(To::One(conn), answer.into()));
        if let Some(group) = self.groups.get_mut(seat.group) {
            let (list, version) = (group.list(), group.version);
            if let Some(known) = self.conns.get_mut(&conn) {
                known.knows = version;
            }
            self.tally.lists += 1;
            self.send(Out::Deliver(To::One(conn), list));
        }
        self.watch(conn);
        self.list_soon(seat, now);
    }

    /// Goes on with what was sent while a registration waited, unless that is another one that has to wait.
    fn resume(&mut self, conn: ConnId, joining: Joining, now: LocalTime) {
        for packet in joining.held.packets() {
            self.deal(conn, packet, now);
        }
        if let Some(known) = self.conns.get_mut(&conn).filter(|known| known.joining.is_none())
            && std::mem::take(&mut known.paused)
        {
            self.send(Out::Resume(conn));
        }
    }

    /// Takes the answer to a [`HashJob`](super::HashJob).
    pub(super) fn answered(&mut self, ticket: u64, result: HashResult, now: LocalTime) {
        let Some(job) = self.jobs.take(ticket) else { return };
        self.tally.hashed += 1;
        let account = self.groups.account_mut(job.holder).filter(|account| account.id == job.account);
        let why = match result {
            HashResult::Hashed(hash) => {
                account.into_iter().for_each(|account| account.hashed(hash.clone(), now));
                return;
            }
            HashResult::Verified(true) => {
                account.into_iter().for_each(|account| account.verified(job.digest.clone(), now));
                None
            }
            // If the account has gone meanwhile, its password has too.
            HashResult::Verified(false) if account.is_none() => None,
            HashResult::Verified(false) if job.holder.user.is_none() => Some(Refusal::GroupPassword),
            HashResult::Verified(false) => Some(Refusal::UserPassword),
            HashResult::Failed => {
                if account.is_some_and(|account| account.unhashed().is_some()) {
                    // It goes on without a hash: its digest is kept until there is one.
                    self.jobs.put_off(job.account, job.holder);
                }
                if self.may_log(now) {
                    tracing::error!("a password could not be hashed: is there memory left?");
                }
                Some(Refusal::Unhashed)
            }
        };
        for conn in job.waiters {
            let Some(joining) = self.conns.get_mut(&conn).and_then(|known| known.joining.take()) else {
                continue;
            };
            match why {
                Some(why) => self.expel(conn, why, now),
                None => self.admit(conn, *joining, now),
            }
        }
    }

    /// Forgets a connection that is closed.
    pub(super) fn forget(&mut self, conn: ConnId, now: LocalTime) {
        let Some(known) = self.conns.remove(&conn) else { return };
        if let Some(due) = known.due {
            self.timers.unset(due, Due::Conn(conn));
        }
        if known.joining.is_some() {
            self.jobs.give_up(conn);
        }
        if let Some(seat) = known.seat {
            self.vacate(conn, seat, now);
        }
    }

    /// Takes a connection from a seat.
    fn vacate(&mut self, conn: ConnId, seat: Seat, now: LocalTime) {
        if self.may_log(now)
            && let Some(group) = self.groups.get(seat.group)
            && let Some(user) = group.user(seat.user)
        {
            let [user, group] = [&user.name, &group.name].map(|name| name.escape_ascii());
            tracing::info!("{conn} is no longer {user} in group {group}");
        }
        match self.groups.leave(seat, conn) {
            Left::Same => {}
            Left::User(account) => {
                self.jobs.drop_account(account);
                self.list_soon(seat, now);
            }
            Left::Group { user, group, due } => {
                self.jobs.drop_account(user);
                self.jobs.drop_account(group);
                due.into_iter().for_each(|due| self.timers.unset(due, Due::List(seat.group)));
            }
        }
    }

    /// Has a group told who is there, now or when some time has passed since it was told last.
    fn list_soon(&mut self, seat: Seat, now: LocalTime) {
        let Some(group) = self.groups.get_mut(seat.group) else { return };
        if group.due.is_some() {
            return;
        }
        let pause = LIST + Span::from_ticks(LIST_EACH.ticks() * group.users().len() as i64);
        match group.told.map(|told| told + pause).filter(|next| now.is_before(*next)) {
            Some(next) => {
                group.due = Some(next);
                self.timers.set(next, Due::List(seat.group));
            }
            None => self.list(seat.group, now),
        }
    }

    /// Tells those of a group who is there that do not know yet.
    pub(super) fn list(&mut self, tag: Tag, now: LocalTime) {
        let Some(group) = self.groups.get_mut(tag) else { return };
        let (list, version, roster) = (group.list(), group.version, group.roster());
        group.due = None;
        let mut to = Vec::new();
        for (_, conn) in roster.iter() {
            if let Some(known) = self.conns.get_mut(conn).filter(|known| known.knows < version) {
                known.knows = version;
                to.push(*conn);
            }
        }
        if !to.is_empty() {
            group.told = Some(now);
            self.tally.lists += 1;
            self.send(Out::Deliver(To::These(to.into()), list));
        }
    }
}

fn wait_if(queued: Queued) -> Verdict {
    match queued {
        Queued::Yes => Verdict::Wait(Vec::new()),
        Queued::InPlaceOf(given_up) => Verdict::Wait(given_up),
        Queued::No => Verdict::Refused(Refusal::Busy),
    }
}
