//! Devices on real threads: the virtual one always, JACK where a server can be started (feature `jack`).

use downbeat_engine::device::{
    Callback, Device, DeviceError, Format, Host, Identity, Standing, Wanted, list,
};
use downbeat_sync::{Clock, LocalTime, Span};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;
#[cfg(feature = "jack")]
use std::time::Instant;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Configured(Format),
    Rendered { now: LocalTime, latency: Span, samples: usize },
}

/// Tells of everything that is asked of it. (It allocates; nobody listens.)
struct Witness(Sender<Seen>);

impl Callback for Witness {
    fn configure(&mut self, format: Format, _: Identity<'_>) {
        let _ = self.0.send(Seen::Configured(format));
    }

    fn render(&mut self, now: LocalTime, latency: Span, out: &mut [f32]) {
        assert!(out.iter().all(|sample| *sample == 0.0), "the block is silent to begin with");
        out.fill(0.1);
        let _ = self.0.send(Seen::Rendered { now, latency, samples: out.len() });
    }

    fn xrun(&mut self) {}
}

fn start(wanted: Wanted) -> (Result<Device, DeviceError>, Receiver<Seen>) {
    let (told, seen) = mpsc::channel();
    (Device::start(wanted, Clock::new(), Box::new(Witness(told))), seen)
}

/// The blocks asked for next, up to so many; stops at a change of device.
fn blocks(seen: &Receiver<Seen>, count: usize) -> Vec<(LocalTime, Span, usize)> {
    let next = || seen.recv_timeout(PATIENCE).expect("the device calls");
    let rendered = std::iter::repeat_with(next).map_while(|seen| match seen {
        Seen::Rendered { now, latency, samples } => Some((now, latency, samples)),
        Seen::Configured(_) => None,
    });
    rendered.take(count).collect()
}

#[test]
fn the_virtual_device_asks_for_exact_blocks_and_gives_the_callback_back() {
    let (buffer, rate) = (128, 48_000);
    let wanted = Wanted {
        host: Host::Virtual,
        rate: Some(rate),
        buffer: Some(buffer),
        channels: Some(3),
        ..Wanted::default()
    };
    let (device, seen) = start(wanted);
    let device = device.expect("it needs nothing");
    let format = Format { rate, channels: 3, block: buffer, max_block: buffer };
    assert_eq!(seen.recv_timeout(PATIENCE), Ok(Seen::Configured(format)));
    let state = device.state();
    assert_eq!((state.host, state.standing, state.format), (Host::Virtual, Standing::Wanted, format));

    let block = Span::from_ratio(i128::from(buffer), i128::from(rate));
    let asked = blocks(&seen, 20);
    for pair in asked.windows(2) {
        let [(before, ..), (after, latency, samples)] = pair else { unreachable!("windows of two") };
        let blocks = ((*after - *before).ticks() + block.ticks() / 2) / block.ticks();
        let exact = Span::from_ratio(i128::from(blocks) * i128::from(buffer), i128::from(rate));
        assert!(blocks >= 1 && (*after - *before - exact).abs() <= Span::from_ticks(1));
        assert_eq!((*latency, *samples), (block, 3 * buffer as usize));
    }
    assert!(device.stop().is_ok());
    assert!(seen.try_iter().all(|seen| matches!(seen, Seen::Rendered { .. })));
}

#[test]
fn without_any_card_auto_plays_on_something_and_says_what() {
    let (device, seen) = start(Wanted { device: Some("no such card".into()), ..Wanted::default() });
    let device = device.expect("there always is the virtual device");
    let state = device.state();
    assert_eq!((state.host, state.standing), (Host::Virtual, Standing::Meanwhile));
    assert!(state.note.is_some());
    assert!(matches!(seen.recv_timeout(PATIENCE), Ok(Seen::Configured(_))));
    assert_eq!(blocks(&seen, 5).len(), 5);
}

#[test]
fn what_no_device_can_do_is_refused() {
    let odd = |wanted| start(wanted).0.err().map(|error| error.to_string());
    let buffer = Wanted { buffer: Some(1), ..Wanted::default() };
    assert_eq!(odd(buffer).as_deref(), Some("the virtual device has no buffer of 1: 16 to 8192"));
    if cfg!(not(feature = "jack")) {
        let jack = Wanted { host: Host::Jack, ..Wanted::default() };
        let said = odd(jack).expect("this build has none");
        assert_eq!(said, "this build has no host jack: build it with --features jack");
    }
}

#[test]
fn the_virtual_device_is_always_listed() {
    let hosts = list();
    let last = hosts.last().expect("one at least");
    assert_eq!(last.host, Host::Virtual);
    assert!(last.devices.as_ref().is_ok_and(|devices| devices.len() == 1 && devices[0].default));
}

#[cfg(feature = "jack")]
mod jack {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use std::process::{Child, Command, Stdio};

    /// Set in the process that runs the test against a server of its own: libjack takes the server's name from the
    /// environment, which a process cannot safely change for itself.
    const SERVER: &str = "JACK_DEFAULT_SERVER";

    /// A JACK server without hardware, ended with this value.
    ///
    /// A machine has places for eight servers, and one that is killed keeps its own until one of the same name starts:
    /// so all runs use one name, and the last server of a run is asked to end.
    struct Server(Child);

    impl Server {
        fn start(name: &str) -> Option<Server> {
            Command::new("jackd")
                .args(["-r", "-n", name, "-d", "dummy", "-r", "48000", "-p", "256"])
                .env("JACK_NO_AUDIO_RESERVATION", "1")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
                .map(Server)
        }

        /// Dies without a word.
        fn crash(mut self) {
            self.0.kill().expect("it is ours");
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            // One that crashed is gone already; one that stands still hears nothing until it goes on.
            let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGCONT);
            let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }

    /// The format of the next device, skipping blocks.
    fn moved(seen: &Receiver<Seen>) -> Format {
        loop {
            if let Seen::Configured(format) = seen.recv_timeout(PATIENCE).expect("the device calls") {
                return format;
            }
        }
    }

    #[test]
    fn a_server_that_dies_and_returns_takes_the_callback_along() {
        let program = std::env::current_exe().expect("a test has a program");
        let name = "jack::with_a_server_of_its_own";
        let mut run = Command::new(program);
        run.args(["--exact", name, "--ignored", "--nocapture"]).env(SERVER, "downbeat_test");
        assert!(run.status().expect("a test can be started").success());
    }

    #[test]
    fn a_server_that_stands_still_takes_nothing_along() {
        let program = std::env::current_exe().expect("a test has a program");
        let name = "jack::with_a_server_that_stands_still";
        let mut run = Command::new(program);
        run.args(["--exact", name, "--ignored", "--nocapture"]).env(SERVER, "downbeat_still");
        assert!(run.status().expect("a test can be started").success());
    }

    #[test]
    #[ignore = "run by the test above, with a server's name in the environment"]
    fn with_a_server_that_stands_still() {
        let name = std::env::var(SERVER).expect("given by the test above");
        let Some(server) = Server::start(&name) else {
            eprintln!("no jackd here: nothing tested");
            return;
        };
        let still = |on: bool| {
            let signal = if on { Signal::SIGSTOP } else { Signal::SIGCONT };
            kill(Pid::from_raw(server.0.id() as i32), signal).expect("it is ours");
        };
        let wanted = || Wanted { host: Host::Jack, ..Wanted::default() };
        let (device, seen) = start(wanted());
        let device = device.expect("this build has JACK");
        while device.state().host != Host::Jack {
            moved(&seen);
        }
        for _ in 0..3 {
            let before = device.state().stalls;
            still(true);
            let stopped = Instant::now();
            moved(&seen);
            assert!(stopped.elapsed() < Duration::from_millis(1_500), "{:?}", stopped.elapsed());
            assert_eq!(blocks(&seen, 50).len(), 50, "it goes on without the server");
            let state = device.state();
            assert_eq!(state.standing, Standing::Stalled);
            assert!(state.stalls > before, "it is counted");
            assert!(state.note.is_some_and(|note| note.contains("stalled")));
            still(false);
            moved(&seen);
            // A busy host may keep the server waiting once more before it is back for good.
            while blocks(&seen, 50).len() < 50 || device.state().host != Host::Jack {}
            let state = device.state();
            assert_eq!((state.host, state.standing, state.reopened), (Host::Jack, Standing::Wanted, 0));
        }
        // The end comes soon, with the callback, and says that the driver hangs.
        still(true);
        let stopped = Instant::now();
        assert!(device.stop().is_ok(), "the callback is not lost");
        assert!(stopped.elapsed() < Duration::from_secs(2), "{:?}", stopped.elapsed());
        // So does the beginning; this program has one client that hangs, and a node would have none.
        still(false);
        std::thread::sleep(Duration::from_secs(1));
        still(true);
        let began = Instant::now();
        let (device, seen) = start(wanted());
        let device = device.expect("there always is the virtual device");
        assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
        assert_eq!(device.state().standing, Standing::Meanwhile);
        assert_eq!(blocks(&seen, 50).len(), 0, "it is configured");
        assert_eq!(blocks(&seen, 50).len(), 50);
        still(false);
        moved(&seen);
        assert_eq!(device.state().host, Host::Jack);
        still(true);
        assert!(!device.close(), "the driver does not come back");
        still(false);
    }

    #[test]
    #[ignore = "run by the test above, with a server's name in the environment"]
    fn with_a_server_of_its_own() {
        let name = std::env::var(SERVER).expect("given by the test above");
        let Some(server) = Server::start(&name) else {
            eprintln!("no jackd here: nothing tested");
            return;
        };
        let (device, seen) = start(Wanted { host: Host::Jack, rate: Some(44_100), ..Wanted::default() });
        let device = device.expect("this build has JACK");
        // The server may take longer to start than the first try; then it is virtual first.
        while moved(&seen).block != 256 || device.state().host != Host::Jack {}
        let state = device.state();
        assert_eq!((state.format.rate, state.standing), (48_000, Standing::Wanted));
        assert!(state.note.is_some_and(|note| note.contains("48000 instead of 44100 Hz")));
        let (_, latency, samples) = blocks(&seen, 300).pop().expect("300 blocks");
        assert_eq!(samples, 512);
        let frames = latency.as_secs_f64() * 48_000.0;
        assert!((500.0..513.0).contains(&frames), "{frames} frames of latency");

        server.crash();
        moved(&seen);
        assert_eq!(blocks(&seen, 50).len(), 50, "it goes on without the server");
        assert_eq!((device.state().host, device.state().standing), (Host::Virtual, Standing::Meanwhile));

        let _server = Server::start(&name).expect("it started before");
        moved(&seen);
        assert_eq!(blocks(&seen, 50).len(), 50);
        assert_eq!((device.state().host, device.state().reopened), (Host::Jack, 1));
        assert!(device.stop().is_ok());
    }
}
