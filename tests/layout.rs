//! The house's own rules, read from its sources: who may import what, and who may read a clock.

use crate::lab::repository;
use std::path::Path;

/// Where a foreign crate may be used: files, or folders that end in `/`.
const FOREIGN: &[(&str, &[&str])] = &[
    // The edges of the operating system.
    (
        "nix",
        &[
            "sync/src/clock.rs",
            "sync/src/clock/",
            "net/src/udp.rs",
            "net/src/group.rs",
            "net/src/stamps.rs",
            "engine/src/device/priority.rs",
            "bin/router/descriptors.rs",
        ],
    ),
    ("mio", &["net/src/reactor.rs", "net/src/tcp.rs", "net/src/tcp/", "net/src/udp.rs", "net/src/stamps.rs"]),
    (
        "socket2",
        &[
            "net/src/tcp.rs",
            "net/src/tcp/",
            "net/src/udp.rs",
            "net/src/group.rs",
            "net/src/stamps.rs",
            "net/src/stamps/",
        ],
    ),
    ("cpal", &["engine/src/device/"]),
    ("alsa", &["engine/src/device/"]),
    ("jack", &["engine/src/device/"]),
    ("thread_priority", &["engine/src/device/"]),
    // Wide instructions.
    ("pulp", &["engine/src/", "sync/src/estimator/edge.rs", "sync/src/estimator/sums.rs"]),
    // What crosses between threads.
    (
        "rtrb",
        &[
            "engine/src/lane.rs",
            "engine/src/drain.rs",
            "engine/src/stream.rs",
            "engine/src/feeder.rs",
            "engine/src/recorder.rs",
            "bin/router/hasher.rs",
        ],
    ),
    ("crossbeam_utils", &["engine/src/device/seat.rs"]),
    ("ringbuf", &["engine/src/stream.rs", "engine/src/feeder.rs", "engine/src/recorder.rs"]),
    // Passwords.
    ("argon2", &["net/src/router/hashing.rs"]),
    ("ctutils", &["net/src/router/hashing.rs", "net/src/router/secret.rs"]),
    ("zeroize", &["net/src/router/", "net/src/framing/partial.rs"]),
    // Transports.
    ("rustls", &["net/src/tcp/tls.rs", "net/src/tcp/tests/", "net/src/tcp/transport/tests.rs"]),
    ("tungstenite", &["net/src/tcp/websocket.rs", "net/src/tcp/tests/", "net/src/tcp/transport/tests.rs"]),
    // Seals.
    ("hmac", &["net/src/key.rs"]),
    ("sha2", &["net/src/key.rs"]),
    // Files.
    ("hound", &["engine/src/wav_out.rs", "engine/src/wav/", "engine/src/scratch.rs", "tests/"]),
    // The oracle of our own codec; it never touches input (reference: 5 ways to kill its decoder).
    ("rosc", &["net/src/osc/", "net/benches/", "benches/", "tests/"]),
    ("rustc_hash", &["net/src/"]),
    // The program's own.
    ("anyhow", &["bin/"]),
    ("clap", &["bin/args.rs", "bin/args/", "bin/config.rs"]),
    ("ctrlc", &["bin/stop.rs"]),
    ("signal_hook", &["bin/stop.rs"]),
    ("indicatif", &["bin/render.rs"]),
    ("jiff", &["bin/quantity.rs"]),
    ("sd_notify", &["bin/router/service.rs"]),
    ("serde_json", &["bin/", "tests/"]),
    ("tempfile", &["tests/", "bin/log/rotating.rs"]),
    ("toml", &["bin/config.rs", "bin/state.rs"]),
    ("tracing_subscriber", &["bin/log.rs"]),
];

/// Crates that may be used anywhere: words for errors and logs, and what only tests use.
const ANYWHERE: &[&str] = &["thiserror", "tracing", "proptest", "rtsan_standalone"];

/// What each package may know of the others: only what stands to its left in sync <- engine <- net <- bin.
const UNKNOWN: &[(&str, &[&str])] = &[
    ("sync/", &["downbeat_engine", "downbeat_net"]),
    ("engine/", &["downbeat_net"]),
    // The OSC codec and the framing stand alone.
    ("net/src/osc/", &["downbeat_engine", "downbeat_sync"]),
    ("net/src/framing.rs", &["downbeat_engine", "downbeat_sync"]),
    // A router plays nothing.
    ("net/src/router", &["downbeat_engine"]),
];

/// Ways to read a clock. Tests of real sockets may: they need to know when to give up.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now", "clock_gettime", "Timestamp::now", "Zoned::now"];

#[test]
fn foreign_crates_are_used_only_where_they_may_be() {
    let mut wrong = Vec::new();
    for source in sources(&["sync/src", "engine/src", "net/src", "bin"]) {
        for (name, places) in FOREIGN {
            let used = source.code().any(|line| uses(line, name));
            let allowed = places.iter().any(|place| source.path.starts_with(place));
            if used && !allowed {
                wrong.push(format!("{} uses {name}", source.path));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_foreign_crate_has_its_place() {
    let manifest = std::fs::read_to_string(repository("Cargo.toml")).expect("it is there");
    let manifest: toml::Table = manifest.parse().expect("it is TOML");
    let dependencies = manifest["workspace"]["dependencies"].as_table().expect("it is a table");
    let names = dependencies.keys().map(|name| name.replace('-', "_"));
    let homeless: Vec<_> = names
        .filter(|name| !name.starts_with("downbeat") && !ANYWHERE.contains(&name.as_str()))
        .filter(|name| FOREIGN.iter().all(|(known, _)| known != name))
        .collect();
    assert_eq!(homeless, Vec::<String>::new());
}

#[test]
fn imports_follow_the_line() {
    let mut wrong = Vec::new();
    for source in sources(&["sync/src", "engine/src", "net/src"]) {
        for (folder, names) in UNKNOWN.iter().filter(|(folder, _)| source.path.starts_with(folder)) {
            for name in names.iter().filter(|name| source.code().any(|line| uses(line, name))) {
                wrong.push(format!("{} below {folder} knows {name}", source.path));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn one_file_reads_the_clock() {
    let mut readers = Vec::new();
    for source in sources(&["sync/src", "engine/src", "net/src", "bin"]) {
        if !source.path.ends_with("/tests.rs")
            && source.code().any(|line| CLOCKS.iter().any(|clock| line.contains(clock)))
        {
            readers.push(source.path);
        }
    }
    assert_eq!(readers, ["sync/src/clock.rs"]);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources(&["sync/src", "engine/src", "net/src", "bin", "tests"])
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path)
        .collect();
    assert_eq!(silent, Vec::<String>::new());
}

/// A source file.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl Source {
    /// Its lines without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(|line| line.split("//").next().unwrap_or(line))
    }
}

/// Whether a line names something inside of a crate.
fn uses(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        starts && line[at + name.len()..].starts_with("::")
    })
}

/// Every Rust file below these folders, in order.
fn sources(folders: &[&str]) -> impl Iterator<Item = Source> {
    let mut paths = Vec::new();
    folders.iter().for_each(|folder| collect(&repository(folder), &mut paths));
    assert!(paths.len() > 20, "the sources are where they were");
    paths.sort();
    paths.into_iter().map(|path| {
        let text = std::fs::read_to_string(repository(&path)).expect("a source can be read");
        Source { path, text }
    })
}

fn collect(folder: &Path, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("a source folder can be read").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let below = path.strip_prefix(repository("")).expect("it is in the repository");
            paths.push(below.to_str().expect("source names are ASCII").to_owned());
        }
    }
}
