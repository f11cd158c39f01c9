//! [`Feed`]: what happens in a card's callback, from the first reading of the clock to the last sample converted.
//!
//! Everything of cpal that is uncertain ends here: timestamps whose epoch differs per host, blocks of any length, sample
//! formats. Not for: opening cards (`card`).

use super::latency::LatencyFilter;
use super::priority::{AUDIO_PRIORITY, raise_this_thread};
use super::seat::Seat;
use super::signals::Signals;
use cpal::{FromSample, OutputStreamTimestamp, Sample};
use downbeat_sync::{Clock, LocalTime, Span};
use std::sync::Arc;

/// The first callbacks fill the card's buffer in a rush: their timestamps say nothing.
const RUSH: u64 = 8;
/// JACK's own clock is wrong for so long after an xrun, by hundreds of frames at first.
const UPSET: Span = Span::from_secs(10);
/// The earliest tenth of callbacks is about so late, until it is measured.
const WAKE: Span = Span::from_micros(30);
/// JACK calls after its cycle began. A callback this much before it comes of an upset clock.
const EARLY: Span = Span::from_micros(50);
/// The earliest tenth of callbacks is less late than this, or else JACK's clock is upset, or is not the raw one.
const LATE: Span = Span::from_micros(250);
/// No single claim that is off by more says anything.
const ABSURD: Span = Span::from_millis(20);

/// How a host says when a block will be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamps {
    /// Only the difference of its two timestamps means something (ALSA).
    Relative,
    /// Its timestamps are CLOCK_MONOTONIC_RAW since its start, and the port's latency is known besides (JACK).
    Absolute,
}

/// The callback's own things.
pub(crate) struct Feed {
    pub(crate) seat: Seat,
    pub(crate) signals: Arc<Signals>,
    /// Local time, as the node sees it.
    clock: Clock,
    /// The same without a simulated distortion: what the host's absolute stamps count.
    raw: Clock,
    stamps: Stamps,
    rate: u32,
    channels: usize,
    filter: LatencyFilter,
    /// What is known of the latency outside of the callback, and what is made of it until the filter knows better.
    claimed: Span,
    nominal: Span,
    calls: u64,
    xruns: u64,
    calm_from: LocalTime,
    raised: bool,
    scratch: Vec<f32>,
}

impl Feed {
    /// For blocks of any length, handed on in pieces of at most `max_block` frames.
    pub(crate) fn new(
        (seat, signals): (Seat, Arc<Signals>),
        clock: Clock,
        stamps: Stamps,
        (rate, channels, max_block): (u32, u16, u32),
    ) -> Feed {
        let channels = usize::from(channels);
        Feed {
            seat,
            signals,
            clock,
            raw: Clock::new(),
            stamps,
            rate,
            channels,
            filter: LatencyFilter::new(),
            claimed: Span::ZERO,
            nominal: Span::ZERO,
            calls: 0,
            xruns: 0,
            calm_from: LocalTime::from_ticks(0),
            // JACK raises its clients itself.
            raised: stamps == Stamps::Absolute,
            scratch: vec![0.0; max_block as usize * channels],
        }
    }

    /// One callback of the card. `RT:` but for the one system call that raises the thread, before its first sound.
    pub(crate) fn call<T: Sample + FromSample<f32>>(&mut self, stamp: OutputStreamTimestamp, out: &mut [T]) {
        let (now, raw) = (self.clock.now(), self.raw.now());
        let frames = out.len() / self.channels;
        let latency = self.latency(now, raw, stamp, self.span(frames));
        self.signals.called(frames);
        let xrun = std::mem::replace(&mut self.xruns, self.signals.xruns()) != self.xruns;
        let Some(mut callback) = self.seat.take() else { return };
        if !self.raised {
            self.raised = true;
            self.signals.set_grant(raise_this_thread(AUDIO_PRIORITY));
        }
        if xrun {
            callback.xrun();
        }
        let mut done = 0;
        for part in out.chunks_mut(self.scratch.len()) {
            let scratch = &mut self.scratch[..part.len()];
            scratch.fill(0.0);
            // The rest of an overlong block is asked for as late as its first frame is heard late.
            let since = Span::from_ratio(done, i128::from(self.rate));
            callback.render(now + since, latency, scratch);
            for (sample, rendered) in part.iter_mut().zip(scratch) {
                *sample = T::from_sample(*rendered);
            }
            done += (part.len() / self.channels) as i128;
        }
        self.seat.put(callback);
    }

    fn span(&self, frames: usize) -> Span {
        Span::from_ratio(frames as i128, i128::from(self.rate))
    }

    /// The latency in use from this block on.
    fn latency(&mut self, now: LocalTime, raw: LocalTime, stamp: OutputStreamTimestamp, block: Span) -> Span {
        self.calls += 1;
        if self.signals.xruns() != self.xruns {
            self.calm_from = now + UPSET;
        }
        if self.signals.claimed() != self.claimed {
            self.claimed = self.signals.claimed();
            let exact = self.stamps == Stamps::Absolute;
            self.filter.restart(if exact { self.claimed - LATE } else { Span::ZERO });
            self.nominal = if exact { self.claimed - WAKE } else { self.claimed };
        }
        let claim = match self.stamps {
            Stamps::Relative => relative_claim(stamp),
            Stamps::Absolute => self.absolute_claim(now, raw, stamp),
        };
        if let Some(claim) = claim.filter(|_| self.calls > RUSH) {
            self.filter.observe(claim, block);
        }
        let latency = self.filter.latency().unwrap_or(self.nominal);
        self.signals.set_latency(latency);
        latency
    }

    fn absolute_claim(
        &mut self,
        now: LocalTime,
        raw: LocalTime,
        stamp: OutputStreamTimestamp,
    ) -> Option<Span> {
        let heard = Span::from_nanos(stamp.playback.as_nanos() as i64);
        let claim = heard - (raw - LocalTime::from_ticks(0));
        if claim > self.claimed + EARLY {
            self.calm_from = self.calm_from.later(now + UPSET);
        }
        let calm = !now.is_before(self.calm_from);
        (calm && (claim - self.claimed).abs() < ABSURD).then_some(claim)
    }
}

fn relative_claim(stamp: OutputStreamTimestamp) -> Option<Span> {
    let ahead = stamp.playback.checked_duration_since(stamp.callback)?;
    Some(Span::from_nanos(ahead.as_nanos() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Callback, Format, Identity};
    use cpal::StreamInstant;
    use std::sync::mpsc::{self, Sender};

    /// Fills each block with 0.5 and tells when it was asked for how many samples; `None` is an xrun.
    struct Half(Sender<Option<(LocalTime, usize)>>);

    impl Callback for Half {
        fn configure(&mut self, _: Format, _: Identity<'_>) {}

        fn render(&mut self, now: LocalTime, _: Span, out: &mut [f32]) {
            out.fill(0.5);
            let _ = self.0.send(Some((now, out.len())));
        }

        fn xrun(&mut self) {
            let _ = self.0.send(None);
        }
    }

    #[test]
    fn an_overlong_block_comes_in_pieces_each_at_its_time_and_in_the_cards_format() {
        let (told, seen) = mpsc::channel();
        let seat = Seat::default();
        let signals = Arc::new(Signals::default());
        let mut feed =
            Feed::new((seat.clone(), Arc::clone(&signals)), Clock::new(), Stamps::Relative, (48_000, 2, 64));
        feed.raised = true;
        let stamp = OutputStreamTimestamp {
            callback: StreamInstant::from_millis(5),
            playback: StreamInstant::from_millis(10),
        };
        let mut out = [0i16; 2 * 100];
        feed.call(stamp, &mut out);
        assert!(out.iter().all(|sample| *sample == 0), "nobody sits there yet");

        seat.put(Box::new(Box::new(Half(told))));
        signals.xrun();
        feed.call(stamp, &mut out);
        assert!(out.iter().all(|sample| *sample == i16::MAX / 2 + 1));
        let [xrun, first, second] = [(); 3].map(|()| seen.try_recv().expect("an xrun and two pieces"));
        let (Some((at, 128)), Some((then, 72))) = (first, second) else { panic!("{first:?} {second:?}") };
        assert_eq!((xrun, then - at), (None, Span::from_ratio(64, 48_000)));
        assert_eq!((signals.read().callbacks, signals.read().frames), (2, 200));

        assert!(seat.take().is_some());
        out.fill(0);
        feed.call(stamp, &mut out);
        assert!(out.iter().all(|sample| *sample == 0) && seen.try_recv().is_err(), "the seat is empty again");
    }
}
