//! What is late, what comes with the device's moods, and what is handed back: each in a block or two.

use super::*;
use crate::event::{Origin, Param, Play, VoiceId, VoiceShape, When};
use crate::lane::{Control, lane};
use crate::source::{Instrument, Progress, Run, Source};
use crate::{Clip, ClipId, MAX_CLIPS};
use downbeat_sync::{EnsembleTime, LocalTime};
use std::sync::atomic::Ordering;

const RATE: u32 = 48_000;
const BLOCK: usize = 64;

/// A mono renderer whose clocks start at 0, and whose map may be moved.
struct Bench {
    control: Control,
    renderer: Renderer,
    /// How much later than the exact line the map has it (frames).
    map_late: f64,
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        let settings = Settings { rate: RATE, channels: 1, limiter: false, ..settings };
        let (control, stage) = lane(settings.agenda);
        let estimate = ClockEstimate::new(LocalTime::from_ticks(0), EnsembleTime::from_bits(0));
        let mut bench = Bench {
            control,
            renderer: Renderer::new(settings, stage, Streams::none(), estimate),
            map_late: 0.0,
        };
        bench.clip(0, &[1.0, 0.5]);
        bench
    }

    fn clip(&mut self, place: u16, frames: &[f32]) {
        let clip = Arc::new(Clip::from_channels(RATE, &[frames]));
        assert!(self.control.supply(Supply::Clip(ClipId(place), clip)).is_ok());
    }

    /// Sends an event due at a frame.
    fn send(&mut self, frame: f64, action: Action) {
        let due = EnsembleTime::from_bits(0) + Span::from_secs_f64(frame / f64::from(RATE));
        let event = Event { when: When::at(due), from: Origin(0), late: None, action };
        self.control.send(event).expect("the ring has room");
    }

    /// Sends an event that arrives at the local time of one frame, stamped for another, or not at all.
    fn arrive(&mut self, arrival: f64, stamp: Option<f64>, action: Action) {
        let span = |frame: f64| Span::from_secs_f64(frame / f64::from(RATE));
        let arrival = LocalTime::from_ticks(0) + span(arrival);
        let when = match stamp {
            Some(frame) => When::stamped(EnsembleTime::from_bits(0) + span(frame), arrival),
            None => When::arrived(arrival),
        };
        self.control.send(Event { when, from: Origin(0), late: None, action }).expect("the ring has room");
    }

    /// The frames that sound, of so many blocks.
    fn heard(&mut self, blocks: usize) -> Vec<usize> {
        let first = self.renderer.frame() as usize;
        let out: Vec<f32> = (0..blocks).flat_map(|_| self.block()).collect();
        out.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(at, _)| first + at).collect()
    }

    fn block(&mut self) -> [f32; BLOCK] {
        let first = self.renderer.frame();
        let line = FrameMap::new(0, LocalTime::from_ticks(0), f64::from(RATE));
        let local = line.local_at(first) + line.span_of(self.map_late);
        let mut out = [0.0; BLOCK];
        self.renderer.render(FrameMap { frame: first, local, ..line }, Span::ZERO, &mut out);
        out
    }

    fn counted(&self, counter: impl Fn(&crate::Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        counter(self.control.counters()).load(Ordering::Relaxed)
    }
}

fn play(place: u16, looped: bool, id: Option<VoiceId>) -> Action {
    let shape = VoiceShape { id, ..VoiceShape::default() };
    Action::Play(Play { clip: ClipId(place), rate: 1.0, start: 0.0, looped, shape })
}

fn click() -> Action {
    Action::Click { gain: 1.0 }
}

#[test]
fn a_late_change_is_carried_out_and_reported_so_whatever_the_policy() {
    let mut bench = Bench::new(Settings { late: LatePolicy::Drop, ..Settings::default() });
    bench.block();
    bench.send(3.0, Action::MasterGain { value: 0.5, seconds: 0.0 });
    bench.send(4.0, click());
    bench.send(80.0, click());
    let out = bench.block();
    assert_eq!((out[16], out.iter().sum::<f32>()), (0.5, 0.5));
    let policies = [(); 2].map(|()| match bench.control.report() {
        Some(Report::Late { policy, .. }) => policy,
        other => panic!("{other:?}"),
    });
    assert_eq!(policies, [LatePolicy::Play, LatePolicy::Drop]);
    assert_eq!(bench.counted(|c| &c.dropped), 1);
}

/// A block and the margin after its arrival an event sounds at the earliest (frames).
const WAY: f64 = BLOCK as f64 + 14.4;

#[test]
fn a_sender_that_stamps_now_keeps_its_rhythm_and_is_told_how_late_it_is() {
    for policy in [LatePolicy::Play, LatePolicy::Drop] {
        let mut bench = Bench::new(Settings { late: policy, ..Settings::default() });
        let mut heard = Vec::new();
        let (mut arrivals, mut untimed) = (Vec::new(), Vec::new());
        for block in 1..40 {
            // What comes during a block is known when the next is rendered.
            let arrival = f64::from(block * BLOCK as i32) - f64::from(block * 37 % 64);
            bench.arrive(arrival, Some(arrival - 5.0), click());
            arrivals.push(arrival);
            untimed.push((arrival + WAY).round() as usize);
            heard.extend(bench.heard(1));
        }
        heard.extend(bench.heard(3));
        let (played, dropped) = match policy {
            LatePolicy::Drop => (vec![], arrivals.len() as u64),
            _ => (untimed, 0),
        };
        assert_eq!((heard, bench.counted(|c| &c.dropped)), (played, dropped));
        for _ in arrivals {
            let Some(Report::Late { by, policy: told, .. }) = bench.control.report() else {
                panic!("unreported")
            };
            let frames = by.as_secs_f64() * f64::from(RATE);
            assert!((frames - WAY - 5.0).abs() < 0.01 && told == policy, "{frames}");
        }
    }
}

#[test]
fn a_late_change_waits_as_a_late_start_does() {
    let mut bench = Bench::new(Settings { onset: Onset::Frame, ..Settings::default() });
    let (looped, stop) = (Some(VoiceId::new(1)), Action::Stop(Target::Voice(VoiceId::new(1))));
    bench.clip(1, &[1.0; 100]);
    bench.block();
    bench.arrive(10.0, Some(9.0), play(1, true, looped));
    bench.arrive(40.0, None, Action::MasterGain { value: 0.5, seconds: 0.0 });
    bench.arrive(50.0, Some(50.0), Action::MasterGain { value: 0.25, seconds: 0.0 });
    bench.arrive(60.0, Some(50.0), stop);
    let out = [bench.block(), bench.block(), bench.block(), bench.block()].concat();
    let at = |gain: f32| out.iter().position(|x| *x == gain).map(|at| BLOCK + at);
    assert_eq!(at(1.0), Some((10.0 + WAY).round() as usize));
    assert_eq!(at(0.5), Some((40.0 + WAY).round() as usize));
    assert_eq!(at(0.25), Some((50.0 + WAY).round() as usize));
    // A release is a fade, from full.
    let released = out.iter().rposition(|x| *x == 0.25).map(|at| BLOCK + at);
    assert_eq!(released, Some((60.0 + WAY).round() as usize));
}

#[test]
fn a_late_bundle_takes_effect_at_one_sample() {
    let mut bench = Bench::new(Settings { onset: Onset::Frame, ..Settings::default() });
    bench.block();
    let id = VoiceId::new(1);
    bench.clip(1, &[1.0; 100]);
    for action in [play(1, true, Some(id)), Action::Set { id, param: Param::Gain, value: 0.5, seconds: 0.0 }]
    {
        bench.arrive(17.3, Some(2.0), action);
    }
    bench.arrive(17.3, Some(2.0), Action::Click { gain: 0.25 });
    let out = [bench.block(), bench.block()].concat();
    let loudest = out.iter().copied().fold(0.0, f32::max);
    assert_eq!(loudest, 0.75);
    assert_eq!(bench.counted(|c| &c.late), 3);
}

#[test]
fn an_event_in_time_is_not_held_by_its_arrival() {
    let mut bench = Bench::new(Settings::default());
    bench.arrive(-80.0, Some(5.0), click());
    bench.arrive(-80.0, Some(200.0), click());
    assert_eq!((bench.heard(4), bench.counted(|c| &c.late)), (vec![5, 200], 0));
}

#[test]
fn as_soon_as_possible_is_the_next_block_in_the_order_of_arrival() {
    let mut bench = Bench::new(Settings { immediate: Immediate::Asap, ..Settings::default() });
    bench.block();
    let gain = |value| Action::MasterGain { value, seconds: 0.0 };
    bench.arrive(30.0, Some(60.0), gain(0.5));
    bench.arrive(40.0, None, gain(0.25));
    bench.arrive(45.0, Some(44.0), click());
    bench.arrive(50.0, Some(100.0), click());
    let out = bench.block();
    let heard: Vec<_> = out.iter().enumerate().filter(|(_, x)| **x != 0.0).collect();
    assert_eq!(heard, [(0, &0.25), (36, &0.25)]);
    let lates: Vec<_> = std::iter::from_fn(|| bench.control.report())
        .map(|report| match report {
            Report::Late { by, .. } => (by.as_secs_f64() * f64::from(RATE)).round(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lates, [4.0, 20.0]);
}

#[test]
fn a_trimmed_sound_that_is_over_is_not_heard_and_takes_nobodys_place() {
    let mut bench = Bench::new(Settings { late: LatePolicy::Trim, voices: 1, ..Settings::default() });
    bench.clip(1, &[1.0; 100]);
    bench.send(32.0, play(1, true, Some(VoiceId::new(1))));
    bench.block();
    for late in [play(0, false, None), click()] {
        bench.send(10.0, late);
    }
    assert_eq!(bench.block(), [1.0; BLOCK]);
    assert_eq!((bench.counted(|c| &c.late), bench.counted(|c| &c.stolen)), (2, 0));
}

#[test]
fn a_sample_on_its_frame_keeps_its_first_frame_when_the_map_moves_back_over_it() {
    let mut bench = Bench::new(Settings { onset: Onset::Frame, ..Settings::default() });
    // Of the next block by the first map; by the second map half a frame before it.
    bench.send(BLOCK as f64 - 0.4, play(0, false, None));
    bench.block();
    bench.map_late = 0.2;
    let out = bench.block();
    assert_eq!(out[..3], [1.0, 0.5, 0.0]);
    assert_eq!(bench.counted(|c| &c.late), 0);
}

#[test]
fn a_clip_freed_before_its_stream_was_heard_stays_silent() {
    let mut bench = Bench::new(Settings::default());
    let clip = Arc::new(Clip::streamed(RATE, 100_000, 300, &[&[0.5; 400]], "gone.wav".into()));
    assert!(bench.control.supply(Supply::Clip(ClipId(7), clip)).is_ok());
    // Its end is near the head's, so that it is taken up long before its onset.
    bench.send(1_000.0, play(7, false, None));
    bench.block();
    assert_eq!(bench.control.counters().voices.load(Ordering::Relaxed), 1);
    assert!(bench.control.supply(Supply::Free(ClipId(7))).is_ok());
    bench.block();
    assert!(matches!(bench.control.garbage(), Some(Garbage::Clip(ClipId(7), _))));
}

#[test]
fn changes_find_their_voice_after_a_year_without_a_pause() {
    let mut bench = Bench::new(Settings::default());
    let year = u64::from(RATE) * 86_400 * 365;
    bench.renderer.next = year - year % BLOCK as u64;
    let first = bench.renderer.next as f64;
    bench.send(first + 20.0, play(0, true, Some(VoiceId::new(1))));
    bench.send(
        first + 40.0,
        Action::Set { id: VoiceId::new(1), param: Param::Gain, value: 0.0, seconds: 0.0 },
    );
    let out = bench.block();
    assert_eq!(out[19..23], [0.0, 1.0, 0.5, 1.0]);
    assert_eq!(out[39..42], [0.5, 0.0, 0.0]);
}

#[test]
fn a_change_of_the_same_instant_finds_its_voice_wherever_between_two_frames() {
    for fraction in [0.0, 0.01, 0.3, 0.5, 0.7, 0.99] {
        let mut bench = Bench::new(Settings::default());
        let (id, due) = (VoiceId::new(1), 20.0 + fraction);
        // One that came before it does not.
        bench.send(due, Action::Set { id, param: Param::Gain, value: 9.0, seconds: 0.0 });
        bench.send(due, play(0, true, Some(id)));
        bench.send(due, Action::Set { id, param: Param::Gain, value: 0.0, seconds: 0.0 });
        let out = bench.block();
        assert!(out[21..].iter().all(|sample| *sample == 0.0), "{fraction}: {out:?}");
    }
}

#[test]
fn a_change_on_a_blocks_edge_spares_a_voice_that_begins_after_it() {
    let mut bench = Bench::new(Settings::default());
    let (id, edge) = (VoiceId::new(1), BLOCK as f64);
    bench.send(edge - 0.2, play(0, true, Some(id)));
    // On the same frame, but before it.
    bench.send(edge - 0.4, Action::Set { id, param: Param::Gain, value: 0.0, seconds: 0.0 });
    bench.block();
    assert!(bench.block().iter().any(|sample| *sample != 0.0));
}

#[test]
fn a_flood_of_cancels_is_spread_over_blocks() {
    let mut bench = Bench::new(Settings { agenda: 4_096, ..Settings::default() });
    for n in 0..2_048 {
        bench.send(f64::from(RATE) + f64::from(n), click());
    }
    bench.block();
    let taken = bench.counted(|c| &c.events);
    for _ in 0..1_000 {
        let (when, from) = (When::arrived(LocalTime::from_ticks(0)), Origin(0));
        let event = Event { when, from, late: None, action: Action::Cancel(Some(VoiceId::new(3))) };
        bench.control.send(event).expect("the ring has room");
    }
    bench.block();
    assert!((1..100).contains(&(bench.counted(|c| &c.events) - taken)));
}

/// An instrument of which it is known whether it was freed.
struct Owned(#[expect(dead_code, reason = "held, to be counted")] Arc<()>);

impl Source for Owned {
    fn channels(&self) -> usize {
        1
    }

    fn fill(&mut self, _: &mut Run<'_>) -> Progress {
        Progress::Playing
    }
}

impl Instrument for Owned {
    fn start(&mut self, _: Start, _: &[f32]) {}
}

#[test]
fn nothing_is_freed_however_long_nobody_collects() {
    let mut bench = Bench::new(Settings::default());
    let alive = Arc::new(());
    for n in 0..2 * MAX_CLIPS {
        let bank: crate::Bank = Box::new([Box::new(Owned(Arc::clone(&alive))) as Box<dyn Instrument>]);
        // Half of them for a place there is not.
        let number = if n % 2 == 0 { 0 } else { u8::MAX };
        assert!(bench.control.supply(Supply::Bank(number, bank)).is_ok());
    }
    for _ in 0..10 {
        bench.block();
    }
    assert_eq!(Arc::strong_count(&alive), 1 + 2 * MAX_CLIPS);
    for _ in 0..10 {
        while bench.control.garbage().is_some() {}
        bench.block();
    }
    // All but the one in use.
    assert_eq!(Arc::strong_count(&alive), 2);
}

/// Plays, tones, clicks, changes and stops, several a block, with fewer voices than they ask for; in blocks of so many.
fn crowded(block: usize) -> Vec<f32> {
    let mut bench = Bench::new(Settings { voices: 6, ..Settings::default() });
    bench.clip(1, &(0..150).map(|n| (n as f32 * 0.3).sin()).collect::<Vec<_>>());
    for n in 0..400u32 {
        let chance = n.wrapping_mul(2_654_435_761) >> 8;
        let id = Some(VoiceId::new(n % 5));
        let action = match chance % 8 {
            0 => click(),
            1 => Action::Stop(Target::All),
            2 => Action::Set { id: VoiceId::new(n % 5), param: Param::Gain, value: 0.3, seconds: 0.001 },
            3 => {
                let shape = VoiceShape { dur: 0.002, id, ..VoiceShape::default() };
                Action::Tone(crate::Tone { freq: 700.0, wave: crate::Wave::Saw, shape })
            }
            4 => Action::MasterGain { value: 0.5 + (n % 2) as f32, seconds: 0.001 },
            _ => play(1, false, id),
        };
        // Eighths of a frame, so that a timetag says which.
        bench.send(200.0 + f64::from(chance % 32_000) / 8.0, action);
    }
    let mut out = Vec::new();
    while out.len() < 4_800 {
        // One line for all: begun anew with every block it would round otherwise.
        let map = FrameMap::new(0, LocalTime::from_ticks(0), f64::from(RATE));
        let mut part = vec![0.0; block];
        bench.renderer.render(map, Span::ZERO, &mut part);
        out.extend(part);
    }
    out.truncate(4_800);
    out
}

#[test]
fn a_crowd_gives_the_same_bits_whatever_the_block() {
    let whole = crowded(1_024);
    assert!(whole.iter().any(|sample| sample.abs() > 1.0));
    for block in [1, 7, 64, 480] {
        let other = crowded(block);
        let differs = (0..whole.len()).find(|&n| other[n] != whole[n]);
        assert_eq!(differs, None, "blocks of {block}");
    }
}
