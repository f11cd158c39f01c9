//! [`Node`]: a [`Hub`] for a reactor to run, with the channels to the threads around it.
//!
//! Not for: the hub's decisions, nor for loading, which happens on whichever thread holds the other ends.

use crate::endpoint::{ConnId, Endpoint};
use crate::hub::{Hub, LoadRequest, Output};
use crate::reactor::{Handler, Outgoing};
use downbeat_engine::Clip;
use downbeat_engine::device::DeviceState;
use downbeat_sync::{LocalTime, WallAnchor};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

/// What other threads tell the node. Call [`crate::Handle::wake`] after sending one.
#[derive(Debug)]
pub enum Notice {
    /// A sample was loaded, or why it was not.
    Loaded(LoadRequest, Result<Arc<Clip>, String>),
    /// The node plays on another device.
    Device(DeviceState),
}

/// See the module.
pub struct Node {
    hub: Hub,
    loads: SyncSender<LoadRequest>,
    notices: Receiver<Notice>,
    sending: Vec<u8>,
}

impl Node {
    /// A node whose samples are loaded by whoever receives `loads`, which answers by `notices`.
    pub fn new(hub: Hub, loads: SyncSender<LoadRequest>, notices: Receiver<Notice>) -> Node {
        Node { hub, loads, notices, sending: Vec::new() }
    }

    /// The hub within.
    pub fn hub(&mut self) -> &mut Hub {
        &mut self.hub
    }
}

impl Handler for Node {
    fn on_packet(&mut self, arrival: LocalTime, from: Endpoint, packet: &[u8]) {
        self.hub.handle(arrival, from, packet);
    }

    fn on_close(&mut self, conn: ConnId) {
        self.hub.forget(conn);
    }

    fn on_tick(&mut self, now: WallAnchor) {
        while let Ok(notice) = self.notices.try_recv() {
            match notice {
                Notice::Loaded(request, result) => self.hub.loaded(&request, result),
                Notice::Device(state) => self.hub.set_device(state),
            }
        }
        self.hub.tick(now);
    }

    fn deadline(&self) -> Option<LocalTime> {
        Some(self.hub.deadline())
    }

    fn poll(&mut self) -> Option<Outgoing<'_>> {
        loop {
            match self.hub.poll()? {
                Output::Send { to, packet } => {
                    self.sending = packet;
                    return Some(Outgoing::Send { to, packet: &self.sending });
                }
                Output::Load(request) => {
                    if let Err(error) = self.loads.try_send(request.clone()) {
                        self.hub.loaded(&request, Err(format!("samples cannot be loaded now: {error}")));
                    }
                }
            }
        }
    }
}
