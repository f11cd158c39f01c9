//! [`ToneSource`]: sine, saw, square and noise, band-limited.
//!
//! Not for: level, place and envelope (`voice`).

use crate::event::{Param, Tone, Wave};
use crate::ramp::Ramp;
use crate::source::{Progress, Run, Source, Start};

/// One tone. `RT:` yes.
pub(crate) struct ToneSource {
    wave: Wave,
    rate: f64,
    freq: Ramp,
    /// Of the next frame [cycles * 2^-64].
    phase: u64,
    /// Of the next frame of noise.
    frame: u64,
    seed: u64,
}

impl ToneSource {
    pub(crate) fn new(tone: &Tone, start: Start) -> ToneSource {
        let passed = start.offset + start.skip;
        let cycles = passed * f64::from(tone.freq) / start.rate;
        ToneSource {
            wave: tone.wave,
            rate: start.rate,
            freq: Ramp::new(f64::from(tone.freq)),
            phase: (cycles.rem_euclid(1.0) * 2f64.powi(64)) as u64,
            frame: start.skip.round() as u64,
            seed: start.seed,
        }
    }
}

impl Source for ToneSource {
    fn channels(&self) -> usize {
        1
    }

    fn fill(&mut self, run: &mut Run<'_>) -> Progress {
        for out in run[0].iter_mut() {
            let cycle = self.phase as f64 * 2f64.powi(-64);
            *out = match self.wave {
                Wave::Sine => (cycle * std::f64::consts::TAU).sin() as f32,
                Wave::Saw => (2.0 * (cycle + 0.5).fract() - 1.0) as f32,
                Wave::Square => {
                    if cycle < 0.5 {
                        1.0
                    } else {
                        -1.0
                    }
                }
                Wave::Noise => noise(self.seed, self.frame),
            };
            self.phase = self.phase.wrapping_add((self.freq.step() / self.rate * 2f64.powi(64)) as u64);
            self.frame += 1;
        }
        Progress::Playing
    }

    fn set(&mut self, param: Param, value: f32, frames: u32) -> bool {
        if param == Param::Freq {
            self.freq.head_for(f64::from(value), frames);
        }
        param == Param::Freq
    }
}

/// One frame of white noise, uniform in -1..1 (the finaliser of SplitMix64).
fn noise(seed: u64, frame: u64) -> f32 {
    let mut z = seed.wrapping_add((frame + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) as i64 >> 40) as f32 * 2f32.powi(-23)
}
