//! The pool as a whole: places, stops, steals, streams, and the same bits in every split.

use super::*;
use crate::clip::ClipId;
use crate::event::{DEFAULT_RELEASE, MAX_ARGS, Origin, VoiceShape, Wave};
use crate::source::{Instrument, Progress, Run};
use crate::stream::{StreamConfig, streams};
use proptest::prelude::*;

const RATE: f64 = 48_000.0;

fn shape() -> VoiceShape {
    VoiceShape::default()
}

fn play(shape: VoiceShape) -> Play {
    Play { clip: ClipId(0), rate: 1.0, start: 0.0, looped: true, shape }
}

fn tone(wave: Wave, freq: f32, shape: VoiceShape) -> Tone {
    Tone { freq, wave, shape }
}

fn at(offset: f64) -> Start {
    Start { rate: RATE, offset, skip: 0.0, seed: 3 }
}

fn born(seq: u32) -> Born {
    Born { position: 0.0, seq }
}

/// One clip of ones: every change of level shows.
fn ones(channels: usize) -> Arc<Clip> {
    Arc::new(Clip::from_channels(48_000, &vec![&[1.0f32; 100][..]; channels]))
}

fn mixed(voices: &mut Voices, outputs: usize, frames: usize) -> Vec<Box<[f32]>> {
    let mut bus = vec![vec![0.0; frames].into_boxed_slice(); outputs];
    voices.mix(&mut bus, 0..frames);
    bus
}

fn steepest(samples: &[f32]) -> f32 {
    samples.windows(2).fold(0.0, |most, pair| most.max((pair[1] - pair[0]).abs()))
}

fn pool(max: usize) -> Voices {
    Voices::new(max, RATE, Interp::Sinc)
}

/// A ramp that counts its frames, for a hundred of them.
struct Counting {
    next: f32,
    by: f32,
}

impl Source for Counting {
    fn channels(&self) -> usize {
        1
    }

    fn fill(&mut self, run: &mut Run<'_>) -> Progress {
        for (i, out) in run[0].iter_mut().enumerate() {
            if self.next >= 100.0 {
                return Progress::Done(i);
            }
            *out = self.next;
            self.next += self.by;
        }
        Progress::Playing
    }

    fn set(&mut self, param: Param, value: f32, _: u32) -> bool {
        self.by = value;
        param == Param::Freq
    }
}

impl Instrument for Counting {
    fn start(&mut self, _: Start, args: &[f32]) {
        *self = Counting { next: args[0], by: 1.0 };
    }
}

fn bank(size: usize) -> Bank {
    (0..size).map(|_| Box::new(Counting { next: 0.0, by: 1.0 }) as Box<dyn Instrument>).collect()
}

fn counting(first: f32, shape: VoiceShape) -> InstrumentEvent {
    let mut args = [f32::NAN; MAX_ARGS];
    args[0] = first;
    InstrumentEvent { bank: 5, args, shape }
}

#[test]
fn sounds_go_where_they_should() {
    let half = std::f32::consts::FRAC_1_SQRT_2;
    for (source, outputs, channel, pan, expected) in [
        (1, 1, None, 0.7, vec![1.0]),
        (1, 2, None, 0.0, vec![half, half]),
        (1, 2, None, -1.0, vec![1.0, 0.0]),
        (1, 4, None, 1.0, vec![0.0, 1.0, 0.0, 0.0]),
        (1, 4, Some(2), 0.7, vec![0.0, 0.0, 1.0, 0.0]),
        (1, 2, Some(2), 0.0, vec![0.0, 0.0]),
        (2, 1, None, 0.0, vec![1.0]),
        (2, 2, None, 0.0, vec![1.0, 1.0]),
        (2, 2, None, -0.75, vec![1.0, 0.25]),
        (2, 4, Some(2), 0.0, vec![0.0, 0.0, 1.0, 1.0]),
        (2, 3, Some(2), 0.0, vec![0.0, 0.0, 1.0]),
    ] {
        let mut voices = pool(4);
        voices.start_play(
            &play(VoiceShape { channel, pan, ..shape() }),
            ones(source),
            None,
            at(0.0),
            born(0),
        );
        let bus = mixed(&mut voices, outputs, 300);
        let found: Vec<f32> = bus.iter().map(|channel| channel[200]).collect();
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-7), "{found:?} {expected:?}");
    }
}

#[test]
fn an_unpitched_sample_comes_out_bit_for_bit() {
    let frames: Vec<f32> = (0..500u32).map(|n| n.wrapping_mul(2_654_435_761) as i32 as f32 / 2e9).collect();
    let clip = Arc::new(Clip::from_channels(48_000, &[&frames]));
    for (outputs, channel, output) in [(1, None, 0), (6, Some(4), 4)] {
        let mut voices = pool(4);
        let play = Play { looped: false, ..play(VoiceShape { channel, ..shape() }) };
        let lead = voices.lead(&play, &clip);
        assert_eq!(lead, 16);
        voices.start_play(&play, Arc::clone(&clip), None, at(-f64::from(lead)), born(0));
        let bus = mixed(&mut voices, outputs, 600);
        assert!(bus[output][..16].iter().all(|sample| *sample == 0.0));
        assert_eq!(bus[output][16..516], frames);
        assert!(bus[output][516..].iter().all(|sample| *sample == 0.0));
        assert!(voices.is_empty() && !voices.uses(&clip));
    }
}

#[test]
fn a_stop_falls_no_steeper_than_its_release() {
    for release in [DEFAULT_RELEASE, 0.05] {
        let mut voices = pool(4);
        voices.start_play(&play(VoiceShape { release, ..shape() }), ones(1), None, at(0.0), born(0));
        let mut out = mixed(&mut voices, 1, 77)[0].to_vec();
        assert_eq!(voices.stop(Target::All, born(1)), 1);
        out.extend(&mixed(&mut voices, 1, 5_000)[0]);
        assert!(steepest(&out) <= 1.0 / (release * RATE as f32) + 1e-6);
        assert_eq!(out.last(), Some(&0.0));
        assert!(voices.is_empty());
    }
}

#[test]
fn changes_of_gain_and_pan_are_smooth() {
    let id = VoiceId::new(9);
    let mut voices = pool(4);
    voices.start_play(&play(VoiceShape { id: Some(id), ..shape() }), ones(1), None, at(0.0), born(0));
    let mut out = [vec![], vec![]];
    for (param, value) in [(Param::Gain, 0.2), (Param::Pan, 1.0), (Param::Pan, -0.3), (Param::Gain, 1.5)] {
        assert_eq!(voices.set(id, param, value, 200, born(1)), 1);
        for (out, mixed) in out.iter_mut().zip(mixed(&mut voices, 2, 150)) {
            out.extend(mixed);
        }
    }
    assert!(steepest(&out[0]) < 0.012 && steepest(&out[1]) < 0.012);
}

#[test]
fn parameters_reach_only_those_that_have_them() {
    let mut voices = pool(8);
    voices.register(5, bank(2));
    let mine = VoiceShape { id: Some(VoiceId::new(1)), ..shape() };
    voices.start_play(&play(mine), ones(1), None, at(0.0), born(0));
    voices.start_tone(&tone(Wave::Saw, 100.0, mine), at(0.0), born(0));
    assert!(voices.start_instrument(&counting(0.0, mine), at(0.0), born(0)));
    voices.start_tone(&tone(Wave::Saw, 100.0, shape()), at(0.0), born(0));
    let mut set = |param| voices.set(VoiceId::new(1), param, 0.5, 0, born(1));
    assert_eq!([set(Param::Gain), set(Param::Pan), set(Param::Rate), set(Param::Freq)], [3, 3, 1, 2]);
    assert_eq!(voices.set(VoiceId::new(2), Param::Gain, 0.5, 0, born(1)), 0);
}

#[test]
fn a_change_does_not_reach_voices_born_after_it() {
    let mut voices = pool(8);
    let id = VoiceId::new(1);
    let mine = VoiceShape { id: Some(id), ..shape() };
    let early = Born { position: 100.5, seq: 4 };
    // Begun ahead of its onset, at frame 85: a stop due at frame 100 comes later but is not meant for it.
    voices.start_play(&play(mine), ones(1), None, at(-15.5), early);
    for (position, seq, reached) in
        [(100.0, 9, 0), (100.5, 3, 0), (100.5, 4, 0), (100.5, 5, 1), (101.0, 1, 1)]
    {
        let change = Born { position, seq };
        assert_eq!(voices.set(id, Param::Gain, 1.0, 0, change), reached);
        assert_eq!(voices.stop(Target::Voice(id), change), reached);
    }
}

#[test]
fn a_stop_reaches_whom_it_names() {
    let mut voices = pool(8);
    voices.start_play(&play(shape()), ones(1), None, at(0.0), born(0));
    voices.start_tone(
        &tone(Wave::Sine, 100.0, VoiceShape { id: Some(VoiceId::new(1)), ..shape() }),
        at(0.0),
        born(0),
    );
    assert_eq!(voices.stop(Target::Clip(ClipId(1)), Born::LAST), 0);
    assert_eq!(voices.stop(Target::Clip(ClipId(0)), Born::LAST), 1);
    assert_eq!(voices.stop(Target::Voice(VoiceId::new(1)), Born::LAST), 1);
    mixed(&mut voices, 2, 1_000);
    assert!(voices.is_empty());
}

#[test]
fn the_quietest_releasing_voice_is_stolen_or_else_the_oldest() {
    let mut voices = pool(3);
    let named = |id, gain| VoiceShape { id: Some(VoiceId::new(id)), gain, release: 1.0, ..shape() };
    for (id, gain) in [(0, 0.4), (1, 0.1), (2, 0.2)] {
        voices.start_play(&play(named(id, gain)), ones(1), None, at(0.0), born(id));
    }
    voices.stop(Target::Voice(VoiceId::new(1)), Born::LAST);
    voices.stop(Target::Voice(VoiceId::new(2)), Born::LAST);
    mixed(&mut voices, 1, 10);
    let mut out = vec![];
    let sounding = |voices: &mut Voices| {
        (0..6)
            .filter(|id| voices.set(VoiceId::new(*id), Param::Pan, 0.0, 0, Born::LAST) == 1)
            .collect::<Vec<_>>()
    };
    for (id, left) in [(3, vec![0, 2, 3]), (4, vec![0, 3, 4]), (5, vec![3, 4, 5])] {
        voices.start_play(&play(named(id, 0.0)), ones(1), None, at(0.0), born(id));
        assert_eq!(sounding(&mut voices), left);
        assert_eq!((voices.len(), voices.take_stolen()), (3, 1));
        out.extend(mixed(&mut voices, 1, 60)[0].iter());
    }
    out.extend(mixed(&mut voices, 1, 200)[0].iter());
    // They fade out in two milliseconds, each from its own level.
    assert!(steepest(&out) <= (0.4 + 0.2 + 0.1) / 96.0 + 1e-6);
    assert_eq!(out.last(), Some(&0.0));
}

#[test]
fn a_storm_of_starts_keeps_to_the_pool() {
    let mut voices = pool(5);
    let clip = ones(2);
    for seq in 0..1_000 {
        voices.start_play(&play(shape()), Arc::clone(&clip), None, at(0.0), born(seq));
        assert!(voices.len() <= 5);
    }
    assert_eq!(voices.take_stolen(), 995);
    assert!(Arc::strong_count(&clip) <= 1 + 5 + FADING);
    voices.panic();
    assert_eq!((voices.len(), Arc::strong_count(&clip)), (0, 1));
    assert!(mixed(&mut voices, 2, 100).iter().all(|channel| channel.iter().all(|sample| *sample == 0.0)));
}

#[test]
fn an_instrument_has_as_many_voices_as_instances() {
    let mut voices = pool(8);
    assert!(!voices.start_instrument(&counting(0.0, shape()), at(0.0), born(0)));
    assert!(voices.register(5, bank(2)).is_none());
    let straight = VoiceShape { channel: Some(0), ..shape() };
    for (seq, first) in [(0, 10.0), (1, 20.0), (2, 30.0)] {
        assert!(voices.start_instrument(&counting(first, straight), at(0.0), born(seq)));
    }
    assert_eq!((voices.len(), voices.take_stolen()), (2, 1));
    // The third took the place of the first.
    assert_eq!(mixed(&mut voices, 1, 3)[0][..], [50.0, 52.0, 54.0]);
    // One ends after 80 frames in all, the other after 70.
    let out = mixed(&mut voices, 1, 80);
    assert_eq!(out[0][66..68], [99.0 + 89.0, 90.0]);
    assert_eq!(out[0][76..], [99.0, 0.0, 0.0, 0.0]);
    assert!(voices.is_empty());
    assert_eq!(voices.register(5, bank(1)).map(|old| old.len()), Some(2));
    assert_eq!(voices.register(255, bank(1)).map(|old| old.len()), Some(1));
}

#[test]
fn what_comes_late_and_is_trimmed_fades_in() {
    let mut voices = pool(4);
    let start = Start { skip: 1_000.0, ..at(0.0) };
    voices.start_play(&play(VoiceShape { dur: 0.05, ..shape() }), ones(1), None, start, born(0));
    let out = mixed(&mut voices, 1, 2_000);
    assert_eq!(out[0][0], 0.0);
    assert!(steepest(&out[0]) <= 1.0 / 96.0 + 1e-6);
    // It still ends when it would have ended: 50 ms and the release after its onset, of which 1,000 frames are over.
    let end = 2_400 + 240 - 1_000;
    assert!(out[0][end - 1] > 0.0 && out[0][end + 1..].iter().all(|sample| *sample == 0.0));
}

#[test]
fn a_stream_is_given_back_when_its_voice_ends() {
    let clip = Arc::new(Clip::streamed(48_000, 10_000, 300, &[&[0.5; 400]], "gone.wav".into()));
    let (mut pool_of_streams, _feeder) = streams(StreamConfig::default());
    let mut voices = pool(2);
    let play = Play { looped: false, ..play(VoiceShape { channel: Some(0), ..shape() }) };
    let from = voices.stream_from(&play, &clip, &at(0.0));
    let reader = pool_of_streams.open(&clip, from, false, Origin(0));
    assert!(reader.is_some());
    voices.start_play(&play, Arc::clone(&clip), reader, at(0.0), born(0));
    // The head sounds; what the disk never sends is silence, and counted.
    let out = mixed(&mut voices, 1, 1_280);
    assert_eq!((out[0][127], out[0][1_279]), (0.5, 0.0));
    let starved = voices.take_starved();
    assert!((1_280 - 300..1_280).contains(&starved), "{starved}");
    assert!(voices.take_reader().is_none());
    voices.panic();
    assert!(voices.take_reader().is_some() && voices.take_reader().is_none());
}

/// Something that happens to the pool.
#[derive(Clone, Debug)]
enum Step {
    Clip { rate: f32, offset: f64, stereo: bool, shape: VoiceShape },
    Tone { wave: Wave, shape: VoiceShape },
    Instrument { shape: VoiceShape },
    Set { id: u32, param: Param, value: f32, frames: u32 },
    Stop { id: u32 },
    Mix { frames: usize },
}

fn any_shape() -> impl Strategy<Value = VoiceShape> {
    let times = (0.0f32..0.01, 0.0f32..0.01, 0.0f32..0.01, prop::option::of(0.0f32..0.02));
    let channel = prop::option::of(0u16..3);
    (0u32..3, 0.0f32..1.0, -1.0f32..1.0, channel, times).prop_map(|(id, gain, pan, channel, times)| {
        let (attack, decay, release, dur) = times;
        VoiceShape {
            id: Some(VoiceId::new(id)),
            gain,
            pan,
            channel,
            attack,
            decay,
            sustain: 0.6,
            release,
            dur: dur.unwrap_or(f32::INFINITY),
        }
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let rate = prop::sample::select(vec![0.5f32, 1.0, 1.7]);
    let offset = prop::sample::select(vec![0.0, 0.4, -15.25]);
    let wave = prop::sample::select(vec![Wave::Sine, Wave::Saw, Wave::Square, Wave::Noise]);
    let param = prop::sample::select(vec![Param::Gain, Param::Pan, Param::Rate, Param::Freq]);
    prop_oneof![
        1 => (rate, offset, any::<bool>(), any_shape())
            .prop_map(|(rate, offset, stereo, shape)| Step::Clip { rate, offset, stereo, shape }),
        1 => (wave, any_shape()).prop_map(|(wave, shape)| Step::Tone { wave, shape }),
        1 => any_shape().prop_map(|shape| Step::Instrument { shape }),
        1 => (0u32..3, param, 0.1f32..1.0, 0u32..300)
            .prop_map(|(id, param, value, frames)| Step::Set { id, param, value, frames }),
        1 => (0u32..3).prop_map(|id| Step::Stop { id }),
        4 => (1usize..300).prop_map(|frames| Step::Mix { frames }),
    ]
}

/// What comes out on three channels, each mix in pieces of at most these lengths.
fn performed(steps: &[Step], pieces: &[usize]) -> Vec<Vec<f32>> {
    let mut voices = pool(4);
    voices.register(5, bank(2));
    let frames: Vec<f32> = (0..400).map(|n| (n as f32 * 0.7).sin()).collect();
    let [mono, stereo] = [1, 2].map(|n| Arc::new(Clip::from_channels(44_100, &vec![&frames[..]; n])));
    let mut out = vec![vec![]; 3];
    let mut pieces = pieces.iter().cycle();
    for (seq, step) in steps.iter().enumerate() {
        let born = born(seq as u32);
        match *step {
            Step::Clip { rate, offset, stereo: two, shape } => {
                let clip = Arc::clone(if two { &stereo } else { &mono });
                let play = Play { rate, looped: seq % 2 == 0, ..play(shape) };
                voices.start_play(&play, clip, None, at(offset), born);
            }
            Step::Tone { wave, shape } => voices.start_tone(&tone(wave, 777.7, shape), at(0.3), born),
            Step::Instrument { shape } => {
                voices.start_instrument(&counting(0.0, shape), at(0.3), born);
            }
            Step::Set { id, param, value, frames } => {
                voices.set(VoiceId::new(id), param, value, frames, born);
            }
            Step::Stop { id } => {
                voices.stop(Target::Voice(VoiceId::new(id)), born);
            }
            Step::Mix { frames } => {
                let mut bus = vec![vec![0.0; frames].into_boxed_slice(); 3];
                let mut from = 0;
                while from < frames {
                    let to = frames.min(from + pieces.next().expect("they go round"));
                    voices.mix(&mut bus, from..to);
                    from = to;
                }
                for (out, channel) in out.iter_mut().zip(bus) {
                    out.extend(channel);
                }
            }
        }
    }
    out
}

proptest! {
    #[test]
    fn the_same_bits_whatever_the_run_lengths(
        steps in prop::collection::vec(any_step(), 1..40),
        pieces in prop::collection::vec(1usize..200, 1..10),
    ) {
        let [single, split] = [&[1][..], &pieces].map(|pieces| performed(&steps, pieces).concat());
        let at = single.iter().zip(&split).position(|(a, b)| a != b);
        // Tells a wrong split from a machine that does not give the same bits twice.
        let repeatable = || performed(&steps, &[1]).concat() == single && performed(&steps, &pieces).concat() == split;
        prop_assert!(
            at.is_none(),
            "sample {at:?}: {:?} {:?}, repeatable: {}", at.map(|n| single[n]), at.map(|n| split[n]), repeatable()
        );
    }
}
