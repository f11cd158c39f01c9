//! What the audio thread tells the rest: [`Report`]s that need an answer, [`Counters`] that need none.
//!
//! Reports cross a ring and are `Copy`; counters are atomics anyone may read. Not for: printing or answering, which the
//! network thread does.

use crate::event::{LatePolicy, Origin};
use downbeat_sync::{DeviceRate, EnsembleTime, Span};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Something the audio thread must tell somebody about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Report {
    /// An event was placed after its timetag, because it arrived too late for it.
    Late {
        /// Who sent it.
        from: Origin,
        /// The instant it named.
        due: EnsembleTime,
        /// By how much, of the ensemble's time: to the sample.
        by: Span,
        /// What became of it.
        policy: LatePolicy,
    },
    /// An event found the agenda full and was refused.
    Full {
        /// Who sent it.
        from: Origin,
    },
    /// The answer to a cancel.
    Cancelled {
        /// Who asked.
        from: Origin,
        /// How many events were withdrawn.
        count: u32,
    },
}

/// Upper edges of the lateness histogram's bins double from 0.1 ms; the last bin takes the rest (more than 1.6 s).
pub const LATENESS_BINS: usize = 16;

/// Counts since the start, written by the audio thread, read by anyone.
///
/// `RT:` relaxed atomics only.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events drained from the ring.
    pub events: AtomicU64,
    /// Events that were carried out, in time or late.
    pub played: AtomicU64,
    /// Those of them that were carried out on the virtual device: nobody heard them.
    pub unheard: AtomicU64,
    /// Scheduled events that were withdrawn by a cancel or a panic.
    pub cancelled: AtomicU64,
    /// Events that were placed after their timetag, whatever became of them.
    pub late: AtomicU64,
    /// Late events that were dropped by policy.
    pub dropped: AtomicU64,
    /// Events refused because the agenda was full.
    pub refused: AtomicU64,
    /// Reports lost because their ring was full.
    pub reports_lost: AtomicU64,
    /// Voices stopped to make room for new ones.
    pub stolen: AtomicU64,
    /// Streamed voices that ran out of frames from disk: frames of silence played instead.
    pub starved: AtomicU64,
    /// Leaps and pauses of voices that were too far off the ensemble's time to work it off: after xruns, mostly.
    pub leaps: AtomicU64,
    /// Frames rendered.
    pub frames: AtomicU64,
    /// Xruns the device reported.
    pub xruns: AtomicU64,
    /// How often the frame clock found frames missing and placed itself anew.
    pub resyncs: AtomicU64,
    /// Scheduled events waiting now.
    pub pending: AtomicU32,
    /// Voices sounding now.
    pub voices: AtomicU32,
    /// Voices whose speed follows the ensemble's time now.
    pub following: AtomicU32,
    /// How much faster than the sound card they go: of the one that is trimmed most [1e-9].
    pub trim_ppb: AtomicI32,
    /// Time used of the time allowed, smoothed [1e-6 of a block's length].
    pub load_ppm: AtomicU32,
    /// The largest time used of the time allowed since last asked [1e-6].
    pub peak_load_ppm: AtomicU32,
    /// The device's rate against its nominal one [1e-9 of the local clock].
    pub device_ppb: AtomicI32,
    /// What was learned of it that is worth remembering.
    pub learned: LearnedRate,
    /// Standard error of the frame map (ns).
    pub frame_sigma_ns: AtomicU32,
    /// Output latency in use, trim included (ns).
    pub latency_ns: AtomicI64,
    /// Lateness by bins.
    pub lateness: [AtomicU64; LATENESS_BINS],
}

impl Counters {
    /// Files a lateness in its bin.
    pub fn file_lateness(&self, by: Span) {
        let tenths = by.as_nanos().max(0) / 100_000;
        let bin = tenths.checked_ilog2().map_or(0, |log| 1 + log as usize);
        self.lateness[bin.min(LATENESS_BINS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// The upper edge of a bin of the lateness histogram; the last has none.
    pub fn lateness_edge(bin: usize) -> Option<Span> {
        (bin + 1 < LATENESS_BINS).then(|| Span::from_micros(100 << bin))
    }
}

/// A device's rate, in one piece: its ppb above, their standard error below; 0 where nothing is learned yet.
///
/// `RT:` one relaxed atomic.
#[derive(Debug, Default)]
pub struct LearnedRate(AtomicU64);

impl LearnedRate {
    /// What is known, in whole ppb; `None` if nothing is.
    pub fn get(&self) -> Option<DeviceRate> {
        let both = self.0.load(Ordering::Relaxed);
        let (ppb, sigma) = ((both >> 32) as i32, both as u32);
        (sigma > 0).then(|| DeviceRate { ppm: f64::from(ppb) * 1e-3, sigma: f64::from(sigma) * 1e-3 })
    }

    pub(crate) fn set(&self, learned: Option<DeviceRate>) {
        let both = learned.map_or(0, |DeviceRate { ppm, sigma }| {
            let (ppb, sigma) = ((ppm * 1e3).round() as i32, (sigma * 1e3).ceil().max(1.0) as u32);
            u64::from(ppb as u32) << 32 | u64::from(sigma)
        });
        self.0.store(both, Ordering::Relaxed);
    }
}

/// One more of something, from one writer or several.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learned_rate_comes_out_as_it_went_in() {
        let learned = LearnedRate::default();
        assert_eq!(learned.get(), None);
        for ppm in [-999.999, -0.001, 0.0, 73.25] {
            let rate = DeviceRate { ppm, sigma: 0.316 };
            learned.set(Some(rate));
            let back = learned.get().expect("it was set");
            assert!((back.ppm - ppm).abs() < 1e-9 && (back.sigma - 0.316).abs() <= 0.001, "{back:?}");
        }
        learned.set(None);
        assert_eq!(learned.get(), None);
    }

    #[test]
    fn lateness_lands_below_its_bins_edge() {
        let counters = Counters::default();
        for micros in [0, 99, 100, 199, 200, 1_500, 900_000, 60_000_000] {
            counters.file_lateness(Span::from_micros(micros));
            let filed = counters.lateness.iter().position(|bin| bin.swap(0, Ordering::Relaxed) == 1);
            let bin = filed.expect("it was filed once");
            assert!(Counters::lateness_edge(bin).is_none_or(|edge| Span::from_micros(micros) < edge));
            assert!(
                bin == 0 || Counters::lateness_edge(bin - 1).is_some_and(|e| Span::from_micros(micros) >= e)
            );
        }
    }
}
