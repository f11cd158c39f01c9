//! Stamps of departure over real loopback sockets: each is of its own datagram, and lies between two readings of the clock.

use super::linux::request;
use crate::counters::NetCounters;
use crate::endpoint::Endpoint;
use crate::reactor::{Handler, Outgoing, Reactor, Sockets};
use crate::tcp::StreamLimits;
use crate::udp::MAX_DATAGRAM;
use downbeat_sync::{Clock, LocalTime, Span, WallAnchor};
use socket2::{MsgHdr, SockAddr, SockRef};
use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Nothing on loopback takes longer, unless it never comes.
const PATIENCE: Span = Span::from_secs(20);

/// Sends what it is given, and remembers when that was and what it was told.
#[derive(Default)]
struct Sender {
    to_send: VecDeque<(SocketAddr, Vec<u8>, Option<u64>)>,
    sending: Vec<u8>,
    polled: HashMap<u64, LocalTime>,
    left: Vec<(u64, LocalTime)>,
    arrivals: Vec<LocalTime>,
    deadline: Option<LocalTime>,
}

impl Handler for Sender {
    fn on_packet(&mut self, arrival: LocalTime, _: Endpoint, _: &[u8]) {
        self.arrivals.push(arrival);
    }

    fn on_sent(&mut self, cookie: u64, at: LocalTime) {
        self.left.push((cookie, at));
    }

    fn on_tick(&mut self, _: WallAnchor) {}

    fn deadline(&self) -> Option<LocalTime> {
        self.deadline
    }

    fn poll(&mut self, now: LocalTime) -> Option<Outgoing<'_>> {
        let (to, packet, stamp) = self.to_send.pop_front()?;
        self.sending = packet;
        stamp.map(|cookie| self.polled.insert(cookie, now));
        Some(Outgoing::Send { to: Endpoint::Udp(to), packet: &self.sending, stamp })
    }
}

/// A reactor of which every turn is taken here.
struct Lab {
    reactor: Reactor,
    clock: Clock,
    counters: Arc<NetCounters>,
    /// The reactor's socket, to meddle with.
    socket: UdpSocket,
    sender: Sender,
}

impl Lab {
    fn new(clock: Clock) -> Lab {
        let sockets = Sockets::bind(None, 0, &[]).unwrap();
        let socket = sockets.udp.as_ref().unwrap().try_clone().unwrap();
        let counters = Arc::new(NetCounters::default());
        let reactor = Reactor::new(sockets, clock, StreamLimits::default(), Arc::clone(&counters)).unwrap();
        Lab { reactor, clock, counters, socket, sender: Sender::default() }
    }

    fn send(&mut self, to: SocketAddr, cookie: Option<u64>) {
        self.sender.to_send.push_back((to, b"/a..".to_vec(), cookie));
    }

    /// Sends one that asks for its stamp, behind the reactor's back.
    fn number_one(&self, to: SocketAddr) {
        let to = match to.ip() {
            IpAddr::V4(v4) if self.socket.local_addr().unwrap().is_ipv6() => v4.to_ipv6_mapped().into(),
            other => other,
        };
        let (address, buffers) = (SockAddr::from(SocketAddr::from((to, 9))), [IoSlice::new(b"/c..")]);
        let request = request();
        let message = MsgHdr::new().with_addr(&address).with_buffers(&buffers).with_control(&request);
        SockRef::from(&self.socket).sendmsg(&message, 0).unwrap();
    }

    /// Takes turns until so many stamps have come.
    fn until_left(&mut self, count: usize) {
        let start = self.clock.now();
        while self.sender.left.len() < count {
            self.sender.deadline = Some(self.clock.now() + Span::from_millis(50));
            self.reactor.turn(&mut self.sender).unwrap();
            assert!(self.clock.now() - start < PATIENCE, "{:?}", self.sender.left);
        }
    }

    fn counted(&self) -> (u64, u64) {
        let [timed, stamped] = [&self.counters.sent_timed, &self.counters.sent_stamped];
        (timed.load(Ordering::Relaxed), stamped.load(Ordering::Relaxed))
    }
}

/// Somebody to send to, of each family that this host has.
fn peers() -> Vec<UdpSocket> {
    ["127.0.0.1:0", "[::1]:0"].into_iter().filter_map(|address| UdpSocket::bind(address).ok()).collect()
}

#[test]
fn a_datagram_tells_when_it_left() {
    // Of a host whose oscillator is another: the kernel's stamps are of its own clock.
    for clock in [Clock::new(), Clock::new().simulated(80.0, Span::from_secs(1_234))] {
        let mut lab = Lab::new(clock);
        for (cookie, peer) in (7..).zip(peers()) {
            lab.sender.left.clear();
            lab.send(peer.local_addr().unwrap(), Some(cookie));
            lab.until_left(1);
            let after = clock.now();
            let (told, at) = lab.sender.left[0];
            let before = lab.sender.polled[&cookie];
            assert_eq!(told, cookie);
            assert!(!at.is_before(before) && !after.is_before(at), "{} {}", at - before, after - at);
        }
        let sent = peers().len() as u64;
        assert_eq!(lab.counted(), (sent, sent));
    }
}

#[test]
fn each_stamp_is_of_its_own_datagram_whatever_else_is_sent_or_fails() {
    let mut lab = Lab::new(Clock::new());
    let peers = peers();
    let addresses: Vec<SocketAddr> = peers.iter().map(|peer| peer.local_addr().unwrap()).collect();
    for n in 0..60u64 {
        let to = addresses[n as usize % addresses.len()];
        match n % 6 {
            1 | 2 => lab.send(to, None),
            3 => lab.sender.to_send.push_back((to, vec![0; MAX_DATAGRAM + 100], Some(n))),
            _ => lab.send(to, Some(n)),
        }
        lab.sender.deadline = Some(lab.clock.now());
        lab.reactor.turn(&mut lab.sender).unwrap();
        if n % 6 == 2 {
            // The kernel numbers one that we know nothing of, as it may one that fails.
            lab.number_one(to);
        }
    }
    lab.until_left(30);
    for (cookie, at) in &lab.sender.left {
        assert!(cookie % 6 == 0 || cookie % 6 > 3, "{cookie}");
        let before = lab.sender.polled[cookie];
        assert!(!at.is_before(before), "{cookie}: {}", *at - before);
        if let Some(next) = (cookie + 1..60).find_map(|next| lab.sender.polled.get(&next)) {
            assert!(!next.is_before(*at), "{cookie}: {}", *at - *next);
        }
    }
    assert_eq!((lab.counted(), lab.counters.unsent.load(Ordering::Relaxed)), ((30, 30), 10));
}

#[test]
fn arrivals_are_stamped_as_before() {
    let mut lab = Lab::new(Clock::new());
    let port = lab.socket.local_addr().unwrap().port();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut late = 0;
    for n in 0..100u64 {
        peer.send_to(b"/b..", (Ipv4Addr::LOCALHOST, port)).unwrap();
        lab.send(peer.local_addr().unwrap(), Some(n));
        let sent = lab.clock.now();
        while lab.sender.arrivals.len() as u64 <= n {
            lab.sender.deadline = Some(lab.clock.now());
            lab.reactor.turn(&mut lab.sender).unwrap();
            assert!(lab.clock.now() - sent < PATIENCE);
        }
        // The kernel's stamp is of when it was sent, a reading of ours of when we looked.
        late += u64::from(sent.is_before(lab.sender.arrivals[n as usize]));
    }
    lab.until_left(100);
    let unstamped = lab.counters.unstamped.load(Ordering::Relaxed);
    // Perhaps the second, where the kernel gives more with each packet since the first that asked.
    assert!(late == unstamped && unstamped <= 1, "{late} {unstamped}");
}

#[test]
fn a_stamp_wakes_the_loop_at_most_once() {
    let mut lab = Lab::new(Clock::new());
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    (0..20).for_each(|n| lab.send(peer.local_addr().unwrap(), Some(n)));
    let end = lab.clock.now() + Span::from_millis(100);
    let mut turns = 0;
    while lab.clock.now().is_before(end) {
        lab.sender.deadline = Some(end);
        lab.reactor.turn(&mut lab.sender).unwrap();
        turns += 1;
    }
    assert_eq!(lab.sender.left.len(), 20);
    // One that sends, one for each stamp if all were late, and what the clock's grain makes of the deadline.
    assert!(turns < 50, "{turns}");
}

#[test]
fn more_than_can_be_waited_for_is_bounded_and_the_newest_are_told() {
    let mut lab = Lab::new(Clock::new());
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    (0..1_000).for_each(|n| lab.send(peer.local_addr().unwrap(), Some(n)));
    lab.until_left(1);
    while lab.sender.left.last().is_some_and(|(last, _)| *last != 999) {
        lab.until_left(lab.sender.left.len() + 1);
    }
    assert!(lab.sender.left.len() < 1_000, "{}", lab.sender.left.len());
    assert!(lab.sender.left.iter().all(|(cookie, at)| !at.is_before(lab.sender.polled[cookie])));
}
