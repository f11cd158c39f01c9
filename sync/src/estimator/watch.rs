//! [`Watch`]: what the last few exchanges say of the line: that somebody has a queue, or that a crystal runs at another rate now.
//!
//! Not for: stamps that cannot be true (`gate`), nor for the fit (`line`).
//!
//! A queue on one way looks like a clock that was moved by half of it, to whoever looks at offsets only. The round trip tells the
//! two apart, whatever the clocks do: when even the fastest of the last exchanges took longer than they ever do, somebody has a
//! queue. It is on the way whose stamps left their edge, if those of the other are where they were. Then what comes late that
//! way tells nothing and is kept out; the other way alone goes on to tell the offset, for how far the edges lie apart is known.
//! That holds for as long as the queue does: a way that is longer for good is only a queue without an end. If both ways left
//! their edges, nobody can tell whose part is which: all is used, and the standard error says so.
//!
//! A crystal that leaps to another rate moves both ways' stamps, one up and the other down, and no round trip. Then what is older
//! than the last seconds fits no more, and is forgotten.
//!
//! A network that turns out faster than ever, for good, tells more of the clock in six exchanges than it did in two minutes.
//!
//! How much is much, these networks' own calm says: mean and mean deviation of the same figures over the last minute of it.

use super::gate::Stamps;
use super::line::{Line, Seconds};
use std::collections::VecDeque;

/// How many exchanges are looked at together. A radio that saves power holds back four of five for five seconds: all of so many
/// in a row once in fifteen.
const LAST: usize = 12;
/// A line so young still finds its place (s).
const SETTLING: Seconds = 10.0;
/// So many of them in a row that are all faster than the calm are another network.
const FASTER: usize = 6;
/// Calm is learned over so long (s), from at least so many looks.
const MEMORY: Seconds = 60.0;
const LOOKS: f64 = 48.0;
/// Out of the calm is what is further from its mean than so many mean deviations, and than so much (s).
const QUEUED: f64 = 8.0;
const QUEUED_MIN: Seconds = 30e-6;
const SLOW: f64 = 4.0;
const BENT: f64 = 4.5;
const BENT_MIN: Seconds = 6e-6;
/// Where that deviation is larger, a window of seconds would be worse than any crystal (s).
const QUIET: Seconds = 5e-6;
/// And so many looks on end must say so.
const CONFIRM: u32 = 3;
/// A single look counts in the mean deviation as no more than so many of it.
const BOUNDED: f64 = 4.0;
/// A queue is over when no more than this part of what began it is left.
const OVER: f64 = 0.5;
/// What is late by more than this part of the least excess is so by the queue.
const LATE: f64 = 0.5;
/// The other way counts as undisturbed if its least is late by no more than this part; its stamps count up to so many
/// deviations.
const OTHER: f64 = 0.35;
const OTHER_DEVIATIONS: f64 = 3.0;
/// If both ways are late for so long, or nothing is fit to be used, the network is another one now (s).
const ACCEPTED: Seconds = 30.0;
const STARVED: Seconds = 300.0;
/// Against a line that did not follow, both ways' least stamps are late by the excess together: by no less than this part.
const FITTED: f64 = 0.5;
/// The tilt of the last exchanges lags behind what the line is off by: so many times it, beyond its deviation, may be that.
const WAVERS: f64 = 5.0;

/// What is new.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum News {
    /// Nothing.
    None,
    /// That way has a queue: what was late since then by more than this is to be taken out again.
    Queue { side: usize, since: Seconds, late: Seconds },
    /// The crystals' rates have changed.
    Bent,
    /// The network is another one since then: the slowest exchange took less than the fastest before. The line's rate was this
    /// before it felt the change.
    Faster { since: Seconds, rate: f64 },
}

/// Mean and mean deviation of a figure while all is calm.
#[derive(Clone, Copy, Debug, Default)]
struct Calm {
    looks: f64,
    mean: Seconds,
    deviation: Seconds,
}

impl Calm {
    fn learn(&mut self, value: Seconds, since: Seconds) {
        let gain = (since / MEMORY).clamp(0.0, 0.1).max(1.0 / (self.looks + 1.0));
        let off = value - self.mean;
        let bounded = if self.looks < LOOKS { off.abs() } else { off.abs().min(BOUNDED * self.deviation) };
        if self.looks > 0.0 {
            self.deviation += gain * (bounded - self.deviation);
        }
        self.mean += gain * off;
        self.looks += 1.0;
    }

    fn is_known(&self) -> bool {
        self.looks >= LOOKS
    }
}

/// A queue that lasts.
#[derive(Clone, Copy, Debug)]
struct Queue {
    /// Which way; `None` if nobody can tell.
    side: Option<usize>,
    /// How many looks it has lasted.
    looks: usize,
    /// Since when nobody can tell.
    open: Seconds,
    /// What began it.
    limit: Seconds,
    /// How much longer the fastest of the last exchanges took than in the calm.
    excess: Seconds,
    /// When a stamp was last fit to be used.
    fed: Seconds,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// When it began to look.
    born: Option<Seconds>,
    last: VecDeque<Stamps>,
    /// The fastest round trip of the last exchanges.
    trips: Calm,
    /// By how much the two ways' least stamps are off, one up and the other down.
    tilts: Calm,
    /// How many looks on end said that the line is bent.
    bends: u32,
    /// What the line may be off by, beyond its own error.
    misfit: Seconds,
    queue: Option<Queue>,
    /// Since when round trips are long, and neither way has left its edge.
    followed: Option<Seconds>,
    /// The line's rate when no round trip was shorter than ever [1].
    rate: f64,
}

impl Watch {
    /// Looks at one more exchange, that is believed, against the line.
    pub(super) fn look(&mut self, stamps: &Stamps, line: &Line) -> News {
        let now = stamps.x[1];
        let is_settled = now - *self.born.get_or_insert(now) > SETTLING;
        let since = self.last.back().map_or(0.0, |last| now - last.x[1]);
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(*stamps);
        if self.last.len() < LAST {
            return News::None;
        }
        let newest = self.last.range(LAST - FASTER..);
        let slowest = newest.map(|stamps| stamps.y[0] + stamps.y[1]).fold(f64::NEG_INFINITY, f64::max);
        if self.trips.is_known()
            && self.trips.mean - slowest > (QUEUED * self.trips.deviation).max(QUEUED_MIN)
        {
            return News::Faster { since: self.last[LAST - FASTER].x[0], rate: self.rate };
        }
        let least = |of: &dyn Fn(&Stamps) -> Seconds| self.last.iter().map(of).fold(f64::INFINITY, f64::min);
        let trip = least(&|stamps| stamps.y[0] + stamps.y[1]);
        let low = [0, 1].map(|side| least(&|stamps| line.residual(side, stamps.x[side], stamps.y[side])));
        let excess = trip - self.trips.mean;
        if excess > -(QUEUED * self.trips.deviation).max(QUEUED_MIN) {
            self.rate = line.rate();
        }
        let tilt = 0.5 * (low[0] - low[1]);
        let tilted = tilt - self.tilts.mean;
        let is_tilted = self.tilts.is_known() && tilted.abs() > (BENT * self.tilts.deviation).max(BENT_MIN);
        // A queue on one way is twice what it tilts the line by.
        let is_slow =
            self.trips.is_known() && is_tilted && excess > tilted.abs().max(SLOW * self.trips.deviation);
        let limit = (QUEUED * self.trips.deviation).max(QUEUED_MIN);
        let is_queue = match &self.queue {
            Some(queue) => excess > OVER * queue.limit,
            None => self.trips.is_known() && (excess > limit || is_slow),
        };
        if !is_queue {
            self.queue = None;
            self.followed = None;
            let is_known = self.tilts.is_known();
            self.misfit =
                if is_known { WAVERS * (tilted.abs() - self.tilts.deviation).max(0.0) } else { 0.0 };
            let is_bent =
                is_tilted && is_settled && self.tilts.deviation < QUIET && excess < 0.5 * tilted.abs();
            self.bends = if is_bent { self.bends + 1 } else { 0 };
            if self.bends == CONFIRM {
                self.bends = 0;
                self.last.clear();
                return News::Bent;
            }
            self.trips.learn(trip, since);
            if is_settled {
                self.tilts.learn(tilt, since);
            }
            return News::None;
        }
        if self.queue.is_none() && low[0] + low[1] < FITTED * excess {
            // Neither way has left its edge by itself: chance, or a queue that grew so slowly that the line has followed. Then what
            // is known of the calm is of another network.
            let began = *self.followed.get_or_insert(now);
            if now - began > ACCEPTED {
                self.trips = Calm { mean: trip, ..self.trips };
            }
            return News::None;
        }
        self.followed = None;
        let late = usize::from(low[1] > low[0]);
        let side = (low[1 - late] < OTHER * excess).then_some(late);
        let before = self.queue;
        let began = Queue { side, looks: 0, open: now, limit: limit.min(excess), excess, fed: now };
        let queue = self.queue.get_or_insert(began);
        queue.excess = excess;
        // The first looks may still be at exchanges from before. From then on whose it is stays so while it lasts, unless that is
        // contradicted.
        queue.looks += 1;
        if queue.looks <= LAST || side.is_some() || queue.side.is_some_and(|side| low[1 - side] > excess) {
            queue.side = side;
        }
        if queue.side.is_some() {
            queue.open = now;
        }
        self.misfit = match queue.side {
            Some(side) => WAVERS * low[1 - side].abs(),
            None => 0.5 * excess,
        };
        let is_accepted = queue.side.is_none() && now - queue.open > ACCEPTED;
        if is_accepted || now - queue.fed > STARVED {
            self.trips = Calm { mean: trip, ..self.trips };
            self.queue = None;
            return News::None;
        }
        let is_news = queue.side.is_some() && before.and_then(|before| before.side) != queue.side;
        match queue.side.filter(|_| is_news) {
            Some(side) => News::Queue { side, since: self.last[0].x[side], late: LATE * excess },
            None => News::None,
        }
    }

    /// Which of an exchange's two stamps are fit to be used.
    pub(super) fn admits(&mut self, stamps: &Stamps, line: &Line) -> [bool; 2] {
        let Some(Queue { side: Some(queued), excess, .. }) = self.queue else { return [true; 2] };
        let admitted = [0, 1].map(|side| {
            let late = line.residual(side, stamps.x[side], stamps.y[side]);
            late <= if side == queued { LATE * excess } else { OTHER_DEVIATIONS * line.deviation(side) }
        });
        if let Some(queue) = self.queue.as_mut().filter(|_| admitted[0] || admitted[1]) {
            queue.fed = stamps.x[1];
        }
        admitted
    }

    /// Whether one way has a queue, so that the distance between the edges is known from before only.
    pub(super) fn is_queued(&self) -> bool {
        self.queue.is_some_and(|queue| queue.side.is_some())
    }

    /// What the last exchanges say that the line may be off by, beyond its own error (s).
    pub(super) fn misfit(&self) -> Seconds {
        self.misfit
    }
}
