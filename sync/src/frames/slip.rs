//! [`SlipWatch`]: notices that the count of frames no longer fits the clock, and by how much.
//!
//! Not for: ordinary lateness (`filter`). No audio host says how many frames an xrun cost, so the clock has to tell.
//! Seen in traces: a JACK client that overran loses whole periods; a JACK dummy driver that overslept starts its period
//! anew at any instant; a host that fills its buffer, at start or after an xrun, asks for blocks back to back,
//! so that the next ones are early; and a virtual machine that stalls makes two callbacks late and loses nothing.

use super::Seconds;

/// Callbacks in a row, in step with the device, that are later than this and these deviations: frames were lost.
const PROMPT: Seconds = 400e-6;
const PROMPT_DEVIATIONS: f64 = 6.0;
/// How many in a row, if they are late by whole periods, and if by anything else.
const PACED_WHOLE: u32 = 2;
const PACED: u32 = 3;
/// A callback is in step if it comes a period after the one before, within this part of a period.
const IN_STEP: f64 = 0.25;
/// Every callback of this long later than so many deviations: few frames were lost, or the driver moved its period.
const PATIENT: Seconds = 1.0;
const PATIENT_DEVIATIONS: f64 = 2.5;
/// So many in a row that are late so far cast doubt on the line.
const DOUBT: u32 = 10;
/// A callback earlier than this and these deviations: no callback comes before its time, so the line was wrong.
const EARLY: Seconds = 400e-6;
const EARLY_DEVIATIONS: f64 = 6.0;
/// A loss this close to whole periods was one of whole periods, in deviations before and after.
const WHOLE_BEFORE: f64 = 1.0;
const WHOLE_AFTER: f64 = 2.0;
/// What remains uncertain then, in deviations: the driver may have started anew just there by chance.
const WHOLE_SIGMA: f64 = 0.1;
/// Where the least lateness of a short run and of a long one lies against the line, in deviations.
const LEAST_OF_FEW: f64 = 0.5;
const LEAST_OF_MANY: f64 = -0.4;

/// The line has to be moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slip {
    /// By how much: positive is later.
    pub(super) by: Seconds,
    /// How sure that is.
    pub(super) sigma: Seconds,
}

/// A callback as the watch sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// After the line.
    pub(super) lateness: Seconds,
    /// Since the callback before.
    pub(super) interval: Seconds,
    /// What it should have been: how long the block before lasts.
    pub(super) expected: Seconds,
    /// Whether this callback asks for as many frames as the one before.
    pub(super) same_size: bool,
    /// The filter's mean deviation.
    pub(super) deviation: Seconds,
}

/// Watches two runs of late callbacks: short and far off the line, long and not so far.
#[derive(Clone, Debug, Default)]
pub(super) struct SlipWatch {
    prompt: Run,
    patient: Run,
}

/// Callbacks in a row that were all late.
#[derive(Clone, Debug, Default)]
struct Run {
    /// How long it lasts.
    span: Seconds,
    /// How many of them came in step with the device: not the stall itself, nor blocks caught up in haste after it.
    paced: u32,
    /// The least lateness of those.
    least: Seconds,
}

impl SlipWatch {
    /// Whether the last callbacks were all late, so that it is open what the next should be measured against.
    pub(super) fn doubts(&self) -> bool {
        self.patient.paced > DOUBT
    }

    /// Judges one callback; after a slip the watch starts afresh.
    pub(super) fn look(&mut self, at: Arrival) -> Option<Slip> {
        let slip = if at.lateness < -EARLY.max(EARLY_DEVIATIONS * at.deviation) {
            Slip { by: at.lateness, sigma: at.deviation }
        } else {
            self.prompt.note(at, PROMPT.max(PROMPT_DEVIATIONS * at.deviation));
            self.patient.note(at, PATIENT_DEVIATIONS * at.deviation);
            if self.prompt.paced >= PACED_WHOLE
                && let Some(slip) = self.prompt.whole_periods(at)
            {
                slip
            } else if self.prompt.paced >= PACED {
                self.prompt.slip(at, LEAST_OF_FEW)
            } else if self.patient.paced >= PACED && self.patient.span >= PATIENT {
                self.patient.slip(at, LEAST_OF_MANY)
            } else {
                return None;
            }
        };
        *self = SlipWatch::default();
        Some(slip)
    }
}

impl Run {
    fn note(&mut self, at: Arrival, threshold: Seconds) {
        if at.lateness < threshold {
            *self = Run::default();
            return;
        }
        let in_step = (at.interval - at.expected).abs() < IN_STEP * at.expected;
        if self.span > 0.0 && in_step {
            self.least = if self.paced == 0 { at.lateness } else { self.least.min(at.lateness) };
            self.paced += 1;
        }
        self.span += at.expected;
    }

    /// The loss if it was one of whole periods, which blocks of one size make likely and a close fit certain.
    fn whole_periods(&self, at: Arrival) -> Option<Slip> {
        let periods = ((self.least - LEAST_OF_FEW * at.deviation) / at.expected).round();
        let over = self.least - periods * at.expected;
        let fits = at.same_size
            && periods >= 1.0
            && over > -WHOLE_BEFORE * at.deviation
            && over < WHOLE_AFTER * at.deviation
            && (WHOLE_BEFORE + WHOLE_AFTER) * at.deviation < 0.5 * at.expected;
        fits.then_some(Slip { by: periods * at.expected, sigma: WHOLE_SIGMA * at.deviation })
    }

    /// The loss, whatever it was.
    fn slip(&self, at: Arrival, least: f64) -> Slip {
        Slip { by: self.least - least * at.deviation, sigma: at.deviation }
    }
}
