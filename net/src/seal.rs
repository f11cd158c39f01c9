//! How commands are sealed, so that only those who have the ensemble's key are obeyed, and each packet of theirs once.
//!
//! | address | arguments |
//! |---|---|
//! | `/sealed` | sender `h`, session `h`, age `h`, packet `b`, seal `b` |
//! | `/sealed/time` | nonce `h`, seal `b` |
//! | `/sealed/time/reply` | nonce `h`, session `h`, age `h`, ensemble time `t`, seal `b` |
//!
//! `/sealed` carries any other OSC packet, a message or a bundle, and is a packet of its own: never in a bundle, never in
//! another. Its sender is a number drawn at random by each program that sends. Session and age say when it was sealed: the
//! session is a number drawn by the node that founded it, the age is how long that is ago, in ticks of 2^-32 s, and all nodes
//! of an ensemble have both in common. Of one sender every age is greater than the one before. Nothing in it is of one node,
//! so that one packet can be sent to many.
//!
//! Why the age and not the ensemble's time: that one is read from a wall clock, and comes again whenever the clock is set back;
//! a Pi without a clock of its own begins each day with the same time. What was recorded yesterday would be good today.
//! No session comes again, and none grows younger.
//!
//! A sender asks a node `/sealed/time` to learn session and age, and so that it believes no stranger, the answer is sealed and
//! names the number it drew for the question. Who has not the key is not answered, and who says an old question again only up to
//! a rate.
//!
//! Each seal is of all bytes before it ([`Key`]), from the address on: so what is sealed as one of these is none of the others,
//! nor a message about time (`timing`), whatever its arguments.
//!
//! [`Sealer`] is for those who send, [`Checker`] for the node. Not for: what a packet means (`score`), nor for hiding anything.

mod checker;
mod sealer;
#[cfg(test)]
mod tests;

pub use checker::{Checker, Opened, SENDERS, SealError};
pub use sealer::{Heard, Sealer, SealerError};

use crate::key::Key;
use crate::osc::{self, Arg, WriteError};
use crate::timing::{long, span, time};
use downbeat_sync::{EnsembleTime, Span};

/// Bytes that `/sealed` adds to the packet it carries.
pub const OVERHEAD: usize = 64;
/// A packet is taken for so long after it was sealed; and so long before, by the clock of a node that is not in time yet.
pub const FRESH: Span = Span::from_secs(10);

const SEALED: &str = "/sealed";
const QUESTION: &str = "/sealed/time";
const ANSWER: &str = "/sealed/time/reply";

/// A time that the nodes of an ensemble share, and that no setting of a clock moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Which session.
    pub session: u64,
    /// How long it had existed.
    pub age: Span,
}

/// Whether a packet is to be given to [`Checker::open`]: a sealed one, or a question for the time.
#[inline]
pub fn is_sealed(packet: &[u8]) -> bool {
    packet
        .strip_prefix(SEALED.as_bytes())
        .is_some_and(|rest| rest.starts_with(b"\0") || rest.starts_with(b"/time\0"))
}

/// What is sealed, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sealed<'p> {
    Packet { sender: u64, at: Moment, packet: &'p [u8] },
    Question { nonce: u64 },
    Answer { nonce: u64, at: Moment, time: EnsembleTime },
}

/// Appends it to `out`.
fn write(key: &Key, out: &mut Vec<u8>, sealed: Sealed<'_>) -> Result<(), WriteError> {
    let start = out.len();
    let seal = Arg::Blob(&[0; Key::SEAL]);
    let number = |number: u64| Arg::Long(number as i64);
    let moment = |at: Moment| [number(at.session), Arg::Long(at.age.ticks())];
    match sealed {
        Sealed::Packet { sender, at, packet } => {
            let [session, age] = moment(at);
            osc::write(out, SEALED, [number(sender), session, age, Arg::Blob(packet), seal])?;
        }
        Sealed::Question { nonce } => osc::write(out, QUESTION, [number(nonce), seal])?,
        Sealed::Answer { nonce, at, time } => {
            let [session, age] = moment(at);
            osc::write(out, ANSWER, [number(nonce), session, age, Arg::Time(time.bits()), seal])?;
        }
    }
    key.close(&mut out[start..]);
    Ok(())
}

/// Reads a packet whose seal was found good: `None` if somebody who has the key writes it otherwise.
fn parse(packet: &[u8]) -> Option<Sealed<'_>> {
    let message = osc::read(packet).next()?.ok()?.message;
    let mut args = message.args();
    let args = &mut args;
    let sealed = match message.address() {
        address if address == SEALED.as_bytes() => {
            let sender = long(args)? as u64;
            let at = Moment { session: long(args)? as u64, age: span(args)? };
            let Arg::Blob(packet) = args.next()? else { return None };
            Sealed::Packet { sender, at, packet }
        }
        address if address == QUESTION.as_bytes() => Sealed::Question { nonce: long(args)? as u64 },
        address if address == ANSWER.as_bytes() => {
            let nonce = long(args)? as u64;
            let at = Moment { session: long(args)? as u64, age: span(args)? };
            Sealed::Answer { nonce, at, time: time(args)? }
        }
        _ => return None,
    };
    let has_seal = matches!(args.next(), Some(Arg::Blob(seal)) if seal.len() == Key::SEAL);
    (has_seal && args.next_tag().is_none()).then_some(sealed)
}
