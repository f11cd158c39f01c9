//! How many voices of `/play` a core carries: ours with either interpolator beside scsynth, offline.
//!
//! The same score for all: 500 voices of ten seconds that start anywhere in the first one, between frames, each at a
//! place of its own between two speakers; the clip is mono, of the output's rate and of another. Processor time of the
//! whole, less that of the same length without voices. scsynth reads cubically (PlayBuf) and starts on whole samples
//! (OffsetOut); its SynthDef is `peers/play.scd`. Not for: one block's time, which is `agenda`.

mod report;

use downbeat_engine::{
    Action, Clip, ClipId, Event, Interp, Offline, Origin, Play, Settings, Streams, Supply, VoiceShape, When,
};
use downbeat_net::osc::{self, Arg, BundleWriter};
use downbeat_sync::{EnsembleTime, Span};
use report::{Table, cpu, digits, in_turn, median, peer, unless_quick};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

const RATE: u32 = 48_000;
const BLOCK: usize = 64;
const CLIP_RATES: [u32; 2] = [48_000, 44_100];
/// scsynth's control block is 64 samples, ours is the device's: both are given the same.
const SECONDS: usize = 11;
const CLIP_SECONDS: usize = 10;

/// One start of the clip.
struct Start {
    at: Span,
    pan: f32,
}

fn main() {
    let voices = unless_quick(500, 20);
    let rounds = unless_quick(9, 1);
    report::title(&format!(
        "voices: {voices} of {CLIP_SECONDS} s, {RATE} Hz stereo, blocks of {BLOCK}, {rounds} rounds"
    ));
    let score = score(voices);
    let scsynth = peer::program("scsynth", "supercollider-server");
    let mut table = Table::new(&["clip", "player", "voices per core", "to scsynth", "goal"]);
    for clip_rate in CLIP_RATES {
        let peer = scsynth.as_deref().map(|program| Scsynth::new(program, clip_rate, &score));
        let cubic = |score: &[Start]| ours(Interp::Cubic, clip_rate, score);
        let sinc = |score: &[Start]| ours(Interp::Sinc, clip_rate, score);
        let samples = in_turn(rounds, 3, |contestant| {
            let secs = match contestant {
                0 => cubic(&score) - cubic(&[]),
                1 => sinc(&score) - sinc(&[]),
                _ => peer.as_ref().map_or(f64::NAN, |peer| peer.run(&peer.score) - peer.run(&peer.silence)),
            };
            (voices * CLIP_SECONDS) as f64 / secs
        });
        let [cubic, sinc, theirs] = [0, 1, 2].map(|contestant| median(&samples[contestant]));
        for (name, ours, goal) in [("downbeat cubic", cubic, 2.0), ("downbeat sinc", sinc, 1.0)] {
            let ratio = ours / theirs;
            let verdict = if ratio.is_nan() { "" } else { report::verdict(ratio >= goal) };
            let goal = format!("{goal} {verdict}");
            table.row(&[&clip_rate, &name, &digits(ours), &digits(ratio), &goal]);
        }
        table.row(&[&clip_rate, &"scsynth PlayBuf", &digits(theirs), &"1", &""]);
    }
    table.print();
}

fn score(voices: usize) -> Vec<Start> {
    let mut random = report::random::Random(1);
    let start = |_| Start { at: Span::from_secs_f64(random.unit()), pan: (2.0 * random.unit() - 1.0) as f32 };
    (0..voices).map(start).collect()
}

/// Noise, so that nothing is denormal or zero.
fn clip(rate: u32) -> Vec<f32> {
    let mut random = report::random::Random(2);
    (0..rate as usize * CLIP_SECONDS).map(|_| (random.unit() - 0.5) as f32 * 0.01).collect()
}

/// Renders the score; processor time (s).
fn ours(interp: Interp, clip_rate: u32, score: &[Start]) -> f64 {
    let settings = Settings { rate: RATE, voices: score.len().max(1), interp, ..Settings::default() };
    let (mut control, mut offline) = Offline::new(settings, Streams::none());
    let id = ClipId(0);
    let clip = Arc::new(Clip::from_channels(clip_rate, &[&clip(clip_rate)]));
    assert!(control.supply(Supply::Clip(id, clip)).is_ok(), "an empty ring takes a clip");
    for start in score {
        let shape = VoiceShape { pan: start.pan, ..VoiceShape::default() };
        let play = Play { clip: id, rate: 1.0, start: 0.0, looped: false, shape };
        let when = When::at(EnsembleTime::from_bits(0) + start.at);
        let event = Event { when, from: Origin(0), late: None, action: Action::Play(play) };
        control.send(event).expect("the ring has room for the score");
    }
    let mut out = [0.0f32; BLOCK * 2];
    let before = cpu::this_thread();
    for _ in 0..SECONDS * RATE as usize / BLOCK {
        offline.render(&mut out);
        std::hint::black_box(&mut out);
    }
    (cpu::this_thread() - before).as_secs_f64()
}

/// scsynth with its scores on disk.
struct Scsynth {
    program: PathBuf,
    score: PathBuf,
    silence: PathBuf,
}

impl Scsynth {
    fn new(program: &Path, clip_rate: u32, score: &[Start]) -> Scsynth {
        let wav = peer::scratch(&format!("voices-{clip_rate}.wav"));
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: clip_rate,
            bits_per_sample: 32,
            sample_format: hound::SampleFormat::Float,
        };
        let mut writer = hound::WavWriter::create(&wav, spec).expect("the target folder is writable");
        clip(clip_rate).iter().for_each(|&sample| writer.write_sample(sample).expect("the disk has room"));
        writer.finalize().expect("the disk has room");
        let file = |name: &str, score: &[Start]| {
            let path = peer::scratch(&format!("voices-{name}-{clip_rate}.osc"));
            std::fs::write(&path, nrt_score(&wav, clip_rate, score)).expect("the target folder is writable");
            path
        };
        Scsynth { program: program.into(), score: file("score", score), silence: file("silence", &[]) }
    }

    /// Renders a score; processor time of the process (s).
    fn run(&self, score: &Path) -> f64 {
        let before = cpu::ended_children();
        let mut scsynth = Command::new(&self.program);
        scsynth.arg("-N").arg(score).arg("_").arg(peer::scratch("voices-scsynth.wav"));
        scsynth.args(["48000", "WAV", "float", "-i", "0", "-o", "2"]);
        let status = scsynth.stdout(Stdio::null()).status().expect("scsynth was found");
        assert!(status.success(), "scsynth ends with {status}");
        (cpu::ended_children() - before).as_secs_f64()
    }
}

/// A score in SuperCollider's form: each bundle after its length.
fn nrt_score(wav: &Path, clip_rate: u32, score: &[Start]) -> Vec<u8> {
    let synthdef = std::fs::read(peer::folder().join("play.scsyndef")).expect("it stands beside its source");
    let wav = wav.to_string_lossy();
    let mut out = Vec::new();
    let mut add = |at: Span, address: &str, args: &[Arg<'_>]| {
        let mut message = Vec::new();
        osc::write(&mut message, address, args.iter().copied()).expect("the message is legal");
        let mut bundle = Vec::new();
        BundleWriter::new(&mut bundle, at.ticks() as u64).packet(&message).expect("the bundle is legal");
        out.extend((bundle.len() as u32).to_be_bytes());
        out.extend(bundle);
    };
    add(Span::ZERO, "/d_recv", &[Arg::Blob(&synthdef)]);
    add(Span::ZERO, "/b_allocRead", &[Arg::Int(0), Arg::from(&*wav)]);
    let mut starts: Vec<_> = score.iter().collect();
    starts.sort_by_key(|start| start.at);
    let speed = clip_rate as f32 / RATE as f32;
    for start in starts {
        let controls = [Arg::from("rate"), Arg::Float(speed), Arg::from("pan"), Arg::Float(start.pan)];
        let head = [Arg::from("play"), Arg::Int(-1), Arg::Int(0), Arg::Int(0)];
        add(start.at, "/s_new", &[head, controls].concat());
    }
    add(Span::from_secs(SECONDS as i64), "/c_set", &[Arg::Int(0), Arg::Float(0.0)]);
    out
}
