//! [`Voice`]: one source with its level, place and envelope around it, added to the output.
//!
//! Not for: which voices there are and whom a change reaches (`voices`), nor the sound itself (`sampler`, `tone`,
//! instruments).

use crate::clip::ClipId;
use crate::envelope::Envelope;
use crate::event::{Param, Target, VoiceId, VoiceShape};
use crate::follow::{Beat, Follower, Gap, Order};
use crate::ramp::{Ramp, Values};
use crate::sampler::Sampler;
use crate::simd;
use crate::source::{MAX_RUN, MAX_SOURCE_CHANNELS, Progress, Source, Start};
use crate::tone::ToneSource;
use pulp::{Simd, WithSimd};
use std::cmp::Ordering;
use std::f32::consts::FRAC_PI_4;
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

    pub(crate) fn order(self, other: Born) -> Ordering {
        self.position.total_cmp(&other.position).then(self.seq.cmp(&other.seq))
    }
}

/// What a voice plays. Instruments stay in their bank.
pub(crate) enum Sound {
    Clip(Sampler),
    Tone(ToneSource),
    Instrument { bank: u8, instance: u8 },
}

impl Sound {
    /// What fills the frames: itself, or the instrument it names.
    fn source<'a, 'b>(
        &'a mut self,
        instrument: Option<&'a mut (dyn Source + 'b)>,
    ) -> Option<&'a mut (dyn Source + 'b)> {
        match self {
            Sound::Clip(sampler) => Some(sampler),
            Sound::Tone(tone) => Some(tone),
            Sound::Instrument { .. } => instrument,
        }
    }
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
    /// The amplitude of either route at the last pan that rested: a sine takes as long as a dozen frames.
    shares: [Resting; 2],
    channel: Option<usize>,
    envelope: Envelope,
    /// Frames of silence before its source begins.
    wait: usize,
    follower: Option<Follower>,
    passage: Passage,
}

/// The way from where a voice is to where it should be, if that is too far to be worked off.
#[derive(Clone, Copy)]
enum Passage {
    /// None, or it is behind.
    Done,
    /// Fading out, to leap then, and fade in over as many frames.
    Out { fade: Ramp, frames: u32 },
    /// Waiting for its time, and fading in.
    In { wait: usize, fade: Ramp },
}

/// How long a sound fades in that is begun in its middle because it came late, or fades out that is stolen (s).
pub(crate) const DECLICK: f64 = 0.002;

/// Room for the frames of one run, used by one voice after another.
pub(crate) struct Scratch {
    runs: [[f32; MAX_RUN]; MAX_SOURCE_CHANNELS],
    levels: [f32; MAX_RUN],
    gains: [f32; MAX_RUN],
    pans: [f32; MAX_RUN],
    shares: [f32; MAX_RUN],
}

impl Scratch {
    pub(crate) fn new() -> Scratch {
        let silence = [0.0; MAX_RUN];
        Scratch {
            runs: [silence; MAX_SOURCE_CHANNELS],
            levels: silence,
            gains: silence,
            pans: silence,
            shares: silence,
        }
    }
}

/// One way from a source's channel to an output's.
#[derive(Clone, Copy)]
struct Route {
    source: usize,
    output: usize,
    share: Share,
}

/// How much of a source's channel goes along a route.
#[derive(Clone, Copy, PartialEq)]
enum Share {
    /// All of it.
    Whole,
    /// Half of its amplitude: a stereo source on one output.
    Half,
    /// A mono source's share of the left or right one of two outputs: equal power.
    PannedLeft,
    /// The same on the right.
    PannedRight,
    /// A stereo source's left channel, turned down towards the right.
    BalancedLeft,
    /// The same on the right.
    BalancedRight,
}

/// A share at a pan that does not move, as an amplitude.
#[derive(Clone, Copy)]
struct Resting {
    share: Share,
    pan: f32,
    amplitude: f32,
}

impl Resting {
    /// The amplitude of this share at this pan, computed if it is another than last time.
    fn amplitude(&mut self, share: Share, pan: f32) -> f32 {
        if (share, pan) != (self.share, self.pan) {
            *self = Resting { share, pan, amplitude: share.amplitude_anew(pan) };
        }
        self.amplitude
    }
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
            gain: faded_in(f64::from(shape.gain), start),
            pan: Ramp::new(f64::from(shape.pan)),
            shares: [Resting { share: Share::Whole, pan: 0.0, amplitude: 1.0 }; 2],
            channel: shape.channel.map(usize::from),
            follower: None,
            passage: Passage::Done,
            envelope: Envelope::new(shape, start.rate, start.offset + start.skip),
        }
    }

    pub(crate) fn has_id(&self, id: VoiceId) -> bool {
        self.id == Some(id)
    }

    /// Has it wait so many frames more.
    pub(crate) fn delay(&mut self, frames: usize) {
        self.wait += frames;
    }

    /// From its onset on it follows the ensemble's time.
    pub(crate) fn follow(&mut self, follower: Follower) {
        self.follower = Some(follower);
    }

    /// How much faster than the sound card it goes, if it follows the ensemble's time [1].
    pub(crate) fn trim(&self) -> Option<f64> {
        self.follower.and_then(|follower| follower.trim())
    }

    /// A part begins: corrects the speed; whether it begins to leap instead, over so many `fade` frames. An instrument is
    /// what [`Voice::sound`] names.
    pub(crate) fn beat(&mut self, instrument: Option<&mut dyn Source>, beat: &Beat, fade: u32) -> bool {
        let sounds = self.wait == 0;
        let Some(follower) = &mut self.follower else { return false };
        let order = follower.beat(beat, sounds);
        // Asked before a leap too: a source that cannot follow is not to be silenced for nothing.
        if let Some(trim) = follower.trim()
            && !self.sound.source(instrument).is_some_and(|source| source.follow(trim))
        {
            self.follower = None;
            return false;
        }
        let leaps = order == Order::Leap && self.passage.is_clear();
        if leaps {
            let mut out = Ramp::new(self.passage.level());
            out.head_for(0.0, fade);
            self.passage = Passage::Out { fade: out, frames: fade };
        }
        leaps
    }

    /// Whether it was taken up ahead of its onset and has not sounded yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait > 0
    }

    /// Whether nothing of it is left to be heard.
    pub(crate) fn is_over(&self) -> bool {
        let played = matches!(&self.sound, Sound::Clip(sampler) if sampler.is_over());
        played || self.envelope.sounding(1) == 0
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

    /// Gives it up to make room: it fades out quickly.
    pub(crate) fn steal(&mut self, rate: f64) {
        self.stolen = true;
        self.envelope.fade(DECLICK * rate);
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

    /// Adds the next frames, at most [`MAX_RUN`], to the bus; `false` once it has ended. An instrument is what
    /// [`Voice::sound`] names.
    pub(crate) fn mix(
        &mut self,
        instrument: Option<&mut dyn Source>,
        bus: &mut [Box<[f32]>],
        scratch: &mut Scratch,
        mut frames: Range<usize>,
    ) -> bool {
        let waited = self.wait.min(frames.len());
        self.wait -= waited;
        frames.start += waited;
        if frames.is_empty() {
            return true;
        }

        let Scratch { runs, levels, gains, pans, shares } = scratch;
        let Some(source) = self.sound.source(instrument) else { return false };
        if let Passage::Out { fade, frames: over } = self.passage
            && fade.at_rest()
        {
            let mut fade = Ramp::new(0.0);
            fade.head_for(1.0, over);
            let wait = match self.follower.as_mut().map(Follower::gap) {
                Some(Gap::Wait(wait)) => wait,
                Some(Gap::Ahead(lost)) => {
                    if source.leap(lost) {
                        self.envelope.shift(lost);
                    }
                    0
                }
                None => 0,
            };
            self.passage = Passage::In { wait, fade };
        }
        if let Passage::In { wait, .. } = &mut self.passage {
            let waited = (*wait).min(frames.len());
            *wait -= waited;
            frames.start += waited;
            if frames.is_empty() {
                return true;
            }
        }

        let sounding = self.envelope.sounding(frames.len());
        let channels = source.channels().min(MAX_SOURCE_CHANNELS);
        let mut run = runs.each_mut().map(|run| &mut run[..sounding]);
        run[..channels].iter_mut().for_each(|channel| channel.fill(0.0));
        let count = match source.fill(&mut run) {
            Progress::Playing => sounding,
            Progress::Done(count) => count.min(sounding),
        };
        self.passage.fade(run[..channels].iter_mut().map(|run| &mut run[..count]));

        let level = self.envelope.run(&mut levels[..count]);
        let gain = self.gain.run(&mut gains[..count]);
        let pan = self.pan.run(&mut pans[..count]);
        for (route, resting) in self.routes(channels, bus.len()).into_iter().zip(&mut self.shares) {
            if let Some(route) = route
                && let Some(output) = bus.get_mut(route.output)
            {
                let output = &mut output[frames.start..frames.start + count];
                let share = match pan {
                    Values::Flat(pan) => Values::Flat(resting.amplitude(route.share, pan)),
                    Values::Moving(pans) => {
                        shares
                            .iter_mut()
                            .zip(pans)
                            .for_each(|(share, pan)| *share = route.share.amplitude(*pan));
                        Values::Moving(&shares[..count])
                    }
                };
                simd::dispatch(Add { source: &runs[route.source][..count], output, level, gain, share });
            }
        }
        if let Some(follower) = &mut self.follower {
            self.envelope.shift(follower.played(count));
        }
        count == frames.len()
    }

    /// Where its source's channels go. An output that is not there is left out.
    fn routes(&self, channels: usize, outputs: usize) -> [Option<Route>; 2] {
        let route = |source, output, share| Some(Route { source, output, share });
        match (channels, self.channel) {
            (1, Some(channel)) => [route(0, channel, Share::Whole), None],
            (1, None) if outputs == 1 => [route(0, 0, Share::Whole), None],
            (1, None) => [route(0, 0, Share::PannedLeft), route(0, 1, Share::PannedRight)],
            (_, None) if outputs == 1 => [route(0, 0, Share::Half), route(1, 0, Share::Half)],
            (_, channel) => {
                let first = channel.unwrap_or(0);
                [route(0, first, Share::BalancedLeft), route(1, first + 1, Share::BalancedRight)]
            }
        }
    }
}

impl Passage {
    /// Whether another may begin.
    fn is_clear(&self) -> bool {
        matches!(self, Passage::Done | Passage::In { wait: 0, .. })
    }

    /// How loud the voice is on the way.
    fn level(&self) -> f64 {
        match self {
            Passage::Done => 1.0,
            Passage::Out { fade, .. } | Passage::In { fade, .. } => fade.value(),
        }
    }

    /// Fades these frames, the same of each channel; moves on.
    fn fade<'a>(&mut self, channels: impl Iterator<Item = &'a mut [f32]>) {
        let (Passage::Out { fade, .. } | Passage::In { fade, .. }) = self else { return };
        let before = *fade;
        for channel in channels {
            *fade = before;
            for sample in channel {
                *sample *= fade.step() as f32;
            }
        }
        if fade.at_rest() && fade.target() == 1.0 {
            *self = Passage::Done;
        }
    }
}

impl Share {
    /// Behind a call, or the compiler works out the sine ahead of the question whether it is needed.
    #[cold]
    #[inline(never)]
    fn amplitude_anew(self, pan: f32) -> f32 {
        self.amplitude(pan)
    }

    /// As an amplitude, for this pan.
    fn amplitude(self, pan: f32) -> f32 {
        // Of opposite pans exactly: left and right are the same function.
        let power = |pan: f32| ((pan + 1.0) * FRAC_PI_4).sin();
        match self {
            Share::Whole => 1.0,
            Share::Half => 0.5,
            Share::PannedLeft => power(-pan),
            Share::PannedRight => power(pan),
            Share::BalancedLeft => (1.0 - pan).min(1.0),
            Share::BalancedRight => (1.0 + pan).min(1.0),
        }
    }
}

/// Adds a source to an output. Every frame is multiplied in the same order whether its factors move or not, so that the
/// bits do not depend on where runs begin.
struct Add<'a> {
    source: &'a [f32],
    output: &'a mut [f32],
    level: Values<'a>,
    gain: Values<'a>,
    share: Values<'a>,
}

impl WithSimd for Add<'_> {
    type Output = ();

    /// By indices, so that it is compiled into wider instructions.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Add { source, output, level, gain, share } = self;
        let source = &source[..output.len()];
        if let (Values::Flat(level), Values::Flat(gain), Values::Flat(share)) = (level, gain, share) {
            let factor = level * gain * share;
            for i in 0..output.len() {
                output[i] += source[i] * factor;
            }
        } else {
            for i in 0..output.len() {
                output[i] += source[i] * (level.at(i) * gain.at(i) * share.at(i));
            }
        }
    }
}

/// The gain of a voice, from silence if its sound is begun in its middle.
fn faded_in(gain: f64, start: Start) -> Ramp {
    if start.skip <= 0.0 {
        return Ramp::new(gain);
    }
    let mut ramp = Ramp::new(0.0);
    ramp.head_for(gain, start.skip.min(DECLICK * start.rate) as u32);
    ramp
}
