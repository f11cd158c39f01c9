//! What the hub says, in OSC: answers, reports, announcements.
//!
//! `/status/reply` and `/sync/status/reply` are pairs of key and value, so that they can grow without breaking those who
//! read them: look for the key, not for the place. Not for: deciding whom to answer (`super`).

use super::{Hub, Output, Recording};
use crate::endpoint::Endpoint;
use crate::member::MemberReport;
use crate::osc::{self, Arg, WriteError};
use crate::score::{Arrival, TimeForm, Timetags};
use crate::time_reply::halves;
use downbeat_engine::LatePolicy;
use downbeat_engine::device::{DeviceState, Host, Standing as DeviceStanding};
use downbeat_sync::{
    Announcement, ClockEstimate, EnsembleTime, Jump, PeerReport, SenderReport, SenderState, Span, SyncState,
};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

/// Packets waiting to be sent; one more is dropped and counted.
const WAITING: usize = 2_048;
/// Names in one message of a list go up to this size, so that it fits every network's packets (bytes).
const LIST_BYTES: usize = 1_000;
/// Of more nodes `/sync/status` does not tell.
pub const PEERS_TOLD: usize = 16;
/// More of a wrong address is not sent back (bytes).
const ADDRESS_BYTES: usize = 256;

/// What is to be done next, first come first served.
#[derive(Debug, Default)]
pub(super) struct Out {
    waiting: VecDeque<Output>,
    pub(super) dropped: u64,
}

impl Out {
    pub(super) fn pop(&mut self) -> Option<Output> {
        self.waiting.pop_front()
    }

    pub(super) fn push(&mut self, output: Output) {
        // Loads are bounded by their own count, and are never dropped: someone waits for the result.
        if self.waiting.len() >= WAITING && matches!(output, Output::Send { .. }) {
            self.dropped += 1;
        } else {
            self.waiting.push_back(output);
        }
    }

    fn send<'a>(
        &mut self,
        to: Endpoint,
        address: &str,
        args: impl IntoIterator<Item = Arg<'a>, IntoIter: Clone>,
    ) {
        let mut packet = Vec::new();
        let written = osc::write(&mut packet, address, args);
        self.queue(to, address, packet, written);
    }

    fn queue(&mut self, to: Endpoint, address: &str, packet: Vec<u8>, written: Result<(), WriteError>) {
        match written {
            Ok(()) => self.push(Output::Send { to, packet, stamp: None }),
            Err(error) => {
                self.dropped += 1;
                tracing::error!("cannot write {address}: {error}");
            }
        }
    }
}

impl Out {
    fn pairs(&mut self, to: Endpoint, address: &str, pairs: &[(&str, Arg<'_>)]) {
        self.send(to, address, pairs.iter().flat_map(|(key, value)| [(*key).into(), *value]));
    }
}

impl Hub {
    pub(super) fn say_error(&mut self, from: Endpoint, address: &[u8], reason: &str) {
        tracing::debug!("{from}: {}: {reason}", address.escape_ascii());
        let address = &address[..address.len().min(ADDRESS_BYTES)];
        for to in self.concerned(from) {
            // The sender's is paid for.
            if to == from || self.errors.another(self.now, &mut self.tally.unanswered) {
                self.out.send(to, "/error", [Arg::Str(address), reason.into()]);
            }
        }
    }

    pub(super) fn done(&mut self, from: Endpoint, address: &str, what: &str) {
        for to in self.concerned(from) {
            self.out.send(to, "/done", [address.into(), what.into()]);
        }
    }

    /// Of no interest to the other subscribers.
    pub(super) fn subscribed(&mut self, from: Endpoint, on: bool) {
        self.out.send(from, "/done", ["/notify".into(), if on { "1" } else { "0" }.into()]);
    }

    pub(super) fn late(&mut self, to: Endpoint, due: EnsembleTime, by: Span, policy: LatePolicy) {
        let policy = match policy {
            LatePolicy::Play => "play",
            LatePolicy::Drop => "drop",
            LatePolicy::Trim => "trim",
        };
        let [seconds, fraction] = halves(due);
        self.out.send(to, "/late", [millis(by), policy.into(), seconds, fraction]);
    }

    pub(super) fn cancelled(&mut self, to: Endpoint, count: u32) {
        self.out.send(to, "/cancel/reply", [int(count.into())]);
    }

    pub(super) fn jump_announced(&mut self, jump: Announcement) {
        self.say_jump("/sync/jump/announced", jump.by, jump.epoch, jump.at);
    }

    pub(super) fn jumped(&mut self, jump: Jump) {
        self.say_jump("/sync/jump", jump.by, jump.epoch, jump.at);
    }

    fn say_jump(&mut self, address: &str, by: Span, epoch: u32, at: EnsembleTime) {
        let [seconds, fraction] = halves(at);
        for to in &self.subscribers {
            let by = Arg::Float(by.as_secs_f64() as f32);
            self.out.send(*to, address, [by, int(epoch.into()), seconds, fraction]);
        }
    }

    /// The names in messages of a size that every network carries; one without names if there are none.
    pub(super) fn list(&mut self, to: Endpoint) {
        let names = self.score.samples();
        let total = int(names.len() as u64);
        let mut rest = &names[..];
        while rest.len() == names.len() || self.answers.another(self.now, &mut self.tally.unanswered) {
            let mut bytes = 0;
            let fit = rest.iter().take_while(|name| {
                bytes += name.len() + 5;
                bytes <= LIST_BYTES
            });
            let (now, later) = rest.split_at(fit.count());
            let args = std::iter::once(total).chain(now.iter().map(|name| Arg::Str(name)));
            self.out.send(to, "/sample/list/reply", args);
            if later.is_empty() {
                return;
            }
            rest = later;
        }
    }

    pub(super) fn status(&mut self, to: Endpoint) {
        let engine = self.control.counters();
        let net = &self.net;
        let load = |ppm: u32| Arg::Float(ppm as f32 * 1e-6);
        let (card, stalls) = self.device.as_ref().map_or(("none", 0), |device| (card(device), device.stalls));
        let (state, device, rate, channels, block) = match &self.device {
            Some(device) => {
                let format = device.format;
                (device.host.to_string(), device.device.clone(), format.rate, format.channels, format.block)
            }
            None => ("starting".into(), String::new(), 0, 0, 0),
        };
        let latency = Span::from_nanos(engine.latency_ns.load(Ordering::Relaxed));
        // What nobody else counts by name: answers, reports and what was remembered, gone for want of room.
        let lost = [
            self.out.dropped,
            self.tally.orphaned,
            self.score.ids_forgotten(),
            self.senders.forgotten(),
            engine.reports_lost.load(Ordering::Relaxed),
            net.unsent.load(Ordering::Relaxed),
            net.spoiled.load(Ordering::Relaxed),
        ];
        let pairs: [(&str, Arg<'_>); 44] = [
            ("name", self.config.name.as_str().into()),
            ("version", self.config.version.as_str().into()),
            ("state", state.as_str().into()),
            ("device", device.as_str().into()),
            ("rate", int(rate.into())),
            ("channels", int(channels.into())),
            ("buffer", int(block.into())),
            ("card", card.into()),
            ("stalls", int(stalls)),
            ("latency_ms", millis(latency)),
            ("cpu", load(engine.load_ppm.load(Ordering::Relaxed))),
            ("cpu_peak", load(engine.peak_load_ppm.swap(0, Ordering::Relaxed))),
            ("xruns", count(&engine.xruns)),
            ("uptime", int(((self.now - self.started).as_secs_f64()) as u64)),
            ("samples", int(self.score.sample_count() as u64)),
            ("voices", int(engine.voices.load(Ordering::Relaxed).into())),
            ("pending", int(engine.pending.load(Ordering::Relaxed).into())),
            ("events", count(&engine.events)),
            ("played", count(&engine.played)),
            ("unheard", count(&engine.unheard)),
            ("cancelled", count(&engine.cancelled)),
            ("late", count(&engine.late)),
            ("dropped", count(&engine.dropped)),
            ("senders_dropped", int(self.drops.senders())),
            ("refused", int(self.tally.refused)),
            ("unsealed", int(self.tally.keyless)),
            ("stale", int(self.tally.stale)),
            ("full", int(self.tally.full + engine.refused.load(Ordering::Relaxed))),
            ("stolen", count(&engine.stolen)),
            ("starved", count(&engine.starved)),
            ("following", int(engine.following.load(Ordering::Relaxed).into())),
            ("trim_ppm", Arg::Float(engine.trim_ppb.load(Ordering::Relaxed) as f32 * 1e-3)),
            ("leaps", count(&engine.leaps)),
            (
                "packets",
                int(net.packets.load(Ordering::Relaxed) + net.stream_packets.load(Ordering::Relaxed)),
            ),
            ("kernel_drops", count(&net.kernel_drops)),
            ("unstamped", count(&net.unstamped)),
            ("connections", int(net.connections.load(Ordering::Relaxed).into())),
            ("connections_refused", count(&net.refused)),
            ("connections_cut", count(&net.cut)),
            ("connections_broken", count(&net.broken)),
            ("subscribers", int(self.subscribers.len() as u64)),
            ("unanswered", int(self.tally.unanswered)),
            ("answers_ignored", int(self.tally.answers)),
            ("lost", int(lost.iter().sum())),
        ];
        let router = self.router.map(|MemberReport { joined, tally, .. }| {
            [
                ("router", if joined { "joined" } else { "away" }.into()),
                ("router_joined", int(tally.joined)),
                ("router_failed", int(tally.failed)),
            ]
        });
        let recording = self.recording.map(|Recording { frames, lost, failed }| {
            [
                ("recording", if failed { "failed" } else { "on" }.into()),
                ("recorded", int(frames)),
                ("record_lost", int(lost)),
            ]
        });
        let pairs = pairs.into_iter().chain(recording.into_iter().flatten());
        let time = self.router.and_then(|router| router.time);
        let time = time.map(|state| ("router_time", state_name(state).into()));
        let pairs: Vec<_> = pairs.chain(router.into_iter().flatten()).chain(time).collect();
        self.out.pairs(to, "/status/reply", &pairs);
    }

    /// How the clock is, then a message for each of up to [`PEERS_TOLD`] other nodes.
    pub(super) fn sync_status(&mut self, to: Endpoint) {
        let now = self.now;
        let estimate = self.session.estimate_at(now);
        let peers = self.session.peers(now);
        let tally = self.session.tally();
        let state = match self.session.state(now) {
            _ if self.session.leads() => "leading",
            state => state_name(state),
        };
        let leader = self.session.leader().to_string();
        let id = self.config.session.id.to_string();
        let wall = self.wall.wall - estimate.ensemble_at(self.wall.local);
        let timetags = match self.score.timetags() {
            Timetags::Ensemble => "ensemble",
            Timetags::Sender => "sender",
        };
        let (mut senders, mut off, mut jumps) = (0, 0, 0);
        // By what its timetags are measured.
        let measure = self.measure();
        for report in self.score.senders().filter_map(|(_, clock)| clock.report(&measure)) {
            senders += 1;
            off += u64::from(report.state == SenderState::Off);
            jumps += report.jumps;
        }
        let net = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let packets = net(&self.net.packets);
        let rx = stamps(packets, packets.saturating_sub(net(&self.net.unstamped)));
        let tx = stamps(net(&self.net.sent_timed), net(&self.net.sent_stamped));
        let pairs: [(&str, Arg<'_>); 26] = [
            ("name", self.config.name.as_str().into()),
            ("id", id.as_str().into()),
            ("ensemble", self.config.membership.ensemble.as_str().into()),
            ("role", if self.session.leads() { "leader" } else { "follower" }.into()),
            ("leader", leader.as_str().into()),
            ("state", state.into()),
            ("drift_ppm", Arg::Float((estimate.rate() * 1e6) as f32)),
            ("error_ms", millis(estimate.sigma)),
            ("bound_ms", millis(estimate.bound)),
            ("wall_ms", millis(wall)),
            ("synchronised", int(self.wall.synchronised.into())),
            ("epoch", int(estimate.epoch.into())),
            ("jumps", int(self.session.jumps().into())),
            ("peers", int(peers.len() as u64)),
            ("successions", int(tally.successions.into())),
            ("joined", int(tally.joined.into())),
            ("deaf", int(tally.deaf.into())),
            ("outvoted", int(tally.outvoted.into())),
            ("strangers", int(self.tally.strangers)),
            (
                "refused",
                int(self.tally.unsealed + self.tally.malformed + tally.stray + tally.dropped + tally.absurd),
            ),
            ("rx_stamps", rx.into()),
            ("tx_stamps", tx.into()),
            ("timetags", timetags.into()),
            ("senders", int(senders)),
            ("senders_off", int(off)),
            ("senders_jumps", int(jumps)),
        ];
        self.out.pairs(to, "/sync/status/reply", &pairs);
        for peer in peers.iter().take(PEERS_TOLD) {
            if self.answers.another(self.now, &mut self.tally.unanswered) {
                self.peer_status(to, peer);
            }
        }
    }

    /// The clock by which senders are measured: room time, as their timetags were read; or the ensemble's, if only their rhythm
    /// is kept, and they are taken as they are.
    fn measure(&self) -> ClockEstimate {
        match self.score.timetags() {
            Timetags::Ensemble => *self.session.clock().line(),
            Timetags::Sender => self.session.estimate(),
        }
    }

    fn peer_status(&mut self, to: Endpoint, peer: &PeerReport) {
        let (id, address) = (peer.id.to_string(), peer.address.to_string());
        let mut pairs: Vec<(&str, Arg<'_>)> = vec![
            ("id", id.as_str().into()),
            ("address", address.as_str().into()),
            ("role", if peer.leads { "leader" } else { "follower" }.into()),
            ("silent_s", Arg::Float(peer.silent.as_secs_f64() as f32)),
        ];
        if let Some((ahead, error)) = peer.offset {
            pairs.extend([("ahead_ms", millis(ahead)), ("error_ms", millis(error))]);
            pairs.extend([("doubted", int(peer.doubted))]);
        }
        pairs.extend(peer.round_trip.map(|trip| ("round_trip_ms", millis(trip))));
        self.out.pairs(to, "/sync/peer/reply", &pairs);
    }

    /// One message for each who sends timetags, those first who have been known for longest; one that says so if there are
    /// none. The first is paid for; what the budget of answers does not allow for is counted.
    pub(super) fn list_senders(&mut self, to: Endpoint) {
        let measure = self.measure();
        let mut reports: Vec<_> = self.score.senders().collect();
        reports.sort_unstable_by_key(|(from, _)| from.0);
        let mut told = 0;
        for (from, clock) in reports {
            let Some((sender, report)) = self.senders.key(from.0).zip(clock.report(&measure)) else {
                continue;
            };
            if told > 0 && !self.answers.another(self.now, &mut self.tally.unanswered) {
                continue;
            }
            told += 1;
            let (sender, drift) = (sender.to_string(), report.drift);
            let drift = drift.map(|drift| ["drift_ppm".into(), Arg::Float((drift * 1e6) as f32)]);
            let pairs = sender_pairs(&sender, &report).into_iter();
            let args = pairs.flat_map(|(key, value)| [key.into(), value]).chain(drift.into_iter().flatten());
            self.out.send(to, "/sync/senders/reply", args);
        }
        if told == 0 {
            self.out.send(to, "/sync/senders/reply", ["senders".into(), int(0)]);
        }
    }

    /// Echoes what was asked, then tells the time at which it arrived.
    pub(super) fn time(&mut self, to: Endpoint, form: TimeForm, asked: &[u8], arrival: &Arrival) {
        let Some(Ok(asked)) = osc::read(asked).next() else { return };
        let mut packet = Vec::new();
        let written = form.write(&mut packet, asked.message.args(), arrival.clock.ensemble_at(arrival.at));
        self.out.queue(to, "/sync/time", packet, written);
    }

    /// The sender, and everybody who wants to know.
    fn concerned(&self, from: Endpoint) -> Vec<Endpoint> {
        let others = self.subscribers.iter().copied().filter(|to| *to != from);
        std::iter::once(from).chain(others).collect()
    }
}

fn sender_pairs<'a>(sender: &'a str, report: &SenderReport) -> [(&'static str, Arg<'a>); 7] {
    let state = match report.state {
        SenderState::New => "new",
        SenderState::Right => "right",
        SenderState::Off => "off",
        SenderState::Varied => "varied",
    };
    [
        ("sender", sender.into()),
        ("packets", int(report.packets)),
        ("state", state.into()),
        ("lead_ms", millis(report.lead)),
        ("bias_ms", millis(report.bias)),
        ("spread_ms", millis(report.spread)),
        ("jumps", int(report.jumps)),
    ]
}

/// Whose stamps the most of so many packets have.
fn stamps(packets: u64, by_kernel: u64) -> &'static str {
    match packets {
        0 => "none",
        _ if 2 * by_kernel > packets => "kernel",
        _ => "user",
    }
}

/// How the card is that the node wants.
fn card(device: &DeviceState) -> &'static str {
    match device.standing {
        DeviceStanding::Wanted if device.host == Host::Virtual => "none",
        DeviceStanding::Wanted => "playing",
        DeviceStanding::Meanwhile => "away",
        DeviceStanding::Stalled => "stalled",
    }
}

fn state_name(state: SyncState) -> &'static str {
    match state {
        SyncState::Cold => "cold",
        SyncState::Acquiring => "acquiring",
        SyncState::Locked => "locked",
        SyncState::Holdover => "holdover",
        SyncState::Lost => "lost",
    }
}

fn millis(span: Span) -> Arg<'static> {
    Arg::Float((span.as_secs_f64() * 1e3) as f32)
}

fn count(counter: &AtomicU64) -> Arg<'static> {
    int(counter.load(Ordering::Relaxed))
}

/// As large as an OSC int can be; what is more stays there.
fn int(count: u64) -> Arg<'static> {
    Arg::Int(i32::try_from(count).unwrap_or(i32::MAX))
}
