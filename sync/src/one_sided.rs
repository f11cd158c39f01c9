//! [`OneSided`]: how well offset and rate of a line are known that lies along the edge of what is measured.
//!
//! A callback never wakes early, and a packet never arrives early; both are often late, by an amount that follows the load.
//! A Kalman filter of offset and rate (the constant-velocity model: Bar-Shalom, Li and Kirubarajan 2001, section 6.2.2)
//! would settle on the mean lateness and move with the load. Here what is late weighs less than what is early
//! ([`Tuning::late_weight`]), so the line settles on a low expectile (asymmetric least squares: Newey and Powell 1987), close
//! to the earliest; and beyond some deviations an innovation counts in proportion only (Huber 1964).
//!
//! Not for: the line itself, which its user keeps, nor for what contradicts it (lost frames, a clock that was set).

/// Seconds in floating point: short distances only, never a time since the start.
pub(crate) type Seconds = f64;

/// What differs between the users of the filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// What a late innovation weighs against an early one of the same size (1).
    pub(crate) late_weight: f64,
    /// Innovations beyond so many mean deviations count in proportion, not squared.
    pub(crate) huber: f64,
    /// Standard error of one on the edge, in mean deviations.
    pub(crate) noise: f64,
    /// Random walk of the edge [s/√s].
    pub(crate) edge_wander: f64,
    /// Random walk of the rate [1/√s].
    pub(crate) rate_wander: f64,
    /// The mean deviation is that of distances bounded by so many of it.
    pub(crate) bounded: f64,
    /// Its least and its largest value.
    pub(crate) deviation: (Seconds, Seconds),
}

/// By what to move the line after an innovation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Correction {
    /// Positive is later.
    pub(crate) offset: Seconds,
    /// By how much later in each second (1).
    pub(crate) rate: f64,
}

/// The covariance of offset and rate, and the scale of the noise. `RT:` a dozen operations, nothing else.
#[derive(Clone, Debug)]
pub(crate) struct OneSided {
    offset_var: f64,
    covar: f64,
    rate_var: f64,
    deviation: Seconds,
}

impl OneSided {
    /// Offset and rate are known with these standard errors; the mean deviation is guessed.
    pub(crate) fn new(offset: Seconds, rate: f64, deviation: Seconds) -> OneSided {
        OneSided { offset_var: offset * offset, covar: 0.0, rate_var: rate * rate, deviation }
    }

    /// Mean distance from the line.
    pub(crate) fn deviation(&self) -> Seconds {
        self.deviation
    }

    /// Standard error of the offset, if innovations were independent of each other.
    pub(crate) fn offset_sigma(&self) -> Seconds {
        self.offset_var.sqrt()
    }

    /// The same of the rate (1).
    pub(crate) fn rate_sigma(&self) -> f64 {
        self.rate_var.sqrt()
    }

    /// So much time goes by, and what is known ages.
    pub(crate) fn predict(&mut self, dt: Seconds, tuning: &Tuning) {
        let (rate, edge) = (tuning.rate_wander.powi(2), tuning.edge_wander.powi(2));
        self.offset_var += dt * (2.0 * self.covar + dt * self.rate_var + edge + rate * dt * dt / 3.0);
        self.covar += dt * (self.rate_var + rate * dt / 2.0);
        self.rate_var += rate * dt;
    }

    /// Something came so much later than the line; the mean deviation follows it by the share `memory` [0 to 1].
    pub(crate) fn update(&mut self, late: Seconds, memory: f64, tuning: &Tuning) -> Correction {
        let distance = late.abs();
        let limit = tuning.huber * self.deviation;
        let side = if late > 0.0 { tuning.late_weight } else { 1.0 };
        let weight = side * limit / distance.max(limit);
        let noise = tuning.noise * self.deviation;
        let innovation_var = self.offset_var + noise * noise / weight;
        let (gain, rate_gain) = (self.offset_var / innovation_var, self.covar / innovation_var);
        self.rate_var -= rate_gain * self.covar;
        self.covar *= 1.0 - gain;
        self.offset_var *= 1.0 - gain;
        let bounded = distance.min(tuning.bounded * self.deviation);
        let (least, largest) = tuning.deviation;
        self.deviation = (self.deviation + memory * (bounded - self.deviation)).clamp(least, largest);
        Correction { offset: gain * late, rate: rate_gain * late }
    }

    /// The line was moved by an amount uncertain by about `sigma`; what was known of it is kept.
    pub(crate) fn moved(&mut self, sigma: Seconds) {
        self.offset_var += sigma * sigma;
    }

    /// The line was placed anew, to `sigma`; its rate is what it was.
    pub(crate) fn placed(&mut self, sigma: Seconds) {
        self.offset_var = sigma * sigma;
        self.covar = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNING: Tuning = Tuning {
        late_weight: 0.01,
        huber: 4.0,
        noise: 0.4,
        edge_wander: 0.5e-6,
        rate_wander: 0.06e-6,
        bounded: 4.0,
        deviation: (2e-6, 1e-3),
    };

    /// Lateness that is never negative: its edge and not its mean is found, and the rate of the edge.
    #[test]
    fn it_settles_near_the_earliest_and_finds_the_rate() {
        let (mut filter, mut offset, mut rate) = (OneSided::new(200e-6, 50e-6, 100e-6), 0.0, 0.0);
        let mut seed = 1u64;
        for n in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let late = -50e-6 * (1.0 - (seed >> 11) as f64 / (1u64 << 53) as f64).ln();
            let dt = 5e-3;
            offset += rate * dt;
            filter.predict(dt, &TUNING);
            let measured = 30e-6 * f64::from(n + 1) * dt + late;
            let Correction { offset: by, rate: faster } =
                filter.update(measured - offset, dt / 10.0, &TUNING);
            offset += by;
            rate += faster;
        }
        let edge = 30e-6 * 100.0;
        assert!((0.0..15e-6).contains(&(offset - edge)), "{} s after the edge", offset - edge);
        assert!((rate - 30e-6).abs() < 1e-6, "{rate}");
        assert!(filter.rate_sigma() < 1e-6 && filter.offset_sigma() < 10e-6, "{filter:?}");
    }
}
