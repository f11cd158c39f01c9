//! Cards in a build without feature `device`: there are none, and none is ever opened.

use super::seat::Seat;
use super::signals::Signals;
use super::{Format, Host, Wanted};
use downbeat_sync::Clock;
use std::sync::Arc;

/// A card: no value of this type exists.
pub(crate) enum Card {}

/// What a card would be opened for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) host: Host,
    pub(crate) wanted: Wanted,
    pub(crate) step: usize,
    pub(crate) clock: Clock,
}

/// What would be known of an open card.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) host: Host,
    pub(crate) format: Format,
    pub(crate) name: String,
    pub(crate) notes: Vec<String>,
}

/// No sound library is there to be hushed.
pub(crate) struct Hush;

impl Card {
    pub(crate) fn open(order: &Order, _: Seat, _: &Arc<Signals>) -> Result<(Card, About), String> {
        let Order { host, wanted, step, clock } = order;
        tracing::trace!(%host, ?wanted, step, ?clock, "asked for a card");
        Err("this build plays on no card".to_owned())
    }
}

impl Hush {
    pub(crate) fn new() -> Hush {
        Hush
    }

    pub(crate) fn flush(&mut self) {}
}
