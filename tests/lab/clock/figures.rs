//! [`Figures`]: a scenario's outcome in numbers, and the limits of such.

use super::polling::BEGIN;
use super::scenario::Scenario;
use super::track::Track;
use crate::report::{median, quantile};

/// After such times without news the error is taken (s).
const HOLDOVER: [f64; 3] = [10.0, 60.0, 300.0];

/// What was measured, or may be at most. Less is better; NaN where the scenario does not say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Error in the steady state, over all seeds [us].
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) worst: f64,
    /// The seeds' median of the same [us].
    pub(crate) seed_p50: f64,
    pub(crate) seed_p99: f64,
    /// From when on the error stayed synchronous: median and worst seed (s).
    pub(crate) settles: f64,
    pub(crate) settles_worst: f64,
    /// How long after a step (s).
    pub(crate) back: f64,
    pub(crate) back_worst: f64,
    /// Error after 10, 60 and 300 s without news: root mean square over the seeds [us].
    pub(crate) holdover: [f64; 3],
    /// The largest error in and after a black hole: median and worst seed [us].
    pub(crate) hole: f64,
    pub(crate) hole_worst: f64,
    /// Part of the errors outside of three published standard errors, in the steady state and before [%].
    pub(crate) outside_sigma: f64,
    pub(crate) outside_young_sigma: f64,
    /// Part of all errors outside of the published bound [%].
    pub(crate) outside_bound: f64,
    /// The published bound in the steady state: median [us].
    pub(crate) bound: f64,
    /// Steps that were found and were none, over all seeds.
    pub(crate) false_steps: f64,
}

impl Figures {
    /// No limits.
    pub(crate) const ANY: Figures = Figures {
        p50: f64::INFINITY,
        p99: f64::INFINITY,
        worst: f64::INFINITY,
        seed_p50: f64::INFINITY,
        seed_p99: f64::INFINITY,
        settles: f64::INFINITY,
        settles_worst: f64::INFINITY,
        back: f64::INFINITY,
        back_worst: f64::INFINITY,
        holdover: [f64::INFINITY; 3],
        hole: f64::INFINITY,
        hole_worst: f64::INFINITY,
        outside_sigma: f64::INFINITY,
        outside_young_sigma: f64::INFINITY,
        outside_bound: f64::INFINITY,
        bound: f64::INFINITY,
        false_steps: f64::INFINITY,
    };

    /// Sums the seeds' tracks up.
    pub(crate) fn of(scenario: &Scenario, tracks: &[Track]) -> Figures {
        let steady = |track: &Track| track.errors(scenario.steady_from, f64::INFINITY);
        let per_seed: Vec<Vec<f64>> = tracks.iter().map(steady).collect();
        let seeds = |part: f64| median(&each(&per_seed, |errors| quantile(errors, part)));
        let pooled = per_seed.concat();
        let settles = each(tracks, |track| track.settles(0.0, scenario.profile.synchronous()));
        let back = scenario.step.map_or_else(Vec::new, |step| {
            each(tracks, |track| track.settles(step.at, scenario.profile.recovered()))
        });
        let hole = scenario.faults.hole.map(|(from, to)| (from - BEGIN, to - BEGIN));
        let in_hole = hole.map_or_else(Vec::new, |(from, _)| {
            each(tracks, |track| quantile(&track.errors(from, f64::INFINITY), 1.0))
        });
        let holdover = HOLDOVER.map(|after| match hole {
            Some((from, to)) if from + after <= to => {
                rms(&each(tracks, |track| track.error_at(from + after)))
            }
            _ => f64::NAN,
        });
        let found: u64 = tracks.iter().map(|track| track.moves).sum();
        let real = u64::from(scenario.step.is_some()) * scenario.seeds;
        let young = outside(tracks, 0.0, scenario.steady_from, |point| Some(3.0 * point.sigma?));
        let bounds: Vec<f64> = tracks
            .iter()
            .flat_map(|track| track.between(scenario.steady_from, f64::INFINITY))
            .filter_map(|point| point.bound)
            .collect();
        Figures {
            p50: median(&pooled),
            p99: quantile(&pooled, 0.99),
            worst: quantile(&pooled, 1.0),
            seed_p50: seeds(0.5),
            seed_p99: seeds(0.99),
            settles: median(&settles),
            settles_worst: quantile(&settles, 1.0),
            back: median(&back),
            back_worst: quantile(&back, 1.0),
            holdover,
            hole: median(&in_hole),
            hole_worst: quantile(&in_hole, 1.0),
            outside_sigma: outside(tracks, scenario.steady_from, f64::INFINITY, |point| {
                Some(3.0 * point.sigma?)
            }),
            outside_young_sigma: young,
            outside_bound: outside(tracks, 0.0, f64::INFINITY, |point| point.bound),
            bound: median(&bounds),
            false_steps: found.saturating_sub(real) as f64,
        }
    }

    /// What exceeds the limits, in words; a figure that was not measured exceeds every limit but infinity.
    pub(crate) fn beyond(&self, limits: &Figures) -> Vec<String> {
        let pairs = self.named().into_iter().zip(limits.named());
        let wrong =
            pairs.filter(|((_, value), (_, limit))| limit.is_finite() && (value.is_nan() || value > limit));
        wrong.map(|((name, value), (_, limit))| format!("{name} {value:.3} > {limit}")).collect()
    }

    fn named(&self) -> [(&'static str, f64); 19] {
        [
            ("p50", self.p50),
            ("p99", self.p99),
            ("worst", self.worst),
            ("seeds' p50", self.seed_p50),
            ("seeds' p99", self.seed_p99),
            ("settles", self.settles),
            ("settles at worst", self.settles_worst),
            ("back", self.back),
            ("back at worst", self.back_worst),
            ("holdover 10 s", self.holdover[0]),
            ("holdover 60 s", self.holdover[1]),
            ("holdover 300 s", self.holdover[2]),
            ("hole", self.hole),
            ("hole at worst", self.hole_worst),
            ("% outside 3 sigma", self.outside_sigma),
            ("% outside 3 sigma while young", self.outside_young_sigma),
            ("% outside the bound", self.outside_bound),
            ("bound", self.bound),
            ("false steps", self.false_steps),
        ]
    }
}

fn each<T>(items: &[T], figure: impl Fn(&T) -> f64) -> Vec<f64> {
    items.iter().map(figure).collect()
}

fn rms(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
}

/// Part of the errors that exceed what was published with them [%]; NaN if nothing was.
fn outside(
    tracks: &[Track],
    from: f64,
    to: f64,
    published: impl Fn(&super::track::Point) -> Option<f64>,
) -> f64 {
    let points = tracks.iter().flat_map(|track| track.between(from, to));
    let judged: Vec<bool> = points.filter_map(|point| Some(point.error.abs() > published(point)?)).collect();
    100.0 * judged.iter().filter(|outside| **outside).count() as f64 / judged.len() as f64
}
