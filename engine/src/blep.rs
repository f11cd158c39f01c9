//! [`Blep`]: what turns a step into a band-limited step.
//!
//! The difference between an ideal step and the integral of a windowed sinc, tabulated (E. Brandt, "Hard Sync Without
//! Aliasing", 2001, but with a symmetric kernel: where the steps of a waveform lie ahead is known). Added at every step of
//! a saw or square, it takes out what would fold back from above the Nyquist frequency. Not for: the waveforms (`tone`).

use crate::sinc::kaiser_sinc;
use std::sync::LazyLock;

/// Frames to either side of a step that it reaches.
const REACH: usize = 12;
/// Points of the table per frame; linear interpolation between them errs by less than -110 dB.
const POINTS: usize = 256;
/// Where the kernel has fallen to half [Nyquist frequencies]: it is down 80 dB at 1.1.
const CUTOFF: f64 = 0.88;
const BETA: f64 = 8.0;

static BLEP: LazyLock<Blep> = LazyLock::new(Blep::new);

/// The residual of a step from 0 to 1.
pub(crate) struct Blep {
    /// One minus the band-limited step, from the step to [`REACH`] frames behind it. Ahead of it the same is added.
    table: Vec<f32>,
}

impl Blep {
    /// The table. Call it before the audio thread needs it: the first call computes.
    pub(crate) fn get() -> &'static Blep {
        &BLEP
    }

    fn new() -> Blep {
        let kernel = |i: usize| {
            let x = i as f64 / POINTS as f64;
            kaiser_sinc(CUTOFF * x, x / REACH as f64, BETA)
        };
        // The integral from each point to the far end, scaled to 1/2 in all.
        let last = REACH * POINTS;
        let mut rest = vec![0.0; last + 2];
        for i in (0..last).rev() {
            rest[i] = rest[i + 1] + (kernel(i) + kernel(i + 1)) / 2.0;
        }
        let scale = 0.5 / rest[0];
        Blep { table: rest.iter().map(|rest| (rest * scale) as f32).collect() }
    }

    /// What to add to a signal that steps from 0 to 1 once every cycle, `since` ago, at `step` cycles per frame (both
    /// times 2^64), counting every step within reach. `RT:` yes.
    pub(crate) fn residual(&self, since: u64, step: u64) -> f32 {
        let until = !since;
        let reach = step.saturating_mul(REACH as u64);
        if since >= reach && until >= reach {
            return 0.0;
        }
        let frames = 1.0 / step as f32;
        let period = 2f32.powi(64) * frames;
        let sum = |nearest: f32| {
            let (mut sum, mut distance) = (0.0, nearest);
            while distance < REACH as f32 {
                sum += self.rest(distance);
                distance += period;
            }
            sum
        };
        sum(until as f32 * frames) - sum(since as f32 * frames)
    }

    /// How much of the step is still missing so many frames behind it [0 to [`REACH`]].
    fn rest(&self, distance: f32) -> f32 {
        let at = distance * POINTS as f32;
        let (below, mix) = (at as usize, at.fract());
        self.table[below] + mix * (self.table[below + 1] - self.table[below])
    }
}
