//! Questions F: what is on the wire, and what must not be.

use super::room::readable;
use super::{Case, Differs, Same};
use crate::lab::osc::message;
use crate::lab::router::{Client, Framing, SECRET, escaped, register};
use rosc::OscType;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "F01 a length of zero or less",
        ask: |room| {
            for length in [0, -1, i32::MIN] {
                let mut alice = room.join("alice");
                alice.raw(&length.to_be_bytes());
                room.until_end(&mut alice);
                let mut stranger = room.connect("stranger");
                stranger.raw(&length.to_be_bytes());
                room.until_end(&mut stranger);
            }
        },
        answer: Same(&[
            "alice: end",
            "stranger: end",
            "alice: end",
            "stranger: end",
            "alice: end",
            "stranger: end",
        ]),
    },
    Case {
        name: "F01 an impossible length from one who wants to know",
        ask: |room| {
            let mut alice = room.connect("alice");
            let args = room.credentials("alice", SECRET);
            alice.say("/oscrouter/register", [&args[..], &[1.into(), "errors".into()]].concat());
            room.until_registered(&mut alice);
            alice.raw(&(-1_i32).to_be_bytes());
            room.until_end(&mut alice);
        },
        answer: Differs {
            why: "who asks is told why",
            original: &["alice: end"],
            ours: &["alice: /oscrouter/error", "alice: end"],
        },
    },
    Case {
        name: "F02 a huge length",
        ask: |room| {
            let mut stranger = room.connect("stranger");
            stranger.raw(&[&i32::MAX.to_be_bytes()[..], &[b'/'; 60_000]].concat());
            room.for_a_while(&mut stranger);
        },
        answer: Differs {
            why: "nobody may fill the memory",
            original: &["stranger: open"],
            ours: &["stranger: end"],
        },
    },
    Case {
        name: "F03 SLIP in all its forms",
        ask: |room| {
            let mut bob = room.join("bob");
            let mut alice = room.join_by(Framing::Slip, "alice", "alice");
            let packet = |address: &str| escaped(&message(address, []));
            alice.raw(&[&packet("/one/END")[..], b"\xc0", &packet("/another")[..], b"\xc0"].concat());
            alice.raw(&[b"\xc0", &packet("/two/ENDs")[..], b"\xc0"].concat());
            alice.raw(&[b"\xc0\xc0\xc0\xc0", &packet("/many")[..], b"\xc0\xc0"].concat());
            for byte in [&packet("/in/pieces")[..], b"\xc0"].concat() {
                alice.raw(&[byte]);
            }
            room.settle([&mut alice, &mut bob]);
            alice.raw(b"\xc0/bad\xdb/\0\0\0,\0\0\0\xc0");
            alice.raw(&[&packet("/after")[..], b"\xc0"].concat());
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[
            r"bob: /one/END\0\0\0\0,\0\0\0",
            r"bob: /another\0\0\0\0,\0\0\0",
            r"bob: /two/ENDs\0\0\0,\0\0\0",
            r"bob: /many\0\0\0,\0\0\0",
            r"bob: /in/pieces\0\0,\0\0\0",
            r"bob: /after\0\0,\0\0\0",
        ]),
    },
    Case {
        name: "F04 SLIP's own bytes in a packet",
        ask: |room| {
            let mut alice = room.join_by(Framing::Slip, "alice", "alice");
            let mut bob = room.join_by(Framing::Slip, "bob", "bob");
            let mut carol = room.join("carol");
            alice.say("/a", [OscType::Blob(vec![0xc0, 0xdb, 0xdc, 0xdd])]);
            room.settle([&mut alice, &mut carol, &mut bob]);
            carol.say("/c", [OscType::Blob(vec![0xdb, 0xc0, 0xc0])]);
            room.settle([&mut alice, &mut carol, &mut bob]);
        },
        answer: Same(&[
            r"carol: /a\0\0,b\0\0\0\0\0\x04\xc0\xdb\xdc\xdd",
            r"bob: /a\0\0,b\0\0\0\0\0\x04\xc0\xdb\xdc\xdd",
            r"alice: /c\0\0,b\0\0\0\0\0\x03\xdb\xc0\xc0\0",
            r"bob: /c\0\0,b\0\0\0\0\0\x03\xdb\xc0\xc0\0",
        ]),
    },
    Case {
        name: "F04 what is sent by SLIP begins and ends with END",
        ask: |room| {
            let mut alice = room.router.connect(Framing::Slip, "alice");
            alice.send(&register("alice", &room.group));
            let mut wire = Vec::new();
            while wire.iter().filter(|&&byte| byte == 0xc0).count() < 2 {
                wire.push(alice.hear_byte());
            }
            room.tell(readable(&wire));
        },
        answer: Same(&[r"\xc0/oscrouter/register/alice/1\0,\0\0\0\xc0"]),
    },
    Case {
        name: "F05 SLIP to the port for lengths",
        ask: |room| {
            let mut alice = room.router.connect_to(Framing::Length, Framing::Slip, "alice");
            alice.send(&register("alice", &room.group));
            room.for_a_while(&mut alice);
        },
        answer: Differs {
            why: "each connection's framing is recognised on either port",
            original: &["alice: end"],
            ours: &[r"alice: /oscrouter/register/alice/1\0,\0\0\0"],
        },
    },
    Case {
        name: "F05 lengths to the port for SLIP",
        ask: |room| {
            let mut alice = room.router.connect_to(Framing::Slip, Framing::Length, "alice");
            alice.send(&register("alice", &room.group));
            room.for_a_while(&mut alice);
        },
        answer: Differs {
            why: "each connection's framing is recognised on either port",
            original: &["alice: open"],
            ours: &[r"alice: /oscrouter/register/alice/1\0,\0\0\0"],
        },
    },
    Case {
        name: "F06 what is not OSC",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            for packet in [
                &b"x"[..],
                b"\0\0\0\0",
                b"/short\0\0,i\0\0",
                b"/short\0\0,i\0\0\0\0",
                b"/open",
                b"/tags\0\0\0,i",
                b"#bundle\0",
                b"#bundle\0\0\0\0\0\0\0\0\x01\0\0\0\x64/cut\0\0\0\0",
                b"/blob\0\0\0,b\0\0\x7f\xff\xff\xff",
            ] {
                alice.send(packet);
            }
            alice.say("/after", []);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "a bundle that is not whole is not taken for a part of one",
            original: &[r"bob: /cut\0\0\0\0,\0\0\0", r"bob: /after\0\0,\0\0\0"],
            ours: &[r"bob: /after\0\0,\0\0\0"],
        },
    },
    Case {
        name: "F06 a type that nobody knows",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.send(b"/type\0\0\0,iZ\0\0\0\0\x01");
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "packets are passed on byte for byte, whatever is in them",
            original: &[r"bob: /type\0\0\0,i\0\0\0\0\0\x01"],
            ours: &[r"bob: /type\0\0\0,iZ\0\0\0\0\x01"],
        },
    },
    Case {
        name: "F07 one who does not read",
        ask: |room| {
            let (mut alice, _sleepy, mut bob) = (room.join("alice"), room.join("sleepy"), room.join("bob"));
            let packet = message("/large", [OscType::Blob(vec![7; 100_000])]);
            // More than the system's own buffers hold.
            let heard = (0..200).filter(|_| {
                alice.send(&packet);
                bob.hear_but_lists() == packet
            });
            let line = format!("bob: {}", heard.count());
            room.tell(line);
        },
        answer: Same(&["bob: 200"]),
    },
    Case {
        name: "F08 five hundred clients",
        ask: |room| {
            let mut count = 0;
            let group = room.group.clone();
            let mut clients: Vec<Vec<Client>> = Vec::new();
            for number in 0..50 {
                room.group = format!("{group} {number}");
                clients.push((0..10).map(|user| room.join(&format!("user{user}"))).collect());
            }
            for group in &mut clients {
                let (first, others) = group.split_first_mut().expect("ten are not none");
                first.say("/all", []);
                count += others
                    .iter_mut()
                    .filter_map(|c| c.hear_but_lists().starts_with(b"/all").then_some(()))
                    .count();
            }
            room.tell(format!("{count} deliveries"));
        },
        answer: Same(&["450 deliveries"]),
    },
];
