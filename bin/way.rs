//! [`Way`]: the open way to a target, on which all that is sent is sealed if there is a key.
//!
//! Not for: sockets (`target`), nor for how a packet is sealed (the net crate).

use crate::key::random;
use crate::output::printable;
use crate::target::{Link, Target};
use anyhow::{Context, bail};
use downbeat_net::Key;
use downbeat_net::member::{Member, Step};
use downbeat_net::seal::{Heard, OVERHEAD, Sealer};
use downbeat_sync::{Clock, LocalTime, Span};
use std::ops::ControlFlow;

/// How long a node has to answer before there is nothing to seal by.
const WAIT: Span = Span::from_secs(2);
/// How often it is asked in that time, for datagrams may be lost.
const ROUND: Span = Span::from_millis(250);
/// How often it is asked from then on: it may be started anew, and then has another session.
pub(crate) const ANEW: Span = Span::from_secs(1);

/// See the module.
pub(crate) struct Way {
    link: Link,
    clock: Clock,
    seal: Option<Seal>,
}

struct Seal {
    sealer: Sealer,
    asked: LocalTime,
}

impl Way {
    /// Opens the way. With a key, a node must be there that has it too.
    pub(crate) fn open(target: &Target, key: Option<&Key>, clock: Clock) -> anyhow::Result<Way> {
        let link = if key.is_some() { target.open_wide()? } else { target.open()? };
        Way::over(link, target, key, clock)
    }

    /// The same, over a link that is open: one on which a group was joined.
    pub(crate) fn over(link: Link, target: &Target, key: Option<&Key>, clock: Clock) -> anyhow::Result<Way> {
        let mut way = Way { link, clock, seal: None };
        let Some(key) = key else { return Ok(way) };
        let mut sealer = Sealer::new(key.clone(), random());
        way.learn_the_time(&mut sealer).with_context(|| format!("cannot seal what is sent to {target}"))?;
        way.seal = Some(Seal { sealer, asked: clock.now() });
        Ok(way)
    }

    /// How many bytes a packet has more when it is sent.
    pub(crate) fn overhead(key: Option<&Key>) -> usize {
        if key.is_some() { OVERHEAD } else { 0 }
    }

    /// Sends one packet.
    pub(crate) fn send(&mut self, packet: &[u8]) -> anyhow::Result<()> {
        match &mut self.seal {
            None => self.link.send(packet),
            Some(seal) => {
                let sealed = seal.sealer.seal(self.clock.now(), packet).context("cannot seal a packet")?;
                self.link.send(&sealed)
            }
        }
    }

    /// Hands every packet that comes back within `wait` to `take`, but for what is said about sealing.
    pub(crate) fn receive(
        &mut self,
        wait: Span,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (clock, seal) = (self.clock, &mut self.seal);
        self.link.receive(clock, wait, |packet| {
            let heard = seal.as_mut().map_or(Heard::Other, |seal| seal.sealer.hear(clock.now(), packet));
            if heard == Heard::Other {
                take(packet)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Leaves the other side of a stream to take what it was sent, and hands what it still says to `take`.
    pub(crate) fn leave(mut self, take: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.link.leave(self.clock, take)
    }

    /// Takes the answers that have come and asks anew, if it is time; to be called now and then by those who send for long.
    /// Whoever is in a group there is told what is said in it, and says that it is there. What else comes back is not read.
    pub(crate) fn keep_in_time(&mut self, member: Option<&mut Member>) -> anyhow::Result<()> {
        let now = self.clock.now();
        if let Some(member) = member {
            let seal = &mut self.seal;
            self.link.drain(|packet| {
                let heard = seal.as_mut().map_or(Heard::Other, |seal| seal.sealer.hear(now, packet));
                if heard == Heard::Other {
                    member.hear(packet, now);
                }
            })?;
            while let Some(step) = member.step(self.clock.now()) {
                match step {
                    Step::Ask => self.link.send(member.question())?,
                    Step::Ping => self.link.send(member.ping())?,
                    Step::Connect | Step::Register | Step::Close => break,
                }
            }
        }
        let Some(Seal { sealer, asked }) = &mut self.seal else { return Ok(()) };
        self.link.drain(|packet| {
            sealer.hear(now, packet);
        })?;
        if now - *asked >= ANEW {
            *asked = now;
            self.link.send(&sealer.ask(now, random())?)?;
        }
        Ok(())
    }

    fn learn_the_time(&mut self, sealer: &mut Sealer) -> anyhow::Result<()> {
        let clock = self.clock;
        let mut end = clock.now() + WAIT;
        let (mut known, mut why) = (false, None);
        while clock.now().is_before(end) && !known {
            self.link.send(&sealer.ask(clock.now(), random())?)?;
            self.link.receive(clock, ROUND, |packet| {
                let now = clock.now();
                match sealer.hear(now, packet) {
                    Heard::Time => known = true,
                    Heard::Refusal(reason) => {
                        // Anybody could say so: the good answer may be on its way.
                        let soon = now + ROUND;
                        end = end.earlier(soon);
                        why = Some(format!("the node says: {}", printable(reason)));
                    }
                    Heard::Stranger => {
                        why = Some("an answer came that is not sealed with this key".to_owned())
                    }
                    Heard::Other => {}
                }
                Ok(if known { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if self.link.is_closed() && !known {
                why = why.or_else(|| Some("the other side has closed the connection".to_owned()));
                break;
            }
        }
        match why {
            _ if known => Ok(()),
            Some(why) => bail!(why),
            None => bail!("no answer: is a node running there?"),
        }
    }
}
