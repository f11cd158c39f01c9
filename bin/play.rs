//! `downbeat play`: a score in real time, every bundle sent ahead of its instant to every target.

use crate::args::PlayArgs;
use crate::output::note;
use crate::quantity::{Instant, rfc3339};
use crate::score::Score;
use crate::target::Target;
use crate::way::{ANEW, Way};
use crate::{key, stop};
use anyhow::{Context, bail};
use downbeat_net::{Key, MAX_DATAGRAM, osc};
use downbeat_sync::{Clock, EnsembleTime, Span};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// Sends the score, until its end or Ctrl-C.
pub(crate) fn run(args: PlayArgs) -> anyhow::Result<()> {
    let score = Score::read(&args.score)?;
    if score.bundles().is_empty() {
        bail!("the score {} is empty", args.score.display());
    }
    let key = args.key_file.as_deref().map(key::read).transpose()?;
    let key = key.as_ref();
    check_sizes(&score, &args.targets, Way::overhead(key))?;
    let clock = Clock::new();
    let mut players: Vec<Player> =
        args.targets.iter().map(|target| Player::open(target, key, clock)).collect::<Result<_, _>>()?;

    let (stop, stopped) = channel();
    stop::on_signal(clock, move || {
        // Nobody listens any more when the score has ended, and then there is nothing to stop.
        let _ = stop.send(());
    })?;

    let zero = args.at.unwrap_or(Instant::After(args.lead)).from(clock.anchor().wall);
    note(format_args!(
        "{} bundles over {}, targets: {}, time 0 at {}",
        score.bundles().len(),
        score.end(),
        players.len(),
        rfc3339(zero)
    ));
    for bundle in score.bundles() {
        let keep_in_time = || players.iter_mut().for_each(Player::keep_in_time);
        if !wait_until(zero + bundle.at - args.lead, clock, &stopped, keep_in_time) {
            players.iter_mut().for_each(Player::cancel);
            bail!("stopped before the end; the targets were asked to forget what was sent ahead");
        }
        let packet = bundle.packet(zero);
        players.iter_mut().for_each(|player| player.send(&packet));
    }
    report(&players)
}

/// Waits for a time of the wall clock, looking at it anew each time, so that no error adds up. `false` if stopped.
fn wait_until(time: EnsembleTime, clock: Clock, stopped: &Receiver<()>, mut meanwhile: impl FnMut()) -> bool {
    loop {
        meanwhile();
        let ahead = time - clock.anchor().wall;
        if ahead <= Span::ZERO {
            return stopped.try_recv().is_err();
        }
        let rest = if ahead < ANEW { ahead } else { ANEW };
        match stopped.recv_timeout(rest.into()) {
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
    lost: u64,
}

impl Player {
    fn open(target: &Target, key: Option<&Key>, clock: Clock) -> anyhow::Result<Player> {
        Ok(Player { target: target.clone(), way: Way::open(target, key, clock)?, lost: 0 })
    }

    /// A node that has gone is told of when something cannot be sent to it.
    fn keep_in_time(&mut self) {
        if let Err(error) = self.way.keep_in_time() {
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
