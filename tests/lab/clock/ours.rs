//! The crate's own [`Estimator`] as a contestant.

use super::contestant::{Contestant, Published};
use downbeat_sync::{Estimator, Exchange, LocalTime};

impl Contestant for Estimator {
    fn take(&mut self, exchange: &Exchange) {
        Estimator::take(self, exchange);
    }

    fn published(&self, now: LocalTime) -> Option<Published> {
        let estimate = self.estimate(now)?;
        Some(Published {
            remote: estimate.remote_at(now),
            sigma: Some(estimate.sigma),
            bound: Some(estimate.bound),
        })
    }

    fn moves(&self) -> u64 {
        self.counts().1
    }
}
