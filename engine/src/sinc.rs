//! The tables of the windowed-sinc interpolator: one kernel for every range of speeds, sampled at fractions of a frame.
//!
//! Design after J. O. Smith, "Digital Audio Resampling": a Kaiser-windowed sinc of 16 zero crossings to either side,
//! looked up with linear interpolation between neighbouring fractions. Above natural speed the kernel is stretched, so
//! that what would fold back below the output's Nyquist frequency is filtered out first. Not for: where to read
//! (`sampler`).

use crate::interp::MAX_REACH;
use std::f64::consts::PI;

/// Zero crossings to either side of the kernel's middle.
const CROSSINGS: f64 = 16.0;
/// Shape of the Kaiser window: 97 dB down outside a transition of 0.2 Nyquist to either side of the cutoff.
const BETA: f64 = 9.7;
/// Frames per step up to which a kernel serves. Past the last the sound is played, with aliases.
const STRETCHES: [f64; 10] = [1.0, 1.125, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0];
/// How far past its stretch a kernel is used, so that small trims and vibrato do not switch kernels.
const TOLERANCE: f64 = 1.01;
/// Fractions at which the unstretched kernel is sampled; linear interpolation between them errs by less than -100 dB.
const FRACTIONS: usize = 256;
/// Taps are handled in chunks of so many, to be summed in the same order on every machine.
const LANES: usize = 8;
/// Frames whose lanes are summed together at the end.
const BLOCK: usize = 16;
/// Frames of a straight filter's output computed side by side.
const ABREAST: usize = 32;

/// All kernels, by rising stretch.
pub(crate) struct SincTables([SincTable; STRETCHES.len()]);

/// Coefficients handled side by side. Aligned, so that no load of them straddles two cache lines.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Chunk([f32; LANES]);

/// One kernel at all fractions.
pub(crate) struct SincTable {
    taps: usize,
    /// log2 of the number of fractions.
    bits: u32,
    /// `taps` coefficients for each fraction from 0 to 1 inclusive.
    rows: Vec<Chunk>,
}

impl SincTables {
    /// Computes them; takes some milliseconds.
    pub(crate) fn new() -> SincTables {
        SincTables(STRETCHES.map(SincTable::new))
    }

    /// The kernel for so many frames of the clip per output frame.
    pub(crate) fn choose(&self, step: f64) -> &SincTable {
        let at = STRETCHES.iter().position(|stretch| step <= stretch * TOLERANCE);
        &self.0[at.unwrap_or(STRETCHES.len() - 1)]
    }
}

impl SincTable {
    fn new(stretch: f64) -> SincTable {
        let half = CROSSINGS * stretch;
        let taps = (2.0 * half).ceil() as usize;
        let taps = taps.next_multiple_of(LANES);
        // A kernel twice as wide is twice as smooth.
        let bits = FRACTIONS.ilog2() - (stretch as u32).ilog2();
        let fractions = 1 << bits;
        let peak = bessel_i0(BETA);
        let mut rows = vec![Chunk([0.0; LANES]); (fractions + 1) * taps / LANES];
        for fraction in 0..=fractions / 2 {
            for tap in 0..taps {
                let x = (tap as f64 - (taps / 2 - 1) as f64 - fraction as f64 / fractions as f64) / stretch;
                let value = (kaiser_sinc(x, x / CROSSINGS, BETA) / (peak * stretch)) as f32;
                let (to, back) = (fraction * taps + tap, (fractions - fraction) * taps + taps - 1 - tap);
                rows[to / LANES].0[to % LANES] = value;
                // The kernel is even: the other half of the table is this one, backwards.
                rows[back / LANES].0[back % LANES] = value;
            }
        }
        SincTable { taps, bits, rows }
    }

    /// How many frames the kernel spans.
    pub(crate) fn taps(&self) -> usize {
        self.taps
    }

    /// One value per place, each within its own fraction of a frame.
    #[inline(always)]
    pub(crate) fn read(&self, window: &[f32], indices: &[u32], fractions: &[u32], out: &mut [f32]) {
        let places = indices.chunks(BLOCK).zip(fractions.chunks(BLOCK));
        for ((indices, fractions), out) in places.zip(out.chunks_mut(BLOCK)) {
            let mut sums = [[0.0; LANES]; BLOCK];
            let places = indices.iter().zip(fractions);
            if self.taps == 4 * LANES {
                // The usual kernel, whose length the compiler knows.
                let (rows, _) = self.rows.as_chunks::<4>();
                for ((index, fraction), sums) in places.zip(&mut sums) {
                    let (row, mix) = self.row(*fraction);
                    let (window, _) = window[*index as usize..][..4 * LANES].as_chunks::<LANES>();
                    between(&rows[row], &rows[row + 1], window, mix, sums);
                }
            } else {
                let chunks = self.taps / LANES;
                for ((index, fraction), sums) in places.zip(&mut sums) {
                    let (row, mix) = self.row(*fraction);
                    let (low, high) = self.rows[row * chunks..(row + 2) * chunks].split_at(chunks);
                    let (window, _) = window[*index as usize..][..self.taps].as_chunks::<LANES>();
                    between(low, high, window, mix, sums);
                }
            }
            for (out, sums) in out.iter_mut().zip(&sums) {
                *out = sum(sums);
            }
        }
    }

    /// One value per frame, all at the same fraction of a frame: a straight filter, whose coefficients are found once.
    #[inline(always)]
    pub(crate) fn filter(&self, window: &[f32], fraction: u32, out: &mut [f32]) {
        let (row, mix) = self.row(fraction);
        let chunks = self.taps / LANES;
        let (low, high) = self.rows[row * chunks..(row + 2) * chunks].split_at(chunks);
        let pairs = low.iter().zip(high).flat_map(|(low, high)| low.0.iter().zip(&high.0));
        let mut coefficients = [0.0; 2 * MAX_REACH];
        for (coefficient, (low, high)) in coefficients.iter_mut().zip(pairs) {
            *coefficient = low + mix * (high - low);
        }
        let coefficients = &coefficients[..self.taps];
        let mut blocks = out.chunks_exact_mut(ABREAST);
        let mut at = 0;
        for block in &mut blocks {
            let mut sums = [0.0; ABREAST];
            for (k, coefficient) in coefficients.iter().enumerate() {
                let window = &window[at + k..at + k + ABREAST];
                for lane in 0..ABREAST {
                    sums[lane] += coefficient * window[lane];
                }
            }
            block.copy_from_slice(&sums);
            at += ABREAST;
        }
        for out in blocks.into_remainder() {
            *out = coefficients.iter().zip(&window[at..]).fold(0.0, |sum, (c, frame)| sum + c * frame);
            at += 1;
        }
    }

    /// The row at or before a fraction, and how far on to the next one it lies.
    #[inline(always)]
    fn row(&self, fraction: u32) -> (usize, f32) {
        let row = fraction >> (32 - self.bits);
        let between = (fraction << self.bits) >> 8;
        (row as usize, between as f32 * (1.0 / (1 << 24) as f32))
    }
}

/// The products of a window with two neighbouring rows, mixed, and summed but for the last lanes.
#[inline(always)]
fn between(low: &[Chunk], high: &[Chunk], window: &[[f32; LANES]], mix: f32, sums: &mut [f32; LANES]) {
    let (mut a, mut b) = ([0.0; LANES], [0.0; LANES]);
    for ((low, high), window) in low.iter().zip(high).zip(window) {
        for lane in 0..LANES {
            a[lane] += low.0[lane] * window[lane];
            b[lane] += high.0[lane] * window[lane];
        }
    }
    for lane in 0..LANES {
        sums[lane] = a[lane] + mix * (b[lane] - a[lane]);
    }
}

#[inline(always)]
fn sum(lanes: &[f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// A sinc through a Kaiser window: `x` counts zero crossings, `place` runs from -1 to 1 over the window. Its peak is
/// `bessel_i0(beta)`.
pub(crate) fn kaiser_sinc(x: f64, place: f64, beta: f64) -> f64 {
    if place.abs() >= 1.0 {
        return 0.0;
    }
    let sinc = if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    sinc * bessel_i0(beta * (1.0 - place * place).sqrt())
}

/// The modified Bessel function of the first kind of order 0, by its power series.
pub(crate) fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..64 {
        term *= quarter / f64::from(k * k);
        sum += term;
        if term < sum * 1e-16 {
            break;
        }
    }
    sum
}
