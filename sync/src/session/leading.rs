//! What a leader does: it leads the room's time after its wall clock, and hands over to a pinned node.
//!
//! Not for: how it came to lead (`leadership`), nor for slewing and jumps (`Timescale`).

use super::peer::Peer;
use super::report::News;
use super::timers::Timer;
use super::{LEASE, LOOK, READY, READY_AFTER, Role, Session};
use crate::{FollowWall, LocalTime, Span, WallAnchor};

/// A pinned node whose wall clock is right and that far from the room's time leads the room there [10 ms].
const APART: Span = Span::from_millis(10);

impl Session {
    /// Hands the lead over to a pinned node that follows, has the room's time, and is heard both ways.
    pub(super) fn hand_over(&mut self, now: LocalTime) {
        if !self.leads() || self.config.leader || self.joining.is_some() {
            return;
        }
        let own = self.config.id;
        let knows = |peer: &Peer| {
            let standing = &peer.standing;
            let is_ours = standing.leader == own && standing.claim.session == self.session;
            let is_good = standing.line.sigma < READY || now - peer.known_since() > READY_AFTER;
            is_ours && is_good && standing.claim.quiet < LEASE && !standing.claim.yields
        };
        let pinned = self.peers.iter().find(|(_, peer)| {
            peer.follows == own
                && peer.standing.claim.priority > 0
                && !peer.is_stranger()
                && !peer.is_banned(now)
        });
        let Some((to, peer)) = pinned.map(|(id, peer)| (*id, peer)) else { return };
        if peer.is_proven(now, LEASE) && knows(peer) {
            self.news.push(News::HandedOver { to });
            self.follow(to, to, now);
        } else {
            self.probe(to, now);
        }
    }

    /// Looks at the wall clock, and leads the room's time after it.
    pub(super) fn lead(&mut self, now: WallAnchor) {
        if !self.timers.is_due(Timer::Look, now.local) {
            return;
        }
        // If it stood still, it may have been succeeded.
        let was_away = now.local - self.awake < LEASE;
        self.timers.set(Timer::Look, now.local + LOOK);
        let Role::Leading(timescale) = &mut self.role else { return };
        let is_announced = timescale.look(now);
        let (line, epochs) = (timescale.estimate(), timescale.epochs());
        let ahead = now.wall - timescale.ensemble_at(now.local);
        let is_asked = self.config.leader && timescale.is_inherited();
        self.published.adopt(&line);
        self.jumps.lead(self.session, epochs);
        self.end_of_carrying(now.local);
        if is_announced {
            self.timers.set(Timer::Hello, now.local);
        }
        let is_apart = ahead.abs() > APART && now.uncertainty <= APART;
        if !is_asked || !is_apart || was_away || self.config.follow == FollowWall::Free {
            return;
        }
        if now.synchronised {
            self.lead_to_wall(now);
        } else if !self.is_told_apart {
            self.is_told_apart = true;
            self.news.push(News::KeepsTime { ahead });
        }
    }
}
