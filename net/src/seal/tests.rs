//! Seals in virtual time: what is sealed is opened, once, while it is fresh; all else changes nothing.

use super::checker::{LEFT, WINDOW};
use super::*;
use crate::osc::BundleWriter;
use downbeat_sync::LocalTime;
use proptest::prelude::*;
use std::collections::HashSet;

const SESSION: u64 = 77;
const INNER: &[u8] = b"/tick\0\0\0,\0\0\0";

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32]).expect("it is long enough")
}

/// The session at this age (ms).
fn at(millis: i64) -> Moment {
    Moment { session: SESSION, age: Span::from_millis(millis) }
}

/// The local clock of a sender so long after its start (ms).
fn local(millis: i64) -> LocalTime {
    LocalTime::from_ticks(1 << 40) + Span::from_millis(millis)
}

fn checker() -> Checker {
    Checker::new(key(7), at(0))
}

/// A packet that this sender sealed at this age.
fn sealed(sender: u64, at: Moment) -> Vec<u8> {
    let mut out = Vec::new();
    write(&key(7), &mut out, Sealed::Packet { sender, at, packet: INNER }).expect("it can be written");
    out
}

/// A sender that was told this moment when its local clock was at [`local`] 0.
fn sealer(now: Moment) -> Sealer {
    let mut sealer = Sealer::new(key(7), 5);
    let question = sealer.ask(local(0), 1234).expect("it can be written");
    let mut node = Checker::new(key(7), now);
    let opened = node.open(now, &question);
    assert_eq!(opened, Ok(Opened::Question(1234)));
    let answer = node.answer(1234, now, EnsembleTime::from_bits(9)).expect("it can be written");
    assert_eq!(sealer.hear(local(0), &answer), Heard::Time);
    sealer
}

#[test]
fn it_is_written_as_the_table_says() {
    let packet = sealed(0x0102_0304_0506_0708, at(1_500));
    let head = [
        &b"/sealed\0,hhhbb\0\0"[..],
        b"\x01\x02\x03\x04\x05\x06\x07\x08",
        b"\0\0\0\0\0\0\0\x4d",
        b"\0\0\0\x01\x80\0\0\0",
        b"\0\0\0\x0c",
        INNER,
        b"\0\0\0\x10",
    ]
    .concat();
    assert_eq!(packet[..packet.len() - Key::SEAL], head);
    assert_eq!(packet[packet.len() - Key::SEAL..], key(7).seal(&head));
    assert_eq!(packet.len(), INNER.len() + OVERHEAD);
    assert!(is_sealed(&packet));
    for other in [&b"/sealed/time/reply\0\0"[..], b"/sealedx\0\0\0\0", b"/sealed", b"#bundle\0"] {
        assert!(!is_sealed(other));
    }
}

#[test]
fn what_a_sealer_seals_is_opened_once() {
    let mut sealer = sealer(at(60_000));
    let mut node = checker();
    let packets: Vec<_> =
        (0..3).map(|n| sealer.seal(local(n / 2), INNER).expect("the time is known")).collect();
    for packet in &packets {
        assert_eq!(node.open(at(60_001), packet), Ok(Opened::Packet(INNER)));
    }
    for packet in &packets {
        assert_eq!(node.open(at(60_001), packet), Err(SealError::Again));
    }
}

#[test]
fn one_packet_is_good_for_many_nodes() {
    let packet = sealed(1, at(5_000));
    for skew in [-9_000, 0, 9_000] {
        assert_eq!(checker().open(at(5_000 + skew), &packet), Ok(Opened::Packet(INNER)));
    }
}

#[test]
fn another_key_opens_nothing() {
    let mut node = Checker::new(key(8), at(0));
    assert_eq!(node.open(at(10), &sealed(1, at(10))), Err(SealError::Seal));
    assert_eq!(node.open(at(10), INNER), Err(SealError::Seal));
    assert_eq!(node.open(at(10), b""), Err(SealError::Seal));
}

#[test]
fn a_seal_of_one_kind_is_none_of_another() {
    let mut node = checker();
    let answer = node.answer(3, at(10), EnsembleTime::from_bits(9)).expect("it can be written");
    assert_eq!(node.open(at(10), &answer), Err(SealError::Malformed));
    // The answer's arguments below the other address: that is other bytes.
    let mut moved = b"/sealed\0".to_vec();
    moved.extend_from_slice(&answer[b"/sealed/time/reply\0\0".len()..]);
    assert_eq!(node.open(at(10), &moved), Err(SealError::Seal));
}

#[test]
fn what_was_kept_back_or_comes_from_the_future_is_refused() {
    let mut node = checker();
    assert_eq!(node.open(at(20_001), &sealed(1, at(10_000))), Err(SealError::Old));
    assert_eq!(node.open(at(20_001), &sealed(1, at(30_002))), Err(SealError::Ahead));
    assert!(node.open(at(20_001), &sealed(1, at(10_001))).is_ok());
    assert!(node.open(at(20_001), &sealed(1, at(30_001))).is_ok());
    // Once it was too old it stays so, even if the node finds that the session is younger than it thought.
    assert_eq!(node.open(at(15_000), &sealed(1, at(10_000))), Err(SealError::Old));
}

#[test]
fn the_order_may_change_on_the_way_within_the_window() {
    let mut node = checker();
    let window = WINDOW as i64;
    let packets: Vec<_> = (0..window + 1).map(|n| sealed(1, at(1_000 + n))).collect();
    for packet in packets[1..].iter().rev() {
        assert!(node.open(at(2_000), packet).is_ok());
    }
    // So many have overtaken the first that the node would not remember it.
    assert_eq!(node.open(at(2_000), &packets[0]), Err(SealError::Again));
    for packet in &packets[1..] {
        assert_eq!(node.open(at(2_000), packet), Err(SealError::Again));
    }
    assert!(node.open(at(2_000), &sealed(1, at(1_000 + window + 1))).is_ok());
    assert_eq!(node.open(at(2_000), &packets[1]), Err(SealError::Again));
}

#[test]
fn more_senders_than_can_be_told_apart_are_refused_until_some_are_old() {
    let mut node = checker();
    for sender in 0..SENDERS as u64 {
        assert!(node.open(at(1_000), &sealed(sender, at(1_000))).is_ok());
    }
    assert_eq!(node.open(at(1_001), &sealed(9_999, at(1_001))), Err(SealError::Crowd));
    assert!(node.open(at(1_001), &sealed(3, at(1_001))).is_ok(), "one that is known goes on");
    assert_eq!(node.open(at(11_000), &sealed(9_999, at(11_000))), Err(SealError::Crowd));
    assert!(node.open(at(11_001), &sealed(9_999, at(11_001))).is_ok());
    for sender in 0..SENDERS as u64 {
        assert!(
            node.open(at(11_001), &sealed(sender, at(1_000))).is_err(),
            "of those forgotten nothing is taken again"
        );
    }
}

#[test]
fn what_was_sealed_before_the_node_came_is_refused() {
    let packet = sealed(1, at(50_000));
    let mut node = Checker::new(key(7), Moment { session: 1, age: Span::ZERO });
    assert_eq!(node.open(Moment { session: 1, age: Span::ZERO }, &packet), Err(SealError::Session));
    node.enter(at(50_001));
    assert_eq!(node.open(at(50_002), &packet), Err(SealError::Old));
    assert!(node.open(at(50_002), &sealed(1, at(50_001))).is_ok());
}

#[test]
fn a_session_that_is_entered_again_takes_nothing_again() {
    let mut node = checker();
    let packet = sealed(1, at(5_000));
    assert!(node.open(at(1_000), &packet).is_ok());
    node.enter(Moment { session: 1, age: Span::ZERO });
    assert_eq!(node.open(Moment { session: 1, age: Span::ZERO }, &packet), Err(SealError::Session));
    assert_eq!(node.open(at(1_100), &packet), Err(SealError::Old));
    assert_eq!(node.open(at(1_100), &sealed(1, at(5_001))), Ok(Opened::Packet(INNER)));
    for session in 0..2 * LEFT as u64 {
        node.enter(Moment { session, age: Span::ZERO });
        assert!(node.left.len() <= LEFT);
    }
}

#[test]
fn an_answer_that_nobody_asked_for_or_was_kept_is_not_believed() {
    let answer =
        |nonce| checker().answer(nonce, at(9), EnsembleTime::from_bits(9)).expect("it can be written");
    let mut sealer = Sealer::new(key(7), 5);
    assert_eq!(sealer.seal(local(0), INNER), Err(SealerError::NoTime));
    sealer.ask(local(0), 1).expect("it can be written");
    assert_eq!(sealer.hear(local(1), &answer(2)), Heard::Stranger);
    let other = Checker::new(key(8), at(0)).answer(1, at(9), EnsembleTime::from_bits(9));
    assert_eq!(sealer.hear(local(1), &other.expect("it can be written")), Heard::Stranger);
    assert_eq!(sealer.hear(local(2_001), &answer(1)), Heard::Stranger);
    assert_eq!(sealer.seal(local(2_001), INNER), Err(SealerError::NoTime));
    sealer.ask(local(3_000), 3).expect("it can be written");
    assert_eq!(sealer.hear(local(3_001), &answer(3)), Heard::Time);
    assert_eq!(sealer.hear(local(3_002), &answer(3)), Heard::Stranger, "it comes but once");
    let mut refusal = Vec::new();
    osc::write(&mut refusal, "/error", ["/sealed/time".into(), "why not".into()]).expect("it can be written");
    assert_eq!(sealer.hear(local(3_002), &refusal), Heard::Refusal(b"why not"));
    refusal.clear();
    osc::write(&mut refusal, "/error", ["/play".into(), "why not".into()]).expect("it can be written");
    assert_eq!(sealer.hear(local(3_002), &refusal), Heard::Other);
}

#[test]
fn a_sealer_follows_its_node_into_another_session() {
    let mut sealer = sealer(at(60_000));
    let stamp =
        |sealer: &mut Sealer, now| match parse(&sealer.seal(local(now), INNER).expect("the time is known")) {
            Some(Sealed::Packet { at, .. }) => at,
            other => panic!("{other:?}"),
        };
    assert_eq!(stamp(&mut sealer, 500), at(60_500));
    // A newer answer tells a lower age: it rises on.
    for (nonce, moment) in [(8, at(60_000)), (9, Moment { session: 1, age: Span::ZERO })] {
        sealer.ask(local(600), nonce).expect("it can be written");
        let answer = checker().answer(nonce, moment, EnsembleTime::from_bits(9)).expect("it can be written");
        assert_eq!(sealer.hear(local(600), &answer), Heard::Time);
        let risen = at(60_500).age + Span::from_ticks(1);
        let expected = if moment == at(60_000) { Moment { age: risen, ..moment } } else { moment };
        assert_eq!(stamp(&mut sealer, 600), expected);
    }
}

#[test]
fn a_sealer_that_outran_its_node_begins_again() {
    let mut sealer = sealer(at(0));
    let mut node = checker();
    let hour = 3_600_000;
    // The node slept; the sender did not, and sealed all the time.
    let early = sealer.seal(local(hour), INNER).expect("it knows the time");
    assert_eq!(node.open(at(1_000), &early), Err(SealError::Ahead));
    let question = sealer.ask(local(hour), 99).expect("it can be written");
    assert_eq!(node.open(at(1_000), &question), Ok(Opened::Question(99)));
    let answer = node.answer(99, at(1_000), EnsembleTime::from_bits(9)).expect("it can be written");
    assert_eq!(sealer.hear(local(hour), &answer), Heard::Time);
    let packet = sealer.seal(local(hour), INNER).expect("it knows the time");
    assert_eq!(node.open(at(1_000), &packet), Ok(Opened::Packet(INNER)));
    assert_eq!(node.open(at(1_000), &packet), Err(SealError::Again));
}

/// A packet to be sealed: a message or a bundle.
fn inner() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), prop::collection::vec("[a-z]{1,9}", 0..20), any::<bool>()).prop_map(
        |(tag, words, bundled)| {
            let mut message = Vec::new();
            osc::write(&mut message, "/m", words.iter().map(|word| Arg::from(word.as_str())))
                .expect("it is legal");
            if !bundled {
                return message;
            }
            let mut bundle = Vec::new();
            BundleWriter::new(&mut bundle, tag).packet(&message).expect("it is a packet");
            bundle
        },
    )
}

/// What happens on a node that is watched.
#[derive(Clone, Debug)]
enum Step {
    /// A sender seals a packet, in the session the node is in, up to two seconds beside the time.
    Seal { sender: u64, off: i64 },
    /// Somebody sends one of the packets, for the first time or again.
    Send(prop::sample::Index),
    /// Time goes by.
    Pass(i64),
    /// The node finds that the session is younger or older than it thought.
    Doubt(i64),
    /// It goes into one of three sessions.
    Move(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4u64, -2_000..2_000i64).prop_map(|(sender, off)| Step::Seal { sender, off }),
        16 => any::<prop::sample::Index>().prop_map(Step::Send),
        4 => (0..4_000i64).prop_map(Step::Pass),
        1 => (-12_000..12_000i64).prop_map(Step::Doubt),
        1 => (1..4u64).prop_map(Step::Move),
    ]
}

proptest! {
    #[test]
    fn what_is_sealed_is_read(inner in inner(), sender: u64, age in 0i64..1 << 60, nonce: u64, time: u64) {
        let now = Moment { session: SESSION, age: Span::from_ticks(age) };
        let mut packet = Vec::new();
        write(&key(7), &mut packet, Sealed::Packet { sender, at: now, packet: &inner }).expect("it can be written");
        prop_assert!(is_sealed(&packet));
        prop_assert_eq!(packet.len(), inner.len() + OVERHEAD);
        prop_assert_eq!(checker().open(now, &packet), Ok(Opened::Packet(&inner)));
        let answer = checker().answer(nonce, now, EnsembleTime::from_bits(time)).expect("it can be written");
        let read = Sealed::Answer { nonce, at: now, time: EnsembleTime::from_bits(time) };
        prop_assert_eq!(parse(&answer), Some(read));
    }

    #[test]
    fn one_changed_bit_breaks_the_seal(inner in inner(), place: prop::sample::Index, bit in 0..8u8) {
        let mut packet = Vec::new();
        write(&key(7), &mut packet, Sealed::Packet { sender: 1, at: at(9), packet: &inner }).expect("it can be written");
        let place = place.index(packet.len());
        packet[place] ^= 1 << bit;
        let mut node = checker();
        prop_assert_eq!(node.open(at(9), &packet), Err(SealError::Seal));
        // And it takes nobody's place.
        packet[place] ^= 1 << bit;
        prop_assert!(node.open(at(9), &packet).is_ok());
    }

    #[test]
    fn garbage_is_an_error(rest in prop::collection::vec(any::<u8>(), 0..400), question: bool) {
        let address: &[u8] = if question { b"/sealed/time\0\0\0\0" } else { b"/sealed\0" };
        let packet = [address, &rest].concat();
        prop_assert_eq!(checker().open(at(9), &packet), Err(SealError::Seal));
        // Nor does it become anything by a seal.
        let mut closed = [address, &rest, &[0, 0, 0, 16], &[0; Key::SEAL]].concat();
        key(7).close(&mut closed);
        prop_assert_eq!(checker().open(at(9), &closed), Err(SealError::Malformed));
    }

    /// Whatever is kept, reordered and sent again, and however the node errs about the session.
    #[test]
    fn nothing_is_taken_twice(steps in prop::collection::vec(step(), 1..400)) {
        let mut node = Checker::new(key(7), Moment { session: 1, age: Span::ZERO });
        let (mut session, mut now, mut doubt) = (1, 0, 0);
        let mut packets: Vec<Vec<u8>> = Vec::new();
        let mut taken = HashSet::new();
        let moment = |session, millis: i64| Moment { session, age: Span::from_millis(millis) };
        for step in steps {
            match step {
                Step::Seal { sender, off } => {
                    // Two of one sender are never of one stamp.
                    let at = moment(session, now + off);
                    let age = at.age + Span::from_ticks(packets.len() as i64);
                    packets.push(sealed(sender, Moment { age, ..at }));
                }
                Step::Send(index) if !packets.is_empty() => {
                    let place = index.index(packets.len());
                    let opened = node.open(moment(session, now + doubt), &packets[place]);
                    prop_assert!(opened.is_err() || taken.insert(place), "{} twice: {:?}", place, opened);
                }
                Step::Send(_) => {}
                Step::Pass(millis) => now += millis,
                Step::Doubt(millis) => doubt = millis,
                Step::Move(to) => session = to,
            }
        }
    }
}
