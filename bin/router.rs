//! `downbeat router`: groups over TCP, put together: listeners, router, and the threads beside it.
//!
//! ```text
//! main thread: reactor and router (Edge)  -- jobs -->  hasher  -- results -->  main
//!                    |    metrics thread: asks, by HTTP, through the board
//! ```

mod board;
mod certificate;
mod descriptors;
mod edge;
mod hasher;
mod metrics;
mod service;

use crate::WrongUsage;
use crate::args::RouterArgs;
use crate::key::random;
use crate::listen::cannot_listen;
use crate::output::note;
use crate::stop;
use anyhow::Context;
use downbeat_net::framing::Framing;
use downbeat_net::router::Router;
use downbeat_net::{Key, Layers, Listener, NetCounters, Reactor, Sockets};
use downbeat_sync::{Clock, Span};
use edge::Edge;
use hasher::Hasher;
use metrics::Metrics;
use service::Service;
use std::sync::Arc;

/// How long clients may take to read their last packets when the router stops: systemd and users wait five seconds.
const PARTING: Span = Span::from_secs(4);

/// Runs until Ctrl-C, SIGTERM or SIGHUP.
pub(crate) fn run(args: RouterArgs, clock: Clock) -> anyhow::Result<()> {
    descriptors::raise(args.connections);
    let (tcp, places) = listen(&args)?;
    let counters = Arc::new(NetCounters::default());
    let sockets = Sockets { tcp, ..Sockets::default() };
    let mut reactor = Reactor::new(sockets, clock, args.limits(), Arc::clone(&counters))
        .context("cannot watch the sockets")?;
    let secret: [[u8; 8]; 4] = std::array::from_fn(|_| random().to_be_bytes());
    let secret = Key::new(secret.as_flattened()).context("the secret is long enough")?;
    let router = Router::new(args.config(), secret, clock.anchor());

    let handle = reactor.handle();
    let hasher = Hasher::start(move || handle.wake()).context("cannot start the thread for passwords")?;
    let board = Arc::default();
    let mut places = places;
    if let Some(address) = args.metrics {
        let metrics = Metrics { board: Arc::clone(&board), counters, reactor: reactor.handle() };
        places.push(format!("http://{}/metrics", metrics::start(address, metrics)?));
    }
    let handle = reactor.handle();
    stop::on_signal(clock, move || handle.stop())?;

    let mut edge = Edge::new(router, hasher, board, Service::new(clock.now()), clock);
    note(format_args!("router is ready on {}", places.join(", ")));
    edge.ready();
    reactor.run(&mut edge).context("cannot receive")?;
    tracing::info!("stopping");
    edge.say_goodbye();
    reactor.part(&mut edge, PARTING).context("cannot end in good order")
}

/// All listeners, and what they are for.
fn listen(args: &RouterArgs) -> anyhow::Result<(Vec<Listener>, Vec<String>)> {
    let files = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
    if files.is_some() && args.tls_port.is_none() && args.wss_port.is_none() {
        let why = "a certificate is for --tls-port or --wss-port, and there is neither";
        return Err(anyhow::Error::msg(why).context(WrongUsage));
    }
    let tls = files.map(|(chain, key)| certificate::load(chain, key)).transpose()?;
    let [length, slip] = [Framing::Length, Framing::Slip].map(Layers::from);
    let websocket = Layers { websocket: true, ..length.clone() };
    let wanted = [
        ((!args.disable_osc10).then_some(args.osc_port), length.clone(), "OSC 1.0"),
        ((!args.disable_osc11).then_some(args.osc11_port), slip, "OSC 1.1"),
        (args.tls_port, Layers { tls: tls.clone(), ..length }, "TLS"),
        (args.ws_port, websocket.clone(), "WebSocket"),
        (args.wss_port, Layers { tls, ..websocket }, "WebSocket over TLS"),
    ];
    let (mut listeners, mut places) = (Vec::new(), Vec::new());
    for (port, layers, name) in wanted {
        let Some(port) = port else { continue };
        let listener =
            Listener::bind(args.bind, port, layers).map_err(|error| cannot_listen(error, args.bind, port))?;
        let place = listener.socket.local_addr().context("cannot find out the port")?;
        places.push(format!("tcp {place} ({name})"));
        listeners.push(listener);
    }
    if listeners.is_empty() {
        return Err(anyhow::Error::msg("there is no port left to listen on").context(WrongUsage));
    }
    Ok((listeners, places))
}
