//! [`Refusal`]: what a router does not do, and why. [`RouterTally`]: how often, and what it did.
//!
//! Not for: whom it is told (`super`).

/// Why something was refused. As text it is the reason in `/oscrouter/error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The first packet of a connection does not register. Closes.
    #[error("register first: the first packet has to be /oscrouter/register")]
    Unregistered,
    /// Too few arguments, or one that is neither text nor a number. Closes.
    #[error(
        "/oscrouter/register takes user name, user password, group name, group password and an id, as text or numbers"
    )]
    Arguments,
    /// A name, a password or an id. Closes.
    #[error("too long: names and ids have at most 255 bytes, passwords 1,024")]
    TooLong,
    /// The user's name or password. Closes.
    #[error("user name and user password must not be empty")]
    Empty,
    /// Closes.
    #[error("wrong group password")]
    GroupPassword,
    /// Closes.
    #[error("wrong password for this user name")]
    UserPassword,
    /// Closes.
    #[error("this router has no room for another group")]
    Groups,
    /// Closes.
    #[error("this group has no room for another user")]
    Users,
    /// Closes.
    #[error("this user has too many connections")]
    Connections,
    /// So many passwords wait to be checked that this one will not be. Closes.
    #[error("too many are registering just now: try again")]
    Busy,
    /// There is no memory to check a password with. Closes.
    #[error("the router has no memory to check passwords just now: try again")]
    Unhashed,
    /// More was sent than is kept while a password is checked, by a transport that does not obey [`Output::Pause`]. Closes.
    ///
    /// [`Output::Pause`]: super::Output::Pause
    #[error("too much was sent before the registration was answered")]
    Held,
    /// No registration came in time. Closes.
    #[error("nothing was registered in time")]
    RegistrationTimeout,
    /// Nothing came for too long. Closes.
    #[error("nothing was sent for too long")]
    Idle,
    /// The router stops. Closes.
    #[error("the router is being stopped")]
    Stopping,
    /// Not OSC. Before a registration it closes.
    #[error("malformed OSC packet")]
    Malformed,
    /// Faster than one client may.
    #[error("sent too fast: packets were dropped")]
    Rate,
    /// An address that only the router sends, or a pattern that means one, or several commands at once.
    #[error("this address, or one that the pattern means, is the router's own")]
    Reserved,
    /// More messages to the router than it deals with at a time, in one bundle.
    #[error("too many messages to the router in one bundle: at most 256")]
    Commands,
    /// Other messages beside a registration, in one bundle.
    #[error("what stands in one bundle with /oscrouter/register is not forwarded")]
    Beside,
    /// A private message without a user and something to say.
    #[error("/oscrouter/private takes a user name, an address and arguments")]
    Private,
    /// A private message to nobody.
    #[error("there is no user of this name in the group")]
    NoUser,
    /// A question for the time that the router cannot answer: sealed with a key, or with arguments that cannot be echoed.
    #[error("this question for the time cannot be answered")]
    Time,
    /// More was to be sent than is kept until the transport takes it.
    #[error("the router is overloaded: packets were dropped")]
    Overload,
}

impl Refusal {
    /// All kinds, in the order of [`Refusal::index`], with the names they have in figures.
    const NAMES: [(Refusal, &str); 24] = [
        (Refusal::Unregistered, "unregistered"),
        (Refusal::Arguments, "arguments"),
        (Refusal::TooLong, "too_long"),
        (Refusal::Empty, "empty"),
        (Refusal::GroupPassword, "group_password"),
        (Refusal::UserPassword, "user_password"),
        (Refusal::Groups, "groups"),
        (Refusal::Users, "users"),
        (Refusal::Connections, "connections"),
        (Refusal::Busy, "busy"),
        (Refusal::Unhashed, "unhashed"),
        (Refusal::Held, "held"),
        (Refusal::RegistrationTimeout, "registration_timeout"),
        (Refusal::Idle, "idle"),
        (Refusal::Stopping, "stopping"),
        (Refusal::Malformed, "malformed"),
        (Refusal::Rate, "rate"),
        (Refusal::Reserved, "reserved"),
        (Refusal::Commands, "commands"),
        (Refusal::Beside, "beside"),
        (Refusal::Private, "private"),
        (Refusal::NoUser, "no_user"),
        (Refusal::Time, "time"),
        (Refusal::Overload, "overload"),
    ];

    /// Its place in a table of all kinds.
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// What a router did, since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterTally {
    /// Connections that were opened.
    pub opened: u64,
    /// Registrations that were granted.
    pub registered: u64,
    /// Packets of registered clients.
    pub packets: u64,
    /// Of these, forwarded to a group: the whole packet, or what was left of it.
    pub forwarded: u64,
    /// Private messages delivered.
    pub private: u64,
    /// Pings.
    pub pings: u64,
    /// Questions for the time that were answered.
    pub times: u64,
    /// User lists sent, each to one or many connections.
    pub lists: u64,
    /// Deliveries: a packet to ten connections is ten.
    pub deliveries: u64,
    /// Passwords hashed or checked by a thread.
    pub hashed: u64,
    /// Lines that are not in the log, because there were too many.
    pub unlogged: u64,
    /// Reasons that were not told to their client, because there were too many.
    pub untold: u64,
    /// Packets lost because the transport did not take them fast enough.
    pub lost: u64,
    pub(super) refused: [u64; Refusal::NAMES.len()],
}

impl RouterTally {
    /// What was refused, by kind: a name of letters and `_`, and how often.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Refusal::NAMES.iter().map(|(kind, name)| (*name, self.refused(*kind)))
    }

    /// How often something was refused for this reason.
    pub fn refused(&self, why: Refusal) -> u64 {
        self.refused[why.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place() {
        for (index, (kind, _)) in Refusal::NAMES.iter().enumerate() {
            assert_eq!(kind.index(), index);
        }
        assert_eq!(Refusal::Overload.index() + 1, Refusal::NAMES.len(), "the last kind is in the table");
    }
}
