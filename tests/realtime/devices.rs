//! The same for what a device calls, moved from device to device, with a recording, and while nobody collects what comes
//! back: reports and garbage fill their rings.

use crate::{BLOCK, RATE, guard, send, supplies};
use downbeat_engine::device::{Callback, Device, Format, Host, Identity, Wanted};
use downbeat_engine::{Bank, Driver, Instrument, Recorder, Renderer, Settings, Streams, Supply, lane};
use downbeat_sync::{Clock, ClockEstimate, DeviceRate, EnsembleTime, LocalTime, Span};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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

/// Watches its thread from each block's end to the next block's begin: what the device itself does, its seat and its feed.
struct Between {
    blocks: Arc<AtomicU64>,
    touched: Arc<AtomicU64>,
}

impl Callback for Between {
    fn configure(&mut self, _: Format, _: Identity<'_>) {}

    fn render(&mut self, _: LocalTime, _: Span, _: &mut [f32]) {
        self.touched.fetch_add(guard::unwatch(), Ordering::Relaxed);
        self.blocks.fetch_add(1, Ordering::Relaxed);
        guard::watch();
    }

    fn xrun(&mut self) {}
}

/// Lets a device call for so many blocks; how often its thread touched the heap between them.
fn touched_between(wanted: Wanted, blocks: u64) -> u64 {
    let [called, touched] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let callback = Between { blocks: Arc::clone(&called), touched: Arc::clone(&touched) };
    let host = wanted.host;
    let device = Device::start(wanted, Clock::new(), Box::new(callback)).expect("this build has it");
    let start = Instant::now();
    let until = |is_so: &dyn Fn() -> bool| {
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(20), "it does not call");
            thread::sleep(Duration::from_millis(5));
        }
    };
    // A server may take longer to start than the first try.
    until(&|| device.state().host == host);
    let before = called.load(Ordering::Relaxed);
    until(&|| called.load(Ordering::Relaxed) >= before + blocks);
    drop(device);
    touched.load(Ordering::Relaxed)
}

#[test]
fn the_virtual_device_never_touches_the_heap() {
    assert_eq!(touched_between(Wanted { host: Host::Virtual, ..Wanted::default() }, 200), 0);
}

#[cfg(feature = "jack")]
mod jack {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::process::{Command, Stdio};

    /// Set in the process that runs the test against a server of its own.
    const SERVER: &str = "JACK_DEFAULT_SERVER";

    #[test]
    fn a_client_of_jack_never_touches_the_heap() {
        let program = std::env::current_exe().expect("a test has a program");
        let mut run = Command::new(program);
        run.args(["--exact", "devices::jack::with_a_server_of_its_own", "--ignored", "--nocapture"]);
        assert!(run.env(SERVER, "downbeat_heap").status().expect("a test can be started").success());
    }

    #[test]
    #[ignore = "run by the test above, with a server's name in the environment"]
    fn with_a_server_of_its_own() {
        let name = std::env::var(SERVER).expect("given by the test above");
        let mut command = Command::new("jackd");
        command.args(["-r", "-n", &name, "-d", "dummy", "-r", "48000", "-p", "256"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut server) = command.spawn() else {
            eprintln!("no jackd here: nothing tested");
            return;
        };
        let touched = touched_between(Wanted { host: Host::Jack, ..Wanted::default() }, 200);
        kill(Pid::from_raw(server.id() as i32), Signal::SIGTERM).expect("it is ours");
        server.wait().expect("it is ours");
        assert_eq!(touched, 0);
    }
}
