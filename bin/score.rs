//! [`Score`]: a performance in SuperCollider's NRT form, read for `render` and `play`, written by `listen --record`.
//!
//! The file is a row of OSC bundles, each after its length as a big-endian int32; their timetags count from the score's
//! own time 0. Not for: what the messages mean (the net crate's `score`).

use anyhow::{Context, bail};
use downbeat_net::osc::{self, BundleWriter, Timed};
use downbeat_sync::{EnsembleTime, Span};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Where a bundle's timetag stands in its packet.
const TIMETAG: std::ops::Range<usize> = 8..16;

/// A performance, in the order of time.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Score {
    bundles: Vec<Bundle>,
}

/// What happens at one instant: a flat bundle, nested ones taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bundle {
    /// Since the score's time 0.
    pub(crate) at: Span,
    packet: Vec<u8>,
}

impl Score {
    /// Reads a score; bundles of equal time keep their order.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Score> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read the score {}", path.display()))?;
        Score::parse(&bytes).with_context(|| {
            let form =
                "int32 length and OSC bundle, as from SuperCollider's Score or `downbeat listen --record`";
            format!("{} is not a score ({form})", path.display())
        })
    }

    fn parse(mut bytes: &[u8]) -> anyhow::Result<Score> {
        let whole = bytes.len();
        let mut bundles = Vec::new();
        while !bytes.is_empty() {
            let at = whole - bytes.len();
            let Some((length, rest)) = bytes.split_first_chunk() else {
                bail!("it ends within a length, at byte {at}");
            };
            let length = i32::from_be_bytes(*length);
            let Some((packet, rest)) =
                usize::try_from(length).ok().and_then(|len| rest.split_at_checked(len))
            else {
                bail!("the length {length} at byte {at} is more than what follows");
            };
            // A message outside of a bundle is due at the start, as everything with the tag for "at once" is.
            flatten(packet, |timetag| Span::from_ticks(timetag.min(i64::MAX as u64) as i64), &mut bundles)
                .with_context(|| format!("the bundle at byte {}", at + 4))?;
            bytes = rest;
        }
        bundles.sort_by_key(|bundle| bundle.at);
        Ok(Score { bundles })
    }

    /// Every bundle, in the order of time.
    pub(crate) fn bundles(&self) -> &[Bundle] {
        &self.bundles
    }

    /// How many messages there are in all bundles.
    pub(crate) fn messages(&self) -> usize {
        self.bundles.iter().map(|bundle| osc::read(&bundle.packet).count()).sum()
    }

    /// When the last bundle is due.
    pub(crate) fn end(&self) -> Span {
        self.bundles.last().map_or(Span::ZERO, |bundle| bundle.at)
    }
}

impl Bundle {
    /// Bytes of the packet.
    pub(crate) fn len(&self) -> usize {
        self.packet.len()
    }

    /// The packet of a performance whose time 0 is `zero`.
    pub(crate) fn packet(&self, zero: EnsembleTime) -> Vec<u8> {
        let mut packet = self.packet.clone();
        packet[TIMETAG].copy_from_slice(&(zero + self.at).bits().to_be_bytes());
        packet
    }
}

/// Writes a score while it happens.
///
/// Bundles are appended as they come, so that little is lost if the program is killed; [`Recorder::finish`] puts them in
/// the order of time, which scsynth needs.
pub(crate) struct Recorder {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Recorder {
    /// Begins a new file, over an old one.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Recorder> {
        let file = File::create(path).with_context(|| format!("cannot record to {}", path.display()))?;
        Ok(Recorder { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Appends a packet. `at` says when a timetag lies, since the score's time 0; before it counts as 0.
    pub(crate) fn append(&mut self, packet: &[u8], at: impl Fn(u64) -> Span) -> anyhow::Result<()> {
        let mut bundles = Vec::new();
        flatten(packet, |timetag| at(timetag).max(Span::ZERO), &mut bundles)?;
        bundles.iter().try_for_each(|bundle| write(&mut self.file, bundle)).with_context(|| self.failure())
    }

    /// Hands what was appended to the system.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| self.failure())
    }

    /// Puts everything in the order of time. Returns how many bundles there are.
    pub(crate) fn finish(mut self) -> anyhow::Result<usize> {
        self.flush()?;
        let score = Score::read(&self.path)?;
        // A new file takes the old one's place only when it is whole.
        let mut sorted = self.path.clone().into_os_string();
        sorted.push(".sorted");
        let sorted = PathBuf::from(sorted);
        let write_all = || {
            let mut file = BufWriter::new(File::create(&sorted)?);
            score.bundles.iter().try_for_each(|bundle| write(&mut file, bundle))?;
            file.flush()?;
            std::fs::rename(&sorted, &self.path)
        };
        write_all().with_context(|| self.failure())?;
        Ok(score.bundles.len())
    }

    fn failure(&self) -> String {
        format!("cannot record to {}", self.path.display())
    }
}

fn write(file: &mut impl Write, bundle: &Bundle) -> std::io::Result<()> {
    file.write_all(&(bundle.packet.len() as i32).to_be_bytes())?;
    file.write_all(&bundle.packet)
}

/// Appends a packet's messages to `bundles`: those that follow each other with one timetag share a bundle.
fn flatten(packet: &[u8], at: impl Fn(u64) -> Span, bundles: &mut Vec<Bundle>) -> anyhow::Result<()> {
    let mut open: Option<(u64, Bundle)> = None;
    for item in osc::read(packet) {
        let Timed { timetag, message } = item?;
        if open.as_ref().is_none_or(|(tag, _)| *tag != timetag) {
            bundles.extend(open.take().map(|(_, bundle)| bundle));
        }
        let (_, bundle) = open.get_or_insert_with(|| {
            let at = at(timetag);
            let mut packet = Vec::new();
            BundleWriter::new(&mut packet, at.ticks() as u64);
            (timetag, Bundle { at, packet })
        });
        let bytes = message.bytes();
        bundle.packet.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        bundle.packet.extend_from_slice(bytes);
    }
    bundles.extend(open.map(|(_, bundle)| bundle));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1 << 32;

    fn bundle(timetag: u64, addresses: &[&str]) -> Vec<u8> {
        let mut packet = Vec::new();
        let mut writer = BundleWriter::new(&mut packet, timetag);
        for address in addresses {
            writer.message(address, []).expect("an address starts with /");
        }
        packet
    }

    fn file(packets: &[Vec<u8>]) -> Vec<u8> {
        packets
            .iter()
            .flat_map(|packet| [&(packet.len() as i32).to_be_bytes(), &packet[..]].concat())
            .collect()
    }

    #[test]
    fn a_score_is_sorted_by_time_and_stable() {
        let late = bundle(2 * SECOND, &["/c"]);
        let first = bundle(SECOND, &["/a"]);
        let second = bundle(SECOND, &["/b"]);
        let score =
            Score::parse(&file(&[late.clone(), first.clone(), second.clone()])).expect("it is a score");
        let zero = EnsembleTime::from_bits(0);
        let packets: Vec<_> = score.bundles().iter().map(|bundle| bundle.packet(zero)).collect();
        assert_eq!(packets, [first, second, late]);
        assert_eq!(score.end(), Span::from_secs(2));
    }

    #[test]
    fn nested_bundles_are_taken_apart_by_their_times() {
        let mut nested = bundle(SECOND, &["/a", "/b"]);
        let inner = bundle(3 * SECOND, &["/c"]);
        nested.extend_from_slice(&(inner.len() as u32).to_be_bytes());
        nested.extend_from_slice(&inner);
        let score = Score::parse(&file(&[nested])).expect("it is a score");
        let zero = EnsembleTime::from_bits(10 * SECOND);
        let packets: Vec<_> = score.bundles().iter().map(|bundle| bundle.packet(zero)).collect();
        assert_eq!(packets, [bundle(11 * SECOND, &["/a", "/b"]), bundle(13 * SECOND, &["/c"])]);
    }

    #[test]
    fn what_is_not_a_score_is_refused() {
        let good = file(&[bundle(SECOND, &["/a"])]);
        assert!(Score::parse(&good).is_ok());
        assert!(Score::parse(b"RIFF\0\0\0\0WAVE").is_err());
        for cut in 1..good.len() {
            assert!(Score::parse(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Score::parse(&file(&[b"garbage!".to_vec()])).is_err());
    }
}
