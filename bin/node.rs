//! `downbeat node`: the audio node, put together: sockets, hub, disk, renderer, device, recording.
//!
//! ```text
//! main thread: reactor and hub (Edge)  -- lane -->  driver on the device's thread  -- tap -->  recorder thread
//!                    |    disk thread: samples and streams
//! ```

mod edge;
mod ensemble;
mod hosts;
mod rates;

use crate::WrongUsage;
use crate::args::{NodeArgs, Timescale};
use crate::group::{self, Seat};
use crate::listen::cannot_listen;
use crate::output::note;
use crate::state::{self, State};
use crate::stop;
use anyhow::{Context, anyhow, bail};
use downbeat_engine::device::priority::{Grant, NETWORK_PRIORITY, lock_memory, raise_this_thread};
use downbeat_engine::device::{Device, Host, Wanted};
use downbeat_engine::{
    ClipConfig, Disk, Driver, Recorder, Renderer, Sample, SampleFolder, Settings, StreamConfig, Tap, lane,
    streams,
};
use downbeat_net::score::ScoreConfig;
use downbeat_net::{Hub, HubConfig, NetCounters, Reactor, Sockets, StreamLimits};
use downbeat_sync::{Clock, ClockEstimate, Span};
use edge::Edge;
use rates::Rates;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// Runs until Ctrl-C, SIGTERM or SIGHUP.
pub(crate) fn run(args: NodeArgs, clock: Clock) -> anyhow::Result<()> {
    let clock = args.sim_clock.local(clock);
    let began = clock.now();
    let member = match &args.router {
        Some(router) => Some((router, group::identity(&args.group, &args.name)?)),
        None => group::none_without_a_router(&args.group).map(|()| None)?,
    };
    group::no_time_for_a_key(&args.group, args.key_file.is_some())?;
    if args.group.router_time && matches!(args.timescale, Timescale::Free) {
        let why = "--timescale free follows no clock: leave it out, or --router-time";
        bail!(anyhow!(why).context(WrongUsage));
    }
    let mut sockets = Sockets::bind(args.bind, args.port, &args.multicast)
        .map_err(|error| cannot_listen(error, args.bind, args.port))?;
    let place = sockets.local_addr().context("cannot find out the port")?;
    let folder = args.samples.as_deref().map(|path| {
        SampleFolder::open(path).with_context(|| format!("cannot use {} as samples folder", path.display()))
    });
    let folder = folder.transpose()?;
    let recording = args.record.as_deref().map(|path| {
        let (rate, channels) = recorded(&args);
        Recorder::start(path, channels, rate).with_context(|| format!("cannot record to {}", path.display()))
    });
    let (tap, recorder) = recording.transpose()?.unzip();

    let settings = settings(&args);
    let (control, stage) = lane(settings.agenda);
    let (readers, feeder) = streams(StreamConfig::default());
    let start = args.sim_clock.wall(began, clock.anchor());
    let renderer = Renderer::new(settings, stage, readers, ClockEstimate::new(start.local, start.wall));
    let learned = Arc::clone(renderer.counters());
    let counters = Arc::new(NetCounters::default());
    let state = state_folder(&args).map(|folder| Arc::new(State::new(folder)));
    let company = ensemble::find(&args, place, state.as_deref(), clock.anchor().wall)?;
    sockets.group = company.group;
    let hub_config = HubConfig {
        session: company.session,
        membership: company.membership,
        group: company.meeting,
        ..hub_config(&args)
    };
    let mut hub = Hub::new(hub_config, control, Arc::clone(&counters), start);

    // Opening a card takes a while, reading samples too: do both at once.
    let config = ClipConfig::default();
    let (device, samples) = thread::scope(|scope| {
        let samples = scope.spawn(|| folder.as_ref().map_or(Vec::new(), |folder| folder.load_all(config)));
        let device = start_device(&args, renderer, tap, clock, state.clone());
        (device, samples.join().unwrap_or_default())
    });
    let device = device?;
    let loaded = add_samples(&mut hub, samples);

    let limits = StreamLimits {
        connections: args.connections.into(),
        packet: args.max_packet as usize,
        ..StreamLimits::default()
    };
    let mut reactor = Reactor::new(sockets, clock, limits, counters).context("cannot watch the sockets")?;
    let handle = reactor.handle();
    let disk =
        Disk::start(feeder, folder, config, move || handle.wake()).context("cannot start the disk thread")?;
    let handle = reactor.handle();
    stop::in_time(clock, move || handle.stop())?;

    if let Err(why) = lock_memory() {
        tracing::debug!("memory is not locked: {why}");
    }
    let rates = state
        .map(|state| Rates::start(state, learned))
        .transpose()
        .context("cannot start the state's thread")?;
    let seat = member
        .map(|(router, identity)| Seat::new(router, &identity, &args.group, reactor.handle(), clock.now()));
    let recording = recorder.as_ref().map(|recorder| Arc::clone(recorder.counters()));
    let mut edge = Edge::new(hub, disk, device, rates, seat.transpose()?, (args.sim_clock, began), clock)
        .recording(recording);
    announce(&args, place, edge.device(), loaded, clock.now() - began);
    // Last, for threads inherit it.
    if raise_this_thread(NETWORK_PRIORITY) != Grant::Granted {
        tracing::debug!("the network thread has no real-time priority");
    }
    reactor.run(&mut edge).context("cannot receive")?;
    edge.fall_silent();
    finish(edge, recorder, &args)
}

fn settings(args: &NodeArgs) -> Settings {
    let usual = Settings::default();
    Settings {
        rate: args.rate.unwrap_or(usual.rate),
        channels: args.channels.map_or(usual.channels, usize::from),
        voices: args.voices.into(),
        agenda: args.events as usize,
        late: args.late.into(),
        immediate: args.immediate.into(),
        onset: args.onset.into(),
        interp: args.interp.into(),
        follow: args.follow.into(),
        limiter: !args.no_limiter,
        ..usual
    }
}

/// Where the node remembers, if it may and there is a place.
fn state_folder(args: &NodeArgs) -> Option<PathBuf> {
    let usual = || state::default_folder(|variable| std::env::var(variable).ok());
    if args.no_state { None } else { args.state.clone().or_else(usual) }
}

fn hub_config(args: &NodeArgs) -> HubConfig {
    let score = ScoreConfig {
        horizon: args.horizon,
        events: args.events as usize,
        timetags: args.timetags.into(),
        sender_lead: args.sender_lead,
        ..ScoreConfig::default()
    };
    HubConfig { score, ..HubConfig::alone(&args.name, env!("CARGO_PKG_VERSION")) }
}

/// Rate and channels of a recording.
fn recorded(args: &NodeArgs) -> (u32, u16) {
    (args.rate.unwrap_or(48_000), args.channels.unwrap_or(2))
}

fn start_device(
    args: &NodeArgs,
    renderer: Renderer,
    tap: Option<Tap>,
    clock: Clock,
    state: Option<Arc<State>>,
) -> anyhow::Result<Device> {
    // A file has one rate and one number of channels for good, so the device is asked for those.
    let format = args.record.is_some().then(|| recorded(args));
    if let (Host::Virtual, Some(name)) = (args.host, &args.device) {
        tracing::warn!("--device {name} is not used: --host virtual plays on no card");
    }
    let wanted = Wanted {
        host: args.host,
        device: args.device.clone(),
        rate: args.rate.or(format.map(|(rate, _)| rate)),
        buffer: args.buffer,
        channels: args.channels.or(format.map(|(_, channels)| channels)),
    };
    let mut driver = Driver::new(renderer, args.trim_ms, tap, clock);
    if let Some(state) = state {
        driver = driver.remembering(rates::recall(state, clock));
    }
    Device::start(wanted, clock, Box::new(driver)).context("cannot play")
}

/// Gives every sample that could be read its address. Returns how many.
fn add_samples(hub: &mut Hub, samples: Vec<Sample>) -> usize {
    let mut loaded = 0;
    for sample in samples {
        let added = sample.clip.map_err(|why| why.to_string());
        let added = added.and_then(|clip| hub.add_sample(&sample.name, Arc::new(clip)));
        match added {
            Ok(()) => loaded += 1,
            Err(why) => tracing::warn!("passed over: {why}"),
        }
    }
    loaded
}

/// One line that people and scripts can wait for.
fn announce(args: &NodeArgs, place: SocketAddr, device: &Device, samples: usize, took: Span) {
    let state = device.state();
    if state.realtime == Grant::Refused {
        tracing::warn!("no real-time priority: sound may stutter under load (README.md, On a headless Pi)");
    }
    note(format_args!(
        "node \"{}\" is ready on udp+tcp {place}, {} \"{}\" {} Hz {} channels, {samples} samples, after {took}",
        args.name, state.host, state.device, state.format.rate, state.format.channels
    ));
}

fn finish(edge: Edge, recorder: Option<Recorder>, args: &NodeArgs) -> anyhow::Result<()> {
    // The device goes first: then the tap is pushed nothing more, and the recording can end. All that is left can wait for it.
    let (is_clean, rest) = edge.stop_device();
    let recorded = end_recording(recorder, args);
    drop(rest);
    if !is_clean {
        let code = if let Err(error) = &recorded {
            note(format_args!("{error:#}"));
            1
        } else {
            0
        };
        // The device has said why.
        stop::leave(code);
    }
    recorded
}

fn end_recording(recorder: Option<Recorder>, args: &NodeArgs) -> anyhow::Result<()> {
    let Some((recorder, path)) = recorder.zip(args.record.as_deref()) else { return Ok(()) };
    let counters = Arc::clone(recorder.counters());
    drop(recorder);
    let (frames, lost) = (counters.frames.load(Relaxed), counters.lost.load(Relaxed));
    if counters.failed.load(Relaxed) {
        bail!("the recording {} is incomplete: {lost} frames are lost", path.display());
    }
    note(format_args!("recorded {frames} frames to {}, {lost} of them lost", path.display()));
    Ok(())
}
