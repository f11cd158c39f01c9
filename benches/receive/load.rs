//! The sender: packets at an even rate, in small bursts, as an ensemble's traffic arrives.

use crate::report::cpu;
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};
use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Packets per system call: the burst in which they leave.
const BURST: usize = 16;

/// What was sent, and how fast.
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) per_second: f64,
}

/// Sends copies of one packet to a port of this host, so many a second for so long, or as fast as this core can.
///
/// The calling thread spins on its core: a timer would be late by more than a burst takes.
pub(crate) fn send(core: usize, port: u16, packet: &[u8], per_second: f64, time: Duration) -> Sent {
    cpu::pin(core);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.connect(("127.0.0.1", port)).expect("loopback is there");
    let slices = [[IoSlice::new(packet)]; BURST];
    let mut headers = MultiHeaders::<()>::preallocate(BURST, None);
    let interval = Duration::from_secs_f64(BURST as f64 / per_second);
    let start = Instant::now();
    let mut packets = 0;
    let mut due = Duration::ZERO;
    while due < time && start.elapsed() < 2 * time {
        while start.elapsed() < due {
            std::hint::spin_loop();
        }
        let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, [None; BURST], [], MsgFlags::empty());
        packets += sent.map_or(0, |sent| sent.count()) as u64;
        // Who was kept from sending for long does not catch up: that would be a flood, not the rate asked for.
        due = (due + interval).max(start.elapsed().saturating_sub(4 * interval));
    }
    Sent { packets, per_second: packets as f64 / start.elapsed().as_secs_f64() }
}
