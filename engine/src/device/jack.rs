//! [`Playing`]: our one client of a JACK server: it plays, and knows the latency and the connections of its own ports.
//!
//! libjack is fragile where a server dies: all clients of a process share one lock and one mapping of the server's memory, and the
//! mapping is exchanged when a client of the next server opens. A second client (cpal opens up to three) therefore crashes the
//! process now and then when a server restarts, and any call can hang while the server stands still. So there is one client, opened
//! and closed by the `worker` alone; everything else is asked in its callbacks. Not for: what is played (`feed`).

use super::card::{About, Order};
use super::choose::{DEFAULT_CHANNELS, note};
use super::feed::{Feed, Stamps};
use super::list::DeviceListing;
use super::seat::Seat;
use super::signals::Signals;
use super::{Format, Host, MAX_CHANNELS};
use cpal::{OutputStreamTimestamp, StreamInstant};
use downbeat_sync::Span;
use jack::{
    AsyncClient, AudioOut, Client, ClientOptions, ClientStatus, Control, Frames, LatencyType,
    NotificationHandler, Port, PortFlags, ProcessHandler, ProcessScope,
};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The largest period a JACK server can be switched to while it runs (BUFFER_SIZE_MAX in its sources; frames).
const MAX_BLOCK: u32 = 8_192;
/// What the client is called; the server adds a number if the name is taken.
const CLIENT: &str = "downbeat";
/// What people call the device.
const NAME: &str = "JACK Output";
/// How long a server may take to answer somebody who only wants to list it.
const PATIENCE: Duration = Duration::from_secs(2);

/// An open client that plays. Dropping it closes it, which hangs while the server stands still.
pub(crate) type Playing = AsyncClient<Notes, Process>;

/// Opens the client, connects its ports and lets it play.
///
/// # Errors
/// If there is no server, or it refuses, or there is no client to connect to.
pub(crate) fn open(order: &Order, seat: Seat, signals: &Arc<Signals>) -> Result<(Playing, About), String> {
    let client = client()?;
    let (rate, block) = (client.sample_rate(), client.buffer_size());
    let channels = order.wanted.channels.unwrap_or(DEFAULT_CHANNELS);
    let mut notes = Vec::new();
    note(&mut notes, "Hz", order.wanted.rate, rate);
    note(&mut notes, "frames per block", order.wanted.buffer, block);
    let ports = (1..=channels)
        .map(|channel| client.register_port(&format!("out_{channel}"), AudioOut::default()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let names: Vec<_> = ports.iter().filter_map(|port| port.name().ok()).collect();
    signals.set_claimed(Span::from_ratio(i128::from(block), i128::from(rate)));
    let feed =
        Feed::new((seat, Arc::clone(signals)), order.clock, Stamps::Absolute, (rate, channels, MAX_BLOCK));
    let process = Process {
        feed,
        ports,
        block,
        rate,
        interleaved: vec![0.0; MAX_BLOCK as usize * usize::from(channels)],
    };
    let playing = client
        .activate_async(Notes { signals: Arc::clone(signals), rate }, process)
        .map_err(|error| error.to_string())?;
    connect(playing.as_client(), &names, order.wanted.device.as_deref())?;
    let format = Format { rate, channels, block, max_block: MAX_BLOCK };
    Ok((playing, About { host: Host::Jack, format, name: NAME.to_owned(), notes }))
}

fn client() -> Result<Client, String> {
    let opened = Client::new(CLIENT, ClientOptions::NO_START_SERVER);
    let (client, _) = opened.map_err(|error| match error {
        jack::Error::LibraryError(_) => "JACK is not installed".to_owned(),
        _ => "no JACK server is running".to_owned(),
    })?;
    Ok(client)
}

/// Connects our ports to the inputs of the client of this name, else to the hardware; more than that has stay unconnected.
fn connect(client: &Client, ours: &[String], target: Option<&str>) -> Result<(), String> {
    let inputs = client.ports(None, None, PortFlags::IS_INPUT);
    let of = |port: &&String| port.split(':').next() == Some(target.unwrap_or("system"));
    let theirs: Vec<_> =
        inputs.iter().filter(of).filter(|port| target.is_some() || is_playback(port)).collect();
    if let Some(target) = target.filter(|_| theirs.is_empty()) {
        return Err(format!("no JACK client {target:?} with inputs"));
    }
    for (our, their) in ours.iter().zip(theirs) {
        match client.connect_ports_by_name(our, their) {
            Ok(()) | Err(jack::Error::PortAlreadyConnected(..)) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

fn is_playback(port: &str) -> bool {
    port.starts_with("system:playback_")
}

/// What the server tells the client, on a thread of libjack.
pub(crate) struct Notes {
    signals: Arc<Signals>,
    rate: Frames,
}

impl NotificationHandler for Notes {
    // The trait has it unsafe, for it may be called where a signal handler is. It sets a flag.
    #[expect(unsafe_code, reason = "declared so by the trait; nothing in it is")]
    unsafe fn shutdown(&mut self, _: ClientStatus, _: &str) {
        self.signals.gone();
    }

    fn sample_rate(&mut self, _: &Client, rate: Frames) -> Control {
        // It is told once at the start too.
        if rate != self.rate {
            self.signals.gone();
        }
        Control::Continue
    }

    fn xrun(&mut self, _: &Client) -> Control {
        self.signals.xrun();
        Control::Continue
    }
}

/// What the server calls for each block.
pub(crate) struct Process {
    feed: Feed,
    ports: Vec<Port<AudioOut>>,
    block: Frames,
    rate: Frames,
    interleaved: Vec<f32>,
}

impl ProcessHandler for Process {
    /// `RT:` wait-free but for what sits in the seat.
    fn process(&mut self, client: &Client, scope: &ProcessScope) -> Control {
        let block = scope.n_frames();
        let samples = (block.min(MAX_BLOCK) as usize) * self.ports.len();
        // Cached by the library, and good to be asked here.
        let latency = |port: &Port<AudioOut>| port.get_latency_range(LatencyType::Playback).1;
        let latency = self.ports.iter().map(latency).max().filter(|frames| *frames > 0).unwrap_or(block);
        let claimed = Span::from_ratio(i128::from(latency), i128::from(self.rate));
        if block != self.block {
            self.block = block;
            self.feed.signals.set_block(block);
        }
        self.feed.signals.set_claimed(claimed);
        let began = scope.cycle_times().map_or_else(|_| client.time(), |times| times.current_usecs);
        let began = StreamInstant::from_micros(began);
        let playback = began + Duration::from_nanos(claimed.as_nanos().max(0) as u64);
        let out = &mut self.interleaved[..samples];
        out.fill(0.0);
        self.feed.call(OutputStreamTimestamp { callback: began, playback }, out);
        let channels = self.ports.len();
        for (channel, port) in self.ports.iter_mut().enumerate() {
            let port = port.as_mut_slice(scope);
            // Past our own limit, which no server reaches.
            port[samples / channels..].fill(0.0);
            for (to, from) in port.iter_mut().zip(out.iter().skip(channel).step_by(channels)) {
                *to = *from;
            }
        }
        Control::Continue
    }
}

/// Asks the server what it is, if it answers in time.
pub(crate) fn list() -> Result<Vec<DeviceListing>, String> {
    let (told, answer) = mpsc::channel();
    let ask = move || {
        let listed = client().map(|client| (client.sample_rate(), client.buffer_size()));
        // Nobody waits for an answer that comes too late.
        let _ = told.send(listed);
    };
    thread::Builder::new().name("list JACK".into()).spawn(ask).map_err(|error| error.to_string())?;
    let (rate, block) =
        answer.recv_timeout(PATIENCE).map_err(|_| "the JACK server does not answer".to_owned())??;
    Ok(vec![DeviceListing {
        name: "output".into(),
        description: NAME.into(),
        default: true,
        channels: (1..=MAX_CHANNELS).collect(),
        rates: vec![(rate, rate)],
        blocks: Some((block, block)),
    }])
}
