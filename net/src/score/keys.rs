//! [`Key`]: the named parameters of a voice, and [`Draft`]: a voice while its arguments are read.
//!
//! Values are checked here, once: what goes on to the engine is finite and in range.

use super::refusal::{Range, Reason};
use crate::numbers::Numbers;
use crate::osc::Args;
use downbeat_engine::{Action, Event, LatePolicy, Param, Play, Tone, VoiceId, VoiceShape, Wave};
use std::fmt::{self, Display};

/// Ids longer than this would make the table of ids a store for anything (bytes).
const MAX_ID: usize = 64;
/// The first number of a voice whose id is a string; below it are those whose id is a number.
const NAMED: u32 = 1 << 31;
/// No voice has this id, unless two thousand million names were given.
pub(super) const NOBODY: VoiceId = VoiceId::new(u32::MAX);

/// Linear amplitude: 60 dB of boost are more than any sample needs, and keep sums of voices finite.
pub(super) const GAIN: Range = Range::new(0.0, 1000.0, "");
const DB: Range = Range::new(-1000.0, 60.0, "dB");
const PAN: Range = Range::new(-1.0, 1.0, "");
/// Ten octaves down, six up: beyond lies nothing that is heard as the sample.
const RATE: Range = Range::new(0.001, 64.0, "");
pub(super) const FREQ: Range = Range::new(0.001, 192_000.0, "Hz");
/// What takes time takes at most a day: such spans fit the engine's frame counts at any rate.
pub(super) const SECONDS: Range = Range::new(0.0, 86_400.0, "s");
const SUSTAIN: Range = Range::new(0.0, 1.0, "");
/// Any number an instrument may be given.
pub(super) const FINITE: Range = Range::new(f32::MIN as f64, f32::MAX as f64, "");
const ID: Range = Range::new(0.0, (NAMED - 1) as f64, "");

/// A parameter that is given by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Key {
    /// Linear amplitude [0 or more].
    Gain,
    /// Amplitude (dB).
    Db,
    /// Place between the first two channels [-1 to 1].
    Pan,
    /// First output channel [0-based].
    Channel,
    /// Speed of a sample [more than 0].
    Rate,
    /// Where in a sample to start (s).
    Start,
    /// Whether a sample begins again at its end.
    Loop,
    /// Waveform of a tone.
    Shape,
    /// Rise to full level (s).
    Attack,
    /// Fall to the sustain level (s).
    Decay,
    /// Level after the decay [0 to 1].
    Sustain,
    /// Fall to silence (s).
    Release,
    /// Time until the release (s).
    Dur,
    /// Name for later messages.
    Id,
    /// What to do if it comes too late.
    Late,
}

/// Some of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys(u16);

const ALL: [(Key, &str); 15] = [
    (Key::Gain, "gain"),
    (Key::Db, "db"),
    (Key::Pan, "pan"),
    (Key::Channel, "channel"),
    (Key::Rate, "rate"),
    (Key::Start, "start"),
    (Key::Loop, "loop"),
    (Key::Shape, "shape"),
    (Key::Attack, "attack"),
    (Key::Decay, "decay"),
    (Key::Sustain, "sustain"),
    (Key::Release, "release"),
    (Key::Dur, "dur"),
    (Key::Id, "id"),
    (Key::Late, "late"),
];

impl Key {
    /// As it is written in a message.
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    #[inline]
    fn parse(name: &[u8]) -> Option<Key> {
        Some(match name {
            b"gain" => Key::Gain,
            b"db" => Key::Db,
            b"pan" => Key::Pan,
            b"channel" => Key::Channel,
            b"rate" => Key::Rate,
            b"start" => Key::Start,
            b"loop" => Key::Loop,
            b"shape" => Key::Shape,
            b"attack" => Key::Attack,
            b"decay" => Key::Decay,
            b"sustain" => Key::Sustain,
            b"release" => Key::Release,
            b"dur" => Key::Dur,
            b"id" => Key::Id,
            b"late" => Key::Late,
            _ => return None,
        })
    }
}

impl Keys {
    /// Of every voice.
    const COMMON: Keys = Keys::of(&[
        Key::Gain,
        Key::Db,
        Key::Pan,
        Key::Channel,
        Key::Attack,
        Key::Decay,
        Key::Sustain,
        Key::Release,
        Key::Dur,
        Key::Id,
        Key::Late,
    ]);
    /// Of a sample.
    const PLAY: Keys = Keys::COMMON.and(Keys::of(&[Key::Rate, Key::Start, Key::Loop]));
    /// Of a tone.
    const TONE: Keys = Keys::COMMON.and(Keys::of(&[Key::Shape]));

    const fn of(keys: &[Key]) -> Keys {
        let mut bits = 0;
        let mut index = 0;
        while index < keys.len() {
            bits |= 1 << keys[index] as u8;
            index += 1;
        }
        Keys(bits)
    }

    const fn and(self, other: Keys) -> Keys {
        Keys(self.0 | other.0)
    }

    #[inline]
    fn has(self, key: Key) -> bool {
        self.0 & (1 << key as u8) != 0
    }
}

/// `gain, db, pan`.
impl Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (key, name) in ALL {
            if self.has(key) {
                write!(f, "{between}{name}")?;
                between = ", ";
            }
        }
        Ok(())
    }
}

/// The ids of voices, numbers and strings alike, as the engine knows them.
#[derive(Debug)]
pub(super) struct Ids {
    named: Numbers<Vec<u8>>,
}

impl Ids {
    pub(super) fn new(capacity: usize) -> Ids {
        Ids { named: Numbers::new(capacity) }
    }

    /// The next argument as an id, which is given a number if it has none.
    pub(super) fn id<'p>(&mut self, args: &mut Args<'p>) -> Result<VoiceId, Reason<'p>> {
        match args.take_text() {
            Some(name) if name.len() > MAX_ID => {
                Err(Reason::TooLong { what: "id", most: MAX_ID, got: name.len() })
            }
            Some(name) => Ok(VoiceId::new(NAMED + self.named.number(name))),
            None => numbered(args),
        }
    }

    /// The next argument as an id that a voice could have; the text of it if none can.
    pub(super) fn known<'p>(&self, args: &mut Args<'p>) -> Result<Result<VoiceId, &'p [u8]>, Reason<'p>> {
        match args.take_text() {
            Some(name) => Ok(self.named.find(name).map(|number| VoiceId::new(NAMED + number)).ok_or(name)),
            None => numbered(args).map(Ok),
        }
    }

    /// How many ids were forgotten for newer ones.
    pub(super) fn forgotten(&self) -> u64 {
        self.named.forgotten()
    }
}

/// Pd has no integers, so 7.0 is 7.
fn numbered<'p>(args: &mut Args<'p>) -> Result<VoiceId, Reason<'p>> {
    let Some(got) = args.take_number() else {
        return Err(mismatch("id", "a string or a whole number", args.next_tag()));
    };
    if !ID.contains(got) || got.fract() != 0.0 {
        return Err(Reason::Range { what: "id", range: ID, got });
    }
    Ok(VoiceId::new(got as u32))
}

/// A staged voice while its arguments are read: what of it can be given by name.
pub(super) struct Draft<'e> {
    late: &'e mut Option<LatePolicy>,
    shape: &'e mut VoiceShape,
    source: Source<'e>,
    ids: &'e mut Ids,
    channels: u16,
}

/// What not every voice has.
enum Source<'e> {
    Sample { rate: &'e mut f32, start: &'e mut f64, looped: &'e mut bool },
    Tone(&'e mut Wave),
    Instrument,
}

impl<'e> Draft<'e> {
    /// The voice an event starts, if it does, on a node of so many channels.
    #[inline]
    pub(super) fn of(event: &'e mut Event, ids: &'e mut Ids, channels: u16) -> Option<Draft<'e>> {
        let (shape, source) = match &mut event.action {
            Action::Play(Play { shape, rate, start, looped, .. }) => {
                (shape, Source::Sample { rate, start, looped })
            }
            Action::Tone(Tone { shape, wave, .. }) => (shape, Source::Tone(wave)),
            Action::Instrument(instrument) => (&mut instrument.shape, Source::Instrument),
            _ => return None,
        };
        Some(Draft { late: &mut event.late, shape, source, ids, channels })
    }

    /// Takes pairs of key and value up to the end of the message.
    pub(super) fn take_pairs<'p>(mut self, mut args: Args<'p>) -> Result<(), Reason<'p>> {
        while let Some(tag) = args.next_tag() {
            let name = args.take_text().ok_or(Reason::NotAKey(tag))?;
            let key = Key::parse(name).ok_or(Reason::UnknownKey { key: name, keys: self.keys() })?;
            if args.next_tag().is_none() {
                return Err(Reason::NoValue(key));
            }
            self.take(key, &mut args)?;
        }
        Ok(())
    }

    /// Takes the value of a key.
    #[inline(always)]
    fn take<'p>(&mut self, key: Key, args: &mut Args<'p>) -> Result<(), Reason<'p>> {
        let number = |range, args: &mut Args<'p>| number(key.name(), range, args);
        match (key, &mut self.source) {
            (Key::Gain, _) => self.shape.gain = gain(args)?,
            (Key::Db, _) => self.shape.gain = linear(number(DB, args)?),
            (Key::Pan, _) => self.shape.pan = pan(args)?,
            (Key::Attack, _) => self.shape.attack = number(SECONDS, args)? as f32,
            (Key::Decay, _) => self.shape.decay = number(SECONDS, args)? as f32,
            (Key::Sustain, _) => self.shape.sustain = number(SUSTAIN, args)? as f32,
            (Key::Release, _) => self.shape.release = number(SECONDS, args)? as f32,
            (Key::Dur, _) => self.shape.dur = number(SECONDS, args)? as f32,
            (Key::Channel, _) => self.shape.channel = Some(channel(args, self.channels)?),
            (Key::Late, _) => *self.late = Some(late(args)?),
            (Key::Id, _) => self.shape.id = Some(self.ids.id(args)?),
            (Key::Rate, Source::Sample { rate: value, .. }) => **value = rate(args)?,
            (Key::Start, Source::Sample { start, .. }) => **start = number(SECONDS, args)?,
            (Key::Loop, Source::Sample { looped, .. }) => **looped = switch(key.name(), args)?,
            (Key::Shape, Source::Tone(shape)) => **shape = wave(args)?,
            (Key::Rate | Key::Start | Key::Loop | Key::Shape, _) => {
                return Err(Reason::UnknownKey { key: key.name().as_bytes(), keys: self.keys() });
            }
        }
        Ok(())
    }

    /// The keys this voice has.
    fn keys(&self) -> Keys {
        match self.source {
            Source::Sample { .. } => Keys::PLAY,
            Source::Tone(_) => Keys::TONE,
            Source::Instrument => Keys::COMMON,
        }
    }
}

/// The parameter of a sounding voice that `/set` names, and the value it is given.
pub(super) fn param<'p>(args: &mut Args<'p>) -> Result<(Param, f32), Reason<'p>> {
    const WANTED: &str = "gain, db, pan, rate or freq";
    let Some(key) = args.take_text() else { return Err(mismatch("the key", WANTED, args.next_tag())) };
    Ok(match key {
        b"gain" => (Param::Gain, gain(args)?),
        b"db" => (Param::Gain, linear(number("db", DB, args)?)),
        b"pan" => (Param::Pan, pan(args)?),
        b"rate" => (Param::Rate, rate(args)?),
        b"freq" => (Param::Freq, number("freq", FREQ, args)? as f32),
        other => return Err(Reason::Word { what: "the key", wanted: WANTED, got: other }),
    })
}

/// The next argument as a linear amplitude.
#[inline(always)]
pub(super) fn gain<'p>(args: &mut Args<'p>) -> Result<f32, Reason<'p>> {
    Ok(number("gain", GAIN, args)? as f32)
}

/// The next argument as a place between the first two channels.
#[inline(always)]
pub(super) fn pan<'p>(args: &mut Args<'p>) -> Result<f32, Reason<'p>> {
    Ok(number("pan", PAN, args)? as f32)
}

/// The next argument as the speed of a sample.
#[inline(always)]
pub(super) fn rate<'p>(args: &mut Args<'p>) -> Result<f32, Reason<'p>> {
    Ok(number("rate", RATE, args)? as f32)
}

/// The next argument as a number in range.
#[inline(always)]
pub(super) fn number<'p>(what: &'static str, range: Range, args: &mut Args<'p>) -> Result<f64, Reason<'p>> {
    match args.take_number() {
        Some(got) if range.contains(got) => Ok(got),
        Some(got) => Err(Reason::Range { what, range, got }),
        None => Err(mismatch(what, "a number", args.next_tag())),
    }
}

/// The next argument as on or off: a number, or OSC's true and false.
pub(super) fn switch<'p>(what: &'static str, args: &mut Args<'p>) -> Result<bool, Reason<'p>> {
    match args.next_tag() {
        Some(tag @ (b'T' | b'F')) => {
            args.next();
            Ok(tag == b'T')
        }
        _ => Ok(number(what, Range::new(0.0, 1.0, ""), args)? != 0.0),
    }
}

/// Why the next argument is not what is wanted: it is of another type, or not there. Takes its tag and not the arguments:
/// what a function that is not inlined is lent stays in memory, on the way without errors too.
#[cold]
pub(super) fn mismatch<'p>(what: &'static str, wanted: &'static str, next: Option<u8>) -> Reason<'p> {
    match next {
        Some(got) => Reason::Type { what, wanted, got },
        None => Reason::Missing(what),
    }
}

fn linear(db: f64) -> f32 {
    10f64.powf(db / 20.0) as f32
}

fn channel<'p>(args: &mut Args<'p>, channels: u16) -> Result<u16, Reason<'p>> {
    let range = Range::new(0.0, f64::from(channels.saturating_sub(1)), "(channels are counted from 0)");
    let got = number("channel", range, args)?;
    if got.fract() == 0.0 { Ok(got as u16) } else { Err(Reason::Range { what: "channel", range, got }) }
}

fn wave<'p>(args: &mut Args<'p>) -> Result<Wave, Reason<'p>> {
    word("shape", "sine, saw, square or noise", args, |word| {
        Some(match word {
            b"sine" => Wave::Sine,
            b"saw" => Wave::Saw,
            b"square" => Wave::Square,
            b"noise" => Wave::Noise,
            _ => return None,
        })
    })
}

fn late<'p>(args: &mut Args<'p>) -> Result<LatePolicy, Reason<'p>> {
    word("late", "play, drop or trim", args, |word| {
        Some(match word {
            b"play" => LatePolicy::Play,
            b"drop" => LatePolicy::Drop,
            b"trim" => LatePolicy::Trim,
            _ => return None,
        })
    })
}

fn word<'p, T>(
    what: &'static str,
    wanted: &'static str,
    args: &mut Args<'p>,
    meaning: impl Fn(&[u8]) -> Option<T>,
) -> Result<T, Reason<'p>> {
    let Some(got) = args.take_text() else { return Err(mismatch(what, wanted, args.next_tag())) };
    meaning(got).ok_or(Reason::Word { what, wanted, got })
}
