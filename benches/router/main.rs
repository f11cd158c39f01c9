//! The router beside the one whose place it takes, tcposcrouter, and beside nats-server for scale: one load tool, one machine,
//! in turn.
//!
//! Each server is a process on one core, all its threads; the tool is one thread on the next. Needs the original in
//! `.venv/tcposcrouter` and nats-server in `.venv/nats-server`, which `make bench-router` puts there; what is missing has no
//! rows. One of the names below behind `--` measures that only. Not for: what the routers answer (`tests/router.rs`).

mod crowd;
mod dialect;
mod endure;
mod fanout;
mod flow;
#[path = "../report/mod.rs"]
mod report;
mod server;
mod swarm;
mod trouble;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use server::Kind;

/// Files that ten thousand connections take, here and in the server.
const FILES: u64 = 40_000;

/// What it is called behind `--`, and what measures these servers.
type Measurement = (&'static str, fn(&[Kind]));

const MEASUREMENTS: [Measurement; 10] = [
    ("rates", fanout::rates),
    ("latencies", fanout::latencies),
    ("shapes", fanout::shapes),
    ("churn", crowd::churn),
    ("storm", crowd::storm),
    ("idle", crowd::idle),
    ("slow", trouble::slow_reader),
    ("strangers", trouble::strangers),
    ("restart", endure::restart),
    ("soak", endure::soak),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, length, slip] = &args[..]
        && flag == "--strangers"
    {
        let port = |text: &String| text.parse().expect("a port is a number");
        trouble::run(port(length), port(slip));
        return;
    }
    if args == ["--awake"] {
        return server::Awake::run();
    }
    raise_limit();
    let kinds = Kind::installed();
    // `cargo bench` itself adds a flag.
    let only = args.iter().find(|arg| !arg.starts_with("--"));
    for (name, measure) in MEASUREMENTS {
        if only.is_none_or(|only| only == name) {
            measure(&kinds);
        }
    }
}

/// As many files as are needed, or as are allowed.
fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let most = FILES.max(soft).max(hard);
        // Root may raise both.
        setrlimit(Resource::RLIMIT_NOFILE, most.min(FILES.max(soft)), most)
            .or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, hard.min(FILES.max(soft)), hard))
    });
    if let Err(error) = raised {
        eprintln!("the limit of open files stays as it is: {error}");
    }
}
