//! A hub with a key: who is obeyed, who is answered, and what comes again.

use super::*;
use crate::Key;
use crate::seal::{Heard, Sealer};

const NEEDS: &str =
    "this needs the ensemble's key: seal it (downbeat send --key-file FILE; samples/python/sealed.py)";

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32]).unwrap()
}

fn keyed() -> Lab {
    Lab::with_key(ScoreConfig { events: 64, ..ScoreConfig::default() }, Some(key(7)))
}

/// A sender that has asked the lab for the time. Its clock is the lab's.
fn sealer(lab: &mut Lab) -> Sealer {
    let mut sealer = Sealer::new(key(7), 5);
    let question = sealer.ask(lab.now, 1).unwrap();
    lab.send(peer(1), &question);
    let Some(Output::Send { to, packet, .. }) = std::iter::from_fn(|| lab.hub.poll(lab.now)).last() else {
        panic!("it is answered")
    };
    assert_eq!((to, sealer.hear(lab.now, &packet)), (peer(1), Heard::Time));
    sealer
}

fn click() -> Vec<u8> {
    message("/click", &[])
}

#[test]
fn what_is_not_sealed_changes_nothing_and_is_counted() {
    let mut lab = keyed();
    let refused = [
        click(),
        message("/kick", &[]),
        message("/play", &["kick".into(), "id".into(), "x".into()]),
        message("/panic", &[]),
        message("/cancel", &[]),
        message("/master/gain", &[Arg::Int(0)]),
        message("/sample/load", &["hat".into()]),
        message("/sample/free", &["kick".into()]),
        message("/notify", &[Arg::Int(1)]),
        message("/nobody", &[]),
        message("/*", &[]),
        message("/stat{us}", &[]),
    ];
    for packet in &refused {
        lab.send(peer(1), packet);
        let address = String::from_utf8_lossy(first_address(packet)).into_owned();
        assert_eq!(lab.said(), [(peer(1), format!("/error {address} {NEEDS}"))]);
    }
    let sealed_timing = message("/sync/jump", &[]);
    for (packet, address) in [
        (bundle_now(&[message("/status", &[]), click()]), "/click"),
        // It would be measured.
        (bundle(5, &[message("/status", &[])]), "/status"),
        (bundle_now(&[message("/sealed", &[])]), "/sealed"),
    ] {
        lab.send(peer(1), &packet);
        assert_eq!(lab.said(), [(peer(1), format!("/error {address} {NEEDS}"))]);
    }
    assert_eq!(lab.ask(peer(1), "/error", &["/x".into(), "y".into()]), [], "answers are not answered");
    lab.send(peer(1), &sealed_timing);
    // What is due at once would sound a block later.
    let sound = [lab.pass(100), lab.pass(100)].concat();
    assert!(sound.iter().all(|sample| *sample == 0.0));
    let count = refused.len() as u64 + 3;
    assert_eq!(lab.hub.tally(), Tally { keyless: count, answers: 2, ..Tally::default() });
    let status = &lab.ask(peer(1), "/status", &[])[0].1;
    for (key, wanted) in
        [("unsealed", count), ("stale", 0), ("refused", 0), ("samples", 1), ("subscribers", 0)]
    {
        assert_eq!(value(status, key), wanted.to_string(), "{key}");
    }
    assert_eq!(lab.ask(peer(9), "/sync/senders", &[]), [(peer(9), "/sync/senders/reply senders 0".into())]);
}

#[test]
fn anybody_may_ask() {
    let mut lab = keyed();
    for (question, answers) in [
        ("/status", "/status/reply"),
        ("/sync/status", "/sync/status/reply"),
        ("/sync/senders", "/sync/senders/reply"),
        ("/sync/time", "/sync/time/reply"),
        ("/sync/time/ii", "/sync/time/ii/reply"),
        ("/sync/time/s", "/sync/time/s/reply"),
        ("/sample/list", "/sample/list/reply"),
    ] {
        let said = lab.ask(peer(1), question, &[]);
        assert!(said.len() == 1 && said[0].1.starts_with(answers), "{question}: {said:?}");
        lab.send(peer(1), &bundle_now(&[message(question, &[])]));
        assert_eq!(lab.said().len(), 1, "{question}");
    }
    lab.send(peer(1), b"garbage!");
    assert!(lab.said()[0].1.contains("not an OSC packet"));
}

#[test]
fn what_is_sealed_is_dealt_with_as_ever_and_once() {
    let mut lab = keyed();
    lab.pass(1_000);
    let mut sealer = sealer(&mut lab);
    let packet = sealer.seal(lab.now, &bundle(1_037, &[click()])).unwrap();
    lab.send(peer(1), &packet);
    for from in [1, 1, 2] {
        lab.send(peer(from), &packet);
        assert_eq!(lab.said(), [(peer(from), "/error /sealed this sealed packet came before".into())]);
    }
    let sound = lab.pass(100);
    assert_eq!((sound[37], sound.iter().sum::<f32>()), (1.0, 1.0));
    assert_eq!(lab.hub.tally(), Tally { stale: 3, ..Tally::default() });
    // What is wrong with it is told as ever.
    let wrong = sealer.seal(lab.now, &message("/nobody", &[])).unwrap();
    lab.send(peer(1), &wrong);
    assert!(lab.said()[0].1.starts_with("/error /nobody no such address"));
    let notify = sealer.seal(lab.now, &message("/notify", &[Arg::Int(1)])).unwrap();
    lab.send(peer(1), &notify);
    assert_eq!(lab.said(), [(peer(1), "/done /notify 1".into())]);
}

#[test]
fn nothing_is_sealed_twice_or_in_a_bundle() {
    let mut lab = keyed();
    let mut sealer = sealer(&mut lab);
    let once = sealer.seal(lab.now, &click()).unwrap();
    let question = Sealer::new(key(7), 5).ask(lab.now, 1).unwrap();
    for inner in [once.clone(), bundle_now(&[once]), question] {
        let packet = sealer.seal(lab.now, &inner).unwrap();
        lab.send(peer(1), &packet);
        assert!(
            lab.said()[0].1.ends_with("a sealed packet stands alone: not in a bundle, nor in another one")
        );
    }
    // Nor does it become a message about time by that.
    let packet = sealer.seal(lab.now, &message("/sync/hello", &[])).unwrap();
    lab.send(peer(1), &packet);
    assert!(lab.said()[0].1.starts_with("/error /sync/hello no such address"));
    let sound = [lab.pass(100), lab.pass(100)].concat();
    assert!(sound.iter().all(|sample| *sample == 0.0));
}

#[test]
fn an_old_question_for_the_time_is_answered_up_to_a_rate() {
    let mut lab = keyed();
    let question = Sealer::new(key(7), 5).ask(lab.now, 1).unwrap();
    let answered = (0..5_000).filter(|_| {
        lab.send(peer(1), &question);
        std::iter::from_fn(|| lab.hub.poll(lab.now)).count() > 0
    });
    let answered = answered.count();
    assert!((200..=256).contains(&answered), "{answered}");
    assert_eq!(lab.hub.tally().unanswered, 5_000 - answered as u64);
}

#[test]
fn another_key_is_no_key_and_a_node_without_one_says_so() {
    let mut other = Sealer::new(key(8), 5);
    let question = other.ask(LocalTime::from_ticks(0), 1).unwrap();
    for (mut lab, says) in [
        (keyed(), "/error /sealed/time not sealed with this ensemble's key"),
        (
            Lab::new(64),
            "/error /sealed/time this node has no key: send it unsealed, or start it with --key-file",
        ),
    ] {
        lab.send(peer(1), &question);
        assert_eq!(lab.said(), [(peer(1), says.into())]);
    }
    let mut lab = keyed();
    let mut sealer = sealer(&mut lab);
    let mut packet = sealer.seal(lab.now, &click()).unwrap();
    *packet.last_mut().unwrap() ^= 1;
    lab.send(peer(1), &packet);
    assert_eq!(lab.said(), [(peer(1), "/error /sealed not sealed with this ensemble's key".into())]);
    assert_eq!(lab.hub.tally(), Tally { keyless: 1, ..Tally::default() });
}

/// A wall clock that is set back has its time come again; what was sealed then is as old as ever.
#[test]
fn setting_the_clock_back_makes_nothing_fresh_again() {
    let mut lab = keyed();
    let hour = Span::from_secs(3_600);
    let pass = |lab: &mut Lab, seconds: i64, step: Span| {
        for _ in 0..seconds {
            lab.now += Span::from_secs(1);
            lab.hub.tick(wall(lab.now, step));
        }
    };
    pass(&mut lab, 3_600, Span::ZERO);
    let mut sealer = sealer(&mut lab);
    let packet = sealer.seal(lab.now, &click()).unwrap();
    pass(&mut lab, 30, Span::ZERO);
    pass(&mut lab, 3_570, -hour);
    assert_eq!(lab.hub.estimate().ensemble_at(lab.now), wall(lab.now, -hour).wall);
    lab.said();
    lab.send(peer(1), &packet);
    assert_eq!(
        lab.said(),
        [(peer(1), "/error /sealed sealed too long ago: it may have been kept by somebody".into())]
    );
    // The sender goes on as if nothing had been.
    let packet = sealer.seal(lab.now, &click()).unwrap();
    lab.send(peer(1), &packet);
    assert_eq!(lab.said(), []);
}

#[test]
fn however_many_ask_nobody_who_has_the_key_is_forgotten() {
    let mut lab = keyed();
    let mut sealer = sealer(&mut lab);
    let cancel = sealer.seal(lab.now, &message("/cancel", &[])).unwrap();
    lab.send(peer(1), &cancel);
    for port in 0..=SENDERS as u16 {
        lab.send(peer(port), &message("/sync/time", &[]));
        lab.send(peer(port), &click());
    }
    lab.said();
    lab.pass(10);
    lab.pass(10);
    assert_eq!(lab.said(), [(peer(1), "/cancel/reply 0".into())]);
}

#[test]
fn the_program_itself_needs_no_seal() {
    let mut lab = keyed();
    lab.hub.obey(lab.now, peer(1), &click());
    assert!(lab.pass(100).contains(&1.0));
}
