//! Sendspin's time filter (Sendspin/time-filter at 39dd3f4): a Kalman filter of offset and drift, whose measurements are
//! the best of eight, with half of half the round trip as their standard error.
//!
//! Its bursts of eight come every 10 s; here every eight exchanges of the common schedule are one, which is up to five
//! times as many.

use super::{Contestant, Origin, Published, Sample};
use downbeat_sync::{Exchange, LocalTime};

/// Exchanges of which the one with the least round trip is taken.
const BURST: usize = 8;
/// Standard error, as a part of half the round trip.
const ERROR_SCALE: f64 = 0.5;
/// Random walk of the drift: variance per second (1e-11 per square root of a microsecond).
const DRIFT_WALK: f64 = 1e-16;
/// An innovation of more than so many times half the round trip ...
const CUTOFF: f64 = 3.0;
/// ... multiplies all variances, but not before so many measurements.
const FORGETTING: f64 = 4.0;
const MATURE: u32 = 100;
/// The drift is used if it is so many times its standard error.
const SIGNIFICANT: f64 = 2.0;

#[derive(Default)]
pub(crate) struct Sendspin {
    origin: Origin,
    burst: Vec<Sample>,
    count: u32,
    at: f64,
    offset: f64,
    drift: f64,
    offset_variance: f64,
    covariance: f64,
    drift_variance: f64,
}

impl Sendspin {
    fn measure(&mut self, sample: &Sample) {
        let elapsed = sample.at - self.at;
        if self.count > 0 && elapsed <= 0.0 {
            return;
        }
        let half = 0.5 * sample.round_trip;
        let noise = (ERROR_SCALE * half).powi(2);
        self.at = sample.at;
        match self.count {
            0 => (self.offset, self.offset_variance) = (sample.offset, noise),
            1 => {
                self.drift = (sample.offset - self.offset) / elapsed;
                self.drift_variance = (self.offset_variance + noise) / (elapsed * elapsed);
                (self.offset, self.offset_variance) = (sample.offset, noise);
            }
            _ => self.update(sample.offset, elapsed, noise, CUTOFF * half),
        }
        self.count += 1;
    }

    fn update(&mut self, measured: f64, elapsed: f64, noise: f64, cutoff: f64) {
        let predicted = self.offset + self.drift * elapsed;
        let innovation = measured - predicted;
        let variances = [
            self.offset_variance + 2.0 * self.covariance * elapsed + self.drift_variance * elapsed * elapsed,
            self.covariance + self.drift_variance * elapsed,
            self.drift_variance + DRIFT_WALK * elapsed,
        ];
        let forgets = self.count >= MATURE && innovation.abs() > cutoff;
        let [offset, covariance, drift] = variances.map(|v| if forgets { FORGETTING * v } else { v });
        let [gain, drift_gain] = [offset, covariance].map(|v| v / (offset + noise));
        self.offset = predicted + gain * innovation;
        self.drift += drift_gain * innovation;
        self.offset_variance = offset - gain * offset;
        self.covariance = covariance - drift_gain * offset;
        self.drift_variance = drift - drift_gain * covariance;
    }
}

impl Contestant for Sendspin {
    fn take(&mut self, exchange: &Exchange) {
        let Some(sample) = self.origin.sample(exchange) else { return };
        self.burst.push(sample);
        if self.burst.len() == BURST {
            let best = self.burst.iter().min_by(|a, b| a.round_trip.total_cmp(&b.round_trip)).copied();
            self.burst.clear();
            if let Some(best) = best {
                self.measure(&best);
            }
        }
    }

    fn published(&self, now: LocalTime) -> Option<Published> {
        let is_used = self.drift.powi(2) > SIGNIFICANT.powi(2) * self.drift_variance;
        let drift = if is_used && self.count > 2 { self.drift } else { 0.0 };
        let offset = self.offset + drift * (self.origin.seconds(now) - self.at);
        let sigma = self.offset_variance.sqrt();
        (self.count > 0).then(|| self.origin.published(now, offset, Some(sigma)))?
    }
}
