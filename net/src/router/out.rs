//! [`Outbox`]: what a router wants sent, in order, until the transport takes it.
//!
//! A packet stands here once, whoever gets it; so does a group's list of connections. Not for: framing, nor what waits for one
//! slow client (`tcp`).

use super::Packet;
use super::groups::{Roster, UserId};
use crate::endpoint::ConnId;
use std::collections::VecDeque;
use std::sync::Arc;

/// What may wait here: the transport takes it after every turn, in which it reads a few megabytes [bytes].
const LIMIT: usize = 64 << 20;
/// What an entry costs beside its packet [bytes].
const ENTRY: usize = 64;

/// Who gets a packet.
pub(super) enum To {
    One(ConnId),
    These(Arc<[ConnId]>),
    /// All of a group but one user.
    Others(Roster, UserId),
}

/// What is to be done.
pub(super) enum Out {
    Deliver(To, Packet),
    /// A `/sync/pong` to this nonce, which came then. It is written when it is sent.
    Pong(ConnId, super::clock::Asked),
    Close(ConnId),
    Pause(ConnId),
    Resume(ConnId),
}

impl Out {
    /// Whether it is about a connection itself, and must not get lost. There are few of these: a connection that is paused
    /// sends nothing more.
    fn is_order(&self) -> bool {
        matches!(self, Out::Close(_) | Out::Pause(_) | Out::Resume(_))
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Out>,
    bytes: usize,
}

impl Outbox {
    /// Puts something at the end. If it does not fit, it is not, unless it is an order.
    #[must_use]
    pub(super) fn push(&mut self, out: Out) -> bool {
        let fits = self.bytes < LIMIT || out.is_order();
        if fits {
            self.bytes += out.size();
            self.waiting.push_back(out);
        }
        fits
    }

    pub(super) fn pop(&mut self) -> Option<Out> {
        let out = self.waiting.pop_front()?;
        self.bytes -= out.size();
        if self.waiting.is_empty() {
            self.waiting.shrink_to(1_024);
        }
        Some(out)
    }
}

impl Out {
    fn size(&self) -> usize {
        match self {
            Out::Deliver(_, packet) => ENTRY + packet.len(),
            Out::Pong(..) | Out::Close(_) | Out::Pause(_) | Out::Resume(_) => ENTRY,
        }
    }
}

impl To {
    /// Writes who that is to `conns`.
    pub(super) fn list(&self, conns: &mut Vec<ConnId>) {
        conns.clear();
        match self {
            To::One(conn) => conns.push(*conn),
            To::These(these) => conns.extend_from_slice(these),
            To::Others(roster, but) => {
                conns.extend(roster.iter().filter(|(user, _)| user != but).map(|(_, conn)| *conn));
            }
        }
    }
}
