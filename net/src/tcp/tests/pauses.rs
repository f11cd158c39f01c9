//! Connections that are not read for a while: nothing is lost, nobody is disturbed, and ends are still noticed.

use super::*;
use socket2::SockRef;

/// A client that is paused.
fn paused(rig: &mut Rig) -> (Client, ConnId) {
    let (client, id) = rig.connect(rig.ports[0]);
    rig.fan.steps.push_back(Outgoing::Pause(id));
    rig.turn_until("paused", |fan| fan.steps.is_empty());
    (client, id)
}

/// Some turns, in which all that is on its way comes.
fn turns(rig: &mut Rig) {
    for _ in 0..5 {
        rig.reactor.handle().wake();
        rig.turn();
    }
}

#[test]
fn what_is_not_read_waits_at_the_peer_and_comes_whole() {
    let mut rig = Rig::new(StreamLimits::default());
    let (mut client, id) = paused(&mut rig);
    let packet = [&2_000_u32.to_be_bytes()[..], &[b'/'; 2_000]].concat();
    client.set_nonblocking(true).unwrap();
    let (mut sent, mut in_vain) = (0, 0);
    while in_vain < 10 {
        let from = sent % packet.len();
        match client.write(&packet[from..]) {
            Ok(length) => sent += length,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                in_vain += 1;
            }
        }
        assert!(sent < 64 << 20, "it is held by the system, which has bounds");
        rig.reactor.handle().wake();
        rig.turn();
        assert!(!rig.reactor.streams().has_backlog(), "the reactor sleeps");
    }
    assert_eq!(rig.counters.received_bytes.load(Ordering::Relaxed), 0);
    // Others are read, and it is still sent what is for it.
    let (mut other, other_id) = rig.connect(rig.ports[0]);
    other.write_all(b"\0\0\0\x04/b..").unwrap();
    rig.turn_until("other", |fan| fan.packets == [(Endpoint::Tcp(other_id), b"/b..".to_vec())]);
    rig.deliver(&[id], b"/a..");
    rig.turn_until("sent", |fan| fan.orders.is_empty());
    client.set_nonblocking(false).unwrap();
    read_packet(&mut client, Framing::Length, b"/a..");

    rig.fan.steps.push_back(Outgoing::Resume(id));
    rig.reactor.handle().wake();
    let whole = sent / packet.len();
    rig.turn_until("packets", |fan| fan.packets.len() == 1 + whole);
    client.write_all(&packet[sent % packet.len()..]).unwrap();
    let whole = (sent + packet.len() - sent % packet.len()) / packet.len();
    rig.turn_until("packets", |fan| fan.packets.len() == 1 + whole);
    assert!(rig.fan.packets[1..].iter().all(|(_, packet)| packet[..] == [b'/'; 2_000]));
}

#[test]
fn who_says_all_it_wants_and_goes_is_heard_when_it_is_resumed() {
    let mut rig = Rig::new(StreamLimits::default());
    let (mut client, id) = paused(&mut rig);
    client.write_all(&b"\0\0\0\x04/a..".repeat(3)).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    turns(&mut rig);
    assert!(rig.fan.packets.is_empty() && rig.fan.closed.is_empty());
    rig.fan.steps.push_back(Outgoing::Resume(id));
    rig.reactor.handle().wake();
    rig.turn_until("closed", |fan| fan.closed == [id]);
    assert_eq!(rig.fan.packets.len(), 3);
}

#[test]
fn who_breaks_off_is_gone_at_once() {
    let mut rig = Rig::new(StreamLimits::default());
    let (client, id) = paused(&mut rig);
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    rig.turn_until("closed", |fan| fan.closed == [id]);
    assert!(rig.reactor.streams().is_empty());
}

#[test]
fn who_is_closed_while_it_is_paused_reads_what_it_was_told() {
    let mut rig = Rig::new(StreamLimits::default());
    let (mut client, id) = paused(&mut rig);
    client.write_all(&b"\0\0\0\x04/a..".repeat(1_000)).unwrap();
    turns(&mut rig);
    rig.deliver(&[id], b"/no.");
    rig.turn_until("sent", |fan| fan.orders.is_empty());
    rig.fan.closing.push(id);
    rig.reactor.handle().wake();
    rig.turn_until("closed", |fan| fan.closed == [id]);
    turns(&mut rig);
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"\0\0\0\x04/no.");
    assert!(rig.fan.packets.is_empty());
    drop(client);
    rig.turn_until_empty();
}
