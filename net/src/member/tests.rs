//! A member in virtual time.

use super::*;
use crate::timing::Membership;
use downbeat_sync::{EnsembleTime, Message, Ping, Pong, RemoteLine, Standing, WallAnchor};

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
    assert_eq!(member.report(at(6_020)).tally, MemberTally { joined: 1, failed: 0 });
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
    assert_eq!(member.report(at(6_020)).tally, MemberTally { joined: 1, failed: 7 });
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
    assert_eq!(hear(&private), Heard::Private { from: Some(0), packet: plain.clone() });
    let bundled = |packet: &[u8]| {
        let mut out = Vec::new();
        BundleWriter::new(&mut out, 0xe9b1_1200_8000_0000).packet(packet).unwrap();
        out
    };
    let heard = hear(&bundled(&private));
    assert_eq!(heard, Heard::Private { from: Some(0), packet: bundled(&plain) }, "its time is kept");
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
    let [anna, bert] = ["anna", "bert"].map(|name| hear(name).expect("it is remembered"));
    assert_eq!((hear("anna"), anna == bert), (Some(anna), false));
    let names = ["x".repeat(255), "x".repeat(256)].map(|name| hear(&name).is_some());
    assert_eq!(names, [true, false], "a thousand long names would be gigabytes");
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

/// A router 1,234 s ahead, 10 ms away, answers what a member asks until then (ms). Returns how many questions there were.
fn tell_the_time(member: &mut Member, from: i64, to: i64) -> usize {
    let router = Membership { ensemble: "router".into(), key: None };
    let mut coming: Vec<(i64, Vec<u8>)> = Vec::new();
    let mut questions = 0;
    for millis in from..to {
        if member.step(at(millis)) == Some(Step::Ask) {
            questions += 1;
            let Ok(Message::Ping(Ping { standing, nonce })) = router.read(member.question()) else {
                panic!("it asks")
            };
            let there = at(millis + 10).to_remote();
            let line =
                RemoteLine::new(there, EnsembleTime::from_bits(there.ticks()) + Span::from_secs(1_234));
            let standing = Standing { line, ..standing };
            let pong = Pong { standing, nonce, received: there, answered: there, before: None };
            let mut packet = Vec::new();
            router.write(&mut packet, &Message::Pong(pong)).unwrap();
            coming.push((millis + 20, packet));
        }
        coming.retain(|(arrival, packet)| {
            let comes_later = millis < *arrival;
            assert!(comes_later || member.hear(packet, at(millis)) == Heard::Time);
            comes_later
        });
    }
    questions
}

#[test]
fn it_takes_the_routers_time_when_that_is_known() {
    let mut member = joined(0).with_time(1, 2, at(0));
    let host = |millis| WallAnchor {
        local: at(millis),
        wall: EnsembleTime::from_bits(5),
        uncertainty: Span::ZERO,
        synchronised: false,
    };
    assert!(member.time().is_some_and(|time| time.wall(host(0)).is_none() && !time.begins(at(0))));
    assert!(tell_the_time(&mut member, 0, 6_000) > 30);
    let time = member.time().unwrap();
    assert!(time.is_enough() && !time.is_not_given());
    assert_eq!(time.state(at(6_000)), SyncState::Locked);
    assert_eq!((time.begins(at(6_000)), time.begins(at(6_000)), time.is_used()), (true, false, true));
    let wall = time.wall(host(6_000)).unwrap();
    let error = wall.wall - (EnsembleTime::from_bits(at(6_000).ticks()) + Span::from_secs(1_234));
    assert!(error.abs() < Span::from_micros(1) && wall.uncertainty == Span::ZERO, "{wall:?}");
    // Away for a minute it is less sure, and not new when it is back.
    let away = time.wall(host(66_000)).unwrap();
    assert!(away.uncertainty > Span::ZERO && !time.begins(at(66_000)));
}

#[test]
fn who_does_not_give_the_time_is_hardly_asked() {
    let mut member = joined(0).with_time(1, 2, at(0));
    let asked = (0..30_000).filter(|millis| member.step(at(*millis)) == Some(Step::Ask)).count();
    assert_eq!(asked, 6);
    assert!(member.time().unwrap().is_not_given());
    // Pings have gone on.
    assert!(member.deadline() - at(30_000) <= PING);
}

#[test]
fn who_only_looks_now_and_then_knows_the_time_as_well() {
    let router = Membership { ensemble: "router".into(), key: None };
    let mut member = joined(0).with_time(1, 2, at(0));
    let ahead = Span::from_secs(1_234);
    let mut coming: Vec<(LocalTime, Vec<u8>)> = Vec::new();
    let (mut now, mut looks) = (at(0), 0);
    while now.is_before(at(300_000)) {
        looks += 1;
        coming.retain(|(arrival, packet)| {
            let comes_later = now.is_before(*arrival);
            assert!(comes_later || member.hear(packet, now) == Heard::Time);
            comes_later
        });
        while let Some(step) = member.step(now) {
            if step != Step::Ask {
                continue;
            }
            let Ok(Message::Ping(Ping { standing, nonce })) = router.read(member.question()) else {
                panic!("it asks")
            };
            let came = now + Span::from_millis(20);
            let there = came.to_remote();
            let line = RemoteLine::new(there, EnsembleTime::from_bits(there.ticks()) + ahead);
            let pong = Pong {
                standing: Standing { line, ..standing },
                nonce,
                received: there,
                answered: there,
                before: None,
            };
            let mut packet = Vec::new();
            router.write(&mut packet, &Message::Pong(pong)).unwrap();
            coming.push((came + Span::from_millis(20), packet));
        }
        // What else they do keeps them for a second at most.
        now = member.next_look(now).later(now).earlier(now + Span::from_secs(1));
    }
    let wall = WallAnchor {
        local: now,
        wall: EnsembleTime::from_bits(5),
        uncertainty: Span::ZERO,
        synchronised: false,
    };
    let error =
        member.time().unwrap().wall(wall).unwrap().wall - (EnsembleTime::from_bits(now.ticks()) + ahead);
    // Half of what lies between two looks.
    assert!(error.abs() < Span::from_micros(500), "{error}");
    assert!(looks < 80_000, "{looks}");
}
