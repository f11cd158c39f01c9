//! What it costs to read and to write OSC: ours, rosc, liblo and oscpack, in one run, in turn.
//!
//! `cargo bench --bench codec` prints nanoseconds per packet, medians of interleaved rounds, and allocations
//! per packet. Reading means every argument of every message was looked at. liblo and oscpack are measured by
//! small programs built here with the system's compiler; where their headers are missing (Debian: liblo-dev,
//! liboscpack-dev), their columns are empty. Not for: sockets.

use downbeat_net::osc::{self, Arg, BundleWriter};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 41;
/// How long one measurement of one packet takes in one round.
const BATCH: Duration = Duration::from_micros(500);

fn main() {
    // `cargo bench` passes --bench, `cargo test` does not: there one round shows that everything runs.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    let packets = packets();
    let hex: String = packets.iter().map(|(_, packet)| hex(packet) + "\n").collect();
    let peers = [
        Peer::build("liblo", "cc", "codec_liblo.c", &["-llo", "-lm", "-lpthread"]),
        Peer::build("oscpack", "c++", "codec_oscpack.cpp", &["-loscpack"]),
    ];

    let mut table = vec![Row::default(); packets.len()];
    for _ in 0..rounds {
        for (row, (_, packet)) in table.iter_mut().zip(&packets) {
            row.measure(packet);
        }
        for (column, peer) in peers.iter().enumerate() {
            let Some(peer) = peer else { continue };
            for (row, line) in table.iter_mut().zip(peer.run(&hex).lines()) {
                let mut fields = line.split(' ').map(|field| field.parse::<f64>().ok());
                row.peers[column].read.extend(fields.next().flatten());
                row.peers[column].write.extend(fields.next().flatten());
            }
        }
    }

    println!("ns per packet, median of {rounds} rounds (allocations); read / write");
    println!("{:<34} {:>15} {:>22} {:>15} {:>10}", "packet", "downbeat", "rosc", "liblo", "oscpack");
    for (row, (name, packet)) in table.iter_mut().zip(&packets) {
        let name = format!("{name}, {} B", packet.len());
        let [liblo, oscpack] = &mut row.peers;
        println!(
            "{name:<34} {:>15} {:>22} {:>15} {:>10}",
            row.ours.show(Some(row.our_allocations)),
            row.rosc.show(Some(row.rosc_allocations)),
            liblo.show(None),
            oscpack.show(None),
        );
    }
}

/// Names and bytes of what is measured; the same packets as a musician's programs send.
fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let message = |address: &str, args: &[Arg<'_>]| {
        let mut packet = Vec::new();
        osc::write(&mut packet, address, args.iter().copied()).expect("the benchmark's message is legal");
        packet
    };
    let bundle = |messages: &[Vec<u8>]| {
        let mut packet = Vec::new();
        let mut bundle = BundleWriter::new(&mut packet, 0xe9b1_1200_8000_0000);
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
        Arg::Time(0xe9b1_1200_8000_0000),
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
    vec![
        ("/synth/1/freq ,if", message("/synth/1/freq", &[3.into(), 0.5_f32.into()])),
        ("/play ,sif", play),
        ("bundle of ten /play ,sif", bundle(&ten)),
        ("every type but S", message("/types", &every_type)),
        ("/data ,b of 1 kB", message("/data", &[Arg::Blob(&[7; 1024])])),
        ("/dirt/play, 24 arguments, bundled", bundle(&[message("/dirt/play", &tidal)])),
    ]
}

#[derive(Clone, Default)]
struct Row {
    ours: Samples,
    our_allocations: u64,
    rosc: Samples,
    rosc_allocations: u64,
    peers: [Samples; 2],
}

/// Nanoseconds per packet, one of each round.
#[derive(Clone, Default)]
struct Samples {
    read: Vec<f64>,
    write: Vec<f64>,
}

impl Row {
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
        self.rosc.write.push(time(|| {
            out.clear();
            rosc::encoder::encode_into(black_box(&decoded), &mut out).expect("a Vec takes everything")
        }));
    }
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
        let mut bundle = BundleWriter::new(out, 0xe9b1_1200_8000_0000);
        for (address, args) in messages {
            bundle.message(address, args.iter().copied()).expect("the message was read");
        }
    } else {
        let (address, args) = &messages[0];
        osc::write(out, address, args.iter().copied()).expect("the message was read");
    }
}

impl Samples {
    fn show(&mut self, allocations: Option<u64>) -> String {
        let allocations = allocations.map_or(String::new(), |count| format!(" ({count})"));
        match (median(&mut self.read), median(&mut self.write)) {
            (Some(read), Some(write)) => format!("{read:.0}{allocations} / {write:.0}"),
            (Some(read), None) => format!("{read:.0}{allocations}"),
            (None, _) => "-".into(),
        }
    }
}

fn median(samples: &mut [f64]) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
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

/// A program that takes packets as lines of hex, and answers each with the nanoseconds to read and to write
/// it.
struct Peer(PathBuf);

impl Peer {
    fn build(name: &str, compiler: &str, source: &str, libraries: &[&str]) -> Option<Peer> {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches").join(source);
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("codec_{name}"));
        let mut command = Command::new(compiler);
        command.args(["-O2", "-o"]).arg(&program).arg(&source).args(libraries).stderr(Stdio::null());
        if command.status().is_ok_and(|status| status.success()) {
            return Some(Peer(program));
        }
        println!("{name}: left out, its development files or {compiler} are missing");
        None
    }

    fn run(&self, packets: &str) -> String {
        let mut child = Command::new(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was just built");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(packets.as_bytes()).expect("the program reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("the program ends");
        String::from_utf8(output.stdout).expect("the program prints numbers")
    }
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
