//! What it costs to receive OSC over UDP, and how much can be: the node's own path beside the bare loop and its peers.
//!
//! Every receiver is a process on one core, the sender another on the next. Two figures each: processor time per million
//! messages at a rate all can follow, and the highest rate at which less than a thousandth is lost. Every receiver has
//! the socket buffer it asks for: the node 4 MiB, the others the kernel's default of 208 KiB. Not for: the codec alone.

mod load;
mod node;
mod receivers;
#[path = "../report/mod.rs"]
mod report;

use downbeat_net::osc;
use report::{Table, cpu, digits, in_turn, median, peer, unless_quick};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const RECEIVE_CORE: usize = 0;
const SEND_CORE: usize = 1;
/// More than this part lost is a loss.
const LOSS: f64 = 0.001;
/// A receiver that hears nothing new for so long has heard everything.
const SETTLE: Duration = Duration::from_millis(50);

fn main() {
    let mut args = std::env::args().skip(1);
    if let (Some("--receive"), Some(name)) = (args.next().as_deref(), args.next()) {
        assert!(receivers::run(&name), "there is a receiver {name}");
        return;
    }
    let contestants = contestants();
    for (name, packet, messages) in [("one /play", play(), 1), ("a bundle of ten", bundle_of_ten(), 10)] {
        report::title(&format!("receive: {name}, {} B", packet.len()));
        compare(&contestants, &packet, messages);
    }
}

/// A receiver by name, and how it is started.
struct Contestant {
    name: &'static str,
    command: Vec<String>,
    /// The thread that receives; all of the process if `None`.
    thread: Option<&'static str>,
    /// Packets a second that it can follow in the first comparison.
    packets: f64,
}

/// What a receiver used for one load.
struct Probe {
    lost: f64,
    sent_per_second: f64,
    micros_per_message: f64,
}

fn contestants() -> Vec<Contestant> {
    let own = std::env::current_exe().expect("a running program has a path").to_string_lossy().into_owned();
    let ours = |name, receiver: &str| Contestant {
        name,
        command: vec![own.clone(), "--receive".into(), receiver.into()],
        thread: Some(receivers::THREAD),
        packets: 50_000.0,
    };
    let mut all = vec![
        ours("bare recvmmsg + scan", "bare"),
        ours("downbeat node", "node"),
        ours("rosc + std UdpSocket", "rosc"),
    ];
    if let Some(program) = peer::compiled("receive_liblo.c", &["-llo"], "liblo-dev") {
        let command = vec![program.to_string_lossy().into_owned()];
        all.push(Contestant { name: "liblo", command, thread: None, packets: 50_000.0 });
    }
    if let Some(python) = peer::python_osc() {
        let script = peer::folder().join("receive_pythonosc.py");
        for (name, kind) in [("python-osc asyncio", "asyncio"), ("python-osc threading", "threading")] {
            let command = [&*python.to_string_lossy(), &*script.to_string_lossy(), kind].map(str::to_string);
            all.push(Contestant { name, command: command.into(), thread: None, packets: 5_000.0 });
        }
    }
    all
}

fn compare(contestants: &[Contestant], packet: &[u8], messages: u64) {
    let rounds = unless_quick(7, 1);
    let time = Duration::from_millis(unless_quick(1_000, 100));
    let costs = in_turn(rounds, contestants.len(), |index| {
        let contestant = &contestants[index];
        let mut receiver = Receiver::start(contestant);
        receiver.probe(packet, messages, contestant.packets, time).micros_per_message
    });
    let rates: Vec<String> = contestants.iter().map(|c| highest_rate(c, packet, messages)).collect();
    let bare = median(&costs[0]);
    let headings =
        ["receiver", "CPU s per million", "to the bare loop", "at messages/s", "highest lossless messages/s"];
    let mut table = Table::new(&headings);
    for ((contestant, costs), highest) in contestants.iter().zip(&costs).zip(rates) {
        let cost = median(costs);
        let rate = contestant.packets * messages as f64;
        table.row(&[&contestant.name, &digits(cost), &digits(cost / bare), &digits(rate), &highest]);
    }
    table.print();
}

/// The highest rate at which next to nothing is lost [messages per second], as text: doubled until there is loss, then
/// narrowed to a tenth.
fn highest_rate(contestant: &Contestant, packet: &[u8], messages: u64) -> String {
    let time = Duration::from_millis(unless_quick(400, 50));
    // Somebody else's burst of work must not count as a limit, of neither side: the best of three attempts does.
    let reached_without_loss = |rate: f64| {
        let mut best = 0.0f64;
        for _ in 0..unless_quick(3, 1) {
            let probe = Receiver::start(contestant).probe(packet, messages, rate, time);
            if probe.lost < LOSS {
                best = best.max(probe.sent_per_second);
            }
            if best > 0.95 * rate {
                break;
            }
        }
        best
    };
    let (mut good, mut bad, mut rate) = (1_000.0, f64::INFINITY, 4_000.0);
    while bad / good > 1.1 {
        let reached = reached_without_loss(rate);
        if reached == 0.0 {
            bad = rate;
        } else if bad.is_infinite() && reached < 1.2 * good {
            // Twice as much was asked for.
            return format!("{} (the sender's limit)", digits(reached * messages as f64));
        }
        good = f64::max(good, reached);
        rate = if bad.is_finite() { f64::sqrt(good * bad) } else { 2.0 * rate };
    }
    digits(good * messages as f64)
}

fn play() -> Vec<u8> {
    let mut packet = Vec::new();
    osc::write(&mut packet, "/play", ["hat".into(), 1.into(), 0.5f32.into()]).expect("it is legal");
    packet
}

fn bundle_of_ten() -> Vec<u8> {
    let mut packet = Vec::new();
    let mut bundle = osc::BundleWriter::new(&mut packet, osc::IMMEDIATELY);
    for _ in 0..10 {
        bundle.packet(&play()).expect("it is legal");
    }
    packet
}

/// A running receiver.
struct Receiver {
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    port: u16,
    thread: Option<&'static str>,
}

impl Receiver {
    fn start(contestant: &Contestant) -> Receiver {
        cpu::pin(RECEIVE_CORE);
        let mut command = Command::new(Path::new(&contestant.command[0]));
        command.args(&contestant.command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the receiver was found");
        let questions = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut receiver = Receiver { child, questions, answers, port: 0, thread: contestant.thread };
        receiver.port = receiver.number() as u16;
        receiver
    }

    /// Sends a load and waits until all that came was understood.
    fn probe(&mut self, packet: &[u8], messages: u64, packets_per_second: f64, time: Duration) -> Probe {
        let before = self.cpu();
        let sent = load::send(SEND_CORE, self.port, packet, packets_per_second, time);
        let expected = sent.packets * messages;
        let mut understood = self.count();
        while understood < expected {
            std::thread::sleep(SETTLE);
            let now = self.count();
            if now == understood {
                break;
            }
            understood = now;
        }
        let used = (self.cpu() - before).as_secs_f64();
        Probe {
            lost: 1.0 - understood as f64 / expected as f64,
            sent_per_second: sent.per_second,
            micros_per_message: 1e6 * used / understood as f64,
        }
    }

    fn cpu(&self) -> Duration {
        cpu::of_threads(self.child.id(), |name| self.thread.is_none_or(|thread| thread == name))
    }

    fn count(&mut self) -> u64 {
        writeln!(self.questions).expect("the receiver lives");
        self.number()
    }

    fn number(&mut self) -> u64 {
        let line = self.answers.next().and_then(Result::ok).expect("the receiver answers");
        line.parse().expect("it answers with a number")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
