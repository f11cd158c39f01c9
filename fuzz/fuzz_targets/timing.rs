//! Messages about time, of whatever bytes: read or refused, with a key and without; and what a session does with them.
#![no_main]

use downbeat_net::Key;
use downbeat_net::timing::{Membership, is_timing};
use downbeat_sync::{EnsembleTime, LocalTime, Session, SessionConfig, Span, WallAnchor};

const ADDRESSES: [&[u8]; 3] = [b"/sync/ping\0\0", b"/sync/pong\0\0", b"/sync/hello\0"];

libfuzzer_sys::fuzz_target!(|packets: Vec<(u8, Vec<u8>)>| {
    let open = Membership { ensemble: "e".into(), key: None };
    let sealed = Membership { ensemble: "e".into(), key: Key::new(&[7; 32]) };
    let start = LocalTime::from_ticks(1 << 40);
    let wall = |local| WallAnchor { local, wall: EnsembleTime::from_bits(1 << 63), uncertainty: Span::ZERO, synchronised: false };
    let mut session = Session::new(SessionConfig::default(), wall(start));
    for (n, (kind, rest)) in packets.iter().enumerate() {
        let packet = [ADDRESSES[usize::from(*kind) % 3], rest].concat();
        assert!(is_timing(&packet));
        assert!(sealed.read(&packet).is_err(), "nobody guesses a seal");
        let now = start + Span::from_millis(37 * n as i64);
        if let Ok(message) = open.read(&packet) {
            let mut again = Vec::new();
            open.write(&mut again, &message).expect("what was read can be written");
            assert_eq!(open.read(&again).as_ref(), Ok(&message));
            session.handle(now, ([127, 0, 0, 1], u16::from(*kind)).into(), &message);
        }
        session.advance(wall(now));
        // Bounded, whatever came.
        assert!(std::iter::from_fn(|| session.poll(now)).take(100_000).count() < 100_000);
    }
});
