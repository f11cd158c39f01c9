//! [`Seat`]: the place in a device's callback where the one [`Callback`] sits, and from which it can be taken at any time.
//!
//! A device opens with an empty seat and plays silence; only when it is known to run is the callback put in. A block
//! takes it out, calls it and puts it back, each by one atomic exchange of a pointer. So whoever minds the device can take
//! it as well: from a device that was closed, and from one that is open but calls no more, because its server stands
//! still. A block that wakes up later finds the seat empty and plays silence. Nobody ever waits for anybody.

use super::Callback;
use crossbeam_utils::atomic::AtomicCell;
use std::sync::Arc;

/// The callback, behind one thin pointer.
pub(crate) type Held = Box<Box<dyn Callback>>;

const _: () = assert!(AtomicCell::<Option<Held>>::is_lock_free(), "a seat must not be a lock");

/// Both ends of it are the same.
#[derive(Clone, Default)]
pub(crate) struct Seat(Arc<AtomicCell<Option<Held>>>);

impl Seat {
    /// Takes the callback; `None` if it is not here, or being called at this moment. `RT:` wait-free.
    pub(crate) fn take(&self) -> Option<Held> {
        self.0.take()
    }

    /// Puts the callback in, where none is: there is only one. `RT:` wait-free.
    pub(crate) fn put(&self, callback: Held) {
        let before = self.0.swap(Some(callback));
        debug_assert!(before.is_none(), "there is one callback");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Format, Identity};
    use downbeat_sync::{LocalTime, Span};
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use std::thread;

    /// Counts its blocks, and notices if it is called by two at once.
    struct Single {
        calls: Arc<AtomicU64>,
        inside: AtomicBool,
    }

    impl Callback for Single {
        fn configure(&mut self, _: Format, _: Identity<'_>) {}

        fn render(&mut self, _: LocalTime, _: Span, _: &mut [f32]) {
            assert!(!self.inside.swap(true, Relaxed));
            self.calls.fetch_add(1, Relaxed);
            self.inside.store(false, Relaxed);
        }

        fn xrun(&mut self) {}
    }

    #[test]
    fn a_callback_moves_between_two_devices_that_both_run_and_is_never_in_both() {
        let calls = Arc::new(AtomicU64::new(0));
        let seats = [Seat::default(), Seat::default()];
        let stop = AtomicBool::new(false);
        seats[0].put(Box::new(Box::new(Single { calls: Arc::clone(&calls), inside: false.into() })));
        let block = |seat: &Seat| {
            let Some(mut held) = seat.take() else { return false };
            held.render(LocalTime::from_ticks(0), Span::ZERO, &mut []);
            seat.put(held);
            true
        };
        thread::scope(|scope| {
            let played: Vec<_> = seats
                .iter()
                .map(|seat| {
                    let mut played = 0;
                    let stop = &stop;
                    scope.spawn(move || {
                        while !stop.load(Relaxed) {
                            played += u64::from(block(seat));
                        }
                        played
                    })
                })
                .collect();
            for moves in 0..20_000 {
                let held = std::iter::repeat_with(|| seats[moves % 2].take()).flatten().next();
                seats[(moves + 1) % 2].put(held.expect("it is put back after each block"));
            }
            stop.store(true, Relaxed);
            let played: u64 = played.into_iter().map(|thread| thread.join().expect("no panic")).sum();
            assert_eq!(played, calls.load(Relaxed));
        });
        assert!(seats.iter().filter_map(Seat::take).count() == 1, "it is in one of them");
    }
}
