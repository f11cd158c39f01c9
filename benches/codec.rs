//! What it costs to read, to dispatch and to write OSC: ours, rosc, liblo and oscpack, in one run, in turn.
//!
//! Nanoseconds per packet, medians of interleaved rounds, and allocations per packet. Reading means every
//! argument of every message was looked at; dispatching means from bytes to an event for the engine. Not for:
//! sockets (`receive`).

mod report;

use downbeat_engine::{ClipId, Origin};
use downbeat_net::osc::{self, Arg, BundleWriter};
use downbeat_net::score::{Arrival, Score, ScoreConfig};
use downbeat_sync::{ClockEstimate, EnsembleTime, LocalTime, RoomClock};
use report::{Table, digits, median, peer, unless_quick, verdict};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 41;
/// How long one measurement of one packet takes in one round.
const BATCH: Duration = Duration::from_micros(500);
/// The timetag of what is bundled, and the ensemble's time when it arrives.
const TIMETAG: u64 = 0xe9b1_1200_8000_0000;

fn main() {
    let rounds = unless_quick(ROUNDS, 1);
    report::title(&format!("codec: ns per packet (allocations), median of {rounds} rounds"));
    let packets = packets();
    let hex: String = packets.iter().map(|packet| hex(&packet.bytes) + "\n").collect();
    let liblo = peer::compiled("codec_liblo.c", &["-llo", "-lm", "-lpthread"], "liblo-dev");
    let oscpack = peer::compiled("codec_oscpack.cpp", &["-loscpack", "-lstdc++"], "g++ liboscpack-dev");

    let mut rows = vec![Row::default(); packets.len()];
    for _ in 0..rounds {
        for (row, packet) in rows.iter_mut().zip(&packets) {
            row.measure(&packet.bytes);
        }
        for (program, peer) in [(&liblo, Peer::Liblo), (&oscpack, Peer::Oscpack)] {
            let Some(program) = program else { continue };
            for (row, line) in rows.iter_mut().zip(run(program, &hex).lines()) {
                row.peer(peer).take(line);
            }
        }
    }

    let headings = ["packet", "bytes", "read", "rosc", "liblo", "oscpack", "dispatch", "goal"];
    let mut reading = Table::new(&headings);
    let mut writing = Table::new(&["packet", "bytes", "write", "rosc", "liblo"]);
    for (row, packet) in rows.iter().zip(&packets) {
        let bytes = packet.bytes.len();
        let dispatch = median(&row.dispatch);
        reading.row(&[
            &packet.name,
            &bytes,
            &format!("{} ({})", digits(median(&row.ours.read)), row.our_allocations),
            &format!("{} ({})", digits(median(&row.rosc.read)), row.rosc_allocations),
            &digits(median(&row.liblo.read)),
            &digits(median(&row.oscpack.read)),
            &digits(dispatch),
            &packet.goal.map_or(String::new(), |goal| format!("{goal} {}", verdict(dispatch <= goal))),
        ]);
        writing.row(&[
            &packet.name,
            &bytes,
            &digits(median(&row.ours.write)),
            &digits(median(&row.rosc.write)),
            &digits(median(&row.liblo.write)),
        ]);
    }
    reading.print();
    println!();
    writing.print();
}

/// A packet as a musician's program sends it.
struct Packet {
    name: &'static str,
    bytes: Vec<u8>,
    /// What reading and dispatching it may take [ns].
    goal: Option<f64>,
}

fn packets() -> Vec<Packet> {
    let message = |address: &str, args: &[Arg<'_>]| {
        let mut packet = Vec::new();
        osc::write(&mut packet, address, args.iter().copied()).expect("the benchmark's message is legal");
        packet
    };
    let bundle = |messages: &[Vec<u8>]| {
        let mut packet = Vec::new();
        let mut bundle = BundleWriter::new(&mut packet, TIMETAG);
        for message in messages {
            bundle.packet(message).expect("the benchmark's bundle is legal");
        }
        packet
    };
    let play = message("/play", &["bd".into(), 1.into(), 0.5_f32.into()]);
    let ten: Vec<_> = (0..10).map(|n| message("/play", &["bd".into(), n.into(), 0.5_f32.into()])).collect();
    let every_type = [
        Arg::Int(1),
        Arg::Float(0.5),
        Arg::from("text"),
        Arg::Blob(b"blob"),
        Arg::Long(1 << 40),
        Arg::Time(TIMETAG),
        Arg::Double(0.25),
        Arg::Char(0x61),
        Arg::Rgba([1, 2, 3, 4]),
        Arg::Midi([0, 0x90, 60, 100]),
        Arg::True,
        Arg::False,
        Arg::Nil,
        Arg::Impulse,
        Arg::ArrayStart,
        Arg::Int(1),
        Arg::Int(2),
        Arg::ArrayEnd,
    ];
    let tidal: Vec<Arg<'_>> = vec![
        "_id_".into(),
        "1".into(),
        "cps".into(),
        0.5625_f32.into(),
        "cycle".into(),
        12.5_f32.into(),
        "delta".into(),
        0.888_f32.into(),
        "n".into(),
        3.0_f32.into(),
        "orbit".into(),
        0.into(),
        "pan".into(),
        0.5_f32.into(),
        "gain".into(),
        1.0_f32.into(),
        "room".into(),
        0.1_f32.into(),
        "size".into(),
        0.3_f32.into(),
        "speed".into(),
        1.0_f32.into(),
        "s".into(),
        "superpiano".into(),
    ];
    let packet = |name, bytes, goal| Packet { name, bytes, goal };
    vec![
        packet("/synth/1/freq ,if", message("/synth/1/freq", &[3.into(), 0.5_f32.into()]), None),
        packet("/play ,sif", play, Some(60.0)),
        packet("bundle of ten /play ,sif", bundle(&ten), Some(350.0)),
        packet("every type but S", message("/types", &every_type), None),
        packet("1 kB blob", message("/data", &[Arg::Blob(&[7; 1024])]), None),
        packet("bundled /dirt/play, 24 arguments", bundle(&[message("/dirt/play", &tidal)]), None),
    ]
}

#[derive(Clone, Default)]
struct Row {
    ours: Samples,
    our_allocations: u64,
    rosc: Samples,
    rosc_allocations: u64,
    liblo: Samples,
    oscpack: Samples,
    /// From bytes to events, for packets of the node's address space.
    dispatch: Vec<f64>,
}

/// Whose figures come from a program of their own.
#[derive(Clone, Copy)]
enum Peer {
    Liblo,
    Oscpack,
}

/// Nanoseconds per packet, one of each round.
#[derive(Clone, Default)]
struct Samples {
    read: Vec<f64>,
    write: Vec<f64>,
}

impl Row {
    fn peer(&mut self, peer: Peer) -> &mut Samples {
        match peer {
            Peer::Liblo => &mut self.liblo,
            Peer::Oscpack => &mut self.oscpack,
        }
    }

    fn measure(&mut self, packet: &[u8]) {
        let mut out = Vec::with_capacity(2 * packet.len());

        self.ours.read.push(time(|| read_all(black_box(packet))));
        self.our_allocations = allocations(|| read_all(packet));
        let messages: Vec<_> = osc::read(packet).map(|timed| timed.expect("the packet is legal")).collect();
        let messages: Vec<_> = messages
            .iter()
            .map(|timed| (timed.message.address(), timed.message.args().collect::<Vec<_>>()))
            .collect();
        let bundled = packet.starts_with(b"#");
        self.ours.write.push(time(|| {
            out.clear();
            write_all(bundled, black_box(&messages), &mut out);
            out.len()
        }));

        let read = || rosc::decoder::decode_udp(black_box(packet)).expect("the packet is legal").1;
        self.rosc.read.push(time(read));
        self.rosc_allocations = allocations(read);
        let decoded = read();
        let (mut score, arrival) = node();
        if score.read(packet, &arrival).is_ok() {
            let events = || score.read(black_box(packet), &arrival).map_or(0, |staged| staged.events.len());
            self.dispatch.push(time(events));
        }
        self.rosc.write.push(time(|| {
            out.clear();
            rosc::encoder::encode_into(black_box(&decoded), &mut out).expect("a Vec takes everything")
        }));
    }
}

/// An address space with one sample, and a packet's arrival there.
fn node() -> (Score, Arrival) {
    let mut score = Score::new(ScoreConfig::default());
    score.add_sample("bd", ClipId(0));
    let at = LocalTime::from_ticks(0);
    let clock = ClockEstimate::new(at, EnsembleTime::from_bits(TIMETAG));
    (score, Arrival { at, from: Origin(0), clock: RoomClock::steady(clock) })
}

/// Looks at every argument of every message, as a dispatcher does.
fn read_all(packet: &[u8]) -> f64 {
    let mut sum = 0.0;
    for timed in osc::read(packet) {
        let timed = timed.expect("the packet is legal");
        sum += timed.message.address().len() as f64;
        for arg in timed.message.args() {
            sum += match arg {
                Arg::Str(text) | Arg::Symbol(text) | Arg::Blob(text) => text.len() as f64,
                other => other.number().unwrap_or(0.0),
            };
        }
    }
    sum
}

fn write_all(bundled: bool, messages: &[(&[u8], Vec<Arg<'_>>)], out: &mut Vec<u8>) {
    if bundled {
        let mut bundle = BundleWriter::new(out, TIMETAG);
        for (address, args) in messages {
            bundle.message(address, args.iter().copied()).expect("the message was read");
        }
    } else {
        let (address, args) = &messages[0];
        osc::write(out, address, args.iter().copied()).expect("the message was read");
    }
}

impl Samples {
    /// Takes a line of a peer's program: nanoseconds to read and to write, or dashes.
    fn take(&mut self, line: &str) {
        let mut fields = line.split(' ').map(|field| field.parse::<f64>().ok());
        self.read.extend(fields.next().flatten());
        self.write.extend(fields.next().flatten());
    }
}

/// Nanoseconds per call.
fn time<T>(mut operation: impl FnMut() -> T) -> f64 {
    const CALLS: u32 = 256;
    let start = Instant::now();
    let mut batches = 0;
    loop {
        for _ in 0..CALLS {
            black_box(operation());
        }
        batches += 1;
        let elapsed = start.elapsed();
        if elapsed >= BATCH {
            return elapsed.as_nanos() as f64 / f64::from(CALLS * batches);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a program that takes packets as lines of hex, and answers each with the nanoseconds to read and to
/// write it.
fn run(program: &Path, packets: &str) -> String {
    let mut command = Command::new(program);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it was just built");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(packets.as_bytes()).expect("the program reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    String::from_utf8(output.stdout).expect("the program prints numbers")
}

/// The system's allocator, with a count of what this thread took from it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to `System` unchanged; the counter is a thread-local without destructor, and takes no
// memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System`, and the caller keeps the rest of the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: `pointer` came from `System`, and the caller keeps the rest of the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn allocations<T>(operation: impl FnOnce() -> T) -> u64 {
    let before = ALLOCATIONS.get();
    black_box(operation());
    ALLOCATIONS.get() - before
}
