//! Who leads. Pure rules, which every node comes to the same conclusion by.
//!
//! A leader stays leader while it lives: everybody follows whom the others follow, and nobody is better placed to keep the
//! ensemble's time than the one who does. Its followers know in which order they succeed it, because its heartbeats name
//! them. When two leaders of one ensemble meet (a network was split, two stages were switched on apart), one of them
//! follows the other.
//!
//! Not for: time itself. A successor goes on with the time it has.

use super::message::{Claim, PeerId};
use crate::Span;

/// Sessions whose ages differ by less than this are of one age: a message takes some of it on its way.
const SAME_AGE: Span = Span::from_millis(300);

/// Whether `one` leads on when it meets `other`: the pinned one; else the older session; of one session the leader whom more
/// follow, then the one that has led longer. Between equals the lower numbers decide.
pub(super) fn goes_before(one: (&Claim, PeerId), other: (&Claim, PeerId)) -> bool {
    let ((a, a_id), (b, b_id)) = (one, other);
    if a.priority != b.priority {
        return a.priority > b.priority;
    }
    if a.session == b.session {
        return (b.followers, a.term, a_id) < (a.followers, b.term, b_id);
    }
    if (a.age - b.age).abs() >= SAME_AGE {
        return a.age > b.age;
    }
    (a.session, a_id) < (b.session, b_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claim() -> impl Strategy<Value = Claim> {
        (0u8..2, 0u64..3, 0i64..20, 0u32..3, 0u32..3).prop_map(|(priority, session, age, term, followers)| {
            Claim { priority, session, age: Span::from_millis(100 * age), term, followers }
        })
    }

    proptest! {
        #[test]
        fn of_two_exactly_one_leads_on(a in claim(), b in claim(), ids in prop::sample::subsequence(vec![1u64, 2, 3], 2)) {
            let (a, b) = ((&a, PeerId(ids[0])), (&b, PeerId(ids[1])));
            prop_assert_ne!(goes_before(a, b), goes_before(b, a));
        }
    }

    #[test]
    fn the_old_session_goes_before_the_new_and_the_pinned_before_both() {
        let claim = Claim { priority: 0, session: 7, age: Span::from_secs(100), term: 0, followers: 2 };
        let young = Claim { session: 3, age: Span::from_secs(1), followers: 9, ..claim };
        assert!(goes_before((&claim, PeerId(5)), (&young, PeerId(1))));
        let pinned = Claim { priority: 1, ..young };
        assert!(goes_before((&pinned, PeerId(9)), (&claim, PeerId(5))));
    }

    #[test]
    fn a_leader_that_was_away_follows_whom_the_others_follow_by_now() {
        let back = Claim { priority: 0, session: 7, age: Span::from_secs(100), term: 0, followers: 0 };
        let successor = Claim { term: 1, followers: 1, ..back };
        assert!(goes_before((&successor, PeerId(9)), (&back, PeerId(1))));
        // Of two alone, the one that has led longer.
        let successor = Claim { followers: 0, ..successor };
        assert!(goes_before((&back, PeerId(9)), (&successor, PeerId(1))));
    }
}
