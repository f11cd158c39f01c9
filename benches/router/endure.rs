//! What time does: memory over a soak, and a server that is killed and started again.

use crate::dialect::Dialect;
use crate::flow::{Contestant, Flow, message};
use crate::report::{Table, digits, quantile, title, unless_quick, verdict};
use crate::server::{Kind, Server};
use crate::swarm::Swarm;
use std::time::{Duration, Instant};

/// How long a soak is, at most one figure of memory per step.
const SOAK: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_secs(1);
/// By which the largest of the last half may exceed that of the first fifth, in which memory that is used again is taken.
const FLAT: f64 = 1.05;
/// Clients that lose their connection, and how often they try again.
const CLIENTS: usize = 50;
const RETRY: Duration = Duration::from_millis(50);
/// Until all are back [s].
const GOAL_BACK: f64 = 1.0;

/// Traffic in ten groups of both framings, comings and goings, large packets, and strangers; memory all the while.
pub(crate) fn soak(kinds: &[Kind]) {
    if !kinds.contains(&Kind::Ours) {
        return;
    }
    let time = unless_quick(SOAK, Duration::from_secs(2));
    let step = unless_quick(STEP, STEP / 10);
    title(&format!(
        "router: {} s of traffic in ten groups of ten, comings and goings, strangers now and then",
        time.as_secs()
    ));
    let mut flow = Flow::new(Contestant { kind: Kind::Ours, dialect: Dialect::Length }, 10, 9);
    let mut guests = Swarm::new();
    let slip = flow.server.address(Dialect::Slip);
    for number in 0..20 {
        let group = format!("guests{}", number % 3);
        guests.connect(slip, Dialect::Slip, &format!("guest{number}"), &group);
    }
    let start = Instant::now();
    let mut resident = Vec::new();
    let mut round = 0;
    while start.elapsed() < time {
        let size = if round % 10 == 9 { 10_000 } else { 8 };
        let strangers = (round % 20 == 19).then(|| crate::trouble::Strangers::start(flow.server.ports()));
        flow.pace(&message(size), 200.0, step, false);
        drop(strangers);
        for index in 0..guests.links.len() {
            assert!(guests.reconnect(index), "the server listens");
            guests.register(index);
        }
        crate::flow::all_registered(&mut guests);
        resident.push(flow.server.resident() / 1e6);
        round += 1;
    }
    let part = |from: f64, to: f64| {
        let at = |part: f64| (part * resident.len() as f64) as usize;
        quantile(&resident[at(from)..at(to).max(at(from) + 1).min(resident.len())], 1.0)
    };
    let mut table = Table::new(&["", "first fifth", "second", "third", "fourth", "last"]);
    let fifths = [0.0, 0.2, 0.4, 0.6, 0.8].map(|from| digits(part(from, from + 0.2)));
    table.row(&[&"largest resident MB", &fifths[0], &fifths[1], &fifths[2], &fifths[3], &fifths[4]]);
    table.print();
    // In the first fifth all that is kept and used again is filled, strangers' share too.
    let grew = part(0.6, 1.0) / part(0.2, 0.4);
    println!(
        "memory of the last two fifths to that of the second: {}, goal {FLAT}: {}",
        digits(grew),
        verdict(grew <= FLAT)
    );
}

/// Killed and started again at once, with clients that try again and again.
pub(crate) fn restart(kinds: &[Kind]) {
    title(&format!(
        "router: killed and started again; {CLIENTS} clients of a group try again every {} ms",
        RETRY.as_millis()
    ));
    let mut table = Table::new(&[
        "router",
        "listens after ms",
        "all are back after ms",
        "a message comes through after ms",
    ]);
    for &kind in kinds.iter().filter(|kind| **kind != Kind::Nats) {
        let server = Server::start(kind);
        let (ports, address) = (server.ports(), server.address(Dialect::Length));
        let mut swarm = Swarm::new();
        for number in 0..CLIENTS {
            swarm.connect(address, Dialect::Length, &format!("user{number}"), "stage");
            swarm.register(number);
        }
        crate::flow::all_registered(&mut swarm);
        swarm.until(Duration::from_millis(100), |_| false);
        let start = Instant::now();
        // SIGKILL.
        drop(server);
        let _server = Server::launch(kind, ports);
        let lost = swarm.until(Duration::from_secs(5), |links| links.iter().all(|link| !link.is_open()));
        assert!(lost, "a killed server has no connections");
        let (mut listens, mut tried) = (None, None);
        while !swarm.links.iter().all(|link| link.registered && link.is_open()) {
            assert!(start.elapsed() < Duration::from_secs(60), "not all are back");
            if tried.is_none_or(|tried: Instant| tried.elapsed() >= RETRY) {
                tried = Some(Instant::now());
                for index in 0..CLIENTS {
                    if !swarm.links[index].is_open() && swarm.reconnect(index) {
                        listens.get_or_insert_with(|| start.elapsed());
                        swarm.register(index);
                    }
                }
            }
            swarm.turn(Duration::from_millis(1), |_, _, _| {});
        }
        let back = start.elapsed();
        let packet = swarm.framed(0, &message(8));
        swarm.links.iter_mut().for_each(|link| link.heard = 0);
        swarm.send(0, &packet);
        let through =
            swarm.until(Duration::from_secs(5), |links| links[1..].iter().all(|link| link.heard == 1));
        assert!(through, "the group is there again");
        let millis = |time: Duration| 1e3 * time.as_secs_f64();
        let listens = listens.map_or(f64::NAN, millis);
        let all = millis(start.elapsed());
        table.row(&[&kind.name(), &digits(listens), &digits(millis(back)), &digits(all)]);
        if kind == Kind::Ours {
            println!(
                "all are back after {} ms, goal {}: {}",
                digits(all),
                1e3 * GOAL_BACK,
                verdict(all <= 1e3 * GOAL_BACK)
            );
        }
    }
    table.print();
}
