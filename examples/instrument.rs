//! A node with an instrument of its own at `/pluck`: a plucked string (Karplus and Strong 1983).
//!
//! ```sh
//! cargo run --release --example instrument -- --seconds 10 &
//! downbeat send localhost:9000 /pluck 220 0.8 --in 1s
//! ```
//!
//! The engine gives it what every voice has: exact onsets, late handling, gain, pan, envelope, `/set`, `/stop`. Here is
//! all a program has to write: the sound ([`Pluck`]) and the wiring ([`main`]).

use downbeat_engine::device::{Device, Wanted};
use downbeat_engine::{
    Driver, Instrument, Param, Progress, Renderer, Run, Settings, Source, Start, Streams, lane,
};
use downbeat_net::{
    Endpoint, Handler, Hub, HubConfig, NetCounters, Outgoing, Output, Reactor, Sockets, StreamLimits,
};
use downbeat_sync::{Clock, LocalTime, Span, WallAnchor};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The lowest string there is, in Hz.
const LOWEST: f64 = 20.0;
/// The highest rate of a device it is made for, in Hz.
const HIGHEST_RATE: f64 = 192_000.0;
/// How many strings can sound at once.
const STRINGS: usize = 16;
/// What is left of the sound after each round.
const LOSS: f32 = 0.996;

/// One string: a line of noise that is played round and round, a little duller each time.
struct Pluck {
    line: Box<[f32]>,
    /// Frames of one round.
    period: usize,
    at: usize,
    rate: f64,
    loudest: f32,
}

impl Pluck {
    fn new() -> Pluck {
        let line = vec![0.0; (HIGHEST_RATE / LOWEST) as usize].into_boxed_slice();
        Pluck { line, period: 2, at: 0, rate: HIGHEST_RATE, loudest: 0.0 }
    }

    fn tune(&mut self, freq: f32) {
        let period = self.rate / f64::from(freq).max(LOWEST);
        self.period = (period.round() as usize).clamp(2, self.line.len());
        self.at %= self.period;
    }
}

impl Source for Pluck {
    fn channels(&self) -> usize {
        1
    }

    fn fill(&mut self, run: &mut Run<'_>) -> Progress {
        for (frame, sample) in run[0].iter_mut().enumerate() {
            let next = (self.at + 1) % self.period;
            *sample = self.line[self.at];
            self.line[self.at] = LOSS * 0.5 * (self.line[self.at] + self.line[next]);
            self.loudest = self.loudest.max(sample.abs());
            self.at = next;
            if next == 0 && std::mem::take(&mut self.loudest) < 1e-4 {
                return Progress::Done(frame + 1);
            }
        }
        Progress::Playing
    }

    fn set(&mut self, param: Param, value: f32, _frames: u32) -> bool {
        // There is no way between two lengths of the line, so a ramp is one step.
        let is_mine = param == Param::Freq;
        if is_mine {
            self.tune(value);
        }
        is_mine
    }
}

impl Instrument for Pluck {
    /// `/pluck [freq] [brightness, 0 to 1]`
    fn start(&mut self, start: Start, args: &[f32]) {
        let given = |n: usize, usual: f32| if args[n].is_nan() { usual } else { args[n] };
        let brightness = given(1, 0.7).clamp(0.05, 1.0);
        self.rate = start.rate;
        self.at = 0;
        self.loudest = 0.0;
        self.tune(given(0, 220.0));
        // The event's own noise: the same on every node, so that an ensemble plays one string.
        let mut noise = start.seed | 1;
        let mut dull = 0.0;
        for sample in &mut self.line[..self.period] {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            let white = (noise >> 40) as f32 / (1 << 23) as f32 - 1.0;
            dull += brightness * (white - dull);
            *sample = dull;
        }
    }
}

/// The hub for the reactor to run.
struct Strings {
    hub: Hub,
    sending: Vec<u8>,
}

impl Handler for Strings {
    fn on_packet(&mut self, arrival: LocalTime, from: Endpoint, packet: &[u8]) {
        self.hub.handle(arrival, from, packet);
    }

    fn on_sent(&mut self, cookie: u64, at: LocalTime) {
        self.hub.sent(cookie, at);
    }

    fn on_tick(&mut self, now: WallAnchor) {
        self.hub.tick(now);
    }

    fn deadline(&self) -> Option<LocalTime> {
        Some(self.hub.deadline())
    }

    fn poll(&mut self, now: LocalTime) -> Option<Outgoing<'_>> {
        loop {
            match self.hub.poll(now)? {
                Output::Send { to, packet, stamp } => {
                    self.sending = packet;
                    return Some(Outgoing::Send { to, packet: &self.sending, stamp });
                }
                Output::Load(request) => self.hub.loaded(&request, Err("there are only strings here".into())),
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = match std::env::args().skip_while(|arg| arg != "--seconds").nth(1) {
        Some(text) => text.parse()?,
        None => u64::MAX,
    };
    let clock = Clock::new();
    let settings = Settings::default();
    let (control, stage) = lane(settings.agenda);

    // What arrives: the address space, with one address more.
    let config = HubConfig::alone("plucker", env!("CARGO_PKG_VERSION"));
    let counters = Arc::new(NetCounters::default());
    let mut hub = Hub::new(config, control, Arc::clone(&counters), clock.anchor());
    let strings = (0..STRINGS).map(|_| Box::new(Pluck::new()) as Box<dyn Instrument>);
    hub.register("/pluck", 0, strings.collect())?;

    // What is heard.
    let renderer = Renderer::new(settings, stage, Streams::none(), hub.estimate());
    let driver = Driver::new(renderer, Span::ZERO, None, clock);
    let device = Device::start(Wanted::default(), clock, Box::new(driver))?;
    hub.set_device(device.state());

    // The loop.
    let sockets = Sockets::bind(None, 9000, &[])?;
    let mut reactor = Reactor::new(sockets, clock, StreamLimits::default(), counters)?;
    let handle = reactor.handle();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(seconds));
        handle.stop();
    });
    println!("ready: downbeat send localhost:9000 /pluck 220 0.8 --in 1s");
    reactor.run(&mut Strings { hub, sending: Vec::new() })?;
    Ok(())
}
