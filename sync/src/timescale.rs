//! The ensemble's timescale as its leader keeps it: started from the leader's wall clock, then its own.
//!
//! Not for: followers, who estimate this line from exchanges. The timescale belongs to the ensemble, not to a host: it
//! follows the leader's wall clock gently, so that senders whose clocks are right stay right for weeks, and a step of
//! the wall clock becomes one announced jump instead of a surprise. Its line is room time, which no jump moves, and it goes
//! on slewing while a jump is pending: to where the wall clock will have been followed to by then.

use crate::epochs::NOTICE;
use crate::{ClockEstimate, EnsembleTime, Epochs, LocalTime, Span, WallAnchor};

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
/// An inherited rate that may be off by this much [2 ppm] is given up as fast as a wall clock's rate is learned: by the time that it
/// is learned, it has cost less than a millisecond even where any rate was possible.
const DOUBTED_RATE: f64 = 2e-6;
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

/// The ensemble's time jumped, or a node's idea of it did.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Jump {
    /// How far: positive is ahead.
    pub by: Span,
    /// The epoch that begins with it.
    pub epoch: u32,
    /// When, by the time before it.
    pub at: EnsembleTime,
    /// The ensemble's time jumped for all nodes, as was announced. Else this node's own was wrong.
    pub is_announced: bool,
}

/// A leader's ensemble clock. Feed it a [`WallAnchor`] about once a second; read its line, which is room time, with
/// [`Timescale::estimate`], and its jumps with [`Timescale::epochs`].
#[derive(Clone, Debug)]
pub struct Timescale {
    follow: FollowWall,
    line: ClockEstimate,
    epochs: Epochs,
    last: WallAnchor,
    /// The wall clock's rate against the raw oscillator, learned [1].
    wall_rate: f64,
    /// How far ahead of the wall clock this timescale stays, because it was another host's before.
    apart: Span,
    /// It was another host's before.
    inherited: bool,
    /// What is left of the doubt in the rate that was inherited: its standard error [1].
    doubt: f64,
    /// While a jump was pending the wall clock was set once more, or another took its place: after that there is to be one
    /// more jump, if it is further off than this.
    owed: Option<Span>,
}

impl Timescale {
    /// Starts the ensemble's time as this wall clock's.
    pub fn new(start: WallAnchor, follow: FollowWall) -> Timescale {
        Timescale {
            follow,
            line: ClockEstimate::new(start.local, start.wall),
            epochs: Epochs::default(),
            last: start,
            wall_rate: 0.0,
            apart: Span::ZERO,
            inherited: false,
            doubt: 0.0,
            owed: None,
        }
    }

    /// Goes on with an ensemble's time after its leader has gone: with its room time, its jumps, and the one that leader may
    /// have announced. It is led to this wall clock only if that is close to it: else the old leader's was the better one, as
    /// far as anybody knows, and only the rate of this one is followed.
    ///
    /// How fast the old time ran by this host's oscillator is known to `rate_sigma` (standard error, 1). The less it is known, the
    /// sooner this wall clock's own rate takes its place.
    pub fn resume(
        line: ClockEstimate,
        rate_sigma: f64,
        epochs: Epochs,
        wall: WallAnchor,
        follow: FollowWall,
    ) -> Timescale {
        let rate = line.rate().clamp(-MAX_BEND, MAX_BEND);
        let line = line.anchored_at(wall.local).with_rate(rate);
        let mut scale = Timescale {
            follow,
            line,
            epochs,
            last: wall,
            wall_rate: line.rate(),
            apart: Span::ZERO,
            inherited: true,
            doubt: rate_sigma.max(0.0),
            owed: None,
        };
        scale.part(wall);
        scale
    }

    /// Local to room time, as of the last look.
    pub fn estimate(&self) -> ClockEstimate {
        self.line
    }

    /// How far the ensemble's time is ahead of that, and its latest jump.
    pub fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// Whether it was another host's before, and this host's wall clock has not taken its place since.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// The ensemble's time at a local time.
    pub fn ensemble_at(&self, local: LocalTime) -> EnsembleTime {
        let room = self.line.ensemble_at(local);
        room + self.epochs.ahead_at(room)
    }

    /// Takes a look at the wall clock. If it was stepped since the last, or is too far off to be followed by slewing, a jump is
    /// announced: says whether one was.
    pub fn look(&mut self, wall: WallAnchor) -> bool {
        let elapsed = wall.local - self.last.local;
        let is_vague = elapsed < MIN_INTERVAL || wall.uncertainty > MAX_UNCERTAINTY;
        if self.follow == FollowWall::Free || is_vague {
            // It did not bend since: its anchor says so to those who count from there.
            self.line = self.line.anchored_at(wall.local);
            return false;
        }
        let expected = self.last.wall + elapsed + Span::from_secs_f64(elapsed.as_secs_f64() * self.wall_rate);
        let surprise = wall.wall - expected;
        self.last = wall;
        let is_step = surprise.abs() > STEP;
        if is_step && self.apart != Span::ZERO {
            // It was wrong, so that it is set is no news of ours; perhaps it is right from now on.
            self.part(wall);
            self.line = self.line.anchored_at(wall.local);
            return false;
        }
        if !is_step {
            self.learn_rate(surprise, elapsed);
        }
        let least = match self.owed {
            Some(least) => least,
            None if is_step => STEP,
            None => HOPELESS,
        };
        self.lead_to(wall, least)
    }

    /// Another clock takes the place of the wall clock, and is followed from now on as if it had been from the start; only its
    /// rate is taken to be as before, until that is learned. Whatever lies between is one announced jump: says whether one was
    /// announced just now.
    pub fn change_wall(&mut self, wall: WallAnchor) -> bool {
        self.adopt_wall(wall, UNHEARD)
    }

    /// The wall clock is known to be right, so the ensemble's time is led there, though it was another host's: by one announced
    /// jump if they are more than 10 ms apart, else by slewing. Says whether a jump was announced just now.
    pub fn lead_to_wall(&mut self, wall: WallAnchor) -> bool {
        self.adopt_wall(wall, STEP)
    }

    /// Another clock takes the place of the wall clock of a leader that nobody follows: its time was wrong, and is that one's
    /// from now on, with nothing to announce. Says whether it was moved.
    pub fn correct(&mut self, wall: WallAnchor) -> bool {
        if self.follow == FollowWall::Free {
            return false;
        }
        self.begin_with(wall);
        let behind = self.behind(wall);
        let is_moved = behind.abs() > UNHEARD;
        if is_moved {
            self.line = bent(&self.line, wall.local, self.wall_rate).ahead_by(behind);
        }
        is_moved
    }

    fn adopt_wall(&mut self, wall: WallAnchor, least: Span) -> bool {
        if self.follow == FollowWall::Free {
            return false;
        }
        self.begin_with(wall);
        self.lead_to(wall, least)
    }

    fn begin_with(&mut self, wall: WallAnchor) {
        self.last = wall;
        self.apart = Span::ZERO;
        self.inherited = false;
    }

    /// Announces a jump to the wall clock if that is further off than `least`, unless one is pending: then that is kept in mind.
    /// Else slews.
    fn lead_to(&mut self, wall: WallAnchor, least: Span) -> bool {
        let now = self.line.ensemble_at(wall.local);
        let behind = self.behind(wall);
        if behind.abs() <= least {
            if !self.epochs.is_to_come(now) {
                self.owed = None;
            }
            self.slew(wall.local, behind);
            return false;
        }
        // There is nothing to be gained from slewing what is jumped over.
        self.line = bent(&self.line, wall.local, self.wall_rate);
        if self.epochs.is_to_come(now) {
            self.owed = Some(self.owed.map_or(least, |owed| owed.min(least)));
            return false;
        }
        self.owed = None;
        self.epochs = self.epochs.jump(now + NOTICE, behind);
        true
    }

    /// How far the ensemble's time will be behind where the wall clock wants it, when all jumps have taken effect.
    fn behind(&self, wall: WallAnchor) -> Span {
        wall.wall + self.apart - (self.line.ensemble_at(wall.local) + self.epochs.after())
    }

    /// Stays as far from the wall clock as it is, unless that can be slewed away.
    fn part(&mut self, wall: WallAnchor) {
        self.apart = Span::ZERO;
        let apart = -self.behind(wall);
        self.apart = if apart.abs() <= HOPELESS { Span::ZERO } else { apart };
    }

    fn learn_rate(&mut self, surprise: Span, elapsed: Span) {
        let secs = elapsed.as_secs_f64();
        let rate = (self.wall_rate + surprise.as_secs_f64() / secs).clamp(-MAX_RATE, MAX_RATE);
        let per_sec = match self.inherited {
            true => GENTLE_GAIN_PER_SEC + RATE_GAIN_PER_SEC * (self.doubt / DOUBTED_RATE).min(1.0),
            false if rate.abs() > GOOD_RATE => DOUBTFUL_GAIN_PER_SEC,
            false => RATE_GAIN_PER_SEC,
        };
        let kept = (-per_sec * secs).exp();
        self.wall_rate += (rate - self.wall_rate) * (1.0 - kept);
        self.doubt *= kept;
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
            synchronised: false,
        }
    }

    #[test]
    fn it_follows_a_wall_clock_of_another_rate_and_never_strays_50_ppm_from_it() {
        let mut scale = Timescale::new(wall(0.0, 30.0, Span::ZERO), FollowWall::Follow);
        for second in 1..=600 {
            let anchor = wall(f64::from(second), 30.0, Span::ZERO);
            assert!(!scale.look(anchor));
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

    /// By how much it was announced to jump, and how often.
    fn announced(scale: &Timescale) -> (Span, u32) {
        let epochs = scale.epochs();
        (epochs.after() - epochs.before(), epochs.count())
    }

    #[test]
    fn a_step_is_one_jump_announced_a_second_and_a_half_ahead() {
        let hour = Span::from_secs(3600);
        for step in [hour, -hour, Span::from_millis(11)] {
            let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
            assert!(!scale.look(wall(1.0, 0.0, Span::ZERO)));
            let room = scale.estimate();
            assert!(scale.look(wall(2.0, 0.0, step)));
            assert_eq!(announced(&scale), (step, 1));
            for tenth in 21..35 {
                let anchor = wall(0.1 * f64::from(tenth), 0.0, step);
                assert!(!scale.look(anchor));
                assert_eq!(scale.ensemble_at(anchor.local), anchor.wall - step, "before it takes effect");
            }
            let anchor = wall(3.6, 0.0, step);
            assert_eq!(scale.ensemble_at(anchor.local), anchor.wall);
            assert!(!scale.look(anchor));
            assert_eq!(scale.estimate().ensemble_at(anchor.local), room.ensemble_at(anchor.local));
        }
    }

    #[test]
    fn a_clock_that_is_set_while_a_jump_is_pending_is_jumped_to_after_that() {
        // Back again; further; by little, which is slewed.
        for (second, jumps) in [(0, 2), (90, 2), (60_005, 1)] {
            let (first, second) = (Span::from_secs(60), Span::from_millis(second));
            let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
            assert!(scale.look(wall(1.0, 0.0, first)));
            for tenth in 15..25 {
                assert!(!scale.look(wall(0.1 * f64::from(tenth), 0.0, second)), "one is pending");
                assert_eq!(announced(&scale), (first, 1), "what was announced is not taken back");
            }
            let next = scale.look(wall(2.6, 0.0, second));
            assert_eq!((next, scale.epochs().count()), (jumps == 2, jumps));
            for tenth in 27..42 {
                assert!(!scale.look(wall(0.1 * f64::from(tenth), 0.0, second)));
            }
            let end = wall(4.2, 0.0, second);
            let error = scale.ensemble_at(end.local) - end.wall;
            assert!(error.abs() <= Span::from_millis(5), "{error}");
        }
    }

    #[test]
    fn it_goes_on_slewing_while_a_jump_is_pending() {
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
        let ahead = Span::from_millis(4);
        assert!(!scale.look(wall(1.0, 0.0, ahead)));
        assert!(scale.look(wall(2.0, 0.0, Span::from_secs(60))));
        assert!(!scale.look(wall(3.0, 0.0, Span::from_secs(60) + ahead)));
        assert!(scale.estimate().rate() > 4e-6, "{}", scale.estimate().rate());
    }

    #[test]
    fn a_successor_lets_the_jump_take_effect_that_was_announced() {
        let minute = Span::from_secs(60);
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
        assert!(scale.look(wall(1.0, 0.0, minute)));
        // Its own wall clock was a minute ahead all the time; or is where the ensemble's time was.
        for ahead in [minute, Span::ZERO] {
            let start = wall(1.2, 0.0, ahead);
            let mut heir =
                Timescale::resume(scale.estimate(), 0.0, scale.epochs(), start, FollowWall::Follow);
            for second in 2..60 {
                assert!(!heir.look(wall(f64::from(second), 0.0, ahead)));
            }
            let end = wall(60.0, 0.0, minute);
            assert!((heir.ensemble_at(end.local) - end.wall).abs() < Span::from_micros(1));
            assert_eq!(announced(&heir), (minute, 1));
        }
    }

    #[test]
    fn who_knows_that_its_clock_is_right_leads_the_ensemble_there() {
        for (off, jumps) in
            [(Span::from_secs(86_400), 1), (Span::from_millis(-11), 1), (Span::from_millis(9), 0)]
        {
            let start = wall(0.0, 0.0, Span::ZERO);
            let line = ClockEstimate::new(start.local, start.wall + off);
            let mut scale = Timescale::resume(line, 0.0, Epochs::default(), start, FollowWall::Follow);
            assert_eq!(scale.lead_to_wall(wall(1.0, 0.0, Span::ZERO)), jumps == 1);
            for second in 2..1_500 {
                assert!(!scale.look(wall(f64::from(second), 0.0, Span::ZERO)));
            }
            let end = wall(1_500.0, 0.0, Span::ZERO);
            assert!((scale.ensemble_at(end.local) - end.wall).abs() < Span::from_micros(20), "{off}");
            assert_eq!(scale.epochs().count(), jumps);
        }
    }

    #[test]
    fn nine_milliseconds_are_slewed_eleven_are_a_step() {
        for (millis, jumps) in [(9, 0), (11, 1)] {
            let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
            scale.look(wall(1.0, 0.0, Span::from_millis(millis)));
            assert_eq!(scale.epochs().count(), jumps, "{millis} ms");
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
                assert!(!scale.look(anchor));
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
                // As it will be when what was announced has taken effect.
                let error =
                    anchor.wall - (scale.estimate().ensemble_at(anchor.local) + scale.epochs().after());
                assert!(error.abs() <= HOPELESS && (second < 15_000 || error.abs() < Span::from_millis(1)));
            }
            assert!(jumps.contains(&scale.epochs().count()), "{}", scale.epochs().count());
        }
    }

    #[test]
    fn a_host_that_stalls_between_the_clocks_takes_no_step() {
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
        let stalled = Span::from_millis(40);
        let vague = WallAnchor { uncertainty: stalled, ..wall(1.0, 0.0, Span::from_millis(20)) };
        assert!(!scale.look(vague));
        assert!(!scale.look(wall(2.0, 0.0, Span::ZERO)));
        assert_eq!(scale.estimate().rate(), 0.0);
    }

    #[test]
    fn a_successor_goes_on_with_the_ensembles_time_not_with_its_own() {
        for (ahead, led) in [(Span::from_millis(5), true), (Span::from_secs(7200), false)] {
            let start = wall(0.0, 0.0, Span::ZERO);
            let line = ClockEstimate::new(start.local, start.wall + ahead);
            let mut scale = Timescale::resume(line, 0.0, Epochs::default(), start, FollowWall::Follow);
            for second in 1..=4_000 {
                assert!(!scale.look(wall(f64::from(second), 0.0, Span::ZERO)));
            }
            let end = wall(4_000.0, 0.0, Span::ZERO);
            let left = scale.estimate().ensemble_at(end.local) - end.wall;
            assert!(if led { left.abs() < Span::from_micros(20) } else { left == ahead }, "{left}");
        }
        // Its wall clock, two hours behind, is set right at last: nothing to announce.
        let start = wall(0.0, 0.0, Span::ZERO);
        let ahead = Span::from_secs(7200);
        let line = ClockEstimate::new(start.local, start.wall + ahead);
        let mut scale = Timescale::resume(line, 0.0, Epochs::default(), start, FollowWall::Follow);
        assert!(!scale.look(wall(1.0, 0.0, ahead + Span::from_millis(2))));
        assert_eq!((scale.epochs().count(), scale.apart), (0, Span::ZERO));
    }

    #[test]
    fn a_rate_that_was_inherited_with_doubt_is_soon_given_up() {
        // It is 40 ppm off this host's wall clock, as nobody knew well; or is known, and kept for long.
        for (doubt, most, least) in [(30e-6, 1e-3, 0.0), (0.1e-6, 1.0, 1e-3)] {
            let start = wall(0.0, 0.0, Span::ZERO);
            let line = ClockEstimate::new(start.local, start.wall + Span::from_secs(60)).with_rate(40e-6);
            let mut scale = Timescale::resume(line, doubt, Epochs::default(), start, FollowWall::Follow);
            for second in 1..=120 {
                assert!(!scale.look(wall(f64::from(second), 0.0, Span::ZERO)));
            }
            let end = wall(120.0, 0.0, Span::from_secs(60));
            let moved = (scale.ensemble_at(end.local) - end.wall).as_secs_f64().abs();
            assert!((least..=most).contains(&moved), "{doubt}: {moved}");
        }
    }

    #[test]
    fn another_wall_clock_is_jumped_to_once_and_followed_from_then_on() {
        for ahead in [Span::from_millis(5), -Span::from_secs(1_234)] {
            // That of an old leader is two hours off.
            let line = ClockEstimate::new(
                wall(0.0, 0.0, Span::ZERO).local,
                wall(0.0, 0.0, Span::from_secs(7_200)).wall,
            );
            let mut scale = Timescale::resume(
                line,
                0.0,
                Epochs::default(),
                wall(0.0, 0.0, Span::ZERO),
                FollowWall::Follow,
            );
            assert!(scale.change_wall(wall(1.0, 0.0, ahead)), "they are apart");
            assert_eq!(announced(&scale), (ahead - Span::from_secs(7_200), 1));
            for second in 2..=2_000 {
                assert!(!scale.look(wall(f64::from(second), 20.0, ahead)));
            }
            let end = wall(2_000.0, 20.0, ahead);
            let error = end.wall - scale.ensemble_at(end.local);
            assert!(error.abs() < Span::from_micros(20), "{error}");
        }
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Follow);
        assert!(!scale.change_wall(wall(1.0, 0.0, Span::from_micros(90))));
    }

    #[test]
    fn a_free_timescale_does_not_look() {
        let mut scale = Timescale::new(wall(0.0, 0.0, Span::ZERO), FollowWall::Free);
        let before = scale.estimate();
        assert!(!scale.look(wall(5.0, 0.0, Span::from_secs(3600))));
        assert!(!scale.change_wall(wall(6.0, 0.0, Span::from_secs(3600))));
        assert!(!scale.correct(wall(6.0, 0.0, Span::from_secs(3600))));
        assert_eq!(scale.estimate(), before.anchored_at(wall(5.0, 0.0, Span::ZERO).local));
    }
}
