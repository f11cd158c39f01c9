//! An [`Ensemble`] of sessions in virtual time: clocks that differ, links that delay and lose, hosts that stop and come back.
//!
//! One thread, one true time; every run of one seed is the same. Not for: sound, sockets, bytes.

// Tests and the benchmark each use their part of this.
#![allow(dead_code)]

use downbeat_net::timing::Membership;
use downbeat_sync::{
    ClockEstimate, EnsembleTime, Jump, LocalTime, MaxDrift, Message, Output, PeerId, RateBelief, Session,
    SessionConfig, Span, WallAnchor,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;

/// True seconds since the start of a run.
pub(crate) type Seconds = f64;

/// What becomes of a message: how long it takes from one node to another (s), or `None` if it is lost.
pub(crate) type Links = Box<dyn FnMut(usize, usize, Seconds) -> Option<Seconds>>;

/// A host's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HostClock {
    /// Where its local clock stands at the start (s).
    pub(crate) start: Seconds,
    /// How fast it is [ppm].
    pub(crate) ppm: f64,
    /// How far ahead of the truth its wall clock is at the start (s); it drifts with the local one.
    pub(crate) wall: Seconds,
    /// How long it takes to send a message that it has stamped (s).
    pub(crate) sending: Seconds,
    /// Whether its kernel says that its wall clock is right.
    pub(crate) synchronised: bool,
    /// Whether its kernel tells when a message has left.
    pub(crate) tells: bool,
}

/// A node: its session, its host's clocks, and what became of it.
pub(crate) struct Node {
    pub(crate) session: Session,
    pub(crate) id: PeerId,
    clock: HostClock,
    state: State,
    /// Jumps of its published clock, and when.
    pub(crate) jumps: Vec<(Seconds, Jump)>,
    address: SocketAddr,
    turns: u64,
    /// What came while it was stopped.
    waiting: Vec<(LocalTime, SocketAddr, Message)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// Neither receives nor ticks, and finds all that came meanwhile when it goes on (SIGSTOP).
    Paused,
    /// Gone for good.
    Dead,
}

/// See the module.
pub(crate) struct Ensemble {
    pub(crate) nodes: Vec<Node>,
    links: Links,
    flights: BinaryHeap<Reverse<Flight>>,
    /// Deadlines, with the node and how often it had been looked at when it told this one: an older one is none any more.
    deadlines: BinaryHeap<Reverse<(i64, usize, u64)>>,
    numbers: HashMap<SocketAddr, usize>,
    sent: u64,
    bytes: u64,
    member: Membership,
    /// What the nodes that are started assume of crystals.
    pub(crate) max_drift: MaxDrift,
    pub(crate) now: Seconds,
}

/// What is next: a message arrives, or a node has its turn.
struct Next {
    at: Seconds,
    of: Option<usize>,
}

/// A message on its way.
struct Flight {
    /// Nanoseconds of true time, so that it has an order.
    at: i64,
    number: u64,
    from: SocketAddr,
    to: usize,
    message: Message,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Flight) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Flight) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Flight {
    fn cmp(&self, other: &Flight) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl HostClock {
    /// What its local clock shows at a true time (s).
    pub(crate) fn local(&self, t: Seconds) -> LocalTime {
        LocalTime::from_ticks(1 << 40) + Span::from_secs_f64(self.start + t * (1.0 + self.ppm * 1e-6))
    }

    fn anchor(&self, t: Seconds) -> WallAnchor {
        let wall = truth(t) + Span::from_secs_f64(self.wall + t * self.ppm * 1e-6);
        WallAnchor { local: self.local(t), wall, uncertainty: Span::ZERO, synchronised: self.synchronised }
    }

    /// When its local clock shows this.
    fn truth(&self, local: LocalTime) -> Seconds {
        let since = (local - self.local(0.0)).as_secs_f64();
        since / (1.0 + self.ppm * 1e-6)
    }
}

/// The right wall clock.
pub(crate) fn truth(t: Seconds) -> EnsembleTime {
    EnsembleTime::from_unix(Span::from_secs(1_800_000_000)) + Span::from_secs_f64(t)
}

impl Ensemble {
    /// Nobody yet, on links like these.
    pub(crate) fn new(links: Links) -> Ensemble {
        Ensemble {
            nodes: Vec::new(),
            links,
            flights: BinaryHeap::new(),
            deadlines: BinaryHeap::new(),
            numbers: HashMap::new(),
            sent: 0,
            bytes: 0,
            member: Membership { ensemble: "downbeat".into(), key: None },
            max_drift: MaxDrift::default(),
            now: 0.0,
        }
    }

    /// Starts one more node, on a host of its own. Returns its number.
    pub(crate) fn start(&mut self, clock: HostClock, leader: bool) -> usize {
        self.start_knowing(clock, leader, Vec::new())
    }

    /// The same of one that remembers how fast the clocks of these hosts run, which are numbered as their nodes are.
    pub(crate) fn start_knowing(
        &mut self,
        clock: HostClock,
        leader: bool,
        beliefs: Vec<(u32, RateBelief)>,
    ) -> usize {
        let number = self.nodes.len();
        let address = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 9_000));
        self.begin(clock, leader, beliefs, address)
    }

    /// Starts a node in the place of one that was killed, at its address, on a host whose clocks may be others.
    pub(crate) fn restart(&mut self, killed: usize, clock: HostClock, leader: bool) -> usize {
        self.begin(clock, leader, Vec::new(), self.nodes[killed].address)
    }

    fn begin(
        &mut self,
        clock: HostClock,
        leader: bool,
        beliefs: Vec<(u32, RateBelief)>,
        address: SocketAddr,
    ) -> usize {
        let number = self.nodes.len();
        let id = PeerId::new(number as u32, 0x100);
        let config = SessionConfig {
            id,
            secret: 77 * (number as u64 + 1),
            leader,
            peers: Vec::new(),
            beliefs,
            max_drift: self.max_drift,
            ..SessionConfig::default()
        };
        let session = Session::new(config, clock.anchor(self.now));
        self.nodes.push(Node {
            session,
            id,
            clock,
            state: State::Running,
            jumps: Vec::new(),
            address,
            turns: 0,
            waiting: Vec::new(),
        });
        self.numbers.insert(address, number);
        self.turn(number);
        number
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].state = State::Dead;
    }

    pub(crate) fn pause(&mut self, node: usize) {
        self.nodes[node].state = State::Paused;
    }

    pub(crate) fn resume(&mut self, node: usize) {
        let known = &mut self.nodes[node];
        known.state = State::Running;
        for (arrival, from, message) in std::mem::take(&mut known.waiting) {
            known.session.handle(arrival, from, &message);
        }
        self.turn(node);
    }

    /// Sets a host's wall clock ahead by so much (s).
    pub(crate) fn set_wall(&mut self, node: usize, by: Seconds) {
        self.nodes[node].clock.wall += by;
    }

    /// Sets a host's local clock ahead by so much (s), as no oscillator does: a virtual machine that was moved may.
    pub(crate) fn leap(&mut self, node: usize, by: Seconds) {
        self.nodes[node].clock.start += by;
        self.nodes[node].clock.wall += by;
        self.wind(node);
    }

    /// Replaces the links, as a cut or a mended cable does.
    pub(crate) fn relink(&mut self, links: Links) {
        self.links = links;
    }

    /// Goes on until `until`, and calls `look` after every step of `every` seconds.
    pub(crate) fn run(&mut self, until: Seconds, every: Seconds, mut look: impl FnMut(&Ensemble)) {
        let mut next_look = self.now + every;
        while self.now < until {
            let next = self.next();
            if next_look <= next.at {
                self.now = next_look;
                next_look += every;
                look(self);
                continue;
            }
            self.meet(next);
        }
    }

    /// Goes on until exactly `until`.
    pub(crate) fn run_to(&mut self, until: Seconds) {
        loop {
            let next = self.next();
            if next.at > until {
                break;
            }
            self.meet(next);
        }
        self.now = until;
    }

    /// What is to be next.
    fn next(&mut self) -> Next {
        let arrival = self.flights.peek().map_or(f64::INFINITY, |Reverse(flight)| flight.at as f64 * 1e-9);
        let (deadline, node) = self.next_deadline();
        Next {
            at: arrival.min(deadline).max(self.now),
            of: if arrival <= deadline { None } else { Some(node) },
        }
    }

    fn meet(&mut self, next: Next) {
        match next.of {
            None => {
                self.now = next.at;
                self.arrive();
            }
            Some(node) => {
                // A deadline that rounding puts a hair before itself would be met for ever.
                self.now = next.at + 1e-9;
                self.turn(node);
            }
        }
    }

    /// The published clock of a node.
    pub(crate) fn estimate(&self, node: usize) -> ClockEstimate {
        self.nodes[node].session.estimate()
    }

    /// How far ahead of the true time a node's room time is, as all nodes of its session count it (s): what waits goes by it.
    pub(crate) fn room(&self, node: usize) -> Seconds {
        let session = &self.nodes[node].session;
        let room = session.clock().room_at(self.local(node)) + session.to_common();
        (room - truth(self.now)).as_secs_f64()
    }

    /// How far ahead of the true time that is which a node tells whoever asks it for the time (s).
    pub(crate) fn told(&self, node: usize) -> Seconds {
        (self.nodes[node].session.clock().ensemble_at(self.local(node)) - truth(self.now)).as_secs_f64()
    }

    /// How long it is until the jump takes effect that a node has heard announced (s).
    pub(crate) fn notice(&self, node: usize) -> Option<Seconds> {
        let (session, local) = (&self.nodes[node].session, self.local(node));
        let announced = session.announcement(local)?;
        Some((announced.at - session.clock().ensemble_at(local)).as_secs_f64())
    }

    /// How far ahead of the true time a node's published clock is (s).
    pub(crate) fn error(&self, node: usize) -> Seconds {
        let local = self.nodes[node].clock.local(self.now);
        (self.estimate(node).ensemble_at(local) - truth(self.now)).as_secs_f64()
    }

    /// How far a node's published clock is from the time as another keeps it, and its hard bound now (s).
    pub(crate) fn bounded(&self, node: usize, keeper: usize) -> (Seconds, Seconds) {
        let node = &self.nodes[node];
        let estimate = node.session.estimate_at(node.clock.local(self.now));
        let kept = &self.nodes[keeper];
        let right = kept.session.estimate().ensemble_at(kept.clock.local(self.now));
        ((estimate.ensemble_at(estimate.anchor()) - right).as_secs_f64(), estimate.bound.as_secs_f64())
    }

    /// The largest difference between the clocks of these nodes (s).
    pub(crate) fn spread(&self, nodes: &[usize]) -> Seconds {
        let errors: Vec<Seconds> = nodes.iter().map(|node| self.error(*node)).collect();
        let largest = errors.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        largest - errors.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Which session a node thinks it is in, and how old it thinks that is.
    pub(crate) fn age(&self, node: usize) -> (u64, Seconds) {
        let node = &self.nodes[node];
        let (session, age) = node.session.age(node.clock.local(self.now));
        (session, age.as_secs_f64())
    }

    /// Whether a node runs: it is neither killed nor stopped.
    pub(crate) fn runs(&self, node: usize) -> bool {
        self.nodes[node].state == State::Running
    }

    /// Which node this is the id of.
    pub(crate) fn number(&self, id: PeerId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// Who leads, of those that run.
    pub(crate) fn leaders(&self) -> Vec<usize> {
        let running = self.nodes.iter().enumerate().filter(|(_, node)| node.state == State::Running);
        running.filter(|(_, node)| node.session.leads()).map(|(n, _)| n).collect()
    }

    /// Messages sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Who is to have a turn next, and when.
    fn next_deadline(&mut self) -> (Seconds, usize) {
        while let Some(Reverse((at, node, turns))) = self.deadlines.peek() {
            let known = &self.nodes[*node];
            if known.state == State::Running && known.turns == *turns {
                return (*at as f64 * 1e-9, *node);
            }
            self.deadlines.pop();
        }
        (f64::INFINITY, usize::MAX)
    }

    /// Bytes of those messages, as they are on the wire without the headers of UDP and IP.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A host's clocks.
    pub(crate) fn host(&self, node: usize) -> HostClock {
        self.nodes[node].clock
    }

    /// A host's local clock now.
    pub(crate) fn local(&self, node: usize) -> LocalTime {
        self.nodes[node].clock.local(self.now)
    }

    fn arrive(&mut self) {
        let Some(Reverse(flight)) = self.flights.pop() else { return };
        match self.nodes[flight.to].state {
            State::Dead => {}
            State::Paused => {
                // It waits in the socket, and has the kernel's stamp.
                let node = &mut self.nodes[flight.to];
                let arrival = node.clock.local(self.now);
                node.waiting.push((arrival, flight.from, flight.message));
            }
            State::Running => {
                let node = &mut self.nodes[flight.to];
                let arrival = node.clock.local(self.now);
                node.session.handle(arrival, flight.from, &flight.message);
                self.turn(flight.to);
            }
        }
    }

    fn turn(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let jump = node.session.advance(node.clock.anchor(self.now));
        node.jumps.extend(jump.map(|jump| (self.now, jump)));
        let local = node.clock.local(self.now);
        while let Some(output) = self.nodes[number].session.poll(local) {
            let node = &mut self.nodes[number];
            let from = node.address;
            match output {
                Output::Send { to, message, stamp } => {
                    if let Some(cookie) = stamp.filter(|_| node.clock.tells) {
                        node.session.sent(cookie, node.clock.local(self.now + node.clock.sending));
                    }
                    let to = self.numbers.get(&to).copied();
                    self.fly(number, from, to.into_iter(), message);
                }
                Output::Announce(message) => self.fly(number, from, 0..self.nodes.len(), message),
            }
        }
        self.wind(number);
    }

    /// Notes a node's next deadline.
    fn wind(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.turns += 1;
        // Rounded up, or it would be met a hair too early.
        let at = (node.clock.truth(node.session.deadline()) * 1e9).ceil() as i64;
        self.deadlines.push(Reverse((at, number, node.turns)));
    }

    fn fly(&mut self, number: usize, from: SocketAddr, to: impl Iterator<Item = usize>, message: Message) {
        let sending = self.nodes[number].clock.sending;
        let mut packet = Vec::new();
        self.member.write(&mut packet, &message).expect("it can be written");
        for to in to.filter(|to| *to != number) {
            self.sent += 1;
            self.bytes += packet.len() as u64;
            if let Some(delay) = (self.links)(number, to, self.now) {
                let at = ((self.now + sending + delay) * 1e9) as i64;
                let message = message.clone();
                self.flights.push(Reverse(Flight { at, number: self.sent, from, to, message }));
            }
        }
    }
}
