//! [`Seat`]: the place in a device's callback where the one [`Callback`] sits, and how it comes and goes.
//!
//! A device opens with an empty seat and plays silence; only when it is known to run is the callback handed in, through
//! a wait-free ring. When the device is closed, or dies, its closure is dropped, and the seat's `Drop` sends the callback
//! home. So trying a card costs the device that plays nothing, and no lock is ever near the audio thread.

use super::Callback;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::mpsc::Sender;

/// A callback on its way.
pub(crate) type Guest = Box<dyn Callback>;

/// The supervisor's end: hands the callback in.
pub(crate) struct Usher(Producer<Guest>);

/// The device's end.
pub(crate) struct Seat {
    inbox: Consumer<Guest>,
    guest: Option<Guest>,
    home: Sender<Guest>,
}

/// An empty seat whose guest will be sent `home` when it is dropped.
pub(crate) fn seat(home: Sender<Guest>) -> (Usher, Seat) {
    let (producer, inbox) = RingBuffer::new(1);
    (Usher(producer), Seat { inbox, guest: None, home })
}

impl Usher {
    /// Hands the callback in; the device finds it at its next block. Hands it back if the device is gone already.
    pub(crate) fn lead_in(&mut self, guest: Guest) -> Result<(), Guest> {
        if self.0.is_abandoned() {
            return Err(guest);
        }
        self.0.push(guest).map_err(|rtrb::PushError::Full(guest)| guest)
    }
}

impl Seat {
    /// Who sits here. `RT:` wait-free.
    pub(crate) fn guest(&mut self) -> Option<&mut dyn Callback> {
        if self.guest.is_none() {
            self.guest = self.inbox.pop().ok();
        }
        self.guest.as_deref_mut()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let waiting = self.inbox.pop().ok();
        for guest in self.guest.take().into_iter().chain(waiting) {
            // Nobody at home means the supervisor is gone too; then the callback ends here.
            let _ = self.home.send(guest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Format, Identity};
    use downbeat_sync::{LocalTime, Span};
    use std::sync::mpsc;

    struct Quiet;
    impl Callback for Quiet {
        fn configure(&mut self, _: Format, _: Identity<'_>) {}
        fn render(&mut self, _: LocalTime, _: Span, _: &mut [f32]) {}
        fn xrun(&mut self) {}
    }

    #[test]
    fn a_guest_comes_home_whether_it_was_seated_or_still_waiting() {
        for looks_before_the_end in [0, 1] {
            let (home, door) = mpsc::channel();
            let (mut usher, mut seat) = seat(home);
            assert!(seat.guest().is_none());
            assert!(usher.lead_in(Box::new(Quiet)).is_ok());
            for _ in 0..looks_before_the_end {
                assert!(seat.guest().is_some());
            }
            drop(seat);
            assert!(door.try_recv().is_ok());
            assert!(usher.lead_in(Box::new(Quiet)).is_err(), "a device that is gone takes nobody");
        }
    }
}
