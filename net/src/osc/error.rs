//! [`OscError`]: why a packet was refused, as a sentence that can be sent back.

/// Why a packet was refused, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct OscError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Bytes from the start of the packet to what is wrong.
    pub offset: usize,
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is nothing in it.
    #[error("empty packet")]
    Empty,
    /// Its size is not a multiple of four.
    #[error("size is not a multiple of four")]
    Unaligned,
    /// It starts neither with `/` nor with `#bundle`.
    #[error("neither an address nor a bundle")]
    NoAddress,
    /// A bundle ends before its timetag does.
    #[error("bundle without timetag")]
    NoTimetag,
    /// A bundle element's size is negative, zero, not a multiple of four, or more than there is.
    #[error("impossible size {0} of a bundle element")]
    ElementSize(i32),
    /// Bundles are nested deeper than [`MAX_NESTING`](super::MAX_NESTING).
    #[error("bundles nested too deep")]
    TooDeep,
    /// A string has no end.
    #[error("unterminated string")]
    Unterminated,
    /// A string or blob is padded with something else than zeros.
    #[error("padding is not zero")]
    Padding,
    /// A blob's size is negative, or more than there is.
    #[error("impossible size {0} of a blob")]
    BlobSize(i32),
    /// The message ends before its arguments do.
    #[error("argument missing")]
    Truncated,
    /// A type tag nobody defined.
    #[error("unknown type tag '{}'", .0.escape_ascii())]
    UnknownTag(u8),
    /// `[` without `]`, or `]` without `[`.
    #[error("array brackets do not pair")]
    Unbalanced,
    /// There are bytes after the last argument.
    #[error("more bytes than arguments")]
    Trailing,
}

impl ErrorKind {
    /// The error of this kind at a place.
    #[cold]
    pub(super) fn at(self, offset: usize) -> OscError {
        OscError { kind: self, offset }
    }
}
