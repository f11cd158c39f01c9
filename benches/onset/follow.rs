//! Leader and follower: how far apart two nodes play one bundle, on one host or with a network between them.
//!
//! With a law (`follow lan`, `follow wifi`) each node is on a host of its own: a network namespace, with a relay between them
//! that delays and loses as such a network does. JACK's sockets are files, so that one server serves both, and one recorder
//! hears them. Each click is sent from the node's own host: it is the clocks that are measured, and a packet that the
//! network lost would be no error of theirs. Where the server lost a block, a click may come a whole block later, which is
//! no error of the clocks either: clicks near one are judged apart. Beside what is heard stands what the two nodes publish,
//! read at each click: what is heard has the errors of the frame clocks besides. Not for: faults, which are `company`.

use crate::engine::{Engine, Kind, Place};
use crate::line::{Line, RATE};
use crate::measure::{Stage, error, print, spaced};
use crate::recorder::Take;
use crate::relay::Way;
use crate::relay::law::Law;
use crate::relay::netns::{Host, Net};
use crate::relay::wire::{Plan, Relay, Side};
use crate::report::random::Random;
use crate::report::told::PRIORITY;
use crate::report::{median, quantile};
use downbeat_engine::device::priority::raise_this_thread;
use downbeat_sync::{Clock, LocalTime, Span};
use std::time::{Duration, Instant};

/// Time from click to click (ms), on the average.
const APART: u64 = 200;
/// A follower that is not locked by now never will be.
const PATIENCE: Duration = Duration::from_secs(30);
/// A lost block concerns clicks so long before it is told of, and so long after (frames).
const BEFORE: u64 = RATE as u64 / 10;
const AFTER: u64 = RATE as u64;
/// How often two nodes are seeded.
const SEED: u64 = 5;

/// Of a row: what was heard of both; how far apart, without what is near a lost block; lost blocks, of them the server's own;
/// clicks near one, those of them that were more than a frame off, the largest of these; late events, jumps and successions;
/// how far the follower's published clock is ahead, in the middle and at most (us); how late the relay itself was (us).
pub(crate) const HEADINGS: [&str; 17] = [
    "where",
    "heard %",
    "median",
    "p50",
    "p99",
    "largest",
    "within 1 %",
    "lost blocks",
    "server's",
    "near them",
    "off there",
    "largest",
    "late",
    "jumps",
    "clock us",
    "at most",
    "relay p99",
];

/// How long to listen, after how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Times {
    pub(crate) settling: Span,
    pub(crate) seconds: u64,
}

/// `host`, `lan` or `wifi`, then the seconds of settling and those that are judged.
pub(crate) fn order(law: &str, times: Times) -> String {
    format!("follow {law} {} {}", times.settling.as_secs_f64(), times.seconds)
}

/// Does what [`order`] says behind `follow`.
pub(crate) fn run(how: &str) {
    let words: Vec<&str> = how.split(' ').collect();
    let [law, settling, seconds] = words[..] else { panic!("{how} is no order") };
    let settling = Span::from_secs_f64(settling.parse().expect("seconds are a number"));
    let times = Times { settling, seconds: seconds.parse().expect("seconds are a number") };
    match Law::named(law) {
        None => on_one_host(times),
        Some(laws) => through(law, laws, times),
    }
}

fn on_one_host(times: Times) {
    let stage = Stage::set_at(&[(Kind::Leader, Place::Here), (Kind::Follower, Place::Here)], None);
    let values = follow(stage, times);
    print("on one host", &[&values[..], &[f64::NAN]].concat());
}

fn through(name: &str, laws: [Law; 2], times: Times) {
    let net = Net::new().expect("it is allowed, as was asked before");
    let sides = net.on(Host::Relay, || {
        [Host::A, Host::B].map(|far| {
            let peer = far.port_facing(Host::Relay, 9_000);
            Side::bind(Host::Relay.port_facing(far, 9_000), Some(peer)).expect("the namespace is new")
        })
    });
    let lasts = times.settling + Span::from_secs(times.seconds as i64 + 120);
    let plan = Plan::new(laws, SEED, lasts);
    let relay = Relay::start(sides.expect("the namespace is there"), plan).expect("it has its sockets");
    let places = [(Kind::Leader, Place::On(&net, Host::A)), (Kind::Follower, Place::On(&net, Host::B))];
    let stage = Stage::set_at(&places, Some(Host::Relay.port_facing(Host::B, 9_000)));
    let values = follow(stage, times);
    let log = relay.stop().expect("it ran");
    // Of the relay's own lateness its law says nothing: it adds to what the network is said to do.
    let late: Vec<f64> =
        Way::BOTH.iter().flat_map(|way| log.lateness(*way)).map(|late| 1e6 * late.as_secs_f64()).collect();
    print(&format!("{name}, in namespaces"), &[&values[..], &[quantile(&late, 0.99)]].concat());
}

/// Plays clicks on both, and gives a row of [`HEADINGS`], but for the relay.
fn follow(stage: Stage, times: Times) -> Vec<f64> {
    await_lock(&stage.engines);
    let before = stage.engines[1].told("/sync/status");
    let count = times.seconds * 1_000 / APART;
    let start = Clock::new().now() + times.settling;
    let instants = spaced(start, count as u32, APART as i64, &mut Random(SEED));
    // Nothing is started from here on that would have it too. Without, fewer readings are certain.
    raise_this_thread(PRIORITY);
    let clock = Clock::new();
    let mut ahead = Vec::new();
    let (take, engines) = stage.play(&instants, |n, engines| {
        let read = |engine: &Engine| engine.read_clock(clock, n as i32);
        // The first packet after a sleep takes several times as long as the next.
        let (_, first, second) = (read(&engines[0]), read(&engines[0]), read(&engines[1]));
        ahead.extend(first.zip(second).map(|(a, b)| 1e6 * ((b.time - a.time) - (b.at - a.at)).as_secs_f64()));
    });
    let [counts, after] = ["/status", "/sync/status"].map(|question| engines[1].told(question));
    let line = Line::new(&take.cycles);
    let first = line.frame_at(start).unwrap_or(0);
    let lost_blocks: Vec<u64> = take.lost_blocks.iter().copied().filter(|lost| *lost >= first).collect();
    let heard: Vec<(bool, f64)> = instants.iter().filter_map(|at| difference(&take, &line, *at)).collect();
    let middle = median(&heard.iter().map(|(_, apart)| *apart).collect::<Vec<_>>());
    // Both have the same way to the same server: nothing is taken off before they are judged.
    let off = |near: bool| -> Vec<f64> {
        heard.iter().filter(|(is_near, _)| *is_near == near).map(|(_, apart)| apart.abs()).collect()
    };
    let [clear, near] = [false, true].map(off);
    let within = |off: &[f64]| off.iter().filter(|off| **off < 1.5).count() as f64;
    let changed = |key: &str| after.number(key) - before.number(key);
    vec![
        100.0 * heard.len() as f64 / instants.len() as f64,
        middle,
        quantile(&clear, 0.5),
        quantile(&clear, 0.99),
        quantile(&clear, 1.0),
        100.0 * within(&clear) / clear.len() as f64,
        incidents(&lost_blocks) as f64,
        line.xruns_since(first) as f64,
        near.len() as f64,
        near.len() as f64 - within(&near),
        quantile(&near, 1.0),
        counts.number("late") + engines[0].told("/status").number("late"),
        changed("jumps") + changed("successions"),
        median(&ahead),
        ahead.iter().map(|ahead| ahead.abs()).fold(f64::NAN, f64::max),
    ]
}

/// How far the second node's click is after the first's (frames), if both were heard; and whether a lost block is near.
fn difference(take: &Take, line: &Line, at: LocalTime) -> Option<(bool, f64)> {
    let [first, second] = [0, 1].map(|input| error(&take.clicks, input, line, at));
    let frame = line.frame_at(at)?;
    let is_near = take.lost_blocks.iter().any(|lost| (frame..=frame + BEFORE).contains(lost))
        || take.lost_blocks.iter().any(|lost| (*lost..=*lost + AFTER).contains(&frame));
    // Both are whole frames of one server.
    Some((is_near, (second? - first?).round()))
}

/// Of one lost block several clients may be told, one after the other.
fn incidents(lost_blocks: &[u64]) -> usize {
    let apart = lost_blocks.windows(2).filter(|pair| pair[1].saturating_sub(pair[0]) > BEFORE).count();
    apart + usize::from(!lost_blocks.is_empty())
}

/// Until the second node follows the first, and knows the time well.
fn await_lock(engines: &[Engine]) {
    let [leader, follower] = engines else { panic!("there are two nodes") };
    let id = leader.told("/sync/status").get("id").to_string();
    let start = Instant::now();
    loop {
        let told = follower.told("/sync/status");
        if told.get("leader") == id && told.get("state") == "locked" {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "the second node does not follow the first: {told:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
