//! The reactor over real loopback sockets: every wait is for something that must come, up to a deadline.

use super::*;
use crate::framing::{Framing, Split, Splitter};
use crate::udp::MAX_DATAGRAM;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing on loopback takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a handler was told.
#[derive(Debug, PartialEq)]
enum Told {
    Packet(Endpoint, Vec<u8>),
    Open(ConnId),
    Connected(ConnId),
    Close(ConnId),
}

/// Tells a channel of everything, and answers: `/echo...` with itself, `/flood...` with 64 KiB, `/close...` by closing.
struct Echo {
    told: Sender<Told>,
    age: Span,
    now: LocalTime,
    answers: Vec<(Endpoint, Vec<u8>)>,
    closing: Vec<ConnId>,
    sending: Vec<u8>,
    /// While it is held, the handler is busy and reads nothing.
    busy: Arc<std::sync::Mutex<()>>,
}

impl Handler for Echo {
    fn on_packet(&mut self, arrival: LocalTime, from: Endpoint, packet: &[u8]) {
        drop(self.busy.lock());
        self.age = Clock::new().now() - arrival;
        assert!(self.age >= Span::ZERO && self.age < Span::from_secs(10), "{}", self.age);
        match (packet, from) {
            (b"/echo...", _) => self.answers.push((from, packet.to_vec())),
            (b"/flood..", _) => self.answers.push((from, vec![0; 64 << 10])),
            (b"/close..", Endpoint::Tcp(conn)) => {
                self.answers.push((from, b"/bye".to_vec()));
                self.closing.push(conn);
            }
            _ => {}
        }
        let _ = self.told.send(Told::Packet(from, packet.to_vec()));
    }

    fn on_open(&mut self, conn: ConnId, peer: SocketAddr) {
        assert!(peer.ip().is_loopback());
        let _ = self.told.send(Told::Open(conn));
    }

    fn on_connected(&mut self, conn: ConnId) {
        self.answers.push((Endpoint::Tcp(conn), b"/first..".to_vec()));
        let _ = self.told.send(Told::Connected(conn));
    }

    fn on_close(&mut self, conn: ConnId) {
        let _ = self.told.send(Told::Close(conn));
    }

    fn on_tick(&mut self, now: WallAnchor) {
        self.now = now.local;
    }

    fn deadline(&self) -> Option<LocalTime> {
        None
    }

    fn poll(&mut self, _: LocalTime) -> Option<Outgoing<'_>> {
        if let Some((to, packet)) = self.answers.pop() {
            self.sending = packet;
            return Some(Outgoing::Send { to, packet: &self.sending, stamp: None });
        }
        self.closing.pop().map(Outgoing::Close)
    }
}

/// A reactor on its own thread, stopped at the end.
struct Running {
    port: u16,
    told: Receiver<Told>,
    handle: Handle,
    counters: Arc<NetCounters>,
    busy: Arc<std::sync::Mutex<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    fn start(address: Option<IpAddr>, limits: StreamLimits) -> Running {
        let sockets = Sockets::bind(address, 0, &[]).unwrap();
        let port = sockets.local_addr().unwrap().port();
        let counters = Arc::new(NetCounters::default());
        let clock = Clock::new();
        let (tell, told) = channel();
        let busy = Arc::new(std::sync::Mutex::new(()));
        let mut echo = Echo {
            told: tell,
            age: Span::ZERO,
            now: clock.now(),
            answers: Vec::new(),
            closing: Vec::new(),
            sending: Vec::new(),
            busy: Arc::clone(&busy),
        };
        let (give, handle) = channel();
        let counting = Arc::clone(&counters);
        let thread = std::thread::spawn(move || {
            let mut reactor = Reactor::new(sockets, clock, limits, counting)?;
            give.send(reactor.handle()).unwrap();
            reactor.run(&mut echo)
        });
        let handle = handle.recv_timeout(PATIENCE).unwrap();
        Running { port, told, handle, counters, busy, thread: Some(thread) }
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(PATIENCE).expect("the reactor told nothing")
    }

    /// The next packet; openings and closings are passed over.
    fn packet(&self) -> (Endpoint, Vec<u8>) {
        loop {
            if let Told::Packet(from, packet) = self.next() {
                return (from, packet);
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Waits until a counter has got somewhere.
    fn wait_for(&self, what: &str, enough: impl Fn(&NetCounters) -> bool) {
        let start = Instant::now();
        while !enough(&self.counters) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}", self.counters);
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().map(|thread| thread.join());
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(Ok(())))), "{ended:?}");
        }
    }
}

fn udp(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn has_ipv6() -> bool {
    UdpSocket::bind("[::1]:0").is_ok()
}

#[test]
fn datagrams_of_both_families_arrive_on_one_port_and_are_answered() {
    let running = Running::start(None, StreamLimits::default());
    for address in ["127.0.0.1", "::1"] {
        if address == "::1" && !has_ipv6() {
            continue;
        }
        let peer = udp(address);
        peer.send_to(b"/echo...", (address, running.port)).unwrap();
        assert_eq!(running.packet(), (Endpoint::Udp(peer.local_addr().unwrap()), b"/echo...".to_vec()));
        let mut buffer = [0; 64];
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.port()), (&b"/echo..."[..], running.port));
    }
    assert_eq!(running.counters.packets.load(Ordering::Relaxed), if has_ipv6() { 2 } else { 1 });
}

#[test]
fn a_bound_address_is_the_only_one() {
    let running = Running::start(Some(Ipv4Addr::LOCALHOST.into()), StreamLimits::default());
    let peer = udp("127.0.0.1");
    peer.send_to(b"/a..", ("127.0.0.1", running.port)).unwrap();
    assert_eq!(running.packet().1, b"/a..");
    assert!(TcpStream::connect(("127.0.0.2", running.port)).is_err());
    assert_eq!(
        Sockets::bind(Some(Ipv4Addr::LOCALHOST.into()), running.port, &[]).unwrap_err().kind(),
        io::ErrorKind::AddrInUse
    );
}

#[test]
fn an_address_that_a_socket_cannot_reach_is_an_error_that_says_so() {
    if !has_ipv6() {
        return;
    }
    let four: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let six: SocketAddr = "[::1]:9".parse().unwrap();
    let port = |address: &str| UdpPort::new(bind_udp(address.parse().unwrap(), &[]).unwrap()).unwrap();
    for (own, to, kind) in [("[::1]:0", four, "IPv6"), ("127.0.0.1:0", six, "IPv4")] {
        let why = port(own).send(to, b"/x").unwrap_err().to_string();
        assert_eq!(why, format!("this node listens on {kind} only"), "from {own}");
    }
    for (own, to) in [("[::1]:0", six), ("127.0.0.1:0", four), ("[::]:0", six), ("[::]:0", four)] {
        port(own).send(to, b"/x").unwrap();
    }
}

#[test]
fn packets_of_every_size_arrive_whole_and_in_order() {
    let running = Running::start(None, StreamLimits::default());
    let peer = udp("127.0.0.1");
    for size in [0, 4, 1_400, 9_000, MAX_DATAGRAM, 8] {
        let packet = vec![7; size];
        peer.send_to(&packet, ("127.0.0.1", running.port)).unwrap();
        assert_eq!(running.packet().1, packet);
    }
}

#[test]
fn multicast_groups_are_joined() {
    let group = Ipv4Addr::new(239, 255, 77, 99);
    let Ok(sockets) = Sockets::bind(None, 0, &[group.into()]) else {
        return; // A host without a route for multicast.
    };
    assert!(sockets.local_addr().unwrap().port() > 0);
    assert!(Sockets::bind(None, 0, &[Ipv4Addr::LOCALHOST.into()]).is_err());
}

#[test]
fn both_framings_are_recognised_and_answered_in_kind() {
    let running = Running::start(None, StreamLimits::default());
    for framing in [Framing::Length, Framing::Slip] {
        let mut stream = running.connect();
        let mut bytes = Vec::new();
        for packet in [b"/echo...".as_slice(), b"/a\xc0\xdb", b"/echo..."] {
            framing.frame_into(packet, &mut bytes);
        }
        // Byte by byte, so that every cut is met.
        for byte in &bytes {
            stream.write_all(&[*byte]).unwrap();
        }
        for wanted in [b"/echo...".as_slice(), b"/a\xc0\xdb", b"/echo..."] {
            assert_eq!(running.packet().1, wanted, "{framing:?}");
        }
        let mut splitter = Splitter::new(1 << 20);
        let mut answers = 0;
        let mut buffer = [0; 64];
        while answers < 2 {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0);
            let mut input = &buffer[..length];
            while let Split::Packet(packet) = splitter.next(&mut input) {
                assert_eq!(packet, b"/echo...");
                answers += 1;
            }
        }
        assert_eq!(splitter.framing(), Some(framing));
    }
}

#[test]
fn whoever_has_said_all_still_hears_the_answer() {
    let running = Running::start(None, StreamLimits::default());
    let mut client = running.connect();
    let held = running.busy.lock().unwrap();
    udp("127.0.0.1").send_to(b"/wait...", ("127.0.0.1", running.port)).unwrap();
    client.write_all(b"\0\0\0\x08/echo...").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    drop(held);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"\0\0\0\x08/echo...");
}

#[test]
fn a_spoiled_slip_packet_is_counted_and_the_next_is_whole() {
    let running = Running::start(None, StreamLimits::default());
    running.connect().write_all(b"\xc0/a\xdbx\xc0/b..\xc0").unwrap();
    assert_eq!(running.packet().1, b"/b..");
    running.wait_for("spoiled", |counters| counters.spoiled.load(Ordering::Relaxed) == 1);
}

#[test]
fn a_handler_can_close_a_connection_after_a_last_word() {
    let running = Running::start(None, StreamLimits::default());
    let mut stream = running.connect();
    let Told::Open(conn) = running.next() else { panic!("not opened") };
    stream.write_all(b"\0\0\0\x08/close..").unwrap();
    assert_eq!(running.packet().0, Endpoint::Tcp(conn));
    let mut last = Vec::new();
    stream.read_to_end(&mut last).unwrap();
    assert_eq!(last, b"\0\0\0\x04/bye");
    assert_eq!(running.next(), Told::Close(conn));
}

#[test]
fn what_is_no_osc_stream_is_closed_and_harms_nobody_else() {
    let limits = StreamLimits { packet: 64, ..StreamLimits::default() };
    let running = Running::start(None, limits);
    let mut good = running.connect();
    for garbage in [&b"\xff\xff\xff\xffgarbage"[..], b"\0\0\0\0", b"\0\0\0\x41", &[0xc0; 1], &[b'/'; 65]] {
        let mut bad = running.connect();
        bad.write_all(garbage).unwrap();
        if garbage == [0xc0] {
            continue; // A SLIP stream that has only begun.
        }
        let mut rest = Vec::new();
        assert!(matches!(bad.read_to_end(&mut rest), Ok(0) | Err(_)), "{garbage:?}");
    }
    good.write_all(b"\0\0\0\x04/a..").unwrap();
    assert_eq!(running.packet().1, b"/a..");
    running.wait_for("broken", |counters| counters.broken.load(Ordering::Relaxed) == 4);
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_others_are_served() {
    let limits = StreamLimits { outbound: 256 << 10, ..StreamLimits::default() };
    let running = Running::start(None, limits);
    let mut slow = running.connect();
    let Told::Open(id) = running.next() else { panic!("not opened") };
    // Ask until it is cut off: the sockets' own buffers take megabytes first.
    while running.counters.cut.load(Ordering::Relaxed) == 0 {
        if slow.write_all(b"\0\0\0\x08/flood..").is_err() {
            break;
        }
    }
    running.wait_for("cut", |counters| counters.cut.load(Ordering::Relaxed) == 1);
    while running.next() != Told::Close(id) {}
    let mut good = running.connect();
    good.write_all(b"\0\0\0\x08/echo...").unwrap();
    let mut answer = [0; 12];
    good.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\0\0\0\x08/echo...");
}

#[test]
fn the_newest_connection_is_refused_when_there_are_too_many() {
    let limits = StreamLimits { connections: 2, ..StreamLimits::default() };
    let running = Running::start(None, limits);
    let [mut first, second] = [running.connect(), running.connect()];
    let opened = [running.next(), running.next()];
    let mut third = running.connect();
    assert!(matches!(third.read(&mut [0; 1]), Ok(0) | Err(_)));
    running.wait_for("refused", |counters| counters.refused.load(Ordering::Relaxed) == 1);
    first.write_all(b"\0\0\0\x04/a..").unwrap();
    assert_eq!(running.packet().1, b"/a..");
    drop(second);
    let Told::Close(closed) = running.next() else { panic!("not closed") };
    assert!(opened.contains(&Told::Open(closed)));
    let _fourth = running.connect();
    let Told::Open(fourth) = running.next() else { panic!("not opened") };
    assert_ne!(fourth, closed, "the place is used again, the number is not");
}

#[test]
fn a_flood_does_not_keep_a_connection_from_being_served() {
    let running = Running::start(None, StreamLimits::default());
    let stop = Arc::new(AtomicBool::new(false));
    let (port, stopped) = (running.port, Arc::clone(&stop));
    let flood = std::thread::spawn(move || {
        let peer = udp("127.0.0.1");
        while !stopped.load(Ordering::Relaxed) {
            let _ = peer.send_to(b"not an OSC packet at all", ("127.0.0.1", port));
        }
    });
    running.wait_for("the flood", |counters| counters.packets.load(Ordering::Relaxed) > 1_000);
    for _ in 0..20 {
        let mut stream = running.connect();
        stream.write_all(b"\0\0\0\x08/echo...").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
}

#[cfg(target_os = "linux")]
/// Counts the bytes of each connection.
#[derive(Default)]
struct Count(std::collections::HashMap<ConnId, usize>);

impl Handler for Count {
    fn on_packet(&mut self, _: LocalTime, from: Endpoint, packet: &[u8]) {
        if let Endpoint::Tcp(conn) = from {
            *self.0.entry(conn).or_default() += packet.len();
        }
    }

    fn on_tick(&mut self, _: WallAnchor) {}

    fn deadline(&self) -> Option<LocalTime> {
        None
    }

    fn poll(&mut self, _: LocalTime) -> Option<Outgoing<'_>> {
        None
    }
}

#[test]
fn many_busy_connections_together_hold_up_a_turn_no_longer_than_a_few() {
    const CLIENTS: usize = 60;
    const EACH: usize = 50_000;
    let sockets = Sockets::bind(Some(Ipv4Addr::LOCALHOST.into()), 0, &[]).unwrap();
    let port = sockets.local_addr().unwrap().port();
    let packets = b"\0\0\0\x04/a\0\0".repeat(EACH / 4);
    let mut clients: Vec<_> =
        (0..CLIENTS).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    clients.iter_mut().for_each(|client| client.write_all(&packets).unwrap());
    let mut reactor = Reactor::new(sockets, Clock::new(), StreamLimits::default(), Arc::default()).unwrap();
    let mut count = Count::default();
    let mut turns = 0;
    while count.0.len() < CLIENTS || count.0.values().any(|bytes| *bytes < EACH) {
        let before: usize = count.0.values().sum();
        reactor.turn(&mut count).unwrap();
        // Half of the stream are lengths.
        assert!(2 * (count.0.values().sum::<usize>() - before) <= (1 << 20) + (256 << 10));
        turns += 1;
    }
    assert!(turns >= 5);
    assert!(count.0.values().all(|bytes| *bytes == EACH));
}

#[test]
fn packets_the_kernel_dropped_are_counted_and_stamps_survive_it() {
    let running = Running::start(None, StreamLimits::default());
    let peer = udp("127.0.0.1");
    let to = ("127.0.0.1", running.port);
    {
        let _busy = running.busy.lock();
        // More than any buffer the kernel grants: 4 MiB, doubled for its own books.
        for _ in 0..20_000 {
            peer.send_to(&[0; 1_024], to).unwrap();
        }
    }
    // The count comes with the packets that follow the loss.
    running.wait_for("drops", |counters| {
        let _ = peer.send_to(b"/a..", to);
        counters.kernel_drops.load(Ordering::Relaxed) > 0
    });
    let until = |last: &[u8]| {
        peer.send_to(last, to).unwrap();
        while running.packet().1 != last {}
    };
    until(b"/first..");
    // From here on every packet brings the count too, and headers that had shrunk to a stamp alone have been renewed.
    let unstamped = running.counters.unstamped.load(Ordering::Relaxed);
    for _ in 0..100 {
        peer.send_to(b"/a..", to).unwrap();
    }
    until(b"/last...");
    assert_eq!(running.counters.unstamped.load(Ordering::Relaxed), unstamped);
    let received = running.counters.packets.load(Ordering::Relaxed);
    assert!(received < 20_000, "{received} received");
}

#[test]
fn a_wake_is_a_tick_and_a_stop_is_soon() {
    let start = Instant::now();
    let running = Running::start(None, StreamLimits::default());
    running.handle.wake();
    drop(running);
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn a_connection_made_elsewhere_is_taken_over_though_there_is_no_room_for_others() {
    let limits = StreamLimits { connections: 1, ..StreamLimits::default() };
    let running = Running::start(Some(Ipv4Addr::LOCALHOST.into()), limits);
    let _only = running.connect();
    assert!(matches!(running.next(), Told::Open(_)));
    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(there.local_addr().unwrap()).unwrap();
    let (mut peer, _) = there.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    running.handle.adopt(here).unwrap();
    let Told::Connected(conn) = running.next() else { panic!("not told") };
    let mut first = [0; 12];
    peer.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"\0\0\0\x08/first..", "the length comes first");
    peer.write_all(b"\0\0\0\x08/hello..").unwrap();
    assert_eq!(running.next(), Told::Packet(Endpoint::Tcp(conn), b"/hello..".to_vec()));
    drop(peer);
    assert_eq!(running.next(), Told::Close(conn));
    assert_eq!(running.counters.accepted.load(Ordering::Relaxed), 1);
}
