//! [`Reference`]: the time of one other host, by asking it: a server of time that is no node of the ensemble.
//!
//! Sans-io like the session, and asks like a follower. Until it is answered it only knocks: not everybody knows the time, and
//! not everybody keeps to himself what he does not understand. Not for: whether to believe that host.

use super::message::{Claim, PeerId, Ping, Pong, Standing};
use super::peer::{PATIENCE, Peer, Use};
use crate::{
    ClockEstimate, EnsembleTime, Epochs, LocalTime, MaxDrift, RateBelief, RemoteLine, Span, SyncState,
};
use std::net::{Ipv4Addr, SocketAddr};

/// Who does not answer is asked this often.
const KNOCK: Span = Span::from_secs(5);

/// See the module.
#[derive(Clone, Debug)]
pub struct Reference {
    peer: Peer,
    /// The time as the server before gave it, until this one's is known.
    before: Option<ClockEstimate>,
    id: PeerId,
    secret: u64,
    questions: u64,
    answers: u64,
    /// It was heard a moment ago, so that more questions are worth while.
    is_there: bool,
    /// Questions since the last answer, and when the newest was asked.
    unanswered: u32,
    asked: LocalTime,
    next_knock: LocalTime,
}

impl Reference {
    /// For a host of this number. `secret` is random: nobody else can tell what will be asked.
    pub fn new(id: PeerId, secret: u64, now: LocalTime) -> Reference {
        // It has an address, but whoever asks it knows that.
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut peer = Peer::new(nowhere, standing(id, now), MaxDrift::default(), now);
        peer.set_use(Use::Leader, RateBelief::default(), now);
        Reference {
            peer,
            before: None,
            id,
            secret,
            questions: 0,
            answers: 0,
            is_there: false,
            unanswered: 0,
            asked: now,
            next_knock: now,
        }
    }

    /// The next question, if it is time for one: send it at once.
    pub fn ask(&mut self, now: LocalTime) -> Option<Ping> {
        if self.is_there && self.peer.silent(now) > PATIENCE {
            self.is_there = false;
        }
        if now.is_before(self.deadline()) {
            return None;
        }
        self.questions += 1;
        let ping = self.peer.ask(now, super::draw(self.secret, self.questions), standing(self.id, now))?;
        self.next_knock = now + KNOCK;
        self.unanswered = self.unanswered.saturating_add(1);
        self.asked = now;
        Some(ping)
    }

    /// Takes an answer that came at `now`. Says whether it is one to a question of ours.
    pub fn answer(&mut self, pong: &Pong, now: LocalTime) -> bool {
        let is_another = self.answers > 0 && pong.standing.id != self.peer.standing.id;
        if is_another && self.peer.has_asked(pong.nonce) {
            // What was learned is about the local clock of the other one; with this one's line it gives no time.
            self.before = self.estimate(now);
            self.peer.renew(now);
        }
        if self.peer.answer(pong, now).is_none() {
            return false;
        }
        self.peer.standing = pong.standing;
        self.answers += 1;
        self.unanswered = 0;
        if self.state(now) == SyncState::Locked {
            self.before = None;
        }
        if !self.is_there {
            self.is_there = true;
            self.peer.hurry(now);
        }
        true
    }

    /// The way there is another one, or was away: asks anew.
    pub fn again(&mut self, now: LocalTime) {
        self.is_there = false;
        self.next_knock = now;
    }

    /// Whether an answer may come just now. It counts as having come when it is read, so look often.
    pub fn awaits(&self, now: LocalTime) -> bool {
        self.unanswered > 0 && now - self.asked <= PATIENCE
    }

    /// When the next question is due.
    pub fn deadline(&self) -> LocalTime {
        match self.peer.deadline() {
            Some(next) if self.is_there => next,
            Some(next) => self.next_knock.later(next),
            None => self.next_knock,
        }
    }

    /// Local time to that host's. Where another host now answers, or the same was started anew, it goes on as it was until that
    /// one's time is known well.
    pub fn estimate(&self, now: LocalTime) -> Option<ClockEstimate> {
        let current = || {
            let line = self.peer.estimate(now)?;
            Some(line.ahead_by(self.peer.standing.epochs.ahead_at(line.ensemble_at(now))))
        };
        self.before.map(|before| before.anchored_at(now)).or_else(current)
    }

    /// How well the time of the host that answers is known.
    pub fn state(&self, now: LocalTime) -> SyncState {
        self.peer.estimator().state(now)
    }

    /// How often it was answered, and how many questions it has asked in vain since.
    pub fn counts(&self) -> (u64, u32) {
        (self.answers, self.unanswered)
    }
}

/// Nothing is claimed, and no time given.
fn standing(id: PeerId, now: LocalTime) -> Standing {
    let claim = Claim::default();
    let line = RemoteLine::new(now.to_remote(), EnsembleTime::from_bits(0));
    Standing { id, leader: id, claim, line, epochs: Epochs::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: Span = Span::from_secs(1_000);

    fn at(millis: i64) -> LocalTime {
        LocalTime::from_ticks(1 << 40) + Span::from_millis(millis)
    }

    fn time(at: LocalTime) -> EnsembleTime {
        EnsembleTime::from_bits(at.ticks()) + AHEAD
    }

    /// The answer of a server whose local clock is ours, 10 ms away, and less than a microsecond more: no clock of a node counts in
    /// milliseconds.
    fn answer(ping: &Ping, asked: LocalTime) -> (Pong, LocalTime) {
        let came = asked + Span::from_nanos(10_000_000 + (ping.nonce % 1_000) as i64);
        let there = came.to_remote();
        let line = RemoteLine::new(there, time(came));
        let standing = Standing { id: PeerId(9), leader: PeerId(9), line, ..ping.standing };
        let pong = Pong { standing, nonce: ping.nonce, received: there, answered: there, before: None };
        (pong, came + Span::from_millis(10))
    }

    /// Asks and is answered until then. Returns how many questions there were.
    fn talk(reference: &mut Reference, from: i64, to: i64) -> u32 {
        let (mut coming, mut questions): (Vec<(Pong, LocalTime)>, u32) = (Vec::new(), 0);
        for millis in from..to {
            let now = at(millis);
            if let Some(ping) = reference.ask(now) {
                questions += 1;
                coming.push(answer(&ping, now));
            }
            coming.retain(|(pong, arrival)| {
                let comes_later = now.is_before(*arrival);
                assert!(comes_later || reference.answer(pong, *arrival));
                comes_later
            });
        }
        questions
    }

    #[test]
    fn it_knows_the_time_soon_and_asks_less_from_then_on() {
        let mut reference = Reference::new(PeerId(1), 7, at(0));
        assert_eq!(reference.state(at(0)), SyncState::Cold);
        let first = talk(&mut reference, 0, 6_000);
        assert!((40..=80).contains(&first), "{first}");
        assert_eq!(reference.state(at(6_000)), SyncState::Locked);
        let estimate = reference.estimate(at(6_000)).expect("it was answered");
        let error = estimate.ensemble_at(at(6_000)) - time(at(6_000));
        assert!(error.abs() < Span::from_micros(1), "{error}");
        let later = talk(&mut reference, 20_000, 40_000);
        assert!((35..=100).contains(&later), "{later}");
    }

    #[test]
    fn who_does_not_answer_is_hardly_asked() {
        let mut reference = Reference::new(PeerId(1), 7, at(0));
        let questions = (0..60_000).filter(|millis| reference.ask(at(*millis)).is_some()).count();
        assert_eq!((questions, reference.counts()), (12, (0, 12)));
        // It answers in the end, then no more.
        talk(&mut reference, 60_000, 70_000);
        assert!(reference.counts().0 > 40);
        let questions = (70_000..130_000).filter(|millis| reference.ask(at(*millis)).is_some()).count();
        assert!(questions < 60, "{questions}");
        assert_eq!(reference.state(at(130_000)), SyncState::Holdover);
    }

    #[test]
    fn what_nobody_asked_changes_nothing() {
        let mut reference = Reference::new(PeerId(1), 7, at(0));
        talk(&mut reference, 0, 6_000);
        let before = reference.estimate(at(7_000));
        let ping = Ping { standing: standing(PeerId(1), at(6_000)), nonce: 12 };
        let (mut pong, arrival) = answer(&ping, at(6_000));
        pong.standing.line = RemoteLine::new(at(0).to_remote(), EnsembleTime::from_bits(0));
        assert!(!reference.answer(&pong, arrival));
        assert_eq!(reference.estimate(at(7_000)), before);
    }

    #[test]
    fn another_way_is_asked_at_once() {
        let mut reference = Reference::new(PeerId(1), 7, at(0));
        assert!(reference.ask(at(0)).is_some());
        assert_eq!((reference.ask(at(1_000)), reference.deadline()), (None, at(5_000)));
        reference.again(at(1_000));
        assert!(reference.ask(at(1_000)).is_some());
    }

    #[test]
    fn another_way_is_asked_soon_though_the_one_before_was_just_asked() {
        let mut reference = Reference::new(PeerId(1), 7, at(0));
        talk(&mut reference, 0, 30_000);
        let asked = (30_000..31_000).find(|millis| reference.ask(at(*millis)).is_some());
        let asked = asked.expect("it asks twice a second");
        reference.again(at(asked + 300));
        let next = reference.deadline();
        assert!(at(asked + 300).is_before(next) && next.is_before(at(asked + 600)), "it does not spin");
        assert!(reference.ask(at(asked + 300)).is_none() && reference.ask(next).is_some());
    }

    #[test]
    fn an_answer_is_awaited_until_it_comes_or_is_too_late() {
        let mut reference = Reference::new(PeerId(1), 7, at(0));
        assert!(!reference.awaits(at(0)));
        let ping = reference.ask(at(0)).expect("it knocks");
        let (pong, arrival) = answer(&ping, at(0));
        assert!(reference.awaits(arrival) && reference.awaits(at(2_000)) && !reference.awaits(at(2_001)));
        assert!(reference.answer(&pong, arrival) && !reference.awaits(arrival));
    }

    #[test]
    fn an_answer_that_took_over_two_seconds_is_not_believed() {
        for (late, is_believed) in [(1_990, true), (2_010, false)] {
            let mut reference = Reference::new(PeerId(1), 7, at(0));
            let ping = reference.ask(at(0)).expect("it knocks");
            let (pong, _) = answer(&ping, at(0));
            assert_eq!(reference.answer(&pong, at(late)), is_believed, "{late} ms");
            assert_eq!(reference.estimate(at(late)).is_some(), is_believed, "{late} ms");
        }
    }

    #[test]
    fn another_server_with_a_clock_of_its_own_does_not_shake_the_time() {
        let mut reference = Reference::new(PeerId(1), 7, at(0));
        talk(&mut reference, 0, 20_000);
        reference.again(at(20_000));
        // Started anew on a host that was booted an hour later, and gives the same time.
        let booted = Span::from_secs(3_600);
        let mut coming: Vec<(Pong, LocalTime)> = Vec::new();
        for millis in 20_000..40_000 {
            let now = at(millis);
            if let Some(ping) = reference.ask(now) {
                let (mut pong, arrival) = answer(&ping, now);
                let line = pong.standing.line;
                pong.standing.id = PeerId(10);
                pong.standing.line = RemoteLine::new(pong.received - booted, line.ensemble_at(pong.received));
                pong.received = pong.received - booted;
                pong.answered = pong.answered - booted;
                coming.push((pong, arrival));
            }
            coming.retain(|(pong, arrival)| {
                let comes_later = now.is_before(*arrival);
                assert!(comes_later || reference.answer(pong, *arrival));
                comes_later
            });
            let estimate = reference.estimate(now).expect("it goes on");
            let error = estimate.ensemble_at(now) - time(now);
            assert!(error.abs() < Span::from_micros(10), "{millis}: {error}");
        }
    }
}
