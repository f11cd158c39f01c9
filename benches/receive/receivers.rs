//! The receivers in Rust, each run as a process of its own: the bare loop, rosc, and the node (`node`).
//!
//! Each prints its port, then how many messages it understood for every line on its standard input.

use crate::node;
use downbeat_net::osc;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};
use rosc::{OscPacket, OscType};
use std::hint::black_box;
use std::io::{IoSliceMut, Write, stdin, stdout};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The receive loops' thread, whose processor time is counted.
pub(crate) const THREAD: &str = "receiver";

/// Runs the receiver of this name until standard input ends; `false` if there is none.
pub(crate) fn run(name: &str) -> bool {
    match name {
        "bare" => count_on_a_thread(bare),
        "node" => node::run(),
        "rosc" => count_on_a_thread(with_rosc),
        _ => return false,
    }
    true
}

fn count_on_a_thread(receive: fn(UdpSocket, &AtomicU64)) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    let port = socket.local_addr().expect("it is bound").port();
    let count = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&count);
    let thread = std::thread::Builder::new().name(THREAD.into());
    thread.spawn(move || receive(socket, &counting)).expect("there is room for a thread");
    answer(port, || count.load(Ordering::Relaxed));
}

/// Tells the port, then the count whenever asked.
pub(crate) fn answer(port: u16, count: impl Fn() -> u64) {
    println!("{port}");
    stdout().flush().expect("the measuring process listens");
    for _ in stdin().lines() {
        println!("{}", count());
        stdout().flush().expect("the measuring process listens");
    }
}

/// The least there can be: one recvmmsg, a look at each packet in place, no stamp, no sender, nothing done.
fn bare(socket: UdpSocket, count: &AtomicU64) {
    const BATCH: usize = 64;
    let mut memory = vec![0u8; BATCH * 2048];
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    loop {
        let mut slices: Vec<_> = memory.chunks_mut(2048).map(|room| [IoSliceMut::new(room)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None);
        let understood: usize = received
            .into_iter()
            .flatten()
            .map(|message| message.iovs().next().map_or(0, understood_in_place))
            .sum();
        count.fetch_add(understood as u64, Ordering::Relaxed);
    }
}

/// How many `/play` a packet holds; every argument is looked at.
fn understood_in_place(packet: &[u8]) -> usize {
    let messages = osc::read(packet).flatten().filter(|timed| timed.message.address() == b"/play");
    messages.inspect(|timed| timed.message.args().for_each(|arg| _ = black_box(arg))).count()
}

/// The usual Rust program: std's socket, rosc's decoder.
fn with_rosc(socket: UdpSocket, count: &AtomicU64) {
    let mut room = [0u8; rosc::decoder::MTU];
    loop {
        let Ok(length) = socket.recv(&mut room) else { continue };
        if let Ok((_, packet)) = rosc::decoder::decode_udp(&room[..length]) {
            count.fetch_add(understood_by_rosc(&packet), Ordering::Relaxed);
        }
    }
}

fn understood_by_rosc(packet: &OscPacket) -> u64 {
    match packet {
        OscPacket::Message(message) if message.addr == "/play" => {
            let gain = message.args.last();
            u64::from(matches!(black_box(gain), Some(OscType::Float(_))))
        }
        OscPacket::Message(_) => 0,
        OscPacket::Bundle(bundle) => bundle.content.iter().map(understood_by_rosc).sum(),
    }
}
