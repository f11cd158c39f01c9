//! [`Edge`]: one side of a line as a curve of its own, and the stamps that lie lowest against it.
//!
//! Not for: sums over a cloud (`sums`). Like those it goes [`LANES`] stamps at a time.

use super::line::Seconds;
use pulp::{Arch, Simd, WithSimd};
use std::sync::LazyLock;

/// Stamps at a time: as many `f64` as the widest registers hold. Everywhere the same, so that the sums are too.
pub(super) const LANES: usize = 4;

/// The widest instructions the machine has, found out once.
pub(super) static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Where a direction's stamps would lie if the network took no more than its least.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    /// Local time of position 0, and positions per second.
    pub(super) now: Seconds,
    pub(super) per_second: f64,
    /// The edge at position 0, its slope and its curvature.
    pub(super) at: Seconds,
    pub(super) slope: Seconds,
    pub(super) curve: Seconds,
}

impl Edge {
    /// The position of a stamp.
    #[inline(always)]
    pub(super) fn position(&self, x: Seconds) -> f64 {
        (x - self.now) * self.per_second
    }

    /// How far a stamp at that position lies above; negative is early.
    #[inline(always)]
    pub(super) fn residual(&self, position: f64, y: Seconds) -> Seconds {
        y - self.at - position * (self.slope + position * self.curve)
    }

    /// The three lowest residuals of the stamps `y` at the times `x`, ascending; infinite where there are fewer.
    pub(super) fn lowest(&self, x: &[Seconds], y: &[Seconds]) -> [Seconds; 3] {
        ARCH.dispatch(Pass { edge: self, x, y })
    }
}

/// A pass over a cloud, compiled for each kind of machine.
struct Pass<'a> {
    edge: &'a Edge,
    x: &'a [Seconds],
    y: &'a [Seconds],
}

impl WithSimd for Pass<'_> {
    type Output = [Seconds; 3];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [Seconds; 3] {
        let Edge { now, per_second, at, slope, curve } = *self.edge;
        let [now, per_second, at, slope, curve] =
            [now, per_second, at, slope, curve].map(|value| simd.splat_f64s(value));
        let (xs, x_rest) = S::as_simd_f64s(self.x);
        let (ys, y_rest) = S::as_simd_f64s(self.y);
        let [mut first, mut second, mut third] = [simd.splat_f64s(f64::INFINITY); 3];
        for (x, y) in xs.iter().zip(ys) {
            let s = simd.mul_f64s(simd.sub_f64s(*x, now), per_second);
            let bent = simd.mul_f64s(s, simd.add_f64s(slope, simd.mul_f64s(s, curve)));
            let residual = simd.sub_f64s(simd.sub_f64s(*y, at), bent);
            // Each goes down until it finds its place; what it displaces goes on.
            let displaced = simd.max_f64s(first, residual);
            first = simd.min_f64s(first, residual);
            third = simd.min_f64s(third, simd.max_f64s(second, displaced));
            second = simd.min_f64s(second, displaced);
        }
        let mut lowest = [f64::INFINITY; 3];
        for residual in pulp::bytemuck::cast_slice(&[first, second, third]) {
            sink(&mut lowest, *residual);
        }
        for (x, y) in x_rest.iter().zip(y_rest) {
            sink(&mut lowest, self.edge.residual(self.edge.position(*x), *y));
        }
        lowest
    }
}

/// Puts a residual in its place among the lowest.
#[inline(always)]
fn sink(lowest: &mut [Seconds; 3], residual: Seconds) {
    let mut sinking = residual;
    for held in lowest {
        if sinking < *held {
            std::mem::swap(held, &mut sinking);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_lowest_are_those_of_a_sorted_list(
            stamps in proptest::collection::vec((-100.0..0.0f64, -1.0..1.0f64), 0..40),
        ) {
            let edge = Edge { now: 0.0, per_second: 1.0 / 128.0, at: 0.1, slope: 0.3, curve: -0.2 };
            let (x, y): (Vec<f64>, Vec<f64>) = stamps.into_iter().unzip();
            let mut sorted: Vec<f64> =
                x.iter().zip(&y).map(|(x, y)| edge.residual(edge.position(*x), *y)).collect();
            sorted.sort_by(f64::total_cmp);
            sorted.resize(sorted.len().max(3), f64::INFINITY);
            prop_assert_eq!(edge.lowest(&x, &y).to_vec(), &sorted[..3]);
        }
    }
}
