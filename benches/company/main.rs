//! What becomes of four nodes that play together when their leader dies, stands still or is set, when one of them is cut off, and
//! when two ensembles meet; and what it costs them to keep together.
//!
//! ```text
//! cargo bench --bench company                    all of it, eight minutes
//! cargo bench --bench company -- kill            one of kill, stop, hole, merge, set, cost
//! ```
//!
//! Real processes and sockets, in real time; between each two of them a relay with the delays of a LAN, on loopback. All play a
//! click every 50 ms, stamped 500 ms ahead. Nobody's real clock is touched. Not for: how exact clocks are (`sync`), nor for
//! sound through JACK (`onset`).

mod client;
mod cost;
mod faults;
mod judge;
#[path = "../relay/mod.rs"]
mod relay;
#[path = "../report/mod.rs"]
mod report;
mod set;
mod stage;
mod watch;

use faults::{FAULTS, NEAR, Play, Row};
use report::{Table, digits, unless_quick, verdict};
use std::thread;

/// A takeover may take so long (s), and no clock may move by more for it (us).
const TAKEOVER: f64 = 1.5;
const STEP: f64 = 20.0;

fn main() {
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    if !only.as_deref().is_some_and(|only| ["cost", "set"].contains(&only)) {
        let wanted = FAULTS.iter().filter(|(name, _)| is_wanted(name));
        faults(wanted.take(unless_quick(FAULTS.len(), 1)).map(|(_, play)| play));
    }
    if is_wanted("set") {
        set::measure();
    }
    if is_wanted("cost") {
        cost::measure();
    }
}

fn faults<'a>(plays: impl Iterator<Item = &'a Play>) {
    report::title(&format!(
        "company: four nodes through relays as a LAN delays, a click every 50 ms; steps from reading to reading (20 ms) and \
         from click to click, in the 10 s before the fault > since then; agree: within {NEAR} us, since the fault or its end"
    ));
    let mut table = Table::new(&[
        "what happens",
        "takeover s",
        "clock's step us",
        "heard step us",
        "apart us",
        "jumps",
        "lost",
        "late",
        "lost blocks",
        "agree after s",
        "read %",
        "goal",
    ]);
    for play in plays {
        let row = thread::spawn(*play).join().expect("it plays to the end");
        let pair = |[before, after]: [f64; 2]| {
            if after.is_nan() { digits(after) } else { format!("{} > {}", digits(before), digits(after)) }
        };
        let jumps: Vec<String> = row.jumps.iter().map(f64::to_string).collect();
        table.row(&[
            &row.name,
            &digits(row.takeover),
            &pair(row.step),
            &pair(row.heard_step),
            &pair(row.apart),
            &jumps.join(" "),
            &row.lost,
            &row.late,
            &row.lost_blocks,
            &digits(row.agree),
            &digits(row.read),
            &verdict(is_met(&row)),
        ]);
    }
    table.print();
    println!(
        "goals: a takeover within {TAKEOVER} s, no step of a survivor's clock above {STEP} us unless it is announced, no click \
         lost or late, in the end all agree. To join an older ensemble is a correction: what waits keeps its timetag, and may \
         be late."
    );
}

/// NaN says nothing, but for whether they agree.
fn is_met(row: &Row) -> bool {
    let is_continuous = !row.step[1].is_nan();
    let is_late = row.late > 0.0 && is_continuous;
    !(row.takeover > TAKEOVER || row.step[1] > STEP || row.lost != 0.0 || is_late || row.agree.is_nan())
}
