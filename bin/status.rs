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

/// Another node of which nothing came for so long is marked as gone: ten heartbeats of a leader (s).
const GONE_AFTER: f64 = 5.0;

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

/// A table with a row for each node, then one with a row for each other node that one of them knows.
fn table(targets: &[Target], answers: &[anyhow::Result<Answers>]) -> String {
    let mut nodes = vec![row([
        "NODE", "SOUND", "VOICES", "PENDING", "LATE", "DROPPED", "CLOCK", "ERROR ms", "BOUND ms", "HOST ms",
        "JUMPS", "STAMPS",
    ])];
    let mut peers =
        vec![row(["PEER", "ROLE", "AHEAD ms", "ERROR ms", "ROUND TRIP ms", "SILENT s", "KNOWN TO"])];
    for (target, answers) in targets.iter().zip(answers) {
        let Ok(answers) = answers else {
            nodes.push(vec![target.to_string(), "no answer".into()]);
            continue;
        };
        let empty = Map::new();
        let (node, clock) =
            (answers.node.as_ref().unwrap_or(&empty), answers.clock.as_ref().unwrap_or(&empty));
        nodes.push(vec![
            format!("{} {target}", text(node, "name")),
            sound(node),
            text(node, "voices"),
            text(node, "pending"),
            text(node, "late"),
            text(node, "dropped"),
            text(clock, "state"),
            number(clock, "error_ms"),
            number(clock, "bound_ms"),
            number(clock, "wall_ms"),
            text(clock, "jumps"),
            stamps(clock),
        ]);
        peers.extend(answers.peers.iter().map(|peer| {
            vec![
                text(peer, "address"),
                text(peer, "role"),
                number(peer, "ahead_ms"),
                number(peer, "error_ms"),
                number(peer, "round_trip_ms"),
                silence(peer),
                target.to_string(),
            ]
        }));
    }
    let mut lines = aligned(&nodes);
    if peers.len() > 1 {
        lines.push(String::new());
        lines.extend(aligned(&peers));
    }
    lines.join("\n")
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// The rows with their columns below each other; the first row has the most cells.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// What the node plays on, and if that is the virtual device in the place of a card, how the card is.
fn sound(node: &Map<String, Value>) -> String {
    let state = text(node, "state");
    match node.get("card").and_then(Value::as_str) {
        Some(card @ ("away" | "stalled")) => format!("{state} (card {card})"),
        _ => state,
    }
}

/// How long nothing came of another node, and whether it may be gone.
fn silence(peer: &Map<String, Value>) -> String {
    match peer.get("silent_s").and_then(Value::as_f64) {
        Some(silent) if silent > GONE_AFTER => format!("{silent:.1} gone"),
        Some(silent) => format!("{silent:.1}"),
        None => "-".to_owned(),
    }
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
    // A node that is alone has sent none yet.
    if rx == tx || tx == "none" { rx } else { format!("{rx}/{tx}") }
}

/// To the microsecond; without a sign if that is zero.
fn number(pairs: &Map<String, Value>, key: &str) -> String {
    let Some(number) = pairs.get(key).and_then(Value::as_f64) else { return "-".to_owned() };
    let text = format!("{number:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text }
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
    fn other_nodes_have_a_table_of_their_own() {
        let map = |value: Value| value.as_object().cloned().expect("it is an object");
        let peer = |silent: f64| {
            map(json!({
                "address": "10.0.0.2:9000", "role": "leader", "ahead_ms": -0.0001, "error_ms": 0.012,
                "round_trip_ms": 0.4, "silent_s": silent,
            }))
        };
        let answers = Answers {
            node: Some(map(json!({
                "name": "one", "state": "virtual", "card": "stalled", "voices": 1, "pending": 2, "late": 3,
                "dropped": 4,
            }))),
            clock: Some(map(json!({ "state": "locked", "bound_ms": 0.3, "error_ms": 0.0 }))),
            peers: vec![peer(0.25), peer(5.5)],
        };
        let targets = ["localhost:9000", "localhost:9001"].map(|text| text.parse().expect("it is a target"));
        let table = table(&targets, &[Ok(answers), Err(anyhow::anyhow!("none"))]);
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(rows[1][1..7], ["virtual (card stalled)", "1", "2", "3", "4", "locked"], "{table}");
        assert_eq!(rows[2][1..], ["no answer"], "{table}");
        assert!(rows[3].is_empty(), "{table}");
        let headings = ["PEER", "ROLE", "AHEAD ms", "ERROR ms", "ROUND TRIP ms", "SILENT s", "KNOWN TO"];
        assert_eq!(rows[4], headings, "{table}");
        let measured = ["10.0.0.2:9000", "leader", "0.000", "0.012", "0.400"];
        assert_eq!(rows[5], [&measured[..], &["0.2", "udp://localhost:9000"]].concat(), "{table}");
        assert_eq!(rows[6], [&measured[..], &["5.5 gone", "udp://localhost:9000"]].concat(), "{table}");
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
