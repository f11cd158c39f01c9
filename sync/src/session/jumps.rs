//! [`Jumps`]: the announced jumps of the ensemble's time, as a session hears of them, and what of them was told.
//!
//! The leader's word holds. What it has announced is never taken back, so of what one leader says the highest count is the
//! newest, in whatever order messages come. A successor goes on with what it has heard: if its leader died so soon that it has
//! heard nothing, those who did give that up when they follow it. Whoever hears of a jump only when it has taken effect, takes
//! it at once; it is an announced one all the same. Within one session room time goes on whatever is said of jumps, so what
//! waits keeps its instant. To join another session is no jump of the ensemble's time but a correction of our own: then what
//! waits keeps its timetag.
//!
//! Not for: announcing (`Timescale`), reading timetags ([`RoomClock`]).

use super::message::PeerId;
use super::timers::Timer;
use super::{Role, Session};
use crate::{Announcement, Epochs, Jump, LocalTime, RoomClock, Span};

/// A leader whose jump is pending says hello this often: five of them may be lost, and the notice is still a second long
/// [100 ms].
pub(super) const REPEAT: Span = Span::from_millis(100);
/// No leader announces a jump for later than this: it could announce no other until then [10 s].
const LATEST: Span = Span::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Jumps {
    latest: Epochs,
    /// As it was before the latest was heard of.
    previous: Epochs,
    /// In whose room time that is, and who said it.
    session: u64,
    leader: Option<PeerId>,
    /// How far our own room time, by which events wait here, is ahead of the session's: by it what waited before this node
    /// joined that session keeps its timetag.
    apart: Span,
    /// How far the ensemble's time is ahead of the session's room time, as far as that was told; and how often that changed.
    ahead: Span,
    count: u32,
}

impl Jumps {
    /// None so far.
    pub(super) fn new(session: u64) -> Jumps {
        Jumps {
            latest: Epochs::default(),
            previous: Epochs::default(),
            session,
            leader: None,
            apart: Span::ZERO,
            ahead: Span::ZERO,
            count: 0,
        }
    }

    pub(super) fn ahead(&self) -> Span {
        self.ahead
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn latest(&self) -> Epochs {
        self.latest
    }

    /// We lead this session: this is what was announced here.
    pub(super) fn lead(&mut self, session: u64, epochs: Epochs) {
        self.session = session;
        self.leader = None;
        self.take(epochs);
    }

    fn take(&mut self, told: Epochs) {
        if told != self.latest {
            self.previous = std::mem::replace(&mut self.latest, told);
        }
    }
}

impl Session {
    /// Local time to room time and to the ensemble's, by which timetags are read and written.
    pub fn clock(&self) -> RoomClock {
        let Jumps { latest, previous, apart, .. } = self.jumps;
        RoomClock::new(
            self.published.line().ahead_by(apart),
            latest.seen_from(apart),
            previous.seen_from(apart),
        )
    }

    /// What to add to this node's room time so that it is that of all nodes of the session: what is drawn from it is then the
    /// same on all of them.
    pub fn to_common(&self) -> Span {
        -self.jumps.apart
    }

    /// The jump that is to come, if one is announced.
    pub fn announcement(&self, now: LocalTime) -> Option<Announcement> {
        let latest = self.jumps.latest;
        latest.is_to_come(self.published.line().ensemble_at(now)).then(|| Announcement {
            by: latest.after() - latest.before(),
            at: latest.at() + latest.before(),
            epoch: self.estimate().epoch + 1,
        })
    }

    /// When the jump that was announced takes effect, if that was not told yet.
    pub(super) fn next_jump(&self) -> Option<LocalTime> {
        let Jumps { latest, ahead, .. } = self.jumps;
        // A tick is lost on the way there and back.
        (latest.after() != ahead).then(|| self.published.line().local_at(latest.at()) + Span::from_ticks(2))
    }

    /// Takes note of what the leader says of jumps, in the room time of its session.
    pub(super) fn heed(&mut self, leader: PeerId, now: LocalTime) {
        let Some(peer) = self.peers.get(&leader) else { return };
        let session = peer.standing.claim.session;
        let Some(theirs) = peer.estimate(now).map(|line| line.ensemble_at(now)) else { return };
        let told = match peer.standing.epochs {
            told if told.is_to_come(theirs) && told.at() - theirs > LATEST => {
                Epochs::settled(told.count(), told.before())
            }
            told => told,
        };
        if session != self.jumps.session {
            let ahead = told.ahead_at(theirs);
            // The same ensemble time, by another room's: what is between us and them stays, and is corrected after that.
            let by = self.jumps.ahead - ahead;
            self.published.rename(by);
            if let Some(carried) = &mut self.carried {
                carried.rename(by);
            }
            self.born += by;
            let apart = self.jumps.apart - by;
            let leader = Some(leader);
            self.jumps = Jumps { latest: told, previous: told, session, leader, apart, ahead, ..self.jumps };
            return;
        }
        // What is older came late.
        if self.jumps.leader != Some(leader) || told.count() >= self.jumps.latest.count() {
            self.jumps.leader = Some(leader);
            self.jumps.take(told);
        }
    }

    /// The announced jump that took effect since the last call, if one did.
    pub(super) fn pass(&mut self, now: LocalTime) -> Option<Jump> {
        let room = self.published.line().ensemble_at(now);
        let ahead = self.jumps.latest.ahead_at(room);
        if ahead == self.jumps.ahead {
            return None;
        }
        let old = std::mem::replace(&mut self.jumps.ahead, ahead);
        self.jumps.count += 1;
        let latest = self.jumps.latest;
        // Of one that was long ago it is not told when it was.
        let at = if latest.before() == latest.after() { room } else { latest.at() };
        let (by, epoch, at) = (ahead - old, self.estimate().epoch, at + old);
        Some(Jump { by, epoch, at, is_announced: true })
    }

    /// A jump of room time, as one of the ensemble's.
    pub(super) fn corrected(&self, jump: Jump) -> Jump {
        Jump { at: jump.at + self.jumps.ahead, epoch: self.estimate().epoch, ..jump }
    }

    /// Leads the ensemble's time to this wall clock, which is known to be right, by one announced jump if they are more than 10 ms
    /// apart, else by slewing. Nothing if it does not lead. Says whether a jump was announced just now.
    pub fn lead_to_wall(&mut self, now: crate::WallAnchor) -> bool {
        let Role::Leading(timescale) = &mut self.role else { return false };
        let is_announced = timescale.lead_to_wall(now);
        let (line, epochs) = (timescale.estimate(), timescale.epochs());
        self.published.adopt(&line);
        self.jumps.lead(self.session, epochs);
        if is_announced {
            self.timers.set(Timer::Hello, now.local);
        }
        is_announced
    }
}

/// Jumps that took effect at one moment are told as one.
pub(super) fn together(first: Option<Jump>, second: Option<Jump>) -> Option<Jump> {
    match (first, second) {
        (Some(a), Some(b)) => {
            Some(Jump { by: a.by + b.by, at: a.at, is_announced: a.is_announced && b.is_announced, ..b })
        }
        (a, b) => a.or(b),
    }
}
