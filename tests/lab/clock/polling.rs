//! [`Poller`]: when a follower asks.
//!
//! Everybody asks on our schedule, and so hears the same exchanges, unless when to ask is what the anchor's method rests
//! on: Link measures in bursts and then rests, O2 asks every ten seconds, Snapcast's window of 200 means 200 seconds.

/// When the first question is asked (s of true time).
pub(crate) const BEGIN: f64 = 1.0;

/// A schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polling {
    /// 25 questions 20 ms apart, then 8 a second until 10 s have gone, then 4 a second.
    Ours,
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
        Poller { polling, asked: 0, burst: Burst { began: BEGIN, ..Burst::default() } }
    }

    /// When to ask next, if the last question was asked at `t` and first answered at `answered` (s).
    pub(crate) fn next(&mut self, t: f64, answered: Option<f64>) -> f64 {
        self.asked += 1;
        let since = t - BEGIN;
        match self.polling {
            Polling::Ours if self.asked < 25 => t + 0.02,
            Polling::Ours => t + if since < 10.0 { 0.125 } else { 0.25 },
            Polling::O2 if self.asked < 5 => t + 0.1,
            Polling::O2 => t + if since < 5.0 { 0.5 } else { 10.0 },
            Polling::Snapcast => t + if self.asked < 50 { 100e-6 } else { 1.0 },
            Polling::Link => self.burst.next(t, answered),
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
