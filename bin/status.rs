//! `downbeat status`: how nodes are, and how their clocks stand, as a table or as JSON.
//!
//! Not for: watching them for a while.

use crate::args::StatusArgs;
use crate::output::{printable, results};
use crate::target::Target;
use anyhow::bail;
use downbeat_net::hub::PEERS_TOLD;
use downbeat_net::osc::{self, Arg, Message};
use downbeat_sync::{Clock, Span};
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;
use std::thread;

/// Once there is an answer, the rest of it is close behind.
const REST: Span = Span::from_millis(150);
/// How often it is looked whether all is there.
const ROUND: Span = Span::from_millis(10);

/// What a node answered.
#[derive(Default)]
struct Answers {
    node: Option<Map<String, Value>>,
    clock: Option<Map<String, Value>>,
    peers: Vec<Map<String, Value>>,
}

/// Asks all at once, and fails if one of them does not answer.
pub(crate) fn run(args: StatusArgs) -> anyhow::Result<()> {
    let answers = thread::scope(|scope| {
        let asked: Vec<_> =
            args.targets.iter().map(|target| scope.spawn(|| ask(target, args.wait))).collect();
        asked.into_iter().map(|asked| asked.join().expect("asking does not panic")).collect::<Vec<_>>()
    });
    if args.json {
        let all = args.targets.iter().zip(&answers).map(|(target, answers)| as_json(target, answers));
        results(Value::Array(all.collect()))?;
    } else {
        results(table(&args.targets, &answers))?;
    }
    let silent: Vec<String> = args
        .targets
        .iter()
        .zip(&answers)
        .filter(|(_, a)| a.is_err())
        .map(|(target, _)| target.to_string())
        .collect();
    if !silent.is_empty() {
        bail!("no answer from {}", silent.join(", "));
    }
    Ok(())
}

fn ask(target: &Target, wait: Span) -> anyhow::Result<Answers> {
    let clock = Clock::new();
    let mut link = target.open()?;
    for address in ["/status", "/sync/status"] {
        let mut packet = Vec::new();
        osc::write(&mut packet, address, [])?;
        link.send(&packet)?;
    }
    let mut answers = Answers::default();
    let mut end = clock.now() + wait;
    let mut heard = false;
    let mut left = wait;
    while left > Span::ZERO && !answers.are_whole() {
        let round = if ROUND < left { ROUND } else { left };
        link.receive(clock, round, |packet| {
            for timed in osc::read(packet).filter_map(Result::ok) {
                answers.take(&timed.message);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if !heard && (answers.node.is_some() || answers.clock.is_some()) {
            heard = true;
            end = end.earlier(clock.now() + REST);
        }
        left = end - clock.now();
    }
    if answers.node.is_none() && answers.clock.is_none() {
        bail!("no answer");
    }
    Ok(answers)
}

impl Answers {
    fn take(&mut self, message: &Message<'_>) {
        match message.address() {
            b"/status/reply" => self.node = Some(pairs(message)),
            b"/sync/status/reply" => self.clock = Some(pairs(message)),
            b"/sync/peer/reply" => self.peers.push(pairs(message)),
            _ => {}
        }
    }

    /// Whether nothing more is to come.
    fn are_whole(&self) -> bool {
        let told = self.clock.as_ref().and_then(|clock| clock.get("peers")?.as_u64());
        self.node.is_some() && told.is_some_and(|told| self.peers.len() as u64 >= told.min(PEERS_TOLD as u64))
    }
}

/// Pairs of key and value, whatever the keys.
fn pairs(message: &Message<'_>) -> Map<String, Value> {
    let mut args = message.args();
    let mut pairs = Map::new();
    while let (Some(key), Some(value)) = (args.next(), args.next()) {
        if let Some(key) = key.text() {
            pairs.insert(printable(key), value_of(value));
        }
    }
    pairs
}

fn value_of(value: Arg<'_>) -> Value {
    match value {
        Arg::Int(int) => json!(int),
        // As it was before it became a float: 0.1, not 0.10000000149.
        Arg::Float(float) => float.to_string().parse::<f64>().map_or(Value::Null, |float| json!(float)),
        other => other.text().map_or(Value::Null, |text| Value::String(printable(text))),
    }
}

fn as_json(target: &Target, answers: &anyhow::Result<Answers>) -> Value {
    match answers {
        Ok(answers) => json!({
            "target": target.to_string(),
            "node": answers.node,
            "clock": answers.clock,
            "peers": answers.peers,
        }),
        Err(why) => json!({ "target": target.to_string(), "error": format!("{why:#}") }),
    }
}

/// A row a node, then a row for each other node it measures.
fn table(targets: &[Target], answers: &[anyhow::Result<Answers>]) -> String {
    let mut rows = vec![
        [
            "NODE", "SOUND", "VOICES", "PENDING", "LATE", "CLOCK", "ERROR ms", "BOUND ms", "HOST ms",
            "JUMPS", "STAMPS",
        ]
        .map(str::to_owned),
    ];
    for (target, answers) in targets.iter().zip(answers) {
        let Ok(answers) = answers else {
            rows.push(
                [target.to_string(), "no answer".into()]
                    .into_iter()
                    .chain(std::iter::repeat_n(String::new(), 9))
                    .collect::<Vec<_>>()
                    .try_into()
                    .expect("there are eleven columns"),
            );
            continue;
        };
        let empty = Map::new();
        let (node, clock) =
            (answers.node.as_ref().unwrap_or(&empty), answers.clock.as_ref().unwrap_or(&empty));
        rows.push([
            format!("{} {target}", text(node, "name")),
            text(node, "state"),
            text(node, "voices"),
            text(node, "pending"),
            text(node, "late"),
            text(clock, "state"),
            number(clock, "error_ms"),
            number(clock, "bound_ms"),
            number(clock, "wall_ms"),
            text(clock, "jumps"),
            stamps(clock),
        ]);
        for peer in &answers.peers {
            rows.push([
                format!("  {} {}", text(peer, "role"), text(peer, "address")),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                number(peer, "ahead_ms"),
                number(peer, "error_ms"),
                number(peer, "round_trip_ms"),
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn text(pairs: &Map<String, Value>, key: &str) -> String {
    match pairs.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "-".to_owned(),
    }
}

/// Whose stamps the messages about time have, as they arrive and as they leave.
fn stamps(clock: &Map<String, Value>) -> String {
    let (rx, tx) = (text(clock, "rx_stamps"), text(clock, "tx_stamps"));
    // Whoever is alone has sent none yet.
    if rx == tx || tx == "none" { rx } else { format!("{rx}/{tx}") }
}

/// To the microsecond.
fn number(pairs: &Map<String, Value>, key: &str) -> String {
    pairs.get(key).and_then(Value::as_f64).map_or("-".to_owned(), |number| format!("{number:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of a node that knows so many others, of which so many rows have come.
    fn answers(known: usize, rows: usize) -> Answers {
        let mut answers = Answers { node: Some(Map::new()), ..Answers::default() };
        let mut take = |address: &str, args: [Arg<'_>; 2]| {
            let mut packet = Vec::new();
            osc::write(&mut packet, address, args).expect("it can be written");
            for timed in osc::read(&packet) {
                answers.take(&timed.expect("it can be read").message);
            }
        };
        take("/sync/status/reply", ["peers".into(), Arg::Int(known as i32)]);
        for row in 0..rows {
            take("/sync/peer/reply", ["id".into(), Arg::Int(row as i32)]);
        }
        answers
    }

    #[test]
    fn nothing_more_is_waited_for_once_all_rows_that_a_node_tells_are_there() {
        for (known, rows, whole) in [(0, 0, true), (3, 2, false), (3, 3, true)] {
            assert_eq!(answers(known, rows).are_whole(), whole, "{rows} of {known}");
        }
        let many = 10 * PEERS_TOLD;
        assert!(!answers(many, PEERS_TOLD - 1).are_whole() && answers(many, PEERS_TOLD).are_whole());
    }
}
