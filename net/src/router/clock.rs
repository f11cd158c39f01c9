//! [`RouterClock`]: the time a router gives to its clients, and how it answers those who measure it.
//!
//! It keeps a timescale as the leader of an ensemble does (`downbeat_sync::Timescale`), and answers `/sync/ping` as one, in
//! whatever ensemble it is asked: the time is the same for all of them. Not for: nodes, who have a session.

use crate::osc::{self, Arg};
use crate::timing::{Membership, TimingError};
use downbeat_sync::{
    Claim, EnsembleTime, FollowWall, LocalTime, Message, NOTICE, PeerId, Pong, Span, Standing, Timescale,
    WallAnchor,
};

/// How often the wall clock is looked at.
const LOOK: Span = Span::from_secs(1);

/// See the module.
pub(super) struct RouterClock {
    timescale: Timescale,
    id: PeerId,
    session: u64,
    born: LocalTime,
    next_look: LocalTime,
}

/// A question for the clock, to be answered at the moment it is sent.
pub(super) struct Asked {
    ensemble: String,
    nonce: u64,
    received: LocalTime,
}

impl RouterClock {
    /// Starts as this wall clock. `id` and `session` are random numbers.
    pub(super) fn new(start: WallAnchor, id: u64, session: u64) -> RouterClock {
        RouterClock {
            timescale: Timescale::new(start, FollowWall::Follow),
            id: PeerId(id),
            session,
            born: start.local,
            next_look: start.local + LOOK,
        }
    }

    pub(super) fn time_at(&self, at: LocalTime) -> EnsembleTime {
        self.timescale.ensemble_at(at)
    }

    pub(super) fn next_look(&self) -> LocalTime {
        self.next_look
    }

    /// Looks at the wall clock, if it is time to.
    pub(super) fn look(&mut self, now: WallAnchor) {
        if now.local.is_before(self.next_look) {
            return;
        }
        self.next_look = now.local + LOOK;
        if self.timescale.look(now) {
            let epochs = self.timescale.epochs();
            let by = epochs.after() - epochs.before();
            tracing::warn!("the wall clock was set: the time this router gives jumps by {by} in {NOTICE}");
        }
    }

    /// Takes a `/sync/ping`.
    pub(super) fn ask(&self, ping: &[u8], received: LocalTime) -> Result<Asked, TimingError> {
        let timed = osc::read(ping).next().and_then(Result::ok).ok_or(TimingError::Malformed)?;
        let ensemble = timed.message.args().next().and_then(Arg::text).map(String::from_utf8_lossy);
        let ensemble = ensemble.ok_or(TimingError::Malformed)?.into_owned();
        let membership = Membership { ensemble, key: None };
        match membership.read(ping)? {
            Message::Ping(ping) => Ok(Asked { ensemble: membership.ensemble, nonce: ping.nonce, received }),
            Message::Pong(_) | Message::Hello(_) => Err(TimingError::Malformed),
        }
    }

    /// The answer, if it leaves now.
    pub(super) fn answer(&self, asked: Asked, now: LocalTime) -> Result<Vec<u8>, osc::WriteError> {
        let claim = Claim { session: self.session, age: now - self.born, ..Claim::default() };
        let (line, epochs) = (self.timescale.estimate(), self.timescale.epochs());
        let epochs = epochs.told_at(line.ensemble_at(now));
        let standing = Standing { id: self.id, leader: self.id, claim, line: line.to_remote(), epochs };
        // Of a stream nobody tells when a packet of it really left.
        let (received, answered, before) = (asked.received.to_remote(), now.to_remote(), None);
        let pong = Pong { standing, nonce: asked.nonce, received, answered, before };
        let mut packet = Vec::with_capacity(256);
        let membership = Membership { ensemble: asked.ensemble, key: None };
        membership.write(&mut packet, &Message::Pong(pong))?;
        Ok(packet)
    }
}
