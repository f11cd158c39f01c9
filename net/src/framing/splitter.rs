//! [`Splitter`]: takes a stream apart into packets, however it is cut.
//!
//! What it keeps of a packet is wiped before the next. Not for: the way out ([`Framing::frame_into`]), or what is in a packet
//! (`osc`).

use super::partial::Partial;
use super::{END, ESC, ESC_END, ESC_ESC, Framing, MAX_LIMIT};

/// What a splitter made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// The next packet. It is in the input, or in the splitter if it came in parts or with escapes.
    Packet(&'a [u8]),
    /// All input is taken in, and no packet is whole.
    More,
    /// The stream makes no sense from here on, and the connection should be closed.
    Broken(Broken),
}

/// Why a stream makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A length prefix that is zero or negative.
    #[error("impossible packet length {0}")]
    Length(i32),
    /// A packet longer than allowed.
    #[error("packet longer than the limit of {0} bytes")]
    TooLong(usize),
}

/// Takes a stream apart into packets.
///
/// Its memory is bounded by the limit, and grows only with bytes that arrived, never with those that were
/// announced.
///
/// ```
/// use downbeat_net::framing::{DEFAULT_LIMIT, Split, Splitter};
///
/// let mut splitter = Splitter::new(DEFAULT_LIMIT);
/// let mut input: &[u8] = b"\0\0\0\x04/a\0\0\0\0";
/// assert_eq!(splitter.next(&mut input), Split::Packet(b"/a\0\0"));
/// assert_eq!(splitter.next(&mut input), Split::More);
/// ```
#[derive(Debug)]
pub struct Splitter {
    limit: usize,
    framing: Option<Framing>,
    /// What came of the packet that is not whole: with its length prefix, or without its escapes.
    partial: Partial,
    /// `partial` was handed out as a packet, and is to be emptied.
    taken: bool,
    slip: Slip,
    dropped: u64,
    broken: Option<Broken>,
}

/// Where in a SLIP frame the input ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slip {
    Text,
    /// After an ESC.
    Escape,
    /// After an ESC that was none; the frame is ignored until its END.
    Spoiled,
}

/// Where a whole packet was found.
enum Found<'i> {
    InInput(&'i [u8]),
    /// In `partial`, after so many bytes.
    InPartial(usize),
}

impl Splitter {
    /// A splitter for a new connection, whose packets may be so many bytes long, [`MAX_LIMIT`] at most.
    pub fn new(limit: usize) -> Splitter {
        Splitter {
            limit: limit.min(MAX_LIMIT),
            framing: None,
            partial: Partial::default(),
            taken: false,
            slip: Slip::Text,
            dropped: 0,
            broken: None,
        }
    }

    /// What the peer uses, as soon as a byte has come.
    pub fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// How many SLIP frames were dropped for a bad escape.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next packet in `input`, which is moved past it. To be called until it says [`Split::More`].
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Split<'a> {
        if self.taken {
            self.taken = false;
            self.partial.empty();
        }
        let found = match (self.broken, self.recognise(input)) {
            (Some(broken), _) => Err(broken),
            (None, None) => Ok(None),
            (None, Some(Framing::Length)) => self.next_by_length(input),
            (None, Some(Framing::Slip)) => self.next_by_slip(input),
        };
        match found {
            Ok(Some(Found::InInput(packet))) => Split::Packet(packet),
            Ok(Some(Found::InPartial(start))) => {
                self.taken = true;
                Split::Packet(&self.partial.as_slice()[start..])
            }
            Ok(None) => Split::More,
            Err(broken) => {
                self.broken = Some(broken);
                self.partial = Partial::default();
                Split::Broken(broken)
            }
        }
    }

    /// END starts a SLIP stream; some senders leave out the first, and it starts like a packet. What is left
    /// is a length.
    fn recognise(&mut self, input: &[u8]) -> Option<Framing> {
        if self.framing.is_none() {
            self.framing = match input.first()? {
                &END | b'/' | b'#' => Some(Framing::Slip),
                _ => Some(Framing::Length),
            };
        }
        self.framing
    }

    fn next_by_length<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Found<'i>>, Broken> {
        if self.partial.is_empty()
            && let Some((prefix, rest)) = input.split_first_chunk()
        {
            let len = self.checked_len(*prefix)?;
            if let Some((packet, rest)) = rest.split_at_checked(len) {
                *input = rest;
                return Ok(Some(Found::InInput(packet)));
            }
        }
        self.take_up_to(4, input);
        let Some((prefix, _)) = self.partial.as_slice().split_first_chunk() else { return Ok(None) };
        let len = self.checked_len(*prefix)?;
        self.take_up_to(4 + len, input);
        Ok((self.partial.len() == 4 + len).then_some(Found::InPartial(4)))
    }

    fn checked_len(&self, prefix: [u8; 4]) -> Result<usize, Broken> {
        let len = i32::from_be_bytes(prefix);
        match usize::try_from(len) {
            Err(_) | Ok(0) => Err(Broken::Length(len)),
            Ok(len) if len > self.limit => Err(Broken::TooLong(self.limit)),
            Ok(len) => Ok(len),
        }
    }

    /// Moves input to `partial` until that is `len` bytes long or the input is used up.
    fn take_up_to(&mut self, len: usize, input: &mut &[u8]) {
        let missing = len.saturating_sub(self.partial.len());
        let (taken, rest) = input.split_at(missing.min(input.len()));
        self.partial.append(taken);
        *input = rest;
    }

    fn next_by_slip<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Found<'i>>, Broken> {
        while let Some(len) = input.iter().position(|&byte| byte == END) {
            let (frame, rest) = (&input[..len], &input[len + 1..]);
            let is_first_part = self.partial.is_empty() && self.slip == Slip::Text;
            if is_first_part && !frame.contains(&ESC) {
                self.check_limit(frame.len())?;
                *input = rest;
                if !frame.is_empty() {
                    return Ok(Some(Found::InInput(frame)));
                }
                continue;
            }
            self.take_escaped(frame)?;
            *input = rest;
            if std::mem::replace(&mut self.slip, Slip::Text) != Slip::Text {
                self.dropped += 1;
                self.partial.empty();
            } else if !self.partial.is_empty() {
                return Ok(Some(Found::InPartial(0)));
            }
        }
        self.take_escaped(input)?;
        *input = &[];
        Ok(None)
    }

    /// Appends part of a frame to `partial`, without its escapes.
    fn take_escaped(&mut self, mut part: &[u8]) -> Result<(), Broken> {
        loop {
            if self.slip == Slip::Text {
                let run = part.iter().position(|&byte| byte == ESC).unwrap_or(part.len());
                let (plain, rest) = part.split_at(run);
                self.keep(plain)?;
                part = rest;
            }
            let Some((&byte, rest)) = part.split_first() else { return Ok(()) };
            part = rest;
            self.slip = match (self.slip, byte) {
                (Slip::Text, _) => Slip::Escape,
                (Slip::Escape, ESC_END) => {
                    self.keep(&[END])?;
                    Slip::Text
                }
                (Slip::Escape, ESC_ESC) => {
                    self.keep(&[ESC])?;
                    Slip::Text
                }
                (Slip::Escape | Slip::Spoiled, _) => Slip::Spoiled,
            };
        }
    }

    fn keep(&mut self, plain: &[u8]) -> Result<(), Broken> {
        self.check_limit(self.partial.len() + plain.len())?;
        self.partial.append(plain);
        Ok(())
    }

    fn check_limit(&self, len: usize) -> Result<(), Broken> {
        if len > self.limit { Err(Broken::TooLong(self.limit)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DEFAULT_LIMIT, partial};
    use super::*;
    use proptest::prelude::*;

    /// What a splitter makes of a stream that arrives in these pieces: the packets, and how it broke.
    fn split<'s>(
        splitter: &mut Splitter,
        pieces: impl IntoIterator<Item = &'s [u8]>,
    ) -> (Vec<Vec<u8>>, Option<Broken>) {
        let mut packets = Vec::new();
        for mut piece in pieces {
            loop {
                match splitter.next(&mut piece) {
                    Split::Packet(packet) => packets.push(packet.to_vec()),
                    Split::More => {
                        assert!(piece.is_empty(), "all input is taken in");
                        break;
                    }
                    Split::Broken(broken) => return (packets, Some(broken)),
                }
            }
        }
        (packets, None)
    }

    fn split_whole(stream: &[u8]) -> (Vec<Vec<u8>>, Option<Broken>) {
        split(&mut Splitter::new(DEFAULT_LIMIT), [stream])
    }

    fn framed(framing: Framing, packets: &[&[u8]]) -> Vec<u8> {
        let mut stream = Vec::new();
        packets.iter().for_each(|packet| framing.frame_into(packet, &mut stream));
        stream
    }

    const PACKETS: [&[u8]; 3] =
        [b"/a\0\0,i\0\0\xc0\xdb\xdc\xdd", b"/b\0\0", b"#bundle\0\xdb\xc0\xc0\0\0\0\0\x01"];

    #[test]
    fn both_framings_survive_every_cut() {
        for framing in [Framing::Length, Framing::Slip] {
            let stream = framed(framing, &PACKETS);
            for cut in 0..=stream.len() {
                let mut splitter = Splitter::new(DEFAULT_LIMIT);
                let (packets, broken) = split(&mut splitter, [&stream[..cut], &stream[cut..]]);
                assert_eq!((packets.as_slice(), broken), (&PACKETS.map(<[u8]>::to_vec)[..], None), "{cut}");
                assert_eq!(splitter.framing(), Some(framing));
            }
            let mut splitter = Splitter::new(DEFAULT_LIMIT);
            assert_eq!(split(&mut splitter, stream.chunks(1)).0, PACKETS, "a byte at a time");
            assert_eq!(splitter.dropped(), 0);
        }
    }

    #[test]
    fn a_packet_that_is_whole_in_the_input_is_not_copied() {
        for framing in [Framing::Length, Framing::Slip] {
            let stream = framed(framing, &[b"/b\0\0"]);
            let mut splitter = Splitter::new(DEFAULT_LIMIT);
            let Split::Packet(packet) = splitter.next(&mut &stream[..]) else { panic!("a packet") };
            assert!(stream.as_ptr_range().contains(&packet.as_ptr()));
        }
    }

    #[test]
    fn impossible_lengths_break_the_stream() {
        assert_eq!(split_whole(b"\0\0\0\0"), (vec![], Some(Broken::Length(0))));
        assert_eq!(split_whole(b"\xff\xff\xff\xff"), (vec![], Some(Broken::Length(-1))));
        assert_eq!(split_whole(b"\0\0\0\x04/b\0\0\x80\0\0\0").1, Some(Broken::Length(i32::MIN)));
        assert_eq!(split_whole(b"\x7f\xff\xff\xff"), (vec![], Some(Broken::TooLong(DEFAULT_LIMIT))));
        assert_eq!(split_whole(b"GET / HTTP/1.1\r\n").1, Some(Broken::TooLong(DEFAULT_LIMIT)));
    }

    #[test]
    fn a_broken_stream_stays_broken() {
        let mut splitter = Splitter::new(DEFAULT_LIMIT);
        let broken = Some(Broken::Length(0));
        assert_eq!(split(&mut splitter, [&[0; 4][..]]).1, broken);
        assert_eq!(split(&mut splitter, [&b"\0\0\0\x04/b\0\0"[..]]), (vec![], broken));
    }

    #[test]
    fn the_limit_is_the_longest_packet() {
        for framing in [Framing::Length, Framing::Slip] {
            for (len, broken) in [(8, None), (9, Some(Broken::TooLong(8)))] {
                for byte in [b'a', END] {
                    let stream = framed(framing, &[&vec![byte; len]]);
                    for size in [1, 5, stream.len()] {
                        let (packets, how) = split(&mut Splitter::new(8), stream.chunks(size));
                        assert_eq!((packets.len(), how), (usize::from(broken.is_none()), broken));
                    }
                }
            }
        }
    }

    #[test]
    fn announced_bytes_take_no_memory() {
        let mut splitter = Splitter::new(MAX_LIMIT);
        let announced = MAX_LIMIT as u32;
        assert_eq!(split(&mut splitter, [&announced.to_be_bytes()[..], b"/a\0\0"]), (vec![], None));
        assert!(splitter.partial.room() < 1024);
    }

    #[test]
    fn nothing_of_a_packet_stays_behind() {
        let spoiled = b"\xc0/secret\xdb/\xc0".to_vec();
        let slip = framed(Framing::Slip, &[b"/secret\xc0"]);
        for stream in [framed(Framing::Length, &[b"/secret\0"]), slip, spoiled] {
            let mut splitter = Splitter::new(DEFAULT_LIMIT);
            split(&mut splitter, stream.chunks(5));
            assert!(splitter.partial.is_empty() && splitter.partial.room() > 0);
            assert!(!splitter.partial.has_left_something());
        }
    }

    #[test]
    fn frames_without_end_take_bounded_memory() {
        let mut splitter = Splitter::new(1000);
        let endless = [b'/'; 4096];
        assert_eq!(split(&mut splitter, [&endless[..]]).1, Some(Broken::TooLong(1000)));
        assert_eq!(splitter.partial.room(), 0);
    }

    #[test]
    fn a_large_packet_leaves_no_large_buffer_behind() {
        let mut splitter = Splitter::new(DEFAULT_LIMIT);
        let stream = framed(Framing::Length, &[&[b'/'; 500_000], b"/b\0\0"]);
        assert_eq!(split(&mut splitter, stream.chunks(1000)).0.len(), 2);
        assert!(splitter.partial.room() <= partial::KEPT);
    }

    #[test]
    fn slip_ends_may_be_single_double_or_more() {
        let expected = vec![b"/a\0\0".to_vec(), b"/b\0\0".to_vec()];
        for stream in [
            &b"\xc0/a\0\0\xc0/b\0\0\xc0"[..],
            b"\xc0/a\0\0\xc0\xc0/b\0\0\xc0",
            b"\xc0\xc0\xc0/a\0\0\xc0\xc0\xc0\xc0/b\0\0\xc0\xc0",
            b"/a\0\0\xc0/b\0\0\xc0",
        ] {
            assert_eq!(split_whole(stream), (expected.clone(), None));
        }
        assert_eq!(split_whole(b"#bundle\0\0\0\0\0\0\0\0\x01\xc0").0.len(), 1);
    }

    #[test]
    fn a_frame_with_a_bad_escape_is_dropped_and_counted() {
        for bad in [&b"\xdbx"[..], b"\xdb\xdb", b"/a\0\0\xdb", b"\xdbx\xdb\xdc", b"\xdb\xdb\xdc"] {
            let stream = [b"\xc0", bad, b"\xc0/b\0\0\xc0"].concat();
            for size in [1, 2, stream.len()] {
                let mut splitter = Splitter::new(DEFAULT_LIMIT);
                let (packets, broken) = split(&mut splitter, stream.chunks(size));
                assert_eq!((packets, broken), (vec![b"/b\0\0".to_vec()], None), "{bad:?}");
                assert_eq!(splitter.dropped(), 1, "{bad:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_packets_survive_any_cuts(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            slip in any::<bool>(),
            size in 1usize..50,
        ) {
            let framing = if slip { Framing::Slip } else { Framing::Length };
            let stream = framed(framing, &packets.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let found = split(&mut Splitter::new(DEFAULT_LIMIT), stream.chunks(size));
            prop_assert_eq!(found, (packets, None));
        }

        #[test]
        fn how_a_stream_is_cut_makes_no_difference(
            stream in prop::collection::vec(
                prop_oneof![Just(END), Just(ESC), Just(ESC_END), Just(0), Just(1), any::<u8>()], 0..80),
            size in 1usize..20,
        ) {
            let (mut whole, mut cut) = (Splitter::new(30), Splitter::new(30));
            prop_assert_eq!(split(&mut whole, [&stream[..]]), split(&mut cut, stream.chunks(size)));
            prop_assert_eq!(whole.dropped(), cut.dropped());
        }
    }
}
