//! [`Refusal`]: why a packet was refused, as a sentence for whoever sent it: what, where, and what to do.

use super::keys::{Key, Keys};
use crate::osc::{OscError, PatternError};
use downbeat_sync::Span;
use std::fmt::{self, Display};

/// A packet was refused, all of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refusal<'p> {
    /// The address of the message at fault as it was sent; empty if the packet is no OSC.
    pub address: &'p [u8],
    /// What is wrong with it.
    pub reason: Reason<'p>,
    /// How such a message is written, where that helps.
    pub usage: &'static str,
}

impl Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Missing(_) | Reason::TooMany => {
                write!(f, "{}: the message is {}", self.reason, self.usage)
            }
            _ => self.reason.fmt(f),
        }
    }
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason<'p> {
    /// The packet cannot be read.
    #[error("not an OSC packet: {0}")]
    Packet(#[from] OscError),
    /// The address is no pattern that could match.
    #[error("{0}")]
    Pattern(#[from] PatternError),
    /// Nobody has this address.
    #[error("no such address, and no sample of this name is loaded: /sample/list tells which are")]
    NoAddress,
    /// Nobody has an address that matches.
    #[error("the pattern matches no address")]
    NoMatch,
    /// Matching patterns would take too long.
    #[error("too many address patterns in one packet: send them in several")]
    TooManyPatterns,
    /// Something sealed in a bundle, or in something sealed.
    #[error("a sealed packet stands alone: not in a bundle, nor in another one")]
    Nested,
    /// More events than the ring to the audio thread holds.
    #[error("full: more events than can wait for the audio thread; send fewer at once")]
    Full,
    /// No sample has this name.
    #[error("no sample named {} is loaded: /sample/list tells which are", Text(.0))]
    NoSample(&'p [u8]),
    /// No voice was given this id.
    #[error("no voice has the id {}", Text(.0))]
    NoVoice(&'p [u8]),
    /// Neither a voice nor a sample has this name.
    #[error("neither a voice's id nor a sample is named {}", Text(.0))]
    NoVoiceOrSample(&'p [u8]),
    /// An argument is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// There are more arguments than the message has.
    #[error("too many arguments")]
    TooMany,
    /// An argument is of the wrong type.
    #[error("{what} must be {wanted}, not of type {}", char::from(*.got))]
    Type {
        /// Which argument.
        what: &'static str,
        /// What it must be.
        wanted: &'static str,
        /// The type tag it has.
        got: u8,
    },
    /// A number is out of range, or none at all.
    #[error("{what} must be {range}, not {got}")]
    Range {
        /// Which argument.
        what: &'static str,
        /// What it must be.
        range: Range,
        /// What it is.
        got: f64,
    },
    /// A word that is none of those wanted.
    #[error("{what} must be {wanted}, not {}", Text(.got))]
    Word {
        /// Which argument.
        what: &'static str,
        /// What it can be.
        wanted: &'static str,
        /// What it is.
        got: &'p [u8],
    },
    /// Where a key is due there is none.
    #[error("after its first arguments the message goes on in pairs of key and value: a key must be a string, not of type {}", char::from(*.0))]
    NotAKey(u8),
    /// The message does not know this key.
    #[error("unknown key {}: there are {keys}", Text(.key))]
    UnknownKey {
        /// What it is.
        key: &'p [u8],
        /// What it can be.
        keys: Keys,
    },
    /// A key without a value.
    #[error("the key {} has no value after it", .0.name())]
    NoValue(Key),
    /// A name or id that is too long.
    #[error("{what} must be of at most {most} bytes, not {got}")]
    TooLong {
        /// Which argument.
        what: &'static str,
        /// Bytes allowed.
        most: usize,
        /// Bytes there are.
        got: usize,
    },
    /// No name for a sample.
    #[error("{} is no name for a sample: it must be UTF-8, and must not start with / or be empty", Text(.0))]
    Name(&'p [u8]),
    /// A path that leads out of the samples folder.
    #[error("{} is not a file below the samples folder: give a relative path without ..", Text(.0))]
    Path(&'p [u8]),
    /// The timetag is further ahead than the horizon.
    #[error("the timetag is {ahead} ahead, more than {horizon}: is the sender's clock right?")]
    TooFarAhead {
        /// How far.
        ahead: Span,
        /// How far it may be.
        horizon: Span,
    },
}

/// Numbers that are allowed: finite ones between two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    low: f64,
    high: f64,
    unit: &'static str,
}

impl Range {
    /// Numbers from `low` to `high`, of a unit.
    pub(super) const fn new(low: f64, high: f64, unit: &'static str) -> Range {
        Range { low, high, unit }
    }

    /// Whether a number is allowed. NaN is not.
    #[inline]
    pub(super) fn contains(&self, x: f64) -> bool {
        x >= self.low && x <= self.high
    }
}

/// `from 0.001 to 192000 Hz`, or `a finite number`.
impl Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { low, high, unit } = self;
        if *high >= f64::from(f32::MAX) {
            return write!(f, "a finite number");
        }
        write!(f, "from {low} to {high}{}{unit}", if unit.is_empty() { "" } else { " " })
    }
}

/// Bytes that should be text, in quotes, cut where they are too long to be read.
struct Text<'a>(&'a [u8]);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 80;
        let shown = &self.0[..self.0.len().min(MOST)];
        write!(f, "\"{}{}\"", String::from_utf8_lossy(shown), if self.0.len() > MOST { "..." } else { "" })
    }
}
