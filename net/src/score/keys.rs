//! [`Key`]: the named parameters of a voice, and [`Draft`]: a voice while its arguments are read.
//!
//! Values are checked here, once: what goes on to the engine is finite and in range.

use super::refusal::{Range, Reason};
use crate::numbers::Numbers;
use crate::osc::{Arg, Args};
use downbeat_engine::{LatePolicy, Param, VoiceId, VoiceShape, Wave};
use std::fmt::{self, Display};

/// Ids longer than this would make the table of ids a store for anything [bytes].
const MAX_ID: usize = 64;
/// The first number of a voice whose id is a string; below it are those whose id is a number.
const NAMED: u32 = 1 << 31;

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
    /// Amplitude [dB].
    Db,
    /// Place between the first two channels [-1 to 1].
    Pan,
    /// First output channel [0-based].
    Channel,
    /// Speed of a sample [more than 0].
    Rate,
    /// Where in a sample to start [s].
    Start,
    /// Whether a sample begins again at its end.
    Loop,
    /// Waveform of a tone.
    Shape,
    /// Rise to full level [s].
    Attack,
    /// Fall to the sustain level [s].
    Decay,
    /// Level after the decay [0 to 1].
    Sustain,
    /// Fall to silence [s].
    Release,
    /// Time until the release [s].
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
    pub(super) const COMMON: Keys = Keys::of(&[
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
    pub(super) const PLAY: Keys = Keys::COMMON.and(Keys::of(&[Key::Rate, Key::Start, Key::Loop]));
    /// Of a tone.
    pub(super) const TONE: Keys = Keys::COMMON.and(Keys::of(&[Key::Shape]));

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

    /// The id in an argument, which is given a number if it has none.
    pub(super) fn id<'p>(&mut self, arg: Arg<'p>) -> Result<VoiceId, Reason<'p>> {
        match arg.text() {
            Some(name) if name.len() > MAX_ID => {
                Err(Reason::TooLong { what: "id", most: MAX_ID, got: name.len() })
            }
            Some(name) => Ok(VoiceId(NAMED + self.named.number(name))),
            None => numbered(arg),
        }
    }

    /// The id in an argument, if any voice could have it.
    pub(super) fn known<'p>(&self, arg: Arg<'p>) -> Result<Option<VoiceId>, Reason<'p>> {
        match arg.text() {
            Some(name) => Ok(self.named.find(name).map(|number| VoiceId(NAMED + number))),
            None => numbered(arg).map(Some),
        }
    }

    /// How many ids were forgotten for newer ones.
    pub(super) fn forgotten(&self) -> u64 {
        self.named.forgotten()
    }
}

/// Pd has no integers, so 7.0 is 7.
fn numbered(arg: Arg<'_>) -> Result<VoiceId, Reason<'_>> {
    let wanted = Reason::Type { what: "id", wanted: "a string or a whole number", got: arg.tag() };
    let id = arg.number().ok_or(wanted)?;
    if !ID.contains(id) || id.fract() != 0.0 {
        return Err(Reason::Range { what: "id", range: ID, got: id });
    }
    Ok(VoiceId(id as u32))
}

/// A voice while its arguments are read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Draft {
    pub(super) shape: VoiceShape,
    pub(super) rate: Option<f32>,
    pub(super) start: f64,
    pub(super) looped: bool,
    pub(super) wave: Wave,
    pub(super) late: Option<LatePolicy>,
}

impl Draft {
    /// Reads pairs of key and value up to the end of the message.
    #[inline]
    pub(super) fn read_pairs<'p>(
        &mut self,
        mut args: Args<'p>,
        keys: Keys,
        ids: &mut Ids,
        channels: u16,
    ) -> Result<(), Reason<'p>> {
        while let Some(arg) = args.next() {
            let name = arg.text().ok_or(Reason::NotAKey(arg.tag()))?;
            let key = Key::parse(name).filter(|key| keys.has(*key));
            let key = key.ok_or(Reason::UnknownKey { key: name, keys })?;
            self.take(key, args.next().ok_or(Reason::NoValue(key))?, ids, channels)?;
        }
        Ok(())
    }

    /// Takes the value of a key.
    #[inline]
    pub(super) fn take<'p>(
        &mut self,
        key: Key,
        value: Arg<'p>,
        ids: &mut Ids,
        channels: u16,
    ) -> Result<(), Reason<'p>> {
        let number = |range| number(key.name(), range, value);
        match key {
            Key::Gain => self.shape.gain = number(GAIN)? as f32,
            Key::Db => self.shape.gain = linear(number(DB)?),
            Key::Pan => self.shape.pan = number(PAN)? as f32,
            Key::Rate => self.rate = Some(number(RATE)? as f32),
            Key::Start => self.start = number(SECONDS)?,
            Key::Loop => self.looped = switch(key.name(), value)?,
            Key::Shape => self.wave = wave(value)?,
            Key::Attack => self.shape.attack = number(SECONDS)? as f32,
            Key::Decay => self.shape.decay = number(SECONDS)? as f32,
            Key::Sustain => self.shape.sustain = number(SUSTAIN)? as f32,
            Key::Release => self.shape.release = number(SECONDS)? as f32,
            Key::Dur => self.shape.dur = Some(number(SECONDS)? as f32),
            Key::Late => self.late = Some(late(value)?),
            Key::Id => self.shape.id = Some(ids.id(value)?),
            Key::Channel => self.shape.channel = Some(channel(value, channels)?),
        }
        Ok(())
    }
}

/// The parameter of a sounding voice that `/set` names, and the value it is given.
pub(super) fn param<'p>(name: Arg<'p>, value: Arg<'p>) -> Result<(Param, f32), Reason<'p>> {
    const WANTED: &str = "gain, db, pan, rate or freq";
    let wanted = Reason::Type { what: "key", wanted: WANTED, got: name.tag() };
    Ok(match name.text().ok_or(wanted)? {
        b"gain" => (Param::Gain, number("gain", GAIN, value)? as f32),
        b"db" => (Param::Gain, linear(number("db", DB, value)?)),
        b"pan" => (Param::Pan, number("pan", PAN, value)? as f32),
        b"rate" => (Param::Rate, number("rate", RATE, value)? as f32),
        b"freq" => (Param::Freq, number("freq", FREQ, value)? as f32),
        other => return Err(Reason::Word { what: "key", wanted: WANTED, got: other }),
    })
}

/// A number in an argument, in range.
#[inline]
pub(super) fn number<'p>(what: &'static str, range: Range, arg: Arg<'p>) -> Result<f64, Reason<'p>> {
    let got = arg.number().ok_or(Reason::Type { what, wanted: "a number", got: arg.tag() })?;
    if range.contains(got) { Ok(got) } else { Err(Reason::Range { what, range, got }) }
}

/// On or off: a number, or OSC's true and false.
pub(super) fn switch<'p>(what: &'static str, arg: Arg<'p>) -> Result<bool, Reason<'p>> {
    match arg {
        Arg::True => Ok(true),
        Arg::False => Ok(false),
        _ => Ok(number(what, Range::new(0.0, 1.0, ""), arg)? != 0.0),
    }
}

fn linear(db: f64) -> f32 {
    10f64.powf(db / 20.0) as f32
}

fn channel(arg: Arg<'_>, channels: u16) -> Result<u16, Reason<'_>> {
    let range = Range::new(0.0, f64::from(channels.saturating_sub(1)), "(channels are counted from 0)");
    let got = number("channel", range, arg)?;
    if got.fract() == 0.0 { Ok(got as u16) } else { Err(Reason::Range { what: "channel", range, got }) }
}

fn wave(arg: Arg<'_>) -> Result<Wave, Reason<'_>> {
    Ok(match arg.text() {
        Some(b"sine") => Wave::Sine,
        Some(b"saw") => Wave::Saw,
        Some(b"square") => Wave::Square,
        Some(b"noise") => Wave::Noise,
        _ => return Err(word("shape", "sine, saw, square or noise", arg)),
    })
}

fn late(arg: Arg<'_>) -> Result<LatePolicy, Reason<'_>> {
    Ok(match arg.text() {
        Some(b"play") => LatePolicy::Play,
        Some(b"drop") => LatePolicy::Drop,
        Some(b"trim") => LatePolicy::Trim,
        _ => return Err(word("late", "play, drop or trim", arg)),
    })
}

fn word<'p>(what: &'static str, wanted: &'static str, arg: Arg<'p>) -> Reason<'p> {
    match arg.text() {
        Some(got) => Reason::Word { what, wanted, got },
        None => Reason::Type { what, wanted, got: arg.tag() },
    }
}
