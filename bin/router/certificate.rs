//! The router's certificate: read from its files, and read again when they change, as those of Let's Encrypt do every two months.
//!
//! Not for: what is done with it (the net crate).

use anyhow::Context;
use downbeat_net::Certificate;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// No certificate and no key is longer (bytes).
const LONGEST: u64 = 1 << 20;

/// The files.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

/// When the files were changed, as far as the system tells.
type Stamp = [Option<SystemTime>; 2];

/// Reads the certificate, and has a thread watch its files.
///
/// # Errors
/// When a file cannot be read, or there is no certificate in it.
pub(super) fn load(chain: &Path, key: &Path) -> anyhow::Result<Certificate> {
    let files = Files { chain: chain.to_owned(), key: key.to_owned() };
    let stamp = files.stamp();
    let (chain, key) = files.read()?;
    let certificate = Certificate::new(&chain, &key)
        .with_context(|| format!("cannot use the certificate {}", files.chain.display()))?;
    let watched = certificate.clone();
    thread::Builder::new()
        .name("certificate".into())
        .spawn(move || files.watch(stamp, &watched))
        .context("cannot start the thread that watches the certificate")?;
    Ok(certificate)
}

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.chain, &self.key].map(|path| fs::metadata(path).and_then(|file| file.modified()).ok())
    }

    fn read(&self) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
        Ok((read(&self.chain)?, read(&self.key)?))
    }

    /// One file may be there before the other: what does not fit yet is tried again at the next change.
    fn watch(&self, mut known: Stamp, certificate: &Certificate) {
        loop {
            thread::sleep(LOOK);
            let stamp = self.stamp();
            if stamp == known {
                continue;
            }
            known = stamp;
            let replaced = self.read().and_then(|(chain, key)| Ok(certificate.replace(&chain, &key)?));
            match replaced {
                Ok(()) => tracing::info!("the certificate {} is a new one", self.chain.display()),
                Err(error) => tracing::warn!("the certificate stays the old one: {error:#}"),
            }
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = fs::metadata(path).and_then(|file| match file.len() {
        ..=LONGEST => fs::read(path),
        _ => Err(io::Error::other("it is too long for one")),
    });
    file.with_context(|| format!("cannot read {}", path.display()))
}
