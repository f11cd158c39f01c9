//! [`Poller`]: when a follower asks.
//!
//! Everybody asks on our schedule, and so hears the same exchanges, unless when to ask is what the anchor's method rests
//! on: Link measures in bursts and then rests, O2 asks every ten seconds, Snapcast's window of 200 means 200 seconds.

use downbeat_sync::{Estimator, Exchange, RateBelief, SyncState, Verdict};

/// When the first question is asked (s of true time).
pub(crate) const BEGIN: f64 = 1.0;

/// A schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polling {
    /// A burst ([`Eager`]) at the beginning, after a step and after a gap; else 8 a second until 10 s have gone, then 4 a second.
    Ours,
    /// One question each so many milliseconds.
    Each(u32),
    /// Every 30 s back to back (50 ms without an answer is a failure, five in a row the end) until there are more than 100
    /// points: one per answer, and one more for two in a row.
    Link,
    /// 5 questions 0.1 s apart, then every 0.5 s until 5 s have gone, then every 10 s.
    O2,
    /// 50 questions 100 us apart, then one a second.
    Snapcast,
}

/// A schedule being followed.
pub(crate) struct Poller {
    polling: Polling,
    asked: u32,
    burst: Burst,
    eager: Eager,
}

/// One of our own bursts: questions 20 ms apart, 25 of them at the beginning and 12 later, and up to 75 more while the sixth
/// fastest round trip in it is more than twice as long as the fastest.
struct Eager {
    /// Questions left, and those that may be added.
    left: u32,
    longer: u32,
    /// Round trips so far (s), ascending.
    trips: Vec<f64>,
    /// Knows of steps and gaps.
    estimator: Estimator,
}

/// One of Link's measurements.
#[derive(Default)]
struct Burst {
    began: f64,
    points: u32,
    failures: u32,
    follows: bool,
}

impl Poller {
    pub(crate) fn new(polling: Polling) -> Poller {
        let burst = Burst { began: BEGIN, ..Burst::default() };
        Poller { polling, asked: 0, burst, eager: Eager::new() }
    }

    /// When to ask next, if the last question was asked at `t` and first answered at `answered` (s).
    pub(crate) fn next(&mut self, t: f64, answered: Option<f64>) -> f64 {
        self.asked += 1;
        let since = t - BEGIN;
        match self.polling {
            Polling::Ours => t + self.eager.interval().unwrap_or(if since < 10.0 { 0.125 } else { 0.25 }),
            Polling::Each(millis) => t + 1e-3 * f64::from(millis),
            Polling::O2 if self.asked < 5 => t + 0.1,
            Polling::O2 => t + if since < 5.0 { 0.5 } else { 10.0 },
            Polling::Snapcast => t + if self.asked < 50 { 100e-6 } else { 1.0 },
            Polling::Link => self.burst.next(t, answered),
        }
    }

    /// Takes note of an exchange that has just ended.
    pub(crate) fn hear(&mut self, exchange: &Exchange) {
        if self.polling == Polling::Ours {
            self.eager.hear(exchange);
        }
    }
}

impl Eager {
    fn new() -> Eager {
        let estimator = Estimator::new(RateBelief::default());
        Eager { left: 25, longer: 75, trips: Vec::new(), estimator }
    }

    fn interval(&mut self) -> Option<f64> {
        let is_told = || self.trips.get(5).is_some_and(|sixth| *sixth <= 2.0 * self.trips[0]);
        if self.left > 0 {
            self.left -= 1;
        } else if self.longer > 0 && !is_told() {
            self.longer -= 1;
        } else {
            self.longer = 0;
            return None;
        }
        Some(0.02)
    }

    fn hear(&mut self, exchange: &Exchange) {
        let trip = (exchange.returned - exchange.asked) - (exchange.answered - exchange.received);
        let place = self.trips.partition_point(|other| *other <= trip.as_secs_f64());
        self.trips.insert(place, trip.as_secs_f64());
        let was_away = self.estimator.state(exchange.returned) == SyncState::Holdover;
        let has_moved = self.estimator.take(exchange) == Verdict::Moved;
        if (was_away || has_moved) && self.left < 12 {
            (self.left, self.longer) = (12, 75);
            self.trips.clear();
        }
    }
}

impl Burst {
    fn next(&mut self, t: f64, answered: Option<f64>) -> f64 {
        const TIMEOUT: f64 = 0.05;
        let in_time = answered.filter(|answered| *answered - t < TIMEOUT);
        self.points += u32::from(in_time.is_some()) * (1 + u32::from(self.follows));
        self.failures = if in_time.is_some() { 0 } else { self.failures + 1 };
        self.follows = in_time.is_some();
        if self.points > 100 || self.failures == 5 {
            *self = Burst { began: self.began + 30.0, ..Burst::default() };
            return self.began;
        }
        in_time.unwrap_or(t + TIMEOUT)
    }
}
