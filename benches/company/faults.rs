//! The faults: what is done to a company that plays, and what is found of it.
//!
//! Node 0 is the first, so that it leads. Not for: the numbers' meaning (`judge`).

use crate::judge::{self, Curve, Window};
use crate::report::{peer, unless_quick};
use crate::stage::{Part, Stage};
use crate::watch::{Known, LEAD, Watch};
use downbeat_sync::{LocalTime, Span};
use nix::sys::signal::Signal;
use std::time::Duration;

/// Clocks that are nearer than this agree (us).
pub(crate) const NEAR: f64 = 100.0;
/// How long the leader is stopped, and a follower is cut off (s).
const STOPPED: i64 = 5;
const CUT_OFF: i64 = 30;
/// Before that it has had so long to learn the drift.
const LEARNING: i64 = 90;
/// How far the wall clocks of two ensembles are apart.
const APART: &str = "offset=2s";
const EVERYBODY: [usize; 4] = [0, 1, 2, 3];
const FOLLOWERS: [usize; 3] = [1, 2, 3];

/// How a fault is played.
pub(crate) type Play = fn() -> Row;

/// Names of faults, as they stand behind `--`.
pub(crate) const FAULTS: [(&str, Play); 4] =
    [("kill", killed), ("stop", stopped), ("hole", cut_off), ("merge", merged)];

/// How long a company plays before a fault, and after it; how much of the former is compared with the latter (s).
fn before() -> i64 {
    unless_quick(30, 5)
}

fn after() -> i64 {
    unless_quick(15, 4)
}

fn compared() -> i64 {
    unless_quick(10, 2)
}

/// What is found of a fault. NaN where it says nothing.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// From the leader's last packet to the first answer of somebody else who leads (s).
    pub(crate) takeover: f64,
    /// The largest step of a survivor's published clock from reading to reading, before and after (us).
    pub(crate) step: [f64; 2],
    /// The same of what is heard, from click to click.
    pub(crate) heard_step: [f64; 2],
    /// The largest distance between two survivors' clocks (us).
    pub(crate) apart: [f64; 2],
    /// Jumps of each survivor.
    pub(crate) jumps: Vec<f64>,
    /// Clicks that survivors did not play; those they played late; blocks they lost, all together.
    pub(crate) lost: f64,
    pub(crate) late: f64,
    pub(crate) lost_blocks: f64,
    /// How long until all clocks agree again (s).
    pub(crate) agree: f64,
    /// The share of readings that were certain, of the survivors' (%).
    pub(crate) read: f64,
}

/// A company at play.
struct Scene {
    stage: Stage,
    watch: Watch,
    fault: LocalTime,
}

/// How a scene is judged.
struct Verdict {
    name: &'static str,
    /// Whose clicks and clocks must not suffer, and whose clocks must agree in the end.
    survivors: &'static [usize],
    together: &'static [usize],
    /// Since when.
    from: LocalTime,
    /// Whether somebody joins an older session by a jump, across which nothing is continuous.
    leaps: bool,
    /// Whether somebody has to take over.
    is_succeeded: bool,
}

/// The clocks of four hosts.
const CLOCKS: [&str; 4] = ["ppm=+20", "ppm=-40,offset=1234s", "ppm=+80,offset=-5000s", "ppm=+5,offset=17s"];

impl Scene {
    /// Starts, lets everybody find each other, and plays until the fault is due.
    fn set(
        before: i64,
        clocks: [&str; 4],
        guides: [usize; 4],
        first: &[usize],
        is_cut: impl Fn(usize, usize) -> bool,
    ) -> Scene {
        let folder = peer::scratch(&format!("company-{}", std::process::id()));
        // Of two that come at one moment either may lead.
        let after = Duration::from_secs(1);
        let parts = clocks.map(|clocks| Part { clocks: clocks.into(), after });
        let stage = Stage::set(&parts, &folder, is_cut);
        let mut watch = Watch::new(&guides);
        let began = watch.clock.now();
        watch.run(&stage, Span::from_secs(before / 2));
        watch.play(true);
        watch.run(&stage, Span::from_secs(before) - (watch.clock.now() - began));
        let leaders: Vec<usize> = EVERYBODY.into_iter().filter(|n| leads(&watch.known[*n])).collect();
        assert_eq!(leaders, first, "they have found each other, and whoever was there first leads");
        let fault = watch.clock.now();
        Scene { stage, watch, fault }
    }

    fn play(&mut self, seconds: i64) {
        self.watch.run(&self.stage, Span::from_secs(seconds));
    }

    fn now(&self) -> LocalTime {
        self.watch.clock.now()
    }

    /// Ends, and judges.
    fn end(mut self, verdict: Verdict) -> Row {
        self.watch.play(false);
        self.watch.run(&self.stage, LEAD + Span::from_millis(500));
        self.watch.count(&self.stage);
        let end = self.now();
        let origin = self.watch.known[0].readings.iter().flatten().next().copied();
        let origin = origin.expect("the first node was read");
        let since = |at: LocalTime| (at - origin.at).as_secs_f64();
        let fault = since(self.fault);
        let windows: [Window; 2] = [(fault - compared() as f64, fault), (fault, since(end))];
        let rates: Vec<f64> = self.stage.nodes.iter().map(|node| node.rate).collect();
        let (known, fault_at) = (self.watch.known, self.fault);
        let ended = self.stage.end();
        let curves: Vec<Curve> = known.iter().map(|known| Curve::of_clock(known, origin)).collect();

        let mut row = Row::of(verdict.name);
        for number in verdict.survivors {
            let (known, curve) = (&known[*number], &curves[*number]);
            let heard = ended.recordings[*number].as_deref().map(judge::clicks).unwrap_or_default();
            row.lost += known.clicks.len() as f64 - heard.len() as f64;
            row.late += known.status.number("late");
            row.lost_blocks += known.status.number("xruns");
            row.read = row.read.min(curve.share());
            row.jumps.push(jumps_since(known, fault_at));
            if verdict.leaps {
                continue;
            }
            let clicks = Curve::of_clicks(&known.clicks, &heard, rates[*number], origin);
            let slopes = [curve.slope(windows[0]), clicks.slope(windows[0])];
            for (n, window) in windows.into_iter().enumerate() {
                row.step[n] = row.step[n].max(curve.largest_step(window, slopes[0]));
                row.heard_step[n] = row.heard_step[n].max(clicks.largest_step(window, slopes[1]));
            }
        }
        if !verdict.leaps {
            row.apart = windows.map(|window| judge::apart(&curves, verdict.survivors, window));
        }
        row.agree = judge::agree_after(&curves, verdict.together, since(verdict.from), NEAR);
        if verdict.is_succeeded {
            let heirs = verdict.survivors.iter().filter_map(|n| first_lead(&known[*n], fault_at));
            let heir = heirs.reduce(LocalTime::earlier);
            let took = heir.and_then(|heir| Some(heir - ended.last_word(0, heir)?));
            row.takeover = took.map_or(f64::INFINITY, Span::as_secs_f64);
        }
        row
    }
}

impl Row {
    fn of(name: &'static str) -> Row {
        Row {
            name,
            takeover: f64::NAN,
            step: [f64::NAN; 2],
            heard_step: [f64::NAN; 2],
            apart: [f64::NAN; 2],
            jumps: Vec::new(),
            lost: 0.0,
            late: 0.0,
            lost_blocks: 0.0,
            agree: f64::NAN,
            read: 100.0,
        }
    }
}

/// Everybody hears everybody.
fn whole(_: usize, _: usize) -> bool {
    false
}

fn killed() -> Row {
    let mut scene = Scene::set(before(), CLOCKS, [1; 4], &[0], whole);
    scene.stage.signal(0, Signal::SIGKILL);
    scene.play(after());
    let from = scene.fault;
    let name = "the leader is killed";
    scene.end(Verdict {
        name,
        survivors: &FOLLOWERS,
        together: &FOLLOWERS,
        from,
        leaps: false,
        is_succeeded: true,
    })
}

fn stopped() -> Row {
    let mut scene = Scene::set(before(), CLOCKS, [1; 4], &[0], whole);
    scene.stage.signal(0, Signal::SIGSTOP);
    scene.play(STOPPED);
    scene.stage.signal(0, Signal::SIGCONT);
    let from = scene.now();
    scene.play(after());
    let name = "the leader stands still for 5 s";
    scene.end(Verdict {
        name,
        survivors: &FOLLOWERS,
        together: &EVERYBODY,
        from,
        leaps: false,
        is_succeeded: true,
    })
}

fn cut_off() -> Row {
    let mut scene = Scene::set(unless_quick(LEARNING, before()), CLOCKS, [1; 4], &[0], whole);
    scene.stage.cut(|first, second| first == 3 || second == 3);
    scene.play(unless_quick(CUT_OFF, 4));
    scene.stage.cut(whole);
    let from = scene.now();
    scene.play(after());
    let name = "a follower is cut off for 30 s";
    scene.end(Verdict {
        name,
        survivors: &EVERYBODY,
        together: &EVERYBODY,
        from,
        leaps: false,
        is_succeeded: false,
    })
}

fn merged() -> Row {
    let clocks =
        [CLOCKS[0].to_string(), "ppm=-40".into(), format!("ppm=+80,{APART}"), format!("ppm=+5,{APART}")];
    let clocks = std::array::from_fn(|n| clocks[n].as_str());
    let is_cut = |first: usize, second: usize| (first < 2) != (second < 2);
    let mut scene = Scene::set(before(), clocks, [0, 0, 2, 2], &[0, 2], is_cut);
    scene.stage.cut(whole);
    let from = scene.now();
    scene.play(after());
    let name = "two ensembles, 2 s apart, meet";
    scene.end(Verdict {
        name,
        survivors: &EVERYBODY,
        together: &EVERYBODY,
        from,
        leaps: true,
        is_succeeded: false,
    })
}

/// Whether it led when it was asked last.
fn leads(known: &Known) -> bool {
    known.standings.last().is_some_and(|standing| standing.leads)
}

/// When it first said that it leads, after that time.
fn first_lead(known: &Known, after: LocalTime) -> Option<LocalTime> {
    known
        .standings
        .iter()
        .find(|standing| after.is_before(standing.at) && standing.leads)
        .map(|standing| standing.at)
}

/// How often its clock jumped since then.
fn jumps_since(known: &Known, since: LocalTime) -> f64 {
    let before = known.standings.iter().rfind(|standing| standing.at.is_before(since));
    match (before, known.standings.last()) {
        (Some(before), Some(last)) => last.jumps - before.jumps,
        _ => f64::NAN,
    }
}
