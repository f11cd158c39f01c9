//! [`State`]: what a node remembers from launch to launch, in one small file.
//!
//! ```toml
//! [[remembered]]
//! kind = "card"                # of what: also "peer", another host's clock, and "host", this one
//! name = "alsa hw:1,0 48000"   # which one of that kind
//! saved = 1764166381           # when, by this host's wall clock [s since 1970]
//! ppm = -12.345                # whatever there is to know of this kind
//! sigma = 0.412
//! ```
//!
//! Kinds and values that this version does not know stay as they are, so nodes of several versions can share a file.
//! Nothing in it is needed: a file that is missing, or makes no sense, costs a warning at most. Not for: what the user
//! wants (`config`), nor for deciding what is worth remembering.

use downbeat_sync::{DeviceRate, EnsembleTime, Span};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use toml::{Table, Value};

/// The file in the folder.
const FILE: &str = "state.toml";
const ENTRIES: &str = "remembered";
/// Most entries of a kind; those saved longest ago go first.
const MAX_ENTRIES: usize = 64;
/// A longer file was not written by a node (bytes).
const MAX_BYTES: u64 = 256 * 1024;
/// What was saved in the future was saved by a clock that was wrong, or this one is: it may be a month old.
const UNKNOWN_AGE: Span = Span::from_secs(30 * 86_400);
/// A clock may be set back by so much and still be right.
const SET_BACK: Span = Span::from_secs(60);

/// What is remembered of one thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Of what kind of thing: `card`, `peer`, `host`.
    pub(crate) kind: String,
    /// Which one.
    pub(crate) name: String,
    /// When.
    pub(crate) saved: EnsembleTime,
    /// What of it.
    pub(crate) values: Table,
}

/// The folder a node keeps its state in. Nothing is kept in memory, so several nodes may share one.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
    /// Whether the user was told once that it does not work.
    complained: AtomicBool,
}

impl State {
    /// The state in this folder, which need not be there yet.
    pub(crate) fn new(folder: PathBuf) -> State {
        State { folder, complained: AtomicBool::new(false) }
    }

    /// What is remembered of a thing. Reads the file.
    pub(crate) fn recall(&self, kind: &str, name: &str) -> Option<Entry> {
        self.entries().into_iter().find(|entry| entry.kind == kind && entry.name == name)
    }

    /// All that is remembered of a kind. Reads the file.
    pub(crate) fn recall_all(&self, kind: &str) -> impl Iterator<Item = Entry> {
        self.entries().into_iter().filter(move |entry| entry.kind == kind)
    }

    /// Remembers this in place of what there was of the same thing. Writes the file.
    pub(crate) fn remember(&self, entry: Entry) {
        let mut entries = self.entries();
        entries.retain(|other| other.kind != entry.kind || other.name != entry.name);
        // Oldest first.
        entries.sort_by_key(|entry| entry.saved.unix_nanos());
        let of_kind = entries.iter().filter(|other| other.kind == entry.kind).count();
        let mut surplus = (of_kind + 1).saturating_sub(MAX_ENTRIES);
        entries.retain(|other| {
            let goes = surplus > 0 && other.kind == entry.kind;
            surplus -= usize::from(goes);
            !goes
        });
        entries.push(entry);
        if let Err(error) = self.write(&print(&entries)) {
            self.complain("cannot be written", &error);
        }
    }

    fn entries(&self) -> Vec<Entry> {
        match read(&self.folder.join(FILE)) {
            Ok(text) => parse(&text).unwrap_or_else(|why| {
                self.complain("is passed over", &why);
                Vec::new()
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.complain("is passed over", &error);
                Vec::new()
            }
        }
    }

    /// The whole file at once: whoever reads it finds the old one or the new one.
    fn write(&self, text: &str) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let temporary = self.folder.join(format!(".{FILE}.{}", std::process::id()));
        let written = std::fs::File::create(&temporary).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            // Else a Pi that loses its power may keep the new name and none of the content.
            file.sync_all()
        });
        let done = written.and_then(|()| std::fs::rename(&temporary, self.folder.join(FILE)));
        if done.is_err() {
            // It may not even be there.
            let _ = std::fs::remove_file(&temporary);
        }
        done
    }

    fn complain(&self, what: &str, why: &dyn std::fmt::Display) {
        let file = self.folder.join(FILE);
        if self.complained.swap(true, Relaxed) {
            tracing::debug!("{} {what}: {why}", file.display());
        } else {
            tracing::warn!("what was remembered in {} {what}: {why}", file.display());
        }
    }
}

impl Entry {
    /// Remembers a rate: a card's against its host, a peer's clock against ours.
    pub(crate) fn of_rate(kind: &str, name: String, rate: DeviceRate, saved: EnsembleTime) -> Entry {
        let rounded = |ppm: f64| Value::Float((ppm * 1e3).round() / 1e3);
        let values = [("ppm", rounded(rate.ppm)), ("sigma", rounded(rate.sigma.max(0.001)))];
        let values = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Entry { kind: kind.to_owned(), name, saved, values }
    }

    /// Remembers a number.
    pub(crate) fn of_number(kind: &str, name: String, number: u32, saved: EnsembleTime) -> Entry {
        let values = [("number".to_owned(), Value::Integer(number.into()))].into_iter().collect();
        Entry { kind: kind.to_owned(), name, saved, values }
    }

    /// The number that was remembered.
    pub(crate) fn number(&self) -> Option<u32> {
        self.values.get("number")?.as_integer().and_then(|number| number.try_into().ok())
    }

    /// The rate that was remembered, less sure by its age.
    pub(crate) fn rate(&self, now: EnsembleTime) -> Option<DeviceRate> {
        let number = |key| match self.values.get(key)? {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        };
        let rate = DeviceRate { ppm: number("ppm")?, sigma: number("sigma")? };
        let is_sane = rate.ppm.abs() <= 1e3 && rate.sigma > 0.0 && rate.sigma.is_finite();
        let age = now - self.saved;
        let age = if age < -SET_BACK { UNKNOWN_AGE } else { age };
        is_sane.then(|| rate.aged(age))
    }
}

/// Where the state is kept if the user does not say: systemd's folder of the service, else XDG's of the user.
pub(crate) fn default_folder(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    // A service may have several; the first is as good as any.
    let service = variable("STATE_DIRECTORY").and_then(|all| absolute(all.split(':').next()?.to_owned()));
    let user = || variable("XDG_STATE_HOME").and_then(absolute).map(|home| home.join("downbeat"));
    let home = || variable("HOME").and_then(absolute).map(|home| home.join(".local/state/downbeat"));
    service.or_else(user).or_else(home)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if length as u64 > MAX_BYTES { Err(io::Error::other("it is too long")) } else { Ok(text) }
}

fn print(entries: &[Entry]) -> String {
    let entries = entries.iter().map(|entry| {
        let mut table = entry.values.clone();
        table.insert("kind".into(), Value::String(entry.kind.clone()));
        table.insert("name".into(), Value::String(entry.name.clone()));
        let seconds = entry.saved.unix_nanos() / 1_000_000_000;
        table.insert("saved".into(), Value::Integer(seconds as i64));
        Value::Table(table)
    });
    let file: Table = [(ENTRIES.to_owned(), Value::Array(entries.collect()))].into_iter().collect();
    format!(
        "# What downbeat remembers from launch to launch. Nothing is lost if you delete it but a minute of learning.\n\n{file}"
    )
}

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut file: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let Some(Value::Array(entries)) = file.remove(ENTRIES) else {
        return if file.is_empty() {
            Ok(Vec::new())
        } else {
            Err(format!("there is no [[{ENTRIES}]] in it"))
        };
    };
    Ok(entries.into_iter().filter_map(entry).collect())
}

/// `None` for what cannot be told apart from other entries.
fn entry(value: Value) -> Option<Entry> {
    let Value::Table(mut values) = value else { return None };
    let Value::String(kind) = values.remove("kind")? else { return None };
    let Value::String(name) = values.remove("name")? else { return None };
    let Value::Integer(saved) = values.remove("saved")? else { return None };
    let saved = EnsembleTime::from_unix_nanos(i128::from(saved) * 1_000_000_000);
    Some(Entry { kind, name, saved, values })
}

#[cfg(test)]
mod tests;
