//! Registration: cases R01 to R13, and who is refused.

use super::*;

fn args<'a>(texts: &[&'a str]) -> Vec<Arg<'a>> {
    texts.iter().map(|text| Arg::from(*text)).collect()
}

#[test]
fn r01_to_r04_r10_answers_are_those_of_the_original_to_the_byte() {
    let named = |texts: &[&'static str], id: Option<Arg<'static>>| {
        message("/oscrouter/register", &[args(texts), id.into_iter().collect()].concat())
    };
    let alice = ["alice", "pw", "g", "gpw"];
    let first = Arg::Int(1);
    let rows: [(&str, Vec<u8>, &[u8]); 11] = [
        ("R01", named(&alice, Some(Arg::Int(4242))), b"/oscrouter/register/alice/4242\0\0,\0\0\0"),
        ("R02", named(&alice, None), b"/oscrouter/register/alice/0\0,\0\0\0"),
        (
            "R03",
            message(
                "/oscrouter/register",
                &[first, Arg::Float(3.5), Arg::Float(1.0), Arg::Int(2), Arg::Int(3)],
            ),
            b"/oscrouter/register/1/3\0,\0\0\0",
        ),
        (
            "R03",
            message("/oscrouter/register", &[Arg::Float(1.0), first, first, first]),
            b"/oscrouter/register/1.0/0\0\0\0,\0\0\0",
        ),
        (
            "R03",
            message("/oscrouter/register", &[Arg::Long(1 << 40), first, Arg::True, Arg::Nil]),
            b"/oscrouter/register/1099511627776/0\0,\0\0\0",
        ),
        ("R04", named(&alice, Some(Arg::Float(3.5))), b"/oscrouter/register/alice/3.5\0\0\0,\0\0\0"),
        ("text", named(&alice, Some("xyz".into())), b"/oscrouter/register/alice/xyz\0\0\0,\0\0\0"),
        ("R10", bundle(1, &[named(&alice, None)]), b"/oscrouter/register/alice/0\0,\0\0\0"),
        ("R10, later", bundle(u64::MAX, &[named(&alice, None)]), b"/oscrouter/register/alice/0\0,\0\0\0"),
        ("pattern", message("/oscrouter/reg*", &args(&alice)), b"/oscrouter/register/alice/0\0,\0\0\0"),
        ("any pattern", message("/*/*", &args(&alice)), b"/oscrouter/register/alice/0\0,\0\0\0"),
    ];
    for (case, packet, answer) in rows {
        let mut lab = Lab::new();
        let client = lab.connect();
        lab.say(client, &packet);
        assert_eq!(
            lab.heard(client)[0].escape_ascii().to_string(),
            answer.escape_ascii().to_string(),
            "{case}"
        );
        assert!(lab.is_open(client), "{case}");
    }
}

#[test]
fn names_are_bytes() {
    let mut lab = Lab::new();
    let client = lab.connect();
    lab.say(client, b"/oscrouter/register\0,ssss\0\0\0\xc3\xa9/\xff\0\0\0\0pw\0\0g\0\0\0p\0\0\0");
    let heard = lab.heard(client);
    assert_eq!(heard[0], b"/oscrouter/register/\xc3\xa9/\xff/0\0\0,\0\0\0");
    assert_eq!(heard[1], b"/oscrouter/userlist\0,s\0\0\xc3\xa9/\xff\0\0\0\0");
}

#[test]
fn r05_to_r08_whoever_does_not_register_rightly_first_is_closed_without_a_word() {
    let long = "x".repeat(256);
    let rows: [(&str, Vec<u8>, Refusal); 14] = [
        ("R05, 3", message("/oscrouter/register", &args(&["bob", "pw", "g"])), Refusal::Arguments),
        ("R05, 2", message("/oscrouter/register", &args(&["bob", "pw"])), Refusal::Arguments),
        ("R05, 1", message("/oscrouter/register", &args(&["bob"])), Refusal::Arguments),
        ("R05, 0", message("/oscrouter/register", &[]), Refusal::Arguments),
        ("R06", register("alice", "wrong", "g", "gpw"), Refusal::UserPassword),
        ("R07", register("bob", "pw", "g", "wrong"), Refusal::GroupPassword),
        ("R07, and a name that is there", register("alice", "wrong", "g", "wrong"), Refusal::GroupPassword),
        ("R08", message("/foo", &[Arg::Int(1)]), Refusal::Unregistered),
        ("R08, bundle", bundle(1, &[message("/foo", &[])]), Refusal::Unregistered),
        ("R08, ping", message("/oscrouter/ping", &args(&["bob"])), Refusal::Unregistered),
        ("not OSC", b"GET / HTTP/1.0\r\n".to_vec(), Refusal::Malformed),
        ("no text", message("/oscrouter/register", &[Arg::Blob(b"bob"); 4]), Refusal::Arguments),
        ("long name", register(&long, "pw", "g", "gpw"), Refusal::TooLong),
        ("D04", register("bob", "", "g", "gpw"), Refusal::Empty),
    ];
    for (case, packet, why) in rows {
        let mut lab = Lab::new();
        let alice = lab.join("alice");
        let client = lab.connect();
        lab.say_all(client, &[packet, message("/after", &[])]);
        assert!(!lab.is_open(client), "{case}");
        lab.nothing_came(&[client, alice]);
        assert_eq!((lab.refused(why), lab.groups()), (1, vec![("g".into(), 1, 1)]), "{case}");
    }
}

#[test]
fn r06_and_r07_are_the_same_once_the_hash_is_made() {
    for (packet, why) in [
        (register("alice", "wrong", "g", "gpw"), Refusal::UserPassword),
        (register("bob", "pw", "g", "wrong"), Refusal::GroupPassword),
    ] {
        let mut lab = Lab::new();
        let alice = lab.join("alice");
        lab.hash_all(Hashing::Quick);
        let client = lab.connect();
        lab.say(client, &packet);
        assert!(lab.is_open(client), "it waits");
        lab.hash_all(Hashing::Quick);
        assert!(!lab.is_open(client));
        lab.nothing_came(&[client, alice]);
        assert_eq!(lab.refused(why), 1);
    }
}

#[test]
fn whoever_asks_is_told_why() {
    let rows: [(Vec<u8>, &str); 6] = [
        (register_asking("alice", "wrong", "g", "gpw"), "wrong password for this user name"),
        (register_asking("bob", "pw", "g", "wrong"), "wrong group password"),
        (register_asking("", "pw", "g", "gpw"), "user name and user password must not be empty"),
        (
            message(
                "/oscrouter/register",
                &[[Arg::Nil; 3].as_slice(), &[Arg::Impulse, Arg::Nil, "errors".into()]].concat(),
            ),
            "/oscrouter/register takes user name, user password, group name, group password and an id, as text or numbers",
        ),
        (
            register_asking(&"x".repeat(256), "pw", "g", "gpw"),
            "too long: names and ids have at most 255 bytes, passwords 1,024",
        ),
        (
            register_asking("bob", &"x".repeat(1_025), "g", "gpw"),
            "too long: names and ids have at most 255 bytes, passwords 1,024",
        ),
    ];
    for (packet, reason) in rows {
        let mut lab = Lab::new();
        lab.join("alice");
        let client = lab.connect();
        lab.say(client, &packet);
        assert_eq!(lab.heard(client), [message("/oscrouter/error", &[reason.into()])]);
        assert!(!lab.is_open(client));
    }
    let mut lab = Lab::with(RouterConfig { tell_errors: true, ..RouterConfig::default() });
    let client = lab.connect();
    lab.say(client, &message("/foo", &[]));
    assert_eq!(
        lab.told(client),
        ["/oscrouter/error register first: the first packet has to be /oscrouter/register"]
    );
    assert!(!lab.is_open(client));
}

#[test]
fn r09_what_follows_in_the_same_write_is_forwarded() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    let bob = lab.connect();
    lab.say_all(bob, &[register("bob", "pw", "g", "gpw"), message("/foo", &[Arg::Int(1)])]);
    assert_eq!(lab.told(bob), ["/oscrouter/register/bob/7", "/oscrouter/userlist alice bob"]);
    assert_eq!(lab.told(alice), ["/oscrouter/userlist alice bob", "/foo Int(1)"]);
}

#[test]
fn r09_also_if_a_password_has_to_be_checked_first() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    lab.hash_all(Hashing::Quick);
    lab.pass(Span::from_secs(70));
    let bob = lab.connect();
    let foo = |n| message("/foo", &[Arg::Int(n)]);
    // A second registration too, which finds a password it has to wait for again.
    let again = register("alice", "pw", "g", "gpw");
    lab.say_all(bob, &[register("bob", "pw", "g", "gpw"), foo(1), again, foo(2)]);
    lab.nothing_came(&[alice, bob]);
    lab.hash_all(Hashing::Quick);
    assert_eq!(
        lab.told(bob),
        [
            "/oscrouter/register/bob/7",
            "/oscrouter/userlist alice bob",
            "/oscrouter/register/alice/7",
            "/oscrouter/userlist alice"
        ]
    );
    lab.pass(Span::from_secs(1));
    // The second is from herself.
    assert_eq!(
        lab.told(alice),
        ["/oscrouter/userlist alice bob", "/foo Int(1)", "/oscrouter/userlist alice"]
    );
}

#[test]
fn r10_what_stands_beside_a_registration_is_not_forwarded() {
    let mut lab = Lab::new();
    let alice = lab.join("alice");
    let bob = lab.connect();
    let both = [register("bob", "pw", "g", "gpw"), message("/foo", &[])];
    lab.say(bob, &bundle(1, &both));
    assert_eq!(lab.told(bob), ["/oscrouter/register/bob/7", "/oscrouter/userlist alice bob"]);
    assert_eq!(lab.told(alice), ["/oscrouter/userlist alice bob"]);
    // Of a member it is refused in so many words.
    lab.say(bob, &bundle(1, &both));
    assert_eq!(lab.told(bob), ["/oscrouter/register/bob/7", "/oscrouter/userlist alice bob"]);
    lab.nothing_came(&[alice]);
    assert_eq!(lab.refused(Refusal::Beside), 1);
}

#[test]
fn r12_a_group_that_all_have_left_takes_another_password() {
    for hashing in [Hashing::Held, Hashing::Quick] {
        let mut lab = Lab::new();
        lab.hashing = hashing;
        let alice = lab.join("alice");
        lab.leave(alice);
        assert_eq!(lab.groups(), []);
        let bob = lab.connect();
        lab.say(bob, &register("alice", "other", "g", "new"));
        assert_eq!(lab.heard(bob)[0], registered("alice", 7));
        let carol = lab.connect();
        lab.say(carol, &register("carol", "pw", "g", "gpw"));
        assert!(!lab.is_open(carol), "{hashing:?}");
    }
}

#[test]
fn r13_the_same_name_in_two_groups_is_two_users() {
    let mut lab = Lab::new();
    let there = lab.join("alice");
    let here = lab.connect();
    lab.say(here, &register("alice", "other", "h", "hpw"));
    assert_eq!(lab.told(here), ["/oscrouter/register/alice/7", "/oscrouter/userlist alice"]);
    lab.say(here, &message("/foo", &[]));
    lab.say(here, &private("alice", "/bar", &[]));
    assert_eq!(lab.told(here), ["/oscrouter/private alice /bar"]);
    lab.nothing_came(&[there]);
}

#[test]
fn limits_refuse_the_newest() {
    let limits = RouterConfig { groups: 2, users: 2, connections_per_user: 2, ..RouterConfig::default() };
    let rows = [
        ("alice", "g", None),
        ("alice", "g", None),
        ("alice", "g", Some(Refusal::Connections)),
        ("bob", "g", None),
        ("carol", "g", Some(Refusal::Users)),
        ("carol", "h", None),
        ("carol", "i", Some(Refusal::Groups)),
    ];
    let mut lab = Lab::with(limits);
    for (name, group, why) in rows {
        let client = lab.connect();
        lab.say(client, &register_asking(name, "pw", group, "gpw"));
        let refused = why.map(|why| vec![format!("/oscrouter/error {why}")]);
        match refused {
            Some(refused) => assert_eq!((lab.told(client), lab.is_open(client)), (refused, false)),
            None => assert!(lab.is_open(client), "{name} in {group}"),
        }
    }
    assert_eq!(lab.groups(), [("g".into(), 2, 3), ("h".into(), 1, 1)]);
}
