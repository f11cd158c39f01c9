//! Groups at a router: who sends into them, who listens, and nodes that play what they say.
//!
//! Not for: what a router does (its own tests), nor when a member does what (the net crate's tests).

use crate::lab::{Lab, PATIENCE, Process, clicks, osc, read_wav};
use rosc::OscType;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// A running router.
struct Router {
    process: Process,
    /// `127.0.0.1:12345`.
    place: String,
}

impl Router {
    /// On a port of its own, or on this one.
    fn start(lab: &Lab, port: &str) -> Router {
        let mut process = lab.spawn(["router", "--bind", "127.0.0.1", "--osc-port", port, "--disable-osc11"]);
        let ready = process.wait_for("router is ready on");
        let place = ready.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
        Router { process, place: place.expect("it says where").to_owned() }
    }
}

#[test]
fn a_message_goes_to_a_group_or_to_one_user() {
    let lab = Lab::new();
    let router = Router::start(&lab, "0");
    let target = format!("router://{}", router.place);
    lab.write("band.txt", "streng geheim\n");
    lab.write("wrong.txt", "guesswork");
    let send = |flags: &[&str]| {
        let usual = ["send", &target, "--group", "band", "--group-password-file", "band.txt"];
        [&usual[..], flags].concat().into_iter().map(String::from).collect::<Vec<_>>()
    };
    let mut bert = lab.spawn(send(&["--user", "bert", "/here", "--reply", "60s"]));
    let mut next = || loop {
        let line = bert.line();
        if !line.starts_with("/oscrouter/userlist") {
            return line;
        }
    };
    // Whoever comes first chooses the password: he has come when there is somebody of his name.
    while lab.run(send(&["/first", "--to", "bert"])).code != Some(0) {}
    assert_eq!(next(), "/oscrouter/private \"downbeat-send\" \"/first\"");
    lab.ok(send(&["/play", "kick", "0.5", "--in", "1h"]));
    assert_eq!(next(), "/play \"kick\" 0.5");

    for (flags, code, says) in [
        (&["/play", "--to", "nobody"][..], 1, "no user of this name"),
        (&["/play", "--user", "bert", "--user-password-file", "wrong.txt"], 1, "wrong password"),
        (&["/play", "--user-password-file", "missing.txt"], 1, "missing.txt"),
        (&["/play", "--to", "bert", "--key-file", "band.txt"], 2, "--key-file"),
    ] {
        let output = lab.run(send(flags));
        assert_eq!(output.code, Some(code), "{flags:?}: {}", output.stderr);
        assert!(output.stderr.contains(says), "{flags:?}: {}", output.stderr);
    }
    let mut stranger = lab.command(["send", &target, "--group", "band", "/play"]);
    stranger.env("DOWNBEAT_GROUP_PASSWORD", "guesswork");
    let output = Process::spawn(stranger).output();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("wrong group password"), "{}", output.stderr);
    let output = lab.run(["send", "localhost:9000", "--group", "band", "/play"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("router://"), "{}", output.stderr);
    lab.ok(send(&["/last"]));
    assert_eq!(next(), "/last");
    drop(router);
}

#[test]
fn who_listens_hears_the_group_and_is_told_why_not() {
    let lab = Lab::new();
    let router = Router::start(&lab, "0");
    let listen = ["listen", "--router", &router.place, "--group", "band", "--user"];
    let mut anna = lab.spawn([&listen[..], &["anna", "--record", "take.osc"]].concat());
    anna.wait_for("joined group \"band\" as \"anna\"");
    assert!(anna.line().ends_with("/oscrouter/userlist \"anna\""));
    lab.ok(["send", &format!("router://{}", router.place), "--group", "band", "/tick", "--in", "1h"]);
    let lines: Vec<_> = (0..3).map(|_| anna.line()).collect();
    assert!(lines[0].ends_with("/oscrouter/userlist \"anna\" \"downbeat-send\""), "{lines:?}");
    assert!(lines[1].contains(" in 3") && lines[1].ends_with("  /tick"), "{lines:?}");
    assert!(lines[2].ends_with("/oscrouter/userlist \"anna\""), "{lines:?}");

    let mut stranger = lab.command([&listen[..], &["carl"]].concat());
    stranger.env("DOWNBEAT_GROUP_PASSWORD", "guesswork");
    let output = Process::spawn(stranger).output();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("wrong group password"), "{}", output.stderr);
    for command in ["listen", "node"] {
        let output = lab.run([command, "--group", "band"]);
        assert_eq!(output.code, Some(2));
        assert!(output.stderr.contains("--router"), "{}", output.stderr);
    }
    assert!(anna.interrupt().success());
    anna.wait_for("recorded 1 bundles");
}

#[test]
fn a_node_plays_what_a_group_sends_and_comes_back() {
    let lab = Lab::new();
    lab.write("band.txt", "streng geheim");
    let mut router = Router::start(&lab, "0");
    let place = router.place.clone();
    let join = ["--router", &place, "--group", "band", "--group-password-file", "band.txt", "--name", "pi"];
    let mut node =
        lab.node([&join[..], &["--record", "out.wav", "--timescale", "free", "--rate", "48000"]].concat());
    node.wait_for("joined group \"band\" as \"pi\"");
    let socket = node.socket();
    let click = |at: u64| osc::bundle(at, [osc::message("/click", [OscType::Float(0.5)])]);

    // The first directly, the others through the router.
    let start = osc::wall_clock() + osc::millis(1_000);
    socket.send(&click(start)).expect("it can be sent");
    let mut anna = Anna::join(&place);
    anna.send(&click(start + osc::millis(250)));
    anna.send(&osc::message(
        "/oscrouter/private",
        vec![OscType::String("pi".into()), OscType::String("/click".into()), OscType::Float(0.4)],
    ));
    osc::wait_for_events(&socket, 3);

    // It answers one alone if it was asked alone, tells the group when it was late, and nobody of its answers to others.
    let mut bert = Anna::join_as(&place, "bert");
    let words = ["pi", "/nonsense"].map(|word| OscType::String(word.into()));
    anna.send(&osc::message("/oscrouter/private", words));
    let answer = anna.hear_until(b"/oscrouter/private\0\0");
    let says = b"pi\0\0/error\0\0/nonsense\0\0\0";
    assert!(answer.windows(says.len()).any(|part| part == says), "{}", answer.escape_ascii());
    let output = lab.run(
        ["send", &format!("router://{place}"), "--group", "band", "--group-password-file", "band.txt"]
            .into_iter()
            .chain(["--to", "pi", "/nonsense", "--reply", "2s"]),
    );
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("/nonsense was refused"), "{}", output.stderr);
    anna.send(&click(start));
    let late = anna.hear_until(b"/late\0\0\0");
    // What comes to all comes to him, and nothing of what the others were told.
    let heard = bert.hear_first(|packet| !packet.starts_with(b"/oscrouter/userlist\0"));
    assert_eq!(heard, click(start), "{}", heard.escape_ascii());
    assert!(late.starts_with(b"/late\0\0\0,fsii\0\0\0"), "{}", late.escape_ascii());
    osc::wait_for_events(&socket, 4);

    router.process.signal("KILL");
    router.process.wait();
    node.wait_for("the router has closed the connection");
    let port = place.rsplit_once(':').expect("it has a port").1;
    let _again = Router::start(&lab, port);
    node.wait_for("joined group \"band\" as \"pi\"");
    Anna::join(&place).send(&click(osc::wall_clock() + osc::millis(500)));
    osc::wait_for_events(&socket, 5);
    assert_eq!(osc::status(&socket, "router_joined"), 2);
    assert!(osc::status(&socket, "router_failed") >= 1);
    assert!(node.interrupt().success());

    let (_, channels) = read_wav(&lab.path("out.wav"));
    let at = clicks(&channels[0]);
    assert_eq!(at.len(), 5, "{at:?}");
    let first = at.iter().find(|first| at.contains(&(*first + 12_000)));
    assert!(first.is_some(), "250 ms after the first, on the sample: {at:?}");
}

#[test]
fn a_node_with_a_key_obeys_no_group_without_it() {
    let lab = Lab::new();
    lab.write("key", "a secret of sixteen bytes and more");
    let router = Router::start(&lab, "0");
    let target = format!("router://{}", router.place);
    let mut node = lab.node(["--router", &router.place, "--key-file", "key"]);
    node.wait_for("joined group \"oscrouter\" as \"downbeat\"");
    let output = lab.run(["send", &target, "/click", "--reply", "2s"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("--key-file"), "{}", output.stderr);
    lab.ok(["send", &target, "/click", "--key-file", "key"]);
    let socket = node.socket();
    osc::wait_for_events(&socket, 1);
    assert_eq!((osc::status(&socket, "events"), osc::status(&socket, "unsealed")), (1, 1));
}

#[test]
fn two_nodes_with_wrong_wall_clocks_play_by_the_routers_time() {
    let lab = Lab::new();
    let router = Router::start(&lab, "0");
    let target = format!("router://{}", router.place);
    let mut nodes = [("east", "offset=1234s,ppm=+60"), ("west", "offset=-77s")].map(|(name, clock)| {
        let file = format!("{name}.wav");
        let join = ["--router", &router.place, "--router-time", "--no-discovery", "--rate", "48000"];
        let name = ["--name", name, "--record", &file, "--sim-clock", clock];
        let mut node = lab.node([&join[..], &name[..]].concat());
        node.wait_for("the router's time is taken: time jumps by");
        node
    });
    // Four of a wall clock that is right, and one of the router's.
    let start = osc::wall_clock() + osc::millis(1_000);
    for node in &nodes {
        let socket = node.socket();
        for click in 0..4 {
            let click = osc::bundle(
                start + osc::millis(250 * click),
                [osc::message("/click", [OscType::Float(0.5)])],
            );
            socket.send(&click).expect("it can be sent");
        }
    }
    lab.ok(["send", &target, "--router-time", "--in", "2s", "/click"]);
    // Half a second and a second after its beginning.
    let bundles = [500, 1_000].map(|at| {
        let bundle = osc::bundle(osc::millis(at), [osc::message("/click", [])]);
        [&(bundle.len() as u32).to_be_bytes(), &bundle[..]].concat()
    });
    lab.write("two.osc", bundles.concat());
    lab.ok(["play", "two.osc", &target, "--router-time", "--lead", "3s"]);
    for node in &mut nodes {
        let socket = node.socket();
        osc::wait_for_events(&socket, 7);
        osc::wait_until_played(&socket);
        assert_eq!(osc::status(&socket, "late"), 0);
        assert!(node.interrupt().success());
    }
    let onsets = ["east", "west"].map(|name| {
        let (_, channels) = read_wav(&lab.path(&format!("{name}.wav")));
        clicks(&channels[0])
    });
    for onsets in &onsets {
        let apart: Vec<_> = onsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let [first, second, third, _, _, last] = apart[..] else { panic!("{onsets:?}") };
        let are_right = [first, second, third].iter().all(|apart| apart.abs_diff(12_000) <= 2);
        assert!(are_right && last.abs_diff(24_000) <= 2, "{onsets:?}");
    }
}

#[test]
fn a_router_that_does_not_tell_the_time_is_told_of() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let place = listener.local_addr().expect("it has an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut original = Anna(stream.expect("it connects"));
            thread::spawn(move || {
                let register = original.hear_until(b"/oscrouter/register\0");
                let (_, packet) = rosc::decoder::decode_udp(&register).expect("it is OSC");
                let rosc::OscPacket::Message(message) = packet else { panic!("it is a message") };
                let [OscType::String(name), _, _, _, OscType::Int(id), ..] = &message.args[..] else {
                    panic!("it says who")
                };
                original.send(&osc::message(&format!("/oscrouter/register/{name}/{id}"), []));
                if name == "brief" {
                    original.0.shutdown(Shutdown::Write).expect("it is connected");
                }
                // Like tcposcrouter, it knows nothing of the rest.
                let mut rest = Vec::new();
                let _ = original.0.read_to_end(&mut rest);
            });
        }
    });
    let output = lab.run(["send", &format!("router://{place}"), "--router-time", "--in", "1s", "/click"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("does not tell the time"), "{}", output.stderr);
    let target = format!("router://{place}");
    let output = lab.run(["send", &target, "--user", "brief", "--router-time", "--in", "1s", "/click"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("has closed the connection"), "{}", output.stderr);
    lab.write("key", "a secret of sixteen bytes and more");
    for (flags, says) in [
        (&["node", "--router-time"][..], "--router"),
        (&["node", "--router", &place, "--router-time", "--key-file", "key"], "--key-file"),
        (&["node", "--router", &place, "--router-time", "--timescale", "free"], "--timescale"),
        (
            &["send", &format!("router://{place}"), "--router-time", "--key-file", "key", "/click"],
            "--key-file",
        ),
    ] {
        let output = lab.run(flags.iter().copied());
        assert_eq!(output.code, Some(2), "{flags:?}");
        assert!(output.stderr.contains(says), "{flags:?}: {}", output.stderr);
    }
}

#[test]
fn what_comes_at_once_with_the_answer_to_a_registration_is_not_lost() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let place = listener.local_addr().expect("it has an address").to_string();
    let router = thread::spawn(move || {
        let mut router = Anna(listener.accept().expect("somebody connects").0);
        let register = router.hear_until(b"/oscrouter/register\0");
        let (_, packet) = rosc::decoder::decode_udp(&register).expect("it is OSC");
        let rosc::OscPacket::Message(message) = packet else { panic!("it is a message") };
        let [OscType::String(name), _, _, _, OscType::Int(id), ..] = &message.args[..] else {
            panic!("it says who")
        };
        let answers =
            [osc::message(&format!("/oscrouter/register/{name}/{id}"), []), osc::message("/now", [])];
        let frames = answers.map(|packet| [&(packet.len() as u32).to_be_bytes(), &packet[..]].concat());
        router.0.write_all(&frames.concat()).expect("it reads");
        router.hear_until(b"/here\0");
    });
    assert_eq!(lab.ok(["send", &format!("router://{place}"), "/here", "--reply", "500ms"]), "/now\n");
    router.join().expect("it was told");
}

/// A member of group `band`, whose packets are framed by length.
struct Anna(TcpStream);

impl Anna {
    fn join(place: &str) -> Anna {
        Anna::join_as(place, "anna")
    }

    fn join_as(place: &str, user: &str) -> Anna {
        let stream = TcpStream::connect(place).expect("the router listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let mut anna = Anna(stream);
        let words = [user, "her own", "band", "streng geheim", "7"].map(|word| OscType::String(word.into()));
        anna.send(&osc::message("/oscrouter/register", words));
        anna.hear_until(format!("/oscrouter/register/{user}/7\0").as_bytes());
        anna
    }

    fn send(&mut self, packet: &[u8]) {
        let length = (packet.len() as u32).to_be_bytes();
        self.0.write_all(&[&length, packet].concat()).expect("the router reads");
    }

    /// The next packet that starts so.
    fn hear_until(&mut self, start: &[u8]) -> Vec<u8> {
        self.hear_first(|packet| packet.starts_with(start))
    }

    /// The next packet of which that is so.
    fn hear_first(&mut self, is_it: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        loop {
            let mut length = [0; 4];
            self.0.read_exact(&mut length).expect("a packet comes");
            let mut packet = vec![0; u32::from_be_bytes(length) as usize];
            self.0.read_exact(&mut packet).expect("it comes whole");
            if is_it(&packet) {
                return packet;
            }
        }
    }
}
