//! [`Drain`]: how many events are taken from the ring in one block, so that a flood cannot starve the sound.
//!
//! What arrived as one packet takes effect at one sample, so the drain does not stop in the middle of one, if it can be
//! helped. Not for: what becomes of them (`renderer`).

use crate::event::{Event, Origin};
use downbeat_sync::LocalTime;
use rtrb::Consumer;

/// What may still be taken in this block. `RT:` wait-free.
#[derive(Debug)]
pub(crate) struct Drain {
    /// Of whatever comes.
    budget: usize,
    /// Of the packet in which the budget ends.
    rest: usize,
    packet: Option<(Option<LocalTime>, Origin)>,
}

impl Drain {
    /// So many events, and as many more to come to the end of a packet.
    pub(crate) fn new(events: usize) -> Drain {
        Drain { budget: events, rest: events, packet: None }
    }

    /// The next event, if it is for this block.
    pub(crate) fn take(&mut self, ring: &mut Consumer<Event>) -> Option<Event> {
        if self.budget > 0 {
            self.budget -= 1;
        } else {
            let next = packet(ring.peek().ok()?);
            self.rest = self.rest.checked_sub(1).filter(|_| self.packet == Some(next))?;
        }
        let event = ring.pop().ok()?;
        self.packet = Some(packet(&event));
        Some(event)
    }

    /// The last one took as long as so many.
    pub(crate) fn charge(&mut self, events: usize) {
        self.budget = self.budget.saturating_sub(events);
        self.rest = self.rest.saturating_sub(events);
    }
}

/// What all events of one packet have in common, and seldom those of two.
fn packet(event: &Event) -> (Option<LocalTime>, Origin) {
    (event.when.arrival(), event.from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, When};
    use rtrb::RingBuffer;

    /// How many of these packets' events each block takes.
    fn taken(packets: &[usize], drain: usize) -> Vec<usize> {
        let (mut control, mut ring) = RingBuffer::new(1_000);
        for (number, len) in packets.iter().enumerate() {
            let when = When::arrived(LocalTime::from_ticks(number as u64));
            let event = Event { when, from: Origin(1), late: None, action: Action::Panic };
            (0..*len).for_each(|_| control.push(event).expect("the ring has room"));
        }
        let mut blocks = Vec::new();
        while !ring.is_empty() {
            let mut drain = Drain::new(drain);
            blocks.push(std::iter::from_fn(|| drain.take(&mut ring)).count());
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
        let (mut control, mut ring) = RingBuffer::new(100);
        let when = When::arrived(LocalTime::from_ticks(0));
        let event = Event { when, from: Origin(1), late: None, action: Action::Panic };
        (0..100).for_each(|_| control.push(event).expect("the ring has room"));
        let mut drain = Drain::new(20);
        let count = std::iter::from_fn(|| {
            let event = drain.take(&mut ring);
            drain.charge(9);
            event
        });
        assert_eq!(count.count(), 3);
    }
}
