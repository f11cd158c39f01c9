//! [`Supervisor`]: the thread that keeps the callback seated on the best device there is.
//!
//! Not for: deciding (`machine`), nor for calling drivers, which can hang (`worker`), nor for real-time work: between this
//! thread and the audio thread there are only atomics.

use super::card::{About, Order};
use super::handle::{DeviceError, Ended, News, Shared};
use super::machine::{Action, Lost, Machine, Pace};
use super::paced::{DEFAULT_BLOCK, Paced};
use super::priority::Grant;
use super::seat::{Held, Seat};
use super::signals::{Signals, Signs};
use super::worker::{Done, Worker};
use super::{DeviceState, Format, Host, Identity, Standing, Wanted};
use downbeat_sync::{Clock, Span};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
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
/// How long a card may take to close at the end. A JACK client takes 0.1 s, an ALSA stream a block.
const FAREWELL: Span = Span::from_millis(500);
/// How long the callback is waited for where it sits: a block takes less than its own length.
const BLOCK_ENDS: Duration = Duration::from_millis(200);

/// The thread's own things.
pub(crate) struct Supervisor {
    wanted: Wanted,
    clock: Clock,
    shared: Arc<Shared>,
    machine: Machine,
    /// The callback, while it sits nowhere.
    held: Option<Held>,
    paced: Option<Open<Paced>>,
    /// Opens and closes cards, once one is wanted.
    worker: Option<Worker>,
    /// A card that is being opened, or is open.
    card: Option<Open<Option<About>>>,
    /// Where the callback was being called when it was to be taken, for longer than a block should last.
    stray: Option<Seat>,
    /// How many of the card's sample formats did not work.
    step: usize,
    /// Format of the virtual device: as wanted, later as on the last card, so that a move changes little.
    format: Format,
    /// Cards that were played on, and whether the one that is open is not yet among them.
    seated_on_card: u32,
    fresh: bool,
    stalls: u64,
    past_xruns: u64,
    why_away: String,
}

/// A device, its seat and its signs of life.
struct Open<D> {
    device: D,
    seat: Seat,
    signals: Arc<Signals>,
}

impl<D> Open<D> {
    fn new(device: D, seat: Seat, signals: Arc<Signals>) -> Open<D> {
        Open { device, seat, signals }
    }

    /// Takes the callback, waiting for the end of a block.
    fn vacate(&self) -> Option<Held> {
        let step = Duration::from_micros(200);
        let looks = BLOCK_ENDS.as_micros() / step.as_micros();
        for _ in 0..looks {
            if let Some(held) = self.seat.take() {
                return Some(held);
            }
            thread::sleep(step);
        }
        self.seat.take()
    }
}

impl Supervisor {
    pub(crate) fn new(wanted: Wanted, clock: Clock, callback: Held, shared: Arc<Shared>) -> Supervisor {
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
            held: Some(callback),
            paced: None,
            worker: None,
            card: None,
            stray: None,
            step: 0,
            format,
            seated_on_card: 0,
            fresh: false,
            stalls: 0,
            past_xruns: 0,
            why_away: String::new(),
        }
    }

    /// Runs until it is stopped; tells once how the start went.
    pub(crate) fn run(mut self, settled: &Sender<Result<(), DeviceError>>) -> Ended {
        let mut told = false;
        while !self.shared.stop.load(Relaxed) {
            self.hear();
            let signs = self.card.as_ref().map_or(Signs::default(), |card| card.signals.read());
            match self.machine.look(self.clock.now(), signs) {
                Action::Wait(span) => {
                    self.watch_block();
                    self.wait(if told { span } else { span.min(EAGER) });
                }
                Action::Open => self.open(),
                Action::Seat => self.seat_on_card(),
                Action::Vacate => self.vacate(),
                Action::Close(lost) => self.close(lost),
            }
            if self.held.is_some() && !self.machine.is_promising(self.clock.now()) {
                if self.machine.is_opening() && self.why_away.is_empty() {
                    self.away("it takes long to open".to_owned());
                }
                match self.seat_on_paced() {
                    Ok(()) => {}
                    Err(error) if told => warn!("{error}"),
                    Err(error) => {
                        let _ = settled.send(Err(error));
                        break;
                    }
                }
            }
            if !told && self.held.is_none() {
                told = settled.send(Ok(())).is_ok();
            }
        }
        self.end()
    }

    fn end(mut self) -> Ended {
        // Stopped first: then its seat is not being called from.
        let paced = self.paced.take().map(|Open { device, seat, .. }| {
            drop(device);
            seat
        });
        let held = self.held.or_else(|| paced.as_ref().and_then(Seat::take));
        let held = held.or_else(|| self.card.as_ref().and_then(Open::vacate));
        let held = held.or_else(|| self.stray.as_ref().and_then(Seat::take));
        let is_clean = self.worker.is_none_or(|worker| worker.end(self.clock, FAREWELL));
        if !is_clean {
            warn!("the sound driver does not come back, and is left behind");
        }
        Ended { callback: held.map(|held| *held), is_clean }
    }

    fn wait(&self, span: Span) {
        thread::park_timeout(Duration::from_nanos(span.as_nanos().max(0) as u64));
    }

    /// Takes in what the worker has done.
    fn hear(&mut self) {
        if let Some(held) = self.stray.as_ref().and_then(Seat::take) {
            self.held = Some(held);
            self.stray = None;
        }
        let now = self.clock.now();
        match self.worker.as_ref().and_then(Worker::done) {
            None => {}
            Some(Done::Opened(Ok(about))) => {
                let Format { rate, block, .. } = about.format;
                self.machine.opened(now, Pace { rate, block, served: about.host == Host::Jack });
                self.fresh = true;
                if let Some(card) = &mut self.card {
                    card.device = Some(about);
                }
            }
            Some(Done::Opened(Err(why))) => {
                self.card = None;
                self.machine.failed(now);
                self.away(why);
            }
            Some(Done::Closed) => self.machine.closed(now),
        }
    }

    fn open(&mut self) {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => match Worker::start(thread::current()) {
                Ok(worker) => worker,
                Err(error) => {
                    self.machine.failed(self.clock.now());
                    return self.away(error.to_string());
                }
            },
        };
        let (seat, signals) = (Seat::default(), Arc::new(Signals::default()));
        let host = if self.wanted.host == Host::Auto { Host::Alsa } else { self.wanted.host };
        let order = Order { host, wanted: self.wanted.clone(), step: self.step, clock: self.clock };
        worker.open(order, seat.clone(), Arc::clone(&signals));
        self.card = Some(Open::new(None, seat, signals));
        self.worker = Some(worker);
    }

    /// Moves the callback to the card that is open and runs.
    fn seat_on_card(&mut self) {
        self.leave_paced();
        let Some((card, about)) = self.card.as_ref().and_then(|card| Some((card, card.device.clone()?)))
        else {
            return;
        };
        let Some(mut held) = self.held.take() else { return };
        let (seat, signals) = (card.seat.clone(), Arc::clone(&card.signals));
        let block = signals.block().unwrap_or(about.format.block);
        let format = Format { block, ..about.format };
        self.format = Format { block: self.format.block, max_block: self.format.block, ..format };
        self.seated_on_card += u32::from(std::mem::take(&mut self.fresh));
        self.why_away.clear();
        let state = DeviceState {
            host: about.host,
            device: about.name.clone(),
            note: Some(about.notes.join(", ")).filter(|notes| !notes.is_empty()),
            ..self.blank(format)
        };
        self.publish(state, signals);
        held.configure(format, Identity { host: about.host, name: &about.name });
        seat.put(held);
    }

    fn leave_paced(&mut self) {
        let Some(Open { device, seat, signals }) = self.paced.take() else { return };
        // Ended first: then its seat is not being called from.
        drop(device);
        self.past_xruns = self.past_xruns.wrapping_add(signals.xruns());
        self.held = self.held.take().or_else(|| seat.take());
    }

    fn seat_on_paced(&mut self) -> Result<(), DeviceError> {
        let (seat, signals) = (Seat::default(), Arc::new(Signals::default()));
        let device = Paced::start(self.format, self.clock, Arc::clone(&signals), seat.clone())
            .map_err(|error| DeviceError::NoThread(error.to_string()))?;
        let Some(mut held) = self.held.take() else { return Ok(()) };
        let standing = match self.wanted.host {
            Host::Virtual => Standing::Wanted,
            _ if self.machine.is_stalled() => Standing::Stalled,
            _ => Standing::Meanwhile,
        };
        let state = DeviceState {
            standing,
            note: (standing != Standing::Wanted).then(|| self.why_away.clone()),
            ..self.blank(self.format)
        };
        self.publish(state, Arc::clone(&signals));
        held.configure(self.format, Identity { host: Host::Virtual, name: VIRTUAL });
        seat.put(held);
        self.paced = Some(Open::new(device, seat, signals));
        Ok(())
    }

    /// Takes the callback from the card, if it sits there.
    fn leave_card(&mut self) -> bool {
        let is_here = self.held.is_none() && self.paced.is_none();
        if let Some(card) = self.card.as_ref().filter(|_| is_here) {
            self.past_xruns = self.past_xruns.wrapping_add(card.signals.xruns());
            self.held = card.vacate();
            self.stray = self.held.is_none().then(|| card.seat.clone());
        }
        is_here
    }

    /// Takes the callback from a card that calls no more, and leaves the card open.
    fn vacate(&mut self) {
        self.leave_card();
        self.stalls += 1;
        let name = self.card.as_ref().and_then(|card| card.device.as_ref()).map_or("", |about| &about.name);
        self.away(format!("{name} has stalled: it stopped asking for blocks"));
    }

    /// Begins to close the card; the callback, if it sat there, sits nowhere for a moment.
    fn close(&mut self, lost: Lost) {
        self.leave_card();
        let Some(Open { device: Some(about), signals, .. }) = self.card.take() else { return };
        if let Some(worker) = &self.worker {
            worker.close();
        }
        let played = Span::from_ratio(i128::from(signals.read().frames), i128::from(about.format.rate));
        if matches!(lost, Lost::Errors | Lost::Silent) && played < TRIAL {
            self.step += 1;
        }
        self.set_standing(Standing::Meanwhile);
        self.away(format!("{} {lost}", about.name));
    }

    /// Says so if the card's blocks have another length than they had: a server can be told so while it runs.
    fn watch_block(&mut self) {
        let Some(block) = self.card.as_ref().and_then(|card| card.signals.block()) else { return };
        if self.paced.is_some() || self.held.is_some() {
            return; // Said when the callback moves there.
        }
        let mut news = self.shared.news.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(news) = news.as_mut().filter(|news| news.state.format.block != block) else { return };
        info!("{} {} has {block} frames per block now", news.state.host, news.state.device);
        news.state.format.block = block;
        let mut notes = Vec::new();
        self.machine.set_block(block);
        if let Some(wanted) = self.wanted.buffer.filter(|wanted| *wanted != block) {
            notes.push(format!("{block} instead of {wanted} frames per block"));
        }
        let others = news.state.note.iter().flat_map(|note| note.split(", "));
        notes.extend(others.filter(|note| !note.ends_with("frames per block")).map(str::to_owned));
        news.state.note = Some(notes.join(", ")).filter(|notes| !notes.is_empty());
    }

    /// The virtual device stands in for another reason now.
    fn set_standing(&self, standing: Standing) {
        let mut news = self.shared.news.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = news.as_mut().filter(|news| news.state.standing != Standing::Wanted) {
            news.state.standing = standing;
        }
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
            stalls: self.stalls,
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
        // A card that only stalled goes on with the counts it had.
        self.past_xruns = self.past_xruns.wrapping_sub(signals.xruns());
        let news = News { state, signals, past_xruns: self.past_xruns };
        *self.shared.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
    }
}
