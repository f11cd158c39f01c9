//! [`Hub`]: the node's brain. It joins the address space, the engine's lane, the ensemble's clock and those who ask.
//!
//! Sans-io: it is given packets, results and the time, and is asked what to do next. After every call of `handle`,
//! `loaded` or `tick`, ask [`Hub::poll`] until it has nothing more; call `tick` at [`Hub::deadline`] at the latest.
//!
//! # What it answers
//!
//! | answer | arguments | to |
//! |---|---|---|
//! | `/error` | address as sent, reason | the sender, and subscribers |
//! | `/done` | address, then what was done | the sender, and subscribers |
//! | `/late` | by how many ms an event was placed after its timetag, `play` `drop` or `trim`, and the timetag as two ints (NTP seconds and fraction, to be read as unsigned) | subscribers: of their own events each, of those of others up to 200 a second, all together; and the sender, if it is our group at a router or one of its users: then up to 10 a second, all together |
//! | `/cancel/reply` | how many events were withdrawn | the sender |
//! | `/sample/list/reply` | how many samples there are, then names; as many messages as it takes | the sender |
//! | `/status/reply` | pairs: `name` `version` `state` `device` `rate` `channels` `buffer` `latency_ms` `cpu` `xruns` `voices` `pending` `late` `dropped` `senders_dropped` (of how many senders; a host is one) and more | the sender |
//! | `/sync/status/reply` | pairs: `role` `leader` `state` `drift_ppm` `error_ms` `bound_ms` `wall_ms` `epoch` `jumps` `peers` `successions` `joined` `deaf` `outvoted` `synchronised` (what the kernel says of the wall clock: 1 if NTP or PTP keeps it right) `rx_stamps` `tx_stamps` (whose stamps most datagrams have as they arrive, and the messages about time as they leave: `kernel`, `user`, `none` before the first) `timetags` `senders` `senders_off` `senders_jumps` and more | the sender |
//! | `/sync/senders/reply` | pairs: `sender` `packets` `state` `lead_ms` `bias_ms` `spread_ms` `jumps`, and `drift_ppm` once it is known; one message for each who sends timetags, or `senders` 0 | the sender |
//! | `/sync/time/reply`, `/sync/time/ii/reply`, `/sync/time/s/reply` | what was asked, then the time the question arrived | the sender |
//! | `/sync/peer/reply` | pairs: `id` `address` `role` `silent_s`, and of those that are asked `ahead_ms` `error_ms` `round_trip_ms` `doubted`; a message for each of up to 16 nodes, the leader first, after `/sync/status/reply` | the sender |
//! | `/sync/jump/announced` | seconds, epoch, then the instant as two ints: a jump of the ensemble's time is to come, at that timetag by the time as it is until then | subscribers |
//! | `/sync/jump` | seconds, epoch, then the instant as two ints: the time has jumped, at that timetag by the time before | subscribers |
//! | `/sealed/time/reply` | the session's time, sealed (`seal`) | who asked, if it has the key |
//!
//! They are of types `i`, `f` and `s` only, which every peer can read; but for `/sync/time/reply`, `/sealed/time/reply` and what is
//! echoed. Errors, the answers that are longer than their questions (`/status`, `/sync/status`, `/sync/senders`, `/sample/list`),
//! and sealed ones are given up to a rate of messages each (`budget`), beyond which they are only counted: a flood is no reason to
//! send a larger one, to whomever its packets name as their sender, nor to let good packets wait.
//!
//! Not for: sockets (`reactor`), files (the loader behind [`Output::Load`]).

mod answers;
mod budget;
mod clips;
mod console;
mod drops;
mod gate;
#[cfg(test)]
mod tests;

use crate::allowance::Allowance;
use crate::counters::NetCounters;
use crate::endpoint::{ConnId, Endpoint};
use crate::member::MemberReport;
use crate::numbers::Numbers;
use crate::osc;
use crate::score::{Arrival, Reason, Request, SENDERS, Score, ScoreConfig};
use crate::seal::{Checker, Moment};
use crate::timing::{self, Membership, TimingError};
use answers::Out;
pub use answers::PEERS_TOLD;
use budget::Budget;
use clips::Places;
use console::Console;
use downbeat_engine::device::DeviceState;
use downbeat_engine::{Clip, Control, Garbage, LatePolicy, Origin, Report, StreamFailure, Supply};
use downbeat_sync::{
    Announcement, ClockEstimate, EnsembleTime, Jump, LocalTime, News, RateBelief, RoomClock, Session,
    SessionConfig, Span, WallAnchor,
};
use drops::Drops;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Subscribers; beyond that, whoever subscribed longest ago by datagrams, or through a router, goes: nobody tells when such a
/// one is gone.
const SUBSCRIBERS: usize = 64;
/// A group is told of a late event so often, and of so many at once [10 a second, 32].
const LATE_EACH: Span = Span::from_millis(100);
const LATE_BURST: Span = Span::from_millis(3_200);
/// Samples that can be on their way from disk.
const LOADS: usize = 256;
/// How soon reports of the audio thread are fetched while there may be some.
const REPORTS: Span = Span::from_millis(20);
/// How long after an event was sent there may be a report of it, though nothing is scheduled or sounding.
const AFTERMATH: Span = Span::from_millis(500);

/// How a node's recording goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Frames in the file.
    pub frames: u64,
    /// Frames that are missing from it, or with it.
    pub lost: u64,
    /// It ended before the node did: the disk failed or the file was deleted.
    pub failed: bool,
}

/// What a hub is made with.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The node's name.
    pub name: String,
    /// The version it tells.
    pub version: String,
    /// Its address space.
    pub score: ScoreConfig,
    /// How it takes part in the ensemble's clock.
    pub session: SessionConfig,
    /// Which ensemble that is.
    pub membership: Membership,
    /// Where all nodes in reach hear it: a multicast group. `None`: only nodes that were named are spoken to.
    pub group: Option<SocketAddr>,
}

impl HubConfig {
    /// A node of this name and version that looks for nobody: its ensemble is itself, unless somebody finds it.
    pub fn alone(name: &str, version: &str) -> HubConfig {
        HubConfig {
            name: name.to_owned(),
            version: version.to_owned(),
            score: ScoreConfig::default(),
            session: SessionConfig::default(),
            membership: Membership { ensemble: name.to_owned(), key: None },
            group: None,
        }
    }
}

/// See the module.
pub struct Hub {
    config: HubConfig,
    score: Score,
    control: Control,
    session: Session,
    /// Where there is a key: what opens what is sealed with it.
    seals: Option<Checker>,
    /// What the audio thread was given of it last: room time, which no announced jump moves.
    published: ClockEstimate,
    /// The jump that subscribers were told of last, before it took effect.
    announced: Option<Announcement>,
    senders: Numbers<Endpoint>,
    /// The last sender and its number: packets come in runs.
    last: Option<(Endpoint, Origin)>,
    subscribers: Vec<Endpoint>,
    /// The connection on which we are in a group, at a router.
    group: Option<ConnId>,
    /// How that stands, for who asks.
    router: Option<MemberReport>,
    /// What a group may still be told of late events.
    lates: Allowance,
    /// What subscribers may still be told of other senders' late events.
    others_late: Budget,
    drops: Drops,
    console: Console,
    places: Places,
    loading: usize,
    device: Option<DeviceState>,
    recording: Option<Recording>,
    net: Arc<NetCounters>,
    tally: Tally,
    errors: Budget,
    answers: Budget,
    clocks: Budget,
    out: Out,
    started: LocalTime,
    wall: WallAnchor,
    busy_until: LocalTime,
    now: LocalTime,
}

/// What the hub counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets refused for what was in them.
    pub refused: u64,
    /// Packets that would have changed something, refused because they were not sealed with our key.
    pub keyless: u64,
    /// Packets sealed with our key and refused all the same, because they may have been sent by somebody else: they came
    /// again, or too long after they were sealed.
    pub stale: u64,
    /// Packets refused because the ring to the audio thread was full.
    pub full: u64,
    /// Errors and questions that were not answered because there were too many.
    pub unanswered: u64,
    /// Answers of other nodes that came here.
    pub answers: u64,
    /// Messages about time of other ensembles; those not sealed with our key; malformed ones.
    pub strangers: u64,
    /// See there.
    pub unsealed: u64,
    /// See there.
    pub malformed: u64,
    /// Reports whose sender was forgotten.
    pub orphaned: u64,
}

/// What the hub wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a packet.
    Send {
        /// To whom.
        to: Endpoint,
        /// One OSC packet.
        packet: Vec<u8>,
        /// If it is wanted when it left: the cookie for [`Hub::sent`].
        stamp: Option<u64>,
    },
    /// Load a sample, and give the result to [`Hub::loaded`].
    Load(LoadRequest),
}

/// A sample to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    /// The name it is to have.
    pub name: String,
    /// The file, relative to the samples folder; it has no `..`, but there may be links in it.
    pub file: String,
    /// Who asked.
    pub from: Endpoint,
}

impl Hub {
    /// A node that leads an ensemble of its own, whose clock starts as this wall clock, until it finds another.
    pub fn new(config: HubConfig, mut control: Control, net: Arc<NetCounters>, start: WallAnchor) -> Hub {
        let session = Session::new(config.session.clone(), start);
        let published = *session.clock().line();
        control.publish(published);
        let (number, age) = session.age(start.local);
        let seals = config.membership.key.clone();
        Hub {
            seals: seals.map(|key| Checker::new(key, Moment { session: number, age })),
            score: Score::new(config.score.clone()),
            control,
            session,
            published,
            announced: None,
            senders: Numbers::new(SENDERS),
            last: None,
            subscribers: Vec::new(),
            group: None,
            router: None,
            lates: Allowance::new(start.local),
            others_late: Budget::new(start.local),
            drops: Drops::default(),
            console: Console::new(config.session.id, config.session.leader),
            config,
            places: Places::new(),
            loading: 0,
            device: None,
            recording: None,
            net,
            tally: Tally::default(),
            errors: Budget::new(start.local),
            answers: Budget::new(start.local),
            clocks: Budget::new(start.local),
            out: Out::default(),
            started: start.local,
            wall: start,
            busy_until: start.local,
            now: start.local,
        }
    }

    /// Deals with a packet.
    pub fn handle(&mut self, arrival: LocalTime, from: Endpoint, packet: &[u8]) {
        self.now = self.now.later(arrival);
        if timing::is_timing(packet) {
            return self.keep_time(arrival, from, packet);
        }
        if let Some((origin, packet)) = self.admit(arrival, from, packet) {
            self.carry_out(arrival, from, origin, packet);
        }
    }

    /// Deals with a packet of the program itself, which needs no seal.
    pub fn obey(&mut self, now: LocalTime, from: Endpoint, packet: &[u8]) {
        self.now = self.now.later(now);
        let origin = self.origin(from);
        self.carry_out(now, from, origin, packet);
    }

    fn carry_out(&mut self, arrival: LocalTime, from: Endpoint, origin: Origin, packet: &[u8]) {
        let arrival = Arrival { at: arrival, from: origin, clock: self.clock() };
        let staged = match self.score.read(packet, &arrival) {
            Ok(staged) => staged,
            Err(refusal) => {
                self.tally.refused += 1;
                return self.error(from, refusal.address, refusal);
            }
        };
        self.tally.answers += u64::from(staged.answers);
        if !staged.events.is_empty() {
            self.busy_until = self.now + AFTERMATH;
            if self.control.send_all(&staged.events).is_err() {
                self.tally.full += 1;
                return self.error(from, first_address(packet), Reason::Full);
            }
        }
        for request in std::mem::take(&mut staged.requests) {
            self.answer(request, &arrival, from);
        }
    }

    /// Gives a clip a name; a sample that had the name before is freed when its last voice ends.
    ///
    /// # Errors
    /// A sentence, if there is no room for it.
    pub fn add_sample(&mut self, name: &str, clip: Arc<Clip>) -> Result<(), String> {
        let place =
            self.places.take().ok_or_else(|| format!("there are {} samples already", self.places.all()))?;
        if self.control.supply(Supply::Clip(place, clip)).is_err() {
            self.places.put_back(place);
            return Err("the audio thread is not ready for more samples: try again".into());
        }
        if let Some(before) = self.score.add_sample(name, place) {
            self.places.leave(before);
        }
        self.retire();
        Ok(())
    }

    /// Takes the result of a [`Output::Load`]: the clip, or a sentence why there is none.
    pub fn loaded(&mut self, request: &LoadRequest, result: Result<Arc<Clip>, String>) {
        self.loading = self.loading.saturating_sub(1);
        let address = "/sample/load";
        match result.and_then(|clip| self.add_sample(&request.name, clip)) {
            Ok(()) => self.done(request.from, address, &request.name),
            Err(reason) => self.error(request.from, address.as_bytes(), reason),
        }
    }

    /// Gives the instruments of a bank an address. Their instances go to the engine by [`Supply::Bank`].
    ///
    /// # Errors
    /// A sentence, if this cannot be an address or is a built-in one, or the engine takes no more.
    pub fn register(
        &mut self,
        address: &str,
        number: u8,
        instances: downbeat_engine::Bank,
    ) -> Result<(), String> {
        self.score.register(address, number)?;
        let sent = self.control.supply(Supply::Bank(number, instances));
        sent.map_err(|_| "the audio thread is not ready for more instruments".into())
    }

    /// Tells what the node plays on, for `/status` and for the channels that events may name.
    pub fn set_device(&mut self, device: DeviceState) {
        self.score.set_channels(device.format.channels);
        self.device = Some(device);
    }

    /// Tells how the recording goes, for `/status`.
    pub fn set_recording(&mut self, recording: Recording) {
        self.recording = Some(recording);
    }

    /// Tells the sender whose stream from disk has failed, and the subscribers.
    pub fn stream_failed(&mut self, failure: &StreamFailure) {
        let Some(to) = self.senders.key(failure.asked.0).copied() else {
            self.tally.orphaned += 1;
            return;
        };
        let StreamFailure { file, why, .. } = failure;
        self.error(to, b"/play", format_args!("{file}: {why}; the rest of it is silent"));
    }

    /// Takes note that a group hears what is said on this connection: it is told of its late events, though not so often as
    /// a subscriber.
    pub fn join(&mut self, conn: ConnId) {
        self.group = Some(conn);
    }

    /// Tells whether we are in a group at a router, and how that went, for `/status`.
    pub fn set_router(&mut self, report: MemberReport) {
        self.router = Some(report);
    }

    /// Forgets a connection that is closed.
    pub fn forget(&mut self, conn: ConnId) {
        self.group = self.group.filter(|group| *group != conn);
        self.subscribers.retain(|subscriber| subscriber.conn() != Some(conn));
    }

    /// Takes note of when a packet left that was given with this cookie.
    pub fn sent(&mut self, cookie: u64, at: LocalTime) {
        self.session.sent(cookie, at);
    }

    /// Goes on with time: looks at the wall clock once a second, and tells what the audio thread reports.
    pub fn tick(&mut self, now: WallAnchor) {
        self.now = self.now.later(now.local);
        while let Some(report) = self.control.report() {
            self.tell(report);
        }
        while let Some(garbage) = self.control.garbage() {
            if let Garbage::Clip(place, _) = garbage {
                self.places.left(place);
            }
        }
        self.retire();
        self.control.retry();
        self.wall = now;
        let jump = self.session.advance(now);
        self.tell_of_session(jump);
        self.mind_the_session();
        let announcement = self.session.announcement(now.local);
        if announcement != self.announced {
            self.announced = announcement;
            self.announcement(announcement);
        }
        let clock = self.clock();
        if *clock.line() != self.published {
            self.published = *clock.line();
            self.control.publish_apart(self.published, self.session.to_common());
        }
    }

    /// From now on this is the wall clock: the router's. Call it before [`Hub::tick`].
    pub fn change_wall(&mut self, now: WallAnchor) {
        if let Some(jump) = self.session.change_wall(now) {
            tracing::warn!("the router's time is taken: time jumps by {}", jump.by);
            self.jumped(jump);
        } else if let Some(Announcement { by, .. }) = self.session.announcement(now.local) {
            tracing::warn!("the router's time is taken: time jumps by {by}");
        }
    }

    /// When the next tick is due.
    pub fn deadline(&self) -> LocalTime {
        let counters = self.control.counters();
        let busy = self.now.is_before(self.busy_until)
            || counters.pending.load(Ordering::Relaxed) > 0
            || self.places.leaving() > 0;
        let reports = self.now + REPORTS;
        let session = self.session.deadline();
        if busy { reports.earlier(session) } else { session }
    }

    /// The next thing to do, as of `now`. What is said about time is stamped with it: send it at once.
    pub fn poll(&mut self, now: LocalTime) -> Option<Output> {
        while let Some(output) = self.session.poll(now) {
            let (to, message, stamp) = match output {
                downbeat_sync::Output::Send { to, message, stamp } => (Some(to), message, stamp),
                downbeat_sync::Output::Announce(message) => (self.config.group, message, None),
            };
            let Some(to) = to else { continue };
            let mut packet = Vec::with_capacity(256);
            match self.config.membership.write(&mut packet, &message) {
                Ok(()) => return Some(Output::Send { to: Endpoint::Udp(to), packet, stamp }),
                Err(error) => tracing::error!("cannot write a message about time: {error}"),
            }
        }
        self.out.pop()
    }

    /// Local time to room time, by which a program's own events wait ([`downbeat_engine::When::at`]), and to the ensemble's.
    pub fn clock(&self) -> RoomClock {
        self.session.clock()
    }

    /// Ensemble time as the node knows it.
    pub fn estimate(&self) -> ClockEstimate {
        self.session.estimate()
    }

    /// What was learned a moment ago of other hosts' clocks, by the number of the host: worth remembering.
    pub fn learned(&self) -> impl Iterator<Item = (u32, RateBelief)> {
        self.session.learned(self.now)
    }

    /// What it counted.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    #[inline]
    fn origin(&mut self, from: Endpoint) -> Origin {
        match self.last {
            Some((last, origin)) if last == from => origin,
            _ => {
                let origin = Origin(self.senders.number(&from));
                self.last = Some((from, origin));
                origin
            }
        }
    }

    fn answer(&mut self, request: Request, arrival: &Arrival, from: Endpoint) {
        match request {
            Request::Load { name, file } if self.loading < LOADS => {
                self.loading += 1;
                self.out.push(Output::Load(LoadRequest { name, file, from }));
            }
            Request::Load { .. } => {
                self.error(from, b"/sample/load", "too many samples are being loaded: wait for /done");
            }
            Request::Free { name } => match self.score.remove_sample(&name) {
                Some(clip) => {
                    self.places.leave(clip);
                    self.retire();
                    self.done(from, "/sample/free", &name);
                }
                None => {
                    self.error(from, b"/sample/free", Reason::NoSample(name.as_bytes()));
                }
            },
            Request::Notify(on) => self.subscribe(from, on),
            Request::List | Request::Status | Request::SyncStatus | Request::Senders
                if !self.answers.take(self.now) =>
            {
                self.tally.unanswered += 1;
            }
            Request::List => self.list(from),
            Request::Status => self.status(from),
            Request::SyncStatus => self.sync_status(from),
            Request::Senders => self.list_senders(from),
            Request::Time { form, asked } => self.time(from, form, &asked, arrival),
        }
    }

    /// A message about time. What is not of our ensemble is only counted: nobody waits for an answer.
    fn keep_time(&mut self, arrival: LocalTime, from: Endpoint, packet: &[u8]) {
        let Endpoint::Udp(address) = from else {
            self.tally.malformed += 1;
            return;
        };
        match self.config.membership.read(packet) {
            Ok(message) => {
                self.session.handle(arrival, address, &message);
                self.mind_the_session();
            }
            Err(TimingError::Stranger) => self.tally.strangers += 1,
            Err(TimingError::Seal) => self.tally.unsealed += 1,
            Err(TimingError::Malformed) => self.tally.malformed += 1,
        }
    }

    fn subscribe(&mut self, from: Endpoint, on: bool) {
        self.subscribers.retain(|subscriber| *subscriber != from);
        if on && self.subscribers.len() == SUBSCRIBERS {
            match self.subscribers.iter().position(|subscriber| !matches!(subscriber, Endpoint::Tcp(_))) {
                Some(oldest) => drop(self.subscribers.remove(oldest)),
                None => return self.error(from, b"/notify", "there are too many subscribers already"),
            }
        }
        if on {
            self.subscribers.push(from);
        }
        self.subscribed(from, on);
    }

    fn tell(&mut self, report: Report) {
        let (Report::Late { from, .. } | Report::Full { from } | Report::Cancelled { from, .. }) = report;
        let Some(to) = self.senders.key(from.0).copied() else {
            self.tally.orphaned += 1;
            return;
        };
        match report {
            Report::Late { from, due, by, policy } => {
                if policy == LatePolicy::Drop && self.drops.dropped(to) {
                    self.warn_of_drops(to, by);
                }
                self.tell_lateness(to, self.timetag(from, due), by, policy);
            }
            Report::Full { .. } => {
                self.error(to, b"/", "full: too many events are scheduled; one was refused");
            }
            Report::Cancelled { count, .. } => self.cancelled(to, count),
        }
    }

    /// Tells of a late event: its sender, if that is a subscriber, always; the other subscribers up to a rate of messages; and the
    /// group that it came from more seldom.
    fn tell_lateness(&mut self, from: Endpoint, due: EnsembleTime, by: Span, policy: LatePolicy) {
        let subscribed = self.subscribers.contains(&from);
        if subscribed {
            self.late(from, due, by, policy);
        } else if self.group.is_some() && self.group == from.conn() {
            if self.lates.take(self.now, LATE_EACH, LATE_BURST) {
                self.late(from, due, by, policy);
            } else {
                self.tally.unanswered += 1;
            }
        }
        for number in 0..self.subscribers.len() {
            let to = self.subscribers[number];
            if to != from && self.others_late.another(self.now, &mut self.tally.unanswered) {
                self.late(to, due, by, policy);
            }
        }
    }

    fn warn_of_drops(&self, from: Endpoint, by: Span) {
        let from = match from {
            Endpoint::Udp(address) => address.ip().to_string(),
            other => other.to_string(),
        };
        let ahead = (by.as_secs_f64() * 1e3).ceil();
        tracing::warn!(
            "dropped an event from {from}: it would sound {:.1} ms after its timetag, and late events are dropped; stamp at \
             least {ahead} ms further ahead, or use --late play",
            by.as_secs_f64() * 1e3
        );
    }

    /// The timetag of an event that was due at this room time.
    fn timetag(&self, from: Origin, room: EnsembleTime) -> EnsembleTime {
        let by_now = || room + self.clock().ahead_at(self.now);
        self.score.stamped(from, room).unwrap_or_else(by_now)
    }

    /// Answers an error, if not too many have been. The sentence is written only then, so that a flood of garbage costs
    /// no more than counting.
    fn error(&mut self, from: Endpoint, address: &[u8], reason: impl Display) {
        if self.errors.take(self.now) {
            self.say_error(from, address, &reason.to_string());
        } else {
            self.tally.unanswered += 1;
        }
    }

    fn announcement(&mut self, announcement: Option<Announcement>) {
        // It is told once more when it takes effect.
        let Some(announcement) = announcement else { return };
        let (now, wall) = (self.estimate().ensemble_at(self.now), self.wall);
        let peers = self.session.peers(self.now);
        console::log([self.console.announced(announcement, now, wall, &peers)]);
        self.jump_announced(announcement);
    }

    /// Tells what happened to the session since it went on with time, and how the published clock jumped.
    fn tell_of_session(&mut self, jump: Option<Jump>) {
        let news: Vec<News> = std::iter::from_fn(|| self.session.news()).collect();
        let leader = self.session.leader();
        if self.console.is_told(leader) && news.is_empty() && jump.is_none() {
            return;
        }
        let peers = self.session.peers(self.now);
        console::log(self.console.tell(leader, &peers, &news, jump));
        if let Some(jump) = jump {
            self.jumped(jump);
        }
    }

    /// Asks the audio thread for the clips that are to leave; what its ring does not take waits for the next tick.
    fn retire(&mut self) {
        self.places.ask(|place| self.control.supply(Supply::Free(place)).is_ok());
    }
}

/// For an error that concerns the whole packet.
fn first_address(packet: &[u8]) -> &[u8] {
    osc::read(packet).next().and_then(Result::ok).map_or(b"", |timed| timed.message.address())
}
