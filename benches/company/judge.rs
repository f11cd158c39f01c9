//! [`Curve`]: how far a clock, or what is heard, is ahead of steady time; and what is said of it. Pure.
//!
//! Not for: how it was measured (`watch`, `stage`).

use crate::report::told::Reading;
use crate::watch::{GAIN, Known};
use downbeat_sync::EnsembleTime;

/// Readings further apart than this are not compared with each other (s).
const NEIGHBOURS: f64 = 0.25;

/// Points by number: seconds, and how many microseconds ahead; nothing where there is no point.
pub(crate) struct Curve {
    points: Vec<Option<(f64, f64)>>,
}

/// From when to when (s).
pub(crate) type Window = (f64, f64);

impl Curve {
    /// A published clock against our raw one; both count from `origin`.
    pub(crate) fn of_clock(known: &Known, origin: Reading) -> Curve {
        let point = |reading: &Reading| {
            let since = reading.at - origin.at;
            (since.as_secs_f64(), 1e6 * ((reading.time - origin.time) - since).as_secs_f64())
        };
        Curve { points: known.readings.iter().map(|reading| reading.as_ref().map(point)).collect() }
    }

    /// The clicks of a recording of so many frames a second against their timetags, in order.
    pub(crate) fn of_clicks(tags: &[EnsembleTime], frames: &[u64], rate: f64, origin: Reading) -> Curve {
        let first = frames.first().copied().unwrap_or(0);
        let point = |(tag, frame): (&EnsembleTime, &u64)| {
            let due = (*tag - origin.time).as_secs_f64();
            let heard = (frame - first) as f64 / rate;
            (due, 1e6 * (heard - due))
        };
        Curve { points: tags.iter().zip(frames).map(|pair| Some(point(pair))).collect() }
    }

    fn within(&self, (from, to): Window) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().flatten().copied().filter(move |(at, _)| (from..to).contains(at))
    }

    /// The share of points that are there (%).
    pub(crate) fn share(&self) -> f64 {
        100.0 * self.points.iter().flatten().count() as f64 / self.points.len() as f64
    }

    /// Its slope by least squares [ppm].
    pub(crate) fn slope(&self, window: Window) -> f64 {
        let n = self.within(window).count() as f64;
        let mean = |of: fn((f64, f64)) -> f64| self.within(window).map(of).sum::<f64>() / n;
        let (x, y) = (mean(|p| p.0), mean(|p| p.1));
        let above: f64 = self.within(window).map(|p| (p.0 - x) * (p.1 - y)).sum();
        above / self.within(window).map(|p| (p.0 - x) * (p.0 - x)).sum::<f64>()
    }

    /// The largest step from point to point, beside this slope (us).
    pub(crate) fn largest_step(&self, window: Window, slope: f64) -> f64 {
        let points: Vec<_> = self.within(window).collect();
        let near = points.windows(2).filter(|pair| pair[1].0 - pair[0].0 < NEIGHBOURS);
        let steps = near.map(|pair| (pair[1].1 - pair[0].1 - slope * (pair[1].0 - pair[0].0)).abs());
        steps.fold(f64::NAN, f64::max)
    }
}

/// How far apart these clocks are, round by round, where all of them were read: seconds, and microseconds.
fn spreads<'a>(curves: &'a [Curve], who: &'a [usize]) -> impl Iterator<Item = (f64, f64)> + 'a {
    let rounds = curves.iter().map(|curve| curve.points.len()).min().unwrap_or(0);
    (0..rounds).filter_map(move |round| {
        let points: Option<Vec<(f64, f64)>> = who.iter().map(|n| curves[*n].points[round]).collect();
        let points = points?;
        let largest = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
        let least = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        Some((points.first()?.0, largest - least))
    })
}

/// The largest distance between two of these clocks (us).
pub(crate) fn apart(curves: &[Curve], who: &[usize], (from, to): Window) -> f64 {
    spreads(curves, who)
        .filter(|(at, _)| (from..to).contains(at))
        .map(|point| point.1)
        .fold(f64::NAN, f64::max)
}

/// How long after `from` the last two of these clocks were further apart than so much (us); NaN if they are at the end.
pub(crate) fn agree_after(curves: &[Curve], who: &[usize], from: f64, near: f64) -> f64 {
    let after: Vec<_> = spreads(curves, who).filter(|(at, _)| *at >= from).collect();
    match after.iter().rposition(|(_, apart)| *apart > near) {
        None if after.is_empty() => f64::NAN,
        None => 0.0,
        Some(last) => after.get(last + 1).map_or(f64::NAN, |(at, _)| at - from),
    }
}

/// One frame for each click in a recording: those that fell on one frame are heard as one that is louder.
pub(crate) fn clicks(recording: &[(u64, f32)]) -> Vec<u64> {
    let each = recording
        .iter()
        .flat_map(|(frame, sample)| std::iter::repeat_n(*frame, (sample / GAIN).round() as usize));
    each.collect()
}
