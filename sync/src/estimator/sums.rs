//! [`Sums`]: all that a step of the fit, and its verdict on itself, need to know of a cloud, from one pass over it.
//!
//! Most of an estimator's time is spent here: so there is one pass, and it goes [`LANES`] stamps at a time, which
//! compilers turn into the processor's wide instructions. Not for: what follows from the sums (`line`).

use super::edge::{ARCH, Edge, LANES};
use super::line::{RESOLUTION, Seconds};
use pulp::{Simd, WithSimd};

/// A late stamp beyond so many deviations counts in proportion, not squared.
const HUBER: f64 = 6.0;
/// A deviation is the mean of those that are bounded by so many of it: a scale that stands when half of all stamps are wild.
const BOUNDED: f64 = 1.5;
/// A stamp that stands alone is counted in the first lane only.
const ONE: [f64; LANES] = [1.0, 0.0, 0.0, 0.0];

/// What the stamps are held against: an edge, and what they weigh on either side of it.
pub(super) struct Sieve {
    pub(super) edge: Edge,
    /// The cloud's deviation so far.
    pub(super) deviation: Seconds,
    /// What a late stamp weighs.
    pub(super) asymmetry: f64,
}

/// Sums over a cloud, by powers of the position.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// Of the weights, powers 0 to 4.
    pub(super) weight: [f64; 5],
    /// Of the weighted residuals, powers 0 to 2.
    pub(super) score: [f64; 3],
    /// Of the squares of weighted residuals, powers 0 to 4.
    pub(super) spread: [f64; 5],
    /// How many stamps are on the early side.
    pub(super) early: f64,
    /// Mean of the absolute residuals, bounded.
    pub(super) deviation: Seconds,
    /// That, per stamp.
    pub(super) spacing: Seconds,
}

/// What is summed, lane by lane: weights, scores, squares, early ones, bounded residuals.
type Totals = [[f64; LANES]; 15];

impl Sums {
    /// Of the stamps `y` at the times `x`.
    pub(super) fn of(sieve: &Sieve, x: &[Seconds], y: &[Seconds]) -> Sums {
        let totals = ARCH.dispatch(Pass { sieve, x, y });
        let t = totals.map(|lanes| lanes.iter().sum::<f64>());
        let count = x.len().max(1) as f64;
        Sums {
            weight: [t[0], t[1], t[2], t[3], t[4]],
            score: [t[5], t[6], t[7]],
            spread: [t[8], t[9], t[10], t[11], t[12]],
            early: t[13],
            deviation: t[14] / count,
            spacing: t[14] / (count * count),
        }
    }
}

impl Sums {
    /// The same sums in units of the noise found, so that the clearer direction says more of what both share, and beliefs
    /// weigh what they are worth.
    pub(super) fn in_units_of_noise(self) -> Sums {
        // Few stamps may all lie on the edge: their noise is no less than the spacing of so many above a hard floor.
        let noise = (self.spread[0] / self.weight[0]).max(self.spacing.powi(2)).max(RESOLUTION * RESOLUTION);
        Sums {
            weight: self.weight.map(|sum| sum / noise),
            score: self.score.map(|sum| sum / noise),
            spread: self.spread.map(|sum| sum / (noise * noise)),
            ..self
        }
    }
}

/// A pass over a cloud, compiled for each kind of machine.
struct Pass<'a> {
    sieve: &'a Sieve,
    x: &'a [Seconds],
    y: &'a [Seconds],
}

impl WithSimd for Pass<'_> {
    type Output = Totals;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Totals {
        let mut totals: Totals = [[0.0; LANES]; 15];
        let (xs, x_rest) = self.x.as_chunks::<LANES>();
        let (ys, y_rest) = self.y.as_chunks::<LANES>();
        for (x, y) in xs.iter().zip(ys) {
            self.sieve.add(&mut totals, *x, *y, [1.0; LANES]);
        }
        for (x, y) in x_rest.iter().zip(y_rest) {
            self.sieve.add(&mut totals, [*x; LANES], [*y; LANES], ONE);
        }
        totals
    }
}

impl Sieve {
    /// Adds stamps to the totals, each as often as `share` says.
    #[inline(always)]
    fn add(&self, totals: &mut Totals, x: [f64; LANES], y: [f64; LANES], share: [f64; LANES]) {
        let (limit, bound) = (HUBER * self.deviation, BOUNDED * self.deviation);
        let late = self.asymmetry * limit;
        let mut terms: Totals = [[0.0; LANES]; 15];
        for lane in 0..LANES {
            let s = self.edge.position(x[lane]);
            let residual = self.edge.residual(s, y[lane]);
            let far = if residual > limit { residual } else { limit };
            let weight = share[lane] * if residual < 0.0 { 1.0 } else { late / far };
            let size = residual.abs();
            let (w1, s2) = (weight * s, s * s);
            let w2 = weight * s2;
            let score = weight * residual;
            let g = score * score;
            let (g1, g2) = (g * s, g * s2);
            terms[0][lane] = weight;
            terms[1][lane] = w1;
            terms[2][lane] = w2;
            terms[3][lane] = w1 * s2;
            terms[4][lane] = w2 * s2;
            terms[5][lane] = score;
            terms[6][lane] = score * s;
            terms[7][lane] = score * s2;
            terms[8][lane] = g;
            terms[9][lane] = g1;
            terms[10][lane] = g2;
            terms[11][lane] = g1 * s2;
            terms[12][lane] = g2 * s2;
            terms[13][lane] = if residual < 0.0 { share[lane] } else { 0.0 };
            terms[14][lane] = share[lane] * if size < bound { size } else { bound };
        }
        for (total, term) in totals.iter_mut().zip(&terms) {
            for lane in 0..LANES {
                total[lane] += term[lane];
            }
        }
    }
}
