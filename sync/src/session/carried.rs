//! [`Carried`]: how far a node's time may be by now from a time that it kept, and of which it hears no more.
//!
//! Not for: a time that is still heard of, which [`super::Peer`] estimates.

use super::{GONE, Role, Session};
use crate::timescale;
use crate::{ClockEstimate, EnsembleTime, LocalTime, MaxDrift, Span};

/// After a succession the old leader's time is kept nowhere any more after so long.
const HANDED_OVER: Span = GONE;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// When it was last known, what the node published then, and how wrong that was at most.
    at: LocalTime,
    published: EnsembleTime,
    bound: Span,
    /// How fast that time ran by its own keeper's clock, and how long before that was said.
    rate: f64,
    said: Span,
    drift: MaxDrift,
}

impl Carried {
    /// Of the time that `estimate` tells at its anchor, with its bound. Its keeper said so long ago that it runs at this rate
    /// by its own clock.
    pub(super) fn new(estimate: &ClockEstimate, rate: f64, said: Span, drift: MaxDrift) -> Carried {
        let at = estimate.anchor();
        Carried { at, published: estimate.ensemble_at(at), bound: estimate.bound, rate, said, drift }
    }

    /// How far what is published, `now` on this line, may be from the time as its keeper has it.
    pub(super) fn bound(&self, line: &ClockEstimate, now: LocalTime) -> Span {
        let age = (now - self.at).max(Span::ZERO);
        let secs = age.as_secs_f64();
        let expected = self.published + age + Span::from_secs_f64(self.rate * secs);
        let moved = (line.ensemble_at(now) - expected).abs();
        // The keeper's clock itself may have gained as much.
        let drifted = Span::from_secs_f64(self.drift.rate() * (1.0 + self.rate.abs()) * secs);
        self.bound + moved + drifted + timescale::bend_since(self.rate, self.said + age)
    }

    /// The same instants are told by a time that is ahead of the one so far by so much.
    pub(super) fn rename(&mut self, by: Span) {
        self.published += by;
    }

    /// How long it is carried already.
    pub(super) fn age(&self, now: LocalTime) -> Span {
        now - self.at
    }
}

impl Session {
    /// The published clock as of `now`, with its standard error and its hard bound then: the older the last answer, the wider.
    ///
    /// Both are of the time that its leader keeps; until a node has joined, of the time it kept before. Who succeeds a leader
    /// keeps by definition the ensemble's time; but for five seconds others may still have it from the old one, so for so
    /// long its bound goes on to be of that.
    pub fn estimate_at(&self, now: LocalTime) -> ClockEstimate {
        let room = self.room_at(now);
        let ahead = self.jumps.latest().ahead_at(room.ensemble_at(now));
        room.ahead_by(ahead).in_epoch(room.epoch + self.jumps.count())
    }

    /// The same in room time.
    pub(super) fn room_at(&self, now: LocalTime) -> ClockEstimate {
        let line = self.published.line().anchored_at(now);
        if let Role::Following(following) = &self.role
            && following.taken
            && let Some(target) = self.peers.get(&following.source()).and_then(|peer| peer.estimate(now))
        {
            let behind = (target.ensemble_at(now) - line.ensemble_at(now)).abs();
            return line.with_error(target.sigma + behind, target.bound + behind);
        }
        match &self.carried {
            Some(carried) => line.with_error(line.sigma, carried.bound(&line, now)),
            None => line.with_error(Span::ZERO, Span::ZERO),
        }
    }

    /// From now on another time is kept, or this one in another role: what is known of it is known of what it was.
    pub(super) fn carry(&mut self, now: LocalTime) {
        match &self.role {
            Role::Leading(_) => self.end_of_carrying(now),
            // One that was never joined was never kept.
            Role::Following(following) if !following.taken => {}
            Role::Following(following) => {
                let estimate = self.room_at(now);
                let peer = self.peers.get(&following.source());
                self.carried = peer.and_then(|peer| peer.carry(&estimate, now, self.config.max_drift));
            }
        }
    }

    /// Nobody keeps a time any more whose leader is gone for so long.
    pub(super) fn end_of_carrying(&mut self, now: LocalTime) {
        self.carried = self.carried.filter(|carried| carried.age(now) < HANDED_OVER);
    }
}
