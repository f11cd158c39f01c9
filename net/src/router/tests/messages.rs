//! What members send to the group: cases M01 to M13.

use super::*;

/// Alice with two connections, bob and carol, all in one group, and dave in another.
fn company() -> (Lab, [Client; 5]) {
    let mut lab = Lab::new();
    let clients = ["alice", "alice", "bob", "carol"].map(|name| lab.join(name));
    let dave = lab.connect();
    lab.say(dave, &register("dave", "pw", "h", "hpw"));
    lab.pass(Span::from_secs(1));
    lab.hush();
    let [alice, second, bob, carol] = clients;
    (lab, [alice, second, bob, carol, dave])
}

#[test]
fn m01_m02_all_others_get_it_once_and_no_connection_of_the_sender() {
    let (mut lab, clients) = company();
    let [alice, second, bob, carol, dave] = clients;
    for (from, to) in
        [(alice, vec![bob, carol]), (second, vec![bob, carol]), (bob, vec![alice, second, carol])]
    {
        let packet = message("/foo", &[Arg::Int(from.0 as i32)]);
        lab.say(from, &packet);
        for client in clients {
            let expected = if to.contains(&client) { vec![packet.clone()] } else { vec![] };
            assert_eq!(lab.heard(client), expected, "from {from:?} to {client:?}");
        }
    }
    lab.say(dave, &message("/foo", &[]));
    lab.nothing_came(&clients);
    assert_eq!(lab.router.tally().forwarded, 4);
    assert_eq!(lab.router.tally().refusals().map(|(_, count)| count).sum::<u64>(), 0);
}

#[test]
fn m03_pings_are_swallowed() {
    let (mut lab, clients) = company();
    for ping in [
        message("/oscrouter/ping", &[]),
        message("/oscrouter/ping", &["alice".into()]),
        message("/oscrouter/pin?", &[]),
        bundle(1, &[message("/oscrouter/ping", &["alice".into()])]),
    ] {
        lab.say(clients[0], &ping);
    }
    lab.nothing_came(&clients);
    assert_eq!(lab.router.tally().pings, 4);
}

#[test]
fn m04_to_m07_m09_packets_are_forwarded_byte_for_byte() {
    let deep =
        (2..=8).fold(bundle(1 << 40, &[message("/deep", &[])]), |inner, level| bundle(level << 40, &[inner]));
    let rows: [(&str, Vec<u8>); 16] = [
        ("M04", message("/oscrouter/other", &[Arg::Int(1)])),
        ("M05", message("/f*[ab]{x,y}?", &[Arg::Int(1)])),
        ("M05, levels", message("//gain", &[Arg::Float(0.5)])),
        ("M05, any", message("/*", &[])),
        ("M05, no pattern that we know", message("/foo[", &[])),
        ("M05, long", message(&format!("/f{}", "*".repeat(400)), &[])),
        (
            "M06",
            message(
                "/types",
                &[
                    Arg::Int(-1),
                    Arg::Float(f32::NAN),
                    Arg::Str("tëxt".as_bytes()),
                    Arg::Blob(&[0xc0, 0xdb, 1]),
                    Arg::Long(5),
                    Arg::Time(1),
                    Arg::Double(0.1),
                    Arg::Symbol(b"symbol"),
                    Arg::Char(b'c'.into()),
                    Arg::Rgba([1, 2, 3, 4]),
                    Arg::Midi([0, 0x90, 60, 127]),
                    Arg::True,
                    Arg::False,
                    Arg::Nil,
                    Arg::Impulse,
                    Arg::ArrayStart,
                    Arg::Int(1),
                    Arg::ArrayEnd,
                ],
            ),
        ),
        ("M06, no type tags", b"/old\0\0\0\0\0\0\0\x01".to_vec()),
        ("M06, unknown type", b"/new\0\0\0\0,iQ\0\0\0\0\x01whatever".to_vec()),
        ("M07", bundle(u64::MAX, &[message("/a", &[Arg::Int(1)]), message("/b", &[])])),
        ("M07, at once", bundle(1, &[message("/a", &[])])),
        ("M07, 0", bundle(0, &[message("/a", &[])])),
        ("M07, empty", bundle(5, &[])),
        ("M09", bundle(9, &[message("/a", &[]), bundle(3, &[message("/b", &[])]), message("/c", &[])])),
        ("M09, to 8", deep),
        ("M10", message("/blob", &[Arg::Blob(&vec![0xc0; (1 << 20) - 64])])),
    ];
    for (case, packet) in rows {
        let (mut lab, [alice, second, bob, carol, dave]) = company();
        lab.say(alice, &packet);
        assert!(lab.heard(bob) == [packet.clone()] && lab.heard(carol) == [packet], "{case}");
        lab.nothing_came(&[alice, second, dave]);
    }
}

#[test]
fn m08_nobody_waits_for_a_timetag() {
    let (mut lab, [alice, _, bob, carol, _]) = company();
    lab.say(alice, &bundle(u64::MAX, &[message("/later", &[])]));
    lab.say(carol, &message("/now", &[]));
    // No time went by.
    assert_eq!(lab.told(bob), ["/later", "/now"]);
}

#[test]
fn m11_f06_what_is_no_osc_is_dropped_and_the_connection_stays() {
    let (mut lab, clients) = company();
    let rows: [&[u8]; 9] = [
        b"foo\0,\0\0\0",
        b"\0\0\0\0",
        b"/a\0\0,i\0\0",
        b"/a\0\0,s\0\0aaaa",
        b"/abc",
        b"/a\0\0,i\0\0\0\0\0\x01\0",
        b"#bundle\0\0\0\0\0",
        b"#bundle\0\0\0\0\0\0\0\0\x01\0\0\0\x10/a\0\0",
        b"#bundle\0\0\0\0\0\0\0\0\x01\x80\0\0\x04/a\0\0",
    ];
    for packet in rows {
        lab.say(clients[0], packet);
    }
    let too_deep = (0..9).fold(message("/deep", &[]), |inner, _| bundle(1, &[inner]));
    lab.say(clients[0], &too_deep);
    lab.nothing_came(&clients);
    assert_eq!(lab.refused(Refusal::Malformed), 10);
    lab.say(clients[0], &message("/still", &[]));
    assert_eq!(lab.told(clients[2]), ["/still"]);
}

#[test]
fn m12_registering_again_shows_nobody_a_password() {
    for packet in [
        register("alice", "pw", "g", "gpw"),
        register("alice", "secret", "g", "gpw"),
        register("eve", "secret", "g", "gpw"),
        message("/oscrouter/reg*", &["alice".into(), "pw".into(), "g".into(), "gpw".into()]),
        message("//register", &["alice".into(), "pw".into(), "g".into(), "gpw".into()]),
        message("/oscrouter/*", &["alice".into(), "secret".into(), "g".into(), "gpw".into()]),
        bundle(1, &[register("alice", "pw", "g", "gpw"), message("/x", &[])]),
        message("/oscrouter/register", &["secret".into()]),
    ] {
        let (mut lab, [alice, second, bob, carol, dave]) = company();
        lab.say(alice, &packet);
        lab.pass(Span::from_secs(1));
        for client in [second, bob, carol, dave] {
            for packet in lab.heard(client) {
                assert_eq!(text(&packet).split(' ').next(), Some("/oscrouter/userlist"));
            }
        }
    }
}

#[test]
fn m13_only_the_router_tells_who_is_there_and_who_was_let_in() {
    let eve = |address: &str| message(address, &["eve".into()]);
    let rows = [
        eve("/oscrouter/userlist"),
        eve("/oscrouter/user*"),
        eve("/oscrouter/{userlist,x}"),
        eve("/*/userlist"),
        eve("//userlist"),
        eve("/oscrouter/{user*,x}"),
        eve("/{oscrouter,x}/u??????t"),
        eve(&format!("/oscrouter/userlist{}", "*".repeat(300))),
        eve("/oscrouter/["),
        eve("/osc*/u[s]erlist"),
        eve("/oscrouter/error"),
        eve("/*/err?r"),
        eve("/oscrouter/register/bob/7"),
        eve("/oscrouter/register/bob/8"),
        eve("/oscrouter/register/b*/*"),
        eve("/*/*/bob/*"),
        eve("//7"),
        eve("//*"),
        eve("/oscrouter//bob/[0-9]"),
        // Two commands at once, and all of them.
        eve("/oscrouter/p*"),
        eve("/oscrouter/*"),
        bundle(1, &[message("/fine", &[]), bundle(2, &[eve("/oscrouter/userlist")])]),
    ];
    for packet in rows {
        let (mut lab, clients) = company();
        lab.say(clients[0], &packet);
        lab.nothing_came(&clients);
        assert_eq!(lab.refused(Refusal::Reserved), 1, "{}", packet.escape_ascii());
        assert!(lab.is_open(clients[0]));
    }
    // What only looks like it.
    for address in
        ["/oscrouter/userlists", "/oscrouter/user", "/userlist", "/*/*/eve/9", "/oscrouter", "//oscrouter"]
    {
        let (mut lab, clients) = company();
        lab.say(clients[0], &eve(address));
        assert_eq!(lab.heard(clients[2]), [eve(address)]);
    }
}

#[test]
fn what_is_for_the_router_is_taken_out_of_a_bundle_and_the_rest_stays_as_it_was() {
    let (mut lab, [alice, second, bob, carol, _]) = company();
    let foo = |n| message("/foo", &[Arg::Int(n)]);
    let ping = message("/oscrouter/ping", &["alice".into()]);
    let secret = private("bob", "/secret", &[Arg::Int(1)]);
    let inner = bundle(6 << 32, &[ping.clone(), foo(2), secret.clone()]);
    let last = bundle(7 << 32, std::slice::from_ref(&ping));
    lab.say(alice, &bundle(5 << 32, &[foo(1), ping.clone(), inner, last, foo(3), secret]));
    let rest = bundle(5 << 32, &[foo(1), bundle(6 << 32, &[foo(2)]), bundle(7 << 32, &[]), foo(3)]);
    let to_bob = message("/oscrouter/private", &["alice".into(), "/secret".into(), Arg::Int(1)]);
    assert_eq!(
        lab.heard(bob),
        [bundle(6 << 32, std::slice::from_ref(&to_bob)), bundle(5 << 32, &[to_bob]), rest.clone()]
    );
    assert_eq!(lab.heard(carol), [rest]);
    lab.nothing_came(&[alice, second]);
    lab.say(alice, &bundle(5, &[ping.clone(), bundle(6, &[ping])]));
    lab.nothing_came(&[bob, carol]);
}

#[test]
fn long_patterns_and_many_commands_are_refused_before_they_cost_much() {
    let mut lab = Lab::new();
    let [alice, bob] = [lab.join(&"a".repeat(200)), lab.join("bob")];
    lab.hush();
    let long = message(&format!("/oscrouter/r*/*[{}]*a/*", "b".repeat(200)), &[]);
    lab.say(alice, &bundle(1, &vec![long; 1_000]));
    assert_eq!((lab.heard(bob).len(), lab.refused(Refusal::Reserved)), (0, 1));
    for (count, refused) in [(256, 0), (257, 1)] {
        lab.say(alice, &bundle(1, &vec![private("bob", "/a", &[]); count]));
        let heard = if refused == 0 { count } else { 0 };
        assert_eq!((lab.heard(bob).len(), lab.refused(Refusal::Commands)), (heard, refused));
    }
}

#[test]
fn patterns_in_a_large_group_cost_no_more_than_a_packet() {
    let mut lab = Lab::new();
    let clients: Vec<Client> = (0..300).map(|n| lab.join(&format!("u{n}"))).collect();
    lab.pass(Span::from_secs(1));
    lab.hush();
    let some = vec![message("//gain", &[]); 50];
    lab.say(clients[0], &bundle(1, &some));
    assert_eq!(lab.heard(clients[1]).len(), 1);
    let many = vec![message("//gain", &[]); 120];
    lab.say(clients[0], &bundle(1, &many));
    assert_eq!((lab.heard(clients[1]).len(), lab.refused(Refusal::Reserved)), (0, 1));
    // These cannot mean what has four levels.
    let flat = vec![message("/*/*/gain", &[]); 60];
    lab.say(clients[0], &bundle(1, &flat));
    assert_eq!(lab.heard(clients[1]).len(), 1);
}

#[test]
fn a_client_that_asked_is_told_what_was_refused_but_not_without_end() {
    let mut lab = Lab::new();
    lab.join("alice");
    let bob = lab.connect();
    lab.say(bob, &register_asking("bob", "pw", "g", "gpw"));
    lab.hush();
    lab.say(bob, &message("/oscrouter/userlist", &[]));
    lab.say(bob, b"/a\0\0,i\0\0");
    lab.say(bob, &private("nobody", "/x", &[]));
    assert_eq!(
        lab.told(bob),
        [
            "/oscrouter/error this address, or one that the pattern means, is the router\\'s own",
            "/oscrouter/error malformed OSC packet",
            "/oscrouter/error there is no user of this name in the group",
        ]
    );
    (0..1000).for_each(|_| lab.say(bob, b"/a\0\0,i\0\0"));
    assert_eq!((lab.heard(bob).len(), lab.router.tally().untold), (17, 983));
    // The registration it made last says whether it wants to be told.
    lab.say(bob, &register("bob", "pw", "g", "gpw"));
    lab.hush();
    lab.pass(Span::from_secs(60));
    lab.say(bob, b"/a\0\0,i\0\0");
    lab.nothing_came(&[bob]);
}

#[test]
fn a_rate_drops_what_is_more_and_the_connection_stays() {
    let rate = Some(Rate { packets: 100, bytes: 4_000 });
    let mut lab = Lab::with(RouterConfig { rate, ..RouterConfig::default() });
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| lab.join(name));
    lab.pass(Span::from_secs(10));
    lab.hush();
    let small = message("/a", &[]);
    (0..1000).for_each(|_| lab.say(alice, &small));
    assert_eq!((lab.heard(bob).len(), lab.refused(Refusal::Rate)), (100, 900));
    lab.pass(Span::from_millis(500));
    (0..1000).for_each(|_| lab.say(alice, &small));
    assert_eq!(lab.heard(bob).len(), 50);
    let large = message("/a", &[Arg::Blob(&[0; 988])]);
    (0..10).for_each(|_| lab.say(carol, &large));
    assert_eq!(lab.heard(bob).len(), 4, "others have rates of their own");
    // One that is larger than all that may be sent at once passes after a pause.
    lab.pass(Span::from_secs(10));
    let larger = message("/a", &[Arg::Blob(&[0; 10_000])]);
    (0..10).for_each(|_| lab.say(carol, &larger));
    assert_eq!(lab.heard(bob), [larger]);
}

#[test]
fn what_the_transport_does_not_take_is_bounded_and_counted() {
    let (mut lab, [alice, ..]) = company();
    let conn = ConnId::numbered(alice.0 as u32);
    let large = message("/a", &[Arg::Blob(&vec![0; 1 << 20])]);
    (0..100).for_each(|_| lab.router.handle(conn, lab.now, &large));
    let (lost, refused) = (lab.router.tally().lost, lab.refused(Refusal::Overload));
    assert_eq!((lost, refused), (36, 36));
    // A connection that is to be closed is closed all the same.
    lab.router.stop(lab.now);
    lab.pump();
    assert!((0..5).all(|n| !lab.is_open(Client(n))));
}
