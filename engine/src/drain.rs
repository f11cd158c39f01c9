//! [`Drain`]: how many events are taken from the ring in one block, so that a flood cannot starve the sound.
//!
//! What arrived as one packet takes effect at one sample, so the drain does not stop in the middle of one, if it can be
//! helped. Not for: what becomes of them (`renderer`).

use crate::event::{Event, Origin};
use downbeat_sync::LocalTime;

/// What may still be taken in this block. `RT:` wait-free.
#[derive(Debug)]
pub(crate) struct Drain {
    /// Of whatever comes.
    budget: usize,
    /// Of the packet in which the budget ends.
    rest: usize,
    /// What all events of the last packet have in common, and seldom those of two.
    packet: Option<(Option<LocalTime>, Origin)>,
}

impl Drain {
    /// So many events, and as many more to come to the end of a packet.
    pub(crate) fn new(events: usize) -> Drain {
        Drain { budget: events, rest: events, packet: None }
    }

    /// Whether the next event in the ring is for this block; if so it counts as taken.
    pub(crate) fn admits(&mut self, next: &Event) -> bool {
        let packet = (next.when.arrival(), next.from);
        let share = match self.budget {
            // To the end of the packet that was begun.
            0 if self.packet == Some(packet) => &mut self.rest,
            _ => &mut self.budget,
        };
        let Some(left) = share.checked_sub(1) else { return false };
        *share = left;
        self.packet = Some(packet);
        true
    }

    /// The last one took as long as so many.
    pub(crate) fn charge(&mut self, events: usize) {
        self.budget = self.budget.saturating_sub(events);
        self.rest = self.rest.saturating_sub(events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, When};
    use std::collections::VecDeque;

    /// A ring with packets of so many events.
    fn ring(packets: &[usize]) -> VecDeque<Event> {
        let events = packets.iter().enumerate().flat_map(|(number, len)| {
            let when = When::arrived(LocalTime::from_ticks(number as u64));
            std::iter::repeat_n(Event { when, from: Origin(1), late: None, action: Action::Panic }, *len)
        });
        events.collect()
    }

    /// How many of these packets' events each block takes.
    fn taken(packets: &[usize], events: usize) -> Vec<usize> {
        let mut ring = ring(packets);
        let mut blocks = Vec::new();
        while !ring.is_empty() {
            let mut drain = Drain::new(events);
            let count = ring.iter().take_while(|event| drain.admits(event)).count();
            ring.drain(..count);
            blocks.push(count);
        }
        blocks
    }

    #[test]
    fn a_packet_is_not_torn_unless_it_is_longer_than_a_blocks_share() {
        assert_eq!(taken(&[1; 25], 10), [10, 10, 5]);
        assert_eq!(taken(&[4, 4, 9, 1], 10), [17, 1]);
        assert_eq!(taken(&[10, 10], 10), [10, 10]);
        assert_eq!(taken(&[50], 10), [20, 20, 10]);
    }

    #[test]
    fn what_takes_long_is_charged() {
        let mut drain = Drain::new(20);
        let ring = ring(&[100]);
        let count = ring.iter().take_while(|event| {
            let admitted = drain.admits(event);
            drain.charge(9);
            admitted
        });
        assert_eq!(count.count(), 3);
    }
}
