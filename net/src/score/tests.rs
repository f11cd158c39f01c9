//! The address space in tables: what every message becomes, and what every wrong one is told.

use super::*;
use crate::osc::{Arg, BundleWriter};
use downbeat_engine::{Action, LatePolicy, MAX_ARGS, Param, Play, Target, Tone, VoiceId, VoiceShape, Wave};
use downbeat_sync::ClockEstimate;
use proptest::prelude::*;

const KICK: ClipId = ClipId(3);
const SNARE: ClipId = ClipId(4);
/// Ids that are strings are numbered from here.
const NAMED: u32 = 1 << 31;

fn score() -> Score {
    let mut score = Score::new(ScoreConfig { channels: 4, ..ScoreConfig::default() });
    assert_eq!(score.add_sample("kick", KICK), None);
    assert_eq!(score.add_sample("snare", SNARE), None);
    score.register("/bell", 7).unwrap();
    score
}

fn arrival() -> Arrival {
    let at = LocalTime::from_ticks(0) + Span::from_secs(100);
    let line = ClockEstimate::new(at, EnsembleTime::from_unix(Span::from_secs(1_700_000_000)));
    let clock = RoomClock::steady(line);
    Arrival { at, from: Origin(9), clock }
}

/// A timetag this far after the arrival.
fn tag(ahead: Span) -> u64 {
    (arrival().clock.ensemble_at(arrival().at) + ahead).bits()
}

fn message(address: &str, args: &[Arg<'_>]) -> Vec<u8> {
    let mut packet = Vec::new();
    osc::write(&mut packet, address, args.iter().copied()).unwrap();
    packet
}

fn bundle(timetag: u64, elements: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut bundle = BundleWriter::new(&mut packet, timetag);
    for element in elements {
        bundle.packet(element.as_ref()).unwrap();
    }
    packet
}

fn read(score: &mut Score, packet: &[u8]) -> Result<Vec<Event>, String> {
    let staged = score.read(packet, &arrival()).map_err(|refusal| refusal.to_string())?;
    Ok(staged.events.clone())
}

#[test]
fn a_name_that_is_no_text_is_refused() {
    let refusal = score().read(b"/sample/load\0\0\0\0,s\0\0\xff\0\0\0", &arrival()).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "\"\u{fffd}\" is no name for a sample: it must be UTF-8, and must not start with / or be empty"
    );
}

/// What one message does, or why it does nothing.
fn action(address: &str, args: &[Arg<'_>]) -> Result<Action, String> {
    let events = read(&mut score(), &message(address, args))?;
    assert_eq!(events.len(), 1, "{address}");
    Ok(events[0].action)
}

fn play(clip: ClipId) -> Play {
    Play { clip, rate: 1.0, start: 0.0, looped: false, shape: VoiceShape::default() }
}

fn shaped(change: impl FnOnce(&mut VoiceShape)) -> VoiceShape {
    let mut shape = VoiceShape::default();
    change(&mut shape);
    shape
}

#[test]
fn play_takes_a_sample_numbers_and_pairs() {
    let kick = Arg::from("kick");
    let cases: Vec<(Vec<Arg<'_>>, Play)> = vec![
        (vec![kick], play(KICK)),
        (vec![Arg::Symbol(b"kick")], play(KICK)),
        (vec![kick, Arg::Int(1), 0.5_f32.into()], Play { shape: shaped(|s| s.pan = 0.5), ..play(KICK) }),
        (
            vec![kick, 0.5_f32.into(), Arg::Int(-1), 2.0.into()],
            Play {
                rate: 2.0,
                shape: shaped(|s| {
                    s.gain = 0.5;
                    s.pan = -1.0;
                }),
                ..play(KICK)
            },
        ),
        (vec![kick, "gain".into(), Arg::Long(2)], Play { shape: shaped(|s| s.gain = 2.0), ..play(KICK) }),
        (vec![kick, "db".into(), Arg::Int(-20)], Play { shape: shaped(|s| s.gain = 0.1), ..play(KICK) }),
        (
            vec![kick, Arg::Int(1), "gain".into(), 0.25.into()],
            Play { shape: shaped(|s| s.gain = 0.25), ..play(KICK) },
        ),
        (
            vec![kick, "rate".into(), 0.5.into(), "start".into(), 1.5.into(), "loop".into(), Arg::Int(1)],
            Play { rate: 0.5, start: 1.5, looped: true, ..play(KICK) },
        ),
        (vec![kick, "loop".into(), Arg::True], Play { looped: true, ..play(KICK) }),
        (vec![kick, "loop".into(), Arg::False], play(KICK)),
        (
            vec![
                kick,
                "dur".into(),
                2.0.into(),
                "attack".into(),
                0.125.into(),
                "release".into(),
                0.25.into(),
            ],
            Play {
                shape: shaped(|s| {
                    s.dur = 2.0;
                    s.attack = 0.125;
                    s.release = 0.25;
                }),
                ..play(KICK)
            },
        ),
        (
            vec![kick, "channel".into(), 3.0.into()],
            Play { shape: shaped(|s| s.channel = Some(3)), ..play(KICK) },
        ),
        (
            vec![kick, "id".into(), Arg::Int(7)],
            Play { shape: shaped(|s| s.id = Some(VoiceId::new(7))), ..play(KICK) },
        ),
        (
            vec![kick, "id".into(), 7.0_f32.into()],
            Play { shape: shaped(|s| s.id = Some(VoiceId::new(7))), ..play(KICK) },
        ),
        (
            vec![kick, "id".into(), "a".into()],
            Play { shape: shaped(|s| s.id = Some(VoiceId::new(NAMED))), ..play(KICK) },
        ),
    ];
    for (args, wanted) in cases {
        assert_eq!(action("/play", &args), Ok(Action::Play(wanted)), "{args:?}");
    }
}

#[test]
fn every_other_message_becomes_its_event() {
    let tone = Tone { freq: 440.0, wave: Wave::Sine, shape: VoiceShape::default() };
    let half = Action::Play(Play { shape: shaped(|s| s.gain = 0.5), ..play(KICK) });
    let mut numbers = [f32::NAN; MAX_ARGS];
    numbers[..2].copy_from_slice(&[60.0, 0.5]);
    let id = VoiceId::new(7);
    let set = |param, value, seconds| Action::Set { id, param, value, seconds };
    let cases: Vec<(&str, Vec<Arg<'_>>, Action)> = vec![
        ("/kick", vec![], Action::Play(play(KICK))),
        ("/kick", vec!["kick".into()], Action::Play(play(KICK))),
        ("/kick", vec![0.5.into(), "anything".into(), Arg::Nil], half),
        ("/kick", vec![Arg::Blob(b"x"), 0.5.into()], Action::Play(play(KICK))),
        ("/click", vec![], Action::Click { gain: 1.0 }),
        ("/click", vec![0.5_f32.into()], Action::Click { gain: 0.5 }),
        ("/tone", vec![Arg::Int(440)], Action::Tone(tone)),
        (
            "/tone",
            vec![Arg::Int(440), "shape".into(), "saw".into()],
            Action::Tone(Tone { wave: Wave::Saw, ..tone }),
        ),
        (
            "/tone",
            vec![Arg::Int(440), "decay".into(), Arg::Int(1), "sustain".into(), 0.5.into()],
            Action::Tone(Tone {
                shape: shaped(|s| {
                    s.decay = 1.0;
                    s.sustain = 0.5;
                }),
                ..tone
            }),
        ),
        ("/set", vec![Arg::Int(7), "gain".into(), 0.5.into()], set(Param::Gain, 0.5, 0.0)),
        ("/set", vec![Arg::Int(7), "db".into(), Arg::Int(20)], set(Param::Gain, 10.0, 0.0)),
        ("/set", vec![Arg::Int(7), "pan".into(), Arg::Int(-1), Arg::Int(2)], set(Param::Pan, -1.0, 2.0)),
        ("/set", vec![Arg::Int(7), "rate".into(), 1.5.into()], set(Param::Rate, 1.5, 0.0)),
        ("/set", vec![Arg::Int(7), "freq".into(), Arg::Int(220)], set(Param::Freq, 220.0, 0.0)),
        ("/stop", vec![], Action::Stop(Target::All)),
        ("/stop", vec![Arg::Int(7)], Action::Stop(Target::Voice(id))),
        ("/stop", vec!["snare".into()], Action::Stop(Target::Clip(SNARE))),
        ("/panic", vec![], Action::Panic),
        ("/cancel", vec![], Action::Cancel(None)),
        ("/cancel", vec![Arg::Int(7)], Action::Cancel(Some(id))),
        ("/master/gain", vec![0.5.into()], Action::MasterGain { value: 0.5, seconds: 0.0 }),
        ("/master/gain", vec![Arg::Int(1), Arg::Int(3)], Action::MasterGain { value: 1.0, seconds: 3.0 }),
        ("/master/mute", vec![Arg::Int(1)], Action::MasterMute { on: true, seconds: 0.0 }),
        ("/master/mute", vec![Arg::False, 0.5.into()], Action::MasterMute { on: false, seconds: 0.5 }),
    ];
    for (address, args, wanted) in cases {
        assert_eq!(action(address, &args), Ok(wanted), "{address} {args:?}");
    }
    let Ok(Action::Instrument(bell)) =
        action("/bell", &[Arg::Int(60), 0.5.into(), "pan".into(), Arg::Int(1)])
    else {
        panic!("no instrument");
    };
    assert_eq!((bell.bank, bell.shape), (7, shaped(|s| s.pan = 1.0)));
    assert_eq!(bell.args.map(f32::to_bits), numbers.map(f32::to_bits));
}

#[test]
fn every_request_is_staged() {
    let file = |name: &str, file: &str| Request::Load { name: name.into(), file: file.into() };
    let time = |form, asked: Vec<u8>| Request::Time { form, asked };
    let echo = |address| message(address, &[Arg::Nil, "x".into()]);
    let cases: Vec<(Vec<u8>, Request)> = vec![
        (message("/sample/load", &["hat".into()]), file("hat", "hat.wav")),
        (message("/sample/load", &["hat".into(), "kit/hat2.wav".into()]), file("hat", "kit/hat2.wav")),
        (message("/sample/free", &["kick".into()]), Request::Free { name: "kick".into() }),
        (message("/sample/list", &[]), Request::List),
        (message("/notify", &[Arg::Int(1)]), Request::Notify(true)),
        (message("/notify", &[0.0.into()]), Request::Notify(false)),
        (message("/status", &[]), Request::Status),
        (message("/sync/status", &[]), Request::SyncStatus),
        (echo("/sync/time"), time(TimeForm::Timetag, echo("/sync/time"))),
        (echo("/sync/time/ii"), time(TimeForm::Ints, echo("/sync/time/ii"))),
        (echo("/sync/time/s"), time(TimeForm::Text, echo("/sync/time/s"))),
    ];
    for (packet, wanted) in cases {
        let mut score = score();
        let staged = score.read(&packet, &arrival()).unwrap();
        assert_eq!((&staged.events[..], &staged.requests[..]), (&[][..], &[wanted][..]));
    }
}

#[test]
fn what_is_wrong_is_said_in_a_sentence() {
    let (kick, hi) = (Arg::from("kick"), Arg::from("hi"));
    let long = "x".repeat(129);
    let cases: Vec<(&str, Vec<Arg<'_>>, &str)> = vec![
        (
            "/nobody",
            vec![],
            "no such address, and no sample of this name is loaded: /sample/list tells which are",
        ),
        ("/nobody*", vec![], "the pattern matches no address"),
        ("/{kick", vec![], "address pattern with { but no }"),
        (
            "/play",
            vec![],
            "the sample's name is missing: the message is /play sample [gain [pan [rate]]] [key value]...",
        ),
        ("/play", vec![Arg::Int(1)], "the sample's name must be a string, not of type i"),
        ("/play", vec!["nope".into()], "no sample named \"nope\" is loaded: /sample/list tells which are"),
        ("/play", vec![kick, "gain".into()], "the key gain has no value after it"),
        ("/play", vec![kick, "gain".into(), hi], "gain must be a number, not of type s"),
        ("/play", vec![kick, "gain".into(), Arg::True], "gain must be a number, not of type T"),
        ("/play", vec![kick, "gain".into(), f32::NAN.into()], "gain must be from 0 to 1000, not NaN"),
        ("/play", vec![kick, "gain".into(), f32::INFINITY.into()], "gain must be from 0 to 1000, not inf"),
        ("/play", vec![kick, Arg::Int(-1)], "gain must be from 0 to 1000, not -1"),
        (
            "/play",
            vec![kick, "db".into(), f64::NEG_INFINITY.into()],
            "db must be from -1000 to 60 dB, not -inf",
        ),
        ("/play", vec![kick, "pan".into(), 1.5.into()], "pan must be from -1 to 1, not 1.5"),
        ("/play", vec![kick, "rate".into(), Arg::Int(-1)], "rate must be from 0.001 to 64, not -1"),
        ("/play", vec![kick, "rate".into(), Arg::Int(0)], "rate must be from 0.001 to 64, not 0"),
        ("/play", vec![kick, "start".into(), Arg::Int(-1)], "start must be from 0 to 86400 s, not -1"),
        ("/play", vec![kick, "dur".into(), f64::NAN.into()], "dur must be from 0 to 86400 s, not NaN"),
        ("/play", vec![kick, "attack".into(), Arg::Int(-1)], "attack must be from 0 to 86400 s, not -1"),
        (
            "/play",
            vec![kick, "release".into(), 1e9.into()],
            "release must be from 0 to 86400 s, not 1000000000",
        ),
        ("/play", vec![kick, "loop".into(), Arg::Int(2)], "loop must be from 0 to 1, not 2"),
        (
            "/play",
            vec![kick, "channel".into(), Arg::Int(4)],
            "channel must be from 0 to 3 (channels are counted from 0), not 4",
        ),
        ("/play", vec![kick, "id".into(), 0.5.into()], "id must be from 0 to 2147483647, not 0.5"),
        ("/play", vec![kick, "id".into(), Arg::Int(-1)], "id must be from 0 to 2147483647, not -1"),
        ("/play", vec![kick, "id".into(), Arg::Nil], "id must be a string or a whole number, not of type N"),
        (
            "/play",
            vec![kick, "id".into(), Arg::Str(long.as_bytes())],
            "id must be of at most 64 bytes, not 129",
        ),
        ("/play", vec![kick, "late".into(), hi], "late must be play, drop or trim, not \"hi\""),
        ("/play", vec![kick, "late".into(), Arg::Int(1)], "late must be play, drop or trim, not of type i"),
        (
            "/play",
            vec![kick, "shape".into(), hi],
            "unknown key \"shape\": there are gain, db, pan, channel, rate, start, loop, attack, decay, sustain, release, dur, id, late",
        ),
        (
            "/play",
            vec![kick, Arg::Int(1), Arg::Int(1), Arg::Int(1), Arg::Int(1)],
            "after its first arguments the message goes on in pairs of key and value: a key must be a string, not of type i",
        ),
        (
            "/play",
            vec![Arg::ArrayStart, kick, Arg::ArrayEnd],
            "the sample's name must be a string, not of type [",
        ),
        ("/kick", vec![Arg::Int(-1)], "gain must be from 0 to 1000, not -1"),
        ("/kick", vec![f32::NAN.into()], "gain must be from 0 to 1000, not NaN"),
        ("/click", vec![hi], "gain must be a number, not of type s"),
        ("/click", vec![Arg::Int(1), Arg::Int(1)], "too many arguments: the message is /click [gain]"),
        ("/tone", vec![], "freq is missing: the message is /tone freq [key value]..."),
        ("/tone", vec![Arg::Int(0)], "freq must be from 0.001 to 192000 Hz, not 0"),
        (
            "/tone",
            vec![Arg::Int(440), "shape".into(), hi],
            "shape must be sine, saw, square or noise, not \"hi\"",
        ),
        ("/tone", vec![Arg::Int(440), "sustain".into(), Arg::Int(2)], "sustain must be from 0 to 1, not 2"),
        (
            "/bell",
            vec![Arg::Int(0); 9],
            "too many arguments: the message is /<instrument> [number]... [key value]..., of at most 8 numbers",
        ),
        ("/bell", vec![f32::NAN.into()], "a number must be a finite number, not NaN"),
        ("/bell", vec![f64::INFINITY.into()], "a number must be a finite number, not inf"),
        ("/set", vec![], "id is missing: the message is /set id key value [seconds]"),
        ("/set", vec![Arg::Int(7)], "the key is missing: the message is /set id key value [seconds]"),
        (
            "/set",
            vec![Arg::Int(7), "gain".into()],
            "gain is missing: the message is /set id key value [seconds]",
        ),
        ("/set", vec!["who".into(), "gain".into(), Arg::Int(1)], "no voice has the id \"who\""),
        (
            "/set",
            vec![Arg::Int(7), hi, Arg::Int(1)],
            "the key must be gain, db, pan, rate or freq, not \"hi\"",
        ),
        ("/set", vec![Arg::Int(7), "rate".into(), Arg::Int(-1)], "rate must be from 0.001 to 64, not -1"),
        (
            "/set",
            vec![Arg::Int(7), "gain".into(), Arg::Int(1), Arg::Int(1), Arg::Int(1)],
            "too many arguments: the message is /set id key value [seconds]",
        ),
        ("/stop", vec!["who".into()], "neither a voice's id nor a sample is named \"who\""),
        ("/stop", vec![Arg::Int(1), Arg::Int(2)], "too many arguments: the message is /stop [id or sample]"),
        ("/panic", vec![Arg::Int(1)], "too many arguments: the message is /panic"),
        ("/cancel", vec![Arg::Nil], "id must be a string or a whole number, not of type N"),
        ("/master/gain", vec![], "the value is missing: the message is /master/gain value [seconds]"),
        ("/master/gain", vec![Arg::Int(1), Arg::Int(-1)], "seconds must be from 0 to 86400 s, not -1"),
        ("/master/mute", vec![Arg::Int(2)], "the value must be from 0 to 1, not 2"),
        ("/sample/load", vec![], "the name is missing: the message is /sample/load name [file]"),
        (
            "/sample/load",
            vec!["../x".into()],
            "\"../x\" is not a file below the samples folder: give a relative path without ..",
        ),
        (
            "/sample/load",
            vec!["x".into(), "/etc/passwd".into()],
            "\"/etc/passwd\" is not a file below the samples folder: give a relative path without ..",
        ),
        (
            "/sample/load",
            vec!["x".into(), "a/../../b".into()],
            "\"a/../../b\" is not a file below the samples folder: give a relative path without ..",
        ),
        (
            "/sample/load",
            vec!["".into()],
            "\"\" is no name for a sample: it must be UTF-8, and must not start with / or be empty",
        ),
        ("/sample/load", vec![Arg::Str(long.as_bytes())], "the name must be of at most 128 bytes, not 129"),
        ("/sample/free", vec![Arg::Int(1)], "the name must be a string, not of type i"),
        ("/sample/list", vec![Arg::Int(1)], "too many arguments: the message is /sample/list"),
        ("/notify", vec![], "the value is missing: the message is /notify 0 or 1"),
        ("/notify", vec!["yes".into()], "the value must be a number, not of type s"),
        ("/status", vec![Arg::Int(1)], "too many arguments: the message is /status"),
    ];
    for (address, args, wanted) in cases {
        let told = action(address, &args).expect_err(address);
        assert_eq!(told, wanted, "{address} {args:?}");
    }
}

#[test]
fn what_is_no_osc_is_refused() {
    for garbage in [&b""[..], b"abc", b"abcd", b"/kick\0\0\0,z\0\0", b"#bundle\0"] {
        let mut score = score();
        let refusal = score.read(garbage, &arrival()).unwrap_err();
        assert_eq!(refusal.address, b"");
        assert!(refusal.to_string().starts_with("not an OSC packet: "), "{refusal}");
    }
}

#[test]
fn of_a_packet_the_first_timetag_is_measured_and_no_other() {
    let mut score = score();
    let kick = message("/kick", &[]);
    let ahead = |millis| tag(Span::from_millis(millis));
    let later = bundle(ahead(900), &[&kick]);
    let bar = bundle(ahead(100), &[&kick, &bundle(ahead(500), &[&kick, &later]), &kick]);
    for millis in [0, 250, 500] {
        let arrival = Arrival { at: arrival().at + Span::from_millis(millis), ..arrival() };
        score.read(&bar, &arrival).expect("it is understood");
    }
    let reports: Vec<_> =
        score.senders().filter_map(|(_, clock)| clock.report(arrival().clock.line())).collect();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].packets, 3, "{:?}", reports[0]);
}

#[test]
fn timetags_are_times_and_0_and_1_are_none() {
    let second = Span::from_secs(1);
    let kick = message("/kick", &[]);
    let at = |bits| When::stamped(EnsembleTime::from_bits(bits), arrival().at);
    let now = When::arrived(arrival().at);
    let nested = bundle(tag(second), &[&kick, &bundle(tag(second + second), &[&kick]), &kick]);
    let cases = [
        (kick.clone(), vec![now]),
        (bundle(0, &[&kick]), vec![now]),
        (bundle(1, &[&kick]), vec![now]),
        (bundle(tag(-second), &[&kick]), vec![at(tag(-second))]),
        (nested, [second, second + second, second].map(|ahead| at(tag(ahead))).to_vec()),
        (bundle(tag(Span::from_secs(3600)), &[&kick]), vec![at(tag(Span::from_secs(3600)))]),
    ];
    for (packet, wanted) in cases {
        let events = read(&mut score(), &packet).unwrap();
        assert_eq!(events.iter().map(|event| event.when).collect::<Vec<_>>(), wanted);
        assert!(events.iter().all(|event| event.from == Origin(9)));
    }
    let far = bundle(tag(Span::from_secs(3601)), &[&kick]);
    let told = read(&mut score(), &far).unwrap_err();
    assert_eq!(told, "the timetag is 3601 s ahead, more than 3600 s: is the sender's clock right?");
}

#[test]
fn late_is_of_the_event() {
    for (word, policy) in [("play", LatePolicy::Play), ("drop", LatePolicy::Drop), ("trim", LatePolicy::Trim)]
    {
        let events = read(&mut score(), &message("/play", &["kick".into(), "late".into(), word.into()]));
        assert_eq!(events.unwrap()[0].late, Some(policy));
    }
    assert_eq!(read(&mut score(), &message("/kick", &[])).unwrap()[0].late, None);
}

#[test]
fn a_packet_is_all_or_nothing() {
    let good = message("/kick", &[]);
    let bad = message("/play", &["nope".into()]);
    for packet in [bundle(1, &[&good, &bad]), bundle(1, &[&good, &bundle(1, &[&bad])])] {
        assert!(score().read(&packet, &arrival()).is_err());
    }
    let truncated = bundle(1, &[&good, &good]);
    let mut score = score();
    let refusal = score.read(&truncated[..truncated.len() - 4], &arrival()).unwrap_err();
    assert_eq!(refusal.address, b"");
    assert_eq!(score.read(&good, &arrival()).unwrap().events.len(), 1, "nothing is left of the refused one");
}

#[test]
fn patterns_reach_every_match_in_one_order() {
    let clips = |events: Vec<Event>| {
        let clip = |event: &Event| match event.action {
            Action::Play(play) => play.clip,
            ref other => panic!("{other:?}"),
        };
        events.iter().map(clip).collect::<Vec<_>>()
    };
    for pattern in ["/{snare,kick}", "/[ks][in][ac][rk]*", "//{kick,snare}"] {
        let mut score = score();
        score.remove_sample("kick");
        score.add_sample("kick", KICK);
        let reached = read(&mut score, &message(pattern, &[0.5.into()]));
        assert_eq!(clips(reached.unwrap()), [KICK, SNARE], "{pattern}: by address, not by age");
    }
    let mut score = score();
    let staged = score.read(&message("/*status", &[]), &arrival()).unwrap();
    assert_eq!(staged.requests, [Request::Status], "a star does not span levels");
    let staged = score.read(&message("//status", &[]), &arrival()).unwrap();
    assert_eq!(staged.requests, [Request::Status, Request::SyncStatus]);
    let events = read(&mut score, &message("/pan?c", &[])).unwrap();
    assert_eq!(events[0].action, Action::Panic, "a pattern reaches built-in addresses too");
}

#[test]
fn patterns_have_a_budget() {
    let mut score = score();
    let pattern = message("/*x", &[]);
    let miss = read(&mut score, &bundle(1, &vec![pattern.clone(); 2])).unwrap_err();
    assert_eq!(miss, "the pattern matches no address");
    let hit = message("/kic[k]", &[]);
    let told = read(&mut score, &bundle(1, &vec![hit; 10_000])).unwrap_err();
    assert_eq!(told, "too many address patterns in one packet: send them in several");
}

#[test]
fn a_packet_of_more_events_than_the_ring_holds_is_refused() {
    let mut score = Score::new(ScoreConfig { events: 3, ..ScoreConfig::default() });
    let click = message("/click", &[]);
    assert_eq!(read(&mut score, &bundle(1, &vec![click.clone(); 3])).unwrap().len(), 3);
    let told = read(&mut score, &bundle(1, &vec![click; 4])).unwrap_err();
    assert_eq!(told, "full: more events than can wait for the audio thread; send fewer at once");
}

#[test]
fn built_in_addresses_and_instruments_win_over_samples() {
    let mut score = score();
    let (tone, bell) = (ClipId(20), ClipId(21));
    score.add_sample("tone", tone);
    score.add_sample("bell", bell);
    score.add_sample("a b", ClipId(22));
    assert!(read(&mut score, &message("/tone", &[])).unwrap_err().starts_with("freq is missing"));
    assert!(matches!(read(&mut score, &message("/bell", &[])).unwrap()[0].action, Action::Instrument(_)));
    for (name, clip) in [("tone", tone), ("bell", bell), ("a b", ClipId(22))] {
        let events = read(&mut score, &message("/play", &[name.into()])).unwrap();
        assert_eq!(events[0].action, Action::Play(play(clip)), "{name}");
    }
    for wrong in ["/play", "bell", "/", "/be*ll", "/a//b", "/error"] {
        assert!(score.register(wrong, 1).is_err(), "{wrong}");
    }
    score.register("/kick", 8).unwrap();
    score.remove_sample("kick");
    assert!(matches!(
        read(&mut score, &message("/kic?", &[])).unwrap()[..],
        [Event { action: Action::Instrument(_), .. }]
    ));
}

#[test]
fn a_freed_or_replaced_sample_is_gone() {
    let mut score = score();
    assert_eq!(score.add_sample("kick", ClipId(30)), Some(KICK));
    assert_eq!(read(&mut score, &message("/kick", &[])).unwrap()[0].action, Action::Play(play(ClipId(30))));
    assert_eq!(score.remove_sample("kick"), Some(ClipId(30)));
    assert_eq!(score.remove_sample("kick"), None);
    assert!(read(&mut score, &message("/kick", &[])).is_err());
    assert_eq!(read(&mut score, &message("/{kick,snare}", &[])).unwrap().len(), 1);
    assert_eq!(score.samples(), [b"snare"]);
}

#[test]
fn a_named_id_is_the_same_voice_in_every_message() {
    let mut score = score();
    let packet = bundle(
        1,
        &[
            message("/play", &["kick".into(), "id".into(), "a".into()]),
            message("/play", &["kick".into(), "id".into(), "b".into()]),
            message("/set", &["b".into(), "gain".into(), Arg::Int(0)]),
            message("/stop", &["a".into()]),
            message("/cancel", &["new".into()]),
        ],
    );
    let events = read(&mut score, &packet).unwrap();
    let ids: Vec<_> = events.iter().map(|event| event.action.id()).collect();
    let [a, b] = [VoiceId::new(NAMED), VoiceId::new(NAMED + 1)];
    assert_eq!(ids, [Some(a), Some(b), Some(b), None, None]);
    assert_eq!(events[3].action, Action::Stop(Target::Voice(a)));
    // Nobody: a name that is only cancelled takes no place among those of voices.
    assert_eq!(events[4].action, Action::Cancel(Some(VoiceId::new(u32::MAX))));
}

#[test]
fn answers_of_other_nodes_are_counted_and_not_answered() {
    let mut score = score();
    for address in [
        "/error",
        "/done",
        "/late",
        "/status/reply",
        "/sync/jump",
        "/sync/jump/announced",
        "/sync/time/reply",
    ] {
        let staged = score.read(&message(address, &["x".into()]), &arrival()).unwrap();
        assert_eq!((staged.events.len(), staged.requests.len(), staged.answers), (0, 0, 1), "{address}");
    }
}

/// Messages that are right or nearly so.
fn some_message() -> impl Strategy<Value = Vec<u8>> {
    let address = prop::sample::select(vec![
        "/play",
        "/kick",
        "/snare",
        "/tone",
        "/bell",
        "/set",
        "/stop",
        "/cancel",
        "/click",
        "/master/gain",
        "/*",
        "/k*",
        "//*",
        "/{kick,x}",
        "/status",
        "/sync/time",
        "/sample/load",
        "/nobody",
        "/[",
    ]);
    let arg = prop_oneof![
        any::<i32>().prop_map(Arg::Int),
        any::<f32>().prop_map(Arg::Float),
        any::<f64>().prop_map(Arg::Double),
        (0.0..1.0f32).prop_map(Arg::Float),
        prop::sample::select(vec![
            "kick", "gain", "pan", "id", "late", "rate", "loop", "shape", "../x", "drop", "sine"
        ])
        .prop_map(Arg::from),
        Just(Arg::True),
        Just(Arg::Blob(b"blob")),
    ];
    (address, prop::collection::vec(arg, 0..6)).prop_map(|(address, args)| message(address, &args))
}

/// What an event must never be, whatever was sent.
fn sane(event: &Event) -> bool {
    let shape = |shape: &VoiceShape| {
        let times = [
            shape.attack,
            shape.decay,
            shape.release,
            if shape.dur == f32::INFINITY { 0.0 } else { shape.dur },
        ];
        shape.gain.is_finite()
            && shape.gain >= 0.0
            && (-1.0..=1.0).contains(&shape.pan)
            && (0.0..=1.0).contains(&shape.sustain)
            && times.iter().all(|time| (0.0..=86_400.0).contains(time))
            && shape.channel.is_none_or(|channel| channel < 4)
    };
    match &event.action {
        Action::Play(play) => {
            shape(&play.shape) && play.rate >= 0.001 && play.rate <= 64.0 && play.start >= 0.0
        }
        Action::Tone(tone) => shape(&tone.shape) && tone.freq > 0.0 && tone.freq <= 192_000.0,
        Action::Instrument(instrument) => shape(&instrument.shape),
        Action::Click { gain } => gain.is_finite() && *gain >= 0.0,
        Action::Set { value, seconds, .. } | Action::MasterGain { value, seconds } => {
            value.is_finite() && *seconds >= 0.0
        }
        _ => true,
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = score().read(&bytes, &arrival());
    }

    #[test]
    fn a_bundle_is_whole_or_refused_and_what_is_staged_is_sane(
        messages in prop::collection::vec(some_message(), 1..8),
        cut in any::<prop::sample::Index>(),
        flip in any::<Option<(prop::sample::Index, u8)>>(),
    ) {
        let alone: Vec<_> = messages.iter().map(|message| read(&mut score(), message)).collect();
        let mut packet = bundle(tag(Span::from_secs(1)), &messages);
        let staged = read(&mut score(), &packet);
        // Ids are numbered in the order they come, so only the count is the same.
        let wanted: Option<usize> = alone.iter().map(|events| events.as_ref().ok().map(Vec::len)).sum();
        let names_ids = messages.iter().any(|m| m.windows(5).any(|w| w == b"/stop" || w == b"/set\0"));
        prop_assert!(names_ids || staged.as_ref().ok().map(Vec::len) == wanted);

        if let Some((at, byte)) = flip {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        packet.truncate(cut.index(packet.len() + 1));
        if let Ok(events) = read(&mut score(), &packet) {
            prop_assert!(events.iter().all(sane));
        }
    }
}
