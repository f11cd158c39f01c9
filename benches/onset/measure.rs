//! The measurements, each of one launch. They print `row`, a name and values, divided by tabs.

use crate::engine::{Engine, Kind, Place};
use crate::follow;
use crate::line::{Line, RATE, frames};
use crate::recorder::{Click, Recorder, Take};
use crate::report::random::Random;
use crate::report::{median, quantile};
use downbeat_sync::{Clock, LocalTime, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::SocketAddr;
use std::time::Duration;

/// How long before its instant a click is sent.
const LEAD: Span = Span::from_millis(150);
/// Clicks further from their instant than this are not theirs: half of the least spacing, and more than the latency of two
/// blocks of 1024 frames, by which they are early.
const NEAR: Span = Span::from_millis(49);

pub(crate) fn run(what: &str) {
    match what {
        "onsets" => onsets(300),
        "onsets-quick" => onsets(40),
        "immediate" => immediate(200),
        "xrun" => xrun(),
        "two" => two_nodes(200),
        "burst" => burst(2_000),
        other => match other.split_once(' ') {
            Some(("follow", how)) => follow::run(how),
            Some(("now", block)) => stamped_now(block.parse().expect("it is a number of frames"), 150),
            _ => panic!("there is no measurement {other}"),
        },
    }
}

/// A stage on which engines are heard.
pub(crate) struct Stage {
    clock: Clock,
    recorder: Recorder,
    pub(crate) engines: Vec<Engine>,
    began: LocalTime,
}

impl Stage {
    fn set(kinds: &[Kind]) -> Stage {
        let places: Vec<_> = kinds.iter().map(|kind| (*kind, Place::Here)).collect();
        Stage::set_at(&places, None)
    }

    /// Sets engines in places. A follower finds the leader at this address; without one, the first engine where that is.
    pub(crate) fn set_at(places: &[(Kind, Place<'_>)], leader: Option<SocketAddr>) -> Stage {
        let clock = Clock::new();
        let recorder = Recorder::start(places.len());
        let mut engines: Vec<Engine> = Vec::new();
        for (kind, place) in places {
            let before = recorder.outputs();
            let leader = leader.or(engines.first().map(|engine| engine.address));
            let Some(engine) = Engine::start(*kind, *place, leader) else { continue };
            let output = loop {
                if let Some(new) = recorder.outputs().into_iter().find(|port| !before.contains(port)) {
                    break new;
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            recorder.connect(&output, engines.len());
            engines.push(engine);
        }
        Stage { clock, recorder, engines, began: clock.now() }
    }

    /// Sends every engine a click for each instant, in time; returns what was heard.
    pub(crate) fn play(
        mut self,
        instants: &[LocalTime],
        mut after: impl FnMut(usize, &[Engine]),
    ) -> (Take, Vec<Engine>) {
        for (n, instant) in instants.iter().enumerate() {
            wait_until(self.clock, *instant - LEAD);
            let anchor = self.clock.anchor();
            let timetag = (anchor.wall + (*instant - anchor.local)).bits();
            for engine in &mut self.engines {
                engine.tidy();
                engine.click_at(timetag);
            }
            after(n, &self.engines);
        }
        std::thread::sleep(Duration::from_millis(500));
        (self.recorder.stop(), self.engines)
    }
}

fn wait_until(clock: Clock, instant: LocalTime) {
    let left = (instant - clock.now()).as_secs_f64();
    if left > 0.0 {
        std::thread::sleep(Duration::from_secs_f64(left));
    }
}

pub(crate) fn spaced(began: LocalTime, count: u32, millis: i64, random: &mut Random) -> Vec<LocalTime> {
    let jitter = |random: &mut Random| Span::from_nanos((random.unit() * millis as f64 * 0.5e6) as i64);
    (0..count).map(|n| began + Span::from_millis(900 + i64::from(n) * millis) + jitter(random)).collect()
}

/// How far from its instant the click of an input was heard (frames); the nearest one counts.
pub(crate) fn error(clicks: &[Click], input: usize, line: &Line, instant: LocalTime) -> Option<f64> {
    let distances = clicks.iter().filter(|click| click.input == input).filter_map(|click| {
        let distance = line.at(click.frame)? - instant;
        (distance.abs() < NEAR).then_some(distance)
    });
    distances.min_by_key(|distance| distance.abs()).map(|distance| distance.as_secs_f64() * f64::from(RATE))
}

fn onsets(count: u32) {
    let stage = Stage::set(&[Kind::Node, Kind::Scsynth]);
    let began = stage.began;
    let instants = spaced(began, count, 200, &mut Random(count.into()));
    let (take, engines) = stage.play(&instants, |_, _| {});
    let line = Line::new(&take.cycles);
    for (input, engine) in engines.iter().enumerate() {
        let errors: Vec<(f64, f64)> = instants
            .iter()
            .filter_map(|at| Some(((*at - began).as_secs_f64(), error(&take.clicks, input, &line, *at)?)))
            .collect();
        let constant = median(&errors.iter().map(|(_, error)| *error).collect::<Vec<_>>());
        let off: Vec<f64> = errors.iter().map(|(_, error)| (error - constant).abs()).collect();
        let first = |from: f64| {
            let click = errors.iter().find(|(at, _)| *at >= from);
            click.map_or(f64::NAN, |(_, error)| (error - constant).abs())
        };
        print(
            engine.kind.name(),
            &[
                constant,
                quantile(&off, 0.5),
                quantile(&off, 0.99),
                quantile(&off, 1.0),
                60.0 * slope(&errors),
                first(1.0),
                first(5.0),
                f64::from(count) - errors.len() as f64,
                line.xruns() as f64,
            ],
        );
    }
}

/// Least squares, per second.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    above / points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum::<f64>()
}

fn immediate(count: u32) {
    for kind in [Kind::Node, Kind::Scsynth] {
        let mut stage = Stage::set(&[kind]);
        if stage.engines.is_empty() {
            continue;
        }
        let instants = spaced(stage.began, count, 100, &mut Random(3));
        let mut sent = Vec::new();
        for instant in instants {
            wait_until(stage.clock, instant);
            sent.push(stage.clock.now());
            stage.engines[0].click_now();
        }
        std::thread::sleep(Duration::from_millis(300));
        let take = stage.recorder.stop();
        let line = Line::new(&take.cycles);
        let heard = |at: &LocalTime| error(&take.clicks, 0, &line, *at);
        let millis: Vec<f64> = sent.iter().filter_map(heard).map(|e| 1e3 * e / f64::from(RATE)).collect();
        let mean = millis.iter().sum::<f64>() / millis.len() as f64;
        let sd = (millis.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / millis.len() as f64).sqrt();
        let lost = f64::from(count) - millis.len() as f64;
        print(kind.name(), &[median(&millis), quantile(&millis, 0.99), sd, lost]);
    }
}

/// Who was held up for longer while it sent a click does not know when it did (100 us).
const UNSURE: Span = Span::from_micros(100);

/// A click that was sent.
struct Sent {
    at: LocalTime,
    /// With that for its timetag.
    stamped: bool,
    /// Until when.
    until: LocalTime,
}

/// Clicks without a timetag and clicks that are stamped "now", in turn.
fn stamped_now(block: u32, count: u32) {
    let mut stage = Stage::set(&[Kind::Node, Kind::Scsynth]);
    let sent = in_turn(stage.clock, &mut stage.engines, count);
    let take = stage.recorder.stop();
    let line = Line::new(&take.cycles);
    for (input, (engine, sent)) in stage.engines.iter().zip(&sent).enumerate() {
        let heard = take.clicks.iter().filter(|click| click.input == input);
        let heard: Vec<LocalTime> = heard.filter_map(|click| line.at(click.frame)).collect();
        print_rhythms(engine.kind, sent, &heard);
    }
    drop(stage.engines);

    let kind = Kind::Virtual(block);
    let Some(mut engine) = Engine::start(kind, Place::Here, None) else { return };
    let sent = in_turn(stage.clock, std::slice::from_mut(&mut engine), count);
    // The virtual device runs by the local clock itself; when it began nobody says, nor need know.
    let frames = engine.recorded();
    let (Some(began), Some(first)) = (sent[0].first(), frames.first()) else { return };
    let heard: Vec<LocalTime> = frames.iter().map(|frame| began.at + self::frames(frame - first)).collect();
    print_rhythms(kind, &sent[0], &heard);
}

/// Sends every engine so many clicks of either kind; what each was sent.
fn in_turn(clock: Clock, engines: &mut [Engine], count: u32) -> Vec<Vec<Sent>> {
    let mut sent: Vec<Vec<Sent>> = engines.iter().map(|_| Vec::new()).collect();
    for (n, instant) in spaced(clock.now(), 2 * count, 100, &mut Random(7)).into_iter().enumerate() {
        wait_until(clock, instant);
        for (engine, sent) in engines.iter_mut().zip(&mut sent) {
            let anchor = clock.anchor();
            let stamped = n % 2 == 1;
            if stamped {
                engine.click_at(anchor.wall.bits())
            } else {
                engine.click_now()
            }
            sent.push(Sent { at: anchor.local, stamped, until: clock.now() });
        }
    }
    std::thread::sleep(Duration::from_millis(300));
    sent
}

/// By how much intervals between clicks of one kind are off, of either kind: standard deviations (ms); how many were lost, and
/// of how many the sender cannot say when it sent them, which are left out.
fn print_rhythms(kind: Kind, sent: &[Sent], heard: &[LocalTime]) {
    let (sure, unsure): (Vec<&Sent>, Vec<&Sent>) =
        sent.iter().partition(|sent| sent.until - sent.at < UNSURE);
    let mut lost = 0;
    let mut rhythm = |stamped: bool| {
        let ours = sure.iter().filter(|sent| sent.stamped == stamped);
        let delays: Vec<Option<f64>> = ours
            .map(|sent| {
                let near = heard.iter().map(|heard| *heard - sent.at).filter(|delay| delay.abs() < NEAR);
                near.min_by_key(|delay| delay.abs()).map(|delay| 1e3 * delay.as_secs_f64())
            })
            .collect();
        lost += delays.iter().filter(|delay| delay.is_none()).count();
        let off: Vec<f64> = delays.windows(2).filter_map(|pair| Some(pair[1]? - pair[0]?)).collect();
        (off.iter().map(|off| off * off).sum::<f64>() / off.len() as f64).sqrt()
    };
    let values = [rhythm(false), rhythm(true)];
    print(kind.name(), &[values[0], values[1], lost as f64, unsure.len() as f64]);
}

/// Stops the engine for 50 ms at the tenth second of a run of closely spaced clicks.
fn xrun() {
    const STOPPED: i64 = 50;
    for kind in [Kind::Node, Kind::Scsynth] {
        let stage = Stage::set(&[kind]);
        if stage.engines.is_empty() {
            continue;
        }
        let (clock, began) = (stage.clock, stage.began);
        let instants: Vec<LocalTime> = (0..2_800).map(|n| began + Span::from_millis(1_000 + n * 5)).collect();
        let mut resumed = None;
        let (take, _) = stage.play(&instants, |n, engines| {
            if n == 2_000 {
                let pid = Pid::from_raw(engines[0].child.id() as i32);
                kill(pid, Signal::SIGSTOP).expect("it is ours");
                std::thread::sleep(Duration::from_millis(STOPPED as u64));
                kill(pid, Signal::SIGCONT).expect("it is ours");
                resumed = Some(clock.now());
            }
        });
        let resumed = resumed.expect("it was stopped");
        let line = Line::new(&take.cycles);
        // An engine early by more than half the spacing is held against a neighbour, before and after alike.
        let near = |at: &LocalTime| {
            let error = error(&take.clicks, 0, &line, *at)?;
            Some(((*at - resumed).as_secs_f64(), error))
        };
        // The last ones have no neighbours to be mistaken for.
        let judged = &instants[..instants.len() - 20];
        let errors: Vec<(f64, f64)> = judged.iter().filter_map(near).collect();
        let before: Vec<f64> = errors.iter().filter(|e| e.0 < -0.1 && e.0 > -5.0).map(|e| e.1).collect();
        let constant = median(&before);
        let off = |e: &&(f64, f64)| (e.1 - constant).abs() > 5.0;
        let right = errors.iter().filter(|e| e.0 > 0.0).filter(off).map(|e| e.0).fold(0.0, f64::max);
        let largest = |from: f64| {
            let after = errors.iter().filter(|e| e.0 > from).map(|e| (e.1 - constant).abs());
            after.fold(0.0, f64::max)
        };
        print(kind.name(), &[1e3 * right, largest(right), largest(right.max(1.0))]);
    }
}

/// Two nodes that know nothing of each other.
fn two_nodes(count: u32) {
    let stage = Stage::set(&[Kind::Node, Kind::Node]);
    let instants = spaced(stage.began, count, 200, &mut Random(5));
    let (take, _) = stage.play(&instants, |_, _| {});
    let line = Line::new(&take.cycles);
    let difference =
        |at: &LocalTime| Some(error(&take.clicks, 1, &line, *at)? - error(&take.clicks, 0, &line, *at)?);
    let differences: Vec<f64> = instants.iter().filter_map(difference).collect();
    let constant = median(&differences);
    let within = differences.iter().filter(|d| (*d - constant).abs() < 1.5).count();
    let largest = differences.iter().map(|d| (d - constant).abs()).fold(0.0, f64::max);
    let off: Vec<f64> = differences.iter().map(|d| (d - constant).abs()).collect();
    print("two nodes", &[constant, 100.0 * within as f64 / f64::from(count), quantile(&off, 0.99), largest]);
}

/// The packets are sent as fast as the system takes them. Clicks that fall on one frame add up, so each is due at a frame of
/// its own: what is due when has nothing to do with when it was sent.
fn burst(count: u32) {
    for kind in [Kind::Node, Kind::Scsynth] {
        let mut stage = Stage::set(&[kind]);
        if stage.engines.is_empty() {
            continue;
        }
        std::thread::sleep(Duration::from_secs(1));
        let anchor = stage.clock.anchor();
        let first = anchor.wall + Span::from_millis(500);
        // Ten frames apart: 2,000 clicks sound for 417 ms.
        let due = (0..count).map(|n| (first + frames(u64::from(n) * 10)).bits());
        let sending = stage.engines[0].clicks_at(due);
        std::thread::sleep(Duration::from_millis(1_500));
        let take = stage.recorder.stop();
        let steps: Vec<f64> =
            take.clicks.windows(2).map(|pair| (pair[1].frame - pair[0].frame) as f64).collect();
        print(kind.name(), &[1e3 * sending.as_secs_f64(), take.clicks.len() as f64, median(&steps)]);
    }
}

pub(crate) fn print(name: &str, values: &[f64]) {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    println!("row\t{name}\t{}", values.join("\t"));
}
