//! Questions M: what is said to the group, and what comes of it.

use super::room::{Room, readable};
use super::{Case, Differs, Same};
use crate::lab::osc::{bundle, message, millis, wall_clock};
use crate::lab::router::{Framing, SECRET};
use rosc::{OscArray, OscColor, OscMidiMessage, OscType};
use std::time::{Duration, Instant};

/// Of what the router may be kept waiting in M08.
const HALF: Duration = Duration::from_millis(500);

pub(super) const CASES: &[Case] = &[
    Case {
        name: "M01 to all others",
        ask: |room| {
            let (mut alice, mut bob, mut carol) = (room.join("alice"), room.join("bob"), room.join("carol"));
            alice.say("/play", ["kick".into(), 0.5f32.into()]);
            room.settle([&mut alice, &mut bob, &mut carol]);
        },
        answer: Same(&[
            r"bob: /play\0\0\0,sf\0kick\0\0\0\0?\0\0\0",
            r"carol: /play\0\0\0,sf\0kick\0\0\0\0?\0\0\0",
        ]),
    },
    Case {
        name: "M02 two connections of one user",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            let mut second = room.join_by(Framing::Length, "alice", "alice too");
            bob.say("/to", []);
            second.say("/from", []);
            room.settle([&mut alice, &mut second, &mut bob]);
        },
        answer: Same(&[r"alice: /to\0,\0\0\0", r"alice too: /to\0,\0\0\0", r"bob: /from\0\0\0,\0\0\0"]),
    },
    Case {
        name: "M03 a ping",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.say("/oscrouter/ping", ["alice".into()]);
            alice.say("/oscrouter/ping", []);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[]),
    },
    Case {
        name: "M04 the router's prefix",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.say("/oscrouter/other", [1.into()]);
            alice.say("/oscrouter", []);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[r"bob: /oscrouter/other\0\0\0\0,i\0\0\0\0\0\x01", r"bob: /oscrouter\0\0,\0\0\0"]),
    },
    Case {
        name: "M05 an address pattern",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            for address in ["/f*[ab]{x,y}?", "//x", "/a b#", "/\u{e9}"] {
                // Not by rosc, which is strict.
                let mut packet = address.as_bytes().to_vec();
                packet.resize((packet.len() / 4 + 1) * 4, 0);
                alice.send(&[&packet[..], b",\0\0\0"].concat());
            }
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[
            r"bob: /f*[ab]{x,y}?\0\0\0,\0\0\0",
            r"bob: //x\0,\0\0\0",
            r"bob: /a b#\0\0\0,\0\0\0",
            r"bob: /\xc3\xa9\0,\0\0\0",
        ]),
    },
    Case {
        name: "M06 types that are kept",
        ask: |room| {
            types(
                room,
                &[
                    ("i", &[1.into()]),
                    ("f", &[0.1f32.into()]),
                    ("s", &["\u{fc}ber".into()]),
                    ("b", &[OscType::Blob(vec![0, 192, 219])]),
                    ("TF", &[true.into(), false.into()]),
                    ("m", &[OscType::Midi(OscMidiMessage { port: 0, status: 144, data1: 60, data2: 127 })]),
                    ("h", &[OscType::Long(1 << 40)]),
                    ("N", &[OscType::Nil]),
                    ("a", &[OscType::Array(OscArray { content: vec![1.into(), 2.into()] })]),
                    ("z", &[]),
                ],
            );
        },
        answer: Same(&[
            r"bob: /i\0\0,i\0\0\0\0\0\x01",
            r"bob: /f\0\0,f\0\0=\xcc\xcc\xcd",
            r"bob: /s\0\0,s\0\0\xc3\xbcber\0\0\0",
            r"bob: /b\0\0,b\0\0\0\0\0\x03\0\xc0\xdb\0",
            r"bob: /TF\0,TF\0",
            r"bob: /m\0\0,m\0\0\0\x90<\x7f",
            r"bob: /h\0\0,h\0\0\0\0\x01\0\0\0\0\0",
            r"bob: /N\0\0,N\0\0",
            r"bob: /a\0\0,[ii]\0\0\0\0\0\0\x01\0\0\0\x02",
            r"bob: /z\0\0,\0\0\0",
        ]),
    },
    Case {
        name: "M06 types that were not",
        ask: |room| {
            types(
                room,
                &[
                    ("h", &[OscType::Long(7)]),
                    ("d", &[OscType::Double(0.1)]),
                    ("t", &[OscType::Time((3_900_000_000, 1 << 31).into())]),
                    ("c", &[OscType::Char('x')]),
                    ("r", &[OscType::Color(OscColor { red: 1, green: 2, blue: 3, alpha: 4 })]),
                    ("I", &[OscType::Inf]),
                ],
            );
        },
        answer: Differs {
            why: "packets are passed on byte for byte, whatever is in them",
            original: &[
                r"bob: /h\0\0,i\0\0\0\0\0\x07",
                r"bob: /d\0\0,f\0\0=\xcc\xcc\xcd",
                r"bob: /c\0\0,\0\0\0",
                r"bob: /r\0\0,i\0\0\x01\x02\x03\x04",
                r"bob: /I\0\0,\0\0\0",
            ],
            ours: &[
                r"bob: /h\0\0,h\0\0\0\0\0\0\0\0\0\x07",
                r"bob: /d\0\0,d\0\0?\xb9\x99\x99\x99\x99\x99\x9a",
                r"bob: /t\0\0,t\0\0\xe8uG\0\x80\0\0\0",
                r"bob: /c\0\0,c\0\0\0\0\0x",
                r"bob: /r\0\0,r\0\0\x01\x02\x03\x04",
                r"bob: /I\0\0,I\0\0",
            ],
        },
    },
    Case {
        name: "M06 a symbol, and no tags at all",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.send(b"/S\0\0,S\0\0tick\0\0\0\0");
            alice.send(b"/old\0\0\0\0\0\0\0\x01");
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "packets are passed on byte for byte, whatever is in them",
            original: &[r"bob: /S\0\0,\0\0\0"],
            ours: &[r"bob: /S\0\0,S\0\0tick\0\0\0\0", r"bob: /old\0\0\0\0\0\0\0\x01"],
        },
    },
    Case {
        name: "M07 a bundle",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.send(&bundle(1, [message("/a", [1.into()]), message("/b", [])]));
            alice.send(&bundle(1 << 40, [message("/past", [])]));
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "bundles stay whole, with their timetags",
            original: &[r"bob: /a\0\0,i\0\0\0\0\0\x01", r"bob: /b\0\0,\0\0\0", r"bob: /past\0\0\0,\0\0\0"],
            ours: &[
                r"bob: #bundle\0\0\0\0\0\0\0\0\x01\0\0\0\x0c/a\0\0,i\0\0\0\0\0\x01\0\0\0\x08/b\0\0,\0\0\0",
                r"bob: #bundle\0\0\0\x01\0\0\0\0\0\0\0\0\x0c/past\0\0\0,\0\0\0",
            ],
        },
    },
    Case {
        name: "M08 a bundle that is due later",
        ask: |room| {
            let (mut alice, mut bob, mut carol) = (room.join("alice"), room.join("bob"), room.join("carol"));
            let later = bundle(wall_clock() + millis(1_000), [message("/later", [])]);
            alice.send(&later);
            carol.say("/now", []);
            let asked = Instant::now();
            let mut lines = [(); 2].map(|()| {
                let heard = bob.hear_but_lists();
                format!("bob: {}", if heard == later { "the bundle".into() } else { readable(&heard) })
            });
            // Nobody says who of two is read first.
            lines.sort();
            lines.into_iter().for_each(|line| room.tell(line));
            room.tell(if asked.elapsed() < HALF { "at once" } else { "everybody waited" });
        },
        answer: Differs {
            why: "nobody waits for a timetag: who plays the bundle does that",
            original: &[r"bob: /later\0\0,\0\0\0", r"bob: /now\0\0\0\0,\0\0\0", "everybody waited"],
            ours: &[r"bob: /now\0\0\0\0,\0\0\0", "bob: the bundle", "at once"],
        },
    },
    Case {
        name: "M09 bundles in a bundle",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            let inner = bundle(1, [message("/b", [])]);
            alice.send(&bundle(1, [message("/a", []), inner, message("/c", [])]));
            alice.send(&bundle(1, []));
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "bundles stay whole, with their timetags",
            original: &[r"bob: /a\0\0,\0\0\0", r"bob: /b\0\0,\0\0\0", r"bob: /c\0\0,\0\0\0"],
            ours: &[
                r"bob: #bundle\0\0\0\0\0\0\0\0\x01\0\0\0\x08/a\0\0,\0\0\0\0\0\0\x1c#bundle\0\0\0\0\0\0\0\0\x01\0\0\0\x08/b\0\0,\0\0\0\0\0\0\x08/c\0\0,\0\0\0",
                r"bob: #bundle\0\0\0\0\0\0\0\0\x01",
            ],
        },
    },
    Case {
        name: "M10 a megabyte",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            let packet = message("/large", [OscType::Blob((0..1_000_000u32).map(|n| n as u8).collect())]);
            alice.send(&packet);
            let same = bob.hear_but_lists() == packet;
            room.tell(if same { "bob: the same" } else { "bob: something else" });
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&["bob: the same"]),
    },
    Case {
        name: "M11 an address without a slash",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.send(b"play\0\0\0\0,\0\0\0");
            room.settle([&mut alice, &mut bob]);
        },
        answer: Same(&[]),
    },
    Case {
        name: "M12 registering twice tells nobody",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            let args = room.credentials("alice", SECRET);
            alice.say("/oscrouter/register", [&args[..], &[7.into()]].concat());
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "the group is not told its members' passwords",
            original: &[
                r"alice: /oscrouter/register/alice/7\0,\0\0\0",
                r"bob: /oscrouter/register\0,ssssi\0\0alice\0\0\0pw-alice\0\0\0\0M12 registering twice tells nobody\0\0secret\0\0\0\0\0\x07",
            ],
            ours: &[r"alice: /oscrouter/register/alice/7\0,\0\0\0"],
        },
    },
    Case {
        name: "M13 a list of users by a user",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            room.settle([&mut alice, &mut bob]);
            room.lists = true;
            alice.say("/oscrouter/userlist", ["mallory".into()]);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "only the router says who is there",
            original: &[r"bob: /oscrouter/userlist\0,s\0\0mallory\0"],
            ours: &[],
        },
    },
    Case {
        name: "M14 the time",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            alice.say("/sync/time", [7.into()]);
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "the router gives time",
            original: &[r"bob: /sync/time\0\0,i\0\0\0\0\0\x07"],
            ours: &["alice: /sync/time/reply"],
        },
    },
    Case {
        name: "M15 what is for the router, in a bundle with what is not",
        ask: |room| {
            let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
            let ping = message("/oscrouter/ping", []);
            alice.send(&bundle(1 << 40, [message("/a", []), ping, message("/b", [])]));
            room.settle([&mut alice, &mut bob]);
        },
        answer: Differs {
            why: "bundles stay whole, but for what is the router's own",
            original: &[r"bob: /a\0\0,\0\0\0", r"bob: /b\0\0,\0\0\0"],
            ours: &[r"bob: #bundle\0\0\0\x01\0\0\0\0\0\0\0\0\x08/a\0\0,\0\0\0\0\0\0\x08/b\0\0,\0\0\0"],
        },
    },
];

/// Tells what bob hears when alice says these.
fn types(room: &mut Room<'_>, messages: &[(&str, &[OscType])]) {
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    for (address, args) in messages {
        alice.say(&format!("/{address}"), *args);
    }
    room.settle([&mut alice, &mut bob]);
}
