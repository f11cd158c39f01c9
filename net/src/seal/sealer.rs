//! [`Sealer`]: seals what a program sends.
//!
//! ```text
//! ask -> /sealed/time -> node -> /sealed/time/reply -> hear; then seal, seal, seal; ask again now and then
//! ```
//!
//! Pure: it is given numbers drawn at random and the time. Not for: sending (`bin`), nor for when to ask.

use super::{ANSWER, FRESH, Moment, QUESTION, Sealed, parse, write};
use crate::key::Key;
use crate::osc::{self, Arg, WriteError};
use downbeat_sync::{LocalTime, Span};
use std::collections::VecDeque;

/// Questions that wait for their answers: a later one pushes out the first.
const ASKED: usize = 8;
/// An answer that comes later is not believed: somebody may have kept it, and the age it tells would be too low by as much.
const PATIENCE: Span = Span::from_secs(2);

/// Why nothing can be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealerError {
    /// Nobody has told the session's time yet.
    #[error("no node has told the time to seal by")]
    NoTime,
    /// The packet is too large.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a packet was that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'p> {
    /// The time: there is something to seal by.
    Time,
    /// An answer that is not sealed with our key, or to no question of ours.
    Stranger,
    /// A node does not tell the time, and says why. Nobody has sealed that.
    Refusal(&'p [u8]),
    /// Something else.
    Other,
}

/// See the module.
#[derive(Debug)]
pub struct Sealer {
    key: Key,
    sender: u64,
    asked: VecDeque<(u64, LocalTime)>,
    /// A moment of the session, and when it was, or later: so no stamp is ahead of the time.
    known: Option<(Moment, LocalTime)>,
    /// What was stamped last.
    last: Option<Moment>,
}

impl Sealer {
    /// For a program that has drawn `sender` at random, as nobody else will.
    pub fn new(key: Key, sender: u64) -> Sealer {
        Sealer { key, sender, asked: VecDeque::new(), known: None, last: None }
    }

    /// The question for the time. `nonce` is drawn at random too.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn ask(&mut self, now: LocalTime, nonce: u64) -> Result<Vec<u8>, WriteError> {
        let mut packet = Vec::with_capacity(64);
        write(&self.key, &mut packet, Sealed::Question { nonce })?;
        if self.asked.len() == ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((nonce, now));
        Ok(packet)
    }

    /// Takes a packet that came back from where the questions go.
    pub fn hear<'p>(&mut self, now: LocalTime, packet: &'p [u8]) -> Heard<'p> {
        let Some(Ok(timed)) = osc::read(packet).next() else { return Heard::Other };
        let address = timed.message.address();
        if address == b"/error" {
            let mut args = timed.message.args();
            let of = args.next().and_then(Arg::text);
            let reason = args.next().and_then(Arg::text).filter(|_| of == Some(QUESTION.as_bytes()));
            return reason.map_or(Heard::Other, Heard::Refusal);
        }
        if address != ANSWER.as_bytes() {
            return Heard::Other;
        }
        match parse(packet) {
            Some(Sealed::Answer { nonce, at, .. })
                if self.key.closes(packet) && self.was_asked(nonce, now) =>
            {
                self.known = Some((at, now));
                let outran = |last: &Moment| last.session == at.session && last.age > at.age + FRESH;
                if self.last.as_ref().is_some_and(outran) {
                    // The session stood still, as a lone node's does that sleeps. What rises from here on would be refused for
                    // as long as it slept: begin again, as somebody else.
                    (self.sender, self.last) = (self.sender.wrapping_add(1), None);
                }
                Heard::Time
            }
            _ => Heard::Stranger,
        }
    }

    /// Seals a packet.
    ///
    /// # Errors
    /// When the time is not known, or the packet is too large.
    pub fn seal(&mut self, now: LocalTime, packet: &[u8]) -> Result<Vec<u8>, SealerError> {
        let (moment, since) = self.known.ok_or(SealerError::NoTime)?;
        let mut at = Moment { age: moment.age + (now - since), ..moment };
        if let Some(last) = self.last.filter(|last| last.session == at.session) {
            // Strictly rising, though a newer answer may tell a lower age, and two packets may fall on one tick.
            at.age = at.age.max(last.age + Span::from_ticks(1));
        }
        self.last = Some(at);
        let mut sealed = Vec::with_capacity(packet.len() + super::OVERHEAD);
        write(&self.key, &mut sealed, Sealed::Packet { sender: self.sender, at, packet })?;
        Ok(sealed)
    }

    /// Whether this is the nonce of a question that is not answered yet; then it is from now on.
    fn was_asked(&mut self, nonce: u64, now: LocalTime) -> bool {
        let Some(place) = self.asked.iter().position(|(asked, _)| *asked == nonce) else { return false };
        self.asked.remove(place).is_some_and(|(_, at)| now - at <= PATIENCE)
    }
}
