//! `downbeat sync replay`: the estimator of a running node, over recorded exchanges.
//!
//! Not for: recording them, nor for another estimator than the node's own.

use crate::args::ReplayArgs;
use crate::output::Unread;
use anyhow::{Context, bail};
use downbeat_sync::{Estimator, Exchange, LocalTime, MaxDrift, RateBelief, RemoteTime, Span};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};

/// Ticks of 2^-32 s.
const TICKS_PER_SEC: u128 = 1 << 32;
/// Stamps further apart than this make no sense of a trace: from 2^31 s (68 years) on, a difference would come out with the
/// wrong sign. A clock that counts since its host started, against Unix time, is nearer than that.
const APART: i128 = 2_140_000_000 << 32;
/// Columns of a trace, in the order of its header.
const STAMPS: [&str; 4] = ["t1", "t2", "t3", "t4"];

/// Prints a line per exchange.
pub(crate) fn run(args: ReplayArgs) -> anyhow::Result<()> {
    let path = args.trace.display();
    let file = File::open(&args.trace).with_context(|| format!("cannot open {path}"))?;
    let printed = replay(
        BufReader::with_capacity(1 << 16, file),
        BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        args.max_drift,
    );
    match printed {
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
        {
            Err(anyhow::Error::new(Unread))
        }
        other => other.with_context(|| format!("cannot replay {path}")),
    }
}

fn replay(mut trace: impl BufRead, mut out: impl Write, drift: MaxDrift) -> anyhow::Result<()> {
    let mut line = String::new();
    trace.read_line(&mut line)?;
    let header: Vec<&str> = line.trim().split(',').map(str::trim).collect();
    let columns = STAMPS.map(|stamp| header.iter().position(|name| *name == stamp));
    let [Some(t1), Some(t2), Some(t3), Some(t4)] = columns else {
        bail!("line 1: the header names no columns t1,t2,t3,t4");
    };
    let columns = [t1, t2, t3, t4];
    writeln!(out, "t4,offset,drift_ppm,sigma,bound")?;
    let mut estimator = Estimator::new(RateBelief::default()).within(drift);
    let mut number = 1;
    let mut first = None;
    let mut printed = Vec::new();
    loop {
        line.clear();
        number += 1;
        if trace.read_line(&mut line)? == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        let cells = cells(&line, columns);
        let stamp = |which: usize| {
            let cell = cells[which]
                .with_context(|| format!("line {number}: there is no column {}", columns[which] + 1))?;
            ticks(cell).with_context(|| format!("line {number}: {cell:?} is not a time in seconds"))
        };
        let stamps = [stamp(0)?, stamp(1)?, stamp(2)?, stamp(3)?];
        let first = *first.get_or_insert(stamps);
        if are_far_apart(stamps.into_iter().chain(first)) {
            bail!(
                "line {number}: its stamps are more than 67 years from each other, or from those of the first line"
            );
        }
        let [asked, received, answered, returned] = stamps;
        let exchange = Exchange {
            asked: LocalTime::from_ticks(asked),
            received: RemoteTime::from_ticks(received),
            answered: RemoteTime::from_ticks(answered),
            returned: LocalTime::from_ticks(returned),
        };
        estimator.take(&exchange);
        let now = exchange.returned;
        if let Some(estimate) = estimator.estimate(now) {
            let offset = Span::from_ticks(estimate.remote_at(now).ticks().wrapping_sub(now.ticks()) as i64);
            printed.clear();
            printed.extend_from_slice(cells[3].unwrap_or_default().as_bytes());
            for (value, decimals) in [
                (nanos(offset), 9),
                ((estimate.rate() * 1e10).round() as i64, 4),
                (nanos(estimate.sigma), 9),
                (nanos(estimate.bound), 9),
            ] {
                printed.push(b',');
                put(&mut printed, value, decimals);
            }
            printed.push(b'\n');
            out.write_all(&printed)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// What stands in those columns of a line.
fn cells(line: &str, columns: [usize; 4]) -> [Option<&str>; 4] {
    let mut found = [None; 4];
    for (place, cell) in line.split(',').enumerate() {
        for (found, column) in found.iter_mut().zip(columns) {
            if column == place {
                *found = Some(cell.trim());
            }
        }
    }
    found
}

/// To the nearest nanosecond; a span is at most 2^31 s.
fn nanos(span: Span) -> i64 {
    let ticks = i128::from(span.ticks());
    let nanos = ((ticks.abs() * 1_000_000_000 + (1 << 31)) >> 32) as i64;
    if ticks < 0 { -nanos } else { nanos }
}

/// Appends a number of so many decimals, which is given in units of the last one: several times faster than printing a float.
fn put(text: &mut Vec<u8>, value: i64, decimals: usize) {
    let mut digits = [b'0'; 24];
    let mut begin = digits.len();
    let mut rest = value.unsigned_abs();
    while rest > 0 || digits.len() - begin <= decimals {
        begin -= 1;
        digits[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    if value < 0 {
        text.push(b'-');
    }
    let (whole, fraction) = digits[begin..].split_at(digits.len() - begin - decimals);
    text.extend_from_slice(whole);
    text.push(b'.');
    text.extend_from_slice(fraction);
}

/// Whether a difference of any two stamps, in ticks, is beyond what the estimator can tell.
fn are_far_apart(stamps: impl Iterator<Item = u64> + Clone) -> bool {
    let [earliest, latest] = [stamps.clone().min(), stamps.max()].map(|stamp| i128::from(stamp.unwrap_or(0)));
    latest - earliest > APART
}

/// Seconds with any number of decimals as ticks, exactly: an `f64` of today's Unix time is 200 ns coarse.
fn ticks(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(decimals) {
        return None;
    }
    let decimals = &decimals[..decimals.len().min(18)];
    let secs = whole.parse::<u64>().ok().filter(|secs| *secs < 1 << 32)?;
    if decimals.len() <= 9 {
        // In the width of the processor, which is most of the time it takes to read a long trace.
        let fraction = if decimals.is_empty() { 0 } else { decimals.parse::<u64>().ok()? };
        let scale = 10u64.pow(decimals.len() as u32);
        return Some((secs << 32).wrapping_add(((fraction << 32) + scale / 2) / scale));
    }
    let fraction = decimals.parse::<u128>().ok()?;
    let scale = 10u128.pow(decimals.len() as u32);
    Some((secs << 32).wrapping_add(((fraction * TICKS_PER_SEC + scale / 2) / scale) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(trace: &str) -> Result<String, String> {
        let mut out = Vec::new();
        replay(trace.as_bytes(), &mut out, MaxDrift::default()).map_err(|error| format!("{error:#}"))?;
        Ok(String::from_utf8(out).expect("it is text"))
    }

    #[test]
    fn a_time_is_exact_to_a_tick() {
        assert_eq!(ticks("0.5"), Some(1 << 31));
        assert_eq!(ticks("1700000000.000000000232830643653869628906"), Some((1_700_000_000 << 32) + 1));
        for wrong in ["", ".5", "-1", "1e3", "nan", "4294967296", "1.2.3"] {
            assert_eq!(ticks(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn seconds_are_rounded_to_a_nanosecond() {
        for (span, text) in [
            (Span::ZERO, "0.000000000"),
            (Span::from_ticks(1), "0.000000000"),
            (Span::from_ticks(-3), "-0.000000001"),
            (-Span::from_millis(1_500), "-1.500000000"),
            (Span::from_ticks((1 << 32) - 1), "1.000000000"),
            (Span::from_ticks(i64::MIN), "-2147483648.000000000"),
        ] {
            let mut printed = Vec::new();
            put(&mut printed, nanos(span), 9);
            assert_eq!(String::from_utf8_lossy(&printed), text);
        }
    }

    #[test]
    fn an_offset_comes_out_and_other_columns_are_passed_over() {
        let trace =
            "n,t1,t2,t3,t4\n1,100.0,600.0001,600.0001,100.0002\n\n2,101.0,601.0001,601.0001,101.0002\n";
        let out = replayed(trace).expect("it is a trace");
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].starts_with("101.0002,500.00000"), "{out}");
    }

    #[test]
    fn an_error_says_where() {
        assert!(replayed("a,b\n").is_err_and(|why| why.contains("line 1")));
        assert!(
            replayed("t1,t2,t3,t4\n1,2,3,x\n").is_err_and(|why| why.contains("line 2") && why.contains('x'))
        );
        assert!(replayed("t1,t2,t3,t4\n1,2,3\n").is_err_and(|why| why.contains("column 4")));
    }

    #[test]
    fn stamps_of_which_a_difference_would_wrap_are_refused_with_their_line() {
        // A host that has just started asks one that has Unix time in 2030.
        let good = "100.0,1900000000.0001,1900000000.0001,100.0002";
        let out = replayed(&format!("t1,t2,t3,t4\n{good}\n")).expect("it is a trace");
        assert!(out.contains("100.0002,1899999900.00000"), "{out}");
        // NTP's seconds since 1900; a stamp of another clock; a clock that was set by 70 years on its way.
        for wrong in [
            "100.0,3900000000.0,3900000000.0,100.1",
            "100.0,600.0,600.0,4000000000.0",
            "2200000000.0,2200000500.0,2200000500.0,2200000000.1",
        ] {
            let trace = format!("t1,t2,t3,t4\n100.0,600.0,600.0,100.1\n\n{wrong}\n");
            let why = replayed(&trace).expect_err("it makes no sense");
            assert!(why.contains("line 4") && why.contains("67 years"), "{wrong}: {why}");
        }
    }
}
