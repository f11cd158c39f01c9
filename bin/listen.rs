//! `downbeat listen`: prints what arrives and when, without holding anything back.

use crate::args::ListenArgs;
use crate::group::{self, Seat};
use crate::output::{note, results};
use crate::quantity::rfc3339;
use crate::score::Recorder;
use crate::send::line;
use crate::stop;
use crate::value;
use anyhow::{Context, anyhow};
use downbeat_net::member::Heard;
use downbeat_net::osc::{self, Timed};
use downbeat_net::{
    ConnId, Endpoint, Handle, Handler, NetCounters, Outgoing, Reactor, Sockets, StreamLimits,
};
use downbeat_sync::{Clock, EnsembleTime, LocalTime, Span, WallAnchor};
use serde_json::json;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Who listens, in a group.
const USER: &str = "downbeat-listen";

/// Listens until Ctrl-C, or until nobody reads its output any more.
pub(crate) fn run(args: ListenArgs) -> anyhow::Result<()> {
    let clock = Clock::new();
    let sockets = sockets(&args)?;
    let place = args.router.is_none().then(|| sockets.local_addr().context("cannot find out the port"));
    let place = place.transpose()?;
    let mut reactor = Reactor::new(sockets, clock, StreamLimits::default(), Arc::new(NetCounters::default()))
        .context("cannot watch the sockets")?;
    let handle = reactor.handle();
    stop::on_signal(clock, move || handle.stop())?;

    let recorder = args.record.as_deref().map(Recorder::create).transpose()?;
    let mut listener = Listener {
        form: if args.json { Form::Json } else { Form::Text },
        anchor: clock.anchor(),
        peers: HashMap::new(),
        recorder,
        zero: None,
        failure: None,
        stop: reactor.handle(),
        seat: seat(&args, reactor.handle(), clock)?,
    };
    if let Some(place) = place {
        let over = if args.tcp { "udp+tcp" } else { "udp" };
        note(format_args!("listening on {over} {place}"));
    }
    reactor.run(&mut listener).context("cannot receive")?;
    listener.finish()
}

/// Where packets come in, but for those of a group.
fn sockets(args: &ListenArgs) -> anyhow::Result<Sockets> {
    if args.router.is_some() {
        return Ok(Sockets::default());
    }
    group::none_without_a_router(&args.group)?;
    let mut sockets = Sockets::bind(args.bind, args.port, &args.multicast)
        .map_err(|error| cannot_listen(error, args.bind, args.port))?;
    if !args.tcp {
        sockets.tcp.clear();
    }
    Ok(sockets)
}

fn seat(args: &ListenArgs, handle: Handle, clock: Clock) -> anyhow::Result<Option<Seat>> {
    let Some(router) = &args.router else { return Ok(None) };
    let identity = group::identity(&args.group, USER)?;
    Seat::new(router, &identity, &args.group, handle, clock.now()).map(Some)
}

/// Why there is no socket, and what may help.
pub(crate) fn cannot_listen(error: io::Error, bind: Option<IpAddr>, port: u16) -> anyhow::Error {
    let place = bind.map_or("every address".to_owned(), |bind| bind.to_string());
    let hint = match error.kind() {
        ErrorKind::AddrInUse => "; does another program use it?",
        ErrorKind::AddrNotAvailable => "; is it an address of this host?",
        ErrorKind::PermissionDenied => "; ports from 1024 on are free for all",
        _ => "",
    };
    anyhow::Error::new(error).context(format!("cannot listen on port {port} of {place}{hint}"))
}

enum Form {
    Text,
    Json,
}

/// Prints packets, and records them if asked to.
struct Listener {
    form: Form,
    /// The newest look at both clocks: arrivals are stamped on the local one, timetags lie on the wall clock, or on the router's.
    anchor: WallAnchor,
    peers: HashMap<ConnId, SocketAddr>,
    recorder: Option<Recorder>,
    /// The arrival of the first packet: time 0 of the recorded score.
    zero: Option<EnsembleTime>,
    failure: Option<anyhow::Error>,
    stop: Handle,
    seat: Option<Seat>,
}

impl Handler for Listener {
    fn on_packet(&mut self, arrival: LocalTime, from: Endpoint, packet: &[u8]) {
        let arrived = self.anchor.wall - (self.anchor.local - arrival);
        let heard = self.seat.as_mut().filter(|seat| seat.is_at(from)).map(|seat| seat.hear(packet, arrival));
        let printed = match &heard {
            Some(Heard::Joined | Heard::Time) => Ok(()),
            _ => self.show(arrived, from, packet),
        };
        let recorded = printed.and_then(|()| match &heard {
            None | Some(Heard::Group) => self.record(arrived, packet),
            Some(Heard::Private { packet, .. }) => self.record(arrived, packet),
            Some(Heard::Joined | Heard::Refused(_) | Heard::Routers | Heard::Time) => Ok(()),
        });
        if let Err(error) = recorded {
            self.fail(error);
        }
    }

    fn on_connected(&mut self, conn: ConnId) {
        if let Some(seat) = &mut self.seat {
            seat.connected(conn, self.anchor.local);
        }
    }

    fn on_open(&mut self, conn: ConnId, peer: SocketAddr) {
        self.peers.insert(conn, peer);
    }

    fn on_close(&mut self, conn: ConnId) {
        self.peers.remove(&conn);
        if let Some(seat) = &mut self.seat {
            seat.closed(conn, self.anchor.local);
        }
    }

    fn on_tick(&mut self, now: WallAnchor) {
        let router = self.seat.as_mut().and_then(|seat| seat.wall(now));
        self.anchor = router.map_or(now, |(wall, _)| wall);
        if let Some(Err(error)) = self.recorder.as_mut().map(Recorder::flush) {
            self.fail(error);
        }
        self.attend(now.local);
    }

    fn deadline(&self) -> Option<LocalTime> {
        let second = self.anchor.local + Span::from_secs(1);
        let seat = self.seat.as_ref().map(Seat::deadline);
        Some(seat.filter(|seat| seat.is_before(second)).unwrap_or(second))
    }

    fn poll(&mut self, now: LocalTime) -> Option<Outgoing<'_>> {
        let step = self.seat.as_mut()?.step(now)?;
        self.seat.as_ref().map(|seat| seat.outgoing(step))
    }
}

impl Listener {
    /// Who does not get into the group at all is told why; who was in comes back.
    fn attend(&mut self, now: LocalTime) {
        let Some(seat) = &mut self.seat else { return };
        seat.tick(now);
        match seat.failure() {
            Some(why) if seat.report(now).tally.joined == 0 => self.fail(anyhow!(why)),
            Some(why) => tracing::warn!("{why}"),
            None => {}
        }
    }

    fn fail(&mut self, error: anyhow::Error) {
        self.failure.get_or_insert(error);
        self.stop.stop();
    }

    /// A line for each message of the packet.
    fn show(&self, arrived: EnsembleTime, from: Endpoint, packet: &[u8]) -> anyhow::Result<()> {
        let from = match (from, self.seat.as_ref().filter(|seat| seat.is_at(from))) {
            (_, Some(seat)) => seat.router().to_string(),
            (Endpoint::Tcp(conn) | Endpoint::Member(conn, _), None) => {
                self.peers.get(&conn).map_or(from.to_string(), |peer| format!("tcp {peer}"))
            }
            (Endpoint::Udp(_), None) => from.to_string(),
        };
        for item in osc::read(packet) {
            match (&self.form, item) {
                (Form::Text, Ok(timed)) => {
                    let due = due(timed.timetag, arrived);
                    let message = line(timed.message.address(), timed.message.args());
                    results(format_args!("{} {from}  {due}  {message}", rfc3339(arrived)))?;
                }
                (Form::Text, Err(why)) => {
                    let len = packet.len();
                    results(format_args!("{} {from}  not OSC ({len} bytes): {why}", rfc3339(arrived)))?;
                }
                (Form::Json, Ok(timed)) => results(as_json(timed, arrived, &from))?,
                (Form::Json, Err(why)) => {
                    let error = json!({
                        "arrived": rfc3339(arrived), "from": from, "error": why.to_string(), "bytes": packet.len(),
                    });
                    results(error)?;
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, arrived: EnsembleTime, packet: &[u8]) -> anyhow::Result<()> {
        // What is not OSC was shown; a score cannot hold it.
        if osc::read(packet).any(|item| item.is_err()) {
            return Ok(());
        }
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        let zero = *self.zero.get_or_insert(arrived);
        recorder.append(packet, |timetag| EnsembleTime::from_timetag(timetag).unwrap_or(arrived) - zero)
    }

    fn finish(mut self) -> anyhow::Result<()> {
        if let Some(recorder) = self.recorder.take() {
            let count = recorder.finish()?;
            note(format_args!("recorded {count} bundles"));
        }
        self.failure.map_or(Ok(()), Err)
    }
}

/// An instant against an arrival: `at once`, `in 500 ms`, `late 2.5 ms`.
fn due(timetag: u64, arrived: EnsembleTime) -> String {
    match EnsembleTime::from_timetag(timetag).map(|due| due - arrived) {
        None => "at once".to_owned(),
        Some(ahead) if ahead >= Span::ZERO => format!("in {ahead}"),
        Some(ahead) => format!("late {}", -ahead),
    }
}

fn as_json(timed: Timed<'_>, arrived: EnsembleTime, from: &str) -> serde_json::Value {
    let Timed { timetag, message } = timed;
    let due = EnsembleTime::from_timetag(timetag);
    json!({
        "arrived": rfc3339(arrived),
        "from": from,
        "due": due.map(rfc3339),
        "timetag": format!("{timetag:016x}"),
        "late_ms": due.map(|due| (arrived - due).as_secs_f64() * 1e3),
        "address": String::from_utf8_lossy(message.address()),
        "types": message.tags().map(String::from_utf8_lossy),
        "args": message.args().map(value::json).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_told_against_their_arrival() {
        let arrived = EnsembleTime::from_unix(Span::from_secs(1_000_000_000));
        let tag = |span: Span| (arrived + span).bits();
        assert_eq!(due(1, arrived), "at once");
        assert_eq!(due(0, arrived), "at once");
        assert_eq!(due(tag(Span::from_millis(500)), arrived), "in 500 ms");
        assert_eq!(due(tag(-Span::from_micros(2500)), arrived), "late 2.5 ms");
    }
}
