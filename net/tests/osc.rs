//! The OSC reader and writer against each other and against rosc, on packets nobody thought of.

mod oracle;

use downbeat_net::osc::{self, Arg, BundleWriter};
use proptest::collection::vec;
use proptest::prelude::*;
use rosc::{OscBundle, OscMessage, OscPacket, OscTime, OscType};

/// An argument that owns what it has; arrays whole, so that brackets pair.
#[derive(Clone, Debug)]
enum Owned {
    Flat(Arg<'static>),
    Text(Vec<u8>),
    Symbol(Vec<u8>),
    Blob(Vec<u8>),
    Array(Vec<Owned>),
}

impl Owned {
    fn push_to<'a>(&'a self, args: &mut Vec<Arg<'a>>) {
        match self {
            Owned::Flat(arg) => args.push(*arg),
            Owned::Text(text) => args.push(Arg::Str(text)),
            Owned::Symbol(text) => args.push(Arg::Symbol(text)),
            Owned::Blob(blob) => args.push(Arg::Blob(blob)),
            Owned::Array(elements) => {
                args.push(Arg::ArrayStart);
                elements.iter().for_each(|element| element.push_to(args));
                args.push(Arg::ArrayEnd);
            }
        }
    }
}

fn arg() -> impl Strategy<Value = Owned> {
    let text = || vec(1..=255u8, 0..12);
    let flat = prop_oneof![
        any::<i32>().prop_map(Arg::Int),
        any::<u32>().prop_map(|bits| Arg::Float(f32::from_bits(bits))),
        any::<i64>().prop_map(Arg::Long),
        any::<u64>().prop_map(Arg::Time),
        any::<u64>().prop_map(|bits| Arg::Double(f64::from_bits(bits))),
        any::<u32>().prop_map(Arg::Char),
        any::<[u8; 4]>().prop_map(Arg::Rgba),
        any::<[u8; 4]>().prop_map(Arg::Midi),
        any::<bool>().prop_map(Arg::from),
        Just(Arg::Nil),
        Just(Arg::Impulse),
    ];
    let leaf = prop_oneof![
        6 => flat.prop_map(Owned::Flat),
        2 => "[a-zé]{0,9}".prop_map(|text| Owned::Text(text.into_bytes())),
        1 => text().prop_map(Owned::Text),
        1 => text().prop_map(Owned::Symbol),
        1 => vec(any::<u8>(), 0..12).prop_map(Owned::Blob),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| vec(inner, 0..4).prop_map(Owned::Array))
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    ("/[a-z/*?]{0,12}", vec(arg(), 0..6)).prop_map(|(address, args)| {
        let mut flat = Vec::new();
        args.iter().for_each(|arg| arg.push_to(&mut flat));
        let mut packet = Vec::new();
        osc::write(&mut packet, address, flat).expect("text without NULs, brackets that pair");
        packet
    })
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    message().prop_recursive(osc::MAX_NESTING as u32, 24, 4, |inner| {
        (any::<u64>(), vec(inner, 0..4)).prop_map(|(timetag, elements)| {
            let mut packet = Vec::new();
            let mut bundle = BundleWriter::new(&mut packet, timetag);
            for element in &elements {
                bundle.packet(element).expect("a packet written here");
            }
            packet
        })
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(packet in packet()) {
        prop_assert!(oracle::check(&packet).is_some());
    }

    #[test]
    fn damaged_packets_do_no_harm(
        mut packet in packet(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        len in any::<prop::sample::Index>(),
    ) {
        for (at, byte) in damage {
            *at.get_mut(&mut packet) = byte;
        }
        oracle::check(&packet);
        oracle::check(&packet[..len.index(packet.len())]);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        head in prop::sample::select(vec![&b""[..], b"/a\0\0,", b"#bundle\0\0\0\0\0\0\0\0\x01\0\0\0"]),
        tail in vec(any::<u8>(), 0..64),
    ) {
        oracle::check(&[head, &tail].concat());
    }
}

#[test]
fn what_rosc_writes_is_read() {
    let message = |address: &str, args| OscPacket::Message(OscMessage { addr: address.into(), args });
    let play = message("/play", vec!["kick".into(), 1.into(), 0.5_f32.into(), OscType::Blob(vec![1, 2, 3])]);
    let timetag = OscTime { seconds: 7, fractional: 9 };
    let inner = OscPacket::Bundle(OscBundle { timetag, content: vec![message("/stop", vec![])] });
    let outer = OscBundle { timetag: OscTime { seconds: 0, fractional: 1 }, content: vec![play, inner] };
    let packet = rosc::encoder::encode(&OscPacket::Bundle(outer)).unwrap();
    let messages = oracle::check(&packet).unwrap();
    let summary: Vec<_> = messages.iter().map(|timed| (timed.timetag, timed.message.address())).collect();
    assert_eq!(summary, [(1, &b"/play"[..]), ((7 << 32) + 9, b"/stop")]);
    let args: Vec<_> = messages[0].message.args().collect();
    assert_eq!(args, [Arg::from("kick"), 1.into(), 0.5_f32.into(), Arg::Blob(&[1, 2, 3])]);
}
