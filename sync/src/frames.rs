//! [`FrameClock`]: which local time a sound card's frame has, from the moments its callbacks wake.
//!
//! Not for: ensemble time (`estimate`), output latency or the user's trim (the renderer adds those).
//!
//! A stamp read at a callback's entry is the instant its block could be asked for, plus a lateness that is never
//! negative. `filter` draws the line along the early edge of the stamps; `slip` notices lost frames and moves the
//! line, keeping its rate. The line is carried from block to block in whole ticks, so nothing is lost over weeks.

mod filter;
mod rate;
mod slip;

pub use self::rate::DeviceRate;

use self::filter::OnsetFilter;
use self::rate::Learner;
use self::slip::{Arrival, SlipWatch};
use crate::one_sided::Seconds;
use crate::{FrameMap, LocalTime, Span};

/// What is known about the frame map's quality.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameQuality {
    /// The device's rate against its nominal one [ppm of the local clock].
    pub ppm: f64,
    /// Standard error of a mapped frame's local time.
    pub sigma: Span,
    /// How often the count of frames was found to disagree with the clock (xruns) and anchored anew.
    pub resyncs: u32,
}

/// A device's rate stays within so much of its nominal one, or its driver is set to the wrong rate [1000 ppm].
const MAX_RATE: f64 = 1e-3;
/// Moves of the line this soon after the start are the device filling its buffer, not xruns.
const START: Seconds = 0.5;

/// A remembered rate that is this many standard errors away from what the stamps say belongs to another card.
const STRANGER: f64 = 3.0;
/// After so long a remembered rate is not on trial any more: what could still be wrong with it, a ppm or two, is
/// learned in the usual way.
const TRIAL: Seconds = 30.0;

/// Estimates the [`FrameMap`] of a running device from the moments its callbacks wake.
///
/// Over a JACK dummy server it is within 2 samples after a second; after an xrun it is right again at the third or
/// fourth callback. Between resyncs the map of each block continues that of the block before, within 0.2 samples; one
/// step more is made if a remembered rate turns out to be another card's.
///
/// `RT:` [`FrameClock::begin`] neither allocates nor blocks, and costs the same few dozen operations at every call, twice
/// that while a remembered rate is on trial.
#[derive(Clone, Debug)]
pub struct FrameClock {
    /// Nominal rate (Hz).
    nominal: f64,
    track: Track,
    trial: Option<Trial>,
    learner: Learner,
    /// How long the device runs, until that no longer matters.
    running: Seconds,
    resyncs: u32,
}

/// A remembered rate, on trial.
#[derive(Clone, Debug)]
struct Trial {
    known: DeviceRate,
    /// The line as it would be without.
    fresh: Track,
    left: Seconds,
}

/// A line, and all it takes to keep it.
#[derive(Clone, Debug)]
struct Track {
    /// Of the first block (Hz).
    rate: f64,
    block: Option<Block>,
    filter: OnsetFilter,
    slips: SlipWatch,
}

/// The block asked for last.
#[derive(Clone, Copy, Debug)]
struct Block {
    map: FrameMap,
    frames: u32,
    began: LocalTime,
}

/// What a block did to the line.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// It began here.
    First,
    /// It went on; the block before took so long, by the nominal rate, and so much more by the line.
    On { nominal: Seconds, excess: Seconds },
    /// Frames were lost, and it was moved.
    Slip { nominal: Seconds },
}

impl FrameClock {
    /// For a device of this nominal rate [Hz, above 0] of which nothing is remembered.
    pub fn new(rate: f64) -> FrameClock {
        FrameClock::knowing(rate, DeviceRate::UNKNOWN)
    }

    /// For a device of this nominal rate [Hz, above 0] whose true rate is remembered ([`DeviceRate::aged`]).
    ///
    /// A remembered rate that is wrong costs little: beside the line that believes it runs one that does not, and takes
    /// over as soon as the stamps speak against what was remembered.
    pub fn knowing(rate: f64, known: DeviceRate) -> FrameClock {
        let is_stranger = known.sigma >= DeviceRate::UNKNOWN.sigma;
        FrameClock {
            nominal: rate,
            track: Track::new(rate, known),
            trial: (!is_stranger).then(|| Trial {
                known,
                fresh: Track::new(rate, DeviceRate::UNKNOWN),
                left: TRIAL,
            }),
            learner: Learner::new(known),
            running: 0.0,
            resyncs: 0,
        }
    }

    /// A callback began at `now` and wants `frames` frames: the map to place them by, anchored at the first of them.
    pub fn begin(&mut self, frames: u32, now: LocalTime) -> FrameMap {
        let (mut map, mut step) = self.track.begin(self.nominal, frames, now);
        if let Some(trial) = &mut self.trial {
            let (other, others) = trial.fresh.begin(self.nominal, frames, now);
            if trial.convicts(&self.track, step, others) {
                (map, step) = (other, others);
                self.track = trial.fresh.clone();
                self.learner = Learner::new(DeviceRate::UNKNOWN);
                self.trial = None;
            } else if trial.left < 0.0 {
                self.trial = None;
            }
        }
        let nominal = match step {
            Step::First => 0.0,
            Step::On { nominal, excess } => {
                self.learner.went(nominal, excess);
                nominal
            }
            Step::Slip { nominal } => {
                self.learner.moved();
                self.resyncs += u32::from(self.running + nominal > START);
                nominal
            }
        };
        self.running = (self.running + nominal).min(2.0 * START);
        map
    }

    /// What is known about the map's quality.
    pub fn quality(&self) -> FrameQuality {
        let rate = self.track.block.map_or(self.track.rate, |block| block.map.rate);
        FrameQuality {
            ppm: (rate / self.nominal - 1.0) * 1e6,
            sigma: Span::from_secs_f64(self.track.filter.sigma()),
            resyncs: self.resyncs,
        }
    }

    /// The device's rate, to be remembered; `None` until it has run for some 20 s without an interruption.
    pub fn learned(&self) -> Option<DeviceRate> {
        self.learner.learned()
    }
}

impl Trial {
    /// Whether what was remembered is wrong, now that both lines took a block: `track` went by `step`, the fresh line by
    /// `others`.
    fn convicts(&mut self, track: &Track, step: Step, others: Step) -> bool {
        let (Step::On { nominal, .. } | Step::Slip { nominal }) = others else { return false };
        self.left -= nominal;
        let fresh = &self.fresh;
        // The line runs away from the stamps, and the fresh one does not: no frames were lost.
        let slipped = |step| matches!(step, Step::Slip { .. });
        let is_lost = slipped(step) || track.slips.doubts();
        if is_lost && !slipped(others) && !fresh.slips.doubts() {
            return true;
        }
        let rate = fresh.block.map_or(fresh.rate, |block| block.map.rate);
        let apart = (rate / fresh.rate - 1.0 - 1e-6 * self.known.ppm).abs();
        apart > STRANGER * fresh.filter.rate_sigma(nominal).hypot(1e-6 * self.known.sigma)
    }
}

impl Track {
    fn new(nominal: f64, known: DeviceRate) -> Track {
        Track {
            rate: nominal * (1.0 + (1e-6 * known.ppm).clamp(-MAX_RATE, MAX_RATE)),
            block: None,
            filter: OnsetFilter::new(known),
            slips: SlipWatch::default(),
        }
    }

    /// Takes up a block.
    fn begin(&mut self, nominal: f64, frames: u32, now: LocalTime) -> (FrameMap, Step) {
        let (map, step) = match self.block {
            None => (FrameMap::new(0, now, self.rate), Step::First),
            Some(last) => self.follow(last, nominal, frames, now),
        };
        self.block = Some(Block { map, frames, began: now });
        (map, step)
    }

    /// The map of the block after `last`: the same line, moved by what the stamp tells.
    fn follow(&mut self, last: Block, nominal: f64, frames: u32, now: LocalTime) -> (FrameMap, Step) {
        let frame = last.map.frame.wrapping_add(u64::from(last.frames));
        let map = FrameMap { frame, local: last.map.local_at(frame), ..last.map };
        let expected = (map.local - last.map.local).as_secs_f64();
        let lateness = (now - map.local).as_secs_f64();
        let lasted = f64::from(last.frames) / nominal;
        self.filter.predict(expected);
        let arrival = Arrival {
            lateness,
            interval: (now - last.began).as_secs_f64(),
            expected,
            same_size: frames == last.frames,
            deviation: self.filter.deviation(),
        };
        if let Some(slip) = self.slips.look(arrival) {
            self.filter.moved(slip.sigma);
            let map = FrameMap { local: map.local + Span::from_secs_f64(slip.by), ..map };
            return (map, Step::Slip { nominal: lasted });
        }
        if self.slips.doubts() {
            return (map, Step::On { nominal: lasted, excess: expected - lasted });
        }
        let correction = self.filter.update(lateness, expected);
        let slowness = nominal / map.rate - 1.0 + correction.rate;
        let map = FrameMap {
            local: map.local + Span::from_secs_f64(correction.offset),
            rate: nominal / (1.0 + slowness.clamp(-MAX_RATE, MAX_RATE)),
            ..map
        };
        (map, Step::On { nominal: lasted, excess: expected - lasted + correction.offset })
    }
}

#[cfg(test)]
mod tests;
