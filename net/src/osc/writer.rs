//! [`write`] and [`BundleWriter`]: OSC packets appended to a buffer that is used again and again.
//!
//! What they write, [`read`](super::read) reads. Not for: framing on a stream (`framing`).

use super::arg::Arg;
use rosc::encoder::encode_into;
use rosc::{OscArray, OscColor, OscMessage, OscMidiMessage, OscPacket, OscTime, OscType};

/// How deep arrays may be nested: rosc recurses into them.
pub const MAX_ARRAYS: usize = 8;

/// Why a message cannot be written. The buffer is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The address does not start with `/`.
    #[error("an address starts with /")]
    Address,
    /// There is a NUL in the address or a string, where it would end it.
    #[error("text contains a NUL")]
    Nul,
    /// `[` without `]`, or `]` without `[`.
    #[error("array brackets do not pair")]
    Unbalanced,
    /// Arrays are nested deeper than [`MAX_ARRAYS`].
    #[error("arrays are nested deeper than {MAX_ARRAYS}")]
    TooDeep,
    /// What was to be put into a bundle is empty, or its size is not a multiple of four.
    #[error("not an OSC packet")]
    NotAPacket,
    /// A message or blob exceeds the 2 GiB of its size field.
    #[error("larger than 2 GiB")]
    TooLarge,
}

/// Appends a message to `out`.
///
/// ```
/// use downbeat_net::osc::{self, Arg};
///
/// let mut packet = Vec::new();
/// osc::write(&mut packet, "/play", [Arg::from("kick"), 0.5_f32.into()])?;
/// # Ok::<(), osc::WriteError>(())
/// ```
pub fn write<'a>(
    out: &mut Vec<u8>,
    address: impl AsRef<[u8]>,
    args: impl IntoIterator<Item = Arg<'a>, IntoIter: Clone>,
) -> Result<(), WriteError> {
    let start = out.len();
    let written = append(out, address.as_ref(), args.into_iter());
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends a bundle to a buffer, element by element. It is whole after every element.
///
/// ```
/// use downbeat_net::osc::{Arg, BundleWriter};
///
/// let mut packet = Vec::new();
/// let mut bundle = BundleWriter::new(&mut packet, 0xe9b1_1200_8000_0000);
/// bundle.message("/play", [Arg::from("kick")])?.message("/play", [Arg::from("hat")])?;
/// # Ok::<(), downbeat_net::osc::WriteError>(())
/// ```
#[derive(Debug)]
pub struct BundleWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> BundleWriter<'o> {
    /// Starts a bundle of no elements. `timetag` is in NTP ticks, or [`IMMEDIATELY`](super::IMMEDIATELY).
    pub fn new(out: &'o mut Vec<u8>, timetag: u64) -> BundleWriter<'o> {
        out.extend_from_slice(b"#bundle\0");
        out.extend_from_slice(&timetag.to_be_bytes());
        BundleWriter { out }
    }

    /// Adds a message.
    pub fn message<'a>(
        &mut self,
        address: impl AsRef<[u8]>,
        args: impl IntoIterator<Item = Arg<'a>, IntoIter: Clone>,
    ) -> Result<&mut Self, WriteError> {
        self.element(|out| append(out, address.as_ref(), args.into_iter()))
    }

    /// Adds a packet that was written before: a message, or a bundle to be nested. Pd's unpackOSC forgets the
    /// outer timetag after a nested bundle, so put these last.
    pub fn packet(&mut self, packet: &[u8]) -> Result<&mut Self, WriteError> {
        if packet.is_empty() || !packet.len().is_multiple_of(4) {
            return Err(WriteError::NotAPacket);
        }
        self.element(|out| {
            out.extend_from_slice(packet);
            Ok(())
        })
    }

    fn element(
        &mut self,
        append: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>,
    ) -> Result<&mut Self, WriteError> {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        let size = append(self.out).and_then(|()| size_field(self.out.len() - start - 4));
        match size {
            Ok(size) => self.out[start..start + 4].copy_from_slice(&size),
            Err(error) => {
                self.out.truncate(start);
                return Err(error);
            }
        }
        Ok(self)
    }
}

/// Appends a message, encoded by rosc.
fn append<'a>(
    out: &mut Vec<u8>,
    address: &[u8],
    args: impl Iterator<Item = Arg<'a>> + Clone,
) -> Result<(), WriteError> {
    if address.first() != Some(&b'/') {
        return Err(WriteError::Address);
    }
    let message = OscMessage { addr: text(address)?, args: values(args.clone())? };
    // The address, at least one zero, and the comma come before the tags.
    let tags = out.len() + (message.addr.len() / 4 + 1) * 4 + 1;
    match encode_into(&OscPacket::Message(message), out) {
        Ok(_) => {}
        Err(never) => match never {},
    }
    name_symbols(&mut out[tags..], args);
    Ok(())
}

/// The arguments as rosc wants them, arrays in arrays.
fn values<'a>(args: impl Iterator<Item = Arg<'a>>) -> Result<Vec<OscType>, WriteError> {
    let mut values = Vec::new();
    let mut outer = Vec::new();
    for arg in args {
        let value = match arg {
            Arg::ArrayStart if outer.len() == MAX_ARRAYS => return Err(WriteError::TooDeep),
            Arg::ArrayStart => {
                outer.push(std::mem::take(&mut values));
                continue;
            }
            Arg::ArrayEnd => {
                let around = outer.pop().ok_or(WriteError::Unbalanced)?;
                OscType::Array(OscArray { content: std::mem::replace(&mut values, around) })
            }
            Arg::Int(x) => x.into(),
            Arg::Float(x) => x.into(),
            Arg::Str(bytes) | Arg::Symbol(bytes) => text(bytes)?.into(),
            Arg::Blob(blob) => {
                size_field(blob.len())?;
                blob.to_vec().into()
            }
            Arg::Long(x) => x.into(),
            Arg::Time(bits) => {
                OscType::Time(OscTime { seconds: (bits >> 32) as u32, fractional: bits as u32 })
            }
            Arg::Double(x) => x.into(),
            Arg::Char(x) => char::from_u32(x).unwrap_or(char::REPLACEMENT_CHARACTER).into(),
            Arg::Rgba([red, green, blue, alpha]) => OscColor { red, green, blue, alpha }.into(),
            Arg::Midi([port, status, data1, data2]) => OscMidiMessage { port, status, data1, data2 }.into(),
            Arg::True => true.into(),
            Arg::False => false.into(),
            Arg::Nil => OscType::Nil,
            Arg::Impulse => OscType::Inf,
        };
        values.push(value);
    }
    if outer.is_empty() { Ok(values) } else { Err(WriteError::Unbalanced) }
}

/// Text for rosc, which lets NULs through.
fn text(bytes: &[u8]) -> Result<String, WriteError> {
    if bytes.contains(&0) {
        return Err(WriteError::Nul);
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// rosc knows no symbols. They differ from strings only in their tag.
fn name_symbols<'a>(tags: &mut [u8], args: impl Iterator<Item = Arg<'a>>) {
    for (tag, arg) in tags.iter_mut().zip(args) {
        if matches!(arg, Arg::Symbol(_)) {
            *tag = b'S';
        }
    }
}

fn size_field(len: usize) -> Result<[u8; 4], WriteError> {
    i32::try_from(len).map(i32::to_be_bytes).map_err(|_| WriteError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specification() {
        // The examples of the OSC 1.0 specification.
        let mut packet = Vec::new();
        write(&mut packet, "/oscillator/4/frequency", [440.0_f32.into()]).unwrap();
        assert_eq!(packet, b"/oscillator/4/frequency\0,f\0\0\x43\xdc\0\0");
        packet.clear();
        let args = [1000.into(), (-1).into(), "hello".into(), 1.234_f32.into(), 5.678_f32.into()];
        write(&mut packet, "/foo", args).unwrap();
        assert_eq!(
            packet,
            b"/foo\0\0\0\0,iisff\0\0\0\0\x03\xe8\xff\xff\xff\xffhello\0\0\0\x3f\x9d\xf3\xb6\x40\xb5\xb2\x2d"
        );
    }

    #[test]
    fn text_and_blobs_are_padded() {
        let mut packet = b"what stood there stays".to_vec();
        let start = packet.len();
        write(&mut packet, "/abc", [Arg::from(""), "abc".into(), "abcd".into()]).unwrap();
        assert_eq!(&packet[start..], b"/abc\0\0\0\0,sss\0\0\0\0\0\0\0\0abc\0abcd\0\0\0\0");
        packet.clear();
        write(&mut packet, "/ab", [Arg::Blob(b""), Arg::Blob(b"abc"), Arg::Blob(b"abcd")]).unwrap();
        assert_eq!(packet, b"/ab\0,bbb\0\0\0\0\0\0\0\0\0\0\0\x03abc\0\0\0\0\x04abcd");
    }

    #[test]
    fn symbols_and_arrays_have_their_tags() {
        let mut packet = Vec::new();
        let args = [Arg::ArrayStart, Arg::Symbol(b"x"), Arg::Str(b"y"), Arg::ArrayEnd, Arg::Symbol(b"z")];
        write(&mut packet, "/{a,b}", args).unwrap();
        assert_eq!(packet, b"/{a,b}\0\0,[Ss]S\0\0x\0\0\0y\0\0\0z\0\0\0");
    }

    #[test]
    fn what_rosc_cannot_carry_is_replaced_or_refused() {
        let mut packet = Vec::new();
        write(&mut packet, "/a", [Arg::Str(b"\xff"), Arg::Char(0xd800)]).unwrap();
        assert_eq!(packet, b"/a\0\0,sc\0\xef\xbf\xbd\0\0\0\xff\xfd");
        let nested = |depth| [vec![Arg::ArrayStart; depth], vec![Arg::ArrayEnd; depth]].concat();
        assert_eq!(write(&mut packet, "/a", nested(MAX_ARRAYS)), Ok(()));
        assert_eq!(write(&mut packet, "/a", nested(MAX_ARRAYS + 1)), Err(WriteError::TooDeep));
        assert_eq!(write(&mut packet, "/a", nested(30_000)), Err(WriteError::TooDeep));
    }

    #[test]
    fn bundles_are_whole_after_every_element() {
        let mut packet = Vec::new();
        let mut bundle = BundleWriter::new(&mut packet, 0x0102_0304_0506_0708);
        bundle.message("/a", [Arg::Int(1)]).unwrap().packet(b"/b\0\0").unwrap();
        assert_eq!(
            packet,
            b"#bundle\0\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x0c/a\0\0,i\0\0\0\0\0\x01\0\0\0\x04/b\0\0"
        );
    }

    #[test]
    fn a_refused_message_leaves_no_trace() {
        let mut packet = Vec::new();
        let mut bundle = BundleWriter::new(&mut packet, 1);
        let refused = [
            bundle.message("no/slash", []).unwrap_err(),
            bundle.message("", []).unwrap_err(),
            bundle.message("/a\0b", []).unwrap_err(),
            bundle.message("/a", [Arg::Int(1), Arg::Str(b"a\0b")]).unwrap_err(),
            bundle.message("/a", [Arg::ArrayEnd]).unwrap_err(),
            bundle.message("/a", [Arg::ArrayStart]).unwrap_err(),
            bundle.packet(b"").unwrap_err(),
            bundle.packet(b"/ab").unwrap_err(),
        ];
        use WriteError::*;
        assert_eq!(refused, [Address, Address, Nul, Nul, Unbalanced, Unbalanced, NotAPacket, NotAPacket]);
        assert_eq!(packet, b"#bundle\0\0\0\0\0\0\0\0\x01");
        packet.clear();
        assert_eq!(write(&mut packet, "/a", [Arg::Int(1), Arg::Symbol(b"\0")]), Err(Nul));
        assert!(packet.is_empty());
    }
}
