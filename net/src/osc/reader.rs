//! [`read`]: from the bytes of a packet to its messages, through bundles, without recursion.
//!
//! Not for: the inside of a message (`message`).

use super::error::{ErrorKind, OscError};
use super::message::{Head, Message};

/// How deep bundles may be nested: a bundle in a bundle is nested to 2.
pub const MAX_NESTING: usize = 8;

/// The timetag that means at once; a message outside of bundles has it.
pub const IMMEDIATELY: u64 = 1;

/// A message and when it is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timed<'a> {
    /// The bits of the timetag of the innermost bundle around the message; [`IMMEDIATELY`] if there is none.
    pub timetag: u64,
    /// The message.
    pub message: Message<'a>,
}

/// Iterates over the messages of a packet, a message or a bundle, in order.
///
/// Each item is checked to its last byte. The first error is the last item. A message with the address and the type tags of
/// the one before has the very same slices of them.
///
/// RT: nothing here allocates, blocks or panics.
#[inline]
pub fn read(packet: &[u8]) -> Reader<'_> {
    Reader {
        packet,
        at: None,
        head: Head::NONE,
        bundle: Bundle::NONE,
        depth: 0,
        outer: [Bundle::NONE; MAX_NESTING - 1],
        any_tags: false,
    }
}

/// The messages of a packet: see [`read`].
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    packet: &'a [u8],
    /// Where the next bundle element starts; `None` before the packet itself was looked at.
    at: Option<usize>,
    /// How the last message began.
    head: Head<'a>,
    /// The bundle around `at`.
    bundle: Bundle,
    /// How many bundles are around `at`.
    depth: usize,
    /// The bundles around `bundle`, outermost first.
    outer: [Bundle; MAX_NESTING - 1],
    /// Unknown type tags are no error.
    any_tags: bool,
}

#[derive(Clone, Copy, Debug)]
struct Bundle {
    /// Where its last element ends.
    end: usize,
    timetag: u64,
}

impl Bundle {
    const NONE: Bundle = Bundle { end: 0, timetag: IMMEDIATELY };
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Timed<'a>, OscError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance().transpose();
        if let Some(Err(_)) = item {
            self.stop();
        }
        item
    }
}

impl std::iter::FusedIterator for Reader<'_> {}

impl<'a> Reader<'a> {
    /// Takes type tags that nobody defined: the arguments of such a message end before the first of them. For those who hand
    /// packets on, whose receivers may know more.
    pub fn any_tags(self) -> Reader<'a> {
        Reader { any_tags: true, ..self }
    }

    /// Enters bundles until there is a message.
    #[inline(always)]
    fn advance(&mut self) -> Result<Option<Timed<'a>>, OscError> {
        while let Some((start, element)) = self.element()? {
            match element.first() {
                Some(b'/') => {
                    let message = match Message::parse(element, &mut self.head) {
                        Ok(message) => message,
                        Err(OscError { kind: ErrorKind::UnknownTag(_), .. }) if self.any_tags => {
                            Message::unchecked(element, &self.head)
                        }
                        Err(error) => return Err(OscError { offset: start + error.offset, ..error }),
                    };
                    return Ok(Some(Timed { timetag: self.bundle.timetag, message }));
                }
                Some(b'#') => self.enter(start, element)?,
                Some(_) => return Err(ErrorKind::NoAddress.at(start)),
                None => return Err(ErrorKind::Empty.at(start)),
            }
        }
        Ok(None)
    }

    /// The packet itself at first, then the elements of its bundles, with where they start.
    #[inline(always)]
    fn element(&mut self) -> Result<Option<(usize, &'a [u8])>, OscError> {
        let Some(mut at) = self.at else {
            if !self.packet.len().is_multiple_of(4) {
                return Err(ErrorKind::Unaligned.at(self.packet.len()));
            }
            self.stop();
            return Ok(Some((0, self.packet)));
        };
        while at == self.bundle.end {
            if self.depth <= 1 {
                return Ok(None);
            }
            self.depth -= 1;
            self.bundle = self.outer[self.depth - 1];
        }
        let (size, rest) =
            self.packet[at..self.bundle.end].split_first_chunk().ok_or(ErrorKind::Truncated.at(at))?;
        let size = i32::from_be_bytes(*size);
        let bad_size = ErrorKind::ElementSize(size).at(at);
        let len = usize::try_from(size).map_err(|_| bad_size)?;
        if len == 0 || len % 4 != 0 || len > rest.len() {
            return Err(bad_size);
        }
        at += 4;
        self.at = Some(at + len);
        Ok(Some((at, &rest[..len])))
    }

    /// Goes into a bundle, so that its elements are next.
    #[inline]
    fn enter(&mut self, start: usize, element: &'a [u8]) -> Result<(), OscError> {
        let head = element.strip_prefix(b"#bundle\0").ok_or(ErrorKind::NoAddress.at(start))?;
        let (timetag, _) = head.split_first_chunk().ok_or(ErrorKind::NoTimetag.at(start + 8))?;
        if self.depth == MAX_NESTING {
            return Err(ErrorKind::TooDeep.at(start));
        }
        if self.depth > 0 {
            self.outer[self.depth - 1] = self.bundle;
        }
        self.depth += 1;
        self.bundle = Bundle { end: start + element.len(), timetag: u64::from_be_bytes(*timetag) };
        self.at = Some(start + 16);
        Ok(())
    }

    /// Leaves nothing to read.
    fn stop(&mut self) {
        self.depth = 0;
        self.bundle = Bundle::NONE;
        self.at = Some(self.bundle.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::osc::{Arg, BundleWriter, write};

    /// A message `/m` with one int.
    fn message(number: i32) -> Vec<u8> {
        let mut packet = Vec::new();
        write(&mut packet, "/m", [Arg::Int(number)]).unwrap();
        packet
    }

    fn bundle(timetag: u64, elements: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = Vec::new();
        let mut bundle = BundleWriter::new(&mut packet, timetag);
        for element in elements {
            bundle.packet(element).unwrap();
        }
        packet
    }

    /// So many bundles around one message, the outermost with timetag 1.
    fn nest(levels: usize) -> Vec<u8> {
        (1..=levels).rev().fold(message(7), |inner, level| bundle(level as u64, &[inner]))
    }

    /// Timetag and first argument of each message, then the error if there is one.
    type Summary<'a> = (Vec<(u64, Arg<'a>)>, Option<(ErrorKind, usize)>);

    fn summary(packet: &[u8]) -> Summary<'_> {
        let mut messages = Vec::new();
        let mut items = read(packet);
        for item in items.by_ref() {
            match item {
                Ok(timed) => messages.push((timed.timetag, timed.message.args().next().unwrap_or(Arg::Nil))),
                Err(error) => {
                    assert_eq!(items.next(), None, "the first error is the last item");
                    return (messages, Some((error.kind, error.offset)));
                }
            }
        }
        assert_eq!(items.next(), None);
        (messages, None)
    }

    fn from_hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn a_message_alone_is_immediate() {
        assert_eq!(summary(&message(3)), (vec![(IMMEDIATELY, Arg::Int(3))], None));
    }

    #[test]
    fn messages_have_the_timetag_of_their_innermost_bundle() {
        let inner = bundle(0, &[message(2), message(3)]);
        let packet = bundle(u64::MAX, &[message(1), inner, bundle(5, &[]), message(4)]);
        let expected =
            vec![(u64::MAX, Arg::Int(1)), (0, Arg::Int(2)), (0, Arg::Int(3)), (u64::MAX, Arg::Int(4))];
        assert_eq!(summary(&packet), (expected, None));
        assert_eq!(summary(&bundle(5, &[])), (vec![], None));
    }

    #[test]
    fn how_a_message_began_changes_nothing_in_the_next() {
        let packets: [&[u8]; 9] = [
            b"/a\0\0,i\0\0\0\0\0\x01",
            b"/a\0\0,i\0\0\0\0\0\x02",
            b"/a\0\0,f\0\0\0\0\0\0",
            b"/a\0\0,i\0\0",
            b"/a\0\0,iii\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03",
            b"/a\0\0",
            b"/a\0\0\0\0\0\x01",
            b"/b\0\0,i\0\0\0\0\0\x01",
            b"/abcdef\0,i\0\0\0\0\0\x01",
        ];
        for first in packets {
            for second in packets {
                let both = bundle(1, &[first.to_vec(), second.to_vec()]);
                let read_after = read(&both).nth(1).map(|timed| timed.map(|timed| timed.message));
                let alone = read(second).next().unwrap().map(|timed| timed.message);
                match (read(first).next().unwrap(), alone) {
                    (Ok(_), Ok(alone)) => assert_eq!(read_after, Some(Ok(alone))),
                    (Ok(_), Err(alone)) => {
                        let offset = alone.offset + 16 + 4 + first.len() + 4;
                        assert_eq!(read_after, Some(Err(OscError { offset, ..alone })));
                    }
                    (Err(_), _) => assert_eq!(read_after, None),
                }
            }
        }
    }

    #[test]
    fn messages_that_begin_alike_share_their_address() {
        let packet = bundle(1, &[message(1), message(2)]);
        let addresses: Vec<_> = read(&packet).map(|timed| timed.unwrap().message.address()).collect();
        assert!(std::ptr::eq(addresses[0], addresses[1]));
    }

    #[test]
    fn bundles_nest_to_eight() {
        assert_eq!(summary(&nest(MAX_NESTING)), (vec![(8, Arg::Int(7))], None));
        assert_eq!(summary(&nest(MAX_NESTING + 1)), (vec![], Some((ErrorKind::TooDeep, 8 * 20))));
        // After the deepest levels were left, as many can be entered again.
        let twice = bundle(1, &[nest(7), nest(7), message(9)]);
        assert_eq!(summary(&twice), (vec![(7, Arg::Int(7)), (7, Arg::Int(7)), (1, Arg::Int(9))], None));
    }

    #[test]
    fn thousands_of_nested_bundles_do_no_harm() {
        // 42,956 bytes like these abort a program that reads them by recursion.
        assert_eq!(summary(&nest(2148)), (vec![], Some((ErrorKind::TooDeep, 160))));
    }

    #[test]
    fn unknown_type_tags_pass_where_they_may() {
        let odd = b"/a\0\0,iz\0\0\0\0\x07what";
        let packet = bundle(5, &[odd.to_vec(), message(1)]);
        assert_eq!(summary(&packet), (vec![], Some((ErrorKind::UnknownTag(b'z'), 26))));
        let passed: Vec<_> = read(&packet).any_tags().map(|timed| timed.unwrap()).collect();
        let args = passed.iter().map(|timed| timed.message.args().collect::<Vec<_>>());
        assert!(args.eq([[Arg::Int(7)], [Arg::Int(1)]]));
        assert_eq!((passed[0].timetag, passed[0].message.bytes()), (5, &odd[..]));
        // What else is wrong is wrong still.
        assert_eq!(read(b"/a\0\0,iz\0").any_tags().next().unwrap().unwrap_err().kind, ErrorKind::Truncated);
    }

    #[test]
    fn sizes_are_checked_before_use() {
        let with_size = |size: i32| {
            let mut packet = bundle(1, &[message(1), message(2)]);
            packet[32..36].copy_from_slice(&size.to_be_bytes());
            packet
        };
        assert_eq!(summary(&with_size(12)).1, None);
        for size in [0, -4, 2, 11, 13, 16, i32::MAX, i32::MIN] {
            let refused = Some((ErrorKind::ElementSize(size), 32));
            assert_eq!(summary(&with_size(size)), (vec![(1, Arg::Int(1))], refused), "{size}");
        }
        // Shorter than the element is: what follows is not what it was.
        assert_eq!(summary(&with_size(8)).1, Some((ErrorKind::Truncated, 44)));
    }

    #[test]
    fn every_prefix_of_a_packet_is_read_or_refused() {
        let packet = bundle(1, &[message(1), bundle(2, &[message(2)]), message(3)]);
        let whole: Vec<usize> =
            (0..=packet.len()).filter(|&len| summary(&packet[..len]).1.is_none()).collect();
        // Cut between elements, it is a shorter bundle. Nothing else passes.
        assert_eq!(whole, [16, 32, packet.len() - 16, packet.len()]);
        assert_eq!(summary(&packet[..17]).1, Some((ErrorKind::Unaligned, 17)));
        assert_eq!(summary(&packet[..12]).1, Some((ErrorKind::NoTimetag, 8)));
    }

    #[test]
    fn neither_message_nor_bundle() {
        assert_eq!(summary(b"").1, Some((ErrorKind::Empty, 0)));
        assert_eq!(summary(b"abc\0").1, Some((ErrorKind::NoAddress, 0)));
        assert_eq!(summary(b"\0\0\0\x04").1, Some((ErrorKind::NoAddress, 0)));
        assert_eq!(summary(b"#bundel\0\0\0\0\0\0\0\0\x01").1, Some((ErrorKind::NoAddress, 0)));
        assert_eq!(summary(b"#bundle/\0\0\0\0\0\0\0\x01").1, Some((ErrorKind::NoAddress, 0)));
    }

    /// Packets that rosc 0.11.4 gets wrong.
    #[test]
    fn traps_of_others() {
        // Two frames of a stream: the bundle ends with its frame, and the next frame is no element of it.
        let frames = from_hex(
            "000000202362756e646c650000000000000000010000000c2f6100002c69000000000001\
             0000000c2f6200002c69000000000002",
        );
        assert_eq!(summary(&frames[4..36]), (vec![(1, Arg::Int(1))], None));
        assert_eq!(summary(&frames[40..]), (vec![(1, Arg::Int(2))], None));
        // The second of three elements has an unknown tag: said so, not swallowed with the third.
        let bad_element = from_hex(
            "2362756e646c650000000000000000010000000c2f6100002c690000000000010000000\
             82f6200002c7a00000000000c2f6300002c69000000000003",
        );
        let refused = Some((ErrorKind::UnknownTag(b'z'), 41));
        assert_eq!(summary(&bad_element), (vec![(1, Arg::Int(1))], refused));
        // A negative element size.
        let negative = from_hex("2362756e646c65000000000000000001fffffffc");
        assert_eq!(summary(&negative), (vec![], Some((ErrorKind::ElementSize(-4), 16))));
    }

    #[test]
    fn errors_are_sentences() {
        let error = |packet| read(packet).next().unwrap().unwrap_err().to_string();
        assert_eq!(error(b"/a\0\0,z\0\0"), "unknown type tag 'z' at byte 5");
        assert_eq!(error(b"/a\0\0,i\0\0"), "argument missing at byte 8");
        assert_eq!(error(b"hello..\0"), "neither an address nor a bundle at byte 0");
    }
}
