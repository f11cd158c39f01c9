//! [`Groups`]: who is where. Groups hold users in the order of their first login, users hold connections.
//!
//! A user without a connection is gone, a group without a user too, and its password with it: there is nothing that could stay
//! behind as a ghost, for a seat is given up by one function ([`Groups::leave`]). Not for: who may enter (`door`).

use super::Packet;
use super::account::{Account, AccountId};
use super::secret::Tag;
use super::wire;
use crate::endpoint::ConnId;
use downbeat_sync::LocalTime;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A user of a group, by a number that no other has or had. Later ones have greater numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserId(u64);

/// Where a connection belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) group: Tag,
    pub(super) user: UserId,
}

/// Whose account: the group's own, or that of one of its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) group: Tag,
    pub(super) user: Option<UserId>,
}

/// All connections of a group, those of a user together.
pub(super) type Roster = Arc<[(UserId, ConnId)]>;

/// See the module.
#[derive(Default)]
pub(super) struct Groups {
    by_tag: FxHashMap<Tag, Group>,
    users: usize,
    /// How many numbers were given.
    numbers: u64,
}

pub(super) struct Group {
    pub(super) name: Box<[u8]>,
    pub(super) account: Account,
    users: Vec<User>,
    /// Counts the changes of the list of users.
    pub(super) version: u64,
    /// The list as it was last written, until it changes.
    list: Option<Packet>,
    roster: Option<Roster>,
    /// When the list was last told to all.
    pub(super) told: Option<LocalTime>,
    /// When it is to be told again.
    pub(super) due: Option<LocalTime>,
}

pub(super) struct User {
    id: UserId,
    pub(super) tag: Tag,
    pub(super) name: Box<[u8]>,
    pub(super) account: Account,
    pub(super) conns: Vec<ConnId>,
}

/// What is left when a connection has gone.
pub(super) enum Left {
    /// Its user has others.
    Same,
    /// One user less.
    User(AccountId),
    /// That was the last.
    Group { user: AccountId, group: AccountId, due: Option<LocalTime> },
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.by_tag.len()
    }

    /// Users of all groups.
    pub(super) fn users(&self) -> usize {
        self.users
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.by_tag.values()
    }

    pub(super) fn get(&self, tag: Tag) -> Option<&Group> {
        self.by_tag.get(&tag)
    }

    pub(super) fn get_mut(&mut self, tag: Tag) -> Option<&mut Group> {
        self.by_tag.get_mut(&tag)
    }

    pub(super) fn next_account(&mut self) -> AccountId {
        AccountId(self.number())
    }

    pub(super) fn account_mut(&mut self, of: Holder) -> Option<&mut Account> {
        let group = self.by_tag.get_mut(&of.group)?;
        match of.user {
            None => Some(&mut group.account),
            Some(id) => group.user_mut(id).map(|user| &mut user.account),
        }
    }

    pub(super) fn found(&mut self, tag: Tag, name: &[u8], account: Account) {
        let group = Group {
            name: name.into(),
            account,
            users: Vec::new(),
            version: 0,
            list: None,
            roster: None,
            told: None,
            due: None,
        };
        self.by_tag.insert(tag, group);
    }

    /// Adds a user, who has no connection yet.
    pub(super) fn add(&mut self, group: Tag, tag: Tag, name: &[u8], account: Account) -> UserId {
        let id = UserId(self.number());
        if let Some(group) = self.by_tag.get_mut(&group) {
            group.users.push(User { id, tag, name: name.into(), account, conns: Vec::new() });
            group.changed();
            self.users += 1;
        }
        id
    }

    /// Takes a connection from its seat, with everything that has no connection then.
    pub(super) fn leave(&mut self, seat: Seat, conn: ConnId) -> Left {
        let Some(group) = self.by_tag.get_mut(&seat.group) else { return Left::Same };
        group.roster = None;
        let Some(at) = group.place(seat.user) else { return Left::Same };
        group.users[at].conns.retain(|other| *other != conn);
        if !group.users[at].conns.is_empty() {
            return Left::Same;
        }
        let user = group.users.remove(at).account.id;
        self.users -= 1;
        if !group.users.is_empty() {
            group.changed();
            return Left::User(user);
        }
        let (group_account, due) = (group.account.id, group.due);
        self.by_tag.remove(&seat.group);
        Left::Group { user, group: group_account, due }
    }

    /// Wipes digests whose moment is over.
    pub(super) fn forget(&mut self, now: LocalTime) {
        for group in self.by_tag.values_mut() {
            group.account.forget(now);
            group.users.iter_mut().for_each(|user| user.account.forget(now));
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

impl Group {
    pub(super) fn users(&self) -> &[User] {
        &self.users
    }

    pub(super) fn user(&self, id: UserId) -> Option<&User> {
        self.place(id).map(|at| &self.users[at])
    }

    fn user_mut(&mut self, id: UserId) -> Option<&mut User> {
        self.place(id).map(|at| &mut self.users[at])
    }

    /// Looks through all of them, so that it takes the same time whoever it is.
    pub(super) fn named(&mut self, tag: Tag) -> Option<(UserId, &mut User)> {
        let found = self.users.iter_mut().filter(|user| user.tag == tag).last();
        found.map(|user| (user.id, user))
    }

    /// Gives a connection its seat.
    pub(super) fn seat(&mut self, user: UserId, conn: ConnId) {
        self.roster = None;
        if let Some(user) = self.user_mut(user) {
            user.conns.push(conn);
        }
    }

    /// `/oscrouter/userlist`.
    pub(super) fn list(&mut self) -> Packet {
        let users = &self.users;
        self.list.get_or_insert_with(|| wire::user_list(users.iter().map(|user| &*user.name)).into()).clone()
    }

    pub(super) fn roster(&mut self) -> Roster {
        let users = &self.users;
        let seats = || users.iter().flat_map(|user| user.conns.iter().map(|conn| (user.id, *conn)));
        self.roster.get_or_insert_with(|| seats().collect()).clone()
    }

    fn changed(&mut self) {
        self.version += 1;
        self.list = None;
        self.roster = None;
    }

    fn place(&self, id: UserId) -> Option<usize> {
        self.users.binary_search_by_key(&id, |user| user.id).ok()
    }
}
