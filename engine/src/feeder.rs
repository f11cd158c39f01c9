//! [`Feeder`]: the disk thread's end of streaming. It keeps the rings of every open stream filled from its file.
//!
//! Not for: the thread around it (`disk`), reading what it fills (`stream`).

use crate::clip::Clip;
use crate::event::Origin;
use crate::report::count;
use crate::stream::{Request, StreamCounters};
use crate::wav::{WavError, WavFile};
use ringbuf::HeapProd;
use ringbuf::traits::{Observer, Producer};
use rtrb::Consumer;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Frames read at once: long enough for few seeks among many files, short enough to serve the next stream soon.
pub(crate) const PIECE: usize = 4_096;

/// The disk thread's end of a pool of streams, made by [`crate::streams`].
pub struct Feeder {
    inlets: Vec<Inlet>,
    requests: Consumer<Request>,
    counters: Arc<StreamCounters>,
    planar: [Vec<f32>; 2],
    failures: VecDeque<StreamFailure>,
}

/// Failures that are kept until somebody asks; more are counted only.
const FAILURES: usize = 64;

/// A stream whose file could not be read on: the rest of it is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFailure {
    /// Who started it.
    pub asked: Origin,
    /// The file's name.
    pub file: String,
    /// Why.
    pub why: String,
}

/// One stream's rings and what flows into them.
pub(crate) struct Inlet {
    rings: [HeapProd<f32>; 2],
    closed: Arc<AtomicU32>,
    feed: Option<Feed>,
}

struct Feed {
    /// `None` once it failed: nothing more comes, and the stream starves.
    file: Option<WavFile>,
    name: String,
    asked: Origin,
    failure: Option<StreamFailure>,
    channels: usize,
    frames: u64,
    looped: bool,
    /// The frame of the file to be read next.
    next: u64,
}

impl Feeder {
    pub(crate) fn new(
        inlets: Vec<Inlet>,
        requests: Consumer<Request>,
        counters: Arc<StreamCounters>,
    ) -> Feeder {
        Feeder { inlets, requests, counters, planar: [Vec::new(), Vec::new()], failures: VecDeque::new() }
    }

    /// Opens and closes what was asked for, then reads one piece for the stream that needs it most; `true` if more could
    /// be read at once.
    ///
    /// Call it until it says `false`, then again within a few milliseconds while streams are open. Blocks on the disk.
    pub fn step(&mut self) -> bool {
        self.answer();
        let neediest = self.inlets.iter_mut().max_by_key(|inlet| inlet.wants());
        if let Some(inlet) = neediest.filter(|inlet| inlet.wants() > 0) {
            inlet.fill(&mut self.planar);
            self.note_failures();
        }
        self.inlets.iter().any(|inlet| inlet.wants() > 0)
    }

    /// The next stream that failed, if any did since last asked.
    pub fn failure(&mut self) -> Option<StreamFailure> {
        self.failures.pop_front()
    }

    /// Whether a stream is open.
    pub fn is_open(&self) -> bool {
        self.inlets.iter().any(|inlet| inlet.feed.is_some())
    }

    fn note_failures(&mut self) {
        for inlet in &mut self.inlets {
            let Some(failure) = inlet.feed.as_mut().and_then(|feed| feed.failure.take()) else { continue };
            count(&self.counters.failed);
            tracing::warn!("{}: {}; the rest of it is silent", failure.file, failure.why);
            if self.failures.len() < FAILURES {
                self.failures.push_back(failure);
            }
        }
    }

    fn answer(&mut self) {
        while let Ok(request) = self.requests.pop() {
            match request {
                Request::Open { slot, clip, from, looped, asked } => {
                    self.inlets[slot].feed = Some(Feed::new(&clip, from, looped, asked));
                    self.counters.open.fetch_add(1, Ordering::Relaxed);
                }
                Request::Close { slot, clip, generation } => {
                    drop(clip);
                    let inlet = &mut self.inlets[slot];
                    inlet.feed = None;
                    self.counters.open.fetch_sub(1, Ordering::Relaxed);
                    // All that was pushed is visible to whoever sees this.
                    inlet.closed.store(generation, Ordering::Release);
                }
            }
            self.note_failures();
        }
    }
}

impl Inlet {
    pub(crate) fn new(rings: [HeapProd<f32>; 2], closed: Arc<AtomicU32>) -> Inlet {
        Inlet { rings, closed, feed: None }
    }

    /// Free frames in its rings if a whole piece fits, else 0.
    fn wants(&self) -> usize {
        let Some(feed) = &self.feed else { return 0 };
        let vacant = self.rings[..feed.channels].iter().map(|ring| ring.vacant_len()).min().unwrap_or(0);
        if feed.piece() > 0 && vacant >= feed.piece() { vacant } else { 0 }
    }

    fn fill(&mut self, planar: &mut [Vec<f32>; 2]) {
        let Some(feed) = &mut self.feed else { return };
        feed.read(planar);
        for (ring, frames) in self.rings[..feed.channels].iter_mut().zip(planar) {
            ring.push_slice(frames);
        }
    }
}

impl Feed {
    fn new(clip: &Clip, from: u64, looped: bool, asked: Origin) -> Feed {
        let next = if looped { from % clip.frames().max(1) } else { from };
        let name = clip.rest().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let mut feed = Feed {
            file: None,
            name,
            asked,
            failure: None,
            channels: clip.channels(),
            frames: clip.frames(),
            looped,
            next,
        };
        match open(clip) {
            Ok(file) => feed.file = Some(file),
            Err(error) => feed.fail(&error),
        }
        feed
    }

    /// How many frames are read next; 0 at the end.
    fn piece(&self) -> usize {
        if self.file.is_none() {
            return 0;
        }
        self.frames.saturating_sub(self.next).min(PIECE as u64) as usize
    }

    fn read(&mut self, planar: &mut [Vec<f32>; 2]) {
        let frames = self.piece();
        planar.iter_mut().for_each(Vec::clear);
        if let Some(file) = &mut self.file
            && let Err(error) = file.read(self.next, frames, planar)
        {
            self.fail(&error);
            planar.iter_mut().for_each(Vec::clear);
            return;
        }
        planar.iter_mut().for_each(|channel| channel.resize(frames, 0.0));
        self.next += frames as u64;
        if self.looped && self.next == self.frames {
            self.next = 0;
        }
    }

    fn fail(&mut self, error: &WavError) {
        self.file = None;
        self.failure =
            Some(StreamFailure { asked: self.asked, file: self.name.clone(), why: error.to_string() });
    }
}

/// The file of a clip, if it still is the one whose head was loaded.
fn open(clip: &Clip) -> Result<WavFile, WavError> {
    let path = clip.rest().ok_or(WavError::Empty)?;
    let file = WavFile::open(path)?;
    if (file.frames(), file.rate(), file.channels()) != (clip.frames(), clip.rate(), clip.channels()) {
        return Err(WavError::Malformed("the file was replaced by another since it was loaded"));
    }
    Ok(file)
}
