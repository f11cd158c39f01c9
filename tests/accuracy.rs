//! Every event on its frame: the renderer against arithmetic, in virtual time.

use downbeat_engine::{
    Action, Clip, ClipId, Control, Event, Interp, Offline, Onset, Origin, Play, Settings, Streams, Supply,
    VoiceShape, When,
};
use downbeat_sync::{EnsembleTime, Span};
use std::sync::Arc;

const RATES: [u32; 3] = [44_100, 48_000, 96_000];
const BLOCKS: [usize; 6] = [16, 64, 100, 256, 1_000, 2_048];
const CLICKS: usize = 10_000;

/// A small generator of our own (SplitMix64, Steele et al. 2014), so that a seed means the same for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Timetags over `frames` frames: anywhere, on block edges, halfway between frames, and many at one instant.
fn timetags(rate: u32, frames: u64, random: &mut Random) -> Vec<EnsembleTime> {
    let frame = |position: i128, denominator: i128| {
        EnsembleTime::from_bits(0) + Span::from_ratio(position, denominator * i128::from(rate))
    };
    let mut last = frame(3, 1);
    (0..CLICKS)
        .map(|_| {
            last = match random.below(5) {
                0 => last,
                1 => frame(i128::from(random.below(frames / 256)) * 256 + 256, 1),
                2 => frame(i128::from(random.below(frames)) * 2 + 1, 2),
                _ => EnsembleTime::from_bits(random.below((frames << 32) / u64::from(rate)) + 2),
            };
            last
        })
        .collect()
}

/// The frame a timetag means: the nearest, half up, in exact integers.
fn nearest_frame(time: EnsembleTime, rate: u32) -> usize {
    ((u128::from(time.bits()) * u128::from(rate) + (1 << 31)) >> 32) as usize
}

fn settings(rate: u32) -> Settings {
    Settings { rate, channels: 1, agenda: 3 * CLICKS, limiter: false, ..Settings::default() }
}

fn send(control: &mut Control, time: EnsembleTime, action: Action) {
    let event = Event { when: When::at(time), from: Origin(0), late: None, action };
    control.send(event).expect("the ring has room for the score");
}

fn render(mut offline: Offline, frames: usize, block: usize) -> Vec<f32> {
    let mut out = vec![0.0; frames];
    for part in out.chunks_mut(block) {
        offline.render(part);
    }
    out
}

#[test]
fn ten_thousand_clicks_fall_on_their_frames_in_blocks_of_any_length() {
    for rate in RATES {
        let frames = u64::from(rate) * 4;
        let mut random = Random(u64::from(rate));
        let times = timetags(rate, frames, &mut random);
        let total = frames as usize + 4_096;
        let mut expected = vec![0.0f32; total];
        for &time in &times {
            expected[nearest_frame(time, rate)] += 0.001;
        }
        let count_expected: Vec<u32> = expected.iter().map(|x| (x * 1_000.0).round() as u32).collect();
        let mut first: Option<Vec<f32>> = None;
        for block in BLOCKS {
            let (mut control, offline) = Offline::new(settings(rate), Streams::none());
            for &time in &times {
                send(&mut control, time, Action::Click { gain: 0.001 });
            }
            let out = render(offline, total, block);
            let counts: Vec<u32> = out.iter().map(|x| (x * 1_000.0).round() as u32).collect();
            let off = counts.iter().zip(&count_expected).position(|(heard, meant)| heard != meant);
            assert_eq!(off, None, "rate {rate}, block {block}: a click is off its frame");
            let bits = first.get_or_insert_with(|| out.clone());
            assert!(*bits == out, "rate {rate}: block {block} renders other bits");
        }
    }
}

#[test]
fn equal_timetags_take_effect_in_the_order_they_came() {
    let rate = 48_000;
    let (mut control, offline) = Offline::new(settings(rate), Streams::none());
    let mut random = Random(9);
    let mut expected = Vec::new();
    for n in 0..1_000 {
        let time = EnsembleTime::from_bits(0) + Span::from_ratio(100 * (n + 1), i128::from(rate));
        send(&mut control, time, Action::Click { gain: 1.0 });
        // Of any number of gains at one instant the last one counts, for a click that came before them too.
        for _ in 0..=random.below(5) {
            let value = random.below(1_000) as f32;
            send(&mut control, time, Action::MasterGain { value, seconds: 0.0 });
            expected.truncate(n as usize);
            expected.push(value);
        }
    }
    let out = render(offline, 100 * 1_002, 256);
    let heard: Vec<f32> = (1..=1_000).map(|n| out[100 * n]).collect();
    assert_eq!(heard, expected);
}

#[test]
fn onset_frame_rounds_every_start() {
    for (onset, whole) in [(Onset::Frame, true), (Onset::Subframe, false)] {
        let settings = Settings { onset, ..settings(48_000) };
        let (mut control, mut offline) = Offline::new(settings, Streams::none());
        let samples = [0.5, -0.25, 0.125];
        let clip = Arc::new(Clip::from_channels(48_000, &[&samples]));
        assert!(control.supply(Supply::Clip(ClipId(0), clip)).is_ok());
        let shape = VoiceShape::default();
        let play = Play { clip: ClipId(0), rate: 1.0, start: 0.0, looped: false, shape };
        let time = EnsembleTime::from_bits(0) + Span::from_ratio(1_003, 10 * 48_000);
        send(&mut control, time, Action::Play(play));
        let mut out = vec![0.0; 256];
        offline.render(&mut out);
        assert_eq!(out[100..103] == samples, whole, "{onset:?}: {:?}", &out[98..106]);
    }
}

/// A pulse that is nothing but its place: smooth, symmetric, far below the band's edge.
fn pulse() -> Vec<f32> {
    (0..129).map(|n| (-((f64::from(n) - 64.0) / 6.0).powi(2)).exp() as f32).collect()
}

/// Where the energy of these frames lies [frames from the first].
fn centre(frames: &[f32]) -> f64 {
    let energy = |x: &f32| f64::from(*x).powi(2);
    let moment: f64 = frames.iter().zip(0u32..).map(|(x, n)| energy(x) * f64::from(n)).sum();
    moment / frames.iter().map(energy).sum::<f64>()
}

#[test]
fn onsets_between_frames_are_right_to_a_fiftieth_of_a_frame() {
    for interp in [Interp::Sinc, Interp::Cubic] {
        for clip_rate in [48_000, 44_100] {
            let settings = Settings { interp, ..settings(48_000) };
            let (mut control, mut offline) = Offline::new(settings, Streams::none());
            let clip = Arc::new(Clip::from_channels(clip_rate, &[&pulse()]));
            assert!(control.supply(Supply::Clip(ClipId(0), clip)).is_ok());
            let shape = VoiceShape::default();
            let play = Play { clip: ClipId(0), rate: 1.0, start: 0.0, looped: false, shape };
            let mut random = Random(7);
            let stretch = 48_000.0 / f64::from(clip_rate);
            for n in 1..=200u64 {
                // One onset in every 512 frames, anywhere in 256 of them.
                let offset = random.below(256 << 32) as f64 / 4_294_967_296.0;
                let onset = (n * 512) as f64 + offset;
                let due = EnsembleTime::from_bits(0) + Span::from_secs_f64(onset / 48_000.0);
                send(&mut control, due, Action::Play(play));
                let mut out = vec![0.0; 512];
                if n == 1 {
                    offline.render(&mut out);
                }
                offline.render(&mut out);
                let heard = (n * 512) as f64 + centre(&out);
                let error = heard - onset - 64.0 * stretch;
                assert!(
                    error.abs() < 0.02,
                    "{interp:?} of {clip_rate} Hz, onset {onset}: {error} frames off"
                );
            }
        }
    }
}

#[test]
fn a_stream_that_starts_beyond_its_head_is_fetched_in_time() {
    let dir = std::env::temp_dir().join(format!("downbeat-prefetch-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary folder");
    let file = dir.join("long.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(&file, spec).expect("a file");
    for n in 0..20 * 48_000 {
        writer.write_sample(n as f32).expect("a sample");
    }
    writer.finalize().expect("a whole file");
    let clip = downbeat_engine::load_clip(&file, downbeat_engine::ClipConfig::default()).expect("a clip");
    assert!(clip.rest().is_some(), "twenty seconds are streamed");
    let (streams, mut feeder) = downbeat_engine::streams(downbeat_engine::StreamConfig::default());
    let settings = Settings { onset: Onset::Subframe, ..settings(48_000) };
    let (mut control, mut offline) = Offline::new(settings, streams);
    assert!(control.supply(Supply::Clip(ClipId(0), Arc::new(clip))).is_ok());
    let play = Play { clip: ClipId(0), rate: 1.0, start: 12.0, looped: false, shape: VoiceShape::default() };
    send(&mut control, EnsembleTime::from_bits(0) + Span::from_secs(1), Action::Play(play));
    let mut out = vec![0.0; 2 * 48_000];
    for part in out.chunks_mut(256) {
        offline.render(part);
        // The disk is one block behind, every time.
        while feeder.step() {}
    }
    std::fs::remove_dir_all(&dir).expect("the folder is ours");
    assert!(out[..48_000].iter().all(|sample| *sample == 0.0), "it began too early");
    let expected: Vec<f32> = (0..48_000).map(|n| (n + 12 * 48_000) as f32).collect();
    let first = out[48_000..].iter().zip(&expected).position(|(heard, meant)| heard != meant);
    assert_eq!(first, None, "frame {:?}", first.map(|n| (n, out[48_000 + n])));
}
