//! Questions U: who is told of whom.

use super::{Case, Differs, Same};
use crate::lab::router::{Framing, register};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "U01 who joins",
        ask: |room| {
            room.lists = true;
            let mut alice = room.connect("alice");
            alice.send(&register("alice", &room.group));
            room.until_list(&mut alice, &["alice"]);
            room.settle([&mut alice]);
        },
        answer: Same(&[
            r"alice: /oscrouter/register/alice/1\0,\0\0\0",
            r"alice: /oscrouter/userlist\0,s\0\0alice\0\0\0",
        ]),
    },
    Case {
        name: "U02 who is there already",
        ask: |room| {
            let mut alice = room.join("alice");
            room.until_list(&mut alice, &["alice"]);
            room.lists = true;
            let mut bob = room.join("bob");
            room.until_list(&mut bob, &["alice", "bob"]);
            room.until_list(&mut alice, &["alice", "bob"]);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "the list is sent once per change",
            original: &[
                r"bob: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
                r"alice: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
                r"alice: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
            ],
            ours: &[
                r"bob: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
                r"alice: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
            ],
        },
    },
    Case {
        name: "U03 who stays",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            room.until_list(&mut alice, &["alice", "bob"]);
            room.until_list(&mut bob, &["alice", "bob"]);
            room.settle([&mut alice, &mut bob]);
            room.lists = true;
            drop(bob);
            room.until_list(&mut alice, &["alice"]);
            room.settle([&mut alice]);
        },
        answer: Differs {
            why: "the list is sent once per change",
            original: &[
                r"alice: /oscrouter/userlist\0,s\0\0alice\0\0\0",
                r"alice: /oscrouter/userlist\0,s\0\0alice\0\0\0",
            ],
            ours: &[r"alice: /oscrouter/userlist\0,s\0\0alice\0\0\0"],
        },
    },
    Case {
        name: "U04 a second connection",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            room.until_list(&mut bob, &["alice", "bob"]);
            room.until_list(&mut alice, &["alice", "bob"]);
            room.settle([&mut alice, &mut bob]);
            room.lists = true;
            let mut second = room.join_by(Framing::Length, "alice", "alice too");
            room.until_list(&mut second, &["alice", "bob"]);
            room.settle([&mut alice, &mut second, &mut bob]);
            // The name stays as long as one connection does.
            room.lists = false;
            drop(second);
            room.settle([&mut alice, &mut bob]);
            let mut carol = room.join("carol");
            room.lists = true;
            room.until_list(&mut carol, &["alice", "bob", "carol"]);
        },
        answer: Differs {
            why: "the list is sent once per change, and here nothing changed but for who came",
            original: &[
                r"alice too: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
                r"alice: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
                r"alice: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
                r"bob: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
                r"bob: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
                r"carol: /oscrouter/userlist\0,sss\0\0\0\0alice\0\0\0bob\0carol\0\0\0",
            ],
            ours: &[
                r"alice too: /oscrouter/userlist\0,ss\0alice\0\0\0bob\0",
                r"carol: /oscrouter/userlist\0,sss\0\0\0\0alice\0\0\0bob\0carol\0\0\0",
            ],
        },
    },
    Case {
        name: "U05 in the order in which they came first",
        ask: |room| {
            let (mut alice, bob) = (room.join("alice"), room.join("bob"));
            let _carol = room.join("carol");
            room.until_list(&mut alice, &["alice", "bob", "carol"]);
            drop(bob);
            room.until_list(&mut alice, &["alice", "carol"]);
            let _bob = room.join("bob");
            room.until_list(&mut alice, &["alice", "carol", "bob"]);
        },
        answer: Same(&[]),
    },
];
