//! When questions and answers really left: later than they say, by what it takes from reading the clock to the network.
//!
//! The kernel knows, but tells only when they are gone. A question's departure is of use to whoever asked, who knows it
//! before the answer comes. An answer's is told with the next answer, which NTP calls the interleaved mode; the exchange
//! waits for that. One of the two without the other would do more harm than good: what two hosts take to send is alike, and
//! falls out of the difference.
//!
//! Not for: reading stamps from sockets (the net crate).

use super::message::{Departure, Message, PeerId, Pong};
use super::{Answer, Output, Session};
use crate::{Exchange, LocalTime, Span};
use std::collections::VecDeque;

/// Departures that may yet be told of; later ones push out earlier ones.
const EXPECTED: usize = 256;
/// No host takes longer to send a message that it has stamped. What is stamped still later was stamped by a wall clock that
/// was set in between.
const LONGEST: Span = Span::from_millis(50);

/// What was sent of late, by cookie: they are counted.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// The next cookie.
    next: u64,
    expected: VecDeque<Sent>,
}

/// A message that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sent {
    /// A question with this nonce, to this peer.
    Question(PeerId, u64),
    /// The answer to one, to this peer.
    Answer(PeerId, u64),
}

impl Departures {
    /// The cookie for a message that is sent now.
    pub(super) fn expect(&mut self, sent: Sent) -> u64 {
        if self.expected.len() == EXPECTED {
            self.expected.pop_front();
        }
        self.expected.push_back(sent);
        self.next += 1;
        self.next - 1
    }

    /// What this is the cookie of, unless it was long ago.
    fn get(&self, cookie: u64) -> Option<Sent> {
        let first = self.next - self.expected.len() as u64;
        let place = usize::try_from(cookie.checked_sub(first)?).ok()?;
        self.expected.get(place).copied()
    }
}

/// A stamp of our own, taken before a message was sent, and the kernel's, taken as it left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    said: LocalTime,
    really: Option<LocalTime>,
}

impl Leaving {
    pub(super) fn new(said: LocalTime) -> Leaving {
        Leaving { said, really: None }
    }

    pub(super) fn said(&self) -> LocalTime {
        self.said
    }

    pub(super) fn really(&self) -> Option<LocalTime> {
        self.really
    }

    /// Takes the kernel's stamp, if it can be true.
    pub(super) fn left(&mut self, at: LocalTime) -> bool {
        let is_credible = is_credible(at - self.said);
        if is_credible {
            self.really = Some(at);
        }
        is_credible
    }
}

/// Whether a message may have left this long after it was stamped.
fn is_credible(later: Span) -> bool {
    later >= Span::ZERO && later <= LONGEST
}

/// The last answer that a peer was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) nonce: u64,
    pub(super) leaving: Leaving,
}

impl Told {
    /// What is to be told with the next answer.
    pub(super) fn departure(&self) -> Option<Departure> {
        self.leaving.really().map(|at| Departure { nonce: self.nonce, at: at.to_remote() })
    }
}

/// An exchange that is complete but for when its answer really left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) nonce: u64,
    pub(super) asked: Leaving,
    /// As far as it is known.
    pub(super) exchange: Exchange,
}

impl Waiting {
    /// The exchange as it really was, if it is known when both its messages left; else as they were stamped. And whether
    /// what was told of it can be true.
    pub(super) fn with(&self, before: Option<Departure>) -> (Exchange, bool) {
        let known = self.exchange;
        let Some(departure) = before.filter(|departure| departure.nonce == self.nonce) else {
            return (known, true);
        };
        let answered = departure.at;
        if !is_credible(answered - known.answered) {
            return (known, false);
        }
        let Some(asked) = self.asked.really() else { return (known, true) };
        let really = Exchange { asked, answered, ..known };
        // Each stamp has its own error, and on a path of a microsecond they may be larger than the path.
        (if really.is_absurd() { known } else { really }, true)
    }
}

impl Session {
    /// Takes note of when the message of this cookie left, by the kernel's stamp.
    pub fn sent(&mut self, cookie: u64, at: LocalTime) {
        let Some(sent) = self.departures.get(cookie) else { return };
        let (Sent::Question(id, _) | Sent::Answer(id, _)) = sent;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match sent {
            Sent::Question(_, nonce) => peer.question_left(nonce, at),
            Sent::Answer(_, nonce) => peer.answer_left(nonce, at),
        }
    }

    /// The answer to a question, as of `now`.
    pub(super) fn reply(&mut self, question: Answer, now: LocalTime) -> Output {
        let Answer { to, asker, nonce, arrival } = question;
        let told = Told { nonce, leaving: Leaving::new(now) };
        let last = self.peers.get_mut(&asker).and_then(|peer| peer.tell(told));
        let before = last.and_then(|last| last.departure());
        let pong = Pong {
            standing: self.standing(now),
            nonce,
            received: arrival.to_remote(),
            answered: now.to_remote(),
            before,
        };
        let stamp = Some(self.departures.expect(Sent::Answer(asker, nonce)));
        Output::Send { to, message: Message::Pong(pong), stamp }
    }
}
