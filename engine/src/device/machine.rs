//! [`Machine`]: when to try a card, when to trust it, when to give it up. Pure: it takes `now` and the device's signs of
//! life, and says what to do next.
//!
//! ```text
//!            Open                 Seat
//! Away -------------> Warming -------------> Playing
//!   ^  failed: back-off  |  silent, unpaced      |  gone, silent, only errors
//!   +--------------------+-----------------------+
//! ```
//!
//! Not for: doing any of it (`supervisor`), nor for the virtual device, which never fails.

use super::signals::Signs;
use downbeat_sync::{LocalTime, Span};
use std::fmt;

/// How long after a failure a card is tried again; the next waits double up to the longest.
const FIRST_RETRY: Span = Span::from_millis(500);
const LAST_RETRY: Span = Span::from_secs(2);
/// A card that is not paced will not be so soon.
const UNPACED_RETRY: Span = Span::from_secs(60);
/// A card that opened must call within this time; sound servers take two seconds to wake up.
const FIRST_CALL: Span = Span::from_secs(3);
/// A card is trusted after calling for this long ...
const WARM: Span = Span::from_millis(150);
/// ... at less than this many times its own rate, beyond the blocks it asks for ahead: some PCMs are not paced at all.
const MAX_PACE: u64 = 3;
const AHEAD_BLOCKS: u64 = 8;
/// A card that plays must call within this time, or within [`SILENT_BLOCKS`] of its blocks if that is longer.
const SILENT: Span = Span::from_millis(250);
const SILENT_BLOCKS: i128 = 4;
/// More errors than this between two looks, and more than blocks: it only complains.
const MAX_ERRORS: u64 = 50;
/// How long the machine may sleep between two looks.
const LOOK: Span = Span::from_millis(50);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// Look again after this long.
    Wait(Span),
    /// Try to open the card, then tell by [`Machine::opened`] or [`Machine::failed`].
    Open,
    /// The card runs: let the callback sit there.
    Seat,
    /// Close the card; the callback sits on the virtual device (again).
    Close(Lost),
}

/// Why a card is not to be played on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It said so.
    Gone,
    /// It stopped calling.
    Silent,
    /// It asks for blocks much faster than they can be heard.
    Unpaced,
    /// It reports nothing but errors.
    Errors,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lost::Gone => "is gone",
            Lost::Silent => "stopped asking for blocks",
            Lost::Unpaced => "asks for blocks faster than real time",
            Lost::Errors => "reports nothing but errors",
        })
    }
}

/// The machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    phase: Phase,
    retry: Span,
    /// When the machine last looked, and what it saw.
    looked: LocalTime,
    seen: Signs,
}

#[derive(Clone, Debug)]
enum Phase {
    /// No card is wanted.
    Content,
    /// The card is tried when it is time.
    Away { until: LocalTime },
    /// The card is open and calls nobody yet. `since`: its first call, and the frames it had asked for by then.
    Warming { opened: LocalTime, since: Option<(LocalTime, u64)>, pace: Pace },
    /// The callback sits on the card. `silence`: how long it has not called.
    Playing { silence: Span, pace: Pace },
}

/// A card's blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// Frames per second (Hz).
    pub(crate) rate: u32,
    /// Frames per block.
    pub(crate) block: u32,
}

impl Machine {
    /// A machine that wants a card at once, or never.
    pub(crate) fn new(now: LocalTime, wants_card: bool) -> Machine {
        let phase = if wants_card { Phase::Away { until: now } } else { Phase::Content };
        Machine { phase, retry: FIRST_RETRY, looked: now, seen: Signs::default() }
    }

    /// The card was opened.
    pub(crate) fn opened(&mut self, now: LocalTime, pace: Pace) {
        self.phase = Phase::Warming { opened: now, since: None, pace };
        self.looked = now;
        self.seen = Signs::default();
    }

    /// The card could not be opened.
    pub(crate) fn failed(&mut self, now: LocalTime) {
        self.back_off(now);
    }

    /// Looks at the open card's signs of life (any, while none is open).
    pub(crate) fn look(&mut self, now: LocalTime, signs: Signs) -> Action {
        let before = std::mem::replace(&mut self.seen, signs);
        // A process that was stopped, or a host that slept, has seen nothing of the time between.
        let elapsed = (now - self.looked).min(Span::from_ticks(2 * LOOK.ticks()));
        self.looked = now;
        match &mut self.phase {
            Phase::Content => Action::Wait(LOOK),
            Phase::Away { until } if now.is_before(*until) => Action::Wait((*until - now).min(LOOK)),
            Phase::Away { .. } => Action::Open,
            Phase::Warming { opened, since, pace } => {
                let (opened, pace) = (*opened, *pace);
                if since.is_none() && signs.callbacks > 0 {
                    *since = Some((now, signs.frames));
                }
                let verdict = warm(now, opened, *since, signs, pace);
                self.warmed(now, verdict, pace)
            }
            Phase::Playing { silence, pace } => {
                let called = signs.callbacks - before.callbacks;
                let errors = signs.errors - before.errors;
                *silence = if called > 0 { Span::ZERO } else { *silence + elapsed };
                let patience = SILENT
                    .max(Span::from_ratio(SILENT_BLOCKS * i128::from(pace.block), i128::from(pace.rate)));
                let lost = if signs.gone {
                    Some(Lost::Gone)
                } else if errors > MAX_ERRORS && errors > called {
                    Some(Lost::Errors)
                } else if *silence >= patience {
                    Some(Lost::Silent)
                } else {
                    None
                };
                match lost {
                    Some(lost) => self.close(now, lost),
                    None => Action::Wait(LOOK),
                }
            }
        }
    }

    fn warmed(&mut self, now: LocalTime, verdict: Option<Result<(), Lost>>, pace: Pace) -> Action {
        match verdict {
            None => Action::Wait(LOOK),
            Some(Ok(())) => {
                self.phase = Phase::Playing { silence: Span::ZERO, pace };
                self.retry = FIRST_RETRY;
                Action::Seat
            }
            Some(Err(lost)) => self.close(now, lost),
        }
    }

    fn close(&mut self, now: LocalTime, lost: Lost) -> Action {
        self.back_off(now);
        if lost == Lost::Unpaced {
            self.phase = Phase::Away { until: now + UNPACED_RETRY };
        }
        Action::Close(lost)
    }

    fn back_off(&mut self, now: LocalTime) {
        self.phase = Phase::Away { until: now + self.retry };
        self.retry = Span::from_ticks(self.retry.ticks() * 2).min(LAST_RETRY);
    }
}

/// Whether an open card can be trusted: yes, no, or `None` for not yet.
fn warm(
    now: LocalTime,
    opened: LocalTime,
    since: Option<(LocalTime, u64)>,
    signs: Signs,
    pace: Pace,
) -> Option<Result<(), Lost>> {
    if signs.gone {
        return Some(Err(Lost::Gone));
    }
    if signs.errors > MAX_ERRORS && signs.errors > signs.callbacks {
        return Some(Err(Lost::Errors));
    }
    let Some((first, frames)) = since else {
        return (now - opened >= FIRST_CALL).then_some(Err(Lost::Silent));
    };
    let called_for = now - first;
    let possible = (called_for.as_secs_f64() * f64::from(pace.rate)) as u64;
    let came = signs.frames - frames;
    if came > possible * MAX_PACE + AHEAD_BLOCKS * u64::from(pace.block) {
        return Some(Err(Lost::Unpaced));
    }
    if called_for >= FIRST_CALL && came == 0 {
        return Some(Err(Lost::Silent));
    }
    (called_for >= WARM && came > u64::from(pace.block)).then_some(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { rate: 48_000, block: 256 };

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
        assert_eq!(tried, [0, 500, 1_500, 3_500, 5_500, 7_500]);
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
        assert!(matches!(machine.look(at(seated + 400), gone), Action::Wait(_)));
        assert_eq!(machine.look(at(seated + 510), gone), Action::Open);
        machine.opened(at(seated + 520), PACE);
        assert!(matches!(machine.look(at(seated + 530), running(10)), Action::Wait(_)));
        assert_eq!(machine.look(at(seated + 700), running(180)), Action::Seat);
    }

    #[test]
    fn the_watchdog_bites_after_a_quarter_second_or_four_long_blocks() {
        for (block, patience) in [(256, 250), (8_192, 700)] {
            let (mut machine, seated) = playing();
            machine.phase = Phase::Playing { silence: Span::ZERO, pace: Pace { rate: 48_000, block } };
            let still = running(seated);
            let bitten = (1..40)
                .map(|step| step * 50)
                .find(|millis| machine.look(at(seated + millis), still) == Action::Close(Lost::Silent));
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
}
