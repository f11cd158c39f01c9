//! What is heard, on which sample.
//!
//! The path of an event, from the network's end of a ring to the sound card:
//!
//! ```text
//! Control (lane)  ->  ring  ->  Stage (lane)
//!   Renderer, once per callback: drain the ring into the Agenda, place each event on its frame,
//!   split the block there  ->  Voices  ->  limiter  ->  output slice  ->  device
//! ```
//!
//! Everything but `device`, `disk`, `feeder`, `folder`, `recorder`, `wav` and `wav_out` is pure: it takes a map of
//! frames to time and a slice.
// Not `forbid`, for one method that a foreign trait declares unsafe.
#![deny(unsafe_code)]

mod agenda;
mod blep;
mod clip;
pub mod device;
mod disk;
mod drain;
mod driver;
mod envelope;
mod event;
mod feeder;
mod folder;
mod follow;
mod interp;
mod lane;
mod limiter;
mod offline;
mod places;
mod ramp;
mod recorder;
mod reel;
mod renderer;
mod report;
mod sampler;
mod schedule;
#[cfg(test)]
mod scratch;
mod settings;
mod shelf;
mod simd;
mod sinc;
mod source;
#[cfg(test)]
mod spectrum;
mod stream;
mod table;
mod tone;
mod voice;
mod voices;
mod wav;
mod wav_out;

pub use clip::{Clip, ClipId, GUARD};
pub use disk::{Disk, DiskBusy, Loaded};
pub use driver::{Driver, Recall};
pub use event::{
    Action, DEFAULT_RELEASE, Event, Instrument as InstrumentEvent, LatePolicy, MAX_ARGS, Origin, Param, Play,
    Target, Tone, VoiceId, VoiceShape, Wave, When,
};
pub use feeder::{Feeder, StreamFailure};
pub use folder::{LoadError, Sample, SampleFolder};
pub use follow::Follow;
pub use interp::{Interp, LEAD};
pub use lane::{
    Bank, Control, DEFAULT_EVENTS, Garbage, LaneFull, MAX_CLIPS, MAX_INSTRUMENTS, Stage, Supply, lane,
};
pub use limiter::{Limiter, THRESHOLD};
pub use offline::Offline;
pub use recorder::{RecordCounters, Recorder, Tap};
pub use renderer::Renderer;
pub use report::{Counters, LATENESS_BINS, LearnedRate, Report};
pub use schedule::Onset;
pub use settings::{Immediate, Settings};
pub use source::{Instrument, MAX_RUN, MAX_SOURCE_CHANNELS, Progress, Run, Source, Start};
pub use stream::{MAX_SPAN, StreamConfig, StreamCounters, StreamReader, Streams, streams};
pub use voice::Born;
pub use voices::{DEFAULT_VOICES, Voices};
pub use wav::{ClipConfig, WavError, WavFile, load_clip};
pub use wav_out::WavOut;
