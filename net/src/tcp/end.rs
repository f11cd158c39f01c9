//! [`End`]: why a connection is closed, and [`Parting`]: how far that has come.
//!
//! Not for: doing it (`connection`).

/// Why a connection is about to be closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// The handler wants it.
    Asked,
    /// The peer has sent all it wanted to, and may still read the answers.
    Finished,
    /// The client does not read what it is sent.
    Slow,
    /// What came makes no sense.
    Broken,
    /// It is no more.
    Gone,
}

/// How far a connection that ends has come.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Parting {
    NotYet,
    /// The last packet is queued, and a goodbye.
    Queued,
    /// All of it is written, and TLS's goodbye is on its way.
    Written,
    /// Nothing more will be written.
    Shut,
}
