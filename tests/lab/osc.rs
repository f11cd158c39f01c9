//! OSC by rosc, whose encoder is not ours: what a test sends, and what it is answered.

use super::PATIENCE;
use rosc::{OscMessage, OscPacket, OscType};
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970).
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// A message's bytes.
pub(crate) fn message(address: &str, args: impl Into<Vec<OscType>>) -> Vec<u8> {
    let message = OscMessage { addr: address.into(), args: args.into() };
    rosc::encoder::encode(&OscPacket::Message(message)).expect("it can be encoded")
}

/// A bundle of encoded packets, due at a timetag.
pub(crate) fn bundle(timetag: u64, packets: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bundle = [&b"#bundle\0"[..], &timetag.to_be_bytes()].concat();
    for packet in packets {
        bundle.extend((packet.len() as u32).to_be_bytes());
        bundle.extend(packet);
    }
    bundle
}

/// A bundle's timetag, if the packet is one that is due at a time.
pub(crate) fn timetag(packet: &[u8]) -> Option<u64> {
    let bits = packet.strip_prefix(b"#bundle\0")?.first_chunk()?;
    Some(u64::from_be_bytes(*bits)).filter(|bits| *bits > 1)
}

/// The next answer.
pub(crate) fn receive(socket: &UdpSocket) -> OscMessage {
    answers(socket).next().expect("an answer comes")
}

/// Answers, until none comes in the socket's time.
fn answers(socket: &UdpSocket) -> impl Iterator<Item = OscMessage> {
    let mut buffer = [0; 65_536];
    std::iter::from_fn(move || {
        let len = socket.recv(&mut buffer).ok()?;
        match rosc::decoder::decode_udp(&buffer[..len]) {
            Ok((_, OscPacket::Message(message))) => Some(message),
            other => panic!("not a message: {other:?}"),
        }
    })
}

/// The wall clock as a timetag.
pub(crate) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    ((since.as_secs() + NTP_TO_UNIX) << 32) + (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000
}

/// Milliseconds as a difference of timetags.
pub(crate) const fn millis(millis: u64) -> u64 {
    (millis << 32) / 1000
}

/// A value of the node's status. Asks again if the question or its answer is lost, as datagrams may be in a flood.
pub(crate) fn status(socket: &UdpSocket, key: &str) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout can be set");
    let status = loop {
        assert!(Instant::now() < deadline, "the node does not answer");
        socket.send(&message("/status", [])).expect("it can be sent");
        if let Some(args) = answers(socket).find(|answer| answer.addr == "/status/reply") {
            break args.args;
        }
    };
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let at = status.iter().position(|arg| *arg == OscType::String(key.into())).expect("the key is there");
    status[at + 1].clone().int().expect("it is a whole number")
}

/// Waits until the node has taken in so many events.
pub(crate) fn wait_until_taken(socket: &UdpSocket, count: i32) {
    let deadline = Instant::now() + PATIENCE;
    while status(socket, "events") < count {
        assert!(Instant::now() < deadline, "not all events come in");
    }
}

/// Waits until the node has nothing scheduled and nothing sounding any more.
pub(crate) fn wait_until_played(socket: &UdpSocket) {
    wait_for_events(socket, 1);
}

/// The same, once so many events have come in.
pub(crate) fn wait_for_events(socket: &UdpSocket, count: i32) {
    wait_until_taken(socket, count);
    let deadline = Instant::now() + PATIENCE;
    while status(socket, "pending") > 0 || status(socket, "voices") > 0 {
        assert!(Instant::now() < deadline, "the node does not come to an end");
        thread::sleep(Duration::from_millis(5));
    }
}
