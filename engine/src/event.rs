//! [`Event`]: what is to happen and when, as it crosses from the network to the audio thread.
//!
//! Everything here is `Copy`, of fixed size and already checked: finite, in range, of a known sample. Not for: parsing
//! (the net crate's `score`) or sounding (`voice`).

use crate::clip::ClipId;
use downbeat_sync::{EnsembleTime, LocalTime};
use std::num::NonZeroU32;

/// Most numeric arguments an instrument of a program's own can take.
pub const MAX_ARGS: usize = 8;

/// One thing to happen at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The instant, and when it came.
    pub when: When,
    /// Who asked: handed back in reports, so that the network thread knows whom to answer.
    pub from: Origin,
    /// What to do if it comes too late; the node's own policy if `None`.
    pub late: Option<LatePolicy>,
    /// What to do.
    pub action: Action,
}

/// When an event is due, and when it arrived.
///
/// Sixteen bytes, for it crosses a ring with every event: each of the two numbers has one value that says "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    timetag: u64,
    arrival: u64,
}

/// Stands for a timetag or an arrival that is not there. A time of just these bits is taken for the tick before.
const NONE: u64 = u64::MAX;

impl When {
    /// At once: it arrived at this local time, by the kernel's stamp where there is one.
    pub const fn arrived(arrival: LocalTime) -> When {
        When { timetag: NONE, arrival: some(arrival.ticks()) }
    }

    /// At this room time (the ensemble's time, but for jumps of it that were announced, which move nothing that waits), whenever it
    /// arrived: what a program plans itself is held to no arrival.
    pub const fn at(due: EnsembleTime) -> When {
        When { timetag: some(due.bits()), arrival: NONE }
    }

    /// At this room time; it arrived at this local time.
    pub const fn stamped(due: EnsembleTime, arrival: LocalTime) -> When {
        When { timetag: some(due.bits()), arrival: some(arrival.ticks()) }
    }

    /// The same, as if it had arrived at this local time, if it arrived at all.
    pub(crate) const fn arriving(self, at: LocalTime) -> When {
        match self.arrival {
            NONE => self,
            _ => When { arrival: some(at.ticks()), ..self },
        }
    }

    /// The instant it names, in room time; `None` if it means "at once".
    pub const fn timetag(self) -> Option<EnsembleTime> {
        match self.timetag {
            NONE => None,
            bits => Some(EnsembleTime::from_bits(bits)),
        }
    }

    /// When it arrived; `None` if the program itself planned it.
    pub const fn arrival(self) -> Option<LocalTime> {
        match self.arrival {
            NONE => None,
            ticks => Some(LocalTime::from_ticks(ticks)),
        }
    }
}

/// The bits of a time that is there.
const fn some(bits: u64) -> u64 {
    if bits == NONE { NONE - 1 } else { bits }
}

/// A sender, by a number the network thread gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Origin(pub u32);

/// What becomes of an event that can only be placed after its timetag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LatePolicy {
    /// It happens at the earliest instant it can ([`crate::Immediate`]), from its beginning.
    #[default]
    Play,
    /// It does not happen.
    Drop,
    /// The same, but it starts where it would be by then, by the ensemble's clock, so that it is in time from there on.
    Trim,
}

/// A voice by the name its sender gave it: the net crate interns names to numbers. Several voices may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VoiceId(NonZeroU32);

impl VoiceId {
    /// Of this number [0 to 2^32 - 2; one more is taken for that].
    pub const fn new(number: u32) -> VoiceId {
        // Kept as its complement, so that "none" is a number too and takes no room in an event.
        match NonZeroU32::new(!number) {
            Some(complement) => VoiceId(complement),
            None => VoiceId(NonZeroU32::MIN),
        }
    }
}

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Starts a clip.
    Play(Play),
    /// Starts a synthetic voice.
    Tone(Tone),
    /// One frame of this linear amplitude on every output channel.
    Click {
        /// Linear amplitude.
        gain: f32,
    },
    /// Starts an instrument a program registered.
    Instrument(Instrument),
    /// Moves a parameter of every sounding voice of this id.
    Set {
        /// Which voices.
        id: VoiceId,
        /// What of them.
        param: Param,
        /// The value it ends at, in the parameter's unit.
        value: f32,
        /// How long it takes [s, 0 or more].
        seconds: f32,
    },
    /// Releases voices.
    Stop(Target),
    /// Silences every voice at once and forgets every scheduled event.
    Panic,
    /// Withdraws scheduled events (of this id, or all); answered by [`crate::Report::Cancelled`].
    Cancel(Option<VoiceId>),
    /// Moves the gain of the whole output.
    MasterGain {
        /// Linear amplitude.
        value: f32,
        /// How long it takes [s, 0 or more].
        seconds: f32,
    },
    /// Mutes or unmutes the whole output.
    MasterMute {
        /// Muted.
        on: bool,
        /// How long it takes [s, 0 or more].
        seconds: f32,
    },
}

/// Whom a stop is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every voice.
    All,
    /// Voices of this id.
    Voice(VoiceId),
    /// Voices of this clip.
    Clip(ClipId),
}

/// A parameter of a sounding voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// Linear amplitude [0 or more].
    Gain,
    /// Place between the first two output channels [-1 left to 1 right].
    Pan,
    /// Speed of a clip [1 is its own; more than 0].
    Rate,
    /// Frequency of a tone (Hz).
    Freq,
}

/// What every sounding voice has, whatever its source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VoiceShape {
    /// Name for later `set`, `stop` and `cancel`.
    pub id: Option<VoiceId>,
    /// Linear amplitude [0 or more].
    pub gain: f32,
    /// Place between the first two output channels [-1 left to 1 right].
    pub pan: f32,
    /// First output channel it sounds on [0-based]; `None` means panned between the first two.
    pub channel: Option<u16>,
    /// Rise to full level (s).
    pub attack: f32,
    /// Fall from full to the sustain level (s).
    pub decay: f32,
    /// Level held after the decay [0 to 1].
    pub sustain: f32,
    /// Fall to silence after the end or a stop (s).
    pub release: f32,
    /// Sounds this long before it is released (s); infinite: until its source ends or it is stopped.
    pub dur: f32,
}

/// A declicking release where nobody asked for another (s).
pub const DEFAULT_RELEASE: f32 = 0.005;

impl VoiceShape {
    /// How long it lets its source sound at the longest (s).
    pub(crate) fn lasts(&self) -> f64 {
        f64::from(self.dur) + f64::from(self.release)
    }
}

impl Default for VoiceShape {
    #[inline]
    fn default() -> Self {
        VoiceShape {
            id: None,
            gain: 1.0,
            pan: 0.0,
            channel: None,
            attack: 0.0,
            decay: 0.0,
            sustain: 1.0,
            release: DEFAULT_RELEASE,
            dur: f32::INFINITY,
        }
    }
}

/// Parameters of a clip's start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Play {
    /// Which clip.
    pub clip: ClipId,
    /// Speed [1 is the clip's own; more than 0].
    pub rate: f32,
    /// Where in the clip it starts [s, 0 or more].
    pub start: f64,
    /// Begins again at its end.
    pub looped: bool,
    /// Level, place and envelope.
    pub shape: VoiceShape,
}

/// Parameters of a synthetic voice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    /// Frequency [Hz, more than 0].
    pub freq: f32,
    /// Waveform.
    pub wave: Wave,
    /// Level, place and envelope.
    pub shape: VoiceShape,
}

/// A tone's waveform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wave {
    /// One partial.
    #[default]
    Sine,
    /// All partials, band-limited.
    Saw,
    /// Odd partials, band-limited.
    Square,
    /// White noise, the same on every node for one timetag.
    Noise,
}

/// Parameters for an instrument a program registered with the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instrument {
    /// Which of the registered instruments.
    pub bank: u8,
    /// Numeric arguments; those not given are NaN.
    pub args: [f32; MAX_ARGS],
    /// Level, place and envelope.
    pub shape: VoiceShape,
}

/// It crosses a ring a million times a second: what does not fit here any more is worth a thought.
const _: () = assert!(size_of::<Event>() <= 96);

impl Action {
    /// The id under which a scheduled event can be cancelled.
    pub fn id(&self) -> Option<VoiceId> {
        match self {
            Action::Play(play) => play.shape.id,
            Action::Tone(tone) => tone.shape.id,
            Action::Instrument(instrument) => instrument.shape.id,
            Action::Set { id, .. } => Some(*id),
            _ => None,
        }
    }
}
