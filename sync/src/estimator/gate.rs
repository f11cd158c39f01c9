//! [`Gate`]: which stamps may touch the line, and when a contradiction becomes a fact.
//!
//! Not for: noise. A stamp that is late is only that, and the fit deals with it.
//!
//! Two kinds of stamps contradict a line. Of one the exchange's hard interval does not hold the offset: nothing arrives
//! before it is sent, so either the stamp or the line is wrong; this is a proof, not a statistic. The other lies on the
//! early side of its edge, farther than any stamp so far. Single ones are wrong stamps (a corrupt packet, a virtual
//! machine's clock) and poison an edge, so they wait outside. If enough of them agree with each other, and nothing that
//! came since rules them out, the other clock was set; or the network is only faster than it ever was, if they are not late by as
//! much the other way.
//!
//! A young cloud cannot tell yet what is early. It is weeded at each fit: of stamps that exclude each other the minority is
//! wrong, and so are a few far below all the others.

use super::line::{Line, Seconds};

/// Dissenting exchanges that make a fact, if the line is impossible by each; and if each is only earlier than any before.
const CONFIRM: usize = 3;
const CONFIRM_EARLY: usize = 6;
/// They must come within this time, where exchanges are not rare (s).
pub(super) const MEMORY: Seconds = 4.0;
/// How many are remembered.
const DISSENTERS: usize = 8;
/// What the hard interval may be missed by: stamps of this much error, and of the line's standard errors.
pub(super) const TOLERANCE: Seconds = 20e-6;
const SIGMAS: f64 = 4.0;
/// Below its edge by so many times what the lowest stamp so far is, so many times the spacing that stamps of such deviation
/// have above a hard floor, and those standard errors: that is farther than noise.
const FAR_BELOW: f64 = 3.0;
const SPACINGS: f64 = 10.0;
/// So many stamps make a cloud whose edge can be trusted.
const MATURE: usize = 24;
/// In a crowd of so many, stamps are lonely below a gap of so many times the distance from there to the middle; they are no
/// more than this part of it.
const CROWD: usize = 16;
const LONELY: f64 = 1.0;
const FEW_WRONG: usize = 8;

/// Both stamps of an exchange: when, and what they bound the offset by (s). See [`super::line::Cloud`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stamps {
    pub(super) x: [Seconds; 2],
    pub(super) y: [Seconds; 2],
}

/// What is known of the exchanges besides the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// How coarse their stamps are (s).
    pub(super) grain: Seconds,
    /// How many made the line.
    pub(super) count: usize,
    /// Within what time dissenters must come (s).
    pub(super) memory: Seconds,
}

/// What to do with an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Let it in.
    Use,
    /// Keep it out.
    Doubt,
    /// Let it in with its likes: the network can be faster than it was so far.
    Lower,
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
    pub(super) fn judge(&mut self, stamps: &Stamps, line: &Line, sigma: Seconds, known: Known) -> Judgement {
        let Known { grain, count, memory } = known;
        let tolerance = TOLERANCE + grain + SIGMAS * sigma;
        let residuals = [0, 1].map(|side| line.residual(side, stamps.x[side], stamps.y[side]));
        let above = [0, 1].map(|side| residuals[side] + line.half_width());
        let impossible = above.iter().any(|above| *above < -tolerance);
        let unheard = (0..2).any(|side| {
            residuals[side] < -(far_below(line, side, count) + grain + SIGMAS * line.variance.sqrt())
        });
        // Whatever comes speaks against dissenters whose offset it rules out.
        self.dissent
            .retain(|(old, _)| stamps.x[1] - old.x[1] < memory && agree(old, stamps, line, tolerance));
        if !impossible && !unheard {
            return Judgement::Use;
        }
        if self.dissent.len() == DISSENTERS {
            self.dissent.remove(0);
        }
        self.dissent.push((*stamps, impossible));
        let proofs = self.dissent.iter().filter(|(_, impossible)| *impossible).count();
        if proofs >= CONFIRM || (self.dissent.len() >= CONFIRM_EARLY && !self.is_floor(line)) {
            Judgement::Move
        } else if self.dissent.len() >= CONFIRM_EARLY {
            Judgement::Lower
        } else {
            Judgement::Doubt
        }
    }

    /// Whether the dissenters only came faster than any before them. If the other clock was set, what is early one way is as
    /// late the other way.
    fn is_floor(&self, line: &Line) -> bool {
        let earliest = [0, 1].map(|side| {
            let residuals =
                self.dissent.iter().map(|(stamps, _)| line.residual(side, stamps.x[side], stamps.y[side]));
            residuals.fold(f64::INFINITY, f64::min)
        });
        let (early, other) = (earliest[0].min(earliest[1]), earliest[0].max(earliest[1]));
        other < -0.5 * early
    }

    /// How early the dissenters are at most, which way, and since when there are any.
    pub(super) fn earliest(&self, line: &Line) -> Option<(Seconds, usize, Seconds)> {
        let (first, _) = self.dissent.first()?;
        let earliest = [0, 1].map(|side| {
            let early =
                self.dissent.iter().map(|(stamps, _)| -line.residual(side, stamps.x[side], stamps.y[side]));
            early.fold(f64::NEG_INFINITY, f64::max)
        });
        let side = usize::from(earliest[1] > earliest[0]);
        Some((earliest[side], side, first.x[0]))
    }

    /// What each dissenter bounds this direction's offset by from above, see [`super::line::Cloud::limits`].
    pub(super) fn limits(&self, line: &Line, side: usize) -> impl Iterator<Item = Seconds> {
        self.dissent
            .iter()
            .map(move |(stamps, _)| line.residual(side, stamps.x[side], stamps.y[side]) + line.edge(side))
    }

    /// Those of whom it is not decided whether they are right.
    pub(super) fn dissenters(&self) -> impl Iterator<Item = &Stamps> {
        self.dissent.iter().map(|(stamps, _)| stamps)
    }

    /// The stamps that made [`Judgement::Move`] or [`Judgement::Lower`].
    pub(super) fn take_dissent(&mut self) -> Vec<Stamps> {
        std::mem::take(&mut self.dissent).into_iter().map(|(stamps, _)| stamps).collect()
    }
}

/// How many of a cloud's lowest stamps are so far below all others that they must be wrong.
///
/// `residuals` are ascending. Of a law with a hard floor the lowest of n are as far apart as the n-th part of the distance
/// from there to the middle, of one with the softest floor a third of it.
pub(super) fn lonely(residuals: &[Seconds]) -> usize {
    let count = residuals.len();
    if count < CROWD {
        return 0;
    }
    let middle = residuals[count / 2];
    let is_gap = |low: &usize| {
        let (below, above) = (residuals[low - 1], residuals[*low]);
        above - below > TOLERANCE && above - below > LONELY * (middle - above)
    };
    (1..=count / FEW_WRONG).filter(is_gap).max().unwrap_or(0)
}

/// The least limit of each direction that is not refuted: where the offset can be, most limits agree (Marzullo 1984), and one
/// that excludes this place is wrong. `limits` are what each stamp bounds the offset, or for the backward direction the
/// negative offset, by from above.
pub(super) fn consent(limits: &[Vec<Seconds>; 2]) -> [Seconds; 2] {
    let [forward, backward] = limits;
    let least = |limits: &[Seconds]| limits.iter().copied().fold(f64::INFINITY, f64::min);
    let all = [least(forward), least(backward)];
    if all[0] + all[1] >= 0.0 {
        return all;
    }
    let held = |offset: Seconds| {
        let forward = forward.iter().filter(|limit| **limit >= offset).count();
        forward + backward.iter().filter(|limit| **limit >= -offset).count()
    };
    let places = forward.iter().copied().chain(backward.iter().map(|limit| -limit));
    let offset = places.max_by_key(|offset| held(*offset)).unwrap_or(0.0);
    [offset, -offset]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_limits_that_exclude_each_other_the_minority_is_wrong() {
        // The offset is 1; delays are 0.2 to 0.4. One stamp of each direction is 5 early.
        let forward = vec![1.2, 1.3, -3.8, 1.4];
        let backward = vec![-0.8, -0.7, -0.6, -5.7];
        let [least_forward, least_backward] = consent(&[forward, backward]);
        assert!((0.8..=1.2).contains(&least_forward), "{least_forward}");
        assert!((-1.2..=-0.8).contains(&least_backward), "{least_backward}");
        // Those that agree are all right.
        assert_eq!(consent(&[vec![1.2, 1.3], vec![-0.8, -0.7]]), [1.2, -0.8]);
    }

    #[test]
    fn a_few_far_below_all_others_are_lonely() {
        let crowd: Vec<f64> = (0..32).map(|n| 1e-3 * f64::from(n)).collect();
        assert_eq!(lonely(&crowd), 0);
        for wrong in 1..=4 {
            let mut residuals = crowd.clone();
            for (n, residual) in residuals.iter_mut().enumerate().take(wrong) {
                *residual = -0.05 + 1e-3 * n as f64;
            }
            assert_eq!(lonely(&residuals), wrong);
        }
        // Too many to be an accident.
        let mut residuals = crowd;
        residuals[..8].fill(-0.05);
        assert_eq!(lonely(&residuals), 0);
    }
}
