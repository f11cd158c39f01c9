//! [`Score`]: the node's OSC address space: from a packet to the engine's events and to requests the hub answers.
//!
//! A packet is all or nothing: what it asks for is staged, and an error anywhere in it discards all. Arguments are taken
//! generously by type and strictly by value. The path of a plain message allocates nothing.
//!
//! | address | arguments |
//! |---|---|
//! | `/play` | sample, then up to three numbers (`gain`, `pan`, `rate`), then pairs of key and value |
//! | `/<sample>` | anything; if the first is a number it is the gain |
//! | `/<instrument>` | up to eight numbers, then pairs |
//! | `/click` | `[gain]` |
//! | `/tone` | freq, then pairs |
//! | `/set` | id, key, value `[seconds]` |
//! | `/stop` | `[id or sample]`; an id goes first |
//! | `/panic`, `/sample/list`, `/status`, `/sync/status`, `/sync/senders` | |
//! | `/cancel` | `[id]` |
//! | `/master/gain`, `/master/mute` | value `[seconds]` |
//! | `/sample/load` | name `[file]`; without a file it is the name and `.wav` |
//! | `/sample/free` | name |
//! | `/notify` | 0 or 1 |
//! | `/sync/time`, `/sync/time/ii`, `/sync/time/s` | anything, which is echoed |
//!
//! Pairs of every voice: `gain` or `db`, `pan`, `channel` (counted from 0), `attack`, `decay`, `sustain`, `release`, `dur`,
//! `id`, `late`; of a sample also `rate`, `start`, `loop`; of a tone also `shape`. Requests in a bundle are answered at
//! once, whatever its timetag.
//!
//! Not for: answering (`hub`), reading bytes (`osc`), playing (the engine).

mod book;
mod keys;
mod methods;
mod names;
mod refusal;
mod request;
mod senders;
#[cfg(test)]
mod tests;

use crate::osc::{self, Message, Pattern, Timed};
pub use crate::time_reply::TimeForm;
use book::Book;
pub use book::{Ask, Method};
use downbeat_engine::{ClipId, DEFAULT_EVENTS, Event, Origin, When};
use downbeat_sync::{EnsembleTime, LocalTime, RoomClock, SenderClock, Span};
use keys::Ids;
pub use keys::{Key, Keys};
pub use refusal::{Range, Reason, Refusal};
pub use request::Request;
pub use senders::SENDERS;
use senders::{Sender, Senders};

/// How often patterns may be held against an address for one packet: ten milliseconds of the worst ones (1.4 us on a
/// short address, `benches/codec.rs`), a tenth of a millisecond of usual ones.
const MATCHES_PER_PACKET: usize = 8_192;
/// Names of voices that are remembered.
const NAMED_IDS: usize = 4_096;

/// What an address space needs to know of its node.
#[derive(Clone, Debug)]
pub struct ScoreConfig {
    /// A timetag further ahead is refused.
    pub horizon: Span,
    /// Output channels [1 or more].
    pub channels: u16,
    /// Most events of one packet: as many as the ring to the audio thread holds.
    pub events: usize,
    /// What a timetag means.
    pub timetags: Timetags,
    /// By [`Timetags::Sender`], how long after the earliest arrivals of a sender its events are due.
    pub sender_lead: Span,
}

/// What a timetag means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timetags {
    /// A time of the ensemble's clock.
    #[default]
    Ensemble,
    /// A time of the sender's own clock, of which only the rhythm is kept: see [`SenderClock`].
    Sender,
}

impl Default for ScoreConfig {
    fn default() -> Self {
        ScoreConfig {
            horizon: Span::from_secs(3600),
            channels: 2,
            events: DEFAULT_EVENTS,
            timetags: Timetags::default(),
            sender_lead: Span::from_millis(100),
        }
    }
}

/// When, from whom and by which clock a packet came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When.
    pub at: LocalTime,
    /// From whom.
    pub from: Origin,
    /// Room time and the ensemble's, by which timetags are read.
    pub clock: RoomClock,
}

/// See the module.
#[derive(Debug)]
pub struct Score {
    config: ScoreConfig,
    book: Book,
    ids: Ids,
    senders: Senders,
    staged: Staged,
    /// Methods a pattern reached, reused.
    reached: Vec<Method>,
    /// The method of the message that is being read.
    current: Method,
}

/// What a packet asks for.
#[derive(Debug, Default)]
pub struct Staged {
    /// For the engine, in the order of the packet.
    pub events: Vec<Event>,
    /// For the hub.
    pub requests: Vec<Request>,
    /// How many messages were answers of other nodes, which nobody here waits for.
    pub answers: u32,
}

impl Score {
    /// The built-in addresses.
    pub fn new(config: ScoreConfig) -> Score {
        Score {
            senders: Senders::new(config.sender_lead),
            config,
            book: Book::new(),
            ids: Ids::new(NAMED_IDS),
            staged: Staged::default(),
            reached: Vec::new(),
            current: Method::Answer,
        }
    }

    /// Reads a packet: what it asks for, all of it.
    ///
    /// # Errors
    /// What is wrong with the first message that is; then nothing of the packet is to be done.
    pub fn read<'p>(&mut self, packet: &'p [u8], arrival: &Arrival) -> Result<&mut Staged, Refusal<'p>> {
        self.staged.events.clear();
        self.staged.requests.clear();
        self.staged.answers = 0;
        let mut course = Course::new(arrival, self.config.horizon, self.config.timetags);
        let mut known = Known { address: b"", method: None };
        for timed in osc::read(packet) {
            let timed = timed.map_err(|error| Refusal { address: b"", reason: error.into(), usage: "" })?;
            if let Err(reason) = self.take(&timed, &mut course, &mut known) {
                let address = timed.message.address();
                return Err(Refusal { address, reason, usage: self.current.usage() });
            }
        }
        Ok(&mut self.staged)
    }

    /// The address of the first message of a packet that would change something; `None` if it only asks. A timetag would be
    /// measured, and a pattern may reach anything: they count as changes.
    pub(crate) fn first_change<'p>(&self, packet: &'p [u8]) -> Option<&'p [u8]> {
        osc::read(packet).map_while(Result::ok).find_map(|timed| {
            let address = timed.message.address();
            let asks = self.book.method(address).is_some_and(Method::changes_nothing);
            let is_timed = EnsembleTime::from_timetag(timed.timetag).is_some();
            (is_timed || !asks).then_some(address)
        })
    }

    /// Gives a clip a name, and the address `/name` if that is free. Tells which clip had the name before.
    pub fn add_sample(&mut self, name: &str, clip: ClipId) -> Option<ClipId> {
        self.book.add_sample(name, clip)
    }

    /// Forgets a name. Tells which clip had it.
    pub fn remove_sample(&mut self, name: &str) -> Option<ClipId> {
        self.book.remove_sample(name.as_bytes())
    }

    /// The names of all samples, sorted.
    pub fn samples(&self) -> Vec<&[u8]> {
        self.book.samples()
    }

    /// How many samples there are.
    pub fn sample_count(&self) -> usize {
        self.book.sample_count()
    }

    /// Gives the instruments of a bank an address. A sample of that name loses it.
    ///
    /// # Errors
    /// A sentence, if this cannot be an address or is a built-in one.
    pub fn register(&mut self, address: &str, bank: u8) -> Result<(), String> {
        self.book.add_instrument(address, bank)
    }

    /// Output channels, as the device in use has them.
    pub fn set_channels(&mut self, channels: u16) {
        self.config.channels = channels;
    }

    /// What a timetag means here.
    pub fn timetags(&self) -> Timetags {
        self.config.timetags
    }

    /// Everybody who sent timetags, of the last [`SENDERS`] who sent anything.
    pub fn senders(&self) -> impl Iterator<Item = (Origin, &SenderClock)> {
        self.senders.iter()
    }

    /// The timetag that an event of this sender had which is due at that room time; `None` if the sender was forgotten, or only
    /// its rhythm is kept.
    pub fn stamped(&self, from: Origin, room: EnsembleTime) -> Option<EnsembleTime> {
        match self.config.timetags {
            Timetags::Ensemble => self.senders.stamped(from, room),
            Timetags::Sender => None,
        }
    }

    /// How many voice ids were forgotten to make room for newer ones.
    pub fn ids_forgotten(&self) -> u64 {
        self.ids.forgotten()
    }

    #[inline(always)]
    fn take<'p>(
        &mut self,
        timed: &Timed<'p>,
        course: &mut Course<'_>,
        known: &mut Known<'p>,
    ) -> Result<(), Reason<'p>> {
        course.move_to(timed.timetag, &mut self.senders)?;
        let address = timed.message.address();
        // The reader gives messages that begin alike the very same address.
        if !std::ptr::eq(address, known.address) {
            *known = Known { address, method: self.book.method(address) };
        }
        match known.method {
            Some(method) => self.stage(method, timed.message, course),
            None => self.stage_matching(timed.message, course),
        }
    }

    /// The message's address is a pattern, or nobody's.
    #[cold]
    fn stage_matching<'p>(
        &mut self,
        message: Message<'p>,
        course: &mut Course<'_>,
    ) -> Result<(), Reason<'p>> {
        let pattern = Pattern::new(message.address())?;
        if pattern.is_literal() {
            return Err(Reason::NoAddress);
        }
        course.matches = course.matches.checked_sub(self.book.len()).ok_or(Reason::TooManyPatterns)?;
        let mut reached = std::mem::take(&mut self.reached);
        reached.clear();
        reached.extend(self.book.matching(pattern));
        let none = if reached.is_empty() { Err(Reason::NoMatch) } else { Ok(()) };
        let staged = none.and(reached.iter().try_for_each(|method| self.stage(*method, message, course)));
        self.reached = reached;
        staged
    }
}

/// The last address of a packet and what has it: a packet's messages often go to one address.
struct Known<'p> {
    address: &'p [u8],
    method: Option<Method>,
}

/// Where in a packet the reading is.
struct Course<'a> {
    arrival: &'a Arrival,
    horizon: Span,
    timetags: Timetags,
    /// Whether the packet's first timetag was held against its arrival.
    measured: bool,
    timetag: u64,
    /// The time `timetag` means.
    when: When,
    /// How often a pattern may still be held against an address.
    matches: usize,
}

impl<'a> Course<'a> {
    fn new(arrival: &'a Arrival, horizon: Span, timetags: Timetags) -> Course<'a> {
        Course {
            arrival,
            horizon,
            timetags,
            measured: false,
            timetag: osc::IMMEDIATELY,
            when: When::arrived(arrival.at),
            matches: MATCHES_PER_PACKET,
        }
    }

    #[inline]
    fn move_to<'p>(&mut self, timetag: u64, senders: &mut Senders) -> Result<(), Reason<'p>> {
        if timetag == self.timetag {
            return Ok(());
        }
        self.timetag = timetag;
        self.when = match EnsembleTime::from_timetag(timetag) {
            None => When::arrived(self.arrival.at),
            Some(at) => {
                let sender = senders.of(self.arrival.from);
                let at = self.due(at, sender);
                let ahead = at - self.arrival.clock.room_at(self.arrival.at);
                if ahead > self.horizon {
                    return Err(Reason::TooFarAhead { ahead, horizon: self.horizon });
                }
                sender.accept(at, ahead);
                When::stamped(at, self.arrival.at)
            }
        };
        Ok(())
    }

    /// The room time a timetag means.
    #[inline(never)]
    fn due(&mut self, timetag: EnsembleTime, sender: &mut Sender) -> EnsembleTime {
        let Arrival { at, clock, .. } = self.arrival;
        let is_first = !std::mem::replace(&mut self.measured, true);
        match self.timetags {
            Timetags::Ensemble if is_first => {
                let room = sender.read(timetag, *at, clock);
                // A jump that it takes part in is none of its own clock.
                sender.clock.take(*at, room);
                room
            }
            Timetags::Ensemble => sender.room(timetag),
            Timetags::Sender => {
                if is_first {
                    sender.clock.take(*at, timetag);
                }
                // Its clock is its own: no jump of the ensemble's time is one of it.
                sender.clock.place(timetag).map_or(timetag, |at| clock.room_at(at))
            }
        }
    }
}
