//! Questions R: who is let in, what is answered, and who is not.

use super::room::Room;
use super::{Case, Differs, Same};
use crate::lab::osc::{bundle, message};
use crate::lab::router::{Framing, SECRET, register};
use rosc::OscType;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "R01 five arguments",
        ask: |room| {
            let mut alice = room.connect("alice");
            let args = room.credentials("alice", SECRET);
            alice.say("/oscrouter/register", [&args[..], &[4242.into()]].concat());
            room.next(&mut alice);
        },
        answer: Same(&[r"alice: /oscrouter/register/alice/4242\0\0,\0\0\0"]),
    },
    Case {
        name: "R02 four arguments",
        ask: |room| first_answer(room, &[]),
        answer: Same(&[r"alice: /oscrouter/register/alice/0\0,\0\0\0"]),
    },
    Case {
        name: "R03 numbers as names",
        ask: |room| {
            for (name, args) in [
                ("ints", [1.into(), (-2).into(), 303.into(), 4.into(), 5.into()]),
                ("floats", [1.0f32.into(), 3.5f32.into(), 303.5f32.into(), (-0.25f32).into(), 5.into()]),
                ("more", [1e9f32.into(), "pw".into(), "R03 large".into(), "x".into(), 5.into()]),
            ] {
                let mut client = room.connect(name);
                client.say("/oscrouter/register", args);
                room.next(&mut client);
            }
        },
        answer: Same(&[
            r"ints: /oscrouter/register/1/5\0,\0\0\0",
            r"floats: /oscrouter/register/1.0/5\0\0\0,\0\0\0",
            r"more: /oscrouter/register/1000000000.0/5\0\0,\0\0\0",
        ]),
    },
    Case {
        name: "R04 any fifth argument",
        ask: |room| {
            for id in [3.5f32.into(), "a b".into(), OscType::Bool(true), 0.1f32.into(), OscType::Nil] {
                first_answer(room, &[id]);
            }
        },
        answer: Same(&[
            r"alice: /oscrouter/register/alice/3.5\0\0\0,\0\0\0",
            r"alice: /oscrouter/register/alice/a b\0\0\0,\0\0\0",
            r"alice: /oscrouter/register/alice/True\0\0,\0\0\0",
            r"alice: /oscrouter/register/alice/0.10000000149011612\0\0\0,\0\0\0",
            r"alice: /oscrouter/register/alice/None\0\0,\0\0\0",
        ]),
    },
    Case {
        name: "R05 too few arguments",
        ask: |room| {
            let args = room.credentials("alice", SECRET);
            for count in (0..4).rev() {
                let mut alice = room.connect(&format!("alice with {count}"));
                alice.say("/oscrouter/register", &args[..count]);
                room.until_end(&mut alice);
            }
        },
        answer: Same(&["alice with 3: end", "alice with 2: end", "alice with 1: end", "alice with 0: end"]),
    },
    Case {
        name: "R06 a user's wrong password",
        ask: |room| {
            let mut bob = room.join("bob");
            let _alice = room.join("alice");
            let mut other = room.connect("other");
            let texts = ["alice", "guessed", &room.group, SECRET];
            other.say("/oscrouter/register", texts.map(OscType::from));
            room.until_end(&mut other);
            other.say("/guessed", []);
            room.settle([&mut bob]);
        },
        answer: Same(&["other: end"]),
    },
    Case {
        name: "R07 a group's wrong password",
        ask: |room| {
            let mut bob = room.join("bob");
            let mut alice = room.connect("alice");
            let args = room.credentials("alice", "guessed");
            alice.say("/oscrouter/register", args);
            room.until_end(&mut alice);
            room.settle([&mut bob]);
        },
        answer: Same(&["alice: end"]),
    },
    Case {
        name: "R08 another message first",
        ask: |room| {
            let mut bob = room.join("bob");
            let mut alice = room.connect("alice");
            alice.say("/play", [1.into()]);
            room.until_end(&mut alice);
            alice.send(&register("alice", &room.group));
            room.settle([&mut bob]);
        },
        answer: Same(&["alice: end"]),
    },
    Case {
        name: "R09 registering and a message in one write",
        ask: |room| {
            let mut bob = room.join("bob");
            let mut alice = room.connect("alice");
            let both = [register("alice", &room.group), message("/play", [1.into()])];
            alice.raw(&both.map(|packet| Framing::Length.frame(&packet)).concat());
            room.until_registered(&mut alice);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[r"bob: /play\0\0\0,i\0\0\0\0\0\x01"]),
    },
    Case {
        name: "R10 registering in a bundle",
        ask: |room| {
            let mut bob = room.join("bob");
            let mut alice = room.connect("alice");
            let parts = [register("alice", &room.group), message("/with", [])];
            alice.send(&bundle(1, parts));
            room.until_registered(&mut alice);
            alice.say("/after", []);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[r"bob: /after\0\0,\0\0\0"]),
    },
    Case {
        name: "R11 registering byte by byte",
        ask: |room| {
            let mut alice = room.connect("alice");
            for byte in Framing::Length.frame(&register("alice", &room.group)) {
                alice.raw(&[byte]);
            }
            room.next(&mut alice);
        },
        answer: Same(&[r"alice: /oscrouter/register/alice/1\0,\0\0\0"]),
    },
    Case {
        name: "R12 a group that was empty takes another password",
        ask: |room| {
            drop(room.join("alice"));
            let args = room.credentials("bob", "another");
            // That she has left is not told to anybody outside.
            let mut attempts = (0..100).map(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                let mut bob = room.connect("bob");
                bob.say("/oscrouter/register", &args[..]);
                (bob.hear(), bob)
            });
            let answer = attempts.find(|(heard, _)| matches!(heard, crate::lab::router::Heard::Packet(_)));
            room.tell(if answer.is_some() { "bob: registered" } else { "bob: end" });
        },
        answer: Same(&["bob: registered"]),
    },
    Case {
        name: "R13 one name in two groups",
        ask: |room| {
            let mut alice = room.join("alice");
            let mut bob = room.join("bob");
            room.group += ", the other";
            let mut other_alice = room.join_by(Framing::Length, "alice", "alice elsewhere");
            let mut carol = room.join("carol");
            bob.say("/here", []);
            carol.say("/there", []);
            room.settle([&mut alice, &mut bob, &mut other_alice, &mut carol]);
        },
        answer: Same(&[r"alice: /here\0\0\0,\0\0\0", r"alice elsewhere: /there\0\0,\0\0\0"]),
    },
    Case {
        name: "R14 registering by a pattern",
        ask: |room| {
            let mut alice = room.connect("alice");
            let args = room.credentials("alice", SECRET);
            alice.say("/oscrouter/reg*", args);
            room.next(&mut alice);
        },
        answer: Same(&[r"alice: /oscrouter/register/alice/0\0,\0\0\0"]),
    },
    Case {
        name: "R15 asking to be told of errors",
        ask: |room| {
            let _bob = room.join("bob");
            let mut alice = room.connect("alice");
            let args = room.credentials("alice", "guessed");
            alice.say("/oscrouter/register", [&args[..], &[1.into(), "errors".into()]].concat());
            room.until_end(&mut alice);
        },
        answer: Differs {
            why: "who asks is told why",
            original: &["alice: end"],
            ours: &["alice: /oscrouter/error", "alice: end"],
        },
    },
];

/// Tells the first answer to alice's registering with these arguments behind the four.
fn first_answer(room: &mut Room<'_>, more: &[OscType]) {
    let mut alice = room.connect("alice");
    let args = room.credentials("alice", SECRET);
    alice.say("/oscrouter/register", [&args[..], more].concat());
    room.next(&mut alice);
}
