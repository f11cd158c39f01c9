//! Groups at a router: who the flags say somebody is, and how a command that only sends gets in.
//!
//! Not for: what a member says and when (the net crate).

mod connector;
mod seat;

use crate::WrongUsage;
use crate::args::GroupArgs;
use crate::key::random;
use crate::output::printable;
use crate::target::{Link, Target};
use crate::way::Way;
use anyhow::{Context, anyhow, bail};
use downbeat_net::Key;
use downbeat_net::member::{Heard, Identity, Member, Step};
use downbeat_sync::{Clock, EnsembleTime, LocalTime, Span};
use std::ops::ControlFlow;
use std::path::Path;

pub(crate) use seat::Seat;

/// SuperCollider's client has this as its group and its password.
const USUAL: &str = "oscrouter";
/// No password is longer (bytes).
const LONGEST: u64 = 1_024;
/// The answer to a registration may take so long.
const ANSWER: Span = Span::from_secs(10);

/// A router that tells the time does so within this.
const TIME: Span = Span::from_secs(3);
/// The shortest wait for an answer.
const SOON: Span = Span::from_millis(1);

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

/// Groups are at a router: with no such target, flags about them would do nothing.
pub(crate) fn none_among(targets: &[Target], args: &GroupArgs) -> anyhow::Result<()> {
    if args.is_given() && !targets.iter().any(Target::is_router) {
        bail!(anyhow!("groups are at a router: give its place as router://host").context(WrongUsage));
    }
    Ok(())
}

/// Groups are at a router: without one, flags about them would do nothing.
pub(crate) fn none_without_a_router(args: &GroupArgs) -> anyhow::Result<()> {
    if args.is_given() {
        bail!(anyhow!("a group is at a router: name it with --router HOST").context(WrongUsage));
    }
    Ok(())
}

/// A router seals nothing, so whoever believes only what is sealed cannot take its time.
pub(crate) fn no_time_for_a_key(args: &GroupArgs, has_key: bool) -> anyhow::Result<()> {
    if args.router_time && has_key {
        let why =
            "a router seals nothing: with --key-file its time cannot be believed, leave out --router-time";
        bail!(anyhow!(why).context(WrongUsage));
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

/// Somebody of this name, who asks for the router's time if the flags say so.
fn member(identity: &Identity, args: &GroupArgs, now: LocalTime) -> anyhow::Result<Member> {
    let member = Member::new(identity, now).context("cannot register at a router")?;
    Ok(if args.router_time { member.with_time(random(), random(), now) } else { member })
}

/// The way to a target, or into a group: then with who is in it, called `user` if the flags do not say.
pub(crate) fn open(
    target: &Target,
    args: &GroupArgs,
    user: &str,
    key: Option<&Key>,
    clock: Clock,
) -> anyhow::Result<(Way, Option<Member>)> {
    if !target.is_router() {
        return Ok((Way::open(target, key, clock)?, None));
    }
    no_time_for_a_key(args, key.is_some())?;
    let identity = identity(args, user)?;
    let mut link = target.open()?;
    let member = enter(&mut link, &identity, args, clock)?;
    Ok((Way::over(link, target, key, clock)?, Some(member)))
}

/// Registers on a connection to a router, and waits until it is granted; then until the time is known there, if it is asked for.
fn enter(link: &mut Link, identity: &Identity, args: &GroupArgs, clock: Clock) -> anyhow::Result<Member> {
    let start = clock.now();
    let mut member = member(identity, args, start)?;
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
        learn_the_time(link, &mut member, clock)?;
        Ok(member)
    } else if link.is_closed() {
        let why = printable(member.closed(None, clock.now()).as_bytes());
        Err(anyhow::Error::msg(why)).with_context(wanted)
    } else {
        Err(anyhow::Error::msg("no answer: is a router running there?")).with_context(wanted)
    }
}

/// Asks a router for its time until that is known well enough, if it is asked for.
fn learn_the_time(link: &mut Link, member: &mut Member, clock: Clock) -> anyhow::Result<()> {
    let end = clock.now() + TIME;
    while member.time().is_some_and(|time| !time.is_enough()) {
        let now = clock.now();
        if !now.is_before(end) {
            bail!("the router does not tell the time; leave out --router-time, or is it tcposcrouter?");
        }
        match member.step(now) {
            Some(Step::Ask) => link.send(member.question())?,
            Some(Step::Ping) => link.send(member.ping())?,
            _ => {}
        }
        let wait = (member.deadline() - clock.now()).max(SOON).min(end - now);
        link.receive(clock, wait, |packet| {
            Ok(match member.hear(packet, clock.now()) {
                Heard::Time => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        })?;
        if link.is_closed() {
            bail!(member.closed(None, clock.now()));
        }
    }
    Ok(())
}

/// What the wall clock says, or in its place the router.
pub(crate) fn wall(member: Option<&mut Member>, clock: Clock) -> EnsembleTime {
    let host = clock.anchor();
    let router = member.and_then(Member::time).and_then(|time| time.wall(host));
    router.unwrap_or(host).wall
}
