//! [`read`]: from the bytes of a packet to its messages, through bundles, without recursion.
//!
//! Not for: the inside of a message (`message`).

use super::error::{ErrorKind, OscError};
use super::message::Message;

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
/// Each item is checked to its last byte. The first error is the last item.
///
/// RT: nothing here allocates, blocks or panics.
#[inline]
pub fn read(packet: &[u8]) -> Reader<'_> {
    Reader { packet, at: None, bundle: Bundle::NONE, depth: 0, outer: [Bundle::NONE; MAX_NESTING - 1] }
}

/// The messages of a packet: see [`read`].
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    packet: &'a [u8],
    /// Where the next bundle element starts; `None` before the packet itself was looked at.
    at: Option<usize>,
    /// The bundle around `at`.
    bundle: Bundle,
    /// How many bundles are around `at`.
    depth: usize,
    /// The bundles around `bundle`, outermost first.
    outer: [Bundle; MAX_NESTING - 1],
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
    /// Enters bundles until there is a message.
    #[inline]
    fn advance(&mut self) -> Result<Option<Timed<'a>>, OscError> {
        while let Some((start, element)) = self.element()? {
            match element.first() {
                Some(b'/') => {
                    let message = Message::parse(element)
                        .map_err(|error| OscError { offset: start + error.offset, ..error })?;
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
    #[inline]
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
