//! [`Transport`]: what lies between a socket and packets: nothing, TLS, WebSocket, or both.
//!
//! Not for: plain streams of packets, which are taken apart by the splitter (`framing`).

use super::Layers;
use super::tls::Tls;
use super::websocket::{WebSocket, WebSocketEnd};
use std::io::{self, IoSlice, Write};

/// See the module. A plain connection has neither.
#[derive(Default)]
pub(super) struct Transport {
    tls: Option<Box<Tls>>,
    websocket: Option<Box<WebSocket>>,
}

/// What was found in what came.
pub(super) enum Piece<'a> {
    /// Some of a stream of packets.
    Stream(&'a [u8]),
    /// A whole packet.
    Packet(&'a [u8]),
}

/// How a transport ends.
#[derive(Debug)]
pub(super) enum TransportEnd {
    /// The peer has sent all it wanted to.
    Finished,
    /// What came makes no sense.
    Broken(String),
}

impl Transport {
    /// That of a new connection.
    pub(super) fn new(of: &Layers, limit: usize) -> io::Result<Transport> {
        let tls = of.tls.as_ref().map(|certificate| Tls::new(certificate).map(Box::new));
        let websocket = of.websocket.then(|| Box::new(WebSocket::new(limit)));
        Ok(Transport { tls: tls.transpose().map_err(io::Error::other)?, websocket })
    }

    pub(super) fn is_plain(&self) -> bool {
        self.tls.is_none() && self.websocket.is_none()
    }

    /// Whether packets can be sent: nobody is still asking for it.
    pub(super) fn is_ready(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.is_ready())
            && self.websocket.as_ref().is_none_or(|websocket| websocket.is_ready())
    }

    pub(super) fn is_websocket(&self) -> bool {
        self.websocket.is_some()
    }

    /// Takes in what came. `buffer` is for what is decrypted; what is to be sent in answer is appended to `answer`.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        buffer: &mut [u8],
        answer: &mut Vec<u8>,
        mut on_piece: impl FnMut(Piece<'_>),
    ) -> Result<(), TransportEnd> {
        let Transport { tls, websocket } = self;
        let mut end = Ok(());
        let mut open = |bytes: &[u8]| match websocket {
            Some(websocket) if end.is_ok() => {
                end = websocket.receive(bytes, answer, &mut |packet| on_piece(Piece::Packet(packet)));
            }
            Some(_) => {}
            None => on_piece(Piece::Stream(bytes)),
        };
        let finished = match tls {
            Some(tls) => tls.receive(bytes, buffer, &mut open),
            None => {
                open(bytes);
                Ok(false)
            }
        };
        match (finished, end) {
            (Err(error), _) => Err(TransportEnd::Broken(format!("TLS: {error}"))),
            (_, Err(WebSocketEnd::Failed { why, .. })) => {
                Err(TransportEnd::Broken(format!("WebSocket: {why}")))
            }
            (Ok(true), _) | (_, Err(WebSocketEnd::Closed)) => Err(TransportEnd::Finished),
            (Ok(false), Ok(())) => Ok(()),
        }
    }

    /// Whether it has something to write itself.
    pub(super) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Writes some of these bytes, and what it has to write itself.
    ///
    /// # Errors
    /// What the socket says. [`io::ErrorKind::WouldBlock`]: nothing of these bytes was taken.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>], socket: &mut impl Write) -> io::Result<usize> {
        match (&mut self.tls, slices) {
            (Some(tls), slices) => tls.write(slices, socket),
            (None, [one]) => socket.write(one),
            (None, many) => socket.write_vectored(many),
        }
    }

    /// Writes what it has to write itself.
    ///
    /// # Errors
    /// What the socket says, [`io::ErrorKind::WouldBlock`] too.
    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        self.tls.as_mut().map_or(Ok(()), |tls| tls.flush(socket))
    }

    /// Says goodbye as WebSockets do: appends it to `answer`.
    pub(super) fn say_goodbye(&mut self, answer: &mut Vec<u8>) {
        self.websocket.iter_mut().for_each(|websocket| websocket.close(answer));
    }

    /// Says goodbye as TLS does, after the last byte.
    pub(super) fn close(&mut self) {
        self.tls.iter_mut().for_each(|tls| tls.close());
    }
}

#[cfg(test)]
mod tests;
