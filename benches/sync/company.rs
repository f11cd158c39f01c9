//! What becomes of nodes that keep one clock: how far apart they play, who takes over, whom they believe, what it costs.
//!
//! Whole sessions on simulated networks, in virtual time. Not for: the estimator by itself (`main`), nor real sockets.

use crate::clock::Profile;
use crate::device::{Device, RATE, remembered};
use crate::ensemble::{Ensemble, HostClock, Links};
use crate::report::random::Random;
use crate::report::{Table, cpu, digits, median, quantile, unless_quick, verdict};
use downbeat_net::timing::Membership;
use downbeat_sync::{
    Claim, DeviceRate, EnsembleTime, Epochs, LocalTime, Message, NOTICE, Output, PeerId, Ping, RemoteLine,
    RemoteTime, Session, SessionConfig, Span, Standing, WallAnchor,
};
use std::net::SocketAddr;

/// The networks on which nodes are usually together.
const NETWORKS: [Profile; 2] = [Profile::Lan, Profile::Wifi];
/// Headers of IPv4 and UDP (bytes).
const HEADERS: f64 = 28.0;

/// A wall clock is looked at once in so long (s).
const LOOKS: f64 = 1.0;

/// Every row of this room; what is missed is noted.
pub(crate) fn measure(seeds: u64, missed: &mut Vec<String>) {
    onsets(seeds, missed);
    takeovers(seeds, missed);
    mishaps(seeds, missed);
    liars(seeds, missed);
    merges(seeds);
    cost(missed);
}

/// Links of a network, as this seed has them; the node with the lower number is where packets go down from.
fn links(profile: Profile, seed: u64) -> Links {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0xc0);
    Box::new(move |from, to, t| profile.passes(&mut random, t, from < to))
}

/// The same, but nothing passes between the first two nodes and the others.
fn cut(profile: Profile, seed: u64) -> Links {
    let mut whole = links(profile, seed);
    Box::new(move |from, to, t| if (from < 2) == (to < 2) { whole(from, to, t) } else { None })
}

/// The `n`-th host: clocks that agree in nothing.
fn host(n: usize, seed: u64) -> HostClock {
    let mut random = Random(seed ^ (n as u64) << 32);
    HostClock {
        start: 1_000.0 * n as f64,
        ppm: 160.0 * random.unit() - 80.0,
        wall: 0.01 * (random.unit() - 0.5),
        ..HostClock::default()
    }
}

/// So many nodes, a second apart, that have been together until `until` (s).
fn settled(profile: Profile, count: usize, seed: u64, until: f64) -> Ensemble {
    let mut ensemble = Ensemble::new(links(profile, seed));
    for n in 0..count {
        ensemble.start(host(n, seed), false);
        ensemble.run(1.0 + n as f64, 1.0, |_| {});
    }
    ensemble.run(until, 1.0, |_| {});
    ensemble
}

/// Whether a goal is met, which is noted if not.
fn judged(name: &str, value: f64, goal: f64, missed: &mut Vec<String>) -> String {
    if value.is_nan() || value > goal {
        missed.push(format!("{name} {} > {goal}", digits(value)));
    }
    format!("{} ({goal}: {})", digits(value), verdict(value <= goal))
}

/// One bundle on two nodes, whose cards run by crystals of their own: G14 and G15.
fn onsets(seeds: u64, missed: &mut Vec<String>) {
    const BEGIN: f64 = 60.0;
    const END: f64 = 400.0;
    println!("\none bundle on two nodes with cards of their own, from the second minute on: frames apart");
    let mut table = Table::new(&["", "p50", "p99 (goal)", "largest", "clocks alone, p99"]);
    for (profile, goal) in NETWORKS.into_iter().zip([1.0, 5.0]) {
        for is_known in [false, true] {
            let (mut apart, mut clocks) = (Vec::new(), Vec::new());
            for seed in 0..seeds {
                let mut ensemble = settled(profile, 2, seed, 3.0);
                let mut devices = [(0, 35.0), (1, -20.0)].map(|(n, ppm)| {
                    let seed = 2 * seed + n as u64;
                    let against_host = ppm - ensemble.host(n).ppm;
                    let known = if is_known { remembered(seed, against_host) } else { DeviceRate::UNKNOWN };
                    Device::new(seed, 256, ppm, known)
                });
                ensemble.run(END, 0.25, |now| {
                    let hosts = [0, 1].map(|node| now.host(node));
                    for (device, host) in devices.iter_mut().zip(hosts) {
                        device.play(now.now, |t| host.local(t), |_, _| {});
                    }
                    if now.now < BEGIN {
                        return;
                    }
                    // Due in a block from now, wherever the published clocks say that is.
                    let due = now.estimate(0).ensemble_at(now.local(0)) + Span::from_millis(5);
                    let sounds = [0, 1].map(|node| devices[node].sounds(now.estimate(node).local_at(due)));
                    if let [Some(one), Some(other)] = sounds {
                        apart.push(RATE * (one - other).abs());
                    }
                    clocks.push(RATE * now.spread(&[0, 1]));
                });
            }
            let name =
                format!("{}, {}", profile.name(), if is_known { "rates remembered" } else { "first launch" });
            let p99 = judged(&format!("{name}: frames apart, p99"), quantile(&apart, 0.99), goal, missed);
            let [p50, largest] = [0.5, 1.0].map(|part| digits(quantile(&apart, part)));
            table.row(&[&name, &p50, &p99, &largest, &digits(quantile(&clocks, 0.99))]);
        }
    }
    table.print();
}

/// The leader of four is gone: G10.
fn takeovers(seeds: u64, missed: &mut Vec<String>) {
    println!(
        "\nthe leader of four nodes is killed: until another leads (s), and what that does to the survivors' clocks (us)"
    );
    let mut table = Table::new(&[
        "",
        "takes over",
        "worst (goal 1.5)",
        "largest move in 10 ms",
        "farthest apart within 30 s",
    ]);
    for (profile, goal) in NETWORKS.into_iter().zip([20.0, 500.0]) {
        let (mut taken, mut moved, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 0..seeds {
            let mut ensemble = settled(profile, 4, seed, 90.0);
            ensemble.kill(0);
            let mut since = f64::INFINITY;
            let mut before = [1, 2, 3].map(|node| ensemble.error(node));
            let (mut largest, mut farthest) = (0.0f64, 0.0f64);
            ensemble.run(120.0, 0.01, |now| {
                if !now.leaders().is_empty() {
                    since = since.min(now.now - 90.0);
                }
                let errors = [1, 2, 3].map(|node| now.error(node));
                for (error, before) in errors.iter().zip(before) {
                    largest = largest.max((error - before).abs());
                }
                before = errors;
                farthest = farthest.max(now.spread(&[1, 2, 3]));
            });
            taken.push(since);
            moved.push(1e6 * largest);
            apart.push(1e6 * farthest);
        }
        let name = profile.name();
        table.row(&[
            &name,
            &digits(median(&taken)),
            &judged(&format!("{name}, takeover (s)"), quantile(&taken, 1.0), 1.5, missed),
            &judged(&format!("{name}, move at a takeover (us)"), quantile(&moved, 1.0), goal, missed),
            &digits(quantile(&apart, 1.0)),
        ]);
    }
    table.print();
}

/// What a leader's host can do to it besides: it stands still for 5 s (as `kill -STOP` does), or somebody sets its wall clock.
fn mishaps(seeds: u64, missed: &mut Vec<String>) {
    println!(
        "\nthe leader of four stands still for 5 s; its wall clock is set by an hour: all clocks apart (us), jumps of a node"
    );
    let mut table = Table::new(&[
        "",
        "farthest apart after 1 s",
        "jumps",
        "apart by over 1 ms for (s)",
        "jumped within us",
    ]);
    for profile in NETWORKS {
        for (what, expected) in [("stands still", 0), ("is set", 1)] {
            let (mut farthest, mut jumps, mut longest, mut within) = (0.0f64, 0, 0.0f64, 0.0f64);
            // The clock is looked at within a second, and the jump takes effect a while after that.
            let settles = 1.0 + LOOKS + if expected == 0 { 0.0 } else { NOTICE.as_secs_f64() };
            for seed in 0..seeds {
                let mut ensemble = settled(profile, 4, seed, 90.0);
                let before: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
                if expected == 0 {
                    ensemble.pause(0);
                    ensemble.run(95.0, 1.0, |_| {});
                    ensemble.resume(0);
                } else {
                    ensemble.set_wall(0, 3_600.0);
                }
                let (begin, mut apart) = (ensemble.now, 0.0f64);
                ensemble.run(begin + 30.0, 0.01, |now| {
                    let spread = now.spread(&[0, 1, 2, 3]);
                    apart += if spread > 1e-3 { 0.01 } else { 0.0 };
                    if now.now > begin + settles {
                        farthest = farthest.max(1e6 * spread);
                    }
                });
                longest = longest.max(apart);
                if expected > 0 {
                    let jumped = ensemble.nodes.iter().filter_map(|node| node.jumps.last());
                    let instants: Vec<f64> = jumped.map(|(at, _)| *at).collect();
                    within = within.max(1e6 * (quantile(&instants, 1.0) - quantile(&instants, 0.0)));
                }
                let more = ensemble.nodes.iter().zip(before).map(|(node, before)| node.jumps.len() - before);
                jumps = more.max().unwrap_or(0).max(jumps);
            }
            let name = format!("{}, {what}", profile.name());
            if jumps > expected {
                missed.push(format!("{name}: {jumps} jumps"));
            }
            table.row(&[&name, &digits(farthest), &jumps, &digits(longest), &digits(within)]);
        }
    }
    table.print();
}

/// One of four clocks leaps by 20 ms and does not say so: G11.
fn liars(seeds: u64, missed: &mut Vec<String>) {
    println!(
        "\nthe clock of one of four nodes leaps by 20 ms, unannounced: the others' clocks apart in the 30 s after (us)"
    );
    let mut table = Table::new(&["", "p50", "p99", "worst (goal)"]);
    for (liar, role) in [(0, "the leader"), (2, "a follower")] {
        for (profile, goal) in NETWORKS.into_iter().zip([12.0, 400.0]) {
            let mut apart = Vec::new();
            let honest: Vec<usize> = (0..4).filter(|node| *node != liar).collect();
            for seed in 0..seeds {
                let mut ensemble = settled(profile, 4, seed, 90.0);
                ensemble.leap(liar, 0.02);
                ensemble.run(120.0, 0.01, |now| apart.push(1e6 * now.spread(&honest)));
            }
            let name = format!("{}, {role}", profile.name());
            let worst = judged(&format!("{name} lies: worst (us)"), quantile(&apart, 1.0), goal, missed);
            table.row(&[&name, &digits(median(&apart)), &digits(quantile(&apart, 0.99)), &worst]);
        }
    }
    table.print();
}

/// Two pairs that did not know each other meet; the younger is two seconds ahead.
fn merges(seeds: u64) {
    println!(
        "\ntwo pairs of nodes meet, one two seconds ahead: until all agree to 1 ms (s), and jumps of a node on the way"
    );
    let mut table = Table::new(&["", "agree", "worst", "jumps of the older", "of the younger"]);
    for profile in NETWORKS {
        let (mut agreed, mut jumps) = (Vec::new(), [0usize; 2]);
        for seed in 0..seeds {
            let mut ensemble = Ensemble::new(cut(profile, seed));
            for n in 0..4 {
                let ahead = if n < 2 { 0.0 } else { 2.0 };
                ensemble.start(HostClock { wall: ahead, ..host(n, seed) }, false);
                ensemble.run(5.0 * (n + 1) as f64, 1.0, |_| {});
            }
            ensemble.run(60.0, 1.0, |_| {});
            let before: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
            ensemble.relink(links(profile, seed));
            let mut last = 0.0;
            ensemble.run(90.0, 0.01, |now| {
                if now.spread(&[0, 1, 2, 3]) > 1e-3 {
                    last = now.now - 60.0;
                }
            });
            agreed.push(last);
            for (n, before) in before.iter().enumerate() {
                let more = ensemble.nodes[n].jumps.len() - before;
                jumps[n / 2] = jumps[n / 2].max(more);
            }
        }
        let name = profile.name();
        table.row(&[&name, &digits(median(&agreed)), &digits(quantile(&agreed, 1.0)), &jumps[0], &jumps[1]]);
    }
    table.print();
}

/// What it costs on the wire and on a leader's processor: G18; and a thousand followers.
fn cost(missed: &mut Vec<String>) {
    println!(
        "\ncost when locked: bytes per second of a follower, both ways together, without and with the headers of UDP and IPv4"
    );
    let mut table = Table::new(&["", "messages", "bytes (goal)", "on the wire"]);
    for profile in NETWORKS {
        let mut ensemble = settled(profile, 2, 0, 90.0);
        let (sent, bytes) = (ensemble.sent(), ensemble.bytes());
        ensemble.run(150.0, 1.0, |_| {});
        let messages = (ensemble.sent() - sent) as f64 / 60.0;
        let bytes = (ensemble.bytes() - bytes) as f64 / 60.0;
        let name = profile.name();
        let judged = judged(&format!("{name}, bytes/s per follower"), bytes, 2_000.0, missed);
        table.row(&[&name, &digits(messages), &judged, &digits(bytes + HEADERS * messages)]);
    }
    table.print();
    a_thousand(missed);
    println!("\na leader's processor, messages read and written: % of a core");
    for (followers, seconds, goal) in [(1, 200.0, 0.5), (FOLLOWERS, 20.0, 10.0)] {
        let load = 100.0 * leaders_load(followers, seconds);
        let name = format!("a leader of {followers}: % of a core");
        println!("  {followers} followers: {}", judged(&name, load, goal, missed));
    }
}

const FOLLOWERS: usize = 1_000;

/// One leader, a thousand followers that are switched on within ten seconds.
fn a_thousand(missed: &mut Vec<String>) {
    let (count, end) = unless_quick((FOLLOWERS + 1, 60.0), (101, 30.0));
    let mut ensemble = Ensemble::new(links(Profile::Lan, 0));
    for n in 0..count {
        ensemble.start(host(n, 0), false);
        ensemble.run(10.0 * (n + 1) as f64 / count as f64, 100.0, |_| {});
    }
    ensemble.run(end - 10.0, 100.0, |_| {});
    let everybody: Vec<usize> = (0..count).collect();
    let (sent, bytes) = (ensemble.sent(), ensemble.bytes());
    let mut apart = Vec::new();
    ensemble.run(end, 0.5, |now| apart.push(1e6 * now.spread(&everybody)));
    let messages = (ensemble.sent() - sent) as f64 / 10.0;
    println!(
        "\none leader, {} followers, after {} s: {} leads; all within {} us of each other; {} messages and {} kB a second in all",
        count - 1,
        end - 10.0,
        ensemble.leaders().len(),
        judged("1,000 followers: farthest apart (us)", quantile(&apart, 1.0), 100.0, missed),
        digits(messages),
        digits((ensemble.bytes() - bytes) as f64 / 10.0 / 1e3),
    );
}

/// The processor's share that a leader takes, which so many ask twice a second, for so many seconds.
fn leaders_load(followers: usize, seconds: f64) -> f64 {
    let seconds = unless_quick(seconds, 2.0);
    let member = Membership { ensemble: "downbeat".into(), key: None };
    let anchor = |t: f64| WallAnchor {
        local: LocalTime::from_ticks(1 << 40) + Span::from_secs_f64(t),
        wall: EnsembleTime::from_unix(Span::from_secs(1_800_000_000)) + Span::from_secs_f64(t),
        uncertainty: Span::ZERO,
        synchronised: false,
    };
    let config = SessionConfig { id: PeerId(1), secret: 7, ..SessionConfig::default() };
    let mut session = Session::new(config, anchor(0.0));
    let ask = |n: usize, nonce: u64| {
        let standing = Standing {
            id: PeerId(100 + n as u64),
            leader: PeerId(1),
            claim: Claim { session: 9, ..Claim::default() },
            line: RemoteLine::new(RemoteTime::from_ticks(1), EnsembleTime::from_bits(1)),
            epochs: Epochs::default(),
        };
        let mut packet = Vec::new();
        member.write(&mut packet, &Message::Ping(Ping { standing, nonce })).expect("it can be written");
        (SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 9_000)), packet)
    };
    let count = (2.0 * seconds * followers as f64) as usize;
    let questions: Vec<_> = (0..count).map(|n| ask(n % followers, n as u64 + 1)).collect();
    let begin = cpu::this_thread();
    let mut packet = Vec::new();
    for (n, (from, question)) in questions.iter().enumerate() {
        let now = anchor(seconds * n as f64 / count as f64);
        let message = member.read(question).expect("it can be read");
        session.handle(now.local, *from, &message);
        session.advance(now);
        while let Some(Output::Send { message, .. } | Output::Announce(message)) = session.poll(now.local) {
            packet.clear();
            member.write(&mut packet, &message).expect("it can be written");
            std::hint::black_box(&packet);
        }
    }
    (cpu::this_thread() - begin).as_secs_f64() / seconds
}
