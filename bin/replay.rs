//! `downbeat sync replay`: the estimator of a running node, over recorded exchanges.
//!
//! Not for: recording them, nor for another estimator than the node's own.

use crate::args::ReplayArgs;
use crate::output::{Unread, note};
use anyhow::{Context, bail};
use downbeat_sync::{Estimator, Exchange, LocalTime, MaxDrift, RateBelief, RemoteTime, Span};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write};

/// Stamps of one clock further apart than this make no sense of a trace: from 2^31 s (68 years) on, a difference would come out
/// with the wrong sign. How far apart the two clocks are does not matter.
const APART: i128 = 2_140_000_000 << 32;
/// No clock counts further from its zero than this (s).
const FARTHEST: i128 = 1_000_000_000_000;
/// Decimals of a second that count: of a tick, a ten thousandth.
const DECIMALS: i32 = 14;
/// Columns of a trace, in the order of its header.
const STAMPS: [&str; 4] = ["t1", "t2", "t3", "t4"];

/// Prints a line per exchange.
pub(crate) fn run(args: ReplayArgs) -> anyhow::Result<()> {
    let path = args.trace.display();
    let file = File::open(&args.trace).with_context(|| format!("cannot open {path}"))?;
    let replayed = replay(
        BufReader::with_capacity(1 << 16, file),
        BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        args.max_drift,
    );
    match replayed {
        Ok(Replayed { rows: 0, .. }) => note(format_args!("{path} holds no exchanges")),
        Ok(Replayed { absurd, first: Some(line), .. }) => note(format_args!(
            "{path}: {absurd} of its exchanges left out, whose stamps contradict themselves: the first stands in line {line}"
        )),
        Ok(_) => {}
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
        {
            return Err(anyhow::Error::new(Unread));
        }
        Err(error) => return Err(error.context(format!("cannot replay {path}"))),
    }
    Ok(())
}

/// What a trace held.
#[derive(Debug, Default, PartialEq)]
struct Replayed {
    rows: usize,
    /// Rows that the estimator left out, because an answer was there before its question, and the line of the first of them in
    /// the file.
    absurd: usize,
    first: Option<usize>,
}

fn replay(mut trace: impl BufRead, mut out: impl Write, drift: MaxDrift) -> anyhow::Result<Replayed> {
    let mut rows = read(&mut trace)?;
    // By when the answer came back: a log may have been written by several hands.
    rows.sort_by_key(|row| row.stamps[3]);
    writeln!(out, "t4,offset,drift_ppm,sigma,bound")?;
    let Some([here, there, ..]) = rows.first().map(|row| row.stamps) else {
        out.flush()?;
        return Ok(Replayed::default());
    };
    let mut replayed = Replayed { rows: rows.len(), ..Replayed::default() };
    let mut estimator = Estimator::new(RateBelief::default()).within(drift);
    let mut printed = Vec::new();
    for row in &rows {
        let [asked, received, answered, returned] = row.stamps;
        let local = |stamp: i128| LocalTime::from_ticks((stamp - here) as u64);
        let remote = |stamp: i128| RemoteTime::from_ticks((stamp - there) as u64);
        let now = local(returned);
        let exchange = Exchange {
            asked: local(asked),
            received: remote(received),
            answered: remote(answered),
            returned: now,
        };
        if exchange.is_absurd() {
            replayed.absurd += 1;
            replayed.first = Some(replayed.first.map_or(row.line, |first| first.min(row.line)));
        }
        estimator.take(&exchange);
        if let Some(estimate) = estimator.estimate(now) {
            let since = i128::from(estimate.remote_at(now).ticks().wrapping_sub(now.ticks()) as i64);
            printed.clear();
            printed.extend_from_slice(row.returned.as_bytes());
            printed.push(b',');
            put(&mut printed, nanos(since + there - here), 9);
            printed.push(b',');
            put(&mut printed, (estimate.rate() * 1e10).round() as i128, 4);
            for error in [estimate.sigma, estimate.bound] {
                printed.push(b',');
                match error {
                    Span::MAX => printed.extend_from_slice(b"inf"),
                    error => put(&mut printed, nanos(error.ticks().into()), 9),
                }
            }
            printed.push(b'\n');
            out.write_all(&printed)?;
        }
    }
    out.flush()?;
    Ok(replayed)
}

/// A line of a trace.
struct Row {
    /// Ticks of 2^-32 s since their clock's zero.
    stamps: [i128; 4],
    /// The last of them, as it is written.
    returned: String,
    /// Where it stands in the file, from 1.
    line: usize,
}

fn read(mut trace: impl BufRead) -> anyhow::Result<Vec<Row>> {
    let mut line = String::new();
    trace.read_line(&mut line)?;
    let header: Vec<&str> = line.trim_start_matches('\u{feff}').trim().split(',').map(str::trim).collect();
    let columns = STAMPS.map(|stamp| header.iter().position(|name| *name == stamp));
    let [Some(t1), Some(t2), Some(t3), Some(t4)] = columns else {
        bail!(
            "line 1: the header must name the columns t1,t2,t3,t4, and is {:?}",
            excerpt(&header.join(","))
        );
    };
    let columns = [t1, t2, t3, t4];
    let (mut number, mut rows) = (1, Vec::new());
    let mut first = None;
    loop {
        line.clear();
        number += 1;
        if trace.read_line(&mut line)? == 0 {
            return Ok(rows);
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
        let [here, there] = *first.get_or_insert([stamps[0], stamps[1]]);
        let is_far = |stamp: i128, zero: i128| (stamp - zero).abs() > APART / 2;
        let [asked, received, answered, returned] = stamps;
        if [asked, returned].into_iter().any(|stamp| is_far(stamp, here))
            || [received, answered].into_iter().any(|stamp| is_far(stamp, there))
        {
            bail!("line {number}: a clock is more than 33.9 years from what it was in the first exchange");
        }
        rows.push(Row { stamps, returned: cells[3].unwrap_or_default().to_owned(), line: number });
    }
}

/// As much of a line as a person reads.
fn excerpt(line: &str) -> String {
    line.chars().take(80).collect()
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

/// Ticks to the nearest nanosecond.
fn nanos(ticks: i128) -> i128 {
    let nanos = (ticks.abs() * 1_000_000_000 + (1 << 31)) >> 32;
    if ticks < 0 { -nanos } else { nanos }
}

/// Appends a number of so many decimals, which is given in units of the last one: several times faster than printing a float.
fn put(text: &mut Vec<u8>, value: i128, decimals: usize) {
    let mut digits = [b'0'; 40];
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

/// Seconds as a program writes them, with any number of decimals and an exponent if need be, as ticks: an `f64` of today's Unix
/// time would be 200 ns coarse.
fn ticks(text: &str) -> Option<i128> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok().filter(|e| e.abs() < 100)?),
        None => (text, 0),
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && decimals.is_empty()) || !is_number(whole) || !is_number(decimals) {
        return None;
    }
    // Units of the last decimal that counts; what is smaller decides nothing.
    let (mut value, mut place) = (0i128, exponent + whole.len() as i32);
    for digit in whole.bytes().chain(decimals.bytes()) {
        place -= 1;
        if place < -DECIMALS {
            break;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        if value > FARTHEST * 10i128.pow(DECIMALS as u32) {
            return None;
        }
    }
    let place = if place < -DECIMALS { -DECIMALS } else { place };
    let ticks = if place > 0 {
        let secs = if value == 0 { 0 } else { value.checked_mul(10i128.checked_pow(place as u32)?)? };
        (secs <= FARTHEST).then_some(secs << 32)?
    } else {
        let scale = 10i128.pow(place.unsigned_abs());
        (value / scale <= FARTHEST).then(|| ((value << 32) + scale / 2) / scale)?
    };
    Some(sign * ticks)
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
        assert_eq!(ticks("-0.5"), Some(-(1 << 31)));
        for (text, secs) in
            [("1e3", 1_000), ("+2", 2), ("-1", -1), ("12.5E-1e", 0), ("3900000000", 3_900_000_000)]
        {
            assert_eq!(ticks(text), (!text.ends_with('e')).then_some(secs << 32), "{text}");
        }
        assert_eq!((ticks("125e-2"), ticks(".25")), (Some(5 << 30), Some(1 << 30)));
        assert_eq!(ticks("1700000000.000000000232830643653869628906"), Some((1_700_000_000 << 32) + 1));
        for wrong in ["", ".", "-", "e3", "1e", "--1", "nan", "inf", "1e13", "1e99", "0x5", "1.2.3"] {
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
            put(&mut printed, nanos(span.ticks().into()), 9);
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
    fn exchanges_that_contradict_themselves_are_counted_with_the_line_of_the_first() {
        let replayed = |rows: &str| {
            let trace = format!("t1,t2,t3,t4\n{rows}");
            replay(trace.as_bytes(), Vec::new(), MaxDrift::default()).expect("it is a trace")
        };
        assert_eq!(replayed(""), Replayed::default());
        assert_eq!(replayed("1,6,6,1.1\n"), Replayed { rows: 1, absurd: 0, first: None });
        // Answered before it was asked; back before it left; back sooner than the other clock took.
        let rows = "9,14,14,9.1\n\n4,9,8.9,4.1\n3,8,8,2.9\n2,7,7.2,2.1\n";
        assert_eq!(replayed(rows), Replayed { rows: 4, absurd: 3, first: Some(4) });
    }

    #[test]
    fn an_error_says_where() {
        assert!(replayed("a,b\n").is_err_and(|why| why.contains("line 1") && why.contains("\"a,b\"")));
        assert!(
            replayed("t1,t2,t3,t4\n1,2,3,x\n").is_err_and(|why| why.contains("line 2") && why.contains('x'))
        );
        assert!(replayed("t1,t2,t3,t4\n1,2,3\n").is_err_and(|why| why.contains("column 4")));
    }

    #[test]
    fn a_clock_may_count_from_anywhere_and_rows_may_be_out_of_order() {
        // NTP's seconds; before zero; across 2^32; as far apart as clocks can be; with a mark that some editors write.
        for (here, there) in
            [(100, 3_900_000_000i64), (-50, 600), (4_294_967_290, 600), (-2_000_000_000, 9_000_000_000)]
        {
            let row =
                |n: i64| format!("{}.5,{}.5001,{}.5001,{}.5002\n", here + n, there + n, there + n, here + n);
            // Before zero, decimals count the other way: so whole seconds there.
            let row = |n: i64| {
                if here + n < 0 { row(n).replace(".5,", ".0,").replace(".5002", "") } else { row(n) }
            };
            let trace = format!("\u{feff}t1,t2,t3,t4\n{}{}{}", row(2), row(60), row(61));
            let out = replayed(&trace).expect("it is a trace");
            let lines: Vec<&str> = out.lines().collect();
            assert_eq!(lines.len(), 4, "{out}");
            let offset: f64 =
                lines[1].split(',').nth(1).expect("it has an offset").parse().expect("a number");
            assert!((offset - (there - here) as f64).abs() < 1.0, "{out}");
        }
        let rows = ["101.0,601.0001,601.0001,101.0002", "100.0,600.0001,600.0001,1.000002e2"];
        let out = replayed(&format!("t1,t2,t3,t4\n{}\n{}\n", rows[0], rows[1])).expect("it is a trace");
        let times: Vec<&str> = out.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        assert_eq!(times, ["1.000002e2", "101.0002"]);
    }

    #[test]
    fn a_clock_that_is_set_by_decades_is_refused_with_its_line() {
        let why =
            replayed("t1,t2,t3,t4\n100,600,600,100.1\n\n2200000000,2200000500,2200000500,2200000000.1\n");
        let why = why.expect_err("it makes no sense");
        assert!(why.contains("line 4") && why.contains("33.9 years"), "{why}");
    }
}
