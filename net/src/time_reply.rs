//! What `/sync/time` is answered with: [`TimeForm`].
//!
//! Anybody may ask a node or a router. The answer echoes what was asked, then tells when it came. Not for: messages about time
//! between nodes (`timing`).

use crate::osc::{self, Arg, Args, WriteError};
use downbeat_sync::EnsembleTime;

/// How the time is asked for and told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// `/sync/time`: as an OSC timetag.
    Timetag,
    /// `/sync/time/ii`: as two ints with the bits of a timetag, seconds and fraction.
    Ints,
    /// `/sync/time/s`: as text, seconds since 1970 with nine decimals.
    Text,
}

impl TimeForm {
    /// Appends the answer to a question that came at this time.
    ///
    /// # Errors
    /// When what was asked cannot be written again.
    pub(crate) fn write(
        self,
        out: &mut Vec<u8>,
        asked: Args<'_>,
        time: EnsembleTime,
    ) -> Result<(), WriteError> {
        match self {
            TimeForm::Timetag => osc::write(out, "/sync/time/reply", asked.chain([Arg::Time(time.bits())])),
            TimeForm::Ints => osc::write(out, "/sync/time/ii/reply", asked.chain(halves(time))),
            TimeForm::Text => {
                let text = unix_text(time);
                osc::write(out, "/sync/time/s/reply", asked.chain([Arg::Str(text.as_bytes())]))
            }
        }
    }
}

/// The two halves of a timetag's bits, as signed ints.
pub(crate) fn halves(time: EnsembleTime) -> [Arg<'static>; 2] {
    let bits = time.bits();
    [Arg::Int((bits >> 32) as i32), Arg::Int(bits as i32)]
}

/// Seconds since 1970 with nine decimals.
fn unix_text(time: EnsembleTime) -> String {
    let nanos = time.unix_nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    format!("{sign}{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}
