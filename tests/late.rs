//! Real senders that stamp "now", so that all they send comes too late: each event sounds as long after it was sent as an
//! untimed message does, and the rhythm is the sender's.
//!
//! The node's blocks are of 21 ms: what waited for the next one would be off by milliseconds. Not for: what is stamped
//! ahead (`interop`), nor wrong clocks (`senders`).

use crate::lab::{Lab, Process, Tap, clicks, on_path, osc, read_wav, repository};
use std::process::Command;

/// Half of the intervals are off by less, and by less than twice what the untimed ones are (ms). A frame is 0.02; the tap and
/// the sender are interrupted now and then.
const STEADY: f64 = 0.3;

fn node(lab: &Lab, flags: &[&str]) -> Process {
    let ours = ["--timescale", "free", "--buffer", "1024", "--onset", "frame", "--record", "out.wav"];
    lab.node(ours.into_iter().chain(flags.iter().copied()))
}

/// Ends the node; how long after it passed the tap each click was heard (ms, but for a constant), and whether it was stamped.
fn delays(lab: &Lab, mut node: Process, tap: &Tap, count: usize) -> Vec<(bool, f64)> {
    tap.wait_for(count);
    let socket = node.socket();
    osc::wait_for_events(&socket, count as i32);
    let stamped = tap.passed().iter().filter(|(_, packet)| osc::timetag(packet).is_some()).count();
    assert_eq!(osc::status(&socket, "late"), stamped as i32);
    assert!(node.interrupt().success());
    let (rate, channels) = read_wav(&lab.path("out.wav"));
    let heard = clicks(&channels[0]);
    let passed = tap.passed();
    assert_eq!((heard.len(), passed.len()), (count, count), "{heard:?}");
    let since = |at: u64| (at - passed[0].0) as f64 / 2f64.powi(32);
    let delay = |(frame, (at, _)): (&i64, &(u64, Vec<u8>))| {
        1e3 * ((frame - heard[0]) as f64 / f64::from(rate) - since(*at))
    };
    let kind = passed.iter().map(|(_, packet)| osc::timetag(packet).is_some());
    kind.zip(heard.iter().zip(&passed).map(delay)).collect()
}

/// How far apart the delays are of what was stamped, or of what was not: the median distance from their median (ms).
fn spread(delays: &[(bool, f64)], stamped: bool) -> f64 {
    let median = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let ours: Vec<f64> =
        delays.iter().filter(|(kind, _)| *kind == stamped).map(|(_, delay)| *delay).collect();
    let middle = median(ours.clone());
    median(ours.into_iter().map(|delay| (delay - middle).abs()).collect())
}

/// What is stamped with `time.time()`, and untimed messages in turn with it.
const PYTHON: &str = "
import sys, time
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import UDPClient
client = UDPClient('127.0.0.1', int(sys.argv[1]))
for number in range(40):
    time.sleep(0.061)
    click = OscMessageBuilder('/click')
    click.add_arg(0.5)
    if number % 2:
        client.send(click.build())
    else:
        bundle = OscBundleBuilder(time.time())
        bundle.add_content(click.build())
        client.send(bundle.build())
";

fn port(tap: &Tap) -> String {
    let address = tap.address();
    address.split(':').next_back().map(str::to_owned).expect("it has a port")
}

#[test]
fn python_osc_that_stamps_now_keeps_its_rhythm() {
    let lab = Lab::new();
    let node = node(&lab, &[]);
    let tap = Tap::start(&node);
    let python = repository(".venv/python-osc-1.10.2/bin/python");
    assert!(python.exists(), "{} is missing: `make setup` installs it", python.display());
    let mut script = Command::new(python);
    script.args(["-c", PYTHON, &port(&tap)]);
    let _script = Process::spawn(script);
    let delays = delays(&lab, node, &tap, 40);
    let [now, untimed] = [true, false].map(|stamped| spread(&delays, stamped));
    assert!(now < STEADY.max(2.0 * untimed), "{now} ms, untimed {untimed}: {delays:?}");
}

#[test]
fn liblo_that_stamps_now_keeps_its_rhythm() {
    assert!(on_path("oscsendfile"), "oscsendfile is missing: `make setup` installs liblo-tools");
    let lab = Lab::new();
    let node = node(&lab, &[]);
    let tap = Tap::start(&node);
    // Distances of 50 to 80 ms, as oscdump writes them.
    let times = (0..30u64).map(|number| number * 65 + number * 7 % 15);
    let score: String = times
        .map(osc::millis)
        .map(|tag| format!("{:08x}.{:08x} /click f 0.5\n", 0xe2d5_a4c0 + (tag >> 32), tag & 0xffff_ffff))
        .collect();
    let file = lab.write("score.txt", score);
    let mut oscsendfile = Command::new("oscsendfile");
    oscsendfile.arg(format!("osc.udp://{}/", tap.address())).arg(file);
    let _oscsendfile = Process::spawn(oscsendfile);
    let delays = delays(&lab, node, &tap, 30);
    let now = spread(&delays, true);
    assert!(now < STEADY, "{now} ms: {delays:?}");
}

#[test]
fn pd_that_stamps_now_keeps_its_rhythm_where_it_knows_the_time() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("samples")).expect("the folder takes another");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut tick = hound::WavWriter::create(lab.path("samples/tick.wav"), spec).expect("the folder takes it");
    tick.write_sample(0.5f32).expect("it takes a frame");
    tick.finalize().expect("it takes a header");
    let node = node(&lab, &["--samples", "samples", "--rate", "48000"]);
    let tap = Tap::start(&node);
    assert!(on_path("pd"), "pd is missing: `make setup` installs it, and its osc and net externals");
    let mut pd = Command::new("pd");
    pd.args(["-nogui", "-noaudio", "-open"]).arg(repository("samples/pd/metronome.pd"));
    pd.args(["-send", &format!("downbeat-to 127.0.0.1 {}", port(&tap))]);
    pd.args(["-send", "downbeat-osc timetagoffset 0", "-send", "downbeat-run 1"]);
    let pd = Process::spawn(pd);
    tap.wait_for(7);
    drop(pd);
    let off = |(stamp, passed): &(u64, u64)| (*stamp as i64 - *passed as i64) as f64 / 2f64.powi(32);
    let stamps = tap.stamped();
    if stamps.is_empty() || stamps.iter().map(off).any(|off| off.abs() > 0.01) {
        eprintln!("not tried: this Pd does not know the time (Debian's pd-osc): {stamps:?}");
        return;
    }
    let count = tap.passed().len();
    let delays = delays(&lab, node, &tap, count);
    // Pd's own clock waits for 64 frames at a time.
    let now = spread(&delays, true);
    assert!(now < 2.0, "{now} ms: {delays:?}");
}
