//! From one to many: how many deliveries, what each costs, and how long it takes.

use crate::dialect::Dialect;
use crate::flow::{Contestant, Flow, Latency, Rate, bundle_of_ten, contestants, message};
use crate::report::{Table, digits, in_turn, median, title, unless_quick, verdict};
use crate::server::{Awake, Kind};
use std::time::Duration;

/// Messages under way in a group.
const WINDOW: u64 = 64;
/// Where the goals are set.
const GOAL_AT: usize = 50;
/// Times the original's deliveries per second and core.
const GOAL_RATE: f64 = 25.0;
/// Of the original's p99.
const GOAL_LATENCY: f64 = 0.1;

/// More receivers than this, at 200 messages a second, are more than the original can follow.
const ORIGINAL_FOLLOWS: usize = 100;

fn receivers() -> &'static [usize] {
    unless_quick(&[1, 10, 50, 100, 500], &[1, 5])
}

/// As many deliveries as a server takes.
pub(crate) fn rates(kinds: &[Kind]) {
    title(&format!("router: deliveries of a message of 20 B, {WINDOW} under way, nothing lost"));
    let mut table = Table::new(&HEADINGS);
    for &receivers in receivers() {
        let rates = saturated(&contestants(kinds), 1, receivers, &message(8));
        rows(&mut table, &receivers.to_string(), &rates);
        if receivers == GOAL_AT {
            let of = |dialect, kind| find(&rates, Contestant { kind, dialect });
            for dialect in [Dialect::Length, Dialect::Slip] {
                let (Some(ours), Some(original)) = (of(dialect, Kind::Ours), of(dialect, Kind::Original))
                else {
                    continue;
                };
                let times = original.cpu_micros / ours.cpu_micros;
                goal(&format!(
                    "{dialect:?}, {GOAL_AT} receivers: {} times the deliveries per second and core, goal {GOAL_RATE}: {}",
                    digits(times),
                    verdict(times >= GOAL_RATE)
                ));
            }
        }
    }
    table.print();
}

/// The same for larger packets, and in several groups at once.
pub(crate) fn shapes(kinds: &[Kind]) {
    title("router: the same, other packets to 10 receivers, and ten groups of ten");
    println!("tcposcrouter, SLIP: is left out of those with blobs, of which it takes seconds for one");
    let mut table = Table::new(&HEADINGS);
    let all = contestants(kinds);
    let slow = Contestant { kind: Kind::Original, dialect: Dialect::Slip };
    let quick: Vec<Contestant> = all.iter().copied().filter(|contestant| *contestant != slow).collect();
    for (what, contestants, groups, receivers, packet) in [
        ("1 kB blob", &quick, 1, 10, message(1_000)),
        ("10 kB blob", &quick, 1, 10, message(10_000)),
        ("bundle of ten", &all, 1, 10, bundle_of_ten()),
        ("10 groups of 10", &all, 10, 9, message(8)),
    ] {
        rows(&mut table, what, &saturated(contestants, groups, receivers, &packet));
    }
    table.print();
}

const HEADINGS: [&str; 8] = [
    "receivers",
    "router",
    "deliveries/s",
    "CPU us each",
    "per second and core",
    "to the original",
    "server's core %",
    "tool's core %",
];

fn saturated(
    contestants: &[Contestant],
    groups: usize,
    receivers: usize,
    packet: &[u8],
) -> Vec<(Contestant, Rate)> {
    let time = Duration::from_millis(unless_quick(1_500, 100));
    let mut flows: Vec<Flow> = contestants.iter().map(|&one| Flow::new(one, groups, receivers)).collect();
    let window = WINDOW.max(crate::dialect::messages(packet));
    let rates = in_turn(unless_quick(3, 1), flows.len(), |index| flows[index].saturate(packet, window, time));
    contestants.iter().copied().zip(rates.iter().map(|rates| middle(rates))).collect()
}

fn middle(rates: &[Rate]) -> Rate {
    let of = |part: fn(&Rate) -> f64| median(&rates.iter().map(part).collect::<Vec<_>>());
    Rate {
        deliveries_per_second: of(|rate| rate.deliveries_per_second),
        cpu_micros: of(|rate| rate.cpu_micros),
        server: of(|rate| rate.server),
        tool: of(|rate| rate.tool),
    }
}

fn find<T: Copy>(all: &[(Contestant, T)], contestant: Contestant) -> Option<T> {
    all.iter().find(|(one, _)| *one == contestant).map(|(_, figures)| *figures)
}

fn rows(table: &mut Table, what: &str, rates: &[(Contestant, Rate)]) {
    for (contestant, rate) in rates {
        let original = find(rates, Contestant { kind: Kind::Original, ..*contestant });
        let times = original.map_or(f64::NAN, |original| original.cpu_micros / rate.cpu_micros);
        table.row(&[
            &what,
            &contestant.name(),
            &digits(rate.deliveries_per_second),
            &digits(rate.cpu_micros),
            &digits(1e6 / rate.cpu_micros),
            &digits(times),
            &digits(100.0 * rate.server),
            &digits(100.0 * rate.tool),
        ]);
    }
}

/// How long a message takes.
pub(crate) fn latencies(kinds: &[Kind]) {
    let time = Duration::from_millis(unless_quick(4_000, 200));
    title(
        "router: one way of a message of 20 B at 200 a second, us, the servers' core kept awake; the CPU that one delivery then costs",
    );
    let _awake = Awake::start();
    let mut table =
        Table::new(&["receivers", "router", "p50", "p99", "p99.9", "p99 to the original", "CPU us each", ""]);
    for &receivers in receivers() {
        let mut contestants = contestants(kinds);
        contestants.retain(|one| one.kind != Kind::Original || receivers <= ORIGINAL_FOLLOWS);
        let mut flows: Vec<Flow> = contestants.iter().map(|&one| Flow::new(one, 1, receivers)).collect();
        let runs = in_turn(unless_quick(3, 1), flows.len(), |index| {
            flows[index].pace(&message(8), 200.0, time, true)
        });
        let all: Vec<(Contestant, Latency)> =
            contestants.iter().copied().zip(runs.iter().map(|runs| middle_latency(runs))).collect();
        for (contestant, latency) in &all {
            let original = find(&all, Contestant { kind: Kind::Original, ..*contestant });
            let part = original.map_or(f64::NAN, |original| latency.p99 / original.p99);
            table.row(&[
                &receivers,
                &contestant.name(),
                &digits(latency.p50),
                &digits(latency.p99),
                &digits(latency.p999),
                &digits(part),
                &digits(latency.cpu_micros),
                &if latency.missing > 0 { "cannot follow" } else { "" },
            ]);
            if receivers == GOAL_AT && contestant.kind == Kind::Ours {
                goal(&format!(
                    "{:?}, {GOAL_AT} receivers: {} of the original's p99, goal {GOAL_LATENCY}: {}",
                    contestant.dialect,
                    digits(part),
                    verdict(part <= GOAL_LATENCY)
                ));
            }
        }
    }
    table.print();
}

fn middle_latency(runs: &[Latency]) -> Latency {
    let of = |part: fn(&Latency) -> f64| median(&runs.iter().map(part).collect::<Vec<_>>());
    Latency {
        p50: of(|run| run.p50),
        p99: of(|run| run.p99),
        p999: of(|run| run.p999),
        cpu_micros: of(|run| run.cpu_micros),
        missing: of(|run| run.missing as f64) as u64,
    }
}

/// Goals are told when they are measured, below the title and above the table.
fn goal(text: &str) {
    println!("{text}");
}
