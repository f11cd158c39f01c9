//! Senders whose clocks are wrong: measured in any case, and played by their own rhythm where the user asks for it.

use crate::lab::{Lab, clicks, osc, read_wav};
use rosc::OscType::{Float, Int, String as Text};
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

const CLICKS: u64 = 40;
const HOUR: u64 = 3_600_000;

/// Sends clicks every so many milliseconds, stamped on a grid by a clock that is wrong, each a little late, now more,
/// now less.
fn play(socket: &UdpSocket, every: u64, gain: f32, wrong: impl Fn(u64) -> u64) {
    let (begin, first) = (Instant::now(), wrong(osc::wall_clock()));
    for number in 0..CLICKS {
        let held_up = number * 7 % 19;
        let due = Duration::from_millis(number * every + held_up);
        thread::sleep(due.saturating_sub(begin.elapsed()));
        let click = osc::message("/click", [Float(gain)]);
        socket.send(&osc::bundle(first + osc::millis(number * every), [click])).expect("it can be sent");
    }
}

/// What the node tells of its senders, one text of pairs each.
fn senders(socket: &UdpSocket, count: usize) -> Vec<Vec<rosc::OscType>> {
    socket.send(&osc::message("/sync/senders", [])).expect("it can be sent");
    (0..count)
        .map(|_| osc::receive(socket))
        .inspect(|answer| assert_eq!(answer.addr, "/sync/senders/reply"))
        .map(|answer| answer.args)
        .collect()
}

fn value(pairs: &[rosc::OscType], key: &str) -> rosc::OscType {
    let at = pairs.iter().position(|arg| *arg == Text(key.into())).expect("the key is there");
    pairs[at + 1].clone()
}

/// Two senders at once, an hour behind and 1.5 s ahead, through real sockets: each keeps its own rhythm.
#[test]
fn two_wrong_clocks_keep_their_rhythms() {
    let lab = Lab::new();
    let flags = ["--timetags", "sender", "--sender-lead", "500ms", "--onset", "frame", "--record", "out.wav"];
    let mut node = lab.node(flags);
    let (behind, ahead, asks) = (node.socket(), node.socket(), node.socket());
    thread::scope(|scope| {
        scope.spawn(|| play(&behind, 50, 0.3, |now| now - osc::millis(HOUR)));
        scope.spawn(|| play(&ahead, 73, 0.6, |now| now + osc::millis(1_500)));
    });
    osc::wait_for_events(&asks, 2 * CLICKS as i32);
    assert_eq!(osc::status(&asks, "late"), 0);
    let told = senders(&asks, 2);
    let lead = |pairs: &[rosc::OscType]| value(pairs, "lead_ms").float().expect("it is a float");
    let behind = told.iter().find(|pairs| lead(pairs) < 0.0).expect("one is behind");
    let ahead = told.iter().find(|pairs| lead(pairs) > 0.0).expect("one is ahead");
    assert!((lead(behind) + HOUR as f32).abs() < 50.0, "{behind:?}");
    assert!((lead(ahead) - 1_500.0).abs() < 50.0, "{ahead:?}");
    for (pairs, state) in [(behind, "off"), (ahead, "right")] {
        assert_eq!(value(pairs, "state"), Text(state.into()));
        assert_eq!(value(pairs, "packets"), Int(CLICKS as i32));
        assert_eq!(value(pairs, "jumps"), Int(0));
    }

    assert!(node.interrupt().success());
    let (_, channels) = read_wav(&lab.path("out.wav"));
    for (gain, frames) in [(0.3, 2_400), (0.6, 3_504)] {
        // Both at once are louder than either.
        let is_ours = |frame: &&i64| {
            let heard = channels[0][**frame as usize];
            (heard - gain).abs() < 0.01 || heard > 0.85
        };
        let all = clicks(&channels[0]);
        let heard: Vec<i64> = all.iter().filter(is_ours).copied().collect();
        assert_eq!(heard.len(), CLICKS as usize, "{heard:?}");
        // The bend and the drift found so far, and rounding. After half a second in which this machine did nothing, a bend
        // may be ten frames; the packets themselves came up to 900 beside their grid.
        let mut off: Vec<i64> = heard.windows(2).map(|pair| (pair[1] - pair[0] - frames).abs()).collect();
        off.sort_unstable();
        let (usual, most) = (off[off.len() / 2], off[off.len() - 1]);
        assert!(usual <= 2 && most <= 10, "{off:?} frames off a distance of {frames}: {heard:?}");
    }
}

/// By the ensemble's clock nothing of it is moved, though it is measured.
#[test]
fn a_wrong_clock_is_measured_and_taken_at_its_word() {
    let lab = Lab::new();
    let node = lab.node([]);
    let socket = node.socket();
    let click = || osc::message("/click", [Float(0.5)]);
    for number in 0..20 {
        let wrong = osc::wall_clock() - osc::millis(600);
        socket.send(&osc::bundle(wrong, [click()])).expect("it can be sent");
        osc::wait_until_taken(&socket, number + 1);
    }
    osc::wait_for_events(&socket, 20);
    assert_eq!(osc::status(&socket, "late"), 20);
    let told = &senders(&socket, 1)[0];
    assert_eq!(value(told, "state"), Text("off".into()));
    let lead = value(told, "lead_ms").float().expect("it is a float");
    assert!((lead + 600.0).abs() < 50.0, "{lead}");
}
