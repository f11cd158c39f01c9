//! Ableton Link's measurement of a peer's ghost time (Link at 902aef9: Measurement.hpp, MeasurementService.hpp): every
//! 30 s back-to-back pings until there are more than 100 points, of which the median counts; no drift.
//!
//! Each pong gives the ghost time against the middle of its ping; if the ping followed upon a pong, the local time of
//! asking also stands against the middle of two ghost times.

use super::{Contestant, Origin, Published, median};
use downbeat_sync::{Exchange, LocalTime};

/// More points than this end a measurement.
const POINTS: usize = 100;
/// A pause longer than this is the one between two measurements (s).
const PAUSE: f64 = 1.0;

#[derive(Default)]
pub(crate) struct AbletonLink {
    origin: Origin,
    points: Vec<f64>,
    /// Local time and ghost time of the newest pong (s).
    last: Option<(f64, f64)>,
    offset: Option<f64>,
}

impl Contestant for AbletonLink {
    fn take(&mut self, exchange: &Exchange) {
        let Some(sample) = self.origin.sample(exchange) else { return };
        let half = 0.5 * (exchange.returned - exchange.asked).as_secs_f64();
        let (asked, returned) = (sample.at - half, sample.at + half);
        // One stamp in a pong: the ghost time when the ping is answered.
        let ghost = sample.at + sample.offset;
        if self.last.is_none_or(|(last, _)| asked - last > PAUSE) {
            self.points.clear();
            self.last = None;
        }
        let was_complete = self.points.len() > POINTS;
        if !was_complete {
            self.points.push(ghost - sample.at);
            if let Some((last, last_ghost)) = self.last.filter(|(last, _)| (asked - last).abs() < 1e-6) {
                self.points.push(0.5 * (ghost + last_ghost) - last);
            }
            if self.points.len() > POINTS {
                self.offset = Some(median(self.points.iter().copied()));
            }
        }
        self.last = Some((returned, ghost));
    }

    fn published(&self, now: LocalTime) -> Option<Published> {
        self.origin.published(now, self.offset?, None)
    }
}
