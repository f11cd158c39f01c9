//! The sampler against spectra and copies: interpolation, onsets between frames, seams and ends.

use super::*;
use crate::clip::ClipId;
use crate::event::VoiceShape;
use crate::spectrum::fit_sine;
use proptest::prelude::*;
use std::f64::consts::TAU;

const RATE: f64 = 48_000.0;

fn play(rate: f32, start: f64, looped: bool) -> Play {
    Play { clip: ClipId(0), rate, start, looped, shape: VoiceShape::default() }
}

fn at(offset: f64) -> Start {
    Start { rate: RATE, offset, skip: 0.0, seed: 0 }
}

fn sampler(clip: &Arc<Clip>, play: &Play, offset: f64, interp: Interp) -> Sampler {
    crate::interp::prepare();
    Sampler::new(play, Arc::clone(clip), None, at(offset), interp)
}

/// The next frames in runs of these lengths; shorter if it ends.
fn take(sampler: &mut Sampler, runs: impl IntoIterator<Item = usize>) -> [Vec<f32>; 2] {
    let mut out = [vec![], vec![]];
    for len in runs {
        let (mut left, mut right) = (vec![0.0; len], vec![0.0; len]);
        let progress = sampler.fill(&mut [&mut left, &mut right]);
        let count = if let Progress::Done(count) = progress { count } else { len };
        out[0].extend_from_slice(&left[..count]);
        out[1].extend_from_slice(&right[..count]);
        if progress != Progress::Playing {
            break;
        }
    }
    out
}

fn sine(cycles: f64, frames: usize) -> Vec<f32> {
    (0..frames).map(|n| (TAU * cycles * n as f64).sin() as f32).collect()
}

fn noise(frames: usize) -> Vec<f32> {
    (0..frames as u32).map(|n| n.wrapping_mul(2_654_435_761) as i32 as f32 * 2f32.powi(-31)).collect()
}

#[test]
fn an_unpitched_clip_is_a_copy() {
    let (left, right) = (noise(1_000), sine(0.01, 1_000));
    let clip = Arc::new(Clip::from_channels(48_000, &[&left, &right]));
    for (start, first) in [(0.0, 0), (0.01, 480), (0.0123, 590)] {
        for interp in [Interp::Cubic, Interp::Sinc] {
            let out =
                take(&mut sampler(&clip, &play(1.0, start, false), 0.0, interp), [7, 128, 1, 100].repeat(9));
            assert_eq!(out[0], left[first..]);
            assert_eq!(out[1], right[first..]);
        }
    }
}

#[test]
fn a_clip_is_heard_to_the_last_fraction_of_a_frame() {
    let clip = Arc::new(Clip::from_channels(48_000, &[&[1.0; 500]]));
    for interp in [Interp::Cubic, Interp::Sinc] {
        for (rate, offset) in [(1.0, 0.25), (1.0, 0.875), (0.7, 0.0), (1.3, 0.4), (2.5, 0.1)] {
            let step = f64::from(rate);
            let end = 500.0 + Kernel::choose(interp, step).reach() as f64;
            // Every output frame whose place lies before the end, however little.
            let frames = ((end - offset * step) / step).ceil() as usize;
            for run in [128, 37] {
                let play = play(rate, 0.0, false);
                let [heard, _] = take(&mut sampler(&clip, &play, offset, interp), vec![run; 40]);
                assert_eq!(heard.len(), frames, "at speed {rate}, {offset} after the onset, by {interp:?}");
            }
        }
    }
}

#[test]
fn an_unpitched_loop_is_a_copy_over_and_over() {
    let frames = noise(77);
    let clip = Arc::new(Clip::from_channels(48_000, &[&frames]));
    let out = take(&mut sampler(&clip, &play(1.0, 0.0, true), 0.0, Interp::Sinc), [128; 8]);
    assert_eq!(out[0], frames.iter().copied().cycle().take(1_024).collect::<Vec<_>>());
}

/// Plays a sine of `nyquists` times the clip's Nyquist frequency; the middle of what comes out, and its frequency.
fn resample(clip_rate: u32, rate: f32, nyquists: f64, offset: f64, interp: Interp) -> (Vec<f32>, f64) {
    let frames = sine(nyquists / 2.0, 60_000);
    let clip = Arc::new(Clip::from_channels(clip_rate, &[&frames]));
    let mut sampler = sampler(&clip, &play(rate, 0.0, false), offset, interp);
    let [out, _] = take(&mut sampler, [128; 32]);
    (out[512..].to_vec(), nyquists / 2.0 * f64::from(clip_rate) / RATE * f64::from(rate))
}

#[test]
fn sinc_is_90_db_clean_up_to_0_8_of_nyquist() {
    for nyquists in [0.01, 0.1, 0.3, 0.5, 0.7, 0.8] {
        for (clip_rate, rate, offset) in [
            (48_000, 1.0, 0.5),
            (48_000, 1.0, 0.123),
            (44_100, 1.0, 0.0),
            (44_100, 1.0, 0.7),
            (22_050, 1.0, 0.3),
            (48_000, 0.31, 0.3),
            (48_000, 0.999_9, 0.0),
            (48_000, 1.000_2, 0.0),
        ] {
            let (out, cycles) = resample(clip_rate, rate, nyquists, offset, Interp::Sinc);
            let fit = fit_sine(&out, cycles);
            assert!(fit.snr >= 90.0, "{} dB at {nyquists} of {clip_rate} Hz, speed {rate}", fit.snr);
            assert!((fit.amplitude - 1.0).abs() < 1e-4, "{} at {nyquists}, speed {rate}", fit.amplitude);
        }
    }
}

#[test]
fn cubic_is_clean_only_in_the_lower_octaves() {
    let snr = |nyquists| {
        let (out, cycles) = resample(44_100, 1.0, nyquists, 0.3, Interp::Cubic);
        fit_sine(&out, cycles).snr
    };
    assert!(snr(0.01) > 90.0);
    assert!(snr(0.1) > 50.0);
    assert!(snr(0.8) < 20.0);
}

#[test]
fn pitching_up_keeps_what_fits_and_filters_what_does_not() {
    for rate in [1.1, 1.5, 2.0, 3.3, 4.0, 7.9] {
        // Up to 0.6 of the output's Nyquist frequency it is there, clean and at full level.
        let (out, cycles) = resample(48_000, rate, 0.55 / f64::from(rate), 0.3, Interp::Sinc);
        let fit = fit_sine(&out, cycles);
        assert!(fit.snr > 85.0 && (fit.amplitude - 1.0).abs() < 1e-2, "{} dB at speed {rate}", fit.snr);
        // What lies 0.3 above it is gone.
        let above = 1.3 / f64::from(rate);
        if above < 1.0 {
            let (out, _) = resample(48_000, rate, above, 0.3, Interp::Sinc);
            let peak = out.iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
            assert!(peak < 1e-4, "{peak} left at speed {rate}");
        }
    }
}

/// The delay of a click against frame 0, by the phase of its spectrum at a frequency (frames).
fn delay(samples: &[f32], cycles: f64) -> f64 {
    let term = |(n, sample): (usize, &f32)| {
        let (sin, cos) = (TAU * cycles * n as f64).sin_cos();
        (f64::from(*sample) * cos, f64::from(*sample) * sin)
    };
    let (re, im) = samples.iter().enumerate().map(term).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    im.atan2(re) / (TAU * cycles)
}

#[test]
fn an_onset_between_two_frames_is_right_to_a_fiftieth_of_a_frame() {
    for (clip_rate, interp) in
        [(48_000, Interp::Sinc), (44_100, Interp::Sinc), (96_000, Interp::Sinc), (48_000, Interp::Cubic)]
    {
        let clip = Arc::new(Clip::from_channels(clip_rate, &[&[1.0]]));
        for quarter in 1..8 {
            let offset = f64::from(quarter) / 8.0;
            let play = play(1.0, 0.0, false);
            crate::interp::prepare();
            let lead = f64::from(Sampler::lead(&play, &clip, RATE, interp));
            let [out, _] = take(&mut sampler(&clip, &play, offset - lead, interp), [64]);
            // The onset lies `offset` before the frame that comes `lead` after the first.
            let found = delay(&out, 0.01) - (lead - offset);
            assert!(found.abs() < 0.02, "{found} frames at {offset}, {clip_rate} Hz, {interp:?}");
        }
    }
}

#[test]
fn a_loop_goes_on_through_its_seam() {
    // Ten whole cycles of 10.5 frames, at a speed that never lands on a frame.
    let frames = sine(10.0 / 105.0, 105);
    let clip = Arc::new(Clip::from_channels(44_100, &[&frames]));
    let mut sampler = sampler(&clip, &play(0.73, 0.0, true), 0.2, Interp::Sinc);
    let [out, _] = take(&mut sampler, [128; 40]);
    let fit = fit_sine(&out[128..], 10.0 / 105.0 * f64::from(0.73f32) * 44_100.0 / RATE);
    assert!(fit.snr > 90.0, "{} dB", fit.snr);
}

#[test]
fn a_late_start_is_in_time_from_there_on() {
    let clip = Arc::new(Clip::from_channels(44_100, &[&noise(5_000)]));
    let play = play(1.25, 0.0, false);
    let [whole, _] = take(&mut sampler(&clip, &play, 0.5, Interp::Sinc), [128; 10]);
    let late = Start { skip: 300.0, ..at(0.5) };
    let [rest, _] = take(&mut Sampler::new(&play, clip, None, late, Interp::Sinc), [128; 5]);
    assert!(rest.iter().zip(&whole[300..]).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn nothing_breaks_at_the_edges_of_what_may_be_asked_for() {
    for frames in [0, 1, 3] {
        let clip = Arc::new(Clip::from_channels(192_000, &[&noise(frames)]));
        for rate in [1e-30, 1e-3, 900.0, 1e30] {
            for start in [0.0, 1e9, 1e300] {
                for looped in [false, true] {
                    let mut sampler = sampler(&clip, &play(rate, start, looped), 0.4, Interp::Sinc);
                    let [out, _] = take(&mut sampler, [128, 1, 127]);
                    assert!(out.iter().all(|sample| sample.is_finite()));
                    assert_eq!(out.len() == 256, frames > 0 && (looped || (rate < 1.0 && start == 0.0)));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn the_same_whatever_the_run_lengths(
        frames in 1usize..3_000,
        clip_rate in prop::sample::select(vec![22_050, 44_100, 48_000, 192_000]),
        rate in prop::sample::select(vec![0.1f32, 0.9, 1.0, 1.0, 1.3, 2.1, 9.0, 700.0]),
        next_rate in prop::sample::select(vec![0.3f32, 1.0, 1.8, 6.0]),
        glide in 0u32..200,
        offset in prop::sample::select(vec![0.0, 0.3, -15.25]),
        looped: bool,
        sinc: bool,
        cuts in prop::collection::vec(1usize..=MAX_RUN, 1..20),
    ) {
        let (left, right) = (noise(frames), sine(0.1, frames));
        let clip = Arc::new(Clip::from_channels(clip_rate, &[&left, &right]));
        let interp = if sinc { Interp::Sinc } else { Interp::Cubic };
        let mut a = sampler(&clip, &play(rate, 0.0, looped), offset, interp);
        let mut b = sampler(&clip, &play(rate, 0.0, looped), offset, interp);
        prop_assert_eq!(take(&mut a, [50]), take(&mut b, [1; 50]));
        a.set(Param::Rate, next_rate, glide);
        b.set(Param::Rate, next_rate, glide);
        let total: usize = cuts.iter().sum();
        let ones = take(&mut a, vec![1; total]);
        prop_assert_eq!(ones, take(&mut b, cuts));
    }
}
