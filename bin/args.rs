//! Flags as typed, and the help that explains them. Nothing is opened or looked up here.

mod group;
mod node;
mod router;
mod sim_clock;

pub(crate) use group::GroupArgs;
pub(crate) use node::{NodeArgs, Timescale};
pub(crate) use router::RouterArgs;
pub(crate) use sim_clock::SimClock;

use crate::quantity::{self, Instant};
use crate::target::Target;
use clap::{Args, Parser, Subcommand};
use downbeat_sync::MaxDrift;
use downbeat_sync::Span;
use std::net::IpAddr;
use std::path::PathBuf;

/// Headless audio nodes that play together.
///
/// Put an OSC bundle with a timetag on the network, and every node plays it on the exact sample.
#[derive(Debug, Parser)]
#[command(name = "downbeat", version, max_term_width = 100, after_help = TARGETS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) general: General,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const TARGETS: &str = "\
TARGET is [udp|tcp|slip]://host:port, udp if left out: 192.168.1.20:9000, tcp://pi.local:9000
  tcp is OSC 1.0's stream (an int32 length before each packet), slip OSC 1.1's (SLIP)
  send also takes router://host[:port], port 55555 if left out: to all others of a group at that router
Durations have a unit: 200ms, 1.5s, 2m
Instants are +200ms (from now) or RFC 3339: 2026-11-20T20:00:00.5+01:00
Exit codes: 0 good, 1 failed, 2 wrong usage";

/// What every command takes.
#[derive(Args, Debug)]
pub(crate) struct General {
    /// Take settings from a TOML file, named as the flags are, below [node]; flags win
    #[arg(long, global = true, value_name = "FILE", help_heading = "General")]
    pub(crate) config: Option<PathBuf>,
    /// Say more on stderr; twice for everything (RUST_LOG chooses in detail)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "General")]
    pub(crate) verbose: u8,
    /// Say only what went wrong; twice for nothing
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "General")]
    pub(crate) quiet: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an audio node: receive OSC over UDP and TCP, play it on the exact sample
    Node(Box<NodeArgs>),
    /// Run a router: clients anywhere meet in groups over TCP, as with tcposcrouter
    Router(Box<RouterArgs>),
    /// Send one OSC message, at once or stamped with an instant
    Send(SendArgs),
    /// Print the OSC that arrives, with its timetags and how late it is
    Listen(ListenArgs),
    /// Render a score to a WAV file: bit-exact, as fast as it goes
    Render(RenderArgs),
    /// Send a score in real time, stamped ahead, to any number of nodes
    Play(PlayArgs),
    /// List the sound cards a node could use
    Devices(DevicesArgs),
    /// Ask nodes how they are and how their clocks stand
    Status(StatusArgs),
    /// Look into the clocks' synchronisation
    #[command(subcommand)]
    Sync(SyncCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SyncCommand {
    /// Run a node's clock estimator over recorded exchanges
    Replay(ReplayArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Without --types, arguments are guessed: 1 is an int (i), 1.0 a float (f), true and false are
T and F, all else is a string (s).
TAGS has a letter for each argument:
  i int32     f float      s string      b blob (hex)         c character
  h int64     d double     S symbol      r colour (rrggbbaa)  m MIDI (hex: port status data data)
  t timetag (+200ms, RFC 3339 or now)
and these, which take no argument: T true, F false, N nil, I impulse, [ and ] around an array.

  downbeat send localhost:9000 /tick
  downbeat send localhost:9000 /play kick gain 0.5 --in 500ms
  downbeat send tcp://localhost:9000 /status --reply 1s
  downbeat send localhost:9000 /chord --types 's[iii]t' major 60 64 67 +1s
  downbeat send --group band --group-password-file band.txt router://example.org /tick --in 500ms")]
pub(crate) struct SendArgs {
    /// Where to
    #[arg(value_parser = Target::anywhere)]
    pub(crate) target: Target,
    /// OSC address or address pattern
    pub(crate) address: String,
    /// Arguments; put -- before the first if one of them looks like a flag
    #[arg(allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,
    /// Types of the arguments, a letter each (see below)
    #[arg(long, value_name = "TAGS")]
    pub(crate) types: Option<String>,
    /// Bundle it, due so long after now
    #[arg(long = "in", value_name = "DURATION", value_parser = quantity::duration, conflicts_with = "at")]
    pub(crate) ahead: Option<Span>,
    /// Bundle it, due at this instant
    #[arg(long, value_name = "INSTANT", value_parser = quantity::instant)]
    pub(crate) at: Option<Instant>,
    /// Wait so long for answers and print them; fails if the message was refused
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    pub(crate) reply: Option<Span>,
    /// Seal it with the key in this file, as nodes with --key-file demand
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Through a router: to this user of the group alone
    #[arg(long, value_name = "USER", conflicts_with = "key_file", help_heading = "Group at a router")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) group: GroupArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
A line per message: when it arrived (UTC), from whom, when it is due against its arrival, and the
message itself:
  2026-11-20T19:00:00.123456Z udp 192.168.1.7:57120  in 500 ms  /play \"kick\" 0.5
  2026-11-20T19:00:01.100000Z udp 192.168.1.7:57120  late 2.5 ms  /play \"kick\" 0.5
Bundles are not held back: what is due later is printed now.

  downbeat listen --port 9001 --tcp
  downbeat listen --router example.org --group band --group-password-file band.txt")]
pub(crate) struct ListenArgs {
    /// Listen to a group at this router instead; port 55555 if left out
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        value_parser = Target::router,
        conflicts_with_all = ["bind", "multicast", "port", "tcp"],
        help_heading = "Group at a router"
    )]
    pub(crate) router: Option<Target>,
    #[command(flatten)]
    pub(crate) group: GroupArgs,
    /// Address to listen on; every address of this host if left out
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<IpAddr>,
    /// Multicast group to join
    #[arg(long, value_name = "ADDRESS", value_parser = quantity::group)]
    pub(crate) multicast: Vec<IpAddr>,
    /// Port to listen on; 0 lets the system choose
    #[arg(long, default_value_t = 9000)]
    pub(crate) port: u16,
    /// Listen on TCP too, on the same port; the framing is recognised per connection
    #[arg(long)]
    pub(crate) tcp: bool,
    /// One JSON object per message instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Also write a score for `render` and `play`; its time 0 is the first packet's arrival
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
SCORE is a binary score as SuperCollider writes for scsynth -N: bundles, each after its int32
length, timetags from 0. It plays through the address space and the renderer of a node, and the
same score gives the same bits on every run.

  downbeat listen --record take.osc
  downbeat render take.osc --out take.wav --samples samples/audio")]
pub(crate) struct RenderArgs {
    /// Score to render
    pub(crate) score: PathBuf,
    /// WAV file to write: 32-bit float
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Folder of WAV files; each is played at the address of its name
    #[arg(long, value_name = "DIR")]
    pub(crate) samples: Option<PathBuf>,
    /// Frames per second (Hz)
    #[arg(long, value_name = "HZ", default_value_t = 48_000, value_parser = clap::value_parser!(u32).range(8_000..=384_000))]
    pub(crate) rate: u32,
    /// Output channels
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) channels: u16,
    /// Go on so long after the last event of the score, which may be a day after its beginning
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = quantity::duration)]
    pub(crate) tail: Span,
    /// Frames rendered at a time, as a sound card would ask for them; the output does not depend on it
    #[arg(long, value_name = "FRAMES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) block: u32,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Each bundle is sent --lead before it is due, so that it arrives in time wherever the network is
faster than that. Ctrl-C stops sending and withdraws what is scheduled on the targets (/cancel),
that of other senders too.

  downbeat play take.osc 192.168.1.20:9000 192.168.1.21:9000")]
pub(crate) struct PlayArgs {
    /// Score to play (see downbeat render --help)
    pub(crate) score: PathBuf,
    /// Nodes to play it on, and groups at a router (router://host)
    #[arg(required = true, value_parser = Target::anywhere)]
    pub(crate) targets: Vec<Target>,
    /// How far ahead of its instant each bundle is sent
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = quantity::duration)]
    pub(crate) lead: Span,
    /// When the score's time 0 is; the lead after now if left out
    #[arg(long, value_name = "INSTANT", value_parser = quantity::instant)]
    pub(crate) at: Option<Instant>,
    /// Seal all that is sent with the key in this file, as nodes with --key-file demand
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) group: GroupArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
A row a node: its clock's state (leading, acquiring, locked, holdover, lost), how far off it may be
(standard error, hard bound), how far ahead of it the host's own clock is. Below it a row for each
other node: how far ahead that one's clock is, the error of that, and the least round trip.

  downbeat status 192.168.1.20:9000 192.168.1.21:9000")]
pub(crate) struct StatusArgs {
    /// Nodes to ask
    #[arg(default_value = "localhost:9000")]
    pub(crate) targets: Vec<Target>,
    /// A JSON array instead of a table: all that the nodes tell
    #[arg(long)]
    pub(crate) json: bool,
    /// Wait so long for an answer
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = quantity::duration)]
    pub(crate) wait: Span,
}

#[derive(Args, Debug)]
#[command(after_help = "\
TRACE is CSV with a header that names the columns t1,t2,t3,t4, in seconds: when a question left (by
the clock here), arrived and was answered (by the other clock), and when the answer came back here.
Rows may stand in any order: they are sorted by t4. Exchanges whose stamps contradict themselves, such
as an answer before its question, are left out of the estimate, and counted on stderr.
Printed is, as CSV, the estimate after each exchange: t4, offset of the other clock (s), its drift
(ppm), standard error and hard bound of the offset (s).

  downbeat sync replay trace.csv > estimate.csv")]
pub(crate) struct ReplayArgs {
    /// Recorded exchanges
    pub(crate) trace: PathBuf,
    /// The most that the two clocks' crystals differ in rate, more than 0ppm up to 1000ppm: the hard bound assumes it
    #[arg(long, value_name = "RATE", default_value = "200ppm", value_parser = quantity::max_drift)]
    pub(crate) max_drift: MaxDrift,
}

#[derive(Args, Debug)]
pub(crate) struct DevicesArgs {
    /// A JSON array instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}
