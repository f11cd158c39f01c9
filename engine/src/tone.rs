//! [`ToneSource`]: sine, saw, square and noise.
//!
//! Saw and square are what the formula says, with each of their steps made band-limited (`blep`). A waveform is a
//! function of the phase at each frame, and begins, rising through zero, exactly at the onset. Not for: level, place and
//! envelope (`voice`).

use crate::blep::Blep;
use crate::event::{Param, Tone, Wave};
use crate::ramp::Ramp;
use crate::source::{MAX_RUN, Progress, Run, Source, Start};
use std::f32::consts::PI;

/// One tone, silent at and above the Nyquist frequency. `RT:` yes.
pub(crate) struct ToneSource {
    wave: Wave,
    output_rate: f64,
    freq: Ramp,
    /// How much faster than that it goes, to stay with the ensemble's time [1 is not at all].
    pull: f64,
    /// Of the next frame [cycles * 2^-64].
    phase: u64,
    /// The number of the next frame of noise.
    frame: u64,
    /// How much further than that it is, which is less than a frame.
    over: f64,
    seed: u64,
}

/// Half a cycle.
const HALF: u64 = 1 << 63;

impl ToneSource {
    /// A tone about to begin.
    pub(crate) fn new(tone: &Tone, start: Start) -> ToneSource {
        let freq = f64::from(tone.freq);
        ToneSource {
            wave: tone.wave,
            output_rate: start.rate,
            freq: Ramp::new(freq),
            pull: 1.0,
            phase: fixed(((start.offset + start.skip) * freq / start.rate).rem_euclid(1.0)),
            frame: start.skip.round() as u64,
            over: 0.0,
            seed: start.seed,
        }
    }

    /// The phase of each of the next frames, and how far it moves by the one after; moves on.
    fn run_phases(&mut self, phases: &mut [u64], steps: &mut [u64]) {
        if self.freq.at_rest() {
            let step = fixed(self.freq.value() / self.output_rate * self.pull);
            steps.fill(step);
            for phase in phases {
                *phase = self.phase;
                self.phase = self.phase.wrapping_add(step);
            }
            return;
        }
        for (phase, step) in phases.iter_mut().zip(steps) {
            *phase = self.phase;
            *step = fixed(self.freq.step() / self.output_rate * self.pull);
            self.phase = self.phase.wrapping_add(*step);
        }
    }
}

impl ToneSource {
    /// Noise has no speed: a frame left out or told twice, now and then, is as white as any.
    fn move_noise(&mut self, further: f64, frames: usize) {
        self.over += further;
        let whole = self.over.trunc();
        self.over -= whole;
        self.frame = self.frame.wrapping_add(frames as u64).wrapping_add_signed(whole as i64);
    }
}

impl Source for ToneSource {
    fn channels(&self) -> usize {
        1
    }

    fn fill(&mut self, run: &mut Run<'_>) -> Progress {
        let out = &mut *run[0];
        if self.wave == Wave::Noise {
            for (i, out) in out.iter_mut().enumerate() {
                *out = noise(self.seed, self.frame.wrapping_add(i as u64));
            }
            self.move_noise(out.len() as f64 * (self.pull - 1.0), out.len());
            return Progress::Playing;
        }
        let (mut phases, mut steps) = ([0; MAX_RUN], [0; MAX_RUN]);
        let (phases, steps) = (&mut phases[..out.len()], &mut steps[..out.len()]);
        let highest = self.freq.value().max(self.freq.target());
        self.run_phases(phases, steps);
        match self.wave {
            Wave::Sine => {
                for (out, phase) in out.iter_mut().zip(&*phases) {
                    *out = sine(*phase);
                }
            }
            Wave::Saw => {
                let blep = Blep::get();
                for ((out, phase), step) in out.iter_mut().zip(&*phases).zip(&*steps) {
                    let fall = phase.wrapping_add(HALF);
                    *out = *phase as i64 as f32 * 2f32.powi(-63) - 2.0 * blep.residual(fall, *step);
                }
            }
            Wave::Square | Wave::Noise => {
                let blep = Blep::get();
                for ((out, phase), step) in out.iter_mut().zip(&*phases).zip(&*steps) {
                    let fall = phase.wrapping_add(HALF);
                    let plain = if *phase < HALF { 1.0 } else { -1.0 };
                    *out = plain + 2.0 * (blep.residual(*phase, *step) - blep.residual(fall, *step));
                }
            }
        }
        if highest >= self.output_rate / 2.0 {
            for (out, step) in out.iter_mut().zip(steps) {
                if *step >= HALF {
                    *out = 0.0;
                }
            }
        }
        Progress::Playing
    }

    fn set(&mut self, param: Param, value: f32, frames: u32) -> bool {
        if param == Param::Freq {
            self.freq.head_for(f64::from(value), frames);
        }
        param == Param::Freq
    }

    fn follow(&mut self, trim: f64) -> bool {
        self.pull = 1.0 + trim;
        true
    }

    fn leap(&mut self, frames: f64) -> bool {
        let cycles = self.freq.leap(frames) / self.output_rate;
        self.phase = self.phase.wrapping_add(fixed(cycles.fract()));
        self.move_noise(frames, 0);
        true
    }
}

/// The sine of a phase, by the first six terms of its series over a quarter of a cycle: right to -140 dB.
fn sine(phase: u64) -> f32 {
    const TERMS: [f32; 6] = [PI, -5.167_713, 2.550_164, -0.599_264_5, 0.082_145_89, -0.007_370_430_7];
    // Half cycles, -1 to 1.
    let x = (phase >> 32) as i32 as f32 * 2f32.powi(-31);
    let quarter = 0.5 - (x.abs() - 0.5).abs();
    let square = quarter * quarter;
    let sum = TERMS[..5].iter().rev().fold(TERMS[5], |sum, term| sum * square + term);
    (sum * quarter).copysign(x)
}

/// One frame of white noise, uniform in -1..1 (the finaliser of SplitMix64).
fn noise(seed: u64, frame: u64) -> f32 {
    let mut z = seed.wrapping_add(frame.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) as i64 >> 40) as f32 * 2f32.powi(-23)
}

/// A number of cycles in units of the phase; saturates.
fn fixed(cycles: f64) -> u64 {
    (cycles * 2f64.powi(64)) as u64
}

#[cfg(test)]
mod tests;
