//! What a node remembers of hosts: the number of its own, by which others know it again, and how fast their clocks run against
//! ours.
//!
//! Not for: learning that (the session), nor when it is written (`rates`).

use crate::key::random;
use crate::state::{Entry, State};
use downbeat_sync::{DeviceRate, EnsembleTime, RateBelief};

/// How another host's clock is kept in the state, by [`name`].
pub(super) const PEER: &str = "peer";
const HOST: &str = "host";
/// The only one of its kind.
const THIS: &str = "this one";
/// No two crystals that work are further apart (ppm).
const FASTEST: f64 = 500.0;

/// The number of this host: drawn once, and remembered. Nodes that remember nothing draw one at each launch.
pub(super) fn own_number(state: Option<&State>, now: EnsembleTime) -> u32 {
    let Some(state) = state else { return draw() };
    if let Some(number) = state.recall(HOST, THIS).and_then(|entry| entry.number()) {
        return number;
    }
    let number = draw();
    state.remember(Entry::of_number(HOST, THIS.to_owned(), number, now));
    number
}

/// What is remembered of other hosts' clocks, less sure by its age.
pub(super) fn recall(state: &State, now: EnsembleTime) -> Vec<(u32, RateBelief)> {
    let known = state.recall_all(PEER).filter_map(|entry| {
        let host = u32::from_str_radix(&entry.name, 16).ok()?;
        Some((host, entry.rate(now).filter(|rate| rate.ppm.abs() < FASTEST)?))
    });
    let known =
        known.filter(|(_, rate)| *rate != DeviceRate::UNKNOWN).map(|(host, rate)| (host, rate.into()));
    known.collect()
}

/// By what a host is known.
pub(super) fn name(host: u32) -> String {
    format!("{host:08x}")
}

/// A random one.
pub(super) fn draw() -> u32 {
    (random() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use downbeat_sync::Span;

    fn at(secs: i64) -> EnsembleTime {
        EnsembleTime::from_unix(Span::from_secs(1_700_000_000 + secs))
    }

    #[test]
    fn a_host_keeps_its_number_and_what_is_known_of_others() {
        let folder = std::env::temp_dir().join(format!("downbeat-hosts-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let state = State::new(folder.clone());
        let number = own_number(Some(&state), at(0));
        assert_eq!(own_number(Some(&State::new(folder.clone())), at(9)), number);
        assert_ne!(own_number(None, at(0)), own_number(None, at(0)));
        for (host, ppm) in [(0xabc, 12.5), (u32::MAX, -40.0), (5, 800.0)] {
            state.remember(Entry::of_rate(PEER, name(host), DeviceRate { ppm, sigma: 0.3 }, at(0)));
        }
        state.remember(Entry::of_rate(PEER, "no number".into(), DeviceRate { ppm: 1.0, sigma: 0.3 }, at(0)));
        let known = recall(&state, at(86_400));
        assert_eq!(known.iter().map(|(host, _)| *host).collect::<Vec<_>>(), [0xabc, u32::MAX]);
        for ((_, belief), ppm) in known.iter().zip([12.5, -40.0]) {
            assert!((belief.rate - 1e-6 * ppm).abs() < 1e-9, "{belief:?}");
            assert!(belief.sigma > 1e-6 && belief.sigma < 2e-6, "a day ago: {belief:?}");
        }
        assert_eq!(recall(&state, at(400_000_000)), []);
        let _ = std::fs::remove_dir_all(&folder);
    }
}
