//! What members send: packets for the group, forwarded as they are; private messages; questions for the router.
//!
//! What is for the router is taken out of a bundle, and the rest of it forwarded as it stood. Not for: who is a member (`door`).

use super::address::{self, Meaning};
use super::groups::Seat;
use super::out::{Out, To};
use super::{Packet, Refusal, Router, wire};
use crate::endpoint::ConnId;
use crate::osc::{self, Message, OscError, Pattern, Timed};
use crate::time_reply::TimeForm;
use downbeat_sync::LocalTime;

/// What comparing a packet's patterns with somebody's address may cost: bytes of the one times bytes of the other, some three
/// milliseconds' work. A bundle of thousands in a large group must not stop all.
const CHECKS: usize = 1 << 22;
/// Messages to the router itself in one packet.
const COMMANDS: usize = 256;

/// What there is in a packet.
#[derive(Default)]
struct Contents {
    registers: bool,
    reserved: bool,
    /// How much else there is for the router.
    commands: usize,
    /// Something for the group.
    others: bool,
}

impl Router {
    /// A packet of a member.
    pub(super) fn post(&mut self, conn: ConnId, seat: Seat, packet: &[u8], now: LocalTime) {
        self.tally.packets += 1;
        let contents = match self.contents(seat, packet) {
            Ok(contents) => contents,
            Err(error) => {
                tracing::debug!("{conn}: {error}");
                return self.refuse(conn, Refusal::Malformed, now);
            }
        };
        if contents.reserved {
            return self.refuse(conn, Refusal::Reserved, now);
        }
        if contents.registers {
            if contents.commands > 0 || contents.others {
                self.refuse(conn, Refusal::Beside, now);
            }
            return self.first(conn, packet, now);
        }
        if contents.commands > COMMANDS {
            return self.refuse(conn, Refusal::Commands, now);
        }
        if contents.commands == 0 {
            return self.forward(conn, seat, packet.into(), now);
        }
        for timed in osc::read(packet).any_tags().map_while(Result::ok) {
            self.obey(conn, seat, packet, &timed, now);
        }
        if contents.others {
            let rest = wire::filtered(packet, |message| for_the_group(packet, message));
            self.forward(conn, seat, rest.into(), now);
        }
    }

    fn contents(&self, seat: Seat, packet: &[u8]) -> Result<Contents, OscError> {
        let mut contents = Contents::default();
        let mut checks = CHECKS;
        for timed in osc::read(packet).any_tags() {
            let address = timed?.message.address();
            match meaning(packet, address) {
                Meaning::Group => contents.others = true,
                Meaning::Perhaps if self.answers_somebody(seat, address, &mut checks) => {
                    contents.reserved = true
                }
                Meaning::Perhaps => contents.others = true,
                Meaning::Reserved => contents.reserved = true,
                Meaning::Register => contents.registers = true,
                Meaning::Private | Meaning::Ping | Meaning::Time(_) | Meaning::Clock => {
                    contents.commands += 1
                }
            }
        }
        Ok(contents)
    }

    /// Whether a pattern means the answer to the registration of somebody of a group. It is said to if there are no more checks.
    fn answers_somebody(&self, seat: Seat, address: &[u8], checks: &mut usize) -> bool {
        let Ok(pattern) = Pattern::new(address) else { return true };
        let users = self.groups.get(seat.group).map_or(&[][..], |group| group.users());
        let mut conns = users.iter().flat_map(|user| &user.conns).filter_map(|conn| self.conns.get(conn));
        conns.any(|known| {
            let cost = address.len() * known.registered.len();
            let is_out_of_checks = *checks < cost;
            *checks = checks.saturating_sub(cost);
            is_out_of_checks || pattern.matches(&known.registered)
        })
    }

    fn forward(&mut self, conn: ConnId, seat: Seat, packet: Packet, now: LocalTime) {
        let Some(group) = self.groups.get_mut(seat.group) else { return };
        let to = To::Others(group.roster(), seat.user);
        self.tally.forwarded += 1;
        self.deliver(conn, to, packet, now);
    }

    fn obey(&mut self, conn: ConnId, seat: Seat, packet: &[u8], timed: &Timed<'_>, now: LocalTime) {
        let message = &timed.message;
        match meaning(packet, message.address()) {
            Meaning::Private => self.private(conn, seat, timed, now),
            Meaning::Ping => self.tally.pings += 1,
            Meaning::Time(form) => self.tell_time(conn, form, message, now),
            Meaning::Clock => match self.clock.ask(packet, now) {
                Ok(asked) => {
                    self.tally.times += 1;
                    self.send(Out::Pong(conn, asked));
                }
                Err(error) => {
                    tracing::debug!("{conn}: /sync/ping {error}");
                    self.refuse(conn, Refusal::Time, now);
                }
            },
            Meaning::Group | Meaning::Perhaps | Meaning::Reserved | Meaning::Register => {}
        }
    }

    /// To all connections of one user. What stands in a bundle of a later time arrives in one.
    fn private(&mut self, conn: ConnId, seat: Seat, timed: &Timed<'_>, now: LocalTime) {
        let Some(group) = self.groups.get_mut(seat.group) else { return };
        let sender = group.user(seat.user).map_or(&b""[..], |user| &user.name);
        let Some(packet) = wire::private(sender, &timed.message) else {
            return self.refuse(conn, Refusal::Private, now);
        };
        let to = timed.message.args().next().and_then(osc::Arg::text).unwrap_or_default();
        let Some((_, user)) = group.named(self.secret.tag(to)) else {
            return self.refuse(conn, Refusal::NoUser, now);
        };
        let packet = match timed.timetag {
            0 | osc::IMMEDIATELY => packet,
            later => wire::bundled(later, &packet),
        };
        let to = To::These(user.conns.as_slice().into());
        self.tally.private += 1;
        self.deliver(conn, to, packet.into(), now);
    }

    /// Has a packet of this connection delivered.
    fn deliver(&mut self, conn: ConnId, to: To, packet: Packet, now: LocalTime) {
        if !self.send(Out::Deliver(to, packet)) {
            self.refuse(conn, Refusal::Overload, now);
        }
    }

    fn tell_time(&mut self, conn: ConnId, form: TimeForm, asked: &Message<'_>, now: LocalTime) {
        let mut answer = Vec::new();
        let time = self.clock.time_at(now);
        let has_all = osc::read(asked.bytes()).all(|timed| timed.is_ok());
        if !has_all || form.write(&mut answer, asked.args(), time).is_err() {
            return self.refuse(conn, Refusal::Time, now);
        }
        self.tally.times += 1;
        self.send(Out::Deliver(To::One(conn), answer.into()));
    }
}

/// What an address means in this packet: a message about time between peers is a packet of its own.
fn meaning(packet: &[u8], address: &[u8]) -> Meaning {
    match address::meaning(address) {
        Meaning::Clock if !packet.starts_with(b"/") => Meaning::Group,
        meaning => meaning,
    }
}

fn for_the_group(packet: &[u8], message: &[u8]) -> bool {
    let address = message.split(|&byte| byte == 0).next().unwrap_or_default();
    matches!(meaning(packet, address), Meaning::Group | Meaning::Perhaps)
}
