//! The clients of the samples folder that keep the ensemble's time: a node whose clock is far off the host's, and fast, plays
//! their bundles in time.
//!
//! What a client plays passes through a [`Tap`] of its own; its questions go to the node, straight.

use crate::lab::{Lab, Process, Tap, clicks, on_path, osc, read_wav, repository};
use std::process::Command;
use std::time::Instant;

/// How far the node's clocks are ahead of the host's (s), and how fast its oscillator is (ppm).
const AHEAD: i64 = 1_234;
const PPM: f64 = 80.0;
/// How far ahead of their stamps the clients send (s).
const LEAD: f64 = 0.5;
/// How late a client may be in sending, on a host that is busy with other tests (s).
const LATE: f64 = 0.2;

/// A node whose time nobody else on this host has.
fn node(lab: &Lab) -> Process {
    let sim = format!("ppm={PPM:+},offset={AHEAD}s");
    lab.node(["--timescale", "free", "--onset", "frame", "--record", "out.wav", "--sim-clock", &sim])
}

/// How far ahead of the host's clock the bundles were stamped when they passed (s), less the node's own being ahead.
fn leads(tap: &Tap) -> Vec<f64> {
    let passed = tap.stamped().into_iter();
    passed.map(|(tag, at)| (tag.wrapping_sub(at) as i64) as f64 / 2f64.powi(32) - AHEAD as f64).collect()
}

/// Whether every stamp was [`LEAD`] ahead when it passed: at most `early` more, at most [`LATE`] less, besides what the node's
/// oscillator has gained.
fn check_leads(leads: &[f64], early: f64, since: Instant) {
    let gained = since.elapsed().as_secs_f64() * PPM * 1e-6;
    let right = LEAD - LATE..LEAD + early + gained;
    assert!(leads.iter().all(|lead| right.contains(lead)), "not in {right:?}: {leads:?}");
    // One at least was sent as soon as it should be, and shows that the stamps are not too early.
    assert!(leads.iter().any(|lead| *lead > LEAD - early - 0.005), "all too early: {leads:?}");
}

/// Ends the node, and holds the clicks it recorded against the stamps.
fn check_clicks(lab: &Lab, mut node: Process, tap: &Tap) {
    let socket = node.socket();
    osc::wait_until_played(&socket);
    for count in ["late", "refused", "dropped"] {
        assert_eq!(osc::status(&socket, count), 0, "{count}");
    }
    assert!(node.interrupt().success());
    let mut due: Vec<u64> = tap.stamped().into_iter().map(|(tag, _)| tag).collect();
    due.sort_unstable();
    let (rate, channels) = read_wav(&lab.path("out.wav"));
    let heard = clicks(&channels[0]);
    assert_eq!(heard.len(), due.len(), "{heard:?}");
    for (frame, tag) in heard.iter().zip(&due) {
        // The virtual card runs as the node's clock does.
        let secs = (tag - due[0]) as f64 / 2f64.powi(32);
        let error = (frame - heard[0]) as f64 - secs * f64::from(rate);
        assert!(error.abs() < 1.0, "{error} frames off: {heard:?}");
    }
}

#[test]
fn what_is_stamped_by_the_host_s_clock_is_late_on_such_a_node() {
    let lab = Lab::new();
    let node = node(&lab);
    let socket = node.socket();
    let click = osc::message("/click", [rosc::OscType::Float(0.5)]);
    let due = osc::wall_clock() + osc::millis(500);
    socket.send(&osc::bundle(due, [click])).expect("it can be sent");
    osc::wait_until_played(&socket);
    assert_eq!(osc::status(&socket, "late"), 1);
}

fn python(version: &str) -> Command {
    let python = repository(&format!(".venv/python-osc-{version}/bin/python"));
    assert!(python.exists(), "{} is missing: `make setup` installs it", python.display());
    let mut command = Command::new(python);
    command.arg("-B");
    command
}

fn python_keeps_the_ensemble_s_time(version: &str) {
    let lab = Lab::new();
    let (node, since) = (node(&lab), Instant::now());
    let tap = Tap::start(&node);
    let mut script = python(version);
    script.arg(repository("samples/python/ensemble_clock.py")).arg(node.address());
    script.args(["--beat", "240", "--sound", "click", "--lead", "0.5", "--seconds", "8"]);
    script.args(["--on", &tap.address()]);
    let output = Process::spawn(script).output();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let last = output.stdout.lines().last().expect("it says how it goes");
    let value = |name: &str| -> f64 {
        let after = last.split_once(name).expect(name).1;
        after.split_whitespace().next().and_then(|n| n.parse().ok()).expect("it is a number")
    };
    assert!(last.starts_with("steady"), "{last}");
    assert!((value("offset") - AHEAD as f64).abs() < 0.005, "{last}");
    assert!((value("drift") - PPM).abs() < 0.75 * PPM, "{last}");
    assert!(value("error") < 1_000.0 && value("bound") < 5_000.0, "{last}");
    assert_eq!(value("jumps"), 0.0, "{last}");
    assert!(tap.stamped().len() >= 24);
    check_leads(&leads(&tap), 0.002, since);
    check_clicks(&lab, node, &tap);
}

#[test]
fn python_osc_1_9_keeps_the_ensemble_s_time() {
    python_keeps_the_ensemble_s_time("1.9.3");
}

#[test]
fn python_osc_1_10_keeps_the_ensemble_s_time() {
    python_keeps_the_ensemble_s_time("1.10.2");
}

#[test]
fn python_s_beat_goes_on_when_the_ensemble_s_clock_is_set() {
    for step in ["step=-3600s,after=6s", "step=+3s,after=6s"] {
        let lab = Lab::new();
        let mut node = lab.node(["--onset", "frame", "--record", "out.wav", "--sim-clock", step]);
        let mut script = python("1.10.2");
        script.arg(repository("samples/python/ensemble_clock.py")).arg(node.address());
        script.args(["--beat", "240", "--sound", "click", "--lead", "0.5", "--seconds", "12"]);
        let output = Process::spawn(script).output();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let last = output.stdout.lines().last().expect("it says how it goes");
        assert!(last.ends_with("jumps 1"), "{step}: {last}");
        let socket = node.socket();
        osc::wait_until_played(&socket);
        for count in ["late", "refused", "dropped"] {
            assert_eq!(osc::status(&socket, count), 0, "{step}: {count}");
        }
        assert!(node.interrupt().success());
        let (rate, channels) = read_wav(&lab.path("out.wav"));
        let heard = clicks(&channels[0]);
        // Until it ends, half a second or so before the last would be due.
        assert!(heard.len() >= 40, "{step}: {heard:?}");
        for pair in heard.windows(2) {
            let apart = (pair[1] - pair[0]) as f64 / f64::from(rate);
            // It knows how far the clock was set as well as the first answer after that says.
            assert!((apart - 0.25).abs() < 0.02, "{step}: {apart} s apart: {heard:?}");
        }
    }
}

/// The estimator alone, in a time of its own, against packets that are held up by chance.
#[test]
fn python_s_estimate_is_as_good_as_it_says() {
    let mut script = python("1.10.2");
    script.env("PYTHONPATH", repository("samples/python")).arg(repository("tests/lab/estimator.py"));
    let output = Process::spawn(script).output();
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
}

#[test]
fn python_says_that_no_node_answers() {
    let mut script = python("1.10.2");
    script.arg(repository("samples/python/ensemble_clock.py")).arg("127.0.0.1:1");
    let output = Process::spawn(script).output();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("no answer from 127.0.0.1:1"), "{}", output.stderr);
}

#[test]
fn pd_keeps_the_ensemble_s_time() {
    assert!(on_path("pd"), "pd is missing: `make setup` installs it");
    let lab = Lab::new();
    let (node, since) = (node(&lab), Instant::now());
    let tap = Tap::start(&node);
    let target = |address: &str| address.replace(':', " ");
    let mut pd = Command::new("pd");
    pd.args(["-nogui", "-noaudio", "-open"]).arg(repository("samples/pd/ensemble_clock-help.pd"));
    for says in [
        format!("downbeat-ask {}", target(&node.address())),
        format!("downbeat-to {}", target(&tap.address())),
        "downbeat-sound click".to_owned(),
        "downbeat-beat 200".to_owned(),
        "downbeat-run 1".to_owned(),
    ] {
        pd.args(["-send", &says]);
    }
    let pd = Process::spawn(pd);
    tap.wait_for(30);
    drop(pd);
    // At first it knows no better than that a packet came from the node once.
    check_leads(&leads(&tap)[10..], 0.005, since);
    let due: Vec<u64> = tap.stamped().into_iter().map(|(tag, _)| tag).collect();
    let beats = due.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 2f64.powi(32));
    // The first corrections are the large ones.
    let steady: Vec<f64> = beats.skip(10).collect();
    assert!(steady.iter().all(|beat| (beat - 0.2).abs() < 0.004), "{steady:?}");
    let exact = steady.iter().filter(|beat| (**beat - 0.2).abs() < 0.000_1).count();
    assert!(exact + 4 >= steady.len(), "{steady:?}");
    check_clicks(&lab, node, &tap);
}

/// What Debian's packOSC stamps a second wrong is stamped right on its way through.
#[test]
fn pd_stamps_what_pack_osc_has_packed() {
    let lab = Lab::new();
    let (node, since) = (node(&lab), Instant::now());
    let tap = Tap::start(&node);
    let target = |address: &str| address.replace(':', " ");
    lab.write("through.pd", include_str!("lab/through.pd"));
    let mut pd = Command::new("pd");
    pd.args(["-nogui", "-noaudio", "-path"]).arg(repository("samples/pd"));
    pd.arg("-open").arg(lab.path("through.pd"));
    for says in
        [format!("test-ask {}", target(&node.address())), format!("test-to {}", target(&tap.address()))]
    {
        pd.args(["-send", &says]);
    }
    let pd = Process::spawn(pd);
    tap.wait_for(20);
    drop(pd);
    check_leads(&leads(&tap)[10..], 0.005, since);
    let packets = tap.packets();
    let two = |packet: &Vec<u8>| packet.windows(6).filter(|bytes| bytes == b"/click").count() == 2;
    assert!(packets.iter().all(two), "two messages to a bundle");
    check_clicks(&lab, node, &tap);
}

/// sclang is large, so `make setup` leaves it to you; where it is, it is tried.
#[test]
fn sclang_keeps_the_ensemble_s_time() {
    if !on_path("sclang") {
        eprintln!("NOT TRIED: there is no sclang here (Debian: supercollider-language)");
        return;
    }
    let lab = Lab::new();
    let (node, since) = (node(&lab), Instant::now());
    let tap = Tap::start(&node);
    let port = |address: &str| address.rsplit_once(':').expect("it has a port").1.to_owned();
    let folder = repository("samples/supercollider");
    let settings = format!("includePaths: [{}]\nexcludePaths: []\n", folder.display());
    let mut sclang = Command::new("sclang");
    sclang.arg("-l").arg(lab.write("sclang.yaml", settings)).arg(folder.join("ensemble_beat.scd"));
    sclang.args(["127.0.0.1", &port(&node.address()), &port(&tap.address()), "click", "24"]);
    // Its windows need no screen, and its browser no sandbox, where there is neither.
    sclang.env("QT_QPA_PLATFORM", "offscreen").env("QTWEBENGINE_DISABLE_SANDBOX", "1");
    let output = Process::spawn(sclang).output();
    let said = output.stdout.lines().find(|line| line.starts_with("ensemble: steady"));
    let said = said.unwrap_or_else(|| panic!("{}{}", output.stdout, output.stderr));
    assert_eq!(tap.stamped().len(), 24, "{said}");
    check_leads(&leads(&tap), 0.002, since);
    check_clicks(&lab, node, &tap);
}
