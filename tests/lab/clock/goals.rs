//! The goals of the project for peers' clocks, G1 to G9, as limits: one place for tests and benchmark.

use super::figures::Figures;
use super::link::Profile;

/// What every network is to reach.
const EVERYWHERE: Figures =
    Figures { outside_sigma: 0.3, outside_bound: 0.0, false_steps: 0.0, ..Figures::ANY };

/// What a network is to reach.
pub(crate) fn goals(profile: Profile) -> Figures {
    match profile {
        Profile::Lan => Figures {
            p50: 1.0,
            p99: 3.0,
            worst: 6.0,
            settles: 0.3,
            settles_worst: 2.0,
            back: 1.0,
            holdover: [4.0, 18.0, 200.0],
            hole_worst: 10.0,
            ..EVERYWHERE
        },
        Profile::SoftLan(_) => Figures { p99: 4.0, ..EVERYWHERE },
        Profile::Wifi => Figures {
            p50: 15.0,
            p99: 60.0,
            worst: 200.0,
            settles: 0.7,
            settles_worst: 2.0,
            back: 3.0,
            back_worst: 6.0,
            holdover: [40.0, 80.0, 400.0],
            hole_worst: 150.0,
            ..EVERYWHERE
        },
        Profile::SoftWifi(shape) => Figures { p99: if shape < 6.0 { 500.0 } else { 620.0 }, ..EVERYWHERE },
        Profile::Wan => Figures { p50: 80.0, p99: 300.0, ..EVERYWHERE },
    }
}

/// With 1 % corrupt stamps, 2 % of the packets twice, 5 % overtaken and 30 % lost, so many times the error is allowed.
pub(crate) const HOSTILE: f64 = 1.5;
