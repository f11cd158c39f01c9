//! [`KINDS`]: everything lawful that was found to fool a clock, as scenarios, with the limits that other methods set.
//!
//! Not for: the usual networks (`goals`), nor for stamps that are wrong.

use super::link::{Faults, Profile};
use super::oscillator::Drift;
use super::scenario::Scenario;
use super::weather::Weather;

/// A kind of trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) scenario: Scenario,
    /// What the best of the others' methods errs by at p99 after the first minute, if ours is held against that [us].
    pub(crate) limit: f64,
    /// Whether an exchange can see what happens: then the standard error is to cover it.
    pub(crate) is_seen: bool,
}

const WIRE: Scenario = Scenario::DEFAULT;
const WIFI: Scenario = Scenario { profile: Profile::Wifi, seconds: 500.0, ..Scenario::DEFAULT };
/// Of 20 exchanges 19 are lost, of 10 nine.
const MOST: Faults = Faults { loss: 0.776, ..Faults::NONE };
const MANY: Faults = Faults { loss: 0.684, ..Faults::NONE };

const fn kind(name: &'static str, scenario: Scenario, limit: f64) -> Kind {
    Kind { scenario: Scenario { name, ..scenario }, limit, is_seen: true }
}

const fn unseen(name: &'static str, scenario: Scenario, limit: f64) -> Kind {
    Kind { is_seen: false, ..kind(name, scenario, limit) }
}

const fn under(weather: Weather, scenario: Scenario) -> Scenario {
    Scenario { weather, ..scenario }
}

const fn by(drift: Drift) -> Scenario {
    Scenario { drift, ..WIRE }
}

const ANY: f64 = f64::INFINITY;

/// All of them.
pub(crate) const KINDS: [Kind; 27] = [
    kind(
        "upload: 20 ms for 100 s, Wi-Fi",
        under(Weather::Queue { more: 20e-3, from: 150.0, lasts: 100.0 }, WIFI),
        165.0,
    ),
    kind(
        "10 ms for 240 s, Wi-Fi",
        under(Weather::Queue { more: 10e-3, from: 150.0, lasts: 240.0 }, WIFI),
        4_800.0,
    ),
    kind(
        "congested: 3 ms for 200 s, wire",
        under(Weather::Congested { more: 3e-3, from: 60.0, lasts: 200.0 }, WIRE),
        127.0,
    ),
    kind(
        "queue grows to 150 ms in 300 s",
        Scenario { seconds: 600.0, ..under(Weather::Ramp { more: 0.15, from: 60.0, lasts: 300.0 }, WIRE) },
        ANY,
    ),
    kind(
        "floor creeps 1 ms in 300 s, wire",
        under(Weather::Ramp { more: 1e-3, from: 60.0, lasts: 300.0 }, WIRE),
        ANY,
    ),
    unseen(
        "floor creeps 1 ms in 300 s, Wi-Fi",
        under(Weather::Ramp { more: 1e-3, from: 60.0, lasts: 300.0 }, WIFI),
        ANY,
    ),
    unseen(
        "route: 4 ms for good, wire",
        Scenario { seconds: 500.0, ..under(Weather::Route { more: 4e-3, from: 200.0 }, WIRE) },
        2_000.0,
    ),
    unseen("route: 4 ms for good, Wi-Fi", under(Weather::Route { more: 4e-3, from: 200.0 }, WIFI), 2_100.0),
    kind(
        "route flaps by 2 ms, wire",
        Scenario { seconds: 800.0, ..under(Weather::Flap { more: 2e-3 }, WIRE) },
        ANY,
    ),
    unseen("saw tooth to 20 ms in 8 s, wire", under(Weather::Saw { more: 20e-3, period: 8.0 }, WIRE), ANY),
    unseen("saw tooth to 20 ms in 8 s, Wi-Fi", under(Weather::Saw { more: 20e-3, period: 8.0 }, WIFI), ANY),
    unseen("beacons of 102.4 ms, Wi-Fi", under(Weather::Beacon { period: 0.1024 }, WIFI), ANY),
    kind(
        "in step with a queue of 2 ms, wire",
        under(Weather::Periodic { more: 2e-3, period: 0.2505 }, WIRE),
        ANY,
    ),
    kind(
        "in step with a queue of 2 ms, Wi-Fi",
        under(Weather::Periodic { more: 2e-3, period: 0.2505 }, WIFI),
        ANY,
    ),
    kind("crystal leaps by 0.3 ppm", by(Drift { leaps: Some((0.3, 90.0)), ..Drift::ROOM }), ANY),
    kind("crystal leaps by 2 ppm", by(Drift { leaps: Some((2.0, 90.0)), ..Drift::ROOM }), 24.0),
    kind(
        "crystal warms by 3 ppm in 60 s",
        by(Drift { warms: Some((3.0, 60.0, 150.0)), ..Drift::ROOM }),
        15.3,
    ),
    kind("an exchange each 10 s, wire", Scenario { pace: Some(10_000), seconds: 4_000.0, ..WIRE }, 53.0),
    kind("an exchange each 4 s, wire", Scenario { pace: Some(4_000), seconds: 2_000.0, ..WIRE }, ANY),
    kind("an exchange each 10 s, Wi-Fi", Scenario { pace: Some(10_000), seconds: 4_000.0, ..WIFI }, ANY),
    kind("19 of 20 lost, wire", Scenario { faults: MOST, seconds: 1_200.0, ..WIRE }, 39.0),
    kind("9 of 10 lost, wire", Scenario { faults: MANY, seconds: 1_200.0, ..WIRE }, 39.0),
    kind("19 of 20 lost, Wi-Fi", Scenario { faults: MOST, seconds: 1_200.0, ..WIFI }, 438.0),
    kind("9 of 10 lost, Wi-Fi", Scenario { faults: MANY, seconds: 1_200.0, ..WIFI }, 438.0),
    kind("stamps of 1 ms, wire", Scenario { grain: 1e-3, ..WIRE }, ANY),
    kind("stamps of 10 ms, wire", Scenario { grain: 10e-3, ..WIRE }, ANY),
    kind("stamps of 1 ms, Wi-Fi", Scenario { grain: 1e-3, ..WIFI }, ANY),
];
