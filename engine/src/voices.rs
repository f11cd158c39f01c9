//! [`Voices`]: the pool of everything that sounds now. Starts, changes, steals, mixes.
//!
//! Not for: when (`renderer`), nor the inside of one voice (`voice`).

use crate::blep::Blep;
use crate::clip::Clip;
use crate::event::{Instrument as InstrumentEvent, Param, Play, Target, Tone, VoiceId};
use crate::interp::{self, Interp};
use crate::lane::{Bank, MAX_INSTRUMENTS};
use crate::sampler::Sampler;
use crate::source::{MAX_RUN, Source, Start};
use crate::stream::StreamReader;
use crate::tone::ToneSource;
use crate::voice::{Born, Scratch, Sound, Voice};
use std::ops::Range;
use std::sync::Arc;

/// Voices that sound at once by default.
pub const DEFAULT_VOICES: usize = 256;
/// Places for voices that were stolen and are fading out.
const FADING: usize = 16;
/// Streams there can be at all, and so the most that can end before anybody asks for them.
const STREAMS: usize = 4_096;

/// A fixed pool of voices.
///
/// `RT:` every method but [`Voices::new`] is safe on the audio thread. Clips are shared with the caller's table, which
/// must keep each until [`Voices::uses`] says no.
pub struct Voices {
    slots: Box<[Option<Voice>]>,
    /// No slot from here on is taken.
    top: usize,
    scratch: Scratch,
    max: usize,
    banks: Box<[Option<Bank>]>,
    rate: f64,
    interp: Interp,
    stolen: u64,
    starved: u64,
    #[expect(clippy::vec_box, reason = "they go back to a pool of boxes; unboxing would free")]
    readers: Vec<Box<StreamReader>>,
}

impl Voices {
    /// Room for `max` voices at `rate` frames per second. Takes all memory it will ever need.
    pub fn new(max: usize, rate: f64, interp: Interp) -> Voices {
        interp::prepare();
        Blep::get();
        let slots = max.max(1) + FADING;
        Voices {
            slots: (0..slots).map(|_| None).collect(),
            top: 0,
            scratch: Scratch::new(),
            max: max.max(1),
            banks: (0..MAX_INSTRUMENTS).map(|_| None).collect(),
            rate,
            interp,
            stolen: 0,
            starved: 0,
            readers: Vec::with_capacity(STREAMS),
        }
    }

    /// How many frames before its onset a clip is to be started, for its interpolator to ring in full: at most
    /// [`crate::LEAD`].
    pub fn lead(&self, play: &Play, clip: &Clip) -> u32 {
        Sampler::lead(play, clip, self.rate, self.interp)
    }

    /// The frame at which the stream of a clip that is not all in memory must be opened.
    pub fn stream_from(&self, play: &Play, clip: &Clip, start: &Start) -> u64 {
        Sampler::stream_from(play, clip, &self.begin_clip(play, clip, *start).1)
    }

    /// How many frames a clip taken up at `start` waits in silence, and how it starts after them.
    fn begin_clip(&self, play: &Play, clip: &Clip, start: Start) -> (usize, Start) {
        start.after_silence(self.lead(play, clip))
    }

    /// Starts a clip; `reader` streams what is not in memory. Without it, that is silence.
    pub fn start_play(
        &mut self,
        play: &Play,
        clip: Arc<Clip>,
        reader: Option<Box<StreamReader>>,
        start: Start,
        born: Born,
    ) {
        let begin = self.begin_clip(play, &clip, start);
        let sampler = Sampler::new(play, clip, reader, begin.1, self.interp);
        self.begin(Voice::new(Sound::Clip(sampler), Some(play.clip), &play.shape, begin, born));
    }

    /// Starts a tone.
    pub fn start_tone(&mut self, tone: &Tone, start: Start, born: Born) {
        let begin = start.after_silence(0);
        let source = ToneSource::new(tone, begin.1);
        self.begin(Voice::new(Sound::Tone(source), None, &tone.shape, begin, born));
    }

    /// Starts an instrument; `false` if there is no such bank. If all its instances sound, the oldest begins anew.
    pub fn start_instrument(&mut self, event: &InstrumentEvent, start: Start, born: Born) -> bool {
        let bank = usize::from(event.bank);
        let size = self.banks.get(bank).and_then(Option::as_ref).map_or(0, |b| b.len().min(256));
        if size == 0 {
            return false;
        }
        let begin = start.after_silence(0);
        let instance = self.free_instance(event.bank, size);
        if let Some(Some(bank)) = self.banks.get_mut(bank) {
            bank[usize::from(instance)].start(begin.1, &event.args);
        }
        let sound = Sound::Instrument { bank: event.bank, instance };
        self.begin(Voice::new(sound, None, &event.shape, begin, born));
        true
    }

    /// Takes the instances of an instrument, of which the first 256 are used; hands back those that were there before,
    /// having silenced their voices, or the bank itself if its number is out of range.
    pub fn register(&mut self, number: u8, bank: Bank) -> Option<Bank> {
        self.drop_where(|voice| matches!(voice.sound, Sound::Instrument { bank, .. } if bank == number));
        match self.banks.get_mut(usize::from(number)) {
            Some(place) => place.replace(bank),
            None => Some(bank),
        }
    }

    /// Moves a parameter of every voice of this id that was born before; how many have it.
    pub fn set(&mut self, id: VoiceId, param: Param, value: f32, frames: u32, born: Born) -> usize {
        let Voices { slots, banks, top, .. } = self;
        let mut reached = 0;
        for voice in slots[..*top].iter_mut().flatten() {
            if voice.has_id(id) && voice.born < born && !voice.stolen {
                let moved = voice.set(param, value, frames)
                    || match &mut voice.sound {
                        Sound::Clip(sampler) => sampler.set(param, value, frames),
                        Sound::Tone(tone) => tone.set(param, value, frames),
                        Sound::Instrument { bank, instance } => instrument(banks, *bank, *instance)
                            .is_some_and(|source| source.set(param, value, frames)),
                    };
                reached += usize::from(moved);
            }
        }
        reached
    }

    /// Releases the voices meant that were born before; how many.
    pub fn stop(&mut self, target: Target, born: Born) -> usize {
        let mut reached = 0;
        for voice in self.slots[..self.top].iter_mut().flatten() {
            if voice.is_meant(target) && voice.born < born && !voice.stolen {
                voice.release();
                reached += 1;
            }
        }
        reached
    }

    /// Withdraws the voices meant that were taken up ahead of their onset and are silent yet; how many.
    pub fn withdraw(&mut self, target: Target) -> usize {
        let before = self.len();
        self.drop_where(|voice| voice.is_waiting() && voice.is_meant(target));
        before - self.len()
    }

    /// Silences every voice at once, without a fade.
    pub fn panic(&mut self) {
        self.drop_where(|_| true);
    }

    /// The device has another rate (Hz) now: what sounds ends.
    pub fn set_rate(&mut self, rate: f64) {
        self.panic();
        self.rate = rate;
    }

    /// Adds the next `frames.len()` frames of every voice to these frames of the bus, one slice per output channel.
    ///
    /// # Panics
    /// If a channel of the bus is shorter.
    pub fn mix(&mut self, bus: &mut [Box<[f32]>], frames: Range<usize>) {
        let mut from = frames.start;
        while from < frames.end {
            let to = frames.end.min(from + MAX_RUN);
            for slot in 0..self.top {
                let Some(voice) = &mut self.slots[slot] else { continue };
                let source = match voice.sound {
                    Sound::Instrument { bank, instance } => instrument(&mut self.banks, bank, instance),
                    _ => None,
                };
                if !voice.mix(source, bus, &mut self.scratch, from..to) {
                    self.drop_slot(slot);
                }
            }
            from = to;
        }
    }

    /// How many voices sound, those that were stolen left out.
    pub fn len(&self) -> usize {
        self.sounding().filter(|voice| !voice.stolen).count()
    }

    /// Whether none sounds.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a voice still plays this clip.
    pub fn uses(&self, clip: &Arc<Clip>) -> bool {
        self.sounding().any(|voice| matches!(&voice.sound, Sound::Clip(sampler) if sampler.plays(clip)))
    }

    /// How many voices were stolen since last asked.
    pub fn take_stolen(&mut self) -> u64 {
        std::mem::take(&mut self.stolen)
    }

    /// How many frames of silence were played since last asked because the disk was late.
    pub fn take_starved(&mut self) -> u64 {
        for voice in self.slots[..self.top].iter_mut().flatten() {
            if let Sound::Clip(sampler) = &mut voice.sound {
                self.starved += sampler.take_starved();
            }
        }
        std::mem::take(&mut self.starved)
    }

    /// The stream of a voice that has ended, to be closed. Ask after every start, mix and panic until there is none.
    pub fn take_reader(&mut self) -> Option<Box<StreamReader>> {
        self.readers.pop()
    }

    fn sounding(&self) -> impl Iterator<Item = &Voice> {
        self.slots[..self.top].iter().flatten()
    }

    fn begin(&mut self, voice: Voice) {
        if voice.is_over() {
            // It came too late to be heard at all, and takes nobody's place.
            return self.end(voice);
        }
        if self.len() >= self.max {
            self.steal();
        }
        let slot = self.slots.iter().position(Option::is_none).unwrap_or_else(|| self.quietest_stolen());
        self.drop_slot(slot);
        self.slots[slot] = Some(voice);
        self.top = self.top.max(slot + 1);
    }

    /// Lets the quietest voice in release go, or else the oldest one.
    fn steal(&mut self) {
        let rate = self.rate;
        let ahead = |a: &Voice, b: &Voice| match (a.released(), b.released()) {
            (true, true) => a.level().total_cmp(&b.level()),
            (false, false) => a.born.order(b.born),
            (a, b) => b.cmp(&a),
        };
        let sounding = self.slots.iter_mut().flatten().filter(|voice| !voice.stolen);
        if let Some(voice) = sounding.min_by(|a, b| ahead(a, b)) {
            voice.steal(rate);
            self.stolen += 1;
        }
    }

    fn quietest_stolen(&self) -> usize {
        let stolen = |slot: &usize| self.slots[*slot].as_ref().is_none_or(|voice| voice.stolen);
        let level = |slot: usize| self.slots[slot].as_ref().map_or(0.0, Voice::level);
        (0..self.slots.len()).filter(stolen).min_by(|a, b| level(*a).total_cmp(&level(*b))).unwrap_or(0)
    }

    fn free_instance(&mut self, bank: u8, size: usize) -> u8 {
        let mut busy = [false; 256];
        let mut oldest: Option<(usize, Born)> = None;
        for (slot, voice) in self.slots.iter().enumerate() {
            if let Some(voice) = voice
                && let Sound::Instrument { bank: of, instance } = voice.sound
                && of == bank
            {
                busy[usize::from(instance)] = true;
                if oldest.is_none_or(|(_, born)| voice.born < born) {
                    oldest = Some((slot, voice.born));
                }
            }
        }
        if let Some(free) = busy[..size].iter().position(|busy| !busy) {
            return free as u8;
        }
        let slot = oldest.map_or(0, |(slot, _)| slot);
        let instance = match &self.slots[slot] {
            Some(Voice { sound: Sound::Instrument { instance, .. }, .. }) => *instance,
            _ => 0,
        };
        self.drop_slot(slot);
        self.stolen += 1;
        instance
    }

    fn drop_where(&mut self, gone: impl Fn(&Voice) -> bool) {
        for slot in 0..self.top {
            if self.slots[slot].as_ref().is_some_and(&gone) {
                self.drop_slot(slot);
            }
        }
    }

    fn drop_slot(&mut self, slot: usize) {
        if let Some(voice) = self.slots[slot].take() {
            self.end(voice);
        }
        while self.top > 0 && self.slots[self.top - 1].is_none() {
            self.top -= 1;
        }
    }

    fn end(&mut self, voice: Voice) {
        if let Sound::Clip(mut sampler) = voice.sound {
            self.starved += sampler.take_starved();
            if let Some(reader) = sampler.take_reader() {
                self.readers.push(reader);
            }
        }
    }
}

fn instrument(banks: &mut [Option<Bank>], bank: u8, instance: u8) -> Option<&mut dyn Source> {
    let bank = banks.get_mut(usize::from(bank))?.as_mut()?;
    let instrument = bank.get_mut(usize::from(instance))?;
    Some(instrument.as_mut())
}

#[cfg(test)]
mod tests;
