//! [`Partial`]: what came of a packet that is not whole yet. A password may be in it, so that nothing of it is left behind.
//!
//! Not for: where a packet ends (`splitter`).

use std::fmt;
use zeroize::optimization_barrier;

/// Room kept when it is emptied, in bytes.
pub(super) const KEPT: usize = 4 << 10;
/// The first room it makes, in bytes.
const FIRST: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Partial {
    /// All of its room; what is not used is zero.
    room: Vec<u8>,
    length: usize,
}

impl Partial {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.room[..self.length]
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let length = self.length + bytes.len();
        if length > self.room.len() {
            self.grow(length);
        }
        self.room[self.length..length].copy_from_slice(bytes);
        self.length = length;
    }

    /// Takes more room than before; the old one is wiped.
    fn grow(&mut self, needed: usize) {
        let mut larger = vec![0; needed.max(2 * self.room.len()).max(FIRST)];
        larger[..self.length].copy_from_slice(self.as_slice());
        self.wipe();
        self.room = larger;
    }

    /// Wipes it, and gives back most of its room.
    pub(super) fn empty(&mut self) {
        self.wipe();
        self.length = 0;
        self.room.truncate(KEPT);
        self.room.shrink_to(KEPT);
    }

    fn wipe(&mut self) {
        self.room[..self.length].fill(0);
        optimization_barrier(self.room.as_slice());
    }

    /// How much memory it takes, in bytes.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.room.capacity()
    }

    /// Whether anything can be found where nothing should be.
    #[cfg(test)]
    pub(super) fn has_left_something(&self) -> bool {
        self.room[self.length..].iter().any(|byte| *byte != 0)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl fmt::Debug for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partial({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_is_wiped() {
        let mut partial = Partial::default();
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
        bytes.chunks(7).for_each(|chunk| partial.append(chunk));
        assert!(partial.as_slice() == bytes && partial.len() == bytes.len() && !partial.is_empty());
        assert!(!format!("{partial:?}").contains("250"));
        partial.empty();
        assert!(partial.is_empty() && !partial.has_left_something());
        assert_eq!(partial.room(), KEPT);
        partial.append(b"again");
        assert_eq!(partial.as_slice(), b"again");
    }
}
