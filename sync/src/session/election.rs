//! Whose time goes on, and who leads. Pure rules, by which every node comes to the same conclusion.
//!
//! # What is ranked
//!
//! A *session* is a timescale: it is founded by a node that knows of no other, and lives for as long as one node carries it, whoever
//! leads. Every message says which session its speaker carries, how old that is, and who leads it. What a node says is what it
//! carries: a node that is about to join another session goes on with its old one until it knows the time of the other.
//!
//! # The order
//!
//! [`goes_before`] compares what two nodes offer, in this order:
//!
//! 1. The older session, in steps of [`SAME_AGE`]. Followers count as much as leaders: after a crash of the leader there is none for
//!    a while, and its followers go on with the time. So a node that was started a moment ago, or again, takes up their time, whatever
//!    its own clock says, and cannot lead them anywhere. Pinning a node does not change the age of its session.
//! 2. Of sessions of one age, the one with the lower number, which was drawn at random.
//! 3. Of two leaders of one session (a network was split, or a leader stood still), the one that has heard of more jumps: what was
//!    announced is never taken back. Then the one whom more nodes follow: so that fewest change. Then the one of the lower term,
//!    which has led longer. Then the lower id.
//!
//! This is an order of tuples of whole numbers, whose last is unique, if all say the same age of one session: at each instant it is
//! total, so there is a first of any number of offers, and no ring of three that each give way to the next.
//!
//! # Why it ends with one
//!
//! * A claim ages on its way, unseen: a node may take another's session for younger than it is, never for older. So nobody gives way
//!   to an offer that does not go before its own at that instant; two may both stay for as long as a message takes.
//! * Ages grow, so of two sessions of nearly one age now this, now that is the first. Therefore a node that has begun to
//!   give way says so ([`Standing::yields`](super::Standing::yields)), and nobody joins a session through it.
//! * Each session that is given up by its last node is gone for good, and none is founded while a node runs. So on a network whose links
//!   work both ways every meeting of two sessions leaves one, and the one that is left is the oldest. Then all claims to
//!   lead are of one session, of which the same is true.
//! * Two that gave way to each other all the same, within one message's delay, follow each other: the one with the lower id
//!   leads after a lease.
//!
//! # Who leads in a session
//!
//! The leader stays while it lives and answers. When it is not heard for a lease its followers succeed it, in the order that its
//! heartbeats name. A pinned node takes up the room's time first, as every node does; then the leader hands over to it, if the
//! leader itself is not pinned and hears it both ways. So priority is no part of the order: it moves no time.
//!
//! # Links that work one way only
//!
//! A node takes the time only from a node that has answered its own questions, so only over links that work both ways. What
//! follows from that, and holds for as long as the link is so:
//!
//! * A leader that is heard but answers nobody is replaced when the followers have had no answer for [`UNANSWERED`]. It goes on alone
//!   with the session's time, as a node does that hears nobody.
//! * A follower that is not answered, while others are, takes the leader's time through one of those, if that one answers it.
//!   So a chain of two-way links is enough. Everybody says how long ago the leader's last answer was that its time goes back to:
//!   a node takes the time only through one that has newer news of the leader than itself, which therefore does not
//!   have it from this node. So there is no ring.
//! * A node that hears others, and is answered by none, leads a session of its own, or goes on with the one it was in. So does
//!   a node that is heard, and hears none.
//!
//! Not for: time itself. A successor goes on with the time it has.

use super::message::{Claim, PeerId};
use crate::Span;
use std::cmp::Reverse;

/// Sessions whose ages are in the same step of this length are of one age: a power strip starts many nodes at once, and their
/// programs do not start at one instant [300 ms].
pub(super) const SAME_AGE: Span = Span::from_millis(300);
/// A leader whose time has reached nobody in reach for so long is none, even if it is heard. In a second and a half a follower notices that it is
/// not answered, and asks others; in another second it knows who is [4 s].
pub(super) const UNANSWERED: Span = Span::from_secs(4);

/// What a node offers to those that hear it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) claim: Claim,
    /// How many jumps of the session's time it has heard of.
    pub(super) jumps: u32,
    /// Who leads, be it another.
    pub(super) leader: PeerId,
}

/// Whether the offer `one` goes before `other`. See above.
pub(super) fn goes_before(one: &Offer, other: &Offer) -> bool {
    let (a, b) = (&one.claim, &other.claim);
    if a.session != b.session {
        return is_older(a, b);
    }
    // Of the age of one session two nodes may think differently, by a little; they are of one age all the same.
    let rank = |offer: &Offer| {
        (Reverse(offer.jumps), Reverse(offer.claim.followers), offer.claim.term, offer.leader)
    };
    rank(one) < rank(other)
}

/// Whether the session of `one` goes before that of `other`; `false` if it is the same.
pub(super) fn is_older(one: &Claim, other: &Claim) -> bool {
    let rank = |claim: &Claim| (Reverse(claim.age.ticks().div_euclid(SAME_AGE.ticks())), claim.session);
    one.session != other.session && rank(one) < rank(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer(claim: Claim, leader: u64) -> Offer {
        Offer { claim, jumps: 0, leader: PeerId(leader) }
    }

    /// Offers as they may be at one instant: one session has one age, and a leader leads one session.
    fn offers() -> impl Strategy<Value = Vec<Offer>> {
        let ages = prop::collection::vec(0i64..20, 3);
        let leaders = prop::collection::vec((0usize..3, 0u32..3, 0u32..3, 0u8..2, 0u32..2), 1..8);
        (ages, leaders).prop_map(|(ages, leaders)| {
            let offer = |(id, (n, followers, term, priority, jumps)): (usize, (usize, u32, u32, u8, u32))| {
                let (session, age) = (2 - n as u64, Span::from_millis(100 * ages[n]));
                let claim = Claim { priority, session, age, term, followers, ..Claim::default() };
                Offer { claim, jumps, leader: PeerId(id as u64) }
            };
            leaders.into_iter().enumerate().map(offer).collect()
        })
    }

    proptest! {
        #[test]
        fn the_order_is_total(offers in offers()) {
            let before = goes_before;
            for (n, a) in offers.iter().enumerate() {
                for (m, b) in offers.iter().enumerate() {
                    prop_assert_eq!(before(a, b), n != m && !before(b, a));
                    for c in &offers {
                        prop_assert!(!(before(a, b) && before(b, c)) || before(a, c));
                    }
                }
            }
        }
    }

    #[test]
    fn the_old_session_goes_before_the_new_whoever_is_pinned_and_however_many_follow() {
        let claim = Claim { session: 7, age: Span::from_secs(100), ..Claim::default() };
        let young = Claim { session: 3, age: Span::from_secs(1), followers: 9, priority: 1, ..claim };
        assert!(goes_before(&offer(claim, 5), &offer(young, 1)));
        assert!(is_older(&claim, &young) && !is_older(&young, &claim));
        // Of one age are those of one power strip, and then the number decides.
        let twin = Claim { age: claim.age + Span::from_millis(50), ..young };
        assert!(goes_before(&offer(twin, 5), &offer(claim, 1)));
        let elder = Claim { age: claim.age + SAME_AGE, session: 9, ..claim };
        assert!(goes_before(&offer(elder, 5), &offer(claim, 1)));
    }

    #[test]
    fn a_leader_that_was_away_follows_whom_the_others_follow_by_now() {
        let back = Claim { session: 7, age: Span::from_secs(100), priority: 1, ..Claim::default() };
        let successor = Claim { term: 1, followers: 1, priority: 0, ..back };
        assert!(goes_before(&offer(successor, 9), &offer(back, 1)));
        // Of two alone, the one that has led longer.
        let successor = Claim { followers: 0, ..successor };
        assert!(goes_before(&offer(back, 9), &offer(successor, 1)));
        // However each of them counted the years of their session.
        let ancient = Claim { age: Span::from_secs(200), ..successor };
        assert!(goes_before(&offer(back, 9), &offer(ancient, 1)) && !is_older(&ancient, &back));
    }

    #[test]
    fn a_jump_that_was_announced_is_not_taken_back_by_one_that_did_not_hear_of_it() {
        let claim = Claim { session: 7, age: Span::from_secs(100), followers: 9, ..Claim::default() };
        let heard = Offer { jumps: 1, ..offer(Claim { followers: 0, term: 5, ..claim }, 9) };
        assert!(goes_before(&heard, &offer(claim, 1)));
    }
}
