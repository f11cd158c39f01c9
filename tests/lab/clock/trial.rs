//! [`Trial`]: what happened on one seed of a scenario, and how it is held against what a contestant says.

use super::contestant::{Contestant, Entry};
use super::link::{Link, Way};
use super::oscillator::Oscillator;
use super::polling::{BEGIN, Poller, Polling};
use super::scenario::{Scenario, Step};
use super::track::{Point, Track};
use downbeat_sync::{Exchange, LocalTime, RemoteTime, Span};

/// How long the reference takes to answer (s).
const ANSWERING: f64 = 20e-6;
/// By how much a corrupt stamp is wrong.
const CORRUPT: Span = Span::from_millis(5);
/// A contestant is judged so often (s).
const GRID: f64 = 0.1;

/// See the module.
pub(crate) struct Trial {
    oscillator: Oscillator,
    step: Option<Step>,
    seconds: f64,
    grain: f64,
    /// When they ended (s of true time), ascending, and what was seen of them.
    exchanges: Vec<(f64, Exchange)>,
}

impl Trial {
    /// Lets a follower ask on a schedule until the scenario's end.
    pub(crate) fn new(scenario: &Scenario, polling: Polling, seed: u64) -> Trial {
        let mut trial = Trial {
            oscillator: Oscillator::new(&scenario.drift, seed, scenario.seconds + 2.0),
            step: scenario.step,
            seconds: scenario.seconds,
            grain: scenario.grain,
            exchanges: Vec::new(),
        };
        let mut link = Link::new(scenario.profile, scenario.faults, scenario.weather, seed);
        let mut poller = Poller::new(scenario.pace.map_or(polling, Polling::Each));
        let (mut t, mut heard) = (BEGIN, 0);
        while t < BEGIN + scenario.seconds {
            let before = trial.exchanges.len();
            for received in link.pass(t, Way::Up) {
                let answered = received + ANSWERING;
                for returned in link.pass(answered, Way::Down) {
                    let exchange = trial.exchange(&mut link, [t, received, answered, returned]);
                    trial.exchanges.push((returned, exchange));
                }
            }
            let answers = trial.exchanges[before..].iter().map(|(returned, _)| *returned);
            let next = poller.next(t, answers.min_by(f64::total_cmp));
            // What comes back until then is known by then.
            trial.exchanges[heard..].sort_by(|(a, _), (b, _)| a.total_cmp(b));
            while let Some((_, exchange)) =
                trial.exchanges.get(heard).filter(|(returned, _)| *returned <= next)
            {
                poller.hear(exchange);
                heard += 1;
            }
            t = next;
        }
        trial
    }

    /// The exchanges in the order in which they end.
    pub(crate) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().map(|(_, exchange)| exchange)
    }

    /// Tells a new contestant all, and looks every tenth of a second what it makes of it.
    pub(crate) fn track(&self, entry: &Entry) -> Track {
        self.track_of((entry.new)())
    }

    /// The same of this one.
    pub(crate) fn track_of(&self, mut contestant: Box<dyn Contestant>) -> Track {
        let mut waiting = self.exchanges.iter().peekable();
        let mut points = Vec::with_capacity((self.seconds / GRID) as usize + 1);
        for n in 1..=(self.seconds / GRID).round() as u32 {
            let t = BEGIN + GRID * f64::from(n);
            while let Some((_, exchange)) = waiting.next_if(|(returned, _)| *returned <= t) {
                contestant.take(exchange);
            }
            points.push(self.judge(contestant.as_ref(), t));
        }
        Track { points, moves: contestant.moves() }
    }

    /// The drift that a contestant is to find: reference seconds per local second, less one, at the beginning.
    pub(crate) fn rate(&self) -> f64 {
        let second = self.local(BEGIN + 1.0) - self.local(BEGIN);
        1.0 / second.as_secs_f64() - 1.0
    }

    fn judge(&self, contestant: &dyn Contestant, t: f64) -> Point {
        let now = self.local(t);
        let since = t - BEGIN;
        let Some(published) = contestant.published(now) else { return Point::silent(since) };
        Point {
            since,
            error: 1e6 * (published.remote - self.truth(t)).as_secs_f64(),
            sigma: published.sigma.map(|sigma| 1e6 * sigma.as_secs_f64()),
            bound: published.bound.map(|bound| 1e6 * bound.as_secs_f64()),
        }
    }

    fn exchange(&self, link: &mut Link, [asked, received, answered, returned]: [f64; 4]) -> Exchange {
        let mut exchange = Exchange {
            asked: self.local(asked),
            received: self.truth(received),
            answered: self.truth(answered),
            returned: self.local(returned),
        };
        if self.grain > 0.0 {
            let coarse = |ticks: u64| {
                let grain = self.grain * 4_294_967_296.0;
                ((ticks as f64 / grain).floor() * grain).round() as u64
            };
            exchange.asked = LocalTime::from_ticks(coarse(exchange.asked.ticks()));
            exchange.returned = LocalTime::from_ticks(coarse(exchange.returned.ticks()));
            exchange.received = RemoteTime::from_ticks(coarse(exchange.received.ticks()));
            exchange.answered = RemoteTime::from_ticks(coarse(exchange.answered.ticks()));
        }
        if link.corrupts() {
            exchange.received = exchange.received - CORRUPT;
        }
        if link.corrupts() {
            exchange.answered += CORRUPT;
        }
        exchange
    }

    fn local(&self, t: f64) -> LocalTime {
        self.oscillator.local(t)
    }

    /// What the reference's clock shows.
    fn truth(&self, t: f64) -> RemoteTime {
        let stepped = self.step.filter(|step| t - BEGIN >= step.at).map_or(0.0, |step| step.by);
        RemoteTime::from_ticks(7 << 50) + Span::from_secs_f64(t) + Span::from_secs_f64(stepped)
    }
}
