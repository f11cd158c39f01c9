//! The audio thread's end of streaming: [`Streams`], a fixed pool of [`StreamReader`]s, each fed through a ring.
//!
//! The head of a clip is in memory, so a start never waits for the disk; what follows arrives through two rings of f32,
//! one per channel, filled by [`Feeder`] on the disk thread. A reader goes round in one strict order, so that no frame
//! of one use can leak into the next:
//!
//! ```text
//! free -> open: request -> (the feeder fills, the audio thread reads) -> close: request
//!      -> the feeder stops and acknowledges -> the rings are emptied -> free
//! ```
//!
//! Not for: reading files (`wav`, `feeder`), interpolating (`sampler`).

use crate::clip::{Clip, GUARD};
use crate::event::Origin;
use crate::feeder::{Feeder, Inlet, PIECE};
use crate::report::count;
use ringbuf::traits::{Consumer, Observer, Split};
use ringbuf::{HeapCons, HeapRb};
use rtrb::{Producer, PushError, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Most frames [`StreamReader::advance`] makes readable at once: a run of [`crate::MAX_RUN`] output frames at 8 times
/// the speed of a clip of 4 times the device's rate, and the reach of an interpolator.
pub const MAX_SPAN: usize = 8_192;
/// Two spans, so that the frames kept from one span to the next are moved once in a while, not each time.
const WINDOW: usize = 2 * MAX_SPAN;
const CHANNELS: usize = 2;

/// How much may be streamed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Streams that can be open at once [1 to 4096].
    pub streams: usize,
    /// Frames the disk may be ahead, per stream; 12,288 or more are taken. 8 bytes each.
    pub ring_frames: usize,
}

impl Default for StreamConfig {
    /// 32 streams, each 1.4 s ahead at 48 kHz: 17 MB.
    fn default() -> Self {
        StreamConfig { streams: 32, ring_frames: 65_536 }
    }
}

/// Counts since the start, read by anyone.
#[derive(Debug, Default)]
pub struct StreamCounters {
    /// Streams refused because all were busy.
    pub refused: AtomicU64,
    /// Streams that starve to their end because their file could not be read or was no longer the one that was loaded.
    pub failed: AtomicU64,
    /// Streams open now.
    pub open: AtomicU32,
}

/// Both ends of a pool of streams: one for the audio thread, one for the disk thread. All memory is taken here.
pub fn streams(config: StreamConfig) -> (Streams, Feeder) {
    let streams = config.streams.clamp(1, 4_096);
    // With less, a span could wait for a piece that waits for the span to make room.
    let ring_frames = config.ring_frames.max(MAX_SPAN + PIECE);
    // Per reader at most one opening and one closing are under way, so sending a request cannot fail.
    let (requests_in, requests_out) = RingBuffer::new(2 * streams);
    let counters = Arc::new(StreamCounters::default());
    let (readers, inlets): (Vec<_>, Vec<_>) = (0..streams).map(|slot| pair(slot, ring_frames)).unzip();
    let audio = Streams {
        free: readers,
        closing: Vec::with_capacity(streams),
        requests: requests_in,
        counters: Arc::clone(&counters),
    };
    (audio, Feeder::new(inlets, requests_out, counters))
}

fn pair(slot: usize, ring_frames: usize) -> (Box<StreamReader>, Inlet) {
    let (left_in, left_out) = HeapRb::new(ring_frames).split();
    let (right_in, right_out) = HeapRb::new(ring_frames).split();
    let closed = Arc::new(AtomicU32::new(0));
    let reader = StreamReader {
        slot,
        generation: 0,
        closed: Arc::clone(&closed),
        rings: [left_out, right_out],
        ring_front: 0,
        clip: None,
        looped: false,
        window: [vec![0.0; WINDOW].into_boxed_slice(), vec![0.0; WINDOW].into_boxed_slice()],
        start: 0,
        held: 0,
        first: 0,
        readable: 0,
    };
    (Box::new(reader), Inlet::new([left_in, right_in], closed))
}

/// What the audio thread asks of the feeder. Clips travel with it, so that they are never dropped by the audio thread.
pub(crate) enum Request {
    /// Fill this slot's rings with the clip, from this frame on.
    Open { slot: usize, clip: Arc<Clip>, from: u64, looped: bool, asked: Origin },
    /// Stop filling, let go of the clip and acknowledge with this generation.
    Close { slot: usize, clip: Arc<Clip>, generation: u32 },
}

/// Boxed for good: readers go to voices and come back, and nothing is boxed or unboxed on the audio thread.
type Readers = Vec<Box<StreamReader>>;

/// The pool of streams, held by the audio thread.
pub struct Streams {
    free: Readers,
    closing: Readers,
    requests: Producer<Request>,
    counters: Arc<StreamCounters>,
}

impl Streams {
    /// No stream at all: clips that are not all in memory end with their head.
    pub fn none() -> Streams {
        Streams {
            free: Vec::new(),
            closing: Vec::new(),
            requests: RingBuffer::new(1).0,
            counters: Arc::new(StreamCounters::default()),
        }
    }

    /// Starts streaming `clip` from frame `from` of it (looped: of its endless repetition) on, for the sender who asked.
    ///
    /// Call it ahead of the onset when `from` lies beyond the clip's head: those frames come from the disk first.
    /// `None` if the clip is all in memory; and, counted, if all streams are busy. `RT:` wait-free; looks at every stream
    /// being closed.
    pub fn open(
        &mut self,
        clip: &Arc<Clip>,
        from: u64,
        looped: bool,
        asked: Origin,
    ) -> Option<Box<StreamReader>> {
        clip.rest()?;
        self.reclaim();
        let Some(mut reader) = self.free.pop() else {
            count(&self.counters.refused);
            return None;
        };
        let ring_front = from.max(clip.head_frames() as u64);
        let request =
            Request::Open { slot: reader.slot, clip: Arc::clone(clip), from: ring_front, looped, asked };
        if self.requests.push(request).is_err() {
            count(&self.counters.refused);
            self.free.push(reader);
            return None;
        }
        reader.begin(Arc::clone(clip), from, ring_front, looped);
        Some(reader)
    }

    /// Gives a reader back. It is free again as soon as the disk thread has let go of it.
    ///
    /// `RT:` wait-free; the clip goes to the disk thread to be let go of there.
    pub fn close(&mut self, mut reader: Box<StreamReader>) {
        reader.generation = reader.generation.wrapping_add(1);
        if let Some(clip) = reader.clip.take() {
            let request = Request::Close { slot: reader.slot, clip, generation: reader.generation };
            if let Err(PushError::Full(Request::Close { clip, .. })) = self.requests.push(request) {
                reader.clip = Some(clip);
            }
        }
        self.closing.push(reader);
    }

    /// What the streams count.
    pub fn counters(&self) -> &Arc<StreamCounters> {
        &self.counters
    }

    /// Frees the readers the feeder has let go of.
    fn reclaim(&mut self) {
        let mut at = 0;
        while at < self.closing.len() {
            if self.closing[at].closed.load(Ordering::Acquire) == self.closing[at].generation {
                let mut reader = self.closing.swap_remove(at);
                reader.rings.iter_mut().for_each(|ring| {
                    ring.clear();
                });
                self.free.push(reader);
            } else {
                at += 1;
            }
        }
    }
}

/// One streamed clip, read forwards by one voice. Give it back with [`Streams::close`]; dropping it frees memory.
pub struct StreamReader {
    slot: usize,
    /// How often it was closed.
    generation: u32,
    /// The last closing the feeder acknowledged.
    closed: Arc<AtomicU32>,
    rings: [HeapCons<f32>; CHANNELS],
    /// The frame at the front of the rings.
    ring_front: u64,
    clip: Option<Arc<Clip>>,
    looped: bool,
    window: [Box<[f32]>; CHANNELS],
    /// Where in the window its frames begin, how many there are, and the number of the first.
    start: usize,
    held: usize,
    first: u64,
    /// How many of them the last span was.
    readable: usize,
}

impl StreamReader {
    /// Makes frames `from..to` readable by [`StreamReader::channel`]; `false` if some have not arrived from the disk.
    ///
    /// Frames are numbered through: those of a looped clip do not begin again at its end, so frame `n` is frame
    /// `n % frames` of the file. Past the end of a clip that is not looped there is silence. `from` may not be before
    /// the frame the stream was opened at, nor before that of an earlier call; spans may overlap, and hold at most
    /// [`MAX_SPAN`] frames. A span that breaks these rules is not readable.
    ///
    /// After `false` play silence and come back with the span where the voice should be by then: the frames that came
    /// too late are skipped, and the voice is in time again. `RT:` wait-free, copies each frame once or twice.
    pub fn advance(&mut self, from: u64, to: u64) -> bool {
        self.readable = 0;
        if from < self.first || to < from || to - from > MAX_SPAN as u64 {
            return false;
        }
        self.forget_before(from);
        let arrived = self.pull(to);
        if arrived {
            self.readable = (to - from) as usize;
        }
        arrived
    }

    /// The frames of the last span of one channel; empty if it had not arrived. Of a mono clip all channels are the
    /// same. `RT:` yes.
    pub fn channel(&self, channel: usize) -> &[f32] {
        let last = self.channels().saturating_sub(1);
        &self.window[channel.min(last)][self.start..self.start + self.readable]
    }

    /// How many channels the clip has [1 or 2]; 0 once closed.
    pub fn channels(&self) -> usize {
        self.clip.as_ref().map_or(0, |clip| clip.channels())
    }

    fn begin(&mut self, clip: Arc<Clip>, from: u64, ring_front: u64, looped: bool) {
        self.clip = Some(clip);
        self.looped = looped;
        self.ring_front = ring_front;
        (self.start, self.held, self.first, self.readable) = (0, 0, from, 0);
    }

    fn forget_before(&mut self, from: u64) {
        let gone = (from - self.first).min(self.held as u64) as usize;
        self.start += gone;
        self.held -= gone;
        self.first = from;
    }

    /// Takes frames into the window up to `to`; `false` if the rings hold too few.
    fn pull(&mut self, to: u64) -> bool {
        let Some(clip) = &self.clip else { return false };
        let channels = clip.channels();
        let head = clip.head_frames() as u64;
        if self.start + self.held + MAX_SPAN > WINDOW {
            for window in &mut self.window[..channels] {
                window.copy_within(self.start..self.start + self.held, 0);
            }
            self.start = 0;
        }
        loop {
            let next = self.first + self.held as u64;
            if next >= to {
                return true;
            }
            let end = if next < head {
                to.min(head)
            } else if self.looped || next >= clip.frames() {
                to
            } else {
                to.min(clip.frames())
            };
            let room = self.start + self.held..self.start + self.held + (end - next) as usize;
            if next < head {
                let at = GUARD + next as usize;
                for (channel, window) in self.window[..channels].iter_mut().enumerate() {
                    window[room.clone()].copy_from_slice(&clip.head(channel)[at..at + room.len()]);
                }
            } else if !self.looped && next >= clip.frames() {
                self.window[..channels].iter_mut().for_each(|window| window[room.clone()].fill(0.0));
            } else {
                let rings = &mut self.rings[..channels];
                // The feeder fills one channel after the other: only what all have is a frame.
                let arrived = rings.iter().map(|ring| ring.occupied_len()).min().unwrap_or(0);
                let late = (next - self.ring_front).min(arrived as u64) as usize;
                rings.iter_mut().for_each(|ring| {
                    ring.skip(late);
                });
                self.ring_front += late as u64;
                if self.ring_front < next || arrived - late < room.len() {
                    return false;
                }
                for (ring, window) in rings.iter_mut().zip(&mut self.window) {
                    ring.pop_slice(&mut window[room.clone()]);
                }
                self.ring_front += room.len() as u64;
            }
            self.held += room.len();
        }
    }
}

#[cfg(test)]
mod tests;
