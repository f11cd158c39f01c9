//! [`Flow`]: groups on a server in which one sends and the others receive, as fast as they can or at a steady rate.

use crate::dialect::Dialect;
use crate::report::{cpu, quantile};
use crate::server::{Kind, Server};
use crate::swarm::Swarm;
use downbeat_net::osc::{self, Arg};
use std::time::{Duration, Instant};

/// Joining, and the arrival of what is still under way, may take so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Who joins at once: not more than wait to be accepted by the original.
const AT_ONCE: usize = 50;
/// Where in a packet the blob begins, whose first bytes are the time at which it was sent.
const STAMP: std::ops::Range<usize> = 12..20;

/// A server that is compared, spoken to in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contestant {
    pub(crate) kind: Kind,
    pub(crate) dialect: Dialect,
}

impl Contestant {
    /// What its rows are called.
    pub(crate) fn name(self) -> String {
        match self.dialect {
            Dialect::Length => format!("{}, lengths", self.kind.name()),
            Dialect::Slip => format!("{}, SLIP", self.kind.name()),
            Dialect::Nats => self.kind.name().into(),
        }
    }
}

/// Each of these servers by each way it can be spoken to.
pub(crate) fn contestants(kinds: &[Kind]) -> Vec<Contestant> {
    let each = kinds.iter().flat_map(|&kind| {
        let dialects: &[Dialect] =
            if kind == Kind::Nats { &[Dialect::Nats] } else { &[Dialect::Length, Dialect::Slip] };
        dialects.iter().map(move |&dialect| Contestant { kind, dialect })
    });
    each.collect()
}

/// A message with a blob of so many bytes, eight at least, none of which SLIP has to escape but one in 128.
pub(crate) fn message(blob: usize) -> Vec<u8> {
    let mut random = crate::report::random::Random(blob as u64);
    let bytes: Vec<u8> = (0..blob).map(|_| random.bits() as u8).collect();
    let mut packet = Vec::new();
    osc::write(&mut packet, "/n", [Arg::Blob(&bytes)]).expect("it is legal");
    packet
}

/// Ten small messages in a bundle.
pub(crate) fn bundle_of_ten() -> Vec<u8> {
    let mut packet = Vec::new();
    let mut bundle = osc::BundleWriter::new(&mut packet, osc::IMMEDIATELY);
    for _ in 0..10 {
        bundle.packet(&message(8)).expect("it is legal");
    }
    packet
}

/// What a server did under as much load as it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) deliveries_per_second: f64,
    pub(crate) cpu_micros: f64,
    /// Parts of a core in use.
    pub(crate) server: f64,
    pub(crate) tool: f64,
}

/// One-way times at a steady rate [us].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) cpu_micros: f64,
    /// What had not come two seconds after the last was sent.
    pub(crate) missing: u64,
}

/// See the module.
pub(crate) struct Flow {
    pub(crate) server: Server,
    pub(crate) swarm: Swarm,
    groups: usize,
    /// In each group, the sender before them not counted.
    receivers: usize,
    epoch: Instant,
}

impl Flow {
    /// Starts a server, and fills so many groups.
    ///
    /// At the original all receivers of a group are one user's connections: it makes a list of all users for every user at
    /// every arrival, which takes minutes with 500 of them, and a delivery costs the same.
    pub(crate) fn new(contestant: Contestant, groups: usize, receivers: usize) -> Flow {
        let server = Server::start(contestant.kind);
        let address = server.address(contestant.dialect);
        let mut swarm = Swarm::new();
        for group in 0..groups {
            for member in 0..=receivers {
                let user = match member {
                    0 => "sender".into(),
                    _ if contestant.kind == Kind::Original => "receiver".into(),
                    _ => format!("receiver{member}"),
                };
                let index = swarm.connect(address, contestant.dialect, &user, &format!("group{group}"));
                swarm.register(index);
                if swarm.links.len().is_multiple_of(AT_ONCE) {
                    all_registered(&mut swarm);
                }
            }
        }
        all_registered(&mut swarm);
        Flow { server, swarm, groups, receivers, epoch: Instant::now() }
    }

    fn sender(&self, group: usize) -> usize {
        group * (self.receivers + 1)
    }

    fn slowest(&self, group: usize) -> u64 {
        let first = self.sender(group) + 1;
        let receivers = &self.swarm.links[first..first + self.receivers];
        receivers.iter().filter(|link| !link.asleep).map(|link| link.heard).min().unwrap_or(0)
    }

    fn heard(&self) -> u64 {
        self.swarm.links.iter().map(|link| link.heard).sum()
    }

    /// Sends as fast as all receivers of a group have heard all but the last `window` messages.
    pub(crate) fn saturate(&mut self, packet: &[u8], window: u64, time: Duration) -> Rate {
        let messages = crate::dialect::messages(packet);
        let frames: Vec<Vec<u8>> =
            (0..self.groups).map(|group| self.swarm.framed(self.sender(group), packet)).collect();
        self.swarm.links.iter_mut().for_each(|link| link.heard = 0);
        let mut sent = vec![0; self.groups];
        let (warm, start) = (time / 5, Instant::now());
        let mut begun = None;
        while start.elapsed() < warm + time {
            if begun.is_none() && start.elapsed() >= warm {
                begun = Some((Instant::now(), self.heard(), self.server.cpu(), cpu::this_thread()));
            }
            for (group, frame) in frames.iter().enumerate() {
                let room = (self.slowest(group) + window).saturating_sub(sent[group]) / messages;
                if room > 0 {
                    self.swarm.send(self.sender(group), &frame.repeat(room as usize));
                    sent[group] += room * messages;
                }
            }
            self.swarm.turn(Duration::from_millis(1), |_, _, _| {});
        }
        let (at, heard, server, tool) = begun.expect("a warm-up ends before the measurement");
        let (seconds, delivered) = (at.elapsed().as_secs_f64(), (self.heard() - heard) as f64);
        let used = (self.server.cpu() - server).as_secs_f64();
        let tool = (cpu::this_thread() - tool).as_secs_f64();
        self.wait_for(&sent, PATIENCE);
        Rate {
            deliveries_per_second: delivered / seconds,
            cpu_micros: 1e6 * used / delivered,
            server: used / seconds,
            tool: tool / seconds,
        }
    }

    /// Sends so many messages a second in each group, and sees how long each takes to each receiver. Spins, if it is to, so
    /// that the tool's own waking up is no part of that.
    pub(crate) fn pace(&mut self, packet: &[u8], per_second: f64, time: Duration, spin: bool) -> Latency {
        self.swarm.links.iter_mut().for_each(|link| link.heard = 0);
        let interval = Duration::from_secs_f64(1.0 / per_second);
        let (epoch, start, used) = (self.epoch, Instant::now(), self.server.cpu());
        let mut sent = vec![0; self.groups];
        let mut packet = packet.to_vec();
        let mut micros =
            Vec::with_capacity((per_second * time.as_secs_f64()) as usize * self.groups * self.receivers);
        let mut due = Duration::ZERO;
        while due < time {
            while start.elapsed() < due {
                let wait = if spin { Duration::ZERO } else { due.saturating_sub(start.elapsed()) };
                self.hear_stamps(wait, &mut micros);
            }
            due += interval;
            for (group, sent) in sent.iter_mut().enumerate() {
                packet[STAMP].copy_from_slice(&(epoch.elapsed().as_nanos() as u64).to_be_bytes());
                let frame = self.swarm.framed(self.sender(group), &packet);
                self.swarm.send(self.sender(group), &frame);
                *sent += 1;
                self.hear_stamps(Duration::ZERO, &mut micros);
            }
        }
        let expected: u64 = sent.iter().sum::<u64>() * self.awake();
        let end = Instant::now();
        while self.heard() < expected && end.elapsed() < Duration::from_secs(2) {
            self.hear_stamps(Duration::from_millis(1), &mut micros);
        }
        let used = (self.server.cpu() - used).as_secs_f64();
        let (missing, heard) = (expected.saturating_sub(self.heard()), self.heard() as f64);
        self.wait_for(&sent, PATIENCE / 10);
        let part = |part| quantile(&micros, part);
        Latency {
            p50: part(0.5),
            p99: part(0.99),
            p999: part(0.999),
            cpu_micros: 1e6 * used / heard,
            missing,
        }
    }

    fn hear_stamps(&mut self, wait: Duration, micros: &mut Vec<f64>) {
        let epoch = self.epoch;
        self.swarm.turn(wait, |_, packet, now| {
            let stamp =
                packet.get(STAMP).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
            let taken = now.duration_since(epoch).as_nanos() as u64 - stamp;
            micros.push(taken as f64 / 1e3);
        });
    }

    /// Receivers of a group who listen.
    fn awake(&self) -> u64 {
        self.receivers as u64 - self.swarm.links.iter().filter(|link| link.asleep).count() as u64
    }

    fn wait_for(&mut self, sent: &[u64], patience: Duration) {
        let start = Instant::now();
        while (0..self.groups).any(|group| self.slowest(group) < sent[group]) && start.elapsed() < patience {
            self.swarm.turn(Duration::from_millis(1), |_, _, _| {});
        }
    }
}

/// Waits until all are members of their groups.
pub(crate) fn all_registered(swarm: &mut Swarm) {
    let done = swarm.until(PATIENCE, |links| links.iter().all(|link| link.registered));
    assert!(done, "not all are registered");
}
