//! [`Limiter`]: keeps the output within full scale. Transparent to the bit below -1 dBFS, and without latency.
//!
//! A peak follower that rises at once and falls slowly, before a curve that bends towards full scale and never reaches
//! beyond. As the curve leaves the straight line smoothly, the gain moves no faster than the signal itself: a loud onset
//! is rounded off, not cut. Not for: loudness or sound; it is a safety that can be switched off.

use std::ops::Range;

/// The amplitude up to which nothing is touched: -1 dBFS.
pub const THRESHOLD: f32 = 0.891_250_9;

/// How long the held peak takes to fall to 1/e (s).
const FALL: f64 = 0.2;

/// Peak limiter over all channels together, so that places in between them stay where they are. `RT:` yes.
#[derive(Clone, Debug)]
pub struct Limiter {
    /// The peak the gain is for; 0 at rest.
    held: f32,
    /// What is left of it one frame later.
    fall: f32,
}

impl Limiter {
    /// A limiter at rest, for `rate` frames per second.
    pub fn new(rate: f64) -> Limiter {
        Limiter { held: 0.0, fall: (-1.0 / (FALL * rate)).exp() as f32 }
    }

    /// Limits these frames of every channel of the bus in place. A sample that is no number becomes silence.
    pub fn process(&mut self, bus: &mut [Box<[f32]>], frames: Range<usize>) {
        if self.held == 0.0 && bus.iter().all(|channel| is_quiet(&channel[frames.clone()])) {
            return;
        }
        for frame in frames {
            let mut peak = 0.0f32;
            for channel in bus.iter_mut() {
                if !channel[frame].is_finite() {
                    channel[frame] = 0.0;
                }
                peak = peak.max(channel[frame].abs());
            }
            self.held = peak.max(self.held * self.fall);
            if self.held <= THRESHOLD {
                self.held = 0.0;
                continue;
            }
            let gain = bent(self.held) / self.held;
            for channel in bus.iter_mut() {
                // The clamp is for the last bit of a rounded product.
                channel[frame] = (channel[frame] * gain).clamp(-1.0, 1.0);
            }
        }
    }
}

/// Whether nothing rises above the threshold and all are numbers.
fn is_quiet(samples: &[f32]) -> bool {
    // Without an early end, so that many are compared at once.
    samples.iter().fold(true, |quiet, sample| quiet & (sample.abs() <= THRESHOLD))
}

/// The amplitude that a peak above the threshold is brought to: leaves it with slope 1, ends below full scale.
fn bent(peak: f32) -> f32 {
    let room = 1.0 - THRESHOLD;
    let above = (peak - THRESHOLD) / room;
    THRESHOLD + room * (1.0 - 1.0 / (1.0 + above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f32::consts::TAU;

    const RATE: f64 = 48_000.0;

    fn limited(channels: &[Vec<f32>], blocks: impl IntoIterator<Item = usize>) -> Vec<Box<[f32]>> {
        let mut bus: Vec<Box<[f32]>> = channels.iter().map(|c| c.clone().into_boxed_slice()).collect();
        let mut limiter = Limiter::new(RATE);
        let mut at = 0;
        for block in blocks {
            let end = (at + block).min(channels[0].len());
            limiter.process(&mut bus, at..end);
            at = end;
        }
        bus
    }

    fn sine(amplitude: f32, cycles: f32, frames: usize) -> Vec<f32> {
        (0..frames).map(|n| amplitude * (TAU * cycles * n as f32).sin()).collect()
    }

    #[test]
    fn what_is_quiet_passes_bit_for_bit() {
        let quiet = sine(THRESHOLD, 0.01, 1_000);
        assert_eq!(limited(std::slice::from_ref(&quiet), [1_000])[0][..], quiet);
    }

    #[test]
    fn all_channels_are_turned_down_alike() {
        let (loud, soft) = (sine(3.0, 0.01, 4_000), sine(0.5, 0.003, 4_000));
        let out = limited(&[loud.clone(), soft.clone()], [4_000]);
        for n in 0..4_000 {
            assert!((out[0][n] * soft[n] - out[1][n] * loud[n]).abs() < 1e-6);
        }
    }

    #[test]
    fn a_loud_tone_is_rounded_not_cut() {
        let tone = sine(2.5, 0.005, 48_000);
        let steepest = |s: &[f32]| s.windows(2).fold(0.0f32, |most, w| most.max((w[1] - w[0]).abs()));
        let out = &limited(std::slice::from_ref(&tone), [48_000])[0];
        assert!(steepest(out) <= steepest(&tone));
        // Second differences show a kink: there is none sharper than the loud sine's own curvature.
        let sharpest = |s: &[f32]| s.windows(3).fold(0.0f32, |m, w| m.max((w[2] - 2.0 * w[1] + w[0]).abs()));
        assert!(sharpest(&out[1_000..]) <= sharpest(&tone) * 1.5);
    }

    #[test]
    fn is_transparent_again_after_a_while() {
        let mut channel = vec![10.0; 100];
        let quiet = sine(0.5, 0.01, 60_000);
        channel.extend(&quiet);
        let out = &limited(&[channel], [30_000; 3])[0];
        assert_eq!(out[40_100..], quiet[40_000..]);
        assert!(out[100..5_000].iter().all(|sample| sample.abs() < 0.2));
    }

    #[test]
    fn what_is_no_number_is_silence() {
        let channel = vec![0.5, f32::NAN, f32::INFINITY, 0.5, f32::NEG_INFINITY];
        assert_eq!(limited(&[channel], [5])[0][..], [0.5, 0.0, 0.0, 0.5, 0.0]);
    }

    proptest! {
        #[test]
        fn nothing_leaves_full_scale(bits: Vec<u32>) {
            let channel: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let out = limited(std::slice::from_ref(&channel), [channel.len()]);
            prop_assert!(out[0].iter().all(|sample| (-1.0..=1.0).contains(sample)));
        }

        #[test]
        fn the_same_whatever_the_block_lengths(
            samples in prop::collection::vec(-3.0f32..3.0, 300),
            gap in 0usize..20_000,
            cuts in prop::collection::vec(1usize..3_000, 20),
        ) {
            let mut channel = samples.clone();
            channel.extend(vec![0.1; gap]);
            channel.extend(samples);
            let rest = channel.len();
            let whole = limited(std::slice::from_ref(&channel), [rest]);
            prop_assert_eq!(limited(&[channel], cuts.into_iter().chain([rest])), whole);
        }
    }
}
