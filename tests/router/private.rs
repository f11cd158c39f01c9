//! Questions P: private messages.

use super::{Case, Differs, Same};
use crate::lab::osc::{bundle, message};
use crate::lab::router::{Framing, SECRET};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "P01 what its receiver sees",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            let mut second = room.join_by(Framing::Length, "bob", "bob too");
            alice.say(
                "/oscrouter/private",
                ["bob".into(), "/foo".into(), 10.into(), 3.5f32.into(), "h".into()],
            );
            room.settle([&mut alice, &mut bob, &mut second]);
        },
        answer: Same(&[
            r"bob: /oscrouter/private\0\0,ssifs\0\0alice\0\0\0/foo\0\0\0\0\0\0\0\n@`\0\0h\0\0\0",
            r"bob too: /oscrouter/private\0\0,ssifs\0\0alice\0\0\0/foo\0\0\0\0\0\0\0\n@`\0\0h\0\0\0",
        ]),
    },
    Case {
        name: "P02 to a stranger",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.say("/oscrouter/private", ["nobody".into(), "/foo".into()]);
            alice.say("/oscrouter/private", [5.into(), "/foo".into()]);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[]),
    },
    Case {
        name: "P03 to oneself",
        ask: |room| {
            let mut alice = room.join("alice");
            alice.say("/oscrouter/private", ["alice".into(), "/foo".into(), 1.into()]);
            room.settle([&mut alice]);
        },
        answer: Same(&[r"alice: /oscrouter/private\0\0,ssi\0\0\0\0alice\0\0\0/foo\0\0\0\0\0\0\0\x01"]),
    },
    Case {
        name: "P04 too few arguments",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.say("/oscrouter/private", []);
            alice.say("/oscrouter/private", ["bob".into()]);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[]),
    },
    Case {
        name: "P05 from either framing to the other",
        ask: |room| {
            let mut alice = room.join_by(Framing::Slip, "alice", "alice");
            let mut bob = room.join("bob");
            alice.say("/oscrouter/private", ["bob".into(), "/foo".into(), 1.into()]);
            bob.say("/oscrouter/private", ["alice".into(), "/bar".into(), 2.into()]);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[
            r"alice: /oscrouter/private\0\0,ssi\0\0\0\0bob\0/bar\0\0\0\0\0\0\0\x02",
            r"bob: /oscrouter/private\0\0,ssi\0\0\0\0alice\0\0\0/foo\0\0\0\0\0\0\0\x01",
        ]),
    },
    Case {
        name: "P06 nobody else sees it",
        ask: |room| {
            let (mut alice, mut bob, mut carol) = (room.join("alice"), room.join("bob"), room.join("carol"));
            alice.say("/oscrouter/private", ["bob".into(), "/foo".into()]);
            room.settle([&mut alice, &mut bob, &mut carol]);
        },
        answer: Same(&[r"bob: /oscrouter/private\0\0,ss\0alice\0\0\0/foo\0\0\0\0"]),
    },
    Case {
        name: "P07 by a pattern",
        ask: |room| {
            let (mut alice, mut bob, mut carol) = (room.join("alice"), room.join("bob"), room.join("carol"));
            alice.say("/oscrouter/priv*", ["bob".into(), "/foo".into()]);
            room.settle([&mut alice, &mut bob, &mut carol]);
        },
        answer: Differs {
            why: "nobody sends a private message to all by a pattern",
            original: &[
                r"bob: /oscrouter/priv*\0\0\0\0,ss\0bob\0/foo\0\0\0\0",
                r"carol: /oscrouter/priv*\0\0\0\0,ss\0bob\0/foo\0\0\0\0",
            ],
            ours: &[r"bob: /oscrouter/private\0\0,ss\0alice\0\0\0/foo\0\0\0\0"],
        },
    },
    Case {
        name: "P08 into another group",
        ask: |room| {
            let mut bob = room.join("bob");
            room.group += ", the other";
            let mut alice = room.join("alice");
            alice.say("/oscrouter/private", ["bob".into(), "/foo".into()]);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[]),
    },
    Case {
        name: "P09 in a bundle",
        ask: |room| {
            let (mut alice, mut bob, mut carol) = (room.join("alice"), room.join("bob"), room.join("carol"));
            let private = message("/oscrouter/private", ["bob".into(), "/foo".into()]);
            for timetag in [1, 1 << 40] {
                alice.send(&bundle(timetag, [private.clone(), message("/all", [])]));
            }
            room.settle([&mut alice, &mut bob, &mut carol]);
        },
        answer: Differs {
            why: "bundles stay whole, and a private message keeps its timetag",
            original: &[
                r"bob: /oscrouter/private\0\0,ss\0alice\0\0\0/foo\0\0\0\0",
                r"bob: /all\0\0\0\0,\0\0\0",
                r"bob: /oscrouter/private\0\0,ss\0alice\0\0\0/foo\0\0\0\0",
                r"bob: /all\0\0\0\0,\0\0\0",
                r"carol: /all\0\0\0\0,\0\0\0",
                r"carol: /all\0\0\0\0,\0\0\0",
            ],
            ours: &[
                r"bob: /oscrouter/private\0\0,ss\0alice\0\0\0/foo\0\0\0\0",
                r"bob: #bundle\0\0\0\0\0\0\0\0\x01\0\0\0\x0c/all\0\0\0\0,\0\0\0",
                r"bob: #bundle\0\0\0\x01\0\0\0\0\0\0\0\0(/oscrouter/private\0\0,ss\0alice\0\0\0/foo\0\0\0\0",
                r"bob: #bundle\0\0\0\x01\0\0\0\0\0\0\0\0\x0c/all\0\0\0\0,\0\0\0",
                r"carol: #bundle\0\0\0\0\0\0\0\0\x01\0\0\0\x0c/all\0\0\0\0,\0\0\0",
                r"carol: #bundle\0\0\0\x01\0\0\0\0\0\0\0\0\x0c/all\0\0\0\0,\0\0\0",
            ],
        },
    },
    Case {
        name: "P10 to a stranger, asking to be told of errors",
        ask: |room| {
            let mut alice = room.connect("alice");
            let args = room.credentials("alice", SECRET);
            alice.say("/oscrouter/register", [&args[..], &[1.into(), "errors".into()]].concat());
            room.until_registered(&mut alice);
            alice.say("/oscrouter/private", ["nobody".into(), "/foo".into()]);
            room.settle([&mut alice]);
        },
        answer: Differs { why: "who asks is told why", original: &[], ours: &["alice: /oscrouter/error"] },
    },
];
