//! [`ClipTable`]: the clips the audio thread can play, by number.
//!
//! It keeps one reference to every clip until nobody plays it, so that a voice that drops its own never frees memory.
//! Not for: loading or naming clips, which the network and disk threads do.

use crate::clip::{Clip, ClipId};
use std::sync::Arc;

/// A place for every [`ClipId`]. `RT:` everything but [`ClipTable::new`].
pub(crate) struct ClipTable {
    slots: Box<[Slot]>,
    /// How many slots are leaving: most of the time none, and then nothing is searched.
    leaving: usize,
}

#[derive(Default)]
struct Slot {
    clip: Option<Arc<Clip>>,
    leaving: bool,
}

impl ClipTable {
    /// An empty table of `size` places.
    pub(crate) fn new(size: usize) -> ClipTable {
        ClipTable { slots: std::iter::repeat_with(Slot::default).take(size).collect(), leaving: 0 }
    }

    /// The clip in a place, unless it is leaving.
    pub(crate) fn get(&self, id: ClipId) -> Option<&Arc<Clip>> {
        let slot = self.slots.get(usize::from(id.0))?;
        if slot.leaving { None } else { slot.clip.as_ref() }
    }

    /// Puts a clip in a free place.
    ///
    /// # Errors
    /// Hands it back if there is no such place or it is taken.
    pub(crate) fn insert(&mut self, id: ClipId, clip: Arc<Clip>) -> Result<(), Arc<Clip>> {
        match self.slots.get_mut(usize::from(id.0)) {
            Some(slot) if slot.clip.is_none() => {
                slot.clip = Some(clip);
                Ok(())
            }
            _ => Err(clip),
        }
    }

    /// From now on nobody gets this clip; it leaves when the last voice is done with it.
    pub(crate) fn retire(&mut self, id: ClipId) {
        if let Some(slot) = self.slots.get_mut(usize::from(id.0))
            && slot.clip.is_some()
            && !slot.leaving
        {
            slot.leaving = true;
            self.leaving += 1;
        }
    }

    /// Takes out one leaving clip that nobody plays any more.
    pub(crate) fn take_retired(&mut self) -> Option<(ClipId, Arc<Clip>)> {
        if self.leaving == 0 {
            return None;
        }
        let unused =
            |slot: &Slot| slot.leaving && slot.clip.as_ref().is_some_and(|c| Arc::strong_count(c) == 1);
        let index = self.slots.iter().position(unused)?;
        let slot = std::mem::take(&mut self.slots[index]);
        self.leaving -= 1;
        Some((ClipId(index as u16), slot.clip?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_leaves_only_when_its_last_voice_is_done() {
        let mut table = ClipTable::new(4);
        let id = ClipId(2);
        assert!(table.insert(id, Arc::new(Clip::from_channels(48_000, &[&[0.5]]))).is_ok());
        assert!(table.insert(id, Arc::new(Clip::from_channels(48_000, &[&[0.5]]))).is_err());
        let voice = Arc::clone(table.get(id).expect("it is there"));
        table.retire(id);
        assert!(table.get(id).is_none());
        assert!(table.take_retired().is_none());
        drop(voice);
        assert_eq!(table.take_retired().map(|(id, _)| id), Some(id));
        assert!(table.take_retired().is_none());
        assert!(table.insert(id, Arc::new(Clip::from_channels(48_000, &[&[0.5]]))).is_ok());
    }

    #[test]
    fn places_that_do_not_exist_are_refused() {
        let mut table = ClipTable::new(1);
        assert!(table.insert(ClipId(1), Arc::new(Clip::from_channels(48_000, &[&[0.5]]))).is_err());
        assert!(table.get(ClipId(1)).is_none());
        table.retire(ClipId(1));
    }
}
