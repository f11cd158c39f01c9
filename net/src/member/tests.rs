//! A member in virtual time.

use super::*;

fn at(millis: i64) -> LocalTime {
    LocalTime::from_ticks(0) + Span::from_millis(millis)
}

fn member() -> Member {
    Member::new(&identity(), at(0)).unwrap()
}

fn identity() -> Identity {
    let [user, user_password, group, group_password] = ["pi1", "own", "band", "secret"].map(String::from);
    Identity { user, user_password, group, group_password, id: 7 }
}

fn message(address: &str, args: &[Arg<'_>]) -> Vec<u8> {
    let mut packet = Vec::new();
    osc::write(&mut packet, address, args.iter().copied()).unwrap();
    packet
}

/// One that has come in at a time.
fn joined(millis: i64) -> Member {
    let mut member = member();
    assert_eq!(member.step(at(millis)), Some(Step::Connect));
    assert!(member.connected(at(millis)));
    assert_eq!(member.step(at(millis)), Some(Step::Register));
    assert_eq!(member.hear(&message("/oscrouter/register/pi1/7", &[]), at(millis)), Heard::Joined);
    member
}

#[test]
fn it_registers_as_other_clients_do_and_asks_for_reasons() {
    let words = ["pi1", "own", "band", "secret"].map(Arg::from);
    let words = [&words[..], &[Arg::Int(7), "errors".into()]].concat();
    assert_eq!(member().registration(), message("/oscrouter/register", &words));
    let nul = Identity { user: "a\0b".into(), ..identity() };
    assert_eq!(Member::new(&nul, at(0)).err(), Some(WriteError::Nul));
}

#[test]
fn it_is_in_when_its_own_registration_is_answered_and_pings() {
    let mut member = member();
    assert_eq!(member.step(at(0)), Some(Step::Connect));
    assert_eq!(member.step(at(0)), None);
    assert!(member.connected(at(10)));
    assert_eq!(member.step(at(10)), Some(Step::Register));
    assert_eq!(member.step(at(10)), None);
    for other in ["/oscrouter/register/pi2/7", "/oscrouter/register/pi1/8"] {
        assert_eq!(member.hear(&message(other, &[]), at(20)), Heard::Routers);
        assert!(!member.is_joined());
    }
    assert_eq!(member.hear(&message("/oscrouter/register/pi1/7", &[]), at(20)), Heard::Joined);
    assert!(member.is_joined());
    assert_eq!((member.step(at(3_019)), member.deadline()), (None, at(3_020)));
    assert_eq!(member.step(at(3_020)), Some(Step::Ping));
    assert_eq!(member.deadline(), at(6_020));
    assert_eq!(member.tally(), MemberTally { joined: 1, failed: 0 });
}

#[test]
fn it_comes_back_soon_and_then_every_two_seconds() {
    let mut member = joined(0);
    let mut now = 10_000;
    assert_eq!(member.closed(None, at(now)), "the router has closed the connection");
    for pause in [250, 500, 1_000, 2_000, 2_000, 2_000] {
        assert_eq!(member.step(at(now + pause - 1)), None);
        now += pause;
        assert_eq!(member.step(at(now)), Some(Step::Connect));
        assert_eq!(member.closed(Some("refused"), at(now)), "cannot connect: refused");
    }
    assert_eq!(member.tally(), MemberTally { joined: 1, failed: 7 });
    now += 2_000;
    assert_eq!(member.step(at(now)), Some(Step::Connect));
    assert!(member.connected(at(now)));
    assert_eq!(member.step(at(now)), Some(Step::Register));
    assert_eq!(member.hear(&message("/oscrouter/register/pi1/7", &[]), at(now)), Heard::Joined);
    member.closed(None, at(now));
    assert_eq!(member.deadline(), at(now + 250), "who was in comes back soon");
}

#[test]
fn who_is_refused_says_why_and_does_not_insist() {
    let mut member = member();
    member.step(at(0));
    assert!(member.connected(at(0)));
    member.step(at(0));
    let reason = "wrong group password";
    let heard = member.hear(&message("/oscrouter/error", &[reason.into()]), at(5));
    assert_eq!(heard, Heard::Refused(reason.into()));
    assert_eq!(member.closed(None, at(5)), "the router refuses: wrong group password");
    assert_eq!(member.deadline(), at(30_005));
    assert_eq!(member.step(at(30_005)), Some(Step::Connect));
    assert!(member.connected(at(30_005)));
    assert_eq!(member.step(at(30_005)), Some(Step::Register));
    assert!(member.closed(None, at(30_006)).contains("without a word"), "the original gives no reason");
}

#[test]
fn nothing_is_waited_for_for_ever() {
    let mut member = member();
    assert_eq!(member.step(at(0)), Some(Step::Connect));
    assert_eq!((member.step(at(14_999)), member.step(at(15_000))), (None, Some(Step::Close)));
    assert_eq!(member.closed(None, at(15_000)), "cannot connect: it takes too long");
    assert!(!member.connected(at(15_249)), "it comes too late");
    assert_eq!(member.step(at(15_250)), Some(Step::Connect));
    assert!(member.connected(at(15_250)));
    assert_eq!(member.step(at(15_250)), Some(Step::Register));
    assert_eq!((member.step(at(25_249)), member.step(at(25_250))), (None, Some(Step::Close)));
}

#[test]
fn what_the_router_says_is_told_from_what_the_group_says() {
    let mut member = joined(0);
    let mut hear = |packet: &[u8]| member.hear(packet, at(1));
    assert_eq!(hear(&message("/play", &["kick".into()])), Heard::Group);
    assert_eq!(hear(b"garbage!"), Heard::Group, "whoever is to answer for it is told");
    let users = message("/oscrouter/userlist", &["pi1".into(), "anna".into()]);
    assert_eq!(hear(&users), Heard::Routers);
    assert_eq!(hear(&message("/oscrouter/ping", &["anna".into()])), Heard::Routers);
    let private =
        message("/oscrouter/private", &["anna".into(), "/play".into(), "kick".into(), Arg::Float(0.5)]);
    let plain = message("/play", &["kick".into(), Arg::Float(0.5)]);
    assert_eq!(hear(&private), Heard::Private { from: 0, packet: plain.clone() });
    let bundled = |packet: &[u8]| {
        let mut out = Vec::new();
        BundleWriter::new(&mut out, 0xe9b1_1200_8000_0000).packet(packet).unwrap();
        out
    };
    let heard = hear(&bundled(&private));
    assert_eq!(heard, Heard::Private { from: 0, packet: bundled(&plain) }, "its time is kept");
    assert_eq!((unwrapped(&private), unwrapped(&plain)), (Some(plain.clone()), None));
    assert_eq!(hear(&bundled(&plain)), Heard::Group);
    assert_eq!(hear(&message("/oscrouter/private", &["anna".into()])), Heard::Routers);
}

#[test]
fn who_wrote_to_us_alone_is_answered_alone() {
    let mut member = joined(0);
    let mut hear = |sender: &str| {
        let packet = message("/oscrouter/private", &[sender.into(), "/status".into()]);
        match member.hear(&packet, at(1)) {
            Heard::Private { from, .. } => from,
            other => panic!("{other:?}"),
        }
    };
    let [anna, bert] = ["anna", "bert"].map(&mut hear);
    assert_eq!((hear("anna"), anna == bert), (anna, false));
    let answer = message("/error", &["/status".into(), Arg::Int(7), Arg::Time(8)]);
    let private = |user: &str| {
        let words = [user.into(), "/error".into(), "/status".into(), Arg::Int(7), Arg::Time(8)];
        Some(message("/oscrouter/private", &words))
    };
    assert_eq!(member.privately(anna, &answer), private("anna"));
    assert_eq!(member.privately(bert, &answer), private("bert"));
    assert_eq!(member.privately(anna, b"garbage!"), None);
    // So many come that the first are forgotten.
    for n in 0..USERS {
        let packet = message("/oscrouter/private", &[format!("u{n}").as_str().into(), "/status".into()]);
        member.hear(&packet, at(2));
    }
    assert_eq!(member.privately(anna, &answer), None);
}
