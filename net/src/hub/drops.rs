//! [`Drops`]: whose timed events are all dropped for coming late, to warn of each such sender once.
//!
//! Where late events are dropped, nothing of a sender that stamps "now" is heard, and without a word nobody would know why.
//! Nothing is counted of a sender before its first event is dropped. Not for: what each event's lateness is told to (`super`).

use downbeat_engine::{Action, Event, Origin};

/// Senders that are watched; one more, and who was watched first goes.
const WATCHED: usize = 64;
/// So many dropped are no accident,
const MANY: u32 = 8;
/// if nine in ten were: some of the last are on their way yet.
const ALL: (u32, u32) = (9, 10);
/// After so many events what was counted counts half, so that a sender that becomes late is found out too.
const MEMORY: u32 = 256;

/// Senders of whom an event was dropped.
#[derive(Debug, Default)]
pub(super) struct Drops {
    watched: Vec<Watch>,
    warned: u64,
}

#[derive(Debug)]
struct Watch {
    from: Origin,
    /// Events with a timetag that start a sound.
    started: u32,
    dropped: u32,
    warned: bool,
}

impl Drops {
    /// Takes note of what a sender wants played.
    #[inline]
    pub(super) fn sent(&mut self, from: Origin, events: &[Event]) {
        if !self.watched.is_empty() {
            self.count(from, events);
        }
    }

    fn count(&mut self, from: Origin, events: &[Event]) {
        let Some(watch) = self.watched.iter_mut().find(|watch| watch.from == from) else { return };
        let started = events.iter().filter(|event| event.when.timetag().is_some() && starts(&event.action));
        watch.started += started.count() as u32;
        while watch.started >= MEMORY {
            watch.started /= 2;
            watch.dropped /= 2;
        }
    }

    /// Takes note of an event that was dropped; whether this is the one after which to warn.
    pub(super) fn dropped(&mut self, from: Origin) -> bool {
        let place = self.watched.iter().position(|watch| watch.from == from).unwrap_or_else(|| {
            if self.watched.len() == WATCHED {
                self.watched.remove(0);
            }
            self.watched.push(Watch { from, started: 1, dropped: 0, warned: false });
            self.watched.len() - 1
        });
        let watch = &mut self.watched[place];
        watch.dropped += 1;
        let all = watch.dropped >= MANY && ALL.1 * watch.dropped >= ALL.0 * watch.started;
        let warns = all && !watch.warned;
        watch.warned |= warns;
        self.warned += u64::from(warns);
        warns
    }

    /// Of how many senders it was time to warn.
    pub(super) fn warned(&self) -> u64 {
        self.warned
    }
}

/// Whether an event is one that a late policy may drop.
fn starts(action: &Action) -> bool {
    matches!(action, Action::Play(_) | Action::Tone(_) | Action::Instrument(_) | Action::Click { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use downbeat_engine::When;
    use downbeat_sync::{EnsembleTime, LocalTime};

    fn click(timed: bool) -> Event {
        let arrival = LocalTime::from_ticks(0);
        let stamped = When::stamped(EnsembleTime::from_bits(7), arrival);
        let when = if timed { stamped } else { When::arrived(arrival) };
        Event { when, from: Origin(0), late: None, action: Action::Click { gain: 1.0 } }
    }

    #[test]
    fn a_sender_of_whom_all_is_dropped_is_warned_of_once() {
        let mut drops = Drops::default();
        let warned: Vec<u32> = (0..1_000)
            .filter(|_| {
                // What means "at once" is played, and counts for nothing.
                drops.sent(Origin(3), &[click(true), click(false)]);
                drops.dropped(Origin(3))
            })
            .collect();
        assert_eq!((warned, drops.warned()), (vec![7], 1));
    }

    #[test]
    fn one_that_is_late_now_and_then_is_not_until_it_always_is() {
        let mut drops = Drops::default();
        for _ in 0..1_000 {
            drops.sent(Origin(3), &[click(true), click(true)]);
            assert!(!drops.dropped(Origin(3)));
        }
        let until = (0..2_000).find(|_| {
            drops.sent(Origin(3), &[click(true)]);
            drops.dropped(Origin(3))
        });
        assert!(until.is_some());
    }

    #[test]
    fn no_more_are_watched_than_there_is_room_for() {
        let mut drops = Drops::default();
        (0..1_000).for_each(|number| assert!(!drops.dropped(Origin(number))));
        assert_eq!(drops.watched.len(), WATCHED);
    }
}
