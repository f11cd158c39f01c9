//! [`Feeder`]: the disk thread's end of streaming. It fills the rings of every open stream from its file.
//!
//! Not for: the thread around it (`disk`), reading what it fills (`stream`).

use crate::stream::{Request, StreamCounters};
use ringbuf::HeapProd;
use rtrb::Consumer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The disk thread's end of a pool of streams, made by [`crate::streams`].
pub struct Feeder {
    inlets: Vec<Inlet>,
    requests: Consumer<Request>,
    counters: Arc<StreamCounters>,
}

/// One stream's rings and their acknowledgement.
pub(crate) struct Inlet {
    rings: [HeapProd<f32>; 2],
    closed: Arc<AtomicU32>,
}

impl Inlet {
    pub(crate) fn new(rings: [HeapProd<f32>; 2], closed: Arc<AtomicU32>) -> Inlet {
        Inlet { rings, closed }
    }
}

impl Feeder {
    pub(crate) fn new(
        inlets: Vec<Inlet>,
        requests: Consumer<Request>,
        counters: Arc<StreamCounters>,
    ) -> Feeder {
        Feeder { inlets, requests, counters }
    }
}
