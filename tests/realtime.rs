//! The audio callback neither allocates, frees, locks nor makes system calls, whatever it is asked to do.
//!
//! A binary of its own, because it replaces the global allocator. Built with the feature `rtsan` (`make rtsan`) the same
//! work also runs under RealtimeSanitizer, which aborts on locks and system calls.

#[path = "realtime/devices.rs"]
mod devices;
#[path = "realtime/guard.rs"]
mod guard;
#[path = "realtime/streams.rs"]
mod streams;

use downbeat_engine::{
    Action, Clip, ClipId, Control, Event, InstrumentEvent, LatePolicy, MAX_ARGS, Offline, Origin, Param,
    Play, Progress, Run, Settings, Source, Start, Streams, Supply, Target, Tone, VoiceId, VoiceShape, Wave,
    When,
};
use downbeat_sync::{ClockEstimate, EnsembleTime, LocalTime, Span};
use std::sync::Arc;

#[global_allocator]
static GUARD: guard::Guard = guard::Guard;

const RATE: u32 = 48_000;
const BLOCK: usize = 256;

/// The callback as a device sees it. With the sanitizer on, everything below it is checked.
#[cfg_attr(feature = "rtsan", rtsan_standalone::nonblocking)]
fn callback(offline: &mut Offline, out: &mut [f32]) {
    offline.render(out);
}

/// An instrument of a program's own.
struct Ping(f32);

impl Source for Ping {
    fn channels(&self) -> usize {
        1
    }

    fn fill(&mut self, run: &mut Run<'_>) -> Progress {
        for sample in run[0].iter_mut() {
            *sample = self.0;
            self.0 *= 0.99;
        }
        if self.0 < 1e-3 { Progress::Done(run[0].len()) } else { Progress::Playing }
    }
}

impl downbeat_engine::Instrument for Ping {
    fn start(&mut self, _start: Start, args: &[f32]) {
        self.0 = args[0];
    }
}

fn shape(n: u64) -> VoiceShape {
    VoiceShape { id: Some(VoiceId::new(n as u32 % 50)), pan: (n % 3) as f32 - 1.0, ..VoiceShape::default() }
}

/// Every kind of action in turn, with values that vary.
fn action(n: u64) -> Action {
    let id = VoiceId::new((n % 50) as u32);
    let clip = ClipId((n % 3) as u16);
    match n % 16 {
        0..=3 => Action::Play(Play {
            clip,
            rate: [1.0, 0.5, 1.37, 3.0][(n / 16 % 4) as usize],
            start: (n % 5) as f64 * 0.01,
            looped: n.is_multiple_of(7),
            shape: shape(n),
        }),
        4..=7 => {
            let wave = [Wave::Sine, Wave::Saw, Wave::Square, Wave::Noise][(n % 4) as usize];
            Action::Tone(Tone { freq: 50.0 + n as f32, wave, shape: VoiceShape { dur: 0.02, ..shape(n) } })
        }
        8 => Action::Instrument(InstrumentEvent { bank: 0, args: [0.5; MAX_ARGS], shape: shape(n) }),
        9 => Action::Set { id, param: Param::Gain, value: 0.3, seconds: 0.01 },
        10 => Action::Set { id, param: Param::Rate, value: 1.1, seconds: 0.5 },
        11 => Action::Stop(Target::Voice(id)),
        12 => Action::Click { gain: 0.5 },
        13 => Action::MasterGain { value: 0.9, seconds: 0.01 },
        14 if n.is_multiple_of(400) => Action::Panic,
        14 => Action::Cancel(Some(id)),
        _ => Action::Stop(Target::Clip(clip)),
    }
}

fn supplies(control: &mut Control) {
    let wave: Vec<f32> = (0..20_000).map(|n| (n as f32 * 0.05).sin()).collect();
    for (n, rate) in [(0, 48_000), (1, 44_100), (2, 96_000)] {
        let clip = Arc::new(Clip::from_channels(rate, &[wave.as_slice(), &wave][..1 + n % 2]));
        assert!(control.supply(Supply::Clip(ClipId(n as u16), clip)).is_ok());
    }
    let bank = (0..8).map(|_| Box::new(Ping(0.0)) as Box<dyn downbeat_engine::Instrument>).collect();
    assert!(control.supply(Supply::Bank(0, bank)).is_ok());
}

/// Sends what the network thread would send before one block: timed, immediate, late and too much.
fn send(control: &mut Control, block: u64, sent: &mut u64) {
    let now =
        EnsembleTime::from_bits(0) + Span::from_ratio(i128::from(block) * BLOCK as i128, i128::from(RATE));
    for _ in 0..40 {
        *sent += 1;
        let when = match *sent % 5 {
            0 => When::arrived(LocalTime::from_ticks(now.bits())),
            1 if block > 100 => When::stamped(now - Span::from_millis(30), LocalTime::from_ticks(now.bits())),
            step => {
                When::stamped(now + Span::from_millis(step as i64 * 7), LocalTime::from_ticks(now.bits()))
            }
        };
        let late = [None, Some(LatePolicy::Drop), Some(LatePolicy::Trim)][(*sent % 3) as usize];
        let _ = control.send(Event { when, from: Origin(1), late, action: action(*sent) });
    }
    if block.is_multiple_of(50) {
        // To and fro, so that voices have to leap and to wait.
        let moved = Span::from_millis(10 * (block as i64 / 50 % 2));
        let ensemble = EnsembleTime::from_bits(block) + moved;
        control.publish(ClockEstimate::new(LocalTime::from_ticks(0), ensemble));
    }
}

#[test]
fn the_callback_never_touches_the_heap() {
    #[cfg(feature = "rtsan")]
    rtsan_standalone::ensure_initialized();
    let settings = Settings { voices: 64, agenda: 512, ..Settings::default() };
    let (mut control, mut offline) = Offline::new(settings, Streams::none());
    supplies(&mut control);
    let mut out = vec![0.0; 2 * BLOCK];
    let mut sent = 0;
    let mut loudest = 0.0f32;
    for block in 0..2_000 {
        if block == 1_000 {
            assert!(control.supply(Supply::Free(ClipId(1))).is_ok());
        }
        send(&mut control, block, &mut sent);
        let touched = guard::allocations(|| callback(&mut offline, &mut out));
        assert_eq!(touched, 0, "block {block} allocated or freed");
        while control.report().is_some() {}
        while control.garbage().is_some() {}
        loudest = out.iter().fold(loudest, |peak, sample| peak.max(sample.abs()));
    }
    let counters = control.counters();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    // The test means nothing unless every path was walked.
    assert!(loudest > 0.1 && loudest <= 1.0, "{loudest}");
    assert!(count(&counters.leaps) > 0);
    assert!(count(&counters.late) > 0 && count(&counters.dropped) > 0 && count(&counters.stolen) > 0);
}

#[test]
fn the_guard_sees_an_allocation() {
    assert!(guard::allocations(|| drop(std::hint::black_box(vec![1u8]))) >= 2);
}

/// The sanitizer aborts a process; so the process that is to be aborted is a child of this test.
#[cfg(feature = "rtsan")]
#[test]
fn the_sanitizer_sees_a_blocking_call() {
    const CHILD: &str = "DOWNBEAT_BLOCK_IN_CALLBACK";

    #[rtsan_standalone::nonblocking]
    fn blocking() {
        drop(std::hint::black_box(vec![1u8]));
    }

    if std::env::var_os(CHILD).is_some() {
        rtsan_standalone::ensure_initialized();
        return blocking();
    }
    let itself = std::env::current_exe().expect("a running test has a path");
    let output = std::process::Command::new(itself)
        .args(["--exact", "the_sanitizer_sees_a_blocking_call"])
        .env(CHILD, "1")
        .output()
        .expect("the test can run itself");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("RealtimeSanitizer"), "it was let through: {told}");
}
