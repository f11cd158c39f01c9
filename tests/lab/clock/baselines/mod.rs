//! The anchors, each re-implemented in a few lines from the parameters that its authors publish: they rank methods, and
//! are not the anchors' own programs.
//!
//! All are fed forward: none steers a clock, each only says what time it is. What they would do to the clock they follow
//! (slews of O2 and Link, steps of ntpd-rs and chrony) takes effect at once here, which flatters them. Exchanges whose
//! stamps contradict themselves never reach them.

mod ableton_link;
mod chrony;
mod ntpd_rs;
mod o2;
mod sendspin;
mod snapcast;

pub(crate) use ableton_link::AbletonLink;
pub(crate) use chrony::Chrony;
pub(crate) use ntpd_rs::NtpdRs;
pub(crate) use o2::O2;
pub(crate) use sendspin::Sendspin;
pub(crate) use snapcast::Snapcast;

use super::contestant::{Contestant, Published};
use downbeat_sync::{Exchange, LocalTime, RemoteTime, Span};

/// An exchange in seconds since the first one.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Local time half-way.
    at: f64,
    /// The reference's clock less the local one.
    offset: f64,
    round_trip: f64,
}

/// Where counting begins: the first exchange.
#[derive(Clone, Copy, Debug, Default)]
struct Origin(Option<(LocalTime, RemoteTime)>);

impl Origin {
    /// `None` if the stamps contradict themselves.
    fn sample(&mut self, exchange: &Exchange) -> Option<Sample> {
        if exchange.is_absurd() {
            return None;
        }
        let (local, remote) = *self.0.get_or_insert((exchange.asked, exchange.received));
        let [asked, returned] = [exchange.asked, exchange.returned].map(|here| (here - local).as_secs_f64());
        let [received, answered] =
            [exchange.received, exchange.answered].map(|there| (there - remote).as_secs_f64());
        Some(Sample {
            at: 0.5 * (asked + returned),
            offset: 0.5 * ((received - asked) + (answered - returned)),
            round_trip: exchange.round_trip().as_secs_f64(),
        })
    }

    /// Local time (s).
    fn seconds(&self, now: LocalTime) -> f64 {
        self.0.map_or(0.0, |(local, _)| (now - local).as_secs_f64())
    }

    /// The reference's time, `offset` (s) ahead.
    fn published(&self, now: LocalTime, offset: f64, sigma: Option<f64>) -> Option<Published> {
        let (local, remote) = self.0?;
        let remote = remote + (now - local) + Span::from_secs_f64(offset);
        Some(Published { remote, sigma: sigma.map(Span::from_secs_f64), bound: None })
    }
}

/// The middle one, or half-way between the two middle ones.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len().is_multiple_of(2) { 0.5 * (values[half - 1] + values[half]) } else { values[half] }
}
