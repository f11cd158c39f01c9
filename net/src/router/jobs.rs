//! [`Jobs`]: passwords that wait to be hashed or checked, and whose turn it is.
//!
//! Checks come first, for somebody waits for them; of those, each computer's turn comes round, so that one that floods the
//! router with wrong passwords delays the others by one check and not by all of its own. Hashes are made one at a time, when
//! there is nothing to check or after each check: until there is a hash, a wrong password costs whoever tries it nothing. Not for: what a result changes (`door`).

use super::account::AccountId;
use super::groups::{Groups, Holder};
use super::hashing::{HashJob, PasswordHash};
use super::secret::{Digest, Secret};
use crate::endpoint::ConnId;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Checks that wait: all, and of one computer.
const WAITING: usize = 1_024;
const WAITING_OF_ONE: usize = 256;
/// Jobs the thread is given at once: one that it does, and the next.
const AT_ONCE: usize = 2;

/// A password that is to be checked, or is being hashed or checked.
pub(super) struct Job {
    pub(super) holder: Holder,
    pub(super) account: AccountId,
    pub(super) digest: Digest,
    /// Who waits for it.
    pub(super) waiters: Vec<ConnId>,
    origin: Option<IpAddr>,
    /// When its turn comes: after all of earlier rounds.
    round: u64,
    ticket: u64,
}

/// Whether a check waits now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Queued {
    Yes,
    /// And these no longer do: their host had the most that waited.
    InPlaceOf(Vec<ConnId>),
    /// Too much waits already.
    No,
}

/// See the module.
#[derive(Default)]
pub(super) struct Jobs {
    checks: Vec<(Job, PasswordHash)>,
    /// Accounts without a hash, the oldest first.
    unhashed: BTreeMap<AccountId, Holder>,
    /// Those whose hash could not be made, until it is tried again.
    put_off: BTreeMap<AccountId, Holder>,
    /// What the thread was given.
    given: Vec<Job>,
    /// What it was given last is a check.
    checked: bool,
    round: u64,
    tickets: u64,
}

impl Jobs {
    /// Notes an account without a hash.
    pub(super) fn hash_later(&mut self, account: AccountId, holder: Holder) {
        self.unhashed.insert(account, holder);
    }

    /// Notes an account whose hash could not be made: there is no use in trying at once.
    pub(super) fn put_off(&mut self, account: AccountId, holder: Holder) {
        self.put_off.insert(account, holder);
    }

    /// Has everything tried that was put off.
    pub(super) fn try_again(&mut self) {
        self.unhashed.append(&mut self.put_off);
    }

    /// Forgets an account.
    pub(super) fn drop_account(&mut self, account: AccountId) {
        self.unhashed.remove(&account);
        self.put_off.remove(&account);
    }

    /// Has a password checked for a connection. Those who say the same to the same account wait for one answer. When all places
    /// are taken, whoever has the most gives up the one that came last, so that a few hosts cannot keep out all others.
    pub(super) fn check(
        &mut self,
        holder: Holder,
        account: AccountId,
        digest: &Digest,
        hash: PasswordHash,
        (conn, origin): (ConnId, IpAddr),
    ) -> Queued {
        let waiting = self.checks.iter_mut().map(|(job, _)| job).chain(&mut self.given);
        let mut same = waiting.filter(|job| job.account == account && job.digest.is(digest));
        if let Some(job) = same.next() {
            job.waiters.push(conn);
            return Queued::Yes;
        }
        let of_one = self.checks.iter().filter(|(job, _)| job.origin == Some(origin)).count();
        if of_one >= WAITING_OF_ONE {
            return Queued::No;
        }
        let mut queued = Queued::Yes;
        if self.checks.len() >= WAITING {
            let Some(given_up) = self.make_room(of_one + 1) else { return Queued::No };
            queued = Queued::InPlaceOf(given_up);
        }
        let round = self.round + of_one as u64;
        let (digest, ticket) = (digest.clone(), self.ticket());
        let job = Job { holder, account, digest, waiters: vec![conn], origin: Some(origin), round, ticket };
        self.checks.push((job, hash));
        queued
    }

    /// Takes the newest check of whoever has the most, if those are more than so many. Returns who waited for it.
    fn make_room(&mut self, than: usize) -> Option<Vec<ConnId>> {
        let mut counts = BTreeMap::new();
        self.checks.iter().for_each(|(job, _)| *counts.entry(job.origin).or_insert(0) += 1);
        let (largest, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        if count <= than {
            return None;
        }
        let of_it = self.checks.iter().enumerate().filter(|(_, (job, _))| job.origin == largest);
        let (newest, _) = of_it.max_by_key(|(_, (job, _))| job.ticket)?;
        Some(self.checks.swap_remove(newest).0.waiters)
    }

    /// A connection waits no longer. What nobody waits for need not be checked.
    pub(super) fn give_up(&mut self, conn: ConnId) {
        let waiting = self.checks.iter_mut().map(|(job, _)| job).chain(&mut self.given);
        waiting.for_each(|job| job.waiters.retain(|waiter| *waiter != conn));
        self.checks.retain(|(job, _)| !job.waiters.is_empty());
    }

    /// What the thread should do next, if it is not busy.
    pub(super) fn next(&mut self, groups: &mut Groups, secret: &Secret) -> Option<HashJob> {
        if self.given.len() >= AT_ONCE {
            return None;
        }
        if self.checked
            && let Some(given) = self.next_hash(groups, secret)
        {
            return Some(given);
        }
        let turn = |(_, (job, _)): &(usize, &(Job, PasswordHash))| (job.round, job.ticket);
        if let Some((at, _)) = self.checks.iter().enumerate().min_by_key(turn) {
            let (job, hash) = self.checks.swap_remove(at);
            self.round = self.round.max(job.round);
            let given = HashJob::verify(job.ticket, job.digest.clone(), hash);
            self.given.push(job);
            self.checked = true;
            return Some(given);
        }
        self.next_hash(groups, secret)
    }

    fn next_hash(&mut self, groups: &mut Groups, secret: &Secret) -> Option<HashJob> {
        if self.given.iter().any(|job| job.origin.is_none()) {
            return None;
        }
        while let Some((account, holder)) = self.unhashed.pop_first() {
            let known = groups.account_mut(holder).filter(|known| known.id == account);
            let Some(digest) = known.and_then(|known| known.unhashed().cloned()) else { continue };
            let ticket = self.ticket();
            let given = HashJob::hash(ticket, digest.clone(), secret.salt(ticket));
            let job = Job { holder, account, digest, waiters: Vec::new(), origin: None, round: 0, ticket };
            self.given.push(job);
            self.checked = false;
            return Some(given);
        }
        None
    }

    /// The job whose result came.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Job> {
        let at = self.given.iter().position(|job| job.ticket == ticket)?;
        Some(self.given.swap_remove(at))
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }
}
