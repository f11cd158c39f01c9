//! [`Budget`]: how many answers may be given, so that a flood of packets does not become one of answers.
//!
//! It counts the messages, not the questions: one question may be answered by many. None is longer than 1,400 bytes, so that by
//! questions in a victim's name no more is sent to it than 360 kB at once and 280 kB in each further second, by each of the hub's
//! budgets.

use downbeat_sync::{LocalTime, Span};

/// Messages at once.
pub(super) const BURST: u32 = 256;
/// One more after each of these: 200 a second.
const EACH: Span = Span::from_millis(5);

/// A bucket of messages that fills at a steady rate.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    /// Since when the bucket was filled up to `left`.
    since: LocalTime,
}

impl Budget {
    pub(super) fn new(now: LocalTime) -> Budget {
        Budget { left: BURST, since: now }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: LocalTime) -> bool {
        let earned = ((now - self.since).ticks() / EACH.ticks()).clamp(0, i64::from(BURST));
        self.left = (self.left + earned as u32).min(BURST);
        self.since =
            if self.left == BURST { now } else { self.since + Span::from_ticks(earned * EACH.ticks()) };
        let granted = self.left > 0;
        self.left -= u32::from(granted);
        granted
    }

    /// Takes one more for an answer whose first message is paid for; counts it if there is none.
    pub(super) fn another(&mut self, now: LocalTime, unanswered: &mut u64) -> bool {
        let granted = self.take(now);
        *unanswered += u64::from(!granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_then_a_steady_rate() {
        let start = LocalTime::from_ticks(0);
        let mut budget = Budget::new(start);
        assert_eq!((0..1000).filter(|_| budget.take(start)).count(), BURST as usize);
        let taken = (0..10_000).filter(|ms| budget.take(start + Span::from_millis(*ms))).count();
        assert_eq!(taken, 1999);
        let later = start + Span::from_secs(3600);
        assert_eq!((0..1000).filter(|_| budget.take(later)).count(), BURST as usize);
    }
}
