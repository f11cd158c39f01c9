//! Interpolation between the frames of a clip: [`Interp`] names the ways, [`Kernel`] is one of them at work.
//!
//! The same bits come out whatever instructions the machine has: sums have a fixed order, nothing is fused, and wider
//! instructions only do more of the same at once. Not for: deciding where in a clip to
//! read, nor whether any interpolation is due (`sampler`).

use crate::places::{BLOCK, Places};
use crate::simd::{self, Portable, Shuffle};
use crate::sinc::{SincTable, SincTables};
use pulp::{Simd, WithSimd};
use std::sync::LazyLock;

/// How a value between two frames is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Interp {
    /// A cubic through four frames (Catmull-Rom), as in scsynth's PlayBuf: cheap, but dull and not clean in the top
    /// octave, and with aliases above natural speed.
    Cubic,
    /// A windowed sinc over 32 frames: 90 dB clean up to 0.8 of Nyquist, filtered against aliases up to 8 times natural
    /// speed.
    #[default]
    Sinc,
}

/// How many frames before its onset a clip may have to be begun: enough for the longest kernel at a quarter of natural
/// speed. Slower still, the faint beginning of its ringing is cut off [output frames].
pub const LEAD: u32 = 64;

/// Most frames to either side of a position that any kernel looks at.
pub(crate) const MAX_REACH: usize = 128;

static SINC: LazyLock<SincTables> = LazyLock::new(SincTables::new);

/// Computes the tables and looks at the machine, on the first call. Call it before the audio thread needs them.
pub(crate) fn prepare() {
    simd::prepare();
    LazyLock::force(&SINC);
}

/// An interpolator for one speed.
#[derive(Clone, Copy)]
pub(crate) enum Kernel {
    Cubic,
    Sinc(&'static SincTable),
}

impl Kernel {
    /// For so many frames of the clip per output frame. `RT:` yes, after [`prepare`].
    pub(crate) fn choose(interp: Interp, step: f64) -> Kernel {
        match interp {
            Interp::Cubic => Kernel::Cubic,
            Interp::Sinc => Kernel::Sinc(SINC.choose(step)),
        }
    }

    /// How many frames before and after a position it looks at: those from `floor + 1 - reach` to `floor + reach`.
    pub(crate) fn reach(self) -> usize {
        match self {
            Kernel::Cubic => 2,
            Kernel::Sinc(table) => table.taps() / 2,
        }
    }

    /// Whether this and the other are the same.
    pub(crate) fn is(self, other: Kernel) -> bool {
        match (self, other) {
            (Kernel::Cubic, Kernel::Cubic) => true,
            (Kernel::Sinc(a), Kernel::Sinc(b)) => std::ptr::eq(a, b),
            _ => false,
        }
    }

    /// One value per place: that between the two middle frames of the `2 * reach` ones that begin there in the window.
    /// `RT:` yes.
    pub(crate) fn read(self, window: &[f32], places: Places<'_>, out: &mut [f32]) {
        if out.is_empty() {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(shuffle) = simd::wide() {
            return Simd::vectorize(shuffle, Read { kernel: self, shuffle, window, places, out });
        }
        simd::dispatch(Read { kernel: self, shuffle: Portable, window, places, out });
    }

    /// The same for places one frame apart, which have one fraction [2^-32]. `RT:` yes.
    pub(crate) fn filter(self, window: &[f32], fraction: u32, out: &mut [f32]) {
        simd::dispatch(Filter { kernel: self, window, fraction, out });
    }
}

/// [`Kernel::read`], to be compiled once for each kind of machine.
struct Read<'a, F> {
    kernel: Kernel,
    shuffle: F,
    window: &'a [f32],
    places: Places<'a>,
    out: &'a mut [f32],
}

impl<F: Shuffle> WithSimd for Read<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.kernel {
            Kernel::Cubic => cubic(self.shuffle, self.window, self.places, self.out),
            Kernel::Sinc(table) => table.read(self.shuffle, self.window, self.places, self.out),
        }
    }
}

/// [`Kernel::filter`], likewise.
struct Filter<'a> {
    kernel: Kernel,
    window: &'a [f32],
    fraction: u32,
    out: &'a mut [f32],
}

impl WithSimd for Filter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.kernel {
            Kernel::Cubic => cubic_filter(self.window, self.fraction, self.out),
            Kernel::Sinc(table) => table.filter(self.window, self.fraction, self.out),
        }
    }
}

#[inline(always)]
fn cubic<F: Shuffle>(shuffle: F, window: &[f32], places: Places<'_>, out: &mut [f32]) {
    let mut from = 0;
    while from < out.len() {
        let len = BLOCK.min(out.len() - from);
        let block = places.block(from, len);
        let [a, b, c, d] = &shuffle.four(window, &block.indices);
        let mut values = [0.0; BLOCK];
        for i in 0..BLOCK {
            values[i] = catmull_rom([a[i], b[i], c[i], d[i]], unit(block.fractions[i]));
        }
        out[from..from + len].copy_from_slice(&values[..len]);
        from += len;
    }
}

#[inline(always)]
fn cubic_filter(window: &[f32], fraction: u32, out: &mut [f32]) {
    let x = unit(fraction);
    let window = &window[..out.len() + 3];
    for i in 0..out.len() {
        out[i] = catmull_rom([window[i], window[i + 1], window[i + 2], window[i + 3]], x);
    }
}

/// The value at `x` of the way from `b` to `c`.
#[inline(always)]
fn catmull_rom([a, b, c, d]: [f32; 4], x: f32) -> f32 {
    let c1 = 0.5 * (c - a);
    let c3 = 1.5 * (b - c) + 0.5 * (d - a);
    let c2 = (a - b) + (c1 - c3);
    ((c3 * x + c2) * x + c1) * x + b
}

/// A fraction in units of 2^-32 as a number below 1: its upper 24 bits, which f32 holds exactly.
#[inline(always)]
pub(crate) fn unit(fraction: u32) -> f32 {
    (fraction >> 8) as i32 as f32 * (1.0 / (1 << 24) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    #[test]
    fn wide_instructions_give_the_same_bits_as_narrow_ones() {
        prepare();
        let window: Vec<f32> = (0..1_000u32).map(|n| n.wrapping_mul(2_654_435_761) as i32 as f32).collect();
        let fraction = |n: u64| u64::from((n as u32).wrapping_mul(987_654_321));
        let far: Vec<u64> = (0..100).map(|n| (n * 5 + n % 3) << 32 | fraction(n)).collect();
        let near: Vec<u64> = (0..100).map(|n| (n * 7 / 8) << 32 | fraction(n)).collect();
        for (interp, step) in
            [(Interp::Cubic, 1.0), (Interp::Sinc, 0.9), (Interp::Sinc, 1.1), (Interp::Sinc, 7.0)]
        {
            let kernel = Kernel::choose(interp, step);
            let (mut wide, mut narrow) = ([0.0; 100], [0.0; 100]);
            // A step below one frame, with a window that ends where the last value's frames do, and one far above.
            let even = Places::Even { first: fraction(1), step: (1 << 32) - fraction(3) };
            let end = |place: u64| (place >> 32) as usize + 2 * kernel.reach();
            let last = fraction(1) + 99 * ((1 << 32) - fraction(3));
            for (places, end) in [
                (Places::Listed(&far), window.len()),
                (Places::Listed(&near), end(near[99])),
                (even, end(last)),
            ] {
                let window = &window[..end];
                kernel.read(window, places, &mut wide);
                Scalar.vectorize(Read { kernel, shuffle: Portable, window, places, out: &mut narrow });
                assert_eq!(wide, narrow);
            }
            let fraction = fraction(1) as u32;
            kernel.filter(&window, fraction, &mut wide);
            Scalar.vectorize(Filter { kernel, window: &window, fraction, out: &mut narrow });
            assert_eq!(wide, narrow);
        }
    }

    #[test]
    fn a_fraction_of_nothing_is_the_frame_itself() {
        prepare();
        let window: Vec<f32> = (0..64).map(|n| (n as f32).sin()).collect();
        for interp in [Interp::Cubic, Interp::Sinc] {
            let kernel = Kernel::choose(interp, 1.0);
            let mut out = [0.0; 8];
            kernel.filter(&window, 0, &mut out);
            let frames = &window[kernel.reach() - 1..][..8];
            assert!(out.iter().zip(frames).all(|(a, b)| (a - b).abs() < 1e-6), "{out:?} {frames:?}");
        }
    }
}
