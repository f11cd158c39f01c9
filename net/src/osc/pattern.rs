//! [`Pattern`]: which addresses an incoming address means.
//!
//! OSC 1.0's `?`, `*`, `[a-z]`, `[!a-z]` and `{kick,snare}`, none of which crosses a `/`, and OSC 1.1's `//`, which
//! spans any number of levels. Bytes are compared as they are. Not for: looking an address up (`score`).
//!
//! Matching walks through the pattern once and carries the set of all places in the address that the pattern so far
//! can end at. So its cost is at most the product of both lengths, and `*a*a*a*a*` is no worse than anything else; a
//! backtracking matcher (or a regular expression) can be sent into years by one packet.

/// Longest pattern with wildcards, and longest remainder of an address after the pattern's literal beginning [bytes].
pub const MAX_PATTERN: usize = 255;

/// An address pattern that was found to be well-formed. A plain address is one too.
///
/// RT: nothing here allocates, blocks or panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern<'p> {
    /// What an address has to begin with.
    literal: &'p [u8],
    /// From the first wildcard on.
    rest: &'p [u8],
}

/// Why a pattern can match nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// `[` without `]`.
    #[error("address pattern with [ but no ]")]
    UnclosedSet,
    /// `{` without `}`.
    #[error("address pattern with {{ but no }}")]
    UnclosedChoice,
    /// A `{}` holds more than plain strings within one level.
    #[error("address pattern with a wildcard or / inside {{}}")]
    NestedChoice,
    /// A pattern with wildcards is longer than [`MAX_PATTERN`].
    #[error("address pattern longer than {MAX_PATTERN} bytes")]
    TooLong,
}

impl<'p> Pattern<'p> {
    /// Checks a pattern. It matches something, or at least could, if this is `Ok`.
    pub fn new(pattern: &'p [u8]) -> Result<Pattern<'p>, PatternError> {
        let wildcard = |at: usize| match pattern[at] {
            b'*' | b'?' | b'[' | b'{' => true,
            b'/' => pattern.get(at + 1) == Some(&b'/'),
            _ => false,
        };
        let first = (0..pattern.len()).find(|&at| wildcard(at)).unwrap_or(pattern.len());
        let (literal, rest) = pattern.split_at(first);
        if !rest.is_empty() && pattern.len() > MAX_PATTERN {
            return Err(PatternError::TooLong);
        }
        let mut unchecked = rest;
        while let Some((_, after)) = element(unchecked)? {
            unchecked = after;
        }
        Ok(Pattern { literal, rest })
    }

    /// There is no wildcard in it: it matches the address it is, and no other.
    pub fn is_literal(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether the whole of `address` matches.
    pub fn matches(&self, address: &[u8]) -> bool {
        let Some(address) = address.strip_prefix(self.literal) else { return false };
        if self.is_literal() || address.len() > MAX_PATTERN {
            return self.is_literal() && address.is_empty();
        }
        let mut places = Places::START;
        let mut rest = self.rest;
        while let Ok(Some((element, after))) = element(rest) {
            places = places.after(element, address);
            if places.is_empty() {
                return false;
            }
            rest = after;
        }
        places.contains(address.len())
    }
}

/// What a pattern is made of.
#[derive(Clone, Copy)]
enum Element<'p> {
    /// This byte.
    Byte(u8),
    /// `?`: any byte.
    Any,
    /// `[..]`: a byte that is among the members, or is not.
    Set { members: &'p [u8], among: bool },
    /// `{..}`: one of these strings, which stand between commas.
    Choice(&'p [u8]),
    /// `*`: any bytes, or none.
    Run,
    /// `//`: a slash, and any number of levels with their slashes.
    Levels,
}

/// The first element of a pattern and what follows it; `None` at its end.
fn element(pattern: &[u8]) -> Result<Option<(Element<'_>, &[u8])>, PatternError> {
    let Some((&first, rest)) = pattern.split_first() else { return Ok(None) };
    Ok(Some(match first {
        b'?' => (Element::Any, rest),
        b'*' => (Element::Run, rest),
        b'[' => {
            let (inside, rest) = split_once(rest, b']').ok_or(PatternError::UnclosedSet)?;
            match inside.strip_prefix(b"!") {
                Some(members) => (Element::Set { members, among: false }, rest),
                None => (Element::Set { members: inside, among: true }, rest),
            }
        }
        b'{' => {
            let (strings, rest) = split_once(rest, b'}').ok_or(PatternError::UnclosedChoice)?;
            if strings.iter().any(|byte| b"*?[]{/".contains(byte)) {
                return Err(PatternError::NestedChoice);
            }
            (Element::Choice(strings), rest)
        }
        b'/' if rest.first() == Some(&b'/') => {
            let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
            (Element::Levels, &rest[slashes..])
        }
        byte => (Element::Byte(byte), rest),
    }))
}

fn split_once(bytes: &[u8], end: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == end)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Whether a byte is among the members of a set: single bytes, and ranges `a-z`. A minus at either end is itself.
fn is_member(mut members: &[u8], byte: u8) -> bool {
    while let [first, rest @ ..] = members {
        let last = match rest {
            [b'-', last, after @ ..] => {
                members = after;
                last
            }
            _ => {
                members = rest;
                first
            }
        };
        if (*first..=*last).contains(&byte) {
            return true;
        }
    }
    false
}

/// A set of places between the bytes of an address: bit `n` is the place before byte `n`.
#[derive(Clone, Copy)]
struct Places([u64; (MAX_PATTERN + 1) / 64]);

impl Places {
    const NONE: Places = Places([0; (MAX_PATTERN + 1) / 64]);
    const START: Places = Places([1, 0, 0, 0]);

    fn is_empty(self) -> bool {
        self.0 == Places::NONE.0
    }

    fn contains(self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn insert(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(index, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                word &= word.checked_sub(1)?;
                Some(64 * index + bit)
            })
        })
    }

    /// Where `element` can end if it starts at any of these places.
    fn after(self, element: Element<'_>, address: &[u8]) -> Places {
        match element {
            Element::Byte(byte) => self.after_byte(address, |there| there == byte),
            Element::Any => self.after_byte(address, |there| there != b'/'),
            Element::Set { members, among } => {
                self.after_byte(address, |there| there != b'/' && is_member(members, there) == among)
            }
            Element::Choice(strings) => self.after_choice(address, strings),
            Element::Run => self.after_run(address),
            Element::Levels => self.after_levels(address),
        }
    }

    fn after_byte(self, address: &[u8], matches: impl Fn(u8) -> bool) -> Places {
        let mut after = Places::NONE;
        for place in self.iter() {
            if address.get(place).is_some_and(|&there| matches(there)) {
                after.insert(place + 1);
            }
        }
        after
    }

    fn after_choice(self, address: &[u8], strings: &[u8]) -> Places {
        let mut after = Places::NONE;
        for string in strings.split(|&byte| byte == b',') {
            for place in self.iter() {
                if address[place..].starts_with(string) {
                    after.insert(place + string.len());
                }
            }
        }
        after
    }

    fn after_run(self, address: &[u8]) -> Places {
        let mut after = Places::NONE;
        let mut running = false;
        for place in 0..=address.len() {
            running |= self.contains(place);
            if running {
                after.insert(place);
            }
            running &= address.get(place) != Some(&b'/');
        }
        after
    }

    fn after_levels(self, address: &[u8]) -> Places {
        let mut after = Places::NONE;
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
