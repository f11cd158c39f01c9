//! `/metrics` in Prometheus' text form and `/healthz`, by HTTP, on a thread of its own: whoever asks cannot hold up a packet.
//!
//! One asks at a time, and has two seconds and 4 kB to say what for. Not for: anything that can be changed by asking.

use super::board::{Board, Report};
use anyhow::Context;
use downbeat_net::{Handle, NetCounters};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

/// Somebody who is slower gets no answer: so many reads, of so long each.
const READS: usize = 8;
const READ_TIMEOUT: Duration = Duration::from_millis(250);
/// The longest question (bytes).
const LONGEST: usize = 4 << 10;

/// What is shown.
pub(super) struct Metrics {
    pub(super) board: Arc<Board>,
    pub(super) counters: Arc<NetCounters>,
    pub(super) reactor: Handle,
}

/// Starts the thread. Returns where it listens.
///
/// # Errors
/// When the address is taken or not this host's.
pub(super) fn start(address: SocketAddr, metrics: Metrics) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot answer HTTP on {address}"))?;
    let place = listener.local_addr().context("cannot find out the port")?;
    thread::Builder::new()
        .name("metrics".into())
        .spawn(move || {
            for stream in listener.incoming() {
                if let Err(error) = stream.and_then(|stream| answer(stream, &metrics)) {
                    tracing::debug!("HTTP: {error}");
                }
            }
        })
        .context("cannot start the thread that answers HTTP")?;
    Ok(place)
}

fn answer(mut stream: TcpStream, metrics: &Metrics) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_write_timeout(Some(READ_TIMEOUT))?;
    let mut question = Vec::new();
    for _ in 0..READS {
        let mut buffer = [0; LONGEST];
        let length = stream.read(&mut buffer)?;
        question.extend_from_slice(&buffer[..length]);
        if length == 0 || question.len() > LONGEST || question.windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    let (status, body) = page(&question, metrics);
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// What is answered to a question.
fn page(question: &[u8], metrics: &Metrics) -> (&'static str, String) {
    let line = question.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if method != b"GET" {
        return ("405 Method Not Allowed", "ask with GET\n".into());
    }
    if path != b"/metrics" && path != b"/healthz" {
        return ("404 Not Found", "there are /metrics and /healthz\n".into());
    }
    let Some(report) = metrics.board.ask(|| metrics.reactor.wake()) else {
        return ("503 Service Unavailable", "the network thread does not answer\n".into());
    };
    match path {
        b"/healthz" => ("200 OK", "ok\n".into()),
        _ => ("200 OK", text(&report, &metrics.counters)),
    }
}

/// All figures.
fn text(report: &Report, net: &NetCounters) -> String {
    let mut page = Page(String::new());
    let Report { tally, groups, users } = report;
    page.gauge("connections", "Connections open now.", u64::from(net.connections.load(Relaxed)));
    page.gauge("groups", "Groups that have users.", *groups as u64);
    page.gauge("users", "Users of all groups.", *users as u64);
    page.counter("accepted", "Connections accepted.", net.accepted.load(Relaxed));
    page.counter(
        "turned_away",
        "Connections refused because there were too many.",
        net.refused.load(Relaxed),
    );
    page.counter(
        "crowded",
        "Connections refused because there were too many from their address.",
        net.crowded.load(Relaxed),
    );
    page.counter("cut_off", "Clients cut off because they did not read.", net.cut.load(Relaxed));
    page.counter(
        "broken",
        "Connections closed because what came was no framed OSC.",
        net.broken.load(Relaxed),
    );
    page.counter("spoiled", "Packets dropped for a bad SLIP escape.", net.spoiled.load(Relaxed));
    page.counter("received_packets", "Packets received.", net.stream_packets.load(Relaxed));
    page.counter("received_bytes", "Bytes received.", net.received_bytes.load(Relaxed));
    page.counter(
        "sent_packets",
        "Packets queued, each once for every receiver.",
        net.delivered.load(Relaxed),
    );
    page.counter(
        "long_for_slip",
        "Packets queued for SLIP that are longer than 1,006 bytes, which Pd's slipdec drops.",
        net.long_for_slip.load(Relaxed),
    );
    page.counter("sent_bytes", "Bytes sent.", net.sent_bytes.load(Relaxed));
    page.counter(
        "dropped_packets",
        "Packets dropped because their receiver did not read.",
        net.dropped.load(Relaxed),
    );
    page.counter("registered", "Registrations granted.", tally.registered);
    page.counter("forwarded", "Packets forwarded to a group.", tally.forwarded);
    page.counter("private", "Private messages delivered.", tally.private);
    page.counter("pings", "Pings.", tally.pings);
    page.counter("times", "Questions for the time that were answered.", tally.times);
    page.counter("user_lists", "User lists sent, each to one or many.", tally.lists);
    page.counter("hashed", "Passwords hashed or checked.", tally.hashed);
    page.counter("lost", "Packets lost because the router was overloaded.", tally.lost);
    page.counter("untold", "Refusals whose reason was not told, because there were too many.", tally.untold);
    page.counter(
        "unlogged",
        "Refusals that were not logged, because there were too many.",
        tally.unlogged + net.unlogged.load(Relaxed),
    );
    page.head("refused", "What was refused, by reason.", "counter");
    for (reason, count) in tally.refusals() {
        page.line(&format!("refused_total{{reason=\"{reason}\"}}"), count);
    }
    page.0
}

struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "gauge");
        self.line(name, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, help, "counter");
        self.line(&format!("{name}_total"), value);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        // Writing to a string cannot fail.
        let _ =
            write!(self.0, "# HELP downbeat_router_{name} {help}\n# TYPE downbeat_router_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, value: u64) {
        let _ = writeln!(self.0, "downbeat_router_{name} {value}");
    }
}
