//! Snapcast's time provider (snapcast at 0ac5508: time_provider.cpp): the median of the last 200 offsets, forgotten after
//! 60 s without one; no drift.

use super::{Contestant, Origin, Published, median};
use downbeat_sync::{Exchange, LocalTime};
use std::collections::VecDeque;

const OFFSETS: usize = 200;
/// Longer without an exchange, and all is forgotten (s).
const FORGETS: f64 = 60.0;

#[derive(Default)]
pub(crate) struct Snapcast {
    origin: Origin,
    offsets: VecDeque<f64>,
    last: f64,
    median: Option<f64>,
}

impl Contestant for Snapcast {
    fn take(&mut self, exchange: &Exchange) {
        let Some(sample) = self.origin.sample(exchange) else { return };
        if sample.at - self.last > FORGETS {
            self.offsets.clear();
        }
        self.last = sample.at;
        self.offsets.push_back(sample.offset);
        if self.offsets.len() > OFFSETS {
            self.offsets.pop_front();
        }
        self.median = Some(median(self.offsets.iter().copied()));
    }

    fn published(&self, now: LocalTime) -> Option<Published> {
        self.origin.published(now, self.median?, None)
    }
}
