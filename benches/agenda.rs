//! The time of a device's callback under a full agenda: 16,384 events waiting, 10,000 falling due every second.
//!
//! Every callback takes in as many events as the one before played, each up to 3.3 s ahead and so anywhere in the heap.
//! The blocks are paced and the thread has real-time priority where that is allowed, as in a node. Played are clicks, which cost next to nothing themselves, and
//! then 5 ms of a clip each, started between two frames: some fifty voices sounding, the block split 10,000 times a
//! second. Not for: voices that play in peace, which is `voices`.

mod report;

use downbeat_engine::device::priority::{AUDIO_PRIORITY, Grant, raise_this_thread};
use downbeat_engine::{
    Action, Clip, ClipId, Control, Event, Offline, Origin, Play, Settings, Streams, Supply, VoiceShape, When,
};
use downbeat_sync::{EnsembleTime, Span};
use report::random::Random;
use report::{Table, cpu, digits, quantile, unless_quick};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const RATE: u32 = 48_000;
const PENDING: usize = 16_384;
const PER_SECOND: usize = 10_000;
/// The blocks before the waiting events are as mixed as they stay (s).
const SETTLING: usize = 8;
/// Callbacks may take this part of their period, 999 times of a thousand.
const GOAL: f64 = 0.25;

fn main() {
    let seconds = unless_quick(20, 1);
    report::title(&format!(
        "agenda: {PENDING} waiting, {PER_SECOND} a second, {seconds} s of sound at {RATE} Hz"
    ));
    let headings = [
        "events",
        "block",
        "period us",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "CPU p99.9",
        "of period",
        "played",
        "lost",
    ];
    let mut table = Table::new(&headings);
    if raise_this_thread(AUDIO_PRIORITY) != Grant::Granted {
        println!("without real-time priority: other work counts too");
    }
    for (name, action) in [("/click", click as fn(&mut Random) -> Action), ("/play of 5 ms", grain)] {
        for block in [64, 256] {
            let run = run(block, seconds, action);
            let period = 1e6 * block as f64 / f64::from(RATE);
            let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|part| quantile(&run.micros, part));
            let cpu = quantile(&run.cpu_micros, 0.999);
            let part = p999 / period;
            let verdict = format!("{:.0} % {}", 100.0 * part, report::verdict(part < GOAL));
            let cells = [period, p50, p99, p999, max, cpu].map(digits);
            let [period, p50, p99, p999, max, cpu] = &cells;
            table.row(&[&name, &block, period, p50, p99, p999, max, cpu, &verdict, &run.played, &run.lost]);
        }
    }
    table.print();
    println!("goal: p99.9 under {} % of the period, nothing lost", 100.0 * GOAL);
}

/// What the callbacks of one run took, and what became of the events.
struct Run {
    micros: Vec<f64>,
    cpu_micros: Vec<f64>,
    played: u64,
    lost: u64,
}

fn run(block: usize, seconds: usize, action: fn(&mut Random) -> Action) -> Run {
    let settings = Settings { rate: RATE, agenda: PENDING, ..Settings::default() };
    let (mut control, mut offline) = Offline::new(settings, Streams::none());
    supply_clip(&mut control);
    let counters = Arc::clone(control.counters());
    let mut random = Random(3);
    let mut out = vec![0.0f32; 2 * block];
    let mut run = Run { micros: Vec::new(), cpu_micros: Vec::new(), played: 0, lost: 0 };
    let period = Duration::from_secs_f64(block as f64 / f64::from(RATE));
    let settling = unless_quick(SETTLING, 1) * RATE as usize / block;
    let blocks = settling + seconds * RATE as usize / block;
    let mut sent = 0;
    let mut paced = Instant::now();
    for index in 0..blocks {
        let pending = u64::from(counters.pending.load(Relaxed));
        run.played = counters.events.load(Relaxed) - pending;
        // The first ones come through the ring by and by, and must not be late for that.
        let earliest = if index == 0 { RATE as usize / 5 } else { (index + 1) * block };
        while sent - run.played < PENDING as u64 {
            let when = When::at(ahead(&mut random, earliest));
            let event = Event { when, from: Origin(0), late: None, action: action(&mut random) };
            control.send(event).expect("the ring is as long as the agenda");
            sent += 1;
        }
        // With real-time priority a loop that never sleeps would starve the machine.
        paced = if index < settling { Instant::now() } else { paced + period };
        std::thread::sleep(paced.saturating_duration_since(Instant::now()));
        let (start, start_cpu) = (Instant::now(), cpu::this_thread());
        offline.render(&mut out);
        let (took_cpu, took) = (cpu::this_thread() - start_cpu, start.elapsed());
        std::hint::black_box(&mut out);
        if index >= settling {
            run.micros.push(1e6 * took.as_secs_f64());
            run.cpu_micros.push(1e6 * took_cpu.as_secs_f64());
        }
    }
    let lost = [&counters.refused, &counters.dropped, &counters.late, &counters.stolen];
    run.lost = lost.map(|counter| counter.load(Relaxed)).iter().sum();
    run
}

/// An instant after this frame, uniform over twice the time in which as many events fall due as are waiting.
fn ahead(random: &mut Random, frame: usize) -> EnsembleTime {
    let now = Span::from_ratio(frame as i128, i128::from(RATE));
    EnsembleTime::from_bits(0)
        + now
        + Span::from_secs_f64(random.unit() * 2.0 * PENDING as f64 / PER_SECOND as f64)
}

fn click(random: &mut Random) -> Action {
    Action::Click { gain: (0.01 * random.unit()) as f32 }
}

fn grain(random: &mut Random) -> Action {
    let shape = VoiceShape { pan: (2.0 * random.unit() - 1.0) as f32, gain: 0.01, ..VoiceShape::default() };
    Action::Play(Play { clip: ClipId(0), rate: 1.0, start: 0.0, looped: false, shape })
}

/// 5 ms of noise.
fn supply_clip(control: &mut Control) {
    let mut random = Random(4);
    let samples: Vec<f32> = (0..RATE / 200).map(|_| (random.unit() - 0.5) as f32).collect();
    let clip = Arc::new(Clip::from_channels(RATE, &[&samples]));
    assert!(control.supply(Supply::Clip(ClipId(0), clip)).is_ok(), "an empty ring takes a clip");
}
