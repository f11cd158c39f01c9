//! A relay for UDP that impairs real traffic: seeded delays, losses, duplicates and black holes, each way its own.
//!
//! For benchmarks and tests in real time on one machine, where no `netem` is: between two ports of loopback, or two
//! network namespaces of the harness's own ([`netns`]). What it does to a packet is decided by a seed and written down
//! with the true instants ([`log`]), so that its own error can be subtracted. Not for: traffic of anybody else.
//! Who uses it has the benchmarks' `report` at its root, for the random generator.

// Each benchmark and test is a program of its own and uses its part of this.
#![allow(dead_code)]

pub(crate) mod law;
pub(crate) mod log;
pub(crate) mod netns;
pub(crate) mod wire;

/// The two ways through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From A to B.
    Forth = 0,
    /// From B to A.
    Back = 1,
}

impl Way {
    pub(crate) const BOTH: [Way; 2] = [Way::Forth, Way::Back];
}
