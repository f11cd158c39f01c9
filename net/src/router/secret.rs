//! [`Secret`]: what names and passwords are turned into as soon as they arrive, with a key of this router's process.
//!
//! A password is never kept, nor handed to another thread: its [`Digest`] is, HMAC-SHA-256 under a random key that ends with
//! the process, until argon2 has made a hash of that, and for a minute after it was found right. Names are looked up by [`Tag`], also under the key: how long
//! that takes says nothing about how much of a guess was right. Not for: the hash itself (`hashing`).

use crate::key::Key;
use ctutils::CtEq;
use zeroize::Zeroizing;

/// See the module.
pub(super) struct Secret(Key);

/// What stands for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tag(u128);

/// What stands for a password of one user or group: of others the same password has another.
#[derive(Clone)]
pub(super) struct Digest(Zeroizing<[u8; Key::SEAL]>);

impl Secret {
    pub(super) fn new(key: Key) -> Secret {
        Secret(key)
    }

    pub(super) fn tag(&self, name: &[u8]) -> Tag {
        Tag(u128::from_be_bytes(self.seal("name", &[name])))
    }

    pub(super) fn group_digest(&self, group: &[u8], password: &[u8]) -> Digest {
        Digest(self.seal("group", &[group, password]).into())
    }

    pub(super) fn user_digest(&self, group: &[u8], user: &[u8], password: &[u8]) -> Digest {
        Digest(self.seal("user", &[group, user, password]).into())
    }

    /// No other number has it, and nobody can tell it before.
    pub(super) fn salt(&self, number: u64) -> [u8; Key::SEAL] {
        self.seal("salt", &[&number.to_be_bytes()])
    }

    /// A random number that is always the same for this word.
    pub(super) fn draw(&self, word: &str) -> u64 {
        let [first @ .., _, _, _, _, _, _, _, _] = self.seal("draw", &[word.as_bytes()]);
        u64::from_be_bytes(first)
    }

    /// OSC strings hold no NUL, so that no two lists of them are the same bytes.
    fn seal(&self, kind: &str, texts: &[&[u8]]) -> [u8; Key::SEAL] {
        let length = kind.len() + texts.iter().map(|text| text.len() + 1).sum::<usize>();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        bytes.extend_from_slice(kind.as_bytes());
        for text in texts {
            bytes.push(0);
            bytes.extend_from_slice(text);
        }
        self.0.seal(&bytes)
    }
}

impl Digest {
    /// Whether it is the same, found out in constant time.
    pub(super) fn is(&self, other: &Digest) -> bool {
        self.0.ct_eq(&other.0).to_bool()
    }

    pub(super) fn bytes(&self) -> &[u8; Key::SEAL] {
        &self.0
    }
}
