//! Real peers drive a running node: what they send is what is heard, on the frames their timetags name.
//!
//! Every packet passes through a [`Tap`], so the timetags are those the peer really sent: Debian's pd-osc, for one, is
//! wrong by up to 1.5 s about the time, and its bundles still must sound exactly where they say.

use crate::lab::{Lab, Process, Tap, clicks, on_path, osc, read_wav, repository};
use std::process::Command;

/// A node whose clock runs as its device does, so that distances of timetags are distances of frames.
fn node(lab: &Lab) -> Process {
    lab.node(["--timescale", "free", "--onset", "frame", "--record", "out.wav"])
}

/// Ends the node, and holds the clicks it recorded against the timetags that passed through the tap.
fn check_clicks(lab: &Lab, mut node: Process, tap: Tap, count: usize) {
    osc::wait_until_played(&node.socket());
    assert!(node.interrupt().success());
    let mut due: Vec<u64> = tap.packets().iter().filter_map(|packet| osc::timetag(packet)).collect();
    due.sort_unstable();
    assert_eq!(due.len(), count);
    let (rate, channels) = read_wav(&lab.path("out.wav"));
    let heard = clicks(&channels[0]);
    assert_eq!(heard.len(), count, "{heard:?}");
    for (frame, tag) in heard.iter().zip(&due) {
        let distance = (tag - due[0]) as f64 * f64::from(rate) / 2f64.powi(32);
        let error = (frame - heard[0]) as f64 - distance;
        // Both ends are rounded to a frame.
        assert!(error.abs() < 1.0, "{error} frames off: {heard:?}");
    }
}

/// Runs a peer to its end.
fn run(mut command: Command) {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{name} ({error}): `make setup` installs it"));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

fn python_osc_is_played_on_the_frame(version: &str) {
    let lab = Lab::new();
    let node = node(&lab);
    let tap = Tap::start(&node);
    let python = repository(&format!(".venv/python-osc-{version}/bin/python"));
    assert!(python.exists(), "{} is missing: `make setup` installs it", python.display());
    let mut script = Command::new(python);
    script.arg(repository("samples/python/forward_sync.py")).arg(tap.address());
    script.args(["--click", "--bpm", "240", "--bars", "2", "--lead", "1"]);
    run(script);
    check_clicks(&lab, node, tap, 16);
}

#[test]
fn python_osc_1_9_is_played_on_the_frame() {
    python_osc_is_played_on_the_frame("1.9.3");
}

#[test]
fn python_osc_1_10_is_played_on_the_frame() {
    python_osc_is_played_on_the_frame("1.10.2");
}

/// Pd with the patch of the samples folder, told what to send. It runs until it is dropped.
fn pd(tap: &Tap, says: &[&str]) -> Process {
    let mut pd = Command::new("pd");
    pd.args(["-nogui", "-noaudio", "-open"]).arg(repository("samples/pd/metronome.pd"));
    let (host, port) = tap
        .address()
        .split_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .expect("it has a port");
    pd.args(["-send", &format!("downbeat-to {host} {port}")]);
    for word in says {
        pd.args(["-send", word]);
    }
    assert!(on_path("pd"), "pd is missing: `make setup` installs it, and its osc and net externals");
    Process::spawn(pd)
}

#[test]
fn pd_is_played_on_the_frame() {
    let lab = Lab::new();
    let node = node(&lab);
    let tap = Tap::start(&node);
    let mut says = Vec::new();
    let offsets =
        ["3000000", "3300000", "3700000", "4250000"].map(|us| format!("downbeat-osc timetagoffset {us}"));
    for offset in &offsets {
        says.extend([offset, "downbeat-osc [", "downbeat-osc /click 0.5", "downbeat-osc ]"]);
    }
    let _pd = pd(&tap, &says);
    tap.wait_for(4);
    check_clicks(&lab, node, tap, 4);
}

#[test]
fn pd_s_untimed_metronome_is_played_at_once() {
    let lab = Lab::new();
    let kit = repository("samples/audio");
    let mut node = lab.node(["--record", "out.wav", "--samples", kit.to_str().expect("the path is text")]);
    let tap = Tap::start(&node);
    let _pd = pd(&tap, &["downbeat-osc /click 0.5", "downbeat-run 1"]);
    tap.wait_for(3);
    let socket = node.socket();
    osc::wait_for_events(&socket, 3);
    assert_eq!(osc::status(&socket, "refused"), 0);
    assert_eq!(osc::status(&socket, "late"), 0);
    assert!(node.interrupt().success());
    let (_, channels) = read_wav(&lab.path("out.wav"));
    assert!(!clicks(&channels[0]).is_empty());
}

#[test]
fn liblo_is_played_at_once() {
    let lab = Lab::new();
    let node = node(&lab);
    for scheme in ["osc.udp", "osc.tcp"] {
        let mut oscsend = Command::new("oscsend");
        oscsend.args([&format!("{scheme}://127.0.0.1:{}/", node.port), "/click", "f", "0.5"]);
        run(oscsend);
    }
    let socket = node.socket();
    osc::wait_for_events(&socket, 2);
    let mut node = node;
    assert!(node.interrupt().success());
    let (_, channels) = read_wav(&lab.path("out.wav"));
    let heard = clicks(&channels[0]);
    assert!((1..=2).contains(&heard.len()), "two clicks, or both on one frame: {heard:?}");
}

/// sclang is large, so `make setup` leaves it to you; where it is, it is tried.
#[test]
fn sclang_is_played_in_time() {
    if !on_path("sclang") {
        eprintln!("not tried: there is no sclang here (Debian: supercollider-language)");
        return;
    }
    let lab = Lab::new();
    let kit = repository("samples/audio");
    let mut node = lab.node(["--samples", kit.to_str().expect("the path is text")]);
    let tap = Tap::start(&node);
    let mut sclang = Command::new("sclang");
    let (host, port) = tap
        .address()
        .split_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .expect("it has a port");
    sclang.arg(repository("samples/supercollider/two_bars.scd")).args([host.as_str(), &port, "2"]);
    // Its windows need no screen, and its browser no sandbox, where there is neither.
    sclang.env("QT_QPA_PLATFORM", "offscreen").env("QTWEBENGINE_DISABLE_SANDBOX", "1");
    let mut sclang = Process::spawn(sclang);
    tap.wait_for(16);
    sclang.wait();
    let socket = node.socket();
    osc::wait_until_played(&socket);
    assert_eq!(osc::status(&socket, "events"), 28);
    assert_eq!(osc::status(&socket, "late"), 0);
    let due: Vec<u64> = tap.packets().iter().filter_map(|packet| osc::timetag(packet)).collect();
    let quarter = 2f64.powi(30);
    for pair in due.windows(2) {
        let distance = (pair[1] - pair[0]) as f64 / quarter;
        assert!((distance - 1.0).abs() < 1e-3, "an eighth note is {distance} quarters of a second");
    }
    assert!(node.interrupt().success());
}
