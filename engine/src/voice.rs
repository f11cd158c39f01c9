//! [`Voice`]: one source with its level, place and envelope around it, added to the output.
//!
//! Not for: which voices there are and whom a change reaches (`voices`), nor the sound itself (`sampler`, `tone`,
//! instruments).

use crate::clip::ClipId;
use crate::envelope::{Envelope, Level};
use crate::event::{Param, Target, VoiceId, VoiceShape};
use crate::ramp::Ramp;
use crate::sampler::Sampler;
use crate::source::{MAX_RUN, MAX_SOURCE_CHANNELS, Progress, Source, Start};
use crate::tone::ToneSource;
use std::f64::consts::FRAC_PI_4;
use std::ops::Range;

/// When a voice was born, or a change is made: orders the two, as they may come to the same frame.
///
/// A voice that rings ahead of its onset is begun before it, and must not be hit by a change between the two.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Born {
    /// The instant, exactly [frames of the output].
    pub position: f64,
    /// The order of arrival among equal instants.
    pub seq: u32,
}

impl Born {
    /// After everything else.
    pub const LAST: Born = Born { position: f64::INFINITY, seq: u32::MAX };
}

/// What a voice plays. Instruments stay in their bank.
pub(crate) enum Sound {
    Clip(Sampler),
    Tone(ToneSource),
    Instrument { bank: u8, instance: u8 },
}

/// One sounding voice.
pub(crate) struct Voice {
    pub(crate) sound: Sound,
    pub(crate) born: Born,
    /// It was taken from its sender to make room and is fading out.
    pub(crate) stolen: bool,
    id: Option<VoiceId>,
    clip: Option<ClipId>,
    gain: Ramp,
    pan: Ramp,
    channel: Option<usize>,
    envelope: Envelope,
    /// Frames of silence before its source begins.
    wait: usize,
}

/// How loud each source channel is on an output channel.
#[derive(Clone, Copy)]
enum Place {
    /// A mono source on one output channel.
    Straight(usize),
    /// A mono source between two.
    Panned,
    /// A stereo source on one output channel.
    Summed(usize),
    /// A stereo source on two neighbours, balanced between them.
    Balanced(usize),
}

impl Voice {
    pub(crate) fn new(
        sound: Sound,
        clip: Option<ClipId>,
        shape: &VoiceShape,
        (wait, start): (usize, Start),
        born: Born,
    ) -> Voice {
        Voice {
            wait,
            sound,
            born,
            stolen: false,
            id: shape.id,
            clip,
            gain: Ramp::new(f64::from(shape.gain)),
            pan: Ramp::new(f64::from(shape.pan)),
            channel: shape.channel.map(usize::from),
            envelope: Envelope::new(shape, start.rate, start.offset + start.skip),
        }
    }

    pub(crate) fn has_id(&self, id: VoiceId) -> bool {
        self.id == Some(id)
    }

    /// Whether it was taken up ahead of its onset and has not sounded yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait > 0
    }

    pub(crate) fn is_meant(&self, target: Target) -> bool {
        match target {
            Target::All => true,
            Target::Voice(id) => self.has_id(id),
            Target::Clip(clip) => self.clip == Some(clip),
        }
    }

    pub(crate) fn release(&mut self) {
        self.envelope.release();
    }

    /// Falls to silence in so many frames at the latest.
    pub(crate) fn fade(&mut self, frames: f64) {
        self.envelope.fade(frames);
    }

    pub(crate) fn released(&self) -> bool {
        self.envelope.released()
    }

    /// How loud it is now, whatever it plays [linear amplitude].
    pub(crate) fn level(&self) -> f64 {
        self.envelope.value() * self.gain.value()
    }

    /// Moves a parameter every voice has; `false` if it is one of its source.
    pub(crate) fn set(&mut self, param: Param, value: f32, frames: u32) -> bool {
        match param {
            Param::Gain => self.gain.head_for(f64::from(value), frames),
            Param::Pan => self.pan.head_for(f64::from(value), frames),
            Param::Rate | Param::Freq => return false,
        }
        true
    }

    /// Adds the next frames to the bus; `false` once it has ended. `source` is what [`Voice::sound`] says.
    pub(crate) fn mix(
        &mut self,
        instrument: Option<&mut dyn Source>,
        bus: &mut [Box<[f32]>],
        mut frames: Range<usize>,
    ) -> bool {
        let waited = self.wait.min(frames.len());
        self.wait -= waited;
        frames.start += waited;
        let mut runs = [[0.0; MAX_RUN]; MAX_SOURCE_CHANNELS];
        let mut levels = [0.0; MAX_RUN];
        let [left, right] = &mut runs;
        let len = frames.len();
        let sounding = self.envelope.sounding(len);
        let (left, right) = (&mut left[..sounding], &mut right[..sounding]);
        let mut run = [&mut *left, &mut *right];
        let (channels, progress) = match (&mut self.sound, instrument) {
            (Sound::Clip(sampler), _) => (sampler.channels(), sampler.fill(&mut run)),
            (Sound::Tone(tone), _) => (tone.channels(), tone.fill(&mut run)),
            (Sound::Instrument { .. }, Some(source)) => (source.channels(), source.fill(&mut run)),
            (Sound::Instrument { .. }, None) => return false,
        };
        let count = match progress {
            Progress::Playing => sounding,
            Progress::Done(count) => count.min(sounding),
        };
        let at = frames.start..frames.start + count;
        let (left, right) = (&left[..count], &right[..count]);
        let level = self.levels(&mut levels[..count]);
        let gains = level.gains(&levels[..count]);
        match self.place(channels, bus.len()) {
            Place::Straight(channel) => gains.add(left, 1.0, bus.get_mut(channel), at),
            Place::Summed(channel) => {
                gains.add(left, 0.5, bus.get_mut(channel), at.clone());
                gains.add(right, 0.5, bus.get_mut(channel), at);
            }
            Place::Panned => {
                self.between(bus, 0, at, count, |pan| (power(-pan), power(pan)), [left, left], gains)
            }
            Place::Balanced(first) => self.between(
                bus,
                first,
                at,
                count,
                |pan| ((1.0 - pan).min(1.0) as f32, (1.0 + pan).min(1.0) as f32),
                [left, right],
                gains,
            ),
        }
        count == len && progress == Progress::Playing
    }

    fn place(&self, channels: usize, outputs: usize) -> Place {
        match (channels, self.channel) {
            (1, Some(channel)) => Place::Straight(channel),
            (1, None) if outputs == 1 => Place::Straight(0),
            (1, None) => Place::Panned,
            (_, Some(channel)) => Place::Balanced(channel),
            (_, None) if outputs == 1 => Place::Summed(0),
            (_, None) => Place::Balanced(0),
        }
    }

    /// Envelope times gain.
    fn levels(&mut self, out: &mut [f32]) -> Level {
        let level = self.envelope.fill(out);
        if self.gain.at_rest() {
            let gain = self.gain.value() as f32;
            return match level {
                Level::Flat(level) => Level::Flat(level * gain),
                Level::Moving => {
                    out.iter_mut().for_each(|level| *level *= gain);
                    Level::Moving
                }
            };
        }
        if let Level::Flat(level) = level {
            out.fill(level);
        }
        let mut gains = [0.0; MAX_RUN];
        self.gain.fill(&mut gains[..out.len()]);
        for (level, gain) in out.iter_mut().zip(gains) {
            *level *= gain;
        }
        Level::Moving
    }

    #[expect(clippy::too_many_arguments)]
    fn between(
        &mut self,
        bus: &mut [Box<[f32]>],
        first: usize,
        at: Range<usize>,
        count: usize,
        law: impl Fn(f64) -> (f32, f32),
        sources: [&[f32]; 2],
        gains: Gains<'_>,
    ) {
        if self.pan.at_rest() {
            let (left, right) = law(self.pan.value());
            gains.add(sources[0], left, bus.get_mut(first), at.clone());
            gains.add(sources[1], right, bus.get_mut(first + 1), at);
            return;
        }
        for i in 0..count {
            let (left, right) = law(self.pan.step());
            for (channel, share) in [left, right].into_iter().enumerate() {
                if let Some(out) = bus.get_mut(first + channel) {
                    out[at.start + i] += sources[channel][i] * (gains.at(i) * share);
                }
            }
        }
    }
}

/// Equal power: the amplitude of the right one of two channels [pan -1 to 1]; of the left one for the opposite pan.
fn power(pan: f64) -> f32 {
    ((pan + 1.0) * FRAC_PI_4).sin() as f32
}

impl Level {
    fn gains<'a>(self, levels: &'a [f32]) -> Gains<'a> {
        match self {
            Level::Flat(level) => Gains::Flat(level),
            Level::Moving => Gains::Moving(levels),
        }
    }
}

#[derive(Clone, Copy)]
enum Gains<'a> {
    Flat(f32),
    Moving(&'a [f32]),
}

impl Gains<'_> {
    fn at(&self, i: usize) -> f32 {
        match self {
            Gains::Flat(level) => *level,
            Gains::Moving(levels) => levels[i],
        }
    }

    /// Adds the source to an output channel, if there is one of that number.
    fn add(&self, source: &[f32], share: f32, out: Option<&mut Box<[f32]>>, at: Range<usize>) {
        let Some(out) = out else { return };
        let out = &mut out[at];
        match self {
            Gains::Flat(level) => {
                let gain = level * share;
                for (out, sample) in out.iter_mut().zip(source) {
                    *out += sample * gain;
                }
            }
            Gains::Moving(levels) => {
                for ((out, sample), level) in out.iter_mut().zip(source).zip(*levels) {
                    *out += sample * (level * share);
                }
            }
        }
    }
}
