//! The tones against their partials: aliases, onsets, noise.

use super::*;
use crate::event::VoiceShape;
use crate::spectrum::{fit_sine, spectrum};
use proptest::prelude::*;

const RATE: f64 = 48_000.0;

fn tone(wave: Wave, freq: f32, offset: f64) -> ToneSource {
    let start = Start { rate: RATE, offset, skip: 0.0, seed: 7 };
    ToneSource::new(&Tone { freq, wave, shape: VoiceShape::default() }, start)
}

fn take(tone: &mut ToneSource, runs: impl IntoIterator<Item = usize>) -> Vec<f32> {
    let mut out = vec![];
    for len in runs {
        let mut run = vec![0.0; len];
        assert_eq!(tone.fill(&mut [&mut run, &mut []]), Progress::Playing);
        out.extend(run);
    }
    out
}

#[test]
fn a_sine_is_a_sine() {
    for freq in [1.0, 440.0, 997.3, 12_345.6, 23_000.0] {
        let fit = fit_sine(&take(&mut tone(Wave::Sine, freq, 0.0), [128; 400]), f64::from(freq) / RATE);
        assert!(fit.snr > 130.0, "{} dB at {freq} Hz", fit.snr);
        assert!((fit.amplitude - 1.0).abs() < 1e-6);
    }
}

#[test]
fn it_begins_exactly_at_its_onset() {
    let expected = (std::f64::consts::TAU * 1_000.0 / RATE * 0.75).sin() as f32;
    assert!((take(&mut tone(Wave::Sine, 1_000.0, 0.75), [1])[0] - expected).abs() < 1e-6);
    let expected = (2.0 * 100.0 / RATE * 0.75) as f32;
    assert!((take(&mut tone(Wave::Saw, 100.0, 0.75), [1])[0] - expected).abs() < 1e-6);
}

/// The strongest line of a spectrum that is no harmonic of the tone, below a frequency [dB under the fundamental].
fn worst_alias(wave: Wave, freq: f32, below: f64) -> f64 {
    const FRAMES: usize = 1 << 15;
    let lines = spectrum(&take(&mut tone(wave, freq, 0.3), [128; FRAMES / 128]));
    let bin = RATE / FRAMES as f64;
    let of_harmonic = |line: usize| {
        let ratio = line as f64 * bin / f64::from(freq);
        (ratio - ratio.round()).abs() * f64::from(freq) < 12.0 * bin
    };
    let fundamental = lines[(f64::from(freq) / bin).round() as usize];
    let end = (below / bin) as usize;
    let aliases = lines[..end].iter().enumerate().filter(|(line, _)| !of_harmonic(*line));
    aliases.fold(f64::NEG_INFINITY, |worst, (_, level)| worst.max(level - fundamental))
}

#[test]
fn saw_and_square_have_no_aliases_worth_hearing() {
    for wave in [Wave::Saw, Wave::Square] {
        for freq in [55.3, 441.7, 1_234.5, 3_001.7, 5_003.1, 7_919.3] {
            let worst = worst_alias(wave, freq, 20_000.0);
            assert!(worst < -100.0, "{worst} dB at {freq} Hz, {wave:?}");
        }
    }
}

#[test]
fn saw_and_square_have_the_partials_they_should() {
    let frames = take(&mut tone(Wave::Saw, 480.0, 0.0), [128; 300]);
    for k in [1, 2, 7, 30] {
        let expected = 2.0 / std::f64::consts::PI / f64::from(k);
        let found = fit_sine(&frames, f64::from(k) * 480.0 / RATE).amplitude;
        assert!((found / expected - 1.0).abs() < 0.01, "{found} for {expected}");
    }
    let frames = take(&mut tone(Wave::Square, 480.0, 0.0), [128; 300]);
    for (k, expected) in [(1, 4.0 / std::f64::consts::PI), (2, 0.0), (3, 4.0 / std::f64::consts::PI / 3.0)] {
        let found = fit_sine(&frames, f64::from(k) * 480.0 / RATE).amplitude;
        assert!((found - expected).abs() < 1e-3, "{found} for {expected}");
    }
}

#[test]
fn above_nyquist_there_is_silence() {
    for wave in [Wave::Sine, Wave::Saw, Wave::Square] {
        for freq in [24_000.0, 48_000.0, 1e9, f32::MAX] {
            assert!(take(&mut tone(wave, freq, 0.3), [128]).iter().all(|sample| *sample == 0.0));
        }
    }
}

#[test]
fn noise_is_white_and_the_same_for_one_seed() {
    let frames = take(&mut tone(Wave::Noise, 1.0, 0.3), [128; 1 << 8]);
    assert_eq!(frames, take(&mut tone(Wave::Noise, 1.0, 0.9), [64; 1 << 9]));
    let n = frames.len() as f64;
    let mean = frames.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let power = frames.iter().map(|x| f64::from(x * x)).sum::<f64>() / n;
    let next = frames.windows(2).map(|w| f64::from(w[0] * w[1])).sum::<f64>() / n;
    assert!(mean.abs() < 0.02 && (power - 1.0 / 3.0).abs() < 0.01 && next.abs() < 0.01);
    assert!(frames.iter().all(|x| (-1.0..1.0).contains(x)));
}

#[test]
fn a_late_start_is_in_time_from_there_on() {
    for wave in [Wave::Sine, Wave::Saw, Wave::Noise] {
        let shape = VoiceShape::default();
        let start = Start { rate: RATE, offset: 0.0, skip: 1_000.0, seed: 7 };
        let late = take(&mut ToneSource::new(&Tone { freq: 123.4, wave, shape }, start), [100]);
        let whole = take(&mut tone(wave, 123.4, 0.0), [110; 10]);
        assert!(late.iter().zip(&whole[1_000..]).all(|(a, b)| (a - b).abs() < 1e-4), "{wave:?}");
    }
}

proptest! {
    #[test]
    fn the_same_whatever_the_run_lengths(
        wave in prop::sample::select(vec![Wave::Sine, Wave::Saw, Wave::Square, Wave::Noise]),
        freq in 0.1f32..30_000.0,
        next in 0.1f32..30_000.0,
        glide in 0u32..300,
        cuts in prop::collection::vec(1usize..=MAX_RUN, 1..20),
    ) {
        let (mut a, mut b) = (tone(wave, freq, 0.4), tone(wave, freq, 0.4));
        prop_assert_eq!(take(&mut a, [50]), take(&mut b, [1; 50]));
        a.set(Param::Freq, next, glide);
        b.set(Param::Freq, next, glide);
        let total: usize = cuts.iter().sum();
        prop_assert_eq!(take(&mut a, vec![1; total]), take(&mut b, cuts));
    }
}
