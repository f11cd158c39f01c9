//! The file with the ensemble's key, and numbers that nobody else can guess.
//!
//! Not for: what is sealed with the key (the net crate).

use anyhow::{Context, bail};
use downbeat_net::Key;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

/// No key is longer (bytes).
const LONGEST: u64 = 4_096;

/// The key in a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Key> {
    let length =
        std::fs::metadata(path).with_context(|| format!("cannot read the key {}", path.display()))?.len();
    if length > LONGEST {
        bail!("{} is no key: it is longer than {LONGEST} bytes", path.display());
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the key {}", path.display()))?;
    // An editor's last line end is no part of the secret: the same key typed on two hosts must be the same.
    let bytes = bytes.trim_ascii_end();
    Key::new(bytes).with_context(|| {
        format!(
            "{} is too short for a key: at least {} bytes, as by: head -c 32 /dev/urandom | base64",
            path.display(),
            Key::SHORTEST
        )
    })
}

/// Drawn by the operating system: the standard library's hash keys are.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
