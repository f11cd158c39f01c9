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
//! | `/panic`, `/sample/list`, `/status`, `/sync/status` | |
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
mod names;
mod refusal;
mod request;
#[cfg(test)]
mod tests;

use crate::osc::{self, Args, Message, Pattern, Timed};
use book::Book;
pub use book::{Ask, Method, TimeForm};
use downbeat_engine::{
    Action, ClipId, DEFAULT_EVENTS, Event, InstrumentEvent, MAX_ARGS, Origin, Play, Target, Tone, VoiceShape,
    Wave, When,
};
use downbeat_sync::{ClockEstimate, EnsembleTime, LocalTime, Span};
use keys::{Draft, FINITE, FREQ, GAIN, Ids, NOBODY, SECONDS};
pub use keys::{Key, Keys};
pub use refusal::{Range, Reason, Refusal};
pub use request::Request;

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
}

impl Default for ScoreConfig {
    fn default() -> Self {
        ScoreConfig { horizon: Span::from_secs(3600), channels: 2, events: DEFAULT_EVENTS }
    }
}

/// When, from whom and by which clock a packet came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When.
    pub at: LocalTime,
    /// From whom.
    pub from: Origin,
    /// The ensemble's clock, to tell timetags that are too far ahead.
    pub clock: ClockEstimate,
}

/// See the module.
#[derive(Debug)]
pub struct Score {
    config: ScoreConfig,
    book: Book,
    ids: Ids,
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
        let mut course = Course::new(arrival, self.config.horizon);
        for timed in osc::read(packet) {
            let timed = timed.map_err(|error| Refusal { address: b"", reason: error.into(), usage: "" })?;
            if let Err(reason) = self.take(&timed, &mut course) {
                let address = timed.message.address();
                return Err(Refusal { address, reason, usage: self.current.usage() });
            }
        }
        Ok(&mut self.staged)
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

    /// How many voice ids were forgotten to make room for newer ones.
    pub fn ids_forgotten(&self) -> u64 {
        self.ids.forgotten()
    }

    #[inline]
    fn take<'p>(&mut self, timed: &Timed<'p>, course: &mut Course<'_>) -> Result<(), Reason<'p>> {
        course.move_to(timed.timetag)?;
        match self.book.method(timed.message.address()) {
            Some(method) => self.stage(method, &timed.message, course),
            None => self.stage_matching(&timed.message, course),
        }
    }

    /// The message's address is a pattern, or nobody's.
    #[cold]
    fn stage_matching<'p>(
        &mut self,
        message: &Message<'p>,
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

    /// Stages what a message asks for.
    #[inline]
    fn stage<'p>(
        &mut self,
        method: Method,
        message: &Message<'p>,
        course: &Course<'_>,
    ) -> Result<(), Reason<'p>> {
        self.current = method;
        let mut args = message.args();
        let action = match method {
            Method::Play => Action::Play(plain(self.sample(&mut args)?)),
            Method::Sample(clip) => Action::Play(plain(clip)),
            Method::Tone => {
                let freq = keys::number("freq", FREQ, &mut args)? as f32;
                Action::Tone(Tone { freq, wave: Wave::Sine, shape: VoiceShape::default() })
            }
            Method::Instrument(bank) => {
                let args = numbers(&mut args)?;
                Action::Instrument(InstrumentEvent { bank, args, shape: VoiceShape::default() })
            }
            Method::Click => Action::Click { gain: click(&mut args)? },
            Method::Set => self.set(&mut args)?,
            Method::Stop => self.stop(&mut args)?,
            Method::Panic => Action::Panic,
            Method::Cancel => Action::Cancel(match args.next_tag() {
                // That nobody is named so is no error: the reply will be 0.
                Some(_) => Some(self.ids.known(&mut args)?.unwrap_or(NOBODY)),
                None => None,
            }),
            Method::MasterGain => {
                let value = keys::number("the value", GAIN, &mut args)? as f32;
                Action::MasterGain { value, seconds: seconds(&mut args)? }
            }
            Method::MasterMute => {
                let on = keys::switch("the value", &mut args)?;
                Action::MasterMute { on, seconds: seconds(&mut args)? }
            }
            Method::Ask(ask) => {
                self.staged.requests.push(Request::read(ask, message)?);
                return Ok(());
            }
            Method::Answer => {
                self.staged.answers += 1;
                return Ok(());
            }
        };
        if self.staged.events.len() >= self.config.events {
            return Err(Reason::Full);
        }
        // Staged before the rest of the arguments is read, which then goes right into it: copying an event that was
        // only just written costs more than reading the message.
        let (when, from) = (course.when, course.arrival.from);
        self.staged.events.push(Event { when, from, late: None, action });
        match method {
            Method::Play => {
                self.take_numbers(&mut args, &[Key::Gain, Key::Pan, Key::Rate])?;
                self.take_pairs(&mut args)
            }
            Method::Tone | Method::Instrument(_) => self.take_pairs(&mut args),
            // What follows may be anything.
            Method::Sample(_) => self.take_numbers(&mut args, &[Key::Gain]),
            _ => end(&args),
        }
    }

    /// The sample that is named first.
    #[inline]
    fn sample<'p>(&self, args: &mut Args<'p>) -> Result<ClipId, Reason<'p>> {
        let Some(name) = args.take_text() else {
            return Err(keys::mismatch("the sample's name", "a string", args));
        };
        self.book.clip(name).ok_or(Reason::NoSample(name))
    }

    /// Takes the numbers of the voice staged last that need no key, as many as there are.
    #[inline]
    fn take_numbers<'p>(&mut self, args: &mut Args<'p>, keys: &[Key]) -> Result<(), Reason<'p>> {
        let Some(mut draft) = self.staged.events.last_mut().and_then(Draft::of) else { return Ok(()) };
        for key in keys {
            if !next_is_number(args) {
                break;
            }
            draft.take(*key, args, &mut self.ids, self.config.channels)?;
        }
        Ok(())
    }

    /// Takes the pairs of key and value of the voice staged last, up to the end of the message.
    #[inline]
    fn take_pairs<'p>(&mut self, args: &mut Args<'p>) -> Result<(), Reason<'p>> {
        let Some(mut draft) = self.staged.events.last_mut().and_then(Draft::of) else { return Ok(()) };
        draft.take_pairs(args, &mut self.ids, self.config.channels)
    }

    fn set<'p>(&mut self, args: &mut Args<'p>) -> Result<Action, Reason<'p>> {
        let id = self.ids.known(args)?.map_err(Reason::NoVoice)?;
        let (param, value) = keys::param(args)?;
        Ok(Action::Set { id, param, value, seconds: seconds(args)? })
    }

    fn stop<'p>(&mut self, args: &mut Args<'p>) -> Result<Action, Reason<'p>> {
        if args.next_tag().is_none() {
            return Ok(Action::Stop(Target::All));
        }
        Ok(Action::Stop(match self.ids.known(args)? {
            Ok(id) => Target::Voice(id),
            Err(name) => Target::Clip(self.book.clip(name).ok_or(Reason::NoVoiceOrSample(name))?),
        }))
    }
}

/// Where in a packet the reading is.
struct Course<'a> {
    arrival: &'a Arrival,
    horizon: Span,
    timetag: u64,
    /// The time `timetag` means.
    when: When,
    /// How often a pattern may still be held against an address.
    matches: usize,
}

impl<'a> Course<'a> {
    fn new(arrival: &'a Arrival, horizon: Span) -> Course<'a> {
        let when = When::Arrived(arrival.at);
        Course { arrival, horizon, timetag: osc::IMMEDIATELY, when, matches: MATCHES_PER_PACKET }
    }

    #[inline]
    fn move_to<'p>(&mut self, timetag: u64) -> Result<(), Reason<'p>> {
        if timetag == self.timetag {
            return Ok(());
        }
        self.timetag = timetag;
        self.when = match EnsembleTime::from_timetag(timetag) {
            None => When::Arrived(self.arrival.at),
            Some(at) => {
                let ahead = at - self.arrival.clock.ensemble_at(self.arrival.at);
                if ahead > self.horizon {
                    return Err(Reason::TooFarAhead { ahead, horizon: self.horizon });
                }
                When::At(at)
            }
        };
        Ok(())
    }
}

/// A clip as it is.
fn plain(clip: ClipId) -> Play {
    Play { clip, rate: 1.0, start: 0.0, looped: false, shape: VoiceShape::default() }
}

/// The numbers of an instrument, up to the first pair.
fn numbers<'p>(args: &mut Args<'p>) -> Result<[f32; MAX_ARGS], Reason<'p>> {
    let mut numbers = [f32::NAN; MAX_ARGS];
    for number in &mut numbers {
        if !next_is_number(args) {
            return Ok(numbers);
        }
        *number = keys::number("a number", FINITE, args)? as f32;
    }
    if next_is_number(args) { Err(Reason::TooMany) } else { Ok(numbers) }
}

fn click<'p>(args: &mut Args<'p>) -> Result<f32, Reason<'p>> {
    match args.next_tag() {
        Some(_) => Ok(keys::number("gain", GAIN, args)? as f32),
        None => Ok(1.0),
    }
}

#[inline]
fn next_is_number(args: &Args<'_>) -> bool {
    matches!(args.next_tag(), Some(b'i' | b'f' | b'h' | b'd'))
}

/// How long a change takes, if the message says so.
fn seconds<'p>(args: &mut Args<'p>) -> Result<f32, Reason<'p>> {
    match args.next_tag() {
        Some(_) => Ok(keys::number("seconds", SECONDS, args)? as f32),
        None => Ok(0.0),
    }
}

fn end<'p>(args: &Args<'p>) -> Result<(), Reason<'p>> {
    if args.next_tag().is_some() { Err(Reason::TooMany) } else { Ok(()) }
}
