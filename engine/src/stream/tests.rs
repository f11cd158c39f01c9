//! Streams against the whole file in memory, with the feeder driven by hand.

use super::*;
use crate::event::{Action, Event, Origin, Play, VoiceShape, When};
use crate::scratch::{Scratch, write_wav};
use crate::wav::{ClipConfig, load_clip};
use crate::{ClipId, Offline, Settings, Supply};
use downbeat_sync::{EnsembleTime, Span};
use proptest::prelude::*;
use std::path::PathBuf;

const HEAD: usize = 480;
const CONFIG: StreamConfig = StreamConfig { streams: 2, ring_frames: 0 };

/// A file whose samples are the numbers of their frames, negative on the right, and the clip of its head.
fn numbered(scratch: &Scratch, frames: usize, channels: usize) -> (PathBuf, Arc<Clip>) {
    let left: Vec<f32> = (0..frames).map(|n| n as f32).collect();
    let right: Vec<f32> = left.iter().map(|n| -n).collect();
    let path = scratch.path("numbers.wav");
    write_wav(&path, &[&left[..], &right[..]][..channels]);
    let clip = load_clip(&path, ClipConfig { whole: 0.0, head: HEAD as f64 / 48_000.0 }).unwrap();
    assert_eq!((clip.head_frames(), clip.frames()), (HEAD, frames as u64));
    (path, Arc::new(clip))
}

fn expected(clip: &Clip, looped: bool, from: u64, to: u64) -> Vec<f32> {
    let frames = clip.frames();
    let value = |n| {
        if looped {
            (n % frames) as f32
        } else if n < frames {
            n as f32
        } else {
            0.0
        }
    };
    (from..to).map(value).collect()
}

fn assert_span(reader: &StreamReader, clip: &Clip, looped: bool, from: u64, to: u64) {
    let left = expected(clip, looped, from, to);
    assert_eq!(reader.channel(0), left, "{from}..{to}");
    let right: Vec<f32> = if clip.channels() == 2 { left.iter().map(|n| -n).collect() } else { left };
    assert_eq!(reader.channel(1), right, "{from}..{to}");
}

#[test]
fn the_head_sounds_before_the_disk_has_stirred() {
    let scratch = Scratch::new("head");
    let (_, clip) = numbered(&scratch, 10_000, 2);
    let (mut streams, mut feeder) = streams(CONFIG);
    let mut reader = streams.open(&clip, 0, false, Origin(0)).unwrap();
    assert!(reader.advance(0, HEAD as u64));
    assert_span(&reader, &clip, false, 0, HEAD as u64);
    assert!(!reader.advance(HEAD as u64 - 1, HEAD as u64 + 1), "the disk has not delivered");
    assert!(reader.channel(0).is_empty());
    while feeder.step() {}
    assert!(reader.advance(HEAD as u64 - 1, HEAD as u64 + 1), "the frame before is still there");
    assert_span(&reader, &clip, false, HEAD as u64 - 1, HEAD as u64 + 1);
}

#[test]
fn a_late_stream_skips_to_where_the_voice_should_be() {
    let scratch = Scratch::new("late");
    let (_, clip) = numbered(&scratch, 200_000, 2);
    let (mut streams, mut feeder) = streams(CONFIG);
    let mut reader = streams.open(&clip, 0, false, Origin(0)).unwrap();
    let mut at = 0;
    while at < 150_000 {
        assert_eq!(reader.advance(at, at + 128), at + 128 <= HEAD as u64);
        at += 64;
    }
    let mut spans = 0;
    while !reader.advance(at, at + 128) {
        while feeder.step() {}
        at += 64;
        spans += 1;
    }
    assert_span(&reader, &clip, false, at, at + 128);
    assert!(spans <= 150_000 / MAX_SPAN, "{spans} spans");
}

#[test]
fn a_start_beyond_the_head_is_fetched_ahead() {
    let scratch = Scratch::new("start");
    let (_, clip) = numbered(&scratch, 10_000, 1);
    let (mut streams, mut feeder) = streams(CONFIG);
    let mut reader = streams.open(&clip, 5_000, false, Origin(0)).unwrap();
    assert!(!reader.advance(5_000, 5_001));
    feeder.step();
    assert!(reader.advance(5_000, 5_100));
    assert_span(&reader, &clip, false, 5_000, 5_100);
}

#[test]
fn spans_that_break_the_rules_are_not_readable() {
    let scratch = Scratch::new("rules");
    let (_, clip) = numbered(&scratch, 50_000, 1);
    let (mut streams, mut feeder) = streams(CONFIG);
    let mut reader = streams.open(&clip, 10, false, Origin(0)).unwrap();
    while feeder.step() {}
    assert!(!reader.advance(9, 20), "before the start");
    assert!(!reader.advance(30, 29), "backwards");
    assert!(!reader.advance(10, 11 + MAX_SPAN as u64), "too long");
    assert!(reader.advance(10, 10 + MAX_SPAN as u64));
    assert!(reader.advance(20, 20));
    assert!(!reader.advance(19, 30), "before the last");
}

#[test]
fn a_reader_is_free_again_only_once_the_disk_has_let_go_of_it() {
    let scratch = Scratch::new("pool");
    let (_, clip) = numbered(&scratch, 50_000, 2);
    let (mut streams, mut feeder) = streams(CONFIG);
    let counters = Arc::clone(streams.counters());
    let first = streams.open(&clip, 0, false, Origin(0)).unwrap();
    let _second = streams.open(&clip, 0, false, Origin(0)).unwrap();
    assert!(streams.open(&clip, 0, false, Origin(0)).is_none());
    while feeder.step() {}
    assert_eq!(counters.open.load(Ordering::Relaxed), 2);
    streams.close(first);
    assert!(streams.open(&clip, 0, false, Origin(0)).is_none(), "not acknowledged");
    assert_eq!(counters.refused.load(Ordering::Relaxed), 2);
    feeder.step();
    assert_eq!(counters.open.load(Ordering::Relaxed), 1);
    let mut again = streams.open(&clip, 20_000, false, Origin(0)).unwrap();
    assert!(!again.advance(20_000, 20_001), "what the last use left must not sound");
    while feeder.step() {}
    assert!(again.advance(20_000, 20_100));
    assert_span(&again, &clip, false, 20_000, 20_100);
}

#[test]
fn a_clip_is_let_go_of_by_the_disk_thread() {
    let scratch = Scratch::new("drop");
    let (_, clip) = numbered(&scratch, 10_000, 1);
    let (mut streams, mut feeder) = streams(CONFIG);
    let reader = streams.open(&clip, 0, false, Origin(0)).unwrap();
    streams.close(reader);
    assert!(Arc::strong_count(&clip) > 1);
    feeder.step();
    assert_eq!(Arc::strong_count(&clip), 1);
}

#[test]
fn a_file_that_is_gone_cut_or_replaced_starves_the_stream_and_says_whose_it_was() {
    let scratch = Scratch::new("gone");
    let (path, clip) = numbered(&scratch, 30_000, 1);
    let (mut streams, mut feeder) = streams(CONFIG);
    let counters = Arc::clone(streams.counters());
    let mut cut = streams.open(&clip, 0, false, Origin(7)).unwrap();
    feeder.step();
    assert_eq!(feeder.failure(), None);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8_000).unwrap();
    let mut gone = streams.open(&clip, 0, true, Origin(8)).unwrap();
    while feeder.step() {}
    assert_eq!(counters.failed.load(Ordering::Relaxed), 2);
    let failures: Vec<_> = std::iter::from_fn(|| feeder.failure()).collect();
    let mut whose: Vec<_> = failures.iter().map(|failure| failure.asked.0).collect();
    whose.sort_unstable();
    assert_eq!(whose, [7, 8]);
    assert!(failures.iter().all(|failure| failure.file == "numbers.wav" && !failure.why.is_empty()));
    assert!(cut.advance(HEAD as u64, HEAD as u64 + PIECE as u64));
    assert_span(&cut, &clip, false, HEAD as u64, HEAD as u64 + PIECE as u64);
    let silent = HEAD as u64 + PIECE as u64;
    assert!(!cut.advance(silent, silent + 1_000), "nothing came, and nothing is made up");
    assert!(gone.advance(0, HEAD as u64));
    assert_eq!(gone.channel(0), expected(&clip, false, 0, HEAD as u64));
    assert!(!gone.advance(0, 1_000));
}

/// The sound of a few events on one clip, the disk looked at before each block.
fn rendered(clip: Arc<Clip>) -> Vec<f32> {
    let (pool, mut feeder) = streams(StreamConfig::default());
    let (mut control, mut offline) = Offline::new(Settings::default(), pool);
    assert!(control.supply(Supply::Clip(ClipId(0), clip)).is_ok());
    for (millis, rate, looped) in [(10, 1.0, false), (50, 0.37, true), (333, 2.9, true)] {
        let shape = VoiceShape { gain: 0.2, ..VoiceShape::default() };
        let action = Action::Play(Play { clip: ClipId(0), rate, start: 0.0, looped, shape });
        let when = When::at(EnsembleTime::from_bits(12_345) + Span::from_millis(millis));
        assert!(control.send(Event { when, from: Origin(0), late: None, action }).is_ok());
    }
    let mut out = vec![0.0; 2 * 64 * 1_500];
    for block in out.chunks_mut(2 * 64) {
        while feeder.step() {}
        offline.render(block);
    }
    out
}

#[test]
fn a_streamed_clip_sounds_bit_for_bit_like_one_in_memory() {
    let scratch = Scratch::new("bits");
    let path = scratch.path("long.wav");
    let wave: Vec<f32> = (0..40_000).map(|n| (n as f32 * 0.03).sin()).collect();
    write_wav(&path, &[&wave, &wave]);
    let [streamed, whole] = [0.0, f64::INFINITY].map(|whole| {
        let clip = load_clip(&path, ClipConfig { whole, head: 0.05 }).unwrap();
        assert_eq!(clip.rest().is_some(), whole == 0.0);
        rendered(Arc::new(clip))
    });
    assert!(whole.iter().any(|sample| sample.abs() > 0.1));
    let differs = streamed.iter().zip(&whole).position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!(differs.map(|at| at / 2), None);
}

#[test]
fn a_clip_in_memory_needs_no_stream() {
    let (mut streams, _feeder) = streams(CONFIG);
    let clip = Arc::new(Clip::from_channels(48_000, &[&[0.5; 100]]));
    assert!(streams.open(&clip, 0, true, Origin(0)).is_none());
    assert_eq!(streams.counters().refused.load(Ordering::Relaxed), 0);
}

/// What happens between two spans: how far the voice moves, how much it reads, how much the disk does.
#[derive(Clone, Debug)]
struct Beat {
    forward: u64,
    span: u64,
    steps: usize,
}

fn beats() -> impl Strategy<Value = Beat> {
    let forward = prop_oneof![8 => 0..1_500u64, 1 => 0..40_000u64];
    let span = prop_oneof![4 => 0..600u64, 1 => 0..=MAX_SPAN as u64];
    (forward, span, 0..4usize).prop_map(|(forward, span, steps)| Beat { forward, span, steps })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_span_that_has_arrived_is_the_files(
        frames in HEAD + GUARD + 1..60_000,
        channels in 1..=2usize,
        uses in proptest::collection::vec(
            (any::<bool>(), 0..70_000u64, proptest::collection::vec(beats(), 1..60)),
            1..4,
        ),
    ) {
        let scratch = Scratch::new("spans");
        let (_, clip) = numbered(&scratch, frames, channels);
        let (mut streams, mut feeder) = streams(StreamConfig { streams: 1, ring_frames: 0 });
        for (looped, start, beats) in uses {
            let mut reader = streams.open(&clip, start, looped, Origin(0)).expect("the last one was let go of");
            let mut at = start;
            let mut overtaken = 0;
            for beat in beats {
                at += beat.forward;
                overtaken += beat.forward + beat.span;
                (0..beat.steps).for_each(|_| { feeder.step(); });
                if reader.advance(at, at + beat.span) {
                    assert_span(&reader, &clip, looped, at, at + beat.span);
                }
            }
            let mut rounds = 0;
            while !reader.advance(at, at + 100) {
                while feeder.step() {}
                rounds += 1;
                prop_assert!(rounds <= 2 + overtaken / MAX_SPAN as u64, "the disk never catches up");
            }
            assert_span(&reader, &clip, looped, at, at + 100);
            streams.close(reader);
            feeder.step();
        }
    }
}
