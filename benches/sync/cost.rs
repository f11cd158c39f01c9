//! What an exchange costs: the estimator by itself, and `downbeat sync replay` over the same exchanges, as a whole program.
//!
//! Not for: what a node's session costs (`company`).

use crate::clock::{Polling, Profile, Scenario, Trial};
use crate::report::{Table, cpu, digits, unless_quick, verdict};
use downbeat_sync::{Estimator, Exchange, RateBelief};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// A million exchanges may take so long (s).
const GOAL: f64 = 2.0;

/// Prints the table.
pub(crate) fn measure(_: u64, missed: &mut Vec<String>) {
    let exchanges = unless_quick(1_000_000, 10_000);
    println!(
        "\ncost of {exchanges} exchanges, four a second, with an estimate after each: CPU s for a million"
    );
    let mut table = Table::new(&["", "estimator", "sync replay, with its reading and printing", "goal"]);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("trace.csv");
    for profile in Profile::ALL {
        let scenario = Scenario { seconds: 0.25 * f64::from(exchanges), ..Scenario::DEFAULT.on(profile) };
        let trial = Trial::new(&scenario, Polling::Ours, 0);
        let trace: Vec<Exchange> = trial.exchanges().cloned().collect();
        let million = 1e6 / trace.len() as f64;
        let [alone, program] = [estimated(&trace), replayed(&trace, &path)].map(|secs| secs * million);
        let is_met = alone.max(program) < GOAL;
        table.row(&[&profile.name(), &digits(alone), &digits(program), &verdict(is_met)]);
        if !is_met {
            missed.push(format!(
                "{}: a million exchanges take {alone:.2} s, replayed {program:.2} > {GOAL}",
                profile.name()
            ));
        }
    }
    table.print();
}

fn estimated(trace: &[Exchange]) -> f64 {
    let mut estimator = Estimator::new(RateBelief::default());
    let before = cpu::this_thread();
    for exchange in trace {
        estimator.take(exchange);
        std::hint::black_box(estimator.estimate(exchange.returned));
    }
    (cpu::this_thread() - before).as_secs_f64()
}

fn replayed(trace: &[Exchange], path: &Path) -> f64 {
    write(trace, path).expect("the temporary folder has room for a trace");
    let before = cpu::ended_children();
    let ended = Command::new(env!("CARGO_BIN_EXE_downbeat"))
        .args(["sync", "replay"])
        .arg(path)
        .stdout(Stdio::null())
        .status()
        .expect("the program has been built");
    assert!(ended.success(), "sync replay failed");
    (cpu::ended_children() - before).as_secs_f64()
}

fn write(trace: &[Exchange], path: &Path) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "t1,t2,t3,t4")?;
    let Some(first) = trace.first() else { return Ok(()) };
    for exchange in trace {
        // Both clocks as if they had begun to count a second before.
        let stamps = [
            exchange.asked - first.asked,
            exchange.received - first.received,
            exchange.answered - first.received,
            exchange.returned - first.asked,
        ];
        let [t1, t2, t3, t4] = stamps.map(|span| {
            let nanos = (i128::from(span.ticks()) * 1_000_000_000) >> 32;
            (1 + nanos / 1_000_000_000, nanos % 1_000_000_000)
        });
        writeln!(
            file,
            "{}.{:09},{}.{:09},{}.{:09},{}.{:09}",
            t1.0, t1.1, t2.0, t2.1, t3.0, t3.1, t4.0, t4.1
        )?;
    }
    file.flush()
}
