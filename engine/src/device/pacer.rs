//! [`Pacer`]: when a device without hardware asks for its blocks. Pure: it is told what time it is.

use downbeat_sync::{LocalTime, Span};

/// So many blocks behind, and the device skips to the present instead of running after it.
pub(crate) const MAX_BEHIND: u64 = 8;

/// Blocks at exact instants: block k is due k blocks after the start, computed in whole frames, so that nothing adds up.
#[derive(Clone, Debug)]
pub(crate) struct Pacer {
    start: LocalTime,
    rate: u32,
    block: u32,
    next: u64,
}

impl Pacer {
    /// The first block is due at `start`.
    pub(crate) fn new(start: LocalTime, rate: u32, block: u32) -> Pacer {
        Pacer { start, rate, block, next: 0 }
    }

    /// When the next block is due.
    pub(crate) fn due(&self) -> LocalTime {
        self.at(self.next)
    }

    /// Takes the due block. Says how many blocks were skipped before it because they came too late.
    pub(crate) fn take(&mut self, now: LocalTime) -> Tick {
        let behind = self.blocks_until(now).saturating_sub(self.next);
        let skipped = if behind > MAX_BEHIND { behind } else { 0 };
        let at = self.at(self.next + skipped);
        self.next += skipped + 1;
        Tick { at, skipped }
    }

    fn at(&self, block: u64) -> LocalTime {
        let frames = i128::from(block) * i128::from(self.block);
        self.start + Span::from_ratio(frames, i128::from(self.rate))
    }

    /// The last block due by `now`.
    fn blocks_until(&self, now: LocalTime) -> u64 {
        let elapsed = i128::from((now - self.start).ticks().max(0));
        let frames = (elapsed * i128::from(self.rate)) >> 32;
        u64::try_from(frames / i128::from(self.block)).unwrap_or(u64::MAX)
    }
}

/// One block's turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Exactly when it was due.
    pub(crate) at: LocalTime,
    /// Blocks that nobody will ever hear.
    pub(crate) skipped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Span = Span::from_millis(10);

    /// 100 frames of 10 kHz: a block is 10 ms.
    fn pacer() -> (LocalTime, Pacer) {
        let start = LocalTime::from_ticks(5 << 32);
        (start, Pacer::new(start, 10_000, 100))
    }

    fn blocks(count: i64) -> Span {
        Span::from_ticks(BLOCK.ticks() * count)
    }

    #[test]
    fn an_hour_of_blocks_ends_on_the_hour() {
        let start = LocalTime::from_ticks(77);
        let mut pacer = Pacer::new(start, 44_100, 441);
        for _ in 0..360_000 {
            let due = pacer.due();
            assert_eq!(pacer.take(due), Tick { at: due, skipped: 0 });
        }
        assert_eq!(pacer.due(), start + Span::from_secs(3600));
    }

    #[test]
    fn a_late_wake_up_moves_no_later_block() {
        let (start, mut pacer) = pacer();
        pacer.take(start);
        let late = start + blocks(1) + Span::from_millis(7);
        assert_eq!(pacer.take(late).at, start + Span::from_ratio(100, 10_000));
        assert_eq!(pacer.due(), start + Span::from_ratio(200, 10_000));
    }

    #[test]
    fn a_few_blocks_behind_are_caught_up_and_many_are_skipped() {
        let (start, mut pacer) = pacer();
        let now = start + blocks(MAX_BEHIND as i64) + Span::from_millis(1);
        for block in 0..=MAX_BEHIND {
            let tick = pacer.take(now);
            assert_eq!((tick.skipped, tick.at), (0, start + Span::from_ratio(i128::from(block), 100)));
        }
        let much_later = start + Span::from_secs(100) + Span::from_millis(3);
        let tick = pacer.take(much_later);
        assert_eq!(tick, Tick { at: start + Span::from_secs(100), skipped: 10_000 - MAX_BEHIND - 1 });
        assert_eq!(pacer.due(), start + Span::from_ratio(10_001, 100));
    }

    #[test]
    fn before_the_start_nothing_is_skipped() {
        let (start, mut pacer) = pacer();
        assert_eq!(pacer.take(start - Span::from_secs(1)), Tick { at: start, skipped: 0 });
    }
}
