//! Quantities as people write them: durations (`200ms`, `1.5s`), instants (`+200ms`, RFC 3339),
//! milliseconds of flags whose name says so, multicast groups.
//!
//! Not for: clocks. An [`Instant`] that is relative becomes a time only when the command says from when.

use downbeat_net::timing::MAX_ENSEMBLE;
use downbeat_sync::{EnsembleTime, MaxDrift, Span};
use jiff::{SignedDuration, Timestamp};
use std::net::IpAddr;

/// When something is to happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Instant {
    /// So long after the command looks at the clock.
    After(Span),
    /// At this time of the wall clock.
    At(EnsembleTime),
}

impl Instant {
    /// The time, if it is `now`.
    pub(crate) fn from(self, now: EnsembleTime) -> EnsembleTime {
        match self {
            Instant::After(span) => now + span,
            Instant::At(time) => time,
        }
    }
}

/// A duration with its unit: `200ms`, `1.5s`, `2m`, `1h 30m`; 0 or more.
pub(crate) fn duration(text: &str) -> Result<Span, String> {
    let duration: SignedDuration =
        text.trim().parse().map_err(|_| "give a number and a unit, as in 200ms, 1.5s or 2m".to_owned())?;
    if duration.is_negative() {
        return Err("a duration cannot be negative".to_owned());
    }
    let nanos = i64::try_from(duration.as_nanos()).ok().filter(|nanos| *nanos <= Span::MAX.as_nanos());
    nanos.map(Span::from_nanos).ok_or_else(|| "68 years at most".to_owned())
}

/// A number of milliseconds without its unit, for flags whose name says it; a minute at most.
pub(crate) fn milliseconds(text: &str) -> Result<Span, String> {
    let number: f64 =
        text.trim().parse().map_err(|_| "give a number of milliseconds, such as -3.5".to_owned())?;
    if number.abs() <= 60_000.0 {
        Ok(Span::from_secs_f64(number * 1e-3))
    } else {
        Err("a minute at most, -60000 to 60000".to_owned())
    }
}

/// How much two crystals may differ in rate: `200ppm`.
pub(crate) fn max_drift(text: &str) -> Result<MaxDrift, String> {
    let number = text.trim().strip_suffix("ppm").map(str::trim_end);
    let ppm: f64 = number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| "give parts per million with their unit, such as 200ppm".to_owned())?;
    MaxDrift::from_ppm(ppm).ok_or_else(|| format!("more than 0ppm, {}ppm at most", MaxDrift::MOST_PPM))
}

/// `+200ms` from now, or a date and time of day with its offset from UTC as in RFC 3339.
pub(crate) fn instant(text: &str) -> Result<Instant, String> {
    if let Some(ahead) = text.strip_prefix('+') {
        return duration(ahead).map(Instant::After);
    }
    let time: Timestamp = text
        .parse()
        .map_err(|_| "give +200ms (from now) or a time such as 2026-11-20T20:00:00.5+01:00".to_owned())?;
    Ok(Instant::At(EnsembleTime::from_unix_nanos(time.as_nanosecond())))
}

/// The address of a multicast group.
pub(crate) fn group(text: &str) -> Result<IpAddr, String> {
    let group = text.parse().ok().filter(IpAddr::is_multicast);
    group.ok_or_else(|| {
        "give an address from 224.0.0.0 to 239.255.255.255, or one that starts with ff".to_owned()
    })
}

/// The name of an ensemble.
pub(crate) fn ensemble(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_ENSEMBLE || text.contains('\0') {
        return Err(format!("give a name of 1 to {MAX_ENSEMBLE} bytes"));
    }
    Ok(text.to_owned())
}

/// A time as RFC 3339 in UTC, to the microsecond.
pub(crate) fn rfc3339(time: EnsembleTime) -> String {
    match Timestamp::from_nanosecond(time.unix_nanos()) {
        Ok(time) => format!("{time:.6}"),
        Err(_) => format!("{time:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_take_fractions() {
        assert_eq!(duration("200ms"), Ok(Span::from_millis(200)));
        assert_eq!(duration("1.5s"), Ok(Span::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Span::from_secs(120)));
        assert_eq!(duration("250us"), Ok(Span::from_micros(250)));
        assert_eq!(milliseconds("-2.5"), Ok(-Span::from_micros(2500)));
        for wrong in ["", "5", "fast", "-1s", "1.5 parsecs", "876000h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "5ms", "nan", "inf", "60001"] {
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_drift_is_above_0_and_has_its_unit() {
        assert_eq!(max_drift("200ppm"), Ok(MaxDrift::default()));
        assert_eq!(max_drift("0.5 ppm").map(MaxDrift::rate), Ok(0.5e-6));
        for wrong in ["", "200", "200 us", "0ppm", "-5ppm", "nanppm", "1001ppm"] {
            assert!(max_drift(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn instants_are_relative_or_rfc_3339() {
        let now = EnsembleTime::from_unix(Span::from_secs(1_000_000_000));
        assert_eq!(instant("+200ms").map(|i| i.from(now)), Ok(now + Span::from_millis(200)));
        assert_eq!(instant("2001-09-09T01:46:40.25Z").map(|i| i.from(now)), Ok(now + Span::from_millis(250)));
        assert_eq!(instant("2001-09-09T03:46:40+02:00").map(|i| i.from(now)), Ok(now));
        assert_eq!(rfc3339(now + Span::from_millis(250)), "2001-09-09T01:46:40.250000Z");
        for wrong in ["200ms", "2001-09-09", "2001-09-09T01:46:40", "soon"] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }
}
