//! [`Gate`]: which stamps may touch the line, and when a contradiction becomes a fact.
//!
//! Not for: noise. A stamp that is late is only that, and the fit deals with it.
//!
//! Two kinds of stamps contradict a line. Of one the exchange's hard interval does not hold the offset: nothing arrives
//! before it is sent, so either the stamp or the line is wrong; this is a proof, not a statistic. The other lies on the
//! early side of its edge, farther than any stamp so far. Single ones are wrong stamps (a corrupt packet, a virtual
//! machine's clock) and poison an edge, so they wait outside. If enough of them agree with each other, and nothing that
//! came since rules them out, the other clock was set or the path has changed.

use super::line::{Line, Seconds};

/// Dissenting exchanges that make a fact, if the line is impossible by each; and if each is only earlier than any before.
const CONFIRM: usize = 3;
const CONFIRM_EARLY: usize = 6;
/// They must come within this time (s).
const MEMORY: Seconds = 4.0;
/// How many are remembered.
const DISSENTERS: usize = 8;
/// What the hard interval may be missed by: stamps of this much error, and of the line's standard errors.
const TOLERANCE: Seconds = 20e-6;
const SIGMAS: f64 = 4.0;
/// Below its edge by so many times what the lowest stamp so far is, so many times the spacing that stamps of such deviation
/// have above a hard floor, and those standard errors: that is farther than noise.
const FAR_BELOW: f64 = 3.0;
const SPACINGS: f64 = 10.0;
/// So many stamps make a cloud whose edge can be trusted.
const MATURE: usize = 24;

/// Both stamps of an exchange: when, and what they bound the offset by (s). See [`super::line::Cloud`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stamps {
    pub(super) x: [Seconds; 2],
    pub(super) y: [Seconds; 2],
}

/// What to do with an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Let it in.
    Use,
    /// Keep it out.
    Doubt,
    /// Forget everything else: it and its likes are right.
    Move,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    /// Who dissents, and whether the line is impossible by it.
    dissent: Vec<(Stamps, bool)>,
}

impl Gate {
    /// Judges an exchange by a line at its instant, whose offset has this standard error.
    pub(super) fn judge(&mut self, stamps: &Stamps, line: &Line, sigma: Seconds, count: usize) -> Judgement {
        let tolerance = TOLERANCE + SIGMAS * sigma;
        let residuals = [0, 1].map(|side| line.residual(side, stamps.x[side], stamps.y[side]));
        let above = [0, 1].map(|side| residuals[side] + line.half_width());
        let impossible = above.iter().any(|above| *above < -tolerance);
        let unheard = (0..2)
            .any(|side| residuals[side] < -(far_below(line, side, count) + SIGMAS * line.variance.sqrt()));
        // Whatever comes speaks against dissenters whose offset it rules out.
        self.dissent
            .retain(|(old, _)| stamps.x[1] - old.x[1] < MEMORY && agree(old, stamps, line, tolerance));
        if !impossible && !unheard {
            return Judgement::Use;
        }
        if self.dissent.len() == DISSENTERS {
            self.dissent.remove(0);
        }
        self.dissent.push((*stamps, impossible));
        let proofs = self.dissent.iter().filter(|(_, impossible)| *impossible).count();
        if proofs >= CONFIRM || self.dissent.len() >= CONFIRM_EARLY {
            Judgement::Move
        } else {
            Judgement::Doubt
        }
    }

    /// The stamps that made [`Judgement::Move`].
    pub(super) fn take_dissent(&mut self) -> Vec<Stamps> {
        std::mem::take(&mut self.dissent).into_iter().map(|(stamps, _)| stamps).collect()
    }
}

/// Whether the lowest stamp of a cloud of so many is so lonely that it must be wrong.
pub(super) fn is_lonely(line: &Line, side: usize, count: usize) -> bool {
    line.heights[side][0] > far_below(line, side, count)
}

/// How far below its edge no stamp comes by chance, by the third lowest so far.
fn far_below(line: &Line, side: usize, count: usize) -> Seconds {
    if count < MATURE {
        return f64::INFINITY;
    }
    let spacing = line.deviation(side) / count as f64;
    FAR_BELOW * line.heights[side][2] + SPACINGS * spacing + TOLERANCE
}

/// Whether one offset fits into both exchanges' intervals, against the drift of the line.
fn agree(one: &Stamps, other: &Stamps, line: &Line, tolerance: Seconds) -> bool {
    let above = |stamps: &Stamps| {
        [0, 1].map(|side| line.residual(side, stamps.x[side], stamps.y[side]) + line.half_width())
    };
    let (one, other) = (above(one), above(other));
    one[0].min(other[0]) + one[1].min(other[1]) > -tolerance
}
