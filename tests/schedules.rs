//! Whatever happens to nodes, the oldest session's time goes on, and no clock leaps for no reason: hundreds of random schedules.

use crate::lab::schedules::{Schedule, Story};
use std::thread;

/// Some hundreds; `cargo bench --bench sync -- schedules` has thousands.
const SCHEDULES: u64 = 200;

#[test]
fn whatever_happens_the_oldest_session_goes_on_and_all_agree() {
    let first = std::env::var("SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    if let Some(seed) = first {
        match Schedule::run(seed) {
            Ok(story) => println!("{story:?}"),
            Err(why) => panic!("{why}"),
        }
        return;
    }
    let halves = [0, 1].map(|half| {
        thread::spawn(move || {
            let seeds = (0..SCHEDULES).filter(|seed| seed % 2 == half);
            seeds.map(Schedule::run).collect::<Vec<Result<Story, String>>>()
        })
    });
    let all: Vec<Result<Story, String>> =
        halves.into_iter().flat_map(|half| half.join().expect("it does not panic")).collect();
    let broken: Vec<&String> = all.iter().filter_map(|story| story.as_ref().err()).collect();
    if let Some(first) = broken.first() {
        panic!("{} of {SCHEDULES} schedules are broken, the first: {first}", broken.len());
    }
    let sum = |of: fn(&Story) -> u64| all.iter().flatten().map(of).sum::<u64>();
    // A schedule in which nothing happens shows nothing.
    let happened = [
        sum(|story| story.successions.into()),
        sum(|story| story.joined.into()),
        sum(|story| story.deaf.into()),
    ];
    assert!(happened[0] > SCHEDULES && happened[1] > SCHEDULES && happened[2] > 10, "{happened:?}");
}
