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
mod tests;
