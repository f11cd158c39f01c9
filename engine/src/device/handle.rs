//! [`Device`]: the handle the program holds on the node's device, and what of it can be asked.
//!
//! Not for: minding the device, which the `supervisor` does on a thread of its own.

use super::signals::Signals;
use super::supervisor::Supervisor;
use super::{Callback, DeviceState, Host, MAX_CHANNELS, VIRTUAL_BLOCKS, VIRTUAL_RATES, Wanted};
use downbeat_sync::Clock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

/// The node's device, whichever it is now. Dropping it stops it.
pub struct Device {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Ended>>,
}

/// A device cannot be had at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// This build has no such host.
    #[error("this build has no host {host}: build it with --features {feature}")]
    NotBuilt {
        /// The host that was asked for.
        host: Host,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// A number no device of this host can do.
    #[error("the virtual device has no {what} of {value}: {min} to {max}")]
    OutOfRange {
        /// What the number counts.
        what: &'static str,
        /// The number.
        value: u32,
        /// The least that is possible.
        min: u32,
        /// The most that is possible.
        max: u32,
    },
    /// The operating system gives no thread.
    #[error("no thread for the device: {0}")]
    NoThread(String),
    /// The callback did not come back: a driver hangs, or the callback panicked.
    #[error("the device did not give the audio back")]
    Hanging,
}

/// Between the supervisor and whoever asks for its state; never touched by an audio thread.
pub(crate) struct Shared {
    pub(crate) stop: AtomicBool,
    pub(crate) news: Mutex<Option<News>>,
}

/// What is left at the end.
pub(crate) struct Ended {
    pub(crate) callback: Option<Box<dyn Callback>>,
    /// The driver came back; else a thread is left behind in it.
    pub(crate) is_clean: bool,
}

/// What is played on now.
#[derive(Clone)]
pub(crate) struct News {
    pub(crate) state: DeviceState,
    /// Of the device in use.
    pub(crate) signals: Arc<Signals>,
    /// Xruns of the devices before it.
    pub(crate) past_xruns: u64,
}

impl Device {
    /// Starts playing: on the card that was wanted if it opens, else on the virtual device, in silence until then.
    ///
    /// Returns when one of the two is settled, within a second: a card that takes longer to open, as one of a sound server that
    /// stands still, is moved to when it is there.
    ///
    /// # Errors
    /// If this build has no such host, or a number is out of the virtual device's range. That a card is not there is no
    /// error: [`Device::state`] tells, and the card is tried again for as long as the device lives.
    pub fn start(wanted: Wanted, clock: Clock, callback: Box<dyn Callback>) -> Result<Device, DeviceError> {
        check(&wanted)?;
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), news: Mutex::new(None) });
        let (settled, wait) = mpsc::channel();
        let told = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("device".into())
            .spawn(move || Supervisor::new(wanted, clock, Box::new(callback), told).run(&settled))
            .map_err(|error| DeviceError::NoThread(error.to_string()))?;
        let device = Device { shared, thread: Some(thread) };
        wait.recv().map_err(|_| DeviceError::Hanging)??;
        Ok(device)
    }

    /// What it plays on now. Not for the audio thread.
    pub fn state(&self) -> DeviceState {
        let news = self.shared.news.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let News { mut state, signals, past_xruns } = news.expect("published before start returned");
        state.latency = signals.latency();
        state.realtime = signals.grant();
        state.xruns = past_xruns.wrapping_add(signals.xruns());
        state
    }

    /// Stops, and gives the callback back. What still sounds is cut off: fade out first. Takes at most 0.7 s.
    ///
    /// # Errors
    /// [`DeviceError::Hanging`] if it is lost.
    pub fn stop(mut self) -> Result<Box<dyn Callback>, DeviceError> {
        self.halt().and_then(|ended| ended.callback).ok_or(DeviceError::Hanging)
    }

    /// Stops, and says whether the sound driver came back. If it did not, one thread is left behind in it for as long as the
    /// driver hangs, and the program should leave without calling the driver's destructors (`_exit`).
    pub fn close(mut self) -> bool {
        self.halt().is_some_and(|ended| ended.is_clean)
    }

    fn halt(&mut self) -> Option<Ended> {
        let thread = self.thread.take()?;
        self.shared.stop.store(true, Relaxed);
        thread.thread().unpark();
        thread.join().ok()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Refuses what no device could ever do.
fn check(wanted: &Wanted) -> Result<(), DeviceError> {
    let missing = match wanted.host {
        Host::Alsa if cfg!(not(feature = "device")) => Some("device"),
        Host::Jack if cfg!(not(feature = "jack")) => Some("jack"),
        _ => None,
    };
    if let Some(feature) = missing {
        return Err(DeviceError::NotBuilt { host: wanted.host, feature });
    }
    let limits = [
        ("rate", wanted.rate, VIRTUAL_RATES),
        ("buffer", wanted.buffer, VIRTUAL_BLOCKS),
        ("channels", wanted.channels.map(u32::from), (1, u32::from(MAX_CHANNELS))),
    ];
    for (what, value, (min, max)) in limits {
        if let Some(value) = value.filter(|value| !(min..=max).contains(value)) {
            return Err(DeviceError::OutOfRange { what, value, min, max });
        }
    }
    Ok(())
}
