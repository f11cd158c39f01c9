//! Where the sound goes: a card (cpal: ALSA, JACK) or a paced virtual device, and who minds them.
//!
//! ```text
//! Device (handle)  --  supervisor (thread)  --- seats --->  Callback (the driver)
//!   machine   when to try a card, trust it, give it up      pure
//!   worker    the thread that opens and closes cards        edge; may hang
//!   card      streams of cpal, our JACK client: by `feed`   edge, features `device` and `jack`
//!   paced     the virtual device                            edge, over the pure `pacer`
//! ```
//!
//! One [`Callback`] lives as long as the node; devices come and go below it. It moves from the virtual device to a card
//! and back, and its agenda, voices and clock go on. Not for: what is heard (`renderer`) and which frame is which time
//! (the frame clock inside the callback).

#[cfg(feature = "device")]
mod card;
#[cfg(not(feature = "device"))]
#[path = "no_card.rs"]
mod card;
#[cfg(feature = "device")]
mod choose;
#[cfg(feature = "device")]
mod feed;
mod handle;
#[cfg(feature = "device")]
mod hush;
#[cfg(feature = "jack")]
mod jack;
#[cfg(feature = "device")]
mod latency;
mod list;
mod machine;
mod paced;
mod pacer;
pub mod priority;
mod seat;
mod signals;
mod supervisor;
mod worker;

pub use handle::{Device, DeviceError};
pub use list::{DeviceListing, HostListing, list};

use downbeat_sync::{LocalTime, Span};
use std::fmt;
use std::str::FromStr;

/// Most channels of a device.
pub const MAX_CHANNELS: u16 = 64;
/// Least and most frames per second (Hz).
const VIRTUAL_RATES: (u32, u32) = (8_000, 384_000);
/// Least and most frames per block.
const VIRTUAL_BLOCKS: (u32, u32) = (16, 8_192);

/// What a device calls, once per block. Owned by exactly one device at a time.
pub trait Callback: Send + 'static {
    /// A device is about to call: which one, its rate, channels and largest block. Called off the audio thread, before
    /// the first [`Callback::render`] on each device; may allocate, and may read a file.
    fn configure(&mut self, format: Format, device: Identity<'_>);

    /// Fills one block. `RT:` the usual rules. Two devices never call at once, but two after one another may.
    ///
    /// `now` is local time as the device asked for the block: read first thing in a card's callback, the exact tick of
    /// the virtual device. `latency` is how long after it the first frame of `out` leaves the connector, for the earliest
    /// tenth of callbacks: a line through those, plus `latency`, is when frames are heard. It moves only by fractions of
    /// a frame, or when the device really changes. `out` holds interleaved frames, silent, any number of them up to
    /// [`Format::max_block`].
    fn render(&mut self, now: LocalTime, latency: Span, out: &mut [f32]);

    /// The device says frames were lost since the last block; how many, nobody knows. `RT:` the usual rules.
    fn xrun(&mut self);
}

/// By what a device is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity<'a> {
    /// Kind of device, never [`Host::Auto`].
    pub host: Host,
    /// The device's name, as in [`DeviceState`].
    pub name: &'a str,
}

/// How a device wants its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Frames per second (Hz), as the device calls it.
    pub rate: u32,
    /// Channels of a frame [1 or more].
    pub channels: u16,
    /// Frames of the device's usual block.
    pub block: u32,
    /// Most frames of a block.
    pub max_block: u32,
}

/// Which kind of device to play on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Host {
    /// An ALSA card if one really opens, else the virtual device.
    #[default]
    Auto,
    /// An ALSA card, the virtual device while it is away.
    Alsa,
    /// A JACK server, the virtual device while it is away.
    Jack,
    /// A paced device without hardware.
    Virtual,
}

/// What the user asked for; `None` leaves it to the device.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Kind of device.
    pub host: Host,
    /// The card, by its name or a part of its description as [`list`] gives them; for JACK the client to connect to
    /// instead of the hardware.
    pub device: Option<String>,
    /// Frames per second (Hz).
    pub rate: Option<u32>,
    /// Frames per block.
    pub buffer: Option<u32>,
    /// Output channels.
    pub channels: Option<u16>,
}

impl Host {
    const NAMES: [(Host, &'static str); 4] =
        [(Host::Auto, "auto"), (Host::Alsa, "alsa"), (Host::Jack, "jack"), (Host::Virtual, "virtual")];
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Host::NAMES.iter().find(|(host, _)| host == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Host, String> {
        let known = Host::NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(host, _)| *host).ok_or_else(|| format!("no host {text:?}: auto, alsa, jack or virtual"))
    }
}

/// What the node plays on now.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceState {
    /// Kind of device, never [`Host::Auto`].
    pub host: Host,
    /// The device's name.
    pub device: String,
    /// Its format.
    pub format: Format,
    /// From a callback's `now` until its first frame leaves the connector.
    pub latency: Span,
    /// Whether this is what was wanted.
    pub standing: Standing,
    /// Whether the audio thread runs with real-time scheduling.
    pub realtime: priority::Grant,
    /// How often a card was opened anew after the first.
    pub reopened: u32,
    /// How often a card stopped asking for blocks while it was played on.
    pub stalls: u64,
    /// Xruns the device reported, on this device and those before it.
    pub xruns: u64,
    /// What the user should know: why the wanted card is away, or what it does differently than asked.
    pub note: Option<String>,
}

/// How a device in use relates to the one wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the one wanted.
    Wanted,
    /// The virtual device, until the wanted card comes or comes back.
    Meanwhile,
    /// The virtual device, until the wanted card, which is open, asks for blocks again: its server stands still.
    Stalled,
}
