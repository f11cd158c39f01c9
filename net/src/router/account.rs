//! [`Account`]: what a router remembers of a password of a group, or of a user of it.
//!
//! The first who names a group or a user defines its password. That one is let in at once: until a thread has made the hash,
//! and for a moment after each time the hash was checked, the account knows the password's digest, so that five hundred who
//! join one group cost one hash and not five hundred. Not for: who asks (`door`), who computes (`jobs`).

use super::hashing::PasswordHash;
use super::secret::Digest;
use downbeat_sync::{LocalTime, Span};

/// How long a password that was found right is known by its digest [1 min].
pub(super) const MOMENT: Span = Span::from_secs(60);

/// An account, by a number that no other has or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AccountId(pub(super) u64);

/// See the module.
pub(super) struct Account {
    pub(super) id: AccountId,
    recent: Option<Recent>,
    hash: Option<PasswordHash>,
}

struct Recent {
    digest: Digest,
    /// `None`: until there is a hash.
    until: Option<LocalTime>,
}

/// Whether a password is right.
pub(super) enum Check {
    Right,
    Wrong,
    /// It has to be checked against this.
    Ask(PasswordHash),
}

impl Account {
    /// With the password of whoever came first.
    pub(super) fn new(id: AccountId, digest: Digest) -> Account {
        Account { id, recent: Some(Recent { digest, until: None }), hash: None }
    }

    pub(super) fn check(&mut self, digest: &Digest, now: LocalTime) -> Check {
        self.forget(now);
        match (&self.recent, &self.hash) {
            (Some(recent), _) if recent.digest.is(digest) => Check::Right,
            (_, Some(hash)) => Check::Ask(hash.clone()),
            (_, None) => Check::Wrong,
        }
    }

    /// What is to be hashed, if nobody did yet.
    pub(super) fn unhashed(&self) -> Option<&Digest> {
        self.recent.as_ref().filter(|_| self.hash.is_none()).map(|recent| &recent.digest)
    }

    /// Takes the hash that was made.
    pub(super) fn hashed(&mut self, hash: PasswordHash, now: LocalTime) {
        self.hash = Some(hash);
        self.recent.iter_mut().for_each(|recent| recent.until = Some(now + MOMENT));
    }

    /// Takes note of the password that was found right.
    pub(super) fn verified(&mut self, digest: Digest, now: LocalTime) {
        self.recent = Some(Recent { digest, until: Some(now + MOMENT) });
    }

    /// Wipes the digest if its moment is over.
    pub(super) fn forget(&mut self, now: LocalTime) {
        let is_over = |until: LocalTime| !now.is_before(until);
        if self.recent.as_ref().and_then(|recent| recent.until).is_some_and(is_over) {
            self.recent = None;
        }
    }
}
