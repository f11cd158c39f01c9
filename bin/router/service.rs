//! [`Service`]: tells systemd, if that started us, that we are ready, that we live, and that we stop (sd_notify).
//!
//! Not for: anything clients see.

use downbeat_sync::{LocalTime, Span};
use sd_notify::NotifyState;

/// See the module.
pub(super) struct Service {
    /// How often systemd wants to hear that we live, and when it is to hear it next.
    watchdog: Option<(Span, LocalTime)>,
}

impl Service {
    pub(super) fn new(now: LocalTime) -> Service {
        let interval = sd_notify::watchdog_enabled().and_then(|limit| {
            let nanos = i64::try_from(limit.as_nanos()).ok().filter(|nanos| *nanos > 0)?;
            Some(Span::from_nanos((nanos / 3).min(Span::MAX.as_nanos())))
        });
        Service { watchdog: interval.map(|interval| (interval, now)) }
    }

    pub(super) fn ready(&self) {
        tell(NotifyState::Ready);
    }

    pub(super) fn stopping(&self) {
        tell(NotifyState::Stopping);
    }

    pub(super) fn tick(&mut self, now: LocalTime) {
        if let Some((interval, next)) = &mut self.watchdog
            && !now.is_before(*next)
        {
            *next = now + *interval;
            tell(NotifyState::Watchdog);
        }
    }

    pub(super) fn deadline(&self) -> Option<LocalTime> {
        self.watchdog.map(|(_, next)| next)
    }
}

/// Without systemd this does nothing.
fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot tell systemd: {error}");
    }
}
