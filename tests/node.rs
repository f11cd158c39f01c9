//! A running node: what it plays, what it answers, how it ends.

use crate::lab::{Lab, PATIENCE, Process, clicks, osc, read_wav, repository};
use rosc::OscType::{Float, Int, String as Text};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

#[test]
fn every_sample_of_the_kit_is_an_address() {
    let lab = Lab::new();
    let kit = repository("samples/audio");
    let node = lab.node(["--samples", kit.to_str().expect("the path is text")]);
    let socket = node.socket();
    socket.send(&osc::message("/sample/list", [])).expect("it can be sent");
    let list = osc::receive(&socket);
    assert_eq!(list.addr, "/sample/list/reply");
    let names = ["bell", "click", "downbeat", "hat", "kick", "loop", "snare", "tick"];
    let expected: Vec<_> = std::iter::once(Int(8)).chain(names.map(|name| Text(name.into()))).collect();
    assert_eq!(list.args, expected);
}

#[test]
fn bad_input_is_answered_and_disturbs_nothing() {
    let lab = Lab::new();
    let kit = repository("samples/audio");
    let mut node = lab.node(["--samples", kit.to_str().expect("the path is text"), "--record", "out.wav"]);
    let socket = node.socket();
    for (packet, says) in [
        (osc::message("/nope", []), "no such address"),
        (osc::message("/play", [Text("nope".into())]), "nope"),
        (osc::message("/play", []), "missing"),
        (osc::message("/click", [Float(f32::NAN)]), "gain"),
        (osc::message("/tone", [Text("high".into())]), "freq"),
        (osc::message("/sample/load", [Text("x".into()), Text("../../etc/passwd".into())]), "samples folder"),
        (b"garbage!".to_vec(), "not an OSC packet"),
        (osc::bundle(osc::wall_clock() + osc::millis(2 * 3_600_000), [osc::message("/click", [])]), "ahead"),
    ] {
        socket.send(&packet).expect("it can be sent");
        let answer = osc::receive(&socket);
        assert_eq!(answer.addr, "/error", "{answer:?}");
        let reason = answer.args.last().and_then(|reason| reason.clone().string()).expect("a reason is text");
        assert!(reason.contains(says), "{reason}");
    }
    socket.send(&osc::message("/status", [])).expect("it can be sent");
    let status = osc::receive(&socket);
    let value = |key: &str| {
        let at = status.args.iter().position(|arg| *arg == Text(key.into())).expect("the key is there");
        status.args[at + 1].clone()
    };
    assert_eq!(value("refused"), Int(8));
    assert_eq!(value("events"), Int(0));
    assert!(node.interrupt().success());
    let (_, channels) = read_wav(&lab.path("out.wav"));
    assert!(channels.iter().flatten().all(|sample| *sample == 0.0));
}

#[test]
fn clicks_of_one_bundle_fall_on_one_frame_and_others_at_their_distance() {
    let lab = Lab::new();
    let mut node =
        lab.node(["--record", "out.wav", "--timescale", "free", "--rate", "44100", "--channels", "3"]);
    let socket = node.socket();
    let start = osc::wall_clock() + osc::millis(700);
    let quarter = osc::millis(250);
    for (step, count) in [(0, 1), (2, 1), (1, 2)] {
        let clicks = vec![osc::message("/click", [Float(0.3)]); count];
        socket.send(&osc::bundle(start + step * quarter, clicks)).expect("it can be sent");
    }
    osc::wait_until_played(&socket);
    assert!(node.interrupt().success());
    let (rate, channels) = read_wav(&lab.path("out.wav"));
    assert_eq!((rate, channels.len()), (44_100, 3));
    for channel in &channels {
        let at = clicks(channel);
        assert_eq!(at.len(), 3, "{at:?}");
        assert_eq!([at[1] - at[0], at[2] - at[1]], [11_025, 11_025]);
        assert_eq!(channel[at[1] as usize], 0.6);
    }
}

#[test]
fn an_interrupt_finishes_the_recording_and_a_kill_leaves_it_readable() {
    for signal in ["INT", "TERM", "HUP", "KILL"] {
        let lab = Lab::new();
        let mut node = lab.node(["--record", "out.wav"]);
        let socket = node.socket();
        // Later than a second: what a killed node may lose is the last one.
        let start = osc::wall_clock() + osc::millis(50);
        for second in 0..3 {
            let click = osc::message("/click", [Float(0.5)]);
            socket.send(&osc::bundle(start + second * osc::millis(600), [click])).expect("it can be sent");
        }
        osc::wait_until_played(&socket);
        node.signal(signal);
        let status = node.wait();
        let (_, channels) = read_wav(&lab.path("out.wav"));
        let heard = clicks(&channels[0]).len();
        if signal == "KILL" {
            assert!(!status.success());
            assert!(heard >= 1, "{heard} of 3 clicks after {signal}");
        } else {
            assert!(status.success(), "{signal}: {status:?}");
            assert_eq!(heard, 3, "after {signal}");
        }
    }
}

#[test]
fn samples_come_and_go_while_it_plays() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("kit")).expect("the folder takes a folder");
    let node = lab.node(["--samples", "kit"]);
    let socket = node.socket();
    let ask = |address: &str, args: Vec<rosc::OscType>| {
        socket.send(&osc::message(address, args)).expect("it can be sent");
        let answer = osc::receive(&socket);
        (answer.addr, answer.args)
    };
    let tick = || vec![Text("tick".into())];
    assert_eq!(ask("/sample/load", tick()).0, "/error");
    std::fs::copy(repository("samples/audio/tick.wav"), lab.path("kit/tick.wav")).expect("it can be copied");
    assert_eq!(
        ask("/sample/load", tick()),
        ("/done".into(), vec![Text("/sample/load".into()), tick().remove(0)])
    );
    assert_eq!(
        ask("/sample/free", tick()),
        ("/done".into(), vec![Text("/sample/free".into()), tick().remove(0)])
    );
    assert_eq!(ask("/sample/free", tick()).0, "/error");
}

#[test]
fn a_flood_of_garbage_makes_nothing_late_and_takes_no_memory() {
    const CLICKS: u64 = 40;
    let lab = Lab::new();
    let mut node = lab.node(["--record", "out.wav", "--timescale", "free", "--onset", "frame"]);
    let (socket, flood) = (node.socket(), node.socket());
    let garbage: [&[u8]; 4] =
        [b"", b"#bundle\0\0\0\0\0\0\0\0\x01\x7f\xff\xff\xff", &[0xff; 1_400], b"/a\0\0,[[["];
    let pour = |count: usize| {
        for packet in garbage.iter().cycle().take(count) {
            // What the socket has no room for is garbage too.
            let _ = flood.send(packet);
        }
    };
    pour(10_000);
    osc::status(&socket, "refused");
    let before = node.resident();

    let start = osc::wall_clock() + osc::millis(700);
    for number in 0..CLICKS {
        let click = osc::message("/click", [Float(0.5)]);
        socket.send(&osc::bundle(start + number * osc::millis(25), [click])).expect("it can be sent");
    }
    osc::wait_until_taken(&socket, CLICKS as i32);
    while osc::wall_clock() < start + CLICKS * osc::millis(25) {
        pour(100);
    }
    osc::wait_until_played(&socket);
    assert_eq!(osc::status(&socket, "late"), 0);
    assert!(osc::status(&socket, "refused") > 1_000);
    let grown = node.resident().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes more");

    assert!(node.interrupt().success());
    let (_, channels) = read_wav(&lab.path("out.wav"));
    let heard = clicks(&channels[0]);
    assert_eq!(heard.len(), CLICKS as usize);
    assert!(heard.windows(2).all(|pair| pair[1] - pair[0] == 1_200), "{heard:?}");
}

#[test]
fn whoever_waited_for_a_descriptor_is_served_once_there_is_one() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 40 && exec \"$0\" node --host virtual --bind 127.0.0.1 --port 0"]);
    command.arg(env!("CARGO_BIN_EXE_downbeat")).env_remove("RUST_LOG");
    let mut node = Process::start(command);
    let mut clients: Vec<_> =
        (0..60).map(|_| TcpStream::connect(node.address()).expect("the system accepts it")).collect();
    node.wait_for("cannot accept");
    let mut last = clients.pop().expect("there are clients");
    drop(clients);
    last.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let question = osc::message("/sync/time", []);
    last.write_all(&(question.len() as u32).to_be_bytes())
        .and_then(|()| last.write_all(&question))
        .expect("it can be sent");
    let mut answer = [0; 20];
    last.read_exact(&mut answer).expect("it is answered");
    assert_eq!(&answer[4..], b"/sync/time/reply");
}

#[test]
fn what_it_cannot_use_stops_it_at_the_start() {
    let lab = Lab::new();
    let taken = lab.node([]);
    let port = taken.port.to_string();
    for (args, says) in [
        (&["--port", &port, "--bind", "127.0.0.1"][..], "another program"),
        (&["--port", "0", "--samples", "no-such-folder"], "no-such-folder"),
        (&["--port", "0", "--record", "no/such/folder.wav"], "no/such/folder.wav"),
        (&["--port", "0", "--bind", "192.0.2.1"], "192.0.2.1; is it an address of this host?"),
    ] {
        let output = lab.run(["node", "--host", "virtual"].iter().chain(args));
        assert_eq!(output.code, Some(1), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(says), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn a_host_is_known_again_by_its_number_and_each_launch_by_another() {
    let lab = Lab::new();
    let id = |flags: &[&str]| {
        let node = lab.node(flags.iter().copied());
        let all: serde_json::Value =
            serde_json::from_str(&lab.ok(["status", "--json", &node.address()])).expect("it is JSON");
        let id = all[0]["clock"]["id"].as_str().expect("it has one").to_owned();
        (id[..8].to_owned(), id[8..].to_owned())
    };
    let (first, second, forgetful) = (id(&[]), id(&[]), id(&["--no-state"]));
    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1);
    assert_ne!(first.0, forgetful.0);
}
