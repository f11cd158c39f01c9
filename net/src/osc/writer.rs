//! [`write`] and [`BundleWriter`]: OSC packets appended to a buffer that is used again and again.
//!
//! What they write, [`read`](super::read) reads. Not for: framing on a stream (`framing`).

use super::arg::Arg;

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

fn append<'a>(
    out: &mut Vec<u8>,
    address: &[u8],
    mut args: impl Iterator<Item = Arg<'a>> + Clone,
) -> Result<(), WriteError> {
    if address.first() != Some(&b'/') {
        return Err(WriteError::Address);
    }
    append_string(out, address)?;
    append_tags(out, args.clone())?;
    args.try_for_each(|arg| append_arg(out, arg))
}

fn append_tags<'a>(out: &mut Vec<u8>, args: impl Iterator<Item = Arg<'a>>) -> Result<(), WriteError> {
    let start = out.len();
    let mut open = 0usize;
    out.push(b',');
    for arg in args {
        match arg {
            Arg::ArrayStart => open += 1,
            Arg::ArrayEnd => open = open.checked_sub(1).ok_or(WriteError::Unbalanced)?,
            _ => {}
        }
        out.push(arg.tag());
    }
    if open > 0 {
        return Err(WriteError::Unbalanced);
    }
    append_zeros(out, padding_of_string(out.len() - start));
    Ok(())
}

#[inline]
fn append_arg(out: &mut Vec<u8>, arg: Arg<'_>) -> Result<(), WriteError> {
    match arg {
        Arg::Int(x) => out.extend_from_slice(&x.to_be_bytes()),
        Arg::Float(x) => out.extend_from_slice(&x.to_be_bytes()),
        Arg::Str(text) | Arg::Symbol(text) => append_string(out, text)?,
        Arg::Blob(blob) => {
            out.extend_from_slice(&size_field(blob.len())?);
            out.extend_from_slice(blob);
            append_zeros(out, blob.len().next_multiple_of(4) - blob.len());
        }
        Arg::Long(x) => out.extend_from_slice(&x.to_be_bytes()),
        Arg::Time(x) => out.extend_from_slice(&x.to_be_bytes()),
        Arg::Double(x) => out.extend_from_slice(&x.to_be_bytes()),
        Arg::Char(x) => out.extend_from_slice(&x.to_be_bytes()),
        Arg::Rgba(bytes) | Arg::Midi(bytes) => out.extend_from_slice(&bytes),
        Arg::True | Arg::False | Arg::Nil | Arg::Impulse | Arg::ArrayStart | Arg::ArrayEnd => {}
    }
    Ok(())
}

#[inline]
fn append_string(out: &mut Vec<u8>, text: &[u8]) -> Result<(), WriteError> {
    if text.contains(&0) {
        return Err(WriteError::Nul);
    }
    out.extend_from_slice(text);
    append_zeros(out, padding_of_string(text.len()));
    Ok(())
}

/// Zeros after a string, at least the one that ends it.
fn padding_of_string(len: usize) -> usize {
    4 - len % 4
}

/// Up to four of them. A store of four and a shorter length are quicker than a copy of any length.
#[inline]
fn append_zeros(out: &mut Vec<u8>, count: usize) {
    let len = out.len() + count;
    out.extend_from_slice(&[0; 4]);
    out.truncate(len);
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
