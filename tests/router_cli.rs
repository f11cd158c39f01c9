//! `downbeat router` as a program: its ports, its figures, its log, systemd, and how it ends.
//!
//! Not for: what it does with packets, which the router's own tests and a comparison with tcposcrouter show.

use crate::lab::osc::{bundle, message};
use crate::lab::{Lab, PATIENCE, Process, repository};
use rosc::OscType;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::Message;

/// A running router, and where it is.
struct Router {
    process: Process,
    /// What it says of itself when it is ready.
    ready: String,
    by_length: u16,
    by_slip: u16,
    http: String,
}

impl Router {
    fn start(lab: &Lab, flags: &[&str]) -> Router {
        Router::spawn(lab.spawn(Router::args(flags)))
    }

    fn args<'a>(flags: &[&'a str]) -> Vec<&'a str> {
        [&["router", "--osc-port", "0", "--osc11-port", "0", "--metrics", "127.0.0.1:0"], flags].concat()
    }

    fn spawn(mut process: Process) -> Router {
        let ready = process.wait_for("router is ready on");
        let http = ready.split("http://").nth(1).expect("it answers HTTP");
        let http = http.trim_end_matches("/metrics").to_owned();
        let mut router = Router { process, ready, by_length: 0, by_slip: 0, http };
        (router.by_length, router.by_slip) = (router.port("OSC 1.0"), router.port("OSC 1.1"));
        router
    }

    /// The port for this.
    fn port(&self, what: &str) -> u16 {
        let what = format!(" ({what})");
        let mut places = self.ready.split(", ").filter_map(|place| place.strip_suffix(&what));
        let place = places.next().expect("it listens");
        place.rsplit_once(':').expect("it has a port").1.parse().expect("a port is a number")
    }

    /// What it answers to an HTTP question.
    fn ask(&self, question: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).expect("it answers HTTP");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.write_all(question.as_bytes()).expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers, and closes");
        answer
    }

    /// Waits until a figure is so high.
    fn wait_for(&self, line: &str) {
        let start = Instant::now();
        loop {
            let page = self.ask("GET /metrics HTTP/1.0\r\n\r\n");
            if page.lines().any(|found| found == format!("downbeat_router_{line}")) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{page}");
        }
    }
}

/// A client whose packets are framed by length.
struct Client<S = TcpStream>(S);

fn connect(host: &str, port: u16) -> TcpStream {
    let stream = TcpStream::connect((host, port)).expect("the router listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

impl Client {
    fn connect(host: &str, port: u16) -> Client {
        Client(connect(host, port))
    }

    fn member(router: &Router, user: &str) -> Client {
        let mut client = Client::connect("127.0.0.1", router.by_length);
        client.register(user, &[]);
        client
    }
}

impl<S: Read + Write> Client<S> {
    /// Registers in group `band`, and waits for the answer and the list of users.
    fn register(&mut self, user: &str, more: &[&str]) {
        self.send(&registers(user, more));
        assert_eq!(self.receive(), Some(message(&format!("/oscrouter/register/{user}/7"), [])));
        let list = self.receive().expect("the list comes");
        assert!(list.starts_with(b"/oscrouter/userlist\0"));
    }

    fn send(&mut self, packet: &[u8]) {
        let length = (packet.len() as u32).to_be_bytes();
        self.0.write_all(&[&length, packet].concat()).expect("the router reads");
    }

    /// The next packet, or `None` at the end.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        match self.0.read_exact(&mut length) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
            other => other.expect("a packet or the end comes"),
        }
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut packet).expect("it comes whole");
        Some(packet)
    }

    /// The next packet that is no list of users.
    fn heard(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.receive() {
                Some(packet) if packet.starts_with(b"/oscrouter/userlist\0") => {}
                other => return other,
            }
        }
    }
}

/// Registers in group `band`.
fn registers(user: &str, more: &[&str]) -> Vec<u8> {
    let words = [&[user, "geheim", "band", "streng geheim", "7"], more].concat();
    let words: Vec<_> = words.into_iter().map(|word| OscType::String(word.into())).collect();
    message("/oscrouter/register", words)
}

#[test]
fn clients_of_every_port_framing_and_family_meet() {
    let lab = Lab::new();
    let mut router = Router::start(&lab, &[]);
    let mut first = Client::member(&router, "anna");
    let host = if UdpSocket::bind("[::1]:0").is_ok() { "::1" } else { "127.0.0.1" };
    let mut second = Client::connect(host, router.by_slip);
    second.register("bert", &[]);
    let mut third = connect("127.0.0.1", router.by_slip);
    third.write_all(&[b"\xc0", &registers("carl", &[])[..], b"\xc0"].concat()).expect("the router reads");

    let packet = bundle(0xee00_c0db_1234_5678, [message("/kick", [OscType::Double(0.5), OscType::Nil])]);
    router.wait_for("users 3");
    first.send(&packet);
    assert_eq!(second.heard(), Some(packet.clone()));
    let escaped: Vec<u8> = packet.iter().fold(Vec::new(), |mut escaped, byte| {
        match byte {
            0xc0 => escaped.extend(b"\xdb\xdc"),
            0xdb => escaped.extend(b"\xdb\xdd"),
            plain => escaped.push(*plain),
        }
        escaped
    });
    let mut heard = Vec::new();
    while !heard.ends_with(&[&b"\xc0"[..], &escaped, b"\xc0"].concat()) {
        let mut byte = [0];
        third.read_exact(&mut byte).expect("it comes");
        heard.extend(byte);
    }
    assert!(router.process.interrupt().success());
}

/// A session that trusts the tests' authority.
fn tls_session() -> ClientConnection {
    let authority = std::fs::read(repository("net/tests/tls/ca.pem")).expect("it is there");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority).expect("it is one")).expect("it is one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("there are some").with_root_certificates(roots).with_no_client_auth();
    let name = "localhost".try_into().expect("it is a name");
    ClientConnection::new(Arc::new(config), name).expect("a session can begin")
}

#[test]
fn encrypted_clients_and_browsers_meet_the_others() {
    let lab = Lab::new();
    let install = |name: &str| {
        for file in ["cert.pem", "key.pem"] {
            let text = std::fs::read(repository("net/tests/tls/").join(format!("{name}{file}")));
            lab.write(file, text.expect("it is there"));
        }
    };
    install("");
    let flags = ["--tls-port", "0", "--ws-port", "0", "--wss-port", "0"];
    let files = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let mut router = Router::start(&lab, &[&flags[..], &files].concat());
    let mut plain = Client::member(&router, "anna");
    let tls = || StreamOwned::new(tls_session(), connect("127.0.0.1", router.port("TLS")));
    let mut encrypted = Client(tls());
    encrypted.register("bert", &[]);
    let socket = connect("127.0.0.1", router.port("WebSocket"));
    let (mut browser, _) = tungstenite::client("ws://localhost/", socket).expect("it is one");
    browser.send(Message::binary(registers("carl", &[]))).expect("the router reads");
    let socket = StreamOwned::new(tls_session(), connect("127.0.0.1", router.port("WebSocket over TLS")));
    let (mut safe_browser, _) = tungstenite::client("wss://localhost/", socket).expect("it is one");
    safe_browser.send(Message::binary(registers("dora", &[]))).expect("the router reads");
    router.wait_for("users 4");

    let packet = bundle(0xee00_0000_1234_5678, [message("/kick", [OscType::Double(0.5)])]);
    plain.send(&packet);
    assert_eq!(encrypted.heard(), Some(packet.clone()));
    while browser.read().expect("it comes") != Message::binary(packet.clone()) {}
    while safe_browser.read().expect("it comes") != Message::binary(packet.clone()) {}
    safe_browser.send(Message::binary(packet.clone())).expect("the router reads");
    assert_eq!(plain.heard(), Some(packet.clone()));

    // A new certificate is shown without a restart; connections that are there stay.
    let shown = || {
        let mut stream = tls();
        stream.conn.complete_io(&mut stream.sock).expect("it is the authority's");
        stream.conn.peer_certificates().expect("it shows some")[0].clone()
    };
    let first = shown();
    install("other-");
    let start = Instant::now();
    while shown() == first {
        assert!(start.elapsed() < PATIENCE, "the certificate stays the old one");
        std::thread::sleep(Duration::from_millis(100));
    }
    router.process.signal("TERM");
    assert_eq!((encrypted.heard(), encrypted.heard()), (Some(packet), None));
    let end = std::iter::from_fn(|| browser.read().ok()).last();
    assert!(matches!(end, Some(Message::Close(Some(_)))), "{end:?}");
    assert!(router.process.wait().success());
}

#[test]
fn it_tells_how_it_is() {
    let lab = Lab::new();
    let router = Router::start(&lab, &[]);
    let _member = Client::member(&router, "anna");
    assert!(router.ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("\r\n\r\nok\n"));
    let page = router.ask("GET /metrics HTTP/1.1\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(
        page.contains(
            "\n# TYPE downbeat_router_registered_total counter\ndownbeat_router_registered_total 1\n"
        )
    );
    assert!(page.contains("\ndownbeat_router_groups 1\n"));
    assert!(page.contains("\ndownbeat_router_refused_total{reason=\"user_password\"} 0\n"));
    assert!(router.ask("GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(router.ask("DELETE /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 405 "));
    // Whoever says nothing, or too much, holds nobody up for long.
    let _silent = TcpStream::connect(&router.http).expect("it answers HTTP");
    assert!(router.ask(&format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(3_000))).starts_with("HTTP/1.1 404 "));
    router.wait_for("connections 1");
}

#[test]
fn it_stops_in_good_order() {
    let lab = Lab::new();
    let mut router = Router::start(&lab, &["--max-outbound", "8000000", "--max-packet", "8000000"]);
    let mut sender = Client::member(&router, "anna");
    let mut receiver = Client::member(&router, "bert");
    let mut curious = Client::connect("127.0.0.1", router.by_length);
    curious.register("carl", &["errors"]);
    let large = message("/large", [OscType::Blob(vec![7; 6_000_000])]);
    sender.send(&large);
    router.wait_for("forwarded_total 1");
    let start = Instant::now();
    router.process.signal("TERM");
    assert_eq!(receiver.heard(), Some(large.clone()), "what was on its way arrives");
    assert_eq!(receiver.heard(), None);
    assert_eq!(curious.heard(), Some(large));
    assert!(curious.heard().expect("it is told").starts_with(b"/oscrouter/error\0"));
    assert_eq!((curious.heard(), sender.heard()), (None, None));
    assert!(TcpStream::connect(("127.0.0.1", router.by_length)).is_err(), "nobody is let in any more");
    // Whoever does not leave does not keep it.
    assert!(router.process.wait().success());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn systemd_hears_that_it_is_ready_lives_and_stops() {
    let lab = Lab::new();
    let path = lab.path("notify");
    let systemd = UnixDatagram::bind(&path).expect("the folder takes a socket");
    systemd.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let hear = || {
        let mut buffer = [0; 256];
        let length = systemd.recv(&mut buffer).expect("it tells something");
        String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
    };
    let mut command = lab.command(Router::args(&[]));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").env_remove("WATCHDOG_PID");
    let mut router = Router::spawn(Process::spawn(command));
    assert_eq!([hear(), hear(), hear()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    router.process.signal("TERM");
    let end = std::iter::repeat_with(hear).find(|word| word != "WATCHDOG=1");
    assert_eq!(end.as_deref(), Some("STOPPING=1"));
    assert!(router.process.wait().success());
}

#[test]
fn the_log_tells_who_came_and_no_secret() {
    let lab = Lab::new();
    let mut router = Router::start(&lab, &["-vv", "--log-dir", "new/folder"]);
    let mut sender = Client::member(&router, "anna");
    let mut receiver = Client::member(&router, "bert");
    sender.send(&message("/melody", [OscType::String("private thoughts".into())]));
    receiver.heard();
    let mut wrong = Client::connect("127.0.0.1", router.by_length);
    let words = ["anna", "guesswork", "band", "streng geheim", "1"].map(|word| OscType::String(word.into()));
    wrong.send(&message("/oscrouter/register", words));
    assert_eq!(wrong.receive(), None);
    assert!(router.process.interrupt().success());
    let log = std::fs::read_to_string(lab.path("new/folder/router.log")).expect("there is a log");
    assert!(log.contains("anna") && log.contains("wrong password"), "{log}");
    for secret in ["geheim", "guesswork", "melody", "thoughts"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[test]
fn what_pd_would_drop_is_warned_of_once() {
    let lab = Lab::new();
    let mut router = Router::start(&lab, &["--log-dir", "logs"]);
    let mut sender = Client::member(&router, "anna");
    let mut pd = connect("127.0.0.1", router.by_slip);
    pd.write_all(&[b"\xc0", &registers("bert", &[])[..], b"\xc0"].concat()).expect("the router reads");
    router.wait_for("users 2");
    for size in [900, 2_000, 3_000] {
        sender.send(&message("/large", [OscType::Blob(vec![7; size])]));
    }
    router.wait_for("long_for_slip_total 2");
    assert!(router.process.interrupt().success());
    let log = std::fs::read_to_string(lab.path("logs/router.log")).expect("there is a log");
    assert_eq!(log.matches("more than 1006 bytes").count(), 1, "{log}");
}

#[test]
fn five_hundred_who_come_at_once_are_let_in() {
    let lab = Lab::new();
    let mut router = Router::start(&lab, &["--connections", "2000"]);
    let mut clients: Vec<_> = (0..500).map(|_| Client::connect("127.0.0.1", router.by_length)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let words = [format!("user{number}"), "pw".into(), "band".into(), "pw".into(), number.to_string()];
        client.send(&message("/oscrouter/register", words.map(OscType::String)));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let wanted = message(&format!("/oscrouter/register/user{number}/{number}"), []);
        assert_eq!(client.receive(), Some(wanted));
    }
    let whole = message(
        "/oscrouter/userlist",
        (0..500).map(|n| OscType::String(format!("user{n}"))).collect::<Vec<_>>(),
    );
    for client in &mut clients {
        while client.receive().expect("the list comes").len() < whole.len() {}
    }
    drop(clients);
    router.wait_for("connections 0");
    assert!(router.process.interrupt().success());
}

#[test]
fn one_address_cannot_take_all_places() {
    let lab = Lab::new();
    let router = Router::start(&lab, &["--max-per-address", "2"]);
    let first = Client::member(&router, "anna");
    let _second = Client::member(&router, "bert");
    assert_eq!(Client::connect("127.0.0.1", router.by_slip).receive(), None);
    router.wait_for("crowded_total 1");
    router.wait_for("turned_away_total 0");
    drop(first);
    router.wait_for("connections 1");
    Client::member(&router, "anna");
}

#[test]
fn what_cannot_be_is_said() {
    let lab = Lab::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it has a port").port().to_string();
    lab.write("contradiction.toml", "[router]\nosc-port = 0\ndisable-osc10 = true\n");
    for (args, code, says) in [
        (&["--disable-osc10", "--disable-osc11"][..], 2, "no port left"),
        (&["--disable-osc10", "--osc-port", "0"], 2, "--osc-port"),
        (&["--osc11-port", "0", "--disable-osc11"], 2, "--osc11-port"),
        (&["--config", "contradiction.toml"], 2, "--osc-port"),
        (&["--max-per-address", "0"], 2, "--max-per-address"),
        (&["--slow", "never"], 2, "drop-oldest"),
        (&["--idle", "5"], 2, "200ms"),
        (&["--tls-port", "0"], 2, "--tls-cert"),
        (&["--tls-cert", "a", "--tls-key", "b"], 2, "--wss-port"),
        (&["--tls-port", "0", "--tls-cert", "a", "--tls-key", "b"], 1, "cannot read a"),
        (&["--bind", "127.0.0.1", "--osc-port", &port], 1, &port),
        (&["--osc-port", "0", "--osc11-port", "0", "--metrics", &format!("127.0.0.1:{port}")], 1, "HTTP"),
        (&["--log-dir", "/dev/null/folder"], 1, "/dev/null/folder"),
    ] {
        let output = lab.run([&["router"], args].concat());
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(says), "{args:?}: {}", output.stderr);
    }
}
