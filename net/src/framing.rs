//! [`Splitter`]: from the bytes of a TCP stream to OSC packets, and [`Framing`] the way back.
//!
//! Two ways are in use to tell where a packet ends: OSC 1.0 puts its length before it, OSC 1.1 a SLIP END (RFC 1055)
//! after it. A splitter recognises which one its peer uses. Sans-io: it is given bytes. Not for: what is in a packet (`osc`).

/// The usual limit of a packet's size [bytes].
pub const DEFAULT_LIMIT: usize = 1 << 20;

/// The limit a splitter can be given at most [bytes]: a length prefix then never starts like a packet, with `#` or `/`.
pub const MAX_LIMIT: usize = 0x22ff_ffff;

/// Room a splitter keeps between packets [bytes].
const KEPT_CAPACITY: usize = 64 << 10;

const END: u8 = 0xc0;
const ESC: u8 = 0xdb;
const ESC_END: u8 = 0xdc;
const ESC_ESC: u8 = 0xdd;

/// How packets are told apart on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// OSC 1.0: the size as a big-endian int32, then the packet.
    Length,
    /// OSC 1.1: the packet with its ENDs escaped, then END.
    Slip,
}

impl Framing {
    /// Appends a packet to `out` as it has to stand on the stream.
    ///
    /// SLIP frames get an END before the packet too, which python-osc needs and nobody minds. `packet` must be smaller
    /// than 2 GiB.
    pub fn frame_into(self, packet: &[u8], out: &mut Vec<u8>) {
        match self {
            Framing::Length => {
                debug_assert!(i32::try_from(packet.len()).is_ok(), "a packet is smaller than 2 GiB");
                out.extend_from_slice(&(packet.len() as u32).to_be_bytes());
                out.extend_from_slice(packet);
            }
            Framing::Slip => {
                out.push(END);
                for piece in packet.split_inclusive(|&byte| byte == END || byte == ESC) {
                    match piece.split_last() {
                        Some((&END, before)) => {
                            out.extend_from_slice(before);
                            out.extend_from_slice(&[ESC, ESC_END]);
                        }
                        Some((&ESC, before)) => {
                            out.extend_from_slice(before);
                            out.extend_from_slice(&[ESC, ESC_ESC]);
                        }
                        _ => out.extend_from_slice(piece),
                    }
                }
                out.push(END);
            }
        }
    }
}

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
/// Its memory is bounded by the limit, and grows only with bytes that arrived, never with those that were announced.
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
    partial: Vec<u8>,
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
            partial: Vec::new(),
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
            self.partial.clear();
            self.partial.shrink_to(KEPT_CAPACITY);
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
                Split::Packet(&self.partial[start..])
            }
            Ok(None) => Split::More,
            Err(broken) => {
                self.broken = Some(broken);
                self.partial = Vec::new();
                Split::Broken(broken)
            }
        }
    }

    /// END starts a SLIP stream; some senders leave out the first, and it starts like a packet. What is left is a length.
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
        let Some((prefix, _)) = self.partial.split_first_chunk() else { return Ok(None) };
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
        self.partial.extend_from_slice(taken);
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
                self.partial.clear();
            } else if !self.partial.is_empty() {
                return Ok(Some(Found::InPartial(0)));
            }
        }
        self.take_escaped(input)?;
        *input = &[];
        Ok(None)
    }

    /// Appends part of a frame to `partial`, without its escapes.
    fn take_escaped(&mut self, part: &[u8]) -> Result<(), Broken> {
        for &byte in part {
            let plain = match (self.slip, byte) {
                (Slip::Text, ESC) => {
                    self.slip = Slip::Escape;
                    continue;
                }
                (Slip::Text, byte) => byte,
                (Slip::Escape, ESC_END) => END,
                (Slip::Escape, ESC_ESC) => ESC,
                (Slip::Escape | Slip::Spoiled, _) => {
                    self.slip = Slip::Spoiled;
                    continue;
                }
            };
            self.slip = Slip::Text;
            self.check_limit(self.partial.len() + 1)?;
            self.partial.push(plain);
        }
        Ok(())
    }

    fn check_limit(&self, len: usize) -> Result<(), Broken> {
        if len > self.limit { Err(Broken::TooLong(self.limit)) } else { Ok(()) }
    }
}
