//! How every benchmark measures and prints: in turn, medians, ratios, and a table.
//!
//! A machine's speed moves by tens of percent within a minute, so a figure by itself says little: what is compared is
//! measured alternately in one run. Not for: what is measured.

// Each benchmark is a program of its own and uses its part of this.
#![allow(dead_code)]

pub(crate) mod cpu;
pub(crate) mod peer;
pub(crate) mod random;
pub(crate) mod told;

use std::fmt::Display;

/// Whether to show only that everything runs: `cargo bench` passes `--bench`, `cargo test --benches` does not.
pub(crate) fn quick() -> bool {
    !std::env::args().any(|arg| arg == "--bench")
}

/// One or the other, by [`quick`].
pub(crate) fn unless_quick<T>(full: T, quick_one: T) -> T {
    if quick() { quick_one } else { full }
}

/// Takes `rounds` samples of each contestant, one of each per round, so that all see the same machine.
pub(crate) fn in_turn<T>(
    rounds: usize,
    contestants: usize,
    mut sample: impl FnMut(usize) -> T,
) -> Vec<Vec<T>> {
    let mut samples: Vec<_> = (0..contestants).map(|_| Vec::with_capacity(rounds)).collect();
    for _ in 0..rounds {
        for (contestant, samples) in samples.iter_mut().enumerate() {
            samples.push(sample(contestant));
        }
    }
    samples
}

/// The value below which this part of the samples lies; NaN if there is none.
pub(crate) fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The middle one of the samples; NaN if there is none.
pub(crate) fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// "met" or "MISSED".
pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// A number with three digits that count; a dash for NaN.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        x if x.is_nan() => "-".into(),
        0.0 => "0".into(),
        x if x >= 100.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        x if x >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Prints what is measured, on what machine, and how busy that is with other work.
pub(crate) fn title(what: &str) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find(|line| line.starts_with("model name") || line.starts_with("Model"));
    let model = model.and_then(|line| line.split(':').nth(1)).unwrap_or("unknown processor").trim();
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let load = read("/proc/loadavg");
    println!("\n{what}");
    println!("{cores} x {model}, load average {} before", load.split(' ').next().unwrap_or("unknown"));
}

/// Columns that line up: the first to the left, the others to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: &[&dyn Display]) {
        self.rows.push(cells.iter().map(ToString::to_string).collect());
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let line = cells.map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            });
            println!("{}", line.collect::<String>().trim_end());
        }
    }
}
