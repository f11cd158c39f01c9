//! [`Supervisor`]: the thread that keeps the callback seated on the best device there is.
//!
//! Not for: deciding (`machine`), nor for real-time work: between this thread and the audio thread there are only atomics
//! and the ring of a `seat`.

use super::card::{Card, Hush, Order};
use super::handle::{DeviceError, News, Shared};
use super::machine::{Action, Lost, Machine, Pace};
use super::paced::{DEFAULT_BLOCK, Paced};
use super::priority::Grant;
use super::seat::Guest;
use super::signals::{Signals, Signs};
use super::{DeviceState, Format, Host, Identity, Standing, Wanted};
use downbeat_sync::{Clock, Span};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;
use tracing::{debug, info, warn};

/// A card that failed before it played this long may dislike its sample format.
const TRIAL: Span = Span::from_secs(5);
/// Where the user leaves the virtual device's format to us.
const DEFAULT_RATE: u32 = 48_000;
const DEFAULT_CHANNELS: u16 = 2;
/// What the virtual device is called.
const VIRTUAL: &str = "virtual";
/// How often to look until the start is settled, which somebody waits for.
const EAGER: Span = Span::from_millis(5);

/// The thread's own things.
pub(crate) struct Supervisor {
    wanted: Wanted,
    clock: Clock,
    shared: Arc<Shared>,
    machine: Machine,
    home: Sender<Guest>,
    door: Receiver<Guest>,
    /// The callback, while it sits nowhere.
    guest: Option<Guest>,
    paced: Option<Open<Paced>>,
    card: Option<Open<Card>>,
    /// How many of the card's sample formats did not work.
    step: usize,
    /// Format of the virtual device: as wanted, later as on the last card, so that a move changes little.
    format: Format,
    seated_on_card: u32,
    past_xruns: u64,
    why_away: String,
}

/// An open device and its signs of life.
struct Open<D> {
    device: D,
    signals: Arc<Signals>,
}

impl Supervisor {
    pub(crate) fn new(wanted: Wanted, clock: Clock, guest: Guest, shared: Arc<Shared>) -> Supervisor {
        let (home, door) = mpsc::channel();
        let block = wanted.buffer.unwrap_or(DEFAULT_BLOCK);
        let format = Format {
            rate: wanted.rate.unwrap_or(DEFAULT_RATE),
            channels: wanted.channels.unwrap_or(DEFAULT_CHANNELS),
            block,
            max_block: block,
        };
        Supervisor {
            machine: Machine::new(clock.now(), wanted.host != Host::Virtual),
            wanted,
            clock,
            shared,
            home,
            door,
            guest: Some(guest),
            paced: None,
            card: None,
            step: 0,
            format,
            seated_on_card: 0,
            past_xruns: 0,
            why_away: String::new(),
        }
    }

    /// Runs until it is stopped; tells once how the start went. Gives the callback back.
    pub(crate) fn run(mut self, settled: &Sender<Result<(), DeviceError>>) -> Option<Guest> {
        let mut hush = Hush::new();
        let mut told = false;
        while !self.shared.stop.load(Relaxed) {
            let signs = self.card.as_ref().map_or(Signs::default(), |card| card.signals.read());
            match self.machine.look(self.clock.now(), signs) {
                Action::Wait(span) if told => self.wait(span),
                Action::Wait(span) => self.wait(span.min(EAGER)),
                Action::Open => {
                    self.open();
                    hush.flush();
                }
                Action::Seat => self.seat_on_card(),
                Action::Close(lost) => self.close(lost),
            }
            if self.guest.is_some() && self.card.is_none() {
                match self.seat_on_paced() {
                    Ok(()) => {}
                    Err(error) if told => warn!("{error}"),
                    Err(error) => {
                        let _ = settled.send(Err(error));
                        return self.guest;
                    }
                }
            }
            if !told && self.guest.is_none() {
                told = settled.send(Ok(())).is_ok();
            }
        }
        self.card = None;
        self.paced = None;
        self.guest.or_else(|| self.door.try_recv().ok())
    }

    fn wait(&self, span: Span) {
        if let Some(card) = &self.card {
            card.device.tend(&card.signals);
        }
        thread::park_timeout(Duration::from_nanos(span.as_nanos().max(0) as u64));
    }

    fn open(&mut self) {
        let signals = Arc::new(Signals::default());
        let host = if self.wanted.host == Host::Auto { Host::Alsa } else { self.wanted.host };
        let order = Order { host, wanted: &self.wanted, step: self.step, clock: self.clock };
        match Card::open(&order, &signals, self.home.clone()) {
            Ok(device) => {
                let Format { rate, block, .. } = device.format();
                self.machine.opened(self.clock.now(), Pace { rate, block });
                self.card = Some(Open { device, signals });
            }
            Err(why) => {
                self.machine.failed(self.clock.now());
                self.away(why);
            }
        }
    }

    /// Moves the callback to the card that is open and runs.
    fn seat_on_card(&mut self) {
        if self.guest.is_none() {
            self.past_xruns += self.paced.take().map_or(0, |paced| paced.signals.xruns());
            self.guest = self.door.try_recv().ok();
        }
        let (Some(mut card), Some(mut guest)) = (self.card.take(), self.guest.take()) else { return };
        let format = card.device.format();
        self.format = Format { block: self.format.block, max_block: self.format.block, ..format };
        self.seated_on_card += 1;
        self.why_away.clear();
        let state = DeviceState {
            host: card.device.host(),
            device: card.device.name().to_owned(),
            note: Some(card.device.notes().join(", ")).filter(|notes| !notes.is_empty()),
            ..self.blank(format)
        };
        self.publish(state, Arc::clone(&card.signals));
        guest.configure(format, Identity { host: card.device.host(), name: card.device.name() });
        // Handed back by a card that died this moment: the machine will see that too.
        self.guest = card.device.usher().lead_in(guest).err();
        self.card = Some(card);
    }

    fn seat_on_paced(&mut self) -> Result<(), DeviceError> {
        let signals = Arc::new(Signals::default());
        let (clock, home) = (self.clock, self.home.clone());
        let mut device = Paced::start(self.format, clock, Arc::clone(&signals), home)
            .map_err(|error| DeviceError::NoThread(error.to_string()))?;
        let Some(mut guest) = self.guest.take() else { return Ok(()) };
        let wanted = self.wanted.host == Host::Virtual;
        let state = DeviceState {
            standing: if wanted { Standing::Wanted } else { Standing::Meanwhile },
            note: (!wanted).then(|| self.why_away.clone()),
            ..self.blank(self.format)
        };
        self.publish(state, Arc::clone(&signals));
        guest.configure(self.format, Identity { host: Host::Virtual, name: VIRTUAL });
        self.guest = device.usher().lead_in(guest).err();
        self.paced = Some(Open { device, signals });
        Ok(())
    }

    /// Closes the card; whoever sat there is homeless for a moment.
    fn close(&mut self, lost: Lost) {
        let Some(card) = self.card.take() else { return };
        let why = format!("{} {lost}", card.device.name());
        let Format { rate, .. } = card.device.format();
        let played = Span::from_ratio(i128::from(card.signals.read().frames), i128::from(rate));
        if matches!(lost, Lost::Errors | Lost::Silent) && played < TRIAL {
            self.step += 1;
        }
        let seated_here = self.guest.is_none() && self.paced.is_none();
        if seated_here {
            self.past_xruns += card.signals.xruns();
        }
        drop(card);
        if seated_here {
            self.guest = self.door.try_recv().ok();
        }
        self.away(why);
    }

    /// Notes why there is no card. Says so aloud once for each time it went away, however often it is tried since.
    fn away(&mut self, why: String) {
        match self.wanted.host {
            _ if !self.why_away.is_empty() => {
                if why != self.why_away {
                    debug!("the card is still away ({why})");
                }
            }
            Host::Auto if self.seated_on_card == 0 => {
                info!("no sound card ({why}): playing on the virtual device, unheard, until one comes");
            }
            _ => warn!("the card is away ({why}): playing on the virtual device, unheard"),
        }
        self.why_away = why;
        if self.paced.is_some() {
            let mut news = self.shared.news.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(news) = news.as_mut() {
                news.state.note = Some(self.why_away.clone());
            }
        }
    }

    /// A state of the virtual device, to be filled in.
    fn blank(&self, format: Format) -> DeviceState {
        DeviceState {
            host: Host::Virtual,
            device: VIRTUAL.into(),
            format,
            latency: Span::ZERO,
            standing: Standing::Wanted,
            realtime: Grant::default(),
            reopened: self.seated_on_card.saturating_sub(1),
            xruns: 0,
            note: None,
        }
    }

    fn publish(&mut self, state: DeviceState, signals: Arc<Signals>) {
        let Format { rate, channels, block, .. } = state.format;
        let note = state.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
        if state.standing == Standing::Wanted {
            let device = &state.device;
            let host = state.host;
            info!(
                "playing on {host} {device}: {rate} Hz, {channels} channels, {block} frames per block{note}"
            );
        }
        let news = News { state, signals, past_xruns: self.past_xruns };
        *self.shared.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
    }
}
