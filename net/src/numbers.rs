//! [`Numbers`]: small numbers for large names, in a table of bounded size that forgets the oldest.
//!
//! The audio thread knows senders and voice ids only by these. Not for: what they name.

use rustc_hash::FxHashMap;
use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::Hash;

/// Keys by number and numbers by key. A number is used again only after 2^31 others.
#[derive(Debug)]
pub(crate) struct Numbers<K> {
    by_key: FxHashMap<K, u32>,
    /// Oldest first, so that their numbers are consecutive.
    keys: VecDeque<K>,
    capacity: usize,
    /// The next number.
    next: u32,
    forgotten: u64,
}

/// Numbers stay below this.
const END: u32 = 1 << 31;

impl<K: Hash + Eq + Clone> Numbers<K> {
    /// A table of so many keys at most.
    pub(crate) fn new(capacity: usize) -> Numbers<K> {
        Numbers { by_key: FxHashMap::default(), keys: VecDeque::new(), capacity, next: 0, forgotten: 0 }
    }

    /// The number of a key [less than 2^31]: its own, or a new one, for which the oldest key may have to go.
    pub(crate) fn number<Q>(&mut self, key: &Q) -> u32
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(number) = self.by_key.get(key) {
            return *number;
        }
        if self.keys.len() == self.capacity
            && let Some(oldest) = self.keys.pop_front()
        {
            self.by_key.remove(oldest.borrow());
            self.forgotten += 1;
        }
        let number = self.next;
        self.next = (self.next + 1) % END;
        let key = key.to_owned();
        self.by_key.insert(key.clone(), number);
        self.keys.push_back(key);
        number
    }

    /// The number of a key that has one.
    pub(crate) fn find<Q>(&self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.by_key.get(key).copied()
    }

    /// The key of a number, unless it is forgotten.
    pub(crate) fn key(&self, number: u32) -> Option<&K> {
        let age = self.next.wrapping_sub(number) % END;
        let index = self.keys.len().checked_sub(age as usize)?;
        self.keys.get(index)
    }

    /// How many keys had to go.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_its_number_not_used_again() {
        let mut numbers: Numbers<Vec<u8>> = Numbers::new(2);
        let [a, b] = [&b"a"[..], b"b"].map(|name| numbers.number(name));
        assert_eq!(numbers.number(&b"a"[..]), a);
        let c = numbers.number(&b"c"[..]);
        assert_eq!((a, b, c), (0, 1, 2));
        assert_eq!((numbers.find(&b"a"[..]), numbers.key(a), numbers.forgotten()), (None, None, 1));
        assert_eq!(
            (numbers.key(b).unwrap().as_slice(), numbers.key(c).unwrap().as_slice()),
            (&b"b"[..], &b"c"[..])
        );
        assert_eq!(numbers.key(3), None);
    }

    #[test]
    fn numbers_wrap_without_losing_their_keys() {
        let mut numbers: Numbers<Vec<u8>> = Numbers::new(2);
        numbers.next = END - 1;
        assert_eq!((numbers.number(&b"a"[..]), numbers.number(&b"b"[..])), (END - 1, 0));
        assert_eq!(numbers.key(END - 1).unwrap().as_slice(), b"a");
        assert_eq!(numbers.key(0).unwrap().as_slice(), b"b");
    }
}
