//! What one host, or one client, may take of what all share.

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
