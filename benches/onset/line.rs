//! [`Line`]: the true time of every frame of a JACK dummy server, from the cycles of a client.
//!
//! The dummy driver wakes at an anchor plus whole periods of CLOCK_MONOTONIC_RAW, so between xruns its line has the
//! nominal rate exactly and lies at the earliest wake-up, a few tens of microseconds early of what any client can see.
//! An xrun of the driver moves the anchor. Not for: estimating anything, which is what is measured here.

use crate::recorder::Cycle;
use downbeat_sync::{LocalTime, Span};

/// The server's rate [Hz].
pub(crate) const RATE: u32 = 48_000;
/// The floor of wake-ups is taken over so many frames at a time.
const STRETCH: u64 = 24_000;
/// Floors further apart than this are on two sides of an xrun.
const MOVED: Span = Span::from_micros(250);

/// Straight pieces between xruns of the driver.
pub(crate) struct Line {
    pieces: Vec<Piece>,
}

struct Piece {
    from: u64,
    /// Local time of frame 0 of this piece's line.
    origin: LocalTime,
}

impl Line {
    pub(crate) fn new(cycles: &[Cycle]) -> Line {
        let mut pieces: Vec<Piece> = Vec::new();
        for stretch in cycles.chunk_by(|a, b| a.frame / STRETCH == b.frame / STRETCH) {
            let origins = stretch.iter().map(|cycle| cycle.woke - frames(cycle.frame));
            let Some(origin) = origins.min_by(|a, b| a.compare(*b)) else { continue };
            match pieces.last_mut() {
                Some(last) if (origin - last.origin).abs() < MOVED => {
                    if origin.is_before(last.origin) {
                        last.origin = origin;
                    }
                }
                _ => pieces.push(Piece { from: stretch[0].frame, origin }),
            }
        }
        Line { pieces }
    }

    /// How often the driver began anew.
    pub(crate) fn xruns(&self) -> usize {
        self.pieces.len().saturating_sub(1)
    }

    /// How often it did so after a frame.
    pub(crate) fn xruns_since(&self, frame: u64) -> usize {
        self.pieces.iter().skip(1).filter(|piece| piece.from > frame).count()
    }

    /// The frame at a local time.
    pub(crate) fn frame_at(&self, time: LocalTime) -> Option<u64> {
        let frame = |piece: &Piece| {
            let since = (time - piece.origin).as_secs_f64() * f64::from(RATE);
            (since >= piece.from as f64).then_some(since as u64)
        };
        self.pieces.iter().rev().find_map(frame)
    }

    /// Local time of a frame.
    pub(crate) fn at(&self, frame: u64) -> Option<LocalTime> {
        let piece = self.pieces.iter().rev().find(|piece| piece.from <= frame)?;
        Some(piece.origin + frames(frame))
    }
}

/// How long so many frames last.
pub(crate) fn frames(count: u64) -> Span {
    Span::from_ratio(i128::from(count), i128::from(RATE))
}
