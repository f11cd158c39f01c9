//! Connections over real loopback sockets, with a reactor that is turned by hand: what happens in which turn is known.

use super::*;
use crate::Endpoint;
use crate::framing::{Framing, Split, Splitter};
use crate::reactor::{Outgoing, Reactor, Sockets};
use downbeat_sync::WallAnchor;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as Client};
use std::time::{Duration, Instant};

mod endings;
mod layered;
mod limits;
mod pauses;

/// Nothing on loopback takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends what it is told to, and remembers what it was told.
#[derive(Default)]
struct Fan {
    open: Vec<ConnId>,
    packets: Vec<(Endpoint, Vec<u8>)>,
    closed: Vec<ConnId>,
    /// What whoever is closed on is told, and why it was.
    last_words: Option<Vec<u8>>,
    whys: Vec<String>,
    orders: VecDeque<(Vec<ConnId>, Vec<u8>)>,
    closing: Vec<ConnId>,
    /// Anything else that is wanted, one after the other.
    steps: VecDeque<Outgoing<'static>>,
    sending: (Vec<ConnId>, Vec<u8>),
    /// Said to all others when a connection ends.
    obituary: Option<Vec<u8>>,
}

impl Handler for Fan {
    fn on_packet(&mut self, _: LocalTime, from: Endpoint, packet: &[u8]) {
        self.packets.push((from, packet.to_vec()));
    }

    fn on_open(&mut self, conn: ConnId, _: SocketAddr) {
        self.open.push(conn);
    }

    fn last_words(&mut self, _: ConnId, why: &str) -> Option<Vec<u8>> {
        self.whys.push(why.to_owned());
        self.last_words.clone()
    }

    fn on_close(&mut self, conn: ConnId) {
        self.open.retain(|open| *open != conn);
        self.closed.push(conn);
        if let Some(obituary) = &self.obituary {
            self.orders.push_back((self.open.clone(), obituary.clone()));
        }
    }

    fn on_tick(&mut self, _: WallAnchor) {}

    fn deadline(&self) -> Option<LocalTime> {
        None
    }

    fn poll(&mut self, _: LocalTime) -> Option<Outgoing<'_>> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        if let Some(order) = self.orders.pop_front() {
            self.sending = order;
            return Some(Outgoing::Deliver { to: &self.sending.0, packet: &self.sending.1 });
        }
        self.closing.pop().map(Outgoing::Close)
    }
}

struct Rig {
    reactor: Reactor,
    fan: Fan,
    counters: Arc<NetCounters>,
    /// Where packets are framed by length, and where by SLIP, if the peer does not show another way.
    ports: [u16; 2],
}

impl Rig {
    fn new(limits: StreamLimits) -> Rig {
        Rig::of(limits, [Framing::Length, Framing::Slip].map(Layers::from))
    }

    fn of(limits: StreamLimits, layers: [Layers; 2]) -> Rig {
        let listen = |layers| {
            let socket = bind_tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let port = socket.local_addr().unwrap().port();
            (Listener { socket, layers }, port)
        };
        let (tcp, ports): (Vec<_>, Vec<_>) = layers.map(listen).into_iter().unzip();
        let counters = Arc::new(NetCounters::default());
        let sockets = Sockets { tcp, ..Sockets::default() };
        let reactor = Reactor::new(sockets, Clock::new(), limits, Arc::clone(&counters)).unwrap();
        Rig { reactor, fan: Fan::default(), counters, ports: [ports[0], ports[1]] }
    }

    fn turn(&mut self) {
        self.reactor.turn(&mut self.fan).unwrap();
    }

    fn turn_until(&mut self, what: &str, enough: impl Fn(&Fan) -> bool) {
        let start = Instant::now();
        while !enough(&self.fan) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.counters);
            self.turn();
        }
    }

    /// Turns until so many bytes have come from clients.
    fn turn_until_received(&mut self, bytes: u64) {
        let start = Instant::now();
        while self.counters.received_bytes.load(Ordering::Relaxed) < bytes {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.counters);
            self.turn();
        }
    }

    /// Turns until nobody is connected any more.
    fn turn_until_empty(&mut self) {
        let start = Instant::now();
        while !self.reactor.streams().is_empty() {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.counters);
            self.turn();
        }
    }

    /// A client, and its number.
    fn connect(&mut self, port: u16) -> (Client, ConnId) {
        let client = Client::connect(("127.0.0.1", port)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let before = self.fan.open.len();
        self.turn_until("open", |fan| fan.open.len() > before);
        (client, self.fan.open[before])
    }

    fn deliver(&mut self, to: &[ConnId], packet: &[u8]) {
        self.fan.orders.push_back((to.to_vec(), packet.to_vec()));
    }

    fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }
}

fn read_packet(client: &mut Client, framing: Framing, packet: &[u8]) {
    let mut wanted = Vec::new();
    framing.frame_into(packet, &mut wanted);
    let mut got = vec![0; wanted.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == wanted, "{framing:?}");
}

#[test]
fn each_listener_has_its_framing_until_the_peer_shows_another() {
    let mut rig = Rig::new(StreamLimits::default());
    let [mut by_length, mut by_slip] = rig.ports.map(|port| rig.connect(port));
    rig.deliver(&[by_length.1, by_slip.1], b"/first..");
    rig.turn_until("sent", |fan| fan.orders.is_empty());
    read_packet(&mut by_length.0, Framing::Length, b"/first..");
    read_packet(&mut by_slip.0, Framing::Slip, b"/first..");
    by_length.0.write_all(b"\xc0/a..\xc0").unwrap();
    by_slip.0.write_all(b"\0\0\0\x04/b..").unwrap();
    rig.turn_until("packets", |fan| fan.packets.len() == 2);
    rig.deliver(&[by_length.1, by_slip.1], b"/second.");
    rig.turn_until("sent", |fan| fan.orders.is_empty());
    read_packet(&mut by_length.0, Framing::Slip, b"/second.");
    read_packet(&mut by_slip.0, Framing::Length, b"/second.");
}

#[test]
fn a_packet_for_many_comes_to_each_as_it_is_framed_there() {
    let mut rig = Rig::new(StreamLimits::default());
    let ports = rig.ports;
    let mut clients: Vec<_> = (0..20).map(|n| rig.connect(ports[n % 2])).collect();
    let all: Vec<ConnId> = clients.iter().map(|(_, id)| *id).collect();
    let large: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let packets = [b"/small\xc0\xdb".as_slice(), &large, b"/b..", &large[..20_000], &[0xc0; 10_000]];
    for packet in packets {
        rig.deliver(&all, packet);
    }
    rig.deliver(&all[..3], b"/few");
    let reader = std::thread::spawn(move || {
        for packet in packets_of(&large) {
            for (number, (client, _)) in clients.iter_mut().enumerate() {
                read_packet(client, [Framing::Length, Framing::Slip][number % 2], &packet);
            }
        }
        for (number, (client, _)) in clients[..3].iter_mut().enumerate() {
            read_packet(client, [Framing::Length, Framing::Slip][number % 2], b"/few");
        }
        for (client, _) in &mut clients {
            client.set_nonblocking(true).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    });
    while !reader.is_finished() {
        rig.reactor.handle().wake();
        rig.turn();
    }
    reader.join().unwrap();
    assert_eq!(rig.counters.delivered.load(Ordering::Relaxed), 5 * 20 + 3);
    assert_eq!(rig.dropped(), 0);
}

fn packets_of(large: &[u8]) -> [Vec<u8>; 5] {
    [
        b"/small\xc0\xdb".to_vec(),
        large.to_vec(),
        b"/b..".to_vec(),
        large[..20_000].to_vec(),
        vec![0xc0; 10_000],
    ]
}

#[test]
fn whoever_is_slow_loses_the_oldest_and_keeps_the_newest_whole() {
    const BOUND: usize = 100_000;
    let mut rig =
        Rig::new(StreamLimits { outbound: BOUND, slow: Slow::DropOldest, ..StreamLimits::default() });
    let (mut slow, id) = rig.connect(rig.ports[0]);
    let (mut other, other_id) = rig.connect(rig.ports[0]);
    let mut sent = 0_u32;
    while rig.dropped() < 2_000 {
        let mut packet = vec![b'/'; 500];
        packet[..4].copy_from_slice(&sent.to_be_bytes());
        rig.deliver(&[id, other_id], &packet);
        sent += 1;
        rig.reactor.handle().wake();
        rig.turn();
        read_packet(&mut other, Framing::Length, &packet);
    }
    // A packet larger than the bound drives out the others, and comes alone.
    rig.deliver(&[id], &[7; BOUND + 1]);
    rig.reactor.handle().wake();
    rig.turn();
    let lost = rig.dropped();
    let (number, at) = (Arc::clone(&rig.counters), rig.fan.closed.len());
    let reader = std::thread::spawn(move || {
        let mut splitter = Splitter::new(1 << 20);
        let (mut buffer, mut numbers) = (vec![0; 1 << 16], Vec::new());
        loop {
            let length = slow.read(&mut buffer).unwrap();
            assert!(length > 0, "cut off: {number:?}");
            let mut input = &buffer[..length];
            while let Split::Packet(packet) = splitter.next(&mut input) {
                if packet.len() == BOUND + 1 {
                    return numbers;
                }
                assert_eq!(packet.len(), 500);
                numbers.push(u32::from_be_bytes(*packet.first_chunk().unwrap()));
            }
        }
    });
    while !reader.is_finished() {
        rig.reactor.handle().wake();
        rig.turn();
    }
    let numbers = reader.join().unwrap();
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert_eq!(numbers.len() as u64 + lost, u64::from(sent), "whatever did not come is counted");
    assert_eq!(at, 0);
    assert_eq!(rig.counters.cut.load(Ordering::Relaxed), 0);
}

#[test]
fn what_waits_is_written_before_a_connection_is_closed() {
    let mut rig = Rig::new(StreamLimits { outbound: 8 << 20, ..StreamLimits::default() });
    let (mut client, id) = rig.connect(rig.ports[0]);
    let large = vec![5; 6 << 20];
    rig.deliver(&[id], &large);
    rig.fan.closing.push(id);
    rig.turn_until("closed", |fan| fan.closed == [id]);
    // It is gone for the handler, and takes nothing more, but is still to read what it was sent.
    rig.deliver(&[id], b"/late...");
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        all
    });
    while rig.counters.connections.load(Ordering::Relaxed) > 0 {
        rig.turn();
    }
    assert_eq!(reader.join().unwrap().len(), 4 + large.len());
    assert_eq!(rig.fan.closed, [id]);
}

#[test]
fn what_a_client_had_still_to_say_does_not_destroy_what_it_was_told() {
    let mut rig = Rig::new(StreamLimits::default());
    let (mut client, id) = rig.connect(rig.ports[0]);
    client.write_all(&b"\0\0\0\x04/a..".repeat(1_000)).unwrap();
    rig.deliver(&[id], b"/no.");
    rig.fan.closing.push(id);
    rig.turn_until("closed", |fan| fan.closed == [id]);
    client.write_all(&b"\0\0\0\x04/b..".repeat(1_000)).unwrap();
    rig.turn();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"\0\0\0\x04/no.");
    assert!(rig.fan.packets.iter().all(|(_, packet)| packet == b"/a.."));
}

#[test]
fn an_end_that_comes_with_the_last_packet_is_noticed() {
    let mut rig = Rig::new(StreamLimits::default());
    let (mut client, id) = rig.connect(rig.ports[0]);
    rig.turn();
    client.write_all(b"\0\0\0\x04/a..").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    rig.turn_until("closed", |fan| fan.closed == [id]);
    assert_eq!(rig.fan.packets, [(Endpoint::Tcp(id), b"/a..".to_vec())]);
}

#[test]
fn whoever_does_not_read_its_last_words_does_not_stay() {
    let mut rig = Rig::new(StreamLimits { outbound: 32 << 20, ..StreamLimits::default() });
    let (_client, id) = rig.connect(rig.ports[0]);
    rig.deliver(&[id], &vec![5; 30 << 20]);
    rig.fan.closing.push(id);
    let start = Instant::now();
    rig.turn_until("closed", |fan| fan.closed == [id]);
    while rig.counters.connections.load(Ordering::Relaxed) > 0 {
        assert!(start.elapsed() < PATIENCE);
        rig.turn();
    }
}

#[test]
fn whom_an_end_concerns_is_told_in_the_same_turn() {
    let mut rig = Rig::new(StreamLimits::default());
    let ports = rig.ports;
    let mut clients: Vec<_> = (0..3).map(|_| rig.connect(ports[0])).collect();
    rig.fan.obituary = Some(b"/gone...".to_vec());
    let (gone, id) = clients.remove(0);
    drop(gone);
    rig.turn_until("closed", |fan| fan.closed == [id]);
    for (client, _) in &mut clients {
        read_packet(client, Framing::Length, b"/gone...");
    }
}

#[test]
fn all_of_a_storm_are_let_in() {
    let mut rig = Rig::new(StreamLimits { connections: 600, ..StreamLimits::default() });
    let port = rig.ports[1];
    let storm = std::thread::spawn(move || {
        (0..500).map(|_| Client::connect(("127.0.0.1", port)).unwrap()).collect::<Vec<_>>()
    });
    rig.turn_until("open", |fan| fan.open.len() == 500);
    let mut clients = storm.join().unwrap();
    let all = rig.fan.open.clone();
    rig.deliver(&all, b"/welcome");
    rig.turn_until("sent", |fan| fan.orders.is_empty());
    clients.iter_mut().for_each(|client| read_packet(client, Framing::Slip, b"/welcome"));
    drop(clients);
    rig.turn_until("closed", |fan| fan.closed.len() == 500);
    assert!(rig.counters.connections.load(Ordering::Relaxed) == 0 && rig.reactor_is_empty());
}

impl Rig {
    /// Places of those that are gone are used again.
    fn reactor_is_empty(&mut self) -> bool {
        let (_client, id) = self.connect(self.ports[0]);
        id.slot < 500 && id.serial == 500
    }
}

#[test]
fn a_parting_is_over_when_all_have_read_what_they_were_sent() {
    let mut rig = Rig::new(StreamLimits { outbound: 8 << 20, ..StreamLimits::default() });
    let ports = rig.ports;
    let clients: Vec<_> = (0..8).map(|n| rig.connect(ports[n % 2])).collect();
    let all: Vec<ConnId> = clients.iter().map(|(_, id)| *id).collect();
    let large = vec![5; 3 << 20];
    rig.deliver(&all, &large);
    let readers: Vec<_> = clients
        .into_iter()
        .map(|(mut client, _)| {
            std::thread::spawn(move || {
                let mut all = Vec::new();
                client.read_to_end(&mut all).map(|_| all.len())
            })
        })
        .collect();
    rig.reactor.part(&mut rig.fan, Span::from_secs(15)).unwrap();
    assert_eq!(rig.counters.connections.load(Ordering::Relaxed), 0);
    for (number, reader) in readers.into_iter().enumerate() {
        let frame = [4, 2][number % 2];
        assert_eq!(reader.join().unwrap().unwrap(), frame + large.len());
    }
    assert!(Client::connect(("127.0.0.1", ports[0])).is_err(), "nobody is let in any more");
}

#[test]
fn an_idle_connection_costs_little() {
    assert!(size_of::<Option<Connection>>() <= 320, "{}", size_of::<Option<Connection>>());
}
