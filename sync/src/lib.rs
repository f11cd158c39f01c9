//! What time is it, here and on the ensemble's clock, and how sure are we.
//!
//! Four clocks meet in an audio ensemble, and each has a type of its own, so that mixing them does not compile:
//!
//! - [`LocalTime`]: this host's raw oscillator, never stepped and never slewed. [`Clock`] reads it; nobody else does.
//! - [`RemoteTime`]: the raw oscillator of another host, as its messages tell it.
//! - [`EnsembleTime`]: the clock all nodes share, and the bits of an OSC timetag.
//! - the frame count of the sound card, mapped to local time by [`FrameClock`].
//!
//! [`ClockEstimate`] is the only converter between local and ensemble time, [`FrameMap`] the only one between local time
//! and frames; what another host says of its own clock comes here by [`RemoteEstimate::then`]. All are straight lines, cheap enough for the audio callback.
//!
//! Everything here but [`Clock`] is a pure state machine: it takes `now` and never asks for it.
//!
//! ```
//! use downbeat_sync::{ClockEstimate, EnsembleTime, LocalTime, Span};
//!
//! let here = LocalTime::from_ticks(0) + Span::from_secs(10);
//! let ensemble = EnsembleTime::from_unix(Span::from_secs(1_700_000_000));
//! let estimate = ClockEstimate::new(here, ensemble);
//! assert_eq!(estimate.ensemble_at(here + Span::from_millis(5)), ensemble + Span::from_millis(5));
//! ```
// Denied, not forbidden: `clock/kernel` asks the kernel what no safe crate asks.
#![deny(unsafe_code)]

mod clock;
mod epochs;
mod estimate;
mod estimator;
mod exchange;
mod frame_map;
mod frames;
mod one_sided;
mod sender;
mod session;
mod steer;
mod time;
mod timescale;

pub use clock::{Clock, WallAnchor};
pub use epochs::{Announcement, Epochs, NOTICE, RoomClock, UNHEARD_OF};
pub use estimate::{ClockEstimate, ClockLine, RemoteEstimate, RemoteLine};
pub use estimator::{Estimator, MaxDrift, RateBelief, SyncState, Verdict};
pub use exchange::Exchange;
pub use frame_map::FrameMap;
pub use frames::{DeviceRate, FrameClock, FrameQuality};
pub use sender::{SenderClock, SenderReport, SenderState};
pub use session::{
    Claim, Departure, Hello, LEASE, Message, News, Output, PeerId, PeerReport, Ping, Pong, Reference,
    Session, SessionConfig, SessionTally, Standing,
};
pub use steer::Steering;
pub use time::{EnsembleTime, Instant, LocalTime, RemoteTime, Span};
pub use timescale::{FollowWall, Jump, MAX_BEND, MAX_BEND_CHANGE, Timescale};
