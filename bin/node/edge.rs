//! [`Edge`]: the hub between its reactor, its disk and its device.
//!
//! Not for: deciding anything; the hub does.

use super::rates::Rates;
use crate::args::SimClock;
use crate::group::Seat;
use downbeat_engine::device::{Device, DeviceState};
use downbeat_engine::{Disk, RecordCounters};
use downbeat_net::member::Heard;
use downbeat_net::{ConnId, Endpoint, Handler, Hub, LoadRequest, Outgoing, Output, Recording, osc};
use downbeat_sync::{Clock, LocalTime, Span, WallAnchor};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// How often the device is looked at, for `/status` and for its number of channels, and the kernel asked whether its wall clock is
/// right. Twice as often as its supervisor looks would be in vain.
const LOOK: Span = Span::from_millis(100);
/// How long the output fades when the node stops.
const FADE: Span = Span::from_millis(20);

/// The node without its sockets. Dropping it stops the device and the disk.
pub(super) struct Edge {
    // Dropped first, so that the audio thread is gone before the ends of its rings are.
    device: Device,
    known: DeviceState,
    clock: Clock,
    /// What the kernel said last of the host's wall clock.
    synchronised: bool,
    next_look: LocalTime,
    disk: Disk,
    /// What the disk was asked for, by ticket.
    loading: HashMap<u64, LoadRequest>,
    tickets: u64,
    hub: Hub,
    sending: Vec<u8>,
    /// The clocks of its host, and when it began by them.
    sim: (SimClock, LocalTime),
    now: LocalTime,
    /// In a group at a router, if that is wanted.
    seat: Option<Seat>,
    recording: Option<Arc<RecordCounters>>,
    /// Writes the rest when it is dropped, after the device.
    rates: Option<Rates>,
}

impl Edge {
    pub(super) fn new(
        mut hub: Hub,
        disk: Disk,
        device: Device,
        rates: Option<Rates>,
        seat: Option<Seat>,
        sim: (SimClock, LocalTime),
        clock: Clock,
    ) -> Edge {
        let now = clock.now();
        let known = device.state();
        hub.set_device(known.clone());
        let loading = HashMap::new();
        Edge {
            device,
            known,
            clock,
            synchronised: clock.is_synchronised(),
            next_look: now + LOOK,
            disk,
            loading,
            tickets: 0,
            hub,
            sending: Vec::new(),
            sim,
            now,
            seat,
            recording: None,
            rates,
        }
    }

    /// The same, but it says how this recording goes.
    pub(super) fn recording(self, recording: Option<Arc<RecordCounters>>) -> Edge {
        Edge { recording, ..self }
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// Fades out, so that stopping is no click. Blocks for as long as that takes.
    pub(super) fn fall_silent(&mut self) {
        let nobody = Endpoint::Udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let mut packet = Vec::new();
        let args = [osc::Arg::Int(1), osc::Arg::Float(FADE.as_secs_f64() as f32)];
        if osc::write(&mut packet, "/master/mute", args).is_ok() {
            self.hub.obey(self.now, nobody, &packet);
            let state = self.device.state();
            let block = Span::from_ratio(state.format.max_block.into(), state.format.rate.into());
            thread::sleep((FADE + state.latency + block + block).into());
        }
    }

    /// Stops the device. Returns whether its driver came back, and all the rest, to be dropped.
    pub(super) fn stop_device(self) -> (bool, impl Sized) {
        let Edge { device, disk, hub, seat, rates, .. } = self;
        (device.close(), (disk, hub, seat, rates))
    }

    fn order(&mut self, request: LoadRequest) {
        self.tickets += 1;
        match self.disk.load(&request.name, Some(&request.file), self.tickets) {
            Ok(()) => drop(self.loading.insert(self.tickets, request)),
            Err(busy) => self.hub.loaded(&request, Err(busy.to_string())),
        }
    }

    fn watch_device(&mut self, now: WallAnchor) {
        if now.local.is_before(self.next_look) {
            return;
        }
        self.next_look = now.local + LOOK;
        self.synchronised = self.clock.is_synchronised();
        if let Some(counters) = &self.recording {
            let RecordCounters { frames, lost, failed } = &**counters;
            let (frames, lost, failed) = (frames.load(Relaxed), lost.load(Relaxed), failed.load(Relaxed));
            self.hub.set_recording(Recording { frames, lost, failed });
        }
        let state = self.device.state();
        if let Some(rates) = &mut self.rates {
            rates.note_card(now, &state);
            rates.note_hosts(now, self.hub.learned());
        }
        if state != self.known {
            self.known = state.clone();
            self.hub.set_device(state);
        }
    }
}

impl Handler for Edge {
    fn on_packet(&mut self, arrival: LocalTime, from: Endpoint, packet: &[u8]) {
        let Some(seat) = self.seat.as_mut().filter(|seat| seat.is_at(from)) else {
            return self.hub.handle(arrival, from, packet);
        };
        match seat.hear(packet, arrival) {
            Heard::Group => self.hub.handle(arrival, from, packet),
            Heard::Private { from: user, packet } => {
                let user = user.and_then(|user| Some(Endpoint::Member(from.conn()?, user)));
                let from = user.unwrap_or(from);
                self.hub.handle(arrival, from, &packet);
            }
            Heard::Joined => {
                if let Endpoint::Tcp(conn) = from {
                    self.hub.join(conn);
                }
            }
            Heard::Refused(_) | Heard::Routers | Heard::Time => {}
        }
    }

    fn on_connected(&mut self, conn: ConnId) {
        if let Some(seat) = &mut self.seat {
            seat.connected(conn, self.now);
        }
    }

    fn on_close(&mut self, conn: ConnId) {
        self.hub.forget(conn);
        if let Some(seat) = &mut self.seat {
            seat.closed(conn, self.now);
        }
    }

    fn on_sent(&mut self, cookie: u64, at: LocalTime) {
        self.hub.sent(cookie, at);
    }

    fn on_tick(&mut self, now: WallAnchor) {
        self.now = now.local;
        while let Some(loaded) = self.disk.loaded() {
            if let Some(request) = self.loading.remove(&loaded.ticket) {
                self.hub.loaded(&request, loaded.clip.map_err(|why| why.to_string()));
            }
        }
        while let Some(failure) = self.disk.failed() {
            self.hub.stream_failed(&failure);
        }
        self.watch_device(now);
        if let Some(seat) = &mut self.seat {
            seat.tick(now.local);
            if let Some(why) = seat.failure() {
                tracing::warn!("{why}");
            }
            self.hub.set_router(seat.report(now.local));
        }
        let (sim, began) = self.sim;
        let mut wall = sim.wall(began, WallAnchor { synchronised: self.synchronised, ..now });
        if let Some((router, begins)) = self.seat.as_mut().and_then(|seat| seat.wall(wall)) {
            if begins {
                self.hub.change_wall(router);
            }
            wall = router;
        }
        self.hub.tick(wall);
    }

    fn deadline(&self) -> Option<LocalTime> {
        let others = [Some(self.next_look), self.seat.as_ref().map(Seat::deadline)];
        Some(others.into_iter().flatten().fold(self.hub.deadline(), LocalTime::earlier))
    }

    fn poll(&mut self, now: LocalTime) -> Option<Outgoing<'_>> {
        if let Some(step) = self.seat.as_mut().and_then(|seat| seat.step(now)) {
            return self.seat.as_ref().map(|seat| seat.outgoing(step));
        }
        loop {
            match self.hub.poll(now)? {
                Output::Send { to, packet, stamp } => {
                    self.sending = match (to, &self.seat) {
                        (Endpoint::Member(_, user), Some(seat)) => seat.privately(user, packet),
                        _ => packet,
                    };
                    return Some(Outgoing::Send { to, packet: &self.sending, stamp });
                }
                Output::Load(request) => self.order(request),
            }
        }
    }
}
