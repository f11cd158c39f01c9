//! The gate: on a node with a key, nothing is obeyed that is not sealed with it. Questions are answered to anybody.
//!
//! Not for: seals and who has sent what before (`seal`), nor for messages about time (`timing`).

use super::{Hub, Output};
use crate::endpoint::Endpoint;
use crate::seal::{Moment, Opened, SealError, is_sealed};
use downbeat_engine::Origin;
use downbeat_sync::LocalTime;

/// Whoever asks without the key. It has no number among the senders: so many could ask that those who have the key were
/// forgotten.
const ANYBODY: Origin = Origin(u32::MAX);
/// Why the others are refused.
const UNSEALED: &str =
    "this needs the ensemble's key: seal it (downbeat send --key-file FILE; samples/python/sealed.py)";
const NO_KEY: &str = "this node has no key: send it unsealed, or start it with --key-file";

impl Hub {
    /// What is to be carried out of a packet, and for whom; `None` if that is nothing, because it was answered here.
    #[inline]
    pub(super) fn admit<'p>(
        &mut self,
        arrival: LocalTime,
        from: Endpoint,
        packet: &'p [u8],
    ) -> Option<(Origin, &'p [u8])> {
        if is_sealed(packet) {
            let opened = self.open(arrival, from, packet)?;
            return Some((self.origin(from), opened));
        }
        if self.seals.is_none() {
            return Some((self.origin(from), packet));
        }
        match self.score.first_change(packet) {
            None => Some((ANYBODY, packet)),
            Some(address) => {
                self.tally.keyless += 1;
                self.error(from, address, UNSEALED);
                None
            }
        }
    }

    /// The packet that is sealed in this one.
    fn open<'p>(&mut self, arrival: LocalTime, from: Endpoint, packet: &'p [u8]) -> Option<&'p [u8]> {
        let now = self.moment(arrival);
        let Some(seals) = &mut self.seals else {
            self.tally.refused += 1;
            self.error(from, super::first_address(packet), NO_KEY);
            return None;
        };
        let why = match seals.open(now, packet) {
            Ok(Opened::Packet(packet)) => return Some(packet),
            // It may be an old one, said again by somebody without the key.
            Ok(Opened::Question(_)) if !self.clocks.take(self.now) => {
                self.tally.unanswered += 1;
                return None;
            }
            Ok(Opened::Question(nonce)) => {
                match seals.answer(nonce, now, self.session.clock().ensemble_at(arrival)) {
                    Ok(packet) => self.out.push(Output::Send { to: from, packet, stamp: None }),
                    Err(error) => tracing::error!("cannot write the session's time: {error}"),
                }
                return None;
            }
            Err(why) => why,
        };
        match why {
            SealError::Seal => self.tally.keyless += 1,
            SealError::Malformed => self.tally.refused += 1,
            _ => self.tally.stale += 1,
        }
        self.error(from, super::first_address(packet), why);
        None
    }

    /// Keeps in mind which session it is, for what was sealed before the node came to it.
    pub(super) fn mind_the_session(&mut self) {
        if self.seals.is_some() {
            let now = self.moment(self.now);
            self.seals.iter_mut().for_each(|seals| seals.enter(now));
        }
    }

    fn moment(&self, now: LocalTime) -> Moment {
        let (session, age) = self.session.age(now);
        Moment { session, age }
    }
}
