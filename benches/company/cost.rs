//! What the clocks cost: processor time of the network thread, alone and with another node, and bytes on the wire.
//!
//! Not for: the estimator alone (`sync`), nor a node at work (`receive`).

use crate::relay::Way;
use crate::relay::log::{End, Log};
use crate::report::{Table, cpu, digits, peer, title, unless_quick, verdict};
use crate::stage::{Part, Stage};
use downbeat_sync::{Clock, LocalTime, Span};
use std::time::Duration;

/// IPv4's and UDP's headers (bytes).
const HEADERS: usize = 28;
/// What a node's network thread may take [% of a core], and what two may say to each other (bytes a second).
const CPU: f64 = 0.5;
const BYTES: f64 = 2_000.0;
/// A leader tells a network that it is there so often (Hz), beside what it says to each.
const HEARTBEATS: f64 = 2.0;

pub(crate) fn measure() {
    let (settling, seconds) = unless_quick((30, 60), (3, 2));
    title(&format!("company: what the clocks cost when all is locked, {seconds} s after {settling} s"));
    let part = |clocks: &str| Part { clocks: clocks.into(), after: Duration::from_secs(1) };
    let folder = |name: &str| peer::scratch(&format!("company-{name}-{}", std::process::id()));
    let alone = Stage::set(&[part("")], &folder("alone"), |_, _| false);
    let pair = Stage::set(&[part(""), part("ppm=+80,offset=1234s")], &folder("pair"), |_, _| false);
    let clock = Clock::new();
    std::thread::sleep(Duration::from_secs(settling));
    let nodes = [("alone", &alone.nodes[0]), ("leader", &pair.nodes[0]), ("follower", &pair.nodes[1])];
    let used = || nodes.map(|(_, node)| cpu::of_main_thread(node.pid()));
    let (from, before) = (clock.now(), used());
    std::thread::sleep(Duration::from_secs(seconds));
    let (to, after) = (clock.now(), used());
    let lasted = (to - from).as_secs_f64();

    let mut table = Table::new(&["network thread of a node", "CPU, % of a core", "goal"]);
    for (n, (name, _)) in nodes.iter().enumerate() {
        let percent = 100.0 * (after[n] - before[n]).as_secs_f64() / lasted;
        table.row(&[name, &digits(percent), &verdict(percent <= CPU)]);
    }
    table.print();

    let ended = pair.end();
    let mut table = Table::new(&["on the wire", "packets/s", "bytes/s", "with headers", "longest"]);
    let mut all = Traffic::default();
    for (_, log) in &ended.logs {
        for (way, name) in [(Way::Back, "follower to leader"), (Way::Forth, "leader to follower")] {
            let traffic = Traffic::of(log, way, (from, to));
            traffic.print(&mut table, name, lasted);
            all = all.and(&traffic);
        }
    }
    all.print(&mut table, "both ways", lasted);
    table.print();
    let bytes = all.bytes as f64 / lasted;
    let with_headers = (all.bytes + HEADERS * all.packets) as f64 / lasted;
    println!(
        "goal, both ways: {} bytes/s for each other node: {}, with headers {}; a heartbeat to everybody comes on top where \
         there is multicast, for all nodes together {} bytes/s",
        digits(BYTES),
        verdict(bytes <= BYTES),
        verdict(with_headers <= BYTES),
        digits(HEARTBEATS * all.longest as f64)
    );
}

/// What passed.
#[derive(Clone, Copy, Default)]
struct Traffic {
    packets: usize,
    bytes: usize,
    longest: usize,
}

impl Traffic {
    fn of(log: &Log, way: Way, (from, to): (LocalTime, LocalTime)) -> Traffic {
        let was_then = |at: LocalTime| at - from >= Span::ZERO && at.is_before(to);
        let entries = log.entries.iter().filter(|entry| entry.way == way && was_then(entry.came));
        // What the network lost was on the wire too; a copy was not sent by a node.
        entries.filter(|entry| entry.end != End::Again).fold(Traffic::default(), |all, entry| {
            all.and(&Traffic { packets: 1, bytes: entry.bytes, longest: entry.bytes })
        })
    }

    fn and(&self, other: &Traffic) -> Traffic {
        Traffic {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            longest: self.longest.max(other.longest),
        }
    }

    fn print(&self, table: &mut Table, name: &str, lasted: f64) {
        let per_second = |count: usize| digits(count as f64 / lasted);
        let with_headers = per_second(self.bytes + HEADERS * self.packets);
        table.row(&[&name, &per_second(self.packets), &per_second(self.bytes), &with_headers, &self.longest]);
    }
}
