//! The router with virtual connections, in virtual time: bytes in, bytes out. The cases R, M, P, U, D and F are those of the
//! reference's list, by their numbers.

use super::hashing::Work;
use super::*;
use crate::framing::{DEFAULT_LIMIT, Framing, Split, Splitter};
use crate::osc::{self, Arg, BundleWriter};
use downbeat_sync::EnsembleTime;
use std::collections::VecDeque;

mod closing;
mod framing;
mod hashing;
mod messages;
mod private;
mod random;
mod register;
mod time;
mod users;

/// A client's end of a connection, by its place in the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Client(usize);

/// How a client's stream is framed, and what came over it.
struct Stream {
    conn: ConnId,
    /// The router's side.
    splitter: Splitter,
    framing: Framing,
    /// What came to the client and was not looked at.
    inbox: Vec<Vec<u8>>,
    closed: bool,
    /// The router wants nothing read.
    paused: bool,
    /// What the client has sent, and nobody has read.
    unread: Vec<u8>,
}

/// What is done with passwords that are to be hashed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hashing {
    /// They wait.
    Held,
    /// At once, and instead of argon2 by copying the digest.
    Quick,
    /// At once, as in life.
    Real,
}

/// Read at once (bytes), as `downbeat router` does.
const READ: usize = 32 << 10;

struct Lab {
    router: Router,
    now: LocalTime,
    streams: Vec<Stream>,
    hashing: Hashing,
    jobs: VecDeque<HashJob>,
}

impl Lab {
    fn new() -> Lab {
        Lab::with(RouterConfig::default())
    }

    fn with(config: RouterConfig) -> Lab {
        let now = LocalTime::from_ticks(0);
        let key = Key::new(&[7; 32]).expect("it is long enough");
        let router = Router::new(config, key, wall(now));
        Lab { router, now, streams: Vec::new(), hashing: Hashing::Held, jobs: VecDeque::new() }
    }

    /// A new connection, framed by length.
    fn connect(&mut self) -> Client {
        self.connect_as(Framing::Length, [10, 0, 0, 1])
    }

    fn connect_as(&mut self, framing: Framing, ip: [u8; 4]) -> Client {
        let client = Client(self.streams.len());
        let conn = ConnId::numbered(client.0 as u32);
        let splitter = Splitter::new(DEFAULT_LIMIT);
        self.streams.push(Stream {
            conn,
            splitter,
            framing,
            inbox: Vec::new(),
            closed: false,
            paused: false,
            unread: Vec::new(),
        });
        self.router.open(conn, SocketAddr::from((ip, 50_000)), self.now);
        self.pump();
        client
    }

    /// One that is in group "g" under this name, and was told so.
    fn join(&mut self, name: &str) -> Client {
        let client = self.connect();
        self.say(client, &register(name, "pw", "g", "gpw"));
        assert_eq!(self.heard(client)[0], registered(name, 7), "{name} is let in");
        client
    }

    /// Sends bytes as they are.
    fn send(&mut self, client: Client, bytes: &[u8]) {
        self.streams[client.0].unread.extend_from_slice(bytes);
        self.read(client);
    }

    /// Reads what a client has sent, until the router wants no more of it.
    fn read(&mut self, client: Client) {
        while let stream = &mut self.streams[client.0]
            && !stream.paused
            && !stream.unread.is_empty()
        {
            let length = stream.unread.len().min(READ);
            let read: Vec<u8> = stream.unread.drain(..length).collect();
            let mut bytes = read.as_slice();
            loop {
                match stream.splitter.next(&mut bytes) {
                    Split::Packet(packet) => {
                        if !stream.closed {
                            self.router.handle(stream.conn, self.now, packet);
                        }
                    }
                    Split::More => break,
                    Split::Broken(_) => {
                        stream.closed = true;
                        self.router.close(stream.conn, self.now);
                        break;
                    }
                }
            }
            self.pump();
        }
    }

    /// Sends packets in one write.
    fn say_all(&mut self, client: Client, packets: &[Vec<u8>]) {
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| self.streams[client.0].framing.frame_into(packet, &mut bytes));
        self.send(client, &bytes);
    }

    fn say(&mut self, client: Client, packet: &[u8]) {
        self.say_all(client, &[packet.to_vec()]);
    }

    /// The client goes, politely or not.
    fn leave(&mut self, client: Client) {
        self.streams[client.0].closed = true;
        self.router.close(self.streams[client.0].conn, self.now);
        self.pump();
    }

    fn pass(&mut self, span: Span) {
        self.now += span;
        self.router.tick(wall(self.now));
        self.pump();
    }

    /// What came to a client since the last look.
    fn heard(&mut self, client: Client) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.streams[client.0].inbox)
    }

    /// The same as text, which is easier to read.
    fn told(&mut self, client: Client) -> Vec<String> {
        self.heard(client).iter().map(|packet| text(packet)).collect()
    }

    fn nothing_came(&mut self, clients: &[Client]) {
        for client in clients {
            assert_eq!(self.told(*client), Vec::<String>::new(), "to {client:?}");
        }
    }

    /// Nobody has anything that was not looked at.
    fn hush(&mut self) {
        self.streams.iter_mut().for_each(|stream| stream.inbox.clear());
    }

    fn is_open(&self, client: Client) -> bool {
        !self.streams[client.0].closed
    }

    fn refused(&self, why: Refusal) -> u64 {
        self.router.tally().refused(why)
    }

    /// Names and users of groups.
    fn groups(&self) -> Vec<(String, usize, usize)> {
        let mut groups: Vec<_> = self
            .router
            .groups()
            .map(|group| (group.name.escape_ascii().to_string(), group.users, group.connections))
            .collect();
        groups.sort();
        groups
    }

    /// Does what the router wants done.
    fn pump(&mut self) {
        let mut resumed = Vec::new();
        while let Some(output) = self.router.poll(self.now) {
            match output {
                Output::Deliver { to, packet } => {
                    let mut seen = to.to_vec();
                    seen.sort_unstable();
                    seen.dedup();
                    assert_eq!(seen.len(), to.len(), "each connection is told once");
                    for conn in to {
                        deliver(&mut self.streams, *conn, packet);
                    }
                }
                Output::Close(conn) => stream(&mut self.streams, conn).closed = true,
                Output::Pause(conn) => {
                    assert!(!std::mem::replace(&mut stream(&mut self.streams, conn).paused, true));
                }
                Output::Resume(conn) => {
                    assert!(std::mem::take(&mut stream(&mut self.streams, conn).paused));
                    resumed.push(conn);
                }
                Output::Hash(job) if self.hashing == Hashing::Held => self.jobs.push_back(job),
                Output::Hash(job) => self.hash(job),
            }
        }
        for conn in resumed {
            let client = self.streams.iter().position(|stream| stream.conn == conn);
            client.into_iter().for_each(|client| self.read(Client(client)));
        }
    }

    fn hash(&mut self, job: HashJob) {
        let ticket = job.ticket();
        let result =
            if self.hashing == Hashing::Real { job.run(&mut HashRoom::default()) } else { quick(&job) };
        self.router.hashed(ticket, result, self.now);
    }

    /// The thread comes to all that waits.
    fn hash_all(&mut self, hashing: Hashing) {
        let before = std::mem::replace(&mut self.hashing, hashing);
        while let Some(job) = self.jobs.pop_front() {
            self.hash(job);
        }
        self.pump();
        self.hashing = before;
    }
}

fn stream(streams: &mut [Stream], conn: ConnId) -> &mut Stream {
    streams
        .iter_mut()
        .find(|stream| stream.conn == conn)
        .expect("the router knows only connections there are")
}

/// Over the wire and back: framed as the connection is, and split by the client.
fn deliver(streams: &mut [Stream], conn: ConnId, packet: &[u8]) {
    let stream = stream(streams, conn);
    assert!(!stream.closed, "the router knows who is gone");
    let mut bytes = Vec::new();
    let framing = stream.splitter.framing().unwrap_or(stream.framing);
    framing.frame_into(packet, &mut bytes);
    assert_eq!(framing, stream.framing, "it is answered as it speaks");
    let (mut splitter, mut rest) = (Splitter::new(DEFAULT_LIMIT), &bytes[..]);
    while let Split::Packet(packet) = splitter.next(&mut rest) {
        stream.inbox.push(packet.to_vec());
    }
}

/// In the place of argon2: the digest, twice.
fn quick(job: &HashJob) -> HashResult {
    let twice = [*job.digest.bytes(), *job.digest.bytes()].concat();
    match &job.work {
        Work::Hash { salt } => {
            let hash: [u8; 32] = twice.try_into().expect("twice 16");
            HashResult::Hashed(PasswordHash { salt: *salt, hash: hash.into() })
        }
        Work::Verify(known) => HashResult::Verified(known.hash.as_slice() == twice),
    }
}

/// Ensemble time is local time from 1970 on.
fn wall(now: LocalTime) -> WallAnchor {
    let wall = EnsembleTime::from_unix(now - LocalTime::from_ticks(0));
    WallAnchor { local: now, wall, uncertainty: Span::ZERO, synchronised: false }
}

fn message(address: &str, args: &[Arg<'_>]) -> Vec<u8> {
    let mut packet = Vec::new();
    osc::write(&mut packet, address, args.iter().copied()).expect("a test writes what can be written");
    packet
}

fn bundle(timetag: u64, elements: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut bundle = BundleWriter::new(&mut packet, timetag);
    for element in elements {
        bundle.packet(element).expect("an element is a packet");
    }
    packet
}

/// With an id of 7.
fn register(user: &str, password: &str, group: &str, group_password: &str) -> Vec<u8> {
    let args = [user, password, group, group_password].map(Arg::from);
    message("/oscrouter/register", &[&args[..], &[Arg::Int(7)]].concat())
}

/// The same, and wanting to know why if it is refused.
fn register_asking(user: &str, password: &str, group: &str, group_password: &str) -> Vec<u8> {
    let args = [user, password, group, group_password].map(Arg::from);
    message("/oscrouter/register", &[&args[..], &[Arg::Int(7), "errors".into()]].concat())
}

/// The answer to a registration.
fn registered(user: &str, id: i32) -> Vec<u8> {
    message(&format!("/oscrouter/register/{user}/{id}"), &[])
}

fn user_list(names: &[&str]) -> Vec<u8> {
    message("/oscrouter/userlist", &names.iter().map(|name| Arg::from(*name)).collect::<Vec<_>>())
}

fn private(to: &str, address: &str, args: &[Arg<'_>]) -> Vec<u8> {
    message("/oscrouter/private", &[&[to.into(), address.into()], args].concat())
}

/// `/address arg arg`.
fn text(packet: &[u8]) -> String {
    let message = osc::read(packet).next().expect("not empty").expect("not malformed").message;
    let args = message.args().map(|arg| match arg {
        Arg::Str(text) => format!(" {}", text.escape_ascii()),
        arg => format!(" {arg:?}"),
    });
    format!("{}{}", message.address().escape_ascii(), args.collect::<String>())
}
