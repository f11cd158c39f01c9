//! The command line: help, exit codes, sending, listening, settings.

use crate::lab::{Lab, osc};
use serde_json::{Value, json};

#[test]
fn help_names_every_command_and_every_command_helps() {
    let lab = Lab::new();
    let help = lab.ok(["--help"]);
    for command in ["node", "send", "listen", "render", "play", "devices"] {
        assert!(help.contains(command), "{help}");
        assert!(lab.ok([command, "--help"]).contains("Usage: downbeat"));
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    let lab = Lab::new();
    for (args, says) in [
        (&[][..], "Usage"),
        (&["dance"], "dance"),
        (&["send", "--loud", "localhost:9000", "/a"], "--loud"),
        (&["send", "localhost", "/a"], "host:port"),
        (&["send", "http://localhost:80", "/a"], "http"),
        (&["send", "localhost:9000", "no-slash"], "starts with /"),
        (&["send", "localhost:9000", "/a", "--types", "i", "loud"], "integer"),
        (&["send", "localhost:9000", "/a", "--types", "ii", "1"], "more arguments"),
        (&["send", "localhost:9000", "/a", "--in", "5"], "200ms"),
        (&["listen", "--port", "99999"], "99999"),
        (&["play", "score.osc"], "TARGETS"),
        (&["render", "score.osc"], "--out"),
        (&["node", "--late", "never"], "trim"),
        (&["node", "--rate", "7"], "8000"),
        (&["node", "--state", "here", "--no-state"], "--no-state"),
        (&["node", "--multicast", "192.168.1.20"], "224.0.0.0"),
    ] {
        let output = lab.run(args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(says), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn what_fails_ends_with_1_and_says_why() {
    let lab = Lab::new();
    lab.write("noise.osc", b"RIFFxxxxWAVE");
    lab.write("wall.osc", b"\0\0\0\x18#bundle\0\xee\0\0\0\0\0\0\0\0\0\0\x04/a\0\0");
    lab.write("short.osc", b"\0\0\0\x18#bundle\0\0\0\0\0\0\0\0\0\0\0\0\x04/a\0\0");
    for (args, says) in [
        (&["send", "tcp://127.0.0.1:1", "/a"][..], "refused"),
        (&["send", "nowhere.invalid:9000", "/a"], "nowhere.invalid"),
        (&["play", "missing.osc", "127.0.0.1:9000"], "missing.osc"),
        (&["play", "noise.osc", "127.0.0.1:9000"], "not a score"),
        (&["listen", "--port", "0", "--record", "no/such/folder.osc"], "no/such/folder.osc"),
        (&["render", "wall.osc", "--out", "wall.wav"], "must count from 0"),
        (&["render", "short.osc", "--out", "./short.osc"], "is the score"),
    ] {
        let output = lab.run(args);
        assert_eq!(output.code, Some(1), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(says), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn a_trace_may_have_every_time_that_a_clock_may() {
    let lab = Lab::new();
    // Microseconds of NTP time against a host that has just started; rows out of order; a byte-order mark.
    lab.write(
        "trace.csv",
        "\u{feff}t1,t2,t3,t4\n1e1,3900000010.00025,3900000010.00027,10.00052\n-2,3899999998.00025,3899999998.00027,-1.99948\n+2,3900000002.00025,3900000002.00027,2.00052\n"
            .as_bytes(),
    );
    let out = lab.ok(["sync", "replay", "trace.csv"]);
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split(',').collect()).collect();
    let times: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(times, ["t4", "-1.99948", "2.00052", "10.00052"], "{out}");
    for row in &rows[1..] {
        assert!(row[1].starts_with("3900000000.000") || row[1].starts_with("3899999999.999"), "{out}");
    }
    // A bound that assumes better crystals is a tighter one.
    let bound = |out: &str| out.lines().last().and_then(|row| row.rsplit(',').next()?.parse::<f64>().ok());
    let tighter = lab.ok(["sync", "replay", "trace.csv", "--max-drift", "2ppm"]);
    assert!(bound(&tighter) < bound(&out), "{tighter}");
}

#[test]
fn nobody_reading_is_no_reason_to_fail() {
    let lab = Lab::new();
    let nowhere = || std::io::pipe().expect("the system gives a pipe").1;
    // A bundle that is refused, so that there is something to warn of.
    lab.write("nope.osc", b"\0\0\0\x1c#bundle\0\0\0\0\0\0\0\0\x01\0\0\0\x08/no\0,\0\0\0");
    for (args, code) in [
        (&["devices"][..], 0),
        (&["devices", "--json"], 0),
        (&["render", "nope.osc", "--out", "nope.wav"], 0),
        (&["send", "tcp://127.0.0.1:1", "/a"], 1),
    ] {
        let ended = lab.command(args).stdout(nowhere()).stderr(nowhere()).status().expect("it starts");
        assert_eq!(ended.code(), Some(code), "{args:?}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there is a full device");
    let ended = lab.command(["devices"]).stdout(full).output().expect("it starts");
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn every_type_arrives_as_sent_over_udp_tcp_and_slip() {
    let lab = Lab::new();
    let mut listener = lab.start(["listen", "--bind", "127.0.0.1", "--port", "0", "--tcp", "--json"]);
    let words = String::from("1 2 3.5 4.5 text symbol c 00ff 11223344 0090407f now 7 -8");
    for scheme in ["udp", "tcp", "slip"] {
        let target = format!("{scheme}://{}", listener.address());
        let args = ["send", &target, "/every/type", "--types", "ihfdsScbrmtTFNI[ii]"];
        lab.ok(args.into_iter().chain(words.split(' ')));
        let got: Value = serde_json::from_str(&listener.line()).expect("a line is JSON");
        assert_eq!(got["address"], "/every/type", "{scheme}");
        assert_eq!(got["types"], "ihfdsScbrmtTFNI[ii]", "{scheme}");
        let args = json!([
            1, 2, 3.5, 4.5, "text", "symbol", "c", "00ff", "11223344", "0090407f", "now", true, false, null,
            "impulse", "[", 7, -8, "]",
        ]);
        assert_eq!(got["args"], args, "{scheme}");
        assert_eq!(got["due"], Value::Null, "{scheme}");
    }
    assert!(listener.interrupt().success());
    assert_eq!(listener.rest(), Vec::<String>::new());
}

#[test]
fn a_timed_message_is_due_that_much_later() {
    let lab = Lab::new();
    let mut listener = lab.start(["listen", "--bind", "127.0.0.1", "--port", "0", "--json"]);
    let address = listener.address();
    lab.ok(["send", &address, "/tick", "--in", "1000s"]);
    let ahead: Value = serde_json::from_str(&listener.line()).expect("a line is JSON");
    let late = ahead["late_ms"].as_f64().expect("it has an instant");
    assert!((-1_000_000.0..-990_000.0).contains(&late), "{ahead}");

    lab.ok(["send", &address, "/tick", "--at", "2001-09-09T03:46:40.25+02:00"]);
    let at: Value = serde_json::from_str(&listener.line()).expect("a line is JSON");
    assert_eq!(at["due"], "2001-09-09T01:46:40.250000Z");
}

#[test]
fn a_recorded_take_plays_again_with_the_same_distances() {
    let lab = Lab::new();
    let mut first = lab.start(["listen", "--bind", "127.0.0.1", "--port", "0", "--record", "take.osc"]);
    let address = first.address();
    // Sent in another order than they are due.
    let base = jiff::Timestamp::now().as_second() + 2;
    for (name, eighths) in [("/c", 4), ("/a", 0), ("/b", 1)] {
        let at = jiff::Timestamp::new(base, eighths * 125_000_000).expect("it is this century");
        lab.ok(["send", &address, name, "--at", &at.to_string()]);
        first.line();
    }
    assert!(first.interrupt().success());

    let mut second = lab.start(["listen", "--bind", "127.0.0.1", "--port", "0", "--json"]);
    lab.ok(["play", "take.osc", &second.address(), "--lead", "1h"]);
    let lines: Vec<Value> =
        (0..3).map(|_| serde_json::from_str(&second.line()).expect("a line is JSON")).collect();
    let addresses: Vec<_> = lines.iter().map(|line| &line["address"]).collect();
    assert_eq!(addresses, ["/a", "/b", "/c"]);
    let tags: Vec<_> = lines.iter().map(|line| tag(&line["timetag"])).collect();
    let eighth = 1 << 29;
    assert_eq!(tags[1].wrapping_sub(tags[0]), eighth);
    assert_eq!(tags[2].wrapping_sub(tags[1]), 3 * eighth);
}

#[test]
fn a_stopped_performance_withdraws_what_it_sent_ahead() {
    let lab = Lab::new();
    let mut listener = lab.start(["listen", "--bind", "127.0.0.1", "--port", "0", "--json"]);
    let tick = |timetag| osc::bundle(timetag, [osc::message("/tick", [])]);
    let score = [tick(1 << 32), tick(3600 << 32)];
    let score = score.iter().flat_map(|tick| [&(tick.len() as i32).to_be_bytes(), &tick[..]].concat());
    lab.write("long.osc", score.collect::<Vec<u8>>());
    let mut play = lab.spawn(["play", "long.osc", &listener.address(), "--lead", "10s"]);
    assert!(listener.line().contains("/tick"));
    assert_eq!(play.interrupt().code(), Some(1));
    assert!(listener.line().contains("/cancel"));
}

#[test]
fn devices_are_listed_for_people_and_for_programs() {
    let lab = Lab::new();
    assert!(lab.ok(["devices"]).contains("virtual"));
    let hosts: Value = serde_json::from_str(&lab.ok(["devices", "--json"])).expect("it is JSON");
    let last = hosts.as_array().and_then(|hosts| hosts.last()).expect("there is a host");
    assert_eq!(last["host"], "virtual");
    assert_eq!(last["devices"][0]["default"], true);
}

fn tag(timetag: &Value) -> u64 {
    u64::from_str_radix(timetag.as_str().expect("it is text"), 16).expect("it is hexadecimal")
}

#[test]
fn the_settings_file_sets_flags_and_typed_flags_win() {
    let lab = Lab::new();
    lab.write("ours.toml", "[listen]\nport = 0\njson = true\nbind = \"127.0.0.1\"\n");
    let mut listener = lab.start(["listen", "--config", "ours.toml"]);
    lab.ok(["send", &listener.address(), "/a", "--config", "ours.toml"]);
    assert!(listener.line().starts_with('{'));

    lab.write("taken.toml", "[listen]\nport = 1\nbind = \"255.255.255.255\"\n");
    lab.start(["--config", "taken.toml", "listen", "--port", "0", "--bind", "127.0.0.1"]);
}

#[test]
fn settings_that_do_not_exist_are_wrong_usage() {
    let lab = Lab::new();
    for (file, says) in [
        ("[listen]\nprot = 0\n", "no setting \"prot\""),
        ("[listen]\njson = 3\n", "either true or false"),
        ("[listen]\nport = \"many\"\n", "many"),
        ("[dance]\nport = 0\n", "[dance]"),
        ("port = 0\n", "[port]"),
        ("[listen\n", "TOML"),
    ] {
        lab.write("wrong.toml", file);
        let output = lab.run(["listen", "--config", "wrong.toml"]);
        assert_eq!(output.code, Some(2), "{file}: {}", output.stderr);
        assert!(output.stderr.contains(says), "{file}: {}", output.stderr);
    }
    let output = lab.run(["listen", "--config", "missing.toml"]);
    assert_eq!(output.code, Some(2));
}
