//! [`Machine`]: when to try a card, when to trust it, when to give it up. Pure: it takes `now` and the device's signs of
//! life, and says what to do next.
//!
//! ```text
//!          Open             opened             Seat
//! Away ----------> Opening ---------> Warming ---------> Playing
//!  ^ ^   failed       |                 |  ^                | |
//!  | +----------------+      calls again|  |                | | silent: Vacate
//!  |                            silent, |  +----- Stalled <-|-+
//!  | closed                    unpaced, |            |      |
//!  +------------- Closing <-------------+------------+------+  gone, only errors, stalled for too long: Close
//! ```
//!
//! Opening and closing take as long as the driver likes, and some never come back: meanwhile nothing else is asked of it.
//! Not for: doing any of it (`supervisor`, `worker`), nor for the virtual device, which never fails.

use super::signals::Signs;
use downbeat_sync::{LocalTime, Span};
use std::fmt;

/// How long after a failure a card is tried again: a JACK server that is started again is there in 0.1 to 0.3 s; the next waits double up to the longest.
const FIRST_RETRY: Span = Span::from_millis(200);
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
/// A card that stalled is closed if it has not called again within this time. Until then a sound server that only stood
/// still gets its client back as it was, within [`WARM`] ...
const STALL_OF_SERVER: Span = Span::from_secs(5);
/// ... but a driver that hangs goes on only when it is opened anew.
const STALL_OF_DRIVER: Span = Span::from_millis(250);
/// How long a card that is being opened or has just been opened is worth waiting for in silence. Cards take 0.2 s; a sound
/// server that must wake up first takes two.
const PROMISE: Span = Span::from_secs(1);
/// More errors than this between two looks, and more than blocks: it only complains.
const MAX_ERRORS: u64 = 50;
/// How long the machine may sleep between two looks.
const LOOK: Span = Span::from_millis(50);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// Look again after this long.
    Wait(Span),
    /// Begin to open the card, then tell by [`Machine::opened`] or [`Machine::failed`].
    Open,
    /// The card runs: let the callback sit there.
    Seat,
    /// The card calls no more: let the callback sit on the virtual device; the card stays open.
    Vacate,
    /// Begin to close the card, then tell by [`Machine::closed`]; the callback sits on the virtual device (again).
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
    /// When the card that is tried now was first worth waiting for.
    tried: LocalTime,
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
    /// The driver is at work.
    Opening,
    /// The card is open and calls nobody yet. `since`: its first call, and the frames it had asked for by then.
    Warming { opened: LocalTime, since: Option<(LocalTime, u64)>, pace: Pace },
    /// The callback sits on the card. `silence`: how long it has not called.
    Playing { silence: Span, pace: Pace },
    /// The card is open and calls no more. `silence` as before.
    Stalled { silence: Span, pace: Pace },
    /// The driver is at work. The card is tried again so long after it came back.
    Closing { retry: Span },
}

/// A card's blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// Frames per second (Hz).
    pub(crate) rate: u32,
    /// Frames per block.
    pub(crate) block: u32,
    /// A sound server stands between us and the card.
    pub(crate) served: bool,
}

impl Machine {
    /// A machine that wants a card at once, or never.
    pub(crate) fn new(now: LocalTime, wants_card: bool) -> Machine {
        let phase = if wants_card { Phase::Away { until: now } } else { Phase::Content };
        Machine { phase, retry: FIRST_RETRY, tried: now, looked: now, seen: Signs::default() }
    }

    /// Whether the card may be there in a moment, so that moving to the virtual device is not worth it yet.
    pub(crate) fn is_promising(&self, now: LocalTime) -> bool {
        self.is_opening() && now - self.tried < PROMISE
    }

    /// Whether the driver is at work to open the card, or has just done so.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Opening | Phase::Warming { .. })
    }

    /// Whether the card is open and calls no more.
    pub(crate) fn is_stalled(&self) -> bool {
        matches!(self.phase, Phase::Stalled { .. })
    }

    /// The card that is played on has blocks of another length now (frames).
    pub(crate) fn set_block(&mut self, block: u32) {
        if let Phase::Playing { pace, .. } = &mut self.phase {
            pace.block = block;
        }
    }

    /// The card was opened.
    pub(crate) fn opened(&mut self, now: LocalTime, pace: Pace) {
        self.phase = Phase::Warming { opened: now, since: None, pace };
        self.looked = now;
        self.seen = Signs::default();
    }

    /// The card could not be opened.
    pub(crate) fn failed(&mut self, now: LocalTime) {
        let retry = self.back_off();
        self.phase = Phase::Away { until: now + retry };
    }

    /// The card is closed.
    pub(crate) fn closed(&mut self, now: LocalTime) {
        if let Phase::Closing { retry } = self.phase {
            self.phase = Phase::Away { until: now + retry };
        }
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
            Phase::Away { .. } => {
                self.phase = Phase::Opening;
                self.tried = now;
                Action::Open
            }
            Phase::Opening | Phase::Closing { .. } => Action::Wait(LOOK),
            Phase::Warming { opened, since, pace } => {
                let (opened, pace) = (*opened, *pace);
                if since.is_none() && signs.callbacks > 0 {
                    *since = Some((now, signs.frames));
                }
                let verdict = warm(now, opened, *since, signs, pace);
                self.warmed(verdict, pace)
            }
            Phase::Playing { silence, pace } => {
                let called = signs.callbacks - before.callbacks;
                let errors = signs.errors - before.errors;
                *silence = if called > 0 { Span::ZERO } else { *silence + elapsed };
                if signs.gone {
                    self.close(Lost::Gone)
                } else if errors > MAX_ERRORS && errors > called {
                    self.close(Lost::Errors)
                } else if *silence >= pace.patience() {
                    self.phase = Phase::Stalled { silence: *silence, pace: *pace };
                    Action::Vacate
                } else {
                    Action::Wait(LOOK)
                }
            }
            Phase::Stalled { silence, pace } => {
                *silence += elapsed;
                let pace = *pace;
                if signs.gone {
                    self.close(Lost::Gone)
                } else if signs.callbacks > before.callbacks {
                    self.phase = Phase::Warming { opened: now, since: Some((now, signs.frames)), pace };
                    Action::Wait(LOOK)
                } else if *silence >= pace.patience() + pace.hope() {
                    self.close(Lost::Silent)
                } else {
                    Action::Wait(LOOK)
                }
            }
        }
    }

    fn warmed(&mut self, verdict: Option<Result<(), Lost>>, pace: Pace) -> Action {
        match verdict {
            None => Action::Wait(LOOK),
            Some(Ok(())) => {
                self.phase = Phase::Playing { silence: Span::ZERO, pace };
                self.retry = FIRST_RETRY;
                Action::Seat
            }
            Some(Err(lost)) => self.close(lost),
        }
    }

    fn close(&mut self, lost: Lost) -> Action {
        let retry = self.back_off();
        let retry = if lost == Lost::Unpaced { UNPACED_RETRY } else { retry };
        self.phase = Phase::Closing { retry };
        Action::Close(lost)
    }

    /// How long to wait this time; twice that the next time.
    fn back_off(&mut self) -> Span {
        let longer = Span::from_ticks(self.retry.ticks() * 2).min(LAST_RETRY);
        std::mem::replace(&mut self.retry, longer)
    }
}

impl Pace {
    /// How long a card that plays may be silent.
    fn patience(self) -> Span {
        SILENT.max(Span::from_ratio(SILENT_BLOCKS * i128::from(self.block), i128::from(self.rate)))
    }

    /// How long it may be silent after that, while it is open.
    fn hope(self) -> Span {
        if self.served { STALL_OF_SERVER } else { STALL_OF_DRIVER }
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
            let expected =
                [(250, Action::Vacate), (closed, Action::Close(Lost::Silent)), (15_200, Action::Open)];
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
}
