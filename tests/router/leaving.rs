//! Questions D: who has left, however that came about, and who never quite did.

use super::{Case, Differs, Same};
use crate::lab::router::{SECRET, register};
use rosc::OscType;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "D01 a connection that is closed",
        ask: |room| {
            let (alice, mut bob) = (room.join("alice"), room.join("bob"));
            room.until_list(&mut bob, &["alice", "bob"]);
            drop(alice);
            room.until_list(&mut bob, &["bob"]);
        },
        answer: Same(&[]),
    },
    Case {
        name: "D02 a connection that is reset",
        ask: |room| {
            let (alice, mut bob) = (room.join("alice"), room.join("bob"));
            room.until_list(&mut bob, &["alice", "bob"]);
            alice.reset();
            room.until_list(&mut bob, &["bob"]);
        },
        answer: Same(&[]),
    },
    Case {
        name: "D03 a connection that is closed by half",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.half_close();
            room.until_end(&mut alice);
            room.until_list(&mut bob, &["bob"]);
        },
        answer: Same(&["alice: end"]),
    },
    Case {
        name: "D04 an empty password",
        ask: |room| {
            let mut bob = room.join("bob");
            let mut alice = room.connect("alice");
            let texts = ["alice", "", &room.group, SECRET];
            alice.say("/oscrouter/register", texts.map(OscType::from));
            room.until_end(&mut alice);
            room.settle([&mut bob]);
            let mut carol = room.join("carol");
            room.next_list(&mut carol);
        },
        answer: Differs {
            why: "nobody stays who has left, and nobody is let in without a password",
            original: &[
                r"alice: /oscrouter/register/alice/0\0,\0\0\0",
                "alice: end",
                r"carol: /oscrouter/userlist\0,sss\0\0\0\0bob\0alice\0\0\0carol\0\0\0",
            ],
            ours: &["alice: end", r"carol: /oscrouter/userlist\0,ss\0bob\0carol\0\0\0"],
        },
    },
    Case {
        name: "D05 registering twice",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.send(&register("alice", &room.group));
            room.settle([&mut alice]);
            bob.say("/x", []);
            room.settle([&mut alice, &mut bob]);
            room.leave(alice);
            let mut carol = room.join("carol");
            room.next_list(&mut carol);
        },
        answer: Differs {
            why: "nobody hears anything twice, nor stays after leaving",
            original: &[
                r"alice: /oscrouter/register/alice/1\0,\0\0\0",
                r"alice: /x\0\0,\0\0\0",
                r"alice: /x\0\0,\0\0\0",
                r"bob: /oscrouter/register\0,ssssi\0\0alice\0\0\0pw-alice\0\0\0\0D05 registering twice\0\0\0secret\0\0\0\0\0\x01",
                r"carol: /oscrouter/userlist\0,sss\0\0\0\0alice\0\0\0bob\0carol\0\0\0",
            ],
            ours: &[
                r"alice: /oscrouter/register/alice/1\0,\0\0\0",
                r"alice: /x\0\0,\0\0\0",
                r"carol: /oscrouter/userlist\0,ss\0bob\0carol\0\0\0",
            ],
        },
    },
    Case {
        name: "D06 registering for another group",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            let first = room.group.clone();
            room.group += ", the other";
            let mut carol = room.join("carol");
            alice.send(&register("alice", &room.group));
            room.settle([&mut alice]);
            bob.say("/first", []);
            room.settle([&mut bob, &mut alice]);
            carol.say("/second", []);
            room.settle([&mut carol, &mut alice]);
            room.leave(alice);
            room.group = first;
            let mut dora = room.join("dora");
            room.next_list(&mut dora);
        },
        answer: Differs {
            why: "who goes to another group leaves the first",
            original: &[
                r"alice: /oscrouter/register/alice/1\0,\0\0\0",
                r"bob: /oscrouter/register\0,ssssi\0\0alice\0\0\0pw-alice\0\0\0\0D06 registering for another group, the other\0\0\0\0secret\0\0\0\0\0\x01",
                r"alice: /first\0\0,\0\0\0",
                r"alice: /second\0,\0\0\0",
                r"dora: /oscrouter/userlist\0,sss\0\0\0\0alice\0\0\0bob\0dora\0\0\0\0",
            ],
            ours: &[
                r"alice: /oscrouter/register/alice/1\0,\0\0\0",
                r"alice: /second\0,\0\0\0",
                r"dora: /oscrouter/userlist\0,ss\0bob\0dora\0\0\0\0",
            ],
        },
    },
];
