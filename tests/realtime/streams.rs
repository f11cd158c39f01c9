//! The same for voices that stream from disk and for a recording: the disk's end works between the callbacks.

use crate::{BLOCK, RATE, callback, guard};
use downbeat_engine::{
    Action, Clip, ClipConfig, ClipId, Control, Event, Garbage, Offline, Origin, Play, Recorder, Settings,
    StreamConfig, Supply, Tap, VoiceShape, WavOut, When, load_clip, streams,
};
use downbeat_sync::{EnsembleTime, Span};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Two seconds, of which a tenth is in memory.
fn long_clip(path: &Path) -> Arc<Clip> {
    let mut out = WavOut::create(path, 2, RATE).expect("the temporary folder is writable");
    for n in 0..2 * RATE {
        out.write(&[(n as f32 * 0.05).sin(); 2]).expect("the disk has room");
    }
    out.finish().expect("the disk has room");
    Arc::new(load_clip(path, ClipConfig { whole: 0.5, head: 0.1 }).expect("it was just written"))
}

fn play(control: &mut Control, block: u64) {
    let when = Span::from_ratio(i128::from(block) * BLOCK as i128, i128::from(RATE)) + Span::from_millis(2);
    let action = Action::Play(Play {
        clip: ClipId(0),
        rate: [1.0, 0.7, 8.0][(block % 3) as usize],
        start: if block.is_multiple_of(5) { 1.0 } else { 0.0 },
        looped: block.is_multiple_of(2),
        shape: VoiceShape { gain: 0.2, dur: 0.3, ..VoiceShape::default() },
    });
    let at = When::at(EnsembleTime::from_bits(0) + when);
    assert!(control.send(Event { when: at, from: Origin(1), late: None, action }).is_ok());
}

/// Four callbacks in five find the disk asleep, so that frames are missing too.
#[test]
fn streaming_and_recording_never_touch_the_heap() {
    let folder = std::env::temp_dir().join(format!("downbeat-realtime-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let (pool, mut feeder) = streams(StreamConfig { streams: 8, ..StreamConfig::default() });
    let counters = Arc::clone(pool.counters());
    let (mut control, mut offline) = Offline::new(Settings { voices: 16, ..Settings::default() }, pool);
    let (mut tap, recorder): (Tap, Recorder) =
        Recorder::start(&folder.join("out.wav"), 2, RATE).expect("the temporary folder is writable");
    assert!(control.supply(Supply::Clip(ClipId(0), long_clip(&folder.join("long.wav")))).is_ok());
    let mut out = vec![0.0; 2 * BLOCK];
    let mut loudest = 0.0f32;
    let mut came_back = 0;
    for block in 0..1_000 {
        if block == 900 {
            assert!(control.supply(Supply::Free(ClipId(0))).is_ok());
        } else if block % 7 == 0 {
            play(&mut control, block);
        }
        let touched = guard::allocations(|| {
            callback(&mut offline, &mut out);
            tap.push(&out);
        });
        assert_eq!(touched, 0, "block {block} allocated or freed");
        if block % 5 == 0 {
            while feeder.step() {}
        }
        while let Some(Garbage::Clip(..)) = control.garbage() {
            came_back += 1;
        }
        loudest = out.iter().fold(loudest, |peak, sample| peak.max(sample.abs()));
    }
    drop(recorder);
    std::fs::remove_dir_all(&folder).expect("it was made by this test");
    // The test means nothing unless every path was walked.
    assert!(loudest > 0.1, "{loudest}");
    assert!(counters.refused.load(Ordering::Relaxed) > 0);
    assert!(control.counters().starved.load(Ordering::Relaxed) > 0);
    assert_eq!((counters.failed.load(Ordering::Relaxed), came_back), (0, 1));
}
