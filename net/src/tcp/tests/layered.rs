//! Connections over TLS and WebSockets.

use super::*;

/// A client's session over TLS.
fn tls_session() -> rustls::ClientConnection {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(include_bytes!("../../../tests/tls/ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap()
}

/// What it says first.
pub(super) fn hello() -> Vec<u8> {
    let mut hello = Vec::new();
    tls_session().write_tls(&mut hello).unwrap();
    hello
}

/// A client over TLS, on a thread of its own: says `/a..`, hears all, and returns it.
fn tls_client(port: u16) -> std::thread::JoinHandle<io::Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let socket = Client::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = rustls::StreamOwned::new(tls_session(), socket);
        stream.write_all(b"\0\0\0\x04/a..")?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).map(|_| all)
    })
}

#[test]
fn clients_over_tls_and_websockets_get_what_all_get() {
    let certificate = include_bytes!("../../../tests/tls/cert.pem");
    let certificate = Certificate::new(certificate, include_bytes!("../../../tests/tls/key.pem")).unwrap();
    let plain = Layers::from(Framing::Length);
    let encrypted = Layers { tls: Some(certificate), ..plain.clone() };
    let websocket = Layers { websocket: true, ..plain };
    let limits = StreamLimits { outbound: 8 << 20, ..StreamLimits::default() };
    let mut rig = Rig::of(limits, [encrypted, websocket]);
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();

    let tls = tls_client(rig.ports[0]);
    let port = rig.ports[1];
    let browser = std::thread::spawn(move || {
        let socket = Client::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut socket, _) = tungstenite::client("ws://localhost/", socket).unwrap();
        socket.send(tungstenite::Message::binary(b"/b..".as_slice())).unwrap();
        let heard: Vec<_> = std::iter::from_fn(|| socket.read().ok()).collect();
        let closed = socket.read();
        (heard, closed.unwrap_err())
    });
    // One that has not said what it wants is sent nothing, for it would not know what it is.
    let (mut asking, _) = rig.connect(rig.ports[1]);
    rig.turn_until("packets", |fan| fan.packets.len() == 2);
    let all = rig.fan.open.clone();
    assert_eq!(all.len(), 3);
    rig.deliver(&all, b"/small..");
    rig.deliver(&all, &large);
    rig.reactor.handle().wake();
    rig.turn();
    rig.reactor.part(&mut rig.fan, Span::from_secs(15)).unwrap();

    let heard = tls.join().unwrap().expect("it ends as TLS ends");
    let mut wanted = Vec::new();
    Framing::Length.frame_into(b"/small..", &mut wanted);
    Framing::Length.frame_into(&large, &mut wanted);
    assert!(heard == wanted);
    let (heard, closed) = browser.join().unwrap();
    assert!(
        matches!(closed, tungstenite::Error::AlreadyClosed | tungstenite::Error::ConnectionClosed),
        "{closed}"
    );
    assert!(
        heard[..2]
            == [tungstenite::Message::binary(b"/small..".as_slice()), tungstenite::Message::binary(large)]
    );
    assert!(
        matches!(&heard[2..], [tungstenite::Message::Close(Some(frame))] if u16::from(frame.code) == 1001)
    );
    let mut rest = Vec::new();
    asking.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn whoever_pings_and_does_not_read_is_cut_off() {
    let websocket = Layers { websocket: true, ..Framing::Length.into() };
    let limits = StreamLimits { outbound: 64 << 10, ..StreamLimits::default() };
    let mut rig = Rig::of(limits, [websocket.clone(), websocket]);
    let port = rig.ports[0];
    let flood = std::thread::spawn(move || {
        let socket = Client::connect(("127.0.0.1", port)).unwrap();
        let (mut socket, _) = tungstenite::client("ws://localhost/", socket).unwrap();
        let pings = b"\x89\xfd\0\0\0\0".iter().chain(&[b'!'; 125]).copied().collect::<Vec<_>>().repeat(100);
        while socket.get_mut().write_all(&pings).is_ok() {}
    });
    rig.turn_until("cut", |fan| !fan.closed.is_empty());
    flood.join().unwrap();
    assert_eq!(rig.counters.cut.load(Ordering::Relaxed), 1);
}
