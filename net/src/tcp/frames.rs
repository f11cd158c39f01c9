//! [`Frames`]: one packet as it stands on streams of each kind, made once for all who get it.
//!
//! Not for: queues (`outbound`), or taking streams apart (`framing`).

use crate::framing::Framing;
use std::sync::Arc;

/// Packets from this size on are shared by all who get them instead of copied to each (bytes, with their frame).
const SHARED: usize = 8 << 10;
/// Room kept between packets (bytes).
const KEPT_CAPACITY: usize = 2 * SHARED;

/// A binary message in one frame, unmasked, as servers send it (RFC 6455, section 5.2).
const BINARY: u8 = 0x82;

/// What a stream looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// Packets one behind the other.
    Stream(Framing),
    /// Messages of a WebSocket.
    WebSocket,
}

/// See the module.
#[derive(Default)]
pub(super) struct Frames {
    length: Made,
    slip: Made,
    websocket: Made,
}

/// A packet in one framing, if somebody has asked for it.
#[derive(Default)]
struct Made {
    small: Vec<u8>,
    shared: Option<Arc<Vec<u8>>>,
}

/// A framed packet.
#[derive(Clone, Copy)]
pub(super) enum Frame<'a> {
    /// To be copied.
    Small(&'a [u8]),
    /// To be shared.
    Shared(&'a Arc<Vec<u8>>),
}

impl Frame<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Frame::Small(bytes) => bytes.len(),
            Frame::Shared(bytes) => bytes.len(),
        }
    }
}

impl Frames {
    /// Forgets the packet before.
    pub(super) fn clear(&mut self) {
        for made in [&mut self.length, &mut self.slip, &mut self.websocket] {
            made.small.clear();
            made.small.shrink_to(KEPT_CAPACITY);
            made.shared = None;
        }
    }

    /// The packet as it stands there. It has to be the same packet until [`Frames::clear`].
    pub(super) fn get(&mut self, wire: Wire, packet: &[u8]) -> Frame<'_> {
        let made = match wire {
            Wire::Stream(Framing::Length) => &mut self.length,
            Wire::Stream(Framing::Slip) => &mut self.slip,
            Wire::WebSocket => &mut self.websocket,
        };
        if made.small.is_empty() && made.shared.is_none() {
            match wire {
                Wire::Stream(framing) => framing.frame_into(packet, &mut made.small),
                Wire::WebSocket => message_into(packet, &mut made.small),
            }
            if made.small.len() >= SHARED {
                made.shared = Some(Arc::new(std::mem::take(&mut made.small)));
            }
        }
        match &made.shared {
            Some(shared) => Frame::Shared(shared),
            None => Frame::Small(&made.small),
        }
    }
}

/// Appends a packet as a message.
fn message_into(packet: &[u8], out: &mut Vec<u8>) {
    out.push(BINARY);
    match packet.len() {
        length @ ..=125 => out.push(length as u8),
        length @ ..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(packet);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_framed_once_for_each_framing() {
        let mut frames = Frames::default();
        for packet in [b"/a\0\0".as_slice(), b"/b\0\0"] {
            for framing in [Framing::Length, Framing::Slip, Framing::Length] {
                let mut wanted = Vec::new();
                framing.frame_into(packet, &mut wanted);
                let Frame::Small(frame) = frames.get(Wire::Stream(framing), packet) else {
                    panic!("it is small")
                };
                assert_eq!(frame, wanted);
            }
            frames.clear();
        }
    }

    #[test]
    fn a_large_packet_is_shared_and_leaves_no_large_buffer_behind() {
        let mut frames = Frames::default();
        let packet = [0xc0; 100_000];
        let Frame::Shared(first) = frames.get(Wire::Stream(Framing::Slip), &packet) else {
            panic!("it is large")
        };
        let first = Arc::clone(first);
        assert_eq!(first.len(), 200_002);
        let Frame::Shared(second) = frames.get(Wire::Stream(Framing::Slip), &packet) else {
            panic!("it is large")
        };
        assert!(Arc::ptr_eq(&first, second));
        frames.clear();
        assert_eq!(Arc::strong_count(&first), 1);
        assert!(frames.slip.small.capacity() <= KEPT_CAPACITY);
    }
}
