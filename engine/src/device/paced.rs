//! The virtual device: blocks at an exact pace, without hardware or daemon, on a thread of its own.
//!
//! Its "connector" is one block behind the instant a block is asked for. That instant is the exact tick, not the moment
//! the thread woke up: a device without hardware defines its own time, and two nodes on one clock agree to the frame.
//! Not for: the arithmetic of ticks (`pacer`), which is tested in virtual time.

use super::Format;
use super::pacer::Pacer;
use super::priority::{AUDIO_PRIORITY, raise_this_thread};
use super::seat::Seat;
use super::signals::Signals;
use downbeat_sync::{Clock, Span};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

/// Frames per block where nobody asked for another number.
pub(crate) const DEFAULT_BLOCK: u32 = 256;

/// A running virtual device. Dropping it stops it within a block; the callback stays in its seat.
pub(crate) struct Paced {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Paced {
    /// Starts it. It calls what sits in the seat, from its next block on.
    pub(crate) fn start(
        format: Format,
        clock: Clock,
        signals: Arc<Signals>,
        seat: Seat,
    ) -> io::Result<Paced> {
        signals.set_latency(latency(format));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("virtual device".into())
            .spawn(move || run(format, clock, &signals, &seat, &stopped))?;
        Ok(Paced { stop, thread: Some(thread) })
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in the callback has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn run(format: Format, clock: Clock, signals: &Signals, seat: &Seat, stop: &AtomicBool) {
    signals.set_grant(raise_this_thread(AUDIO_PRIORITY));
    let latency = latency(format);
    let mut out = vec![0.0f32; format.block as usize * usize::from(format.channels)];
    let mut pacer = Pacer::new(clock.now(), format.rate, format.block);
    while !stop.load(Relaxed) {
        clock.sleep_until(pacer.due());
        let now = clock.now();
        if now.is_before(pacer.due()) {
            continue; // A signal woke us.
        }
        let tick = pacer.take(now);
        signals.called(format.block as usize);
        if tick.skipped > 0 {
            signals.xrun();
        }
        if let Some(mut callback) = seat.take() {
            if tick.skipped > 0 {
                callback.xrun();
            }
            out.fill(0.0);
            callback.render(tick.at, latency, &mut out);
            seat.put(callback);
        }
    }
}

/// One block.
fn latency(format: Format) -> Span {
    Span::from_ratio(i128::from(format.block), i128::from(format.rate))
}
