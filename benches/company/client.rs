//! [`Client`]: the ensemble's time as a sender knows it that asks one node about once a second, as
//! `samples/python/ensemble_clock.py` does. It hears of a jump only by the next answer.
//!
//! Not for: knowing the time exactly; all nodes are sent one timetag, whatever its error.

use crate::report::told::{ask_time, time};
use downbeat_sync::{Clock, EnsembleTime, LocalTime, Span};
use std::net::{SocketAddr, UdpSocket};

/// Questions at the start and after a jump, and the time between them; then about once a second.
const BURST: u32 = 16;
const BURST_INTERVAL: Span = Span::from_millis(30);
const INTERVAL: Span = Span::from_secs(1);
/// The node's time lies between question and answer. What is known that is further than this outside was jumped over.
const JUMP: Span = Span::from_millis(10);
/// A shorter way there and back is worth more, but not for longer: two crystals have gone apart by then.
const FRESH: Span = Span::from_secs(5);

/// See the module.
pub(crate) struct Client {
    clock: Clock,
    socket: UdpSocket,
    asked: Vec<LocalTime>,
    known: Option<Known>,
    burst: u32,
    next: LocalTime,
    /// When it heard of jumps.
    pub(crate) jumps: Vec<LocalTime>,
}

#[derive(Clone, Copy)]
struct Known {
    at: LocalTime,
    time: EnsembleTime,
    round_trip: Span,
}

impl Client {
    pub(crate) fn new(clock: Clock, node: SocketAddr) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
        socket.connect(node).expect("loopback is there");
        socket.set_nonblocking(true).expect("a socket need not wait");
        let next = clock.now();
        Client { clock, socket, asked: Vec::new(), known: None, burst: BURST, next, jumps: Vec::new() }
    }

    /// Hears what was answered, and asks if it is time.
    pub(crate) fn go_on(&mut self) {
        let mut room = [0; 512];
        while let Ok(len) = self.socket.recv(&mut room) {
            let now = self.clock.now();
            let answer = time(&room[..len]);
            if let Some((number, time)) = answer
                && let Some(asked) = usize::try_from(number).ok().and_then(|number| self.asked.get(number))
            {
                self.hear(*asked, now, time);
            }
        }
        let now = self.clock.now();
        if now.is_before(self.next) {
            return;
        }
        self.next = now + if self.burst > 0 { BURST_INTERVAL } else { INTERVAL };
        self.burst = self.burst.saturating_sub(1);
        self.asked.push(ask_time(&self.socket, self.clock, self.asked.len() as i32).0);
    }

    fn hear(&mut self, asked: LocalTime, now: LocalTime, time: EnsembleTime) {
        let round_trip = now - asked;
        if let Some(known) = self.known {
            let (early, late) = (time - known.time_at(now), time - known.time_at(asked));
            if early > JUMP || late < -JUMP {
                self.known = None;
                self.burst = BURST;
                self.next = now;
                self.jumps.push(now);
            }
        }
        let better = |known: Known| round_trip <= known.round_trip || now - known.at > FRESH;
        if self.known.is_none_or(better) {
            let at = asked + Span::from_ticks(round_trip.ticks() / 2);
            self.known = Some(Known { at, time, round_trip });
        }
    }

    /// The ensemble's time, if it was ever answered.
    pub(crate) fn now(&self) -> Option<EnsembleTime> {
        self.known.map(|known| known.time_at(self.clock.now()))
    }
}

impl Known {
    fn time_at(&self, local: LocalTime) -> EnsembleTime {
        self.time + (local - self.at)
    }
}
