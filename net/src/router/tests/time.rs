//! The time a router gives.

use super::*;
use crate::timing::Membership;
use downbeat_sync::{Claim, Epochs, Message, PeerId, Ping, RemoteLine, Standing};

#[test]
fn the_time_is_told_to_whoever_asks_and_to_nobody_else() {
    let mut lab = Lab::new();
    let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
    lab.pass(Span::from_millis(1_500));
    lab.hush();
    let bits = 0x83aa_7e81_8000_0000_u64;
    let halves = [Arg::Int((bits >> 32) as i32), Arg::Int(bits as i32)];
    let rows: [(&str, &[Arg<'_>]); 3] = [
        ("/sync/time", &[Arg::Time(bits)]),
        ("/sync/time/ii", &halves),
        ("/sync/time/s", &["1.500000000".into()]),
    ];
    let asked = ["x".into(), Arg::Int(1)];
    for (address, time) in rows {
        lab.say(alice, &message(address, &asked));
        assert_eq!(lab.heard(alice), [message(&format!("{address}/reply"), &[&asked[..], time].concat())]);
    }
    lab.nothing_came(&[bob]);
    // In a bundle too; what stands beside it is forwarded.
    lab.say(alice, &bundle(1, &[message("/sync/time", &[]), message("/foo", &[])]));
    assert_eq!(lab.heard(alice).len(), 1);
    assert_eq!(lab.heard(bob), [bundle(1, &[message("/foo", &[])])]);
    // Other addresses of nodes are for the group, and a pattern is.
    for address in ["/sync/status", "/sync/time/reply", "/sync/*"] {
        lab.say(alice, &message(address, &[]));
        assert_eq!(lab.heard(bob).len(), 1, "{address}");
    }
    assert_eq!(lab.router.tally().times, 4);
}

#[test]
fn a_question_that_cannot_be_echoed_is_refused() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    lab.say(alice, b"/sync/time\0\0,Q\0\0");
    lab.say(alice, &[&b"/sync/time\0\0,"[..], &[b'['; 9], &[b']'; 9], &[0]].concat());
    lab.nothing_came(&[alice]);
    assert_eq!(lab.refused(Refusal::Time), 2);
}

#[test]
fn whoever_measures_the_clock_is_answered_as_by_a_peer() {
    let mut lab = Lab::new();
    let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
    lab.hush();
    let member = Membership { ensemble: "stage".into(), key: None };
    let standing = Standing {
        id: PeerId(1),
        leader: PeerId(1),
        claim: Claim { session: 3, ..Claim::default() },
        line: RemoteLine::new(lab.now.to_remote(), EnsembleTime::from_bits(0)),
        epochs: Epochs::default(),
    };
    let mut ping = Vec::new();
    member.write(&mut ping, &Message::Ping(Ping { standing, nonce: 99 })).expect("it can be written");
    lab.pass(Span::from_secs(3));
    let conn = ConnId::numbered(alice.0 as u32);
    lab.router.handle(conn, lab.now, &ping);
    let received = lab.now.to_remote();
    // It leaves half a second later.
    lab.now += Span::from_millis(500);
    lab.pump();
    let [pong] = lab.heard(alice).try_into().expect("one answer");
    let Ok(Message::Pong(pong)) = member.read(&pong) else { panic!("a pong of the same ensemble") };
    assert_eq!((pong.nonce, pong.received, pong.answered), (99, received, lab.now.to_remote()));
    assert_eq!((pong.standing.id, pong.standing.claim.age), (pong.standing.leader, Span::from_millis(3_500)));
    assert_eq!(pong.standing.line.ensemble_at(received), EnsembleTime::from_unix(Span::from_secs(3)));
    lab.nothing_came(&[bob]);
    // Sealed with a key: whoever has one wants no answer without.
    let key = Key::new(&[5; 32]);
    let mut sealed = Vec::new();
    let member = Membership { ensemble: "stage".into(), key };
    member.write(&mut sealed, &Message::Ping(Ping { standing, nonce: 1 })).expect("it can be written");
    lab.say(alice, &sealed);
    lab.say(alice, &message("/sync/ping", &[]));
    lab.nothing_came(&[alice, bob]);
    assert_eq!((lab.refused(Refusal::Time), lab.router.tally().times), (2, 1));
}

#[test]
fn the_time_follows_the_wall_clock() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    lab.pass(Span::from_secs(1));
    lab.now += Span::from_secs(1);
    let hour = Span::from_secs(3_600);
    let set = WallAnchor { wall: wall(lab.now).wall + hour, ..wall(lab.now) };
    lab.router.tick(set);
    lab.hush();
    // A second and a half later.
    for told in ["2.000000000", "3603.500000000"] {
        lab.say(alice, &message("/sync/time/s", &[]));
        assert_eq!(lab.told(alice), [format!("/sync/time/s/reply {told}")]);
        lab.now += Span::from_millis(1_500);
    }
}
