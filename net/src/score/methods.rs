//! What each message does: its arguments are read, and what it asks for is staged.
//!
//! One that plays a sample is inlined into the loop over a packet's messages, for that is nearly all that comes; the others
//! stand apart, so that they do not slow it (`benches/codec.rs`). Not for: keys and values (`keys`).

use super::keys::{self, Draft, FINITE, FREQ, GAIN, NOBODY, SECONDS};
use super::{Course, Method, Reason, Request, Score};
use crate::osc::{Args, Message};
use downbeat_engine::{
    Action, ClipId, Event, InstrumentEvent, MAX_ARGS, Play, Target, Tone, VoiceShape, Wave,
};

impl Score {
    /// Stages what a message asks for.
    #[inline(always)]
    pub(super) fn stage<'p>(
        &mut self,
        method: Method,
        message: Message<'p>,
        course: &Course<'_>,
    ) -> Result<(), Reason<'p>> {
        self.current = method;
        // Each with arguments of its own: what is handed to one that is not inlined would be in memory for all.
        match method {
            Method::Play => self.play(message.args(), course),
            Method::Sample(clip) => self.sample(clip, message.args(), course),
            Method::Tone => self.tone(message.args(), course),
            Method::Instrument(bank) => self.instrument(bank, message.args(), course),
            Method::Click => self.click(message.args(), course),
            Method::Set => self.set(message.args(), course),
            Method::Stop => self.stop(message.args(), course),
            Method::Panic => self.stage_command(Action::Panic, message.args(), course),
            Method::Cancel => self.cancel(message.args(), course),
            Method::MasterGain => self.master_gain(message.args(), course),
            Method::MasterMute => self.master_mute(message.args(), course),
            Method::Ask(ask) => {
                self.staged.requests.push(Request::read(ask, message)?);
                Ok(())
            }
            Method::Sealed => Err(Reason::Nested),
            Method::Answer => {
                self.staged.answers += 1;
                Ok(())
            }
        }
    }

    #[inline(always)]
    fn play<'p>(&mut self, mut args: Args<'p>, course: &Course<'_>) -> Result<(), Reason<'p>> {
        let Some(name) = args.take_text() else {
            return Err(keys::mismatch("the sample's name", "a string", args.next_tag()));
        };
        let mut play = plain(self.book.clip(name).ok_or(Reason::NoSample(name))?);
        if args.next_is_number() {
            play.shape.gain = keys::gain(&mut args)?;
            if args.next_is_number() {
                play.shape.pan = keys::pan(&mut args)?;
                if args.next_is_number() {
                    play.rate = keys::rate(&mut args)?;
                }
            }
        }
        self.stage_voice(Action::Play(play), args, course)
    }

    #[inline(always)]
    fn sample<'p>(
        &mut self,
        clip: ClipId,
        mut args: Args<'p>,
        course: &Course<'_>,
    ) -> Result<(), Reason<'p>> {
        let mut play = plain(clip);
        if args.next_is_number() {
            play.shape.gain = keys::gain(&mut args)?;
        }
        // What follows may be anything.
        self.push(Action::Play(play), course)
    }

    #[inline(never)]
    fn tone<'p>(&mut self, mut args: Args<'p>, course: &Course<'_>) -> Result<(), Reason<'p>> {
        let freq = keys::number("freq", FREQ, &mut args)? as f32;
        let tone = Tone { freq, wave: Wave::Sine, shape: VoiceShape::default() };
        self.stage_voice(Action::Tone(tone), args, course)
    }

    #[inline(never)]
    fn instrument<'p>(
        &mut self,
        bank: u8,
        mut args: Args<'p>,
        course: &Course<'_>,
    ) -> Result<(), Reason<'p>> {
        let instrument = InstrumentEvent { bank, args: numbers(&mut args)?, shape: VoiceShape::default() };
        self.stage_voice(Action::Instrument(instrument), args, course)
    }

    #[inline(never)]
    fn click<'p>(&mut self, mut args: Args<'p>, course: &Course<'_>) -> Result<(), Reason<'p>> {
        let gain = match args.next_tag() {
            Some(_) => keys::gain(&mut args)?,
            None => 1.0,
        };
        self.stage_command(Action::Click { gain }, args, course)
    }

    #[inline(never)]
    fn set<'p>(&mut self, mut args: Args<'p>, course: &Course<'_>) -> Result<(), Reason<'p>> {
        let id = self.ids.known(&mut args)?.map_err(Reason::NoVoice)?;
        let (param, value) = keys::param(&mut args)?;
        let seconds = seconds(&mut args)?;
        self.stage_command(Action::Set { id, param, value, seconds }, args, course)
    }

    #[inline(never)]
    fn stop<'p>(&mut self, mut args: Args<'p>, course: &Course<'_>) -> Result<(), Reason<'p>> {
        let target = match args.next_tag() {
            None => Target::All,
            Some(_) => match self.ids.known(&mut args)? {
                Ok(id) => Target::Voice(id),
                Err(name) => Target::Clip(self.book.clip(name).ok_or(Reason::NoVoiceOrSample(name))?),
            },
        };
        self.stage_command(Action::Stop(target), args, course)
    }

    #[inline(never)]
    fn cancel<'p>(&mut self, mut args: Args<'p>, course: &Course<'_>) -> Result<(), Reason<'p>> {
        let id = match args.next_tag() {
            // That nobody is named so is no error: the reply will be 0.
            Some(_) => Some(self.ids.known(&mut args)?.unwrap_or(NOBODY)),
            None => None,
        };
        self.stage_command(Action::Cancel(id), args, course)
    }

    #[inline(never)]
    fn master_gain<'p>(&mut self, mut args: Args<'p>, course: &Course<'_>) -> Result<(), Reason<'p>> {
        let value = keys::number("the value", GAIN, &mut args)? as f32;
        let seconds = seconds(&mut args)?;
        self.stage_command(Action::MasterGain { value, seconds }, args, course)
    }

    #[inline(never)]
    fn master_mute<'p>(&mut self, mut args: Args<'p>, course: &Course<'_>) -> Result<(), Reason<'p>> {
        let on = keys::switch("the value", &mut args)?;
        let seconds = seconds(&mut args)?;
        self.stage_command(Action::MasterMute { on, seconds }, args, course)
    }

    /// Stages a voice whose arguments were read up to the pairs of key and value.
    #[inline(always)]
    fn stage_voice<'p>(
        &mut self,
        action: Action,
        args: Args<'p>,
        course: &Course<'_>,
    ) -> Result<(), Reason<'p>> {
        self.push(action, course)?;
        // A copy, so that the arguments themselves need not be in memory.
        if args.next_tag().is_some() { self.take_pairs(args.clone()) } else { Ok(()) }
    }

    /// Takes the pairs of key and value of the voice staged last, right into it: copying an event that was only just
    /// written costs more than reading the message.
    #[inline(never)]
    fn take_pairs<'p>(&mut self, args: Args<'p>) -> Result<(), Reason<'p>> {
        let Some(voice) = self.staged.events.last_mut() else { return Ok(()) };
        Draft::of(voice, &mut self.ids, self.config.channels).map_or(Ok(()), |draft| draft.take_pairs(args))
    }

    /// Stages what is no voice, whose arguments were all read.
    #[inline(never)]
    fn stage_command<'p>(
        &mut self,
        action: Action,
        args: Args<'p>,
        course: &Course<'_>,
    ) -> Result<(), Reason<'p>> {
        self.push(action, course)?;
        end(&args)
    }

    /// Stages an event, unless there are so many already.
    #[inline(always)]
    fn push<'p>(&mut self, action: Action, course: &Course<'_>) -> Result<(), Reason<'p>> {
        if self.staged.events.len() >= self.config.events {
            return Err(Reason::Full);
        }
        let (when, from) = (course.when, course.arrival.from);
        self.staged.events.push(Event { when, from, late: None, action });
        Ok(())
    }
}

/// A clip as it is.
#[inline(always)]
fn plain(clip: ClipId) -> Play {
    Play { clip, rate: 1.0, start: 0.0, looped: false, shape: VoiceShape::default() }
}

/// The numbers of an instrument, up to the first pair.
fn numbers<'p>(args: &mut Args<'p>) -> Result<[f32; MAX_ARGS], Reason<'p>> {
    let mut numbers = [f32::NAN; MAX_ARGS];
    for number in &mut numbers {
        if !args.next_is_number() {
            return Ok(numbers);
        }
        *number = keys::number("a number", FINITE, args)? as f32;
    }
    if args.next_is_number() { Err(Reason::TooMany) } else { Ok(numbers) }
}

/// How long a change takes, if the message says so.
fn seconds<'p>(args: &mut Args<'p>) -> Result<f32, Reason<'p>> {
    match args.next_tag() {
        Some(_) => Ok(keys::number("seconds", SECONDS, args)? as f32),
        None => Ok(0.0),
    }
}

/// That there are no more arguments.
pub(super) fn end<'p>(args: &Args<'p>) -> Result<(), Reason<'p>> {
    if args.next_tag().is_some() { Err(Reason::TooMany) } else { Ok(()) }
}
