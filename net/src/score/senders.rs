//! [`Senders`]: the clock of each sender by its number, in a table of bounded size.
//!
//! Not for: what is measured (`downbeat_sync::SenderClock`), nor who has which number (`hub`).

use downbeat_engine::Origin;
use downbeat_sync::{SenderClock, Span};

/// Senders that are remembered.
pub const SENDERS: usize = 1_024;

/// The clocks of the last [`SENDERS`] numbers: whoever has a new one takes the place of who had it so many before.
#[derive(Debug)]
pub(super) struct Senders {
    /// The lead their events are to have.
    lead: Span,
    places: Vec<(Origin, SenderClock)>,
}

impl Senders {
    pub(super) fn new(lead: Span) -> Senders {
        // All of it at once: no packet has to wait for memory.
        Senders { lead, places: Vec::with_capacity(SENDERS) }
    }

    /// The clock of a sender; a fresh one if its number is new.
    #[inline]
    pub(super) fn of(&mut self, from: Origin) -> &mut SenderClock {
        let index = from.0 as usize % SENDERS;
        if self.places.get(index).is_none_or(|(origin, _)| *origin != from) {
            self.make_place(index, from);
        }
        &mut self.places[index].1
    }

    /// Those who sent timetags.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Origin, &SenderClock)> {
        self.places.iter().filter(|(_, clock)| clock.packets() > 0).map(|(origin, clock)| (*origin, clock))
    }

    #[cold]
    fn make_place(&mut self, index: usize, from: Origin) {
        while self.places.len() <= index {
            self.places.push((from, SenderClock::new(self.lead)));
        }
        self.places[index] = (from, SenderClock::new(self.lead));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use downbeat_sync::{EnsembleTime, LocalTime};

    #[test]
    fn a_new_number_takes_the_place_of_one_that_is_forgotten() {
        let mut senders = Senders::new(Span::from_millis(100));
        let mut send = |number: u32| {
            senders.of(Origin(number)).take(LocalTime::from_ticks(5), EnsembleTime::from_bits(77));
            senders.iter().map(|(from, clock)| (from.0, clock.packets())).collect::<Vec<_>>()
        };
        let next = SENDERS as u32 + 3;
        assert_eq!(send(3), [(3, 1)]);
        assert_eq!(send(5), [(3, 1), (5, 1)]);
        assert_eq!(send(3), [(3, 2), (5, 1)]);
        assert_eq!(send(next), [(next, 1), (5, 1)]);
        assert_eq!(senders.places.len(), 6);
    }
}
