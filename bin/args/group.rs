//! The flags of whoever joins a group at a router.

use clap::Args;
use std::path::PathBuf;

/// Who somebody is in a group. All may be left out: then it is the group of SuperCollider's client.
#[derive(Args, Debug)]
pub(crate) struct GroupArgs {
    /// Group to join; `oscrouter` if left out
    #[arg(long, value_name = "NAME", help_heading = "Group at a router")]
    pub(crate) group: Option<String>,
    /// User name in the group. What a user sends does not come back to that user
    #[arg(long, value_name = "NAME", help_heading = "Group at a router")]
    pub(crate) user: Option<String>,
    /// File with the group's password; if left out, it is in $DOWNBEAT_GROUP_PASSWORD, or is `oscrouter`
    #[arg(
        long,
        visible_alias = "router-password-file",
        value_name = "FILE",
        help_heading = "Group at a router"
    )]
    pub(crate) group_password_file: Option<PathBuf>,
    /// File with the user's password; if left out, it is in $DOWNBEAT_USER_PASSWORD, or is `oscrouter`. Whoever first registers
    /// a user name in a group chooses it
    #[arg(long, value_name = "FILE", help_heading = "Group at a router")]
    pub(crate) user_password_file: Option<PathBuf>,
    /// Take the router's time in the place of this host's wall clock: so that hosts far from each other share one, whoever set
    /// theirs. `downbeat router` gives it, tcposcrouter does not
    #[arg(long, help_heading = "Group at a router")]
    pub(crate) router_time: bool,
}

impl GroupArgs {
    /// Whether any of them was given.
    pub(crate) fn is_given(&self) -> bool {
        let GroupArgs { group, user, group_password_file, user_password_file, router_time } = self;
        group.is_some()
            || user.is_some()
            || group_password_file.is_some()
            || user_password_file.is_some()
            || *router_time
    }
}
