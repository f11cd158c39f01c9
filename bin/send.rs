//! `downbeat send`: one message to one target.

use crate::WrongUsage;
use crate::args::SendArgs;
use crate::output::{printable, results};
use crate::quantity::Instant;
use crate::way::Way;
use crate::{key, value};
use anyhow::{Context, bail};
use downbeat_net::MAX_DATAGRAM;
use downbeat_net::osc::{self, Arg, BundleWriter};
use downbeat_sync::{Clock, EnsembleTime};

/// Sends the message, then prints the answers if asked to wait for any.
pub(crate) fn run(args: SendArgs) -> anyhow::Result<()> {
    let clock = Clock::new();
    let wall = || clock.anchor().wall;
    let key = args.key_file.as_deref().map(key::read).transpose()?;
    let bytes = packet(&args, wall())?.len() + Way::overhead(key.as_ref());
    if bytes > MAX_DATAGRAM && args.target.is_udp() {
        bail!("the packet has {bytes} bytes, UDP carries {MAX_DATAGRAM} at most: send it to tcp://");
    }
    let mut way = Way::open(&args.target, key.as_ref(), clock)?;
    // Only now, for the way may have taken a while to open.
    way.send(&packet(&args, wall())?)?;
    let Some(wait) = args.reply else { return Ok(()) };
    let mut refusal = None;
    way.receive(wait, |packet| {
        refusal = refusal.take().or_else(|| refused(packet, args.address.as_bytes()));
        print(packet)
    })?;
    refusal.map_or(Ok(()), |reason| bail!("{} was refused: {reason}", args.address))
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
    let instant = args.ahead.map(Instant::After).or(args.at);
    let mut packet = Vec::new();
    let written = match instant {
        None => osc::write(&mut packet, &args.address, arguments),
        Some(instant) => {
            let mut bundle = BundleWriter::new(&mut packet, instant.from(now).bits());
            bundle.message(&args.address, arguments).map(|_| ())
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
