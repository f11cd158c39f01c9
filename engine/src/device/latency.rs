//! [`LatencyFilter`]: one steady output latency out of a device's wavering claims.
//!
//! Each callback the device says when its first frame will leave the connector; against the callback's own `now` that
//! gives a latency, short by however late the callback woke up. The frame clock does not follow single callbacks, it
//! takes the earliest tenth of each stretch as its line. So this filter takes the latest tenth of the same claims: what
//! wake-up lateness remains in the one is missing in the other, and the sum (when a frame is heard) stands still, from
//! launch to launch and under load. Stretches are then put together by their median over a minute, as the frame clock
//! does too.

use downbeat_sync::Span;

/// A stretch is at least this long ...
const STRETCH: Span = Span::from_millis(100);
/// ... and has at least this many callbacks ...
const MIN_CLAIMS: usize = 10;
/// ... and at most this many.
const MAX_CLAIMS: usize = 256;
/// Stretches before the median is trusted.
const MIN_STRETCHES: usize = 3;
/// Stretches in the median: a minute of the shortest ones.
const MAX_STRETCHES: usize = 600;
/// A move by more than this, in this many stretches running, is a real change and no noise [1 ms, about half a second].
const CHANGE: i64 = Span::from_millis(1).ticks();
const CHANGE_STRETCHES: usize = 5;

/// The filter. `RT:` fixed memory (about 12 KB), a few microseconds at the end of a stretch, nothing else.
#[derive(Clone, Debug)]
pub(crate) struct LatencyFilter {
    claims: Vec<i64>,
    elapsed: Span,
    /// The stretches in order of arrival, oldest at `oldest` once it is full.
    arrived: Vec<i64>,
    oldest: usize,
    sorted: Vec<i64>,
    /// How many stretches running were far above (positive) or below (negative).
    strays: i64,
    /// A stretch below this is not believed (ticks).
    floor: i64,
}

impl LatencyFilter {
    /// An empty filter. Allocates all it will ever need.
    pub(crate) fn new() -> LatencyFilter {
        LatencyFilter {
            claims: Vec::with_capacity(MAX_CLAIMS),
            elapsed: Span::ZERO,
            arrived: Vec::with_capacity(MAX_STRETCHES),
            oldest: 0,
            sorted: Vec::with_capacity(MAX_STRETCHES),
            strays: 0,
            floor: 0,
        }
    }

    /// Takes one callback's claim and the length of its block.
    pub(crate) fn observe(&mut self, claim: Span, block: Span) {
        self.claims.push(claim.ticks());
        self.elapsed += block;
        let enough = self.elapsed >= STRETCH && self.claims.len() >= MIN_CLAIMS;
        if enough || self.claims.len() == MAX_CLAIMS {
            let rank = self.claims.len() - 1 - self.claims.len() / 10;
            let (_, high, _) = self.claims.select_nth_unstable(rank);
            let high = *high;
            self.claims.clear();
            self.elapsed = Span::ZERO;
            self.end_stretch(high);
        }
    }

    /// The latency, once enough is known.
    pub(crate) fn latency(&self) -> Option<Span> {
        (self.sorted.len() >= MIN_STRETCHES).then(|| Span::from_ticks(self.sorted[self.sorted.len() / 2]))
    }

    /// Forgets everything: the device has changed. Its latency is at least `floor`.
    pub(crate) fn restart(&mut self, floor: Span) {
        self.floor = floor.ticks();
        self.forget();
    }

    fn forget(&mut self) {
        self.claims.clear();
        self.elapsed = Span::ZERO;
        self.arrived.clear();
        self.oldest = 0;
        self.sorted.clear();
        self.strays = 0;
    }

    fn end_stretch(&mut self, high: i64) {
        if high < self.floor {
            return;
        }
        if let Some(latency) = self.latency() {
            let off = high - latency.ticks();
            let same_side = off.signum() == self.strays.signum();
            self.strays = match off.abs() > CHANGE {
                true if same_side => self.strays + off.signum(),
                true => off.signum(),
                false => 0,
            };
            if self.strays.unsigned_abs() as usize >= CHANGE_STRETCHES {
                self.forget();
            }
        }
        self.insert(high);
    }

    fn insert(&mut self, value: i64) {
        if self.arrived.len() == MAX_STRETCHES {
            let leaving = std::mem::replace(&mut self.arrived[self.oldest], value);
            self.oldest = (self.oldest + 1) % MAX_STRETCHES;
            let place = self.sorted.partition_point(|other| *other < leaving);
            self.sorted.remove(place);
        } else {
            self.arrived.push(value);
        }
        let place = self.sorted.partition_point(|other| *other < value);
        self.sorted.insert(place, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Span = Span::from_micros(5_333);
    const TRUE_LATENCY: Span = Span::from_micros(10_667);

    /// Wake-up lateness that never is negative, mostly small and sometimes not; seeded.
    fn lateness(seed: &mut u64, scale: i64) -> Span {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let random = (*seed >> 33) as i64 % 1_000;
        Span::from_micros(if random > 950 { 2_000 } else { 20 + random * scale / 1_000 })
    }

    fn feed(filter: &mut LatencyFilter, seed: &mut u64, blocks: usize, latency: Span, scale: i64) {
        for _ in 0..blocks {
            filter.observe(latency - lateness(seed, scale), BLOCK);
        }
    }

    #[test]
    fn it_is_the_claim_less_the_lateness_of_the_earliest_tenth() {
        let (mut filter, mut seed) = (LatencyFilter::new(), 1);
        assert_eq!(filter.latency(), None);
        feed(&mut filter, &mut seed, 2_000, TRUE_LATENCY, 100);
        let latency = filter.latency().expect("ten seconds are enough");
        let missing = TRUE_LATENCY - latency;
        assert!(missing > Span::from_micros(20) && missing < Span::from_micros(40), "{missing}");
    }

    #[test]
    fn a_burst_of_lateness_moves_nothing() {
        let (mut filter, mut seed) = (LatencyFilter::new(), 2);
        feed(&mut filter, &mut seed, 5_000, TRUE_LATENCY, 100);
        let before = filter.latency();
        feed(&mut filter, &mut seed, 60, TRUE_LATENCY - Span::from_millis(3), 100);
        let after = filter.latency();
        let moved = before.zip(after).map(|(a, b)| (a - b).abs());
        assert!(moved.is_some_and(|moved| moved < Span::from_micros(3)), "{moved:?}");
    }

    #[test]
    fn a_real_change_is_followed_within_a_second() {
        let (mut filter, mut seed) = (LatencyFilter::new(), 3);
        feed(&mut filter, &mut seed, 20_000, TRUE_LATENCY, 100);
        let changed = TRUE_LATENCY + Span::from_millis(5);
        feed(&mut filter, &mut seed, 187, changed, 100);
        let latency = filter.latency().expect("three stretches since the change");
        assert!((changed - latency) < Span::from_micros(60), "{latency}");
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let (mut filter, mut seed) = (LatencyFilter::new(), 5);
        filter.restart(TRUE_LATENCY - Span::from_micros(250));
        feed(&mut filter, &mut seed, 500, TRUE_LATENCY - Span::from_micros(300), 100);
        assert_eq!(filter.latency(), None);
        feed(&mut filter, &mut seed, 500, TRUE_LATENCY, 100);
        assert!(filter.latency().is_some());
    }

    #[test]
    fn it_holds_its_memory() {
        let (mut filter, mut seed) = (LatencyFilter::new(), 4);
        feed(&mut filter, &mut seed, 100_000, TRUE_LATENCY, 100);
        assert_eq!(filter.arrived.len(), MAX_STRETCHES);
        assert_eq!(filter.arrived.capacity(), MAX_STRETCHES);
        assert_eq!(filter.sorted.capacity(), MAX_STRETCHES);
        assert_eq!(filter.claims.capacity(), MAX_CLAIMS);
        let mut arrived = filter.arrived.clone();
        arrived.sort_unstable();
        assert_eq!(arrived, filter.sorted);
    }
}
