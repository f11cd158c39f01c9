//! The flags of `downbeat node`.

use super::{GroupArgs, SimClock};
use crate::quantity;
use crate::target::Target;
use clap::{Args, ValueEnum};
use downbeat_engine::LatePolicy;
use downbeat_engine::device::Host;
use downbeat_sync::{FollowWall, MaxDrift, Span};
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "\
Play the samples of a folder on the first card there is, listen on port 9000:
  downbeat node --samples samples/audio
No sound card needed, what it would play goes to a file:
  downbeat node --host virtual --record out.wav
A card by its name, a loudspeaker that is slower than the others:
  downbeat node --device hw:1,0 --rate 44100 --trim-ms 3.2
The same from a file, with device = \"hw:1,0\" and so on below [node]:
  downbeat node --config node.toml

A first sound: downbeat send localhost:9000 /tick. All addresses stand in README.md.
Ctrl-C stops the node and finishes its recording.")]
pub(crate) struct NodeArgs {
    /// Name by which others see this node
    #[arg(long, default_value = "downbeat", help_heading = "Network")]
    pub(crate) name: String,
    /// Address to listen on; every address of this host if left out
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) bind: Option<IpAddr>,
    /// Multicast group to join
    #[arg(long, value_name = "ADDRESS", value_parser = quantity::group, help_heading = "Network")]
    pub(crate) multicast: Vec<IpAddr>,
    /// Port for UDP and TCP; 0 lets the system choose
    #[arg(long, default_value_t = 9000, help_heading = "Network")]
    pub(crate) port: u16,

    /// Ensemble to belong to: nodes of one name in one network find each other and share one clock
    #[arg(long, value_name = "NAME", default_value = "downbeat", value_parser = quantity::ensemble, help_heading = "Ensemble")]
    pub(crate) ensemble: String,
    /// Another node, for networks in which they do not find each other; may be given several times
    #[arg(long, value_name = "HOST:PORT", help_heading = "Ensemble")]
    pub(crate) peer: Vec<String>,
    /// Keep the ensemble's time here; otherwise the node that has been there longest keeps it. A second node with --leader follows
    /// the first until that goes
    #[arg(long, help_heading = "Ensemble")]
    pub(crate) leader: bool,
    /// The most that the crystals of two hosts differ in rate, more than 0ppm up to 1000ppm: the hard bound of the clock assumes it
    #[arg(long, value_name = "RATE", default_value = "200ppm", value_parser = quantity::max_drift, help_heading = "Ensemble")]
    pub(crate) max_drift: MaxDrift,
    /// Do not look for other nodes in this network; --peer still names some
    #[arg(long, help_heading = "Ensemble")]
    pub(crate) no_discovery: bool,
    /// File with a secret of at least 16 bytes that all nodes of the ensemble share, and all who send to them: whoever has not got it can ask, but is
    /// neither believed nor obeyed
    #[arg(long, value_name = "FILE", help_heading = "Ensemble")]
    pub(crate) key_file: Option<PathBuf>,

    /// Also play what a group at this router sends; port 55555 if left out. Its connection is made anew whenever it is lost
    #[arg(long, value_name = "HOST[:PORT]", value_parser = Target::router, help_heading = "Group at a router")]
    pub(crate) router: Option<Target>,
    #[command(flatten)]
    pub(crate) group: GroupArgs,

    /// Kind of sound device: auto, alsa, jack or virtual. `auto` falls back to `virtual`, which needs no hardware
    #[arg(long, default_value_t, help_heading = "Sound device")]
    pub(crate) host: Host,
    /// Card by its name in `downbeat devices`, or an ALSA PCM name such as hw:1,0. May come later than the node
    #[arg(long, help_heading = "Sound device")]
    pub(crate) device: Option<String>,
    /// Frames per second (Hz); the card's own if left out
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(8_000..=384_000), help_heading = "Sound device")]
    pub(crate) rate: Option<u32>,
    /// Frames per block; less is less latency and more load
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(16..=8_192), help_heading = "Sound device")]
    pub(crate) buffer: Option<u32>,
    /// Output channels; the card's own, two at most, if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Sound device")]
    pub(crate) channels: Option<u16>,
    /// Play this much earlier than the device's own latency asks for (ms); negative is later
    #[arg(
        long,
        value_name = "MS",
        default_value = "0",
        value_parser = quantity::milliseconds,
        allow_negative_numbers = true,
        help_heading = "Sound device"
    )]
    pub(crate) trim_ms: Span,
    /// Also write what is played to a WAV file: 32-bit float, 48000 Hz and 2 channels unless --rate and --channels say otherwise
    #[arg(long, value_name = "FILE", help_heading = "Sound device")]
    pub(crate) record: Option<PathBuf>,
    /// Folder in which the node remembers from launch to launch how fast its cards and other hosts' clocks run; made if it is
    /// not there. If left out:
    /// $STATE_DIRECTORY (systemd's), $XDG_STATE_HOME/downbeat or ~/.local/state/downbeat
    #[arg(long, value_name = "DIR", help_heading = "Sound device")]
    pub(crate) state: Option<PathBuf>,
    /// Remember nothing, and know nothing of earlier launches
    #[arg(long, conflicts_with = "state", help_heading = "Sound device")]
    pub(crate) no_state: bool,

    /// Folder of WAV files; each is played at the address of its name
    #[arg(long, value_name = "DIR", help_heading = "Sound")]
    pub(crate) samples: Option<PathBuf>,
    /// What becomes of an event that can only sound after its timetag
    #[arg(long, value_enum, default_value_t, help_heading = "Sound")]
    pub(crate) late: Late,
    /// When an event sounds at the earliest: without a timetag then, with one no sooner
    #[arg(long, value_enum, default_value_t, help_heading = "Sound")]
    pub(crate) immediate: Immediate,
    /// Where a start between two frames is put
    #[arg(long, value_enum, default_value_t, help_heading = "Sound")]
    pub(crate) onset: Onset,
    /// How samples are read between their frames
    #[arg(long, value_enum, default_value_t, help_heading = "Sound")]
    pub(crate) interp: Interp,
    /// Which sounding voices keep to the ensemble's time, whatever the card's crystal does
    #[arg(long, value_enum, default_value_t, help_heading = "Sound")]
    pub(crate) follow: Follow,
    /// Let the output clip instead of limiting it (the limiter does nothing below -1 dBFS)
    #[arg(long, help_heading = "Sound")]
    pub(crate) no_limiter: bool,

    /// What the node's time does after the start
    #[arg(long, value_enum, default_value_t, help_heading = "Time")]
    pub(crate) timescale: Timescale,
    /// What a timetag means. `sender` is for those whose clock is wrong (/sync/senders tells): only their rhythm is kept
    #[arg(long, value_enum, default_value_t, help_heading = "Time")]
    pub(crate) timetags: Timetags,
    /// With --timetags sender: how long after a sender's fastest packets their events sound. More than its packets vary
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = quantity::duration, help_heading = "Time")]
    pub(crate) sender_lead: Span,
    /// Refuse timetags further ahead than this
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = quantity::duration, help_heading = "Time")]
    pub(crate) horizon: Span,
    /// For tests: this node's oscillator runs `ppm` fast, its clocks are ahead of the host's by `offset`, and its wall clock
    /// is set by `step` so long `after` the start; and the kernel says that it is `synchronised`, or not
    #[arg(
        long,
        hide = true,
        value_name = "ppm=PPM,offset=D,step=D,after=D,synchronised=1",
        default_value = "",
        allow_hyphen_values = true,
        help_heading = "Time"
    )]
    pub(crate) sim_clock: SimClock,

    /// Voices that sound at once, at most
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4_096), help_heading = "Limits")]
    pub(crate) voices: u16,
    /// Events that wait for their instant, at most
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(16..=1_048_576), help_heading = "Limits")]
    pub(crate) events: u32,
    /// TCP connections at once, at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_024), help_heading = "Limits")]
    pub(crate) connections: u16,
    /// Bytes of one TCP packet, at most
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(64..=67_108_864), help_heading = "Limits")]
    pub(crate) max_packet: u32,
}

/// What becomes of late events.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Late {
    /// They happen as soon as they can
    #[default]
    Play,
    /// They do not happen
    Drop,
    /// They start inside the sample, where it would be by then
    Trim,
}

/// When events sound at the earliest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Immediate {
    /// The latency and one block after they arrived, on the sample: keeps the rhythm
    #[default]
    Steady,
    /// At the start of the next block: soonest
    Asap,
}

/// Where starts between two frames go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Onset {
    /// Where they are: the sample is interpolated
    #[default]
    Subframe,
    /// To the nearest frame: an unpitched sample comes out bit for bit
    Frame,
}

/// How samples are interpolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Interp {
    /// Windowed sinc: the best sound
    #[default]
    Sinc,
    /// Four points: the least work
    Cubic,
}

/// Which voices follow the ensemble's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Follow {
    /// Those that sound for more than 3 s; shorter ones are played straight through
    #[default]
    Auto,
    /// All of them
    On,
    /// None: each runs with the sound card
    Off,
}

/// What the ensemble's time follows.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Timescale {
    /// It follows the wall clock, gently
    #[default]
    Wall,
    /// It ignores the wall clock: for a host whose clock may be set later
    Free,
}

/// What a timetag means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Timetags {
    /// A time of the clock that all nodes share
    #[default]
    Ensemble,
    /// A time of the sender's own clock, whatever that says
    Sender,
}

impl From<Late> for LatePolicy {
    fn from(late: Late) -> LatePolicy {
        match late {
            Late::Play => LatePolicy::Play,
            Late::Drop => LatePolicy::Drop,
            Late::Trim => LatePolicy::Trim,
        }
    }
}

impl From<Immediate> for downbeat_engine::Immediate {
    fn from(immediate: Immediate) -> downbeat_engine::Immediate {
        match immediate {
            Immediate::Steady => downbeat_engine::Immediate::Steady,
            Immediate::Asap => downbeat_engine::Immediate::Asap,
        }
    }
}

impl From<Onset> for downbeat_engine::Onset {
    fn from(onset: Onset) -> downbeat_engine::Onset {
        match onset {
            Onset::Subframe => downbeat_engine::Onset::Subframe,
            Onset::Frame => downbeat_engine::Onset::Frame,
        }
    }
}

impl From<Interp> for downbeat_engine::Interp {
    fn from(interp: Interp) -> downbeat_engine::Interp {
        match interp {
            Interp::Sinc => downbeat_engine::Interp::Sinc,
            Interp::Cubic => downbeat_engine::Interp::Cubic,
        }
    }
}

impl From<Follow> for downbeat_engine::Follow {
    fn from(follow: Follow) -> downbeat_engine::Follow {
        match follow {
            Follow::Auto => downbeat_engine::Follow::Auto,
            Follow::On => downbeat_engine::Follow::On,
            Follow::Off => downbeat_engine::Follow::Off,
        }
    }
}

impl From<Timetags> for downbeat_net::score::Timetags {
    fn from(timetags: Timetags) -> downbeat_net::score::Timetags {
        match timetags {
            Timetags::Ensemble => downbeat_net::score::Timetags::Ensemble,
            Timetags::Sender => downbeat_net::score::Timetags::Sender,
        }
    }
}

impl From<Timescale> for FollowWall {
    fn from(timescale: Timescale) -> FollowWall {
        match timescale {
            Timescale::Wall => FollowWall::Follow,
            Timescale::Free => FollowWall::Free,
        }
    }
}
