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

/// Waiting events, by the time their work begins. `RT:` everything but [`Schedule::new`].
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
    /// Keys count from here, so that they order across an era's end.
    ensemble_origin: Option<EnsembleTime>,
    local_origin: Option<LocalTime>,
}

impl Schedule {
    /// Room for `capacity` events in all, for frames of so many a second (Hz).
    pub(crate) fn new(capacity: usize, onset: Onset, rate: u32) -> Schedule {
        Schedule {
            timed: Agenda::new(capacity),
            immediate: Agenda::new(capacity),
            capacity,
            seq: 0,
            onset,
            rate,
            ensemble_origin: None,
            local_origin: None,
        }
    }

    /// The device runs at another rate (Hz) now. Waiting events stay: they wait in time, not in frames.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.rate = rate;
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
        let early = match lead {
            // Half a frame, so that keys order by the frames they round to; a tick less, because halves round up.
            0 => Span::from_ratio(1, 2 * i128::from(self.rate)) - Span::from_ticks(1),
            lead => Span::from_ratio(i128::from(lead), i128::from(self.rate)),
        };
        let seq = self.seq;
        let entry = |since: Span, event| Entry { key: (since - early).ticks(), seq, lead, event };
        match event.when {
            When::At(due) => {
                let origin = *self.ensemble_origin.get_or_insert(due);
                self.timed.push(entry(due - origin, event))
            }
            When::Arrived(arrival) => {
                let due = arrival + delay;
                let origin = *self.local_origin.get_or_insert(due);
                self.immediate.push(entry(due - origin, Event { when: When::Arrived(due), ..event }))
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

fn place(entry: &Entry, horizon: &Horizon) -> Placed {
    let due = match entry.event.when {
        When::At(due) => horizon.estimate.local_at(due),
        When::Arrived(due) => due,
    };
    let exact = horizon.map.frame as f64 + horizon.map.frames_until(due);
    let nearest = (exact + 0.5).floor();
    let position = if entry.lead == 0 || (exact - nearest).abs() < SNAP { nearest } else { exact };
    let begin = position.ceil() - f64::from(entry.lead);
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
        let mut schedule = Schedule::new(8, Onset::Subframe, 1);
        for secs in [3.49, 3.5, 7.4, 7.5, 8.0] {
            assert!(schedule.push(at(secs, click()), Span::ZERO, 0));
        }
        assert_eq!(begins(&mut schedule, 8), [3, 4, 7]);
        assert_eq!(begins(&mut schedule, 16), [8, 8]);
    }

    #[test]
    fn a_clip_begins_ahead_of_its_onset_and_a_click_does_not_wait_for_it() {
        let mut schedule = Schedule::new(8, Onset::Subframe, 1);
        schedule.push(at(10.3, play()), Span::ZERO, 4);
        schedule.push(at(6.2, click()), Span::ZERO, 0);
        assert_eq!(begins(&mut schedule, 6), []);
        assert_eq!(begins(&mut schedule, 7), [6]);
        assert_eq!(begins(&mut schedule, 8), [7]);
    }

    #[test]
    fn whole_frames_need_no_interpolation() {
        let mut schedule = Schedule::new(8, Onset::Subframe, 1);
        schedule.push(at(5.000_01, play()), Span::ZERO, 0);
        assert_eq!(schedule.next_before(9, &toy()).map(|p| (p.position, p.begin)), Some((5.0, 4)));
        let mut rounding = Schedule::new(8, Onset::Frame, 1);
        rounding.push(at(5.6, play()), Span::ZERO, 16);
        assert_eq!(rounding.next_before(9, &toy()).map(|p| (p.position, p.begin)), Some((6.0, 6)));
    }

    #[test]
    fn one_instant_keeps_the_order_of_arrival_and_starts_come_before_changes() {
        let mut schedule = Schedule::new(8, Onset::Subframe, 1);
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
        let mut schedule = Schedule::new(8, Onset::Subframe, 1);
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
    fn both_agendas_share_one_capacity() {
        let mut schedule = Schedule::new(2, Onset::Subframe, 1);
        assert!(schedule.push(at(5.0, click()), Span::ZERO, 0));
        let when = When::Arrived(LocalTime::from_ticks(0));
        let now = Event { when, from: Origin(0), late: None, action: click() };
        assert!(schedule.push(now, Span::ZERO, 0));
        assert!(!schedule.push(now, Span::ZERO, 0));
        assert_eq!(schedule.cancel(None), 2);
    }
}
