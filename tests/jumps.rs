//! Ensembles whose leader's wall clock is set: all change at one instant, and room time, by which events wait, goes on. In
//! virtual time, with messages that are lost, leaders that die and nodes that hear of it too late.

use crate::lab::ensemble::{Ensemble, HostClock, Links, Seconds};
use crate::report::random::Random;

/// Both ways, by little and by much (s).
const STEPS: [Seconds; 5] = [0.02, 3.0, -3.0, 3_600.0, -3_600.0];
const ALL: [usize; 4] = [0, 1, 2, 3];
const FOLLOWERS: [usize; 3] = [1, 2, 3];

/// 150 us and an exponential 25 us each way, and this share of all messages is lost.
fn lossy(seed: u64, lost: f64) -> Links {
    let mut random = Random(seed);
    Box::new(move |_, _, _| {
        let delay = 150e-6 - 25e-6 * (1.0 - random.unit()).ln();
        (random.unit() >= lost).then_some(delay)
    })
}

/// Links of which those are cut for which this says so.
fn cut(seed: u64, is_cut: impl Fn(usize, usize) -> bool + 'static) -> Links {
    let mut inner = lossy(seed, 0.0);
    Box::new(move |from, to, t| if is_cut(from, to) { None } else { inner(from, to, t) })
}

fn host(n: usize) -> HostClock {
    let n = n as f64;
    HostClock { start: 1_000.0 * n, ppm: 20.0 * (n - 1.0), wall: 0.004 * n, ..HostClock::default() }
}

/// Four nodes that have been together for a minute, and had a jump already: so nothing depends on there being none.
fn settled(links: Links) -> Ensemble {
    let mut ensemble = Ensemble::new(links);
    for n in ALL {
        ensemble.start(host(n), false);
        ensemble.run(1.0 + n as f64, 1.0, |_| {});
    }
    ensemble.run(20.0, 1.0, |_| {});
    ensemble.set_wall(0, 7.0);
    ensemble.run(60.0, 1.0, |_| {});
    assert_eq!(ensemble.leaders(), [0]);
    ensemble
}

/// What happened to a node's time since `from` (s): jumps, how far, when the last was, and whether all were announced.
fn jumped(ensemble: &Ensemble, node: usize, from: Seconds) -> (usize, Seconds, Seconds, bool) {
    let jumps: Vec<_> = ensemble.nodes[node].jumps.iter().filter(|(at, _)| *at >= from).collect();
    (
        jumps.len(),
        jumps.iter().map(|(_, jump)| jump.by.as_secs_f64()).sum(),
        jumps.last().map_or(f64::NAN, |(at, _)| *at),
        jumps.iter().all(|(_, jump)| jump.is_announced),
    )
}

/// Runs until then. Returns the largest distance between two of these nodes' room times (s), and by how much one of them moved
/// at most (s).
fn watch_room(ensemble: &mut Ensemble, until: Seconds, nodes: &[usize]) -> (Seconds, Seconds) {
    let (mut apart, mut moved) = (0.0f64, 0.0f64);
    let start: Vec<Seconds> = nodes.iter().map(|node| ensemble.room(*node)).collect();
    ensemble.run(until, 0.01, |now| {
        let rooms: Vec<Seconds> = nodes.iter().map(|node| now.room(*node)).collect();
        let [least, most] = [f64::min, f64::max].map(|of| rooms.iter().copied().reduce(of).expect("some"));
        apart = apart.max(most - least);
        for (room, start) in rooms.iter().zip(&start) {
            moved = moved.max((room - start).abs());
        }
    });
    (apart, moved)
}

#[test]
fn all_jump_once_and_at_one_instant_though_messages_are_lost() {
    for (seed, lost) in [(1, 0.0), (2, 0.05), (3, 0.4)] {
        for step in STEPS {
            let mut ensemble = settled(lossy(seed, lost));
            let (before, from) = (ensemble.error(0), ensemble.now);
            ensemble.set_wall(0, step);
            // Less than a second until it is looked at.
            let (apart, moved) = watch_room(&mut ensemble, 64.0, &ALL);
            let most = if lost > 0.1 { 100e-6 } else { 20e-6 };
            assert!(apart < most && moved < 1e-3, "{step}, {lost} lost: {apart}, {moved}");
            let (_, _, first, _) = jumped(&ensemble, 0, from);
            for node in ALL {
                let (count, by, at, is_announced) = jumped(&ensemble, node, from);
                assert!(count == 1 && is_announced, "{step}, {lost} lost: node {node} jumped {count} times");
                assert!((by - step).abs() < 1e-3, "{step}, {lost} lost: node {node} jumped by {by}");
                assert!(
                    (at - first).abs() < most,
                    "{step}, {lost} lost: node {node} jumped {at}, not {first}"
                );
                assert!((ensemble.error(node) - before - step).abs() < 1e-3);
            }
        }
    }
}

#[test]
fn all_hear_of_it_a_second_before_it_takes_effect() {
    for (seed, lost) in [(1, 0.0), (2, 0.05), (3, 0.4)] {
        let mut ensemble = settled(lossy(seed, lost));
        ensemble.set_wall(0, 60.0);
        let mut notices = [0.0f64; 4];
        ensemble.run(64.0, 0.001, |now| {
            for node in ALL {
                notices[node] = notices[node].max(now.notice(node).unwrap_or(0.0));
            }
        });
        assert!(notices.iter().all(|notice| (1.0..1.501).contains(notice)), "{lost} lost: {notices:?}");
    }
}

#[test]
fn until_it_takes_effect_the_old_time_is_told_and_from_then_on_the_new() {
    let mut ensemble = settled(lossy(4, 0.0));
    let (before, from) = (ensemble.error(0), ensemble.now);
    ensemble.set_wall(0, 60.0);
    let mut told: Vec<(Seconds, Seconds)> = Vec::new();
    ensemble.run(64.0, 0.000_1, |now| told.extend(ALL.map(|node| (now.now, now.told(node) - before))));
    let (_, _, at, _) = jumped(&ensemble, 0, from);
    for (when, told) in told.into_iter().filter(|(when, _)| (when - at).abs() > 20e-6) {
        let right = if when < at { 0.0 } else { 60.0 };
        assert!((told - right).abs() < 1e-3, "{told} at {when}, the jump is at {at}");
    }
}

#[test]
fn a_leader_that_dies_before_it_takes_effect_is_taken_at_its_word() {
    for step in STEPS {
        for later in [0.001, 0.2, 1.4] {
            let mut ensemble = settled(lossy(5, 0.0));
            let before = ensemble.error(0);
            ensemble.set_wall(0, step);
            let mut at = f64::NAN;
            while at.is_nan() {
                let next = ensemble.now + 0.001;
                ensemble.run(next, 0.001, |_| {});
                at = ensemble.notice(1).map_or(f64::NAN, |notice| ensemble.now + notice);
            }
            let next = ensemble.now + later;
            ensemble.run(next, 0.01, |_| {});
            ensemble.kill(0);
            let (apart, moved) = watch_room(&mut ensemble, 70.0, &FOLLOWERS);
            assert!(apart < 20e-6 && moved < 1e-3, "{step} {later}: {apart}, {moved}");
            for node in FOLLOWERS {
                let (count, by, when, is_announced) = jumped(&ensemble, node, 60.0);
                assert!(
                    count == 1 && is_announced && (by - step).abs() < 1e-3,
                    "{step} {later}: {count} {by}"
                );
                assert!((when - at).abs() < 1e-3, "{step} {later}: {when}, not {at}");
                assert!((ensemble.error(node) - before - step).abs() < 1e-3);
            }
        }
    }
}

#[test]
fn what_nobody_but_a_dead_leader_knew_of_never_happens_and_what_one_knew_of_is_agreed_on() {
    for heard_by in [None, Some(1), Some(3)] {
        let mut ensemble = settled(lossy(6, 0.0));
        let before = ensemble.error(1);
        ensemble.relink(cut(6, move |from, to| {
            (from == 0 && Some(to) != heard_by) || (to == 0 && Some(from) != heard_by)
        }));
        ensemble.set_wall(0, 60.0);
        // Until it was looked at, and that was said.
        while ensemble.notice(0).is_none() {
            let next = ensemble.now + 0.01;
            ensemble.run(next, 0.01, |_| {});
        }
        let next = ensemble.now + 0.01;
        ensemble.run(next, 0.01, |_| {});
        assert_eq!(ensemble.notice(1).is_some(), heard_by == Some(1));
        ensemble.kill(0);
        ensemble.relink(lossy(7, 0.0));
        let (apart, moved) = watch_room(&mut ensemble, 70.0, &FOLLOWERS);
        assert!(apart < 50e-6 && moved < 1e-3, "{heard_by:?}: {apart}, {moved}");
        assert!(ensemble.spread(&FOLLOWERS) < 50e-6, "{heard_by:?}: {}", ensemble.spread(&FOLLOWERS));
        let off = ensemble.error(1) - before;
        assert!(off.abs() < 1e-3 || (off - 60.0).abs() < 1e-3, "{heard_by:?}: {off}");
        assert!(heard_by.is_some() || off.abs() < 1e-3, "{off}");
    }
}

#[test]
fn who_hears_of_it_too_late_takes_it_at_once_and_what_waits_there_does_not_move() {
    for step in STEPS {
        let mut ensemble = settled(lossy(8, 0.0));
        let before = ensemble.error(0);
        // It hears nothing from the first announcement until half a second after the effect: too short for it to succeed.
        ensemble.set_wall(0, step);
        while ensemble.notice(0).is_none() {
            let next = ensemble.now + 0.000_05;
            ensemble.run(next, 0.01, |_| {});
        }
        ensemble.relink(cut(8, |from, to| from == 3 || to == 3));
        ensemble.pause(3);
        let next = ensemble.now + 2.0;
        ensemble.run(next, 0.01, |_| {});
        ensemble.relink(lossy(9, 0.0));
        ensemble.resume(3);
        let (_, moved) = watch_room(&mut ensemble, 75.0, &ALL);
        assert!(moved < 1e-3, "{step}: {moved}");
        let (count, by, _, is_announced) = jumped(&ensemble, 3, 60.0);
        assert!(
            count == 1 && is_announced && (by - step).abs() < 1e-3,
            "{step}: {count} {by} {is_announced}"
        );
        assert!((ensemble.error(3) - before - step).abs() < 1e-3);
    }
}

#[test]
fn who_joins_after_a_jump_needs_none_and_counts_room_time_as_all_do() {
    let mut ensemble = settled(lossy(10, 0.0));
    let late = ensemble.start(HostClock { wall: 0.5, ..host(4) }, false);
    let before = ensemble.error(late);
    ensemble.run(70.0, 0.01, |_| {});
    let (count, by, _, is_announced) = jumped(&ensemble, late, 60.0);
    assert!((ensemble.error(late) - before - by).abs() < 1e-3, "it says by how much: {by}");
    assert!(count <= 2 && !is_announced, "it corrects itself: {count}");
    assert!(ensemble.spread(&[0, 1, 2, 3, late]) < 20e-6);
    assert!((ensemble.room(late) - ensemble.room(0)).abs() < 20e-6, "{}", ensemble.room(late));
    // By its own count what waited there kept its timetag: its room time moved by what its time was wrong.
    let session = &ensemble.nodes[late].session;
    let clock = session.clock();
    let local = ensemble.local(late);
    assert_eq!(clock.ensemble_at(local), clock.room_at(local), "no announced jump took effect here");
    // From now on it goes along.
    let from = ensemble.now;
    ensemble.set_wall(0, -30.0);
    let (apart, moved) = watch_room(&mut ensemble, 75.0, &[0, 1, 2, 3, late]);
    assert!(apart < 20e-6 && moved < 1e-3, "{apart} {moved}");
    let (count, by, _, is_announced) = jumped(&ensemble, late, from);
    assert!(count == 1 && is_announced && (by + 30.0).abs() < 1e-3, "{count} {by}");
}

#[test]
fn a_clock_that_is_set_again_while_a_jump_is_pending_is_two_jumps_for_all() {
    // Back where it was; and further, the other way.
    for (first, second, jumps) in [(60.0, -60.0, 2), (60.0, -3_600.0, 2), (60.0, 0.004, 1)] {
        let mut ensemble = settled(lossy(11, 0.05));
        let before = ensemble.error(0);
        ensemble.set_wall(0, first);
        while ensemble.notice(0).is_none() {
            let next = ensemble.now + 0.01;
            ensemble.run(next, 0.01, |_| {});
        }
        let next = ensemble.now + 0.5;
        ensemble.run(next, 0.01, |_| {});
        ensemble.set_wall(0, second);
        let (apart, moved) = watch_room(&mut ensemble, 75.0, &ALL);
        assert!(apart < 20e-6 && moved < 1e-3, "{first} {second}: {apart} {moved}");
        for node in ALL {
            let (count, by, _, is_announced) = jumped(&ensemble, node, 60.0);
            assert_eq!((count, is_announced), (jumps, true), "{first} {second}: node {node}");
            let right = if jumps == 1 { first } else { first + second };
            assert!((by - right).abs() < 1e-3, "{first} {second}: node {node} jumped by {by}");
            assert!((ensemble.error(node) - before - first - second).abs() < 5e-3);
        }
        assert!(ensemble.spread(&ALL) < 20e-6);
    }
}

#[test]
fn two_halves_of_one_session_that_were_set_apart_agree_in_the_end_and_keep_their_room() {
    let mut ensemble = settled(lossy(12, 0.0));
    ensemble.relink(cut(12, |from, to| (from < 2) != (to < 2)));
    ensemble.run(70.0, 0.01, |_| {});
    let leaders = ensemble.leaders();
    assert!(leaders.len() == 2 && leaders[0] == 0 && leaders[1] > 1, "each half has one: {leaders:?}");
    let heir = leaders[1];
    ensemble.set_wall(0, 60.0);
    // Its wall clock was seven seconds behind: only from now on it is followed.
    ensemble.set_wall(heir, 7.0);
    ensemble.run(75.0, 0.01, |_| {});
    ensemble.set_wall(heir, -90.0);
    ensemble.run(80.0, 0.01, |_| {});
    assert!((ensemble.error(0) - ensemble.error(heir) - 150.0).abs() < 0.1, "they are set apart");
    ensemble.relink(lossy(13, 0.0));
    let (apart, moved) = watch_room(&mut ensemble, 100.0, &ALL);
    assert!(apart < 2e-3 && moved < 2e-3, "{apart} {moved}");
    assert!(ensemble.spread(&ALL) < 20e-6, "{}", ensemble.spread(&ALL));
    assert_eq!(ensemble.leaders().len(), 1);
}

/// Sets clocks, cuts links, stops and kills nodes, at random. Returns what was done, and what is wrong after it, if anything.
fn play_at_random(seed: u64) -> (String, Option<String>) {
    let mut random = Random(seed);
    let lost = [0.0, 0.02, 0.2][seed as usize % 3];
    let mut ensemble = settled(lossy(seed, lost));
    let mut alive = ALL.to_vec();
    let start: Vec<Seconds> = ALL.iter().map(|node| ensemble.room(*node)).collect();
    let mut done = String::new();
    for _ in 0..6 {
        let node = alive[(random.unit() * alive.len() as f64) as usize];
        let step = STEPS[(random.unit() * STEPS.len() as f64) as usize] * (0.8 + 0.4 * random.unit());
        let what = random.unit();
        done += &format!(" {:.2} s:", ensemble.now);
        if what < 0.6 {
            // The leader's more often than not.
            let node = if what < 0.45 { ensemble.leaders().first().copied().unwrap_or(node) } else { node };
            ensemble.set_wall(node, step);
            done += &format!(" {node} is set by {step:.2} s;");
        } else if what < 0.75 && alive.len() > 2 {
            ensemble.kill(node);
            alive.retain(|other| *other != node);
            done += &format!(" {node} dies;");
        } else if what < 0.9 {
            ensemble.relink(cut(seed, move |from, to| from == node || to == node));
            let next = ensemble.now + 3.0 * random.unit();
            ensemble.run(next, 1.0, |_| {});
            ensemble.relink(lossy(seed + 1, lost));
            done += &format!(" {node} is cut off until {next:.2} s;");
        } else {
            ensemble.pause(node);
            let next = ensemble.now + 3.0 * random.unit();
            ensemble.run(next, 1.0, |_| {});
            ensemble.resume(node);
            done += &format!(" {node} stands still until {next:.2} s;");
        }
        let next = ensemble.now + 4.0 * random.unit() * random.unit();
        let (_, moved) = watch_room(&mut ensemble, next, &alive);
        if moved > 5e-3 {
            return (done, Some(format!("room time moved by {moved} s")));
        }
    }
    let next = ensemble.now + 15.0;
    ensemble.run(next, 1.0, |_| {});
    let wrong = if ensemble.leaders().len() != 1 {
        Some(format!("{:?} lead", ensemble.leaders()))
    } else if ensemble.spread(&alive) > 1e-3 {
        Some(format!("apart by {} s", ensemble.spread(&alive)))
    } else {
        let moved = alive.iter().map(|node| (ensemble.room(*node) - start[*node]).abs()).fold(0.0, f64::max);
        let is_unannounced = |node: &&usize| {
            let jumps = ensemble.nodes[**node].jumps.iter().filter(|(at, _)| *at >= 60.0);
            jumps.filter(|(_, jump)| !jump.is_announced && jump.by.as_secs_f64().abs() > 5e-3).count() > 0
        };
        let unannounced = alive.iter().find(is_unannounced);
        match unannounced {
            Some(node) => Some(format!("{node} jumped unannounced")),
            None => (moved > 5e-3).then(|| format!("room time moved by {moved} s")),
        }
    };
    (done, wrong)
}

#[test]
fn whatever_else_happens_room_time_goes_on_and_all_agree_in_the_end() {
    for seed in 0..60 {
        let (done, wrong) = play_at_random(seed);
        assert_eq!(wrong, None, "seed {seed}:{done}");
    }
}
