//! Transports in memory, against rustls and tungstenite as clients.

use super::*;
use crate::framing::Framing;
use crate::tcp::{Certificate, Layers};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::Read;
use std::sync::Arc;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket as Client};

const CHAIN: &[u8] = include_bytes!("../../../tests/tls/cert.pem");
const KEY: &[u8] = include_bytes!("../../../tests/tls/key.pem");
const OTHER_CHAIN: &[u8] = include_bytes!("../../../tests/tls/other-cert.pem");
const OTHER_KEY: &[u8] = include_bytes!("../../../tests/tls/other-key.pem");
const AUTHORITY: &[u8] = include_bytes!("../../../tests/tls/ca.pem");

const LIMIT: usize = 1_000;

fn layers(tls: bool, websocket: bool) -> Layers {
    let tls = tls.then(|| Certificate::new(CHAIN, KEY).unwrap());
    Layers { tls, websocket, ..Framing::Length.into() }
}

fn transport(of: &Layers) -> Transport {
    Transport::new(of, LIMIT).unwrap()
}

/// What was found, as text: `s` for the stream, `p` for packets.
#[derive(Default)]
struct Heard {
    stream: Vec<u8>,
    packets: Vec<Vec<u8>>,
    answer: Vec<u8>,
}

impl Heard {
    fn take_in(&mut self, transport: &mut Transport, bytes: &[u8]) -> Result<(), TransportEnd> {
        let mut plain = [0; 100];
        transport.receive(bytes, &mut plain, &mut self.answer, |piece| match piece {
            Piece::Stream(bytes) => self.stream.extend_from_slice(bytes),
            Piece::Packet(packet) => self.packets.push(packet.to_vec()),
        })
    }
}

/// Takes so many bytes, then no more.
struct Narrow(Vec<u8>, usize);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.1 - self.0.len());
        if length == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.write(&bytes[..length])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tls_client() -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(AUTHORITY).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

/// Carries what a client has to say to a transport, and back, until nobody has anything to say.
fn exchange(
    client: &mut ClientConnection,
    transport: &mut Transport,
    heard: &mut Heard,
) -> Result<(), TransportEnd> {
    loop {
        let mut there = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut there).unwrap();
        }
        let end = heard.take_in(transport, &there);
        let mut back = Vec::new();
        transport.flush(&mut back).unwrap();
        client.read_tls(&mut back.as_slice()).unwrap();
        client.process_new_packets().unwrap();
        if end.is_err() || (there.is_empty() && back.is_empty()) {
            return end;
        }
    }
}

fn read(client: &mut ClientConnection) -> Vec<u8> {
    let mut all = Vec::new();
    // It would like to hear more.
    let _ = client.reader().read_to_end(&mut all);
    all
}

#[test]
fn what_is_encrypted_comes_as_a_stream_and_goes_as_one() {
    let mut transport = transport(&layers(true, false));
    let (mut client, mut heard) = (tls_client(), Heard::default());
    assert!(!transport.is_ready());
    exchange(&mut client, &mut transport, &mut heard).unwrap();
    assert!(transport.is_ready() && !transport.is_plain() && !transport.is_websocket());
    let stream: Vec<u8> = (0..50_000_u32).map(|n| (n % 251) as u8).collect();
    client.writer().write_all(&stream).unwrap();
    exchange(&mut client, &mut transport, &mut heard).unwrap();
    assert!(heard.stream == stream && heard.answer.is_empty());

    // A socket that takes little: what was not taken is to be given again, and nothing is lost or doubled.
    let (mut given, mut wire) = (0, Vec::new());
    while given < stream.len() || transport.wants_write() {
        let mut socket = Narrow(Vec::new(), 1_000);
        let rest = [IoSlice::new(&stream[given..]), IoSlice::new(b"")];
        let taken = match given < stream.len() {
            true => transport.write(&rest, &mut socket),
            false => transport.flush(&mut socket).map(|()| 0),
        };
        match taken {
            Ok(taken) => given += taken,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        wire.extend(socket.0);
    }
    let (mut wire, mut got) = (wire.as_slice(), Vec::new());
    while !wire.is_empty() {
        client.read_tls(&mut wire).unwrap();
        client.process_new_packets().unwrap();
        got.extend(read(&mut client));
    }
    assert!(got == stream);
    client.send_close_notify();
    assert!(matches!(exchange(&mut client, &mut transport, &mut heard), Err(TransportEnd::Finished)));
}

#[test]
fn what_is_no_tls_is_broken_and_answered_with_an_alert() {
    let mut transport = transport(&layers(true, false));
    let end = Heard::default().take_in(&mut transport, b"\0\0\0\x14/oscrouter/register\0");
    assert!(matches!(end, Err(TransportEnd::Broken(_))), "{end:?}");
    assert!(transport.wants_write());
}

#[test]
fn a_certificate_may_be_replaced_by_one_that_fits() {
    let layers = layers(true, false);
    let certificate = layers.tls.clone().unwrap();
    let shown = |layers: &Layers| {
        let (mut client, mut transport) = (tls_client(), transport(layers));
        exchange(&mut client, &mut transport, &mut Heard::default()).unwrap();
        client.peer_certificates().unwrap()[0].clone()
    };
    let first = CertificateDer::from_pem_slice(CHAIN).unwrap();
    assert_eq!(shown(&layers), first);
    for (chain, key) in [(OTHER_CHAIN, KEY), (b"none", KEY), (CHAIN, b"none"), (KEY, KEY)] {
        assert!(certificate.replace(chain, key).is_err());
        assert!(Certificate::new(chain, key).is_err());
    }
    assert_eq!(shown(&layers), first);
    certificate.replace(OTHER_CHAIN, OTHER_KEY).unwrap();
    assert_eq!(shown(&layers), CertificateDer::from_pem_slice(OTHER_CHAIN).unwrap());
}

const UPGRADE: &[u8] = b"GET /anything HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: https://example.org\r\n\r\n";
/// The answer to that key, from RFC 6455.
const ACCEPTED: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The client's end of an open WebSocket: what it wants written, and what it is to read.
#[derive(Default)]
struct Wire {
    written: Vec<u8>,
    to_read: Vec<u8>,
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.to_read.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.to_read.as_slice().read(buffer)?;
        self.to_read.drain(..length);
        Ok(length)
    }
}

/// An open WebSocket, and both of its ends.
fn open() -> (Client<Wire>, Transport, Heard) {
    let mut transport = transport(&layers(false, true));
    let mut heard = Heard::default();
    for part in UPGRADE.chunks(150) {
        assert!(!transport.is_ready());
        heard.take_in(&mut transport, part).unwrap();
    }
    assert!(transport.is_ready() && transport.is_websocket());
    let answer = std::mem::take(&mut heard.answer);
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    assert!(answer.windows(ACCEPTED.len()).any(|part| part == ACCEPTED));
    let config = WebSocketConfig::default().write_buffer_size(0);
    (Client::from_raw_socket(Wire::default(), Role::Client, Some(config)), transport, heard)
}

/// Carries what the client has written to the transport, and the answer back.
fn carry(
    client: &mut Client<Wire>,
    transport: &mut Transport,
    heard: &mut Heard,
) -> Result<(), TransportEnd> {
    let written = std::mem::take(&mut client.get_mut().written);
    let end = heard.take_in(transport, &written);
    client.get_mut().to_read.append(&mut heard.answer);
    end
}

/// The number with which the other side closes.
fn closed_with(client: &mut Client<Wire>) -> u16 {
    loop {
        if let Message::Close(frame) = client.read().expect("a goodbye comes") {
            return frame.expect("it has a reason").code.into();
        }
    }
}

#[test]
fn each_binary_message_is_a_packet_however_it_comes() {
    let (mut client, mut transport, mut heard) = open();
    let packets = [b"/a\0\0".to_vec(), vec![b'/'; LIMIT], b"/b\0\0".to_vec()];
    for packet in &packets {
        client.send(Message::binary(packet.clone())).unwrap();
    }
    // In two frames, with a ping between them.
    client.get_mut().written.extend(b"\x02\x82\0\0\0\0/c\x89\x81\0\0\0\0!\x80\x82\0\0\0\0\0\0");
    for byte in std::mem::take(&mut client.get_mut().written) {
        heard.take_in(&mut transport, &[byte]).unwrap();
    }
    assert_eq!(heard.packets[..3], packets);
    assert_eq!(heard.packets[3], b"/c\0\0");
    assert_eq!(heard.answer, b"\x8a\x01!", "a ping is answered");
    assert!(heard.stream.is_empty());
}

#[test]
fn what_we_frame_is_a_message_there() {
    let (mut client, ..) = open();
    let mut frames = crate::tcp::frames::Frames::default();
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let packet = vec![b'/'; length];
        let frame = match frames.get(crate::tcp::frames::Wire::WebSocket, &packet) {
            crate::tcp::frames::Frame::Small(bytes) => bytes.to_vec(),
            crate::tcp::frames::Frame::Shared(bytes) => bytes.to_vec(),
        };
        client.get_mut().to_read.extend(frame);
        assert_eq!(client.read().unwrap(), Message::binary(packet));
        frames.clear();
    }
}

#[test]
fn goodbye_is_answered_and_said() {
    let (mut client, mut transport, mut heard) = open();
    client.close(None).unwrap();
    assert!(matches!(carry(&mut client, &mut transport, &mut heard), Err(TransportEnd::Finished)));
    assert!(matches!(client.read(), Ok(Message::Close(None))));
    // What comes after it is nothing.
    assert!(heard.take_in(&mut transport, b"\x82\x80\0\0\0\0").is_ok());
    assert!(heard.packets.is_empty());

    let (mut client, mut transport, mut heard) = open();
    transport.say_goodbye(&mut heard.answer);
    carry(&mut client, &mut transport, &mut heard).unwrap();
    assert_eq!(closed_with(&mut client), 1001);
}

#[test]
fn what_makes_no_sense_is_broken_and_told_why() {
    for (bytes, code) in [
        (&b"\x81\x82\0\0\0\0hi"[..], 1003),
        (b"\x82\xfe\x03\xe9\0\0\0\0", 1009),
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
        (b"\x82\x02hi", 1002),
        (b"\xf2\x80\0\0\0\0", 1002),
        (b"\x80\x80\0\0\0\0", 1002),
    ] {
        let (mut client, mut transport, mut heard) = open();
        client.get_mut().written.extend_from_slice(bytes);
        let end = carry(&mut client, &mut transport, &mut heard);
        assert!(matches!(end, Err(TransportEnd::Broken(_))), "{bytes:?}");
        assert_eq!(closed_with(&mut client), code);
    }
    for asked in
        [&b"\0\0\0\x14/oscrouter/register\0"[..], b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n"]
    {
        let mut transport = transport(&layers(false, true));
        let end = Heard::default().take_in(&mut transport, asked);
        assert!(matches!(end, Err(TransportEnd::Broken(_))), "{asked:?}");
    }
}

#[test]
fn whoever_asks_for_ever_takes_bounded_memory() {
    let mut transport = transport(&layers(false, true));
    let mut heard = Heard::default();
    let mut taken = 0;
    while heard.take_in(&mut transport, &[b'x'; 1_000]).is_ok() {
        taken += 1;
        assert!(taken < 1_000, "it is still listening");
    }
}

#[test]
fn a_websocket_may_be_encrypted() {
    let mut transport = transport(&layers(true, true));
    let (mut client, mut heard) = (tls_client(), Heard::default());
    exchange(&mut client, &mut transport, &mut heard).unwrap();
    assert!(!transport.is_ready());
    client.writer().write_all(UPGRADE).unwrap();
    exchange(&mut client, &mut transport, &mut heard).unwrap();
    assert!(transport.is_ready() && heard.answer.starts_with(b"HTTP/1.1 101 "));
    client.writer().write_all(b"\x82\x84\0\0\0\0/a\0\0").unwrap();
    exchange(&mut client, &mut transport, &mut heard).unwrap();
    assert_eq!(heard.packets, [b"/a\0\0"]);
}
