//! What one client can do to the others: by not reading, and a hundred by all that strangers send.
//!
//! The strangers are a process of their own at the lowest priority on the tool's core, so that it is the server they disturb.

use crate::dialect::{Dialect, SECRET};
use crate::flow::{Contestant, Flow, message};
use crate::report::random::Random;
use crate::report::{Table, digits, median, quantile, title, unless_quick, verdict};
use crate::server::Kind;
use downbeat_net::framing::Framing;
use downbeat_net::osc;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// How many strangers.
const STRANGERS: usize = 100;
/// By how much they may raise the others' p99.
const GOAL_RAISED: f64 = 2.0;
/// What may wait for a client at most, by default [bytes], and as much again for what the allocator keeps.
const BOUND: f64 = 2.0 * 1_048_576.0;
/// Between two things that one stranger does.
const PAUSE: Duration = Duration::from_millis(5);

fn by_lengths(kinds: &[Kind]) -> impl Iterator<Item = Contestant> {
    let routers = kinds.iter().filter(|kind| **kind != Kind::Nats);
    routers.map(|&kind| Contestant { kind, dialect: Dialect::Length })
}

/// One of eleven receivers does not read.
pub(crate) fn slow_reader(kinds: &[Kind]) {
    let time = Duration::from_millis(unless_quick(10_000, 300));
    title("router: 10 kB, 1,000 a second, to 10 receivers and one that never reads");
    let mut table =
        Table::new(&["router", "", "p50 us", "p99 us", "memory grew by MB, at most", "the slow one"]);
    for contestant in by_lengths(kinds) {
        let mut flow = Flow::new(contestant, 1, 11);
        let packet = message(10_000);
        // The first time fills what is kept and used again.
        flow.pace(&packet, 1_000.0, time / 10, false);
        for sleeps in [false, true] {
            let last = flow.swarm.links.len() - 1;
            if sleeps {
                flow.swarm.put_to_sleep(last, 8 << 10);
                flow.swarm.register(last);
                flow.swarm.links[last].asleep = true;
                thread::sleep(Duration::from_millis(200));
            }
            let before = flow.server.resident();
            flow.server.forget_peak();
            let latency = flow.pace(&packet, 1_000.0, time, false);
            let grew = flow.server.peak() - before;
            let what = if sleeps { "does not read" } else { "reads" };
            let name = contestant.kind.name();
            let is_cut = sleeps && flow.swarm.was_cut_off(last);
            let state = if is_cut { "cut off" } else { "connected" };
            table.row(&[
                &name,
                &what,
                &digits(latency.p50),
                &digits(latency.p99),
                &digits(grew / 1e6),
                &state,
            ]);
            if sleeps && contestant.kind == Kind::Ours {
                println!(
                    "a slow reader costs {} MB, goal {}: {}",
                    digits(grew / 1e6),
                    BOUND / 1e6,
                    verdict(grew <= BOUND)
                );
            }
        }
    }
    table.print();
}

/// Honest clients, with and without strangers.
pub(crate) fn strangers(kinds: &[Kind]) {
    let time = Duration::from_millis(unless_quick(3_000, 200));
    title(&format!(
        "router: 200 messages a second to 10 receivers, alone and beside {STRANGERS} hostile clients"
    ));
    let mut table = Table::new(&["router", "", "p50 us", "p99 us", "p99.9 us", "missing", "resident MB"]);
    for contestant in by_lengths(kinds) {
        let mut flow = Flow::new(contestant, 1, 10);
        let mut p99 = [Vec::new(), Vec::new()];
        let mut last = [None, None];
        // The original takes minutes to catch up.
        let rounds = if contestant.kind == Kind::Original { 1 } else { unless_quick(5, 1) };
        for _ in 0..rounds {
            for hostile in [false, true] {
                let strangers = hostile.then(|| Strangers::start(flow.server.ports()));
                thread::sleep(Duration::from_millis(unless_quick(500, 50)));
                let latency = flow.pace(&message(8), 200.0, time, false);
                let resident = flow.server.resident();
                drop(strangers);
                p99[usize::from(hostile)].push(latency.p99);
                last[usize::from(hostile)] = Some((latency, resident));
                // What they have left behind is dealt with.
                thread::sleep(Duration::from_millis(unless_quick(300, 20)));
            }
        }
        for (last, (what, p99)) in last.iter().flatten().zip(["alone", "beside strangers"].iter().zip(&p99)) {
            let (latency, resident) = last;
            table.row(&[
                &contestant.kind.name(),
                what,
                &digits(latency.p50),
                &digits(median(p99)),
                &digits(latency.p999),
                &latency.missing,
                &digits(resident / 1e6),
            ]);
        }
        let raised = quantile(&p99[1], 0.5) / quantile(&p99[0], 0.5);
        let goal = if contestant.kind == Kind::Ours { verdict(raised <= GOAL_RAISED) } else { "" };
        println!("{}: p99 times {}, goal {GOAL_RAISED} {goal}", contestant.kind.name(), digits(raised));
    }
    table.print();
}

/// The process of the strangers.
pub(crate) struct Strangers(Child);

impl Strangers {
    /// Lets them loose on a server's ports.
    pub(crate) fn start([length, slip]: [u16; 2]) -> Strangers {
        let own = std::env::current_exe().expect("a running program has a path");
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(own).args(["--strangers", &length.to_string(), &slip.to_string()]);
        Strangers(command.stdin(Stdio::null()).spawn().expect("there is a nice"))
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What one of the strangers does, again and again.
const WAYS: [fn(TcpStream, &mut Random) -> std::io::Result<()>; 6] =
    [garbage, huge_length, half_open, byte_by_byte, no_end, register_flood];

/// Runs as the process of the strangers, until it is killed.
pub(crate) fn run(length: u16, slip: u16) {
    let threads = (0..STRANGERS).map(|number| {
        thread::spawn(move || {
            let mut random = Random(number as u64);
            loop {
                let port = if number % 2 == 0 { length } else { slip };
                if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                    // It ends when the server ends it; that is what it is for.
                    let _ = WAYS[number / 2 % WAYS.len()](stream, &mut random);
                }
                thread::sleep(PAUSE);
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().for_each(|thread| _ = thread.join());
}

fn pour(mut stream: TcpStream, mut bytes: impl FnMut() -> Vec<u8>) -> std::io::Result<()> {
    loop {
        stream.write_all(&bytes())?;
        thread::sleep(PAUSE);
    }
}

fn garbage(stream: TcpStream, random: &mut Random) -> std::io::Result<()> {
    pour(stream, || (0..1_000).map(|_| random.bits() as u8).collect())
}

fn huge_length(mut stream: TcpStream, _: &mut Random) -> std::io::Result<()> {
    stream.write_all(&i32::MAX.to_be_bytes())?;
    pour(stream, || vec![b'/'; 16_000])
}

fn half_open(mut stream: TcpStream, _: &mut Random) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.read_exact(&mut [0])
}

fn byte_by_byte(stream: TcpStream, _: &mut Random) -> std::io::Result<()> {
    let frame = Framing::Length.frame_as_vec(&register("slow", "guessed"));
    let mut bytes = frame.into_iter().cycle();
    pour(stream, || bytes.next().into_iter().collect())
}

fn no_end(mut stream: TcpStream, _: &mut Random) -> std::io::Result<()> {
    stream.write_all(b"\xc0/endless")?;
    pour(stream, || vec![b'a'; 8_000])
}

fn register_flood(mut stream: TcpStream, random: &mut Random) -> std::io::Result<()> {
    let user = format!("user{}", random.bits() % 100);
    stream.write_all(&Framing::Length.frame_as_vec(&register(&user, &format!("guess{}", random.bits()))))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

/// For the honest ones' group, by a guessed password of the user or the group.
fn register(user: &str, guess: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    let group_password = if user == "slow" { SECRET } else { guess };
    let args = [user.into(), guess.into(), "group0".into(), group_password.into(), 1.into()];
    osc::write(&mut packet, "/oscrouter/register", args).expect("it is legal");
    packet
}

trait FrameAsVec {
    fn frame_as_vec(self, packet: &[u8]) -> Vec<u8>;
}

impl FrameAsVec for Framing {
    fn frame_as_vec(self, packet: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        self.frame_into(packet, &mut frame);
        frame
    }
}
