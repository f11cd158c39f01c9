//! What the program prints: results on stdout, all else on stderr. A reader that has gone is no reason to panic: a node
//! plays on though nobody reads its log.
//!
//! Not for: the log itself (`tracing`).

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Write};

/// Nobody reads the results any more, as in `downbeat listen | head`: reason to end, but no failure.
#[derive(Debug)]
pub(crate) struct Unread;

impl Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the results")
    }
}

impl std::error::Error for Unread {}

/// Prints lines of results.
///
/// # Errors
/// [`Unread`], or what the system says.
pub(crate) fn results(lines: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{lines}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => anyhow::Error::new(Unread),
        _ => anyhow::Error::new(error).context("cannot print"),
    })
}

/// Tells a person something.
pub(crate) fn note(what: impl Display) {
    // If that fails, there is nobody left to be told.
    let _ = writeln!(io::stderr(), "downbeat: {what}");
}

/// Text from the network, safe for a terminal and a line of its own: what is no printable character is escaped.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default())
        } else {
            line.push(c)
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_network_moves_a_cursor() {
        assert_eq!(printable("/größe".as_bytes()), "/größe");
        assert_eq!(printable(b"/e\x1b[2J\n\xff"), "/e\\u{1b}[2J\\n\u{fffd}");
    }
}
