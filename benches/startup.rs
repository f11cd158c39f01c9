//! From the command to the first answer, and what waiting costs: the node beside scsynth and Pd.
//!
//! Ready means that the program answered over UDP, or sent a datagram of its own accord. The node runs on its virtual
//! device with the sample kit; scsynth on a JACK server of its own without hardware, which is started beforehand and
//! not counted; Pd without sound. Not for: load, which is `receive`, `agenda` and `voices`.

mod report;

use downbeat_net::osc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use report::{Table, cpu, digits, in_turn, median, peer, quantile, unless_quick};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that is not ready by now never will be.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an answer is waited for before asking again.
const ASK_EVERY: Duration = Duration::from_millis(1);
const JACK_SERVER: &str = "downbeat-bench";

fn main() {
    let rounds = unless_quick(21, 2);
    let idle = Duration::from_millis(unless_quick(10_000, 200));
    report::title(&format!("start-up: {rounds} starts in turn; idle for {} s", digits(idle.as_secs_f64())));
    let jack = Jack::start();
    let contestants = contestants(jack.is_some());
    let starts =
        in_turn(rounds, contestants.len(), |index| Running::start(&contestants[index]).took.as_secs_f64());
    let headings = ["program", "ready ms", "slowest", "idle CPU %", "resident MB", "proportional MB"];
    let mut table = Table::new(&headings);
    for (contestant, starts) in contestants.iter().zip(starts) {
        let running = Running::start(contestant);
        let (ready, slowest) = (1e3 * median(&starts), 1e3 * quantile(&starts, 1.0));
        let cpu = running.idle_percent(idle);
        let [resident, proportional] = running.memory();
        let cells = [ready, slowest, cpu, resident, proportional].map(digits);
        table.row(&[&contestant.name, &cells[0], &cells[1], &cells[2], &cells[3], &cells[4]]);
    }
    table.print();
    println!(
        "goals for the node: 50 ms, 1 %, 20 MB and its samples ({} MB in memory)",
        digits(kit_megabytes())
    );
}

/// A program, and how it shows that it is ready.
struct Contestant {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    ready: Ready,
}

enum Ready {
    /// It answers a message to this address at its port, which stands in its arguments as `PORT`.
    Answers(&'static str),
    /// It sends a datagram to the port that stands in its arguments as `PORT`.
    Sends,
}

fn contestants(jack: bool) -> Vec<Contestant> {
    let (kit, empty) = (kit(), peer::scratch("no-samples"));
    std::fs::create_dir_all(&empty).expect("the target folder is writable");
    let node = |name, samples: &Path| Contestant {
        name,
        program: env!("CARGO_BIN_EXE_downbeat").into(),
        args: words("node --host virtual --bind 127.0.0.1 --port PORT --samples", &samples.to_string_lossy()),
        ready: Ready::Answers("/status"),
    };
    let mut all = vec![node("downbeat node, sample kit", &kit), node("downbeat node, no samples", &empty)];
    if jack && let Some(program) = peer::program("scsynth", "supercollider-server") {
        let args = words("-i 0 -o 2 -B 127.0.0.1 -u", "PORT");
        all.push(Contestant { name: "scsynth on JACK", program, args, ready: Ready::Answers("/status") });
    }
    if let Some(program) = peer::program("pd", "puredata-core") {
        let patch = peer::folder().join("ready.pd").to_string_lossy().into_owned();
        let args = [words("-nogui -nosound -open", &patch), words("-send", "port PORT; ready bang")].concat();
        all.push(Contestant { name: "pd -nogui -nosound", program, args, ready: Ready::Sends });
    }
    all
}

/// Arguments without spaces, and a last one that may have some.
fn words(words: &str, last: &str) -> Vec<String> {
    words.split(' ').chain([last]).map(str::to_string).collect()
}

fn kit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/audio")
}

/// What the kit takes as 32-bit floats.
fn kit_megabytes() -> f64 {
    let files = std::fs::read_dir(kit()).expect("the kit is part of the project").flatten();
    let wavs = files.filter_map(|file| hound::WavReader::open(file.path()).ok());
    wavs.map(|wav| f64::from(wav.len()) * 4.0 / 1e6).sum()
}

/// A JACK server without hardware.
struct Jack(Child);

impl Jack {
    fn start() -> Option<Jack> {
        let jackd = peer::program("jackd", "jackd2")?;
        let mut command = Command::new(jackd);
        command.args(["-n", JACK_SERVER, "-r", "-d", "dummy", "-r", "48000", "-p", "256"]);
        let child = quiet(&mut command).spawn().ok()?;
        // scsynth does not wait for a server that is still coming up.
        std::thread::sleep(Duration::from_secs(1));
        Some(Jack(child))
    }
}

impl Drop for Jack {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// A program that is ready.
struct Running {
    child: Child,
    took: Duration,
}

impl Running {
    fn start(contestant: &Contestant) -> Running {
        let (port, socket) = match contestant.ready {
            Ready::Answers(_) => (free_port(), loopback()),
            Ready::Sends => {
                let socket = loopback();
                (socket.local_addr().expect("it is bound").port(), socket)
            }
        };
        let args = contestant.args.iter().map(|arg| arg.replace("PORT", &port.to_string()));
        let mut command = Command::new(&contestant.program);
        command.args(args).env("JACK_DEFAULT_SERVER", JACK_SERVER);
        let start = Instant::now();
        let mut child = quiet(&mut command).spawn().expect("the program was found");
        let took = wait_until_ready(&contestant.ready, &socket, port, start);
        let Some(took) = took else {
            end(&mut child);
            panic!("{} was not ready after {PATIENCE:?}", contestant.name);
        };
        Running { child, took }
    }

    /// Processor time while nothing is asked of it [% of a core].
    fn idle_percent(&self, time: Duration) -> f64 {
        // What a start leaves to be done is not idling.
        std::thread::sleep(time / 10);
        let used = || cpu::of_threads(self.child.id(), |_| true).as_secs_f64();
        let (before, start) = (used(), Instant::now());
        std::thread::sleep(time);
        100.0 * (used() - before) / start.elapsed().as_secs_f64()
    }

    /// Memory in use [MB]: all that is resident, and with shared pages divided among those who share them.
    fn memory(&self) -> [f64; 2] {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let smaps = std::fs::read_to_string(path).unwrap_or_default();
        ["Rss:", "Pss:"].map(|name| {
            let line = smaps.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
            kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn wait_until_ready(ready: &Ready, socket: &UdpSocket, port: u16, start: Instant) -> Option<Duration> {
    let mut room = [0; 1024];
    let mut question = Vec::new();
    if let Ready::Answers(address) = ready {
        osc::write(&mut question, address, []).expect("it is legal");
    }
    while start.elapsed() < PATIENCE {
        if !question.is_empty() {
            // Before anybody listens this fails, now or at the next receive.
            let _ = socket.send_to(&question, ("127.0.0.1", port));
        }
        let asked = Instant::now();
        if socket.recv(&mut room).is_ok() {
            return Some(start.elapsed());
        }
        std::thread::sleep(ASK_EVERY.saturating_sub(asked.elapsed()));
    }
    None
}

fn loopback() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.set_read_timeout(Some(ASK_EVERY)).expect("a millisecond is a timeout");
    socket
}

/// A port nobody has now, neither for datagrams nor for connections.
fn free_port() -> u16 {
    loop {
        let port = loopback().local_addr().expect("it is bound").port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// Asks a process to end: killed, a JACK server would keep one of the eight places that a machine has for servers.
fn end(child: &mut Child) {
    if kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).is_err() {
        // One that has ended already needs no end.
        let _ = child.kill();
    }
    let _ = child.wait();
}
