//! [`Places`]: which places of the engine's clip table are free, and which are being freed.
//!
//! Not for: names (`score`).

use downbeat_engine::{ClipId, MAX_CLIPS};

/// The places of the table. One is taken, told to leave, and given back when the audio thread is done with its clip.
#[derive(Debug)]
pub(super) struct Places {
    free: Vec<ClipId>,
    /// To be asked of the audio thread.
    to_leave: Vec<ClipId>,
    /// Asked, not yet given back.
    leaving: usize,
}

impl Places {
    pub(super) fn new() -> Places {
        let free = (0..MAX_CLIPS).rev().map(|place| ClipId(place as u16)).collect();
        Places { free, to_leave: Vec::new(), leaving: 0 }
    }

    /// How many there are in all.
    pub(super) fn all(&self) -> usize {
        MAX_CLIPS
    }

    pub(super) fn take(&mut self) -> Option<ClipId> {
        self.free.pop()
    }

    /// The clip of this place is not wanted any more.
    pub(super) fn leave(&mut self, place: ClipId) {
        self.to_leave.push(place);
    }

    /// The next place to ask the audio thread to free.
    pub(super) fn next_leaving(&mut self) -> Option<ClipId> {
        let place = self.to_leave.pop()?;
        self.leaving += 1;
        Some(place)
    }

    /// The place is free.
    pub(super) fn give_back(&mut self, place: ClipId) {
        self.leaving = self.leaving.saturating_sub(1);
        self.free.push(place);
    }

    /// How many are on their way out.
    pub(super) fn leaving(&self) -> usize {
        self.leaving + self.to_leave.len()
    }
}
