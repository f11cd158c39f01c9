//! [`Driver`]: what a device calls. It reads the frame clock, renders, and measures its own load.
//!
//! Not for: the sound itself (`renderer`) or choosing devices (`device`). One driver lives as long as the node and moves
//! from device to device: agenda, clips and the ensemble's clock go on, the frame clock begins anew on each, with what is
//! remembered of that device's rate.

use crate::device::{Callback, Format, Host, Identity};
use crate::recorder::Tap;
use crate::reel::Reel;
use crate::renderer::Renderer;
use crate::report::{Counters, count};
use downbeat_sync::{Clock, DeviceRate, FrameClock, FrameMap, LocalTime, Span};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Weight of the newest block in the smoothed load: about the last hundred blocks.
const LOAD_WEIGHT: f64 = 0.01;

/// What somebody remembers of a card's rate, given its nominal one (Hz); `None` if nothing. Asked whenever a card is taken
/// up, never on the audio thread.
pub type Recall = Box<dyn Fn(Identity<'_>, u32) -> Option<DeviceRate> + Send>;

/// The audio thread's whole work.
pub struct Driver {
    renderer: Renderer,
    frames: FrameClock,
    recall: Option<Recall>,
    /// Whether the device has a crystal of its own, of which something can be learned.
    is_card: bool,
    channels: usize,
    rate: u32,
    /// Added to the device's latency: sound that should leave earlier still.
    trim: Span,
    tap: Option<Tap>,
    /// The rate and channels the tap's file has.
    recorded: (u32, usize),
    /// It has other ones than the device, so nothing is recorded now.
    pauses: bool,
    /// Until when it is recorded.
    reel: Reel,
    clock: Clock,
    counters: Arc<Counters>,
    load: f64,
    resyncs: u32,
}

impl Driver {
    /// Plays what `renderer` renders; at first in its rate and channels, which a recording has for good.
    ///
    /// `trim` is added to every device's latency: positive is earlier. `clock` times the callback; `tap` records what was
    /// played.
    pub fn new(renderer: Renderer, trim: Span, tap: Option<Tap>, clock: Clock) -> Driver {
        let (rate, channels) = (renderer.rate(), renderer.channels());
        let counters = Arc::clone(renderer.counters());
        Driver {
            renderer,
            frames: FrameClock::new(f64::from(rate)),
            recall: None,
            is_card: false,
            channels,
            rate,
            trim,
            tap,
            recorded: (rate, channels),
            pauses: false,
            reel: Reel::default(),
            clock,
            counters,
            load: 0.0,
            resyncs: 0,
        }
    }

    /// The same, but it asks `recall` for the rate of each card it moves to. What it learns itself is in
    /// [`Counters::learned`].
    pub fn remembering(self, recall: Recall) -> Driver {
        Driver { recall: Some(recall), ..self }
    }

    /// Records a block whose frames leave the connector by this map.
    fn record(&mut self, map: FrameMap, out: &[f32]) {
        let Some(tap) = &mut self.tap else { return };
        let (rate, _) = self.recorded;
        let frames = (out.len() / self.channels) as u64;
        let end = map.local_at(map.frame + frames);
        let was_lost = self.frames.quality().resyncs != self.resyncs;
        if self.recorded == (self.rate, self.channels) {
            tap.skip(self.reel.go_on(map.local, end, was_lost, rate));
            tap.push(out);
        } else {
            tap.skip(self.reel.stay_behind(end, rate));
        }
    }

    fn measure(&mut self, now: LocalTime, frames: usize, latency: Span) {
        if frames == 0 {
            return; // Nothing was allowed, so nothing can be told of it.
        }
        let allowed = frames as f64 / f64::from(self.rate);
        let load = (self.clock.now() - now).as_secs_f64() / allowed;
        self.load += LOAD_WEIGHT * (load - self.load);
        let quality = self.frames.quality();
        // The device may have counted some of these itself; what the clock finds is what was heard.
        self.counters.resyncs.fetch_add(u64::from(quality.resyncs - self.resyncs), Relaxed);
        self.resyncs = quality.resyncs;
        self.counters.load_ppm.store((self.load * 1e6) as u32, Relaxed);
        self.counters.peak_load_ppm.fetch_max((load * 1e6) as u32, Relaxed);
        self.counters.device_ppb.store((quality.ppm * 1e3) as i32, Relaxed);
        if self.is_card {
            self.counters.learned.set(self.frames.learned());
        }
        self.counters.frame_sigma_ns.store(quality.sigma.as_nanos() as u32, Relaxed);
        self.counters.latency_ns.store(latency.as_nanos(), Relaxed);
    }
}

impl Callback for Driver {
    fn configure(&mut self, format: Format, device: Identity<'_>) {
        self.rate = format.rate;
        self.channels = usize::from(format.channels);
        self.renderer.configure(format.rate, self.channels);
        // The virtual device runs by the local clock itself: there is nothing to remember.
        self.is_card = device.host != Host::Virtual;
        let recall = self.recall.as_ref().filter(|_| self.is_card);
        let known = recall.and_then(|recall| recall(device, format.rate));
        self.frames = FrameClock::knowing(f64::from(format.rate), known.unwrap_or(DeviceRate::UNKNOWN));
        self.counters.learned.set(None);
        self.resyncs = 0;
        self.reel.cut();
        let fits = self.recorded == (self.rate, self.channels);
        let has_paused = std::mem::replace(&mut self.pauses, self.tap.is_some() && !fits);
        if has_paused && fits {
            tracing::info!("the recording goes on: the device has its channels and rate again");
        }
        if self.pauses && !has_paused {
            let (rate, channels) = self.recorded;
            tracing::warn!(
                "the recording pauses: it has {channels} channels at {rate} Hz, the device {} at {} Hz",
                self.channels,
                self.rate
            );
        }
    }

    fn render(&mut self, now: LocalTime, latency: Span, out: &mut [f32]) {
        let frames = out.len() / self.channels;
        let latency = latency + self.trim;
        let wake = self.frames.begin(frames as u32, now);
        // From here on the map speaks of the connector: what must coincide is the sound that leaves it.
        let connector = FrameMap { frame: self.renderer.frame(), local: wake.local + latency, ..wake };
        let played = self.counters.played.load(Relaxed);
        self.renderer.render(connector, latency, out);
        if !self.is_card {
            self.counters.unheard.fetch_add(self.counters.played.load(Relaxed) - played, Relaxed);
        }
        self.record(connector, out);
        self.measure(now, frames, latency);
    }

    fn xrun(&mut self) {
        count(&self.counters.xruns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, Event, Origin, Tone, VoiceShape, Wave, When};
    use crate::settings::Settings;
    use crate::stream::Streams;
    use crate::{Control, lane};
    use downbeat_sync::{ClockEstimate, EnsembleTime};

    const START: u64 = 1 << 40;

    fn driver(trim: Span) -> (Control, Driver) {
        let (control, stage) = lane(64);
        let settings = Settings { channels: 1, limiter: false, ..Settings::default() };
        let estimate = ClockEstimate::new(LocalTime::from_ticks(START), EnsembleTime::from_bits(START));
        let renderer = Renderer::new(settings, stage, Streams::none(), estimate);
        (control, Driver::new(renderer, trim, None, Clock::new()))
    }

    /// Runs a device that wakes exactly in time; the local times at which a click leaves the connector.
    fn run(driver: &mut Driver, rate: u32, from: Span, blocks: u32, latency: Span) -> Vec<Span> {
        let format = Format { rate, channels: 1, block: 64, max_block: 64 };
        driver.configure(format, Identity { host: Host::Alsa, name: "card" });
        let mut heard = Vec::new();
        for block in 0..blocks {
            let since = from + Span::from_ratio(i128::from(block) * 64, i128::from(rate));
            let mut out = [0.0; 64];
            driver.render(LocalTime::from_ticks(START) + since, latency, &mut out);
            let click = out.iter().position(|sample| *sample != 0.0);
            heard.extend(click.map(|n| since + latency + Span::from_ratio(n as i128, i128::from(rate))));
        }
        heard
    }

    fn click_at(control: &mut Control, due: Span) {
        let when = When::at(EnsembleTime::from_bits(START) + due);
        let event = Event { when, from: Origin(0), late: None, action: Action::Click { gain: 1.0 } };
        control.send(event).expect("the ring has room");
    }

    #[test]
    fn sound_leaves_the_connector_at_its_timetag_whatever_the_latency() {
        for latency in [Span::ZERO, Span::from_micros(10_667), Span::from_millis(80)] {
            let (mut control, mut driver) = driver(Span::ZERO);
            let due = Span::from_millis(250);
            click_at(&mut control, due);
            let heard = run(&mut driver, 48_000, Span::ZERO, 400, latency);
            assert_eq!(heard.len(), 1);
            assert!((heard[0] - due).abs() <= Span::from_micros(11), "{} after {latency}", heard[0] - due);
        }
    }

    #[test]
    fn a_trim_of_two_milliseconds_is_two_milliseconds_earlier() {
        let (mut control, mut driver) = driver(Span::from_millis(2));
        click_at(&mut control, Span::from_millis(250));
        let heard = run(&mut driver, 48_000, Span::ZERO, 400, Span::ZERO);
        assert_eq!(heard, [Span::from_millis(248)]);
    }

    #[test]
    fn a_card_begins_with_what_is_remembered_of_it_and_says_what_it_learned() {
        let known = |device: Identity<'_>, rate: u32| {
            let is_known = device.host == Host::Alsa && device.name == "card" && rate == 48_000;
            is_known.then_some(DeviceRate { ppm: 40.0, sigma: 0.5 })
        };
        let (control, driver) = driver(Span::ZERO);
        let mut driver = driver.remembering(Box::new(known));
        let counters = || &control.counters().learned;
        let format = |rate| Format { rate, channels: 1, block: 64, max_block: 64 };
        driver.configure(format(48_000), Identity { host: Host::Virtual, name: "card" });
        assert_eq!(driver.frames.quality().ppm.round(), 0.0);
        driver.configure(format(44_100), Identity { host: Host::Alsa, name: "card" });
        assert_eq!(driver.frames.quality().ppm.round(), 0.0);
        run(&mut driver, 48_000, Span::ZERO, 1, Span::ZERO);
        assert_eq!(driver.frames.quality().ppm.round(), 40.0);
        assert_eq!(counters().get(), None);
        // The card in this test is exact, so what was remembered of it turns out to be wrong.
        run(&mut driver, 48_000, Span::ZERO, 60 * 750, Span::ZERO);
        let learned = counters().get().expect("a minute is enough");
        assert!(learned.ppm.abs() < 1.0 && learned.sigma < 1.5, "{learned:?}");
        driver.configure(format(48_000), Identity { host: Host::Virtual, name: "virtual" });
        assert_eq!(counters().get(), None);
    }

    #[test]
    fn a_long_tone_keeps_its_phase_on_any_card_that_wakes_late_now_and_then() {
        for fast in [80e-6, -80e-6] {
            let (mut control, mut driver) = driver(Span::ZERO);
            let shape = VoiceShape::default();
            let action = Action::Tone(Tone { freq: 0.25, wave: Wave::Saw, shape });
            let when = When::at(EnsembleTime::from_bits(START) + Span::from_secs(1));
            let event = Event { when, from: Origin(0), late: None, action };
            control.send(event).expect("the ring has room");
            let format = Format { rate: 48_000, channels: 1, block: 128, max_block: 128 };
            driver.configure(format, Identity { host: Host::Alsa, name: "card" });
            let (mut seed, mut worst) = (1u64, 0.0f64);
            for block in 0..30 * 375 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let began = f64::from(block) * 128.0 / (48_000.0 * (1.0 + fast));
                // Mostly in time, in one of eight cases up to half a millisecond late.
                let chance = (seed >> 40) as f64 / f64::from(1 << 24);
                let late = if chance < 0.125 { chance * 4e-3 } else { chance * 20e-6 };
                let now = LocalTime::from_ticks(START) + Span::from_secs_f64(began + late);
                let mut out = [0.0; 128];
                driver.render(now, Span::ZERO, &mut out);
                let apart = f64::from(out[0]) / 2.0 - ((began - 1.0) / 4.0).rem_euclid(1.0);
                if began > 5.0 && out[0].abs() < 0.96 {
                    worst = worst.max((apart - apart.round()).abs() * 4.0);
                }
            }
            // Without following, 2 ms.
            assert!(worst < 50e-6, "{worst} s");
            assert_eq!(control.counters().leaps.load(Relaxed), 0);
        }
    }

    #[test]
    fn what_waits_goes_on_waiting_on_the_next_device() {
        let (mut control, mut driver) = driver(Span::ZERO);
        let due = Span::from_millis(900);
        click_at(&mut control, due);
        assert!(run(&mut driver, 48_000, Span::ZERO, 100, Span::from_millis(5)).is_empty());
        // The first device is lost at 133 ms; a card of another rate takes over at 500 ms.
        let heard = run(&mut driver, 44_100, Span::from_millis(500), 400, Span::from_millis(7));
        assert_eq!(heard.len(), 1);
        assert!((heard[0] - due).abs() <= Span::from_micros(12), "{}", heard[0] - due);
    }
}
