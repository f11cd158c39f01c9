//! The node's own path as a receiver: reactor, address space, ring, and a renderer at the other end.
//!
//! What counts as understood is what the renderer took out of the ring. Not for: sound, which nobody hears here.

use super::receivers::{THREAD, answer};
use downbeat_engine::{Clip, Immediate, Onset, Renderer, Settings, Stage, Streams, lane};
use downbeat_net::{
    Endpoint, Handler, Hub, HubConfig, NetCounters, Outgoing, Output, Reactor, Sockets, StreamLimits,
};
use downbeat_sync::{Clock, ClockEstimate, FrameMap, LocalTime, Span, WallAnchor};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const RATE: u32 = 48_000;
const BLOCK: usize = 256;

/// Receives until standard input ends.
pub(crate) fn run() {
    let settings = Settings {
        rate: RATE,
        drain: usize::MAX,
        // A clip of one frame, played on the next frame there is: the least that can sound.
        immediate: Immediate::Asap,
        onset: Onset::Frame,
        ..Settings::default()
    };
    let clock = Clock::new();
    let (control, stage) = lane(settings.agenda);
    let counters = Arc::clone(control.counters());
    let net = Arc::new(NetCounters::default());
    let config = HubConfig {
        score: downbeat_net::score::ScoreConfig { events: settings.agenda, ..Default::default() },
        ..HubConfig::alone("bench", env!("CARGO_PKG_VERSION"))
    };
    let mut hub = Hub::new(config, control, Arc::clone(&net), clock.anchor());
    hub.add_sample("hat", Arc::new(Clip::from_channels(RATE, &[&[0.25]]))).expect("the engine is empty");
    let sockets = Sockets::bind(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0, &[]).expect("loopback is there");
    let port = sockets.local_addr().expect("they are bound").port();

    spawn("renderer", move || render(settings, stage, clock));
    spawn(THREAD, move || {
        let reactor = Reactor::new(sockets, clock, StreamLimits::default(), net);
        let mut node = Receiver { hub, sending: Vec::new() };
        reactor.expect("the system has descriptors").run(&mut node).expect("it polls too");
    });
    answer(port, || counters.events.load(Relaxed));
}

/// A node without disk and device: the packets of the measurement ask for neither.
struct Receiver {
    hub: Hub,
    sending: Vec<u8>,
}

impl Handler for Receiver {
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
        let Output::Send { to, packet, stamp } = self.hub.poll(now)? else { return None };
        self.sending = packet;
        Some(Outgoing::Send { to, packet: &self.sending, stamp })
    }
}

/// Renders block after block, each when it is due.
fn render(settings: Settings, stage: Stage, clock: Clock) {
    let start = clock.now();
    let estimate = ClockEstimate::new(start, clock.anchor().wall);
    let map = FrameMap::new(0, start, f64::from(RATE));
    let mut renderer = Renderer::new(settings, stage, Streams::none(), estimate);
    let mut out = [0.0f32; 2 * BLOCK];
    for frame in (0u64..).step_by(BLOCK) {
        let early = map.local_at(frame) - clock.now();
        if early > Span::ZERO {
            std::thread::sleep(early.into());
        }
        renderer.render(map, Span::ZERO, &mut out);
        std::hint::black_box(&mut out);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name(name.into()).spawn(work).expect("there is room for a thread");
}
