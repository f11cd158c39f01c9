//! [`Names`]: a table by short names, which are looked up and compared as two words instead of byte by byte.
//!
//! Not for: what the names mean (`book`).

use rustc_hash::FxHashMap;
use std::hash::{Hash, Hasher};

/// Values by name.
#[derive(Debug)]
pub(super) struct Names<V> {
    short: FxHashMap<Short, V>,
    long: FxHashMap<Box<[u8]>, V>,
}

/// A name of at most sixteen bytes: its first eight and its last eight, which overlap, or its first four and its last
/// four; together with the length they are the name, and nothing else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Short {
    first: u64,
    last: u64,
    len: u64,
}

/// In two steps. A derived one takes three, each of which waits for the one before.
impl Hash for Short {
    #[inline(always)]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.first);
        state.write_u64(self.last ^ self.len);
    }
}

impl Short {
    #[inline(always)]
    fn of(name: &[u8]) -> Option<Short> {
        let len = name.len() as u64;
        let (first, last) =
            match (name.first_chunk(), name.last_chunk(), name.first_chunk(), name.last_chunk()) {
                _ if len > 16 => return None,
                (Some(first), Some(last), ..) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
                (_, _, Some(first), Some(last)) => {
                    (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
                }
                // Of at most three bytes the first, the middle one and the last are all there are.
                _ => match name {
                    [] => (0, 0),
                    [first, ..] => {
                        let [middle, last] = [name[name.len() / 2], name[name.len() - 1]];
                        (u64::from(u32::from_le_bytes([*first, middle, last, 0])), 0)
                    }
                },
            };
        Some(Short { first, last, len })
    }
}

impl<V: Copy> Names<V> {
    pub(super) fn new() -> Names<V> {
        Names { short: FxHashMap::default(), long: FxHashMap::default() }
    }

    /// What has this name.
    #[inline(always)]
    pub(super) fn get(&self, name: &[u8]) -> Option<V> {
        match Short::of(name) {
            Some(short) => self.short.get(&short).copied(),
            None => self.get_long(name),
        }
    }

    /// Apart, so that looking up a short one is short enough to be inlined.
    #[inline(never)]
    fn get_long(&self, name: &[u8]) -> Option<V> {
        self.long.get(name).copied()
    }

    /// Names a value; the one that had the name before.
    pub(super) fn insert(&mut self, name: &[u8], value: V) -> Option<V> {
        match Short::of(name) {
            Some(short) => self.short.insert(short, value),
            None => self.long.insert(name.into(), value),
        }
    }

    /// Takes out what has this name.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<V> {
        match Short::of(name) {
            Some(short) => self.short.remove(&short),
            None => self.long.remove(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_look_alike_are_apart() {
        let mut names = Names::new();
        let alike: [&[u8]; 9] =
            [b"", b"\0", b"a", b"a\0", b"aa", b"aaaa", b"aaaaa", b"aaaaaaaaa", b"aaaaaaaaaaaaaaaaa"];
        for (value, name) in alike.iter().enumerate() {
            assert_eq!(names.insert(name, value), None, "{name:?}");
        }
        for (value, name) in alike.iter().enumerate() {
            assert_eq!(names.get(name), Some(value));
        }
        assert_eq!(names.remove(b"aa"), Some(4));
        assert_eq!((names.get(b"aa"), names.get(b"aaaa")), (None, Some(5)));
    }

    proptest! {
        #[test]
        fn they_are_a_map(entries in prop::collection::vec((prop::collection::vec(0u8..3, 0..20), any::<u8>()), 0..200)) {
            let mut names = Names::new();
            let mut map = std::collections::HashMap::new();
            for (name, value) in &entries {
                prop_assert_eq!(names.insert(name, *value), map.insert(name, *value));
            }
            for (name, _) in &entries {
                prop_assert_eq!(names.get(name), map.get(name).copied());
            }
        }
    }
}
