//! [`Agenda`]: events waiting for their instant, in order, in memory that is allocated once.
//!
//! Not for: deciding what an instant is. Its keys are ticks of whichever clock its owner keeps it in. Events of one
//! instant come out in the order they went in (scsynth's stability counter, `PriorityQueue.h`).

use crate::event::{Event, VoiceId};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A fixed number of events, ordered by time, then by arrival.
///
/// `RT:` everything but [`Agenda::new`] and [`Agenda::revise`]; pushing and popping cost the logarithm of what is pending.
pub(crate) struct Agenda {
    heap: BinaryHeap<Entry>,
    capacity: usize,
}

/// An event with its place in the order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    /// When it is to be taken up (ticks).
    pub(crate) key: i64,
    /// Counts events as they arrive: the order of equal keys, over every agenda of one renderer.
    pub(crate) seq: u32,
    /// How many frames before its instant its work begins; 0: on the frame nearest to it.
    pub(crate) lead: u32,
    /// What is to happen.
    pub(crate) event: Event,
}

impl Agenda {
    /// Room for `capacity` events.
    pub(crate) fn new(capacity: usize) -> Agenda {
        Agenda { heap: BinaryHeap::with_capacity(capacity), capacity }
    }

    /// Adds an event; `false` if there is no room.
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        let fits = self.heap.len() < self.capacity;
        if fits {
            self.heap.push(entry);
        }
        fits
    }

    /// The event that comes next.
    pub(crate) fn peek(&self) -> Option<&Entry> {
        self.heap.peek()
    }

    /// Takes the event that comes next.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.heap.pop()
    }

    /// Changes every entry, and orders them anew.
    pub(crate) fn revise(&mut self, change: impl FnMut(&mut Entry)) {
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.iter_mut().for_each(change);
        self.heap = entries.into();
    }

    /// How many are waiting.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Withdraws the events of this id, or all; tells how many. `RT:` linear in what is pending, in place.
    pub(crate) fn cancel(&mut self, id: Option<VoiceId>) -> usize {
        let before = self.heap.len();
        match id {
            None => self.heap.clear(),
            Some(_) => self.heap.retain(|entry| entry.event.action.id() != id),
        }
        before - self.heap.len()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// Greatest is next, as `BinaryHeap` wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.key, other.seq).cmp(&(self.key, self.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Origin, Target, When};
    use downbeat_sync::LocalTime;
    use proptest::prelude::*;

    fn entry(key: i64, seq: u32, id: Option<u32>) -> Entry {
        let action = match id {
            Some(id) => {
                Action::Set { id: VoiceId::new(id), param: crate::Param::Gain, value: 1.0, seconds: 0.0 }
            }
            None => Action::Stop(Target::All),
        };
        let when = When::arrived(LocalTime::from_ticks(0));
        Entry { key, seq, lead: 0, event: Event { when, from: Origin(0), late: None, action } }
    }

    #[test]
    fn a_full_agenda_refuses_and_never_grows() {
        let mut agenda = Agenda::new(3);
        let room = agenda.heap.capacity();
        assert_eq!([5, 1, 3, 2].map(|key| agenda.push(entry(key, 0, None))), [true, true, true, false]);
        assert_eq!(agenda.heap.capacity(), room);
        assert_eq!([(); 4].map(|()| agenda.pop().map(|e| e.key)), [Some(1), Some(3), Some(5), None]);
    }

    #[test]
    fn cancel_takes_one_id_or_all() {
        let mut agenda = Agenda::new(8);
        for (seq, id) in [Some(7), None, Some(8), Some(7)].into_iter().enumerate() {
            agenda.push(entry(0, seq as u32, id));
        }
        assert_eq!(agenda.cancel(Some(VoiceId::new(7))), 2);
        assert_eq!(agenda.len(), 2);
        assert_eq!(agenda.cancel(None), 2);
        assert_eq!(agenda.len(), 0);
    }

    proptest! {
        #[test]
        fn events_come_out_by_time_then_by_arrival(keys in prop::collection::vec(-3i64..3, 0..200)) {
            let mut agenda = Agenda::new(200);
            for (seq, &key) in keys.iter().enumerate() {
                prop_assert!(agenda.push(entry(key, seq as u32, None)));
            }
            let out: Vec<_> = std::iter::from_fn(|| agenda.pop()).map(|e| (e.key, e.seq)).collect();
            let mut expected: Vec<_> = keys.iter().copied().zip(0u32..).collect();
            expected.sort();
            prop_assert_eq!(out, expected);
        }
    }
}
