//! Alignment that lasts: a sounding voice keeps to the ensemble's time, whatever the sound card's crystal does.
//!
//! ```text
//! FrameMap, ClockEstimate  ->  Pulse, once per part: how far the ensemble's time went since the last part, how fast it goes
//!   ->  Follower, one per voice: how far behind is my voice?  ->  Source::follow(trim), Source::leap(frames)
//! ```
//!
//! Frames are nominal here: 1/48,000 s of the ensemble's time at 48 kHz. A voice should have played as many of them as
//! have passed since its onset. What it lacks is worked off by varispeed of at most [`MAX_TRIM`], the card's own drift
//! included. More than [`LEAP`] is no drift but lost frames: the voice fades out, goes where it should be (or waits there,
//! if it is ahead) and fades in. A jump of the ensemble's timescale moves no voice.
//!
//! Not for: how a source goes faster (`sampler`, `tone`), nor fades (`voice`).

use crate::schedule::Horizon;
use downbeat_sync::{ClockEstimate, EnsembleTime, LocalTime, Span};

/// Whether sounding voices follow the ensemble's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Follow {
    /// Those that sound for more than 3 s, or for nobody knows how long. Shorter ones, which no crystal takes more than
    /// a fraction of a millisecond away, play straight through: an unpitched one stays a copy.
    #[default]
    Auto,
    /// All of them, as soon as they are a quarter of a frame off.
    On,
    /// None: each keeps to the sound card's own time from its onset on.
    Off,
}

/// Most that a voice's speed is moved, drift and correction together [200 ppm: a third of a cent].
pub(crate) const MAX_TRIM: f64 = 200e-6;
/// What sounds for less than this needs no following [s].
const SHORT: f64 = 3.0;
/// A voice is left alone until it is so far off (frames): an unpitched one is a copy until then.
const THRESHOLD: f64 = 0.25;
/// An error decays in this time, where [`MAX_TRIM`] allows (s).
const SETTLING: f64 = 1.0;
/// The speed moves to what is wanted in this time (s). Less than a quarter of [`SETTLING`], or the two would swing.
const SMOOTHING: f64 = 0.06;
/// An error of more than this would take half a minute: frames were lost, and the voice leaps (s).
const LEAP: f64 = 5e-3;
/// Two lines of one epoch that are this far apart are not one clock after all [100 ms].
const ANOTHER_CLOCK: Span = Span::from_millis(100);
const TICKS_PER_SEC: f64 = 4_294_967_296.0;

impl Follow {
    /// Whether it concerns a voice that sounds for so long (s).
    pub(crate) fn concerns(self, seconds: f64) -> bool {
        match self {
            Follow::Auto => seconds > SHORT,
            Follow::On => true,
            Follow::Off => false,
        }
    }
}

/// What a part of a block is to the voices in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    /// How far the ensemble's time went from the last part's beginning to this one's (nominal frames).
    passed: f64,
    /// How far it goes from one frame to the next (nominal frames).
    pub(crate) speed: f64,
    /// How many frames the part has.
    frames: f64,
    /// Nominal frames per second (Hz).
    rate: f64,
}

/// Goes along with the ensemble's time, but does not jump with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse {
    last: Option<EnsembleTime>,
}

impl Pulse {
    /// From local time `now` on `new` holds instead of `old`. If it is another timescale, no time passes between the two.
    pub(crate) fn change(&mut self, old: &ClockEstimate, new: &ClockEstimate, now: LocalTime) {
        let by = new.ensemble_at(now) - old.ensemble_at(now);
        if new.epoch != old.epoch || by.abs() > ANOTHER_CLOCK {
            self.last = self.last.map(|last| last + by);
        }
    }

    /// A part of so many frames begins with frame `first`; `rate` is nominal (Hz).
    pub(crate) fn beat(&mut self, horizon: &Horizon, first: u64, frames: usize, rate: f64) -> Beat {
        let Horizon { map, estimate, .. } = horizon;
        let now = estimate.ensemble_at(map.local_at(first));
        let since = self.last.replace(now).map_or(0, |last| (now - last).ticks());
        Beat {
            passed: since as f64 * rate / TICKS_PER_SEC,
            speed: rate / map.rate * (1.0 + estimate.rate()),
            frames: frames as f64,
            rate,
        }
    }
}

/// What a voice is to do about its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// To go on, by [`Follower::trim`].
    Go,
    /// To fade out, and then ask [`Follower::gap`].
    Leap,
}

/// What is between a voice and where it should be (whole frames where it waits).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gap {
    /// It is behind: these were lost.
    Ahead(f64),
    /// It is early: so long it waits.
    Wait(usize),
}

/// Compares how far a voice went with how far it should.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follower {
    /// How far it is behind (nominal frames).
    behind: f64,
    /// How much of the time since the last beat is in that already, and how fast it goes (nominal frames).
    counted: f64,
    speed: f64,
    trim: f64,
    follows: bool,
}

impl Follower {
    /// For a voice whose onset is `onset` frames after the beginning of the part that `beat` is of, and whose first
    /// frame filled lies `offset` frames after that onset.
    pub(crate) fn new(beat: &Beat, onset: f64, offset: f64) -> Follower {
        // Until the next beat it owes what passes of this part before its onset.
        Follower {
            behind: -onset * beat.speed - offset,
            counted: 0.0,
            speed: beat.speed,
            trim: 0.0,
            follows: false,
        }
    }

    /// Its voice played so many frames; how much further it got by them than their number.
    pub(crate) fn played(&mut self, frames: usize) -> f64 {
        let further = frames as f64 * self.trim;
        let passed = frames as f64 * self.speed;
        self.behind += passed - frames as f64 - further;
        self.counted += passed;
        further
    }

    /// A part begins, during which the voice sounds if `sounds`: before its onset it cannot be late.
    pub(crate) fn beat(&mut self, beat: &Beat, sounds: bool) -> Order {
        self.behind += beat.passed - self.counted;
        (self.counted, self.speed) = (0.0, beat.speed);
        if !sounds || !self.follows && self.behind.abs() < THRESHOLD {
            return Order::Go;
        }
        self.follows = true;
        if self.behind.abs() > LEAP * beat.rate {
            return Order::Leap;
        }
        let wanted = beat.speed - 1.0 + self.behind / (SETTLING * beat.rate);
        let share = beat.frames / (beat.frames + SMOOTHING * beat.rate);
        self.trim += (wanted.clamp(-MAX_TRIM, MAX_TRIM) - self.trim) * share;
        Order::Go
    }

    /// Takes the voice to where it should be, now that it is silent.
    pub(crate) fn gap(&mut self) -> Gap {
        if self.behind < 0.0 {
            // Time will pay that back: no frames are played meanwhile.
            return Gap::Wait(-self.behind as usize);
        }
        Gap::Ahead(std::mem::take(&mut self.behind))
    }

    /// By how much faster its voice goes than the sound card, if it follows [1].
    pub(crate) fn trim(&self) -> Option<f64> {
        self.follows.then_some(self.trim)
    }
}

#[cfg(test)]
mod tests;
