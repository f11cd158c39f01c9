//! [`Renderer`]: the whole audio path in one function, from the ring to the output slice.
//!
//! Not for: devices or clocks. It is given a line from frames to local time and a slice to fill, so it renders the same
//! offline, in a test or in a sound card's callback.

use crate::drain::Drain;
use crate::event::{Action, Event, LatePolicy, Origin, Param, Target};
use crate::follow::{Follow, Pulse};
use crate::lane::{Garbage, MAX_CLIPS, Published, Stage, Supply};
use crate::limiter::Limiter;
use crate::ramp::Ramp;
use crate::report::{Report, count};
use crate::schedule::{Horizon, Onset, Placed, Schedule};
use crate::settings::{Immediate, Settings};
use crate::source::Start;
use crate::stream::Streams;
use crate::table::ClipTable;
use crate::voice::Born;
use crate::voices::Voices;
use downbeat_sync::{ClockEstimate, EnsembleTime, FrameMap, LocalTime, Span};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Frames rendered at once: longer blocks are rendered in parts, so that the mix stays in the processor's cache.
const MAX_PART: usize = 1_024;
/// How long before its onset a clip that starts beyond what is in memory is taken up (s).
const PREFETCH: f64 = 0.5;
/// A clip that starts this close to the end of its head gets ahead of the disk as well [frames of the clip].
const PREFETCH_REACH: f64 = 16_384.0;
/// Added to one block's length for what sounds as soon as it can: the network thread's way from stamp to ring [300 us].
const STEADY_MARGIN: Span = Span::from_micros(300);
/// A cancel looks at all that waits: so many looks take as long as one event taken from the ring.
const LOOKS_PER_EVENT: usize = 64;
/// An event is late when it is placed more than this after its timetag (frames).
///
/// One, not zero: the map moves by fractions of a frame between two blocks, and an event on their edge moves with it.
const EDGE: f64 = 1.0;

/// Events in, sound out.
///
/// `RT:` [`Renderer::render`]; everything else is called off the audio thread.
pub struct Renderer {
    stage: Stage,
    settings: Settings,
    /// Local to room time, and from there to that of all nodes.
    estimate: ClockEstimate,
    to_common: Span,
    schedule: Schedule,
    clips: ClipTable,
    streams: Streams,
    voices: Voices,
    pulse: Pulse,
    /// Nominal frames of the ensemble's time per frame of the device.
    speed: f64,
    master: Ramp,
    mute: Ramp,
    limiter: Option<Limiter>,
    /// The mix: a slice of [`MAX_PART`] frames per output channel.
    bus: Vec<Box<[f32]>>,
    /// Frames rendered since the start.
    next: u64,
    /// Frames of the part in work that the voices are mixed into.
    mixed: usize,
}

impl Renderer {
    /// A silent renderer at the audio thread's end of a lane. `estimate` holds until the network sends a better one.
    pub fn new(settings: Settings, stage: Stage, streams: Streams, estimate: ClockEstimate) -> Renderer {
        let rate = f64::from(settings.rate);
        Renderer {
            estimate,
            to_common: Span::ZERO,
            schedule: Schedule::new(settings.agenda, settings.onset, settings.rate, &estimate),
            clips: ClipTable::new(MAX_CLIPS),
            streams,
            voices: Voices::new(settings.voices, rate, settings.interp).following(settings.follow),
            pulse: Pulse::default(),
            speed: 1.0,
            master: Ramp::new(1.0),
            mute: Ramp::new(1.0),
            limiter: settings.limiter.then(|| Limiter::new(rate)),
            bus: vec![vec![0.0; MAX_PART].into_boxed_slice(); settings.channels],
            next: 0,
            mixed: 0,
            stage,
            settings,
        }
    }

    /// The device has another rate (Hz) or other channels now: what sounds ends, what waits goes on waiting. Allocates.
    pub fn configure(&mut self, rate: u32, channels: usize) {
        if (rate, channels) == (self.settings.rate, self.settings.channels) {
            return;
        }
        self.settings.rate = rate;
        self.settings.channels = channels;
        self.schedule.set_rate(rate);
        self.voices.set_rate(f64::from(rate));
        self.limiter = self.settings.limiter.then(|| Limiter::new(f64::from(rate)));
        self.bus = vec![vec![0.0; MAX_PART].into_boxed_slice(); channels];
    }

    /// Frames per second (Hz).
    pub fn rate(&self) -> u32 {
        self.settings.rate
    }

    /// Output channels.
    pub fn channels(&self) -> usize {
        self.settings.channels
    }

    /// The frame that will be rendered next, counted from the start.
    pub fn frame(&self) -> u64 {
        self.next
    }

    /// What it counts.
    pub fn counters(&self) -> &Arc<crate::Counters> {
        &self.stage.counters
    }

    /// Renders the next frames into `out` (interleaved, the settings' channels).
    ///
    /// `map` says when each frame leaves the connector; `latency` is how long after the present that is for the first.
    pub fn render(&mut self, map: FrameMap, latency: Span, out: &mut [f32]) {
        let channels = self.settings.channels;
        let block = Span::from_ratio((out.len() / channels) as i128, i128::from(self.settings.rate));
        let delay = match self.settings.immediate {
            Immediate::Steady => latency + block + STEADY_MARGIN,
            Immediate::Asap => Span::ZERO,
        };
        self.receive(map.local_at(self.next));
        for part in out.chunks_mut(MAX_PART * channels) {
            self.render_part(Horizon { map, estimate: self.estimate, delay }, part);
        }
        self.give_back();
        let counters = &self.stage.counters;
        counters.frames.store(self.next, Relaxed);
        counters.pending.store(self.schedule.len() as u32, Relaxed);
        counters.voices.store(self.voices.len() as u32, Relaxed);
        counters.stolen.fetch_add(self.voices.take_stolen(), Relaxed);
        counters.starved.fetch_add(self.voices.take_starved(), Relaxed);
        let pulled = self.voices.take_pulled();
        counters.following.store(pulled.voices, Relaxed);
        counters.trim_ppb.store((pulled.trim * 1e9) as i32, Relaxed);
        counters.leaps.fetch_add(pulled.leaps, Relaxed);
    }

    /// Empties the rings, at the local time `now` of the next frame.
    fn receive(&mut self, now: LocalTime) {
        // Each may hand something back: what finds no room waits, for nothing is freed here.
        while !self.stage.garbage.is_full()
            && let Ok(supply) = self.stage.supply.pop()
        {
            self.take(supply);
        }
        while let Ok(Published { line, to_common }) = self.stage.estimates.pop() {
            self.pulse.change(&self.estimate, &line, now);
            (self.estimate, self.to_common) = (line, to_common);
        }
        let mut drain = Drain::new(self.settings.drain);
        while self.stage.events.peek().is_ok_and(|next| drain.admits(next))
            && let Ok(event) = self.stage.events.pop()
        {
            count(&self.stage.counters.events);
            let immediate = event.when.timetag().is_none();
            let event = match self.settings.immediate {
                Immediate::Steady => event,
                // The next block begins with what came before it, in that order.
                Immediate::Asap => Event { when: event.when.arriving(now), ..event },
            };
            match event.action {
                // These two act on what waits, so they do not wait behind it themselves.
                Action::Panic if immediate => {
                    self.panic();
                    count(&self.stage.counters.played);
                }
                Action::Cancel(id) if immediate => {
                    count(&self.stage.counters.played);
                    drain.charge(self.schedule.len() / LOOKS_PER_EVENT);
                    self.cancel(&event, id);
                }
                _ if self.schedule.push(event, self.lead(&event.action)) => {}
                _ => {
                    count(&self.stage.counters.refused);
                    self.report(Report::Full { from: event.from });
                }
            }
        }
    }

    /// How many frames before its onset a start is to be taken up.
    fn lead(&self, action: &Action) -> u32 {
        let Action::Play(play) = action else { return 0 };
        let Some(clip) = self.clips.get(play.clip) else { return 0 };
        let start = play.start * f64::from(clip.rate());
        if clip.rest().is_some() && start + PREFETCH_REACH > clip.head_frames() as f64 {
            // What it begins with is not in memory: silent until its onset, it fetches it.
            return (PREFETCH * f64::from(self.settings.rate)) as u32;
        }
        // A symmetric interpolator rings ahead.
        self.voices.lead(play, clip)
    }

    fn take(&mut self, supply: Supply) {
        match supply {
            Supply::Clip(id, clip) => {
                if let Err(clip) = self.clips.insert(id, clip) {
                    self.discard(Garbage::Clip(id, clip));
                }
            }
            Supply::Free(id) => {
                self.voices.withdraw(Target::Clip(id));
                self.voices.stop(Target::Clip(id), Born::LAST);
                self.clips.retire(id);
            }
            Supply::Bank(number, bank) => {
                if let Some(bank) = self.voices.register(number, bank) {
                    self.discard(Garbage::Bank(bank));
                }
            }
        }
    }

    fn render_part(&mut self, horizon: Horizon, out: &mut [f32]) {
        let frames = out.len() / self.settings.channels;
        let first = self.next;
        let end = first + frames as u64;
        for channel in &mut self.bus {
            channel[..frames].fill(0.0);
        }
        self.mixed = 0;
        if self.settings.follow != Follow::Off {
            let beat = self.pulse.beat(&horizon, first, frames, f64::from(self.settings.rate));
            self.speed = beat.speed;
            self.voices.beat(beat);
        }
        let mut cursor = first;
        while let Some(placed) = self.schedule.next_before(end, &horizon) {
            cursor = placed.begin.max(cursor);
            if !self.only_adds(&placed.event.action) {
                self.mix((cursor - first) as usize);
            }
            self.perform(placed, first, cursor, &horizon);
        }
        self.mix(frames);
        self.next = end;
        self.write(out, frames);
    }

    /// Whether an action leaves alone what sounds already: then nothing need be mixed before it, and a block full of starts
    /// costs no more than the voices in it.
    fn only_adds(&self, action: &Action) -> bool {
        match action {
            Action::Click { .. } => true,
            Action::Play(_) | Action::Tone(_) => self.voices.has_room(),
            _ => false,
        }
    }

    /// Mixes the voices into the bus up to this frame of the part, and moves the master gain over them.
    fn mix(&mut self, to: usize) {
        let from = std::mem::replace(&mut self.mixed, to);
        if from == to {
            return;
        }
        self.voices.mix(&mut self.bus, from..to);
        for ramp in [&mut self.master, &mut self.mute] {
            ramp.scale(&mut self.bus, from..to);
        }
    }

    fn write(&mut self, out: &mut [f32], frames: usize) {
        if let Some(limiter) = &mut self.limiter {
            limiter.process(&mut self.bus, 0..frames);
        }
        let channels = self.bus.len();
        for (index, channel) in self.bus.iter().enumerate() {
            for (sample, value) in out.iter_mut().skip(index).step_by(channels).zip(&channel[..frames]) {
                *sample = *value;
            }
        }
    }

    /// Does what an event says at frame `at` of the part that begins with frame `first`.
    fn perform(&mut self, mut placed: Placed, first: u64, at: u64, horizon: &Horizon) {
        if first as f64 - placed.position > EDGE {
            // It was not here in time even for the instant at which it could have sounded.
            placed.late += at as f64 - placed.position;
            placed.position = at as f64;
        }
        let mut skip = 0.0;
        if let Some(due) = placed.event.when.timetag()
            && placed.late > EDGE
        {
            let by = horizon.ensemble_at(placed.position) - due;
            match self.judge(&placed.event, due, by) {
                LatePolicy::Drop => return count(&self.stage.counters.dropped),
                // By the ensemble's time, in nominal frames: on every card the sound is as far, and those that follow stay so.
                LatePolicy::Trim => skip = by.as_secs_f64() * f64::from(self.settings.rate),
                LatePolicy::Play => {}
            }
        }
        let seed = match placed.event.when.timetag() {
            Some(due) => (due + self.to_common).bits(),
            // No two nodes get it at one instant, so no two could agree on it.
            None => placed.event.when.arrival().map_or(0, LocalTime::ticks),
        };
        let offset = at as f64 - placed.position;
        let (offset, skip) = match self.settings.onset {
            Onset::Subframe => (offset, skip),
            Onset::Frame if skip > 0.0 => (0.0, (skip + offset).round()),
            Onset::Frame => (0.0, 0.0),
        };
        let start = Start { rate: f64::from(self.settings.rate), offset, skip, seed };
        // By instants, not by the frames a change rounds to; what comes late happens now.
        let born = Born { position: placed.position, seq: placed.seq };
        self.voices.leave_unmixed((at - first) as usize - self.mixed);
        let is_carried_out = self.act(&placed.event, start, born, (at - first) as usize);
        let counters = &self.stage.counters;
        count(if is_carried_out { &counters.played } else { &counters.dropped });
    }

    /// Counts and reports an event that is late by so much; tells what becomes of it.
    fn judge(&mut self, event: &Event, due: EnsembleTime, by: Span) -> LatePolicy {
        let policy = match event.late.unwrap_or(self.settings.late) {
            policy if sounds(&event.action) => policy,
            _ => LatePolicy::Play,
        };
        count(&self.stage.counters.late);
        self.stage.counters.file_lateness(by);
        self.report(Report::Late { from: event.from, due, by, policy });
        policy
    }

    /// Carries an event out. `false` if what it wants to sound is not there any more.
    fn act(&mut self, event: &Event, start: Start, born: Born, frame: usize) -> bool {
        let rate = start.rate as f32;
        let in_frames = |seconds: f32| (seconds * rate).round() as u32;
        match event.action {
            Action::Play(play) => return self.play(&play, event.from, start, born),
            Action::Tone(tone) => self.voices.start_tone(&tone, start, born),
            Action::Instrument(instrument) => return self.voices.start_instrument(&instrument, start, born),
            // One frame is all there is to trim.
            Action::Click { .. } if start.skip > 0.0 => {}
            Action::Click { gain } => {
                for channel in &mut self.bus {
                    channel[frame] += gain;
                }
            }
            Action::Set { id, param, value, seconds } => {
                // Long glides of what follows the ensemble's time must take as long on every card.
                let is_speed = matches!(param, Param::Rate | Param::Freq);
                let seconds = if is_speed { (f64::from(seconds) / self.speed) as f32 } else { seconds };
                self.voices.set(id, param, value, in_frames(seconds), born);
            }
            Action::Stop(target) => {
                self.voices.stop(target, born);
            }
            Action::Panic => self.panic(),
            Action::Cancel(id) => self.cancel(event, id),
            Action::MasterGain { value, seconds } => {
                self.master.head_for(f64::from(value), in_frames(seconds))
            }
            Action::MasterMute { on, seconds } => {
                self.mute.head_for(f64::from(u8::from(!on)), in_frames(seconds))
            }
        }
        true
    }

    /// Starts a clip. `false` if it was freed after the event was sent.
    fn play(&mut self, play: &crate::Play, from: Origin, start: Start, born: Born) -> bool {
        let Some(clip) = self.clips.get(play.clip) else { return false };
        let reader = clip.rest().and_then(|_| {
            self.streams.open(clip, self.voices.stream_from(play, clip, &start), play.looped, from)
        });
        self.voices.start_play(play, Arc::clone(clip), reader, start, born);
        true
    }

    fn panic(&mut self) {
        self.withdraw(None);
        self.voices.panic();
    }

    fn cancel(&mut self, event: &Event, id: Option<crate::VoiceId>) {
        let count = self.withdraw(id) + self.voices.withdraw(id.map_or(Target::All, Target::Voice));
        self.report(Report::Cancelled { from: event.from, count: count as u32 });
    }

    /// Forgets events that wait (of this id, or all); how many.
    fn withdraw(&mut self, id: Option<crate::VoiceId>) -> usize {
        let count = self.schedule.cancel(id);
        self.stage.counters.cancelled.fetch_add(count as u64, Relaxed);
        count
    }

    fn report(&mut self, report: Report) {
        if self.stage.reports.push(report).is_err() {
            count(&self.stage.counters.reports_lost);
        }
    }

    /// Returns what no voice needs any more.
    fn give_back(&mut self) {
        while let Some(reader) = self.voices.take_reader() {
            self.streams.close(reader);
        }
        while !self.stage.garbage.is_full()
            && let Some((id, clip)) = self.clips.take_retired()
        {
            self.discard(Garbage::Clip(id, clip));
        }
    }

    /// Hands something back, when the ring was seen to have room.
    fn discard(&mut self, garbage: Garbage) {
        let _ = self.stage.garbage.push(garbage);
    }
}

/// Whether a late policy applies: changes and stops of what sounds already are carried out, however late.
fn sounds(action: &Action) -> bool {
    matches!(action, Action::Play(_) | Action::Tone(_) | Action::Instrument(_) | Action::Click { .. })
}

#[cfg(test)]
mod tests;
