//! chrony's source statistics (chrony at 8f2db83: sourcestats.c, regress.c, and the delay test of ntp_core.c): a weighted
//! line through up to 64 samples, as many as pass a runs test, with its correction for asymmetric jitter.
//!
//! At four exchanges a second, the window is 16 s at most; chrony would seldom ask more often than once a second. A
//! sample out of order is left out, where chrony would forget everything.

use super::{Contestant, Origin, Published, Sample, median};
use downbeat_sync::{Exchange, LocalTime};

/// Samples of the regression at most; the runs test looks at twice as many.
const SAMPLES: usize = 64;
const RUNS_RATIO: usize = 2;
/// Fewer make no line.
const MIN_SAMPLES: usize = 3;
/// The standard deviation of the samples, as a part of the median excess of their distances.
const SD_TO_DISTANCE: f64 = 0.7;
const PRECISION: f64 = 1e-7;
/// Asymmetry of the jitter counts from here on, ten times in a row, and goes no further.
const MIN_ASYMMETRY: f64 = 0.45;
const ASYMMETRY_RUN: i32 = 10;
const MAX_ASYMMETRY: f64 = 0.5;
/// A sample this many standard deviations late is left out, unless its offset moved by more than its delay.
const MAX_DEVIATIONS: f64 = 10.0;
const MAX_CLOCK_ERROR: f64 = 1e-6;
/// The delay test needs so many samples.
const TESTABLE: usize = 6;

#[derive(Default)]
pub(crate) struct Chrony {
    origin: Origin,
    /// Oldest first: those that only the runs test sees, then those of the line.
    samples: Vec<Sample>,
    in_line: usize,
    line: Option<Line>,
    asymmetry_run: i32,
}

#[derive(Clone, Copy)]
struct Line {
    at: f64,
    offset: f64,
    frequency: f64,
    skew: f64,
    deviation: f64,
}

impl Line {
    fn offset_at(&self, at: f64) -> f64 {
        self.offset + self.frequency * (at - self.at)
    }
}

impl Chrony {
    /// The test of ntp_core.c for samples that were on the way for too long.
    fn is_late(&self, sample: &Sample) -> bool {
        let Some(line) = self.line.filter(|_| self.in_line >= TESTABLE) else { return false };
        let excess = 0.5 * (sample.round_trip - self.min_round_trip());
        let elapsed = sample.at - line.at;
        let most = MAX_DEVIATIONS * line.deviation + elapsed * (line.skew + MAX_CLOCK_ERROR);
        excess > most && (sample.offset - line.offset_at(sample.at)).abs() - excess <= most
    }

    fn min_round_trip(&self) -> f64 {
        self.samples.iter().map(|sample| sample.round_trip).fold(f64::INFINITY, f64::min)
    }

    fn regress(&mut self) {
        let now = self.samples.last().map_or(0.0, |sample| sample.at);
        let only_runs = self.samples.len() - self.in_line;
        let x: Vec<f64> = self.samples.iter().map(|sample| sample.at - now).collect();
        let y = self.corrected(&x);
        let weights = self.weights(only_runs);
        let mut start = 0;
        loop {
            let (from, count) = (only_runs + start, self.in_line - start);
            let fit = Fit::of(&x[from..], &y[from..], &weights[start..]);
            let seen_from = x.len() - (RUNS_RATIO * count).min(x.len());
            let residuals = (seen_from..x.len()).map(|n| y[n] - fit.a - fit.b * x[n]);
            if runs(residuals) > critical_runs(x.len() - seen_from) || count <= MIN_SAMPLES {
                self.line = Some(Line {
                    at: now,
                    offset: fit.a,
                    frequency: fit.b,
                    skew: fit.slope_sd * t_coefficient(count - 2),
                    deviation: fit.deviation,
                });
                self.in_line = count;
                let keep = (RUNS_RATIO * count).min(self.samples.len());
                self.samples.drain(..self.samples.len() - keep);
                return;
            }
            start += 1;
        }
    }

    /// The squared weights by which residuals are divided: more for what was long on the way.
    fn weights(&self, only_runs: usize) -> Vec<f64> {
        let distances = self.samples[only_runs..].iter().map(|sample| 0.5 * sample.round_trip);
        let least = distances.clone().fold(f64::INFINITY, f64::min);
        let sd = (median(distances.clone()) - least) / SD_TO_DISTANCE;
        let sd = sd.min(least).max(PRECISION);
        distances.map(|distance| (1.0 + (distance - least - PRECISION).max(0.0) / sd).powi(2)).collect()
    }

    /// The offsets as they would be at the least delay, if all jitter is of one direction.
    fn corrected(&mut self, x: &[f64]) -> Vec<f64> {
        let least = self.min_round_trip();
        let excess: Vec<f64> = self.samples.iter().map(|sample| sample.round_trip - least).collect();
        let offsets: Vec<f64> = self.samples.iter().map(|sample| sample.offset).collect();
        let asymmetry = slope_on_second(x, &excess, &offsets);
        match asymmetry {
            Some(a) if a * f64::from(self.asymmetry_run) >= 0.0 => {
                self.asymmetry_run += i32::from(a >= MIN_ASYMMETRY) - i32::from(a <= -MIN_ASYMMETRY);
            }
            _ => self.asymmetry_run = 0,
        }
        match asymmetry {
            Some(a) if self.asymmetry_run.abs() >= ASYMMETRY_RUN => {
                let a = a.clamp(-MAX_ASYMMETRY, MAX_ASYMMETRY);
                offsets.iter().zip(&excess).map(|(offset, excess)| offset - a * excess).collect()
            }
            _ => offsets,
        }
    }
}

impl Contestant for Chrony {
    fn take(&mut self, exchange: &Exchange) {
        let Some(sample) = self.origin.sample(exchange) else { return };
        let is_old = self.samples.last().is_some_and(|last| sample.at <= last.at);
        if is_old || self.is_late(&sample) {
            return;
        }
        self.samples.push(sample);
        self.in_line = (self.in_line + 1).min(SAMPLES);
        if self.samples.len() > RUNS_RATIO * SAMPLES {
            self.samples.remove(0);
        }
        if self.in_line >= MIN_SAMPLES {
            self.regress();
        }
    }

    fn published(&self, now: LocalTime) -> Option<Published> {
        let newest = self.samples.last()?;
        let offset = self.line.map_or(newest.offset, |line| line.offset_at(self.origin.seconds(now)));
        self.origin.published(now, offset, None)
    }
}

/// A weighted line.
struct Fit {
    a: f64,
    b: f64,
    slope_sd: f64,
    deviation: f64,
}

impl Fit {
    fn of(x: &[f64], y: &[f64], weights: &[f64]) -> Fit {
        let points = || x.iter().zip(y).zip(weights).map(|((x, y), w)| (*x, *y, 1.0 / w));
        let total: f64 = points().map(|(_, _, w)| w).sum();
        let mean = points().map(|(x, _, w)| w * x).sum::<f64>() / total;
        let spread: f64 = points().map(|(x, _, w)| w * (x - mean).powi(2)).sum();
        let b = points().map(|(x, y, w)| w * y * (x - mean)).sum::<f64>() / spread;
        let a = points().map(|(_, y, w)| w * y).sum::<f64>() / total - b * mean;
        let squares: f64 = points().map(|(x, y, w)| w * (y - a - b * x).powi(2)).sum();
        let variance = squares / (x.len() as f64 - 2.0).max(1.0);
        let deviation = (variance * x.len() as f64 / total).sqrt();
        Fit { a, b, slope_sd: (variance / spread).sqrt(), deviation }
    }
}

/// The coefficient of `second` in a regression on `first` and `second`.
fn slope_on_second(first: &[f64], second: &[f64], y: &[f64]) -> Option<f64> {
    if y.len() < 4 {
        return None;
    }
    let count = y.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let means = [first, second, y].map(mean);
    let product = |a: &[f64], b: &[f64], mean_a: f64, mean_b: f64| {
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>()
    };
    let [m1, m2, my] = means;
    let (s11, s22) = (product(first, first, m1, m1), product(second, second, m2, m2));
    let s12 = product(first, second, m1, m2);
    let (s1y, s2y) = (product(first, y, m1, my), product(second, y, m2, my));
    let determinant = s11 * s22 - s12 * s12;
    (determinant > 1e-12 * s11 * s22).then(|| (s2y * s11 - s1y * s12) / determinant)
}

/// Runs of one sign.
fn runs(residuals: impl Iterator<Item = f64>) -> usize {
    let signs: Vec<bool> = residuals.map(|residual| residual > 0.0).collect();
    1 + signs.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

/// So few runs come in one of ten lines that fit; regress.c has a table of it.
fn critical_runs(count: usize) -> usize {
    let count = count as f64;
    if count < 8.0 { 0 } else { (0.5 * (count + 1.0) - 0.64 * (count - 1.0).sqrt()) as usize }
}

/// Student's t at 99.95 %, which regress.c has a table of: exact at the first three, within 3 % above.
fn t_coefficient(freedom: usize) -> f64 {
    let n = freedom.max(1) as f64;
    match freedom {
        0 | 1 => 636.6,
        2 => 31.6,
        3 => 12.92,
        _ => 3.29 + 9.2 / n + 45.0 / (n * n),
    }
}
