//! What nodes publish as hard bounds, held against the time as its leader keeps it: a proof has no exception.
//!
//! Whole sessions in virtual time. Not for: the bound of one clock against another, from exchanges alone (`clock`).

use crate::lab::clock::Profile;
use crate::lab::ensemble::{Ensemble, HostClock, Links, Seconds};
use crate::report::random::Random;
use downbeat_sync::MaxDrift;

/// The `n`-th host: crystals up to 200 ppm apart.
fn host(n: usize) -> HostClock {
    let ppm = [0.0, 99.0, -100.0, 48.0][n % 4];
    HostClock { start: 1_000.0 * n as f64, ppm, wall: 0.004 * n as f64, ..HostClock::default() }
}

/// A network of this kind, of which a part of all packets is lost besides; nothing passes while `is_cut` says so.
fn links(profile: Profile, seed: u64, loss: f64, is_cut: fn(usize, usize, Seconds) -> bool) -> Links {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0xb0);
    Box::new(move |from, to, t| {
        let delay = profile.passes(&mut random, t, from < to);
        let is_lost = random.unit() < loss || is_cut(from.min(to), from.max(to), t);
        delay.filter(|_| !is_lost)
    })
}

fn joined(links: Links, count: usize) -> Ensemble {
    let mut ensemble = Ensemble::new(links);
    for n in 0..count {
        ensemble.start(host(n), false);
        ensemble.run(1.0 + n as f64, 1.0, |_| {});
    }
    ensemble
}

/// Runs until then, and holds the nodes' bounds against the time as `keeper` keeps it.
fn check(ensemble: &mut Ensemble, until: Seconds, nodes: &[usize], keeper: usize) {
    ensemble.run(until, 0.01, |now| {
        for node in nodes {
            let (error, bound) = now.bounded(*node, keeper);
            assert!(error.abs() <= bound, "node {node} at {}: {error} beyond {bound}", now.now);
        }
    });
}

/// A wall clock that is set to and fro by what is slewed and never announced, as fast as a leader may follow.
fn restless(ensemble: &mut Ensemble, until: Seconds, nodes: &[usize]) {
    let mut ahead = 9e-3;
    while ensemble.now < until {
        ensemble.set_wall(0, ahead);
        ahead = -ahead;
        let next = (ensemble.now + 17.0).min(until);
        check(ensemble, next, nodes, 0);
    }
}

#[test]
fn no_bound_is_false_while_the_leader_slews_and_answers_are_lost() {
    for (profile, seed) in [(Profile::Lan, 1), (Profile::Wifi, 2)] {
        // Every twenty seconds nothing passes for one, and nobody takes over yet.
        let is_cut = |_: usize, _: usize, t: Seconds| t.rem_euclid(20.0) < 1.0;
        let mut ensemble = joined(links(profile, seed, 0.3, is_cut), 4);
        ensemble.run(12.0, 1.0, |_| {});
        restless(&mut ensemble, 180.0, &[1, 2, 3]);
        assert_eq!(ensemble.leaders(), [0]);
    }
}

#[test]
fn no_bound_is_false_through_a_succession_nor_of_a_follower_that_was_suspended() {
    for (profile, seed) in [(Profile::Lan, 3), (Profile::Wifi, 4)] {
        let mut ensemble = joined(links(profile, seed, 0.0, |_, _, _| false), 4);
        ensemble.run(12.0, 1.0, |_| {});
        restless(&mut ensemble, 60.0, &[1, 2, 3]);
        ensemble.kill(0);
        // As the old leader's clock goes on, whoever leads by now.
        check(&mut ensemble, 65.5, &[1, 2, 3], 0);
        let leaders = ensemble.leaders();
        let [heir] = leaders[..] else { panic!("{leaders:?}") };
        let others: Vec<usize> = (1..4).filter(|node| *node != heir).collect();
        check(&mut ensemble, 90.0, &others, heir);
        // It is asked by nobody and hears nothing; what it would say is true all the same.
        ensemble.pause(others[0]);
        check(&mut ensemble, 102.0, &others, heir);
        ensemble.resume(others[0]);
        check(&mut ensemble, 120.0, &others, heir);
    }
}

/// Where crystals are known to be alike, on a network that takes nearly nothing, what the leader may have bent since its last
/// word is most of the bound.
#[test]
fn what_a_leader_does_unheard_is_in_the_bound() {
    let instant: fn(u64) -> Links = |seed| {
        let mut random = Random(seed);
        Box::new(move |from, to, t| {
            let is_cut = t > 40.0 && from.min(to) == 0;
            (!is_cut).then(|| 1e-6 - 1e-6 * random.unit().ln())
        })
    };
    let mut ensemble = Ensemble::new(instant(5));
    ensemble.max_drift = MaxDrift::from_ppm(0.5).expect("it is above 0");
    for n in 0..3 {
        ensemble.start(HostClock { ppm: 0.0, wall: 0.0, ..host(n) }, false);
        ensemble.run(1.0 + n as f64, 1.0, |_| {});
    }
    ensemble.run(40.0, 1.0, |_| {});
    ensemble.set_wall(0, 9e-3);
    // The others go on without it; while they are not sure that nobody else follows it, their bounds are of its time.
    check(&mut ensemble, 45.5, &[1, 2], 0);
    let (error, bound) = ensemble.bounded(1, 0);
    assert!(error.abs() > 30e-6 && bound < 200e-6, "{error} {bound}");
}

#[test]
fn while_a_follower_bends_to_the_time_its_standard_error_says_how_far_it_is_off() {
    let mut ensemble = Ensemble::new(links(Profile::Lan, 6, 0.0, |_, _, _| false));
    // Half a millisecond apart: too little to jump, and five seconds' bending.
    for (n, wall) in [(0, 0.0), (1, 0.5e-3)] {
        ensemble.start(HostClock { wall, ..host(n) }, false);
        ensemble.run(1.0 + n as f64, 1.0, |_| {});
    }
    let mut bending = 0;
    ensemble.run(30.0, 0.01, |now| {
        let (error, _) = now.bounded(1, 0);
        let sigma = now.nodes[1].session.estimate_at(now.local(1)).sigma.as_secs_f64();
        // From the start of its bending on: before, it keeps a time of its own.
        bending += u32::from(now.now > 2.5 && error.abs() > 50e-6);
        assert!(now.now < 2.5 || error.abs() <= 1.2 * sigma + 10e-6, "at {}: {error} {sigma}", now.now);
    });
    assert!(bending > 100, "it bent for {bending} hundredths");
}
