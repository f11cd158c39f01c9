//! `downbeat play`: a score in real time, every bundle sent ahead of its instant to every target.

use crate::args::{GroupArgs, PlayArgs};
use crate::output::note;
use crate::quantity::{Instant, rfc3339};
use crate::score::Score;
use crate::target::Target;
use crate::way::{ANEW, Way};
use crate::{group, key, stop};
use anyhow::{Context, bail};
use downbeat_net::member::Member;
use downbeat_net::{Key, MAX_DATAGRAM, osc};
use downbeat_sync::{Clock, EnsembleTime, LocalTime, Span};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// Who plays, in a group.
const USER: &str = "downbeat-play";

/// The shortest pause between two looks at what the targets say.
const SHORTEST: Span = Span::from_millis(1);

/// Sends the score, until its end or Ctrl-C.
pub(crate) fn run(args: PlayArgs) -> anyhow::Result<()> {
    let score = Score::read(&args.score)?;
    if score.bundles().is_empty() {
        bail!("the score {} is empty", args.score.display());
    }
    let key = args.key_file.as_deref().map(key::read).transpose()?;
    let key = key.as_ref();
    check_sizes(&score, &args.targets, Way::overhead(key))?;
    group::none_among(&args.targets, &args.group)?;
    let clock = Clock::new();
    let open = |target| Player::open(target, &args.group, key, clock);
    let mut players: Vec<Player> = args.targets.iter().map(open).collect::<Result<_, _>>()?;

    let (stop, stopped) = channel();
    stop::on_signal(clock, move || {
        // Nobody listens any more when the score has ended, and then there is nothing to stop.
        let _ = stop.send(());
    })?;

    let zero = args.at.unwrap_or(Instant::After(args.lead)).from(wall(&mut players, clock));
    note(format_args!(
        "{} bundles over {}, targets: {}, time 0 at {}",
        score.bundles().len(),
        score.end(),
        players.len(),
        rfc3339(zero)
    ));
    for bundle in score.bundles() {
        let look = || {
            players.iter_mut().for_each(Player::keep_in_time);
            (wall(&mut players, clock), rest(&players, clock.now()))
        };
        if !wait_until(zero + bundle.at - args.lead, look, &stopped) {
            players.iter_mut().for_each(Player::cancel);
            players.into_iter().for_each(Player::leave);
            bail!("stopped before the end; the targets were asked to forget what was sent ahead");
        }
        let packet = bundle.packet(zero);
        players.iter_mut().for_each(|player| player.send(&packet));
    }
    let told = report(&players);
    players.into_iter().for_each(Player::leave);
    told
}

/// The time of the first router that was asked for it; else that of the wall clock.
fn wall(players: &mut [Player], clock: Clock) -> EnsembleTime {
    let member = players.iter_mut().filter_map(|player| player.member.as_mut());
    group::wall(member.filter_map(|member| member.time().is_some().then_some(member)).next(), clock)
}

/// How long nobody has to look what the targets say.
fn rest(players: &[Player], now: LocalTime) -> Span {
    let looks = players.iter().filter_map(|player| player.member.as_ref());
    looks.map(|member| member.next_look(now) - now).fold(ANEW, Span::min).max(SHORTEST)
}

/// Waits for a time, looking at the clock anew each time, so that no error adds up; `look` tells what it says, and for how long
/// that is enough. `false` if stopped.
fn wait_until(
    time: EnsembleTime,
    mut look: impl FnMut() -> (EnsembleTime, Span),
    stopped: &Receiver<()>,
) -> bool {
    loop {
        let (now, rest) = look();
        let ahead = time - now;
        if ahead <= Span::ZERO {
            return stopped.try_recv().is_err();
        }
        match stopped.recv_timeout(ahead.min(rest).into()) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// A bundle that no datagram can carry is found before the first one sounds.
fn check_sizes(score: &Score, targets: &[Target], overhead: usize) -> anyhow::Result<()> {
    let largest = score.bundles().iter().max_by_key(|bundle| bundle.len());
    match (largest, targets.iter().find(|target| target.is_udp())) {
        (Some(bundle), Some(target)) if bundle.len() + overhead > MAX_DATAGRAM => bail!(
            "the bundle at {} has {} bytes, UDP carries {MAX_DATAGRAM} at most: play it to tcp:// instead of {target}",
            bundle.at,
            bundle.len() + overhead
        ),
        _ => Ok(()),
    }
}

/// One target and how it fares.
struct Player {
    target: Target,
    way: Way,
    /// Who it is in a group, if the target is a router.
    member: Option<Member>,
    lost: u64,
}

impl Player {
    fn open(target: &Target, args: &GroupArgs, key: Option<&Key>, clock: Clock) -> anyhow::Result<Player> {
        let (way, member) = group::open(target, args, USER, key, clock)?;
        Ok(Player { target: target.clone(), way, member, lost: 0 })
    }

    /// A router is left to take all that it was sent.
    fn leave(self) {
        if self.member.is_none() {
            return;
        }
        if let Err(error) = self.way.leave(|_| Ok(())) {
            tracing::warn!("{error:#}");
        }
    }

    /// A node that has gone is told of when something cannot be sent to it.
    fn keep_in_time(&mut self) {
        if let Err(error) = self.way.keep_in_time(self.member.as_mut()) {
            tracing::debug!("{error:#}");
        }
    }

    /// Sends, or counts and says once that it cannot: the others play on.
    fn send(&mut self, packet: &[u8]) {
        if let Err(error) = self.way.send(packet) {
            if self.lost == 0 {
                tracing::warn!("{error:#}");
            }
            self.lost += 1;
        }
    }

    fn cancel(&mut self) {
        let mut packet = Vec::new();
        let written = osc::write(&mut packet, "/cancel", []).context("cannot write /cancel");
        if let Err(error) = written.and_then(|()| self.way.send(&packet)) {
            tracing::warn!("{error:#}");
        }
    }
}

fn report(players: &[Player]) -> anyhow::Result<()> {
    let failed: Vec<_> = players.iter().filter(|player| player.lost > 0).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let lost: Vec<_> =
        failed.iter().map(|player| format!("{} bundles to {}", player.lost, player.target)).collect();
    bail!("could not send {}", lost.join(", "))
}
