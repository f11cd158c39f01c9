//! A node with a key: who is obeyed, by real programs over real sockets, and what is heard of it.

use crate::lab::{Lab, PATIENCE, Process, Tap, clicks, osc, read_wav, repository};
use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Instant;

/// A lab with a key and another one in it.
fn lab() -> Lab {
    let lab = Lab::new();
    lab.write("stage.key", "a secret that is long enough\n");
    lab.write("other.key", "another secret, long enough too");
    lab
}

/// How many clicks the node has recorded, when it has ended.
fn heard(lab: &Lab, mut node: Process) -> usize {
    assert!(node.interrupt().success());
    let (_, channels) = read_wav(&lab.path("out.wav"));
    clicks(&channels[0]).len()
}

/// A score of clicks, so many seconds apart.
fn write_score(lab: &Lab, count: u64, apart: f64) {
    let score = (0..count).map(|number| {
        let at = (number as f64 * apart * 2f64.powi(32)) as u64;
        let bundle = osc::bundle(at, [osc::message("/click", [rosc::OscType::Float(0.5)])]);
        [&(bundle.len() as i32).to_be_bytes(), &bundle[..]].concat()
    });
    lab.write("score.osc", score.collect::<Vec<_>>().concat());
}

#[test]
fn without_the_key_nothing_is_done_and_the_sender_is_told() {
    let lab = lab();
    let keyed = lab.node(["--key-file", "stage.key", "--record", "out.wav"]);
    let open = lab.node([]);
    let (address, open) = (keyed.address(), open.address());
    write_score(&lab, 2, 0.1);
    for (args, says) in [
        (
            &["send", &address, "/click", "--reply", "800ms"][..],
            "/click was refused: this needs the ensemble's key",
        ),
        (&["send", &address, "/click", "--in", "50ms", "--reply", "800ms"], "this needs the ensemble's key"),
        (&["send", &address, "/click", "--key-file", "other.key"], "not sealed with this ensemble's key"),
        (&["play", "score.osc", &address, "--key-file", "other.key"], "not sealed with this ensemble's key"),
        (&["send", &open, "/click", "--key-file", "stage.key"], "this node has no key"),
        (
            &["send", "127.0.0.1:1", "/click", "--key-file", "stage.key"],
            "no answer: is a node running there?",
        ),
        (&["send", &address, "/click", "--key-file", "nowhere.key"], "cannot read the key nowhere.key"),
    ] {
        let output = lab.run(args);
        assert_eq!(output.code, Some(1), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(says), "{args:?}: {}", output.stderr);
    }
    // Nobody hears of it here: the node tells, and counts.
    lab.ok(["play", "score.osc", &address]);
    let asks = keyed.socket();
    assert_eq!(osc::status(&asks, "events"), 0);
    // Four commands, and the questions of those with another key, some of them twice or more.
    assert!(osc::status(&asks, "unsealed") >= 6);
    assert_eq!(heard(&lab, keyed), 0);
}

#[test]
fn who_has_closed_is_not_asked_on() {
    let lab = lab();
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let target = format!("tcp://{}", listener.local_addr().expect("it has an address"));
    let listening = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it connects");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut questions = Vec::new();
        stream.read_to_end(&mut questions).expect("it is closed");
        questions.len()
    });
    let output = lab.run(["send", &target, "/click", "--key-file", "stage.key"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("has closed the connection"), "{}", output.stderr);
    let bytes = listening.join().expect("it has listened");
    assert!(bytes < 1_000, "{bytes} bytes of questions");
}

#[test]
fn what_is_sealed_sounds_and_what_is_sent_again_does_not() {
    let lab = lab();
    let node = lab.node(["--key-file", "stage.key", "--record", "out.wav", "--timescale", "free"]);
    let tap = Tap::start(&node);
    write_score(&lab, 4, 0.1);
    lab.ok(["play", "score.osc", &tap.address(), "--key-file", "stage.key"]);
    lab.ok(["send", &tap.address(), "/click", "0.5", "--in", "200ms", "--key-file", "stage.key"]);
    let (stream, slip) = (format!("tcp://{}", node.address()), format!("slip://{}", node.address()));
    let asks = node.socket();
    for (target, count) in [(&stream, 6), (&slip, 7)] {
        lab.ok(["send", target, "/click", "0.5", "--key-file", "stage.key"]);
        osc::wait_for_events(&asks, count);
    }
    let answers = lab.ok(["send", &stream, "/notify", "1", "--reply", "800ms", "--key-file", "stage.key"]);
    assert_eq!(answers, "/done \"/notify\" \"1\"\n");

    // Who listened sends all of it again, as it was and from elsewhere.
    let captured = tap.packets();
    let sealed = |packet: &&Vec<u8>| packet.starts_with(b"/sealed\0");
    assert_eq!(captured.iter().filter(sealed).count(), 5);
    let thief = node.socket();
    for packet in &captured {
        thief.send(packet).expect("it can be sent");
    }
    let start = Instant::now();
    while osc::status(&asks, "stale") < 5 {
        assert!(start.elapsed() < PATIENCE, "they do not come in");
    }
    // Nor is it believed that it is another node's time.
    let mut changed = captured.iter().find(sealed).expect("there is one").clone();
    changed[31] ^= 1;
    thief.send(&changed).expect("it can be sent");
    while osc::status(&asks, "unsealed") < 1 {
        assert!(start.elapsed() < PATIENCE, "it does not come in");
    }
    assert_eq!((osc::status(&asks, "events"), osc::status(&asks, "stale")), (7, 5));
    assert_eq!(heard(&lab, node), 7);
}

#[test]
fn a_stopped_performance_withdraws_what_it_has_sealed() {
    let lab = lab();
    let node = lab.node(["--key-file", "stage.key"]);
    write_score(&lab, 2, 3_600.0);
    let play = ["play", "score.osc", &node.address(), "--lead", "10s", "--key-file", "stage.key"];
    let mut play = lab.spawn(play);
    let asks = node.socket();
    osc::wait_until_taken(&asks, 1);
    assert_eq!(osc::status(&asks, "pending"), 1);
    assert_eq!(play.interrupt().code(), Some(1));
    osc::wait_until_played(&asks);
    assert_eq!(osc::status(&asks, "unsealed"), 0);
}

/// It has another session then, and what was sealed for the one before is refused.
#[test]
fn a_performance_goes_on_when_the_node_is_started_anew() {
    let lab = lab();
    let mut node = lab.node(["--key-file", "stage.key"]);
    let tap = Tap::start(&node);
    let port = node.port.to_string();
    write_score(&lab, 80, 0.1);
    let mut play =
        lab.spawn(["play", "score.osc", &tap.address(), "--key-file", "stage.key", "--lead", "200ms"]);
    osc::wait_until_taken(&node.socket(), 10);
    let before = tap.packets();
    assert!(node.interrupt().success());
    let args = ["--host", "virtual", "--bind", "127.0.0.1", "--key-file", "stage.key", "--port", &port];
    let node = lab.start(["node"].into_iter().chain(args));
    let asks = node.socket();
    for packet in before.iter().filter(|packet| packet.starts_with(b"/sealed\0")) {
        asks.send(packet).expect("it can be sent");
    }
    // Errors come to this socket too, and are passed over.
    osc::wait_until_taken(&asks, 20);
    assert!(osc::status(&asks, "stale") >= 10);
    assert_eq!(play.wait().code(), Some(0));
}

fn python(version: &str, lab: &Lab) -> Command {
    let python = repository(&format!(".venv/python-osc-{version}/bin/python"));
    assert!(python.exists(), "{} is missing: `make setup` installs it", python.display());
    let mut command = Command::new(python);
    command.arg("-B").env("PYTHONPATH", repository("samples/python")).current_dir(lab.path("."));
    command
}

fn python_seals(version: &str) {
    let lab = lab();
    let node = lab.node(["--key-file", "stage.key", "--record", "out.wav"]);
    let tap = Tap::start(&node);
    let sealed = |args: &[&str]| {
        let mut script = python(version, &lab);
        script.arg(repository("samples/python/sealed.py")).args(args);
        Process::spawn(script).output()
    };
    let output = sealed(&[&tap.address(), "--key-file", "stage.key", "/click", "0.5"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let output = sealed(&[&node.address(), "--key-file", "stage.key", "--reply", "0.5", "/nobody", "1"]);
    assert!(output.stdout.starts_with("/error /nobody no such address"), "{}", output.stdout);
    let output = sealed(&[&node.address(), "--key-file", "other.key", "/click"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("not sealed with this ensemble's key"), "{}", output.stderr);
    let output = sealed(&["127.0.0.1:1", "--key-file", "stage.key", "/click"]);
    assert!(output.stderr.contains("no answer from 127.0.0.1:1"), "{}", output.stderr);

    // As a class, with the clock that asks with the key too: a bundle for half a second later.
    let (host, port) = (String::from("127.0.0.1"), node.port);
    let mut script = python(version, &lab);
    script.arg("-c").arg(format!(
        "from ensemble_clock import EnsembleClock, message\nfrom sealed import Sealed\n\
         with EnsembleClock({host:?}, {port}, key_file='stage.key') as clock, \\\n\
         \x20       Sealed({host:?}, {port}, key_file='stage.key') as node:\n\
         \x20   node.send(clock.bundle(0.5, message('/click', 0.5)).build())\n\
         \x20   node.send_message('/click', 0.5)\n"
    ));
    let output = Process::spawn(script).output();
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let asks = node.socket();
    osc::wait_for_events(&asks, 3);
    for packet in tap.packets() {
        asks.send(&packet).expect("it can be sent");
    }
    let start = Instant::now();
    while osc::status(&asks, "stale") < 1 {
        assert!(start.elapsed() < PATIENCE, "it does not come in");
    }
    assert_eq!((osc::status(&asks, "events"), osc::status(&asks, "late")), (3, 0));
    assert_eq!(heard(&lab, node), 3);
}

#[test]
fn python_osc_1_9_seals() {
    python_seals("1.9.3");
}

#[test]
fn python_osc_1_10_seals() {
    python_seals("1.10.2");
}

#[test]
fn python_relays_for_those_who_cannot_seal() {
    let lab = lab();
    let node = lab.node(["--key-file", "stage.key", "--record", "out.wav"]);
    let mut script = python("1.10.2", &lab);
    script.arg(repository("samples/python/sealed.py"));
    script.args([&node.address(), "--key-file", "stage.key", "--relay", "0"]);
    let relay = Process::start(script);
    let program = relay.socket();
    program.send(&osc::message("/nobody", [])).expect("it can be sent");
    assert_eq!(osc::receive(&program).addr, "/error");
    let due = osc::wall_clock() + osc::millis(300);
    program
        .send(&osc::bundle(due, [osc::message("/click", [rosc::OscType::Float(0.5)])]))
        .expect("it can be sent");
    let asks = node.socket();
    osc::wait_until_played(&asks);
    assert_eq!((osc::status(&asks, "late"), osc::status(&asks, "unsealed")), (0, 0));
    assert_eq!(heard(&lab, node), 1);
}
