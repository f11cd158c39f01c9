//! What one host, or one client, may take of what all share.

use super::layered::hello;
use super::*;

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let mut rig = Rig::new(StreamLimits { per_address: 3, ..StreamLimits::default() });
    let ports = rig.ports;
    let mut clients: Vec<_> = (0..3).map(|n| rig.connect(ports[n % 2])).collect();
    let mut fourth = Client::connect(("127.0.0.1", ports[0])).unwrap();
    fourth.set_read_timeout(Some(PATIENCE)).unwrap();
    rig.turn();
    assert_eq!(fourth.read(&mut [0]).unwrap(), 0, "it is closed");
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((count(&rig.counters.crowded), count(&rig.counters.refused)), (1, 0));
    // Whoever has gone makes room.
    let (gone, id) = clients.remove(0);
    drop(gone);
    rig.turn_until("closed", |fan| fan.closed == [id]);
    let (mut fifth, id) = rig.connect(ports[1]);
    rig.deliver(&[id], b"/a..");
    rig.turn_until("sent", |fan| fan.orders.is_empty());
    read_packet(&mut fifth, Framing::Slip, b"/a..");
    assert_eq!(count(&rig.counters.crowded), 1);
}

#[test]
fn connections_made_from_here_are_nobodys() {
    let mut rig = Rig::new(StreamLimits { per_address: 1, ..StreamLimits::default() });
    let elsewhere = bind_tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let stream = Client::connect(elsewhere.local_addr().unwrap()).unwrap();
    rig.reactor.handle().adopt(stream).unwrap();
    rig.turn();
    rig.connect(rig.ports[0]);
    assert_eq!(rig.counters.connections.load(Ordering::Relaxed), 2);
    assert_eq!(rig.counters.crowded.load(Ordering::Relaxed), 0);
}

#[test]
fn a_handshake_counts_as_the_work_it_is() {
    let [chain, key] =
        [&include_bytes!("../../../tests/tls/cert.pem")[..], include_bytes!("../../../tests/tls/key.pem")];
    let tls = Layers { tls: Some(Certificate::new(chain, key).unwrap()), ..Framing::Length.into() };
    let limits = StreamLimits { turn: 32 << 10, ..StreamLimits::default() };
    let mut rig = Rig::of(limits, [tls, Framing::Length.into()]);
    let ports = rig.ports;
    let (mut received, mut all) = (0, Vec::new());
    for (port, hello, at_once) in [(ports[0], hello(), 2), (ports[1], b"\0\0\0\x04/a..".to_vec(), 8)] {
        let mut clients: Vec<_> = (0..8).map(|_| rig.connect(port).0).collect();
        clients.iter_mut().for_each(|client| client.write_all(&hello).unwrap());
        all.extend(clients);
        // The first turn in which anything comes.
        rig.turn_until_received(received + 1);
        let new = rig.counters.received_bytes.load(Ordering::Relaxed) - received;
        assert_eq!(new, at_once * hello.len() as u64, "in one turn");
        received += 8 * hello.len() as u64;
        rig.turn_until_received(received);
    }
}

#[test]
fn what_is_long_for_pd_is_counted() {
    let mut rig = Rig::new(StreamLimits::default());
    let [by_length, by_slip] = rig.ports.map(|port| rig.connect(port));
    for length in [1_006, 1_007, 50_000] {
        rig.deliver(&[by_length.1, by_slip.1], &vec![b'/'; length]);
    }
    rig.turn_until("sent", |fan| fan.orders.is_empty());
    assert_eq!(rig.counters.long_for_slip.load(Ordering::Relaxed), 2);
    let mut notice = log::Notice::No;
    assert!(!notice.is_news());
    notice.note();
    assert!(notice.is_news());
    notice.note();
    assert!(!notice.is_news(), "it is said once");
}
