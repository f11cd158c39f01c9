//! Faults of a JACK server under a node, and the account of each click the node was sent; by the benchmark and by a test.
//!
//! Who uses it has the benchmarks' `report` at its root.

// The benchmark and the test are programs of their own and use their part of this.
#![allow(dead_code)]

pub(crate) mod life;
pub(crate) mod server;
pub(crate) mod trouble;
