//! How clean a signal is: the measure behind the tests of everything that computes a waveform.

use std::f64::consts::TAU;

/// A sine of known frequency, fitted to samples by least squares.
pub(crate) struct Fit {
    /// Linear amplitude of the sine.
    pub(crate) amplitude: f64,
    /// Power of the sine over that of everything else [dB].
    pub(crate) snr: f64,
}

/// Fits a sine of `cycles` per frame, and a constant.
pub(crate) fn fit_sine(samples: &[f32], cycles: f64) -> Fit {
    let basis = |n: usize| {
        let (sin, cos) = (TAU * cycles * n as f64).sin_cos();
        [sin, cos, 1.0]
    };
    // Normal equations, solved by elimination.
    let mut rows = [[0.0; 4]; 3];
    for (n, sample) in samples.iter().enumerate() {
        let b = basis(n);
        for i in 0..3 {
            for j in 0..3 {
                rows[i][j] += b[i] * b[j];
            }
            rows[i][3] += b[i] * f64::from(*sample);
        }
    }
    for i in 0..3 {
        let pivot = rows[i];
        for (_, row) in rows.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = row[i] / pivot[i];
            row.iter_mut().zip(pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    let [a, b, c] = std::array::from_fn(|i| rows[i][3] / rows[i][i]);
    let rest = |(n, sample): (usize, &f32)| {
        let [sin, cos, one] = basis(n);
        (f64::from(*sample) - a * sin - b * cos - c * one).powi(2)
    };
    let noise = samples.iter().enumerate().map(rest).sum::<f64>() / samples.len() as f64;
    let amplitude = a.hypot(b);
    Fit { amplitude, snr: 10.0 * (amplitude * amplitude / 2.0 / noise.max(1e-30)).log10() }
}

/// The amplitude of each of the frequencies 0, 1/n, 2/n ... 1/2 cycles per frame, seen through a window whose side lobes
/// lie 120 dB down (Kaiser); a full-scale sine shows as 0 dB [dB].
pub(crate) fn spectrum(samples: &[f32]) -> Vec<f64> {
    let n = samples.len();
    assert!(n.is_power_of_two(), "so that halving works");
    let middle = (n - 1) as f64 / 2.0;
    let shape = |i: usize| (1.0 - ((i as f64 - middle) / middle).powi(2)).max(0.0).sqrt();
    let window: Vec<f64> = (0..n).map(|i| crate::sinc::bessel_i0(17.0 * shape(i))).collect();
    let gain = 2.0 / window.iter().sum::<f64>();
    let signal: Vec<_> = samples.iter().zip(&window).map(|(s, w)| (f64::from(*s) * w * gain, 0.0)).collect();
    let bins = fourier(&signal);
    bins[..=n / 2].iter().map(|(re, im)| 20.0 * re.hypot(*im).max(1e-15).log10()).collect()
}

/// The discrete Fourier transform, by halves.
fn fourier(signal: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let n = signal.len();
    if n == 1 {
        return signal.to_vec();
    }
    let half = |first: usize| fourier(&signal.iter().copied().skip(first).step_by(2).collect::<Vec<_>>());
    let (even, odd) = (half(0), half(1));
    let turned = |k: usize| {
        let (sin, cos) = (-TAU * k as f64 / n as f64).sin_cos();
        let (re, im) = odd[k % (n / 2)];
        (re * cos - im * sin, re * sin + im * cos)
    };
    (0..n)
        .map(|k| {
            let (even, turned) = (even[k % (n / 2)], turned(k));
            (even.0 + turned.0, even.1 + turned.1)
        })
        .collect()
}
