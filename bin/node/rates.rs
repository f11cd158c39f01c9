//! [`Rates`]: a node's memory of its cards' rates: when what the audio thread learned is worth a line in the state file.
//!
//! Not for: learning (`downbeat_sync::FrameClock`) and files (`state`). Files are written by a thread of their own: the
//! network thread must not wait for an SD card.

use crate::state::{Entry, State};
use downbeat_engine::device::{DeviceState, Host, Identity};
use downbeat_engine::{Counters, Recall};
use downbeat_sync::{Clock, DeviceRate, EnsembleTime, LocalTime, Span, WallAnchor};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

const KIND: &str = "card";
/// Least time between two writes of the same.
const EVERY: Span = Span::from_secs(60);
/// What has not changed is written again after so long, so that a power cut does not make it look old.
const REFRESH: Span = Span::from_secs(3_600);

/// See the module. Dropping it writes what is still to be written.
pub(super) struct Rates {
    counters: Arc<Counters>,
    notebook: Notebook,
    pages: Option<SyncSender<Entry>>,
    writer: Option<JoinHandle<()>>,
}

/// Decides what to write when.
#[derive(Debug, Default)]
struct Notebook {
    /// The newest, if it is not written.
    pending: Option<(String, DeviceRate, EnsembleTime)>,
    written: Option<(String, DeviceRate, LocalTime)>,
}

/// Looks up what is remembered of a card.
pub(super) fn recall(state: Arc<State>, clock: Clock) -> Recall {
    Box::new(move |device, rate| {
        let entry = state.recall(KIND, &name(device, rate))?;
        let known = entry.rate(clock.anchor().wall)?;
        tracing::debug!(
            "{} is remembered to run {:.2} ppm fast, give or take {:.2}",
            entry.name,
            known.ppm,
            known.sigma
        );
        Some(known)
    })
}

impl Rates {
    /// Starts the writer of what the audio thread has learned by these counters.
    pub(super) fn start(state: Arc<State>, counters: Arc<Counters>) -> io::Result<Rates> {
        let (pages, to_write) = sync_channel::<Entry>(1);
        let write = move || to_write.into_iter().for_each(|entry| state.remember(entry));
        let writer = thread::Builder::new().name("state".into()).spawn(write)?;
        Ok(Rates { counters, notebook: Notebook::default(), pages: Some(pages), writer: Some(writer) })
    }

    /// Looks at what is known of the rate of this device, which was in use a moment ago: after a move nothing is known of
    /// the next one for some seconds, so that what is known is of this one.
    pub(super) fn note(&mut self, now: WallAnchor, device: &DeviceState) {
        let learned = self.counters.learned.get().filter(|_| device.host != Host::Virtual);
        let Some(rate) = learned else { return };
        let identity = Identity { host: device.host, name: &device.device };
        let entry = self.notebook.note(now, name(identity, device.format.rate), rate);
        if let (Some(entry), Some(pages)) = (entry, &self.pages) {
            // The writer hangs at an older one; there will be newer ones.
            let _ = pages.try_send(entry);
        }
    }
}

impl Drop for Rates {
    fn drop(&mut self) {
        if let (Some(entry), Some(pages)) = (self.notebook.rest(), self.pages.take()) {
            // A writer that is gone has panicked, and was reported.
            let _ = pages.send(entry);
        }
        self.pages = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Notebook {
    /// What to write now.
    fn note(&mut self, now: WallAnchor, name: String, rate: DeviceRate) -> Option<Entry> {
        let is_due = match &self.written {
            Some((last, known, at)) if *last == name => {
                let since = now.local - *at;
                since >= REFRESH || (since >= EVERY && is_news(*known, rate))
            }
            _ => true,
        };
        self.pending = Some((name, rate, now.wall));
        if !is_due {
            return None;
        }
        let entry = self.rest()?;
        self.written = Some((entry.name.clone(), rate, now.local));
        Some(entry)
    }

    /// What was not written yet.
    fn rest(&mut self) -> Option<Entry> {
        let (name, rate, wall) = self.pending.take()?;
        Some(Entry::of_rate(KIND, name, rate, wall))
    }
}

/// Whether the next launch would be any better for it: the rate moved by a third of what a restart makes uncertain, or is
/// known clearly better.
fn is_news(known: DeviceRate, rate: DeviceRate) -> bool {
    (known.ppm - rate.ppm).abs() > 0.1 || rate.sigma < 0.7 * known.sigma
}

/// By what a card is known: another rate may come from another crystal.
fn name(device: Identity<'_>, rate: u32) -> String {
    format!("{} {} {rate}", device.host, device.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> WallAnchor {
        WallAnchor {
            local: LocalTime::from_ticks(0) + Span::from_secs(secs),
            wall: EnsembleTime::from_unix(Span::from_secs(1_700_000_000 + secs)),
            uncertainty: Span::ZERO,
        }
    }

    #[test]
    fn it_writes_once_a_minute_what_changed_and_at_the_end_the_rest() {
        let mut notebook = Notebook::default();
        let mut written = Vec::new();
        let mut note = |secs: i64, name: &str, ppm: f64, sigma: f64| {
            let entry = notebook.note(at(secs), name.into(), DeviceRate { ppm, sigma });
            written.extend(entry.map(|entry| (secs, entry.name)));
        };
        for half in 0..600 {
            // Learns for two minutes, then knows, then the room gets warmer.
            let sigma = 40.0 / f64::from(half.clamp(1, 240));
            note(i64::from(half) / 2, "a", if half < 500 { 3.0 } else { 4.0 }, sigma);
        }
        note(300, "b", 7.0, 1.0);
        let expected = [(0, "a"), (60, "a"), (120, "a"), (250, "a"), (300, "b")];
        assert_eq!(written, expected.map(|(secs, name)| (secs, name.to_owned())));
        assert_eq!(notebook.rest(), None, "all was written");
        assert!(notebook.note(at(301), "b".into(), DeviceRate { ppm: 7.0, sigma: 0.9 }).is_none());
        assert_eq!(notebook.rest().map(|entry| entry.saved), Some(at(301).wall));
    }
}
