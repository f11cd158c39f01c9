//! Open Sound Control: what a packet says, whom an address pattern means, and how an answer is written.
//!
//! Reading borrows and never allocates: [`read`] iterates over the messages of a packet, whose addresses,
//! strings and blobs are slices of it. It never recurses, whatever the input nests. One pass both checks and
//! reads, so a consumer that wants a packet to be all or nothing stages what it read and discards it on an
//! error.
//!
//! ```
//! use downbeat_net::osc::{self, Arg};
//!
//! let packet = b"/play\0\0\0,si\0kick\0\0\0\0\0\0\0\x05";
//! for timed in osc::read(packet) {
//!     let message = timed?.message;
//!     assert_eq!(message.address(), b"/play");
//!     assert!(message.args().eq([Arg::from("kick"), Arg::Int(5)]));
//! }
//! # Ok::<(), osc::OscError>(())
//! ```
//!
//! Not for: what an address means here (`score`), framing on a stream (`framing`).
//!
//! # Doubtful packets
//! Senders differ; this is what the reader makes of them, and whom it follows.
//!
//! | packet | reading |
//! |---|---|
//! | no type tags (usual before 2002), or no comma before them | address only; the rest is [`data`](Message::data) |
//! | tag `S`, text that is not UTF-8, a `c` beyond Unicode | as sent: strings are bytes, chars are numbers |
//! | unknown type tag | refused (liblo): where the next argument starts is unknown |
//! | `[` and `]` that do not pair, arguments shorter or longer than their tags | refused (liblo) |
//! | a string or blob padded with other bytes than zero | refused (liblo): so a misaligned packet looks |
//! | bad element in a bundle | those before it are read, then an error; nothing after it is guessed at |
//! | bundle element of size 0, a size that is negative or not a multiple of four | refused |
//! | bundle without elements | fine, nothing to do |
//! | timetag 0 | passed on as 0; SuperCollider takes it as at once, as 1 |
//! | NaN, infinities | passed on: whether they make sense is for the consumer |
//!
//! # Writing
//! [`write()`] takes the same [`Arg`] the reader gives and leaves the bytes to `rosc`. Text that is not UTF-8 and a `c` beyond
//! Unicode, which `rosc` cannot carry, are written with U+FFFD in their place.

mod arg;
mod error;
mod message;
mod pattern;
mod places;
mod reader;
mod writer;

pub use arg::Arg;
pub use error::{ErrorKind, OscError};
pub use message::{Args, Message};
pub use pattern::{MAX_PATTERN, Pattern, PatternError};
pub use reader::{IMMEDIATELY, MAX_NESTING, Reader, Timed, read};
pub use writer::{BundleWriter, MAX_ARRAYS, WriteError, write};
