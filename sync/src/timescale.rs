//! The ensemble's timescale as its leader keeps it: started from the leader's wall clock, then its own.
//!
//! Not for: followers, who estimate this line from exchanges. The timescale belongs to the ensemble, not to a host: it
//! follows the leader's wall clock gently, so that senders whose clocks are right stay right for weeks, and a step of
//! the wall clock becomes one announced jump instead of a surprise.

use crate::{ClockEstimate, LocalTime, Span, WallAnchor};

/// The greatest rate at which a leader's ensemble time may run against its local clock, either way: what its line says is
/// held within it [1; 500 ppm].
///
/// Followers rest their hard bounds on it: whatever a leader does that they have not heard of yet, it does no more than this.
pub const MAX_BEND: f64 = 500e-6;
/// By how much that rate may change in a second, counted from the line's anchor on [1/s; 5 ppm each second].
///
/// Slewing asks for less once it is under way: its greatest rate of 50 ppm, worked off over 20 s, falls by 2.5 ppm each second.
pub const MAX_BEND_CHANGE: f64 = 5e-6;
/// How far the timescale's rate may stray from the wall clock's own to work an error off [50 ppm].
const MAX_SLEW: f64 = 50e-6;
/// The wall clock moved by more than this between two looks: somebody set it [10 ms].
const STEP: Span = Span::from_millis(10);
/// An offset is worked off over about this time (s), where [`MAX_SLEW`] allows.
const SLEW_SECS: f64 = 20.0;
/// An offset that would take more than half an hour of slewing is jumped over: the wall clock was slewed by far, faster
/// than we may follow [100 ms].
const HOPELESS: Span = Span::from_millis(100);
/// Another clock in the place of the wall clock is jumped to if it is further off than this [100 us].
const UNHEARD: Span = Span::from_micros(100);
/// Weight of the newest look in the learned rate of the wall clock against the raw oscillator, per second.
const RATE_GAIN_PER_SEC: f64 = 0.05;
/// After a succession the ensemble's time is worth more than this host's wall clock: it is led there hardly noticeably, so
/// that two successors of a split ensemble stay together [2 ppm], and takes its rate over half an hour.
const GENTLE_SLEW: f64 = 2e-6;
const GENTLE_GAIN_PER_SEC: f64 = 0.0005;
/// No good oscillator is further off than this: more is a small step, or NTP slewing the wall clock (at 500 ppm), from
/// which hardly anything is learned, unless it lasts for half an hour [250 ppm].
const GOOD_RATE: f64 = 250e-6;
const DOUBTFUL_GAIN_PER_SEC: f64 = 0.0005;
/// No oscillator that NTP can discipline is further off than this [500 ppm].
const MAX_RATE: f64 = MAX_BEND;
/// Looks closer together than this say nothing about a rate [100 ms].
const MIN_INTERVAL: Span = Span::from_millis(100);
/// A look less certain than this says nothing: the host stalled between the two clocks [1 ms].
const MAX_UNCERTAINTY: Span = Span::from_millis(1);

/// What the wall clock is good for after the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FollowWall {
    /// Follow it by slewing, and apply its steps as announced jumps.
    #[default]
    Follow,
    /// Ignore it: for a host without RTC or network, whose clock may be set hours later.
    Free,
}

/// The timescale was moved at once because the wall clock was, or had run away.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Jump {
    /// How far: positive is ahead.
    pub by: Span,
    /// The epoch that begins with it.
    pub epoch: u32,
}

/// A leader's ensemble clock. Feed it a [`WallAnchor`] about once a second; read the line with [`Timescale::estimate`].
#[derive(Clone, Debug)]
pub struct Timescale {
    follow: FollowWall,
    line: ClockEstimate,
    last: WallAnchor,
    /// The wall clock's rate against the raw oscillator, learned [1].
    wall_rate: f64,
    /// How far ahead of the wall clock this timescale stays, because it was another host's before.
    apart: Span,
    /// It was another host's before.
    inherited: bool,
}

impl Timescale {
    /// Starts the ensemble's time as this wall clock's.
    pub fn new(start: WallAnchor, follow: FollowWall) -> Timescale {
        let line = ClockEstimate::new(start.local, start.wall);
        Timescale { follow, line, last: start, wall_rate: 0.0, apart: Span::ZERO, inherited: false }
    }

    /// Goes on with an ensemble's time after its leader has gone. It is led to this wall clock only if that is close to it:
    /// else the old leader's was the better one, as far as anybody knows, and only the rate of this one is followed.
    pub fn resume(line: ClockEstimate, wall: WallAnchor, follow: FollowWall) -> Timescale {
        let rate = line.rate().clamp(-MAX_BEND, MAX_BEND);
        let line = line.anchored_at(wall.local).with_rate(rate);
        let mut scale = Timescale {
            follow,
            line,
            last: wall,
            wall_rate: line.rate(),
            apart: Span::ZERO,
            inherited: true,
        };
        scale.part(wall);
        scale
    }

    /// Local to ensemble time, as of the last look.
    pub fn estimate(&self) -> ClockEstimate {
        self.line
    }

    /// Takes a look at the wall clock; tells of the jump if it was stepped since the last, or is too far off to be
    /// followed by slewing.
    pub fn look(&mut self, wall: WallAnchor) -> Option<Jump> {
        let elapsed = wall.local - self.last.local;
        let is_vague = elapsed < MIN_INTERVAL || wall.uncertainty > MAX_UNCERTAINTY;
        if self.follow == FollowWall::Free || is_vague {
            // It did not bend since: its anchor says so to those who count from there.
            self.line = self.line.anchored_at(wall.local);
            return None;
        }
        let expected = self.last.wall + elapsed + Span::from_secs_f64(elapsed.as_secs_f64() * self.wall_rate);
        let surprise = wall.wall - expected;
        self.last = wall;
        if surprise.abs() > STEP && self.apart != Span::ZERO {
            // It was wrong, so that it is set is no news of ours; perhaps it is right from now on.
            self.part(wall);
            self.line = self.line.anchored_at(wall.local);
            return None;
        }
        if surprise.abs() <= STEP {
            self.learn_rate(surprise, elapsed);
            let behind = wall.wall + self.apart - self.line.ensemble_at(wall.local);
            if behind.abs() <= HOPELESS {
                self.slew(wall.local, behind);
                return None;
            }
        }
        Some(self.jump(wall))
    }

    /// Another clock takes the place of the wall clock, and is followed from now on as if it had been from the start; only its
    /// rate is taken to be as before, until that is learned. Tells of the jump, if they are apart.
    pub fn change_wall(&mut self, wall: WallAnchor) -> Option<Jump> {
        if self.follow == FollowWall::Free {
            return None;
        }
        self.last = wall;
        self.apart = Span::ZERO;
        self.inherited = false;
        let apart = wall.wall - self.line.ensemble_at(wall.local);
        (apart.abs() > UNHEARD).then(|| self.jump(wall))
    }

    fn jump(&mut self, wall: WallAnchor) -> Jump {
        let to = wall.wall + self.apart;
        let by = to - self.line.ensemble_at(wall.local);
        let epoch = self.line.epoch + 1;
        let rate = bent(&self.line, wall.local, self.wall_rate).rate();
        self.line = ClockEstimate::new(wall.local, to).with_rate(rate);
        self.line.epoch = epoch;
        Jump { by, epoch }
    }

    /// Stays as far from the wall clock as it is, unless that can be slewed away.
    fn part(&mut self, wall: WallAnchor) {
        let apart = self.line.ensemble_at(wall.local) - wall.wall;
        self.apart = if apart.abs() <= HOPELESS { Span::ZERO } else { apart };
    }

    fn learn_rate(&mut self, surprise: Span, elapsed: Span) {
        let secs = elapsed.as_secs_f64();
        let rate = (self.wall_rate + surprise.as_secs_f64() / secs).clamp(-MAX_RATE, MAX_RATE);
        let per_sec = match self.inherited {
            true => GENTLE_GAIN_PER_SEC,
            false if rate.abs() > GOOD_RATE => DOUBTFUL_GAIN_PER_SEC,
            false => RATE_GAIN_PER_SEC,
        };
        self.wall_rate += (rate - self.wall_rate) * (1.0 - (-per_sec * secs).exp());
    }

    /// Bends the line toward the wall clock, which is ahead by `behind`, without a step: same time now, another rate
    /// from here on.
    fn slew(&mut self, now: LocalTime, behind: Span) {
        let most = if self.inherited { GENTLE_SLEW } else { MAX_SLEW };
        let slew = (behind.as_secs_f64() / SLEW_SECS).clamp(-most, most);
        self.line = bent(&self.line, now, self.wall_rate + slew);
    }
}

/// How far a leader's time can be, at most, from a line of this rate that it told, so long after the line's anchor: it may have
/// begun to bend the moment after. Less than nothing is taken as none.
pub(crate) fn bend_since(rate: f64, age: Span) -> Span {
    let age = age.as_secs_f64().max(0.0);
    let most = rate.abs() + MAX_BEND;
    Span::from_secs_f64((0.5 * MAX_BEND_CHANGE * age * age).min(most * age))
}

/// The line from `now` on at that rate, or as near to it as [`MAX_BEND`] and [`MAX_BEND_CHANGE`] allow.
fn bent(line: &ClockEstimate, now: LocalTime, rate: f64) -> ClockEstimate {
    // What was put off while the host stood still is not made up for at once.
    let since = (now - line.anchor()).as_secs_f64().clamp(0.0, 1.0);
    let change = (rate - line.rate()).clamp(-MAX_BEND_CHANGE * since, MAX_BEND_CHANGE * since);
    line.anchored_at(now).with_rate((line.rate() + change).clamp(-MAX_BEND, MAX_BEND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnsembleTime;

    /// A wall clock that runs `ppm` fast against the raw one, looked at `secs` after the start, then set ahead by `step`.
    fn wall(secs: f64, ppm: f64, step: Span) -> WallAnchor {
        WallAnchor {
            local: LocalTime::from_ticks(77) + Span::from_secs_f64(secs),
            wall: EnsembleTime::from_unix(Span::from_secs(1_700_000_000))
                + Span::from_secs_f64(secs * (1.0 + ppm * 1e-6))
                + step,
            uncertainty: Span::ZERO,
        }
    }

    #[test]
    fn it_follows_a_wall_clock_of_another_rate_and_never_strays_50_ppm_from_it() {
        let mut scale = Timescale::new(wall(0.0, 30.0, Span::ZERO), FollowWall::Follow);
        for second in 1..=600 {
            let anchor = wall(f64::from(second), 30.0, Span::ZERO);
            assert_eq!(scale.look(anchor), None);
            assert!((scale.estimate().rate() - 30e-6).abs() <= MAX_SLEW + 1e-9);
        }
        let end = wall(600.0, 30.0, Span::ZERO);
        let error = end.wall - scale.estimate().ensemble_at(end.local);
        assert!(error.abs() < Span::from_micros(20), "{error}");
    }

    #[test]
    fn it_bends_within_its_limits_whatever_the_wall_clock_does() {
        // Slewed at 5,000 ppm as chrony may, 9 ms to and fro, and a host that stands still for ten seconds now and then.
        let moves: [fn(u32) -> f64; 3] = [
            |second| f64::from(second.min(200)) * 5e-3,
            |second| 9e-3 * f64::from(second / 60 % 2),
            |second| 450e-6 * f64::from(second),
        ];
        for moved in moves {
            let mut scale = Timescale::new(wall(0.0, 90.0, Span::ZERO), FollowWall::Follow);
            let mut bent = 0.0f64;
            for second in (1..4_000).filter(|second| second % 100 > 10) {
                let before = scale.estimate();
                scale.look(wall(f64::from(second), 90.0, Span::from_secs_f64(moved(second))));
                let after = scale.estimate();
                assert!(after.rate().abs() <= MAX_BEND);
                {
                    let since = (after.anchor() - before.anchor()).as_secs_f64();
                    let change = (after.rate() - before.rate()).abs();
                    assert!(change <= MAX_BEND_CHANGE * since.min(1.0) + 1e-15, "{change} in {since} s");
                    bent = bent.max(change / since);
                }
            }
            assert!(bent > 0.9 * MAX_BEND_CHANGE, "the limit is not touched: {bent}");
        }
    }

    #[test]
    fn a_look_never_moves_the_present() {
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
        for second in 1..100 {
            // Never a step, but never quiet: up to 5 ms to and fro.
            let anchor = wall(f64::from(second), 0.0, Span::from_millis(i64::from(second * 7 % 11) - 5));
            let before = scale.estimate().ensemble_at(anchor.local);
            scale.look(anchor);
            assert!((scale.estimate().ensemble_at(anchor.local) - before).abs() <= Span::from_ticks(1));
        }
    }

    #[test]
    fn a_step_is_one_announced_jump() {
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
        let hour = Span::from_secs(3600);
        assert_eq!(scale.look(wall(1.0, 0.0, Span::ZERO)), None);
        let jump = scale.look(wall(2.0, 0.0, hour)).expect("an hour is a step");
        assert_eq!((jump.by, jump.epoch), (hour, 1));
        assert_eq!(scale.look(wall(3.0, 0.0, hour)), None);
        assert_eq!(scale.estimate().epoch, 1);
    }

    #[test]
    fn nine_milliseconds_are_slewed_eleven_are_a_step() {
        for (millis, jumps) in [(9, 0), (11, 1)] {
            let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
            scale.look(wall(1.0, 0.0, Span::from_millis(millis)));
            assert_eq!(scale.estimate().epoch, jumps, "{millis} ms");
        }
    }

    #[test]
    fn it_strays_no_faster_from_a_wall_clock_that_is_slewed_or_stepped_a_little() {
        // By how much the wall clock is moved at each second: 9 ms at once, or 500 ppm for two minutes.
        for moved in [
            |second: u32| f64::from(second >= 300) * 9e-3,
            |second: u32| f64::from(second.clamp(300, 420) - 300) * 500e-6,
        ] {
            let mut scale = Timescale::new(wall(0.0, -20.0, Span::ZERO), FollowWall::Follow);
            for second in 1..=6_000 {
                let anchor = wall(f64::from(second), -20.0, Span::from_secs_f64(moved(second)));
                assert_eq!(scale.look(anchor), None);
                let strays = (scale.estimate().rate() + 20e-6).abs();
                assert!(second < 200 || strays <= MAX_SLEW + 30e-6, "{strays} after {second} s");
            }
            let end = wall(6_000.0, -20.0, Span::from_secs_f64(moved(6_000)));
            let error = end.wall - scale.estimate().ensemble_at(end.local);
            assert!(error.abs() < Span::from_micros(20), "{error}");
        }
    }

    #[test]
    fn a_wall_clock_slewed_by_a_second_is_jumped_after_and_a_bad_oscillator_learned() {
        // At 5,000 ppm, as chrony does it; and for ever, at 400 ppm.
        let slewed = |second: u32| f64::from(second.min(200)) * 5e-3;
        for (moved, ppm, jumps) in [(slewed as fn(u32) -> f64, 0.0, 9..=11), (|_| 0.0, 400.0, 1..=6)] {
            let mut scale = Timescale::new(wall(0.0, ppm, Span::ZERO), FollowWall::Follow);
            for second in 1..=20_000 {
                let anchor = wall(f64::from(second), ppm, Span::from_secs_f64(moved(second)));
                scale.look(anchor);
                let error = anchor.wall - scale.estimate().ensemble_at(anchor.local);
                assert!(error.abs() <= HOPELESS && (second < 15_000 || error.abs() < Span::from_millis(1)));
            }
            assert!(jumps.contains(&scale.estimate().epoch), "{}", scale.estimate().epoch);
        }
    }

    #[test]
    fn a_host_that_stalls_between_the_clocks_takes_no_step() {
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
        let stalled = Span::from_millis(40);
        let vague = WallAnchor { uncertainty: stalled, ..wall(1.0, 0.0, Span::from_millis(20)) };
        assert_eq!(scale.look(vague), None);
        assert_eq!(scale.look(wall(2.0, 0.0, Span::ZERO)), None);
        assert_eq!(scale.estimate().rate(), 0.0);
    }

    #[test]
    fn a_successor_goes_on_with_the_ensembles_time_not_with_its_own() {
        for (ahead, led) in [(Span::from_millis(5), true), (Span::from_secs(7200), false)] {
            let start = wall(0.0, 0.0, Span::ZERO);
            let line = ClockEstimate::new(start.local, start.wall + ahead);
            let mut scale = Timescale::resume(line, start, FollowWall::Follow);
            for second in 1..=4_000 {
                assert_eq!(scale.look(wall(f64::from(second), 0.0, Span::ZERO)), None);
            }
            let end = wall(4_000.0, 0.0, Span::ZERO);
            let left = scale.estimate().ensemble_at(end.local) - end.wall;
            assert!(if led { left.abs() < Span::from_micros(20) } else { left == ahead }, "{left}");
        }
        // Its wall clock, two hours behind, is set right at last: nothing to announce.
        let start = wall(0.0, 0.0, Span::ZERO);
        let ahead = Span::from_secs(7200);
        let line = ClockEstimate::new(start.local, start.wall + ahead);
        let mut scale = Timescale::resume(line, start, FollowWall::Follow);
        assert_eq!(scale.look(wall(1.0, 0.0, ahead + Span::from_millis(2))), None);
        assert_eq!((scale.estimate().epoch, scale.apart), (0, Span::ZERO));
    }

    #[test]
    fn another_wall_clock_is_jumped_to_once_and_followed_from_then_on() {
        for ahead in [Span::from_millis(5), -Span::from_secs(1_234)] {
            // That of an old leader is two hours off.
            let line = ClockEstimate::new(
                wall(0.0, 0.0, Span::ZERO).local,
                wall(0.0, 0.0, Span::from_secs(7_200)).wall,
            );
            let mut scale = Timescale::resume(line, wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
            let jump = scale.change_wall(wall(1.0, 0.0, ahead)).expect("they are apart");
            assert_eq!((jump.by, jump.epoch), (ahead - Span::from_secs(7_200), 1));
            for second in 2..=2_000 {
                assert_eq!(scale.look(wall(f64::from(second), 20.0, ahead)), None);
            }
            let end = wall(2_000.0, 20.0, ahead);
            let error = end.wall - scale.estimate().ensemble_at(end.local);
            assert!(error.abs() < Span::from_micros(20), "{error}");
        }
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
        assert_eq!(scale.change_wall(wall(1.0, 0.0, Span::from_micros(90))), None);
    }

    #[test]
    fn a_free_timescale_does_not_look() {
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Free);
        let before = scale.estimate();
        assert_eq!(scale.look(wall(5.0, 0.0, Span::from_secs(3600))), None);
        assert_eq!(scale.change_wall(wall(6.0, 0.0, Span::from_secs(3600))), None);
        assert_eq!(scale.estimate(), before.anchored_at(wall(5.0, 0.0, Span::ZERO).local));
    }
}
