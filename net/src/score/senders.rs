//! [`Senders`]: the clock of each sender by its number, and how its timetags were read, in a table of bounded size.
//!
//! Not for: what is measured (`downbeat_sync::SenderClock`), nor who has which number (`hub`).

use downbeat_engine::Origin;
use downbeat_sync::{EnsembleTime, LocalTime, RoomClock, SenderClock, Span};

/// Senders that are remembered.
pub const SENDERS: usize = 1_024;

/// A sender of timetags.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// What was measured of its clock.
    pub(super) clock: SenderClock,
    /// How far its timetags lay ahead at most when they arrived.
    furthest: Option<Span>,
    /// How far the time by which it stamps is ahead of room time.
    ahead: Span,
    /// The latest room time it stamped by that; and before its time jumped, with how far that was ahead then.
    latest: Option<EnsembleTime>,
    before: Option<(EnsembleTime, Span)>,
}

impl Sender {
    fn new(lead: Span) -> Sender {
        let clock = SenderClock::new(lead);
        Sender { clock, furthest: None, ahead: Span::ZERO, latest: None, before: None }
    }

    /// The room time that a timetag means, the first of a packet that came at `arrival`; the others of that packet are by the
    /// same time, see [`Sender::room`].
    pub(super) fn read(
        &mut self,
        timetag: EnsembleTime,
        arrival: LocalTime,
        clock: &RoomClock,
    ) -> EnsembleTime {
        let ahead = clock.read(timetag, arrival, self.furthest);
        if ahead != self.ahead {
            self.before = self.latest.take().map(|latest| (latest, self.ahead));
            self.ahead = ahead;
        }
        self.room(timetag)
    }

    /// The room time that a timetag of the packet means that was read last.
    pub(super) fn room(&self, timetag: EnsembleTime) -> EnsembleTime {
        timetag - self.ahead
    }

    /// An event was taken that is due `lead` after it came.
    pub(super) fn accept(&mut self, room: EnsembleTime, lead: Span) {
        self.furthest = Some(self.furthest.map_or(lead, |furthest| furthest.max(lead)));
        self.latest = Some(self.latest.map_or(room, |latest| latest.later(room)));
    }

    /// The timetag that an event of this room time had: of two that mean one instant that of the time by which it stamped then.
    fn stamped(&self, room: EnsembleTime) -> EnsembleTime {
        match self.before {
            Some((latest, ahead)) if !latest.is_before(room) => room + ahead,
            _ => room + self.ahead,
        }
    }
}

/// The last [`SENDERS`] numbers: whoever has a new one takes the place of who had it so many before.
#[derive(Debug)]
pub(super) struct Senders {
    /// The lead their events are to have.
    lead: Span,
    places: Vec<(Origin, Sender)>,
}

impl Senders {
    pub(super) fn new(lead: Span) -> Senders {
        // All of it at once: no packet has to wait for memory.
        Senders { lead, places: Vec::with_capacity(SENDERS) }
    }

    /// What is known of a sender; nothing if its number is new.
    #[inline]
    pub(super) fn of(&mut self, from: Origin) -> &mut Sender {
        let index = from.0 as usize % SENDERS;
        if self.places.get(index).is_none_or(|(origin, _)| *origin != from) {
            self.make_place(index, from);
        }
        &mut self.places[index].1
    }

    /// The timetag that an event of this sender had, which is due at that room time; `None` if it was forgotten.
    pub(super) fn stamped(&self, from: Origin, room: EnsembleTime) -> Option<EnsembleTime> {
        let place = self.places.get(from.0 as usize % SENDERS);
        place.filter(|(origin, _)| *origin == from).map(|(_, sender)| sender.stamped(room))
    }

    /// Those who sent timetags.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Origin, &SenderClock)> {
        let clocks = self.places.iter().map(|(origin, sender)| (*origin, &sender.clock));
        clocks.filter(|(_, clock)| clock.packets() > 0)
    }

    #[cold]
    fn make_place(&mut self, index: usize, from: Origin) {
        while self.places.len() <= index {
            self.places.push((from, Sender::new(self.lead)));
        }
        self.places[index] = (from, Sender::new(self.lead));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use downbeat_sync::{ClockEstimate, Epochs};

    #[test]
    fn a_new_number_takes_the_place_of_one_that_is_forgotten() {
        let mut senders = Senders::new(Span::from_millis(100));
        let mut send = |number: u32| {
            let sender = senders.of(Origin(number));
            sender.clock.take(LocalTime::from_ticks(5), EnsembleTime::from_bits(77));
            senders.iter().map(|(from, clock)| (from.0, clock.packets())).collect::<Vec<_>>()
        };
        let next = SENDERS as u32 + 3;
        assert_eq!(send(3), [(3, 1)]);
        assert_eq!(send(5), [(3, 1), (5, 1)]);
        assert_eq!(send(3), [(3, 2), (5, 1)]);
        assert_eq!(send(next), [(next, 1), (5, 1)]);
        assert_eq!(senders.places.len(), 6);
        assert_eq!(senders.stamped(Origin(3), EnsembleTime::from_bits(9)), None);
    }

    #[test]
    fn events_are_named_as_they_were_stamped_across_a_jump() {
        let (minute, half) = (Span::from_secs(60), Span::from_millis(500));
        let at = |millis| LocalTime::from_ticks(1 << 40) + Span::from_millis(millis);
        let start = EnsembleTime::from_unix(Span::from_secs(1_800_000_000));
        for by in [minute, -minute] {
            let line = ClockEstimate::new(at(0), start);
            let clock = RoomClock::new(
                line,
                Epochs::default().jump(line.ensemble_at(at(1_000)), by),
                Epochs::default(),
            );
            let mut sender = Sender::new(Span::ZERO);
            // It hears of the jump a second late, and one of the old events arrives late.
            let mut sent = Vec::new();
            for millis in (0..3_000).step_by(10) {
                let stamped =
                    line.ensemble_at(at(millis)) + half + if millis < 2_000 { Span::ZERO } else { by };
                let room = sender.read(stamped, at(millis), &clock);
                assert_eq!(room, line.ensemble_at(at(millis)) + half, "{millis}");
                sender.accept(room, half);
                sent.push((room, stamped));
                for (room, stamped) in sent.iter().rev().take(60) {
                    assert_eq!(sender.stamped(*room), *stamped);
                }
            }
        }
    }
}
