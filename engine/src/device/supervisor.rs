//! [`Device`]: the supervisor, a thread that keeps the callback seated on the best device there is.
//!
//! Not for: deciding (`machine`), nor for real-time work: between this thread and the audio thread there are only atomics
//! and the ring of a `seat`.

use super::card::{Card, Hush, Order};
use super::machine::{Action, Lost, Machine, Pace};
use super::paced::{DEFAULT_BLOCK, Paced};
use super::seat::Guest;
use super::signals::{Signals, Signs};
use super::{
    Callback, DeviceState, Format, Host, MAX_CHANNELS, Standing, VIRTUAL_BLOCKS, VIRTUAL_RATES, Wanted,
};
use downbeat_sync::{Clock, Span};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tracing::{info, warn};

/// The node's device, whichever it is now. Dropping it stops it.
pub struct Device {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Option<Guest>>>,
}

/// A device cannot be had at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// This build has no such host.
    #[error("this build has no host {host}: build it with --features {feature}")]
    NotBuilt {
        /// The host that was asked for.
        host: Host,
        /// The cargo feature that brings it.
        feature: &'static str,
    },
    /// A number no device of this host can do.
    #[error("the virtual device has no {what} of {value}: {min} to {max}")]
    OutOfRange {
        /// What the number counts.
        what: &'static str,
        /// The number.
        value: u32,
        /// The least that is possible.
        min: u32,
        /// The most that is possible.
        max: u32,
    },
    /// The operating system gives no thread.
    #[error("no thread for the device: {0}")]
    NoThread(String),
    /// The callback did not come back: a driver hangs, or the callback panicked.
    #[error("the device did not give the audio back")]
    Hanging,
}

/// Between the supervisor and whoever asks for its state; never touched by an audio thread.
struct Shared {
    stop: AtomicBool,
    news: Mutex<Option<News>>,
}

#[derive(Clone)]
struct News {
    state: DeviceState,
    /// Of the device in use.
    signals: Arc<Signals>,
    /// Xruns of the devices before it.
    past_xruns: u64,
}

impl Device {
    /// Starts playing: on the card that was wanted if it opens, else on the virtual device, in silence until then.
    ///
    /// Returns when one of the two is settled; a sound server may take three seconds.
    ///
    /// # Errors
    /// If this build has no such host, or a number is out of the virtual device's range. That a card is not there is no
    /// error: [`Device::state`] tells, and the card is tried again for as long as the device lives.
    pub fn start(wanted: Wanted, clock: Clock, callback: Box<dyn Callback>) -> Result<Device, DeviceError> {
        check(&wanted)?;
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), news: Mutex::new(None) });
        let (settled, wait) = mpsc::channel();
        let told = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("device".into())
            .spawn(move || Supervisor::new(wanted, clock, callback, told).run(&settled))
            .map_err(|error| DeviceError::NoThread(error.to_string()))?;
        let device = Device { shared, thread: Some(thread) };
        wait.recv().map_err(|_| DeviceError::Hanging)??;
        Ok(device)
    }

    /// What it plays on now. Not for the audio thread.
    pub fn state(&self) -> DeviceState {
        let news = self.shared.news.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let News { mut state, signals, past_xruns } = news.expect("published before start returned");
        state.latency = signals.latency();
        state.realtime = signals.grant();
        state.xruns = past_xruns + signals.xruns();
        state
    }

    /// Stops, and gives the callback back. What still sounds is cut off: fade out first.
    ///
    /// # Errors
    /// [`DeviceError::Hanging`] if it is lost.
    pub fn stop(mut self) -> Result<Box<dyn Callback>, DeviceError> {
        self.halt().ok_or(DeviceError::Hanging)
    }

    fn halt(&mut self) -> Option<Guest> {
        let thread = self.thread.take()?;
        self.shared.stop.store(true, Relaxed);
        thread.thread().unpark();
        thread.join().ok().flatten()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Refuses what no device could ever do.
fn check(wanted: &Wanted) -> Result<(), DeviceError> {
    let missing = match wanted.host {
        Host::Alsa if cfg!(not(feature = "device")) => Some("device"),
        Host::Jack if cfg!(not(feature = "jack")) => Some("jack"),
        _ => None,
    };
    if let Some(feature) = missing {
        return Err(DeviceError::NotBuilt { host: wanted.host, feature });
    }
    let limits = [
        ("rate", wanted.rate, VIRTUAL_RATES),
        ("buffer", wanted.buffer, VIRTUAL_BLOCKS),
        ("channels", wanted.channels.map(u32::from), (1, u32::from(MAX_CHANNELS))),
    ];
    for (what, value, (min, max)) in limits {
        if let Some(value) = value.filter(|value| !(min..=max).contains(value)) {
            return Err(DeviceError::OutOfRange { what, value, min, max });
        }
    }
    Ok(())
}

/// The thread's own things.
struct Supervisor {
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
    fn new(wanted: Wanted, clock: Clock, guest: Guest, shared: Arc<Shared>) -> Supervisor {
        let (home, door) = mpsc::channel();
        let block = wanted.buffer.unwrap_or(DEFAULT_BLOCK);
        let format = Format {
            rate: wanted.rate.unwrap_or(48_000),
            channels: wanted.channels.unwrap_or(2),
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
    fn run(mut self, settled: &Sender<Result<(), DeviceError>>) -> Option<Guest> {
        let mut hush = Hush::new();
        let mut told = false;
        while !self.shared.stop.load(Relaxed) {
            let signs = self.card.as_ref().map_or(Signs::default(), |card| card.signals.read());
            match self.machine.look(self.clock.now(), signs) {
                Action::Wait(span) if told => self.wait(span),
                Action::Wait(span) => self.wait(span.min(Span::from_millis(5))),
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
        guest.configure(format);
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
        guest.configure(self.format);
        self.guest = device.usher().lead_in(guest).err();
        self.paced = Some(Open { device, signals });
        Ok(())
    }

    /// Closes the card; whoever sat there is homeless for a moment.
    fn close(&mut self, lost: Lost) {
        let Some(card) = self.card.take() else { return };
        let why = format!("{} {lost}", card.device.name());
        if matches!(lost, Lost::Errors | Lost::Silent) {
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

    /// Notes why there is no card. Says so only when it is another reason than before.
    fn away(&mut self, why: String) {
        if why == self.why_away {
            return;
        }
        match self.wanted.host {
            Host::Auto if self.seated_on_card == 0 => {
                info!("no sound card ({why}): playing on the virtual device, unheard, until one comes");
            }
            host => warn!("the {host} device is away ({why}): playing on the virtual device, unheard"),
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
            device: "virtual".into(),
            format,
            latency: Span::ZERO,
            standing: Standing::Wanted,
            realtime: Default::default(),
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
