//! Any bytes as a TCP stream: the same packets however it is cut, none above the limit, and framed again they
//! come back. The first byte says how it is cut.
#![no_main]

use downbeat_net::framing::{Broken, Framing, Split, Splitter};

const LIMIT: usize = 64;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&size, stream)) = data.split_first() else { return };
    let (packets, broken, dropped) = split(stream, stream.len().max(1));
    assert_eq!(split(stream, usize::from(size).max(1)), (packets.clone(), broken, dropped));
    assert!(packets.iter().all(|packet| (1..=LIMIT).contains(&packet.len())));

    for framing in [Framing::Length, Framing::Slip] {
        let mut again = Vec::new();
        packets.iter().for_each(|packet| framing.frame_into(packet, &mut again));
        assert_eq!(split(&again, usize::from(size).max(1)), (packets.clone(), None, 0));
    }
});

fn split(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<Broken>, u64) {
    let mut splitter = Splitter::new(LIMIT);
    let mut packets = Vec::new();
    for mut piece in stream.chunks(size) {
        loop {
            match splitter.next(&mut piece) {
                Split::Packet(packet) => packets.push(packet.to_vec()),
                Split::More => break,
                Split::Broken(broken) => return (packets, Some(broken), splitter.dropped()),
            }
        }
        assert!(piece.is_empty());
    }
    (packets, None, splitter.dropped())
}
