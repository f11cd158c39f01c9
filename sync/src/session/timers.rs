//! [`Timers`]: what a session does by the clock, and when each of it is due next.
//!
//! Not for: the questions to other nodes, of which each has its own time (`peer`).

use crate::LocalTime;

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Saying hello to everybody.
    Hello,
    /// Saying hello to nodes that were named and do not answer.
    Knock,
    /// Leading the published clock after the one that is estimated.
    Steer,
    /// Looking at the wall clock.
    Look,
    /// Counting who is there.
    Count,
}

impl Timer {
    const COUNT: usize = 5;
}

/// When each of them is due, if it is.
#[derive(Clone, Debug)]
pub(super) struct Timers([Option<LocalTime>; Timer::COUNT]);

impl Timers {
    /// All are due at this time.
    pub(super) fn new(at: LocalTime) -> Timers {
        Timers([Some(at); Timer::COUNT])
    }

    /// Makes a timer due at this time, whenever it was before.
    pub(super) fn set(&mut self, timer: Timer, at: LocalTime) {
        self.0[timer as usize] = Some(at);
    }

    /// Makes a timer due no more, until it is set again.
    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Whether a timer is due.
    pub(super) fn is_due(&self, timer: Timer, now: LocalTime) -> bool {
        self.0[timer as usize].is_some_and(|at| !now.is_before(at))
    }

    /// When the first of all timers is due.
    pub(super) fn first(&self) -> Option<LocalTime> {
        self.0.into_iter().flatten().reduce(LocalTime::earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;

    #[test]
    fn every_timer_counts_for_the_first() {
        let at = |millis: i64| LocalTime::from_ticks(u64::MAX - 5) + Span::from_millis(millis);
        for timer in [Timer::Hello, Timer::Knock, Timer::Steer, Timer::Look, Timer::Count] {
            let mut timers = Timers::new(at(100));
            timers.set(timer, at(40));
            assert_eq!(timers.first(), Some(at(40)), "{timer:?}");
            assert!(timers.is_due(timer, at(40)) && !timers.is_due(timer, at(39)), "{timer:?}");
            timers.set(timer, at(400));
            assert_eq!(timers.first(), Some(at(100)), "{timer:?}");
            timers.stop(timer);
            assert!(!timers.is_due(timer, at(500)), "{timer:?}");
        }
    }
}
