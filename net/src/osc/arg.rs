//! [`Arg`]: one argument, and how each type lies in a packet.
//!
//! Not for: which arguments a message has (`message`).

use super::error::ErrorKind;

/// An argument of a message.
///
/// Arrays are flat: [`ArrayStart`](Arg::ArrayStart), the elements, [`ArrayEnd`](Arg::ArrayEnd).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg<'a> {
    /// `i`
    Int(i32),
    /// `f`; NaN and infinities are possible.
    Float(f32),
    /// `s`, without its NUL; usually UTF-8.
    Str(&'a [u8]),
    /// `b`
    Blob(&'a [u8]),
    /// `h`
    Long(i64),
    /// `t`, the bits of a timetag.
    Time(u64),
    /// `d`; NaN and infinities are possible.
    Double(f64),
    /// `S`, as `Str`.
    Symbol(&'a [u8]),
    /// `c`; not always a Unicode character.
    Char(u32),
    /// `r`: red, green, blue, alpha.
    Rgba([u8; 4]),
    /// `m`: port, status, two data bytes.
    Midi([u8; 4]),
    /// `T`
    True,
    /// `F`
    False,
    /// `N`
    Nil,
    /// `I`: "infinitum" of OSC 1.0, "impulse" of 1.1.
    Impulse,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
}

impl<'a> Arg<'a> {
    /// Its type tag.
    pub fn tag(self) -> u8 {
        match self {
            Arg::Int(_) => b'i',
            Arg::Float(_) => b'f',
            Arg::Str(_) => b's',
            Arg::Blob(_) => b'b',
            Arg::Long(_) => b'h',
            Arg::Time(_) => b't',
            Arg::Double(_) => b'd',
            Arg::Symbol(_) => b'S',
            Arg::Char(_) => b'c',
            Arg::Rgba(_) => b'r',
            Arg::Midi(_) => b'm',
            Arg::True => b'T',
            Arg::False => b'F',
            Arg::Nil => b'N',
            Arg::Impulse => b'I',
            Arg::ArrayStart => b'[',
            Arg::ArrayEnd => b']',
        }
    }

    /// Any number as a double: `i`, `f`, `h` and `d`.
    pub fn number(self) -> Option<f64> {
        match self {
            Arg::Int(x) => Some(x.into()),
            Arg::Float(x) => Some(x.into()),
            Arg::Long(x) => Some(x as f64),
            Arg::Double(x) => Some(x),
            _ => None,
        }
    }

    /// Any text: `s` and `S`.
    pub fn text(self) -> Option<&'a [u8]> {
        match self {
            Arg::Str(text) | Arg::Symbol(text) => Some(text),
            _ => None,
        }
    }
}

impl From<i32> for Arg<'_> {
    fn from(x: i32) -> Self {
        Arg::Int(x)
    }
}

impl From<f32> for Arg<'_> {
    fn from(x: f32) -> Self {
        Arg::Float(x)
    }
}

impl From<f64> for Arg<'_> {
    fn from(x: f64) -> Self {
        Arg::Double(x)
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Arg::Str(text.as_bytes())
    }
}

impl From<bool> for Arg<'_> {
    fn from(x: bool) -> Self {
        if x { Arg::True } else { Arg::False }
    }
}

/// The argument a tag announces, and what follows it.
#[inline(always)]
pub(super) fn take_arg(tag: u8, data: &[u8]) -> Result<(Arg<'_>, &[u8]), ErrorKind> {
    Ok(match tag {
        b'i' => take(data).map(|(x, rest)| (Arg::Int(i32::from_be_bytes(x)), rest))?,
        b'f' => take(data).map(|(x, rest)| (Arg::Float(f32::from_be_bytes(x)), rest))?,
        b's' => take_string(data).map(|(x, rest)| (Arg::Str(x), rest))?,
        b'b' => take_blob(data).map(|(x, rest)| (Arg::Blob(x), rest))?,
        b'h' => take(data).map(|(x, rest)| (Arg::Long(i64::from_be_bytes(x)), rest))?,
        b't' => take(data).map(|(x, rest)| (Arg::Time(u64::from_be_bytes(x)), rest))?,
        b'd' => take(data).map(|(x, rest)| (Arg::Double(f64::from_be_bytes(x)), rest))?,
        b'S' => take_string(data).map(|(x, rest)| (Arg::Symbol(x), rest))?,
        b'c' => take(data).map(|(x, rest)| (Arg::Char(u32::from_be_bytes(x)), rest))?,
        b'r' => take(data).map(|(x, rest)| (Arg::Rgba(x), rest))?,
        b'm' => take(data).map(|(x, rest)| (Arg::Midi(x), rest))?,
        b'T' => (Arg::True, data),
        b'F' => (Arg::False, data),
        b'N' => (Arg::Nil, data),
        b'I' => (Arg::Impulse, data),
        b'[' => (Arg::ArrayStart, data),
        b']' => (Arg::ArrayEnd, data),
        unknown => return Err(ErrorKind::UnknownTag(unknown)),
    })
}

/// How many bytes an argument with this tag has, if all of them have as many. Read from a table where arguments are only
/// checked: there is one way through it for all these types.
#[inline(always)]
pub(super) fn fixed_size(tag: u8) -> Option<usize> {
    const SIZES: [u8; 256] = {
        let mut sizes = [u8::MAX; 256];
        let mut index = 0;
        while index < FIXED.len() {
            let (tags, size) = FIXED[index];
            let mut tag = 0;
            while tag < tags.len() {
                sizes[tags[tag] as usize] = size;
                tag += 1;
            }
            index += 1;
        }
        sizes
    };
    let size = SIZES[usize::from(tag)];
    (size != u8::MAX).then_some(size.into())
}

const FIXED: [(&[u8], u8); 3] = [(b"TFNI", 0), (b"ifcrm", 4), (b"htd", 8)];

#[inline(always)]
pub(super) fn take<const N: usize>(data: &[u8]) -> Result<([u8; N], &[u8]), ErrorKind> {
    data.split_first_chunk().map(|(chunk, rest)| (*chunk, rest)).ok_or(ErrorKind::Truncated)
}

/// A string without its NULs, word by word: it ends in the first word that holds a zero byte.
#[inline(always)]
pub(super) fn take_string(data: &[u8]) -> Result<(&[u8], &[u8]), ErrorKind> {
    let (words, _) = data.as_chunks::<4>();
    for (index, word) in words.iter().enumerate() {
        let word = u32::from_le_bytes(*word);
        // The lowest set bit marks the first zero byte (Mycroft's test; higher bits may be false alarms).
        let zeros = word.wrapping_sub(0x0101_0101) & !word & 0x8080_8080;
        if zeros != 0 {
            let in_word = zeros.trailing_zeros() / 8;
            if word >> (8 * in_word) != 0 {
                return Err(ErrorKind::Padding);
            }
            let (padded, rest) = data.split_at(4 * index + 4);
            return Ok((&padded[..4 * index + in_word as usize], rest));
        }
    }
    Err(ErrorKind::Unterminated)
}

#[inline(always)]
fn take_blob(data: &[u8]) -> Result<(&[u8], &[u8]), ErrorKind> {
    let (size, rest) = take(data)?;
    let size = i32::from_be_bytes(size);
    let len = usize::try_from(size).map_err(|_| ErrorKind::BlobSize(size))?;
    if len > rest.len() {
        return Err(ErrorKind::BlobSize(size));
    }
    let (padded, rest) = rest.split_at_checked(len.next_multiple_of(4)).ok_or(ErrorKind::Truncated)?;
    let (blob, padding) = padded.split_at(len);
    if padding.iter().any(|&byte| byte != 0) {
        return Err(ErrorKind::Padding);
    }
    Ok((blob, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_sizes_are_those_that_are_taken() {
        for tag in 0..=u8::MAX {
            let taken = take_arg(tag, &[0; 16]).map(|(_, rest)| 16 - rest.len());
            match fixed_size(tag) {
                Some(size) => assert_eq!(taken, Ok(size), "{tag}"),
                None => assert!(!FIXED.iter().any(|(tags, _)| tags.contains(&tag)), "{tag}"),
            }
        }
    }

    #[test]
    fn numbers_and_text_are_taken_in_any_of_their_types() {
        let numbers = [Arg::Int(2), Arg::Float(2.0), Arg::Long(2), Arg::Double(2.0)];
        assert!(numbers.iter().all(|arg| arg.number() == Some(2.0) && arg.text().is_none()));
        let texts = [Arg::Str(b"2"), Arg::Symbol(b"2")];
        assert!(texts.iter().all(|arg| arg.text() == Some(b"2") && arg.number().is_none()));
    }
}
