//! Running nodes that lose their leader, get it back, and are led by others: the room's time goes on. Several rooms at once, for
//! each takes its time.

use crate::company::{
    check_played, home, jumps, number, play_ahead, status, status_at, three, wait_for_one_leader, wait_until,
};
use crate::lab::{Lab, PATIENCE, Process};
use crate::relay::kit::Way;
use crate::relay::kit::law::Law;
use crate::relay::kit::wire::{Plan, Relay, Side};
use downbeat_sync::Span;
use serde_json::Value;
use std::thread;
use std::time::{Duration, Instant};

/// A node at a port, that knows others, on a host of these clocks.
fn node(lab: &Lab, port: u16, clock: &str, peers: &[&Process], flags: &[&str]) -> Process {
    let port = port.to_string();
    let peers: Vec<String> = peers.iter().map(|peer| peer.address()).collect();
    let mut args = vec!["node", "--host", "virtual", "--bind", "127.0.0.1", "--port", &port];
    args.extend(["--no-state", "--sim-clock", clock]);
    args.extend(peers.iter().flat_map(|peer| ["--peer", peer.as_str()]));
    args.extend(flags);
    lab.start(args)
}

/// The leader of three is killed, and started again `after` so long by a wall clock that is wrong by `offset`; if a `stranger`
/// is to come, half-way between. What waits on the others is played in time, and their clocks do not jump.
fn restarted(after: Duration, offset: &str, stranger: Option<&str>) {
    let lab = Lab::new();
    let (mut first, others) = three(&lab);
    let before = jumps(&lab, &others);
    let port = first.port;
    play_ahead(&others);
    first.signal("KILL");
    first.wait();
    let peers = [&others[0], &others[1]];
    let stranger = stranger.map(|offset| {
        thread::sleep(after / 2);
        node(&lab, 0, &format!("offset={offset}"), &peers, &[])
    });
    thread::sleep(if stranger.is_some() { after / 2 } else { after });
    let again = node(&lab, port, &format!("offset={offset},synchronised=0"), &peers, &[]);
    let mut all = vec![&others[0], &others[1], &again];
    all.extend(&stranger);
    wait_for_one_leader(&lab, &all);
    assert_eq!(jumps(&lab, &others), before, "after {after:?}, {offset} off");
    // It was wrong, and is told so: it has come to the time of the others.
    let told = wait_until(&lab, &again, "joined", 1);
    let wrong = number(&told["clock"]["wall_ms"]).abs();
    assert!(wrong > 15.0, "{offset}: {told}");
    check_played(&lab, others);
}

#[test]
fn a_leader_that_is_killed_and_started_again_captures_nobody_nor_does_a_stranger_meanwhile() {
    let rooms = [
        [(50, "60s", None), (800, "-20ms", None)],
        [(300, "20ms", None), (1_100, "1h", Some("-60s"))],
        [(500, "-1h", Some("1h")), (2_000, "60s", None)],
    ];
    thread::scope(|scope| {
        for row in rooms {
            scope.spawn(move || {
                for (after, offset, stranger) in row {
                    restarted(Duration::from_millis(after), offset, stranger);
                }
            });
        }
    });
}

#[test]
fn a_pinned_leader_that_is_started_again_takes_up_the_room_s_time_and_leads_and_says_how_far_it_is_off() {
    let lab = Lab::new();
    let (mut first, others) = three(&lab);
    let before = jumps(&lab, &others);
    let port = first.port;
    play_ahead(&others);
    first.signal("KILL");
    first.wait();
    let peers = [&others[0], &others[1]];
    let mut again = node(&lab, port, "offset=60s,synchronised=0", &peers, &["--leader"]);
    wait_until(&lab, &again, "joined", 1);
    wait_until(&lab, &again, "role", "leader");
    let told = again.wait_for("ahead of the room's time");
    assert!(told.contains("60"), "{told}");
    wait_for_one_leader(&lab, &[&others[0], &others[1], &again]);
    assert_eq!(status(&lab, &again)["clock"]["role"], "leader");
    assert_eq!(jumps(&lab, &others), before);
    check_played(&lab, others);
}

#[test]
fn a_pinned_leader_whose_clock_is_right_leads_nodes_that_are_days_off_by_one_announced_jump() {
    let lab = Lab::new();
    let first = node(&lab, 0, "offset=-259200s,synchronised=0", &[], &[]);
    while number(&status(&lab, &first)["node"]["uptime"]) < 1.0 {}
    let second = node(&lab, 0, "offset=-259200s,ppm=+40,synchronised=0", &[&first], &[]);
    let third = node(&lab, 0, "offset=7s,ppm=-40,synchronised=0", &[&first], &[]);
    let all = [first, second, third];
    for follower in &all[1..] {
        wait_until(&lab, follower, "state", "locked");
    }
    let counts = |nodes: &[Process]| jumps(&lab, nodes).iter().map(number).collect::<Vec<f64>>();
    let before = counts(&all);
    let pinned = node(&lab, 0, "synchronised=1", &[&all[0], &all[1], &all[2]], &["--leader"]);
    wait_until(&lab, &pinned, "role", "leader");
    wait_until(&lab, &pinned, "joined", 1);
    wait_for_one_leader(&lab, &[&all[0], &all[1], &all[2], &pinned]);
    // Announced a second and a half ahead, when the wall clock has been looked at.
    let start = Instant::now();
    while number(&status(&lab, &pinned)["clock"]["wall_ms"]).abs() > 50.0 {
        assert!(start.elapsed() < PATIENCE, "{}", status(&lab, &pinned));
    }
    thread::sleep(Duration::from_millis(500));
    let after = counts(&all);
    assert_eq!(after, before.iter().map(|count| count + 1.0).collect::<Vec<_>>(), "one jump each");
    for (node, ahead) in all.iter().zip([-259_200_000.0, -259_200_000.0, 7_000.0]) {
        let told = status(&lab, node);
        // As precise as a float of three days in milliseconds is.
        assert!((number(&told["clock"]["wall_ms"]) - ahead).abs() < 100.0, "{told}");
    }
}

#[test]
fn a_leader_that_answers_nobody_any_more_is_replaced_and_nobody_jumps() {
    let lab = Lab::new();
    let homes = [10, 11, 12].map(home);
    // From then on nothing comes to the leader, but what it says still comes to the others.
    let deaf = Duration::from_secs(12);
    let cable = |follower: usize| {
        let hole = (deaf.as_secs_f64(), 1_000.0);
        let laws = [Law { holes: vec![hole], ..Law::lan() }, Law::lan()];
        let side = |end: usize| Side::bind("127.0.0.1:0", Some(homes[end])).expect("there is a free port");
        assert_eq!(Way::BOTH.len(), 2);
        Relay::start([side(follower), side(0)], Plan::new(laws, 1, Span::from_secs(120))).expect("it starts")
    };
    let begin = Instant::now();
    let cables = [1, 2].map(cable);
    let start = |number: usize, clock: &str, peers: Vec<String>| {
        let [ip, port] = [homes[number].ip().to_string(), homes[number].port().to_string()];
        let mut args = vec!["node", "--host", "virtual", "--no-state", "--sim-clock", clock];
        args.extend(["--bind", &ip, "--port", &port]);
        args.extend(peers.iter().flat_map(|peer| ["--peer", peer.as_str()]));
        lab.start(args)
    };
    let told = |n: usize| status_at(&lab, &homes[n].to_string())["clock"].clone();
    let wait = |n: usize, what: &dyn Fn(&Value) -> bool| {
        let start = Instant::now();
        while !what(&told(n)) {
            assert!(start.elapsed() < PATIENCE, "{n}: {}", told(n));
        }
    };
    let _leader = start(0, "", Vec::new());
    while number(&status_at(&lab, &homes[0].to_string())["node"]["uptime"]) < 1.0 {}
    let leader = told(0)["id"].clone();
    let peers = |n: usize| vec![cables[n - 1].end(0).to_string(), homes[3 - n].to_string()];
    let _followers = [start(1, "offset=60s,ppm=+30", peers(1)), start(2, "offset=-1h,ppm=-30", peers(2))];
    for n in [1, 2] {
        wait(n, &|clock| clock["leader"] == leader && clock["state"] == "locked");
    }
    assert!(begin.elapsed() < deaf, "this host is too busy: it is deaf already");
    let before = [1, 2].map(|n| (told(n)["jumps"].clone(), number(&told(n)["wall_ms"])));
    thread::sleep(deaf.saturating_sub(begin.elapsed()));
    wait(1, &|clock| clock["leader"] != leader);
    wait(2, &|clock| clock["leader"] != leader);
    wait(1, &|clock| clock["leader"] == told(2)["leader"]);
    let deaf: f64 = [1, 2].map(|n| number(&told(n)["deaf"])).iter().sum();
    assert!(deaf >= 1.0, "{}", told(1));
    for (n, (jumps, ahead)) in [1, 2].into_iter().zip(before) {
        let told = told(n);
        assert_eq!(told["jumps"], jumps, "{n}: {told}");
        // Its own wall clock runs away by 30 ppm.
        assert!((number(&told["wall_ms"]) - ahead).abs() < 3.0, "{n}: {told}");
    }
    for cable in cables {
        cable.stop().expect("it ran");
    }
}
