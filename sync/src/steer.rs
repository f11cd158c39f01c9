//! [`Steering`]: the clock that is published, led gently after the one that is estimated.
//!
//! Not for: estimating (`estimator`). What waits in an agenda and what sounds is placed by the published clock, so it never
//! jumps for a correction of microseconds: it bends its rate until it agrees. Only an error that bending would take half a
//! minute for, or that somebody announced, is a jump, and that is counted and told.

use crate::{ClockEstimate, Jump, LocalTime, Span};

/// How far the published rate may differ from the estimated one [100 ppm]: 0.17 cent, and 1 ms in ten seconds.
const MAX_BEND: f64 = 100e-6;
/// A difference is worked off over about this time (s), where [`MAX_BEND`] allows.
const BEND_SECS: f64 = 1.0;
/// Less than this is never jumped over [1 ms].
const JUMP: Span = Span::from_millis(1);
/// Nor is what may be an error of the estimate, by so many of its standard errors.
const JUMP_SIGMAS: i64 = 4;

/// A published clock that follows an estimated one without leaps for small errors.
///
/// Call [`Steering::follow`] with each new estimate. It bends the rate, by at most 100 ppm, until both agree. It jumps, and
/// counts and returns the jump, only if they differ by at least 1 ms and by at least four standard errors of the estimate. Read
/// the clock with [`Steering::line`].
#[derive(Clone, Debug)]
pub struct Steering {
    line: ClockEstimate,
    /// The rate without the bend.
    straight: f64,
    jumps: u32,
}

impl Steering {
    /// Goes on with this line.
    pub fn new(line: ClockEstimate) -> Steering {
        Steering { line, straight: line.rate(), jumps: 0 }
    }

    /// The published clock, as of the last change.
    pub fn line(&self) -> ClockEstimate {
        self.line
    }

    /// How many jumps there were.
    pub fn jumps(&self) -> u32 {
        self.jumps
    }

    /// Bends towards `target` from `now` on; or jumps to it, if it is too far to bend to.
    pub fn follow(&mut self, target: &ClockEstimate, now: LocalTime) -> Option<Jump> {
        let behind = self.behind(target, now);
        let doubtful = Span::from_ticks(target.sigma.ticks().saturating_mul(JUMP_SIGMAS));
        if behind.abs() >= JUMP.max(doubtful) {
            return Some(self.jump(target, now));
        }
        self.straight = target.rate();
        let bend = (behind.as_secs_f64() / BEND_SECS).clamp(-MAX_BEND, MAX_BEND);
        let here = self.line.anchored_at(now).with_rate(target.rate() + bend);
        self.line = here.with_error(target.sigma + behind.abs(), target.bound + behind.abs());
        None
    }

    /// Takes over `target` as it is.
    pub fn jump(&mut self, target: &ClockEstimate, now: LocalTime) -> Jump {
        let (by, at) = (self.behind(target, now), self.line.ensemble_at(now));
        let epoch = self.line.epoch + 1;
        self.jumps += 1;
        self.straight = target.rate();
        self.line = target.anchored_at(now).in_epoch(epoch);
        Jump { by, epoch, at, is_announced: false }
    }

    /// The same instants are told by a time that is ahead of this one by so much, from now on. That is no jump.
    pub fn rename(&mut self, by: Span) {
        self.line = self.line.ahead_by(by);
    }

    /// Takes over a line that continues this one: its rate changes, the time it tells does not.
    pub fn adopt(&mut self, line: &ClockEstimate) {
        self.straight = line.rate();
        self.line = line.in_epoch(self.line.epoch);
    }

    /// The time as published, going on at the rate that was aimed at, without the bend.
    pub fn straight(&self, now: LocalTime) -> ClockEstimate {
        self.line.anchored_at(now).with_rate(self.straight)
    }

    /// How far the published clock is behind `target`.
    fn behind(&self, target: &ClockEstimate, now: LocalTime) -> Span {
        target.ensemble_at(now) - self.line.ensemble_at(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnsembleTime;

    fn line(micros_ahead: i64, ppm: f64) -> ClockEstimate {
        let start = EnsembleTime::from_unix(Span::from_secs(1_700_000_000));
        ClockEstimate::new(LocalTime::from_ticks(99), start + Span::from_micros(micros_ahead))
            .with_rate(ppm * 1e-6)
    }

    fn at(secs: f64) -> LocalTime {
        LocalTime::from_ticks(99) + Span::from_secs_f64(secs)
    }

    #[test]
    fn a_small_error_is_bent_away_without_a_step_and_within_100_ppm() {
        let (mut steering, target) = (Steering::new(line(0, 0.0)), line(400, 30.0));
        for tenth in 1..=200 {
            let now = at(f64::from(tenth) * 0.1);
            let before = steering.line().ensemble_at(now);
            assert_eq!(steering.follow(&target, now), None);
            assert!((steering.line().ensemble_at(now) - before).abs() <= Span::from_ticks(2));
            assert!((steering.line().rate() - 30e-6).abs() <= MAX_BEND + 1e-12);
        }
        let now = at(20.0);
        assert!((target.ensemble_at(now) - steering.line().ensemble_at(now)).abs() < Span::from_nanos(100));
    }

    #[test]
    fn while_it_bends_it_says_how_far_it_has_to_go() {
        let (mut steering, mut target) = (Steering::new(line(0, 0.0)), line(400, 30.0));
        (target.sigma, target.bound) = (Span::from_micros(2), Span::from_micros(5));
        for tenth in 0..100 {
            let now = at(f64::from(tenth) * 0.1);
            steering.follow(&target, now);
            let behind = (target.ensemble_at(now) - steering.line().ensemble_at(now)).abs();
            let published = steering.line();
            assert!(published.sigma >= behind + target.sigma - Span::from_ticks(2));
            assert!(published.bound >= behind + target.bound - Span::from_ticks(2));
        }
    }

    #[test]
    fn a_large_error_is_one_jump_unless_the_estimate_is_not_sure_of_it() {
        let mut steering = Steering::new(line(0, 0.0));
        let mut target = line(2_000, 0.0);
        target.sigma = Span::from_micros(600);
        assert_eq!(steering.follow(&target, at(0.0)), None);
        target.sigma = Span::from_micros(100);
        let jump = steering.follow(&target, at(0.0)).expect("two milliseconds are far");
        assert_eq!((jump.by, jump.epoch, steering.jumps()), (Span::from_millis(2), 1, 1));
        assert_eq!(steering.follow(&target, at(1.0)), None);
    }
}
