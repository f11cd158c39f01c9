//! The source filter of ntpd-rs (at 6852816: kalman/source.rs, config.rs, and docs/algorithm): a Kalman filter of offset
//! and frequency, whose noise is the variance of the last eight round trips and whose clock wander adapts itself.
//!
//! Only the filter: there it would steer the clock and be told of that, here it feeds forward.

use super::{Contestant, Origin, Published, Sample};
use downbeat_sync::{Exchange, LocalTime};

/// Round trips that count for the noise, and samples of the first guess.
const STAGES: usize = 8;
/// Standard error of the frequency at first.
const ANY_FREQUENCY: f64 = 100e-6;
/// Variance of the frequency's random walk at first (per second).
const WANDER: f64 = 1e-16;
/// A round trip so many standard deviations above the mean is left out, once.
const OUTLIER: f64 = 5.0;
/// Innovations less probable than this or more than that score; so many in a row change the wander by a factor.
const PROBABLE: (f64, f64) = (1.0 / 3.0, 2.0 / 3.0);
const HYSTERESIS: i32 = 16;
const WANDER_FACTOR: f64 = 4.0;
/// A measurement must have weighed so much for the wander to shrink.
const MIN_WEIGHT: f64 = 0.1;

#[derive(Default)]
pub(crate) struct NtpdRs {
    origin: Origin,
    /// The newest, at most [`STAGES`].
    samples: Vec<Sample>,
    filter: Option<Filter>,
    skipped: bool,
}

struct Filter {
    at: f64,
    offset: f64,
    frequency: f64,
    /// Of the offset, of both, of the frequency.
    variances: [f64; 3],
    wander: f64,
    score: i32,
}

impl Filter {
    fn update(&mut self, sample: &Sample, noise: f64) {
        let t = sample.at - self.at;
        let [pp, pf, ff] = self.variances;
        let v = self.wander;
        let pp = pp + 2.0 * pf * t + ff * t * t + v * t * t * t / 3.0;
        let pf = pf + ff * t + v * t * t / 2.0;
        let ff = ff + v * t;
        let innovation = sample.offset - (self.offset + self.frequency * t);
        let total = pp + noise;
        self.at = sample.at;
        self.offset = sample.offset - innovation * noise / total;
        self.frequency += innovation * pf / total;
        self.variances = [pp * noise / total, pf * noise / total, ff - pf * pf / total];
        self.adapt(1.0 - tail(innovation * innovation / total), 1.0 - noise / total);
    }

    fn adapt(&mut self, probability: f64, weight: f64) {
        self.score = match probability {
            p if p < PROBABLE.0 && weight > MIN_WEIGHT => self.score - 1,
            p if p > PROBABLE.1 => self.score + 1,
            _ => self.score - self.score.signum(),
        };
        if self.score.abs() >= HYSTERESIS {
            self.wander *= if self.score > 0 { WANDER_FACTOR } else { 1.0 / WANDER_FACTOR };
            self.score = 0;
        }
    }
}

impl Contestant for NtpdRs {
    fn take(&mut self, exchange: &Exchange) {
        let Some(sample) = self.origin.sample(exchange) else { return };
        if self.samples.last().is_some_and(|last| sample.at <= last.at) {
            return;
        }
        let (mean, variance) = moments(self.samples.iter().map(|sample| sample.round_trip));
        let is_outlier =
            self.filter.is_some() && sample.round_trip - mean > OUTLIER * variance.sqrt() && !self.skipped;
        self.skipped = is_outlier;
        if is_outlier {
            return;
        }
        if self.samples.len() == STAGES {
            self.samples.remove(0);
        }
        self.samples.push(sample);
        let noise = moments(self.samples.iter().map(|sample| sample.round_trip)).1 / 4.0;
        match &mut self.filter {
            Some(filter) => filter.update(&sample, noise),
            None if self.samples.len() == STAGES => {
                let (offset, variance) = moments(self.samples.iter().map(|sample| sample.offset));
                self.filter = Some(Filter {
                    at: sample.at,
                    offset,
                    frequency: 0.0,
                    variances: [variance, 0.0, ANY_FREQUENCY * ANY_FREQUENCY],
                    wander: WANDER,
                    score: 0,
                });
            }
            None => {}
        }
    }

    fn published(&self, now: LocalTime) -> Option<Published> {
        let filter = self.filter.as_ref()?;
        let age = self.origin.seconds(now) - filter.at;
        let offset = filter.offset + filter.frequency * age;
        self.origin.published(now, offset, Some(filter.variances[0].sqrt()))
    }
}

/// Mean and variance.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    (mean, values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0))
}

/// The chance that a chi-square variable of one degree of freedom exceeds this (Abramowitz and Stegun 7.1.26).
fn tail(chi: f64) -> f64 {
    let x = (0.5 * chi).sqrt();
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    t * polynomial.into_iter().fold(0.0, |sum, next| sum * t + next) * (-x * x).exp()
}
