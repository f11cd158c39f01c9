//! [`Schedule`]: every waiting event, and on which frame it is taken up.
//!
//! Not for: what an event does then (`renderer`). An event is placed at the later of two instants: its timetag, on the
//! ensemble's clock, and the earliest at which what arrived with it can sound, on the local clock. What means "at once" has
//! only the second: a jump of the ensemble's time must not move a note somebody just played. Both become frames as late as
//! possible, when their block is rendered, so that a better estimate still moves a waiting event.
//!
//! Order: of two events, one that was stamped no later and arrived no later than the other is placed no later, for the later
//! of two times grows with both. At one instant the one that came first through the ring is first.

use crate::agenda::{Agenda, Entry};
use crate::event::{Action, Event, VoiceId};
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
    /// How long after its timetag that is [frames, 0 or more]; 0 too if it has none.
    pub(crate) late: f64,
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
    /// How long after its arrival an event can sound at the earliest. The same for all that wait, or one that came later
    /// could overtake another when this changes.
    pub(crate) delay: Span,
}

impl Horizon {
    /// The ensemble's time at this place of the stream (frames since its start).
    pub(crate) fn ensemble_at(&self, position: f64) -> EnsembleTime {
        let local = self.map.local + self.map.span_of(position - self.map.frame as f64);
        self.estimate.ensemble_at(local)
    }
}

/// Waiting events, by the time their work begins. `RT:` everything but [`Schedule::new`] and
/// [`Schedule::set_rate`].
///
/// A change or a click happens on the frame nearest to its instant. A start is taken up some frames earlier, its lead:
/// one, so that a change of the same instant that came after it finds it there; as many as an interpolator rings ahead of
/// the onset; or enough to fetch from disk what it begins with.
///
/// There are two agendas, as there are two clocks. An event waits in either, and goes over to the other if it comes to the
/// top and that one's instant is the later: for each of its instants alone is no later than its place.
pub(crate) struct Schedule {
    /// By timetags.
    timed: Agenda,
    /// By arrivals.
    arrived: Agenda,
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
            arrived: Agenda::new(capacity),
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
        self.arrived.revise(revise);
    }

    /// Files an event. `false` if there is no room.
    ///
    /// `lead` is how many frames before its onset a start is to be taken up, if not one.
    pub(crate) fn push(&mut self, event: Event, lead: u32) -> bool {
        if self.len() >= self.capacity {
            return false;
        }
        self.seq = self.seq.wrapping_add(1);
        let lead = if self.starts_between_frames(&event.action) { lead.max(1) } else { 0 };
        let entry = Entry { key: 0, seq: self.seq, lead, event };
        if event.when.timetag().is_some() {
            self.wait_for_timetag(entry)
        } else {
            self.wait_from_arrival(entry)
        }
    }

    fn wait_for_timetag(&mut self, entry: Entry) -> bool {
        let since = entry.event.when.timetag().map_or(Span::ZERO, |due| due - self.ensemble_origin);
        self.timed.push(Entry { key: (since - early(entry.lead, self.rate)).ticks(), ..entry })
    }

    fn wait_from_arrival(&mut self, entry: Entry) -> bool {
        let since = entry.event.when.arrival().map_or(Span::ZERO, |arrival| arrival - self.local_origin);
        self.arrived.push(Entry { key: (since - early(entry.lead, self.rate)).ticks(), ..entry })
    }

    /// Takes the next event whose work begins before frame `end`.
    pub(crate) fn next_before(&mut self, end: u64, horizon: &Horizon) -> Option<Placed> {
        loop {
            let timed = self.timed.peek().map(|entry| place(entry, horizon));
            let arrived = self.arrived.peek().map(|entry| place(entry, horizon));
            // Each goes over once at most, for the horizon says the same of it there. There is room: it came from here.
            if let Some((_, Bound::Arrival)) = timed {
                let entry = self.timed.pop()?;
                self.wait_from_arrival(entry);
                continue;
            }
            if let Some((_, Bound::Timetag)) = arrived {
                let entry = self.arrived.pop()?;
                self.wait_for_timetag(entry);
                continue;
            }
            let (agenda, placed) = match (timed, arrived) {
                (Some((t, _)), Some((a, _))) if a.comes_before(&t) => (&mut self.arrived, a),
                (Some((t, _)), _) => (&mut self.timed, t),
                (None, Some((a, _))) => (&mut self.arrived, a),
                (None, None) => return None,
            };
            if placed.begin >= end {
                return None;
            }
            agenda.pop();
            return Some(placed);
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.timed.len() + self.arrived.len()
    }

    /// Withdraws the events of this id, or all; tells how many.
    pub(crate) fn cancel(&mut self, id: Option<VoiceId>) -> usize {
        self.timed.cancel(id) + self.arrived.cancel(id)
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

/// Which of its two instants an event waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Timetag,
    Arrival,
}

impl Placed {
    /// Whether it is taken up before an event of the other agenda.
    fn comes_before(&self, other: &Placed) -> bool {
        (self.begin, self.position, self.seq) < (other.begin, other.position, other.seq)
    }
}

fn place(entry: &Entry, horizon: &Horizon) -> (Placed, Bound) {
    let Event { when, .. } = entry.event;
    let due = when.timetag().map(|due| horizon.estimate.local_at(due));
    let possible = when.arrival().map(|arrival| arrival + horizon.delay);
    let (bound, at, late) = match (due, possible) {
        (Some(due), Some(possible)) if due.is_before(possible) => (Bound::Arrival, possible, possible - due),
        (Some(due), _) => (Bound::Timetag, due, Span::ZERO),
        (None, Some(possible)) => (Bound::Arrival, possible, Span::ZERO),
        // Nobody makes one without either.
        (None, None) => (Bound::Arrival, horizon.map.local, Span::ZERO),
    };
    let exact = horizon.map.frame as f64 + horizon.map.frames_until(at);
    let nearest = (exact + 0.5).floor();
    let position = if (exact - nearest).abs() < SNAP { nearest } else { exact };
    let begin = match entry.lead {
        0 => nearest,
        lead => position.ceil() - f64::from(lead),
    };
    let late = horizon.map.frames_in(late);
    // Casting saturates: what lies before the stream's start begins with it.
    (Placed { event: entry.event, seq: entry.seq, position, late, begin: begin as u64 }, bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Origin, Play, Target, VoiceShape, When};
    use crate::{ClipId, Tone, Wave};

    /// One frame a second, frame 0 and the ensemble's time at local time 0: frames are seconds.
    fn toy() -> Horizon {
        Horizon {
            map: FrameMap::new(0, LocalTime::from_ticks(0), 1.0),
            estimate: ClockEstimate::new(LocalTime::from_ticks(0), EnsembleTime::from_bits(1 << 40)),
            delay: Span::from_secs(2),
        }
    }

    fn empty(capacity: usize, onset: Onset) -> Schedule {
        Schedule::new(capacity, onset, 1, &toy().estimate)
    }

    fn at(secs: f64, action: Action) -> Event {
        let due = EnsembleTime::from_bits(1 << 40) + Span::from_secs_f64(secs);
        Event { when: When::at(due), from: Origin(0), late: None, action }
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
            assert!(schedule.push(at(secs, click()), 0));
        }
        assert_eq!(begins(&mut schedule, 8), [3, 4, 7]);
        assert_eq!(begins(&mut schedule, 16), [8, 8]);
    }

    #[test]
    fn a_clip_begins_ahead_of_its_onset_and_a_click_does_not_wait_for_it() {
        let mut schedule = empty(8, Onset::Subframe);
        schedule.push(at(10.3, play()), 4);
        schedule.push(at(6.2, click()), 0);
        assert_eq!(begins(&mut schedule, 6), []);
        assert_eq!(begins(&mut schedule, 7), [6]);
        assert_eq!(begins(&mut schedule, 8), [7]);
    }

    #[test]
    fn whole_frames_need_no_interpolation() {
        let mut schedule = empty(8, Onset::Subframe);
        schedule.push(at(5.000_01, play()), 0);
        assert_eq!(schedule.next_before(9, &toy()).map(|p| (p.position, p.begin)), Some((5.0, 4)));
        let mut rounding = empty(8, Onset::Frame);
        rounding.push(at(5.6, play()), 16);
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
            schedule.push(at(2.3, action), 0);
        }
        let order: Vec<_> =
            std::iter::from_fn(|| schedule.next_before(9, &toy())).map(|p| (p.seq, p.begin)).collect();
        assert_eq!(order, [(2, 2), (4, 2), (1, 2), (3, 2)]);
    }

    #[test]
    fn a_jump_of_the_ensemble_moves_timed_events_only() {
        let mut schedule = empty(8, Onset::Subframe);
        schedule.push(at(5.0, click()), 0);
        let arrived = When::arrived(LocalTime::from_ticks(0) + Span::from_secs(4));
        let event = Event { when: arrived, from: Origin(0), late: None, action: click() };
        schedule.push(event, 0);
        let mut horizon = toy();
        horizon.estimate = ClockEstimate::new(
            LocalTime::from_ticks(0),
            EnsembleTime::from_bits(1 << 40) + Span::from_secs(-1000),
        );
        assert_eq!(schedule.next_before(500, &horizon).map(|p| p.begin), Some(6));
        assert_eq!(schedule.next_before(500, &horizon), None);
        assert_eq!(schedule.next_before(1006, &horizon).map(|p| p.begin), Some(1005));
    }

    /// A click of this timetag that arrived then (s).
    fn arrived(secs: f64, arrival: f64) -> Event {
        let due = EnsembleTime::from_bits(1 << 40) + Span::from_secs_f64(secs);
        let when = When::stamped(due, LocalTime::from_ticks(0) + Span::from_secs_f64(arrival));
        Event { when, ..at(secs, click()) }
    }

    #[test]
    fn what_is_stamped_and_arrives_later_never_sounds_first() {
        // Stamped around its arrival: some late, some in time, some untimed.
        let mut seed = 1u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut schedule = empty(1_000, Onset::Subframe);
        let (mut arrival, mut sent) = (0.0, Vec::new());
        for _ in 0..1_000 {
            arrival += random(4) as f64 / 4.0;
            let stamp = arrival + random(12) as f64 - 4.0;
            sent.push((stamp, arrival));
            assert!(schedule.push(arrived(stamp, arrival), 0));
        }
        let mut horizon = toy();
        let mut heard = Vec::new();
        for end in (0..).map(|block| 3 * block) {
            // The estimate gets better, the block longer and shorter.
            let off = Span::from_millis(random(900) as i64 - 450);
            horizon.estimate = ClockEstimate::new(
                LocalTime::from_ticks(0),
                toy().estimate.ensemble_at(LocalTime::from_ticks(0)) + off,
            );
            horizon.delay = Span::from_millis(1_000 + random(2_000) as i64);
            while let Some(placed) = schedule.next_before(end, &horizon) {
                heard.push((placed.seq as usize - 1, placed.position));
            }
            if schedule.len() == 0 {
                break;
            }
        }
        assert_eq!(heard.len(), sent.len());
        for (rank, (a, _)) in heard.iter().enumerate() {
            for (b, _) in &heard[rank + 1..] {
                let overtaken = b < a && sent[*b].0 <= sent[*a].0;
                assert!(!overtaken, "{:?} was heard before {:?}", sent[*a], sent[*b]);
            }
        }
    }

    #[test]
    fn an_event_waits_for_the_later_of_its_timetag_and_what_its_arrival_allows() {
        let mut schedule = empty(8, Onset::Subframe);
        for (stamp, arrival) in [(4.0, 3.0), (7.0, 4.0), (-500.0, 5.25)] {
            schedule.push(arrived(stamp, arrival), 0);
        }
        let mut horizon = toy();
        let placed = |schedule: &mut Schedule, horizon: &Horizon| {
            schedule.next_before(20, horizon).map(|placed| (placed.position, placed.late))
        };
        assert_eq!(placed(&mut schedule, &horizon), Some((5.0, 1.0)));
        // By a better estimate the next one is due a second earlier, and then a second later.
        let better = |by| {
            ClockEstimate::new(
                LocalTime::from_ticks(0),
                EnsembleTime::from_bits(1 << 40) + Span::from_secs(by),
            )
        };
        horizon.estimate = better(2);
        assert_eq!(schedule.next_before(6, &horizon), None);
        horizon.estimate = better(-1);
        assert_eq!(placed(&mut schedule, &horizon), Some((7.25, 506.25)));
        assert_eq!(placed(&mut schedule, &horizon), Some((8.0, 0.0)));
    }

    #[test]
    fn a_time_long_past_disturbs_no_order() {
        let mut schedule = empty(8, Onset::Subframe);
        // As far back as a timetag can be: half an era before what comes then.
        for secs in [5.0 - f64::from(1 << 30) * 2.0, 8.0, 3.0] {
            schedule.push(at(secs, click()), 0);
        }
        assert_eq!(begins(&mut schedule, 9), [0, 3, 8]);
    }

    #[test]
    fn at_another_rate_a_long_lead_holds_nothing_up() {
        let mut schedule = empty(8, Onset::Subframe);
        schedule.push(at(100.0, play()), 50);
        schedule.push(at(60.0, click()), 0);
        schedule.set_rate(4);
        let map = FrameMap::new(0, LocalTime::from_ticks(0), 4.0);
        let horizon = Horizon { map, ..toy() };
        let taken = |end| schedule.next_before(end, &horizon).map(|placed| placed.begin);
        assert_eq!([199, 201, 240, 241].map(taken), [None, Some(200), None, Some(240)]);
    }

    #[test]
    fn both_agendas_share_one_capacity() {
        let mut schedule = empty(2, Onset::Subframe);
        assert!(schedule.push(at(5.0, click()), 0));
        let when = When::arrived(LocalTime::from_ticks(0));
        let now = Event { when, from: Origin(0), late: None, action: click() };
        assert!(schedule.push(now, 0));
        assert!(!schedule.push(now, 0));
        assert_eq!(schedule.cancel(None), 2);
    }
}
