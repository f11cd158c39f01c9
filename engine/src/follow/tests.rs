//! Nodes whose sound cards differ, in virtual time: what is heard when, by the ensemble's clock.

use super::*;
use crate::event::{Action, Event, Origin, Param, Play, Tone, VoiceId, VoiceShape, Wave, When};
use crate::lane::{Bank, Control, Supply, lane};
use crate::source::{Instrument, Progress, Run, Source, Start};
use crate::spectrum::spectrum;
use crate::stream::{Streams, streams};
use crate::{Clip, ClipConfig, ClipId, Feeder, Interp, Onset, Renderer, Settings, StreamConfig, load_clip};
use downbeat_sync::FrameMap;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// When everything starts, by either clock [ticks].
const START: u64 = 1 << 44;
/// The voice of all tests.
const ID: VoiceId = VoiceId::new(1);

/// A sound card, a local clock, and all that is known of them.
struct Node {
    control: Control,
    renderer: Renderer,
    feeder: Option<Feeder>,
    rate: f64,
    /// By how much the card is fast against the ensemble's time, at each of its seconds [ppm].
    card: fn(f64) -> f64,
    sign: f64,
    /// By how much the local clock is [1].
    drift: f64,
    /// The ensemble's time of the next frame, in truth [s since the start].
    now: f64,
    /// How much later than that the map has it (s).
    map_late: f64,
    seed: u64,
    out: Vec<f32>,
}

impl Node {
    fn new(rate: u32, settings: Settings) -> Node {
        Node::streaming(rate, settings, Streams::none(), None)
    }

    fn streaming(rate: u32, settings: Settings, streams: Streams, feeder: Option<Feeder>) -> Node {
        let settings = Settings { rate, channels: 1, limiter: false, ..settings };
        let (control, stage) = lane(64);
        Node {
            control,
            renderer: Renderer::new(settings, stage, streams, estimate(0.0, 0.0)),
            feeder,
            rate: f64::from(rate),
            card: |_| 0.0,
            sign: 1.0,
            drift: 0.0,
            now: 0.0,
            map_late: 0.0,
            seed: 1,
            out: Vec::new(),
        }
    }

    /// The same, on a card that is so much fast; slow, if `sign` is -1 [ppm].
    fn on(self, card: fn(f64) -> f64, sign: f64) -> Node {
        Node { card, sign, ..self }
    }

    /// With a local clock that drifts [1], which the ensemble's estimate knows.
    fn drifting(mut self, drift: f64) -> Node {
        self.drift = drift;
        self.control.publish(estimate(drift, 0.0));
        self
    }

    fn clip(&mut self, rate: u32, frames: &[f32]) {
        let clip = Arc::new(Clip::from_channels(rate, &[frames]));
        assert!(self.control.supply(Supply::Clip(ClipId(0), clip)).is_ok());
    }

    fn send(&mut self, seconds: f64, action: Action) {
        let when = When::at(EnsembleTime::from_bits(START) + Span::from_secs_f64(seconds));
        let event = Event { when, from: Origin(0), late: None, action };
        self.control.send(event).expect("the ring has room");
    }

    /// White noise between -1 and 1.
    fn noise(&mut self) -> f64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    }

    /// Renders a block; the true ensemble time of its first frame.
    fn block(&mut self, frames: usize) -> f64 {
        let began = self.now;
        let fast = 1e-6 * self.sign * (self.card)(began);
        // The local clock's seconds are longer or shorter than the ensemble's.
        let local = (began + self.map_late) / (1.0 + self.drift);
        let map = FrameMap {
            frame: self.renderer.frame(),
            local: LocalTime::from_ticks(START) + Span::from_secs_f64(local),
            rate: self.rate * (1.0 + fast) * (1.0 + self.drift),
        };
        while self.feeder.as_mut().is_some_and(Feeder::step) {}
        self.out.resize(frames, 0.0);
        self.renderer.render(map, Span::ZERO, &mut self.out);
        self.now += frames as f64 / (self.rate * (1.0 + fast));
        began
    }

    /// The frames of so many blocks.
    fn blocks(&mut self, count: usize, frames: usize) -> Vec<f32> {
        let mut all = Vec::new();
        for _ in 0..count {
            self.block(frames);
            all.extend_from_slice(&self.out);
        }
        all
    }

    fn counters(&self) -> &crate::Counters {
        self.control.counters()
    }
}

/// The ensemble's time over a local clock that drifts by so much, known `late` seconds wrongly.
fn estimate(drift: f64, late: f64) -> ClockEstimate {
    let ensemble = EnsembleTime::from_bits(START) + Span::from_secs_f64(late);
    ClockEstimate::new(LocalTime::from_ticks(START), ensemble).with_rate(drift)
}

fn following(follow: Follow) -> Settings {
    Settings { follow, ..Settings::default() }
}

fn play(rate: f32, looped: bool) -> Action {
    let shape = VoiceShape { id: Some(ID), ..VoiceShape::default() };
    Action::Play(Play { clip: ClipId(0), rate, start: 0.0, looped, shape })
}

fn tone(freq: f32) -> Action {
    let shape = VoiceShape { id: Some(ID), ..VoiceShape::default() };
    Action::Tone(Tone { freq, wave: Wave::Saw, shape })
}

/// A saw that rises through zero at its start, as the tone does: what is heard tells where in it that is.
fn slope(frames: usize) -> Vec<f32> {
    let place = |n: usize| n as f64 / frames as f64;
    (0..frames).map(|n| 2.0 * (place(n) - f64::from(2 * n >= frames))).map(|value| value as f32).collect()
}

/// A hundred ppm, and a temperature that changes.
fn wandering(seconds: f64) -> f64 {
    100.0 + 4.0 * (TAU * seconds / 900.0).sin() + 2.0 * (TAU * seconds / 47.0).sin()
}

/// How far what is heard is ahead of where it should be, of a slope that takes `period` seconds and began at 0 (s).
///
/// Of the middle of a block, for in the seam a slope does not say where it is: `None` there.
fn ahead(node: &Node, began: f64, period: f64) -> Option<f64> {
    let middle = node.out.len() / 2;
    let time = began + (node.now - began) * middle as f64 / node.out.len() as f64;
    let heard = f64::from(node.out[middle]) / 2.0;
    let apart = heard - (time / period).rem_euclid(1.0);
    let is_clear = node.out[middle - 4..middle + 4].iter().all(|sample| sample.abs() < 0.96);
    is_clear.then(|| (apart - apart.round()) * period)
}

/// Plays the action on two cards, one a hundred ppm fast and one as much slow, for so long; how far they are apart at the
/// end, and at the most after the first second (s).
fn duet(rate: u32, block: usize, seconds: f64, period: f64, follow: Follow, action: Action) -> (f64, f64) {
    let settings = Settings { interp: Interp::Cubic, ..following(follow) };
    let mut nodes = [(1.0, 35e-6), (-1.0, -50e-6)].map(|(sign, drift)| {
        let mut node = Node::new(rate, settings.clone()).on(wandering, sign).drifting(drift);
        node.clip(rate, &slope((period * f64::from(rate)) as usize));
        node.send(0.0, action);
        node
    });
    let (mut most, mut last) = (0.0f64, 0.0);
    while nodes[0].now < seconds {
        // Neither gets more than a block ahead, and neither is more than that away in the other's seam.
        let [a, b] = nodes.each_mut().map(|node| {
            let began = node.block(block);
            ahead(node, began, period)
        });
        if let (Some(a), Some(b)) = (a, b) {
            last = (a - b).abs();
            if nodes[0].now > 1.0 {
                most = most.max(last);
            }
        }
    }
    (last, most)
}

#[test]
fn two_cards_200_ppm_apart_end_a_clip_of_two_hours_together() {
    let rate = 8_000;
    let frame = 1.0 / f64::from(rate);
    let (last, most) = duet(rate, 1_024, 7_200.0, 4.0, Follow::Auto, play(1.0, true));
    assert!(most < frame && last < 0.1 * frame, "{} frames, {} at the end", most / frame, last / frame);
    let (last, _) = duet(rate, 1_024, 7_200.0, 4.0, Follow::Off, play(1.0, true));
    assert!((last - 1.44).abs() < 0.01, "{last} s");
}

#[test]
fn at_48_khz_and_in_small_blocks_they_are_together_after_a_second() {
    for action in [play(1.0, true), tone(0.25)] {
        let (last, most) = duet(48_000, 64, 12.0, 4.0, Follow::Auto, action);
        let frames = [last, most].map(|seconds| seconds * 48_000.0);
        assert!(frames[1] < 1.0 && frames[0] < 0.05, "{frames:?} frames");
        let (last, _) = duet(48_000, 64, 12.0, 4.0, Follow::Off, action);
        assert!(last > 2e-3, "{last} s");
    }
}

#[test]
fn a_glide_of_the_speed_leaves_them_together() {
    let mut nodes = [1.0, -1.0].map(|sign| {
        let mut node = Node::new(48_000, following(Follow::Auto)).on(wandering, sign);
        node.clip(44_100, &slope(176_400));
        node.send(0.0, play(0.73, true));
        for (at, value, seconds) in [(2.0, 1.31, 5.0), (9.0, 1.0, 0.0)] {
            node.send(at, Action::Set { id: ID, param: Param::Rate, value, seconds });
        }
        node
    });
    let mut compared = 0;
    while nodes[0].now < 20.0 {
        // Both seen as if they had begun at once, and had gone at full speed ever since: equally wrong.
        let [a, b] = nodes.each_mut().map(|node| {
            let began = node.block(256);
            ahead(node, began, 4.0)
        });
        if let (Some(a), Some(b)) = (a, b)
            && nodes[0].now > 10.0
        {
            // Each change comes to its nearest frame, on each card another: by up to half a frame's worth of it.
            let frames = (a - b).abs() * 48_000.0;
            assert!(frames < 1.0, "{frames} frames after {} s", nodes[0].now);
            compared += 1;
        }
    }
    assert!(compared > 1_000);
}

#[test]
fn a_long_tone_is_released_together_too() {
    let shape = VoiceShape { dur: 300.0, release: 0.0, ..VoiceShape::default() };
    let action = Action::Tone(Tone { freq: 110.0, wave: Wave::Square, shape });
    for (follow, apart) in [(Follow::Auto, 0.0..5e-4), (Follow::Off, 0.058..0.062)] {
        let ends = [1.0, -1.0].map(|sign| {
            let mut node = Node::new(8_000, following(follow)).on(|_| 100.0, sign);
            node.send(0.0, action);
            let mut end = 0.0;
            while node.now < 301.0 {
                let began = node.block(64);
                let sounding = node.out.iter().rposition(|sample| *sample != 0.0);
                end = sounding.map_or(end, |frame| began + frame as f64 / 8_000.0);
            }
            end
        });
        assert!(apart.contains(&(ends[1] - ends[0]).abs()), "{ends:?}");
    }
}

#[test]
fn what_is_short_and_what_is_not_yet_off_is_a_copy() {
    let frames: Vec<f32> = (0..200_000u32).map(|n| n.wrapping_mul(2_654_435_761) as i32 as f32).collect();
    let heard = |follow, len: usize| {
        let settings = Settings { onset: Onset::Frame, ..following(follow) };
        let mut node = Node::new(48_000, settings).on(|_| 40.0, 1.0);
        node.clip(48_000, &frames[..len]);
        node.send(0.1, play(1.0, false));
        node.blocks(800, 256)
    };
    // 2.9 s: not followed.
    assert_eq!(heard(Follow::Auto, 139_000), heard(Follow::Off, 139_000));
    for (follow, len) in [(Follow::Auto, 200_000), (Follow::On, 139_000)] {
        let (heard, copy) = (heard(follow, len), heard(Follow::Off, len));
        // A quarter of a frame is 130 ms at 40 ppm.
        let same = heard.iter().zip(&copy).position(|(a, b)| a != b).expect("it follows at last");
        assert!((4_800 + 6_000..4_800 + 7_500).contains(&same), "{same}");
    }
}

#[test]
fn offline_nothing_is_off_and_every_bit_the_same() {
    let heard = |follow| {
        let (mut control, mut offline) = crate::Offline::new(following(follow), Streams::none());
        let clip = Arc::new(Clip::from_channels(48_000, &[&slope(300_000)]));
        assert!(control.supply(Supply::Clip(ClipId(0), clip)).is_ok());
        for (seconds, action) in [
            (0.013_37, play(1.0, true)),
            (0.5, play(0.9, false)),
            (0.7, tone(440.0)),
            (1.1, Action::Set { id: ID, param: Param::Rate, value: 1.5, seconds: 3.3 }),
        ] {
            let when = When::at(EnsembleTime::from_bits(0) + Span::from_secs_f64(seconds));
            let event = Event { when, from: Origin(0), late: None, action };
            control.send(event).expect("the ring has room");
        }
        let mut out = vec![0.0; 2 * 480_000];
        offline.render(&mut out);
        assert_eq!(control.counters().following.load(Relaxed), 0);
        out
    };
    assert_eq!(heard(Follow::On), heard(Follow::Off));
}

#[test]
fn a_file_trimmed_by_100_s_is_at_once_where_it_should_be_on_two_cards_200_ppm_apart() {
    let rate = 8_000;
    // The clip's own rate is another, and so is the local clock's.
    for (action, clip_rate) in [(play(1.0, true), 11_025), (tone(0.25), rate)] {
        for (sign, drift) in [(1.0, 35e-6), (-1.0, -50e-6)] {
            let settings =
                Settings { late: crate::LatePolicy::Trim, interp: Interp::Cubic, ..following(Follow::Auto) };
            let mut node = Node::new(rate, settings).on(wandering, sign).drifting(drift);
            node.clip(clip_rate, &slope(4 * clip_rate as usize));
            while node.now < 100.0 {
                node.block(1_024);
            }
            node.send(0.0, action);
            node.blocks(20, 64);
            let (mut most, mut compared) = (0.0f64, 0);
            while node.now < 130.0 {
                let began = node.block(256);
                if let Some(off) = ahead(&node, began, 4.0) {
                    most = most.max(off.abs());
                    compared += 1;
                }
            }
            assert!(compared > 500 && most * f64::from(rate) < 0.5, "{} frames off", most * f64::from(rate));
            assert_eq!(node.counters().leaps.load(Relaxed), 0);
        }
    }
}

/// The steepest way between two frames, but for the seam of the slope.
fn steepest(samples: &[f32]) -> f32 {
    samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

#[test]
fn after_an_xrun_a_voice_catches_up_within_ten_milliseconds_and_without_a_click() {
    for action in [play(1.0, true), tone(1.0)] {
        let mut node = Node::new(48_000, following(Follow::Auto)).on(|_| 30.0, 1.0);
        node.clip(48_000, &slope(48_000));
        node.send(0.0, action);
        node.blocks(300, 256);
        // 50 ms of frames nobody heard.
        node.now += 0.05;
        let after = node.blocks(2, 256);
        let began = node.block(64);
        let off = ahead(&node, began, 1.0).expect("no seam is near");
        assert!(off.abs() < 1e-4, "{off} s");
        // A fade of 2 ms, and nothing steeper.
        let steepest = steepest(&after);
        assert!(steepest < 1.0 / 90.0, "{steepest}");
        assert!(after.contains(&0.0));
        node.blocks(300, 256);
        let began = node.block(64);
        let off = ahead(&node, began, 1.0).expect("no seam is near");
        assert!(off.abs() * 48_000.0 < 0.1, "{off} s");
        assert_eq!(node.counters().leaps.load(Relaxed), 1);
    }
}

#[test]
fn a_voice_that_is_ahead_waits_for_its_time() {
    let mut node = Node::new(48_000, following(Follow::Auto));
    node.clip(48_000, &slope(48_000));
    node.send(0.0, play(1.0, true));
    node.blocks(300, 256);
    // A device that filled its buffer: the map had been 20 ms late.
    node.now -= 0.02;
    let after = node.blocks(6, 256);
    let silent = after.iter().filter(|sample| **sample == 0.0).count();
    assert!((900..1_200).contains(&silent) && steepest(&after) < 1.0 / 90.0, "{silent} silent");
    let began = node.block(64);
    let off = ahead(&node, began, 1.0).expect("no seam is near");
    assert!(off.abs() < 1e-4, "{off} s");
}

#[test]
fn a_few_milliseconds_are_worked_off_at_200_ppm() {
    let mut node = Node::new(48_000, following(Follow::Auto));
    node.clip(48_000, &slope(192_000));
    node.send(0.0, play(1.0, true));
    node.blocks(300, 256);
    node.map_late = 0.002;
    // The map is wrong, so that the voice gets ahead of the truth by as much.
    for (seconds, expected) in [(5.0, 0.001), (8.0, 0.002)] {
        let blocks = (seconds * 48_000.0 / 256.0) as usize;
        let heard = node.blocks(blocks, 256);
        assert!(heard.iter().filter(|sample| **sample == 0.0).count() < 3);
        let mut off = None;
        while off.is_none() {
            let began = node.block(64);
            off = ahead(&node, began, 4.0);
        }
        let off = off.unwrap_or_default();
        assert!((off - expected).abs() < 1e-4, "{off} s");
    }
    assert_eq!(node.counters().leaps.load(Relaxed), 0);
}

#[test]
fn a_jump_of_the_ensembles_time_moves_no_voice() {
    let heard = |jump: Option<(f64, u32)>| {
        let mut node = Node::new(48_000, following(Follow::Auto)).on(|_| 60.0, 1.0);
        node.clip(48_000, &slope(192_000));
        node.send(0.0, play(1.0, true));
        let mut heard = node.blocks(400, 256);
        if let Some((by, epoch)) = jump {
            let mut jumped = estimate(0.0, by);
            jumped.epoch = epoch;
            node.control.publish(jumped);
        }
        heard.extend(node.blocks(400, 256));
        assert_eq!(node.counters().leaps.load(Relaxed), 0);
        heard
    };
    let plain = heard(None);
    // By an hour, by little, and by a second that nobody announced.
    for jump in [(3_600.0, 1), (-3_600.0, 1), (0.015, 7), (1.0, 0)] {
        let jumped = heard(Some(jump));
        let apart = plain.iter().zip(&jumped).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A slope of a hundred thousandth of full scale a frame: a thousandth of a frame.
        assert!(apart < 1e-7, "{apart} at {jump:?}");
    }
    // The same clock, better known, is followed.
    let refined = heard(Some((0.001, 0)));
    assert!(plain.iter().zip(&refined).any(|(a, b)| (a - b).abs() > 1e-4));
}

/// What is heard of a sine by a voice that follows a card with wander, a jittery map and estimates that are wrong now
/// and then by so much (s): its spectrum, the frequency's own surroundings left out: the strongest line [dB].
fn artefacts(freq: f64, wrong: f64, interp: Interp) -> f64 {
    let mut node = Node::new(48_000, Settings { interp, ..following(Follow::Auto) }).on(wandering, 1.0);
    let sine: Vec<f32> = (0..48_000).map(|n| (TAU * freq * n as f64 / 48_000.0).sin() as f32).collect();
    node.clip(48_000, &sine);
    node.send(0.0, play(1.0, true));
    let mut heard = Vec::new();
    for block in 0..2_000 {
        node.map_late = 0.2 / 48_000.0 * node.noise();
        if block % 100 == 99 {
            let late = wrong * node.noise();
            node.control.publish(estimate(0.0, late));
        }
        node.block(128);
        heard.extend_from_slice(&node.out);
    }
    assert_eq!(node.counters().following.load(Relaxed), 1);
    let size = 65_536;
    let mut strongest = f64::NEG_INFINITY;
    for from in [48_000, 120_000, 180_000] {
        let lines = spectrum(&heard[from..from + size]);
        let carrier = freq / 48_000.0 * size as f64;
        for (line, level) in lines.iter().enumerate() {
            let away = (line as f64 - carrier).abs() * 48_000.0 / size as f64;
            if away > SURROUNDINGS {
                strongest = strongest.max(*level);
            }
        }
    }
    strongest
}

/// What the slow changes of the speed themselves do to a sine lies this close to it (Hz).
const SURROUNDINGS: f64 = 60.0;

#[test]
fn a_following_voice_is_as_clean_as_its_interpolator() {
    for freq in [1_000.0, 10_000.0] {
        let level = artefacts(freq, 20e-6, Interp::Sinc);
        assert!(level < -90.0, "{level} dB at {freq} Hz");
    }
}

/// An instrument that notes what it is told: its trim [1e-9], and how far it was to leap (frames).
struct Obedient(Arc<[AtomicI64; 2]>, bool);

impl Source for Obedient {
    fn channels(&self) -> usize {
        1
    }

    fn fill(&mut self, run: &mut Run<'_>) -> Progress {
        run[0].fill(0.5);
        Progress::Playing
    }

    fn follow(&mut self, trim: f64) -> bool {
        self.0[0].store((trim * 1e9) as i64, Relaxed);
        self.1
    }

    fn leap(&mut self, frames: f64) -> bool {
        self.0[1].store(frames.round() as i64, Relaxed);
        self.1
    }
}

impl Instrument for Obedient {
    fn start(&mut self, _: Start, _: &[f32]) {}
}

#[test]
fn an_instrument_follows_if_it_can() {
    for can in [true, false] {
        let mut node = Node::new(48_000, following(Follow::Auto)).on(|_| 100.0, -1.0);
        let told = Arc::new([AtomicI64::new(0), AtomicI64::new(0)]);
        let bank: Bank = Box::new([Box::new(Obedient(Arc::clone(&told), can)) as Box<dyn Instrument>]);
        assert!(node.control.supply(Supply::Bank(0, bank)).is_ok());
        let args = [f32::NAN; crate::MAX_ARGS];
        let event = crate::InstrumentEvent { bank: 0, args, shape: VoiceShape::default() };
        node.send(0.0, Action::Instrument(event));
        node.blocks(2_000, 256);
        node.now += 0.05;
        let heard = node.blocks(20, 256);
        let [trim, leap] = [0, 1].map(|n| told[n].load(Relaxed));
        let following = node.counters().following.load(Relaxed);
        if can {
            // The card is slow, so it has to hurry.
            assert!((trim - 100_000).abs() < 2_000 && (leap - 2_400).abs() < 2, "{trim} ppb, {leap} frames");
            assert_eq!((following, heard.contains(&0.0)), (1, true));
        } else {
            assert_eq!((following, leap, heard.contains(&0.0)), (0, 0, false));
        }
    }
}

#[test]
fn a_streamed_clip_follows_bit_for_bit_like_one_in_memory() {
    let scratch = crate::scratch::Scratch::new("follow");
    let path = scratch.path("long.wav");
    crate::scratch::write_wav(&path, &[&slope(300_000)]);
    let heard = |whole| {
        let clip = load_clip(&path, ClipConfig { whole, head: 1.0 }).expect("it was written");
        assert_eq!(clip.rest().is_some(), whole == 0.0);
        let (pool, feeder) = streams(StreamConfig::default());
        let mut node =
            Node::streaming(48_000, following(Follow::Auto), pool, Some(feeder)).on(wandering, -1.0);
        assert!(node.control.supply(Supply::Clip(ClipId(0), Arc::new(clip))).is_ok());
        node.send(0.1, play(1.0, false));
        let mut heard = node.blocks(500, 256);
        node.now += 0.05;
        heard.extend(node.blocks(700, 256));
        assert_eq!(node.counters().leaps.load(Relaxed), 1);
        assert_eq!(node.counters().starved.load(Relaxed), 0);
        heard
    };
    let (streamed, whole) = (heard(0.0), heard(f64::INFINITY));
    assert!(whole.iter().any(|sample| *sample != 0.0));
    assert!(streamed == whole);
}

#[test]
fn an_error_goes_without_swinging_over() {
    let beat = Beat { passed: 64.0, speed: 1.0, frames: 64.0, rate: 48_000.0 };
    for far in [2.0, 200.0, -3.0] {
        let mut follower = Follower::new(&beat, 64.0 - far, 0.0);
        let mut behind = Vec::new();
        for _ in 0..48_000 / 64 * 60 {
            follower.beat(&beat, true);
            behind.push(follower.behind);
            assert!(follower.trim.abs() <= MAX_TRIM);
            follower.played(64);
        }
        assert!(behind.iter().all(|behind| behind * far.signum() > -0.02 * far.abs()), "{far}");
        assert!(behind[behind.len() - 1].abs() < 1e-6);
    }
}
