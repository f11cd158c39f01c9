//! [`Schedule`]: every waiting event, and on which frame it is taken up.
//!
//! Not for: what an event does then (`renderer`). Events with a timetag wait on the ensemble's clock, those that mean
//! "at once" on the local one: a jump of the ensemble's time must not move a note somebody just played. Both become
//! frames as late as possible, when their block is rendered, so that a better estimate still moves a waiting event.

use crate::agenda::{Agenda, Entry};
use crate::event::{Action, Event, VoiceId, When};
use downbeat_sync::{ClockEstimate, EnsembleTime, FrameMap, LocalTime, Span};

/// How an onset that falls between two frames is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Onset {
    /// Between the two frames, by interpolation.
    #[default]
    Subframe,
    /// On the nearer frame, bit for bit.
    Frame,
}

/// Onsets this close to a frame are on it: a timetag's tick cannot say more, and no interpolation is due (frames).
const SNAP: f64 = 1e-3;

/// An event taken up, and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placed {
    /// What is to happen.
    pub(crate) event: Event,
    /// Its rank by arrival.
    pub(crate) seq: u32,
    /// Its instant [frames since the start of the stream].
    pub(crate) position: f64,
    /// The frame at which its work begins.
    pub(crate) begin: u64,
}

/// Where the block that is being rendered lies in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Horizon {
    /// Frames to local time at the connector.
    pub(crate) map: FrameMap,
    /// Local to ensemble time.
    pub(crate) estimate: ClockEstimate,
}

/// Waiting events, by the time their work begins. `RT:` everything but [`Schedule::new`] and
/// [`Schedule::set_rate`].
///
/// A change or a click happens on the frame nearest to its instant. A start is taken up some frames earlier, its lead:
/// one, so that a change of the same instant that came after it finds it there; as many as an interpolator rings ahead of
/// the onset; or enough to fetch from disk what it begins with.
pub(crate) struct Schedule {
    timed: Agenda,
    immediate: Agenda,
    capacity: usize,
    seq: u32,
    onset: Onset,
    rate: u32,
    /// Keys count from here, so that they order across an era's end: instants of the start, for no sender may choose where
    /// the order of times has its seam, 68 years away.
    ensemble_origin: EnsembleTime,
    local_origin: LocalTime,
}

impl Schedule {
    /// Room for `capacity` events in all, for frames of so many a second (Hz). `start` is about now.
    pub(crate) fn new(capacity: usize, onset: Onset, rate: u32, start: &ClockEstimate) -> Schedule {
        Schedule {
            timed: Agenda::new(capacity),
            immediate: Agenda::new(capacity),
            capacity,
            seq: 0,
            onset,
            rate,
            ensemble_origin: start.ensemble_at(start.anchor()),
            local_origin: start.anchor(),
        }
    }

    /// The device runs at another rate (Hz) now. Waiting events stay: they wait in time, not in frames. Their leads
    /// become as many frames as last as long, for keys that do not fit them would hold up what comes after.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        let old = std::mem::replace(&mut self.rate, rate);
        let revise = |entry: &mut Entry| {
            let due = Span::from_ticks(entry.key) + early(entry.lead, old);
            entry.lead = (u64::from(entry.lead) * u64::from(rate)).div_ceil(u64::from(old)) as u32;
            entry.key = (due - early(entry.lead, rate)).ticks();
        };
        self.timed.revise(revise);
        self.immediate.revise(revise);
    }

    /// Files an event; one that means "at once" is due `delay` after its arrival. `false` if there is no room.
    ///
    /// `lead` is how many frames before its onset a start is to be taken up, if not one.
    pub(crate) fn push(&mut self, event: Event, delay: Span, lead: u32) -> bool {
        if self.len() >= self.capacity {
            return false;
        }
        self.seq = self.seq.wrapping_add(1);
        let lead = if self.starts_between_frames(&event.action) { lead.max(1) } else { 0 };
        let early = early(lead, self.rate);
        let seq = self.seq;
        let entry = |since: Span, event| Entry { key: (since - early).ticks(), seq, lead, event };
        match event.when {
            When::At(due) => self.timed.push(entry(due - self.ensemble_origin, event)),
            When::Arrived(arrival) => {
                let due = arrival + delay;
                let event = Event { when: When::Arrived(due), ..event };
                self.immediate.push(entry(due - self.local_origin, event))
            }
        }
    }

    /// Takes the next event whose work begins before frame `end`.
    pub(crate) fn next_before(&mut self, end: u64, horizon: &Horizon) -> Option<Placed> {
        let timed = self.timed.peek().map(|entry| place(entry, horizon));
        let immediate = self.immediate.peek().map(|entry| place(entry, horizon));
        let (agenda, placed) = match (timed, immediate) {
            (Some(t), Some(i)) if (i.begin, i.seq) < (t.begin, t.seq) => (&mut self.immediate, i),
            (Some(t), _) => (&mut self.timed, t),
            (None, Some(i)) => (&mut self.immediate, i),
            (None, None) => return None,
        };
        if placed.begin >= end {
            return None;
        }
        agenda.pop();
        Some(placed)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.timed.len() + self.immediate.len()
    }

    /// Withdraws the events of this id, or all; tells how many.
    pub(crate) fn cancel(&mut self, id: Option<VoiceId>) -> usize {
        self.timed.cancel(id) + self.immediate.cancel(id)
    }

    fn starts_between_frames(&self, action: &Action) -> bool {
        self.onset == Onset::Subframe
            && matches!(action, Action::Play(_) | Action::Tone(_) | Action::Instrument(_))
    }
}

/// How long before its instant an event is taken up.
fn early(lead: u32, rate: u32) -> Span {
    match lead {
        // Half a frame, so that keys order by the frames they round to; a tick less, because halves round up.
        0 => Span::from_ratio(1, 2 * i128::from(rate)) - Span::from_ticks(1),
        lead => Span::from_ratio(i128::from(lead), i128::from(rate)),
    }
}

fn place(entry: &Entry, horizon: &Horizon) -> Placed {
    let due = match entry.event.when {
        When::At(due) => horizon.estimate.local_at(due),
        When::Arrived(due) => due,
    };
    let exact = horizon.map.frame as f64 + horizon.map.frames_until(due);
    let nearest = (exact + 0.5).floor();
    let position = if (exact - nearest).abs() < SNAP { nearest } else { exact };
    let begin = match entry.lead {
        0 => nearest,
        lead => position.ceil() - f64::from(lead),
    };
    // Casting saturates: what lies before the stream's start begins with it.
    Placed { event: entry.event, seq: entry.seq, position, begin: begin as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Origin, Play, Target, VoiceShape};
    use crate::{ClipId, Tone, Wave};

    /// One frame a second, frame 0 and the ensemble's time at local time 0: frames are seconds.
    fn toy() -> Horizon {
        Horizon {
            map: FrameMap::new(0, LocalTime::from_ticks(0), 1.0),
            estimate: ClockEstimate::new(LocalTime::from_ticks(0), EnsembleTime::from_bits(1 << 40)),
        }
    }

    fn empty(capacity: usize, onset: Onset) -> Schedule {
        Schedule::new(capacity, onset, 1, &toy().estimate)
    }

    fn at(secs: f64, action: Action) -> Event {
        let due = EnsembleTime::from_bits(1 << 40) + Span::from_secs_f64(secs);
        Event { when: When::At(due), from: Origin(0), late: None, action }
    }

    fn click() -> Action {
        Action::Click { gain: 1.0 }
    }

    fn play() -> Action {
        let shape = VoiceShape::default();
        Action::Play(Play { clip: ClipId(0), rate: 1.0, start: 0.0, looped: false, shape })
    }

    fn begins(schedule: &mut Schedule, end: u64) -> Vec<u64> {
        std::iter::from_fn(|| schedule.next_before(end, &toy())).map(|placed| placed.begin).collect()
    }

    #[test]
    fn a_block_takes_what_begins_inside_it_and_leaves_its_end() {
        let mut schedule = empty(8, Onset::Subframe);
        for secs in [3.49, 3.5, 7.4, 7.5, 8.0] {
            assert!(schedule.push(at(secs, click()), Span::ZERO, 0));
        }
        assert_eq!(begins(&mut schedule, 8), [3, 4, 7]);
        assert_eq!(begins(&mut schedule, 16), [8, 8]);
    }

    #[test]
    fn a_clip_begins_ahead_of_its_onset_and_a_click_does_not_wait_for_it() {
        let mut schedule = empty(8, Onset::Subframe);
        schedule.push(at(10.3, play()), Span::ZERO, 4);
        schedule.push(at(6.2, click()), Span::ZERO, 0);
        assert_eq!(begins(&mut schedule, 6), []);
        assert_eq!(begins(&mut schedule, 7), [6]);
        assert_eq!(begins(&mut schedule, 8), [7]);
    }

    #[test]
    fn whole_frames_need_no_interpolation() {
        let mut schedule = empty(8, Onset::Subframe);
        schedule.push(at(5.000_01, play()), Span::ZERO, 0);
        assert_eq!(schedule.next_before(9, &toy()).map(|p| (p.position, p.begin)), Some((5.0, 4)));
        let mut rounding = empty(8, Onset::Frame);
        rounding.push(at(5.6, play()), Span::ZERO, 16);
        assert_eq!(
            rounding.next_before(9, &toy()).map(|p| ((p.position * 1e3).round() / 1e3, p.begin)),
            Some((5.6, 6))
        );
    }

    #[test]
    fn one_instant_keeps_the_order_of_arrival_and_starts_come_before_changes() {
        let mut schedule = empty(8, Onset::Subframe);
        let tone = Action::Tone(Tone { freq: 1.0, wave: Wave::Sine, shape: VoiceShape::default() });
        for action in [Action::Stop(Target::All), tone, click(), tone] {
            schedule.push(at(2.3, action), Span::ZERO, 0);
        }
        let order: Vec<_> =
            std::iter::from_fn(|| schedule.next_before(9, &toy())).map(|p| (p.seq, p.begin)).collect();
        assert_eq!(order, [(2, 2), (4, 2), (1, 2), (3, 2)]);
    }

    #[test]
    fn a_jump_of_the_ensemble_moves_timed_events_only() {
        let mut schedule = empty(8, Onset::Subframe);
        schedule.push(at(5.0, click()), Span::ZERO, 0);
        let arrived = When::Arrived(LocalTime::from_ticks(0) + Span::from_secs(4));
        let event = Event { when: arrived, from: Origin(0), late: None, action: click() };
        schedule.push(event, Span::from_secs(2), 0);
        let mut horizon = toy();
        horizon.estimate = ClockEstimate::new(
            LocalTime::from_ticks(0),
            EnsembleTime::from_bits(1 << 40) + Span::from_secs(-1000),
        );
        assert_eq!(schedule.next_before(500, &horizon).map(|p| p.begin), Some(6));
        assert_eq!(schedule.next_before(500, &horizon), None);
        assert_eq!(schedule.next_before(1006, &horizon).map(|p| p.begin), Some(1005));
    }

    #[test]
    fn a_time_long_past_disturbs_no_order() {
        let mut schedule = empty(8, Onset::Subframe);
        // As far back as a timetag can be: half an era before what comes then.
        for secs in [5.0 - f64::from(1 << 30) * 2.0, 8.0, 3.0] {
            schedule.push(at(secs, click()), Span::ZERO, 0);
        }
        assert_eq!(begins(&mut schedule, 9), [0, 3, 8]);
    }

    #[test]
    fn at_another_rate_a_long_lead_holds_nothing_up() {
        let mut schedule = empty(8, Onset::Subframe);
        schedule.push(at(100.0, play()), Span::ZERO, 50);
        schedule.push(at(60.0, click()), Span::ZERO, 0);
        schedule.set_rate(4);
        let map = FrameMap::new(0, LocalTime::from_ticks(0), 4.0);
        let horizon = Horizon { map, ..toy() };
        let taken = |end| schedule.next_before(end, &horizon).map(|placed| placed.begin);
        assert_eq!([199, 201, 240, 241].map(taken), [None, Some(200), None, Some(240)]);
    }

    #[test]
    fn both_agendas_share_one_capacity() {
        let mut schedule = empty(2, Onset::Subframe);
        assert!(schedule.push(at(5.0, click()), Span::ZERO, 0));
        let when = When::Arrived(LocalTime::from_ticks(0));
        let now = Event { when, from: Origin(0), late: None, action: click() };
        assert!(schedule.push(now, Span::ZERO, 0));
        assert!(!schedule.push(now, Span::ZERO, 0));
        assert_eq!(schedule.cancel(None), 2);
    }
}
