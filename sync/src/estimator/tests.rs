//! The estimator on links whose truth is known. How it compares with others is measured in the lab, not here.

use super::*;

fn local(secs: f64) -> LocalTime {
    LocalTime::from_ticks(1 << 40) + Span::from_secs_f64(secs)
}

fn remote(secs: f64) -> RemoteTime {
    RemoteTime::from_ticks(7 << 50) + Span::from_secs_f64(secs)
}

/// An exchange at `t` (s) of a clock that is `ppm` slow, over a link that takes these times (s).
fn exchange(t: f64, ppm: f64, out: f64, back: f64) -> Exchange {
    let here = |t: f64| local(t * (1.0 + ppm * 1e-6));
    Exchange {
        asked: here(t),
        received: remote(t + out),
        answered: remote(t + out),
        returned: here(t + out + back),
    }
}

/// Errors of an estimate at a true time (s), for a clock that is `ppm` slow.
fn error(estimator: &Estimator, t: f64, ppm: f64) -> f64 {
    let now = local(t * (1.0 + ppm * 1e-6));
    let estimate = estimator.estimate(now).expect("there were exchanges");
    (estimate.remote_at(now) - remote(t)).as_secs_f64()
}

/// Delays of a link with a hard floor, without a random generator: every `n`-th packet touches the floor.
fn delay(n: u32) -> f64 {
    150e-6 + 25e-6 * f64::from(n.wrapping_mul(2_654_435_761) >> 16) / 65_536.0
}

/// So many exchanges, four a second, from `from` (s) on.
fn feed(estimator: &mut Estimator, from: f64, count: u32, ppm: f64, ahead: f64) {
    for n in 0..count {
        let t = from + 0.25 * f64::from(n);
        let mut exchange = exchange(t, ppm, delay(2 * n), delay(2 * n + 1));
        exchange.received += Span::from_secs_f64(ahead);
        exchange.answered += Span::from_secs_f64(ahead);
        estimator.take(&exchange);
    }
}

#[test]
fn a_first_exchange_is_an_answer_within_its_own_round_trip() {
    let mut estimator = Estimator::new(RateBelief::default());
    assert_eq!(estimator.state(local(0.0)), SyncState::Cold);
    assert!(estimator.estimate(local(0.0)).is_none());
    estimator.take(&exchange(1.0, 0.0, 400e-6, 100e-6));
    let estimate = estimator.estimate(local(1.0005)).expect("there was an exchange");
    let error = error(&estimator, 1.0005, 0.0).abs();
    assert!(error <= 150.1e-6 && estimate.bound >= Span::from_micros(249), "{error} {}", estimate.bound);
    assert!(estimate.sigma >= Span::from_micros(100), "{}", estimate.sigma);
}

#[test]
fn offset_and_drift_are_found_and_held_without_news() {
    let mut estimator = Estimator::new(RateBelief::default());
    feed(&mut estimator, 0.0, 600, 70.0, 0.0);
    assert!(error(&estimator, 150.0, 70.0).abs() < 2e-6);
    assert_eq!(estimator.state(local(150.0)), SyncState::Locked);
    let rate = estimator.learned_rate().expect("two minutes are enough");
    assert!((rate.rate + 70e-6).abs() < 0.1e-6, "{rate:?}");
    assert_eq!(estimator.state(local(160.0)), SyncState::Holdover);
    assert!(error(&estimator, 210.0, 70.0).abs() < 10e-6);
    assert_eq!(estimator.state(local(30_000.0)), SyncState::Lost);
}

#[test]
fn a_step_is_believed_once_it_is_confirmed() {
    let mut estimator = Estimator::new(RateBelief::default());
    feed(&mut estimator, 0.0, 240, -40.0, 0.0);
    feed(&mut estimator, 60.0, 4, -40.0, 0.05);
    assert_eq!(estimator.counts(), (2, 1));
    assert!((error(&estimator, 61.0, -40.0) - 0.05).abs() < 30e-6);
}

#[test]
fn single_wrong_stamps_change_nothing() {
    let mut clean = Estimator::new(RateBelief::default());
    let mut dirty = clean.clone();
    for n in 0..800 {
        let t = 0.25 * f64::from(n);
        let good = exchange(t, 20.0, delay(2 * n), delay(2 * n + 1));
        clean.take(&good);
        dirty.take(&good);
        if n % 50 == 49 {
            // Five milliseconds too early: no link does that.
            let mut wrong = exchange(t + 0.1, 20.0, delay(n), delay(n));
            wrong.received = wrong.received - Span::from_millis(5);
            assert_eq!(dirty.take(&wrong), Verdict::Doubted);
        }
    }
    assert!((error(&dirty, 200.0, 20.0) - error(&clean, 200.0, 20.0)).abs() < 1e-6);
}

#[test]
fn a_remembered_drift_needs_no_learning() {
    let error_after = |belief| {
        let mut estimator = Estimator::new(belief);
        feed(&mut estimator, 0.0, 4, 60.0, 0.0);
        error(&estimator, 20.0, 60.0).abs()
    };
    let known = error_after(RateBelief { rate: -60e-6, sigma: 0.5e-6 });
    assert!(known < 50e-6 && error_after(RateBelief::default()) > 10.0 * known);
}

#[test]
fn wrong_stamps_among_the_first_do_not_hide_each_other() {
    let mut estimator = Estimator::new(RateBelief::default());
    for n in 0..60 {
        let mut exchange = exchange(0.02 * f64::from(n), 0.0, delay(2 * n), delay(2 * n + 1));
        if [4, 9, 14].contains(&n) {
            exchange.received = exchange.received - Span::from_micros(140);
        }
        estimator.take(&exchange);
    }
    assert!(error(&estimator, 1.2, 0.0).abs() < 10e-6, "{}", error(&estimator, 1.2, 0.0));
    assert_eq!(estimator.counts(), (3, 0));
}

#[test]
fn a_network_that_turns_out_faster_is_no_step() {
    let mut estimator = Estimator::new(RateBelief::default());
    for n in 0..400 {
        // Both ways a millisecond less from the fiftieth second on.
        let less = if n >= 200 { 0.0 } else { 1e-3 };
        let t = 0.25 * f64::from(n);
        estimator.take(&exchange(t, 0.0, less + delay(2 * n), less + delay(2 * n + 1)));
    }
    assert_eq!(estimator.counts().1, 0);
    assert!(error(&estimator, 100.0, 0.0).abs() < 10e-6);
}

#[test]
fn queues_on_both_ways_are_forgotten_soon_after_they_are_over() {
    // Of different lengths, for longer than the window and for less; and alike.
    for (out, back, until) in [(20e-3, 15e-3, 300.0), (20e-3, 15e-3, 200.0), (3e-3, 3e-3, 400.0)] {
        let mut estimator = Estimator::new(RateBelief::default());
        for n in 0..2_000 {
            let t = 0.25 * f64::from(n);
            let queue = |more: f64| if t > 150.0 && t < until { more } else { 0.0 };
            estimator.take(&exchange(t, 30.0, queue(out) + delay(2 * n), queue(back) + delay(2 * n + 1)));
            let estimate = estimator.estimate(local(t * (1.0 + 30e-6))).expect("there were exchanges");
            let error = error(&estimator, t, 30.0).abs();
            assert!(error <= estimate.bound.as_secs_f64(), "{out} {back}, {t}: {error}");
            if (60.0..150.0).contains(&t) || t > until + 10.0 {
                assert!(error < 25e-6, "{out} {back}, {t}: {error}");
            }
        }
        assert_eq!(estimator.counts().1, 0, "{out} {back}");
    }
}
