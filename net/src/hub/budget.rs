//! [`Budget`]: how many answers may be given, so that a flood of packets does not become one of answers.
//!
//! It counts the messages, not the questions: one question may be answered by many. None is longer than 1,400 bytes, so that by
//! questions in a victim's name no more is sent to it than 360 kB at once and 280 kB in each further second, by each of the hub's
//! budgets.

use crate::allowance::Allowance;
use downbeat_sync::{LocalTime, Span};

/// Messages at once.
pub(super) const BURST: u32 = 256;
/// One more after each of these: 200 a second.
const EACH: Span = Span::from_millis(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Budget(Allowance);

impl Budget {
    pub(super) fn new(now: LocalTime) -> Budget {
        Budget(Allowance::new(now))
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: LocalTime) -> bool {
        self.0.take(now, EACH, Span::from_ticks(i64::from(BURST) * EACH.ticks()))
    }

    /// Takes one more for an answer whose first message is paid for; counts it if there is none.
    pub(super) fn another(&mut self, now: LocalTime, unanswered: &mut u64) -> bool {
        let granted = self.take(now);
        *unanswered += u64::from(!granted);
        granted
    }
}
