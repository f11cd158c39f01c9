//! Whom to follow: what a session concludes of who speaks, who is silent, and who has an older session.
//!
//! Not for: the rules by which offers are ranked (`election`), nor for how the time is taken (`source`).

use super::election::{self, Offer, UNANSWERED};
use super::message::{Hello, PeerId};
use super::report::News;
use super::source::NEWER;
use super::timers::Timer;
use super::{FORGET, GONE, LEASE, LOOK, Role, SUCCESSORS, Session};
use crate::{LocalTime, RateBelief, Span, SyncState, Timescale, WallAnchor};
use std::net::SocketAddr;

/// How much later each further successor acts, so that the first is heard before: more than a heartbeat, by which two followers' last
/// news of a leader may differ [600 ms].
const STAGGER: Span = Span::from_millis(600);
/// So long after a hello the same may come on other ways: Wi-Fi holds back what is said to all.
const COPIES: Span = Span::from_secs(1);
/// So long a leader that was heard is waited for, before its session is joined through a follower that has answered: longer than it takes a
/// burst of questions [600 ms].
const RATHER_THE_LEADER: Span = Span::from_millis(600);
/// A leader that answered nobody is not followed for so long: until what it said of its followers is forgotten.
const DEAF: Span = Span::from_secs(10);
/// Crystals are this far from their rate at most [100 ppm].
const ANY_CRYSTAL: f64 = 100e-6;
/// Another node leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Following {
    pub(super) leader: PeerId,
    /// The follower through which its time comes, if it does not answer here itself.
    pub(super) via: Option<PeerId>,
    pub(super) since: LocalTime,
    /// Its time is the published one now.
    pub(super) taken: bool,
    /// When it gave the last answer that the time here goes back to.
    pub(super) fresh: LocalTime,
    /// That was so long ago that others were asked whether they know newer ones.
    pub(super) asks_around: bool,
}

impl Following {
    /// The node whose time is taken.
    pub(super) fn source(&self) -> PeerId {
        self.via.unwrap_or(self.leader)
    }
}

/// An older session is about to be joined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joining {
    pub(super) session: u64,
    /// The node whose time is taken for that.
    pub(super) source: PeerId,
    pub(super) since: LocalTime,
}

/// Why a leader is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Nothing of it comes, or it was outvoted.
    Gone,
    /// It is heard, but answers nobody.
    Deaf,
}

impl Session {
    /// Takes a hello.
    pub(super) fn hear(&mut self, hello: &Hello, from: SocketAddr, is_new: bool, now: LocalTime) {
        let own = self.leader();
        let Some(peer) = self.peers.get_mut(&hello.standing.id) else { return };
        if hello.count <= peer.count {
            // What is said on two interfaces comes twice; later it is an old one, said again.
            let is_copy = hello.count == peer.count && peer.silent(now) < COPIES;
            self.tally.stray += u64::from(!is_copy);
            return;
        }
        peer.count = hello.count;
        peer.vouched = Some(now);
        // No seal covers where a packet comes from: who was found somewhere is not moved by a hello that somebody passes on.
        if !peer.is_proven(now, LEASE) {
            peer.address = from;
        }
        peer.note(&hello.standing);
        if hello.standing.id == own {
            self.timers.set(Timer::Steer, now);
            self.successors = hello.known.iter().map(|(id, _)| *id).collect();
        }
        let claim = &hello.standing.claim;
        let asks_around = claim.session == self.session && claim.quiet >= super::source::STALE;
        if is_new || hello.standing.leader != own || (asks_around && self.quiet(now) < super::source::STALE) {
            self.greet(from, Some(hello.standing.id), now);
        }
        let strangers: Vec<SocketAddr> = hello
            .known
            .iter()
            .filter(|(id, _)| *id != self.config.id && !self.peers.contains_key(id))
            .map(|(_, address)| *address)
            .take(SUCCESSORS)
            .collect();
        // Who has not shown that it is where it says it is has nobody else spoken to either.
        if self.peers.get(&hello.standing.id).is_some_and(|peer| peer.is_proven(now, FORGET)) {
            for address in strangers {
                self.greet(address, None, now);
            }
        }
    }

    /// Weighs what a node that spoke offers against what is carried here, and follows or joins if that is better.
    pub(super) fn consider(&mut self, id: PeerId, from: SocketAddr, now: LocalTime) {
        let Some(peer) = self.peers.get(&id).filter(|peer| !peer.is_banned(now)) else { return };
        let offer = peer.offer(now);
        let (claim, leader) = (offer.claim, offer.leader);
        let own = self.offer(now);
        if claim.session != own.claim.session {
            if election::is_older(&claim, &own.claim) {
                self.consider_joining(id, now);
            } else {
                self.greet(from, Some(id), now);
            }
            return;
        }
        // That nobody has heard of for long is an old tale.
        if leader == self.leader() || leader == self.config.id || claim.quiet >= LEASE {
            return;
        }
        // Nor is one whose last words we have heard as well, or whom we do not believe.
        let is_known_lost = self.peers.get(&leader).is_some_and(|peer| {
            // By less it may only seem to be newer, for what took its way is not in it.
            let is_news = peer.vouched.is_none_or(|last| (now - claim.quiet) - last > NEWER);
            // Or it told us itself that it leads no more: it has handed over.
            let has_given_up = leader != id && !peer.leads(leader, claim.session);
            peer.is_banned(now) || (!is_news && (has_given_up || peer.silent(now) >= LEASE))
        });
        if is_known_lost {
            return;
        }
        // Two lead one session. Where our time comes from, our leader comes from too.
        let is_source = matches!(&self.role, Role::Following(following) if following.source() == id);
        let is_alone = offer.jumps >= own.jumps && self.loss(now).is_some();
        let is_better = is_source || is_alone || election::goes_before(&offer, &own);
        if is_better && self.is_proven(id, now) {
            self.follow(leader, id, now);
        } else if is_better {
            // A hello may be an old one, said again by somebody else. An answer to a question of ours is not.
            self.probe(id, now);
        } else {
            self.greet(from, Some(id), now);
        }
    }

    /// A node carries an older session than this one does. It is joined once it has answered.
    fn consider_joining(&mut self, id: PeerId, now: LocalTime) {
        let Some(peer) = self.peers.get(&id) else { return };
        let (claim, leader) = (peer.claim(now), peer.standing.leader);
        if claim.yields || leader == self.config.id {
            return;
        }
        let heard = self.peers.get(&leader).filter(|peer| {
            peer.leads(leader, claim.session) && peer.silent(now) < LEASE && !peer.is_banned(now)
        });
        if let Some(heard) = heard.filter(|_| leader != id) {
            if heard.is_proven(now, LEASE) {
                return self.consider_joining(leader, now);
            }
            if now - heard.known_since() < RATHER_THE_LEADER {
                return self.probe(leader, now);
            }
        }
        let mut since = now;
        if let Some(joining) = self.joining {
            let at_work = self.peers.get(&joining.source).map(|peer| peer.claim(now));
            if joining.session == claim.session {
                if joining.source == leader || id != leader {
                    return;
                }
                since = joining.since;
            } else if at_work.is_some_and(|at_work| !election::is_older(&claim, &at_work)) {
                return;
            }
        }
        if !self.is_proven(id, now) {
            return self.probe(id, now);
        }
        self.joining = Some(Joining { session: claim.session, source: id, since });
        self.appoint(now);
        self.timers.set(Timer::Steer, now);
        // All are to know that this session comes to its end here.
        self.timers.set(Timer::Hello, now);
        self.greet(self.peers[&id].address, Some(id), now);
    }

    fn is_proven(&self, id: PeerId, now: LocalTime) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.is_proven(now, LEASE))
    }

    /// Follows another leader of the same session, whose time comes from `source`: from itself, or through a follower of it.
    pub(super) fn follow(&mut self, leader: PeerId, source: PeerId, now: LocalTime) {
        let Some(peer) = self.peers.get(&source) else { return };
        let quiet = peer.claim(now).quiet;
        self.carry(now);
        let (was_source, taken) = match &self.role {
            Role::Following(following) => (Some(following.source()), following.taken),
            Role::Leading(_) => (None, false),
        };
        self.tally.successions += u32::from(taken);
        let via = (source != leader).then_some(source);
        let taken = taken && was_source == Some(source);
        self.role = Role::Following(Following {
            leader,
            via,
            since: now,
            taken,
            fresh: now - quiet,
            asks_around: false,
        });
        self.settle(now);
        self.greet(self.peers[&source].address, Some(source), now);
    }

    /// Joins the session of a node whose time has just been taken over: of `leader`, be it through that node.
    pub(super) fn enter(&mut self, source: PeerId, now: LocalTime) {
        let Some(peer) = self.peers.get(&source) else { return };
        let (claim, leader, address) = (peer.claim(now), peer.standing.leader, peer.address);
        let via = (source != leader).then_some(source);
        self.session = claim.session;
        self.born = self.published.line().ensemble_at(now) - claim.age;
        self.role = Role::Following(Following {
            leader,
            via,
            since: now,
            taken: true,
            fresh: now - claim.quiet,
            asks_around: false,
        });
        self.joining = None;
        self.carried = None;
        self.tally.joined += 1;
        self.news.push(News::Joined { leader, via });
        self.settle(now);
        self.greet(address, Some(source), now);
        if let Some(leader) = via.and_then(|_| self.peers.get(&leader)) {
            self.greet(leader.address, None, now);
        }
    }

    /// There is another leader: what was known of the last one's followers is no use any more, and all are to know.
    fn settle(&mut self, now: LocalTime) {
        self.successors.clear();
        self.heirs.clear();
        for timer in [Timer::Count, Timer::Steer, Timer::Hello] {
            self.timers.set(timer, now);
        }
        if self.leads() {
            self.timers.set(Timer::Look, now + LOOK);
        } else {
            self.timers.stop(Timer::Look);
        }
        self.appoint(now);
    }

    /// What this node offers: of jumps also those that it has not taken note of yet, because its leader is so new.
    fn offer(&self, now: LocalTime) -> Offer {
        let told = match &self.role {
            Role::Leading(_) => None,
            Role::Following(following) => self.peers.get(&following.source()),
        };
        let told = told.filter(|peer| peer.is_of(self.leader(), self.session));
        let told = told.map_or(0, |peer| peer.standing.epochs.count());
        let jumps = self.jumps.latest().count().max(told);
        Offer { claim: self.claim(now), jumps, leader: self.leader() }
    }

    /// How many leaders the session has had, and how many follow this one, as far as is known here.
    pub(super) fn reign(&self) -> (u32, u32) {
        match &self.role {
            Role::Leading(_) => (self.term, self.followers),
            Role::Following(following) => {
                // A source that follows another leader by now says nothing of this one.
                let source = self.peers.get(&following.source());
                let source = source.filter(|peer| peer.is_of(following.leader, self.session));
                let claim = source.map(|peer| peer.standing.claim);
                claim.map_or((self.term, 0), |claim| (claim.term, claim.followers))
            }
        }
    }

    /// For how long the leader has been none any more, and why; `None` while it is well.
    fn loss(&self, now: LocalTime) -> Option<(Span, Loss)> {
        let Role::Following(following) = &self.role else { return None };
        let peer = self.peers.get(&following.leader);
        if let Some(since) = peer.and_then(|peer| peer.banned_since(now)) {
            return Some((now - since, Loss::Gone));
        }
        // What was missed while this node stood still is not held against the leader.
        let awake = now - self.awake;
        let quiet = (now - following.fresh).min(awake);
        let heard = peer.filter(|peer| peer.leads(following.leader, self.session));
        let silent = heard.map_or(quiet, |peer| peer.silent(now).min(awake));
        let (waited, why) = if silent < LEASE && heard.is_some() {
            (quiet - UNANSWERED, Loss::Deaf)
        } else if following.via.is_some() {
            (quiet - UNANSWERED, Loss::Gone)
        } else {
            (silent - LEASE, Loss::Gone)
        };
        (waited >= Span::ZERO).then_some((waited, why))
    }

    /// Whether the leader is still there; if not, who comes next.
    pub(super) fn mind_the_leader(&mut self, now: WallAnchor) {
        let Role::Following(Following { leader, since, .. }) = self.role else { return };
        let (own, local) = (self.config.id, now.local);
        let calls = self.peers.get(&leader).filter(|peer| {
            let standing = &peer.standing;
            standing.leader == own && standing.claim.session == self.session && peer.is_proven(local, LEASE)
        });
        if let Some(caller) = calls {
            if self.config.leader && caller.standing.claim.priority == 0 {
                self.news.push(News::Leads);
                return self.succeed(now);
            }
            // Two nodes that began to follow each other at one moment would do so for ever.
            if local - since > LEASE && own < leader {
                return self.succeed(now);
            }
        }
        let Some((waited, why)) = self.loss(local) else { return };
        // Somebody may have succeeded it already. One that answers nobody here is waited for no longer than any other.
        let heir = self.peers.iter().filter(|(id, peer)| {
            **id != leader
                && peer.leads(**id, self.session)
                && peer.silent(local) < LEASE
                && !peer.is_banned(local)
                && (waited < UNANSWERED || peer.is_proven(local, LEASE))
                && peer.standing.epochs.count() >= self.jumps.latest().count()
        });
        let heir = heir.map(|(_, peer)| peer.offer(local));
        let heir = heir.reduce(|a, b| if election::goes_before(&b, &a) { b } else { a });
        if let Some(heir) = heir.map(|heir| heir.leader) {
            if self.is_proven(heir, local) {
                self.follow(heir, heir, local);
            } else {
                self.probe(heir, local);
            }
            return;
        }
        let alive = |id: &&PeerId| {
            **id == own || self.peers.get(id).is_some_and(|peer| local - peer.heard < GONE && **id != leader)
        };
        let place = self.successors.iter().filter(alive).position(|id| *id == own);
        let place = place.unwrap_or(SUCCESSORS + (own.0 % SUCCESSORS as u64) as usize);
        if waited < Span::from_ticks(STAGGER.ticks() * place as i64) {
            return;
        }
        if why == Loss::Deaf {
            self.tally.deaf += 1;
            self.news.push(News::Deaf { leader, quiet: self.quiet(local) });
            self.peers.entry(leader).and_modify(|peer| peer.ban(local, DEAF));
        } else {
            self.news.push(News::Succeeded { leader });
        }
        self.succeed(now);
    }

    /// Goes on as leader, with the time published so far.
    fn succeed(&mut self, now: WallAnchor) {
        let local = now.local;
        self.carry(local);
        self.term = self.reign().0.saturating_add(1);
        // What this node says is the ensemble's time from now on, of which others may err, not it.
        let line = self.published.straight(local);
        let rate = match self.state(local) {
            SyncState::Locked => line.rate(),
            // Known for seconds only: what a few stamps say of its rate goes for no more than a crystal's.
            _ => line.rate().clamp(-ANY_CRYSTAL, ANY_CRYSTAL),
        };
        let line = line.with_rate(rate).with_error(Span::ZERO, line.bound);
        let rate_sigma = self.rate_sigma();
        let timescale = Timescale::resume(line, rate_sigma, self.jumps.latest(), now, self.config.follow);
        self.jumps.lead(self.session, timescale.epochs());
        self.published.adopt(&timescale.estimate());
        self.role = Role::Leading(Box::new(timescale));
        self.followers = 0;
        self.tally.successions += 1;
        self.is_told_apart = false;
        self.settle(local);
        let everybody: Vec<(PeerId, SocketAddr)> =
            self.peers.iter().map(|(id, peer)| (*id, peer.address)).collect();
        for (id, address) in everybody {
            self.greet(address, Some(id), local);
        }
    }

    /// How well it is known how fast the published time runs by this host's oscillator (standard error, 1).
    fn rate_sigma(&self) -> f64 {
        match &self.role {
            Role::Leading(_) => 0.0,
            Role::Following(following) => {
                let source = self.peers.get(&following.source());
                source.map_or(RateBelief::default().sigma, |peer| peer.estimator().rate_sigma())
            }
        }
    }
}
