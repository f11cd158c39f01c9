//! The relay of the benchmarks keeps its word: its delays are its law's, to within the error it logs, and a seed repeats.

#[path = "../benches/relay/mod.rs"]
pub(crate) mod kit;

use downbeat_sync::{Clock, LocalTime, Span};
use kit::Way;
use kit::law::{Dice, Fate, Law};
use kit::log::{End, Log};
use kit::netns::{Host, Net};
use kit::wire::{Plan, Relay, Side};
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

const A_WHILE: Span = Span::from_secs(20);
/// Longer than any of the laws here takes for a packet.
const QUIET: Duration = Duration::from_millis(500);

/// Delays of a law, in order, without what is lost.
fn delays(law: &Law, way: Way, packets: usize, apart: f64) -> Vec<f64> {
    let mut dice = Dice::new(law.clone(), 11, way);
    let fates = (0..packets).map(|n| dice.throw(n as f64 * apart));
    fates
        .filter_map(|fate| if let Fate::Comes(delay, _) = fate { Some(delay.as_secs_f64()) } else { None })
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

#[test]
fn the_laws_are_those_of_the_reference() {
    const N: usize = 200_000;
    let near = |value: f64, wanted: f64, error: f64| {
        assert!((value / wanted - 1.0).abs() < error, "{value} instead of {wanted}");
    };
    // One packet in fifty waits up to 3 ms more.
    let lan = delays(&Law::lan(), Way::Forth, N, 0.01);
    near(mean(&lan), 150e-6 + 25e-6 + 0.02 * 1.5e-3, 0.02);
    near(least(&lan), 150e-6, 0.001);
    near(1.0 - lan.len() as f64 / N as f64, 0.001, 0.3);

    for (way, tail) in [(Way::Forth, 0.8e-3), (Way::Back, 1.5e-3)] {
        let awake = delays(&Law { sleep: None, ..Law::wifi(way) }, way, N, 0.01);
        near(mean(&awake), 1e-3 + tail + 0.05 * 10e-3, 0.02);
        near(1.0 - awake.len() as f64 / N as f64, 0.05, 0.05);
    }
    let back = delays(&Law::wifi(Way::Back), Way::Back, N, 0.01);
    near(mean(&back), 1e-3 + 1.5e-3 + 0.05 * 10e-3 + 0.25 * 0.8 * 50e-3, 0.02);
    for (way, scale) in [(Way::Forth, 1.5e-3), (Way::Back, 3e-3)] {
        let wan = delays(&Law::wan(way), way, N, 0.01);
        near(mean(&wan), 20e-3 + 1.5 * scale, 0.01);
        let spread: Vec<f64> = wan.iter().map(|x| (x - 20e-3 - 1.5 * scale).powi(2)).collect();
        near(mean(&spread), 1.5 * scale * scale, 0.05);
    }
}

#[test]
fn a_seed_repeats_and_another_is_another_and_time_changes_no_later_draw() {
    let fates = |seed: u64, way: Way, apart: f64| {
        let mut dice = Dice::new(Law { sleep: None, twice: 0.1, ..Law::wifi(way) }, seed, way);
        (0..1_000).map(|n| dice.throw(f64::from(n) * apart)).collect::<Vec<_>>()
    };
    assert_eq!(fates(1, Way::Forth, 0.1), fates(1, Way::Forth, 0.07));
    assert_ne!(fates(1, Way::Forth, 0.1), fates(2, Way::Forth, 0.1));
    assert_ne!(fates(1, Way::Forth, 0.1)[..5], fates(1, Way::Back, 0.1)[..5]);
    let hole = Law { holes: vec![(1.0, 2.0)], ..Law::constant(0.0) };
    let mut dice = Dice::new(hole, 1, Way::Back);
    assert_eq!([0.9, 1.0, 1.9, 2.0].map(|now| dice.throw(now) == Fate::Hole), [false, true, true, false]);
}

/// Two peers with a relay between them.
struct Setting {
    relay: Relay,
    peers: [UdpSocket; 2],
}

fn loopback(plan: Plan) -> Setting {
    let peers = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").expect("there is a free port"));
    let side =
        |peer: &UdpSocket| Side::bind("127.0.0.1:0", peer.local_addr().ok()).expect("there is a free port");
    let relay = Relay::start([side(&peers[0]), side(&peers[1])], plan).expect("it starts");
    for (peer, side) in peers.iter().zip(0..) {
        peer.connect(relay.end(side)).expect("loopback can be reached");
    }
    Setting { relay, peers }
}

/// Sends numbered packets both ways, a millisecond apart, and takes what comes out: number and arrival, for each way.
fn pour(setting: Setting, packets: u32) -> ([Vec<(u32, LocalTime)>; 2], Log) {
    let clock = Clock::new();
    let all_sent = Arc::new(AtomicBool::new(false));
    let receive = |socket: UdpSocket| {
        socket.set_read_timeout(Some(QUIET)).expect("a timeout can be set");
        let all_sent = Arc::clone(&all_sent);
        move || {
            let mut came = Vec::new();
            let mut bytes = [0; 4];
            loop {
                // Quiet that began earlier may be the sender's, on a busy machine.
                let last = all_sent.load(Relaxed);
                match socket.recv(&mut bytes) {
                    Ok(_) => came.push((u32::from_be_bytes(bytes), clock.now())),
                    Err(_) if last => return came,
                    Err(_) => {}
                }
            }
        }
    };
    let receivers = [1, 0].map(|to: usize| {
        let socket = setting.peers[to].try_clone().expect("a socket can be cloned");
        thread::spawn(receive(socket))
    });
    for number in 0..packets {
        for peer in &setting.peers {
            peer.send(&number.to_be_bytes()).expect("it can be sent");
        }
        thread::sleep(Duration::from_millis(1));
    }
    all_sent.store(true, Relaxed);
    let came = receivers.map(|receiver| receiver.join().expect("it only receives"));
    (came, setting.relay.stop().expect("it ran"))
}

/// What went in has the delays of the law and the seed; what came out came when the log says.
fn check(laws: &[Law; 2], seed: u64, came: &[Vec<(u32, LocalTime)>; 2], log: &Log, packets: u32) {
    for way in Way::BOTH {
        let law = &laws[way as usize];
        let mut dice = Dice::new(Law { sleep: None, ..law.clone() }, seed, way);
        let fates: Vec<Fate> = (0..packets).map(|_| dice.throw(0.0)).collect();
        let mut planned: Vec<Span> = fates
            .iter()
            .flat_map(|fate| match fate {
                Fate::Comes(delay, again) => [Some(*delay), *again],
                _ => [None, None],
            })
            .flatten()
            .collect();
        let sent = log.entries.iter().filter(|entry| entry.way == way);
        let sent: Vec<_> = sent.filter(|entry| matches!(entry.end, End::Sent | End::Again)).collect();
        let mut logged: Vec<Span> = sent.iter().map(|entry| entry.due - entry.came).collect();
        planned.sort_unstable();
        logged.sort_unstable();
        assert_eq!(logged, planned, "every packet was given the delay that the seed says");
        let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
        assert_eq!(log.count(way, End::Lost), lost as u64);

        // The relay is never early, and what it says of its lateness is what a receiver sees, give or take a wake-up.
        assert!(sent.iter().all(|entry| !entry.left.is_before(entry.due)));
        let came = &came[way as usize];
        assert_eq!(came.len(), sent.len(), "nothing is lost that is not counted");
        let mut wakes: Vec<Span> = came.iter().zip(&sent).map(|((_, at), entry)| *at - entry.left).collect();
        wakes.sort_unstable();
        assert!(wakes[0] >= Span::ZERO, "{} before it was sent", wakes[0]);
        let usual = wakes[wakes.len() / 2];
        assert!(usual < Span::from_millis(10), "half of them came {usual} after they were sent");
    }
}

#[test]
fn delays_through_it_are_its_law_s_to_within_the_error_it_logs() {
    let laws = [Law { twice: 0.05, ..Law::lan() }, Law { sleep: None, ..Law::wifi(Way::Back) }];
    let setting = loopback(Plan::new(laws.clone(), 5, A_WHILE));
    let (came, log) = pour(setting, 500);
    check(&laws, 5, &came, &log, 500);
    assert!(log.count(Way::Forth, End::Again) > 10, "{log}");
    let overtaken = |way: Way| came[way as usize].windows(2).filter(|pair| pair[1].0 < pair[0].0).count();
    assert!(overtaken(Way::Back) > 0, "by their delays some are overtaken");
    println!("{log}");
}

#[test]
fn order_is_kept_if_wanted_and_holes_and_full_queues_are_counted() {
    let ordered = Law { in_order: true, ..Law { sleep: None, loss: 0.0, ..Law::wifi(Way::Forth) } };
    let black = Law { holes: vec![(0.0, 1_000.0)], ..Law::lan() };
    let (came, log) = pour(loopback(Plan::new([ordered, black], 6, A_WHILE)), 300);
    assert_eq!(came[0].iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
    assert_eq!((came[1].len(), log.count(Way::Back, End::Hole)), (0, 300));

    // So slow that none leaves meanwhile.
    let slow = Law::constant(600.0);
    let plan = Plan { queue: (64, 1 << 20), ..Plan::new([slow.clone(), slow], 7, A_WHILE) };
    let (came, log) = pour(loopback(plan), 100);
    let full: u64 = Way::BOTH.iter().map(|way| log.count(*way, End::Full)).sum();
    assert_eq!((full, came[0].len() + came[1].len()), (200 - 64, 0));
}

#[test]
fn a_cut_cable_takes_what_is_sent_and_only_the_two_ends_may_use_it() {
    let law = Law { spikes: (0.0, 0.0), loss: 0.0, ..Law::lan() };
    let Setting { relay, peers } = loopback(Plan::new([law.clone(), law], 10, A_WHILE));
    peers[1].set_read_timeout(Some(QUIET)).expect("a timeout can be set");
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
    let mut bytes = [0; 8];
    for (is_cut, word) in [(false, b"whole"), (true, b"cut !"), (false, b"again")] {
        relay.cut(is_cut);
        stranger.send_to(b"stranger", relay.end(0)).expect("it can be sent");
        peers[0].send(word).expect("it can be sent");
        let came = peers[1].recv(&mut bytes).ok().map(|len| &bytes[..len]);
        assert_eq!(came, (!is_cut).then_some(&word[..]));
    }
    let log = relay.stop().expect("it ran");
    let ends = [End::Sent, End::Hole, End::Foreign].map(|end| log.count(Way::Forth, end));
    assert_eq!(ends, [2, 1, 3], "{log}");
}

#[test]
fn it_ends_by_itself_and_writes_what_it_did() {
    let laws = [Law::lan(), Law::lan()];
    let side = || Side::bind("127.0.0.1:0", None).expect("there is a free port");
    let mut relay =
        Relay::start([side(), side()], Plan::new(laws, 8, Span::from_secs(1))).expect("it starts");
    let peer = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
    peer.send_to(b"nobody is there to take it", relay.end(0)).expect("it can be sent");
    let log = relay.join().expect("it ran");
    assert_eq!(log.count(Way::Forth, End::Unsent), 1);
    let folder = tempfile::tempdir().expect("the system gives a folder");
    let path = folder.path().join("relay.csv");
    log.write(&path).expect("the folder takes a file");
    let text = std::fs::read_to_string(&path).expect("it was written");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("way,bytes,came_ns,due_ns,left_ns,end"));
    let cells: Vec<_> = lines.next().expect("there was a packet").split(',').collect();
    assert_eq!((cells[0], cells[1], cells[5]), ("forth", "26", "unsent"));
}

/// Through two virtual cables; where that is not possible, it says why and is not tried.
#[test]
fn it_works_between_namespaces_and_leaves_none_behind() {
    if let Some(why) = Net::forbidden() {
        return eprintln!("not tried: {why}");
    }
    let net = Net::new().expect("what is allowed works");
    let devices = net.command(Host::A, "ip").args(["-brief", "link"]).output().expect("ip is there");
    let devices = String::from_utf8_lossy(&devices.stdout).into_owned();
    assert!(devices.contains("up@") && !devices.contains("eth"), "{devices}");

    let laws = [Law::lan(), Law { sleep: None, ..Law::wifi(Way::Back) }];
    let side = |far: Host| {
        net.on(Host::Relay, move || {
            Side::bind(Host::Relay.port_facing(far, 9_000), Some(far.port_facing(Host::Relay, 9_000)))
        })
    };
    let sides = [Host::A, Host::B].map(|far| side(far).expect("it is there").expect("its ports are free"));
    let peers = [Host::A, Host::B].map(|host| {
        let socket = net.on(host, move || {
            let socket = UdpSocket::bind(host.port_facing(Host::Relay, 9_000))?;
            socket.connect(Host::Relay.port_facing(host, 9_000))?;
            Ok::<_, io::Error>(socket)
        });
        socket.expect("it is there").expect("its ports are free")
    });
    let relay = Relay::start(sides, Plan::new(laws.clone(), 9, A_WHILE)).expect("it starts");
    let (came, log) = pour(Setting { relay, peers }, 400);
    check(&laws, 9, &came, &log, 400);
    println!("{log}");

    drop(net);
    let left = std::fs::read_dir("/run/netns").expect("it was made").flatten();
    let ours = format!("downbeat-relay-{}-", std::process::id());
    let left: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&ours)).collect();
    assert!(left.is_empty(), "{left:?}");
}
