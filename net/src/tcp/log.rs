//! [`Log`]: lines about connections, a few at a time, whatever clients do, and [`Notice`]: what is said of each but once.
//!
//! Not for: where lines go (the program).

use crate::allowance::Allowance;
use crate::counters::NetCounters;
use downbeat_sync::{LocalTime, Span};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Ten a second, and after a while a hundred at once.
const LINE: Span = Span::from_millis(100);
const LINES_AT_ONCE: Span = Span::from_secs(10);

/// See the module.
pub(super) struct Log {
    lines: Allowance,
    counters: Arc<NetCounters>,
}

impl Log {
    pub(super) fn new(now: LocalTime, counters: Arc<NetCounters>) -> Log {
        Log { lines: Allowance::new(now), counters }
    }

    pub(super) fn warn(&mut self, now: LocalTime, line: fmt::Arguments<'_>) {
        if self.lines.take(now, LINE, LINES_AT_ONCE) {
            tracing::warn!("{line}");
        } else {
            self.counters.unlogged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Something to be told once.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Notice {
    No,
    /// And nobody was told yet.
    News,
    Known,
}

impl Notice {
    pub(super) fn note(&mut self) {
        if *self == Notice::No {
            *self = Notice::News;
        }
    }

    /// Whether it is to be told now.
    pub(super) fn is_news(&mut self) -> bool {
        let is_news = *self == Notice::News;
        if is_news {
            *self = Notice::Known;
        }
        is_news
    }
}
