//! Sound that is interrupted from outside: servers that die or stand still, a node that stands still, files that are taken away.
//! What is lost is said.

use crate::lab::{Lab, Process, osc, read_wav};
use rosc::OscType::{Float, String as Text};
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

/// What stands at a key of `/status`; `None` if the key is not there.
fn status(socket: &UdpSocket, key: &str) -> Option<rosc::OscType> {
    socket.send(&osc::message("/status", [])).expect("it can be sent");
    let reply = std::iter::repeat_with(|| osc::receive(socket)).find(|reply| reply.addr == "/status/reply");
    let args = reply.expect("it answers").args;
    let at = args.iter().step_by(2).position(|arg| *arg == Text(key.into()))?;
    args.get(2 * at + 1).cloned()
}

fn number(socket: &UdpSocket, key: &str) -> i32 {
    status(socket, key).and_then(rosc::OscType::int).unwrap_or(0)
}

/// Asks until this is so.
fn until(socket: &UdpSocket, what: &str, is_so: impl Fn(&UdpSocket) -> bool) {
    let start = Instant::now();
    while !is_so(socket) {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Ends a node, which must take less than two seconds.
fn end(node: &mut Process) -> std::process::ExitStatus {
    let start = Instant::now();
    node.signal("TERM");
    let status = node.wait();
    assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
    status
}

#[test]
fn a_node_that_stood_still_says_what_its_recording_lacks_and_keeps_its_place() {
    let lab = Lab::new();
    let mut node = lab.node(["--record", "out.wav", "--rate", "48000", "--onset", "frame"]);
    let socket = node.socket();
    let click =
        |at| socket.send(&osc::bundle(at, [osc::message("/click", [Float(0.5)])])).expect("it is sent");
    let (begin, apart) = (osc::wall_clock() + osc::millis(200), 4_000);
    click(begin);
    until(&socket, "the first click is played", |socket| number(socket, "played") == 1);
    node.signal("STOP");
    thread::sleep(Duration::from_secs(2));
    node.signal("CONT");
    click(begin + osc::millis(apart));
    until(&socket, "the second click is played", |socket| number(socket, "played") == 2);
    until(&socket, "two seconds are missing", |socket| {
        (90_000..110_000).contains(&number(socket, "record_lost"))
    });
    node.wait_for("frames more (");
    assert!(end(&mut node).success());
    node.wait_for("of them lost");
    let (_, channels) = read_wav(&lab.path("out.wav"));
    let clicks: Vec<_> = (0..channels[0].len()).filter(|at| channels[0][*at] != 0.0).collect();
    // The seconds nobody rendered are silent in the file, so that the clicks are as far apart as in time.
    assert!(clicks.len() == 2 && clicks[1].abs_diff(clicks[0] + 48 * apart as usize) < 200, "{clicks:?}");
}

#[test]
fn a_recording_whose_file_is_deleted_is_lost_aloud() {
    let lab = Lab::new();
    let mut node = lab.node(["--record", "out.wav", "--rate", "48000"]);
    let socket = node.socket();
    until(&socket, "it records", |socket| number(socket, "recorded") > 10_000);
    std::fs::remove_file(lab.path("out.wav")).expect("it is there");
    node.wait_for("the file was deleted");
    until(&socket, "all is lost", |socket| {
        status(socket, "recording") == Some(Text("failed".into())) && number(socket, "record_lost") > 20_000
    });
    assert_eq!(end(&mut node).code(), Some(1));
    node.wait_for("is incomplete");
}

#[test]
fn a_stream_that_is_cut_off_starves_and_its_sender_is_told() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("samples")).expect("the folder takes one");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let file = lab.path("samples/long.wav");
    let mut writer = hound::WavWriter::create(&file, spec).expect("the folder takes a file");
    (0..20 * 48_000).for_each(|_| writer.write_sample(1_000i16).expect("the disk has room"));
    writer.finalize().expect("the disk has room");
    let mut node = lab.node(["--samples", "samples"]);
    let socket = node.socket();
    socket.send(&osc::message("/play", [Text("long".into())])).expect("it can be sent");
    until(&socket, "it plays", |socket| number(socket, "voices") == 1);
    assert_eq!(number(&socket, "starved"), 0);
    let cut = std::fs::OpenOptions::new().write(true).open(&file).expect("it is there");
    cut.set_len(2 * 100_000).expect("it can be cut");
    let error = std::iter::repeat_with(|| osc::receive(&socket)).find(|answer| answer.addr == "/error");
    let error = error.expect("it is told").args;
    let why = error.last().and_then(|why| why.clone().string()).expect("a reason is text");
    assert!(error[0] == Text("/play".into()) && why.contains("long.wav"), "{error:?}");
    node.wait_for("long.wav");
    until(&socket, "it starves", |socket| number(socket, "starved") > 1_000);
    assert!(end(&mut node).success());
}

#[cfg(feature = "jack")]
mod jack {
    use super::*;
    use crate::faults::server::Server;
    use crate::faults::trouble;
    use nix::sys::signal::Signal;

    #[test]
    fn ten_faults_of_a_server_end_no_node_and_lose_no_click() {
        let lab = Lab::new();
        let Some(found) = trouble::run("downbeat-drivers", 10, 2026, &lab.path("")) else {
            eprintln!("no jackd here: nothing tested");
            return;
        };
        assert_eq!((&found.deaths, found.lost_cards), (&Vec::new(), 0));
        for account in &found.accounts {
            assert_eq!(account.missing().0, 0, "{account:?}");
            assert!(account.ending < Duration::from_secs(2), "{account:?}");
        }
        assert!(found.accounts.iter().any(|account| account.played > account.unheard), "{found:?}");
    }

    #[test]
    fn a_node_on_a_server_that_stands_still_goes_on_says_so_and_ends() {
        let Some(mut server) = Server::start("downbeat-frozen") else {
            eprintln!("no jackd here: nothing tested");
            return;
        };
        let lab = Lab::new();
        let start = || {
            let mut command = lab.command([
                "node",
                "--host",
                "jack",
                "--bind",
                "127.0.0.1",
                "--port",
                "0",
                "--record",
                "out.wav",
            ]);
            let (variable, name) = server.environment();
            command.env(variable, name);
            Process::start(command)
        };
        let card = |socket: &UdpSocket, is: &str| status(socket, "card") == Some(Text(is.into()));
        let mut node = start();
        let socket = node.socket();
        until(&socket, "it plays on the card", |socket| card(socket, "playing"));
        server.signal(Signal::SIGSTOP);
        node.wait_for("stalled");
        until(&socket, "it says so", |socket| card(socket, "stalled") && number(socket, "stalls") == 1);
        let click = osc::bundle(osc::wall_clock() + osc::millis(100), [osc::message("/click", [])]);
        socket.send(&click).expect("it can be sent");
        until(&socket, "it goes on", |socket| {
            number(socket, "played") == 1 && number(socket, "unheard") == 1
        });
        assert_eq!(number(&socket, "late"), 0);
        let recorded = number(&socket, "recorded");
        until(&socket, "it records", |socket| number(socket, "recorded") > recorded + 20_000);
        assert!(end(&mut node).success());
        node.wait_for("of them lost");
        assert!(read_wav(&lab.path("out.wav")).1[0].len() > recorded as usize);

        let began = Instant::now();
        let mut node = start();
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let socket = node.socket();
        assert!(card(&socket, "away"));
        server.signal(Signal::SIGCONT);
        until(&socket, "it moves to the card", |socket| card(socket, "playing"));
        let bufsize = |frames: &str| {
            let (variable, name) = server.environment();
            std::process::Command::new("jack_bufsize").arg(frames).env(variable, name).output().is_ok()
        };
        if bufsize("512") {
            until(&socket, "it says how long the blocks are", |socket| number(socket, "buffer") == 512);
            node.wait_for("512 frames per block");
        }
        server.signal(Signal::SIGSTOP);
        assert!(end(&mut node).success());
        server.end(Signal::SIGKILL);
        server.restart();
    }
}
