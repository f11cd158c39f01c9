//! [`Beliefs`]: how fast the clocks of other hosts run against ours, as far as that was ever learned: by the number of the host,
//! for its nodes come and go.
//!
//! Not for: keeping it from launch to launch (the program), nor for finding out that it is wrong (`estimator`).

use super::message::PeerId;
use crate::{DeviceRate, LocalTime, RateBelief, Span};
use std::collections::BTreeMap;

/// Hosts that are remembered; of more, those of which nothing was learned for longest are forgotten.
const HOSTS: usize = 64;
/// What was learned is news for so long.
const NEWS: Span = Span::from_secs(1);

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Beliefs {
    /// Of our own host nothing need be known; and a card that was copied, number and all, makes another one of it.
    own: u32,
    hosts: BTreeMap<u32, Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    rate: RateBelief,
    at: LocalTime,
    /// It was learned by this session.
    is_ours: bool,
}

impl Beliefs {
    /// What is remembered at `now`, by this node.
    pub(super) fn new(own: PeerId, remembered: &[(u32, RateBelief)], now: LocalTime) -> Beliefs {
        let mut beliefs = Beliefs { own: own.host(), hosts: BTreeMap::new() };
        for (host, rate) in remembered {
            beliefs.put(*host, Known { rate: *rate, at: now, is_ours: false });
        }
        beliefs
    }

    /// What is believed of a node's clock: any crystal's rate, if nothing is known.
    pub(super) fn of(&self, id: PeerId, now: LocalTime) -> RateBelief {
        self.hosts.get(&id.host()).map_or(RateBelief::default(), |known| aged(known.rate, now - known.at))
    }

    /// This was learned of a node's clock.
    pub(super) fn learn(&mut self, id: PeerId, rate: RateBelief, now: LocalTime) {
        self.put(id.host(), Known { rate, at: now, is_ours: true });
    }

    /// What was learned a moment ago.
    pub(super) fn news(&self, now: LocalTime) -> impl Iterator<Item = (u32, RateBelief)> {
        let is_news = move |known: &Known| known.is_ours && now - known.at < NEWS;
        self.hosts.iter().filter(move |(_, known)| is_news(known)).map(|(host, known)| (*host, known.rate))
    }

    fn put(&mut self, host: u32, known: Known) {
        if host == self.own {
            return;
        }
        if self.hosts.len() >= HOSTS && !self.hosts.contains_key(&host) {
            let age = |other: &Known| known.at - other.at;
            let oldest = self.hosts.iter().max_by_key(|(_, other)| age(other)).map(|(host, _)| *host);
            oldest.map(|oldest| self.hosts.remove(&oldest));
        }
        self.hosts.insert(host, known);
    }
}

/// Two crystals against each other age as a card's against its host: that is two crystals too.
fn aged(rate: RateBelief, away: Span) -> RateBelief {
    match DeviceRate::from(rate).aged(away) {
        DeviceRate::UNKNOWN => RateBelief::default(),
        aged => aged.into(),
    }
}

impl From<DeviceRate> for RateBelief {
    fn from(rate: DeviceRate) -> RateBelief {
        RateBelief { rate: 1e-6 * rate.ppm, sigma: 1e-6 * rate.sigma }
    }
}

impl From<RateBelief> for DeviceRate {
    fn from(belief: RateBelief) -> DeviceRate {
        DeviceRate { ppm: 1e6 * belief.rate, sigma: 1e6 * belief.sigma }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: RateBelief = RateBelief { rate: 20e-6, sigma: 0.3e-6 };

    fn at(secs: i64) -> LocalTime {
        LocalTime::from_ticks(1 << 40) + Span::from_secs(secs)
    }

    #[test]
    fn what_was_learned_of_one_node_is_believed_of_the_next_on_its_host_less_sure_with_time() {
        let mut beliefs = Beliefs::new(PeerId::new(1, 5), &[], at(0));
        beliefs.learn(PeerId::new(7, 1), KNOWN, at(0));
        let [soon, later] = [10, 36_000].map(|secs| beliefs.of(PeerId::new(7, 2), at(secs)));
        assert!((soon.rate - 20e-6).abs() < 1e-12 && soon.sigma < 0.5e-6, "{soon:?}");
        assert!(later.sigma > 1e-6 && later.sigma < 2e-6, "{later:?}");
        assert_eq!(beliefs.of(PeerId::new(7, 2), at(1_000_000_000)), RateBelief::default());
        assert_eq!(beliefs.of(PeerId::new(8, 1), at(0)), RateBelief::default());
        assert_eq!(beliefs.news(at(0)).collect::<Vec<_>>(), [(7, KNOWN)]);
        assert_eq!(beliefs.news(at(2)).count(), 0);
    }

    #[test]
    fn nothing_is_believed_of_ones_own_number() {
        let mut beliefs = Beliefs::new(PeerId::new(1, 5), &[(1, KNOWN)], at(0));
        beliefs.learn(PeerId::new(1, 6), KNOWN, at(0));
        assert_eq!(beliefs.of(PeerId::new(1, 6), at(0)), RateBelief::default());
        assert_eq!(beliefs.news(at(0)).count(), 0);
    }

    #[test]
    fn of_many_hosts_the_newest_are_remembered_and_what_was_remembered_is_no_news() {
        let remembered: Vec<(u32, RateBelief)> = (10..10 + HOSTS as u32).map(|host| (host, KNOWN)).collect();
        let mut beliefs = Beliefs::new(PeerId::new(1, 5), &remembered, at(0));
        assert_eq!(beliefs.news(at(0)).count(), 0);
        for host in 1_000..1_000 + HOSTS as u32 {
            beliefs.learn(PeerId::new(host, 1), KNOWN, at(i64::from(host)));
            assert_eq!(beliefs.hosts.len(), HOSTS);
        }
        assert!(beliefs.hosts.keys().all(|host| *host >= 1_000));
    }
}
