//! [`Contestant`]: who finds a clock's offset out, ours and the anchors'; and the [`FIELD`] of them.

use super::baselines::{AbletonLink, Chrony, NtpdRs, O2, Sendspin, Snapcast};
use super::polling::Polling;
use downbeat_sync::{Estimator, Exchange, LocalTime, RateBelief, RemoteTime, Span};

/// What a contestant says of a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// The reference's time.
    pub(crate) remote: RemoteTime,
    /// Its standard error, if the method has one.
    pub(crate) sigma: Option<Span>,
    /// Its hard bound, if the method has one.
    pub(crate) bound: Option<Span>,
}

/// An estimator that hears exchanges as they end.
pub(crate) trait Contestant {
    /// Hears of an exchange.
    fn take(&mut self, exchange: &Exchange);

    /// What it says at `now`; `None` while it knows nothing.
    fn published(&self, now: LocalTime) -> Option<Published>;

    /// How often it found the clock or the path changed; 0 for those who have no such notion.
    fn moves(&self) -> u64 {
        0
    }
}

/// A contestant's name, schedule and beginning.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) polling: Polling,
    pub(crate) new: fn() -> Box<dyn Contestant>,
}

/// Ours.
pub(crate) const OURS: Entry = Entry {
    name: "Downbeat",
    polling: Polling::Ours,
    new: || Box::new(Estimator::new(RateBelief::default())),
};

/// The anchors.
pub(crate) const FIELD: [Entry; 6] = [
    Entry { name: "chrony", polling: Polling::Ours, new: || Box::<Chrony>::default() },
    Entry { name: "ntpd-rs", polling: Polling::Ours, new: || Box::<NtpdRs>::default() },
    Entry { name: "Sendspin", polling: Polling::Ours, new: || Box::<Sendspin>::default() },
    Entry { name: "Snapcast", polling: Polling::Snapcast, new: || Box::<Snapcast>::default() },
    Entry { name: "Link", polling: Polling::Link, new: || Box::<AbletonLink>::default() },
    Entry { name: "O2", polling: Polling::O2, new: || Box::<O2>::default() },
];
