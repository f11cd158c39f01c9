//! What holds whatever is sent, and whoever comes and goes in whatever order.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Messages as they come from anywhere: any tags, even unknown ones, and any bytes after those.
fn odd_message() -> impl Strategy<Value = Vec<u8>> {
    let padded = |mut bytes: Vec<u8>| {
        bytes.resize((bytes.len() / 4 + 1) * 4, 0);
        bytes
    };
    let known = vec(prop_oneof![Just(b'i'), Just(b'f'), Just(b'r'), Just(b'm'), Just(b'c')], 0..6);
    let address = "/[a-z]{1,3}(/[a-z*?]{0,4}){0,3}";
    (address, known, any::<bool>(), vec(any::<[u8; 4]>(), 0..6)).prop_map(
        move |(address, mut tags, unknown, more)| {
            let data: Vec<u8> = tags.iter().flat_map(|tag| [*tag, 0xc0, 0xdb, 1]).collect();
            tags.insert(0, b',');
            if unknown {
                tags.push(b'Q');
            }
            let rest = if unknown { more.concat() } else { Vec::new() };
            [padded(address.into_bytes()), padded(tags), data, rest].concat()
        },
    )
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    odd_message().prop_recursive(8, 24, 4, |inner| {
        (any::<u64>(), vec(inner, 0..4)).prop_map(|(timetag, elements)| bundle(timetag, &elements))
    })
}

/// What may happen next. Numbers are of connections, users and groups.
#[derive(Clone, Debug)]
enum Step {
    Connect,
    Register { conn: usize, user: usize, group: usize, user_password: u8, group_password: u8 },
    Leave(usize),
    Say(usize),
    Private { conn: usize, user: usize },
    Pass(u16),
    Hash,
}

fn step() -> impl Strategy<Value = Step> {
    let conn = || 0..8usize;
    prop_oneof![
        3 => Just(Step::Connect),
        6 => (conn(), 0..3usize, 0..2usize, prop_oneof![5 => Just(0), 1 => Just(1u8)], prop_oneof![5 => Just(0), 1 => Just(1u8)])
            .prop_map(|(conn, user, group, user_password, group_password)| {
                Step::Register { conn, user, group, user_password, group_password }
            }),
        2 => conn().prop_map(Step::Leave),
        3 => conn().prop_map(Step::Say),
        2 => (conn(), 0..3usize).prop_map(|(conn, user)| Step::Private { conn, user }),
        2 => prop_oneof![0..50u16, 55_000..65_000u16].prop_map(Step::Pass),
        2 => Just(Step::Hash),
    ]
}

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const GROUPS: [&str; 2] = ["g", "h"];

/// What should be so: who sits where, which passwords are good, and in which order users came.
#[derive(Default)]
struct Model {
    /// Open connections, and the user and group of each that has registered.
    seats: BTreeMap<usize, Option<(usize, usize)>>,
    group_passwords: BTreeMap<usize, u8>,
    /// By group, in order.
    users: BTreeMap<usize, Vec<(usize, u8)>>,
}

impl Model {
    /// Whether the registration should be granted.
    fn register(
        &mut self,
        conn: usize,
        (user, group): (usize, usize),
        user_password: u8,
        group_password: u8,
    ) -> bool {
        let users = self.users.get(&group).cloned().unwrap_or_default();
        let known = users.iter().find(|(name, _)| *name == user).map(|(_, password)| *password);
        let is_good = self.group_passwords.get(&group).is_none_or(|good| *good == group_password)
            && known.is_none_or(|good| good == user_password);
        if !is_good {
            self.leave(conn);
            return false;
        }
        self.group_passwords.insert(group, group_password);
        if known.is_none() {
            self.users.entry(group).or_default().push((user, user_password));
        }
        self.seats.insert(conn, Some((user, group)));
        self.tidy();
        true
    }

    fn leave(&mut self, conn: usize) {
        self.seats.remove(&conn);
        self.tidy();
    }

    /// Forgets who has no connection.
    fn tidy(&mut self) {
        let seats: Vec<_> = self.seats.values().flatten().copied().collect();
        for (group, users) in &mut self.users {
            users.retain(|(user, _)| seats.contains(&(*user, *group)));
        }
        self.users.retain(|_, users| !users.is_empty());
        self.group_passwords.retain(|group, _| self.users.contains_key(group));
    }

    /// Who gets what a connection says.
    fn others(&self, conn: usize) -> Vec<usize> {
        let Some(Some((user, group))) = self.seats.get(&conn).copied() else { return Vec::new() };
        let seats = self.seats.iter().filter_map(|(other, seat)| Some((*other, (*seat)?)));
        seats.filter(|(_, seat)| seat.1 == group && seat.0 != user).map(|(other, _)| other).collect()
    }

    fn conns_of(&self, user: usize, group: usize) -> Vec<usize> {
        self.seats.iter().filter(|(_, seat)| **seat == Some((user, group))).map(|(conn, _)| *conn).collect()
    }

    fn groups(&self) -> Vec<(String, usize, usize)> {
        let conns = |group| self.seats.values().flatten().filter(|seat| seat.1 == group).count();
        self.users.iter().map(|(group, users)| (GROUPS[*group].into(), users.len(), conns(*group))).collect()
    }
}

/// Runs steps, and compares after each.
fn run(steps: &[Step], hashing: Hashing) {
    let mut lab = Lab::with(RouterConfig { connections_per_user: 100, ..RouterConfig::default() });
    lab.hashing = hashing;
    let mut model = Model::default();
    // Numbers of steps are places among the connections there were lately.
    let mut clients: Vec<Client> = Vec::new();
    let mut lists: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    let place = |clients: &[Client], conn: usize| clients.iter().rev().nth(conn).copied();
    for (count, step) in steps.iter().enumerate() {
        match *step {
            Step::Connect => {
                let client = lab.connect();
                model.seats.insert(client.0, None);
                clients.push(client);
            }
            Step::Register { conn, user, group, user_password, group_password } => {
                let Some(client) = place(&clients, conn).filter(|client| lab.is_open(*client)) else {
                    continue;
                };
                let [password, secret] = [user_password, group_password].map(|number| format!("pw{number}"));
                lab.say(client, &register(USERS[user], &password, GROUPS[group], &secret));
                let granted = model.register(client.0, (user, group), user_password, group_password);
                lab.hash_all(Hashing::Quick);
                assert_eq!(lab.is_open(client), granted);
                let heard = lab.heard(client);
                if granted {
                    let at = heard
                        .iter()
                        .position(|packet| *packet == registered(USERS[user], 7))
                        .expect("it is told so");
                    lists.insert(client.0, heard[at + 1].clone());
                    lab.streams[client.0].inbox = heard[at + 2..].to_vec();
                }
            }
            Step::Leave(conn) => {
                let Some(client) = place(&clients, conn) else { continue };
                lab.leave(client);
                model.leave(client.0);
            }
            Step::Say(conn) => {
                let Some(client) = place(&clients, conn).filter(|client| lab.is_open(*client)) else {
                    continue;
                };
                let packet = bundle(count as u64, &[message("/say", &[Arg::Int(count as i32)])]);
                let to = model.others(client.0);
                lab.say(client, &packet);
                if model.seats[&client.0].is_none() {
                    model.leave(client.0);
                }
                assert_got(&mut lab, &packet, &to, &mut lists);
            }
            Step::Private { conn, user } => {
                let Some(client) = place(&clients, conn).filter(|client| lab.is_open(*client)) else {
                    continue;
                };
                let seat = model.seats[&client.0];
                lab.say(client, &private(USERS[user], "/secret", &[Arg::Int(count as i32)]));
                match seat {
                    Some((me, group)) => {
                        let args = [USERS[me].into(), "/secret".into(), Arg::Int(count as i32)];
                        let packet = message("/oscrouter/private", &args);
                        assert_got(&mut lab, &packet, &model.conns_of(user, group), &mut lists);
                    }
                    None => model.leave(client.0),
                }
            }
            Step::Pass(millis) => {
                lab.pass(Span::from_millis(millis.into()));
                // Those who did not register in time.
                for (number, seat) in model.seats.clone() {
                    if seat.is_none() && !lab.is_open(Client(number)) {
                        model.leave(number);
                    }
                }
            }
            Step::Hash => lab.hash_all(Hashing::Quick),
        }
        assert_eq!(lab.groups(), model.groups(), "after {step:?}");
        assert_eq!(lab.router.connections(), model.seats.len());
    }
    // At the end all know who is there.
    lab.pass(Span::from_secs(1));
    take_lists(&mut lab, &mut lists);
    for (conn, seat) in &model.seats {
        let Some((_, group)) = seat else { continue };
        let names: Vec<&str> = model.users[group].iter().map(|(user, _)| USERS[*user]).collect();
        assert_eq!(text(&lists[conn]), text(&user_list(&names)), "connection {conn}");
    }
    // And when they have gone nothing is left of them.
    (0..lab.streams.len()).for_each(|conn| lab.leave(Client(conn)));
    assert_eq!((lab.groups(), lab.router.users(), lab.router.connections()), (vec![], 0, 0));
}

/// The packet came to these, once, and to nobody else; whatever else came is a list.
fn assert_got(lab: &mut Lab, packet: &[u8], to: &[usize], lists: &mut BTreeMap<usize, Vec<u8>>) {
    let got: Vec<usize> = (0..lab.streams.len())
        .flat_map(|conn| {
            let inbox = &mut lab.streams[conn].inbox;
            let before = inbox.len();
            inbox.retain(|heard| heard != packet);
            vec![conn; before - inbox.len()]
        })
        .collect();
    assert_eq!(got, to);
    take_lists(lab, lists);
}

fn take_lists(lab: &mut Lab, lists: &mut BTreeMap<usize, Vec<u8>>) {
    for conn in 0..lab.streams.len() {
        for heard in lab.heard(Client(conn)) {
            assert!(text(&heard).starts_with("/oscrouter/userlist"), "{}", text(&heard));
            lists.insert(conn, heard);
        }
    }
}

proptest! {
    #[test]
    fn packets_are_forwarded_byte_for_byte(packets in vec(packet(), 1..20)) {
        let mut lab = Lab::new();
        let [alice, bob] = ["alice", "bob"].map(|name| lab.join(name));
        lab.hush();
        lab.say_all(alice, &packets);
        prop_assert_eq!(lab.heard(bob), packets);
        prop_assert!(lab.heard(alice).is_empty());
    }

    #[test]
    fn no_bytes_do_harm(bytes in vec(vec(any::<u8>(), 0..64), 1..20), first in any::<bool>()) {
        let mut lab = Lab::new();
        let alice = lab.join("alice");
        let mallory = if first { lab.connect() } else { lab.join("mallory") };
        let conn = ConnId::numbered(mallory.0 as u32);
        for packet in &bytes {
            lab.router.handle(conn, lab.now, packet);
            lab.pump();
        }
        lab.leave(mallory);
        prop_assert!(lab.is_open(alice));
        prop_assert_eq!(lab.groups(), [("g".into(), 1, 1)]);
    }

    #[test]
    fn nobody_stays_behind_gets_twice_or_sits_in_two_places(
        steps in vec(step(), 1..80),
        hashing in prop_oneof![Just(Hashing::Held), Just(Hashing::Quick)],
    ) {
        run(&steps, hashing);
    }
}
