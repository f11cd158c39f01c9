//! [`Signals`]: what a running device tells its supervisor, by atomics alone.
//!
//! Written by the audio thread and by the card's error callback (which some cards call a million times a second, so it
//! may only count), read by the supervisor. One set per opened device.

use super::priority::Grant;
use downbeat_sync::Span;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// One device's signs of life.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    callbacks: AtomicU64,
    frames: AtomicU64,
    errors: AtomicU64,
    xruns: AtomicU64,
    gone: AtomicBool,
    /// Latency in use (ticks).
    latency: AtomicI64,
    /// Latency the device should have by what is known outside of its callback (ticks).
    #[cfg(feature = "device")]
    claimed: AtomicI64,
    grant: AtomicU8,
    /// Frames of the blocks asked for now; 0 where they are as the device was opened for.
    block: AtomicU32,
}

/// A reading of [`Signals`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// Blocks asked for since the device was opened.
    pub(crate) callbacks: u64,
    /// Frames asked for.
    pub(crate) frames: u64,
    /// Errors that are no xruns.
    pub(crate) errors: u64,
    /// Xruns.
    pub(crate) xruns: u64,
    /// The device said that it is gone.
    pub(crate) gone: bool,
}

impl Signals {
    /// One block was asked for. `RT:`
    pub(crate) fn called(&self, frames: usize) {
        self.frames.fetch_add(frames as u64, Relaxed);
        self.callbacks.fetch_add(1, Relaxed);
    }

    /// The device reported an xrun. `RT:`
    pub(crate) fn xrun(&self) {
        self.xruns.fetch_add(1, Relaxed);
    }

    /// The device reported another error, after which it may go on. `RT:`
    #[cfg(feature = "device")]
    pub(crate) fn error(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    /// The device will not call again. `RT:`
    #[cfg(feature = "device")]
    pub(crate) fn gone(&self) {
        self.gone.store(true, Relaxed);
    }

    /// Xruns so far. `RT:`
    pub(crate) fn xruns(&self) -> u64 {
        self.xruns.load(Relaxed)
    }

    /// The latency now in use. `RT:`
    pub(crate) fn set_latency(&self, latency: Span) {
        self.latency.store(latency.ticks(), Relaxed);
    }

    pub(crate) fn latency(&self) -> Span {
        Span::from_ticks(self.latency.load(Relaxed))
    }

    /// The latency the device should have by what is known outside of its callback.
    #[cfg(feature = "device")]
    pub(crate) fn set_claimed(&self, latency: Span) {
        self.claimed.store(latency.ticks(), Relaxed);
    }

    /// `RT:`
    #[cfg(feature = "device")]
    pub(crate) fn claimed(&self) -> Span {
        Span::from_ticks(self.claimed.load(Relaxed))
    }

    /// Whether the audio thread got real-time scheduling. `RT:`
    pub(crate) fn set_grant(&self, grant: Grant) {
        self.grant.store(grant as u8, Relaxed);
    }

    pub(crate) fn grant(&self) -> Grant {
        Grant::from_u8(self.grant.load(Relaxed))
    }

    /// The device's blocks have another length now (frames). `RT:`
    #[cfg(feature = "jack")]
    pub(crate) fn set_block(&self, frames: u32) {
        self.block.store(frames, Relaxed);
    }

    /// Frames of the blocks asked for now, if they are not what the device was opened for.
    pub(crate) fn block(&self) -> Option<u32> {
        Some(self.block.load(Relaxed)).filter(|frames| *frames > 0)
    }

    pub(crate) fn read(&self) -> Signs {
        Signs {
            callbacks: self.callbacks.load(Relaxed),
            frames: self.frames.load(Relaxed),
            errors: self.errors.load(Relaxed),
            xruns: self.xruns.load(Relaxed),
            gone: self.gone.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sign_of_life_is_counted_as_what_it_is() {
        let signals = Signals::default();
        signals.called(64);
        signals.called(16);
        signals.xrun();
        let (callbacks, frames, xruns) = (2, 80, 1);
        assert_eq!(signals.read(), Signs { callbacks, frames, xruns, ..Signs::default() });
        #[cfg(feature = "device")]
        {
            // Some cards tell of errors a million times a second and never play: that is no life.
            (0..5).for_each(|_| signals.error());
            assert_eq!(signals.read(), Signs { callbacks, frames, xruns, errors: 5, gone: false });
            signals.gone();
            assert!(signals.read().gone);
        }
    }
}
