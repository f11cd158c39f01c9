//! [`Splitter`]: from the bytes of a TCP stream to OSC packets, and [`Framing`] the way back.
//!
//! Two ways are in use to tell where a packet ends: OSC 1.0 puts its length before it, OSC 1.1 a SLIP END
//! (RFC 1055) after it. A splitter recognises which one its peer uses. Sans-io: it is given bytes. Not for:
//! what is in a packet (`osc`).

mod partial;
mod splitter;

pub use splitter::{Broken, Split, Splitter};

/// The usual limit of a packet's size, in bytes.
pub const DEFAULT_LIMIT: usize = 1 << 20;

/// The limit a splitter can be given at most, in bytes: a length prefix then never starts like a packet, with
/// `#` or `/`.
pub const MAX_LIMIT: usize = 0x22ff_ffff;

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
    /// SLIP frames get an END before the packet too, which python-osc needs and nobody minds. `packet` must
    /// be smaller than 2 GiB.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_is_that_of_the_specification() {
        let mut stream = Vec::new();
        Framing::Length.frame_into(b"/b\0\0", &mut stream);
        assert_eq!(stream, b"\0\0\0\x04/b\0\0");
        stream.clear();
        Framing::Slip.frame_into(b"/\xc0\0\xdb", &mut stream);
        Framing::Slip.frame_into(b"/b\0\0", &mut stream);
        assert_eq!(stream, b"\xc0/\xdb\xdc\0\xdb\xdd\xc0\xc0/b\0\0\xc0");
    }
}
