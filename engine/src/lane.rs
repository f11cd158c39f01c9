//! The rings between the network and the audio thread, and nothing else: [`Control`] on one side, [`Stage`] on the other.
//!
//! All are bounded, single-producer and wait-free (rtrb). Events, estimates and reports are `Copy`; clips and
//! instruments go in as owned values and come back as garbage to be freed, so that the audio thread never frees.

use crate::clip::{Clip, ClipId};
use crate::event::Event;
use crate::report::{Counters, Report};
use crate::source::Instrument;
use downbeat_sync::{ClockEstimate, Span};
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;

/// Events the ring holds by default.
pub const DEFAULT_EVENTS: usize = 16_384;
/// Clips that can be loaded at once.
pub const MAX_CLIPS: usize = 1_024;
/// Instruments that can be registered.
pub const MAX_INSTRUMENTS: usize = 64;
const ESTIMATES: usize = 16;
const REPORTS: usize = 4_096;

/// One registered instrument's instances: as many voices of it can sound at once.
pub type Bank = Box<[Box<dyn Instrument>]>;

/// An owned value on its way to the audio thread.
pub enum Supply {
    /// A clip for this place in the table.
    Clip(ClipId, Arc<Clip>),
    /// Release this clip's voices, then send it back.
    Free(ClipId),
    /// The instances of an instrument.
    Bank(u8, Bank),
}

/// An owned value on its way back, to be dropped by the network thread.
pub enum Garbage {
    /// A clip no voice plays any more; its place in the table is free.
    Clip(ClipId, Arc<Clip>),
    /// Instruments that were replaced.
    Bank(Bank),
}

/// Room time, by which events wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    pub(crate) line: ClockEstimate,
    /// What to add to it so that all nodes of the ensemble have the same.
    pub(crate) to_common: Span,
}

/// The network thread's end.
pub struct Control {
    events: Producer<Event>,
    estimates: Producer<Published>,
    supply: Producer<Supply>,
    reports: Consumer<Report>,
    garbage: Consumer<Garbage>,
    counters: Arc<Counters>,
    unsent: Option<Published>,
}

/// The audio thread's end.
pub struct Stage {
    pub(crate) events: Consumer<Event>,
    pub(crate) estimates: Consumer<Published>,
    pub(crate) supply: Consumer<Supply>,
    pub(crate) reports: Producer<Report>,
    pub(crate) garbage: Producer<Garbage>,
    pub(crate) counters: Arc<Counters>,
}

/// The ring is full: the event is handed back.
#[derive(Debug, PartialEq)]
pub struct LaneFull<T>(pub T);

/// Both ends of the lane between a network and an audio thread, for so many events in flight.
pub fn lane(events: usize) -> (Control, Stage) {
    let (event_in, event_out) = RingBuffer::new(events);
    let (estimate_in, estimate_out) = RingBuffer::new(ESTIMATES);
    // Every clip can be replaced once and every instrument registered before the audio thread looks.
    let (supply_in, supply_out) = RingBuffer::new(2 * MAX_CLIPS + MAX_INSTRUMENTS);
    let (report_in, report_out) = RingBuffer::new(REPORTS);
    // As many as there are places in both tables. While it is full the audio thread takes no supplies.
    let (garbage_in, garbage_out) = RingBuffer::new(MAX_CLIPS + MAX_INSTRUMENTS);
    let counters = Arc::new(Counters::default());
    let control = Control {
        events: event_in,
        estimates: estimate_in,
        supply: supply_in,
        reports: report_out,
        garbage: garbage_out,
        counters: Arc::clone(&counters),
        unsent: None,
    };
    let stage = Stage {
        events: event_out,
        estimates: estimate_out,
        supply: supply_out,
        reports: report_in,
        garbage: garbage_in,
        counters,
    };
    (control, stage)
}

impl Control {
    /// Sends an event. `RT:` wait-free.
    ///
    /// # Errors
    /// Hands it back when the ring is full.
    pub fn send(&mut self, event: Event) -> Result<(), LaneFull<Event>> {
        self.events.push(event).map_err(|rtrb::PushError::Full(event)| LaneFull(event))
    }

    /// Sends all of these events or none, and the audio thread sees all of them or none: a bundle that is due at once
    /// is not torn by a callback. `RT:` wait-free.
    ///
    /// # Errors
    /// When there is no room for all of them.
    pub fn send_all(&mut self, events: &[Event]) -> Result<(), LaneFull<()>> {
        self.events.push_entire_slice(events).map_err(|_| LaneFull(()))
    }

    /// Publishes a newer estimate. While the audio thread is away the newest one waits here for the next call of this
    /// or [`Control::retry`], so that a resumed stream never runs on a stale line for long.
    ///
    /// The line is from local to room time: ensemble time that no announced jump moves (`downbeat_sync::RoomClock`).
    pub fn publish(&mut self, line: ClockEstimate) {
        self.publish_apart(line, Span::ZERO);
    }

    /// The same of a node whose room time is not that of the others: `to_common` is what to add to it to have theirs. What is
    /// to be the same on all nodes, such as noise, is drawn from that.
    pub fn publish_apart(&mut self, line: ClockEstimate, to_common: Span) {
        self.unsent = Some(Published { line, to_common });
        self.retry();
    }

    /// Sends the estimate that found the ring full, if any.
    pub fn retry(&mut self) {
        if let Some(estimate) = self.unsent.take()
            && self.estimates.push(estimate).is_err()
        {
            self.unsent = Some(estimate);
        }
    }

    /// Hands a clip, a bank or a request to free over.
    ///
    /// # Errors
    /// Hands it back when the ring is full.
    pub fn supply(&mut self, supply: Supply) -> Result<(), LaneFull<Supply>> {
        self.supply.push(supply).map_err(|rtrb::PushError::Full(supply)| LaneFull(supply))
    }

    /// The next report from the audio thread.
    pub fn report(&mut self) -> Option<Report> {
        self.reports.pop().ok()
    }

    /// The next value the audio thread is done with: drop it.
    pub fn garbage(&mut self) -> Option<Garbage> {
        self.garbage.pop().ok()
    }

    /// What the audio thread counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}
