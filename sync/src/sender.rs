//! [`SenderClock`]: how far ahead one sender's timetags lie when they arrive, and where they belong if only their rhythm
//! is trusted.
//!
//! Not for: clocks that can be asked (`estimator`), nor for whether a sender is to be trusted, which the user says.
//!
//! A sender stamps `latency` ahead by its own clock, and the network takes some time: what arrives is a lead, the timetag
//! less the arrival. It cannot be told whether a lead comes of the sender's latency or of its clock's error; so neither is
//! claimed. What is measured is the lead of the packets the network held up least, its upper envelope ([`Envelope`]), its
//! drift, and by how much other packets lie below or above it. A lead below zero or above [`PLAUSIBLE`] no sender wants.
//!
//! A sender whose clock is wrong still keeps time. Its events are placed by a second line, which goes along with the
//! envelope and bends towards it by no more than [`MAX_BEND`], so that distances between events are the sender's own: the
//! event whose packet took the least time sounds a chosen lead after it arrived. The line jumps only where it must
//! ([`SenderClock::jumps`]): when the sender's clock was set, so that every event would come too late, or far too long
//! after it was sent. After a silence it is on the envelope at once, since nobody hears that.
//!
//! Of packets that arrive together only the first is measured: whoever sends a bar at once sends its first note first.
//! In seconds of `f64` since a base, the first packet. Nothing here allocates.

mod envelope;

use crate::{ClockEstimate, EnsembleTime, LocalTime, Span};
use envelope::{Envelope, Seconds, Surprise};

/// Packets that arrive within so long count as one.
const TOGETHER: Seconds = 0.01;
/// After so long without a packet the line of places meets the envelope at once.
const SILENCE: Seconds = 10.0;
/// After so long a sender is a new one, but for its drift.
const FORGOTTEN: Seconds = 300.0;
/// The line of places meets the envelope within about so long,
const MEETS_IN: Seconds = 5.0;
/// bending by no more than this: two onsets half a second apart are off by a fifth of a millisecond (1).
const MAX_BEND: f64 = 400e-6;
/// A step of less than this need not be jumped after, however short the lead.
const JUMP_MIN: Seconds = 0.01;
/// Measured so often, a sender is known.
const KNOWN: u32 = 8;
/// A lead longer than this is none that anybody wants.
const PLAUSIBLE: Span = Span::from_secs(5);
/// A lead that varies by more is not the network's doing.
const VARIED: Seconds = 0.25;
/// A drift is told once its standard error is this small (1).
const TOLD_RATE: f64 = 5e-6;
/// How the spread follows the leads: up by a quarter, down by a hundredth, which settles where one in twenty is beyond.
const SPREAD_UP: f64 = 1.25;
const SPREAD_DOWN: f64 = 0.99;
const SPREAD_STEP: Seconds = 1e-3;

/// What is to be thought of a sender's timetags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderState {
    /// Too few packets to tell.
    New,
    /// They lie ahead by as much as somebody may want, steadily.
    Right,
    /// They lie in the past, or more than 5 s ahead, steadily: a clock is wrong.
    Off,
    /// They lie ahead by now this and now that: stamped by a plan of the sender's own, or at random.
    Varied,
}

/// What was measured of a sender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SenderReport {
    /// Packets with a timetag.
    pub packets: u64,
    /// How far ahead its timetags lie when they arrive, for packets the network held up least.
    pub lead: Span,
    /// That, less the lead it should have: what is taken off its timetags if it is placed by its rhythm only.
    pub bias: Span,
    /// Nineteen in twenty packets are nearer than this to that lead.
    pub spread: Span,
    /// How fast its clock runs against the ensemble's [1; 1e-6 is 1 ppm], if that is known.
    pub drift: Option<f64>,
    /// What to think of it.
    pub state: SenderState,
    /// How often its events had to jump.
    pub jumps: u64,
}

/// The clock of one sender, as far as the timetags of its packets show it.
///
/// Give each packet's arrival and timetag to [`SenderClock::take`], in the order of their arrival. [`SenderClock::report`]
/// returns how far ahead its timetags lie; [`SenderClock::place`] the local time at which an event with a timetag belongs if
/// only the sender's rhythm is trusted: distances between events stay the sender's own to 400 ppm, and the event whose packet
/// took the least time is placed the lead given to [`SenderClock::new`] after its arrival. Nothing here allocates.
#[derive(Clone, Debug)]
pub struct SenderClock {
    /// The lead its events are to have, and the same in seconds.
    lead: Span,
    reserve: Seconds,
    base: Option<Base>,
    envelope: Envelope,
    /// Where events are placed, as a lead that counts as none.
    placed: Seconds,
    /// When the newest packet came, and the newest that was measured.
    newest: Seconds,
    measured: Seconds,
    packets: u64,
    spread: Seconds,
    jumps: u64,
}

/// Where counting begins.
#[derive(Clone, Copy, Debug)]
struct Base {
    local: LocalTime,
    timetag: EnsembleTime,
}

impl SenderClock {
    /// Knows nothing yet. `lead` is how long after the earliest arrivals its events are to be placed [0 or more].
    pub fn new(lead: Span) -> SenderClock {
        SenderClock {
            lead,
            reserve: lead.as_secs_f64(),
            base: None,
            envelope: Envelope::new(),
            placed: 0.0,
            newest: 0.0,
            measured: 0.0,
            packets: 0,
            spread: 0.0,
            jumps: 0,
        }
    }

    /// Takes a packet into account, by its first timetag.
    pub fn take(&mut self, arrival: LocalTime, timetag: EnsembleTime) {
        self.packets += 1;
        let Some(base) = self.base else {
            self.base = Some(Base { local: arrival, timetag });
            return;
        };
        let x = (arrival - base.local).as_secs_f64();
        let ahead = base.ahead(arrival, timetag);
        let since = (x - self.newest).max(0.0);
        self.newest = self.newest.max(x);
        if since > FORGOTTEN {
            self.envelope.begin_again(ahead, since);
            self.placed = ahead;
            self.measured = self.newest;
            return;
        }
        self.go_on(since);
        let above = ahead - self.envelope.lead();
        self.widen(above.abs());
        if self.newest - self.measured < TOGETHER {
            return;
        }
        self.measured = self.newest;
        if self.envelope.take(self.newest, above, self.reserve) == Surprise::Stepped {
            let gap = self.envelope.lead() - self.placed;
            if gap.abs() > (0.5 * self.reserve).max(JUMP_MIN) {
                self.placed += gap;
                self.jumps += 1;
            }
        }
    }

    /// Where an event of this timetag belongs, as of the newest packet; `None` before the first.
    ///
    /// A timetag further ahead than the packet's first keeps its distance from that, by the sender's own clock.
    pub fn place(&self, timetag: EnsembleTime) -> Option<LocalTime> {
        let base = self.base?;
        let now = base.local + Span::from_secs_f64(self.newest);
        let later = base.ahead(now, timetag) - self.placed;
        Some(now + self.lead + Span::from_secs_f64(later * (1.0 - self.envelope.rate())))
    }

    /// What was measured, by the ensemble's clock; `None` before the first packet.
    pub fn report(&self, clock: &ClockEstimate) -> Option<SenderReport> {
        let base = self.base?;
        let now = base.local + Span::from_secs_f64(self.newest);
        let earliest = base.timetag + (now - base.local) + Span::from_secs_f64(self.envelope.lead());
        let lead = earliest - clock.ensemble_at(now);
        let drift = self.envelope.rate() - clock.rate();
        let state = if self.envelope.count() < KNOWN {
            SenderState::New
        } else if self.spread > VARIED {
            SenderState::Varied
        } else if lead < Span::ZERO || lead > PLAUSIBLE {
            SenderState::Off
        } else {
            SenderState::Right
        };
        Some(SenderReport {
            packets: self.packets,
            lead,
            bias: lead - self.lead,
            spread: Span::from_secs_f64(self.spread),
            drift: (self.envelope.rate_sigma() < TOLD_RATE).then_some(drift),
            state,
            jumps: self.jumps,
        })
    }

    /// Packets with a timetag.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// How often its events had to jump, because its clock did.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Lets time pass for both lines.
    fn go_on(&mut self, since: Seconds) {
        self.envelope.go_on(since);
        self.placed += self.envelope.rate() * since;
        let gap = self.envelope.lead() - self.placed;
        self.placed += if since > SILENCE {
            gap
        } else {
            let most = MAX_BEND * since;
            (gap * (since / MEETS_IN).min(1.0)).clamp(-most, most)
        };
    }

    /// Lets the spread follow a distance from the envelope.
    fn widen(&mut self, distance: Seconds) {
        self.spread = if distance > self.spread {
            (SPREAD_UP * self.spread + SPREAD_STEP).min(distance)
        } else {
            SPREAD_DOWN * self.spread
        };
    }
}

impl Base {
    /// By how much a timetag is further ahead of a local time than the first one was.
    fn ahead(&self, local: LocalTime, timetag: EnsembleTime) -> Seconds {
        ((timetag - self.timetag) - (local - self.local)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
