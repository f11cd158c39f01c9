//! `downbeat send`: one message to one target.

use crate::WrongUsage;
use crate::args::SendArgs;
use crate::output::{printable, results};
use crate::quantity::Instant;
use crate::way::Way;
use crate::{group, key, value};
use anyhow::{Context, anyhow, bail};
use downbeat_net::osc::{self, Arg, BundleWriter};
use downbeat_net::{MAX_DATAGRAM, member};
use downbeat_sync::{Clock, EnsembleTime};

/// Who sends, in a group.
const USER: &str = "downbeat-send";
/// A message to one user of a group.
const PRIVATE: &str = "/oscrouter/private";

/// Sends the message, then prints the answers if asked to wait for any.
pub(crate) fn run(args: SendArgs) -> anyhow::Result<()> {
    group::none_among(std::slice::from_ref(&args.target), &args.group)?;
    if args.to.is_some() && !args.target.is_router() {
        bail!(
            anyhow!("users are in a group at a router: give its place as router://host").context(WrongUsage)
        );
    }
    let clock = Clock::new();
    let key = args.key_file.as_deref().map(key::read).transpose()?;
    let bytes = packet(&args, clock.anchor().wall)?.len() + Way::overhead(key.as_ref());
    if bytes > MAX_DATAGRAM && args.target.is_udp() {
        bail!("the packet has {bytes} bytes, UDP carries {MAX_DATAGRAM} at most: send it to tcp://");
    }
    let (mut way, mut own) = group::open(&args.target, &args.group, USER, key.as_ref(), clock)?;
    // Only now, for the way may have taken a while to open.
    way.send(&packet(&args, group::wall(own.as_mut(), clock))?)?;
    let mut refusal = None;
    let mut look = |packet: &[u8]| {
        // A node answers privately what it was told privately.
        let private = args.to.as_ref().and_then(|_| member::unwrapped(packet));
        let packet = private.as_deref().unwrap_or(packet);
        let router = || args.target.is_router().then(|| refused_by_router(packet)).flatten();
        refusal = refusal.take().or_else(|| refused(packet, args.address.as_bytes())).or_else(router);
    };
    if let Some(wait) = args.reply {
        way.receive(wait, |packet| {
            look(packet);
            print(packet)
        })?;
    }
    if args.target.is_router() {
        way.leave(|packet| {
            look(packet);
            Ok(())
        })?;
    }
    refusal.map_or(Ok(()), |reason| bail!("{} was refused: {reason}", args.address))
}

/// Why the router did not forward the message, if that is what it says.
fn refused_by_router(packet: &[u8]) -> Option<String> {
    let message = osc::read(packet).next()?.ok()?.message;
    let reason = message.args().next()?.text()?;
    (message.address() == b"/oscrouter/error").then(|| printable(reason))
}

/// Why the message to this address was refused, if that is what the answer says.
fn refused(answer: &[u8], address: &[u8]) -> Option<String> {
    let message = osc::read(answer).next()?.ok()?.message;
    let mut args = message.args();
    let of = args.next()?.text()?;
    let reason = args.next()?.text()?;
    let is_ours = message.address() == b"/error" && (of == address || of == b"/sealed");
    is_ours.then(|| printable(reason))
}

/// The message, in a bundle if it has an instant.
fn packet(args: &SendArgs, now: EnsembleTime) -> anyhow::Result<Vec<u8>> {
    let values = value::values(&args.args, args.types.as_deref(), now).context(WrongUsage)?;
    let arguments = values.iter().map(value::Value::as_arg);
    let private = args.to.as_ref().map(|user| [Arg::from(user.as_str()), args.address.as_str().into()]);
    let arguments = private.into_iter().flatten().chain(arguments);
    let address = if args.to.is_some() { PRIVATE } else { &args.address };
    let instant = args.ahead.map(Instant::After).or(args.at);
    let mut packet = Vec::new();
    let written = match instant {
        None => osc::write(&mut packet, address, arguments),
        Some(instant) => {
            let mut bundle = BundleWriter::new(&mut packet, instant.from(now).bits());
            bundle.message(address, arguments).map(|_| ())
        }
    };
    written.with_context(|| format!("cannot send {}", args.address)).context(WrongUsage)?;
    Ok(packet)
}

/// A line for each message of an answer.
fn print(packet: &[u8]) -> anyhow::Result<()> {
    osc::read(packet).try_for_each(|item| match item {
        Ok(timed) => results(line(timed.message.address(), timed.message.args())),
        Err(why) => results(format_args!("(not OSC: {why})")),
    })
}

/// A message as text: `/status/reply "node" 0 0.5`.
pub(crate) fn line<'a>(address: &[u8], args: impl Iterator<Item = Arg<'a>>) -> String {
    let mut line = printable(address);
    for arg in args {
        line.push(' ');
        line.push_str(&value::text(arg));
    }
    line
}
