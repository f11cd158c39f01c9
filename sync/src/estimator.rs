//! [`Estimator`]: the offset and drift of another clock, from exchanges with it, and how sure they are.
//!
//! Not for: whom to ask and when (`session`), nor for making jumps smooth (`steer`).
//!
//! A window of two minutes holds the stamps of both directions as two clouds. Under them lies one [`Line`] (`line`), an
//! asymmetric fit; how asymmetric is decided by what errs least on this network (`ladder`): on a link with a hard floor
//! nearly the hull of the clouds, on one with a soft floor nearly their middle. What contradicts the line is kept out of it,
//! and becomes a step if it is confirmed (`gate`). Between fits the line goes on; without fresh stamps, that is holdover.
//!
//! All in seconds of `f64` since a base, the first exchange: after a year still exact to 10 ns.

mod edge;
mod gate;
mod ladder;
mod limits;
mod line;
mod rival;
mod sums;
mod watch;

use crate::{Exchange, LocalTime, RemoteEstimate, RemoteTime, Span};
use gate::{Gate, Judgement, Known, Stamps};
use ladder::Ladder;
use limits::Limits;
pub use limits::MaxDrift;
use line::{Belief, Cloud, Line, Seconds};
use rival::Rival;
use watch::{News, Watch};

/// How long stamps count.
const WINDOW: Seconds = 128.0;
/// But the last so many of each direction longer, up to so long, while the drift's change does not shift the offset by more than
/// this part of the stamps' mean deviation.
const ENOUGH: usize = 48;
const LONGEST: Seconds = 512.0;
const CALM_PART: f64 = 0.1;
/// Of a direction with fewer stamps the edge is where it was against the other.
const THIN: usize = 3;
const GROWN_TOGETHER: usize = 12;
/// Stamps of each direction in the window, at most: 4 a second, and the first dense ones.
const STAMPS: usize = 640;
/// A fit for every so many-th part of what the window holds, so that a full one costs no more than a young one. A third more
/// make nothing better.
const FITS_PER_WINDOW: f64 = 24.0;
/// Longer without a stamp is a gap: the line is held, until so many stamps have come, and its rate is believed.
const GAP: Seconds = 3.0;
/// It is none where exchanges are as rare as that: up to so many times the longest of the last intervals.
const RARE: f64 = 3.0;
const PACES: usize = 8;
/// Who dissents is remembered for so many gaps then: some eight exchanges.
const RARE_MEMORY: f64 = 2.5;
const AFTER_GAP: u32 = 8;
/// When crystals run at other rates all of a sudden, so much of what was learned is kept (s), but no less than so many stamps; and
/// so sure is the rate [3 ppm].
const KEPT: Seconds = 10.0;
const KEPT_STAMPS: usize = 12;
const BENT_RATE: f64 = 3e-6;
/// It may go on to change: until half a window is full, by so much (1/s; 2 ppm in a minute and a half).
const BENT_CURVE: f64 = 2e-8;
/// Stamps of coarse clocks: the standard error in parts of the grain.
const COARSE: f64 = 0.4;
/// Drift that crystals have: standard deviation [60 ppm].
const ANY_RATE: f64 = 60e-6;
/// How far a rate has moved after a gap or a step: at once, and for each second without stamps [0.3 ppm; 0.02 ppm/s].
const KEPT_RATE: f64 = 0.3e-6;
const KEPT_RATE_PER_SEC: f64 = 0.02e-6;
/// How crystals change their drift with temperature: standard deviation (1/s).
const CURVE: f64 = 3e-9;
/// For so long a change of drift goes on as it is.
const CURVE_LASTS: Seconds = 20.0;
/// Without stamps, the drift may change by so much in a second, unknown to anybody (1/s).
const UNSEEN_CURVE: f64 = 5e-9;
/// The first exchange tells no more than its hard interval; a uniform error in it has this standard deviation [1/√3].
const UNTRIED: f64 = 0.577;
/// So many of a network's packets may be held up (Wi-Fi that saves power) without our knowing: the chance that all so far
/// were.
const HELD: f64 = 0.85;
/// With fewer stamps a cloud is weeded at each fit: the gate lets in what it cannot judge yet.
const GROWN: usize = 160;
/// A way is another one if the earliest stamp is before its edge by more than this many deviations, and of at least so many
/// stamps all but one in so many are early by at least that part of it.
const FASTER: f64 = 10.0;
const ANOTHER_WAY: usize = 3;
const EARLY_PART: f64 = 0.5;
/// What a slower network took may have been a queue that the line followed as a drift: so sure is the rate after it [10 ppm].
const FOOLED_RATE: f64 = 10e-6;
/// So many stamps the other way must be late for a step that is told by how late they are.
const CONFIRMED: usize = 3;
/// The window must span this much before the estimate counts as locked.
const LOCKING: Seconds = 4.0;
/// An estimate less sure than this is none any more.
const LOST: Seconds = 0.01;

/// How good an estimate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// Nothing is known.
    Cold,
    /// The first seconds: right, but not yet to what the network allows.
    Acquiring,
    /// As good as the network allows.
    Locked,
    /// No news: going on with the drift that was learned.
    Holdover,
    /// No news for so long that the estimate may be off by 10 ms.
    Lost,
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was used.
    Used,
    /// Its stamps contradict themselves, or the line so far: kept out, and counted.
    Doubted,
    /// It confirmed that the other clock or the path has changed: everything before it is forgotten but the drift.
    Moved,
}

/// What is known of a drift before the first exchange, from a launch before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateBelief {
    /// The other clock's seconds per local second, less one [1; 1e-6 is 1 ppm].
    pub rate: f64,
    /// Its standard error (1).
    pub sigma: f64,
}

impl Default for RateBelief {
    /// Any crystal: 0 ± 60 ppm.
    fn default() -> Self {
        RateBelief { rate: 0.0, sigma: ANY_RATE }
    }
}

/// Offset and drift of another host's clock against this one's, estimated from exchanges with it.
///
/// Give each [`Exchange`] to [`Estimator::take`] as its answer arrives, then ask [`Estimator::estimate`] for the line as of any
/// time. The estimate has a standard error, and a hard bound that holds as long as the two crystals differ by no more than
/// [`Estimator::within`] says, nobody sets a clock, and no stamp is early.
#[derive(Clone, Debug)]
pub struct Estimator {
    belief: Belief,
    /// While it is not decided whether that is right.
    rival: Option<Box<Rival>>,
    base: Option<Base>,
    clouds: [Cloud; 2],
    gate: Gate,
    watch: Watch,
    ladder: Ladder,
    line: Option<Line>,
    limits: Limits,
    newest: Seconds,
    /// When the last exchange ended, whether it was used or not.
    heard: Seconds,
    /// The last intervals between exchanges.
    paces: [Seconds; PACES],
    /// Stamps since the last gap, up to [`AFTER_GAP`].
    fresh: u32,
    next_fit: Seconds,
    doubted: u64,
    moves: u64,
}

/// What an estimate says of an instant.
#[derive(Clone, Copy, Debug)]
struct Told {
    offset: Seconds,
    rate: f64,
    sigma: Seconds,
    bound: Seconds,
}

/// Where counting begins.
#[derive(Clone, Copy, Debug)]
struct Base {
    local: LocalTime,
    remote: RemoteTime,
}

impl Estimator {
    /// Knows nothing yet but perhaps the drift; which is believed unless the stamps contradict it.
    pub fn new(rate: RateBelief) -> Estimator {
        let sigma = rate.sigma.clamp(0.0, ANY_RATE).max(KEPT_RATE);
        let rival = (sigma < ANY_RATE).then(|| Box::new(Rival::new(RateBelief { sigma, ..rate })));
        Estimator {
            belief: Belief { rate: rate.rate, rate_sigma: sigma, curve_sigma: CURVE, width: None },
            rival,
            base: None,
            clouds: [Cloud::default(), Cloud::default()],
            gate: Gate::default(),
            watch: Watch::default(),
            ladder: Ladder::default(),
            line: None,
            limits: Limits::new(MaxDrift::default()),
            newest: 0.0,
            heard: 0.0,
            paces: [0.0; PACES],
            fresh: 0,
            next_fit: 0.0,
            doubted: 0,
            moves: 0,
        }
    }

    /// The same, whose hard bound assumes this of the two crystals.
    pub fn within(mut self, drift: MaxDrift) -> Estimator {
        self.limits = Limits::new(drift);
        self.rival = self.rival.map(|rival| Box::new(rival.within(drift)));
        self
    }

    /// Takes an exchange into account.
    pub fn take(&mut self, exchange: &Exchange) -> Verdict {
        let verdict = self.take_alone(exchange);
        let Some(mut rival) = self.rival.take() else { return verdict };
        let other = rival.take(exchange);
        if rival.has_won() {
            *self = rival.into_estimator();
            return other;
        }
        if !rival.is_done() {
            self.rival = Some(rival);
        }
        verdict
    }

    fn take_alone(&mut self, exchange: &Exchange) -> Verdict {
        if exchange.is_absurd() {
            self.doubted += 1;
            return Verdict::Doubted;
        }
        let base = *self.base.get_or_insert(Base { local: exchange.asked, remote: exchange.received });
        let stamps = base.stamps(exchange);
        self.limits.see(exchange);
        let now = stamps.x[1];
        let silence = now - self.newest;
        if silence > self.gap() && self.count() >= AFTER_GAP as usize {
            self.begin_again(silence);
        }
        if self.line.is_some() {
            self.paces.rotate_right(1);
            self.paces[0] = now - self.heard;
        }
        self.heard = now;
        let judgement = match &self.line {
            Some(line) => {
                let sigma = self.sigma(line, now);
                self.gate.judge(&stamps, &line.moved_to(now), sigma, self.known())
            }
            None => Judgement::Use,
        };
        let judgement = match judgement {
            // It is only the line that is wrong.
            Judgement::Move if !self.has_stepped() => Judgement::Lower,
            judgement => judgement,
        };
        let verdict = match judgement {
            Judgement::Use => {
                self.admit(&stamps);
                Verdict::Used
            }
            Judgement::Doubt => {
                self.doubted += 1;
                return Verdict::Doubted;
            }
            Judgement::Lower => {
                self.forget_slow_ways();
                for stamps in self.gate.take_dissent() {
                    self.admit(&stamps);
                }
                self.next_fit = 0.0;
                Verdict::Used
            }
            Judgement::Move => {
                self.moved();
                Verdict::Moved
            }
        };
        self.newest = self.newest.max(now);
        if self.fresh >= AFTER_GAP.min(self.count() as u32) && now >= self.next_fit {
            self.fit(self.newest);
        }
        verdict
    }

    /// Local to the other clock's time at `now`, with its standard error and its hard bound then.
    pub fn estimate(&self, now: LocalTime) -> Option<RemoteEstimate> {
        let (base, line) = (self.base?, self.line.as_ref()?);
        let x = (now - base.local).as_secs_f64();
        let told = self.told(line, x);
        let remote = base.remote + (now - base.local) + Span::from_secs_f64(told.offset);
        let [sigma, bound] = [told.sigma, told.bound].map(Span::from_secs_f64);
        // Rounding is no reason to be wrong.
        let bound = bound + Span::from_ticks(2);
        Some(RemoteEstimate::new(now, remote).with_rate(told.rate).with_error(sigma, bound))
    }

    /// How good the estimate is at `now`.
    pub fn state(&self, now: LocalTime) -> SyncState {
        let (Some(base), Some(line)) = (self.base, &self.line) else { return SyncState::Cold };
        let x = (now - base.local).as_secs_f64();
        if self.sigma(line, x) > LOST {
            SyncState::Lost
        } else if x - self.newest > self.gap() {
            SyncState::Holdover
        } else if self.span() < LOCKING {
            SyncState::Acquiring
        } else {
            SyncState::Locked
        }
    }

    /// The drift and its standard error, for the next launch; `None` while it is not known to a part in a million.
    pub fn learned_rate(&self) -> Option<RateBelief> {
        let line = self.line.as_ref()?;
        let known = RateBelief { rate: line.rate(), sigma: line.rate_sigma.max(KEPT_RATE) };
        (self.span() > 0.25 * WINDOW && line.rate_sigma < 1e-6).then_some(known)
    }

    /// The standard error of the drift (1).
    pub fn rate_sigma(&self) -> f64 {
        self.line.as_ref().map_or(self.belief.rate_sigma, |line| line.rate_sigma)
    }

    /// The least that the network takes both ways, as far as seen.
    pub fn least_round_trip(&self) -> Option<Span> {
        let line = self.line.as_ref()?;
        Some(Span::from_secs_f64(2.0 * line.half_width()))
    }

    /// Exchanges kept out, and times that the clock or the path was found changed.
    pub fn counts(&self) -> (u64, u64) {
        (self.doubted, self.moves)
    }

    /// How much time the window's stamps span.
    fn span(&self) -> Seconds {
        let first =
            self.clouds.iter().filter_map(|cloud| cloud.x.first()).copied().fold(f64::INFINITY, f64::min);
        if first.is_finite() { self.newest - first } else { 0.0 }
    }

    /// How many stamps the window has of the way of which it has more.
    fn count(&self) -> usize {
        self.clouds[0].x.len().max(self.clouds[1].x.len())
    }

    /// What the gate goes by besides.
    fn known(&self) -> Known {
        let gap = self.gap();
        let memory = if gap > GAP { RARE_MEMORY * gap } else { gate::MEMORY };
        Known { grain: self.limits.grain(), count: self.count(), memory }
    }

    /// How long a silence is a gap.
    fn gap(&self) -> Seconds {
        self.paces.iter().fold(GAP, |gap, pace| gap.max(RARE * pace))
    }

    /// Takes the stamps that tell something.
    fn admit(&mut self, stamps: &Stamps) {
        self.limits.take(stamps);
        let mut admitted = [true; 2];
        if let Some(line) = self.line {
            match self.watch.look(stamps, &line) {
                News::None => {}
                News::Queue { side, since, late } => self.clouds[side].drop_late(&line, side, since, late),
                News::Bent => self.bent(&line),
                News::Faster { since, rate } => self.faster(&line, since, rate),
            }
            admitted = self.watch.admits(stamps, &line);
        }
        for (side, cloud) in self.clouds.iter_mut().enumerate().filter(|(side, _)| admitted[*side]) {
            cloud.push(stamps.x[side], stamps.y[side], STAMPS);
        }
        if admitted[0] || admitted[1] {
            self.fresh = (self.fresh + 1).min(AFTER_GAP);
        }
    }

    /// How long stamps count: longer where they are few, as long as the unknown change of the drift is less than what few stamps
    /// leave unknown.
    fn window(&self, now: Seconds) -> Seconds {
        let Some(line) = &self.line else { return WINDOW };
        let needed = self.clouds.iter().map(|cloud| {
            let first = cloud.x.len().saturating_sub(ENOUGH);
            cloud.x.get(first).map_or(0.0, |first| now - first)
        });
        let noise = line.deviation(0).min(line.deviation(1));
        let most = (CALM_PART * noise / line::JERK).cbrt().clamp(WINDOW, LONGEST);
        needed.fold(0.0, f64::max).clamp(WINDOW, most)
    }

    /// Where all that comes is far earlier than before, that way is another one now: what it took before tells nothing of it, and
    /// would only hold the line where it was.
    fn forget_slow_ways(&mut self) {
        let Some(line) = self.line else { return };
        let Some((_, _, since)) = self.gate.earliest(&line) else { return };
        for side in 0..2 {
            let residuals: Vec<Seconds> =
                self.gate.dissenters().map(|s| line.residual(side, s.x[side], s.y[side])).collect();
            let early = -residuals.iter().copied().fold(f64::INFINITY, f64::min);
            let dissenters = residuals.iter().filter(|residual| **residual < -EARLY_PART * early).count();
            let cloud = &mut self.clouds[side];
            let begin = cloud.x.partition_point(|x| *x < since);
            let stamps = cloud.x[begin..].iter().zip(&cloud.y[begin..]);
            let others = stamps.filter(|(x, y)| line.residual(side, **x, **y) > -EARLY_PART * early).count();
            if early > FASTER * line.deviation(side) && dissenters >= ANOTHER_WAY.max(ANOTHER_WAY * others) {
                cloud.forget(since);
                self.belief.rate = line.rate();
                self.belief.rate_sigma = (line.rate_sigma + FOOLED_RATE).min(ANY_RATE);
            }
        }
    }

    /// The network takes less than ever since then: what it took before tells nothing of the clock any more, and would only hold
    /// the line where it was.
    fn faster(&mut self, line: &Line, since: Seconds, rate: f64) {
        for cloud in &mut self.clouds {
            cloud.forget(since);
        }
        self.belief.rate = rate;
        self.belief.rate_sigma = (line.rate_sigma + FOOLED_RATE).min(ANY_RATE);
        self.line = None;
        self.ladder = Ladder::default();
        self.fresh = AFTER_GAP;
        self.next_fit = 0.0;
        self.watch = Watch::default();
    }

    /// The crystals run at other rates now: what is old fits no more.
    fn bent(&mut self, line: &Line) {
        for cloud in &mut self.clouds {
            let enough = cloud.x.len().checked_sub(KEPT_STAMPS).map_or(f64::NEG_INFINITY, |n| cloud.x[n]);
            cloud.forget(enough.min(self.newest - KEPT));
        }
        self.belief.rate = line.rate();
        self.belief.rate_sigma = BENT_RATE;
        self.belief.curve_sigma = BENT_CURVE;
        self.next_fit = 0.0;
    }

    fn push(&mut self, stamps: &Stamps) {
        self.limits.take(stamps);
        for (side, cloud) in self.clouds.iter_mut().enumerate() {
            cloud.push(stamps.x[side], stamps.y[side], STAMPS);
        }
        self.fresh = (self.fresh + 1).min(AFTER_GAP);
    }

    /// There was a gap: the rate is as it was, more or less.
    fn begin_again(&mut self, gap: Seconds) {
        self.fresh = 0;
        if let Some(line) = &self.line {
            self.belief.rate = line.rate();
            self.belief.rate_sigma = (line.rate_sigma + KEPT_RATE + KEPT_RATE_PER_SEC * gap).min(ANY_RATE);
        }
    }

    /// The other clock was set, or the path is another one: the stamps that say so are the first of a new window.
    fn moved(&mut self) {
        self.moves += 1;
        self.begin_again(0.0);
        self.clouds = [Cloud::default(), Cloud::default()];
        self.limits.forget();
        self.watch = Watch::default();
        self.line = None;
        self.ladder = Ladder::default();
        for stamps in self.gate.take_dissent() {
            self.push(&stamps);
        }
        self.fresh = AFTER_GAP;
        self.next_fit = 0.0;
    }

    fn fit(&mut self, now: Seconds) {
        let begin = now - self.window(now);
        if self.watch.is_queued()
            && self.clouds.iter().all(|cloud| cloud.x.last().is_none_or(|last| *last < begin))
        {
            // There would be nothing left to go by.
            return;
        }
        for cloud in &mut self.clouds {
            cloud.forget(begin);
        }
        let is_thin = self.count() >= GROWN_TOGETHER && self.clouds.iter().any(|cloud| cloud.x.len() < THIN);
        self.ladder.hold_width(self.watch.is_queued() || is_thin);
        let span = self.span();
        if self.fresh == AFTER_GAP && span > 0.5 * WINDOW {
            // A full window needs no belief.
            self.belief.rate_sigma = ANY_RATE;
            self.belief.curve_sigma = CURVE;
        }
        let start = match &self.line {
            Some(line) => line.moved_to(now),
            None => Line::guess(now, WINDOW, self.clouds.each_ref().map(Cloud::lowest), self.belief.rate),
        };
        let mut line = self.ladder.fit(&start, &self.clouds, &self.belief, span);
        if self.count() < GROWN && self.weed(&line) {
            line = self.ladder.fit(&line, &self.clouds, &self.belief, span);
        }
        for side in 0..2 {
            while gate::is_lonely(&line, side, self.clouds[side].x.len()) {
                self.clouds[side].drop_lowest(&line, side);
                self.doubted += 1;
                line = self.ladder.fit(&line, &self.clouds, &self.belief, span);
            }
        }
        if !line.is_finite() {
            return;
        }
        self.line = Some(line);
        self.next_fit = now + (span / FITS_PER_WINDOW).min(WINDOW / FITS_PER_WINDOW);
    }

    /// Whether dissenters that should make the clock another one may: else it is only the line that is wrong. Either their hard
    /// intervals leave no place to the offset together with those of the window; or, in a window that knows its network, whatever
    /// came since the first of them is as late one way as they are early the other.
    fn has_stepped(&self) -> bool {
        let Some(line) = &self.line else { return true };
        let is_grown = self.clouds[0].x.len().min(self.clouds[1].x.len()) >= GROWN;
        if let Some((early, side, since)) = self.gate.earliest(line).filter(|_| is_grown) {
            let cloud = &self.clouds[1 - side];
            let begin = cloud.x.partition_point(|x| *x < since);
            let stamps = cloud.x[begin..].iter().zip(&cloud.y[begin..]);
            if stamps.len() >= CONFIRMED
                && stamps.clone().all(|(x, y)| line.residual(1 - side, *x, *y) > 0.5 * early)
            {
                return true;
            }
        }
        let slack = gate::TOLERANCE + 4.0 * line.rate_sigma * self.span();
        let least = [0, 1].map(|side| {
            let window = self.clouds[side].limits(line, side).into_iter();
            window.chain(self.gate.limits(line, side)).fold(f64::INFINITY, f64::min)
        });
        least[0] + least[1] < -slack - 2.0 * self.limits.grain()
    }

    /// Takes wrong stamps out of clouds that are too young for the gate to know them. Says whether there were any.
    fn weed(&mut self, line: &Line) -> bool {
        let before = self.doubted;
        let slack = gate::TOLERANCE + 4.0 * line.rate_sigma * self.span();
        let limits = [0, 1].map(|side| self.clouds[side].limits(line, side));
        let least = gate::consent(&limits);
        for (side, cloud) in self.clouds.iter_mut().enumerate() {
            self.doubted += cloud.drop_below(line, side, least[side] - slack);
            let mut limits = cloud.limits(line, side);
            limits.sort_by(f64::total_cmp);
            let lonely = gate::lonely(&limits);
            if lonely > 0 {
                self.doubted += cloud.drop_below(line, side, limits[lonely]);
            }
        }
        self.doubted > before
    }

    fn sigma(&self, line: &Line, x: Seconds) -> Seconds {
        let age = (x - line.now).max(0.0);
        let drifted = line.rate_sigma * age;
        let curved = 0.5 * UNSEEN_CURVE * age * age;
        let untried = UNTRIED * line.half_width() * HELD.powi(self.count() as i32 - 1);
        let (misfit, coarse) = (self.watch.misfit(), COARSE * self.limits.grain());
        let squares = self.ladder.error(line)
            + drifted * drifted
            + curved * curved
            + untried * untried
            + misfit * misfit
            + coarse * coarse;
        squares.sqrt()
    }

    /// What the line says of the offset at `x`, kept within the limits; its rate; its standard error; its hard bound.
    fn told(&self, line: &Line, x: Seconds) -> Told {
        let (fitted, rate) = ahead(line, x);
        let [above, below] = self.limits.at(x);
        let offset = if above + below >= 0.0 { fitted.clamp(-below, above) } else { 0.5 * (above - below) };
        // While it is not decided whether those who dissent are right, they may be.
        let [above, below] = self.gate.dissenters().fold([above, below], |widest, stamps| {
            let limits = self.limits.at_by(stamps, x);
            [0, 1].map(|side| widest[side].max(limits[side]))
        });
        let bound = (above - offset).max(offset + below);
        let sigma = self.sigma(line, x).min(bound);
        Told { offset, rate, sigma, bound }
    }
}

/// The offset and the rate at `x`, at or after the line's own instant: its curvature lasts for a while only.
fn ahead(line: &Line, x: Seconds) -> (Seconds, f64) {
    let age = (x - line.now).max(0.0);
    let fading = (-age / CURVE_LASTS).exp();
    let curved = line.curve() * CURVE_LASTS * (CURVE_LASTS * (fading - 1.0) + age);
    let rate = line.rate() + line.curve() * CURVE_LASTS * (1.0 - fading);
    (line.offset() + line.rate() * age + curved, rate)
}

impl Base {
    /// Stamps as seconds since the base, and what they bound the offset by.
    fn stamps(&self, exchange: &Exchange) -> Stamps {
        let x = [exchange.asked, exchange.returned].map(|local| local - self.local);
        let e = [exchange.received, exchange.answered].map(|remote| remote - self.remote);
        let y = [e[0] - x[0], x[1] - e[1]];
        Stamps { x: x.map(Span::as_secs_f64), y: y.map(Span::as_secs_f64) }
    }
}

#[cfg(test)]
mod tests;
