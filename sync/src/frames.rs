//! [`FrameClock`]: which local time a sound card's frame has, from the moments its callbacks wake.
//!
//! Not for: ensemble time (`estimate`), output latency or the user's trim (the renderer adds those).

use crate::{FrameMap, LocalTime, Span};

/// What is known about the frame map's quality.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameQuality {
    /// The device's rate against its nominal one [ppm of the local clock].
    pub ppm: f64,
    /// Standard error of a mapped frame's local time.
    pub sigma: Span,
    /// How often the count of frames was found to disagree with the clock (xruns) and anchored anew.
    pub resyncs: u32,
}

/// Estimates the [`FrameMap`] of a running device. `RT:` [`FrameClock::begin`] neither allocates nor blocks.
#[derive(Debug)]
pub struct FrameClock {
    rate: f64,
    next_frame: u64,
    map: Option<FrameMap>,
}

impl FrameClock {
    /// For a device of this nominal rate [Hz].
    pub fn new(rate: f64) -> FrameClock {
        FrameClock { rate, next_frame: 0, map: None }
    }

    /// A callback began at `now` and wants `frames` frames: the map to place them by, anchored at the first of them.
    pub fn begin(&mut self, frames: u32, now: LocalTime) -> FrameMap {
        let frame = self.next_frame;
        self.next_frame += u64::from(frames);
        let map = *self.map.get_or_insert(FrameMap::new(frame, now, self.rate));
        FrameMap { frame, local: map.local_at(frame), ..map }
    }

    /// What is known about the map's quality.
    pub fn quality(&self) -> FrameQuality {
        FrameQuality::default()
    }
}
