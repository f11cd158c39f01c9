//! The machine in virtual time: cards that come, go, stand still and hang.

use super::*;

const PACE: Pace = Pace { rate: 48_000, block: 256, served: false };

fn at(millis: i64) -> LocalTime {
    LocalTime::from_ticks(1 << 40) + Span::from_millis(millis)
}

/// A card that has called for so long, by its own pace.
fn running(millis: i64) -> Signs {
    let callbacks = (millis.max(0) as u64 * 48 / 256) + 2;
    Signs { callbacks, frames: callbacks * 256, ..Signs::default() }
}

/// A machine with a card opened at 0 ms and seated; when that was (ms).
fn playing() -> (Machine, i64) {
    let mut machine = Machine::new(at(0), true);
    assert_eq!(machine.look(at(0), Signs::default()), Action::Open);
    machine.opened(at(0), PACE);
    for millis in (0..1_000).step_by(50) {
        match machine.look(at(millis), running(millis)) {
            Action::Wait(_) => {}
            Action::Seat => return (machine, millis),
            other => panic!("{other:?} at {millis} ms"),
        }
    }
    panic!("never seated");
}

#[test]
fn without_a_wish_for_a_card_nothing_is_tried() {
    let mut machine = Machine::new(at(0), false);
    for millis in 0..10_000 {
        assert!(matches!(machine.look(at(millis), Signs::default()), Action::Wait(_)));
    }
}

#[test]
fn an_absent_card_is_tried_at_once_and_then_at_growing_distances() {
    let mut machine = Machine::new(at(0), true);
    let mut tried = Vec::new();
    for millis in 0..8_000 {
        if machine.look(at(millis), Signs::default()) == Action::Open {
            tried.push(millis);
            machine.failed(at(millis));
        }
    }
    assert_eq!(tried, [0, 200, 600, 1_400, 3_000, 5_000, 7_000]);
}

#[test]
fn a_card_is_trusted_after_it_kept_its_pace() {
    let (_, seated) = playing();
    assert!((150..300).contains(&seated), "{seated}");
}

#[test]
fn a_lost_card_is_tried_again_soon_and_at_its_own_pace() {
    let (mut machine, seated) = playing();
    let gone = Signs { gone: true, ..running(seated) };
    assert_eq!(machine.look(at(seated + 10), gone), Action::Close(Lost::Gone));
    machine.closed(at(seated + 10));
    assert!(matches!(machine.look(at(seated + 200), gone), Action::Wait(_)));
    assert_eq!(machine.look(at(seated + 210), gone), Action::Open);
    machine.opened(at(seated + 220), PACE);
    assert!(matches!(machine.look(at(seated + 230), running(10)), Action::Wait(_)));
    assert_eq!(machine.look(at(seated + 400), running(180)), Action::Seat);
}

#[test]
fn the_watchdog_bites_after_a_quarter_second_or_four_long_blocks() {
    for (block, patience) in [(256, 250), (8_192, 700)] {
        let (mut machine, seated) = playing();
        machine.phase = Phase::Playing { silence: Span::ZERO, pace: Pace { block, ..PACE } };
        let still = running(seated);
        let bitten = (1..40)
            .map(|step| step * 50)
            .find(|millis| machine.look(at(seated + millis), still) == Action::Vacate);
        assert_eq!(bitten, Some(patience), "block {block}");
    }
}

#[test]
fn a_stopped_process_does_not_lose_its_card() {
    let (mut machine, seated) = playing();
    let an_hour = seated + 3_600_000;
    assert!(matches!(machine.look(at(an_hour), running(seated)), Action::Wait(_)));
    assert!(matches!(machine.look(at(an_hour + 50), running(seated + 50)), Action::Wait(_)));
}

#[test]
fn a_card_that_is_not_paced_is_no_card() {
    let mut machine = Machine::new(at(0), true);
    machine.opened(at(0), PACE);
    machine.look(at(10), running(0));
    let flood = Signs { callbacks: 20_000, frames: 20_000 * 256, ..Signs::default() };
    assert_eq!(machine.look(at(60), flood), Action::Close(Lost::Unpaced));
    machine.closed(at(60));
    assert!(matches!(machine.look(at(60_000), flood), Action::Wait(_)));
    assert_eq!(machine.look(at(60_060), flood), Action::Open);
}

#[test]
fn a_card_that_only_complains_is_given_up() {
    let (mut machine, seated) = playing();
    let flood = Signs { errors: 100_000, ..running(seated) };
    assert_eq!(machine.look(at(seated + 50), flood), Action::Close(Lost::Errors));
}

#[test]
fn a_card_that_opens_and_never_calls_is_given_up() {
    let mut machine = Machine::new(at(0), true);
    machine.opened(at(0), PACE);
    assert!(matches!(machine.look(at(2_900), Signs::default()), Action::Wait(_)));
    assert_eq!(machine.look(at(3_000), Signs::default()), Action::Close(Lost::Silent));
}

#[test]
fn a_few_errors_among_blocks_are_no_loss() {
    let (mut machine, seated) = playing();
    let some = Signs { errors: 5, xruns: 20, ..running(seated + 50) };
    assert!(matches!(machine.look(at(seated + 50), some), Action::Wait(_)));
}

#[test]
fn a_server_that_stands_still_and_goes_on_gets_the_callback_back_without_being_opened_anew() {
    let (mut machine, seated) = playing();
    machine.phase = Phase::Playing { silence: Span::ZERO, pace: Pace { served: true, ..PACE } };
    let mut done = Vec::new();
    for millis in (0..6_000).step_by(50) {
        let standing = (1_000..4_000).contains(&millis);
        let frozen = if standing { 1_000 } else { millis - if millis >= 4_000 { 3_000 } else { 0 } };
        match machine.look(at(seated + millis), running(seated + frozen)) {
            Action::Wait(_) => {}
            other => done.push((millis, other)),
        }
    }
    assert_eq!(done, [(1_250, Action::Vacate), (4_200, Action::Seat)]);
}

#[test]
fn a_card_that_does_not_call_again_is_closed_and_tried_when_that_came_back() {
    for (served, closed) in [(true, 5_250), (false, 500)] {
        let (mut machine, seated) = playing();
        machine.phase = Phase::Playing { silence: Span::ZERO, pace: Pace { served, ..PACE } };
        let mut done = Vec::new();
        for millis in (50..20_000).step_by(50) {
            if millis == 15_000 {
                machine.closed(at(seated + millis));
            }
            match machine.look(at(seated + millis), running(seated)) {
                Action::Wait(_) => {}
                other => done.push((millis, other)),
            }
        }
        // While the driver is at work nothing else is asked of it, however long it takes.
        let expected = [(250, Action::Vacate), (closed, Action::Close(Lost::Silent)), (15_200, Action::Open)];
        assert_eq!(done, expected);
    }
}

#[test]
fn a_server_that_dies_while_it_stands_still_is_closed_at_once() {
    let (mut machine, seated) = playing();
    machine.phase = Phase::Stalled { silence: SILENT, pace: Pace { served: true, ..PACE } };
    let gone = Signs { gone: true, ..running(seated) };
    assert_eq!(machine.look(at(seated + 50), gone), Action::Close(Lost::Gone));
}

#[test]
fn a_card_that_takes_long_to_open_is_waited_for_but_not_in_silence() {
    let mut machine = Machine::new(at(0), true);
    assert!(!machine.is_promising(at(0)), "nothing is tried yet");
    for millis in 0..30_000 {
        let action = machine.look(at(millis), Signs::default());
        assert_eq!(action == Action::Open, millis == 0, "at {millis} ms");
        assert_eq!(machine.is_promising(at(millis)), millis < 1_000, "at {millis} ms");
    }
    machine.opened(at(30_000), PACE);
    assert!(!machine.is_promising(at(30_000)));
    let mut looks = (30_000..31_000).step_by(50);
    let seated = looks.find(|millis| machine.look(at(*millis), running(millis - 30_000)) == Action::Seat);
    assert!(seated.is_some_and(|millis| millis < 30_300), "{seated:?}");
}
