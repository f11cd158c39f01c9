//! The router beside the one whose place it takes: a real tcposcrouter and ours are asked the same questions.
//!
//! A [`Case`] is a question with the answer that is known. Where ours answers otherwise on purpose, it says why, and
//! both answers stand there: a difference that is not written down fails, and so does one that is not there any more.
//! M is what is routed, P private, U lists of users, R who registers, D who leaves, F what is on the wire. Not for: the
//! router's core, which has tests without sockets.

mod framing;
mod leaving;
mod lists;
mod messages;
mod private;
mod registering;
mod room;

use crate::lab::router::{Framing, Heard, Router, names};
use crate::lab::{Lab, osc};
use room::Room;
use rosc::OscType;
use std::time::Duration;

/// A question, and what is answered.
struct Case {
    name: &'static str,
    ask: fn(&mut Room<'_>),
    answer: Answer,
}

/// Lines of what came of a question, as [`Room`] writes them.
enum Answer {
    /// Of both routers.
    Same(&'static [&'static str]),
    /// Ours does better.
    Differs { why: &'static str, original: &'static [&'static str], ours: &'static [&'static str] },
}

use Answer::{Differs, Same};

const ROOMS: [&[Case]; 6] =
    [registering::CASES, messages::CASES, private::CASES, lists::CASES, leaving::CASES, framing::CASES];

/// Asks everything, and says where the answer is another one.
fn ask_all(router: &Router, answer: impl Fn(&Case) -> &'static [&'static str]) {
    let mut wrong = Vec::new();
    for case in ROOMS.into_iter().flatten() {
        let mut room = Room::new(router, case.name);
        (case.ask)(&mut room);
        let told = room.told();
        if told != answer(case) {
            wrong.push(format!("{}\n  told     {told:#?}\n  expected {:#?}", case.name, answer(case)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_original_answers_as_it_is_written_down() {
    let lab = Lab::new();
    ask_all(&Router::original(&lab), |case| match case.answer {
        Same(lines) => lines,
        Differs { original, .. } => original,
    });
}

#[test]
fn ours_answers_the_same_or_better() {
    let lab = Lab::new();
    ask_all(&Router::ours(&lab, &[]), |case| match case.answer {
        Same(lines) => lines,
        Differs { ours, .. } => ours,
    });
}

#[test]
fn who_comes_back_after_a_power_cut_finds_the_group() {
    let lab = Lab::new();
    let router = Router::ours(&lab, &[]);
    let room = Room::new(&router, "stage");
    let (mut alice, mut bob) = (room.join("alice"), room.join_by(Framing::Slip, "bob", "bob"));
    let router = router.killed_and_started_again(&lab);
    for client in [&mut alice, &mut bob] {
        while client.hear() != Heard::End {}
    }
    let mut room = Room::new(&router, "stage");
    let (mut bob, mut alice) = (room.join_by(Framing::Slip, "bob", "bob"), room.join("alice"));
    bob.say("/again", []);
    room.settle([&mut bob, &mut alice]);
    assert_eq!(room.told(), [r"alice: /again\0\0,\0\0\0"]);
}

#[test]
fn who_does_not_read_is_cut_off_and_leaves_nothing_behind() {
    let lab = Lab::new();
    let router = Router::ours(&lab, &["--max-outbound", "1000000"]);
    let mut room = Room::new(&router, "stage");
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    let packet = osc::message("/large", [OscType::Blob(vec![7; 100_000])]);
    let resident = ["first", "second", "third"].map(|sleepy| {
        let mut sleepy = room.join(sleepy);
        room.until_list(&mut bob, &["alice", "bob", &sleepy.name]);
        let mut sent = 0;
        // The system's own buffers hold some of it.
        while sent < 2_000 {
            alice.send(&packet);
            sent += 1;
            match bob.hear() {
                Heard::Packet(heard) if heard == packet => {}
                Heard::Packet(heard) if names(&heard).is_some_and(|names| names.len() == 2) => break,
                other => panic!("bob hears {other:?}"),
            }
        }
        assert_eq!(bob.hear(), Heard::Packet(packet.clone()));
        while sleepy.hear() != Heard::End {}
        router.process.resident()
    });
    // The first two have made room that is used again: for packets, and for the hashes of passwords.
    assert!(resident[2] < resident[1] + 2_000_000, "{resident:?} B");
}

#[test]
fn who_says_nothing_for_too_long_is_gone() {
    let lab = Lab::new();
    let router = Router::ours(&lab, &["--idle", "500ms"]);
    let mut room = Room::new(&router, "stage");
    let mut bob = room.join("bob");
    let mut alice = room.join("alice");
    room.until_list(&mut bob, &["bob", "alice"]);
    // Bob goes on saying that he is there.
    while bob.hear_within(Duration::from_millis(50)) == Heard::Nothing {
        bob.say("/oscrouter/ping", []);
    }
    while alice.hear() != Heard::End {}
    bob.say("/oscrouter/ping", []);
    room.settle([&mut bob]);
}

#[test]
fn every_difference_has_its_reason() {
    for case in ROOMS.into_iter().flatten() {
        if let Differs { why, original, ours } = &case.answer {
            assert!(!why.is_empty(), "{}", case.name);
            assert_ne!(original, ours, "{}", case.name);
        }
    }
}
