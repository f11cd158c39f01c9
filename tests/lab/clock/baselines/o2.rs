//! O2's clock (rbdannenberg/o2 at f21499e: clock.cpp): of the last five pings the one with the least round trip, no
//! drift. Nothing is known before five came back. Its slews of 10 % and its stops are left out.

use super::{Contestant, Origin, Published, Sample};
use downbeat_sync::{Exchange, LocalTime};
use std::collections::VecDeque;

const PINGS: usize = 5;

#[derive(Default)]
pub(crate) struct O2 {
    origin: Origin,
    pings: VecDeque<Sample>,
    offset: Option<f64>,
}

impl Contestant for O2 {
    fn take(&mut self, exchange: &Exchange) {
        let Some(sample) = self.origin.sample(exchange) else { return };
        self.pings.push_back(sample);
        if self.pings.len() > PINGS {
            self.pings.pop_front();
        }
        if self.pings.len() == PINGS {
            let best = self.pings.iter().min_by(|a, b| a.round_trip.total_cmp(&b.round_trip));
            self.offset = best.map(|best| best.offset);
        }
    }

    fn published(&self, now: LocalTime) -> Option<Published> {
        self.origin.published(now, self.offset?, None)
    }
}
