//! [`Log`]: what became of each packet and when, and the summary of it.

use super::Way;
use downbeat_sync::{LocalTime, Span};
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::Path;

/// What became of a packet, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was sent on.
    Sent,
    /// It was sent on once more.
    Again,
    /// The law lost it.
    Lost,
    /// It fell into a black hole: the law's, or of a cut cable.
    Hole,
    /// The queue was full.
    Full,
    /// There was nobody to send it to yet, or the system refused it.
    Unsent,
    /// It came from somebody else than the peer that was named.
    Foreign,
}

const ENDS: [(End, &str); 7] = [
    (End::Sent, "sent"),
    (End::Again, "again"),
    (End::Lost, "lost"),
    (End::Hole, "hole"),
    (End::Full, "full"),
    (End::Unsent, "unsent"),
    (End::Foreign, "foreign"),
];

/// One packet, or its copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) way: Way,
    pub(crate) bytes: usize,
    /// When it came, by the kernel's stamp where there is one.
    pub(crate) came: LocalTime,
    /// When it was to leave; when it came, if it never was to.
    pub(crate) due: LocalTime,
    /// When it left: read right before the call that sent it.
    pub(crate) left: LocalTime,
    pub(crate) end: End,
}

/// Entries in the order in which the packets left or ended, as many as there is room for; counts of all.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) entries: Vec<Entry>,
    most: usize,
    counts: [[u64; ENDS.len()]; 2],
    /// Packets without a stamp of the kernel: their arrival is the relay's own reading.
    pub(crate) unstamped: u64,
    /// Whether the relay had real-time priority.
    pub(crate) realtime: bool,
}

impl Log {
    /// A log of so many entries at most; what is more is only counted.
    pub(crate) fn new(most: usize) -> Log {
        let entries = Vec::with_capacity(most.min(1 << 16));
        Log { entries, most, counts: Default::default(), unstamped: 0, realtime: false }
    }

    pub(crate) fn note(&mut self, entry: Entry) {
        self.counts[entry.way as usize][entry.end as usize] += 1;
        if self.entries.len() < self.most {
            self.entries.push(entry);
        }
    }

    /// How many packets of one way ended so.
    pub(crate) fn count(&self, way: Way, end: End) -> u64 {
        self.counts[way as usize][end as usize]
    }

    /// How late each packet of one way left, sorted.
    pub(crate) fn lateness(&self, way: Way) -> Vec<Span> {
        let sent = self.entries.iter().filter(|entry| entry.way == way);
        let sent = sent.filter(|entry| matches!(entry.end, End::Sent | End::Again));
        let mut lateness: Vec<_> = sent.map(|entry| entry.left - entry.due).collect();
        lateness.sort_unstable();
        lateness
    }

    /// Writes it as CSV. Instants are nanoseconds of the raw clock, which all processes of a host share.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let nanos = |time: LocalTime| (time - LocalTime::from_ticks(0)).as_nanos();
        let mut out = io::BufWriter::new(std::fs::File::create(path)?);
        writeln!(out, "way,bytes,came_ns,due_ns,left_ns,end")?;
        for entry in &self.entries {
            let Entry { way, bytes, came, due, left, end } = *entry;
            let way = if way == Way::Forth { "forth" } else { "back" };
            let [came, due, left] = [came, due, left].map(nanos);
            writeln!(out, "{way},{bytes},{came},{due},{left},{}", ENDS[end as usize].1)?;
        }
        out.flush()
    }
}

/// Two lines, one for each way.
impl Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for way in Way::BOTH {
            let name = if way == Way::Forth { "forth" } else { "back " };
            write!(f, "{name}:")?;
            for (end, word) in ENDS {
                write!(f, " {} {word},", self.count(way, end))?;
            }
            let lateness = self.lateness(way);
            let at = |part: f64| lateness[((lateness.len() - 1) as f64 * part) as usize];
            match lateness.last() {
                Some(largest) => {
                    writeln!(f, " late by p50 {}, p99 {}, at most {largest}", at(0.5), at(0.99))?;
                }
                None => writeln!(f, " nothing to be late")?,
            }
        }
        let priority = if self.realtime { "with" } else { "without" };
        let noted: u64 = self.counts.iter().flatten().sum();
        let unlogged = noted - self.entries.len() as u64;
        write!(f, "{priority} real-time priority, {} unstamped, {unlogged} not logged", self.unstamped)
    }
}
