//! What a session tells of itself and of the others: how good its time is, what it counted, and what happened.
//!
//! Not for: messages to other nodes (`message`).

use super::leadership::Following;
use super::message::PeerId;
use super::peer::Use;
use super::{Role, Session};
use crate::{ClockEstimate, LocalTime, RateBelief, Span, SyncState};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What happened and was not asked for yet, at most: later news pushes out earlier.
const NEWS: usize = 16;

/// What a session counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionTally {
    /// Leaders of its session that others followed, here or elsewhere.
    pub successions: u32,
    /// Older sessions that were joined.
    pub joined: u32,
    /// Leaders that were heard, but answered nobody for so long that they were none any more.
    pub deaf: u32,
    /// Leaders that were outvoted.
    pub outvoted: u32,
    /// Answers nobody asked for, hellos that came again.
    pub stray: u64,
    /// Questions not answered, nodes not taken notice of, for want of room.
    pub dropped: u64,
    /// Stamps of departure that cannot be true.
    pub absurd: u64,
}

/// What happened, for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// An older session was joined, whose leader this is; its time is published from now on.
    Joined {
        /// Who leads it, as far as is known.
        leader: PeerId,
        /// Through whom its time comes, if not from the leader itself.
        via: Option<PeerId>,
    },
    /// This leader is heard, but has answered nobody in reach for [`Span`] and more: it is replaced.
    Deaf {
        /// The leader that was.
        leader: PeerId,
        /// How long it has not answered.
        quiet: Span,
    },
    /// Nothing came of this leader any more, and this node leads in its place.
    Succeeded {
        /// The leader that was.
        leader: PeerId,
    },
    /// The lead was handed over to this pinned node.
    HandedOver {
        /// Who is to lead.
        to: PeerId,
    },
    /// This node is pinned, and leads from now on.
    Leads,
    /// This node is pinned and leads, and its wall clock is this far ahead of the room's time; but nothing says that it is
    /// right, so the room's time goes on.
    KeepsTime {
        /// How far its wall clock is ahead.
        ahead: Span,
    },
}

/// News, as far as they were not asked for yet.
#[derive(Debug, Default)]
pub(super) struct Headlines(VecDeque<News>);

impl Headlines {
    pub(super) fn push(&mut self, news: News) {
        if self.0.len() == NEWS {
            self.0.pop_front();
        }
        self.0.push_back(news);
    }
}

/// A row of what is known of other nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeerReport {
    /// Who.
    pub id: PeerId,
    /// Where.
    pub address: SocketAddr,
    /// Whether it leads.
    pub leads: bool,
    /// Whether a person pinned it as leader.
    pub is_pinned: bool,
    /// How long ago it was heard.
    pub silent: Span,
    /// What is measured of it, if it is asked: how far ahead of the published clock, with its standard error.
    pub offset: Option<(Span, Span)>,
    /// The least round trip.
    pub round_trip: Option<Span>,
    /// Exchanges that were kept out.
    pub doubted: u64,
}

impl Session {
    /// How good the published clock is.
    pub fn state(&self, now: LocalTime) -> SyncState {
        match &self.role {
            Role::Leading(_) => SyncState::Locked,
            Role::Following(Following { taken: false, .. }) => SyncState::Acquiring,
            Role::Following(following) => self
                .peers
                .get(&following.source())
                .map_or(SyncState::Holdover, |peer| peer.estimator().state(now)),
        }
    }

    /// Through which follower the leader's time comes, if the leader itself does not answer.
    pub fn via(&self) -> Option<PeerId> {
        match &self.role {
            Role::Leading(_) => None,
            Role::Following(following) => following.via,
        }
    }

    /// What happened, the oldest first.
    pub fn news(&mut self) -> Option<News> {
        self.news.0.pop_front()
    }

    /// What it counted.
    pub fn tally(&self) -> SessionTally {
        let stray = self.peers.values().map(|peer| peer.stray).sum::<u64>();
        let absurd = self.peers.values().map(|peer| peer.absurd).sum::<u64>();
        SessionTally { stray: self.tally.stray + stray, absurd: self.tally.absurd + absurd, ..self.tally }
    }

    /// What was learned a moment ago of other hosts' clocks, by the number of the host: worth remembering.
    pub fn learned(&self, now: LocalTime) -> impl Iterator<Item = (u32, RateBelief)> {
        self.beliefs.news(now)
    }

    /// What is known of the others, the leader first.
    pub fn peers(&self, now: LocalTime) -> Vec<PeerReport> {
        let published = self.estimate().ensemble_at(now);
        let mut rows: Vec<PeerReport> = self
            .peers
            .iter()
            .map(|(id, peer)| {
                let asked = peer.used_as() != Use::None;
                let estimate = peer.estimate(now).filter(|_| asked);
                let ahead = |estimate: ClockEstimate| {
                    let room = estimate.ensemble_at(now);
                    room + peer.standing.epochs.ahead_at(room) - published
                };
                PeerReport {
                    id: *id,
                    address: peer.address,
                    leads: peer.standing.leader == *id,
                    is_pinned: peer.standing.claim.priority > 0,
                    silent: now - peer.heard,
                    offset: estimate.map(|estimate| (ahead(estimate), estimate.sigma)),
                    round_trip: peer.estimator().least_round_trip().filter(|_| asked),
                    doubted: peer.estimator().counts().0,
                }
            })
            .collect();
        let leader = self.leader();
        rows.sort_by_key(|row| (row.id != leader, row.offset.is_none(), row.id));
        rows
    }
}
