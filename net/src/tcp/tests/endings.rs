//! What whoever is closed on is told before.

use super::*;

const WORDS: &[u8] = b"/why";

/// All that comes until the end, which is none that destroys something.
fn rest(mut client: Client) -> Vec<u8> {
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn who_makes_no_sense_is_told_and_can_read_it() {
    for (port, stream, why) in [
        (0, &b"\0\0\0\x04/a..\xff\xff\xff\xff"[..], "impossible packet length -1"),
        (1, b"/a..\xc0/much too long for this\xc0", "packet longer than the limit of 16 bytes"),
    ] {
        let mut rig = Rig::new(StreamLimits { packet: 16, ..StreamLimits::default() });
        rig.fan.last_words = Some(WORDS.to_vec());
        let (mut client, id) = rig.connect(rig.ports[port]);
        // What comes behind is not read as packets, and does not keep the words from coming.
        client.write_all(&[stream, &[0; 100_000]].concat()).unwrap();
        rig.turn_until("closed", |fan| fan.closed == [id]);
        assert_eq!(rig.fan.whys, [why]);
        assert_eq!(rig.fan.packets.len(), 1);
        let reader = std::thread::spawn(move || rest(client));
        rig.turn_until_empty();
        let mut wanted = Vec::new();
        [Framing::Length, Framing::Slip][port].frame_into(WORDS, &mut wanted);
        assert_eq!(reader.join().unwrap(), wanted);
        assert_eq!(rig.counters.broken.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn who_is_cut_off_is_told_if_it_begins_to_read() {
    for words in [None, Some(WORDS.to_vec())] {
        let is_told = words.is_some();
        let mut rig = Rig::new(StreamLimits { outbound: 100_000, ..StreamLimits::default() });
        rig.fan.last_words = words;
        let (mut slow, id) = rig.connect(rig.ports[0]);
        let mut sent = 0;
        while rig.fan.closed.is_empty() {
            rig.deliver(&[id], &[b'/'; 1_000]);
            sent += 1;
            rig.reactor.handle().wake();
            rig.turn();
        }
        assert_eq!(rig.fan.whys, [TOO_SLOW]);
        let reader = std::thread::spawn(move || {
            let (mut splitter, mut buffer) = (Splitter::new(1 << 20), vec![0; 1 << 16]);
            let (mut packets, mut told) = (0, false);
            // Without last words it may end by a reset.
            while let Ok(length @ 1..) = slow.read(&mut buffer) {
                let mut input = &buffer[..length];
                while let Split::Packet(packet) = splitter.next(&mut input) {
                    assert!(!told, "those are the last");
                    told = packet == WORDS;
                    packets += u64::from(!told);
                }
            }
            (packets, told)
        });
        rig.turn_until_empty();
        let (packets, told) = reader.join().unwrap();
        assert_eq!(told, is_told);
        assert!(rig.dropped() > 50, "what waited is counted as lost");
        if is_told {
            assert_eq!(packets + rig.dropped(), sent);
        }
        assert_eq!(rig.counters.cut.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn who_breaks_what_carries_the_words_is_not_told() {
    let [chain, key] =
        [&include_bytes!("../../../tests/tls/cert.pem")[..], include_bytes!("../../../tests/tls/key.pem")];
    let tls = Layers { tls: Some(Certificate::new(chain, key).unwrap()), ..Framing::Length.into() };
    let websocket = Layers { websocket: true, ..Framing::Length.into() };
    let mut rig = Rig::of(StreamLimits::default(), [tls, websocket]);
    rig.fan.last_words = Some(WORDS.to_vec());
    for (port, first) in [(0, 0x15), (1, b'H')] {
        let (mut client, id) = rig.connect(rig.ports[port]);
        client.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
        rig.turn_until("closed", |fan| fan.closed.contains(&id));
        let reader = std::thread::spawn(move || rest(client));
        rig.turn_until_empty();
        let heard = reader.join().unwrap();
        assert!(heard.first().is_none_or(|byte| *byte == first), "{}", heard.escape_ascii());
        assert!(!heard.windows(4).any(|bytes| bytes == WORDS));
    }
}
