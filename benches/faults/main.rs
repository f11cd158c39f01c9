//! A JACK server that is killed, ended, stopped and started again in random order, under a node that gets a timetagged click every
//! 50 ms: whether the node lives, where each click went, and how soon sound is back.
//!
//! ```text
//! cargo bench --features jack --bench faults              500 faults, less than ten minutes
//! cargo bench --features jack --bench faults -- 50 7      50 faults, of seed 7
//! ```
//!
//! The server has no hardware and a name of its own. A node lives for ten faults; then its clicks are counted by its `/status` and by
//! its recording, and it is ended, every other time while the server stands still. Every fourth starts under one that does.

#[path = "mod.rs"]
mod faults;
#[path = "../report/mod.rs"]
mod report;

use faults::trouble::{self, Fault};
use report::{Table, digits, quantile, unless_quick, verdict};
use std::process::ExitCode;

/// A node's end may take so long (ms), and its start: a second for a server that does not answer, or is slow to after a fault, and half
/// of one for a busy machine.
const END: f64 = 2_000.0;
const READY: f64 = 1_500.0;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let faults = numbers.next().unwrap_or(unless_quick(500, 10)) as usize;
    let seed = numbers.next().unwrap_or(1);
    report::title(&format!(
        "faults: {faults} of a JACK server under a node, seed {seed}, a click every 50 ms"
    ));
    let folder = report::peer::scratch("faults");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    let Some(found) = trouble::run("downbeat-faults", faults, seed, &folder) else {
        println!("jackd is not installed: sudo apt install jackd2");
        return ExitCode::SUCCESS;
    };

    let mut table = Table::new(&["fault", "times", "card back after ms: p50", "p90", "most"]);
    for (kind, fault) in Fault::ALL.iter().enumerate() {
        let resumed = &found.resumed[kind];
        let [half, most, all] = [0.5, 0.9, 1.0].map(|part| digits(quantile(resumed, part)));
        table.row(&[&fault.name(), &found.done[kind], &half, &most, &all]);
    }
    table.print();

    let sum = |of: fn(&trouble::Account) -> u64| found.accounts.iter().map(of).sum::<u64>();
    let (sent, played, unheard) = (sum(|a| a.sent), sum(|a| a.played), sum(|a| a.unheard));
    println!(
        "\nclicks: {sent} sent = {} played on the card + {unheard} on the virtual device + {} refused ({} of them late, by {} stalls)",
        played - unheard,
        sum(|a| a.refused),
        sum(|a| a.late),
        sum(|a| a.stalls),
    );
    let missing: Vec<_> = found.accounts.iter().map(trouble::Account::missing).collect();
    let unaccounted = missing.iter().filter(|(told, _)| *told != 0).count();
    let unrecorded = missing.iter().filter(|(_, recorded)| *recorded != 0).count();
    let ended: Vec<_> = found.accounts.iter().map(|account| account.ending.as_secs_f64() * 1e3).collect();
    let slowest = |times: &[f64]| digits(quantile(times, 1.0));
    let within = |times: &[f64], goal: f64| times.iter().all(|time| *time < goal);
    let [running, frozen] = &found.ready;
    let goals = [
        (format!("nodes that died: {}", found.deaths.len()), found.deaths.is_empty()),
        (format!("nodes that did not get the card back: {}", found.lost_cards), found.lost_cards == 0),
        (format!("nodes whose sums do not fit: {unaccounted} of {}", missing.len()), unaccounted == 0),
        (format!("nodes whose recording lacks a click: {unrecorded}"), unrecorded == 0),
        (
            format!("end after p50 {}, at most {} ms", digits(quantile(&ended, 0.5)), slowest(&ended)),
            within(&ended, END),
        ),
        (format!("ready after at most {} ms", slowest(running)), within(running, READY)),
        (format!("the same while the server stands still: {} ms", slowest(frozen)), within(frozen, READY)),
    ];
    for (what, is_met) in &goals {
        println!("{what}: {}", verdict(*is_met));
    }
    for death in &found.deaths {
        println!("died: {death}");
    }
    for account in found.accounts.iter().filter(|account| account.missing() != (0, 0)) {
        println!("does not fit: {account:?}");
    }
    // A figure may be missed on a busy machine; a death or a wrong sum may not be.
    let is_sound = found.deaths.is_empty() && unaccounted == 0 && found.lost_cards == 0;
    if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
