//! The flags of `downbeat router`. The first five are tcposcrouter's.

use crate::quantity;
use clap::{Args, ValueEnum};
use downbeat_net::router::{Rate, RouterConfig};
use downbeat_net::{Slow, StreamLimits};
use downbeat_sync::Span;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "\
Clients register with a name and a group, each with a password; whoever comes first chooses it. What
one sends goes to all others of its group, byte for byte. Clients of tcposcrouter need no change:
  downbeat router
A router that many use, with a log that does not grow for ever and figures for Prometheus:
  downbeat router --log-dir /var/log/downbeat --metrics --connections 5000 --idle 1h --rate 1000
For the internet, nobody listening on the way, and browsers in the group:
  downbeat router --tls-port 55558 --wss-port 55559 --tls-cert chain.pem --tls-key key.pem
The same from a file, with log-dir = \"/var/log/downbeat\" and so on below [router]:
  downbeat router --config router.toml

SIGTERM or Ctrl-C lets nobody in any more, sends what waits, and ends within five seconds.")]
pub(crate) struct RouterArgs {
    /// Port for OSC 1.0, a length before each packet (SuperCollider); 0 lets the system choose. On every port the framing of
    /// each connection is recognised
    #[arg(long, value_name = "PORT", default_value_t = 55_555, help_heading = "Network")]
    pub(crate) osc_port: u16,
    /// Port for OSC 1.1, SLIP (Pd)
    #[arg(long, value_name = "PORT", default_value_t = 55_556, help_heading = "Network")]
    pub(crate) osc11_port: u16,
    /// Do not listen on --osc-port
    #[arg(long, conflicts_with = "osc_port", help_heading = "Network")]
    pub(crate) disable_osc10: bool,
    /// Do not listen on --osc11-port
    #[arg(long, conflicts_with = "osc11_port", help_heading = "Network")]
    pub(crate) disable_osc11: bool,
    /// Port for OSC over TLS; needs a certificate. No such port if left out
    #[arg(long, value_name = "PORT", requires_all = ["tls_cert", "tls_key"], help_heading = "Network")]
    pub(crate) tls_port: Option<u16>,
    /// Port for WebSockets, on which each binary message is a packet: for browsers, and only where nobody listens on the way
    #[arg(long, value_name = "PORT", help_heading = "Network")]
    pub(crate) ws_port: Option<u16>,
    /// Port for WebSockets over TLS (wss); needs a certificate
    #[arg(long, value_name = "PORT", requires_all = ["tls_cert", "tls_key"], help_heading = "Network")]
    pub(crate) wss_port: Option<u16>,
    /// File with the certificate, and those that vouch for it behind it (PEM). A new one is taken up while the router runs
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Network")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// File with the certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Network")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Folder for router.log and the ten before it, of 10 MB each; if left out, the log goes to stderr only
    #[arg(long, value_name = "DIR", help_heading = "Watching")]
    pub(crate) log_dir: Option<PathBuf>,
    /// Address to listen on; every address of this host, IPv6 and IPv4, if left out
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) bind: Option<IpAddr>,

    /// Answer GET /metrics (for Prometheus) and /healthz by HTTP, on 127.0.0.1:55557 if no address is given
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        num_args = 0..=1,
        default_missing_value = "127.0.0.1:55557",
        help_heading = "Watching"
    )]
    pub(crate) metrics: Option<SocketAddr>,
    /// Tell every client why something was refused, with /oscrouter/error, not only those who ask for it
    #[arg(long, help_heading = "Watching")]
    pub(crate) error_replies: bool,

    /// Connections at once, at most
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Limits")]
    pub(crate) connections: u32,
    /// Connections from one address at once, at most; of IPv6, from one network of 64 bits. This host's own count too, and
    /// all who share an address: a classroom behind a router, everybody behind a proxy
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Limits")]
    pub(crate) max_per_address: u32,
    /// Groups at once, at most
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Limits")]
    pub(crate) groups: u32,
    /// Users of one group, at most
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Limits")]
    pub(crate) users: u32,
    /// Connections of one user of a group, at most
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Limits")]
    pub(crate) user_connections: u32,
    /// Bytes of one packet, at most
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(64..=67_108_864), help_heading = "Limits")]
    pub(crate) max_packet: u32,
    /// Bytes that wait for one client that does not read fast enough, at most
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(65_536..=1_073_741_824), help_heading = "Limits")]
    pub(crate) max_outbound: u32,
    /// What becomes of a client for which more would wait
    #[arg(long, value_enum, default_value_t, help_heading = "Limits")]
    pub(crate) slow: SlowClient,
    /// Packets a client may send each second; more are dropped. As many as it can, if left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub(crate) rate: Option<u32>,
    /// Bytes a client may send each second
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Limits")]
    pub(crate) rate_bytes: Option<u32>,
    /// Close a connection that has not registered after this
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = quantity::duration, help_heading = "Limits")]
    pub(crate) register_within: Span,
    /// Close a connection that has sent nothing for so long, a ping neither. One whose host has vanished is closed after a minute in any case
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration, help_heading = "Limits")]
    pub(crate) idle: Option<Span>,
}

/// What becomes of a client that does not read fast enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SlowClient {
    /// It is closed, and may come again
    #[default]
    CutOff,
    /// It loses the packets that have waited longest
    DropOldest,
}

/// Read from all clients before what they sent goes on its way (bytes): what they send may go to hundreds.
const TURN: usize = 128 << 10;

impl RouterArgs {
    /// What the router allows.
    pub(crate) fn config(&self) -> RouterConfig {
        let rate = (self.rate.is_some() || self.rate_bytes.is_some()).then(|| Rate {
            packets: self.rate.unwrap_or(u32::MAX),
            bytes: self.rate_bytes.unwrap_or(u32::MAX),
        });
        RouterConfig {
            registration: self.register_within,
            idle: self.idle,
            groups: self.groups as usize,
            users: self.users as usize,
            connections_per_user: self.user_connections as usize,
            rate,
            tell_errors: self.error_replies,
        }
    }

    /// What connections may take.
    pub(crate) fn limits(&self) -> StreamLimits {
        StreamLimits {
            connections: self.connections as usize,
            per_address: self.max_per_address as usize,
            packet: self.max_packet as usize,
            outbound: self.max_outbound as usize,
            slow: match self.slow {
                SlowClient::CutOff => Slow::CutOff,
                SlowClient::DropOldest => Slow::DropOldest,
            },
            turn: TURN,
        }
    }
}
