//! [`SimClock`]: the clocks of another host than this one, for tests and benchmarks. Pure: it distorts what it is given.
//!
//! Nobody's real clock is touched. Not for: performances; the flag does not show in the help.

use crate::quantity;
use downbeat_sync::{Clock, LocalTime, Span, WallAnchor};
use std::str::FromStr;

const USAGE: &str =
    "give ppm=+80, offset=1234s, step=3600s with after=30s, or synchronised=1; several with commas between";

/// Clocks other than the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SimClock {
    /// How fast the oscillator is (ppm).
    ppm: f64,
    /// How far ahead both clocks are from the start.
    offset: Span,
    /// By how much the wall clock is set, and how long after the start.
    step: Option<(Span, Span)>,
    /// What the kernel says of the wall clock: whether something keeps it right.
    synchronised: Option<bool>,
}

impl SimClock {
    /// The host's local clock as this node sees it.
    pub(crate) fn local(self, clock: Clock) -> Clock {
        clock.simulated(self.ppm, self.offset)
    }

    /// The wall clock as a node sees it that began at this local time.
    pub(crate) fn wall(self, began: LocalTime, now: WallAnchor) -> WallAnchor {
        let step = self.step.filter(|(_, after)| now.local - began >= *after);
        let step = step.map_or(Span::ZERO, |(by, _)| by);
        let synchronised = self.synchronised.unwrap_or(now.synchronised);
        WallAnchor { wall: now.wall + self.offset + step, synchronised, ..now }
    }
}

impl FromStr for SimClock {
    type Err = String;

    /// `ppm=+80,offset=-1234s,step=3600s,after=30s,synchronised=1`, some of them, or nothing.
    fn from_str(text: &str) -> Result<SimClock, String> {
        let mut sim = SimClock::default();
        let (mut step, mut after) = (None, None);
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("ppm", ppm)) => sim.ppm = ppm.parse().map_err(|_| "ppm is a number".to_owned())?,
                Some(("offset", ahead)) => sim.offset = signed(ahead)?,
                Some(("step", by)) => step = Some(signed(by)?),
                Some(("after", time)) => after = Some(quantity::duration(time)?),
                Some(("synchronised", "0")) => sim.synchronised = Some(false),
                Some(("synchronised", "1")) => sim.synchronised = Some(true),
                _ => return Err(USAGE.to_owned()),
            }
        }
        sim.step = match (step, after) {
            (Some(by), Some(after)) => Some((by, after)),
            (None, None) => None,
            _ => return Err("step and after belong together: step=3600s,after=30s".to_owned()),
        };
        Ok(sim)
    }
}

/// A duration that may be negative.
fn signed(text: &str) -> Result<Span, String> {
    let size = quantity::duration(text.trim_start_matches(['+', '-']))?;
    Ok(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use downbeat_sync::EnsembleTime;

    #[test]
    fn a_simulated_clock_is_fast_ahead_set_or_all_of_it() {
        let all: SimClock = "ppm=+80,offset=-1234s,step=1h,after=30s".parse().expect("it is well formed");
        let step = Some((Span::from_secs(3600), Span::from_secs(30)));
        let ahead = -Span::from_secs(1234);
        assert_eq!(all, SimClock { ppm: 80.0, offset: ahead, step, synchronised: None });
        let ahead = SimClock { offset: Span::from_secs(120), ..SimClock::default() };
        assert_eq!("offset=+2m".parse(), Ok(ahead));
        assert_eq!("".parse(), Ok(SimClock::default()));
        for wrong in [
            "80",
            "synchronised",
            "synchronised=yes",
            "ppm=fast",
            "offset=1234",
            "offset",
            "step=1h",
            "after=1s",
            "step=1h,after=-1s",
        ] {
            assert!(wrong.parse::<SimClock>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_wall_clock_is_set_once_and_stays_so_and_the_local_one_is_not() {
        let sim: SimClock = "offset=10s,step=-1h,after=30s".parse().expect("it is well formed");
        let began = LocalTime::from_ticks(7 << 32);
        let start = EnsembleTime::from_unix(Span::from_secs(1_700_000_000));
        let read = |secs: i64| {
            let wall = start + Span::from_secs(secs);
            let (local, uncertainty) = (began + Span::from_secs(secs), Span::from_micros(1));
            let now = WallAnchor { local, wall, uncertainty, synchronised: secs == 29 };
            let seen = sim.wall(began, now);
            assert_eq!((seen.local, seen.uncertainty), (now.local, now.uncertainty));
            assert_eq!(seen.synchronised, now.synchronised, "nothing is said of that");
            for (told, is) in [("synchronised=0", false), ("synchronised=1", true)] {
                let sim: SimClock = told.parse().expect("it is well formed");
                assert_eq!(sim.wall(began, now), WallAnchor { synchronised: is, ..now });
            }
            seen.wall - wall
        };
        assert_eq!([0, 29].map(read), [Span::from_secs(10); 2]);
        assert_eq!([30, 31, 90_000].map(read), [Span::from_secs(10 - 3600); 3]);
    }
}
