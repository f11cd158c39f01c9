//! The log: to stderr, and into a folder for those commands that run for months.
//!
//! Not for: results (`output`).

mod rotating;

use crate::args::General;
use anyhow::Context;
use rotating::RotatingFile;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Logs of this level and above go to stderr and to `file`; RUST_LOG, where it is set, says it in more detail.
///
/// # Errors
/// When there is a file to be, and it cannot be written to.
pub(crate) fn start(general: &General, file: Option<&Path>) -> anyhow::Result<()> {
    let level = match i16::from(general.verbose) - i16::from(general.quiet) {
        ..=-2 => LevelFilter::OFF,
        -1 => LevelFilter::ERROR,
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    let stderr = fmt::layer()
        .with_writer(std::io::stderr)
        // It would tell stderr that stderr cannot be written to, and panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(general.verbose > 0)
        .without_time();
    let file = file.map(|path| {
        RotatingFile::open(path).with_context(|| format!("cannot write the log {}", path.display()))
    });
    let file = file.transpose()?.map(|file| {
        let layer = fmt::layer().with_writer(Mutex::new(file)).log_internal_errors(false);
        layer.with_ansi(false).with_target(general.verbose > 0).boxed()
    });
    tracing_subscriber::registry().with(filter).with(stderr).with(file).init();
    Ok(())
}
