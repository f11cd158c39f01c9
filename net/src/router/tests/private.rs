//! Private messages: cases P01 to P06.

use super::*;

fn company() -> (Lab, [Client; 4]) {
    let mut lab = Lab::new();
    let clients = ["alice", "bob", "bob", "carol"].map(|name| lab.join(name));
    lab.pass(Span::from_secs(1));
    lab.hush();
    (lab, clients)
}

#[test]
fn p01_p06_the_addressee_gets_it_to_the_byte_and_nobody_else() {
    let (mut lab, [alice, bob, second, carol]) = company();
    lab.say(alice, &private("bob", "/foo", &[Arg::Int(10), Arg::Float(3.5), "h".into()]));
    let expected = b"/oscrouter/private\0\0,ssifs\0\0alice\0\0\0/foo\0\0\0\0\0\0\0\x0a\x40\x60\0\0h\0\0\0";
    for client in [bob, second] {
        assert_eq!(lab.heard(client), [expected]);
    }
    lab.nothing_came(&[alice, carol]);
}

#[test]
fn p01_every_type_arrives_as_it_was() {
    let (mut lab, [alice, bob, ..]) = company();
    let rest: &[u8] = b"dthSQ[]\0";
    let packet =
        [&b"/oscrouter/private\0\0,s"[..], rest, b"\0\0bob\0abcdefghijklmnopqrstuvwxabc\0????"].concat();
    lab.say(alice, &packet);
    let expected =
        [&b"/oscrouter/private\0\0,s"[..], rest, b"\0\0alice\0\0\0abcdefghijklmnopqrstuvwxabc\0????"]
            .concat();
    assert_eq!(lab.heard(bob), [expected]);
}

/// Names of every length, for there is at least one zero after each.
#[test]
fn p01_names_of_any_length() {
    let names = ["a", "al", "ali", "alis", "alisa"];
    let mut lab = Lab::new();
    let clients = names.map(|name| lab.join(name));
    lab.pass(Span::from_secs(1));
    lab.hush();
    for (sender, from) in names.iter().zip(clients) {
        for (name, to) in names.iter().zip(clients) {
            lab.say(from, &private(name, "/foo", &[Arg::Int(1)]));
            let args = [Arg::from(*sender), "/foo".into(), Arg::Int(1)];
            assert_eq!(lab.heard(to), [message("/oscrouter/private", &args)], "{sender} to {name}");
        }
    }
}

#[test]
fn p02_p04_to_nobody_or_of_nothing_is_nothing() {
    let (mut lab, clients) = company();
    let rows = [
        (private("dave", "/foo", &[]), Refusal::NoUser),
        (private("Bob", "/foo", &[]), Refusal::NoUser),
        (private("", "/foo", &[]), Refusal::NoUser),
        (message("/oscrouter/private", &[]), Refusal::Private),
        (message("/oscrouter/private", &["bob".into()]), Refusal::Private),
        (message("/oscrouter/private", &[Arg::Int(1), "/foo".into()]), Refusal::Private),
        (b"/oscrouter/private\0\0bob\0/foo\0\0\0\0".to_vec(), Refusal::Private),
    ];
    for (packet, why) in rows {
        let before = lab.refused(why);
        lab.say(clients[0], &packet);
        lab.nothing_came(&clients);
        assert_eq!(lab.refused(why), before + 1);
        assert!(lab.is_open(clients[0]));
    }
}

#[test]
fn p03_to_oneself() {
    let (mut lab, [alice, bob, second, carol]) = company();
    lab.say(bob, &private("bob", "/foo", &[]));
    for client in [bob, second] {
        assert_eq!(lab.told(client), ["/oscrouter/private bob /foo"]);
    }
    lab.nothing_came(&[alice, carol]);
}

#[test]
fn p05_across_framings() {
    for (ours, theirs) in [(Framing::Length, Framing::Slip), (Framing::Slip, Framing::Length)] {
        let mut lab = Lab::new();
        let [alice, bob] = [("alice", ours), ("bob", theirs)].map(|(name, framing)| {
            let client = lab.connect_as(framing, [10, 0, 0, 1]);
            lab.say(client, &register(name, "pw", "g", "gpw"));
            client
        });
        lab.hush();
        let blob = [0xc0, 0xdb, 0xdc, 0xdd, 0];
        lab.say(alice, &private("bob", "/foo", &[Arg::Blob(&blob)]));
        let expected = message("/oscrouter/private", &["alice".into(), "/foo".into(), Arg::Blob(&blob)]);
        assert_eq!(lab.heard(bob), [expected]);
    }
}

#[test]
fn p06_a_pattern_that_means_private_is_private() {
    for address in
        ["/oscrouter/priv*", "/oscrouter/privat[e]", "/*/private", "//private", "/oscrouter/{private,x}"]
    {
        let (mut lab, [alice, bob, second, carol]) = company();
        lab.say(alice, &message(address, &["bob".into(), "/secret".into(), Arg::Int(1)]));
        for client in [bob, second] {
            assert_eq!(lab.told(client), ["/oscrouter/private alice /secret Int(1)"], "{address}");
        }
        lab.nothing_came(&[alice, carol]);
    }
}

#[test]
fn a_private_message_in_a_bundle_keeps_its_timetag() {
    let (mut lab, [alice, bob, ..]) = company();
    let told = message("/oscrouter/private", &["alice".into(), "/foo".into()]);
    for (timetag, expected) in
        [(0, told.clone()), (1, told.clone()), (2, bundle(2, std::slice::from_ref(&told)))]
    {
        lab.say(alice, &bundle(timetag, &[private("bob", "/foo", &[])]));
        assert_eq!(lab.heard(bob), [expected]);
    }
}
