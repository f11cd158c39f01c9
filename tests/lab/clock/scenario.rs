//! [`Scenario`]: a name, and what differs from the defaults, as in chrony's simulations.

use super::contestant::Entry;
use super::figures::Figures;
use super::link::{Faults, Profile};
use super::oscillator::Drift;
use super::polling::Polling;
use super::track::Track;
use super::trial::Trial;
use super::weather::Weather;

/// The reference's clock is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// When (s since the first question).
    pub(crate) at: f64,
    /// How far ahead (s).
    pub(crate) by: f64,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) profile: Profile,
    pub(crate) drift: Drift,
    pub(crate) faults: Faults,
    pub(crate) weather: Weather,
    /// Questions are asked this often, whoever asks [ms].
    pub(crate) pace: Option<u32>,
    /// How coarse all stamps are (s).
    pub(crate) grain: f64,
    pub(crate) step: Option<Step>,
    /// How long it goes on.
    pub(crate) seconds: f64,
    /// The errors of the first seconds are no steady state.
    pub(crate) steady_from: f64,
    /// How many seeds, from 0 on.
    pub(crate) seeds: u64,
}

impl Scenario {
    /// A good wire for 400 s.
    pub(crate) const DEFAULT: Scenario = Scenario {
        name: "steady",
        profile: Profile::Lan,
        drift: Drift::ROOM,
        faults: Faults::NONE,
        weather: Weather::Fair,
        pace: None,
        grain: 0.0,
        step: None,
        seconds: 400.0,
        steady_from: 60.0,
        seeds: 20,
    };

    /// Half a minute in which nothing passes (G8b).
    pub(crate) const HOLE: Scenario = Scenario {
        name: "black hole",
        faults: Faults { hole: Some((121.0, 151.0)), ..Faults::NONE },
        seconds: 300.0,
        ..Scenario::DEFAULT
    };

    /// Nothing more passes after two minutes (G8).
    pub(crate) const HOLDOVER: Scenario = Scenario {
        name: "holdover",
        faults: Faults { hole: Some((121.0, 1e9)), ..Faults::NONE },
        seconds: 421.0,
        ..Scenario::DEFAULT
    };

    /// The reference is set 50 ms ahead (G5).
    pub(crate) const STEP: Scenario = Scenario {
        name: "step",
        step: Some(Step { at: 120.0, by: 0.05 }),
        seconds: 240.0,
        ..Scenario::DEFAULT
    };

    /// Everything a network can do wrong (G7).
    pub(crate) const HOSTILE: Scenario = Scenario {
        name: "hostile",
        faults: Faults { loss: 0.3, duplicated: 0.02, reordered: 0.05, corrupt: 0.01, hole: None },
        ..Scenario::DEFAULT
    };

    /// The same on another network.
    pub(crate) fn on(self, profile: Profile) -> Scenario {
        Scenario { profile, ..self }
    }

    /// What becomes of a contestant.
    pub(crate) fn run(&self, entry: &Entry) -> Figures {
        let tracks: Vec<Track> =
            (0..self.seeds).map(|seed| Trial::new(self, entry.polling, seed).track(entry)).collect();
        Figures::of(self, &tracks)
    }

    /// What becomes of several, on the same seeds, which two threads share.
    pub(crate) fn run_all(&self, entries: &[Entry]) -> Vec<Figures> {
        let track = |seed: u64| -> Vec<Track> {
            let ours = Trial::new(self, Polling::Ours, seed);
            let of = |entry: &Entry| match entry.polling {
                Polling::Ours => ours.track(entry),
                own => Trial::new(self, own, seed).track(entry),
            };
            entries.iter().map(of).collect()
        };
        let half = |odd: u64| (0..self.seeds).filter(|seed| seed % 2 == odd).map(track).collect::<Vec<_>>();
        let mut seeds = std::thread::scope(|scope| {
            let other = scope.spawn(|| half(1));
            let mut seeds = half(0);
            seeds.extend(other.join().expect("no seed fails"));
            seeds
        });
        let of = |n: usize| seeds.iter_mut().map(|tracks| std::mem::take(&mut tracks[n])).collect::<Vec<_>>();
        let all: Vec<Vec<Track>> = (0..entries.len()).map(of).collect();
        all.iter().map(|tracks| Figures::of(self, tracks)).collect()
    }
}
