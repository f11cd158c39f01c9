//! [`Server`]: a running router, the original, ours or nats-server, and what it takes of the machine.

use crate::dialect::Dialect;
use crate::report::{cpu, peer};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The core that servers run on, all their threads.
pub(crate) const SERVER_CORE: usize = 0;
/// The core of the load tool.
pub(crate) const TOOL_CORE: usize = 1;
/// A server that does not listen by now never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Original,
    Nats,
}

impl Kind {
    /// What to call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ours => "downbeat router",
            Kind::Original => "tcposcrouter",
            Kind::Nats => "nats-server",
        }
    }

    /// Where its program is, if it is here.
    fn program(self) -> Option<PathBuf> {
        let below =
            |path: &str| Some(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).filter(|file| file.is_file());
        match self {
            Kind::Ours => Some(env!("CARGO_BIN_EXE_downbeat").into()),
            Kind::Original => below(".venv/tcposcrouter/bin/tcposcrouter"),
            Kind::Nats => below(".venv/nats-server/usr/sbin/nats-server"),
        }
    }

    /// Those that are here. Says which are not.
    pub(crate) fn installed() -> Vec<Kind> {
        let mut all = vec![Kind::Ours, Kind::Original, Kind::Nats];
        all.retain(|kind| {
            let found = kind.program().is_some();
            if !found {
                println!("{} is not installed, its rows are missing: make bench-router", kind.name());
            }
            found
        });
        all
    }
}

/// Keeps the servers' core from falling asleep, with work that gives way to all other: a virtual processor that sleeps takes
/// milliseconds to wake, now and then, whatever it is woken for.
pub(crate) struct Awake(Child);

impl Awake {
    /// Until it is dropped.
    pub(crate) fn start() -> Awake {
        let own = std::env::current_exe().expect("a running program has a path");
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(own).arg("--awake").stdin(Stdio::null());
        cpu::pin(SERVER_CORE);
        let child = command.spawn().expect("there is a chrt");
        cpu::pin(TOOL_CORE);
        Awake(child)
    }

    /// Runs as its process, until it is killed, or nobody has for far too long.
    pub(crate) fn run() {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3_600) {
            std::hint::spin_loop();
        }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server. It is killed when it is dropped.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    child: Child,
    /// Where it expects lengths, and where SLIP. Nats has one.
    ports: [u16; 2],
    folder: PathBuf,
}

impl Server {
    /// Starts one on its core, on ports that nobody has.
    pub(crate) fn start(kind: Kind) -> Server {
        Server::start_on(kind, [free_port(), free_port()])
    }

    /// Starts one on its core, on these ports, and waits until it listens.
    pub(crate) fn start_on(kind: Kind, ports: [u16; 2]) -> Server {
        let server = Server::launch(kind, ports);
        server.wait_until_it_listens();
        server
    }

    /// Starts one, and waits for nothing.
    pub(crate) fn launch(kind: Kind, ports: [u16; 2]) -> Server {
        let folder = peer::scratch(&format!("router-{}-{}", std::process::id(), ports[0]));
        std::fs::create_dir_all(&folder).expect("the target folder is writable");
        let mut command = Command::new(kind.program().expect("only what is installed is started"));
        let [length, slip] = ports.map(|port| port.to_string());
        match kind {
            Kind::Nats => command.args(["-a", "127.0.0.1", "-p", &length]),
            _ => {
                if kind == Kind::Ours {
                    command.args(["router", "--bind", "127.0.0.1"]);
                    command.args(["--connections", "20000", "--max-per-address", "20000"]);
                }
                command.args(["--osc-port", &length, "--osc11-port", &slip, "--log-dir"]).arg(&folder)
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env_remove("RUST_LOG");
        // Children inherit the core.
        cpu::pin(SERVER_CORE);
        let child = command.spawn().expect("the program was found");
        cpu::pin(TOOL_CORE);
        Server { kind, child, ports, folder }
    }

    fn wait_until_it_listens(&self) {
        let start = Instant::now();
        let ports = if self.kind == Kind::Nats { &self.ports[..1] } else { &self.ports };
        for &port in ports {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                assert!(start.elapsed() < PATIENCE, "{} does not listen", self.kind.name());
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Where it expects this.
    pub(crate) fn address(&self, dialect: Dialect) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.ports[usize::from(dialect == Dialect::Slip)])
    }

    /// Both ports.
    pub(crate) fn ports(&self) -> [u16; 2] {
        self.ports
    }

    /// Processor time it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu::of_threads(self.child.id(), |_| true)
    }

    /// Forgets what its memory was at most.
    pub(crate) fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        std::fs::write(path, "5").expect("a process may forget the peak of its child");
    }

    /// Resident memory, at most since that was forgotten [bytes].
    pub(crate) fn peak(&self) -> f64 {
        self.kernels_figure("status", "VmHWM:")
    }

    /// Resident memory [bytes].
    pub(crate) fn resident(&self) -> f64 {
        self.kernels_figure("smaps_rollup", "Rss:")
    }

    /// What the kernel says of it in a line of this file [bytes].
    fn kernels_figure(&self, file: &str, line: &str) -> f64 {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|found| found.starts_with(line));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.map_or(f64::NAN, |kib| kib * 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already needs no end, and a folder that is gone no removal.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port nobody has now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback is there");
    listener.local_addr().expect("it is bound").port()
}
