//! Nodes on hosts whose networks come and go, or are several: network namespaces of our own on this host.
//!
//! Needs root and `ip` (Debian: iproute2); elsewhere the tests say so and pass.

use crate::lab::{Lab, PATIENCE, Process};
use serde_json::Value;
use std::process::Command;
use std::time::Instant;

/// Hosts in a row, each joined to the next by a cable that is not plugged in yet: `near` of the one, `far` of the other.
struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// So many hosts, or `None` if this process may make none.
    fn new(test: &str, count: usize) -> Option<Hosts> {
        let name = |n: usize| format!("downbeat-{test}-{}-{n}", std::process::id());
        let hosts = Hosts { names: (0..count).map(name).collect() };
        for (n, name) in hosts.names.iter().enumerate() {
            if let Err(why) = ip(&["netns", "add", name]) {
                println!("left out, for want of network namespaces: {why}");
                return None;
            }
            hosts.ip(n, "link set dev lo up");
        }
        for n in 1..count {
            hosts.ip(n - 1, &format!("link add name near type veth peer name far netns {}", hosts.names[n]));
        }
        Some(hosts)
    }

    /// Does something with the network of a host.
    fn ip(&self, host: usize, what: &str) {
        let args: Vec<&str> = ["-n", &self.names[host]].into_iter().chain(what.split(' ')).collect();
        ip(&args).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Plugs the cable between a host and the next in at both ends: addresses, but neither routes elsewhere nor a router.
    fn plug_in(&self, host: usize) {
        for (host, device, end) in [(host, "near", 1), (host + 1, "far", 2)] {
            let subnet = if device == "near" { host } else { host - 1 };
            self.ip(host, &format!("address add 10.79.{subnet}.{end}/24 dev {device}"));
            self.ip(host, &format!("link set dev {device} up"));
        }
    }

    fn command(&self, lab: &Lab, host: usize, args: &[&str]) -> Command {
        let inner = lab.command(args);
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[host]]).arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// A node without a sound card on a host, with these flags more.
    fn node(&self, lab: &Lab, host: usize, flags: &[&str]) -> Process {
        let args =
            ["node", "--host", "virtual", "--no-state"].iter().chain(flags).copied().collect::<Vec<_>>();
        Process::start(self.command(lab, host, &args))
    }

    /// What the node at this address says of its clock, asked on its own host.
    fn clock(&self, lab: &Lab, host: usize, at: &str) -> Value {
        let output = Process::spawn(self.command(lab, host, &["status", "--json", at])).output();
        let all: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
        all[0]["clock"].clone()
    }

    /// Waits until it knows so many others.
    fn wait_for_peers(&self, lab: &Lab, host: usize, at: &str, peers: u64) -> Value {
        let start = Instant::now();
        loop {
            let clock = self.clock(lab, host, at);
            if clock["peers"] == peers {
                return clock;
            }
            assert!(start.elapsed() < PATIENCE, "it does not find {peers}: {clock}");
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            // One that was never made cannot be removed.
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output();
    let output = output.map_err(|error| format!("ip ({error}): sudo apt install iproute2"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

#[test]
fn nodes_find_each_other_by_a_cable_that_is_plugged_in_later_and_again() {
    let lab = Lab::new();
    let Some(hosts) = Hosts::new("later", 2) else { return };
    let mut first = hosts.node(&lab, 0, &[]);
    first.wait_for("there is no network yet");
    let _second = hosts.node(&lab, 1, &[]);
    assert_eq!(hosts.clock(&lab, 0, "127.0.0.1:9000")["peers"], 0);
    hosts.plug_in(0);
    hosts.wait_for_peers(&lab, 0, "127.0.0.1:9000", 1);
    let clock = hosts.wait_for_peers(&lab, 1, "127.0.0.1:9000", 1);
    assert_eq!(clock["successions"], 0, "{clock}");

    // The same interfaces are gone, and come back as others.
    drop(first);
    hosts.ip(0, "link delete dev near");
    hosts.ip(0, &format!("link add name near type veth peer name far netns {}", hosts.names[1]));
    hosts.plug_in(0);
    let _third = hosts.node(&lab, 0, &[]);
    hosts.wait_for_peers(&lab, 0, "127.0.0.1:9000", 1);
}

#[test]
fn a_node_with_two_networks_is_found_on_both_unless_it_is_bound_to_one() {
    let lab = Lab::new();
    let Some(hosts) = Hosts::new("both", 3) else { return };
    (0..2).for_each(|host| hosts.plug_in(host));
    let listeners = [(0, "near"), (2, "far")].map(|(host, device)| {
        hosts.ip(host, &format!("route add 239.0.0.0/8 dev {device}"));
        let args = ["listen", "--port", "9077", "--multicast", "239.255.79.83"];
        Process::start(hosts.command(&lab, host, &args))
    });
    let between = hosts.node(&lab, 1, &[]);
    for mut listener in listeners {
        let line = listener.line();
        assert!(line.contains("/sync/hello"), "{line}");
    }
    let _left = hosts.node(&lab, 0, &[]);
    let _right = hosts.node(&lab, 2, &[]);
    for host in [0, 2] {
        hosts.wait_for_peers(&lab, host, "127.0.0.1:9000", 1);
    }
    let clock = hosts.wait_for_peers(&lab, 1, "127.0.0.1:9000", 2);
    assert_eq!(clock["refused"], 0, "{clock}");
    drop(between);

    let _bound = hosts.node(&lab, 1, &["--bind", "10.79.1.1", "--ensemble", "other"]);
    let _left = hosts.node(&lab, 0, &["--port", "9001", "--ensemble", "other"]);
    let _right = hosts.node(&lab, 2, &["--port", "9001", "--ensemble", "other"]);
    hosts.wait_for_peers(&lab, 2, "127.0.0.1:9001", 1);
    hosts.wait_for_peers(&lab, 1, "10.79.1.1:9000", 1);
    assert_eq!(hosts.clock(&lab, 0, "127.0.0.1:9001")["peers"], 0);
}

#[test]
fn a_node_bound_to_ipv6_says_that_it_looks_for_nobody_and_finds_whom_it_is_told() {
    let lab = Lab::new();
    let Some(hosts) = Hosts::new("six", 2) else { return };
    if !std::path::Path::new("/proc/net/if_inet6").exists() {
        return println!("left out, for want of IPv6");
    }
    for (host, device) in [(0, "near"), (1, "far")] {
        hosts.ip(host, &format!("address add fd79::{}/64 dev {device} nodad", host + 1));
    }
    hosts.plug_in(0);
    let flags = ["--bind", "fd79::1"];
    let mut first = hosts.node(&lab, 0, &flags);
    assert!(first.said("--bind fd79::1: not looking for other nodes"));
    let _stranger = hosts.node(&lab, 1, &["--port", "9001"]);
    let mut second =
        hosts.node(&lab, 1, &["--bind", "fd79::2", "--peer", "[fd79::1]:9000", "--no-discovery"]);
    assert!(!second.said("not looking for other nodes"));
    hosts.wait_for_peers(&lab, 0, "[fd79::1]:9000", 1);
    hosts.wait_for_peers(&lab, 1, "[fd79::2]:9000", 1);
}

#[test]
fn a_peer_that_cannot_be_reached_from_where_a_node_listens_is_an_error() {
    let lab = Lab::new();
    for (bind, peer, kind) in [("127.0.0.1", "[::1]:9000", "IPv4"), ("::1", "127.0.0.1:9000", "IPv6")] {
        let output = lab.run(["node", "--host", "virtual", "--bind", bind, "--port", "0", "--peer", peer]);
        if output.stderr.contains("is it an address of this host") {
            continue;
        }
        assert_eq!(output.code, Some(1), "{}", output.stderr);
        let why = format!("--peer {peer} has no {kind} address, and this node listens on {bind}");
        assert!(output.stderr.contains(&why), "{}", output.stderr);
    }
    // A name may have addresses of both kinds.
    let first = lab.node([]);
    let second = lab.node(["--peer", &format!("localhost:{}", first.port)]);
    let start = Instant::now();
    let mut peers = Value::Null;
    while peers != 1 {
        assert!(start.elapsed() < PATIENCE, "it does not find the other: {peers}");
        let all: Value =
            serde_json::from_str(&lab.ok(["status", "--json", &second.address()])).expect("it is JSON");
        peers = all[0]["clock"]["peers"].clone();
    }
}
