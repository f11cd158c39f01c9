//! What a session does with single messages: right ones, old ones, forged ones. How many sessions get on with each other is
//! tested in the lab.

use super::crowd::STRANGERS;
use super::*;
use crate::{Epochs, SyncState};

const STEP: Span = Span::from_millis(10);

fn wall(millis: i64) -> WallAnchor {
    let since = Span::from_millis(millis);
    WallAnchor {
        local: LocalTime::from_ticks(1 << 40) + since,
        wall: EnsembleTime::from_unix(Span::from_secs(1_800_000_000)) + since,
        uncertainty: Span::ZERO,
        synchronised: false,
    }
}

fn session(id: u64) -> Session {
    let config = SessionConfig { id: PeerId(id), secret: id * 31, ..SessionConfig::default() };
    Session::new(config, wall(0))
}

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 9_000))
}

/// What a session wants sent at `now`.
fn said(session: &mut Session, now: WallAnchor) -> Vec<Output> {
    session.advance(now);
    std::iter::from_fn(|| session.poll(now.local)).collect()
}

/// A hello of a node that leads since an hour.
fn hello(id: u64, count: u64) -> Message {
    let now = wall(0);
    let claim = Claim { session: 5, age: Span::from_secs(3_600), ..Claim::default() };
    let line = ClockEstimate::new(now.local, now.wall + Span::from_secs(7));
    let (id, line, epochs) = (PeerId(id), line.to_remote(), Epochs::default());
    let standing = Standing { id, leader: id, claim, line, epochs };
    Message::Hello(Hello { standing, count, known: Vec::new() })
}

/// The same of one that leads a session of its own, which is so old (ms).
fn young_hello(id: u64, age: i64, count: u64) -> Message {
    let Message::Hello(mut hello) = hello(id, count) else { unreachable!("it is a hello") };
    hello.standing.claim = Claim { session: id, age: Span::from_millis(age), ..hello.standing.claim };
    Message::Hello(hello)
}

/// Who is asked something at `now`.
fn asked(session: &mut Session, now: WallAnchor) -> Vec<SocketAddr> {
    let asked = |output| match output {
        Output::Send { to, message: Message::Ping(_), .. } => Some(to),
        _ => None,
    };
    said(session, now).into_iter().filter_map(asked).collect()
}

#[test]
fn a_leader_whose_answers_are_held_back_is_asked_in_a_burst_for_longer() {
    // Up 1 ms; back as long, or for nine of ten answers up to 91 ms longer.
    let questions = |holds: bool| {
        let (mut session, now) = (session(2), wall(0));
        session.handle(now.local, address(1), &hello(1, 1));
        let mut coming: Vec<(i64, Message)> = Vec::new();
        let mut asked = 0;
        for millis in 0..5_000 {
            let now = wall(millis);
            for output in said(&mut session, now) {
                let Output::Send { message: Message::Ping(ping), .. } = output else { continue };
                asked += 1;
                let Message::Hello(hello) = hello(1, 1) else { unreachable!("it is a hello") };
                let there = (now.local + Span::from_millis(1)).to_remote();
                let pong = Pong {
                    standing: hello.standing,
                    nonce: ping.nonce,
                    received: there,
                    answered: there,
                    before: None,
                };
                let held = if holds && asked % 10 > 0 { 20 + asked * 37 % 71 } else { 0 };
                coming.push((millis + 2 + held, Message::Pong(pong)));
            }
            coming.retain(|(at, pong)| {
                if *at <= millis {
                    session.handle(wall(millis).local, address(1), pong);
                }
                *at > millis
            });
        }
        asked
    };
    let [alike, held] = [false, true].map(questions);
    // A question in 20 ms instead of one in 125, until a sixth fast one is back.
    assert!((50..=75).contains(&alike), "{alike}");
    assert!((alike + 20..=alike + 40).contains(&held), "{alike} {held}");
}

/// Lets `two` hear and answer what `one` says, for so many steps of 10 ms from `from` (ms) on; 1 ms each way.
fn converse(one: &mut Session, two: &mut Session, from: i64, steps: i64) {
    converse_as(one, two, from, steps, [Host::default(); 2], |_| {});
}

/// What a host takes to send a message that it has stamped, and what its kernel tells of that.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    takes: Span,
    tells: Option<Span>,
}

/// The same between such hosts, over a network that does this to what is said.
fn converse_as(
    one: &mut Session,
    two: &mut Session,
    from: i64,
    steps: i64,
    hosts: [Host; 2],
    mut tamper: impl FnMut(&mut Message),
) {
    let way = Span::from_millis(1);
    for step in 0..steps {
        let now = wall(from + 10 * step);
        let to_two = said(one, now);
        let to_one = said(two, now);
        for (n, messages) in [to_two, to_one].into_iter().enumerate() {
            let (speaker, hearer) = if n == 0 { (&mut *one, &mut *two) } else { (&mut *two, &mut *one) };
            for output in messages {
                let (mut message, stamp) = match output {
                    Output::Send { message, stamp, .. } => (message, stamp),
                    Output::Announce(message) => (message, None),
                };
                if let (Some(cookie), Some(took)) = (stamp, hosts[n].tells) {
                    speaker.sent(cookie, now.local + took);
                }
                tamper(&mut message);
                hearer.handle(now.local + hosts[n].takes + way, address(n as u8 + 1), &message);
            }
        }
    }
}

#[test]
fn whoever_was_there_first_is_followed_once_it_has_answered() {
    let (mut old, mut new) = (session(9), session(1));
    converse(&mut old, &mut new, 0, 1);
    // The older one is told from the younger by its age alone.
    old.born = old.born - Span::from_secs(60);
    converse(&mut old, &mut new, 10, 150);
    assert!(old.leads() && !new.leads());
    assert_eq!(new.leader(), PeerId(9));
}

#[test]
fn an_old_hello_said_again_makes_nobody_follow() {
    let mut session = session(1);
    // Nobody answers the questions that it leads to: whoever it was is gone.
    for n in 0..200 {
        let now = wall(10 * n);
        session.handle(now.local, address(7), &hello(9, 3));
        said(&mut session, now);
        assert!(session.leads());
    }
    // In the first second it may have been a copy.
    assert_eq!(session.tally().stray, 100);
}

#[test]
fn an_answer_nobody_asked_for_is_counted_and_changes_nothing() {
    let mut session = session(1);
    session.handle(wall(0).local, address(7), &hello(9, 1));
    said(&mut session, wall(1));
    let Message::Hello(Hello { standing, .. }) = hello(9, 1) else { unreachable!("it is a hello") };
    let before = session.estimate();
    for nonce in 0..100 {
        let at = wall(2).local;
        let pong = Pong { standing, nonce, received: at.to_remote(), answered: at.to_remote(), before: None };
        session.handle(at, address(7), &Message::Pong(pong));
    }
    assert!(session.leads());
    assert_eq!((session.tally().stray, session.estimate()), (100, before));
}

#[test]
fn its_own_voice_from_a_broadcast_is_nobody() {
    let mut session = session(1);
    let own: Vec<Output> = said(&mut session, wall(0));
    for output in own {
        let (Output::Send { message, .. } | Output::Announce(message)) = output;
        session.handle(wall(1).local, address(1), &message);
    }
    assert!(session.peers(wall(1).local).is_empty());
}

#[test]
fn a_crowd_of_strangers_is_bounded_and_counted() {
    let mut session = session(1);
    let Message::Hello(Hello { mut standing, .. }) = hello(9, 1) else { unreachable!("it is a hello") };
    let crowd = ANSWERS + 100;
    for id in 2..2 + crowd as u64 {
        standing.id = PeerId(id);
        let ping = Ping { standing, nonce: id };
        session.handle(wall(0).local, address(3), &Message::Ping(ping));
    }
    // The one that claims to lead is asked whether it does. Most others are forgotten, and a hundred not answered.
    assert_eq!(session.peers(wall(0).local).len(), STRANGERS);
    assert_eq!(session.tally().dropped, (crowd - STRANGERS + 100) as u64);
    let answers = said(&mut session, wall(1));
    let pongs =
        answers.iter().filter(|output| matches!(output, Output::Send { message: Message::Pong(_), .. }));
    assert_eq!(pongs.count(), ANSWERS);
}

#[test]
fn a_flood_of_forged_hellos_costs_nobody_a_place_and_answers_few() {
    let mut sessions = [session(9), session(1), session(5)];
    sessions[0].born = sessions[0].born - Span::from_secs(60);
    let way = Span::from_millis(1);
    let mut forged = 0;
    let mut sent = [0; 2];
    for ms in 0..6_000 {
        let now = wall(ms);
        // Two know each other when it begins; the third comes in the midst of it.
        let there = if ms < 2_500 { 2 } else { 3 };
        let is_flood = (2_000..4_000).contains(&ms);
        for _ in 0..if is_flood { 5 } else { 0 } {
            forged += 1;
            let from = SocketAddr::from(([10, 1, (forged >> 8) as u8, forged as u8], 9_000));
            let Message::Hello(mut hello) = hello(1_000 + forged, 1) else { unreachable!("it is a hello") };
            // Some say that they follow.
            hello.standing.leader = PeerId(if forged % 2 == 0 { 9 } else { 1_000 + forged });
            for session in &mut sessions[..there] {
                // On two interfaces it comes twice.
                session.handle(now.local, from, &Message::Hello(hello.clone()));
                session.handle(now.local, from, &Message::Hello(hello.clone()));
            }
        }
        for speaker in 0..there {
            for output in said(&mut sessions[speaker], now) {
                let (to, message) = match output {
                    Output::Send { to, message, .. } => (Some(to), message),
                    Output::Announce(message) => (None, message),
                };
                if speaker == 0
                    && is_flood
                    && to.is_some_and(|to| to.port() == 9_000 && (1..4).all(|n| address(n) != to))
                {
                    sent[usize::from(matches!(message, Message::Ping(_)))] += 1;
                }
                for hearer in (0..there).filter(|hearer| *hearer != speaker) {
                    if to.is_none_or(|to| to == address(hearer as u8 + 1)) {
                        sessions[hearer].handle(now.local + way, address(speaker as u8 + 1), &message);
                    }
                }
            }
        }
        if ms >= 2_000 {
            assert!(sessions[0].leads() && sessions[1].leader() == PeerId(9), "at {ms} ms");
            assert!(ms < 3_900 || sessions[2].leader() == PeerId(9), "at {ms} ms");
        }
        if (3_900..4_000).contains(&ms) {
            assert_eq!(sessions[0].followers, 2);
            let known: Vec<u64> = sessions[0].hello(now.local).known.iter().map(|(id, _)| id.0).collect();
            assert_eq!(known, [1, 5]);
        }
    }
    assert_eq!(forged, 10_000);
    let [greeted, asked] = sent;
    assert!(
        (100..1_000).contains(&greeted) && asked < 700,
        "{greeted} greeted and {asked} asked in two seconds"
    );
    for session in &mut sessions {
        assert!(session.peers.len() <= STRANGERS + 2, "{}", session.peers.len());
        assert!(session.strangers.len() <= STRANGERS, "{}", session.strangers.len());
        session.advance(wall(70_000));
        assert!(session.peers.is_empty() && session.strangers.is_empty());
    }
}

#[test]
fn who_comes_in_the_midst_of_a_flood_finds_the_leader_of_an_older_session() {
    let (mut session, mut leader) = (session(1), session(9));
    leader.born = leader.born - Span::from_secs(600);
    let mut forged = 0;
    for ms in 0..3_000 {
        let now = wall(ms);
        session.advance(now);
        for _ in 0..5 {
            forged += 1;
            session.handle(now.local, address(9), &hello(1_000 + forged, 1));
        }
        if ms > 1_000 {
            converse(&mut leader, &mut session, ms, 1);
        }
    }
    assert_eq!(session.leader(), PeerId(9));
}

#[test]
fn it_says_nothing_more_often_than_it_must() {
    let mut session = session(1);
    let mut sent = 0;
    let mut now = wall(0);
    for _ in 0..1_000 {
        sent += said(&mut session, now).len();
        now = WallAnchor { local: now.local + STEP, wall: now.wall + STEP, ..now };
    }
    // A heartbeat twice a second, for ten seconds.
    assert!((20..=21).contains(&sent), "{sent}");
}

#[test]
fn nobody_joins_a_session_through_a_node_that_is_about_to_give_it_up() {
    for yields in [false, true] {
        let mut session = session(1);
        let Message::Hello(mut hello) = hello(9, 1) else { unreachable!("it is a hello") };
        hello.standing.claim.yields = yields;
        session.handle(wall(0).local, address(9), &Message::Hello(hello));
        assert_eq!(asked(&mut session, wall(0)).is_empty(), yields);
    }
}

#[test]
fn what_is_due_ten_times_a_second_is_done_ten_times_a_second_by_a_leader_too() {
    let mut session = session(1);
    let mut now = wall(0);
    // Somebody is there, who is younger.
    session.born = session.born - Span::from_secs(60);
    session.handle(now.local, address(7), &young_hello(7, 1_000, 1));
    for _ in 0..100 {
        said(&mut session, now);
        let next = session.deadline();
        let step = next - now.local;
        assert!(step > Span::ZERO && step <= COUNT, "{step}");
        now = WallAnchor { local: next, wall: now.wall + step, ..now };
    }
}

#[test]
fn of_two_heirs_the_older_is_followed_though_it_spoke_earlier() {
    let pinned = SessionConfig { id: PeerId(9), leader: true, ..SessionConfig::default() };
    let (mut leader, mut session) = (Session::new(pinned, wall(0)), session(1));
    converse(&mut leader, &mut session, 0, 200);
    assert_eq!(session.leader(), PeerId(9));
    // From here on the leader is silent. The first heir will be 350 ms older than the second, and said so earlier.
    session.handle(wall(2_300).local, address(7), &young_hello(7, 100_000, 1));
    said(&mut session, wall(2_310));
    session.handle(wall(3_050).local, address(8), &young_hello(8, 100_400, 1));
    let first = (3_050..3_300).step_by(10).find_map(|ms| {
        let others = asked(&mut session, wall(ms)).into_iter().filter(|to| *to != address(1));
        others.into_iter().next()
    });
    assert_eq!(first, Some(address(7)));
}

#[test]
fn an_older_session_gives_way_to_no_younger_one_however_often_that_is_claimed() {
    let mut session = session(9);
    session.born = session.born - Span::from_secs(60);
    for n in 0..40 {
        let at = 500 * n;
        session.handle(wall(at).local, address(1), &young_hello(1, 1_000 + at, n as u64 + 1));
        assert_eq!(asked(&mut session, wall(at)), []);
        assert!(session.leads());
    }
}

#[test]
fn a_drift_is_believed_by_the_number_of_the_host_until_the_stamps_speak_and_what_they_say_is_told() {
    let belief = RateBelief { rate: 50e-6, sigma: 0.3e-6 };
    let session_of = |id: PeerId, beliefs: Vec<(u32, RateBelief)>| {
        Session::new(SessionConfig { id, secret: id.0, beliefs, ..SessionConfig::default() }, wall(0))
    };
    for (host, believed) in [(9, 50e-6), (8, 0.0)] {
        let leader_id = PeerId::new(9, 3);
        let mut leader = session_of(leader_id, Vec::new());
        leader.born = leader.born - Span::from_secs(60);
        let mut session = session_of(PeerId::new(1, 1), vec![(host, belief)]);
        converse(&mut leader, &mut session, 0, 40);
        let rate = |session: &Session, ms: i64| {
            let estimate = session.peers[&leader_id].estimator().estimate(wall(ms).local);
            estimate.expect("it was asked").rate()
        };
        assert!((rate(&session, 400) - believed).abs() < 1e-6, "{}", rate(&session, 400));
        converse(&mut leader, &mut session, 400, 4_000);
        assert!(session.leader() == leader_id && rate(&session, 40_400).abs() < 1e-7);
        let told: Vec<(u32, RateBelief)> = session.learned(wall(40_400).local).collect();
        assert!(told.len() == 1 && told[0].0 == 9 && told[0].1.rate.abs() < 1e-7, "{told:?}");
        // The leader's host is started anew.
        let again = session.beliefs.of(PeerId::new(9, 4), wall(60_000).local);
        assert!(again.rate.abs() < 1e-7 && again.sigma < 1e-6, "{again:?}");
        assert_eq!(session.learned(wall(60_000).local).count(), 0);
    }
}

/// How far a follower's clock is from its leader's after half a minute between such hosts, the leader first; both have the same
/// local clock. And how many stamps the follower and the leader did not believe.
fn apart(hosts: [Host; 2], tamper: impl FnMut(&mut Message)) -> (Span, u64) {
    let (mut old, mut new) = (session(9), session(1));
    converse(&mut old, &mut new, 0, 1);
    old.born = old.born - Span::from_secs(60);
    converse_as(&mut old, &mut new, 10, 3_000, hosts, tamper);
    assert_eq!((new.leader(), new.state(wall(30_000).local)), (PeerId(9), SyncState::Locked));
    let at = wall(30_000).local;
    let apart = new.estimate().ensemble_at(at) - old.estimate().ensemble_at(at);
    (apart, old.tally().absurd + new.tally().absurd)
}

/// Sends 400 us after it has read the clock, and its kernel tells this of it.
fn slow(tells: Option<Span>) -> Host {
    Host { takes: Span::from_micros(400), tells }
}

/// Sends at once, and its kernel says so.
fn quick() -> Host {
    Host { takes: Span::ZERO, tells: Some(Span::ZERO) }
}

fn is_about(apart: Span, micros: i64) -> bool {
    (apart - Span::from_micros(micros)).abs() < Span::from_micros(2)
}

#[test]
fn a_leader_that_comes_back_from_another_session_takes_its_followers_along() {
    let (mut old, mut new) = (session(9), session(1));
    old.born = old.born - Span::from_secs(60);
    converse(&mut old, &mut new, 0, 300);
    assert_eq!((new.leader(), new.age(wall(3_000).local).0), (PeerId(9), old.session));
    old.session = 77;
    old.born = old.born - Span::from_secs(600);
    // Within a second, or as soon as its time is known well.
    converse(&mut old, &mut new, 3_000, 120);
    let [of_old, of_new] = [&old, &new].map(|session| session.age(wall(4_200).local));
    assert_eq!((of_old.0, of_new.0), (77, 77));
    assert!((of_old.1 - of_new.1).abs() < Span::from_millis(20), "{of_old:?} {of_new:?}");
}

#[test]
fn an_exchange_has_the_stamps_of_when_its_messages_really_left() {
    let truth = Some(Span::from_micros(400));
    for hosts in [[slow(truth), quick()], [quick(), slow(truth)], [slow(truth), slow(truth)]] {
        let (apart, absurd) = apart(hosts, |_| {});
        assert!(is_about(apart, 0) && absurd == 0, "{hosts:?}: {apart}, {absurd}");
    }
}

#[test]
fn without_better_stamps_all_is_as_it_was() {
    let truth = Some(Span::from_micros(400));
    // Half of what the slow one takes: nobody can tell it from a slower way.
    for host in [quick(), Host::default()] {
        let (after, absurd) = apart([slow(None), host], |_| {});
        assert!(is_about(after, -200) && absurd == 0, "{after}");
    }
    // What both take falls out, as long as a stamp of one kind is not held against one of the other.
    for hosts in [[slow(None), slow(truth)], [slow(truth), slow(None)]] {
        let (apart, absurd) = apart(hosts, |_| {});
        assert!(is_about(apart, 0) && absurd == 0, "{hosts:?}: {apart}");
    }
    let (ahead, absurd) = apart([quick(), slow(None)], |_| {});
    assert!(is_about(ahead, 200) && absurd == 0, "{ahead}");
}

#[test]
fn stamps_that_cannot_be_true_are_counted_and_not_used() {
    for lie in [Span::from_micros(-1), Span::from_millis(51)] {
        let (after, absurd) = apart([slow(Some(lie)), quick()], |_| {});
        assert!(is_about(after, -200) && absurd > 50, "{lie}: {after}, {absurd}");
        let (ahead, absurd) = apart([quick(), slow(Some(lie))], |_| {});
        assert!(is_about(ahead, 200) && absurd > 50, "{lie}: {ahead}, {absurd}");
    }
}

#[test]
fn what_is_told_of_an_answer_counts_for_that_answer_alone() {
    let truth = Some(Span::from_micros(400));
    let (after, absurd) = apart([slow(truth), quick()], |message| {
        if let Message::Pong(Pong { before: Some(before), .. }) = message {
            before.at += Span::from_millis(60);
        }
    });
    assert!(is_about(after, -200) && absurd > 50, "{after}, {absurd}");
    let (after, absurd) = apart([slow(truth), quick()], |message| {
        if let Message::Pong(Pong { before: Some(before), .. }) = message {
            before.nonce ^= 1;
        }
    });
    assert!(is_about(after, -200) && absurd == 0, "{after}, {absurd}");
}

#[test]
fn an_exchange_whose_better_stamp_never_comes_is_used_as_it_is() {
    let (mut old, mut new) = (session(9), session(1));
    converse(&mut old, &mut new, 0, 1);
    old.born = old.born - Span::from_secs(60);
    let hosts = [slow(Some(Span::from_micros(400))), quick()];
    converse_as(&mut old, &mut new, 10, 1_000, hosts, |_| {});
    let waits = |session: &Session| session.peers[&PeerId(9)].waiting.is_some();
    assert!(waits(&new));
    // Nothing comes any more.
    for n in 0..140 {
        said(&mut new, wall(10_010 + 10 * n));
    }
    assert!(waits(&new));
    for n in 140..170 {
        said(&mut new, wall(10_010 + 10 * n));
    }
    assert!(!waits(&new));
}

#[test]
fn a_leader_says_hello_all_the_time_until_its_jump_takes_effect() {
    let mut session = session(1);
    let mut hellos = Vec::new();
    for n in 0..400 {
        let mut now = wall(10 * n);
        if n >= 50 {
            now.wall += Span::from_secs(60);
        }
        let announced = |output: &Output| matches!(output, Output::Announce(Message::Hello(hello)) if hello.standing.epochs.count() > 0);
        if said(&mut session, now).iter().any(announced) {
            hellos.push(10 * n);
        }
    }
    // It is looked at after a second, and takes effect a second and a half after that; told once more when it has.
    assert_eq!((hellos[0], &hellos[hellos.len() - 3..]), (1_000, &[2_500, 3_000, 3_500][..]));
    let most = hellos[..hellos.len() - 2].windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(most.is_some_and(|most| most <= 110), "{hellos:?}");
}

#[test]
fn an_announcement_that_was_overtaken_by_a_newer_one_is_not_heeded() {
    let (mut leader, mut session) = (session(1), session(2));
    converse(&mut leader, &mut session, 0, 1);
    leader.born = leader.born - Span::from_secs(60);
    converse(&mut leader, &mut session, 10, 200);
    assert_eq!(session.leader(), PeerId(1));
    // A minute and an hour ahead, one after the other; then what was said before comes once more.
    let room = session.published.line().ensemble_at(wall(2_010).local);
    let first = Epochs::default().jump(room, Span::from_secs(60));
    let second = first.jump(room, Span::from_secs(3_540));
    for (told, ahead) in [(first, 60), (second, 3_600), (first, 3_600), (Epochs::default(), 3_600)] {
        let Some(peer) = session.peers.get_mut(&PeerId(1)) else { unreachable!("it is known") };
        peer.standing.epochs = told;
        session.heed(PeerId(1), wall(2_010).local);
        session.pass(wall(2_010).local);
        assert_eq!(session.jumps.ahead(), Span::from_secs(ahead));
    }
    // One that is to come in an hour would keep every other away until then.
    let Some(peer) = session.peers.get_mut(&PeerId(1)) else { unreachable!("it is known") };
    peer.standing.epochs = second.jump(room + Span::from_secs(3_600), Span::from_secs(7));
    session.heed(PeerId(1), wall(2_010).local);
    assert_eq!(session.announcement(wall(2_010).local), None);
}
