//! How connections end: cases D01 to D07. D01 to D03, end of file, reset and half-close, are one thing to the router.

use super::*;

#[test]
fn d01_to_d03_whoever_is_gone_is_gone() {
    let mut lab = Lab::new();
    let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
    lab.hush();
    lab.leave(bob);
    lab.pass(Span::from_secs(1));
    assert_eq!(lab.heard(alice), [user_list(&["alice"])]);
    assert_eq!(lab.groups(), [("g".into(), 1, 1)]);
    lab.say(alice, &private("bob", "/foo", &[]));
    assert_eq!(lab.refused(Refusal::NoUser), 1);
    // It is told of again, or late.
    let conn = ConnId::numbered(bob.0 as u32);
    lab.router.close(conn, lab.now);
    lab.router.handle(conn, lab.now, &message("/foo", &[]));
    lab.pump();
    lab.nothing_came(&[alice]);
}

#[test]
fn d01_one_of_two_connections_is_gone() {
    let mut lab = Lab::new();
    let [alice, second, bob] = ["alice", "alice", "bob"].map(|name| lab.join(name));
    lab.say(bob, &message("/foo", &[]));
    lab.leave(second);
    lab.hush();
    lab.say(bob, &message("/bar", &[]));
    lab.say(bob, &private("alice", "/baz", &[]));
    assert_eq!(lab.told(alice), ["/bar", "/oscrouter/private bob /baz"]);
    assert_eq!(lab.groups(), [("g".into(), 2, 2)]);
}

#[test]
fn d04_without_a_password_nobody_gets_in_and_nothing_stays() {
    let mut lab = Lab::new();
    for packet in [register("alice", "", "g", "gpw"), register("", "pw", "g", "gpw")] {
        let client = lab.connect();
        lab.say(client, &packet);
        assert!(!lab.is_open(client));
        lab.nothing_came(&[client]);
        assert_eq!((lab.groups(), lab.router.users(), lab.router.connections()), (vec![], 0, 0));
    }
    // A group without a password is open to all.
    let client = lab.connect();
    lab.say(client, &register("alice", "pw", "", ""));
    assert_eq!(lab.heard(client)[0], registered("alice", 7));
}

#[test]
fn d05_registering_again_is_answered_again_and_changes_nothing() {
    let mut lab = Lab::new();
    let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
    lab.pass(Span::from_secs(1));
    lab.hush();
    lab.say(alice, &message("/oscrouter/register", &["alice", "pw", "g", "gpw", "again"].map(Arg::from)));
    assert_eq!(lab.told(alice), ["/oscrouter/register/alice/again", "/oscrouter/userlist alice bob"]);
    lab.nothing_came(&[bob]);
    lab.say(bob, &message("/foo", &[]));
    assert_eq!(lab.told(alice), ["/foo"], "once");
    lab.leave(alice);
    assert_eq!(lab.told(bob), ["/oscrouter/userlist bob"]);
    assert_eq!(lab.groups(), [("g".into(), 1, 1)]);
}

#[test]
fn d05_registering_again_with_a_wrong_password_closes() {
    let mut lab = Lab::new();
    let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
    lab.pass(Span::from_secs(1));
    lab.hush();
    lab.say(alice, &register("alice", "wrong", "g", "gpw"));
    assert!(!lab.is_open(alice));
    lab.nothing_came(&[alice]);
    assert_eq!(lab.told(bob), ["/oscrouter/userlist bob"]);
}

#[test]
fn d06_registering_elsewhere_moves() {
    let mut lab = Lab::new();
    let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
    lab.pass(Span::from_secs(1));
    lab.hush();
    lab.say(alice, &register("ally", "pw", "h", "hpw"));
    assert_eq!(lab.told(alice), ["/oscrouter/register/ally/7", "/oscrouter/userlist ally"]);
    assert_eq!(lab.told(bob), ["/oscrouter/userlist bob"]);
    lab.say(bob, &message("/foo", &[]));
    lab.say(alice, &message("/bar", &[]));
    lab.nothing_came(&[alice, bob]);
    assert_eq!(lab.groups(), [("g".into(), 1, 1), ("h".into(), 1, 1)]);
    // Under another name in the same group, of which it is the last.
    lab.say(bob, &register("robert", "pw", "g", "gpw"));
    assert_eq!(lab.told(bob), ["/oscrouter/register/robert/7", "/oscrouter/userlist robert"]);
    lab.pass(Span::from_secs(1));
    lab.nothing_came(&[bob]);
    lab.leave(bob);
    lab.leave(alice);
    assert_eq!((lab.groups(), lab.router.users()), (vec![], 0));
}

#[test]
fn d06_while_a_password_is_checked_it_stays_where_it_is() {
    let mut lab = Lab::new();
    let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
    let carol = lab.connect();
    lab.say(carol, &register("carol", "pw", "h", "hpw"));
    lab.hash_all(Hashing::Quick);
    lab.pass(Span::from_secs(70));
    lab.hush();
    lab.say(alice, &register("alice", "pw", "h", "hpw"));
    lab.say(bob, &message("/foo", &[]));
    lab.say(alice, &message("/bar", &[]));
    assert_eq!(lab.told(alice), ["/foo"]);
    lab.hash_all(Hashing::Quick);
    assert_eq!(lab.told(alice), ["/oscrouter/register/alice/7", "/oscrouter/userlist carol alice"]);
    assert_eq!(lab.told(carol), ["/oscrouter/userlist carol alice", "/bar"]);
    assert_eq!(lab.told(bob), ["/oscrouter/userlist bob"]);
}

#[test]
fn d07_whoever_is_silent_for_too_long_is_closed() {
    let mut lab = Lab::with(RouterConfig { idle: Some(Span::from_secs(30)), ..RouterConfig::default() });
    let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
    lab.hush();
    lab.pass(Span::from_secs(20));
    lab.say(alice, &message("/oscrouter/ping", &["alice".into()]));
    lab.pass(Span::from_secs(10));
    assert!(lab.is_open(alice) && !lab.is_open(bob));
    assert_eq!(lab.told(alice), ["/oscrouter/userlist alice"]);
    lab.pass(Span::from_secs(20) - Span::from_ticks(1));
    assert!(lab.is_open(alice));
    lab.pass(Span::from_ticks(1));
    assert!(!lab.is_open(alice));
    assert_eq!((lab.refused(Refusal::Idle), lab.router.connections()), (2, 0));
    // By itself nobody is closed.
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    lab.pass(Span::from_secs(1_000_000));
    assert!(lab.is_open(alice));
}

#[test]
fn whoever_does_not_register_in_time_is_closed() {
    let mut lab = Lab::new();
    lab.pass(Span::from_secs(3));
    let client = lab.connect();
    lab.pass(Span::from_secs(10) - Span::from_ticks(1));
    assert!(lab.is_open(client));
    lab.pass(Span::from_ticks(1));
    assert!(!lab.is_open(client));
    lab.nothing_came(&[client]);
    assert_eq!(lab.refused(Refusal::RegistrationTimeout), 1);
}

#[test]
fn whoever_waits_for_the_router_is_not_closed_for_it() {
    let mut lab = Lab::new();
    lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(Span::from_secs(70));
    let bob = lab.connect();
    lab.say(bob, &register("bob", "pw", "g", "gpw"));
    lab.pass(Span::from_secs(100));
    assert!(lab.is_open(bob));
    lab.hash_all(Hashing::Quick);
    assert_eq!(lab.heard(bob)[0], registered("bob", 7));
}

#[test]
fn the_router_asks_for_a_tick_when_it_needs_one() {
    let mut lab = Lab::with(RouterConfig { idle: Some(Span::from_millis(300)), ..RouterConfig::default() });
    let wait = |lab: &Lab| lab.router.deadline().expect("there is always one") - lab.now;
    assert_eq!(wait(&lab), Span::from_secs(1), "to look at the wall clock");
    lab.join("alice");
    assert_eq!(wait(&lab), Span::from_millis(300));
    lab.pass(Span::from_millis(300));
    assert_eq!(wait(&lab), Span::from_millis(700));
}

#[test]
fn who_wants_to_know_is_told_that_the_router_stops() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    let bob = lab.connect();
    lab.say(bob, &register_asking("bob", "pw", "g", "gpw"));
    let carol = lab.connect();
    lab.pass(Span::from_secs(1));
    lab.hush();
    lab.router.stop(lab.now);
    lab.pump();
    assert_eq!(lab.told(bob), ["/oscrouter/error the router is being stopped"]);
    lab.nothing_came(&[alice, carol]);
    assert!([alice, bob, carol].iter().all(|client| !lab.is_open(*client)));
    assert_eq!((lab.groups(), lab.router.connections(), lab.router.users()), (vec![], 0, 0));
}

#[test]
fn who_wants_to_know_is_told_why_the_transport_closes() {
    for (everybody, asks) in [(false, false), (false, true), (true, false)] {
        let mut lab = Lab::with(RouterConfig { tell_errors: everybody, ..RouterConfig::default() });
        let alice = lab.connect();
        let registers = if asks { register_asking } else { register };
        lab.say(alice, &registers("alice", "pw", "g", "gpw"));
        let conn = lab.streams[alice.0].conn;
        let words = lab.router.last_words(conn, "it is late", lab.now).map(|packet| text(&packet));
        let wanted =
            (everybody || asks).then(|| "/oscrouter/error the connection is closed: it is late".to_owned());
        assert_eq!(words, wanted);
        let stranger = lab.connect();
        let conn = lab.streams[stranger.0].conn;
        assert_eq!(lab.router.last_words(conn, "it is late", lab.now).is_some(), everybody);
        lab.leave(stranger);
        assert_eq!(lab.router.last_words(conn, "it is late", lab.now), None);
    }
}
