//! [`Ladder`]: how asymmetric the fit is to be, chosen by what errs least.
//!
//! Not for: the fit itself (`line`).
//!
//! A delay law with a hard floor (an idle wire) has many stamps close to its edge: there the lowest few say nearly all, and
//! the rest is noise. One with a soft floor (many queues, retransmissions) has none: there the middle of the cloud is known
//! far better than its edge. A third thing counts: where the two directions have different laws, the offset is wrong by half
//! the difference of the distances from the fitted edge to the true one, and so the lowest edge is the best. Each rung is an
//! asymmetry. Now and then others than the rung in use are fitted too: its neighbours, and in turn all pairs of the ladder, for
//! there may be worse rungs between it and the best. The predicted mean square errors (sandwich variance and squared bias),
//! smoothed over two minutes, decide; what contradicts them strongly is learned at once.

use super::line::{Belief, Cloud, Line, RESOLUTION};

/// What a late stamp weighs against an early one, rung by rung.
const RUNGS: [f64; 9] = [1.0, 0.25, 0.06, 0.015, 0.004, 0.001, 2.5e-4, 6e-5, 1.5e-5];
/// While the window is younger than this (s), all rungs are tried at every fit, not only the neighbours.
const YOUNG: f64 = 120.0;
/// Then others are tried at every so many-th fit.
const ROUNDS: u32 = 8;
/// Where a ladder begins.
const FIRST: usize = 4;
/// For so long a fit counts in the smoothed errors (s).
const MEMORY: f64 = 120.0;
/// A fit whose own error is so many times what is known of its rung tells of another network: it weighs at least so much.
const UPSET: f64 = 4.0;
const RELEARN: f64 = 0.5;
/// For so long a fit counts in the smoothed distance between the edges (s), which is uncertain by this part of the deviation.
const WIDTH_MEMORY: f64 = 30.0;
const WIDTH_ERROR: f64 = 0.05;
/// Weight of the newest fit in the smoothed distances from rung to rung.
const SLOW: f64 = 0.03;
/// The smoothed logarithm of a variance lies so much below the logarithm of its mean.
const LOG_BIAS: f64 = 1.6;
/// Another rung must promise to be better by this factor.
const BETTER: f64 = 1.1;
/// Distances from rung to rung shrink by a factor between these: what a floor of the softest and the hardest kind does.
const SHRINK: (f64, f64) = (1.12, 2.2);
/// How far the true edge lies below the lowest rung's is underestimated by about this factor where floors are soft.
const UNSEEN: f64 = 4.0;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Ladder {
    rung: Option<usize>,
    round: u32,
    known: [Rung; RUNGS.len()],
    /// What the directions' unseen floors may shift the offset by, squared.
    unseen: f64,
    /// How far the edges lie apart is to be as it was.
    holds_width: bool,
}

/// What is known of a rung.
#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    fits: u32,
    /// Smoothed logarithm of the variance.
    log_variance: f64,
    /// Smoothed square of the bias.
    bias: f64,
    /// Smoothed distance from this rung's edges to those of the next rung.
    drop: [f64; 2],
    /// Smoothed distance between the edges, while no way has a queue.
    width: f64,
    /// The newest fit, which is a good start for the next.
    line: Option<Line>,
}

impl Rung {
    fn learn(&mut self, line: &Line, holds_width: bool) {
        if !(line.is_finite() && line.variance.is_finite() && line.variance > 0.0 && line.bias.is_finite()) {
            return;
        }
        let since = self.line.map_or(f64::INFINITY, |before| line.now - before.now);
        if !holds_width {
            let gain = (1.0 - (-since / WIDTH_MEMORY).exp()).max(1.0 / f64::from(self.fits + 1));
            self.width += gain * (2.0 * line.half_width() - self.width);
        }
        self.line = Some(*line);
        self.fits += 1;
        let gain = (1.0 - (-since / MEMORY).exp()).max(1.0 / f64::from(self.fits));
        let is_upset = line.error() > UPSET * self.error();
        let gain = if is_upset { gain.max(RELEARN) } else { gain };
        self.log_variance += gain * (line.variance.ln() - self.log_variance);
        self.bias += gain * (line.bias * line.bias - self.bias);
    }

    fn error(&self) -> f64 {
        if self.fits == 0 { f64::INFINITY } else { LOG_BIAS * self.log_variance.exp() + self.bias }
    }
}

impl Ladder {
    /// Whether the distance between the edges is to be taken from before: one way has a queue.
    pub(super) fn hold_width(&mut self, holds: bool) {
        self.holds_width = holds;
    }

    /// Fits on the best rung, and learns how good it and its neighbours are. `span` is how much time the clouds hold (s).
    pub(super) fn fit(&mut self, start: &Line, clouds: &[Cloud; 2], belief: &Belief, span: f64) -> Line {
        let last = RUNGS.len() - 1;
        let current = self.rung.unwrap_or(FIRST);
        self.round += 1;
        let mut tried = [false; RUNGS.len()];
        if span < YOUNG {
            tried = [true; RUNGS.len()];
        } else {
            tried[current] = true;
            match self.round % (2 * ROUNDS) {
                0 => {
                    let low = current.saturating_sub(1).min(last - 2);
                    tried[low..=low + 2].fill(true);
                }
                // The neighbours may both be worse than what lies behind them.
                ROUNDS => {
                    let pair = (self.round / (2 * ROUNDS)) as usize % last;
                    tried[pair..=pair + 1].fill(true);
                }
                _ => {}
            }
        }
        let mut lines = [*start; RUNGS.len()];
        for rung in (0..=last).filter(|rung| tried[*rung]) {
            lines[rung] = self.try_rung(rung, start, clouds, belief);
        }
        for rung in (0..last).filter(|rung| tried[*rung] && tried[rung + 1]) {
            let gain = SLOW.max(1.0 / f64::from(self.known[rung].fits.max(1)));
            for side in 0..2 {
                let drop = lines[rung].edge(side) - lines[rung + 1].edge(side);
                let known = &mut self.known[rung].drop[side];
                *known += gain * (drop - *known);
            }
        }
        let mut best = current;
        for rung in (0..=last).filter(|rung| tried[*rung]) {
            let handicap = if best == current { BETTER } else { 1.0 };
            if self.known[rung].error() * handicap < self.known[best].error() {
                best = rung;
            }
        }
        self.rung = Some(best);
        self.unseen = self.unseen_bias(best.clamp(1, last - 1), best, &lines[best]);
        lines[best]
    }

    fn try_rung(&mut self, rung: usize, start: &Line, clouds: &[Cloud; 2], belief: &Belief) -> Line {
        let known = &mut self.known[rung];
        let deviation = 0.5 * (start.deviation(0) + start.deviation(1));
        let is_held = self.holds_width && known.fits > 0;
        let width = is_held.then_some([known.width, WIDTH_ERROR * deviation + RESOLUTION]);
        let belief = &Belief { width, ..*belief };
        let start = known.line.map_or(*start, |line| line.moved_to(start.now));
        let line = start.fitted(clouds, RUNGS[rung], belief);
        known.learn(&line, self.holds_width);
        line
    }

    /// Mean square error of a line that [`Ladder::fit`] gave (s²).
    pub(super) fn error(&self, line: &Line) -> f64 {
        let known = match self.rung {
            Some(rung) => self.known[rung].error(),
            None => line.error(),
        };
        known.max(line.error().min(4.0 * known)) + self.unseen
    }

    /// The offset's square error if the floors lie below the lowest stamps by what the rungs' distances extrapolate to
    /// (Aitken's process), in proportion to how wide each cloud is.
    fn unseen_bias(&self, middle: usize, rung: usize, line: &Line) -> f64 {
        let gap = |side: usize| {
            let (before, after) = (self.known[middle - 1].drop[side], self.known[middle].drop[side]);
            let shrink = (before / after.max(f64::MIN_POSITIVE)).clamp(SHRINK.0, SHRINK.1);
            let below_next = after.max(0.0) / (shrink - 1.0);
            // From the rung after the middle one; add what lies between.
            below_next
                + if rung <= middle { after.max(0.0) } else { 0.0 }
                + if rung < middle { before.max(0.0) } else { 0.0 }
        };
        let (forward, backward) = (line.deviation(0), line.deviation(1));
        let unequal = (forward - backward).abs() / (forward + backward);
        let bias = UNSEEN * 0.5 * (gap(0) + gap(1)) * unequal;
        // No floor lies so deep that the clouds themselves would be another shape.
        bias.min((forward - backward).abs()).powi(2)
    }
}
