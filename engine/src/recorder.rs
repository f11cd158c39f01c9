//! Recording the output: [`Tap`] on the audio thread, [`Recorder`] with a thread that writes a WAV file.
//!
//! The audio thread never waits for the disk. What finds the ring full is lost and counted, and its place in the file is
//! kept by silence, so that everything after it still stands at its time. Not for: the file itself (`wav_out`).

use crate::wav_out::WavOut;
use ringbuf::traits::{Consumer as _, Observer, Producer as _, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};
use rtrb::{Consumer, Producer, RingBuffer};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the disk may be away before frames are lost (s).
const RING_SECONDS: usize = 4;
/// Gaps that can wait to be written.
const GAPS: usize = 64;
/// Between two looks at the ring.
const PAUSE: Duration = Duration::from_millis(50);
/// Least time between two lines about lost frames (s of sound).
const TELL_EVERY: u64 = 10;
/// Samples written at once.
const PIECE: usize = 16_384;

/// Counts since the recording began, read by anyone.
#[derive(Debug, Default)]
pub struct RecordCounters {
    /// Frames in the file, silence in place of lost ones included.
    pub frames: AtomicU64,
    /// Frames that were lost: because the disk was away for too long, or failed, or the file was deleted, or because nobody
    /// asked for them: the node or its device stood still, or the device had another rate.
    pub lost: AtomicU64,
    /// The disk failed or the file was deleted, and the recording ended there.
    pub failed: AtomicBool,
}

/// A recording, written by a thread of its own. Dropping it writes what has been pushed so far and finishes the file.
pub struct Recorder {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    counters: Arc<RecordCounters>,
}

impl Recorder {
    /// Begins to record so many channels at so many frames per second. Hand the tap to the audio thread.
    ///
    /// # Errors
    /// If the file cannot be made, or the system has no thread for it.
    pub fn start(path: &Path, channels: u16, rate: u32) -> io::Result<(Tap, Recorder)> {
        let (tap, mut scribe) = record(path, channels, rate)?;
        let counters = Arc::clone(&tap.counters);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = move || {
            loop {
                // Looked at first, so that what was pushed before the stop is written.
                let is_last = stopped.load(Ordering::Acquire);
                while scribe.step() {}
                if is_last {
                    return scribe.finish();
                }
                thread::park_timeout(PAUSE);
            }
        };
        let thread = thread::Builder::new().name("record".into()).spawn(work)?;
        Ok((tap, Recorder { thread: Some(thread), stop, counters }))
    }

    /// What is counted.
    pub fn counters(&self) -> &Arc<RecordCounters> {
        &self.counters
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does not panic; if it did, the panic has been printed.
            let _ = thread.join();
        }
    }
}

/// Frames that are missing, and after how many that are not.
#[derive(Clone, Copy, Debug)]
struct Gap {
    after: u64,
    frames: u64,
}

/// The audio thread's end of a recording.
pub struct Tap {
    ring: HeapProd<f32>,
    gaps: Producer<Gap>,
    channels: usize,
    /// Frames pushed, and frames lost since the last of them.
    pushed: u64,
    missing: u64,
    counters: Arc<RecordCounters>,
}

impl Tap {
    /// Records a block of interleaved frames; all of it is lost, and counted, if the ring has no room for all.
    ///
    /// `RT:` wait-free.
    pub fn push(&mut self, interleaved: &[f32]) {
        let frames = (interleaved.len() / self.channels) as u64;
        let samples = frames as usize * self.channels;
        if self.ring.vacant_len() < samples || !self.mark_gap() {
            self.missing += frames;
            self.counters.lost.fetch_add(frames, Ordering::Relaxed);
            return;
        }
        self.ring.push_slice(&interleaved[..samples]);
        self.pushed += frames;
    }

    /// Leaves out frames that nobody rendered: they are silent in the file, and counted as lost.
    ///
    /// `RT:` wait-free.
    pub fn skip(&mut self, frames: u64) {
        self.missing += frames;
        self.counters.lost.fetch_add(frames, Ordering::Relaxed);
    }

    /// How many channels a frame has.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Tells of lost frames before anything after them is pushed; `false` if there is no room for that.
    fn mark_gap(&mut self) -> bool {
        let gap = Gap { after: self.pushed, frames: self.missing };
        if gap.frames > 0 && self.gaps.push(gap).is_err() {
            return false;
        }
        self.missing = 0;
        true
    }
}

/// Writes what a tap pushes, one step at a time.
struct Scribe {
    ring: HeapCons<f32>,
    gaps: Consumer<Gap>,
    channels: usize,
    /// Frames taken from the ring.
    taken: u64,
    /// `None` once the disk failed.
    out: Option<WavOut>,
    path: PathBuf,
    piece: Vec<f32>,
    /// Lost frames that no line in the log told of yet, and those that one did.
    untold: u64,
    told: u64,
    /// After how many frames the next such line may come.
    quiet_until: u64,
    rate: u32,
    counters: Arc<RecordCounters>,
}

/// Both ends, without the thread.
fn record(path: &Path, channels: u16, rate: u32) -> io::Result<(Tap, Scribe)> {
    let out = WavOut::create(path, channels, rate)?;
    let channels = usize::from(channels);
    let (ring_in, ring_out) = HeapRb::new(RING_SECONDS * rate as usize * channels).split();
    let (gaps_in, gaps_out) = RingBuffer::new(GAPS);
    let counters = Arc::new(RecordCounters::default());
    let tap = Tap {
        ring: ring_in,
        gaps: gaps_in,
        channels,
        pushed: 0,
        missing: 0,
        counters: Arc::clone(&counters),
    };
    let scribe = Scribe {
        ring: ring_out,
        gaps: gaps_out,
        channels,
        taken: 0,
        out: Some(out),
        path: path.to_owned(),
        piece: Vec::new(),
        untold: 0,
        told: 0,
        quiet_until: 0,
        rate,
        counters,
    };
    Ok((tap, scribe))
}

impl Scribe {
    /// Writes one piece; `true` if there was any.
    fn step(&mut self) -> bool {
        // The frames are looked at before the gaps: then each gap that lies before them is seen.
        let arrived = self.ring.occupied_len() / self.channels;
        let mut frames = arrived.min((PIECE / self.channels).max(1)) as u64;
        if let Ok(&gap) = self.gaps.peek() {
            if gap.after == self.taken {
                let _ = self.gaps.pop();
                // If it fails: these were counted as lost when they were.
                if self.write(gap.frames, |out| out.write_silence(gap.frames)) {
                    self.untold += gap.frames;
                    self.tell();
                }
                return true;
            }
            frames = frames.min(gap.after - self.taken);
        }
        let mut piece = std::mem::take(&mut self.piece);
        piece.resize(frames as usize * self.channels, 0.0);
        self.ring.pop_slice(&mut piece);
        self.taken += frames;
        if !self.write(frames, |out| out.write(&piece)) {
            self.counters.lost.fetch_add(frames, Ordering::Relaxed);
        }
        self.piece = piece;
        frames > 0
    }

    fn write(&mut self, frames: u64, write: impl FnOnce(&mut WavOut) -> io::Result<()>) -> bool {
        let Some(out) = &mut self.out else { return false };
        let before = out.frames();
        if let Err(error) = write(out) {
            self.out = None;
            self.fail(&error, before);
            return false;
        }
        self.counters.frames.fetch_add(frames, Ordering::Relaxed);
        true
    }

    /// Says what was lost: at once, then at most once in [`TELL_EVERY`] seconds of sound.
    fn tell(&mut self) {
        if self.untold == 0 || self.taken < self.quiet_until {
            return;
        }
        self.quiet_until = self.taken + TELL_EVERY * u64::from(self.rate);
        let frames = std::mem::take(&mut self.untold);
        let seconds = frames as f64 / f64::from(self.rate);
        let file = self.path.display();
        self.told += frames;
        let all = self.told;
        tracing::warn!(
            "the recording {file} lost {frames} frames more ({all} in all; {seconds:.3} s), silent in the file"
        );
    }

    fn finish(mut self) {
        self.quiet_until = 0;
        self.tell();
        let Some(out) = self.out.take() else { return };
        let frames = out.frames();
        if let Err(error) = out.finish() {
            self.fail(&error, frames);
        }
    }

    /// Ends the recording, whose file has so many frames.
    fn fail(&mut self, error: &io::Error, frames: u64) {
        if error.kind() == io::ErrorKind::NotFound {
            // There is no file any more.
            self.counters
                .frames
                .fetch_sub(frames.min(self.counters.frames.load(Ordering::Relaxed)), Ordering::Relaxed);
            self.counters.lost.fetch_add(frames, Ordering::Relaxed);
        }
        self.counters.failed.store(true, Ordering::Relaxed);
        tracing::error!(file = %self.path.display(), %error, "the recording ends here");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::{Scratch, read_wav};
    use proptest::prelude::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::{Command, Stdio};

    const RATE: u32 = 100;

    #[test]
    fn the_output_is_in_the_file_when_the_recorder_is_dropped() {
        let scratch = Scratch::new("record");
        let path = scratch.path("out.wav");
        let (mut tap, recorder) = Recorder::start(&path, 2, RATE).unwrap();
        let counters = Arc::clone(recorder.counters());
        for n in 0..4 {
            tap.push(&[n as f32, -(n as f32)].repeat(50));
        }
        drop(recorder);
        let expected: Vec<f32> = (0..4).flat_map(|n| [n as f32; 50]).collect();
        let planar = read_wav(&path);
        assert_eq!(planar[0], expected);
        assert_eq!(planar[1], expected.iter().map(|n| -n).collect::<Vec<_>>());
        assert_eq!(counters.frames.load(Ordering::Relaxed), 200);
        assert_eq!(counters.lost.load(Ordering::Relaxed), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_at_once() {
        let error = Recorder::start(Path::new("/dev/full"), 1, RATE).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn after_the_disk_failed_all_is_lost_and_counted() {
        let scratch = Scratch::new("failed");
        let path = scratch.path("out.wav");
        let (mut tap, mut scribe) = record(&path, 1, RATE).unwrap();
        tap.push(&[0.5; 100]);
        while scribe.step() {}
        scribe.out = None;
        scribe.fail(&io::ErrorKind::StorageFull.into(), 100);
        for _ in 0..50 {
            tap.push(&[0.5; 100]);
        }
        while scribe.step() {}
        tap.push(&[0.5; 100]);
        while scribe.step() {}
        assert_eq!(tap.counters.lost.load(Ordering::Relaxed), 5_100);
        assert_eq!(tap.counters.frames.load(Ordering::Relaxed), 100);
        assert!(tap.counters.failed.load(Ordering::Relaxed));
        assert_eq!(read_wav(&path), [[0.5; 100]]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_deleted_ends_the_recording_and_all_of_it_is_lost() {
        let scratch = Scratch::new("deleted");
        let path = scratch.path("out.wav");
        let (mut tap, mut scribe) = record(&path, 1, RATE).unwrap();
        let mut push = |scribe: &mut Scribe| {
            tap.push(&[0.5; RATE as usize]);
            while scribe.step() {}
        };
        push(&mut scribe);
        let counters = Arc::clone(&scribe.counters);
        let counted = || (counters.frames.load(Ordering::Relaxed), counters.lost.load(Ordering::Relaxed));
        assert_eq!(counted(), (u64::from(RATE), 0));
        std::fs::remove_file(&path).unwrap();
        push(&mut scribe);
        assert_eq!(counted(), (0, 2 * u64::from(RATE)));
        assert!(counters.failed.load(Ordering::Relaxed));
        push(&mut scribe);
        scribe.finish();
        assert_eq!(counted(), (0, 3 * u64::from(RATE)));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_deleted_in_the_last_moment_is_lost_too() {
        let scratch = Scratch::new("deleted-last");
        let path = scratch.path("out.wav");
        let (mut tap, mut scribe) = record(&path, 1, RATE).unwrap();
        tap.push(&[0.5; 30]);
        while scribe.step() {}
        std::fs::remove_file(&path).unwrap();
        let counters = Arc::clone(&scribe.counters);
        scribe.finish();
        assert_eq!(counters.lost.load(Ordering::Relaxed), 30);
        assert!(counters.failed.load(Ordering::Relaxed));
    }

    #[test]
    fn frames_that_nobody_rendered_are_silent_and_counted() {
        let scratch = Scratch::new("skipped");
        let path = scratch.path("out.wav");
        let (mut tap, mut scribe) = record(&path, 1, RATE).unwrap();
        tap.push(&[0.5; 10]);
        tap.skip(600);
        tap.push(&[0.25; 10]);
        while scribe.step() {}
        assert_eq!(scribe.counters.lost.load(Ordering::Relaxed), 600);
        scribe.finish();
        assert_eq!(read_wav(&path)[0], [[0.5; 10].as_slice(), &[0.0; 600], &[0.25; 10]].concat());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Each frame pushed carries its place in time; what is lost is silent, and the rest stays where it was.
        #[test]
        fn lost_frames_leave_their_place(
            channels in 1..=3u16,
            blocks in proptest::collection::vec((1..150usize, 0..3usize), 1..60),
        ) {
            let scratch = Scratch::new("gaps");
            let path = scratch.path("out.wav");
            let (mut tap, mut scribe) = record(&path, channels, RATE).unwrap();
            let mut expected: Vec<f32> = Vec::new();
            let mut lost = 0;
            for (frames, steps) in blocks.into_iter().chain([(1, 99)]) {
                let begin = expected.len();
                let block: Vec<f32> = (begin..begin + frames).map(|n| n as f32 + 1.0).collect();
                let wide: Vec<f32> = block.iter().flat_map(|&n| vec![n; usize::from(channels)]).collect();
                tap.push(&wide);
                let now_lost = tap.counters.lost.load(Ordering::Relaxed);
                let is_lost = now_lost > lost;
                lost = now_lost;
                expected.extend(block.iter().map(|&n| if is_lost { 0.0 } else { n }));
                (0..steps).for_each(|_| { scribe.step(); });
            }
            tap.push(&vec![0.0; usize::from(channels)]);
            expected.push(0.0);
            while scribe.step() {}
            scribe.finish();
            for channel in read_wav(&path) {
                prop_assert_eq!(&channel, &expected);
            }
            prop_assert_eq!(tap.counters.frames.load(Ordering::Relaxed), expected.len() as u64);
        }
    }

    const CHILD: &str = "DOWNBEAT_TEST_RECORD_TO";

    #[test]
    fn a_killed_process_leaves_a_readable_file() {
        let scratch = Scratch::new("kill");
        let path = scratch.path("out.wav");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "recorder::tests::the_process_to_be_killed", "--ignored", "--nocapture"])
            .env(CHILD, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("recorded")));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(read_wav(&path), [[0.5; 1_000], [0.5; 1_000]]);
    }

    #[test]
    #[ignore = "run by a_killed_process_leaves_a_readable_file"]
    fn the_process_to_be_killed() {
        let Some(path) = std::env::var_os(CHILD) else { return };
        let (mut tap, mut scribe) = record(Path::new(&path), 2, RATE).unwrap();
        for _ in 0..105 {
            tap.push(&[0.5; 20]);
            while scribe.step() {}
        }
        println!("recorded");
        std::io::stdout().flush().unwrap();
        let _ = std::io::stdin().read(&mut [0]);
    }
}
