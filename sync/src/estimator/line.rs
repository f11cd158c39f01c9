//! [`Line`]: one curve under two clouds of stamps, by asymmetric least squares.
//!
//! Not for: which stamps to trust (`gate`), how asymmetric to be (`ladder`).
//!
//! A packet is never early. Forward stamps lie above the true offset by the network's delay, backward stamps below it, so
//! each direction has an edge, and the offset lies between the two. Both edges share one slope and one curvature: the
//! clocks' drift against each other, and its change. What fits is an expectile (asymmetric least squares: Newey and Powell
//! 1987): a stamp on the early side of the edge weighs 1, one on the late side `asymmetry`, and beyond some mean
//! deviations it counts in proportion only (Huber 1964). With a tiny asymmetry this is the convex hull of Moon, Skelly and
//! Towsley (INFOCOM 1999); with 1 it is robust regression; in between lies every low quantile. Drift and curvature are
//! shrunk towards what is believed of them (ridge), so that two stamps are enough for a first answer and a minute of them
//! overrules any belief. Each direction counts in units of the noise found in it: where a radio holds back what comes down,
//! what goes up tells the drift.
//!
//! The standard error is the sandwich estimate of M-estimators (Huber 1967; White 1982), widened while few stamps touch
//! the edge.

use super::edge::Edge;
use super::sums::{Sieve, Sums};

/// Seconds.
pub(super) type Seconds = f64;

/// Newton steps at most, with those that are cut back; a warm start takes one or two.
const STEPS: usize = 24;
/// A step is cut back to no less than this part at once.
const LEAST_PART: f64 = 0.1;
/// And its fit is less sure for each such time, by this part of its variance: an edge on few stamps hops from one to another.
/// Found in the lab: without, the ladder takes such edges for sharp ones.
const CUT: f64 = 1.0;
/// A step that moves the edges by less than this part of the mean deviation is the last.
const SETTLED: f64 = 1e-2;
/// The mean deviation's floor: stamps are no finer.
const DEVIATION_MIN: Seconds = 1e-7;
/// What unmodelled change of the curvature shifts the offset by, for a window of length w: this times w³ [1/s²]. The
/// oscillator of the lab's profiles, 0.5 ppm in and out over ten minutes, would be at 5e-11 / 120.
pub(super) const JERK: f64 = 5e-11 / 120.0;
/// The finest a stamp can be told (s).
pub(super) const RESOLUTION: Seconds = 1e-7;
/// How the sandwich's variance is widened for few stamps at the edge: by 1 + 45 / n². Found in the lab: less, and
/// the ladder chooses edges that only chance makes look sharp.
const FEW: f64 = 45.0;
/// Square of the distance between a cloud's two lowest stamps: so much of it is variance where few stamps touch the edge.
const GAPS: f64 = 1.0;
/// The lowest of a cloud's stamps varies by about this part of its height below the edge.
const HEIGHT_NOISE: f64 = 0.12;
/// The sign with which slope and curvature enter each direction's `y`.
const SIGN: [f64; 2] = [1.0, -1.0];

/// The stamps of one direction: `y` is never below the edge by more than noise, whichever the direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Cloud {
    /// When (s of local time since the estimator's base), ascending.
    pub(super) x: Vec<Seconds>,
    /// The offset it bounds from above (s); for the backward direction, the negative offset it bounds from above.
    pub(super) y: Vec<Seconds>,
}

impl Cloud {
    /// Adds a stamp; the oldest goes if there are `most` already.
    pub(super) fn push(&mut self, x: Seconds, y: Seconds, most: usize) {
        if self.x.len() >= most {
            self.x.remove(0);
            self.y.remove(0);
        }
        // Nearly always the end.
        let is_last = self.x.last().is_none_or(|last| *last <= x);
        let place = if is_last { self.x.len() } else { self.x.partition_point(|before| *before <= x) };
        self.x.insert(place, x);
        self.y.insert(place, y);
    }

    /// Forgets what is older than `begin`.
    pub(super) fn forget(&mut self, begin: Seconds) {
        let old = self.x.partition_point(|x| *x < begin);
        self.x.drain(..old);
        self.y.drain(..old);
    }

    /// The lowest stamp.
    pub(super) fn lowest(&self) -> Seconds {
        self.y.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// What each stamp bounds this direction's offset by from above, at the line's instant, by the line's drift.
    pub(super) fn limits(&self, line: &Line, side: usize) -> Vec<Seconds> {
        self.x.iter().zip(&self.y).map(|(x, y)| line.residual(side, *x, *y) + line.edge(side)).collect()
    }

    /// Takes out the lowest stamp.
    pub(super) fn drop_lowest(&mut self, line: &Line, side: usize) {
        let residual = |n: &usize| line.residual(side, self.x[*n], self.y[*n]);
        if let Some(lowest) = (0..self.x.len()).min_by(|a, b| residual(a).total_cmp(&residual(b))) {
            self.x.remove(lowest);
            self.y.remove(lowest);
        }
    }

    /// Takes out the stamps since then that lie so far above the edge.
    pub(super) fn drop_late(&mut self, line: &Line, side: usize, since: Seconds, late: Seconds) {
        let first = self.x.partition_point(|x| *x < since);
        for n in (first..self.x.len()).rev() {
            if line.residual(side, self.x[n], self.y[n]) > late {
                self.x.remove(n);
                self.y.remove(n);
            }
        }
    }

    /// Takes out the stamps whose limits are less than that. Returns how many there were.
    pub(super) fn drop_below(&mut self, line: &Line, side: usize, least: Seconds) -> u64 {
        let before = self.x.len();
        let keep: Vec<bool> = self.limits(line, side).iter().map(|limit| *limit >= least).collect();
        let kept = |values: &mut Vec<Seconds>| {
            let mut keep = keep.iter();
            values.retain(|_| *keep.next().unwrap_or(&true));
        };
        kept(&mut self.x);
        kept(&mut self.y);
        (before - self.x.len()) as u64
    }
}

/// What is believed before any stamp.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Belief {
    /// Drift now (1).
    pub(super) rate: f64,
    /// Its standard error (1).
    pub(super) rate_sigma: f64,
    /// Standard deviation of its change (1/s).
    pub(super) curve_sigma: f64,
    /// How far the edges lie apart, where that is known, with its standard error (s).
    pub(super) width: Option<[Seconds; 2]>,
}

/// See the module. Positions are in windows before `now`: 0 is now, -1 the window's beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// Local time of position 0 (s).
    pub(super) now: Seconds,
    /// The window's length (s).
    window: Seconds,
    /// Forward edge, backward edge (its negative), slope per window, curvature per window².
    at: [f64; 4],
    /// Deviation of each cloud from its edge.
    deviations: [Seconds; 2],
    /// Variance of the offset now (s²), of chance alone.
    pub(super) variance: f64,
    /// What unequal clouds may have shifted the offset by (s).
    pub(super) bias: Seconds,
    /// Standard error of the slope now (1).
    pub(super) rate_sigma: f64,
    /// How far the three lowest stamps lie below each edge (s).
    pub(super) heights: [[Seconds; 3]; 2],
}

type Matrix = [[f64; 4]; 4];

impl Belief {
    /// Standard deviations in the line's own units.
    fn scaled(&self, window: Seconds) -> [f64; 2] {
        [self.rate_sigma * window, 0.5 * self.curve_sigma * window * window]
    }
}

impl Line {
    /// A first guess, before a fit: the edges as one stamp of each direction has them.
    pub(super) fn guess(now: Seconds, window: Seconds, stamps: [Seconds; 2], rate: f64) -> Line {
        let half = (0.5 * (stamps[0] + stamps[1])).max(DEVIATION_MIN);
        Line {
            now,
            window,
            at: [stamps[0], stamps[1], rate * window, 0.0],
            deviations: [half; 2],
            variance: half * half,
            bias: 0.0,
            rate_sigma: 0.0,
            heights: [[0.0; 3]; 2],
        }
    }

    /// The same curve, seen from another instant.
    pub(super) fn moved_to(&self, now: Seconds) -> Line {
        let s = (now - self.now) / self.window;
        let [forward, backward, slope, curve] = self.at;
        let shift = slope * s + curve * s * s;
        let at = [forward + shift, backward - shift, slope + 2.0 * curve * s, curve];
        Line { now, at, ..*self }
    }

    /// Whether it is a line at all: too few stamps may leave it open.
    pub(super) fn is_finite(&self) -> bool {
        self.at.iter().all(|part| part.is_finite())
    }

    /// The offset now (s).
    pub(super) fn offset(&self) -> Seconds {
        0.5 * (self.at[0] - self.at[1])
    }

    /// Drift now (1).
    pub(super) fn rate(&self) -> f64 {
        self.at[2] / self.window
    }

    /// Change of the drift (1/s).
    pub(super) fn curve(&self) -> f64 {
        2.0 * self.at[3] / (self.window * self.window)
    }

    /// Mean square error of the offset now, as far as this fit can tell (s²).
    pub(super) fn error(&self) -> f64 {
        self.variance + self.bias * self.bias
    }

    /// Half the distance between the edges: what the network takes one way, at its best.
    pub(super) fn half_width(&self) -> Seconds {
        0.5 * (self.at[0] + self.at[1])
    }

    /// Where a direction's edge is now.
    pub(super) fn edge(&self, side: usize) -> Seconds {
        self.at[side]
    }

    /// Deviation of a cloud from its edge.
    pub(super) fn deviation(&self, side: usize) -> Seconds {
        self.deviations[side]
    }

    /// How far a stamp lies above its edge; negative is early.
    pub(super) fn residual(&self, side: usize, x: Seconds, y: Seconds) -> Seconds {
        let s = (x - self.now) / self.window;
        y - self.at[side] - SIGN[side] * (self.at[2] * s + self.at[3] * s * s)
    }

    /// Fits from this line on: by Newton's method, with each step cut back that goes so far beyond the lowest point of its
    /// direction that the loss rises more steeply there than it fell. Where early and late stamps weigh very differently, the
    /// method by itself may go to and fro without end.
    pub(super) fn fitted(&self, clouds: &[Cloud; 2], asymmetry: f64, belief: &Belief) -> Line {
        let mut line = *self;
        let scaled = belief.scaled(self.window);
        let ridge = scaled.map(|sigma| 1.0 / (sigma * sigma));
        let [width, firm] = belief.width.map_or([0.0; 2], |[width, sigma]| [width, 1.0 / (sigma * sigma)]);
        let mut sums = [Sums::default(); 2];
        let mut cuts = 0;
        let mut last: Option<([f64; 4], f64)> = None;
        for _ in 0..STEPS {
            sums = [0, 1].map(|side| {
                Sums::of(&line.sieve(side, asymmetry), &clouds[side].x, &clouds[side].y).in_units_of_noise()
            });
            let [forward, backward] = &sums;
            // Where the loss falls, and how steeply.
            let narrow = firm * (width - line.at[0] - line.at[1]);
            let score = [
                forward.score[0] + narrow,
                backward.score[0] + narrow,
                forward.score[1] - backward.score[1] + ridge[0] * (belief.rate * self.window - line.at[2]),
                forward.score[2] - backward.score[2] - ridge[1] * line.at[3],
            ];
            if let Some((step, falls)) = &mut last {
                let rises = -dot(&score, step);
                if rises > *falls {
                    let part = (*falls / (*falls + rises)).max(LEAST_PART);
                    line.go(step.map(|step| (part - 1.0) * step));
                    *step = step.map(|step| part * step);
                    *falls *= part;
                    cuts += 1;
                    continue;
                }
            }
            let step = solve(normal(&forward.weight, &backward.weight, ridge, firm), score);
            last = Some((step, dot(&score, &step)));
            line.go(step);
            for side in (0..2).filter(|side| !clouds[*side].x.is_empty()) {
                line.deviations[side] = sums[side].deviation.max(DEVIATION_MIN);
            }
            let scale = SETTLED * line.deviations[0].min(line.deviations[1]);
            if step[0].abs().max(step[1].abs()) < scale {
                break;
            }
        }
        line.judge(clouds, &sums, scaled, firm);
        line.variance *= 1.0 + CUT * f64::from(cuts);
        line
    }

    fn go(&mut self, step: [f64; 4]) {
        for (at, step) in self.at.iter_mut().zip(step) {
            *at += step;
        }
    }

    /// What a direction's stamps are held against.
    fn sieve(&self, side: usize, asymmetry: f64) -> Sieve {
        Sieve { edge: self.as_edge(side), deviation: self.deviations[side], asymmetry }
    }

    fn as_edge(&self, side: usize) -> Edge {
        let [slope, curve] = [self.at[2], self.at[3]].map(|part| SIGN[side] * part);
        Edge { now: self.now, per_second: 1.0 / self.window, at: self.at[side], slope, curve }
    }

    /// How sure the line is, whose sums these are.
    fn judge(&mut self, clouds: &[Cloud; 2], sums: &[Sums; 2], scaled: [f64; 2], firm: f64) {
        let lowest = [0, 1].map(|side| self.as_edge(side).lowest(&clouds[side].x, &clouds[side].y));
        let ridge = scaled.map(|sigma| 1.0 / (sigma * sigma));
        let bread = normal(&sums[0].weight, &sums[1].weight, ridge, firm);
        // A belief of standard deviation σ is one more observation, whose score has the variance ridge² σ².
        let meat = normal(
            &sums[0].spread,
            &sums[1].spread,
            [0, 1].map(|term| (ridge[term] * scaled[term]).powi(2)),
            firm,
        );
        // Where their distance is known, one edge is enough.
        let [one, other] = [sums[0].early, sums[1].early];
        let touching = if firm > 0.0 { one.max(other) } else { one.min(other) };
        let few = 1.0 + FEW / (touching.powi(2) + 0.3);
        // One stamp says nothing of how its edge hops, and none need say anything of one that is known from the other.
        let gap = |side: usize| {
            let [first, second, _] = lowest[side];
            if firm > 0.0 && clouds[side].x.is_empty() { 0.0 } else { (second - first).powi(2) }
        };
        let gaps = [gap(0), gap(1)];
        let gaps = GAPS * (gaps[0] + gaps[1]) / (touching + 1.0);
        let firsts = clouds.iter().filter_map(|cloud| cloud.x.first()).copied();
        let begin = firsts.reduce(f64::max).unwrap_or(self.now);
        let wander = JERK * (self.now - begin).powi(3);
        let floor = wander * wander + RESOLUTION * RESOLUTION;
        self.variance = few * quadratic(&bread, &meat, [0.5, -0.5, 0.0, 0.0]) + gaps + floor;
        // What was believed before the stamps is known after them too.
        let slope = few.min(FEW) * quadratic(&bread, &meat, [0.0, 0.0, 1.0, 0.0]);
        self.rate_sigma = slope.sqrt().min(scaled[0]) / self.window;
        self.heights = lowest.map(|lowest| lowest.map(|lowest| (-lowest).max(0.0)));
        let [forward, backward] = self.heights.map(|heights| heights[0]);
        let chance = HEIGHT_NOISE * HEIGHT_NOISE * (forward * forward + backward * backward);
        self.bias = 0.5 * ((forward - backward).powi(2) - chance).max(0.0).sqrt();
    }
}

/// The matrix of the normal equations, from sums by powers of the position.
fn normal(forward: &[f64; 5], backward: &[f64; 5], ridge: [f64; 2], firm: f64) -> Matrix {
    let (f, b) = (forward, backward);
    [
        [f[0] + firm, firm, f[1], f[2]],
        [firm, b[0] + firm, -b[1], -b[2]],
        [f[1], -b[1], f[2] + b[2] + ridge[0], f[3] + b[3]],
        [f[2], -b[2], f[3] + b[3], f[4] + b[4] + ridge[1]],
    ]
}

/// Gaussian elimination of a symmetric, positive matrix, which needs no pivots.
fn solve(mut a: Matrix, mut b: [f64; 4]) -> [f64; 4] {
    for i in 0..4 {
        for row in i + 1..4 {
            let factor = a[row][i] / a[i][i];
            let pivots = a[i];
            for (value, pivot) in a[row].iter_mut().zip(pivots).skip(i) {
                *value -= factor * pivot;
            }
            b[row] -= factor * b[i];
        }
    }
    for i in (0..4).rev() {
        for column in i + 1..4 {
            b[i] -= a[i][column] * b[column];
        }
        b[i] /= a[i][i];
    }
    b
}

fn dot(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The variance of a combination of the parameters: bread⁻¹ meat bread⁻¹ on both sides.
fn quadratic(bread: &Matrix, meat: &Matrix, combination: [f64; 4]) -> f64 {
    let z = solve(*bread, combination);
    (0..4).map(|i| (0..4).map(|j| z[i] * meat[i][j] * z[j]).sum::<f64>()).sum()
}
