//! Four nodes whose leader's wall clock is set while a sender plays to all of them by the ensemble's clock, of whose jump it hears
//! only when it asks again.
//!
//! Not for: what else may happen to a leader (`faults`).

use crate::client::Client;
use crate::judge;
use crate::report::told::{self, Told};
use crate::report::{Table, digits, median, peer, unless_quick, verdict};
use crate::stage::{Node, Part, Stage};
use crate::watch::{GAIN, LEAD};
use downbeat_net::osc::{Arg, BundleWriter};
use downbeat_sync::{Clock, LocalTime, Span};
use std::time::Duration;

/// How far the leader's wall clock is set.
const STEPS: [&str; 4] = ["+3s", "-3s", "+3600s", "-3600s"];
const CLOCKS: [&str; 4] = ["ppm=+20", "ppm=-40,offset=1234s", "ppm=+80,offset=-5000s", "ppm=+5,offset=17s"];
/// From bundle to bundle.
const BUNDLE: Span = Span::from_millis(10);
/// Whom the sender asks: one that is told of the jump itself.
const ASKED: usize = 1;
/// Clicks of one bundle are this near on all nodes (us): a frame is 5, and so are two clocks apart now and then.
const NEAR: f64 = 50.0;

/// What is found of a step.
struct Row {
    step: &'static str,
    sent: usize,
    /// Of all nodes together.
    lost: f64,
    late: f64,
    refused: f64,
    waiting: f64,
    jumps: Vec<f64>,
    /// How long after the clock was set the sender heard of the jump (s).
    heard_after: f64,
    /// The largest distance of one bundle's clicks, before and since (us).
    apart: [f64; 2],
}

/// Plays all steps, and prints what becomes of them.
pub(crate) fn measure() {
    crate::report::title(
        "company: the leader's wall clock is set while a sender that asks one node for the time once a second sends a bundle to \
         all four each 10 ms, stamped 500 ms ahead; apart: the clicks of one bundle on the four nodes, before the step > since",
    );
    let mut table = Table::new(&[
        "set by",
        "bundles",
        "lost",
        "late",
        "refused",
        "left",
        "jumps",
        "heard of after s",
        "apart us",
        "goal",
    ]);
    for step in STEPS.into_iter().take(unless_quick(STEPS.len(), 1)) {
        let row = play(step);
        let jumps: Vec<String> = row.jumps.iter().map(f64::to_string).collect();
        table.row(&[
            &row.step,
            &row.sent,
            &row.lost,
            &row.late,
            &row.refused,
            &row.waiting,
            &jumps.join(" "),
            &digits(row.heard_after),
            &format!("{} > {}", digits(row.apart[0]), digits(row.apart[1])),
            &verdict(is_met(&row)),
        ]);
    }
    table.print();
    println!(
        "goals: none lost, late, refused or left waiting, one jump each, all apart by {NEAR} us at most"
    );
}

fn is_met(row: &Row) -> bool {
    let none = [row.lost, row.late, row.refused, row.waiting].iter().all(|count| *count == 0.0);
    // NaN is not near.
    none && row.jumps.iter().all(|jumps| *jumps == 1.0) && row.apart.iter().all(|apart| *apart <= NEAR)
}

fn play(step: &'static str) -> Row {
    let before = unless_quick(20, 8);
    let set = before + 6;
    let first = format!("{},step={step},after={set}s", CLOCKS[0]);
    let after = Duration::from_secs(1);
    let parts =
        [first.as_str(), CLOCKS[1], CLOCKS[2], CLOCKS[3]].map(|clocks| Part { clocks: clocks.into(), after });
    let clock = Clock::new();
    // The first comes a second after this.
    let set = clock.now() + Span::from_secs(set + 1);
    let folder = peer::scratch(&format!("company-set-{}", std::process::id()));
    let stage = Stage::set(&parts, &folder, |_, _| false);
    let mut client = Client::new(clock, stage.nodes[ASKED].socket.peer_addr().expect("it is connected"));
    let jumps = |stage: &Stage| -> Vec<f64> {
        stage.nodes.iter().map(|node| ask(node, "/sync/status").number("jumps")).collect()
    };

    // Nobody's time is wrong any more when it begins.
    wait(&clock, &mut client, clock.now() + Span::from_secs(before / 2));
    let jumped = jumps(&stage);
    let mut sent: Vec<LocalTime> = Vec::new();
    let mut next = clock.now();
    let end = set + Span::from_secs(unless_quick(12, 8));
    while next.is_before(end) {
        wait(&clock, &mut client, next);
        // What was missed is not made up for.
        next = (next + BUNDLE).later(clock.now());
        let Some(now) = client.now() else { continue };
        let mut packet = Vec::new();
        let mut bundle = BundleWriter::new(&mut packet, (now + LEAD).bits());
        bundle.message("/click", [Arg::Float(GAIN)]).expect("it is legal");
        for node in &stage.nodes {
            node.socket.send(&packet).expect("it is there");
        }
        sent.push(clock.now());
    }
    wait(&clock, &mut client, end + LEAD + Span::from_secs(1));

    let all: Vec<Told> = stage.nodes.iter().map(|node| ask(node, "/status")).collect();
    let sum = |key: &str| all.iter().map(|told| told.number(key)).sum::<f64>();
    let jumps = jumps(&stage).iter().zip(jumped).map(|(now, before)| now - before).collect();
    let rates: Vec<f64> = stage.nodes.iter().map(|node| node.rate).collect();
    let recordings = stage.end().recordings;
    let heard: Vec<Vec<f64>> = recordings
        .iter()
        .zip(rates)
        .map(|(sounds, rate)| {
            let frames = sounds.as_deref().map(judge::clicks).unwrap_or_default();
            frames.into_iter().map(|frame| frame as f64 / rate).collect()
        })
        .collect();
    let border = sent.iter().position(|at| set.is_before(*at)).unwrap_or(sent.len());
    Row {
        step,
        sent: sent.len(),
        lost: heard.iter().map(|heard| sent.len() as f64 - heard.len() as f64).sum(),
        late: sum("late"),
        refused: sum("refused"),
        waiting: sum("pending"),
        jumps,
        heard_after: client.jumps.last().map_or(f64::NAN, |at| (*at - set).as_secs_f64()),
        apart: apart(&heard, border),
    }
}

/// Listens and asks until then.
fn wait(clock: &Clock, client: &mut Client, until: LocalTime) {
    while clock.now().is_before(until) {
        client.go_on();
        let soon = clock.now() + Span::from_millis(2);
        clock.sleep_until(if soon.is_before(until) { soon } else { until });
    }
}

/// Asks a node, as often as it takes.
fn ask(node: &Node, what: &str) -> Told {
    node.socket.set_nonblocking(false).expect("a socket can wait");
    let told = (0..50).find_map(|_| told::ask(&node.socket, what));
    node.socket.set_nonblocking(true).expect("a socket need not wait");
    told.unwrap_or_default()
}

/// The largest distance between the clicks of one bundle (us), of the bundles before `border` and from there on; where recordings
/// begin is taken from the former. NaN if somebody played more or fewer.
fn apart(heard: &[Vec<f64>], border: usize) -> [f64; 2] {
    let count = heard[0].len();
    if border == 0 || heard.iter().any(|clicks| clicks.len() != count) || count <= border {
        return [f64::NAN; 2];
    }
    let ahead = |node: &Vec<f64>| -> Vec<f64> {
        let mut apart: Vec<f64> = node.iter().zip(&heard[0]).map(|(at, first)| 1e6 * (at - first)).collect();
        let usual = median(&apart[..border]);
        apart.iter_mut().for_each(|apart| *apart -= usual);
        apart
    };
    let ahead: Vec<Vec<f64>> = heard.iter().map(ahead).collect();
    let spread = |click: usize| {
        let of =
            |pick: fn(f64, f64) -> f64| ahead.iter().map(|node| node[click]).reduce(pick).unwrap_or(f64::NAN);
        of(f64::max) - of(f64::min)
    };
    [(0..border).map(spread).fold(0.0, f64::max), (border..count).map(spread).fold(0.0, f64::max)]
}
