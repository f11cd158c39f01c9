//! Groups at a router: who the flags say somebody is, and how a command that only sends gets in.
//!
//! Not for: what a member says and when (the net crate).

mod connector;
mod seat;

use crate::WrongUsage;
use crate::args::GroupArgs;
use crate::key::random;
use crate::output::printable;
use crate::target::Link;
use anyhow::{Context, anyhow, bail};
use downbeat_net::member::{Heard, Identity, Member, Step};
use downbeat_sync::{Clock, Span};
use std::ops::ControlFlow;
use std::path::Path;

pub(crate) use seat::Seat;

/// SuperCollider's client has this as its group and its password.
const USUAL: &str = "oscrouter";
/// No password is longer (bytes).
const LONGEST: u64 = 1_024;
/// The answer to a registration may take so long.
const ANSWER: Span = Span::from_secs(10);

/// Who somebody is by these flags, whose name is `user` if they do not say.
pub(crate) fn identity(args: &GroupArgs, user: &str) -> anyhow::Result<Identity> {
    Ok(Identity {
        user: args.user.clone().unwrap_or_else(|| user.to_owned()),
        user_password: password(args.user_password_file.as_deref(), "DOWNBEAT_USER_PASSWORD")?,
        group: args.group.clone().unwrap_or_else(|| USUAL.to_owned()),
        group_password: password(args.group_password_file.as_deref(), "DOWNBEAT_GROUP_PASSWORD")?,
        id: (random() >> 33) as i32,
    })
}

/// Groups are at a router: without one, flags about them would do nothing.
pub(crate) fn none_without_a_router(args: &GroupArgs) -> anyhow::Result<()> {
    if args.is_given() {
        bail!(anyhow!("a group is at a router: name it with --router HOST").context(WrongUsage));
    }
    Ok(())
}

/// A password never stands on the command line, where everybody on the host could read it.
fn password(file: Option<&Path>, variable: &str) -> anyhow::Result<String> {
    let Some(file) = file else {
        return match std::env::var(variable) {
            Err(std::env::VarError::NotPresent) => Ok(USUAL.to_owned()),
            other => other.with_context(|| format!("cannot use the password in ${variable}")),
        };
    };
    let what = || format!("cannot read the password in {}", file.display());
    if std::fs::metadata(file).with_context(what)?.len() > LONGEST {
        bail!("{} is no password: it is longer than {LONGEST} bytes", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(what)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("there is no password in {}", file.display());
    }
    Ok(password.to_owned())
}

/// Registers on a connection to a router, and waits until it is granted.
pub(crate) fn enter(link: &mut Link, identity: &Identity, clock: Clock) -> anyhow::Result<()> {
    let start = clock.now();
    let mut member = Member::new(identity, start).context("cannot register")?;
    member.step(start);
    if member.connected(start) && member.step(start) == Some(Step::Register) {
        link.send(member.registration())?;
    }
    link.receive(clock, ANSWER, |packet| {
        Ok(match member.hear(packet, clock.now()) {
            Heard::Joined => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    })?;
    let Identity { user, group, .. } = identity;
    let wanted = || format!("cannot join group \"{group}\" as \"{user}\"");
    if member.is_joined() {
        Ok(())
    } else if clock.now() - start < ANSWER {
        let why = printable(member.closed(None, clock.now()).as_bytes());
        Err(anyhow::Error::msg(why)).with_context(wanted)
    } else {
        Err(anyhow::Error::msg("no answer: is a router running there?")).with_context(wanted)
    }
}
