//! Running nodes that share a clock: real sockets, real time, hosts' clocks that are wrong on purpose, hosts that die.

use crate::lab::{Lab, PATIENCE, Process, clicks, osc, read_wav};
use crate::relay::kit::Way;
use crate::relay::kit::law::Law;
use crate::relay::kit::wire::{Plan, Relay, Side};
use downbeat_sync::Span;
use serde_json::Value;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// What a node tells of itself.
pub(crate) fn status(lab: &Lab, node: &Process) -> Value {
    status_at(lab, &node.address())
}

pub(crate) fn status_at(lab: &Lab, address: &str) -> Value {
    let all: Value = serde_json::from_str(&lab.ok(["status", "--json", address])).expect("it is JSON");
    all[0].clone()
}

/// Waits until a value of its clock is this.
pub(crate) fn wait_until(lab: &Lab, node: &Process, key: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    let start = Instant::now();
    loop {
        let status = status(lab, node);
        if status["clock"][key] == value {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "{key} does not become {value}: {status}");
    }
}

pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_node_follows_another_whatever_its_own_clocks_say_and_goes_on_alone() {
    let lab = Lab::new();
    let first = lab.node([]);
    // Of two that start at once either may lead.
    while number(&status(&lab, &first)["node"]["uptime"]) < 1.0 {}
    let peer = format!("127.0.0.1:{}", first.port);
    let second = lab.node(["--peer", &peer, "--sim-clock", "ppm=+80,offset=1234s"]);
    let told = wait_until(&lab, &second, "state", "locked");
    let clock = &told["clock"];
    assert_eq!(clock["role"], "follower");
    assert_eq!(clock["leader"], status(&lab, &first)["clock"]["id"]);
    // Loopback on a busy host: some tens of microseconds at most, and never less sure than its hard bound.
    assert!(
        number(&clock["error_ms"]) < 0.5 && number(&clock["error_ms"]) <= number(&clock["bound_ms"]),
        "{clock}"
    );
    assert!((number(&clock["wall_ms"]) - 1_234_000.0).abs() < 100.0, "{clock}");
    assert!((number(&clock["drift_ppm"]) + 80.0).abs() < 20.0, "{clock}");
    assert_eq!(told["peers"][0]["role"], "leader");
    if cfg!(target_os = "linux") {
        for told in [&told, &status(&lab, &first)] {
            for stamps in ["rx_stamps", "tx_stamps"] {
                assert_eq!(told["clock"][stamps], "kernel", "{stamps}");
            }
        }
    }

    drop(first);
    let alone = wait_until(&lab, &second, "role", "leader");
    // It goes on with the time it had, not with its own.
    assert!((number(&alone["clock"]["wall_ms"]) - 1_234_000.0).abs() < 100.0, "{alone}");
    assert_eq!(alone["clock"]["jumps"], clock["jumps"]);
}

#[test]
fn without_the_key_nobody_is_believed_and_with_it_all_is_as_ever() {
    let lab = Lab::new();
    let key = lab.write("key", "a secret that is long enough\n");
    let same = lab.write("same", "a secret that is long enough");
    let [key, same] = [&key, &same].map(|path| path.to_str().expect("it is text"));
    let first = lab.node(["--key-file", key]);
    let peer = format!("127.0.0.1:{}", first.port);
    while number(&status(&lab, &first)["node"]["uptime"]) < 1.0 {}
    let member = lab.node(["--peer", &peer, "--key-file", same]);
    let stranger = lab.node(["--peer", &peer]);
    wait_until(&lab, &member, "role", "follower");
    let start = Instant::now();
    while status(&lab, &first)["clock"]["refused"] == 0 {
        assert!(start.elapsed() < PATIENCE, "the stranger is not heard");
    }
    assert_eq!(status(&lab, &stranger)["clock"]["role"], "leader");
    assert_eq!(status(&lab, &first)["clock"]["role"], "leader");
}

#[test]
fn another_ensemble_is_another_ensemble() {
    let lab = Lab::new();
    let first = lab.node(["--ensemble", "red"]);
    let peer = format!("127.0.0.1:{}", first.port);
    let second = lab.node(["--ensemble", "blue", "--peer", &peer]);
    let start = Instant::now();
    while status(&lab, &first)["clock"]["strangers"] == 0 {
        assert!(start.elapsed() < PATIENCE, "the other is not heard");
    }
    assert_eq!(status(&lab, &second)["clock"]["role"], "leader");
}

#[test]
fn flags_of_the_ensemble_are_checked() {
    let lab = Lab::new();
    let short = lab.write("short", "too short");
    for (flags, says) in [
        (["--key-file", short.to_str().expect("it is text")], "too short"),
        (["--key-file", "/nowhere/at/all"], "cannot read the key"),
        (["--peer", "no port"], "host:port"),
        (["--ensemble", ""], "1 to 64 bytes"),
    ] {
        let output = lab.run(
            ["node", "--host", "virtual", "--bind", "127.0.0.1", "--port", "0"].into_iter().chain(flags),
        );
        assert!(output.code.is_some_and(|code| code > 0), "{flags:?}");
        assert!(output.stderr.contains(says), "{flags:?}: {}", output.stderr);
    }
}

#[test]
fn status_says_who_does_not_answer() {
    let lab = Lab::new();
    let node = lab.node([]);
    let here = format!("127.0.0.1:{}", node.port);
    let output = lab.run(["status", &here, "127.0.0.1:1", "--wait", "300ms"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.contains("leading") && output.stdout.contains("no answer"), "{}", output.stdout);
    assert!(output.stderr.contains("127.0.0.1:1"), "{}", output.stderr);
}

/// Three nodes, of which the first leads. The others record what they play, in long blocks: a busy host holds up none.
pub(crate) fn three(lab: &Lab) -> (Process, [Process; 2]) {
    let first = lab.node([]);
    while number(&status(lab, &first)["node"]["uptime"]) < 1.0 {}
    let peer = first.address();
    let usual = ["--peer", &peer, "--buffer", "8192", "--onset", "frame", "--no-limiter"];
    let others = [("1.wav", "ppm=+80,offset=1234s"), ("2.wav", "ppm=-50,offset=-77s")]
        .map(|(file, clock)| lab.node(usual.into_iter().chain(["--record", file, "--sim-clock", clock])));
    for other in &others {
        wait_until(lab, other, "state", "locked");
        wait_until(lab, other, "leader", status(lab, &first)["clock"]["id"].clone());
    }
    (first, others)
}

/// Sends clicks a tenth of a second apart, as many as last for six seconds, from a second and a half on.
pub(crate) fn play_ahead(nodes: &[Process]) {
    let start = osc::wall_clock() + osc::millis(1_500);
    for node in nodes {
        let socket = node.socket();
        for n in 0..60 {
            let click = osc::message("/click", [rosc::OscType::Float(0.5)]);
            socket.send(&osc::bundle(start + osc::millis(100 * n), [click])).expect("it can be sent");
        }
    }
}

/// Ends nodes that were sent [`play_ahead`]: they have played all of it, in time, and without a jump from click to click.
pub(crate) fn check_played(lab: &Lab, nodes: [Process; 2]) {
    for (mut node, (file, ppm)) in nodes.into_iter().zip([("1.wav", 80.0), ("2.wav", -50.0)]) {
        let socket = node.socket();
        osc::wait_for_events(&socket, 60);
        for count in ["late", "dropped", "refused", "full"] {
            assert_eq!(osc::status(&socket, count), 0, "{count}");
        }
        assert!(node.interrupt().success());
        let (rate, channels) = read_wav(&lab.path(file));
        let heard = clicks(&channels[0]);
        assert_eq!(heard.len(), 60, "{heard:?}");
        for pair in heard.windows(2) {
            // The virtual card runs as the node's clock does.
            let apart = (pair[1] - pair[0]) as f64 / (f64::from(rate) * (1.0 + ppm * 1e-6));
            assert!((apart - 0.1).abs() < 1e-3, "{apart} s apart: {heard:?}");
        }
    }
}

/// Waits until one of these nodes leads and the others follow it.
pub(crate) fn wait_for_one_leader(lab: &Lab, nodes: &[&Process]) {
    let start = Instant::now();
    loop {
        let told: Vec<Value> = nodes.iter().map(|node| status(lab, node)["clock"].clone()).collect();
        let leader = told.iter().find(|clock| clock["role"] == "leader");
        if leader.is_some_and(|leader| told.iter().all(|clock| clock["leader"] == leader["id"])) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "they do not agree who leads: {told:?}");
    }
}

pub(crate) fn jumps(lab: &Lab, nodes: &[Process]) -> Vec<Value> {
    nodes.iter().map(|node| status(lab, node)["clock"]["jumps"].clone()).collect()
}

#[test]
fn when_the_leader_is_killed_another_leads_and_all_that_waits_is_played_in_time() {
    let lab = Lab::new();
    let (first, others) = three(&lab);
    let before = jumps(&lab, &others);
    play_ahead(&others);
    first.signal("KILL");
    wait_for_one_leader(&lab, &[&others[0], &others[1]]);
    assert_eq!(jumps(&lab, &others), before);
    check_played(&lab, others);
}

#[test]
fn a_leader_that_stands_still_is_succeeded_and_when_it_goes_on_there_is_one() {
    let lab = Lab::new();
    let (first, others) = three(&lab);
    let before = jumps(&lab, &others);
    play_ahead(&others);
    let stopped = Instant::now();
    first.signal("STOP");
    wait_for_one_leader(&lab, &[&others[0], &others[1]]);
    thread::sleep(Duration::from_secs(5).saturating_sub(stopped.elapsed()));
    first.signal("CONT");
    // It or its successor: it still believes that it leads, and may have the others back.
    wait_for_one_leader(&lab, &[&others[0], &others[1], &first]);
    assert_eq!(jumps(&lab, &others), before);
    check_played(&lab, others);
}

/// Where a node of a test is at home: an address of loopback that nobody else has, so that it is known before the node is.
pub(crate) fn home(number: u8) -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 100 + number, high, low], 47_077))
}

#[test]
fn two_ensembles_that_meet_become_one_and_the_younger_jumps() {
    let lab = Lab::new();
    let homes = [0, 1, 2, 3].map(home);
    let law = || Way::BOTH.map(|_| Law::lan());
    let lay = |ends: [usize; 2]| {
        let side = |end: usize| Side::bind("127.0.0.1:0", Some(homes[end])).expect("there is a free port");
        let cable =
            Relay::start(ends.map(side), Plan::new(law(), 1, Span::from_secs(120))).expect("it starts");
        cable.cut(true);
        (ends, cable)
    };
    let cables = [[0, 2], [0, 3], [1, 2], [1, 3]].map(lay);
    let node = |number: usize, clock: &str, peers: &[String]| {
        let [ip, port] = [homes[number].ip().to_string(), homes[number].port().to_string()];
        let mut args = vec!["node", "--host", "virtual", "--no-state", "--sim-clock", clock];
        args.extend(["--bind", &ip, "--port", &port]);
        let far = cables.iter().filter_map(|(ends, cable)| {
            let side = ends.iter().position(|end| *end == number)?;
            Some(cable.end(side).to_string())
        });
        let peers: Vec<String> = far.chain(peers.iter().cloned()).collect();
        args.extend(peers.iter().flat_map(|peer| ["--peer", peer]));
        lab.start(args)
    };
    let told = |n: usize| status_at(&lab, &homes[n].to_string())["clock"].clone();
    // Of two that start at once either may lead.
    let outlive = |n: usize| while number(&status_at(&lab, &homes[n].to_string())["node"]["uptime"]) < 1.0 {};
    let wait = |n: usize, what: &dyn Fn(&Value) -> bool| {
        let start = Instant::now();
        while !what(&told(n)) {
            assert!(start.elapsed() < PATIENCE, "{n}: {}", told(n));
        }
    };
    let address = |n: usize| homes[n].to_string();
    let _elder = node(0, "", &[]);
    outlive(0);
    let _its_follower = node(1, "ppm=+30", &[address(0)]);
    wait(1, &|clock| clock["leader"] == told(0)["id"] && clock["state"] == "locked");
    let _younger = node(2, "offset=2s", &[]);
    outlive(2);
    let _its_follower = node(3, "offset=2s,ppm=-30", &[address(2)]);
    wait(3, &|clock| clock["leader"] == told(2)["id"] && clock["state"] == "locked");
    assert_eq!([0, 2].map(|n| told(n)["role"].clone()), ["leader", "leader"]);
    let jumps = [0, 1, 2, 3].map(|n| number(&told(n)["jumps"]));

    for (_, cable) in &cables {
        cable.cut(false);
    }
    for n in 1..4 {
        wait(n, &|clock| clock["leader"] == told(0)["id"] && clock["state"] == "locked");
    }
    // The elder's time is the host's; those whose wall clocks are two seconds ahead of it know that now.
    for (n, ahead) in [(0, 0.0), (1, 0.0), (2, 2_000.0), (3, 2_000.0)] {
        let told = told(n);
        assert!((number(&told["wall_ms"]) - ahead).abs() < 100.0, "{n}: {told}");
        let jumped = number(&told["jumps"]) - jumps[n];
        assert_eq!(jumped > 0.0, n > 1, "{n}: {told}");
    }
}

/// A sender that goes by the ensemble's clock: it asks a node once a second, and hears of a jump only then.
struct Asking<'a> {
    node: &'a Process,
    known: (Instant, u64),
    asked: Instant,
    jumps: u32,
}

impl<'a> Asking<'a> {
    fn new(node: &'a Process) -> Asking<'a> {
        let known = Asking::ask(node);
        Asking { node, known, asked: Instant::now(), jumps: 0 }
    }

    /// The node's time, and when that was.
    fn ask(node: &Process) -> (Instant, u64) {
        let (socket, asked) = (node.socket(), Instant::now());
        socket.send(&osc::message("/sync/time", [])).expect("it can be sent");
        let answer = osc::receive(&socket);
        let rosc::OscType::Time(time) = answer.args[0] else { panic!("no time: {answer:?}") };
        (asked + asked.elapsed() / 2, u64::from(time.seconds) << 32 | u64::from(time.fractional))
    }

    fn at(&self, when: Instant) -> u64 {
        let since = when - self.known.0;
        self.known
            .1
            .wrapping_add((since.as_secs() << 32) + (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
    }

    /// The ensemble's time then.
    fn tell(&mut self, when: Instant) -> u64 {
        if self.asked.elapsed() >= Duration::from_secs(1) {
            let (at, time) = Asking::ask(self.node);
            self.asked = Instant::now();
            // A little is this host's doing, not the clock's.
            if (time.wrapping_sub(self.at(at)) as i64).unsigned_abs() > osc::millis(500) {
                self.known = (at, time);
                self.jumps += 1;
            }
        }
        self.at(when)
    }
}

#[test]
fn when_the_leaders_wall_clock_is_set_all_that_waits_and_all_that_comes_is_played_in_time() {
    let lab = Lab::new();
    for (step, seconds) in [("step=+3s,after=9s", 3.0), ("step=-3600s,after=9s", -3_600.0)] {
        let usual = ["--buffer", "8192", "--onset", "frame", "--no-limiter"];
        let clocks = [("1.wav", step), ("2.wav", "ppm=+80,offset=-77s")];
        let mut nodes: Vec<Process> = Vec::new();
        for (file, clock) in clocks {
            let peer = nodes.first().map(Process::address);
            let peer = peer.iter().flat_map(|peer| ["--peer", peer]);
            nodes.push(
                lab.node(usual.into_iter().chain(["--record", file, "--sim-clock", clock]).chain(peer)),
            );
            while number(&status(&lab, &nodes[0])["node"]["uptime"]) < 1.0 {}
        }
        wait_until(&lab, &nodes[1], "state", "locked");
        let before = jumps(&lab, &nodes);
        let sockets: Vec<_> = nodes.iter().map(Process::socket).collect();
        sockets[1].send(&osc::message("/notify", [rosc::OscType::Int(1)])).expect("it can be sent");
        assert_eq!(osc::receive(&sockets[1]).addr, "/done");

        let (mut sender, start) = (Asking::new(&nodes[1]), Instant::now());
        // Until a while after it has heard of the jump. The clock is set nine seconds after the first began.
        let (mut sent, mut rest) = (0, 15);
        while rest > 0 {
            let when = start + Duration::from_millis(100 * sent);
            assert!(start.elapsed() < PATIENCE, "{step}: it hears of no jump");
            thread::sleep(when.saturating_duration_since(Instant::now()));
            let timetag = sender.tell(when).wrapping_add(osc::millis(500));
            let packet = osc::bundle(timetag, [osc::message("/click", [rosc::OscType::Float(0.5)])]);
            for socket in &sockets {
                socket.send(&packet).expect("it can be sent");
            }
            sent += 1;
            rest -= sender.jumps.min(rest);
        }
        assert_eq!(sender.jumps, 1, "{step}");
        // Announced, then done; nothing was late.
        for address in ["/sync/jump/announced", "/sync/jump"] {
            let told = osc::receive(&sockets[1]);
            let by = told.args[0].clone().float().expect("it is a number of seconds");
            assert_eq!(told.addr, address, "{told:?}");
            assert!((f64::from(by) - seconds).abs() < 0.05, "{told:?}");
        }
        let after = jumps(&lab, &nodes);
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(number(after) - number(before), 1.0, "{step}: {before} {after}");
        }
        for (mut node, (file, ppm)) in nodes.into_iter().zip([("1.wav", 0.0), ("2.wav", 80.0)]) {
            let socket = node.socket();
            osc::wait_for_events(&socket, sent as i32);
            for count in ["late", "dropped", "refused", "full"] {
                assert_eq!(osc::status(&socket, count), 0, "{step}: {count}");
            }
            assert!(node.interrupt().success());
            let (rate, channels) = read_wav(&lab.path(file));
            let heard = clicks(&channels[0]);
            assert_eq!(heard.len() as u64, sent, "{step}: {heard:?}");
            for pair in heard.windows(2) {
                let apart = (pair[1] - pair[0]) as f64 / (f64::from(rate) * (1.0 + ppm * 1e-6));
                // What the sender knows of the time is as good as one exchange on a busy host.
                assert!((apart - 0.1).abs() < 0.02, "{step}: {apart} s apart: {heard:?}");
            }
        }
    }
}
