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
mod refusal;
mod request;
#[cfg(test)]
mod tests;

use crate::osc::{self, Args, Message, Pattern};
use book::Book;
pub use book::{Ask, Method, TimeForm};
use downbeat_engine::{
    Action, ClipId, DEFAULT_EVENTS, Event, InstrumentEvent, LatePolicy, MAX_ARGS, Origin, Play, Target, Tone,
    VoiceShape, When,
};
use downbeat_sync::{ClockEstimate, EnsembleTime, LocalTime, Span};
use keys::{Draft, FINITE, FREQ, GAIN, Ids, SECONDS};
pub use keys::{Key, Keys};
pub use refusal::{Range, Reason, Refusal};
pub use request::Request;

/// How often patterns may be held against an address for one packet: a few milliseconds' worth.
const MATCHES_PER_PACKET: usize = 65_536;
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
        let mut matches = MATCHES_PER_PACKET;
        let mut times = Times { arrival, horizon: self.config.horizon, last: (osc::IMMEDIATELY, None) };
        for timed in osc::read(packet) {
            let timed = timed.map_err(|error| Refusal { address: b"", reason: error.into(), usage: "" })?;
            let message = &timed.message;
            let when = times.when(timed.timetag);
            let taken = when.and_then(|when| match self.book.method(message.address()) {
                Some(method) => self.stage(method, message, when, arrival.from),
                None => self.stage_matching(message, when, arrival.from, &mut matches),
            });
            taken.map_err(|reason| Refusal {
                address: message.address(),
                reason,
                usage: self.current.usage(),
            })?;
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

    /// Whether a sample has this name.
    pub fn has_sample(&self, name: &str) -> bool {
        self.book.clip(name.as_bytes()).is_some()
    }

    /// The names of all samples, sorted.
    pub fn samples(&self) -> Vec<&[u8]> {
        self.book.samples()
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

    /// The message's address is a pattern, or nobody's.
    #[cold]
    fn stage_matching<'p>(
        &mut self,
        message: &Message<'p>,
        when: When,
        from: Origin,
        matches: &mut usize,
    ) -> Result<(), Reason<'p>> {
        let pattern = Pattern::new(message.address())?;
        if pattern.is_literal() {
            return Err(Reason::NoAddress);
        }
        *matches = matches.checked_sub(self.book.len()).ok_or(Reason::TooManyPatterns)?;
        let mut reached = std::mem::take(&mut self.reached);
        reached.clear();
        reached.extend(self.book.matching(pattern));
        let none = if reached.is_empty() { Err(Reason::NoMatch) } else { Ok(()) };
        let staged = none.and(reached.iter().try_for_each(|method| self.stage(*method, message, when, from)));
        self.reached = reached;
        staged
    }

    #[inline]
    fn stage<'p>(
        &mut self,
        method: Method,
        message: &Message<'p>,
        when: When,
        from: Origin,
    ) -> Result<(), Reason<'p>> {
        self.current = method;
        let mut args = message.args();
        let mut late = None;
        let action = match method {
            Method::Play => self.play(&mut args, &mut late)?,
            Method::Sample(clip) => short(clip, &mut args)?,
            Method::Tone => self.tone(&mut args, &mut late)?,
            Method::Instrument(bank) => self.instrument(bank, &mut args, &mut late)?,
            Method::Click => Action::Click { gain: click(&mut args)? },
            Method::Set => self.set(&mut args)?,
            Method::Stop => self.stop(&mut args)?,
            Method::Panic => Action::Panic,
            Method::Cancel => Action::Cancel(match args.next_tag() {
                Some(_) => Some(self.ids.id(&mut args)?),
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
        end(&args)?;
        if self.staged.events.len() >= self.config.events {
            return Err(Reason::Full);
        }
        self.staged.events.push(Event { when, from, late, action });
        Ok(())
    }

    #[inline]
    fn play<'p>(&mut self, args: &mut Args<'p>, late: &mut Option<LatePolicy>) -> Result<Action, Reason<'p>> {
        let Some(name) = args.take_text() else {
            return Err(keys::mismatch("the sample's name", "a string", args));
        };
        let clip = self.book.clip(name).ok_or(Reason::NoSample(name))?;
        let mut draft = Draft::default();
        for key in [Key::Gain, Key::Pan, Key::Rate] {
            if !next_is_number(args) {
                break;
            }
            draft.take(key, args, &mut self.ids, self.config.channels)?;
        }
        draft.read_pairs(args, Keys::PLAY, &mut self.ids, self.config.channels)?;
        *late = draft.late;
        let Draft { shape, rate, start, looped, .. } = draft;
        Ok(Action::Play(Play { clip, rate: rate.unwrap_or(1.0), start, looped, shape }))
    }

    fn tone<'p>(&mut self, args: &mut Args<'p>, late: &mut Option<LatePolicy>) -> Result<Action, Reason<'p>> {
        let freq = keys::number("freq", FREQ, args)? as f32;
        let mut draft = Draft::default();
        draft.read_pairs(args, Keys::TONE, &mut self.ids, self.config.channels)?;
        *late = draft.late;
        Ok(Action::Tone(Tone { freq, wave: draft.wave, shape: draft.shape }))
    }

    fn instrument<'p>(
        &mut self,
        bank: u8,
        args: &mut Args<'p>,
        late: &mut Option<LatePolicy>,
    ) -> Result<Action, Reason<'p>> {
        let mut numbers = [f32::NAN; MAX_ARGS];
        for number in &mut numbers {
            if !next_is_number(args) {
                break;
            }
            *number = keys::number("a number", FINITE, args)? as f32;
        }
        if next_is_number(args) {
            return Err(Reason::TooMany);
        }
        let mut draft = Draft::default();
        draft.read_pairs(args, Keys::COMMON, &mut self.ids, self.config.channels)?;
        *late = draft.late;
        Ok(Action::Instrument(InstrumentEvent { bank, args: numbers, shape: draft.shape }))
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

/// Timetags of one packet: mostly all the same, so the last answer is kept.
struct Times<'a> {
    arrival: &'a Arrival,
    horizon: Span,
    last: (u64, Option<When>),
}

impl Times<'_> {
    #[inline]
    fn when<'p>(&mut self, timetag: u64) -> Result<When, Reason<'p>> {
        if let (last, Some(when)) = self.last
            && last == timetag
        {
            return Ok(when);
        }
        let when = match EnsembleTime::from_timetag(timetag) {
            None => When::Arrived(self.arrival.at),
            Some(at) => {
                let ahead = at - self.arrival.clock.ensemble_at(self.arrival.at);
                if ahead > self.horizon {
                    return Err(Reason::TooFarAhead { ahead, horizon: self.horizon });
                }
                When::At(at)
            }
        };
        self.last = (timetag, Some(when));
        Ok(when)
    }
}

/// A sample by its own address: its arguments may be anything.
fn short<'p>(clip: ClipId, args: &mut Args<'p>) -> Result<Action, Reason<'p>> {
    let mut play = Play { clip, rate: 1.0, start: 0.0, looped: false, shape: VoiceShape::default() };
    if next_is_number(args) {
        play.shape.gain = keys::number("gain", GAIN, args)? as f32;
    }
    args.by_ref().for_each(drop);
    Ok(Action::Play(play))
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
