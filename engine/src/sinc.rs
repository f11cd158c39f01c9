//! The tables of the windowed-sinc interpolator: one kernel for every range of speeds, sampled at fractions of a frame.
//!
//! Design after J. O. Smith, "Digital Audio Resampling": a Kaiser-windowed sinc of 16 zero crossings to either side,
//! looked up with linear interpolation between neighbouring fractions. Above natural speed the kernel is stretched, so
//! that what would fold back below the output's Nyquist frequency is filtered out first. Not for: where to read
//! (`sampler`).

use crate::interp::{MAX_REACH, unit};
use crate::places::{BLOCK, Places};
use crate::simd::{LANES, Shuffle};
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
/// Chunks of the usual kernel, that of natural speed and below, whose length the compiler then knows.
const USUAL: usize = 4;
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

    /// One value per place.
    ///
    /// By indices, here and below: iterators are not compiled into code for wider instructions, but called from it.
    #[inline(always)]
    pub(crate) fn read<F: Shuffle>(&self, shuffle: F, window: &[f32], places: Places<'_>, out: &mut [f32]) {
        let chunks = self.taps / LANES;
        let mut from = 0;
        while from < out.len() {
            let len = BLOCK.min(out.len() - from);
            let block = places.block(from, len);
            let (mut starts, mut mixes) = ([0; BLOCK], [0.0; BLOCK]);
            for i in 0..BLOCK {
                let (row, mix) = self.row(block.fractions[i]);
                starts[i] = row * chunks as u32;
                mixes[i] = mix;
            }
            let mut sums = [[0.0; LANES]; BLOCK];
            if chunks == USUAL {
                for i in 0..BLOCK {
                    let rows = &self.rows[starts[i] as usize..][..2 * USUAL];
                    let window = &window[block.indices[i] as usize..][..USUAL * LANES];
                    sums[i] = between(&rows[..USUAL], &rows[USUAL..], window, mixes[i]);
                }
            } else {
                for i in 0..len {
                    let rows = &self.rows[starts[i] as usize..][..2 * chunks];
                    let (low, high) = rows.split_at(chunks);
                    let window = &window[block.indices[i] as usize..][..self.taps];
                    sums[i] = between(low, high, window, mixes[i]);
                }
            }
            let values = shuffle.sums(&sums);
            out[from..from + len].copy_from_slice(&values[..len]);
            from += len;
        }
    }

    /// One value per frame, all at the same fraction of a frame: a straight filter, whose coefficients are found once.
    #[inline(always)]
    pub(crate) fn filter(&self, window: &[f32], fraction: u32, out: &mut [f32]) {
        let mut coefficients = [0.0; 2 * MAX_REACH];
        let coefficients = &mut coefficients[..self.taps];
        self.mix_rows(fraction, coefficients);
        let window = &window[..out.len() + self.taps - 1];
        let (wide, narrow) = out.as_chunks_mut::<ABREAST>();
        let mut at = 0;
        for values in wide {
            *values = straight(coefficients, &window[at..]);
            at += ABREAST;
        }
        if narrow.is_empty() {
            return;
        }
        // The last few, with frames behind them that nobody hears, for the sake of whole lanes.
        let mut last = [0.0; 2 * MAX_REACH + ABREAST + LANES];
        last[..window.len() - at].copy_from_slice(&window[at..]);
        let mut from = 0;
        while from < narrow.len() {
            let sums: [f32; LANES] = straight(coefficients, &last[from..]);
            let to = narrow.len().min(from + LANES);
            narrow[from..to].copy_from_slice(&sums[..to - from]);
            from = to;
        }
    }

    /// The coefficients for a fraction.
    #[inline(always)]
    fn mix_rows(&self, fraction: u32, out: &mut [f32]) {
        let (row, mix) = self.row(fraction);
        let row = row as usize;
        let chunks = self.taps / LANES;
        let low = &self.rows[row * chunks..(row + 1) * chunks];
        let high = &self.rows[(row + 1) * chunks..(row + 2) * chunks];
        for chunk in 0..chunks {
            for lane in 0..LANES {
                let (low, high) = (low[chunk].0[lane], high[chunk].0[lane]);
                out[chunk * LANES + lane] = low + mix * (high - low);
            }
        }
    }

    /// The row at or before a fraction, and how far on to the next one it lies.
    #[inline(always)]
    fn row(&self, fraction: u32) -> (u32, f32) {
        (fraction >> (32 - self.bits), unit(fraction << self.bits))
    }
}

/// The products of a window with two neighbouring rows, mixed, and summed but for the last lanes.
#[inline(always)]
fn between(low: &[Chunk], high: &[Chunk], window: &[f32], mix: f32) -> [f32; LANES] {
    let (window, _) = window.as_chunks::<LANES>();
    let (mut a, mut b) = (product(&low[0].0, &window[0]), product(&high[0].0, &window[0]));
    for chunk in 1..low.len() {
        a = plus_product(a, &low[chunk].0, &window[chunk]);
        b = plus_product(b, &high[chunk].0, &window[chunk]);
    }
    for lane in 0..LANES {
        b[lane] -= a[lane];
    }
    plus_product(a, &[mix; LANES], &b)
}

/// One array in, one out: so the compiler keeps all lanes in one register.
#[inline(always)]
fn plus_product(mut sums: [f32; LANES], a: &[f32; LANES], b: &[f32; LANES]) -> [f32; LANES] {
    for lane in 0..LANES {
        sums[lane] += a[lane] * b[lane];
    }
    sums
}

#[inline(always)]
fn product(a: &[f32; LANES], b: &[f32; LANES]) -> [f32; LANES] {
    let mut products = [0.0; LANES];
    for lane in 0..LANES {
        products[lane] = a[lane] * b[lane];
    }
    products
}

/// So many neighbouring values of a straight filter, each summed in the order of its coefficients.
#[inline(always)]
fn straight<const WIDTH: usize>(coefficients: &[f32], window: &[f32]) -> [f32; WIDTH] {
    let mut sums = [0.0; WIDTH];
    for k in 0..coefficients.len() {
        let frames = &window[k..k + WIDTH];
        for lane in 0..WIDTH {
            sums[lane] += coefficients[k] * frames[lane];
        }
    }
    sums
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
