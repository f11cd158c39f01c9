//! [`Voices`]: the pool of everything that sounds now. Starts, changes, steals, mixes.
//!
//! Not for: when (`renderer`), nor the inside of one voice (`voice`).

use crate::blep::Blep;
use crate::clip::Clip;
use crate::event::{Instrument as InstrumentEvent, Param, Play, Target, Tone, VoiceId};
use crate::follow::{Beat, Follow, Follower};
use crate::interp::{self, Interp};
use crate::lane::{Bank, MAX_INSTRUMENTS};
use crate::sampler::Sampler;
use crate::source::{MAX_RUN, Source, Start};
use crate::stream::StreamReader;
use crate::tone::ToneSource;
use crate::voice::{Born, DECLICK, Scratch, Sound, Voice};
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
    /// In the order they were begun, which is the order of the sums: it must not depend on which others have ended by
    /// then, as that shows only when they are mixed. Never more than were taken memory for.
    sounding: Vec<Voice>,
    /// Frames that are to be mixed before the one at which a voice is started now.
    unmixed: usize,
    scratch: Scratch,
    max: usize,
    banks: Box<[Option<Bank>]>,
    rate: f64,
    interp: Interp,
    follow: Follow,
    /// The beat of the part in work, and how many of its frames are mixed.
    beat: Option<Beat>,
    since_beat: usize,
    pulled: Pulled,
    stolen: u64,
    ended: Ended,
}

/// What following makes of the voices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pulled {
    /// How many follow.
    pub(crate) voices: u32,
    /// How much faster than the sound card the one goes that is trimmed most [1].
    pub(crate) trim: f64,
    /// How many began to leap since last asked.
    pub(crate) leaps: u64,
}

/// What voices leave behind.
struct Ended {
    starved: u64,
    #[expect(clippy::vec_box, reason = "they go back to a pool of boxes; unboxing would free")]
    readers: Vec<Box<StreamReader>>,
}

impl Ended {
    /// Keeps what an ending voice may not free.
    fn collect(&mut self, voice: &mut Voice) {
        if let Sound::Clip(sampler) = &mut voice.sound {
            self.starved += sampler.take_starved();
            if let Some(reader) = sampler.take_reader() {
                self.readers.push(reader);
            }
        }
    }
}

impl Voices {
    /// Room for `max` voices at `rate` frames per second. Takes all memory it will ever need.
    pub fn new(max: usize, rate: f64, interp: Interp) -> Voices {
        interp::prepare();
        Blep::get();
        Voices {
            sounding: Vec::with_capacity(max.max(1) + FADING),
            unmixed: 0,
            scratch: Scratch::new(),
            max: max.max(1),
            banks: (0..MAX_INSTRUMENTS).map(|_| None).collect(),
            rate,
            interp,
            follow: Follow::default(),
            beat: None,
            since_beat: 0,
            pulled: Pulled::default(),
            stolen: 0,
            ended: Ended { starved: 0, readers: Vec::with_capacity(STREAMS) },
        }
    }

    /// The same, but these voices follow the ensemble's time.
    pub fn following(self, follow: Follow) -> Voices {
        Voices { follow, ..self }
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

    /// What is started from now on begins so many frames after the next one that is mixed. Only when there
    /// [is room](Voices::has_room): whom to steal, or which instance to take, can be told only when all before is mixed.
    pub fn leave_unmixed(&mut self, frames: usize) {
        self.unmixed = frames;
    }

    /// Whether a voice can start without taking another's place. More than seem to may have ended in what is yet unmixed.
    pub fn has_room(&self) -> bool {
        self.len() < self.max && !self.is_full()
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
        let lasts = sampler.lasts() / self.rate;
        let voice = Voice::new(Sound::Clip(sampler), Some(play.clip), &play.shape, begin, born);
        self.begin(voice, begin, lasts.min(play.shape.lasts()));
    }

    /// Starts a tone.
    pub fn start_tone(&mut self, tone: &Tone, start: Start, born: Born) {
        let begin = start.after_silence(0);
        let source = ToneSource::new(tone, begin.1);
        let voice = Voice::new(Sound::Tone(source), None, &tone.shape, begin, born);
        self.begin(voice, begin, tone.shape.lasts());
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
        let voice = Voice::new(sound, None, &event.shape, begin, born);
        self.begin(voice, begin, event.shape.lasts());
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
        let Voices { sounding, banks, .. } = self;
        let mut reached = 0;
        for voice in sounding {
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
        for voice in &mut self.sounding {
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

    /// A part begins: voices that follow are told how fast to go through it.
    pub(crate) fn beat(&mut self, beat: Beat) {
        let Voices { sounding, banks, pulled, rate, .. } = self;
        let fade = (DECLICK * *rate) as u32;
        (pulled.voices, pulled.trim) = (0, 0.0);
        for voice in sounding {
            let source = match voice.sound {
                Sound::Instrument { bank, instance } => instrument(banks, bank, instance),
                _ => None,
            };
            pulled.leaps += u64::from(voice.beat(source, &beat, fade));
            if let Some(trim) = voice.trim() {
                pulled.voices += 1;
                pulled.trim = if trim.abs() > pulled.trim.abs() { trim } else { pulled.trim };
            }
        }
        self.beat = Some(beat);
        self.since_beat = 0;
    }

    /// What following makes of the voices now.
    pub(crate) fn take_pulled(&mut self) -> Pulled {
        let pulled = self.pulled;
        self.pulled.leaps = 0;
        pulled
    }

    /// Adds the next `frames.len()` frames of every voice to these frames of the bus, one slice per output channel.
    ///
    /// # Panics
    /// If a channel of the bus is shorter.
    pub fn mix(&mut self, bus: &mut [Box<[f32]>], frames: Range<usize>) {
        let Voices { sounding, banks, scratch, ended, .. } = self;
        let mut from = frames.start;
        while from < frames.end {
            let to = frames.end.min(from + MAX_RUN);
            sounding.retain_mut(|voice| {
                let source = match voice.sound {
                    Sound::Instrument { bank, instance } => instrument(banks, bank, instance),
                    _ => None,
                };
                let goes_on = voice.mix(source, bus, scratch, from..to);
                if !goes_on {
                    ended.collect(voice);
                }
                goes_on
            });
            from = to;
        }
        self.unmixed = self.unmixed.saturating_sub(frames.len());
        self.since_beat += frames.len();
    }

    /// How many voices sound, those that were stolen left out.
    pub fn len(&self) -> usize {
        self.sounding.iter().filter(|voice| !voice.stolen).count()
    }

    /// Whether none sounds.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a voice still plays this clip.
    pub fn uses(&self, clip: &Arc<Clip>) -> bool {
        self.sounding.iter().any(|voice| matches!(&voice.sound, Sound::Clip(sampler) if sampler.plays(clip)))
    }

    /// How many voices were stolen since last asked.
    pub fn take_stolen(&mut self) -> u64 {
        std::mem::take(&mut self.stolen)
    }

    /// How many frames of silence were played since last asked because the disk was late.
    pub fn take_starved(&mut self) -> u64 {
        for voice in &mut self.sounding {
            if let Sound::Clip(sampler) = &mut voice.sound {
                self.ended.starved += sampler.take_starved();
            }
        }
        std::mem::take(&mut self.ended.starved)
    }

    /// The stream of a voice that has ended, to be closed. Ask after every start, mix and panic until there is none.
    pub fn take_reader(&mut self) -> Option<Box<StreamReader>> {
        self.ended.readers.pop()
    }

    /// Takes up a voice that waits and starts like this, and sounds for so long (s).
    fn begin(&mut self, mut voice: Voice, (wait, start): (usize, Start), lasts: f64) {
        if voice.is_over() {
            // It came too late to be heard at all, and takes nobody's place.
            return self.ended.collect(&mut voice);
        }
        if self.len() >= self.max {
            self.steal();
        }
        if self.is_full()
            && let Some(quietest) = self.quietest_stolen()
        {
            self.drop_at(quietest);
        }
        if let Some(beat) = &self.beat
            && self.follow.concerns(lasts)
        {
            let onset = (self.since_beat + self.unmixed + wait) as f64 - start.offset;
            voice.follow(Follower::new(beat, onset, start.offset));
        }
        voice.delay(self.unmixed);
        self.sounding.push(voice);
    }

    fn is_full(&self) -> bool {
        self.sounding.len() >= self.max + FADING
    }

    /// Lets the quietest voice in release go, or else the oldest one.
    fn steal(&mut self) {
        let rate = self.rate;
        let ahead = |a: &Voice, b: &Voice| match (a.released(), b.released()) {
            (true, true) => a.level().total_cmp(&b.level()),
            (false, false) => a.born.order(b.born),
            (a, b) => b.cmp(&a),
        };
        let sounding = self.sounding.iter_mut().filter(|voice| !voice.stolen);
        if let Some(voice) = sounding.min_by(|a, b| ahead(a, b)) {
            voice.steal(rate);
            self.stolen += 1;
        }
    }

    fn quietest_stolen(&self) -> Option<usize> {
        let stolen = self.sounding.iter().enumerate().filter(|(_, voice)| voice.stolen);
        let quietest = stolen.min_by(|(_, a), (_, b)| a.level().total_cmp(&b.level()));
        quietest.map(|(at, _)| at)
    }

    fn free_instance(&mut self, bank: u8, size: usize) -> u8 {
        let mut busy = [false; 256];
        let mut oldest: Option<(usize, Born)> = None;
        for (at, voice) in self.sounding.iter().enumerate() {
            if let Sound::Instrument { bank: of, instance } = voice.sound
                && of == bank
            {
                busy[usize::from(instance)] = true;
                if oldest.is_none_or(|(_, born)| voice.born < born) {
                    oldest = Some((at, voice.born));
                }
            }
        }
        if let Some(free) = busy[..size].iter().position(|busy| !busy) {
            return free as u8;
        }
        let Some((oldest, _)) = oldest else { return 0 };
        let instance = match self.sounding[oldest].sound {
            Sound::Instrument { instance, .. } => instance,
            _ => 0,
        };
        self.drop_at(oldest);
        self.stolen += 1;
        instance
    }

    fn drop_where(&mut self, gone: impl Fn(&Voice) -> bool) {
        let Voices { sounding, ended, .. } = self;
        sounding.retain_mut(|voice| {
            let gone = gone(voice);
            if gone {
                ended.collect(voice);
            }
            !gone
        });
    }

    fn drop_at(&mut self, at: usize) {
        self.ended.collect(&mut self.sounding[at]);
        self.sounding.remove(at);
    }
}

fn instrument(banks: &mut [Option<Bank>], bank: u8, instance: u8) -> Option<&mut dyn Source> {
    let bank = banks.get_mut(usize::from(bank))?.as_mut()?;
    let instrument = bank.get_mut(usize::from(instance))?;
    Some(instrument.as_mut())
}

#[cfg(test)]
mod tests;
