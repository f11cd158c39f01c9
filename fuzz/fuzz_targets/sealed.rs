//! Sealed packets, of whatever bytes: nobody guesses a seal, nothing is opened twice, and what was sealed is what is opened.
#![no_main]

use downbeat_net::Key;
use downbeat_net::seal::{Checker, Heard, Moment, OVERHEAD, Opened, Sealer, is_sealed};
use downbeat_sync::{EnsembleTime, LocalTime, Span};

const ADDRESSES: [&[u8]; 3] = [b"/sealed\0", b"/sealed/time\0\0\0\0", b"/sealed/time/reply\0\0"];

libfuzzer_sys::fuzz_target!(|packets: Vec<(u8, u32, Vec<u8>)>| {
    let key = || Key::new(&[7; 32]).expect("it is long enough");
    let mut now = Moment { session: 1, age: Span::ZERO };
    let mut local = LocalTime::from_ticks(1 << 40);
    let mut node = Checker::new(key(), now);
    let mut sealer = Sealer::new(key(), 5);
    for (nonce, (kind, pause, bytes)) in packets.iter().enumerate() {
        let forged = [ADDRESSES[usize::from(*kind) % 3], bytes].concat();
        assert!(node.open(now, &forged).is_err(), "nobody guesses a seal");
        assert!(matches!(sealer.hear(local, &forged), Heard::Stranger | Heard::Other));

        // A sender that has just asked seals whatever this is.
        let question = sealer.ask(local, nonce as u64).expect("it can be written");
        assert_eq!(node.open(now, &question), Ok(Opened::Question(nonce as u64)));
        let answer =
            node.answer(nonce as u64, now, EnsembleTime::from_bits(1 << 63)).expect("it can be written");
        assert_eq!(sealer.hear(local, &answer), Heard::Time);
        let sealed = sealer.seal(local, bytes).expect("the time is known");
        assert!(is_sealed(&sealed) && sealed.len() <= bytes.len() + OVERHEAD + 3);
        assert_eq!(node.open(now, &sealed), Ok(Opened::Packet(bytes)));
        assert!(node.open(now, &sealed).is_err(), "once");

        let pause = Span::from_millis(i64::from(pause % 12_000));
        (local, now.age) = (local + pause, now.age + pause);
        if kind % 16 == 15 {
            now = Moment { session: now.session + 1, age: Span::ZERO };
        }
        assert!(node.open(now, &sealed).is_err(), "nor later");
    }
});
