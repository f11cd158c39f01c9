//! [`Message`] and its arguments: a view of bytes that were checked once, when the view was made.
//!
//! Inlined without asking (`inline(always)`) here, in `arg` and in `reader`: results of this size go through
//! memory otherwise, and a message costs twice as much (`benches/codec.rs`). Not for: bundles (`reader`).

use super::arg::{Arg, fixed_size, take, take_arg, take_string};
use super::error::{ErrorKind, OscError};
use std::fmt;

/// An OSC message, borrowed from its packet.
///
/// RT: nothing here allocates, blocks or panics.
#[derive(Clone, Copy, PartialEq)]
pub struct Message<'a> {
    bytes: &'a [u8],
    address: &'a [u8],
    tags: Option<&'a [u8]>,
    data: &'a [u8],
}

/// The arguments of a message, in order.
#[derive(Clone, Debug)]
pub struct Args<'a> {
    tags: &'a [u8],
    data: &'a [u8],
}

/// What a message begins with, up to its arguments. The messages of a packet often begin alike, and what was read once is
/// only compared then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// As it stood in the packet.
    bytes: &'a [u8],
    address: &'a [u8],
    tags: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// No message begins so.
    pub(super) const NONE: Head<'static> = Head { bytes: &[], address: &[], tags: None };

    /// Reads the head of a message.
    #[inline(always)]
    fn parse(message: &'a [u8]) -> Result<Head<'a>, OscError> {
        let (address, after_address) = take_string(message).map_err(|kind| kind.at(0))?;
        // What a step leaves is always the end of `message`, so its length says where it stopped.
        let at = message.len() - after_address.len();
        if after_address.first() != Some(&b',') {
            return Ok(Head { bytes: &message[..at], address, tags: None });
        }
        let (tags, data) = take_string(after_address).map_err(|kind| kind.at(at))?;
        Ok(Head { bytes: &message[..message.len() - data.len()], address, tags: Some(&tags[1..]) })
    }

    /// Whether a message begins so too, tags and all. Compared in pairs of words, the last of which may overlap the one
    /// before: a head with tags has two words at least.
    #[inline(always)]
    fn begins(&self, message: &[u8]) -> bool {
        let Some(there) = message.get(..self.bytes.len()) else { return false };
        let same = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b);
        let last = self.bytes.last_chunk().zip(there.last_chunk());
        self.tags.is_some()
            && last.is_some_and(same)
            && self.bytes.as_chunks().0.iter().zip(there.as_chunks().0).all(same)
    }
}

impl<'a> Message<'a> {
    /// Reads all of `bytes` as one message and checks every argument. `last` is how the message before began.
    #[inline(always)]
    pub(super) fn parse(bytes: &'a [u8], last: &mut Head<'a>) -> Result<Message<'a>, OscError> {
        if !last.begins(bytes) {
            *last = Head::parse(bytes)?;
        }
        let Head { bytes: head, address, tags } = *last;
        let data = &bytes[head.len()..];
        if let Some(tags) = tags
            && let Err((kind, tag, rest)) = check(tags, data)
        {
            // An address and its padding, then the comma.
            let tags_at = (address.len() / 4 + 1) * 4 + 1;
            return Err(kind.at(match kind {
                ErrorKind::UnknownTag(_) | ErrorKind::Unbalanced => tags_at + tag,
                _ => bytes.len() - rest,
            }));
        }
        Ok(Message { bytes, address, tags, data })
    }

    /// A message with this head, whose arguments are as they are.
    #[cold]
    pub(super) fn unchecked(bytes: &'a [u8], head: &Head<'a>) -> Message<'a> {
        Message { bytes, address: head.address, tags: head.tags, data: &bytes[head.bytes.len()..] }
    }

    /// The address or address pattern, from its `/`.
    pub fn address(&self) -> &'a [u8] {
        self.address
    }

    /// The type tags without their comma; `None` if the sender wrote none.
    pub fn tags(&self) -> Option<&'a [u8]> {
        self.tags
    }

    /// The arguments; none if the message has no type tags.
    pub fn args(&self) -> Args<'a> {
        match self.tags {
            Some(tags) => Args { tags, data: self.data },
            None => Args { tags: &[], data: &[] },
        }
    }

    /// The bytes of the arguments, or all that follows the address if there are no type tags.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The whole message as it stood in its packet.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Checks that the arguments are there which the tags announce, and nothing else. If not: what is wrong, at which tag, and
/// with how many bytes left.
#[inline(always)]
fn check(tags: &[u8], data: &[u8]) -> Result<(), (ErrorKind, usize, usize)> {
    let mut rest = data;
    let mut open = 0usize;
    for (index, &tag) in tags.iter().enumerate() {
        let wrong = |kind| (kind, index, rest.len());
        rest = match (fixed_size(tag), tag) {
            (Some(size), _) => rest.get(size..).ok_or(wrong(ErrorKind::Truncated))?,
            (None, b'[') => {
                open += 1;
                rest
            }
            (None, b']') => {
                open = open.checked_sub(1).ok_or(wrong(ErrorKind::Unbalanced))?;
                rest
            }
            (None, _) => take_arg(tag, rest).map_err(wrong)?.1,
        };
    }
    match rest {
        _ if open > 0 => Err((ErrorKind::Unbalanced, tags.len(), rest.len())),
        [] => Ok(()),
        _ => Err((ErrorKind::Trailing, tags.len(), rest.len())),
    }
}

/// The address, then the arguments: `/play Str([98, 100]) Int(1)`.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address.escape_ascii())?;
        self.args().try_for_each(|arg| write!(f, " {arg:?}"))
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = Arg<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Arg<'a>> {
        let (&tag, tags) = self.tags.split_first()?;
        // `Message::parse` took these very arguments from these very bytes, so none of them fails now; or it came to a tag that
        // nobody defined, and there they end.
        let (arg, data) = take_arg(tag, self.data).ok()?;
        *self = Args { tags, data };
        Some(arg)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.tags.len()))
    }
}

impl std::iter::FusedIterator for Args<'_> {}

/// For those who know what they want: these leave an argument of another type where it is. An [`Arg`] is slow to hand
/// around, being read back from memory in other pieces than it was written in; numbers and slices stay in registers.
impl<'a> Args<'a> {
    /// The type tag of the next argument.
    #[inline]
    pub fn next_tag(&self) -> Option<u8> {
        self.tags.first().copied()
    }

    /// Whether the next argument is a number: `i`, `f`, `h` or `d`.
    #[inline(always)]
    pub fn next_is_number(&self) -> bool {
        matches!(self.next_tag(), Some(b'i' | b'f' | b'h' | b'd'))
    }

    /// The next argument, if it is a number.
    #[inline(always)]
    pub fn take_number(&mut self) -> Option<f64> {
        let (number, data) = match self.next_tag()? {
            b'i' => take(self.data).map(|(x, rest)| (i32::from_be_bytes(x).into(), rest)),
            b'f' => take(self.data).map(|(x, rest)| (f32::from_be_bytes(x).into(), rest)),
            b'h' => take(self.data).map(|(x, rest)| (i64::from_be_bytes(x) as f64, rest)),
            b'd' => take(self.data).map(|(x, rest)| (f64::from_be_bytes(x), rest)),
            _ => return None,
        }
        .ok()?;
        *self = Args { tags: &self.tags[1..], data };
        Some(number)
    }

    /// The next argument, if it is text: `s` or `S`.
    #[inline(always)]
    pub fn take_text(&mut self) -> Option<&'a [u8]> {
        let (b's' | b'S') = self.next_tag()? else { return None };
        let (text, data) = take_string(self.data).ok()?;
        *self = Args { tags: &self.tags[1..], data };
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Message<'_>, OscError> {
        Message::parse(bytes, &mut Head::NONE.clone())
    }

    fn args(bytes: &[u8]) -> Vec<Arg<'_>> {
        parse(bytes).unwrap().args().collect()
    }

    fn refusal(bytes: &[u8]) -> (ErrorKind, usize) {
        let error = parse(bytes).unwrap_err();
        (error.kind, error.offset)
    }

    #[test]
    fn every_type_is_read() {
        let message = b"/all\0\0\0\0,ifsbhtdScrmTFNI[i]\0\
            \xff\xff\xff\xfe\x3f\0\0\0text\0\0\0\0\0\0\0\x03\x01\x02\x03\0\
            \x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x3f\xd0\0\0\0\0\0\0sym\0\0\x11\0\0\
            \x01\x02\x03\x04\0\x90\x3c\x64\0\0\0\x07";
        let expected = [
            Arg::Int(-2),
            Arg::Float(0.5),
            Arg::Str(b"text"),
            Arg::Blob(&[1, 2, 3]),
            Arg::Long(i64::MIN),
            Arg::Time(1),
            Arg::Double(0.25),
            Arg::Symbol(b"sym"),
            Arg::Char(0x11_0000),
            Arg::Rgba([1, 2, 3, 4]),
            Arg::Midi([0, 0x90, 60, 100]),
            Arg::True,
            Arg::False,
            Arg::Nil,
            Arg::Impulse,
            Arg::ArrayStart,
            Arg::Int(7),
            Arg::ArrayEnd,
        ];
        assert_eq!(args(message), expected);
        let parsed = parse(message).unwrap();
        assert_eq!(parsed.address(), b"/all");
        assert_eq!(parsed.tags(), Some(&b"ifsbhtdScrmTFNI[i]"[..]));
        assert_eq!(parsed.bytes(), message);
        assert!(expected.iter().map(|arg| arg.tag()).eq(parsed.tags().unwrap().iter().copied()));
    }

    #[test]
    fn strings_end_at_any_byte_of_a_word() {
        assert_eq!(
            args(b"/a\0\0,ssss\0\0\0\0\0\0\0a\0\0\0ab\0\0abc\0")[..3],
            [b"", &b"a"[..], b"ab"].map(Arg::Str)
        );
        assert_eq!(args(b"/a\0\0,s\0\0abc\0"), [Arg::Str(b"abc")]);
        assert_eq!(args(b"/a\0\0,s\0\0abcd\0\0\0\0"), [Arg::Str(b"abcd")]);
        // A 01 after the zero, or an 80 before it, must not fool the search for the first zero byte.
        assert_eq!(args(b"/a\0\0,s\0\0\x80\x01\x80\0"), [Arg::Str(b"\x80\x01\x80")]);
        assert_eq!(args(b"/a\0\0,s\0\0\x01\x01\x01\x01\xff\0\0\0"), [Arg::Str(b"\x01\x01\x01\x01\xff")]);
        assert_eq!(refusal(b"/a\0\0,s\0\0a\0\x01\0"), (ErrorKind::Padding, 8));
    }

    #[test]
    fn old_senders_write_no_type_tags() {
        let untyped = parse(b"/foo\0\0\0\0").unwrap();
        assert_eq!((untyped.address(), untyped.tags(), untyped.data()), (&b"/foo"[..], None, &b""[..]));
        let with_data = parse(b"/a\0\0\0\0\0\x01").unwrap();
        assert_eq!((with_data.tags(), with_data.data()), (None, &b"\0\0\0\x01"[..]));
        let without_comma = parse(b"/a\0\0if\0\0\0\0\0\x01\x3f\x80\0\0").unwrap();
        assert_eq!((without_comma.tags(), without_comma.args().count()), (None, 0));
        assert_eq!(without_comma.data().len(), 12);
        assert_eq!(parse(b"/a\0\0,\0\0\0").unwrap().tags(), Some(&b""[..]));
    }

    #[test]
    fn text_is_bytes() {
        assert_eq!(args(b"/a\0\0,S\0\0ab\0\0"), [Arg::Symbol(b"ab")]);
        assert_eq!(args(b"/a\0\0,s\0\0\xe9\0\0\0"), [Arg::Str(b"\xe9")]);
    }

    #[test]
    fn brackets_pair() {
        use Arg::{ArrayEnd, ArrayStart, Int};
        assert_eq!(args(b"/a\0\0,[[]i]\0\0\0\0\0\x05"), [ArrayStart, ArrayStart, ArrayEnd, Int(5), ArrayEnd]);
        assert_eq!(refusal(b"/a\0\0,i[i\0\0\0\0\0\0\0\x01\0\0\0\x02"), (ErrorKind::Unbalanced, 8));
        assert_eq!(refusal(b"/a\0\0,[[[\0\0\0\0"), (ErrorKind::Unbalanced, 8));
        assert_eq!(refusal(b"/a\0\0,][\0"), (ErrorKind::Unbalanced, 5));
    }

    #[test]
    fn what_does_not_fit_is_refused_where_it_stands() {
        assert_eq!(refusal(b"/abc"), (ErrorKind::Unterminated, 0));
        assert_eq!(refusal(b"/a\0\0,iii"), (ErrorKind::Unterminated, 4));
        assert_eq!(refusal(b"/a\0\0,i\0\0"), (ErrorKind::Truncated, 8));
        assert_eq!(refusal(b"/a\0\0,id\0\0\0\0\x01\0\0\0\0"), (ErrorKind::Truncated, 12));
        assert_eq!(refusal(b"/a\0\0,s\0\0abcd"), (ErrorKind::Unterminated, 8));
        assert_eq!(refusal(b"/a\0\0,iz\0\0\0\0\x01"), (ErrorKind::UnknownTag(b'z'), 6));
        assert_eq!(refusal(b"/a\0\0,i\0\0\0\0\0\x01\0\0\0\0"), (ErrorKind::Trailing, 12));
        assert_eq!(refusal(b"/a\0\0,b\0\0\xff\xff\xff\xff"), (ErrorKind::BlobSize(-1), 8));
        assert_eq!(refusal(b"/a\0\0,b\0\0\x7f\xff\xff\xff"), (ErrorKind::BlobSize(i32::MAX), 8));
        assert_eq!(refusal(b"/a\0\0,b\0\0\0\0\0\x05\x01\x02\x03\x04"), (ErrorKind::BlobSize(5), 8));
        assert_eq!(refusal(b"/a\0\0,b\0\0\0\0\0\x01\x01\0\x01\0"), (ErrorKind::Padding, 8));
    }
}
