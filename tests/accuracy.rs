//! Every event on its frame: the renderer against arithmetic, in virtual time.

use downbeat_engine::{Action, Control, Event, Offline, Onset, Origin, Settings, Streams, When};
use downbeat_sync::{EnsembleTime, Span};

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
    let event = Event { when: When::At(time), from: Origin(0), late: None, action };
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
        let clip = downbeat_engine::Clip::from_channels(48_000, &[&samples]);
        let id = downbeat_engine::ClipId(0);
        let supply = downbeat_engine::Supply::Clip(id, std::sync::Arc::new(clip));
        assert!(control.supply(supply).is_ok());
        let shape = downbeat_engine::VoiceShape::default();
        let play = downbeat_engine::Play { clip: id, rate: 1.0, start: 0.0, looped: false, shape };
        let time = EnsembleTime::from_bits(0) + Span::from_ratio(1_003, 10 * 48_000);
        send(&mut control, time, Action::Play(play));
        let mut out = vec![0.0; 256];
        offline.render(&mut out);
        assert_eq!(out[100..103] == samples, whole, "{onset:?}: {:?}", &out[98..106]);
    }
}
