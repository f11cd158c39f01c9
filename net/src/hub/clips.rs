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

    /// A place that was taken and not used after all.
    pub(super) fn put_back(&mut self, place: ClipId) {
        self.free.push(place);
    }

    /// The clip of this place is not wanted any more.
    pub(super) fn leave(&mut self, place: ClipId) {
        self.to_leave.push(place);
    }

    /// Asks the audio thread for the places that are to be left, until it takes no more for now.
    pub(super) fn ask(&mut self, mut free: impl FnMut(ClipId) -> bool) {
        while let Some(place) = self.to_leave.last()
            && free(*place)
        {
            self.to_leave.pop();
            self.leaving += 1;
        }
    }

    /// The audio thread is done with the clip of this place.
    pub(super) fn left(&mut self, place: ClipId) {
        self.leaving = self.leaving.saturating_sub(1);
        self.free.push(place);
    }

    /// How many are on their way out.
    pub(super) fn leaving(&self) -> usize {
        self.leaving + self.to_leave.len()
    }
}
