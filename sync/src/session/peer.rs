//! [`Peer`]: another node, as far as it is known, and the questions it is asked.
//!
//! Not for: what follows from the answers (`session`).

use super::carried::Carried;
use super::departures::{Leaving, Told, Waiting};
use super::election::Offer;
use super::message::{Claim, Departure, PeerId, Ping, Pong, Standing};
use crate::timescale;
use crate::{
    ClockEstimate, Estimator, Exchange, LocalTime, MaxDrift, RateBelief, RemoteEstimate, Span, SyncState,
    Verdict,
};
use std::net::SocketAddr;

/// Questions that wait for their answers, at most: later ones push out earlier ones, which are lost.
const ASKED: usize = 32;
/// The first questions come in a burst, so that half a second is enough for a first answer.
const BURST: u32 = 25;
const BURST_INTERVAL: Span = Span::from_millis(20);
/// A burst after a gap or a step.
const SHORT_BURST: u32 = 12;
/// A leader is asked in a burst for longer while the fastest answers are too few to tell what the network takes at its best, but
/// not for more than so many questions: a radio that saves power holds back four of five answers.
const LONGER: u32 = 75;
/// They are enough when so many took no more than this many times the fastest.
const FASTEST: usize = 6;
const ALIKE: i64 = 2;
/// After the burst, until the clocks' drift is known well.
const EAGER_INTERVAL: Span = Span::from_millis(125);
const EAGER: Span = Span::from_secs(10);
/// From then on.
const USUAL_INTERVAL: Span = Span::from_millis(250);
/// For one whose time is only compared with the leader's.
const WITNESS_INTERVAL: Span = Span::from_secs(1);
/// On a network this good [10 us of standard error] fewer questions are enough.
const GOOD: Span = Span::from_micros(10);
const GOOD_INTERVAL: Span = Span::from_millis(500);
/// A leader that is silent for so long is asked this often, so that its lease ends with many questions unanswered; so is one that is
/// heard, but has answered no question for longer.
const SILENT: Span = Span::from_millis(600);
const UNANSWERED: Span = Span::from_millis(800);
const URGENT_INTERVAL: Span = Span::from_millis(50);
/// An answer that comes later proves nothing: somebody may have kept it.
pub(super) const PATIENCE: Span = Span::from_secs(2);
/// So long an exchange waits for better stamps, which come with the next: a little longer than the longest interval.
const WAIT: Span = Span::from_millis(1_500);
/// A question is put off by up to this part of the interval, so that a thousand followers do not ask at one instant.
const DITHER: f64 = 0.1;

/// What a peer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing: it is only known.
    None,
    /// To prove that it lives: it may be the better leader.
    Candidate,
    /// Its time is compared with that of the leader.
    Witness,
    /// Its time is kept.
    Leader,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// What it said of itself last, in a message that is certainly new.
    pub(super) standing: Standing,
    /// Whom it follows, by any message: it is counted for that one.
    pub(super) follows: PeerId,
    /// When it was last heard of, by anything: a message may also be an old one that somebody sends again.
    pub(super) heard: LocalTime,
    /// It was heard more than once.
    heard_again: bool,
    /// When it last said something that is certainly new: the answer to a question, or a hello with a higher count.
    pub(super) vouched: Option<LocalTime>,
    /// When it last answered a question.
    proven: Option<LocalTime>,
    /// Its newest hello.
    pub(super) count: u64,
    /// It answered wrongly when others did not, or nobody at all: not asked and not followed from then until then.
    banned: Option<(LocalTime, LocalTime)>,
    use_: Use,
    estimator: Estimator,
    /// What its hard bound assumes.
    drift: MaxDrift,
    /// Nonces and when they were sent.
    asked: Vec<(u64, Leaving)>,
    /// The last exchange, if it may yet be known when its messages really left.
    pub(super) waiting: Option<Waiting>,
    /// What it was answered last.
    told: Option<Told>,
    /// Questions left of a burst, and those that may be added to it.
    burst: u32,
    longer: u32,
    /// The fastest round trips since it began, ascending.
    fastest: [Span; FASTEST],
    /// When it became known; then when it began to be asked.
    known: LocalTime,
    since: LocalTime,
    next: LocalTime,
    /// Answers that nobody asked for, or that came twice.
    pub(super) stray: u64,
    /// Departures of questions and answers, its own and those to it, that cannot be true.
    pub(super) absurd: u64,
}

impl Peer {
    pub(super) fn new(address: SocketAddr, standing: Standing, drift: MaxDrift, now: LocalTime) -> Peer {
        Peer {
            address,
            standing,
            follows: standing.leader,
            heard: now,
            heard_again: false,
            vouched: None,
            proven: None,
            count: 0,
            banned: None,
            use_: Use::None,
            estimator: Estimator::new(RateBelief::default()).within(drift),
            drift,
            asked: Vec::new(),
            waiting: None,
            told: None,
            burst: 0,
            longer: 0,
            fastest: [Span::MAX; FASTEST],
            known: now,
            since: now,
            next: now,
            stray: 0,
            absurd: 0,
        }
    }

    pub(super) fn estimator(&self) -> &Estimator {
        &self.estimator
    }

    /// It spoke once more; `count` is that of a hello, of which the same may come twice.
    pub(super) fn hear(&mut self, count: Option<u64>, now: LocalTime) {
        self.heard = self.heard.later(now);
        self.heard_again |= count.is_none_or(|count| count > self.count);
    }

    /// Whether it was heard once only and never answered: anybody may have said that.
    pub(super) fn is_stranger(&self) -> bool {
        !self.heard_again && self.proven.is_none()
    }

    /// How long it is silent: nothing came of it that is certainly new.
    pub(super) fn silent(&self, now: LocalTime) -> Span {
        self.vouched.map_or(Span::MAX, |at| now - at)
    }

    /// Takes note of what it says of itself in a message that is certainly new.
    pub(super) fn note(&mut self, standing: &Standing) {
        self.standing = *standing;
        self.follows = standing.leader;
    }

    /// What it carries by now: what it said last is a while ago. Nobody who leads is any quieter for that.
    pub(super) fn claim(&self, now: LocalTime) -> Claim {
        let claim = self.standing.claim;
        let since = self.vouched.map_or(Span::ZERO, |at| now - at);
        Claim { age: claim.age + since, quiet: claim.quiet + since, ..claim }
    }

    /// The same, and who leads there, for the order of offers.
    pub(super) fn offer(&self, now: LocalTime) -> Offer {
        let Standing { leader, epochs, .. } = self.standing;
        Offer { claim: self.claim(now), jumps: epochs.count(), leader }
    }

    /// Whether it carries this session, of this leader.
    pub(super) fn is_of(&self, leader: PeerId, session: u64) -> bool {
        self.standing.leader == leader && self.standing.claim.session == session
    }

    /// Whether it is the leader `id` of this session.
    pub(super) fn leads(&self, id: PeerId, session: u64) -> bool {
        self.standing.id == id && self.is_of(id, session)
    }

    /// Whether it answered a question within this time.
    pub(super) fn is_proven(&self, now: LocalTime, within: Span) -> bool {
        self.proven.is_some_and(|at| now - at < within)
    }

    /// Whether it is not to be followed, because others voted against it.
    pub(super) fn is_banned(&self, now: LocalTime) -> bool {
        self.banned_since(now).is_some()
    }

    /// Since when it is not to be followed.
    pub(super) fn banned_since(&self, now: LocalTime) -> Option<LocalTime> {
        self.banned.filter(|(_, until)| now.is_before(*until)).map(|(since, _)| since)
    }

    /// Not to be followed for so long from now on.
    pub(super) fn ban(&mut self, now: LocalTime, long: Span) {
        self.banned = Some((now, now + long));
        self.use_ = Use::None;
    }

    pub(super) fn used_as(&self) -> Use {
        self.use_
    }

    /// When it became known.
    pub(super) fn known_since(&self) -> LocalTime {
        self.known
    }

    /// Begins, goes on or ends to ask it. What was learned before of its drift is worth having.
    pub(super) fn set_use(&mut self, use_: Use, belief: RateBelief, now: LocalTime) {
        if use_ == self.use_ {
            return;
        }
        if self.use_ == Use::None {
            self.estimator = Estimator::new(belief).within(self.drift);
            self.waiting = None;
            self.since = now;
            self.next = now;
        }
        if use_ != Use::None {
            self.asked.clear();
            self.next = now;
        }
        self.use_ = use_;
        if use_ != Use::None {
            self.begin_burst(if use_ == Use::Leader { BURST } else { SHORT_BURST });
        }
    }

    /// Asks it a few questions, if it is not being asked already: it may be the better leader, if it lives.
    pub(super) fn probe(&mut self, belief: RateBelief, now: LocalTime) {
        if self.is_idle() {
            self.set_use(Use::None, belief, now);
            self.set_use(Use::Candidate, belief, now);
        }
    }

    /// When it is to be asked next.
    pub(super) fn deadline(&self) -> Option<LocalTime> {
        (!self.is_idle()).then_some(self.next)
    }

    /// Asks, if it is time. `nonce` is random.
    pub(super) fn ask(&mut self, now: LocalTime, nonce: u64, standing: Standing) -> Option<Ping> {
        if self.is_idle() || now.is_before(self.next) {
            return None;
        }
        let interval = self.interval(now);
        if self.burst > 0 {
            self.burst -= 1;
        } else if self.is_told_enough() {
            self.longer = 0;
        } else {
            self.longer -= 1;
        }
        let dither = DITHER * interval.as_secs_f64() * (nonce >> 40) as f64 / f64::from(1u32 << 24);
        self.next = now + interval + Span::from_secs_f64(dither);
        if self.asked.len() == ASKED {
            self.asked.remove(0);
        }
        self.asked.push((nonce, Leaving::new(now)));
        Some(Ping { standing, nonce })
    }

    /// Our local clock to its ensemble time, as of `now`: its local clock as estimated, and its own line composed. Its error is
    /// both together, and its hard bound what a leader may have bent the line since it told it besides.
    pub(super) fn estimate(&self, now: LocalTime) -> Option<ClockEstimate> {
        let theirs = self.estimator.estimate(now)?;
        let line = &self.standing.line;
        let composed = theirs.then(line);
        let bent = timescale::bend_since(line.rate(), self.said(&theirs, now));
        // The line's rate stretches what is unsure of the clock it goes by.
        let stretched = Span::from_secs_f64(theirs.bound.as_secs_f64() * line.rate().abs());
        Some(composed.with_error(composed.sigma, composed.bound + bent + stretched))
    }

    /// The time that it keeps, of which nothing more may be heard: what is published of it `now`.
    pub(super) fn carry(
        &self,
        published: &ClockEstimate,
        now: LocalTime,
        drift: MaxDrift,
    ) -> Option<Carried> {
        let said = self.said(&self.estimator.estimate(now)?, now);
        Some(Carried::new(published, self.standing.line.rate(), said, drift))
    }

    /// How long ago, at most, its line was right by itself.
    fn said(&self, theirs: &RemoteEstimate, now: LocalTime) -> Span {
        theirs.remote_at(now) - self.standing.line.anchor() + theirs.bound
    }

    /// Takes an answer that arrived at `now`: whether its clock is found to have moved; `None` if nobody asked.
    pub(super) fn answer(&mut self, pong: &Pong, now: LocalTime) -> Option<bool> {
        let Some(place) = self.asked.iter().position(|(nonce, _)| *nonce == pong.nonce) else {
            self.stray += 1;
            return None;
        };
        let (nonce, asked) = self.asked.remove(place);
        if now - asked.said() > PATIENCE {
            self.stray += 1;
            return None;
        }
        self.proven = Some(now);
        self.vouched = Some(now);
        // What is estimated is its local clock, which nobody steers; its line makes ensemble time of it.
        let (received, answered) = (pong.received, pong.answered);
        let exchange = Exchange { asked: asked.said(), received, answered, returned: now };
        self.time((now - asked.said()) - (answered - received));
        let was_away = self.estimator.state(now) == SyncState::Holdover;
        let mut has_moved = self.finish(pong.before);
        if pong.before.is_some() && self.can_wait(&exchange) {
            self.waiting = Some(Waiting { nonce, asked, exchange });
        } else {
            has_moved |= self.estimator.take(&exchange) == Verdict::Moved;
        }
        if has_moved || was_away {
            self.hurry(now);
        }
        Some(has_moved)
    }

    /// Whether this is a question whose answer is awaited.
    pub(super) fn has_asked(&self, nonce: u64) -> bool {
        self.asked.iter().any(|(asked, _)| *asked == nonce)
    }

    /// Somebody else is there now, whose clock nothing is known of.
    pub(super) fn renew(&mut self, now: LocalTime) {
        self.estimator = Estimator::new(RateBelief::default()).within(self.drift);
        self.waiting = None;
        self.since = now;
        self.hurry(now);
    }

    /// There is something to find out: asks in a burst.
    pub(super) fn hurry(&mut self, now: LocalTime) {
        if self.burst < SHORT_BURST {
            self.begin_burst(SHORT_BURST);
        }
        let soon = now + BURST_INTERVAL;
        self.next = self.next.earlier(soon);
    }

    fn begin_burst(&mut self, questions: u32) {
        self.burst = questions;
        self.longer = if self.use_ == Use::Leader { LONGER } else { 0 };
        self.fastest = [Span::MAX; FASTEST];
    }

    /// Takes note of a round trip.
    fn time(&mut self, trip: Span) {
        let place = self.fastest.partition_point(|fastest| *fastest <= trip);
        if place < FASTEST {
            self.fastest.copy_within(place..FASTEST - 1, place + 1);
            self.fastest[place] = trip;
        }
    }

    /// Whether a burst has shown what the network takes at its best, or may not go on for longer.
    fn is_told_enough(&self) -> bool {
        let [fastest, .., last] = self.fastest;
        self.longer == 0 || (last < Span::MAX && last.ticks() <= fastest.ticks().saturating_mul(ALIKE))
    }

    /// The question of this nonce left at this time.
    pub(super) fn question_left(&mut self, nonce: u64, at: LocalTime) {
        let asked = self.asked.iter_mut().find(|(asked, _)| *asked == nonce).map(|(_, asked)| asked);
        // Its answer may be faster than the news.
        let waits = self.waiting.as_mut().filter(|waiting| waiting.nonce == nonce);
        if let Some(leaving) = asked.or(waits.map(|waiting| &mut waiting.asked)) {
            self.absurd += u64::from(!leaving.left(at));
        }
    }

    /// The answer to the question of this nonce left at this time.
    pub(super) fn answer_left(&mut self, nonce: u64, at: LocalTime) {
        if let Some(told) = self.told.as_mut().filter(|told| told.nonce == nonce) {
            self.absurd += u64::from(!told.leaving.left(at));
        }
    }

    /// Remembers what it is answered now, and says what it was answered before.
    pub(super) fn tell(&mut self, now: Told) -> Option<Told> {
        self.told.replace(now)
    }

    /// Uses an exchange that has waited for better stamps for too long. Whether the clock is found to have moved.
    pub(super) fn wait_no_longer(&mut self, now: LocalTime) -> bool {
        let is_over = self.waiting.is_some_and(|waiting| now - waiting.exchange.returned > WAIT);
        let has_moved = is_over && self.finish(None);
        if has_moved {
            self.hurry(now);
        }
        has_moved
    }

    /// Uses the exchange that waits, if any, now that this is known of its answer. Whether the clock is found to have moved.
    fn finish(&mut self, before: Option<Departure>) -> bool {
        let Some(waiting) = self.waiting.take() else { return false };
        let (exchange, is_credible) = waiting.with(before);
        self.absurd += u64::from(!is_credible);
        self.estimator.take(&exchange) == Verdict::Moved
    }

    /// Whether there is time until the next answer: not while nothing is known, after a silence, or when this one is news.
    fn can_wait(&self, exchange: &Exchange) -> bool {
        let at = exchange.returned;
        let Some(line) = self.estimator.estimate(at) else { return false };
        let early = line.remote_at(exchange.asked) - exchange.received;
        let late = exchange.answered - line.remote_at(at);
        let is_known = matches!(self.estimator.state(at), SyncState::Acquiring | SyncState::Locked);
        is_known && early <= line.bound && late <= line.bound
    }

    /// Whether there is nothing to ask: a candidate is asked in one burst only.
    fn is_idle(&self) -> bool {
        self.use_ == Use::None || (self.use_ == Use::Candidate && self.burst == 0)
    }

    fn interval(&self, now: LocalTime) -> Span {
        if self.burst > 0 || !self.is_told_enough() {
            return BURST_INTERVAL;
        }
        match self.use_ {
            Use::Leader if self.silent(now) > SILENT || !self.is_proven(now, UNANSWERED) => URGENT_INTERVAL,
            Use::Leader if now - self.since < EAGER => EAGER_INTERVAL,
            Use::Leader if self.estimator.estimate(now).is_some_and(|e| e.sigma < GOOD) => GOOD_INTERVAL,
            Use::Leader => USUAL_INTERVAL,
            Use::Witness | Use::Candidate | Use::None => WITNESS_INTERVAL,
        }
    }
}
