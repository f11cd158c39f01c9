//! The same for what a device calls, moved from device to device, with a recording, and while nobody collects what comes
//! back: reports and garbage fill their rings.

use crate::{BLOCK, RATE, guard, send, supplies};
use downbeat_engine::device::{Callback, Format, Host, Identity};
use downbeat_engine::{Bank, Driver, Instrument, Recorder, Renderer, Settings, Streams, Supply, lane};
use downbeat_sync::{Clock, ClockEstimate, DeviceRate, EnsembleTime, LocalTime, Span};
use std::sync::atomic::Ordering;

/// More than the garbage ring holds.
const BANKS: usize = 1_500;

#[cfg_attr(feature = "rtsan", rtsan_standalone::nonblocking)]
fn called(driver: &mut Driver, now: LocalTime, out: &mut [f32]) {
    driver.render(now, Span::from_millis(5), out);
}

fn bank() -> Bank {
    (0..4).map(|_| Box::new(crate::Ping(0.0)) as Box<dyn Instrument>).collect()
}

#[test]
fn a_driver_that_moves_and_is_left_alone_never_touches_the_heap() {
    #[cfg(feature = "rtsan")]
    rtsan_standalone::ensure_initialized();
    let folder = std::env::temp_dir().join(format!("downbeat-moves-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let (tap, recorder) =
        Recorder::start(&folder.join("out.wav"), 2, RATE).expect("the temporary folder is writable");
    let (mut control, stage) = lane(16_384);
    let start = LocalTime::from_ticks(0);
    let estimate = ClockEstimate::new(start, EnsembleTime::from_bits(0));
    let settings = Settings { voices: 32, agenda: 512, ..Settings::default() };
    let renderer = Renderer::new(settings, stage, Streams::none(), estimate);
    // What is remembered is on trial for a while, at the cost of a second line.
    let known = |_: Identity<'_>, _| Some(DeviceRate { ppm: 5.0, sigma: 0.5 });
    let mut driver = Driver::new(renderer, Span::ZERO, Some(tap), Clock::new()).remembering(Box::new(known));
    supplies(&mut control);

    let mut now = start;
    let mut sent = 0;
    let mut handed_over = 0;
    for block in 0..2_000u64 {
        let (rate, channels, frames) =
            [(RATE, 2, BLOCK), (44_100, 1, 1_500), (96_000, 6, 17)][(block / 200 % 3) as usize];
        if block % 200 == 0 {
            let format = Format { rate, channels, block: frames as u32, max_block: 2_048 };
            driver.configure(format, Identity { host: Host::Alsa, name: "card" });
        }
        send(&mut control, block, &mut sent);
        while handed_over < BANKS
            && control.supply(Supply::Bank((handed_over % 2) as u8 * 200, bank())).is_ok()
        {
            handed_over += 1;
        }
        let frames = if block % 50 == 0 { 0 } else { frames };
        let mut out = vec![0.0; frames * usize::from(channels)];
        let touched = guard::allocations(|| {
            if block % 30 == 0 {
                driver.xrun();
            }
            called(&mut driver, now, &mut out);
        });
        assert_eq!(touched, 0, "block {block} allocated or freed");
        now += Span::from_ratio(frames as i128, i128::from(rate));
    }
    drop(recorder);
    std::fs::remove_dir_all(&folder).expect("it was made by this test");
    // The test means nothing unless the rings were full.
    assert!(control.counters().reports_lost.load(Ordering::Relaxed) > 0);
    let come_back = std::iter::from_fn(|| control.garbage()).count();
    assert!(handed_over == BANKS && come_back < BANKS, "{come_back}");
}
