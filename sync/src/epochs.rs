//! [`Epochs`]: how far the ensemble's time is ahead of room time, and when that changes; [`RoomClock`]: how timetags are read.
//!
//! Room time is the ensemble's time without the jumps that were announced: it never leaps because a wall clock was set. All
//! nodes of a session share it, and it is what they exchange. A jump of the ensemble's time is announced with the instant of
//! room time at which it takes effect, so that all change together, and what waits by room time does not notice. An
//! announcement, once made, is never taken back: a leader whose clock is set again meanwhile announces the next jump when
//! this one has taken effect.
//!
//! Not for: when to jump (`timescale`), nor whose announcements are heeded (`session`).

use crate::{ClockEstimate, EnsembleTime, LocalTime, Span};

/// A jump is announced so long before it takes effect. At least a second is promised; the rest is for announcements that are
/// lost: five more follow in that time [1.5 s].
pub const NOTICE: Span = Span::from_millis(1_500);
/// So long after a jump a timetag may be of a sender that has not heard of it: clients of ours ask once a second [2 s].
pub const UNHEARD_OF: Span = Span::from_secs(2);
/// Of a sender that sent nothing before, a timetag further ahead is not likely [5 s].
const USUAL_LEAD: Span = Span::from_secs(5);
/// A lead may exceed the furthest before by what the network takes less this time, and still be of the same epoch [5 ms]. A
/// jump of less than twice that cannot be told from it.
const JITTER: Span = Span::from_millis(5);

/// So long after a jump it matters no more when it was, nor what was before: that need not be told [10 s].
const SETTLED: Span = Span::from_secs(10);

/// How far the ensemble's time is ahead of room time, before and after its latest jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    count: u32,
    at: EnsembleTime,
    before: Span,
    after: Span,
}

impl Default for Epochs {
    /// There was no jump: both times are one.
    fn default() -> Epochs {
        Epochs::new(0, EnsembleTime::from_bits(0), Span::ZERO, Span::ZERO)
    }
}

impl Epochs {
    /// After `count` jumps, the latest of which takes or took effect `at` this room time: from `before` to `after`.
    pub const fn new(count: u32, at: EnsembleTime, before: Span, after: Span) -> Epochs {
        Epochs { count, at, before, after }
    }

    /// The same with one more jump, at this room time. The one before must have taken effect.
    pub fn jump(self, at: EnsembleTime, by: Span) -> Epochs {
        Epochs { count: self.count.saturating_add(1), at, before: self.after, after: self.after + by }
    }

    /// Jumps announced so far, one to come included.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The room time of the latest jump.
    pub fn at(&self) -> EnsembleTime {
        self.at
    }

    /// How far the ensemble's time was ahead of room time before the latest jump.
    pub fn before(&self) -> Span {
        self.before
    }

    /// How far it is ahead after that.
    pub fn after(&self) -> Span {
        self.after
    }

    /// How far the ensemble's time is ahead at a room time.
    pub fn ahead_at(&self, room: EnsembleTime) -> Span {
        if self.is_to_come(room) { self.before } else { self.after }
    }

    /// Whether the latest jump is still to come at a room time.
    pub fn is_to_come(&self, room: EnsembleTime) -> bool {
        // Before the first jump there is no instant of one.
        self.before != self.after && room.is_before(self.at)
    }

    /// After so many jumps, all of them long ago.
    pub const fn settled(count: u32, ahead: Span) -> Epochs {
        Epochs::new(count, EnsembleTime::from_bits(0), ahead, ahead)
    }

    /// What need be told of it at a room time.
    pub fn told_at(self, room: EnsembleTime) -> Epochs {
        let is_old = !self.is_to_come(room) && room - self.at > SETTLED;
        if is_old { Epochs::settled(self.count, self.after) } else { self }
    }

    /// The same for a node whose room time is ahead by so much.
    pub(crate) fn seen_from(self, ahead: Span) -> Epochs {
        Epochs { at: self.at + ahead, before: self.before - ahead, after: self.after - ahead, ..self }
    }

    /// Whether a timetag that comes at a room time may be of the epoch before.
    fn is_recent(&self, room: EnsembleTime) -> bool {
        let since = room - self.at;
        self.count > 0 && since >= Span::ZERO && since < UNHEARD_OF
    }
}

/// A jump that is to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Announcement {
    /// How far: positive is ahead.
    pub by: Span,
    /// When, by the ensemble's time as it is until then.
    pub at: EnsembleTime,
    /// The epoch that begins with it.
    pub epoch: u32,
}

/// Local time to room time and to the ensemble's, and how timetags are read.
///
/// Ensemble time and room time are of one type here, for the engine knows only one of them: [`RoomClock::ensemble_at`] and
/// what is on the wire are ensemble time, all else is room time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoomClock {
    line: ClockEstimate,
    latest: Epochs,
    /// As it was before the latest was announced.
    previous: Epochs,
}

impl RoomClock {
    /// Local to room time, and the two latest jumps.
    pub fn new(line: ClockEstimate, latest: Epochs, previous: Epochs) -> RoomClock {
        RoomClock { line, latest, previous }
    }

    /// One whose time never jumped.
    pub fn steady(line: ClockEstimate) -> RoomClock {
        RoomClock::new(line, Epochs::default(), Epochs::default())
    }

    /// Local to room time.
    pub fn line(&self) -> &ClockEstimate {
        &self.line
    }

    /// Room time at a local time.
    pub fn room_at(&self, local: LocalTime) -> EnsembleTime {
        self.line.ensemble_at(local)
    }

    /// Ensemble time at a local time.
    pub fn ensemble_at(&self, local: LocalTime) -> EnsembleTime {
        self.room_at(local) + self.ahead_at(local)
    }

    /// How far the ensemble's time is ahead of room time at a local time.
    pub fn ahead_at(&self, local: LocalTime) -> Span {
        self.latest.ahead_at(self.room_at(local))
    }

    /// How far the time by which a timetag was stamped is ahead of room time, if it arrived at `arrival`. `furthest` is how far
    /// ahead its sender's timetags lay at most when they arrived, if it sent any.
    ///
    /// It is the ensemble's time as of then; but for [`UNHEARD_OF`] after a jump what would be late in that, or further ahead
    /// than its sender ever was, is read in the time before, if it fits that better.
    pub fn read(&self, timetag: EnsembleTime, arrival: LocalTime, furthest: Option<Span>) -> Span {
        let room = self.room_at(arrival);
        let now = self.latest.ahead_at(room);
        let before = [
            self.latest.is_recent(room).then_some(self.latest.before),
            self.previous.is_recent(room).then_some(self.previous.before),
        ];
        if before == [None; 2] {
            return now;
        }
        let furthest = furthest.unwrap_or(USUAL_LEAD).max(Span::ZERO) + JITTER;
        // By how much it would be late, or too far ahead.
        let misfit = |ahead: Span| {
            let lead = timetag - (room + ahead);
            (-lead).max(lead - furthest).max(Span::ZERO)
        };
        let better = |best: Span, other: Span| if misfit(other) < misfit(best) { other } else { best };
        before.into_iter().flatten().fold(now, better)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Span = Span::from_millis(500);

    fn local(millis: i64) -> LocalTime {
        LocalTime::from_ticks(1 << 40) + Span::from_millis(millis)
    }

    fn room(millis: i64) -> EnsembleTime {
        EnsembleTime::from_unix(Span::from_secs(1_800_000_000)) + Span::from_millis(millis)
    }

    /// One that jumps at the tenth second.
    fn clock(by: Span) -> RoomClock {
        let line = ClockEstimate::new(local(0), room(0));
        let first = Epochs::default().jump(room(1_000), Span::from_secs(60));
        RoomClock::new(line, first.jump(room(10_000), by), first)
    }

    /// Steps that must not be mistaken for each other: both ways, by little and by much.
    fn steps() -> impl Iterator<Item = Span> {
        [Span::from_millis(20), Span::from_secs(3), Span::from_secs(3_600)]
            .into_iter()
            .flat_map(|by| [by, -by])
    }

    #[test]
    fn the_ensembles_time_jumps_at_one_instant_and_room_time_does_not() {
        for by in steps() {
            let clock = clock(by);
            for (millis, ahead) in [(9_999, Span::from_secs(60)), (10_000, Span::from_secs(60) + by)] {
                assert_eq!(clock.room_at(local(millis)), room(millis));
                assert_eq!(clock.ensemble_at(local(millis)), room(millis) + ahead);
            }
        }
    }

    #[test]
    fn a_timetag_is_read_in_the_time_by_which_it_was_stamped() {
        for by in steps() {
            let clock = clock(by);
            let (old, new) = (Span::from_secs(60), Span::from_secs(60) + by);
            let read = |stamped: Span, lead: Span, millis: i64, furthest| {
                clock.read(room(millis) + stamped + lead, local(millis), furthest)
            };
            // Half a second ahead, as ever, and a hair more.
            let usual = Some(HALF);
            for lead in [HALF, HALF + Span::from_millis(4), HALF - Span::from_millis(9)] {
                assert_eq!(read(old, lead, 9_999, usual), old, "{by}: before the jump");
                assert_eq!(read(new, lead, 10_000, usual), new, "{by}: by who was quick to hear of it");
                assert_eq!(read(new, lead, 12_100, usual), new, "{by}: by who heard of it at last");
            }
            // Nothing tells a step of less than the lead, ahead, from a lead that is shorter.
            if by.abs() > HALF || by < Span::ZERO {
                assert_eq!(read(old, HALF, 10_000, usual), old, "{by}: by who has not heard of it");
                assert_eq!(read(old, HALF, 11_999, usual), old, "{by}: by who still has not");
            }
            assert_eq!(read(old, HALF, 12_000, usual), new, "{by}: by then everybody could have");
            // Stamped "now", and late by a hair.
            let (late, never) = (-Span::from_micros(100), Some(-Span::from_micros(90)));
            assert_eq!(read(new, late, 10_500, never), new, "{by}");
            assert_eq!(read(old, late, 10_500, never), old, "{by}");
            // By a stranger.
            assert_eq!(read(new, HALF, 10_500, None), new, "{by}");
            if by.abs() > Span::from_secs(5) {
                assert_eq!(read(old, HALF, 10_500, None), old, "{by}");
            }
        }
    }

    #[test]
    fn who_has_heard_of_neither_of_two_jumps_is_read_in_the_time_before_both() {
        let line = ClockEstimate::new(local(0), room(0));
        let first = Epochs::default().jump(room(10_000), Span::from_secs(30));
        let clock = RoomClock::new(line, first.jump(room(11_500), Span::from_secs(7)), first);
        for (stamped, ahead) in [(0, 0), (30, 30), (37, 37)] {
            let [stamped, ahead] = [stamped, ahead].map(Span::from_secs);
            assert_eq!(clock.read(room(11_600) + stamped + HALF, local(11_600), Some(HALF)), ahead);
        }
        // Two seconds after the first there is no reason to think of the time before it.
        let late = clock.read(room(12_600) + HALF, local(12_600), Some(HALF));
        assert_eq!(late, Span::from_secs(30));
    }

    #[test]
    fn a_jump_of_long_ago_is_told_by_what_it_led_to_alone() {
        let epochs = Epochs::default().jump(room(10_000), Span::from_secs(60));
        for millis in [8_500, 10_000, 20_000] {
            assert_eq!(epochs.told_at(room(millis)), epochs);
        }
        let told = epochs.told_at(room(20_001));
        assert_eq!(told, Epochs::settled(1, Span::from_secs(60)));
        assert_eq!(told.ahead_at(room(20_001)), epochs.ahead_at(room(20_001)));
        assert!(!told.is_to_come(room(20_001)));
    }
}
