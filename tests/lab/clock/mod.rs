//! The clock lab: one follower asks one reference the time, over a network and with oscillators whose truth is known.
//!
//! All in virtual time, in one thread, from seeds: the same figures on every machine, a thousand times faster than life.
//! A [`Scenario`] is a name and what differs from the defaults; a [`Trial`] of it is one seed's exchanges, which every
//! [`Contestant`] hears alike; a [`Track`] is how wrong one of them was; [`Figures`] sum the tracks of all seeds up, and
//! limits are figures too. Tests and `benches/sync.rs` share this folder. Not for: the session's own state machine, or
//! real sockets.
//!
//! What the models leave out, and so do the figures: noise of a link is independent from packet to packet (but for the
//! power-save bursts), and paths have no constant asymmetry, which no two-way method can see.

// The tests and the benchmark use a part each.
#![allow(dead_code, unused_imports)]

pub(crate) mod baselines;
mod contestant;
mod figures;
mod goals;
mod kinds;
mod link;
mod oscillator;
mod ours;
mod polling;
mod scenario;
mod track;
mod trial;
mod weather;

pub(crate) use contestant::{Contestant, Entry, FIELD, OURS, Published};
pub(crate) use figures::Figures;
pub(crate) use goals::{HOSTILE, goals};
pub(crate) use kinds::{KINDS, Kind};
pub(crate) use link::{Faults, Profile};
pub(crate) use oscillator::Drift;
pub(crate) use polling::Polling;
pub(crate) use scenario::{Scenario, Step};
pub(crate) use track::{Point, Track};
pub(crate) use trial::Trial;
pub(crate) use weather::Weather;
