//! [`Settings`]: how a renderer is set up, by the program's flags.
//!
//! Not for: what can change while it plays, which events do.

use crate::event::LatePolicy;
use crate::follow::Follow;
use crate::interp::Interp;
use crate::lane::DEFAULT_EVENTS;
use crate::schedule::Onset;
use crate::voices::DEFAULT_VOICES;

/// When an event sounds at the earliest: what means "at once" then, what has a timetag then or at its timetag, whichever
/// is the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Immediate {
    /// The output latency and one block after its arrival, on the sample: a pattern played live keeps its rhythm, and so
    /// does one whose sender stamps "now".
    #[default]
    Steady,
    /// At the start of the next block: sooner, but with a jitter of one block.
    Asap,
}

/// How a renderer is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Frames per second (Hz).
    pub rate: u32,
    /// Output channels [1 or more].
    pub channels: usize,
    /// Voices that can sound at once.
    pub voices: usize,
    /// Events that can wait.
    pub agenda: usize,
    /// Events taken from the ring per block, so that a flood cannot starve the sound; the rest waits a block. Up to as many
    /// more are taken where a packet would be torn.
    pub drain: usize,
    /// What becomes of late events that do not say themselves.
    pub late: LatePolicy,
    /// When an event sounds at the earliest.
    pub immediate: Immediate,
    /// How an onset between two frames is played.
    pub onset: Onset,
    /// How a clip is read between its frames.
    pub interp: Interp,
    /// Which sounding voices follow the ensemble's time.
    pub follow: Follow,
    /// Whether the output is kept below full scale.
    pub limiter: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            rate: 48_000,
            channels: 2,
            voices: DEFAULT_VOICES,
            agenda: DEFAULT_EVENTS,
            drain: 2_048,
            late: LatePolicy::default(),
            immediate: Immediate::default(),
            onset: Onset::default(),
            interp: Interp::default(),
            follow: Follow::default(),
            limiter: true,
        }
    }
}
