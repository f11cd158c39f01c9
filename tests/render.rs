//! Rendering offline, through the real program: exact frames, the same bits every time.

use crate::lab::{Lab, clicks, osc, read_wav, repository};
use rosc::OscType::{Float, String as Text};

/// How many clicks the long score has.
const CLICKS: u64 = 10_000;
/// One click; a few of them on one frame stay below the limiter's threshold.
const GAIN: f32 = 1.0 / 64.0;

/// A score in SuperCollider's NRT form.
fn score(bundles: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Vec<u8> {
    let mut score = Vec::new();
    for (timetag, message) in bundles {
        let bundle = osc::bundle(timetag, [message]);
        score.extend((bundle.len() as i32).to_be_bytes());
        score.extend(bundle);
    }
    score
}

/// Pseudo-random numbers, the same on every run (Marsaglia's xorshift64).
fn random() -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Timetags within ten seconds: any, on the edges of blocks of 64 frames, and equal to the one before.
fn timetags(rate: u64) -> Vec<u64> {
    let mut random = random();
    let mut tags = vec![0];
    for number in 1..CLICKS {
        tags.push(match number % 4 {
            0 => tags[tags.len() - 1],
            1 => ((random() % (rate * 10 / 64) * 64) << 32) / rate,
            _ => random() % (10 << 32),
        });
    }
    tags
}

#[test]
fn ten_thousand_clicks_fall_on_their_frames_at_every_rate_and_block() {
    let lab = Lab::new();
    for rate in [44_100, 48_000, 96_000u64] {
        let tags = timetags(rate);
        let clicks = tags.iter().map(|tag| (*tag, osc::message("/click", [Float(GAIN)])));
        lab.write("clicks.osc", score(clicks));
        let mut expected = vec![0f32; 11 * rate as usize];
        for tag in &tags {
            let frame = (u128::from(*tag) * u128::from(rate) + (1 << 31)) >> 32;
            expected[frame as usize] += GAIN;
        }
        let mut first = None;
        for block in ["1", "16", "100", "256", "2048"] {
            let out = lab.path("out.wav");
            let (rate, out) = (rate.to_string(), out.to_str().expect("the path is text"));
            lab.ok([
                "render",
                "clicks.osc",
                "--out",
                out,
                "--rate",
                &rate,
                "--block",
                block,
                "--channels",
                "1",
            ]);
            let bytes = std::fs::read(out).expect("it was written");
            assert!(
                first.get_or_insert_with(|| bytes.clone()) == &bytes,
                "blocks of {block} differ at {rate}"
            );
        }
        let (_, heard) = read_wav(&lab.path("out.wav"));
        let wrong = heard[0].iter().zip(&expected).position(|(heard, expected)| heard != expected);
        assert_eq!(wrong, None, "the first wrong frame at {rate} Hz");
    }
}

#[test]
fn a_score_of_samples_and_tones_renders_to_the_same_bits_every_time() {
    let lab = Lab::new();
    let kit = repository("samples/audio");
    let mut random = random();
    let mut bundles: Vec<(u64, Vec<u8>)> = Vec::new();
    for number in 0..300u64 {
        let at = random() % (5 << 32);
        let name = ["kick", "snare", "bell", "loop", "downbeat"][(number % 5) as usize];
        let rate = 0.5 + (random() % 1000) as f32 / 700.0;
        let message = match number % 7 {
            0 => osc::message(
                "/tone",
                [
                    Float(110.0 * rate),
                    Text("shape".into()),
                    Text("saw".into()),
                    Text("dur".into()),
                    Float(0.3),
                ],
            ),
            1 => osc::message("/master/gain", [Float(0.2 + rate / 4.0), Float(0.1)]),
            _ => osc::message(
                "/play",
                [Text(name.into()), Text("rate".into()), Float(rate), Text("gain".into()), Float(0.2)],
            ),
        };
        bundles.push((at, message));
    }
    lab.write("mix.osc", score(bundles));
    let mut first = None;
    for block in ["64", "64", "1000", "17"] {
        let kit = kit.to_str().expect("the path is text");
        lab.ok(["render", "mix.osc", "--out", "mix.wav", "--samples", kit, "--block", block]);
        let bytes = std::fs::read(lab.path("mix.wav")).expect("it was written");
        assert!(first.get_or_insert_with(|| bytes.clone()) == &bytes, "blocks of {block} differ");
    }
}

#[test]
fn the_demonstration_is_seven_seconds_of_sound_and_refuses_nothing() {
    let lab = Lab::new();
    let (kit, demo) = (repository("samples/audio"), repository("samples/scores/two_bars.osc"));
    let (kit, demo) = (kit.to_str().expect("the path is text"), demo.to_str().expect("the path is text"));
    let output = lab.run(["render", demo, "--out", "demo.wav", "--samples", kit, "--tail", "3s"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stderr.contains("30 events, 0 late, 0 dropped, 0 voices stolen, 0 bundles refused"),
        "{}",
        output.stderr
    );
    let (rate, channels) = read_wav(&lab.path("demo.wav"));
    assert_eq!((rate, channels.len(), channels[0].len()), (48_000, 2, 7 * 48_000));
    assert!(channels[0][0].abs() > 0.1, "the kick begins on the first frame");
}

#[test]
fn a_recorded_take_renders() {
    let lab = Lab::new();
    let mut listener = lab.start(["listen", "--bind", "127.0.0.1", "--port", "0", "--record", "take.osc"]);
    let address = listener.address();
    let base = osc::wall_clock() + osc::millis(500);
    let socket = listener.socket();
    for eighths in [4, 0, 1] {
        let click = osc::message("/click", [Float(0.5)]);
        socket.send(&osc::bundle(base + eighths * osc::millis(125), [click])).expect("it can be sent");
        listener.line();
    }
    lab.ok(["send", &address, "/nobody/knows"]);
    listener.line();
    assert!(listener.interrupt().success());
    let output = lab.run(["render", "take.osc", "--out", "take.wav", "--tail", "100ms"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("/nobody/knows: no such address"), "{}", output.stderr);
    assert!(output.stderr.contains("1 bundles refused"), "{}", output.stderr);
    let (_, channels) = read_wav(&lab.path("take.wav"));
    let heard = clicks(&channels[0]);
    assert_eq!([heard[1] - heard[0], heard[2] - heard[1]], [6_000, 18_000]);
}
