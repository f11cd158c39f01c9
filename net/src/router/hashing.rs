//! [`HashJob`]: the slow part of a registration, for a thread of its own. [`HashJob::run`] is all that thread has to do.
//!
//! argon2id (RFC 9106) of 7 MiB and 5 passes, the smallest of the settings that OWASP calls equal: some 40 ms on a PC, several
//! times that on a Raspberry Pi, and 7 MiB while it runs. What is hashed is the digest that stands for the password (`secret`), so that
//! whoever reads this process's memory has the key and still has to try passwords at that pace. Every hash has a salt of its
//! own. Jobs hold no password, and wipe what they hold. Not for: what follows from a result (`door`).

use super::secret::Digest;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use ctutils::CtEq;
use std::fmt;
use zeroize::Zeroizing;

/// Memory of one hash [KiB].
const MEMORY: u32 = 7 << 10;
const PASSES: u32 = 5;
const LANES: u32 = 1;

const HASH: usize = 32;

/// What is kept of a password.
#[derive(Clone)]
pub struct PasswordHash {
    pub(super) salt: [u8; 16],
    pub(super) hash: Zeroizing<[u8; HASH]>,
}

/// A password to be hashed, or checked.
pub struct HashJob {
    ticket: u64,
    pub(super) digest: Digest,
    pub(super) work: Work,
}

pub(super) enum Work {
    Hash { salt: [u8; 16] },
    Verify(PasswordHash),
}

/// The memory that hashing takes, used again by the next: taken anew each time, it would come to rest beside what else the
/// process has, and pile up.
#[derive(Default)]
pub struct HashRoom(Vec<Block>);

/// What came of a [`HashJob`].
#[derive(Debug)]
pub enum HashResult {
    /// The hash that was to be made.
    Hashed(PasswordHash),
    /// Whether it is the password.
    Verified(bool),
    /// There was no memory for it.
    Failed,
}

impl HashJob {
    pub(super) fn hash(ticket: u64, digest: Digest, salt: [u8; 16]) -> HashJob {
        HashJob { ticket, digest, work: Work::Hash { salt } }
    }

    pub(super) fn verify(ticket: u64, digest: Digest, hash: PasswordHash) -> HashJob {
        HashJob { ticket, digest, work: Work::Verify(hash) }
    }

    /// Which job it is, for [`Router::hashed`](super::Router::hashed).
    pub fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Does the work: milliseconds of it. Then its secrets are wiped.
    pub fn run(self, room: &mut HashRoom) -> HashResult {
        match &self.work {
            Work::Hash { salt } => match argon2(&self.digest, salt, room) {
                Some(hash) => HashResult::Hashed(hash),
                None => HashResult::Failed,
            },
            Work::Verify(known) => match argon2(&self.digest, &known.salt, room) {
                Some(hash) => HashResult::Verified(hash.hash.ct_eq(&known.hash).to_bool()),
                None => HashResult::Failed,
            },
        }
    }
}

fn argon2(digest: &Digest, salt: &[u8; 16], room: &mut HashRoom) -> Option<PasswordHash> {
    let params = Params::new(MEMORY, PASSES, LANES, Some(HASH)).ok()?;
    let blocks = params.block_count();
    room.0.try_reserve_exact(blocks.saturating_sub(room.0.len())).ok()?;
    room.0.resize(blocks, Block::default());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = PasswordHash { salt: *salt, hash: [0; HASH].into() };
    argon2.hash_password_into_with_memory(digest.bytes(), salt, hash.hash.as_mut(), &mut room.0).ok()?;
    Some(hash)
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

impl fmt::Debug for HashJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashJob({})", self.ticket)
    }
}
