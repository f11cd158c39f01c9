//! [`check`]: what must be true of any bytes at all, with rosc as a second opinion. The fuzzer uses it too.

use downbeat_net::osc::{self, Arg, Timed};
use rosc::{OscPacket, OscTime, OscType};

/// Reads a packet and panics if something does not add up; returns its messages if it was accepted.
pub(crate) fn check(packet: &[u8]) -> Option<Vec<Timed<'_>>> {
    let mut messages = Vec::new();
    let mut reader = osc::read(packet);
    for item in reader.by_ref() {
        match item {
            Ok(timed) => {
                check_message(packet, &timed);
                messages.push(timed);
            }
            Err(error) => {
                assert!(error.offset <= packet.len(), "{error} in {} bytes", packet.len());
                assert!(reader.next().is_none(), "the first error is the last item");
                return None;
            }
        }
    }
    if messages.iter().all(rosc_can_carry) && messages.len() <= 1000 {
        compare_with_rosc(packet, &messages);
    }
    Some(messages)
}

/// Everything is a part of the packet, no argument is missing, and writing it again gives the same bytes, if rosc, which
/// writes, can carry it.
fn check_message(packet: &[u8], timed: &Timed<'_>) {
    let message = &timed.message;
    let inside = |part: &[u8]| packet.as_ptr_range().contains(&part.as_ptr()) || part.is_empty();
    assert!(inside(message.bytes()) && inside(message.address()) && inside(message.data()));
    assert_eq!(message.address()[0], b'/');
    let Some(tags) = message.tags() else {
        assert_eq!(message.args().count(), 0);
        return;
    };
    assert!(message.args().map(Arg::tag).eq(tags.iter().copied()), "{message:?}");
    let mut again = Vec::new();
    match osc::write(&mut again, message.address(), message.args()) {
        Ok(()) if is_text(timed) => assert_eq!(again, message.bytes()),
        Ok(()) => assert!(osc::read(&again).all(|item| item.is_ok())),
        Err(error) => assert_eq!(error, osc::WriteError::TooDeep),
    }
}

/// Whether all its text is UTF-8 and all its characters are of Unicode.
fn is_text(timed: &Timed<'_>) -> bool {
    std::str::from_utf8(timed.message.address()).is_ok()
        && timed.message.args().all(|arg| match arg {
            Arg::Str(text) | Arg::Symbol(text) => std::str::from_utf8(text).is_ok(),
            Arg::Char(code) => char::from_u32(code).is_some(),
            _ => true,
        })
}

/// rosc drops messages it cannot carry, and those after them, without a word.
fn rosc_can_carry(timed: &Timed<'_>) -> bool {
    let no_symbols = timed.message.args().all(|arg| !matches!(arg, Arg::Symbol(_)));
    timed.message.tags().is_some() && is_text(timed) && no_symbols
}

/// rosc recurses into bundles and when it frees arrays; the reader has limited the first, this limits the
/// second.
fn compare_with_rosc(packet: &[u8], messages: &[Timed<'_>]) {
    if packet.iter().filter(|&&byte| byte == b'[').count() > 100 {
        return;
    }
    let (rest, decoded) = rosc::decoder::decode_udp(packet).expect("rosc can carry it");
    assert!(rest.is_empty());
    let mut theirs = Vec::new();
    flatten(1, &decoded, &mut theirs);
    assert_eq!(theirs.len(), messages.len());
    for ((timetag, address, args), timed) in theirs.iter().zip(messages) {
        assert_eq!(*timetag, timed.timetag);
        assert_eq!(address.as_bytes(), timed.message.address());
        assert!(args.iter().copied().map(bits).eq(timed.message.args().map(bits)), "{timed:?}");
    }
}

fn flatten<'p>(timetag: u64, packet: &'p OscPacket, into: &mut Vec<(u64, &'p str, Vec<Arg<'p>>)>) {
    match packet {
        OscPacket::Message(message) => {
            let mut args = Vec::new();
            message.args.iter().for_each(|arg| flatten_arg(arg, &mut args));
            into.push((timetag, &message.addr, args));
        }
        OscPacket::Bundle(bundle) => {
            let timetag = timetag_bits(bundle.timetag);
            bundle.content.iter().for_each(|element| flatten(timetag, element, into));
        }
    }
}

fn flatten_arg<'p>(arg: &'p OscType, into: &mut Vec<Arg<'p>>) {
    let flat = match arg {
        OscType::Int(x) => Arg::Int(*x),
        OscType::Float(x) => Arg::Float(*x),
        OscType::String(text) => Arg::Str(text.as_bytes()),
        OscType::Blob(blob) => Arg::Blob(blob),
        OscType::Time(time) => Arg::Time(timetag_bits(*time)),
        OscType::Long(x) => Arg::Long(*x),
        OscType::Double(x) => Arg::Double(*x),
        OscType::Char(x) => Arg::Char(*x as u32),
        OscType::Color(c) => Arg::Rgba([c.red, c.green, c.blue, c.alpha]),
        OscType::Midi(m) => Arg::Midi([m.port, m.status, m.data1, m.data2]),
        OscType::Bool(x) => Arg::from(*x),
        OscType::Nil => Arg::Nil,
        OscType::Inf => Arg::Impulse,
        OscType::Array(array) => {
            into.push(Arg::ArrayStart);
            array.content.iter().for_each(|element| flatten_arg(element, into));
            Arg::ArrayEnd
        }
    };
    into.push(flat);
}

fn timetag_bits(time: OscTime) -> u64 {
    u64::from(time.seconds) << 32 | u64::from(time.fractional)
}

/// The argument with its floats as integers: NaN equals itself, and -0 is not 0.
fn bits(arg: Arg<'_>) -> Arg<'_> {
    match arg {
        Arg::Float(x) => Arg::Char(x.to_bits()),
        Arg::Double(x) => Arg::Time(x.to_bits()),
        other => other,
    }
}
