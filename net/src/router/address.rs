//! [`Meaning`]: whom an address is for, the group or the router itself.
//!
//! An address may be a pattern, and receivers match patterns. What a pattern means is found out before it is forwarded, so that
//! `/oscrouter/priv*` is a private message and none to all, `/oscrouter/user*` is no list of users, and nothing but the router
//! sends what only the router sends. Not for: what follows from it (`post`).

use super::wire::{ERROR, PING, PRIVATE, REGISTER, USER_LIST};
use crate::osc::Pattern;
use crate::time_reply::TimeForm;

/// Everything of the router's.
const OWN: &[u8] = b"/oscrouter/";
/// What answers registrations begins so.
const REGISTERED: &[u8] = b"/oscrouter/register/";

/// Whom an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The group, or whoever of it listens.
    Group,
    Register,
    Private,
    Ping,
    /// A question for the time.
    Time(TimeForm),
    /// A peer measures the router's clock: `/sync/ping`.
    Clock,
    /// A pattern that may mean answers to registrations, too: it depends on who is there.
    Perhaps,
    /// Something only the router sends, or several things at once.
    Reserved,
}

/// What an address means.
pub(super) fn meaning(address: &[u8]) -> Meaning {
    if !is_pattern(address) {
        return literally(address);
    }
    let Ok(pattern) = Pattern::new(address) else {
        // We cannot tell, and receivers differ: it depends on what it begins with.
        return if may_be_own(address) { Meaning::Reserved } else { Meaning::Group };
    };
    let commands = [(REGISTER, Meaning::Register), (PRIVATE, Meaning::Private), (PING, Meaning::Ping)];
    let mut meant = commands.into_iter().filter(|(command, _)| pattern.matches(command));
    let first = meant.next().map(|(_, meaning)| meaning);
    let is_ambiguous = first.is_some() && meant.next().is_some();
    if is_ambiguous
        || address.starts_with(REGISTERED)
        || [USER_LIST, ERROR].iter().any(|own| pattern.matches(own))
    {
        return Meaning::Reserved;
    }
    first.unwrap_or(if may_be_own(address) && may_be_deep(address) {
        Meaning::Perhaps
    } else {
        Meaning::Group
    })
}

/// Whether an address registers; so may one that means other things too, on a connection that has to register first.
pub(super) fn registers(address: &[u8]) -> bool {
    address == REGISTER
        || is_pattern(address) && Pattern::new(address).is_ok_and(|pattern| pattern.matches(REGISTER))
}

fn literally(address: &[u8]) -> Meaning {
    match address {
        REGISTER => Meaning::Register,
        PRIVATE => Meaning::Private,
        PING => Meaning::Ping,
        USER_LIST | ERROR => Meaning::Reserved,
        _ if address.starts_with(REGISTERED) => Meaning::Reserved,
        b"/sync/time" => Meaning::Time(TimeForm::Timetag),
        b"/sync/time/ii" => Meaning::Time(TimeForm::Ints),
        b"/sync/time/s" => Meaning::Time(TimeForm::Text),
        b"/sync/ping" => Meaning::Clock,
        _ => Meaning::Group,
    }
}

fn is_pattern(address: &[u8]) -> bool {
    address.iter().any(|byte| b"*?[{".contains(byte)) || address.windows(2).any(|pair| pair == b"//")
}

/// Whether a pattern may mean something of the router's own, as far as its plain beginning tells.
fn may_be_own(pattern: &[u8]) -> bool {
    let plain = pattern.iter().take_while(|byte| !b"*?[{".contains(byte)).count();
    let plain = match pattern.windows(2).position(|pair| pair == b"//") {
        Some(slashes) => plain.min(slashes + 1),
        None => plain,
    };
    let plain = &pattern[..plain];
    plain.starts_with(OWN) || OWN.starts_with(plain)
}

/// Whether a pattern may mean an address with as many levels as an answer to a registration. Only `//` spans levels.
fn may_be_deep(pattern: &[u8]) -> bool {
    let levels = |address: &[u8]| address.iter().filter(|&&byte| byte == b'/').count();
    levels(pattern) > levels(REGISTERED) || pattern.windows(2).any(|pair| pair == b"//")
}
