//! [`Told`]: what a node says of itself, in pairs of key and value; and [`Reading`]: what time it says it is.
//!
//! A published clock is read by `/sync/time`: the answer is the ensemble's time when the kernel stamped the question, which
//! was between two readings of our own clock around the call that sent it. Who reads should have [`PRIORITY`], for a node's
//! network thread would otherwise wake up in the middle of what wakes it. Not for: answers of other kinds.

use downbeat_net::osc::{self, Arg};
use downbeat_sync::{Clock, EnsembleTime, LocalTime, Span};
use std::net::UdpSocket;

/// SCHED_FIFO priority above a node's network thread, below its audio.
pub(crate) const PRIORITY: i32 = 45;
/// A reading is of no use that is less certain than this.
const CERTAIN: Span = Span::from_micros(20);

/// A node's published clock, and ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) at: LocalTime,
    pub(crate) time: EnsembleTime,
}

impl Reading {
    /// Of a question that was sent between these times; nothing if they lie too far apart: somebody came between.
    pub(crate) fn certain((before, after): (LocalTime, LocalTime), time: EnsembleTime) -> Option<Reading> {
        let width = after - before;
        (width <= CERTAIN).then(|| Reading { at: before + Span::from_ticks(width.ticks() / 2), time })
    }
}

/// Asks for the time, by a number that is answered. Between when and when that was sent.
pub(crate) fn ask_time(socket: &UdpSocket, clock: Clock, number: i32) -> (LocalTime, LocalTime) {
    let mut packet = Vec::with_capacity(64);
    osc::write(&mut packet, "/sync/time", [Arg::Int(number)]).expect("it is legal");
    let before = clock.now();
    // Who is dead does not hear it.
    let _ = socket.send(&packet);
    (before, clock.now())
}

/// The number and the time of an answer to [`ask_time`].
pub(crate) fn time(packet: &[u8]) -> Option<(i32, EnsembleTime)> {
    let timed = osc::read(packet).next()?.ok()?;
    if timed.message.address() != b"/sync/time/reply" {
        return None;
    }
    let mut args = timed.message.args();
    match (args.next()?, args.next()?) {
        (Arg::Int(number), Arg::Time(bits)) => Some((number, EnsembleTime::from_bits(bits))),
        _ => None,
    }
}

/// An answer such as `/status/reply`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) address: String,
    pairs: Vec<(String, String)>,
}

impl Told {
    /// Reads one, if this is one.
    pub(crate) fn read(packet: &[u8]) -> Option<Told> {
        let timed = osc::read(packet).next()?.ok()?;
        let text = |arg: Arg<'_>| match arg {
            Arg::Int(int) => int.to_string(),
            Arg::Float(float) => float.to_string(),
            arg => String::from_utf8_lossy(arg.text().unwrap_or_default()).into_owned(),
        };
        let values: Vec<String> = timed.message.args().map(text).collect();
        let pairs = values.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        Some(Told { address: String::from_utf8_lossy(timed.message.address()).into_owned(), pairs })
    }

    /// What stands at a key; nothing if it is not there.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.pairs.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    /// The number there; NaN if there is none.
    pub(crate) fn number(&self, key: &str) -> f64 {
        self.get(key).parse().unwrap_or(f64::NAN)
    }
}

/// Asks over a connected socket, and waits as long as that waits. Other answers are passed over.
pub(crate) fn ask(socket: &UdpSocket, question: &str) -> Option<Told> {
    let mut packet = Vec::new();
    osc::write(&mut packet, question, []).ok()?;
    socket.send(&packet).ok()?;
    let mut room = [0; 4096];
    loop {
        let len = socket.recv(&mut room).ok()?;
        match Told::read(&room[..len]) {
            Some(told) if told.address.strip_prefix(question) == Some("/reply") => return Some(told),
            _ => {}
        }
    }
}
