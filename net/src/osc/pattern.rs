//! [`Pattern`]: which addresses an incoming address means.
//!
//! OSC 1.0's `?`, `*`, `[a-z]`, `[!a-z]` and `{kick,snare}`, none of which crosses a `/`, and OSC 1.1's `//`,
//! which spans any number of levels. Bytes are compared as they are. Not for: looking an address up
//! (`score`).
//!
//! Matching walks through the pattern once and carries the set of all places in the address that the pattern
//! so far can end at. So its cost is at most the product of both lengths, and `*a*a*a*a*` is no worse than
//! anything else; a backtracking matcher (or a regular expression) can be sent into years by one packet.

use super::places::Places;

/// Longest pattern with wildcards, and longest remainder of an address after the pattern's literal start, in
/// bytes.
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
        // Hardly an address is longer than 63 bytes, and one word is much quicker than four.
        if address.len() < 64 {
            self.walk::<1>(address)
        } else {
            self.walk::<{ MAX_PATTERN / 64 + 1 }>(address)
        }
    }

    /// Whether the rest of the pattern matches all of `address`, which is shorter than 64 bytes per word.
    fn walk<const WORDS: usize>(&self, address: &[u8]) -> bool {
        let within_level = Places::<WORDS>::before(address, |there| there != b'/');
        let mut places = Places::<WORDS>::start();
        let mut rest = self.rest;
        while let Ok(Some((element, after))) = element(rest) {
            places = match element {
                Element::Byte(byte) => places.after_byte(address, |there| there == byte),
                Element::Any => places.after_byte(address, |there| there != b'/'),
                Element::Set { members, among } => {
                    places.after_byte(address, |there| there != b'/' && is_member(members, there) == among)
                }
                Element::Choice(strings) => places.after_choice(address, strings),
                Element::Run => places.flow(within_level),
                Element::Levels => places.after_levels(address),
            };
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

/// Whether a byte is among the members of a set: single bytes, and ranges `a-z`. A minus at either end is
/// itself.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, address: &str) -> bool {
        Pattern::new(pattern.as_bytes()).is_ok_and(|pattern| pattern.matches(address.as_bytes()))
    }

    #[track_caller]
    fn assert_all(pattern: &str, yes: &[&str], no: &[&str]) {
        for address in yes {
            assert!(matches(pattern, address), "{pattern} matches {address}");
        }
        for address in no {
            assert!(!matches(pattern, address), "{pattern} does not match {address}");
        }
    }

    #[test]
    fn an_address_matches_itself() {
        assert_all("/foo", &["/foo"], &["/fo", "/fooo", "/foo/", "/Foo", "", "/"]);
        assert_all("/a]b}c,d!e-f", &["/a]b}c,d!e-f"], &["/a"]);
        assert!(Pattern::new(b"/foo/bar").unwrap().is_literal());
        assert!(
            ["/f*", "/fo?", "/[f]", "/{f}", "/a//b"]
                .iter()
                .all(|pattern| !Pattern::new(pattern.as_bytes()).unwrap().is_literal())
        );
    }

    #[test]
    fn star_is_any_run_within_a_level() {
        assert_all("/foo*", &["/foo", "/foobar"], &["/foo/bar", "/fo", "/foo/"]);
        assert_all("/*o*", &["/foo", "/o", "/bob"], &["/bar", "/a/o"]);
        assert_all("/*", &["/a", "/"], &["/a/b", "", "a"]);
        assert_all("/*/b", &["/a/b", "//b"], &["/b", "/a/a/b"]);
        assert_all("/a*b*c", &["/abc", "/axbxc", "/abcbc"], &["/ab", "/acb", "/ab/c"]);
        assert_all("/a**b", &["/ab", "/axb"], &["/a"]);
        assert_all("*", &["", "foo"], &["/foo"]);
    }

    #[test]
    fn question_mark_is_one_byte_within_a_level() {
        assert_all("/fo?", &["/foo", "/fob"], &["/fo", "/fooo", "/fo/"]);
        assert_all("/a?b", &["/axb"], &["/a/b", "/ab"]);
        assert_all("/???", &["/abc"], &["/ab", "/abcd"]);
    }

    #[test]
    fn sets_are_one_byte_within_a_level() {
        assert_all("/[0-9]", &["/1"], &["/12", "/a", "/"]);
        assert_all("/[0-9][0-9]", &["/12"], &["/1", "/123", "/1a"]);
        assert_all("/[abc]", &["/a", "/c"], &["/d", "/abc"]);
        assert_all("/[a-cx-z]", &["/b", "/y"], &["/m", "/-"]);
        assert_all("/[a-]", &["/a", "/-"], &["/b"]);
        assert_all("/[-a]", &["/a", "/-"], &["/b"]);
        assert_all("/[a!]", &["/a", "/!"], &["/b"]);
        assert_all("/[!a]", &["/b"], &["/a", "//", "/", "/bb"]);
        assert_all("/x[!a]y", &["/xby"], &["/xay", "/x/y", "/xy"]);
        assert_all("/[!a-c]", &["/d", "/-"], &["/b"]);
        assert_all("/a[.-0]b", &["/a.b", "/a0b"], &["/a/b"]);
        assert_all("/[z-a]", &[], &["/a", "/z", "/m"]);
        assert_all("/[]", &[], &["/", "/]"]);
        assert_all("/[*?{]", &["/*", "/?", "/{"], &["/a"]);
    }

    #[test]
    fn braces_are_one_of_some_strings() {
        assert_all("/{foo,bar}", &["/foo", "/bar"], &["/foo,bar", "/fo", "/foobar", "/"]);
        assert_all("/{a,ab}c", &["/ac", "/abc"], &["/c", "/ab"]);
        assert_all("/{ab,a}{b,}c", &["/abbc", "/abc", "/ac"], &["/c"]);
        assert_all("/{,x}a", &["/a", "/xa"], &["/xxa"]);
        assert_all("/{}a", &["/a"], &["/"]);
        assert_all("/{foo}/b", &["/foo/b"], &["/foo"]);
        assert_all("/*{1,2}", &["/a1", "/2", "/12"], &["/a", "/13"]);
    }

    #[test]
    fn two_slashes_are_any_number_of_levels() {
        assert_all("//b", &["/b", "/a/b", "/a/a/b"], &["/ab", "/b/a", "b"]);
        assert_all("/a//b", &["/a/b", "/a/x/b", "/a/x/y/b"], &["/ab", "/a", "/x/a/b", "/a/xb"]);
        assert_all("/a//b//c", &["/a/b/c", "/a/x/b/y/c"], &["/a/c", "/b/c"]);
        assert_all("//*", &["/a", "/a/b", "/a/b/c"], &["", "a"]);
        assert_all("//k[0-9]/{on,off}", &["/k1/on", "/synth/k2/off"], &["/k/on", "/k1/x/on"]);
        assert_all("/a*//b", &["/a/b", "/ax/y/b"], &["/b", "/x/b"]);
        assert_all("///b", &["/b", "/a/b"], &["/a"]);
    }

    #[test]
    fn malformed_patterns_match_nothing_and_say_why() {
        let refused = |pattern: &str| Pattern::new(pattern.as_bytes()).unwrap_err();
        assert_eq!(refused("/[a-z"), PatternError::UnclosedSet);
        assert_eq!(refused("/foo["), PatternError::UnclosedSet);
        assert_eq!(refused("/{a,b"), PatternError::UnclosedChoice);
        assert_eq!(refused("/*{"), PatternError::UnclosedChoice);
        for nested in ["/{a,{b}}", "/{a*,b}", "/{a?}", "/{[a]}", "/{a/b,c}"] {
            assert_eq!(refused(nested), PatternError::NestedChoice, "{nested}");
        }
        assert_eq!(refused(&format!("/*{}", "a".repeat(MAX_PATTERN))), PatternError::TooLong);
        assert_eq!(refused("/{a").to_string(), "address pattern with { but no }");
        assert_eq!(refused("/{a*}").to_string(), "address pattern with a wildcard or / inside {}");
    }

    #[test]
    fn lengths_at_the_limits() {
        let long = "/".to_owned() + &"a".repeat(1000);
        assert_all(&long, &[&long], &[&long[1..], &long[..999]]);
        let longest = "/*".to_owned() + &"a".repeat(MAX_PATTERN - 2);
        let address = "/".to_owned() + &"a".repeat(MAX_PATTERN);
        assert_all(&longest, &[&address, &address[..MAX_PATTERN - 1]], &[&address[..MAX_PATTERN - 2], &long]);
    }

    /// A backtracking matcher would need longer than the universe is old.
    #[test]
    fn hostile_patterns_cost_no_more_than_others() {
        let address = "/".to_owned() + &"a".repeat(250) + "b";
        assert_all(&("/".to_owned() + &"*a".repeat(120)), &[], &[&address]);
        assert_all(&("/".to_owned() + &"{a,aa,}".repeat(36)), &[], &[&address]);
        assert_all(&("/".to_owned() + &"*{a,}".repeat(50) + "b"), &[&address], &[&address[..251]]);
    }

    /// The definition, by trying everything.
    fn slowly_matches(pattern: &[u8], address: &[u8]) -> bool {
        let one = |rest: &[u8], fits: &dyn Fn(u8) -> bool| match address {
            [first, after @ ..] => *first != b'/' && fits(*first) && slowly_matches(rest, after),
            [] => false,
        };
        match pattern {
            [] => address.is_empty(),
            [b'/', b'/', rest @ ..] => {
                let after_slashes: Vec<_> =
                    (1..=address.len()).filter(|&at| address[at - 1] == b'/').collect();
                let rest = &rest[rest.iter().take_while(|&&byte| byte == b'/').count()..];
                address.starts_with(b"/")
                    && after_slashes.iter().any(|&at| slowly_matches(rest, &address[at..]))
            }
            [b'*', rest @ ..] => {
                let level = address.iter().take_while(|&&byte| byte != b'/').count();
                (0..=level).any(|at| slowly_matches(rest, &address[at..]))
            }
            [b'?', rest @ ..] => one(rest, &|_| true),
            [b'[', rest @ ..] => {
                let end = rest.iter().position(|&byte| byte == b']').unwrap();
                let members = &rest[..end];
                match members.strip_prefix(b"!") {
                    Some(members) => one(&rest[end + 1..], &|byte| !expand(members).contains(&byte)),
                    None => one(&rest[end + 1..], &|byte| expand(members).contains(&byte)),
                }
            }
            [b'{', rest @ ..] => {
                let end = rest.iter().position(|&byte| byte == b'}').unwrap();
                rest[..end].split(|&byte| byte == b',').any(|string| {
                    address.strip_prefix(string).is_some_and(|after| slowly_matches(&rest[end + 1..], after))
                })
            }
            [byte, rest @ ..] => address.first() == Some(byte) && slowly_matches(rest, &address[1..]),
        }
    }

    /// All bytes of a set, ranges written out.
    fn expand(members: &[u8]) -> Vec<u8> {
        match members {
            [] => vec![],
            [first, b'-', last, rest @ ..] => (*first..=*last).chain(expand(rest)).collect(),
            [first, rest @ ..] => [vec![*first], expand(rest)].concat(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn agrees_with_the_definition(
            pattern in "(/|/|//|a|b|c|\\*|\\?|\\[!?[a-c-]{0,3}\\]|\\{[ab,]{0,4}\\}){0,8}",
            address in "(/?[abc-]){0,8}",
        ) {
            let parsed = Pattern::new(pattern.as_bytes()).unwrap();
            let expected = slowly_matches(pattern.as_bytes(), address.as_bytes());
            prop_assert_eq!(parsed.matches(address.as_bytes()), expected);
        }

        /// Places in a second word, and runs from one to the next.
        #[test]
        fn agrees_with_the_definition_on_long_addresses(
            pattern in "(/\\*|//|/\\?|/[ab]*)(a|b|/|//|\\*|\\?|\\{a,ab\\}){0,5}",
            letters in prop_oneof![50usize..70, 120usize..136],
            tail in "[ab/]{0,6}",
        ) {
            let address = format!("/b{}{tail}", "a".repeat(letters));
            let parsed = Pattern::new(pattern.as_bytes()).unwrap();
            let expected = slowly_matches(pattern.as_bytes(), address.as_bytes());
            prop_assert_eq!(parsed.matches(address.as_bytes()), expected);
        }

        #[test]
        fn any_bytes_are_a_pattern_or_none(pattern in "[/ab*?\\[\\]{},!-]{0,12}", address in "[/ab]{0,8}") {
            if let Ok(parsed) = Pattern::new(pattern.as_bytes()) {
                let expected = slowly_matches(pattern.as_bytes(), address.as_bytes());
                prop_assert_eq!(parsed.matches(address.as_bytes()), expected);
            }
        }
    }
}
