//! [`WebSocket`]: how a browser talks to us (RFC 6455). Each binary message is one packet.
//!
//! tungstenite does the work, over a pipe in memory, for it knows of no polls. It makes room for a message when its length is
//! announced, within the limit of a packet. On the way out packets are framed elsewhere (`frames`), once for all who get them;
//! only answers of the protocol's own come from here. Not for: TLS below it (`tls`).

use std::io::{self, Read, Write};
use tungstenite::error::CapacityError;
use tungstenite::handshake::server::{NoCallback, ServerHandshake};
use tungstenite::handshake::{HandshakeError, MidHandshake};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Error, Message};

/// What it holds of what came, at least (bytes).
const READ_BUFFER: usize = 1 << 10;
/// What it wants to say itself, at most (bytes): a pong has at most 125.
const WRITE_BUFFER: usize = 4 << 10;

/// See the module.
pub(super) enum WebSocket {
    /// The peer is asking for it, by HTTP.
    Asking(MidHandshake<ServerHandshake<Pipe, NoCallback>>),
    Open(tungstenite::WebSocket<Pipe>),
    /// It has ended, or failed.
    Over,
}

/// What came, and what is to go.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    input: Vec<u8>,
    /// How much of it is read.
    read: usize,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.input[self.read..];
        if rest.is_empty() {
            // Held by every connection: room is made when something comes.
            self.input = Vec::new();
            self.read = 0;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = rest.read(buffer)?;
        self.read += length;
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a stream of messages ends.
#[derive(Debug)]
pub(super) enum WebSocketEnd {
    /// Both sides have said goodbye.
    Closed,
    /// What came makes no sense.
    Failed { why: String, code: CloseCode },
}

impl From<Error> for WebSocketEnd {
    fn from(error: Error) -> WebSocketEnd {
        let code = match error {
            Error::ConnectionClosed => return WebSocketEnd::Closed,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
            _ => CloseCode::Protocol,
        };
        WebSocketEnd::Failed { why: error.to_string(), code }
    }
}

impl WebSocket {
    /// For a new connection, whose packets may be so many bytes long.
    pub(super) fn new(limit: usize) -> WebSocket {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        WebSocket::Asking(ServerHandshake::start(Pipe::default(), NoCallback, Some(config)))
    }

    /// Whether it is open.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self, WebSocket::Open(_))
    }

    /// Takes in what came. What is to be sent in answer is appended to `answer`, an error or not.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        answer: &mut Vec<u8>,
        on_packet: &mut impl FnMut(&[u8]),
    ) -> Result<(), WebSocketEnd> {
        if let Some(pipe) = self.pipe() {
            pipe.input.extend_from_slice(bytes);
        }
        let end = self.advance(on_packet);
        if let Err(WebSocketEnd::Failed { code, .. }) = &end {
            self.say_goodbye(*code);
        }
        if let Some(pipe) = self.pipe() {
            answer.append(&mut pipe.output);
            pipe.output = Vec::new();
        }
        if end.is_err() {
            *self = WebSocket::Over;
        }
        end
    }

    /// Says goodbye, if there is somebody to hear it.
    pub(super) fn close(&mut self, answer: &mut Vec<u8>) {
        self.say_goodbye(CloseCode::Away);
        if let Some(pipe) = self.pipe() {
            answer.append(&mut pipe.output);
        }
    }

    fn say_goodbye(&mut self, code: CloseCode) {
        if let WebSocket::Open(socket) = self {
            // A pipe takes everything; what is left are complaints that it was closed already.
            if let Err(error) = socket.close(Some(CloseFrame { code, reason: "".into() })) {
                tracing::debug!("closing a WebSocket: {error}");
            }
        }
    }

    fn pipe(&mut self) -> Option<&mut Pipe> {
        match self {
            WebSocket::Asking(asking) => Some(asking.get_mut().get_mut()),
            WebSocket::Open(socket) => Some(socket.get_mut()),
            WebSocket::Over => None,
        }
    }

    fn advance(&mut self, on_packet: &mut impl FnMut(&[u8])) -> Result<(), WebSocketEnd> {
        if matches!(self, WebSocket::Asking(_))
            && let WebSocket::Asking(asking) = std::mem::replace(self, WebSocket::Over)
        {
            match asking.handshake() {
                Ok(socket) => *self = WebSocket::Open(socket),
                Err(HandshakeError::Interrupted(asking)) => *self = WebSocket::Asking(asking),
                Err(HandshakeError::Failure(error)) => return Err(error.into()),
            }
        }
        let WebSocket::Open(socket) = self else { return Ok(()) };
        loop {
            match socket.read() {
                Ok(Message::Binary(packet)) => on_packet(&packet),
                Ok(Message::Text(_)) => {
                    let why = "a text message is no OSC packet: binary messages are".to_owned();
                    return Err(WebSocketEnd::Failed { why, code: CloseCode::Unsupported });
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
