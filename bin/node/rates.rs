//! [`Rates`]: a node's memory of rates, those of its cards and of other hosts' clocks: when what was learned is worth a line in the
//! state file.
//!
//! Not for: learning (`downbeat_sync::FrameClock` and its `Session`) and files (`state`). Files are written by a thread of their own: the
//! network thread must not wait for an SD card.

use super::hosts;
use crate::state::{Entry, State};
use downbeat_engine::device::{DeviceState, Host, Identity};
use downbeat_engine::{Counters, Recall};
use downbeat_sync::{Clock, DeviceRate, EnsembleTime, LocalTime, RateBelief, Span, WallAnchor};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

const CARD: &str = "card";
/// Least time between two writes of the same card, and of the same host: a Pi may end by a pulled plug, and an SD card by writing.
const EVERY: Span = Span::from_secs(60);
const HOSTS_EVERY: Span = Span::from_secs(600);
/// What has not changed is written again after so long, so that a power cut does not make it look old.
const REFRESH: Span = Span::from_secs(3_600);

/// Hosts that are noted; more are not, in one launch.
const HOSTS: usize = 64;
/// What waits to be written, at most; of what is dropped there will be a newer one.
const WAITING: usize = 16;

/// See the module. Dropping it writes what is still to be written.
pub(super) struct Rates {
    counters: Arc<Counters>,
    card: Notebook,
    hosts: BTreeMap<u32, Notebook>,
    pages: Option<SyncSender<Entry>>,
    writer: Option<JoinHandle<()>>,
}

/// Decides what to write when, of one card after the other or of one host.
#[derive(Debug)]
struct Notebook {
    kind: &'static str,
    every: Span,
    /// The newest, if it is not written.
    pending: Option<(String, DeviceRate, EnsembleTime)>,
    written: Option<(String, DeviceRate, LocalTime)>,
}

/// Looks up what is remembered of a card.
pub(super) fn recall(state: Arc<State>, clock: Clock) -> Recall {
    Box::new(move |device, rate| {
        let entry = state.recall(CARD, &name(device, rate))?;
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
    /// Starts the writer of what is noted, and of what the audio thread has learned by these counters.
    pub(super) fn start(state: Arc<State>, counters: Arc<Counters>) -> io::Result<Rates> {
        let (pages, to_write) = sync_channel::<Entry>(WAITING);
        let write = move || to_write.into_iter().for_each(|entry| state.remember(entry));
        let writer = thread::Builder::new().name("state".into()).spawn(write)?;
        let card = Notebook::new(CARD, EVERY);
        Ok(Rates { counters, card, hosts: BTreeMap::new(), pages: Some(pages), writer: Some(writer) })
    }

    /// Looks at what is known of the rate of this device, which was in use a moment ago: after a move nothing is known of
    /// the next one for some seconds, so that what is known is of this one.
    pub(super) fn note_card(&mut self, now: WallAnchor, device: &DeviceState) {
        let learned = self.counters.learned.get().filter(|_| device.host != Host::Virtual);
        let Some(rate) = learned else { return };
        let identity = Identity { host: device.host, name: &device.device };
        let entry = self.card.note(now, name(identity, device.format.rate), rate);
        self.write(entry);
    }

    /// Takes what was learned of the clocks of other hosts, by their numbers.
    pub(super) fn note_hosts(&mut self, now: WallAnchor, learned: impl Iterator<Item = (u32, RateBelief)>) {
        for (host, rate) in learned {
            if self.hosts.len() >= HOSTS && !self.hosts.contains_key(&host) {
                continue;
            }
            let book = self.hosts.entry(host).or_insert_with(|| Notebook::new(hosts::PEER, HOSTS_EVERY));
            let entry = book.note(now, hosts::name(host), rate.into());
            self.write(entry);
        }
    }

    fn write(&self, entry: Option<Entry>) {
        if let (Some(entry), Some(pages)) = (entry, &self.pages) {
            // The writer hangs at older ones; there will be newer ones.
            let _ = pages.try_send(entry);
        }
    }
}

impl Drop for Rates {
    fn drop(&mut self) {
        let books = std::iter::once(&mut self.card).chain(self.hosts.values_mut());
        let rest: Vec<Entry> = books.filter_map(Notebook::rest).collect();
        if let Some(pages) = self.pages.take() {
            for entry in rest {
                // A writer that is gone has panicked, and was reported.
                let _ = pages.send(entry);
            }
        }
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Notebook {
    fn new(kind: &'static str, every: Span) -> Notebook {
        Notebook { kind, every, pending: None, written: None }
    }

    /// What to write now.
    fn note(&mut self, now: WallAnchor, name: String, rate: DeviceRate) -> Option<Entry> {
        let is_due = match &self.written {
            Some((last, known, at)) if *last == name => {
                let since = now.local - *at;
                since >= REFRESH || (since >= self.every && is_news(*known, rate))
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
        Some(Entry::of_rate(self.kind, name, rate, wall))
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
            synchronised: false,
        }
    }

    #[test]
    fn it_writes_once_a_minute_what_changed_and_at_the_end_the_rest() {
        let mut notebook = Notebook::new(CARD, EVERY);
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

    #[test]
    fn what_is_learned_of_hosts_is_written_now_and_then_and_at_the_end_and_is_bounded() {
        let folder = std::env::temp_dir().join(format!("downbeat-rates-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let state = Arc::new(State::new(folder.clone()));
        let mut rates = Rates::start(Arc::clone(&state), Arc::default()).expect("there are threads");
        let saved = |host: u32| {
            let entry = state.recall(hosts::PEER, &hosts::name(host))?;
            let ppm = entry.rate(at(1_300).wall)?.ppm;
            Some((ppm, entry.saved - at(0).wall))
        };
        for secs in 0..1_300 {
            let belief = RateBelief { rate: 1e-9 * f64::from(secs as u32), sigma: 0.3e-6 };
            rates.note_hosts(at(secs), (1..100).map(|host| (host, belief)));
        }
        assert_eq!(rates.hosts.len(), HOSTS);
        drop(rates);
        assert_eq!(saved(64), Some((1.299, Span::from_secs(1_299))));
        assert_eq!(saved(65), None);
        let _ = std::fs::remove_dir_all(&folder);

        let mut book = Notebook::new(hosts::PEER, HOSTS_EVERY);
        let mut note =
            |secs: i64, ppm: f64| book.note(at(secs), hosts::name(7), DeviceRate { ppm, sigma: 0.3 });
        let written = (0..1_300).filter(|secs| note(*secs, *secs as f64).is_some()).collect::<Vec<_>>();
        assert_eq!(written, [0, 600, 1_200]);
    }
}
