//! [`DeviceRate`]: how fast a sound card runs, as it is remembered from launch to launch, and how it is [`learned`](Learner).
//!
//! Not for: the rate the frame clock uses from block to block (`filter`), which follows the stamps and wavers with them by
//! a ppm. A rate worth remembering comes from the line's two ends, minutes apart.

use super::Seconds;
use crate::Span;

/// The ends of a stretch of the line are uncertain by so much together: the early edge wanders by 20 us.
const ENDS: Seconds = 40e-6;
/// The line has settled so long after its start or a move.
const SETTLE: Seconds = 5.0;
/// From so long a stretch on its slope is worth more than nothing known [40 us in 15 s are 2.7 ppm].
const WORTH: Seconds = 15.0;
/// A stretch ends after so long; later ones count for more, since temperature moves a crystal [10 min].
const STRETCH: Seconds = 600.0;
/// What temperature does from one stretch to the next, and while the node is away for a moment [ppm].
const UNREST: f64 = 0.3;
/// What a card that cools down or warms up does to its crystal within [`COOLING`] [ppm].
const COOLED: f64 = 1.0;
const COOLING: Seconds = 1_800.0;
/// Ageing and seasons: a random walk of 1 ppm in a day [ppm/√day].
const AGEING: f64 = 1.0;
const DAY: Seconds = 86_400.0;

/// Two rates further apart than so many of their standard errors are not of one crystal at one temperature.
const CONTRADICTION: f64 = 3.0;

/// A device's rate against its nominal one, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceRate {
    /// How much faster than nominal it runs [ppm of the local clock, within ±1000].
    pub ppm: f64,
    /// Standard error of that [ppm, above 0].
    pub sigma: f64,
}

impl DeviceRate {
    /// What is known of any card before its first callback.
    pub const UNKNOWN: DeviceRate = DeviceRate { ppm: 0.0, sigma: 50.0 };

    /// What it is still worth after nobody looked for `away` (negative is taken as none).
    ///
    /// At least 0.3 ppm uncertain, since the card was restarted; a ppm more once it had half an hour to cool down; and
    /// from then on by a ppm in a day, by five in a month, never more than if nothing was known.
    pub fn aged(self, away: Span) -> DeviceRate {
        let away = away.as_secs_f64().max(0.0);
        let cooled = COOLED * COOLED * (away / COOLING).min(1.0);
        let grown = UNREST * UNREST + cooled + AGEING * AGEING * away / DAY;
        let sigma = (self.sigma * self.sigma + grown).sqrt();
        if sigma < DeviceRate::UNKNOWN.sigma { DeviceRate { sigma, ..self } } else { DeviceRate::UNKNOWN }
    }

    /// Both, weighed by how sure they are; the newer one alone where they contradict each other.
    fn and(self, newer: DeviceRate) -> DeviceRate {
        if (newer.ppm - self.ppm).abs() > CONTRADICTION * self.sigma.hypot(newer.sigma) {
            return newer;
        }
        let (own, news) = (self.sigma.powi(-2), newer.sigma.powi(-2));
        let weight = own + news;
        DeviceRate { ppm: (own * self.ppm + news * newer.ppm) / weight, sigma: weight.sqrt().recip() }
    }
}

/// Learns a device's rate from the slope of its line.
#[derive(Clone, Debug)]
pub(super) struct Learner {
    /// From before this stretch.
    known: DeviceRate,
    /// How long this stretch is; negative until the line has settled.
    span: Seconds,
    /// How much more local time than nominal went by in it.
    excess: Seconds,
    /// Whether any stretch was worth something.
    is_news: bool,
}

impl Learner {
    pub(super) fn new(known: DeviceRate) -> Learner {
        Learner { known, span: -SETTLE, excess: 0.0, is_news: false }
    }

    /// `nominal` of the device went by, and the line took `excess` more than that.
    pub(super) fn went(&mut self, nominal: Seconds, excess: Seconds) {
        self.span += nominal;
        if self.span > 0.0 {
            self.excess += excess;
        }
        if self.span >= STRETCH {
            // The line goes on, so that the next stretch needs no time to settle.
            self.close();
            self.span = 0.0;
        }
    }

    /// The line was moved: what came before it says nothing about what comes after.
    pub(super) fn moved(&mut self) {
        self.close();
        self.span = -SETTLE;
    }

    fn close(&mut self) {
        if let Some(slope) = self.slope() {
            let known = self.known.and(slope);
            self.known = DeviceRate { sigma: known.sigma.hypot(UNREST), ..known };
            self.is_news = true;
        }
        self.excess = 0.0;
    }

    fn slope(&self) -> Option<DeviceRate> {
        (self.span >= WORTH)
            .then(|| DeviceRate { ppm: -1e6 * self.excess / self.span, sigma: 1e6 * ENDS / self.span })
    }

    /// What is known now, if this launch added anything to it.
    pub(super) fn learned(&self) -> Option<DeviceRate> {
        match self.slope() {
            Some(slope) => Some(self.known.and(slope)),
            None => self.is_news.then_some(self.known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_worth_less_with_time() {
        let known = DeviceRate { ppm: 20.0, sigma: 0.1 };
        let aged = |secs| known.aged(Span::from_secs(secs)).sigma;
        assert!((0.3..0.35).contains(&aged(0)), "{}", aged(0));
        assert!((1.0..1.1).contains(&aged(1_800)), "{}", aged(1_800));
        assert!((1.4..1.5).contains(&aged(86_400)), "{}", aged(86_400));
        assert!((5.0..6.0).contains(&aged(30 * 86_400)), "{}", aged(30 * 86_400));
        assert_eq!(known.aged(Span::from_secs(-5)).sigma, aged(0));
        assert_eq!(known.aged(Span::MAX), DeviceRate::UNKNOWN);
        assert_eq!(DeviceRate { ppm: 90.0, sigma: 50.0 }.aged(Span::ZERO), DeviceRate::UNKNOWN);
    }

    #[test]
    fn nothing_is_learned_of_a_moment_and_more_with_every_minute() {
        let mut learner = Learner::new(DeviceRate::UNKNOWN);
        let mut run = |secs: u32| {
            for _ in 0..secs {
                learner.went(1.0, -30e-6);
            }
            learner.learned()
        };
        assert_eq!(run(15), None);
        let minute = run(45).expect("a minute is enough");
        let hour = run(3_600).expect("an hour too");
        assert!((minute.ppm - 30.0).abs() < 0.1 && (hour.ppm - 30.0).abs() < 0.1, "{minute:?} {hour:?}");
        assert!(minute.sigma < 1.0 && hour.sigma < 0.35, "{minute:?} {hour:?}");
    }

    #[test]
    fn what_was_remembered_does_not_outlive_its_contradiction() {
        let mut learner = Learner::new(DeviceRate { ppm: 0.0, sigma: 0.3 });
        for _ in 0..65 {
            learner.went(1.0, -15e-6);
        }
        let learned = learner.learned().expect("a minute is enough");
        assert!((learned.ppm - 15.0).abs() < 0.1, "{learned:?}");
    }

    #[test]
    fn a_move_of_the_line_is_no_rate() {
        let mut learner = Learner::new(DeviceRate::UNKNOWN);
        for second in 0..600 {
            if second % 50 == 49 {
                learner.moved();
            }
            learner.went(1.0, -30e-6);
        }
        let learned = learner.learned().expect("there were stretches of 45 s");
        assert!((learned.ppm - 30.0).abs() < 0.1 && learned.sigma < 1.0, "{learned:?}");
    }
}
