//! Interpolation between the frames of a clip: [`Interp`] names the ways, [`Kernels`] does it.
//!
//! Not for: deciding where in a clip to read, nor whether any interpolation is due (`sampler`).

use std::sync::LazyLock;

/// How a value between two frames is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Interp {
    /// A cubic through four frames (Catmull-Rom), as in scsynth's PlayBuf: cheap, dull and noisy in the top octave.
    Cubic,
    /// A windowed sinc over 32 frames.
    #[default]
    Sinc,
}

impl Interp {
    /// How many frames before its onset a clip may have to be begun [output frames].
    pub fn lead(self) -> u32 {
        match self {
            Interp::Cubic => 2,
            Interp::Sinc => LEAD,
        }
    }
}

/// The most that [`Interp::lead`] returns.
pub const LEAD: u32 = 16;

/// Most frames to either side of a position that any kernel looks at.
pub(crate) const MAX_REACH: usize = 128;

/// Where one output frame lies: between frames `index` and `index + 1` of a window, at `fraction` * 2^-32.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) index: u32,
    pub(crate) fraction: u32,
}

/// The tables behind both interpolators; made once, on whatever thread asks first.
pub(crate) struct Kernels {
    sinc: Vec<f32>,
}

const TAPS: usize = 32;
const PHASES: usize = 512;

static KERNELS: LazyLock<Kernels> = LazyLock::new(Kernels::new);

impl Kernels {
    /// The tables. Call it before the audio thread needs them: the first call computes for some milliseconds.
    pub(crate) fn get() -> &'static Kernels {
        &KERNELS
    }

    fn new() -> Kernels {
        let beta = 9.6;
        let half = (TAPS / 2) as f64;
        let sinc = (0..=PHASES)
            .flat_map(|phase| {
                (0..TAPS).map(move |tap| {
                    let x = tap as f64 - (half - 1.0) - phase as f64 / PHASES as f64;
                    let w = (1.0 - (x / half).powi(2)).max(0.0).sqrt();
                    let sinc = if x == 0.0 {
                        1.0
                    } else {
                        (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x)
                    };
                    (sinc * bessel(beta * w) / bessel(beta)) as f32
                })
            })
            .collect();
        Kernels { sinc }
    }

    /// How far to either side of a position the kernel looks that reads at so many frames per output frame.
    pub(crate) fn reach(&self, interp: Interp, _step: f64) -> usize {
        match interp {
            Interp::Cubic => 2,
            Interp::Sinc => TAPS / 2,
        }
    }

    /// Interpolates at every place; `window` begins `reach - 1` frames before frame 0.
    pub(crate) fn read(&self, interp: Interp, window: &[f32], places: &[Place], out: &mut [f32]) {
        for (place, out) in places.iter().zip(out) {
            let at = place.index as usize;
            match interp {
                Interp::Cubic => {
                    let x = place.fraction as f32 * 2f32.powi(-32);
                    let [a, b, c, d] = [window[at], window[at + 1], window[at + 2], window[at + 3]];
                    let c1 = 0.5 * (c - a);
                    let c2 = a - 2.5 * b + 2.0 * c - 0.5 * d;
                    let c3 = 0.5 * (d - a) + 1.5 * (b - c);
                    *out = ((c3 * x + c2) * x + c1) * x + b;
                }
                Interp::Sinc => {
                    let phase = (place.fraction >> 23) as usize;
                    let mix = (place.fraction & 0x7f_ffff) as f32 * 2f32.powi(-23);
                    let row = &self.sinc[phase * TAPS..(phase + 2) * TAPS];
                    *out =
                        (0..TAPS).map(|k| (row[k] + mix * (row[TAPS + k] - row[k])) * window[at + k]).sum();
                }
            }
        }
    }
}

fn bessel(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}
