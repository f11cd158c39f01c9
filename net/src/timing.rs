//! How nodes' messages about time are written in OSC, and read: `/sync/ping`, `/sync/pong`, `/sync/hello`.
//!
//! | address | arguments |
//! |---|---|
//! | `/sync/ping` | standing, nonce `h` |
//! | `/sync/pong` | standing, epochs, nonce `h`, received `h`, answered `h` (its local clock), then of the answer before this one: its nonce `h` and when it really left `h`, both 0 where that is not known |
//! | `/sync/hello` | standing, epochs, count `h`, then pairs of node `h` and its `ip:port` `s` |
//!
//! Standing is: ensemble `s`, node `h`, its leader `h`, pinned `i`, session `h`, its age `h`, term `i`, followers of that
//! leader `i`, how long ago its leader answered `h`, whether it gives its session up `i`, standard error `h`, hard
//! bound `h`, epoch `i`, and the line from its local clock to room time: a local time `h`, the room time then `t`, the
//! rate less one `d`. Local times and spans are in ticks of 2^-32 s. With a key, the last argument is a blob of
//! 16 bytes that seals all bytes before it ([`Key`]).
//!
//! Epochs is how the ensemble's time is made of room time: how often it jumped `i`; if ever, how far it is ahead after that `h`; and for
//! ten seconds the room time of the latest jump `t`, and how far it was ahead before that `h`. So a jump is announced before it
//! takes effect. Who asks does not say it: nobody goes by that.
//!
//! Each is a packet of its own, never in a bundle: its stamps are of the packet. Not for: what follows from them (the
//! session), nor `/sync/time`, which anybody may ask (`score`).

use crate::key::Key;
use crate::osc::{self, Arg, Args, WriteError};
use downbeat_sync::{
    Claim, Departure, EnsembleTime, Epochs, Hello, Message, PeerId, Ping, Pong, RemoteLine, RemoteTime, Span,
    Standing,
};
use std::net::SocketAddr;

/// The longest name of an ensemble (bytes).
pub const MAX_ENSEMBLE: usize = 64;
/// Nodes that a hello may name.
const MAX_KNOWN: usize = 16;

/// Why a message about time is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// It is of another ensemble, which is none of ours.
    #[error("of another ensemble")]
    Stranger,
    /// It is not sealed with our key.
    #[error("not sealed with this ensemble's key")]
    Seal,
    /// Its arguments are not those of such a message.
    #[error("malformed")]
    Malformed,
}

/// Which ensemble a node belongs to, and how it proves that.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The ensemble's name [1 to 64 bytes].
    pub ensemble: String,
    /// What seals its messages, if anything.
    pub key: Option<Key>,
}

/// Whether a packet is such a message, so that it is to be given to [`Membership::read`].
pub fn is_timing(packet: &[u8]) -> bool {
    packet.strip_prefix(b"/sync/").is_some_and(|rest| {
        rest.starts_with(b"ping\0") || rest.starts_with(b"pong\0") || rest.starts_with(b"hello\0")
    })
}

impl Membership {
    /// Appends a message to `out`, sealed if there is a key.
    ///
    /// # Errors
    /// When the ensemble's name cannot be written.
    pub fn write(&self, out: &mut Vec<u8>, message: &Message) -> Result<(), WriteError> {
        let start = out.len();
        let seal = self.key.as_ref().map(|_| Arg::Blob(&[0; Key::SEAL]));
        let standing = |standing: &Standing| self.standing(standing);
        match message {
            Message::Ping(ping) => {
                let own = [Arg::Long(ping.nonce as i64)];
                osc::write(out, "/sync/ping", standing(&ping.standing).into_iter().chain(own).chain(seal))?;
            }
            Message::Pong(pong) => {
                let before = pong.before.map_or([0, 0], |before| [before.nonce, before.at.ticks()]);
                let stamps = [pong.nonce, pong.received.ticks(), pong.answered.ticks()];
                let own = stamps.into_iter().chain(before).map(|long| Arg::Long(long as i64));
                osc::write(
                    out,
                    "/sync/pong",
                    standing(&pong.standing).into_iter().chain(epochs(&pong.standing)).chain(own).chain(seal),
                )?;
            }
            Message::Hello(hello) => {
                let known: Vec<(PeerId, String)> =
                    hello.known.iter().map(|(id, at)| (*id, at.to_string())).collect();
                let pairs = known.iter().flat_map(|(id, at)| [Arg::Long(id.0 as i64), at.as_str().into()]);
                let own = std::iter::once(Arg::Long(hello.count as i64)).chain(pairs);
                osc::write(
                    out,
                    "/sync/hello",
                    standing(&hello.standing)
                        .into_iter()
                        .chain(epochs(&hello.standing))
                        .chain(own)
                        .chain(seal),
                )?;
            }
        }
        if let Some(key) = &self.key {
            key.close(&mut out[start..]);
        }
        Ok(())
    }

    /// Reads what [`is_timing`] says is such a message.
    ///
    /// # Errors
    /// When it is another ensemble's, not sealed with our key, or malformed.
    pub fn read(&self, packet: &[u8]) -> Result<Message, TimingError> {
        let timed = osc::read(packet).next().and_then(Result::ok).ok_or(TimingError::Malformed)?;
        let mut args = timed.message.args();
        if args.next().and_then(Arg::text) != Some(self.ensemble.as_bytes()) {
            return Err(TimingError::Stranger);
        }
        if self.key.as_ref().is_some_and(|key| !key.closes(packet)) {
            return Err(TimingError::Seal);
        }
        let message = parse(timed.message.address(), &mut args).ok_or(TimingError::Malformed)?;
        match args.next() {
            None => Ok(message),
            // Sealed with a key, and we have none: it may be right, but whoever has a key wants no other company.
            Some(Arg::Blob(_)) if self.key.is_none() => Err(TimingError::Seal),
            Some(Arg::Blob(_)) if args.next().is_none() => Ok(message),
            Some(_) => Err(TimingError::Malformed),
        }
    }

    fn standing<'a>(&'a self, standing: &Standing) -> [Arg<'a>; 16] {
        let (claim, line) = (&standing.claim, &standing.line);
        [
            self.ensemble.as_str().into(),
            Arg::Long(standing.id.0 as i64),
            Arg::Long(standing.leader.0 as i64),
            Arg::Int(claim.priority.into()),
            Arg::Long(claim.session as i64),
            Arg::Long(claim.age.ticks()),
            Arg::Int(claim.term as i32),
            Arg::Int(claim.followers as i32),
            Arg::Long(claim.quiet.ticks()),
            Arg::Int(claim.yields.into()),
            Arg::Long(line.sigma.ticks()),
            Arg::Long(line.bound.ticks()),
            Arg::Int(line.epoch as i32),
            Arg::Long(line.anchor().ticks() as i64),
            Arg::Time(line.ensemble_at(line.anchor()).bits()),
            Arg::Double(line.rate()),
        ]
    }
}

fn parse(address: &[u8], args: &mut Args<'_>) -> Option<Message> {
    match address {
        b"/sync/ping" => Some(Message::Ping(Ping { standing: standing(args)?, nonce: long(args)? as u64 })),
        b"/sync/pong" => {
            let standing = with_epochs(args)?;
            let nonce = long(args)? as u64;
            let (received, answered) = (remote(args)?, remote(args)?);
            let before = match (long(args)?, remote(args)?) {
                (0, at) if at.ticks() == 0 => None,
                (nonce, at) => Some(Departure { nonce: nonce as u64, at }),
            };
            Some(Message::Pong(Pong { standing, nonce, received, answered, before }))
        }
        b"/sync/hello" => {
            let standing = with_epochs(args)?;
            let count = long(args)? as u64;
            let mut known = Vec::new();
            while args.next_tag() == Some(b'h') {
                let id = PeerId(long(args)? as u64);
                let at: SocketAddr = std::str::from_utf8(args.next()?.text()?).ok()?.parse().ok()?;
                if known.len() == MAX_KNOWN {
                    return None;
                }
                known.push((id, at));
            }
            Some(Message::Hello(Hello { standing, count, known }))
        }
        _ => None,
    }
}

/// What follows the ensemble's name.
fn standing(args: &mut Args<'_>) -> Option<Standing> {
    let (id, leader) = (PeerId(long(args)? as u64), PeerId(long(args)? as u64));
    let priority = u8::from(int(args)? > 0);
    let (session, age) = (long(args)? as u64, span(args)?);
    let (term, followers) = (int(args)? as u32, int(args)? as u32);
    let (quiet, yields) = (span(args)?.max(Span::ZERO), int(args)? > 0);
    let claim = Claim { priority, session, age, term, followers, quiet, yields };
    let (sigma, bound) = (span(args)?.max(Span::ZERO), span(args)?.max(Span::ZERO));
    let epoch = int(args)? as u32;
    let line = RemoteLine::new(remote(args)?, time(args)?).with_rate(rate(args)?);
    let line = line.with_error(sigma, bound).in_epoch(epoch);
    Some(Standing { id, leader, claim, line, epochs: Epochs::default() })
}

/// What follows a standing, but in a question.
fn epochs<'a>(standing: &Standing) -> impl Iterator<Item = Arg<'a>> + Clone + use<'a> {
    let epochs = standing.epochs;
    let latest = [Arg::Time(epochs.at().bits()), Arg::Long(epochs.before().ticks())];
    let latest = latest.into_iter().filter(move |_| epochs.before() != epochs.after());
    let ever = std::iter::once(Arg::Long(epochs.after().ticks())).chain(latest);
    std::iter::once(Arg::Int(epochs.count() as i32)).chain(ever.filter(move |_| epochs.count() > 0))
}

fn with_epochs(args: &mut Args<'_>) -> Option<Standing> {
    let standing = standing(args)?;
    let count = int(args)? as u32;
    let epochs = match count {
        0 => Epochs::default(),
        count => {
            let after = span(args)?;
            match args.next_tag() {
                Some(b't') => Epochs::new(count, time(args)?, span(args)?, after),
                _ => Epochs::settled(count, after),
            }
        }
    };
    Some(Standing { epochs, ..standing })
}

pub(crate) fn long(args: &mut Args<'_>) -> Option<i64> {
    match args.next()? {
        Arg::Long(long) => Some(long),
        _ => None,
    }
}

fn int(args: &mut Args<'_>) -> Option<i32> {
    match args.next()? {
        Arg::Int(int) => Some(int),
        _ => None,
    }
}

pub(crate) fn time(args: &mut Args<'_>) -> Option<EnsembleTime> {
    match args.next()? {
        Arg::Time(bits) => Some(EnsembleTime::from_bits(bits)),
        _ => None,
    }
}

fn remote(args: &mut Args<'_>) -> Option<RemoteTime> {
    long(args).map(|ticks| RemoteTime::from_ticks(ticks as u64))
}

/// Of no clock that works is it more than a thousandth.
fn rate(args: &mut Args<'_>) -> Option<f64> {
    match args.next()? {
        Arg::Double(rate) if rate.abs() < 1e-3 => Some(rate),
        _ => None,
    }
}

pub(crate) fn span(args: &mut Args<'_>) -> Option<Span> {
    long(args).map(Span::from_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn membership(key: Option<&[u8]>) -> Membership {
        Membership {
            ensemble: "stage".into(),
            key: key.map(|bytes| Key::new(bytes).expect("it is long enough")),
        }
    }

    fn message() -> impl Strategy<Value = Message> {
        let standing = any::<(u64, u64, bool, u64, i64, u32, u32, u32)>().prop_map(
            |(id, leader, pinned, session, ticks, term, followers, epoch)| Standing {
                id: PeerId(id),
                leader: PeerId(leader),
                claim: Claim {
                    priority: u8::from(pinned),
                    session,
                    age: Span::from_ticks(ticks),
                    term,
                    followers,
                    quiet: Span::from_ticks(ticks / 5).abs(),
                    yields: epoch % 2 == 1,
                },
                line: RemoteLine::new(RemoteTime::from_ticks(id), EnsembleTime::from_bits(session))
                    .with_rate(ticks as f64 * 1e-23)
                    .with_error(Span::from_ticks(ticks / 3).abs(), Span::from_ticks(ticks / 2).abs())
                    .in_epoch(epoch),
                epochs: match term % 3 {
                    0 => Epochs::default(),
                    1 => Epochs::settled(1 + term / 2, Span::from_ticks(ticks / 5)),
                    _ => {
                        let [before, after] = [5, 7].map(|part| Span::from_ticks(ticks / part));
                        let at = EnsembleTime::from_bits(if before == after { 0 } else { id });
                        Epochs::new(1 + term / 2, at, before, after)
                    }
                },
            },
        );
        let known = prop::collection::vec(any::<(u64, [u8; 4], u16)>(), 0..=MAX_KNOWN);
        // Of a departure both being 0 would be none.
        let before = prop::option::of((any::<u64>(), 1u64..))
            .prop_map(|before| before.map(|(nonce, at)| Departure { nonce, at: RemoteTime::from_ticks(at) }));
        let numbers = any::<(u64, u64, u64)>();
        (standing, numbers, before, known, 0..3).prop_map(|(standing, (a, b, c), before, known, kind)| {
            match kind {
                0 => {
                    // Who asks does not say it.
                    let standing = Standing { epochs: Epochs::default(), ..standing };
                    Message::Ping(Ping { standing, nonce: a })
                }
                1 => {
                    let [received, answered] = [b, c].map(RemoteTime::from_ticks);
                    Message::Pong(Pong { standing, nonce: a, received, answered, before })
                }
                _ => {
                    let known =
                        known.into_iter().map(|(id, ip, port)| (PeerId(id), SocketAddr::from((ip, port))));
                    Message::Hello(Hello { standing, count: a, known: known.collect() })
                }
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(message in message(), sealed: bool) {
            let member = membership(sealed.then_some(&[7; 32]));
            let mut packet = Vec::new();
            member.write(&mut packet, &message).expect("it can be written");
            prop_assert!(is_timing(&packet));
            prop_assert_eq!(member.read(&packet), Ok(message));
        }

        #[test]
        fn one_changed_bit_breaks_the_seal(message in message(), place: prop::sample::Index, bit in 0..8u8) {
            let member = membership(Some(&[7; 32]));
            let mut packet = Vec::new();
            member.write(&mut packet, &message).expect("it can be written");
            let place = place.index(packet.len());
            packet[place] ^= 1 << bit;
            prop_assert!(member.read(&packet).is_err());
        }

        #[test]
        fn garbage_is_an_error(mut packet in prop::collection::vec(any::<u8>(), 0..400), kind in 0..3usize) {
            let address: &[u8] = [&b"/sync/ping\0\0"[..], b"/sync/pong\0\0", b"/sync/hello\0"][kind];
            packet.splice(..0, address.iter().copied());
            prop_assert!(membership(None).read(&packet).is_err());
        }
    }

    #[test]
    fn a_clock_that_runs_by_a_thousandth_too_fast_is_not_believed() {
        let told = |rate: f64| {
            let ping = Message::Ping(Ping {
                standing: Standing {
                    id: PeerId(1),
                    leader: PeerId(2),
                    claim: Claim::default(),
                    line: RemoteLine::new(RemoteTime::from_ticks(9), EnsembleTime::from_bits(8))
                        .with_rate(rate),
                    epochs: Epochs::default(),
                },
                nonce: 5,
            });
            let mut packet = Vec::new();
            membership(None).write(&mut packet, &ping).expect("it can be written");
            membership(None).read(&packet)
        };
        for rate in [1e-3, -1e-3, 0.5, f64::NAN, f64::INFINITY] {
            assert_eq!(told(rate), Err(TimingError::Malformed), "{rate}");
        }
        assert!(told(0.999e-3).is_ok() && told(-0.999e-3).is_ok());
    }

    #[test]
    fn strangers_and_those_without_the_key_are_told_apart() {
        let ping = Message::Ping(Ping {
            standing: Standing {
                id: PeerId(1),
                leader: PeerId(2),
                claim: Claim { session: 3, ..Claim::default() },
                line: RemoteLine::new(RemoteTime::from_ticks(9), EnsembleTime::from_bits(8)),
                epochs: Epochs::default(),
            },
            nonce: 5,
        });
        let (open, sealed, other) =
            (membership(None), membership(Some(&[1; 32])), membership(Some(&[2; 32])));
        let written = |member: &Membership| {
            let mut packet = Vec::new();
            member.write(&mut packet, &ping).expect("it can be written");
            packet
        };
        assert_eq!(sealed.read(&written(&open)), Err(TimingError::Seal));
        assert_eq!(open.read(&written(&sealed)), Err(TimingError::Seal));
        assert_eq!(other.read(&written(&sealed)), Err(TimingError::Seal));
        let stranger = Membership { ensemble: "other stage".into(), key: None };
        assert_eq!(stranger.read(&written(&open)), Err(TimingError::Stranger));
    }
}
