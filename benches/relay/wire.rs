//! [`Relay`]: the running relay, a thread between two sockets.
//!
//! One thread, so that nothing waits for a lock: it sleeps until a packet comes or a timer rings, [`SPIN`] before the next
//! packet is due, and spins for the rest. The timer is absolute, so being preempted on the way to sleep costs nothing.
//! A packet's delay counts from the kernel's stamp, so that being woken late costs nothing either, unless it is woken later
//! than the packet is due. Not for: what is to be done (`law`).

use super::Way;
use super::law::{Dice, Fate, Law};
use super::log::{End, Entry, Log};
use downbeat_engine::device::priority::{Grant, raise_this_thread};
use downbeat_sync::{Clock, LocalTime, Span};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::clock_gettime;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// So long before a packet is due the relay is awake.
const SPIN: Span = Span::from_micros(80);
/// How often it looks whether it is to stop (ms).
const LOOK: u16 = 50;
/// Packets taken from a socket before those that are due are looked at.
const BATCH: usize = 32;
/// SCHED_FIFO priority: above a node's network thread, below its audio.
const PRIORITY: i32 = 45;
/// A kernel's stamp that is older than this is none.
const OLDEST: Span = Span::from_secs(1);

/// What a relay is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What each way does to its packets.
    pub(crate) laws: [Law; 2],
    /// The same seed and the same packets have the same fates.
    pub(crate) seed: u64,
    /// It ends by itself after so long.
    pub(crate) lasts: Span,
    /// Packets that wait, and their bytes; more are dropped and counted.
    pub(crate) queue: (usize, usize),
    /// Entries of the log.
    pub(crate) logged: usize,
}

impl Plan {
    /// With room for what a test or a benchmark sends.
    pub(crate) fn new(laws: [Law; 2], seed: u64, lasts: Span) -> Plan {
        Plan { laws, seed, lasts, queue: (8_192, 32 << 20), logged: 1 << 20 }
    }
}

/// One side of a relay.
#[derive(Debug)]
pub(crate) struct Side {
    /// Where its packets come from and go to.
    socket: UdpSocket,
    /// Whom they go to: who is named, else whoever sent last.
    peer: Option<SocketAddr>,
    named: bool,
}

impl Side {
    /// A side that listens on this address (IPv4). From a peer that is named it takes packets, and from nobody else: who was
    /// told of this address by another is not at the other end of this cable.
    pub(crate) fn bind(address: impl ToSocketAddrs, peer: Option<SocketAddr>) -> io::Result<Side> {
        Ok(Side { socket: UdpSocket::bind(address)?, named: peer.is_some(), peer })
    }
}

/// See the module. Dropping it stops it.
pub(crate) struct Relay {
    ends: [SocketAddr; 2],
    stop: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Log>>>,
}

impl Relay {
    /// Starts between two sides, A and B.
    pub(crate) fn start(sides: [Side; 2], plan: Plan) -> io::Result<Relay> {
        let ends = [sides[0].socket.local_addr()?, sides[1].socket.local_addr()?];
        let [stop, cut] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let mut post = Post::new(sides, plan, [&stop, &cut].map(Arc::clone))?;
        let thread = thread::Builder::new().name("relay".into()).spawn(move || post.run())?;
        Ok(Relay { ends, stop, cut, thread: Some(thread) })
    }

    /// Pulls the cable out, or puts it back: what is sent meanwhile is gone, what is on its way arrives.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.cut.store(is_cut, Relaxed);
    }

    /// Where a side sends to, in order to reach the other.
    pub(crate) fn end(&self, side: usize) -> SocketAddr {
        self.ends[side]
    }

    /// Stops; packets that wait are not sent any more.
    pub(crate) fn stop(mut self) -> io::Result<Log> {
        self.stop.store(true, Relaxed);
        self.join()
    }

    /// Waits until its time is over.
    pub(crate) fn join(&mut self) -> io::Result<Log> {
        let thread = self.thread.take().expect("a relay is joined once");
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the relay panicked")))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A packet that waits.
struct Letter {
    due: LocalTime,
    /// Of two that are due at once, who came first goes first.
    number: u64,
    entry: Entry,
    bytes: Arc<[u8]>,
}

impl PartialEq for Letter {
    fn eq(&self, other: &Letter) -> bool {
        self.number == other.number
    }
}

impl Eq for Letter {}

impl PartialOrd for Letter {
    fn partial_cmp(&self, other: &Letter) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The largest is the one that is due first, as a heap wants it.
impl Ord for Letter {
    fn cmp(&self, other: &Letter) -> Ordering {
        other.due.compare(self.due).then(other.number.cmp(&self.number))
    }
}

/// The thread's own.
struct Post {
    sides: [Side; 2],
    dice: [Dice; 2],
    /// When the last packet of each way is due, for laws that keep the order.
    last_due: [LocalTime; 2],
    waiting: BinaryHeap<Letter>,
    waiting_bytes: usize,
    room: (usize, usize),
    number: u64,
    timer: TimerFd,
    clock: Clock,
    start: LocalTime,
    end: LocalTime,
    stop: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
    log: Log,
    buffer: Vec<u8>,
}

impl Post {
    fn new(sides: [Side; 2], plan: Plan, [stop, cut]: [Arc<AtomicBool>; 2]) -> io::Result<Post> {
        for side in &sides {
            side.socket.set_nonblocking(true)?;
            setsockopt(&side.socket, sockopt::ReceiveTimestampns, &true)?;
            // What it may not have it does without; losses of the kernel show as packets that never came.
            let _ = setsockopt(&side.socket, sockopt::RcvBuf, &(4 << 20));
        }
        let clock = Clock::new();
        let start = clock.now();
        let Plan { laws: [forth, back], seed, lasts, queue, logged } = plan;
        Ok(Post {
            sides,
            dice: [Dice::new(forth, seed, Way::Forth), Dice::new(back, seed, Way::Back)],
            last_due: [start; 2],
            waiting: BinaryHeap::new(),
            waiting_bytes: 0,
            room: queue,
            number: 0,
            timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?,
            clock,
            start,
            end: start + lasts,
            stop,
            cut,
            log: Log::new(logged),
            buffer: vec![0; 65_536],
        })
    }

    fn run(&mut self) -> io::Result<Log> {
        self.log.realtime = raise_this_thread(PRIORITY) == Grant::Granted;
        while !self.stop.load(Relaxed) && self.clock.now().is_before(self.end) {
            self.deliver();
            for way in Way::BOTH {
                self.receive(way)?;
            }
            match self.waiting.peek().map(|letter| letter.due) {
                Some(due) if due - self.clock.now() <= SPIN => {
                    while self.clock.now().is_before(due) {
                        std::hint::spin_loop();
                    }
                }
                due => self.sleep(due)?,
            }
        }
        Ok(std::mem::replace(&mut self.log, Log::new(0)))
    }

    /// Sends what is due.
    fn deliver(&mut self) {
        while let Some(letter) = self.waiting.peek() {
            let left = self.clock.now();
            if left.is_before(letter.due) {
                return;
            }
            let Some(Letter { mut entry, bytes, .. }) = self.waiting.pop() else { return };
            self.waiting_bytes -= bytes.len();
            entry.left = left;
            let side = &self.sides[1 - entry.way as usize];
            let sent = side.peer.map(|peer| side.socket.send_to(&bytes, peer));
            if !matches!(sent, Some(Ok(_))) {
                entry.end = End::Unsent;
            }
            self.log.note(entry);
        }
    }

    /// Takes what has come one way.
    fn receive(&mut self, way: Way) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..BATCH {
            let side = &mut self.sides[way as usize];
            let mut space = nix::cmsg_space!(TimeSpec);
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let fd = side.socket.as_raw_fd();
            let message = match recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut space), flags) {
                Ok(message) => message,
                Err(nix::errno::Errno::EAGAIN) => break,
                // Somebody it was sent to is not there: the answer to an earlier packet, and no reason to end.
                Err(nix::errno::Errno::ECONNREFUSED | nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let anchor = self.clock.anchor();
            let stamp = message.cmsgs()?.find_map(|note| match note {
                ControlMessageOwned::ScmTimestampns(stamp) => {
                    let nanos = i128::from(stamp.tv_sec()) * 1_000_000_000 + i128::from(stamp.tv_nsec());
                    anchor.local_of_stamp(nanos, OLDEST)
                }
                _ => None,
            });
            let from = message.address.as_ref().and_then(SockaddrStorage::as_sockaddr_in);
            let from = from.map(|from| SocketAddr::from(SocketAddrV4::from(*from)));
            if !side.named {
                side.peer = from.or(side.peer);
            }
            let is_foreign = side.peer != from;
            let bytes = message.bytes;
            let came = stamp.unwrap_or(anchor.local);
            self.log.unstamped += u64::from(stamp.is_none());
            if is_foreign {
                self.log.note(Entry { way, bytes, came, due: came, left: came, end: End::Foreign });
            } else {
                self.post(way, came, &buffer[..bytes]);
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Decides a packet's fate, and lets it wait if that is to be sent on.
    fn post(&mut self, way: Way, came: LocalTime, bytes: &[u8]) {
        let fate = self.dice[way as usize].throw((came - self.start).as_secs_f64());
        let fate = if self.cut.load(Relaxed) { Fate::Hole } else { fate };
        let entry = |due, end| Entry { way, bytes: bytes.len(), came, due, left: came, end };
        let (delay, again) = match fate {
            Fate::Comes(delay, again) => (delay, again),
            Fate::Lost => return self.log.note(entry(came, End::Lost)),
            Fate::Hole => return self.log.note(entry(came, End::Hole)),
        };
        let shared: Arc<[u8]> = bytes.into();
        let copies = [(Some(delay), End::Sent), (again, End::Again)];
        for (delay, end) in copies.into_iter().filter_map(|(delay, end)| Some((delay?, end))) {
            let mut due = came + delay;
            if self.dice[way as usize].law().in_order {
                due = due.later(self.last_due[way as usize]);
                self.last_due[way as usize] = due;
            }
            if self.waiting.len() >= self.room.0 || self.waiting_bytes + bytes.len() > self.room.1 {
                self.log.note(entry(due, End::Full));
                continue;
            }
            self.number += 1;
            self.waiting_bytes += bytes.len();
            let letter =
                Letter { due, number: self.number, entry: entry(due, end), bytes: Arc::clone(&shared) };
            self.waiting.push(letter);
        }
    }

    /// Sleeps until a packet comes, or shortly before one is due.
    fn sleep(&mut self, due: Option<LocalTime>) -> io::Result<()> {
        match due {
            Some(due) => {
                // As far ahead on the clock that a timer knows; slewing changes little of so short a distance.
                let monotonic = Duration::from(clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?);
                let ahead = Duration::from(due - SPIN - self.clock.now());
                let wake = TimeSpec::from(monotonic + ahead.max(Duration::from_nanos(1)));
                self.timer.set(Expiration::OneShot(wake), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            }
            None => self.timer.unset()?,
        }
        let watched = [self.sides[0].socket.as_fd(), self.sides[1].socket.as_fd(), self.timer.as_fd()];
        let mut watched = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut watched, PollTimeout::from(LOOK)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
