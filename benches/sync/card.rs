//! How well a node knows when its card plays a frame: our frame clock and JACK's, on simulated wake-ups.
//!
//! Not for: a real server, which `cargo bench --bench onset` measures.

use crate::device::{Device, RATE, remembered};
use crate::report::{Table, digits, median, quantile, verdict};
use downbeat_sync::{DeviceRate, LocalTime, Span};

/// From then on a line counts as settled (s).
const SETTLED: f64 = 5.0;
const SECONDS: f64 = 120.0;
/// How fast the card is [ppm].
const PPM: f64 = 40.0;

/// JACK's delay-locked loop (Adriaensen 2005), with the bandwidth that JACK gives it: an eighth of a hertz.
struct Loop {
    omega: f64,
    period: f64,
    integral: f64,
    next: Option<f64>,
}

impl Loop {
    fn wake(&mut self, at: f64) -> f64 {
        let now = self.next.unwrap_or(at);
        let delta = at - now;
        self.integral += 0.5 * self.omega * delta;
        self.next = Some(now + self.period + self.omega * (delta + self.integral));
        now
    }
}

/// Errors of the map against their own median, in frames, over all seeds: G12.
pub(crate) fn measure(seeds: u64, missed: &mut Vec<String>) {
    println!(
        "\nwhich frame plays when: error against the launch's median (frames at 48 kHz), card {PPM} ppm off, {seeds} launches"
    );
    let mut table = Table::new(&[
        "",
        "p50",
        "p99 (goal)",
        "largest",
        "in the first second",
        "JACK's loop p99",
        "largest",
    ]);
    for (frames, goal, is_known) in [
        (64, 1.6, false),
        (64, 1.6, true),
        (256, 1.5, false),
        (256, 1.5, true),
        (1_024, 1.5, false),
        (1_024, 1.5, true),
    ] {
        let (mut ours, mut theirs, mut young) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 0..seeds {
            let known = if is_known { remembered(seed, PPM) } else { DeviceRate::UNKNOWN };
            let mut device = Device::new(seed, frames, PPM, known);
            let period = f64::from(frames) / RATE;
            let mut jack =
                Loop { omega: period * std::f64::consts::FRAC_PI_4, period, integral: 0.0, next: None };
            let (mut mine, mut other, mut first) = (Vec::new(), Vec::new(), Vec::new());
            let local = |t: f64| LocalTime::from_ticks(1 << 44) + Span::from_secs_f64(t);
            device.play(SECONDS, local, |error, woke| {
                let theirs = jack.wake(woke.1) - woke.0;
                if woke.0 < SETTLED {
                    if woke.0 > 1.0 {
                        first.push(RATE * error);
                    }
                    return;
                }
                mine.push(RATE * error);
                other.push(RATE * theirs);
            });
            let middle = median(&mine);
            young.extend(first.iter().map(|error| (error - middle).abs()));
            for (errors, all) in [(mine, &mut ours), (other, &mut theirs)] {
                let middle = median(&errors);
                all.extend(errors.iter().map(|error| (error - middle).abs()));
            }
        }
        let name = format!("{frames} frames, {}", if is_known { "rate remembered" } else { "first launch" });
        let p99 = quantile(&ours, 0.99);
        if p99 > goal {
            missed.push(format!("{name}: map p99 {} > {goal}", digits(p99)));
        }
        table.row(&[
            &name,
            &digits(median(&ours)),
            &format!("{} ({goal}: {})", digits(p99), verdict(p99 <= goal)),
            &digits(quantile(&ours, 1.0)),
            &digits(quantile(&young, 1.0)),
            &digits(quantile(&theirs, 0.99)),
            &digits(quantile(&theirs, 1.0)),
        ]);
    }
    table.print();
}
