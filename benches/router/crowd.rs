//! Coming and going: connections one after the other, hundreds into one group at once, and thousands who only stay.

use crate::dialect::Dialect;
use crate::flow::{Contestant, all_registered};
use crate::report::{Table, cpu, digits, in_turn, median, title, unless_quick, verdict};
use crate::server::{Kind, Server};
use crate::swarm::Swarm;
use std::time::{Duration, Instant};

/// Into one group.
const STORM: usize = 500;
/// In which time [s].
const GOAL_STORM: f64 = 1.0;
/// Who stays.
const IDLE: usize = 10_000;
/// What each of them may take [bytes].
const GOAL_IDLE: f64 = 5_000.0;
/// A storm that is not over by now is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Each server by lengths, or in its own way.
fn one_each(kinds: &[Kind]) -> Vec<Contestant> {
    let each = kinds.iter().map(|&kind| {
        let dialect = if kind == Kind::Nats { Dialect::Nats } else { Dialect::Length };
        Contestant { kind, dialect }
    });
    each.collect()
}

/// Connect, register, be answered, leave, again and again.
pub(crate) fn churn(kinds: &[Kind]) {
    title("router: connect, register, wait for the answer, leave");
    let time = Duration::from_millis(unless_quick(2_000, 100));
    let contestants = one_each(kinds);
    let mut table = Table::new(&["at a time", "router", "per second", "CPU us each", "tool's core %"]);
    for at_a_time in [1, 10] {
        let servers: Vec<Server> = contestants.iter().map(|one| Server::start(one.kind)).collect();
        let runs = in_turn(unless_quick(3, 1), contestants.len(), |index| {
            come_and_go(&servers[index], contestants[index].dialect, at_a_time, time)
        });
        for (contestant, runs) in contestants.iter().zip(runs) {
            let of = |part: usize| digits(median(&runs.iter().map(|run| run[part]).collect::<Vec<_>>()));
            table.row(&[&at_a_time, &contestant.kind.name(), &of(0), &of(1), &of(2)]);
        }
    }
    table.print();
}

/// Connections a second, CPU for each [us], and the tool's part of its core [%].
fn come_and_go(server: &Server, dialect: Dialect, at_a_time: usize, time: Duration) -> [f64; 3] {
    let mut swarm = Swarm::new();
    let address = server.address(dialect);
    // Somebody stays, so that the group does.
    let stays = swarm.connect(address, dialect, "stays", "churn");
    swarm.register(stays);
    all_registered(&mut swarm);
    for number in 0..at_a_time {
        let index = swarm.connect(address, dialect, &format!("guest{number}"), "churn");
        swarm.register(index);
    }
    let (start, used, tool) = (Instant::now(), server.cpu(), cpu::this_thread());
    let mut count = 0.0;
    while start.elapsed() < time {
        swarm.turn(Duration::from_millis(1), |_, _, _| {});
        for index in 1..=at_a_time {
            let link = &swarm.links[index];
            if link.registered || !link.is_open() {
                count += f64::from(u8::from(link.registered));
                assert!(swarm.reconnect(index), "the server listens");
                swarm.register(index);
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let used = (server.cpu() - used).as_secs_f64();
    let tool = (cpu::this_thread() - tool).as_secs_f64();
    [count / seconds, 1e6 * used / count, 100.0 * tool / seconds]
}

/// Hundreds who register for one group at the same moment.
pub(crate) fn storm(kinds: &[Kind]) {
    title(
        "router: all are connected, and register for one group at once, each with a password of its own; until all know of all",
    );
    let mut table = Table::new(&["users", "router", "s", "CPU s", "MB received"]);
    for users in unless_quick(vec![50, 100, 200, STORM], vec![10]) {
        for contestant in one_each(kinds) {
            // It makes a list of all users for every user at every arrival.
            if contestant.kind == Kind::Original && users > 200 {
                table.row(&[&users, &contestant.kind.name(), &"left out: minutes", &"", &""]);
                continue;
            }
            let rounds = unless_quick(if contestant.kind == Kind::Original { 1 } else { 3 }, 1);
            let runs: Vec<[f64; 3]> = (0..rounds).map(|_| rush_in(contestant, users)).collect();
            let of = |part: usize| median(&runs.iter().map(|run| run[part]).collect::<Vec<_>>());
            table.row(&[&users, &contestant.kind.name(), &digits(of(0)), &digits(of(1)), &digits(of(2))]);
            if contestant.kind == Kind::Ours && users == STORM {
                println!(
                    "{STORM} users: {} s, goal {GOAL_STORM}: {}",
                    digits(of(0)),
                    verdict(of(0) < GOAL_STORM)
                );
            }
        }
    }
    table.print();
}

/// Seconds until all know of all, the server's CPU seconds by then, and what was received [MB].
fn rush_in(contestant: Contestant, users: usize) -> [f64; 3] {
    let server = Server::start(contestant.kind);
    let address = server.address(contestant.dialect);
    let mut swarm = Swarm::new();
    for number in 0..users {
        swarm.connect(address, contestant.dialect, &format!("user{number}"), "storm");
    }
    std::thread::sleep(Duration::from_millis(200));
    let (start, used) = (Instant::now(), server.cpu());
    for index in 0..users {
        swarm.register(index);
    }
    let lists = contestant.kind != Kind::Nats;
    let done = swarm
        .until(PATIENCE, |links| links.iter().all(|link| link.registered && (!lists || link.users == users)));
    if !done {
        return [f64::NAN; 3];
    }
    let seconds = start.elapsed().as_secs_f64();
    [seconds, (server.cpu() - used).as_secs_f64(), swarm.bytes() as f64 / 1e6]
}

/// Thousands in groups of ten who say nothing.
pub(crate) fn idle(kinds: &[Kind]) {
    title("router: resident memory with clients in groups of ten that say nothing");
    let mut table =
        Table::new(&["router", "clients", "MB before", "MB with them", "kB for each", "all in after s"]);
    for contestant in one_each(kinds) {
        let clients = match contestant.kind {
            Kind::Original => unless_quick(500, 20),
            _ => unless_quick(IDLE, 100),
        };
        let server = Server::start(contestant.kind);
        let address = server.address(contestant.dialect);
        let mut swarm = Swarm::new();
        let before = server.resident();
        let start = Instant::now();
        for number in 0..clients {
            let (user, group) = (format!("user{}", number % 10), format!("group{}", number / 10));
            let index = swarm.connect(address, contestant.dialect, &user, &group);
            swarm.register(index);
            if number % 50 == 0 {
                all_registered(&mut swarm);
            }
        }
        all_registered(&mut swarm);
        let took = start.elapsed();
        // What is still to be told to them is not idling.
        swarm.until(Duration::from_millis(unless_quick(1_000, 50)), |_| false);
        let open = swarm.links.iter().filter(|link| link.is_open()).count();
        let with = server.resident();
        let each = (with - before) / clients as f64;
        table.row(&[
            &contestant.kind.name(),
            &open,
            &digits(before / 1e6),
            &digits(with / 1e6),
            &digits(each / 1e3),
            &digits(took.as_secs_f64()),
        ]);
        if contestant.kind == Kind::Ours {
            println!(
                "{open} of {clients} idle clients: {}; {} kB for each, goal {}: {}",
                verdict(open == clients),
                digits(each / 1e3),
                GOAL_IDLE / 1e3,
                verdict(each <= GOAL_IDLE)
            );
        }
    }
    table.print();
}
