//! Cards in a build without feature `device`: there are none, and none is ever opened.

use super::seat::{Guest, Usher};
use super::signals::Signals;
use super::{Format, Host, Wanted};
use downbeat_sync::Clock;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// A card: no value of this type exists.
pub(crate) enum Card {}

/// What a card would be opened for.
pub(crate) struct Order<'a> {
    pub(crate) host: Host,
    pub(crate) wanted: &'a Wanted,
    pub(crate) step: usize,
    pub(crate) clock: Clock,
}

/// No sound library is there to be hushed.
pub(crate) struct Hush;

impl Card {
    pub(crate) fn open(order: &Order<'_>, _: &Arc<Signals>, _: Sender<Guest>) -> Result<Card, String> {
        let Order { host, wanted, step, clock } = order;
        tracing::trace!(%host, ?wanted, step, ?clock, "asked for a card");
        Err("this build plays on no card".to_owned())
    }

    pub(crate) fn usher(&mut self) -> &mut Usher {
        match *self {}
    }

    pub(crate) fn host(&self) -> Host {
        match *self {}
    }

    pub(crate) fn format(&self) -> Format {
        match *self {}
    }

    pub(crate) fn name(&self) -> &str {
        match *self {}
    }

    pub(crate) fn notes(&self) -> &[String] {
        match *self {}
    }

    pub(crate) fn tend(&self, _: &Signals) {
        match *self {}
    }
}

impl Hush {
    pub(crate) fn new() -> Hush {
        Hush
    }

    pub(crate) fn flush(&mut self) {}
}
