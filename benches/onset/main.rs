//! On which frame a click is heard: the node beside scsynth on one JACK server without hardware.
//!
//! A recorder on the same server hears both, and knows the true time of every frame (`line`). Errors are in frames at
//! 48 kHz against a constant (the median of a launch), so rounding to a frame alone gives a 99th percentile of 0.5.
//! The launches of one setting share a folder of state, which is empty for the first: that one is cold, the others know the
//! card's rate from those before.
//! Needs `jackd` (jackd2) and runs with `cargo bench --features jack --bench onset`; a block length or one of `immediate`,
//! `now`, `xrun`, `two`, `follow`, `burst` behind `--` measures that one only; `now 64` one block length of it. `follow` is on one host; `follow lan` and `follow
//! wifi` have a network between the nodes and need root for it; a number of seconds may come behind each. Not for: real
//! cards, whose connectors need a scope.

mod engine;
mod follow;
mod line;
mod measure;
mod recorder;
#[path = "../relay/mod.rs"]
mod relay;
#[path = "../report/mod.rs"]
mod report;

use downbeat_sync::Span;
use follow::Times;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relay::netns::Net;
use report::{Table, digits, median, peer, quantile, unless_quick, verdict};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What the demands of the frame clock are measured under.
struct Setting {
    period: u32,
    busy: bool,
}

fn main() {
    let mut args = std::env::args().skip(1);
    // A process of its own per launch: libjack finds its server by the environment.
    if let (Some("--measure"), Some(what)) = (args.next().as_deref(), args.next()) {
        measure::run(&what);
        return;
    }
    let launches = unless_quick(3, 1);
    // `cargo bench` itself adds a flag.
    let mut words = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let only = words.next();
    let period = only.as_ref().and_then(|only| only.parse::<u32>().ok());
    if only.is_none() || period.is_some() {
        onsets(launches, period);
    }
    if period.is_none() {
        rest(launches, only.as_deref());
    }
    let more: Vec<String> = words.collect();
    if only.as_ref().is_none_or(|only| only == "now") {
        stamped_now(launches, more.first().and_then(|block| block.parse().ok()));
    }
    if only.as_ref().is_none_or(|only| only == "follow") {
        followers(launches, only.is_some(), &more);
    }
}

/// Senders that stamp "now": their events come too late for that, and are to keep their rhythm all the same.
fn stamped_now(launches: usize, only: Option<u32>) {
    report::title(
        "clicks stamped with the time at which they are sent, and clicks without a timetag in turn with them: standard \
         deviation of the intervals from those at which they were sent, ms; each launch, and the median; of those that are \
         unsure the sender was held up while it sent them",
    );
    let mut table = Table::new(&[
        "engine",
        "block",
        "untimed",
        "now",
        "now, median",
        "of untimed",
        "lost",
        "unsure",
        "goal 2",
    ]);
    for period in [64, 256, 1024].into_iter().filter(|period| only.is_none_or(|only| only == *period)) {
        let setting = Setting { period, busy: false };
        let folder = peer::scratch(&format!("onset-state-now-{}", std::process::id()));
        let runs: Vec<Vec<Row>> =
            (0..launches).map(|_| measured(&setting, &format!("now {period}"), &folder)).collect();
        let _ = std::fs::remove_dir_all(&folder);
        for engine in engines(&runs) {
            let of = |index: usize| -> Vec<f64> {
                runs.iter().flatten().filter(|row| row.name == engine).map(|row| row.values[index]).collect()
            };
            let (untimed, now) = (of(0), of(1));
            let [lost, unsure] = [2, 3].map(|index| of(index).iter().sum::<f64>());
            let list =
                |values: &[f64]| values.iter().map(|value| digits(*value)).collect::<Vec<_>>().join(" ");
            let ratios: Vec<f64> = now.iter().zip(&untimed).map(|(now, untimed)| now / untimed).collect();
            let ratio = median(&ratios);
            let met = verdict(ratio <= 2.0 && lost == 0.0);
            let cells = [
                list(&untimed),
                list(&now),
                digits(median(&now)),
                digits(ratio),
                digits(lost),
                digits(unsure),
            ];
            let mut row: Vec<&dyn std::fmt::Display> = vec![&engine, &period];
            row.extend(cells.iter().map(|cell| cell as &dyn std::fmt::Display));
            row.push(&met);
            table.row(&row);
        }
    }
    table.print();
}

fn onsets(launches: usize, only: Option<u32>) {
    let setting = |period, busy| Setting { period, busy };
    let all = [setting(256, false), setting(256, true), setting(64, false), setting(1024, false)];
    report::title(&format!(
        "onset: clicks at random timetags, heard through JACK; the first launch (cold), and the median of the {} after \
         it, in which the node knows the card's rate (warm); launch to launch over all; frames",
        launches - 1
    ));
    let mut table = Table::new(&[
        "engine",
        "block",
        "host",
        "launch",
        "constant",
        "launch to launch",
        "p50",
        "p99",
        "max",
        "drift/min",
        "at 1 s",
        "at 5 s",
        "lost",
        "xruns",
    ]);
    let chosen = all.iter().filter(|setting| only.is_none_or(|period| period == setting.period));
    for setting in chosen.take(unless_quick(4, 1)) {
        let folder = peer::scratch(&format!("onset-state-{}", std::process::id()));
        let what = unless_quick("onsets", "onsets-quick");
        let runs: Vec<Vec<Row>> = (0..launches).map(|_| measured(setting, what, &folder)).collect();
        // Where no node has run there is none.
        let _ = std::fs::remove_dir_all(&folder);
        let host = if setting.busy { "busy" } else { "idle" };
        for engine in engines(&runs) {
            let of = |runs: &[Vec<Row>], index: usize| -> Vec<f64> {
                runs.iter().flatten().filter(|row| row.name == engine).map(|row| row.values[index]).collect()
            };
            let constants = of(&runs, 0);
            let spread = quantile(&constants, 1.0) - quantile(&constants, 0.01);
            let (first, later) = runs.split_at(1);
            for (launch, runs) in [("cold", first), ("warm", later)] {
                if runs.is_empty() {
                    continue;
                }
                let mut cells: Vec<String> = (0..9).map(|index| digits(median(&of(runs, index)))).collect();
                cells.insert(1, digits(spread));
                let mut row: Vec<&dyn std::fmt::Display> = vec![&engine, &setting.period, &host, &launch];
                row.extend(cells.iter().map(|cell| cell as &dyn std::fmt::Display));
                table.row(&row);
            }
        }
    }
    table.print();
}

fn rest(launches: usize, only: Option<&str>) {
    let setting = Setting { period: 256, busy: false };
    let measurements: [(&str, &str, &[&str]); 4] = [
        (
            "immediate",
            "messages without a timetag: latency to the server's frame, ms",
            &["p50", "p99", "sd", "lost"],
        ),
        (
            "xrun",
            "the engine is stopped for 50 ms: clicks every 5 ms after it, frames off",
            &["ms until right", "largest then", "largest after 1 s"],
        ),
        (
            "two",
            "two nodes on one server: difference of their onsets, frames",
            &["constant", "within 1, %", "p99", "largest"],
        ),
        (
            "burst",
            "2,000 packets sent at once (the demand: within 5 ms), a click each, due ten frames apart",
            &["sent in ms", "heard", "frames apart"],
        ),
    ];
    for (what, title, headings) in measurements {
        if only.is_some_and(|only| only != what) {
            continue;
        }
        report::title(title);
        let mut table = Table::new(&[&["engine"], headings].concat());
        let folder = peer::scratch(&format!("onset-state-{what}-{}", std::process::id()));
        let runs: Vec<Vec<Row>> = (0..launches).map(|_| measured(&setting, what, &folder)).collect();
        let _ = std::fs::remove_dir_all(&folder);
        for row in runs.iter().flatten() {
            row.print(&mut table);
        }
        table.print();
    }
}

/// Leader and follower: on one host, through a wired network, through Wi-Fi; or one of these, for so many seconds.
fn followers(launches: usize, alone: bool, words: &[String]) {
    let setting = Setting { period: 256, busy: false };
    let seconds = words.iter().find_map(|word| word.parse().ok());
    let law = words.iter().find(|word| word.parse::<u64>().is_err()).map(String::as_str);
    // Through a network a follower needs a minute until it knows the drift as well as it ever will.
    let all = [("host", 15, 120, launches, 1.0), ("lan", 60, 600, 1, 1.0), ("wifi", 60, 600, 1, 5.0)];
    if let Some(law) = law.filter(|law| all.iter().all(|(name, ..)| name != law)) {
        println!("there is no follow {law}: host, lan and wifi are there");
    }
    // By its name alone it is what needs no root; among all others it is all.
    let law = law.or(alone.then_some("host"));
    for (name, settling, usual, launches, goal) in all {
        if law.is_some_and(|law| law != name) {
            continue;
        }
        if name != "host"
            && let Some(why) = Net::forbidden()
        {
            println!("\nfollow {name} is left out: {why}");
            continue;
        }
        let settling = unless_quick(settling, 5);
        let times =
            Times { settling: Span::from_secs(settling), seconds: seconds.unwrap_or(unless_quick(usual, 5)) };
        report::title(&format!(
            "leader and follower ({name}) on one JACK server, the follower's clocks 80 ppm and 1,234 s off: difference of \
             their onsets, frames at 48 kHz, {} s after {settling} s; clicks near a lost block apart; relay late by, us",
            times.seconds
        ));
        let mut table = Table::new(&follow::HEADINGS);
        let folder = peer::scratch(&format!("onset-state-{name}-{}", std::process::id()));
        let order = follow::order(name, times);
        let rows: Vec<Row> = (0..launches).flat_map(|_| measured(&setting, &order, &folder)).collect();
        // Where no node has run there is none.
        let _ = std::fs::remove_dir_all(&folder);
        for row in &rows {
            row.print(&mut table);
        }
        table.print();
        let met =
            rows.len() == launches && rows.iter().all(|row| row.values[0] >= 99.0 && row.values[3] <= goal);
        println!("goal: 99 % heard, p99 {} frames at most: {}", digits(goal), verdict(met));
    }
}

/// What a launch found about one engine.
struct Row {
    name: String,
    values: Vec<f64>,
}

impl Row {
    fn print(&self, table: &mut Table) {
        let cells: Vec<String> = self.values.iter().map(|value| digits(*value)).collect();
        let cells: Vec<&dyn std::fmt::Display> =
            std::iter::once(&self.name as _).chain(cells.iter().map(|cell| cell as _)).collect();
        table.row(&cells);
    }
}

/// Names in the order of their first row.
fn engines(runs: &[Vec<Row>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in runs.iter().flatten() {
        if !names.contains(&row.name) {
            names.push(row.name.clone());
        }
    }
    names
}

/// One launch: a server, perhaps a busy core, and this program again as the one that measures. Nodes keep their state in
/// `state`.
fn measured(setting: &Setting, what: &str, state: &Path) -> Vec<Row> {
    let server = format!("onset-{}", std::process::id());
    let Some(_jack) = Jack::start(&server, setting.period) else { return Vec::new() };
    let _load = setting.busy.then(Load::start);
    let own = std::env::current_exe().expect("this program runs");
    let mut command = Command::new(own);
    command.args(["--measure", what]).env("JACK_DEFAULT_SERVER", &server).env("SC_JACK_DEFAULT_OUTPUTS", "");
    command.stdout(Stdio::piped()).stderr(stderr_if_wanted());
    command.env(engine::STATE, state);
    let mut child = command.spawn().expect("this program runs");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let rows = lines.map_while(Result::ok).filter_map(|line| {
        let (name, values) = line.strip_prefix("row\t")?.split_once('\t')?;
        let values = values.split('\t').map(|value| value.parse().unwrap_or(f64::NAN)).collect();
        Some(Row { name: name.to_string(), values })
    });
    let rows = rows.collect();
    let done = child.wait().expect("it was started");
    if !done.success() {
        println!("a launch of {what} failed, its rows are missing; ONSET_VERBOSE=1 tells why");
    }
    rows
}

/// libjack talks on standard error; `ONSET_VERBOSE=1` shows it, and why a measurement failed.
fn stderr_if_wanted() -> Stdio {
    if std::env::var_os("ONSET_VERBOSE").is_some() { Stdio::inherit() } else { Stdio::null() }
}

/// A JACK server without hardware.
struct Jack(Child);

impl Jack {
    fn start(name: &str, period: u32) -> Option<Jack> {
        let mut command = Command::new(peer::program("jackd", "jackd2")?);
        command.args(["-R", "-P", "60", "-n", name, "-d", "dummy", "-r", "48000", "-p", &period.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().ok()?;
        // Its clients do not wait for a server that is still coming up.
        std::thread::sleep(Duration::from_millis(1_500));
        Some(Jack(child))
    }
}

/// A core that others keep busy.
struct Load(Child);

impl Load {
    fn start() -> Load {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        Load(command.spawn().expect("there is a shell"))
    }
}

impl Drop for Jack {
    fn drop(&mut self) {
        // Killed, a server would keep one of the eight places that a machine has for servers.
        let pid = Pid::from_raw(self.0.id() as i32);
        if kill(pid, Signal::SIGTERM).is_err() {
            end(&mut self.0);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

fn end(child: &mut Child) {
    // One that has ended already needs no end.
    let _ = child.kill();
    let _ = child.wait();
}
