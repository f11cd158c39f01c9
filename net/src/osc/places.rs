//! [`Places`]: where in an address a pattern has come so far, all possibilities at once.
//!
//! Not for: what a pattern means (`pattern`).

/// A set of places between the bytes of an address: bit `n` is the place before byte `n`.
#[derive(Clone, Copy)]
pub(super) struct Places<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Places<WORDS> {
    const NONE: Self = Places([0; WORDS]);

    /// The place before the first byte.
    pub(super) fn start() -> Self {
        let mut start = Self::NONE;
        start.insert(0);
        start
    }

    /// The places before bytes of a kind.
    pub(super) fn before(address: &[u8], kind: impl Fn(u8) -> bool) -> Self {
        let mut before = Self::NONE;
        for (word, bytes) in before.0.iter_mut().zip(address.chunks(64)) {
            *word = bytes.iter().rev().fold(0, |word, &byte| word << 1 | u64::from(kind(byte)));
        }
        before
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == Self::NONE.0
    }

    pub(super) fn contains(self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn insert(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn insert_all(&mut self, places: Self) {
        self.0.iter_mut().zip(places.0).for_each(|(word, more)| *word |= more);
    }

    fn for_each(self, mut visit: impl FnMut(usize)) {
        for (index, mut word) in self.0.into_iter().enumerate() {
            while word != 0 {
                visit(64 * index + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }

    /// The places after a byte that matches, which itself is after one of these.
    pub(super) fn after_byte(self, address: &[u8], matches: impl Fn(u8) -> bool) -> Self {
        let mut after = Self::NONE;
        self.for_each(|place| {
            if address.get(place).is_some_and(|&there| matches(there)) {
                after.insert(place + 1);
            }
        });
        after
    }

    pub(super) fn after_choice(self, address: &[u8], strings: &[u8]) -> Self {
        let mut after = Self::NONE;
        for string in strings.split(|&byte| byte == b',') {
            after.insert_all(
                string.iter().fold(self, |places, &byte| places.after_byte(address, |there| there == byte)),
            );
        }
        after
    }

    /// These, and every place that can be reached from them through places of `open`: for each word, the carry of an
    /// addition runs on through all ones (Hyyro 2003, "A bit-vector algorithm for computing edit distances").
    pub(super) fn flow(self, open: Self) -> Self {
        let mut reached = self;
        let mut carry = false;
        for (word, open) in reached.0.iter_mut().zip(open.0) {
            let (sum, over) = (*word & open).overflowing_add(open);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            *word |= sum ^ open;
            carry = over | over_again;
        }
        reached
    }

    /// The places after a slash that is after one of these, and after every slash from there on.
    pub(super) fn after_levels(self, address: &[u8]) -> Self {
        let mut after = Self::NONE;
        let mut inside = false;
        for (place, &there) in address.iter().enumerate() {
            if there == b'/' {
                inside |= self.contains(place);
                if inside {
                    after.insert(place + 1);
                }
            }
        }
        after
    }
}
