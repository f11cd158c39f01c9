//! Running nodes that share a clock: real sockets, real time, hosts' clocks that are wrong on purpose.

use crate::lab::{Lab, PATIENCE, Process};
use serde_json::Value;
use std::time::Instant;

/// What a node tells of itself.
fn status(lab: &Lab, node: &Process) -> Value {
    let target = format!("127.0.0.1:{}", node.port);
    let all: Value = serde_json::from_str(&lab.ok(["status", "--json", &target])).expect("it is JSON");
    all[0].clone()
}

/// Waits until a value of its clock is this.
fn wait_until(lab: &Lab, node: &Process, key: &str, value: &str) -> Value {
    let start = Instant::now();
    loop {
        let status = status(lab, node);
        if status["clock"][key] == value {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "{key} does not become {value}: {status}");
    }
}

fn number(value: &Value) -> f64 {
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
