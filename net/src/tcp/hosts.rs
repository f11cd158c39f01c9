//! [`Hosts`]: how many connections each host has, so that one cannot take the places of all.
//!
//! Not for: how many there are together (`tcp`), nor what one of them sends.

use std::collections::HashMap;
use std::net::IpAddr;

/// See the module. Whoever is outside chooses the keys, so they are hashed with a secret.
#[derive(Default)]
pub(super) struct Hosts(HashMap<IpAddr, Host>);

#[derive(Default)]
struct Host {
    connections: usize,
    /// It was said that it has too many.
    said: bool,
}

/// A host has as many connections as it may.
#[derive(Debug, PartialEq)]
pub(super) struct Crowded {
    /// That was not said of it yet.
    pub(super) is_news: bool,
}

impl Hosts {
    /// Whether a host may have one more.
    pub(super) fn may_enter(&mut self, host: IpAddr, limit: usize) -> Result<(), Crowded> {
        match self.0.get_mut(&host).filter(|known| known.connections >= limit) {
            Some(known) => Err(Crowded { is_news: !std::mem::replace(&mut known.said, true) }),
            None => Ok(()),
        }
    }

    pub(super) fn enter(&mut self, host: IpAddr) {
        self.0.entry(host).or_default().connections += 1;
    }

    pub(super) fn leave(&mut self, host: IpAddr) {
        let Some(known) = self.0.get_mut(&host) else { return };
        known.connections = known.connections.saturating_sub(1);
        if known.connections == 0 {
            self.0.remove(&host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_so_many_and_one_that_has_none_is_forgotten() {
        let mut hosts = Hosts::default();
        let [one, other] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        for _ in 0..2 {
            assert_eq!(hosts.may_enter(one, 2), Ok(()));
            hosts.enter(one);
        }
        assert_eq!(hosts.may_enter(one, 2), Err(Crowded { is_news: true }));
        assert_eq!(hosts.may_enter(one, 2), Err(Crowded { is_news: false }));
        assert_eq!(hosts.may_enter(other, 2), Ok(()));
        hosts.leave(one);
        assert_eq!(hosts.may_enter(one, 2), Ok(()));
        hosts.leave(one);
        assert!(hosts.0.is_empty());
    }
}
