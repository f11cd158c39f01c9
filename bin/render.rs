//! `downbeat render`: a score to a WAV file, through the address space and the renderer of a node.
//!
//! The same score gives the same bits, whatever the block size: clocks are exact, nothing is late, and every event is
//! handed over long before any block could need it.

use crate::args::RenderArgs;
use crate::output::note;
use crate::score::Score;
use anyhow::{Context, bail};
use downbeat_engine::{
    ClipConfig, ClipId, Control, Immediate, Offline, Origin, SampleFolder, Settings, Streams, Supply, WavOut,
};
use downbeat_net::score::{Arrival, Score as AddressSpace, ScoreConfig};
use downbeat_sync::{ClockEstimate, EnsembleTime, LocalTime, RoomClock, Span};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Events are handed over so long before they are due: more than any block or interpolator looks ahead.
const AHEAD: Span = Span::from_secs(2);
/// Refused bundles that are told one by one.
const TOLD: u64 = 10;
/// No score is longer, but one whose timetags are of the wall clock is: it would fill the disk.
const LONGEST: Span = Span::from_secs(24 * 3_600);

/// Renders the whole score.
pub(crate) fn run(args: RenderArgs) -> anyhow::Result<()> {
    let score = Score::read(&args.score)?;
    if score.end() > LONGEST {
        bail!(
            "the score {} goes on for {}, more than {LONGEST}: its timetags must count from 0, not from 1900",
            args.score.display(),
            score.end()
        );
    }
    if args.out.canonicalize().is_ok_and(|out| args.score.canonicalize().is_ok_and(|score| score == out)) {
        bail!("{} is the score: name another file for the sound", args.out.display());
    }
    let frames = frames_of(score.end() + args.tail, args.rate);
    let settings = Settings {
        rate: args.rate,
        channels: args.channels.into(),
        // Room for the densest of scores, so that none is refused for being dense.
        agenda: score.messages().max(Settings::default().agenda),
        // A message outside of bundles is due at the start, and not a block after it.
        immediate: Immediate::Asap,
        ..Settings::default()
    };
    let (control, mut stage) = Offline::new(settings.clone(), Streams::none());
    let mut sender = Sender::new(control, &settings);
    if let Some(folder) = &args.samples {
        sender.load(folder)?;
    }

    let failure = || format!("cannot write {}", args.out.display());
    let mut wav = WavOut::create(&args.out, args.channels, args.rate).with_context(failure)?;
    let progress = progress(frames, args.rate);
    let mut block = vec![0.0; args.block as usize * usize::from(args.channels)];
    let (mut done, mut peak) = (0, 0f32);
    while done < frames {
        let len = (frames - done).min(u64::from(args.block));
        let out = &mut block[..len as usize * usize::from(args.channels)];
        out.fill(0.0);
        sender.send_until(&score, span_of(done + len, args.rate) + AHEAD);
        stage.render(out);
        sender.collect();
        peak = out.iter().fold(peak, |peak, sample| peak.max(sample.abs()));
        wav.write(out).with_context(failure)?;
        done += len;
        progress.set_position(done);
    }
    wav.finish().with_context(failure)?;
    progress.finish_and_clear();
    sender.summarize(&args, span_of(frames, args.rate), peak);
    Ok(())
}

/// The network thread's part: reads bundles into events.
struct Sender {
    space: AddressSpace,
    control: Control,
    clock: ClockEstimate,
    next: usize,
    refused: u64,
    requests: u64,
}

impl Sender {
    fn new(control: Control, settings: &Settings) -> Sender {
        let config = ScoreConfig {
            horizon: Span::MAX,
            channels: settings.channels as u16,
            events: settings.agenda,
            ..ScoreConfig::default()
        };
        let clock = ClockEstimate::new(LocalTime::from_ticks(0), EnsembleTime::from_bits(0));
        Sender { space: AddressSpace::new(config), control, clock, next: 0, refused: 0, requests: 0 }
    }

    /// Loads every sample of a folder, whole: offline no disk thread keeps up.
    fn load(&mut self, path: &Path) -> anyhow::Result<()> {
        let folder = SampleFolder::open(path)
            .with_context(|| format!("cannot use {} as samples folder", path.display()))?;
        let config = ClipConfig { whole: f64::INFINITY, ..ClipConfig::default() };
        for (place, sample) in folder.load_all(config).into_iter().enumerate() {
            let clip = match sample.clip {
                Ok(clip) => Arc::new(clip),
                Err(why) => {
                    tracing::warn!("{why}: passed over");
                    continue;
                }
            };
            let id = ClipId(u16::try_from(place).context("there are more samples than the engine takes")?);
            self.space.add_sample(&sample.name, id);
            if self.control.supply(Supply::Clip(id, clip)).is_err() {
                bail!("there are more samples than the engine takes");
            }
        }
        Ok(())
    }

    /// Sends every bundle that is due before `time` and was not sent yet.
    fn send_until(&mut self, score: &Score, time: Span) {
        while let Some(bundle) = score.bundles().get(self.next).filter(|bundle| bundle.at < time) {
            self.next += 1;
            let packet = bundle.packet(EnsembleTime::from_bits(0));
            if let Err(why) = self.send(&packet) {
                self.refused += 1;
                if self.refused <= TOLD {
                    tracing::warn!("at {}: {why}", bundle.at);
                }
            }
        }
    }

    /// Sends one bundle, or says why it is refused.
    fn send(&mut self, packet: &[u8]) -> Result<(), String> {
        let start = self.clock.anchor();
        let arrival = Arrival { at: start, from: Origin::default(), clock: RoomClock::steady(self.clock) };
        let staged = self
            .space
            .read(packet, &arrival)
            .map_err(|refusal| format!("{}: {}", refusal.address.escape_ascii(), refusal.reason))?;
        self.requests += staged.requests.len() as u64;
        self.control
            .send_all(&staged.events)
            .map_err(|_| "more events at one time than the engine takes".to_owned())
    }

    /// Takes what the renderer hands back, so that its rings never fill.
    fn collect(&mut self) {
        while self.control.report().is_some() {}
        while self.control.garbage().is_some() {}
    }

    fn summarize(&self, args: &RenderArgs, length: Span, peak: f32) {
        let counters = self.control.counters();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        note(format_args!(
            "{} of {} Hz, {} channels, peak {:.1} dBFS, to {}",
            length,
            args.rate,
            args.channels,
            20.0 * peak.log10(),
            args.out.display()
        ));
        note(format_args!(
            "{} events, {} late, {} dropped, {} voices stolen, {} bundles refused",
            count(&counters.events),
            count(&counters.late),
            count(&counters.dropped),
            count(&counters.stolen),
            self.refused + count(&counters.refused)
        ));
        if self.requests > 0 {
            note(format_args!(
                "{} requests (such as /status or /sample/load) were passed over",
                self.requests
            ));
        }
    }
}

/// A bar on a terminal; nothing elsewhere.
fn progress(frames: u64, rate: u32) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(frames), ProgressDrawTarget::stderr_with_hz(10));
    let secs = frames / u64::from(rate);
    let style =
        ProgressStyle::with_template(&format!("{{wide_bar}} {{percent}} % of {secs} s, {{eta}} left"));
    style.map_or_else(|_| ProgressBar::hidden(), |style| bar.with_style(style))
}

/// How many frames a span has, the last one begun.
fn frames_of(span: Span, rate: u32) -> u64 {
    let ticks = i128::from(span.ticks().max(0)) * i128::from(rate);
    (ticks as u128).div_ceil(1 << 32) as u64
}

fn span_of(frames: u64, rate: u32) -> Span {
    Span::from_ratio(frames.into(), rate.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_all_the_frames_it_begins() {
        assert_eq!(frames_of(Span::from_secs(4), 48_000), 192_000);
        assert_eq!(frames_of(Span::from_ticks(1), 48_000), 1);
        assert_eq!(frames_of(Span::ZERO, 48_000), 0);
    }
}
