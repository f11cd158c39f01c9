//! Nodes that agree on the time: found, followed, lost, succeeded, merged, lied to. In virtual time.

use crate::lab::clock::Profile;
use crate::lab::device::{Device, RATE, remembered};
use crate::lab::ensemble::{Ensemble, HostClock, Links, Seconds};
use crate::report::median;
use crate::report::random::Random;
use downbeat_sync::{RateBelief, Span};

/// A wired network: 150 us and an exponential 25 us each way, one packet of a thousand lost.
fn wired(seed: u64) -> Links {
    let mut random = Random(seed);
    Box::new(move |_, _, _| {
        let delay = 150e-6 - 25e-6 * (1.0 - random.unit()).ln();
        (random.unit() >= 0.001).then_some(delay)
    })
}

/// Wi-Fi: 1 ms and an exponential 1 ms there, 2 ms back; one packet of twenty lost.
fn wireless(seed: u64) -> Links {
    let mut random = Random(seed);
    Box::new(move |from, to, _| {
        let delay = 1e-3 - if from < to { 1e-3 } else { 2e-3 } * (1.0 - random.unit()).ln();
        (random.unit() >= 0.05).then_some(delay)
    })
}

/// A wired network in which nothing passes between the nodes below `border` and the others.
fn split(seed: u64, border: usize) -> Links {
    let mut inner = wired(seed);
    Box::new(move |from, to, t| if (from < border) == (to < border) { inner(from, to, t) } else { None })
}

/// The `n`-th host of a test.
fn host(n: usize) -> HostClock {
    let n = n as f64;
    HostClock { start: 1_000.0 * n, ppm: 30.0 * (n - 1.0), wall: 0.004 * n, ..HostClock::default() }
}

/// So many nodes, a second apart, that have been together for a minute.
fn settled(count: usize, seed: u64) -> Ensemble {
    let mut ensemble = Ensemble::new(wired(seed));
    for n in 0..count {
        ensemble.start(host(n), false);
        ensemble.run(1.0 + n as f64, 1.0, |_| {});
    }
    ensemble.run(60.0, 1.0, |_| {});
    ensemble
}

/// The largest difference between these nodes until `until`.
fn worst(ensemble: &mut Ensemble, until: Seconds, nodes: &[usize]) -> Seconds {
    let mut worst = 0.0;
    ensemble.run(until, 0.01, |now| worst = now.spread(nodes).max(worst));
    worst
}

#[test]
fn the_first_node_leads_and_the_others_follow_to_the_microsecond() {
    let mut ensemble = settled(4, 1);
    assert_eq!(ensemble.leaders(), [0]);
    let worst = worst(&mut ensemble, 120.0, &[0, 1, 2, 3]);
    assert!(worst < 6e-6, "{worst}");
    // Each jumped once, to join.
    assert!(ensemble.nodes.iter().all(|node| node.jumps.len() <= 1));
}

#[test]
fn a_node_that_joins_is_in_time_within_a_second() {
    for seed in 0..20 {
        let mut ensemble = settled(2, seed);
        let late = ensemble.start(host(7), false);
        ensemble.run(61.0, 1.0, |_| {});
        let worst = worst(&mut ensemble, 63.0, &[0, 1, late]);
        assert!(worst < 50e-6, "seed {seed}: {worst}");
    }
}

#[test]
fn when_the_leader_dies_the_first_follower_goes_on_and_nobody_jumps() {
    for seed in 0..20 {
        let mut ensemble = settled(4, seed);
        let jumps: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
        ensemble.kill(0);
        let mut succeeded = None;
        ensemble.run(61.5, 0.01, |now| {
            if succeeded.is_none() && !now.leaders().is_empty() {
                succeeded = Some(now.now - 60.0);
            }
        });
        let succeeded = succeeded.expect("somebody leads");
        assert!(succeeded <= 1.5, "seed {seed}: {succeeded}");
        assert_eq!(ensemble.leaders(), [1], "seed {seed}");
        let worst = worst(&mut ensemble, 90.0, &[1, 2, 3]);
        assert!(worst < 20e-6, "seed {seed}: {worst}");
        let after: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
        assert_eq!(jumps, after);
    }
}

#[test]
fn a_leader_that_was_stopped_for_five_seconds_follows_when_it_is_back() {
    let mut ensemble = settled(4, 3);
    ensemble.pause(0);
    ensemble.run(65.0, 1.0, |_| {});
    assert_eq!(ensemble.leaders(), [1]);
    ensemble.resume(0);
    ensemble.run(67.0, 1.0, |_| {});
    assert_eq!(ensemble.leaders(), [1]);
    let worst = worst(&mut ensemble, 90.0, &[0, 1, 2, 3]);
    assert!(worst < 30e-6, "{worst}");
}

#[test]
fn two_halves_of_a_split_network_go_on_and_come_together_without_a_jump() {
    let mut ensemble = settled(4, 4);
    let jumps: usize = ensemble.nodes.iter().map(|node| node.jumps.len()).sum();
    ensemble.relink(split(4, 2));
    ensemble.run(90.0, 1.0, |_| {});
    assert_eq!(ensemble.leaders().len(), 2);
    assert!(ensemble.spread(&[0, 1]) < 10e-6 && ensemble.spread(&[2, 3]) < 10e-6);
    assert!(ensemble.spread(&[0, 1, 2, 3]) < 100e-6);
    ensemble.relink(wired(5));
    ensemble.run(100.0, 1.0, |_| {});
    assert_eq!(ensemble.leaders().len(), 1);
    let worst = worst(&mut ensemble, 130.0, &[0, 1, 2, 3]);
    assert!(worst < 60e-6, "{worst}");
    assert_eq!(jumps, ensemble.nodes.iter().map(|node| node.jumps.len()).sum::<usize>());
}

#[test]
fn of_two_ensembles_that_meet_the_younger_jumps_once() {
    let mut ensemble = Ensemble::new(split(6, 2));
    for (n, at) in [(0, 1.0), (1, 2.0)] {
        ensemble.start(host(n), false);
        ensemble.run(at, 1.0, |_| {});
    }
    // Ten seconds later, and by a wall clock that is two seconds ahead.
    ensemble.run(10.0, 1.0, |_| {});
    for n in [2, 3] {
        ensemble.start(HostClock { wall: 2.0, ..host(n) }, false);
        ensemble.run(10.0 + n as f64, 1.0, |_| {});
    }
    ensemble.run(40.0, 1.0, |_| {});
    assert_eq!(ensemble.leaders(), [0, 2]);
    let jumps: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
    ensemble.relink(wired(6));
    ensemble.run(43.0, 1.0, |_| {});
    assert_eq!(ensemble.leaders(), [0]);
    assert!(ensemble.spread(&[0, 1, 2, 3]) < 50e-6, "{}", ensemble.spread(&[0, 1, 2, 3]));
    assert!((1..4).all(|node| ensemble.age(node).0 == ensemble.age(0).0));
    let after: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
    assert_eq!((after[0], after[1]), (jumps[0], jumps[1]));
    assert!(after[2] <= jumps[2] + 2 && after[3] <= jumps[3] + 2, "{jumps:?} {after:?}");
}

#[test]
fn a_pinned_leader_takes_over_from_whoever_leads() {
    let mut ensemble = settled(3, 7);
    let pinned = ensemble.start(host(3), true);
    ensemble.run(65.0, 1.0, |_| {});
    assert_eq!(ensemble.leaders(), [pinned]);
    assert!((0..4).all(|node| ensemble.age(node).0 == ensemble.age(pinned).0));
    assert!(ensemble.spread(&[0, 1, 2, 3]) < 50e-6);
}

#[test]
fn a_wall_clock_that_is_set_is_one_jump_for_all_at_once() {
    let mut ensemble = settled(3, 8);
    let jumps: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
    ensemble.set_wall(0, 3_600.0);
    let mut apart = 0.0;
    ensemble.run(65.0, 0.01, |now| {
        if now.spread(&[0, 1, 2]) > 1e-3 {
            apart += 0.01;
        }
    });
    // A reading may fall between the first that jumps and the last.
    assert!(apart <= 0.01, "{apart} s");
    let after: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
    assert_eq!(after, jumps.iter().map(|before| before + 1).collect::<Vec<_>>());
    assert!(ensemble.spread(&[0, 1, 2]) < 10e-6);
}

/// Commands are sealed by it, and refused ten seconds beside it.
#[test]
fn all_know_the_session_s_age_and_no_clock_that_is_set_moves_it() {
    let mut ensemble = settled(4, 11);
    let session = ensemble.age(0).0;
    let check = |now: &Ensemble, nodes: &[usize]| {
        for node in nodes {
            let (which, age) = now.age(*node);
            assert_eq!(which, session, "node {node} at {}", now.now);
            // The founder's oscillator counts, and what is told of it is a while old.
            assert!((age - now.now).abs() < 1.0, "node {node} at {}: {age}", now.now);
        }
    };
    ensemble.set_wall(0, -3_600.0);
    ensemble.run(70.0, 0.01, |now| check(now, &[0, 1, 2, 3]));
    ensemble.kill(0);
    ensemble.run(80.0, 0.01, |now| check(now, &[1, 2, 3]));
    assert_eq!(ensemble.leaders(), [1]);
    ensemble.set_wall(1, 1_800.0);
    ensemble.run(90.0, 0.01, |now| check(now, &[1, 2, 3]));
}

#[test]
fn a_leader_whose_clock_leaps_unannounced_is_outvoted() {
    let mut ensemble = settled(4, 9);
    // Twenty milliseconds in its local clock, of which nothing says that it happened.
    ensemble.leap(0, 0.02);
    let worst = worst(&mut ensemble, 90.0, &[1, 2, 3]);
    assert!(worst < 12e-6, "{worst}");
    assert!(ensemble.error(1).abs() < 1e-3 + 0.01, "{}", ensemble.error(1));
    assert!(!ensemble.leaders().contains(&0), "the others follow one of their own");
}

/// A leader that takes 400 us to send what it has stamped, and a follower that takes none, with kernels that tell or not: the
/// largest difference of their clocks in the third minute.
fn unlike(seed: u64, tells: [bool; 2]) -> Seconds {
    let mut ensemble = Ensemble::new(wired(seed));
    for (n, tells) in tells.into_iter().enumerate() {
        let sending = if n == 0 { 400e-6 } else { 0.0 };
        ensemble.start(HostClock { sending, tells, ..host(n) }, false);
        ensemble.run(1.0 + n as f64, 1.0, |_| {});
    }
    ensemble.run(120.0, 1.0, |_| {});
    worst(&mut ensemble, 180.0, &[0, 1])
}

#[test]
fn what_a_host_takes_to_send_is_no_error_if_both_kernels_tell_when_messages_leave() {
    for seed in 0..5 {
        // Half of it, for nobody can tell it from a slower way there.
        for tells in [[false, false], [false, true], [true, false]] {
            let worst = unlike(seed, tells);
            assert!((worst - 200e-6).abs() < 10e-6, "seed {seed}, {tells:?}: {worst}");
        }
        let worst = unlike(seed, [true, true]);
        assert!(worst < 6e-6, "seed {seed}: {worst}");
    }
}

#[test]
fn nor_does_wifi_let_a_liar_get_away_with_it() {
    let mut apart = Vec::new();
    for seed in 0..24 {
        let mut random = Random(seed);
        let mut ensemble =
            Ensemble::new(Box::new(move |from, to, t| Profile::Wifi.passes(&mut random, t, from < to)));
        for n in 0..4 {
            ensemble.start(host(n), false);
            ensemble.run(1.0 + n as f64, 1.0, |_| {});
        }
        ensemble.run(60.0, 1.0, |_| {});
        ensemble.leap(0, 0.02);
        // The first that finds out leaves; the others must not be short of a witness for that.
        apart.push(worst(&mut ensemble, 90.0, &[1, 2, 3]));
        assert!(!ensemble.leaders().contains(&0), "seed {seed}");
    }
    // One of them may take up with the new leader while its radio saves power.
    let within = |limit: f64| apart.iter().filter(|apart| **apart < limit).count();
    assert!(within(500e-6) >= 23 && within(1e-3) == 24, "{apart:?}");
}

#[test]
fn one_bundle_sounds_on_two_nodes_within_a_few_frames_for_less_than_2_kb_a_second() {
    let mut ensemble = settled(2, 11);
    let bytes = ensemble.bytes();
    let ppm = [35.0, -20.0];
    // Cards that were heard before; each began to play when the run did.
    let mut devices = [0, 1]
        .map(|n| Device::new(n as u64, 256, ppm[n], remembered(n as u64, ppm[n] - ensemble.host(n).ppm)));
    let mut apart = Vec::new();
    ensemble.run(120.0, 0.25, |now| {
        for (n, device) in devices.iter_mut().enumerate() {
            device.play(now.now, |t| now.host(n).local(t), |_, _| {});
        }
        let due = now.estimate(0).ensemble_at(now.local(0)) + Span::from_millis(5);
        let sounds = [0, 1].map(|n| devices[n].sounds(now.estimate(n).local_at(due)).expect("it plays"));
        apart.push(RATE * (sounds[0] - sounds[1]).abs());
    });
    let worst = apart.iter().copied().fold(0.0, f64::max);
    assert!(worst < 5.0, "{worst} frames");
    let per_second = (ensemble.bytes() - bytes) as f64 / 60.0;
    assert!((500.0..2_000.0).contains(&per_second), "{per_second} bytes a second");
}

#[test]
fn dozens_of_followers_are_not_too_many() {
    let mut ensemble = Ensemble::new(wired(10));
    for n in 0..61 {
        ensemble.start(
            HostClock {
                start: n as f64,
                ppm: (n % 100) as f64 - 50.0,
                wall: 1e-3 * (n % 7) as f64,
                ..HostClock::default()
            },
            false,
        );
    }
    ensemble.run(22.0, 1.0, |_| {});
    assert_eq!(ensemble.leaders().len(), 1);
    let all: Vec<usize> = (0..61).collect();
    assert!(ensemble.spread(&all) < 100e-6, "{}", ensemble.spread(&all));
    let before = ensemble.sent();
    ensemble.run(23.0, 1.0, |_| {});
    let per_node = (ensemble.sent() - before) as f64 / 61.0;
    assert!(per_node < 40.0, "{per_node} messages a second and node");
}

/// How far apart two clocks are ten seconds after the leader's node has died, so many seconds after the other came: the median of
/// twenty runs. The other remembers of the leader's clock what is wrong by so much [ppm], or nothing.
fn apart_after(acquaintance: Seconds, wrong: Option<f64>) -> Seconds {
    let apart = |seed: u64| {
        let mut ensemble = Ensemble::new(wireless(seed));
        ensemble.start(host(0), false);
        ensemble.run(30.0, 1.0, |_| {});
        let own = HostClock { ppm: 40.0, ..host(1) };
        let right = (1.0 + 1e-6 * host(0).ppm) / (1.0 + 1e-6 * own.ppm) - 1.0;
        let belief = wrong.map(|wrong| (0, RateBelief { rate: right + 1e-6 * wrong, sigma: 1.2e-6 }));
        let follower = ensemble.start_knowing(own, false, belief.into_iter().collect());
        ensemble.run(30.0 + acquaintance, 1.0, |_| {});
        assert_eq!(ensemble.leaders(), [0], "seed {seed}");
        ensemble.kill(0);
        ensemble.run(40.0 + acquaintance, 1.0, |_| {});
        assert_eq!(ensemble.leaders(), [follower], "seed {seed}");
        ensemble.spread(&[0, follower])
    };
    median(&(0..20).map(apart).collect::<Vec<Seconds>>())
}

#[test]
fn who_remembers_the_leaders_clock_goes_on_better_after_seconds_and_not_worse_if_the_memory_is_wrong() {
    let [ignorant, told] = [None, Some(0.8)].map(|wrong| apart_after(5.0, wrong));
    assert!(2.0 * told < ignorant, "{told} s, and {ignorant} without");
    let [ignorant, misled] = [None, Some(60.0)].map(|wrong| apart_after(20.0, wrong));
    assert!(misled < 1.2 * ignorant + 5e-6, "{misled} s, and {ignorant} without");
}

#[test]
fn a_follower_whose_questions_alone_are_lost_takes_the_time_through_another_and_the_leader_stays() {
    let mut ensemble = settled(4, 12);
    let jumps: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
    let mut inner = wired(13);
    // It hears the leader, and is not heard by it.
    ensemble
        .relink(Box::new(move |from, to, t| if (from, to) == (2, 0) { None } else { inner(from, to, t) }));
    ensemble.run(64.0, 1.0, |_| {});
    let mut apart = 0.0;
    ensemble.run(120.0, 0.01, |now| {
        apart = now.spread(&[0, 1, 2, 3]).max(apart);
        assert_eq!(now.leaders(), [0], "at {}", now.now);
        let via = now.nodes[2].session.via().and_then(|via| now.number(via));
        assert!(via == Some(1) || via == Some(3), "{via:?} at {}", now.now);
    });
    assert!(apart < 30e-6, "{apart}");
    assert_eq!(jumps, ensemble.nodes.iter().map(|node| node.jumps.len()).collect::<Vec<usize>>());
    // It is heard again.
    ensemble.relink(wired(14));
    ensemble.run(124.0, 1.0, |_| {});
    assert_eq!(ensemble.nodes[2].session.via(), None);
}

#[test]
fn a_leader_that_answers_nobody_is_replaced_in_time_and_nobody_jumps() {
    for seed in 0..10 {
        let mut ensemble = settled(4, seed);
        let jumps: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
        let mut inner = wired(seed + 20);
        ensemble.relink(Box::new(move |from, to, t| if to == 0 { None } else { inner(from, to, t) }));
        let mut apart = 0.0;
        ensemble.run(90.0, 0.01, |now| apart = now.spread(&[1, 2, 3]).max(apart));
        let led = ensemble.nodes[1..].iter().map(|node| node.session.leader()).collect::<Vec<_>>();
        assert!(led.iter().all(|leader| *leader == led[0]) && led[0] != ensemble.nodes[0].id, "seed {seed}");
        let deaf: u32 = ensemble.nodes.iter().map(|node| node.session.tally().deaf).sum();
        assert_eq!(deaf, 1, "seed {seed}");
        assert!(apart < 50e-6, "seed {seed}: {apart}");
        assert_eq!(jumps, ensemble.nodes.iter().map(|node| node.jumps.len()).collect::<Vec<usize>>());
    }
}

#[test]
fn a_pinned_node_whose_clock_is_right_leads_the_room_there_by_one_jump_and_another_by_none() {
    for synchronised in [true, false] {
        let mut ensemble = settled(3, 15);
        let before: Vec<usize> = ensemble.nodes.iter().map(|node| node.jumps.len()).collect();
        let pinned = ensemble.start(HostClock { wall: 86_400.0, synchronised, ..host(3) }, true);
        ensemble.run(70.0, 1.0, |_| {});
        assert_eq!(ensemble.leaders(), [pinned]);
        let after: Vec<usize> = ensemble.nodes[..3].iter().map(|node| node.jumps.len()).collect();
        let more = usize::from(synchronised);
        assert_eq!(after, before.iter().map(|count| count + more).collect::<Vec<usize>>());
        let ahead = if synchronised { 86_400.0 } else { 0.0 };
        assert!((ensemble.error(0) - ahead).abs() < 0.02, "{}", ensemble.error(0));
        assert!(ensemble.spread(&[0, 1, 2, pinned]) < 50e-6);
    }
}
