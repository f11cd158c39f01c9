//! How synchronous peers are: our estimator and the anchors' over simulated networks, and what ours costs.
//!
//! Everything but the cost is virtual time, from seeds, and comes out the same on every machine. `-- field`, `kinds`, `attack`, `day`, `card`,
//! `company`, `schedules` or `cost` measures only that; of `field` and `kinds` only what has the text of `KIND` (environment) in its name, and no
//! others' methods if `OURS` is set; `SEEDS` is how many. Not for: the session on real sockets.

mod card;
mod company;
mod cost;
#[path = "../report/mod.rs"]
mod report;

#[path = "../../tests/lab/clock/mod.rs"]
mod clock;
#[path = "../../tests/lab/device.rs"]
mod device;
#[path = "../../tests/lab/ensemble.rs"]
mod ensemble;
#[path = "../../tests/lab/schedules.rs"]
mod schedules;

use clock::{Entry, FIELD, Figures, HOSTILE, KINDS, OURS, Profile, Scenario, Trial, goals};
use report::{Table, digits, quantile, unless_quick, verdict};

const DAY: f64 = 86_400.0;

fn main() {
    let asked = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let seeds = asked.unwrap_or(unless_quick(20, 1));
    report::title(&format!("sync: one follower, one reference, {seeds} seeds; errors in us, times in s"));
    let mut missed = Vec::new();
    // All rooms, or those that are named.
    let is_asked = |room: &str| {
        let mut named = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
        named.peek().is_none() || named.any(|arg| arg == room)
    };
    type Room = fn(u64, &mut Vec<String>);
    let rooms: [(&str, Room); 8] = [
        ("field", against_the_field),
        ("kinds", of_all_kinds),
        ("attack", under_attack),
        ("day", for_a_day),
        ("card", card::measure),
        ("company", company::measure),
        ("schedules", whatever_happens),
        ("cost", cost::measure),
    ];
    for (_, measure) in rooms.iter().filter(|(room, _)| is_asked(room)) {
        measure(seeds, &mut missed);
    }
    println!(
        "\ngoals: {}",
        if missed.is_empty() {
            verdict(true).into()
        } else {
            format!("{}:\n  {}", verdict(false), missed.join("\n  "))
        }
    );
}

/// Whether the others are left out, to save time: with `OURS` in the environment.
fn ours_only() -> bool {
    std::env::var_os("OURS").is_some()
}

/// Every contestant on every network.
fn against_the_field(seeds: u64, missed: &mut Vec<String>) {
    let mut table = Table::new(&[
        "",
        "p50",
        "p99",
        "worst",
        "seeds' p50",
        "p99",
        "settles",
        "worst",
        "step",
        "worst",
        "held 10 s",
        "60 s",
        "300 s",
        "hole",
        "worst",
        "% > 3 sigma",
        "young",
        "% > bound",
        "bound",
    ]);
    let only = std::env::var("KIND").unwrap_or_default();
    for profile in Profile::ALL.into_iter().filter(|profile| profile.name().contains(&only)) {
        for entry in std::iter::once(&OURS).chain(&FIELD).take(if ours_only() { 1 } else { usize::MAX }) {
            let run = |scenario: Scenario| Scenario { seeds, ..scenario.on(profile) }.run(entry);
            let steady = run(Scenario::DEFAULT);
            let (step, hole) = (run(Scenario::STEP), run(Scenario::HOLE));
            let figures = Figures {
                back: step.back,
                back_worst: step.back_worst,
                hole: hole.hole,
                hole_worst: hole.hole_worst,
                holdover: run(Scenario::HOLDOVER).holdover,
                false_steps: steady.false_steps + step.false_steps + hole.false_steps,
                ..steady
            };
            let name = format!("{}, {}", profile.name(), entry.name);
            row(&mut table, &name, &figures);
            if entry.name == OURS.name {
                missed
                    .extend(figures.beyond(&goals(profile)).iter().map(|beyond| format!("{name}: {beyond}")));
            }
        }
    }
    table.print();
}

/// Lawful traces of all kinds, each of which fooled somebody.
fn of_all_kinds(seeds: u64, missed: &mut Vec<String>) {
    println!(
        "\nlawful traces of all kinds: error after the first minute, hard bound; then p99 of the others on the same seeds"
    );
    let field: Vec<Entry> = std::iter::once(OURS).chain(FIELD).collect();
    let mut head =
        vec!["", "p50", "p99 (limit)", "worst", "% > 3 sigma", "% > bound", "bound", "false steps"];
    head.extend(FIELD.iter().map(|entry| entry.name));
    let mut table = Table::new(&head);
    let only = std::env::var("KIND").unwrap_or_default();
    for kind in KINDS.iter().filter(|kind| kind.scenario.name.contains(&only)) {
        let entries = if ours_only() { &field[..1] } else { &field[..] };
        let scenario = Scenario { seeds, ..kind.scenario };
        let all = scenario.run_all(entries);
        let (f, name) = (all[0], scenario.name);
        let limits = Figures {
            p99: kind.limit,
            outside_bound: 0.0,
            outside_sigma: if kind.is_seen { 0.3 } else { f64::INFINITY },
            ..Figures::ANY
        };
        missed.extend(f.beyond(&limits).iter().map(|beyond| format!("{name}: {beyond}")));
        let p99 = match kind.limit.is_finite() {
            true => format!("{} ({}: {})", digits(f.p99), kind.limit, verdict(f.p99 <= kind.limit)),
            false => digits(f.p99),
        };
        let cells = [f.worst, f.outside_sigma, f.outside_bound, f.bound, f.false_steps];
        let cells: Vec<String> =
            cells.into_iter().chain(all[1..].iter().map(|other| other.p99)).map(digits).collect();
        let p50 = digits(f.p50);
        let mut row: Vec<&dyn std::fmt::Display> = vec![&name, &p50, &p99];
        row.extend(cells.iter().map(|cell| cell as &dyn std::fmt::Display));
        table.row(&row);
    }
    table.print();
}

fn row(table: &mut Table, name: &str, f: &Figures) {
    let [ten, sixty, three_hundred] = f.holdover;
    let cells = [
        f.p50,
        f.p99,
        f.worst,
        f.seed_p50,
        f.seed_p99,
        f.settles,
        f.settles_worst,
        f.back,
        f.back_worst,
        ten,
        sixty,
        three_hundred,
        f.hole,
        f.hole_worst,
        f.outside_sigma,
        f.outside_young_sigma,
        f.outside_bound,
        f.bound,
    ];
    let cells = cells.map(digits);
    let mut row: Vec<&dyn std::fmt::Display> = vec![&name];
    row.extend(cells.iter().map(|cell| cell as &dyn std::fmt::Display));
    table.row(&row);
}

/// Corrupt stamps, duplicates, overtaking, losses.
fn under_attack(seeds: u64, missed: &mut Vec<String>) {
    println!(
        "\n1 % of each kind of stamp 5 ms early, 2 % of packets twice, 5 % overtaken, 30 % lost; p99, seeds' p99 (us), false steps"
    );
    let mut table = Table::new(&[
        "",
        "p50",
        "p99",
        "worst",
        "seeds' p50",
        "p99",
        "settles",
        "worst",
        "% > 3 sigma",
        "% > bound",
        "false steps",
    ]);
    for profile in Profile::ALL {
        for entry in std::iter::once(&OURS).chain(&FIELD[..3]).take(if ours_only() { 1 } else { usize::MAX })
        {
            let f = Scenario { seeds, ..Scenario::HOSTILE.on(profile) }.run(entry);
            let name = format!("{}, {}", profile.name(), entry.name);
            let cells = [
                f.p50,
                f.p99,
                f.worst,
                f.seed_p50,
                f.seed_p99,
                f.settles,
                f.settles_worst,
                f.outside_sigma,
                f.outside_bound,
                f.false_steps,
            ];
            let cells = cells.map(digits);
            let mut row: Vec<&dyn std::fmt::Display> = vec![&name];
            row.extend(cells.iter().map(|cell| cell as &dyn std::fmt::Display));
            table.row(&row);
            if entry.name == OURS.name {
                let goals = goals(profile);
                let limits = Figures {
                    p50: HOSTILE * goals.p50,
                    p99: HOSTILE * goals.p99,
                    false_steps: 0.0,
                    ..Figures::ANY
                };
                missed.extend(f.beyond(&limits).iter().map(|beyond| format!("{name}, attacked: {beyond}")));
            }
        }
    }
    table.print();
}

/// Steps that are none.
fn for_a_day(seeds: u64, missed: &mut Vec<String>) {
    let seeds = seeds.div_ceil(5);
    let seconds = unless_quick(DAY, 600.0);
    println!("\nfalse steps in {} h, {seeds} seeds each", seconds / 3_600.0);
    let mut table = Table::new(&["", "false steps"]);
    for profile in Profile::ALL {
        let scenario = Scenario { seconds, ..Scenario::DEFAULT.on(profile) };
        let found: u64 =
            (0..seeds).map(|seed| Trial::new(&scenario, OURS.polling, seed).track(&OURS).moves).sum();
        table.row(&[&profile.name(), &found]);
        if found > 0 {
            missed.push(format!("{}: {found} false steps in a day", profile.name()));
        }
    }
    table.print();
}

/// Random schedules of starts, kills, stops and links that pass one way: what must hold holds in all of them.
fn whatever_happens(_: u64, missed: &mut Vec<String>) {
    let schedules = unless_quick(10_000, 100);
    println!(
        "\n{schedules} random schedules of starts, kills, restarts, stops, deaf and mute links, cuts and pinned nodes"
    );
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let run = move |thread: u64| {
        let seeds = (0..schedules).filter(|seed| seed % threads == thread);
        seeds.map(schedules::Schedule::run).collect::<Vec<_>>()
    };
    let all: Vec<_> = (0..threads).map(|thread| std::thread::spawn(move || run(thread))).collect();
    let all: Vec<_> = all.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect();
    let stories: Vec<_> = all.iter().flatten().collect();
    let sum = |of: fn(&schedules::Story) -> u64| stories.iter().map(|story| of(story)).sum::<u64>();
    let agreed: Vec<f64> = stories.iter().map(|story| story.agreed).collect();
    let mut table = Table::new(&[
        "happened",
        "nodes",
        "successions",
        "joined",
        "deaf leaders",
        "agree p50 (s)",
        "worst",
        "broken",
    ]);
    let broken = all.len() - stories.len();
    table.row(&[
        &sum(|story| story.events as u64),
        &sum(|story| story.starts as u64),
        &sum(|story| story.successions.into()),
        &sum(|story| story.joined.into()),
        &sum(|story| story.deaf.into()),
        &digits(quantile(&agreed, 0.5)),
        &digits(quantile(&agreed, 1.0)),
        &broken,
    ]);
    table.print();
    missed.extend(all.iter().filter_map(|story| story.as_ref().err()).take(5).cloned());
}
