//! [`Allowance`]: how much may be done in a time, with a burst: answers, so that a flood of packets does not become one of
//! answers; packets of a client.
//!
//! Kept as one time, up to which everything is paid for: what is done costs the time in which it is earned, and may run ahead
//! of the present by a burst (the generic cell rate algorithm of ITU-T I.371). Not for: what it is spent on.

use downbeat_sync::{LocalTime, Span};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    paid_until: LocalTime,
}

impl Allowance {
    /// One with a full burst.
    pub(crate) fn new(now: LocalTime) -> Allowance {
        Allowance { paid_until: now }
    }

    /// Takes what is earned in `cost`, if `burst` allows for it.
    pub(crate) fn take(&mut self, now: LocalTime, cost: Span, burst: Span) -> bool {
        let paid_until = self.paid_until.later(now) + cost;
        let granted = paid_until - now <= burst;
        if granted {
            self.paid_until = paid_until;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_then_a_steady_rate() {
        let start = LocalTime::from_ticks(0);
        let each = Span::from_millis(5);
        let burst = Span::from_ticks(256 * each.ticks());
        let mut allowance = Allowance::new(start);
        assert_eq!((0..1000).filter(|_| allowance.take(start, each, burst)).count(), 256);
        let taken =
            (0..10_000).filter(|ms| allowance.take(start + Span::from_millis(*ms), each, burst)).count();
        assert_eq!(taken, 1999);
        let later = start + Span::from_secs(3600);
        assert_eq!((0..1000).filter(|_| allowance.take(later, each, burst)).count(), 256);
    }
}
