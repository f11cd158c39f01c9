//! [`Room`]: one question's own group on a router, and the lines in which it is written down who heard what.
//!
//! Nobody waits for a while to see that nothing comes: whoever is asked what it heard sends itself a private message,
//! and what has not come before that never will.

use crate::lab::PATIENCE;
use crate::lab::osc;
use crate::lab::router::{Client, Framing, Heard, Router, names, register};
use rosc::OscType;
use std::time::{Duration, Instant};

/// The original forgets to close some connections that have ended.
const LEAVING: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Room<'r> {
    pub(super) router: &'r Router,
    /// Its group.
    pub(super) group: String,
    /// Whether lists of users are written down too.
    pub(super) lists: bool,
    told: Vec<String>,
    fences: i32,
}

impl<'r> Room<'r> {
    /// An empty room, with a group of this name.
    pub(super) fn new(router: &'r Router, group: &str) -> Room<'r> {
        Room { router, group: group.into(), lists: false, told: Vec::new(), fences: 0 }
    }

    /// All lines.
    pub(super) fn told(self) -> Vec<String> {
        self.told
    }

    /// Writes a line.
    pub(super) fn tell(&mut self, line: impl Into<String>) {
        self.told.push(line.into());
    }

    /// The four arguments with which a user registers here.
    pub(super) fn credentials(&self, user: &str, group_password: &str) -> [OscType; 4] {
        [user, &format!("pw-{user}"), &self.group, group_password].map(OscType::from)
    }

    /// A connection that has said nothing.
    pub(super) fn connect(&self, name: &str) -> Client {
        self.router.connect(Framing::Length, name)
    }

    /// A user's connection.
    pub(super) fn join(&self, user: &str) -> Client {
        self.join_by(Framing::Length, user, user)
    }

    /// A user's connection by a framing, and what it is called here.
    pub(super) fn join_by(&self, framing: Framing, user: &str, name: &str) -> Client {
        let mut client = self.router.connect(framing, name);
        client.send(&register(user, &self.group));
        self.until_registered(&mut client);
        client
    }

    /// Waits until it is told that it is registered, and passes over what comes before.
    pub(super) fn until_registered(&self, client: &mut Client) {
        loop {
            match client.hear() {
                Heard::Packet(packet) if packet.starts_with(b"/oscrouter/register/") => return,
                Heard::Packet(packet) if names(&packet).is_some() => {}
                other => panic!("{} is not registered in {} but hears {other:?}", client.name, self.group),
            }
        }
    }

    /// Writes down what a client hears next.
    pub(super) fn next(&mut self, client: &mut Client) {
        match client.hear() {
            Heard::Packet(packet) => self.packet(client, &packet),
            Heard::End => self.tell(format!("{}: end", client.name)),
            Heard::Nothing => {}
        }
    }

    /// Writes down all that a client hears until its connection is closed.
    pub(super) fn until_end(&mut self, client: &mut Client) {
        while let Heard::Packet(packet) = client.hear() {
            self.packet(client, &packet);
        }
        self.tell(format!("{}: end", client.name));
    }

    /// Waits until a client is told that these are the group's users, and writes down what it hears until then.
    pub(super) fn until_list(&mut self, client: &mut Client, users: &[&str]) {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "{} does not see {users:?}", client.name);
            match client.hear() {
                Heard::Packet(packet) => {
                    self.packet(client, &packet);
                    if names(&packet).is_some_and(|names| names == users) {
                        return;
                    }
                }
                other => panic!("{} waits for {users:?} and hears {other:?}", client.name),
            }
        }
    }

    /// Writes down the next list of users that a client is told.
    pub(super) fn next_list(&mut self, client: &mut Client) {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            match client.hear() {
                Heard::Packet(packet) if names(&packet).is_some() => {
                    return self.tell(format!("{}: {}", client.name, readable(&packet)));
                }
                Heard::Packet(packet) => self.packet(client, &packet),
                other => panic!("{} waits for a list and hears {other:?}", client.name),
            }
        }
    }

    /// Ends a connection, and waits until the router knows.
    pub(super) fn leave(&self, mut client: Client) {
        client.half_close();
        while let Heard::Packet(_) = client.hear_within(LEAVING) {}
    }

    /// Writes down what these clients, all registered, have heard by the time all they had said has been dealt with:
    /// all of the first one, then of the next.
    pub(super) fn settle<const N: usize>(&mut self, mut clients: [&mut Client; N]) {
        let mut lines = [const { Vec::new() }; N];
        // The first time makes sure that all was read, the second that all was sent.
        for _ in 0..2 {
            self.fences += 1;
            for (client, lines) in clients.iter_mut().zip(&mut lines) {
                self.fence(client, lines);
            }
        }
        self.told.extend(lines.into_iter().flatten());
    }

    fn fence(&self, client: &mut Client, lines: &mut Vec<String>) {
        let user = client.name.split(' ').next().unwrap_or_default();
        let fence =
            [OscType::String(user.into()), OscType::String("/fence".into()), OscType::Int(self.fences)];
        let comes = osc::message("/oscrouter/private", fence.clone());
        client.say("/oscrouter/private", fence);
        loop {
            match client.hear() {
                Heard::Packet(packet) if packet == comes => return,
                Heard::Packet(packet) => lines.extend(self.line(client, &packet)),
                Heard::End => return lines.push(format!("{}: end", client.name)),
                Heard::Nothing => {}
            }
        }
    }

    /// Writes down whether anything, and what, a client hears within a while.
    pub(super) fn for_a_while(&mut self, client: &mut Client) {
        match client.hear_within(Duration::from_secs(1)) {
            Heard::Packet(packet) => self.packet(client, &packet),
            Heard::End => self.tell(format!("{}: end", client.name)),
            Heard::Nothing => self.tell(format!("{}: open", client.name)),
        }
    }

    fn packet(&mut self, client: &Client, packet: &[u8]) {
        self.told.extend(self.line(client, packet));
    }

    /// That a client heard a packet, if that is of interest here.
    fn line(&self, client: &Client, packet: &[u8]) -> Option<String> {
        let fence =
            packet.starts_with(b"/oscrouter/private\0") && packet.windows(7).any(|w| w == b"/fence\0");
        let list = names(packet).is_some();
        (!fence && (!list || self.lists)).then(|| format!("{}: {}", client.name, readable(packet)))
    }
}

/// A packet's bytes, those that are letters as such. Of a long one only the beginning and the size.
pub(super) fn readable(packet: &[u8]) -> String {
    // What errors say is for people, and the time is another one each time.
    for address in ["/oscrouter/error", "/sync/time/reply"] {
        if packet.starts_with(address.as_bytes()) {
            return address.into();
        }
    }
    let (shown, more) = packet.split_at(packet.len().min(200));
    let mut text = shown.escape_ascii().to_string().replace("\\x00", "\\0");
    if !more.is_empty() {
        text += &format!("... {} bytes", packet.len());
    }
    text
}
