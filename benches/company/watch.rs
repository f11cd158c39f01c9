//! [`Watch`]: plays clicks on a stage, reads every node's published clock meanwhile, and asks who leads.
//!
//! Not for: what follows from it (`judge`).

use crate::report::told::{self, PRIORITY, Reading, Told};
use crate::stage::{Node, Stage};
use downbeat_engine::device::priority::raise_this_thread;
use downbeat_net::osc::{self, Arg, BundleWriter};
use downbeat_sync::{Clock, EnsembleTime, LocalTime, Span};
use std::net::UdpSocket;

/// From reading to reading of each clock, from question to question who leads, from click to click.
const READ: Span = Span::from_millis(20);
pub(crate) const ASK: Span = Span::from_millis(25);
const CLICK: Span = Span::from_millis(50);
/// How far ahead a click is stamped.
pub(crate) const LEAD: Span = Span::from_millis(500);
/// An answer that comes later was held up, or its question was: its stamp may not be what the node took it for.
const PROMPT: Span = Span::from_millis(300);
/// The sender takes the ensemble's time anew if it is off by more: it was told of a jump.
const OFF: Span = Span::from_millis(1);
/// A click's amplitude: of several on one frame the sum is exact, too.
pub(crate) const GAIN: f32 = 1.0 / 64.0;

/// What a node told of its part.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) at: LocalTime,
    pub(crate) leads: bool,
    pub(crate) jumps: f64,
}

/// What is known of one node.
#[derive(Default)]
pub(crate) struct Known {
    /// By round; nothing where there was no answer, or no certain one.
    pub(crate) readings: Vec<Option<Reading>>,
    /// When each round's question was sent: before and after.
    asked: Vec<(LocalTime, LocalTime)>,
    pub(crate) standings: Vec<Standing>,
    /// The last `/status`.
    pub(crate) status: Told,
    /// Timetags of the clicks it was sent.
    pub(crate) clicks: Vec<EnsembleTime>,
    latest: Option<Reading>,
    /// By what the sender stamps for those who go by this node.
    anchor: Option<Reading>,
}

/// See the module.
pub(crate) struct Watch {
    pub(crate) clock: Clock,
    pub(crate) known: Vec<Known>,
    /// By which node's time the sender of each node stamps.
    guides: Vec<usize>,
    plays: bool,
    /// Sent to by itself.
    warm: UdpSocket,
    next: [LocalTime; 3],
    packet: Vec<u8>,
}

impl Watch {
    /// On a thread that starts no more nodes: they would have its priority. Sender `n` stamps by the time of node `guides[n]`.
    pub(crate) fn new(guides: &[usize]) -> Watch {
        // Without, fewer readings are certain.
        raise_this_thread(PRIORITY);
        let clock = Clock::new();
        let warm = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
        warm.local_addr().and_then(|own| warm.connect(own)).expect("loopback is there");
        Watch {
            clock,
            known: guides.iter().map(|_| Known::default()).collect(),
            guides: guides.to_vec(),
            plays: false,
            warm,
            next: [clock.now(); 3],
            packet: Vec::new(),
        }
    }

    /// Begins or ends to play.
    pub(crate) fn play(&mut self, plays: bool) {
        self.plays = plays;
    }

    /// Goes on for so long.
    pub(crate) fn run(&mut self, stage: &Stage, lasts: Span) {
        let end = self.clock.now() + lasts;
        self.run_until(stage, |_, now| !now.is_before(end));
    }

    /// Goes on until that is so; returns when.
    pub(crate) fn run_until(
        &mut self,
        stage: &Stage,
        mut is_over: impl FnMut(&[Known], LocalTime) -> bool,
    ) -> LocalTime {
        loop {
            let now = self.clock.now();
            for (turn, every) in [READ, ASK, CLICK].into_iter().enumerate() {
                if !now.is_before(self.next[turn]) {
                    // A turn that was missed is not made up for.
                    self.next[turn] = (self.next[turn] + every).later(now);
                    self.take(turn, &stage.nodes);
                }
            }
            let next = self.next.into_iter().reduce(LocalTime::earlier);
            self.clock.sleep_until(next.unwrap_or(now));
            for (known, node) in self.known.iter_mut().zip(&stage.nodes) {
                known.listen(&node.socket, self.clock.now());
            }
            let now = self.clock.now();
            if is_over(&self.known, now) {
                return now;
            }
        }
    }

    fn take(&mut self, turn: usize, nodes: &[Node]) {
        match turn {
            0 => self.read(nodes),
            1 => nodes.iter().for_each(|node| {
                self.packet.clear();
                osc::write(&mut self.packet, "/sync/status", []).expect("it is legal");
                // Who is dead does not hear it.
                let _ = node.socket.send(&self.packet);
            }),
            _ if self.plays => self.click(nodes),
            _ => {}
        }
    }

    fn read(&mut self, nodes: &[Node]) {
        // The first packet after a sleep takes several times as long as the next.
        let _ = self.warm.send(&[0]).and_then(|_| self.warm.recv(&mut [0]));
        for (known, node) in self.known.iter_mut().zip(nodes) {
            known.asked.push(told::ask_time(&node.socket, self.clock, known.readings.len() as i32));
            known.readings.push(None);
        }
    }

    fn click(&mut self, nodes: &[Node]) {
        let now = self.clock.now();
        for (number, guide) in self.guides.iter().enumerate() {
            let Some(now) = self.known[*guide].tell(now) else { continue };
            let timetag = now + LEAD;
            self.packet.clear();
            let mut bundle = BundleWriter::new(&mut self.packet, timetag.bits());
            bundle.message("/click", [Arg::Float(GAIN)]).expect("it is legal");
            if nodes[number].socket.send(&self.packet).is_ok() {
                self.known[number].clicks.push(timetag);
            }
        }
    }

    /// Asks every node for its counts.
    pub(crate) fn count(&mut self, stage: &Stage) {
        for node in &stage.nodes {
            self.packet.clear();
            osc::write(&mut self.packet, "/status", []).expect("it is legal");
            let _ = node.socket.send(&self.packet);
        }
        self.run(stage, Span::from_millis(200));
    }
}

impl Known {
    fn listen(&mut self, socket: &UdpSocket, now: LocalTime) {
        let mut room = [0; 4096];
        // Of a dead node an error tells once for each packet.
        while let Ok(len) = socket.recv(&mut room) {
            let packet = &room[..len];
            if let Some((round, time)) = told::time(packet) {
                self.hear(round, time, now);
                continue;
            }
            let Some(told) = Told::read(packet) else { continue };
            match told.address.as_str() {
                "/status/reply" => self.status = told,
                "/sync/status/reply" => self.standings.push(Standing {
                    at: now,
                    leads: told.get("role") == "leader",
                    jumps: told.number("jumps"),
                }),
                _ => {}
            }
        }
    }

    fn hear(&mut self, round: i32, time: EnsembleTime, now: LocalTime) {
        let Some((round, &asked)) = usize::try_from(round).ok().and_then(|n| Some((n, self.asked.get(n)?)))
        else {
            return;
        };
        if now - asked.1 <= PROMPT
            && let Some(reading) = Reading::certain(asked, time)
        {
            self.readings[round] = Some(reading);
            self.latest = Some(reading);
        }
    }

    /// The time by which the sender stamps: what it once read here, until that is off.
    fn tell(&mut self, now: LocalTime) -> Option<EnsembleTime> {
        let latest = self.latest?;
        let anchor = self.anchor.unwrap_or(latest);
        let off = latest.time - (anchor.time + (latest.at - anchor.at));
        let anchor = if off.abs() > OFF { latest } else { anchor };
        self.anchor = Some(anchor);
        Some(anchor.time + (now - anchor.at))
    }
}
