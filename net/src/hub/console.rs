//! [`Console`]: what a person at the node's console reads of the ensemble: whom it follows, and which jumps there are.
//!
//! Not for: what subscribers get (`answers`).

use downbeat_sync::{Announcement, EnsembleTime, Jump, News, PeerId, PeerReport, Span, WallAnchor};
use tracing::Level;

/// A leader of which nothing came for so long is gone: somewhat less than a lease, for another follower may see its end first.
const GONE: Span = Span::from_millis(1_100);

/// A line for the log.
pub(super) type Line = (Level, String);

/// What was said last.
#[derive(Debug)]
pub(super) struct Console {
    /// This node.
    own: PeerId,
    /// It is pinned as leader.
    pinned: bool,
    leader: PeerId,
    /// It leads by a time that it took from others, and announced no jump of it yet.
    inherited: bool,
}

impl Console {
    /// For a node that leads a session of its own.
    pub(super) fn new(own: PeerId, pinned: bool) -> Console {
        Console { own, pinned, leader: own, inherited: false }
    }

    /// Whether it is said already who leads.
    pub(super) fn is_told(&self, leader: PeerId) -> bool {
        self.leader == leader
    }

    /// What is to be said once the session went on with time: it follows `leader` now, these are the others, this is its news,
    /// and the published clock jumped so.
    pub(super) fn tell(
        &mut self,
        leader: PeerId,
        peers: &[PeerReport],
        news: &[News],
        jump: Option<Jump>,
    ) -> Vec<Line> {
        let name = |id: PeerId| name(id, peers);
        let mut lines = Vec::new();
        let mut moved = jump.filter(|jump| !jump.is_announced).map(|jump| jump.by);
        let (mut is_explained, before) = (false, std::mem::replace(&mut self.leader, leader));
        for news in news {
            let line = match *news {
                News::Joined { leader, via } => {
                    is_explained = true;
                    let through =
                        via.map_or(String::new(), |via| format!(", through {}, which is in it", name(via)));
                    let joined = format!("joined the ensemble of {}{through}", name(leader));
                    let why = moved.take().map_or(String::new(), |by| {
                        format!("; this node's time was {}: what waits moves by {by}", ahead(-by))
                    });
                    (Level::INFO, joined + &why)
                }
                News::Succeeded { leader } => {
                    is_explained = true;
                    let line =
                        format!("leader {} is gone: this node leads, with the time it had", name(leader));
                    (Level::INFO, line)
                }
                News::Deaf { leader, quiet } => {
                    is_explained = true;
                    let line = format!(
                        "leader {} is heard, but has answered nobody in reach for {quiet}: this node leads in its place",
                        name(leader)
                    );
                    (Level::WARN, line)
                }
                News::HandedOver { to } => {
                    is_explained = true;
                    (Level::INFO, format!("{} is pinned as leader: it leads from now on", name(to)))
                }
                // Said below, when it is so.
                News::Leads => continue,
                News::KeepsTime { ahead: by } => {
                    let line = format!(
                        "this host's clock is {} the room's time, and its kernel does not say that it is right (NTP, PTP): \
                         the room's time goes on",
                        if by < Span::ZERO { format!("{} behind", -by) } else { format!("{by} ahead of") }
                    );
                    (Level::WARN, line)
                }
            };
            lines.push(line);
        }
        if leader != before {
            self.inherited = leader == self.own;
            lines.extend(self.change(before, peers, is_explained));
        }
        if let Some(by) = moved {
            let line = format!("this node's time was {}: what waits moves by {by}", ahead(-by));
            lines.push((Level::WARN, line));
        }
        if let Some(Jump { by, .. }) = jump.filter(|jump| jump.is_announced) {
            lines.push((Level::INFO, format!("the ensemble's time has jumped by {by}")));
        }
        lines
    }

    /// There is another leader than before; whether that is said already.
    fn change(&self, before: PeerId, peers: &[PeerReport], is_explained: bool) -> Vec<Line> {
        let leader = self.leader;
        if leader == self.own {
            let line = "pinned as leader: this node leads from now on, with the room's time";
            return if self.pinned && !is_explained { vec![(Level::INFO, line.into())] } else { Vec::new() };
        }
        let mut lines = Vec::new();
        if !is_explained {
            let is_gone = before != self.own
                && peers.iter().find(|peer| peer.id == before).is_none_or(|peer| peer.silent > GONE);
            let what = match before {
                before if before == self.own => "this node leads no more".to_owned(),
                before if is_gone => format!("leader {} is gone", name(before, peers)),
                before => format!("leader {} leads no more", name(before, peers)),
            };
            lines.push((Level::INFO, format!("{what}; following {}", name(leader, peers))));
        }
        if self.pinned && peers.iter().any(|peer| peer.id == leader && peer.is_pinned) {
            let name = name(leader, peers);
            let line = format!("{name} is pinned as leader too: this node follows it until it goes");
            lines.push((Level::WARN, line));
        }
        lines
    }

    /// A jump of the ensemble's time was announced: now it is `now`, by the ensemble's time too.
    pub(super) fn announced(
        &mut self,
        jump: Announcement,
        now: EnsembleTime,
        wall: WallAnchor,
        peers: &[PeerReport],
    ) -> Line {
        let Announcement { by, at, .. } = jump;
        // To a tenth of a second.
        let left = ((at - now).max(Span::ZERO).as_secs_f64() * 10.0).round() / 10.0;
        let effect = format!("all nodes jump in {left} s; nothing that waits moves");
        let line = if self.leader != self.own {
            let leader = name(self.leader, peers);
            format!("leader {leader} announced a jump of the ensemble's time by {by}: {effect}")
        } else if std::mem::take(&mut self.inherited) && self.pinned && wall.synchronised {
            let behind = if by < Span::ZERO { format!("{} ahead of", -by) } else { format!("{by} behind") };
            format!("the room is {behind} this host's clock, which NTP or PTP keeps: {effect}")
        } else {
            format!("this host's clock was set by {by}: {effect}")
        };
        (Level::WARN, line)
    }
}

/// Writes lines to the log.
pub(super) fn log(lines: impl IntoIterator<Item = Line>) {
    for (level, line) in lines {
        match level {
            Level::WARN => tracing::warn!("{line}"),
            _ => tracing::info!("{line}"),
        }
    }
}

/// A node's number and address.
fn name(id: PeerId, peers: &[PeerReport]) -> String {
    let address = peers.iter().find(|peer| peer.id == id).map(|peer| format!(" ({})", peer.address));
    format!("{id}{}", address.unwrap_or_default())
}

fn ahead(by: Span) -> String {
    if by < Span::ZERO { format!("{} behind", -by) } else { format!("{by} ahead") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use downbeat_sync::LocalTime;
    use std::net::SocketAddr;

    const OWN: PeerId = PeerId(1);
    const ONE: PeerId = PeerId(2);
    const TWO: PeerId = PeerId(3);

    fn peer(id: PeerId, silent: i64, is_pinned: bool) -> PeerReport {
        PeerReport {
            id,
            address: SocketAddr::from(([10, 0, 0, id.0 as u8], 9_000)),
            leads: false,
            is_pinned,
            silent: Span::from_millis(silent),
            offset: None,
            round_trip: None,
            doubted: 0,
        }
    }

    fn jump(secs: i64, is_announced: bool) -> Option<Jump> {
        Some(Jump { by: Span::from_secs(secs), epoch: 1, at: EnsembleTime::from_bits(0), is_announced })
    }

    fn text(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn joining_is_one_line_and_another_leader_is_named_with_its_address() {
        let mut console = Console::new(OWN, false);
        let peers = [peer(ONE, 0, false), peer(TWO, 0, false)];
        let joined = [News::Joined { leader: ONE, via: None }];
        let lines = text(console.tell(ONE, &peers, &joined, jump(-60, false)));
        assert_eq!(
            lines,
            [
                "joined the ensemble of 0000000000000002 (10.0.0.2:9000); this node's time was 60 s ahead: what waits moves by -60 s"
            ]
        );
        assert!(console.tell(ONE, &peers, &[], None).is_empty());
        let gone = [peer(ONE, 1_300, false), peer(TWO, 0, false)];
        assert_eq!(
            text(console.tell(TWO, &gone, &[], None)),
            ["leader 0000000000000002 (10.0.0.2:9000) is gone; following 0000000000000003 (10.0.0.3:9000)"]
        );
    }

    #[test]
    fn a_pinned_node_says_once_that_it_leads_and_that_another_pinned_one_does() {
        let mut console = Console::new(OWN, true);
        let peers = [peer(ONE, 0, false), peer(TWO, 0, true)];
        let joined = News::Joined { leader: ONE, via: None };
        assert_eq!(console.tell(ONE, &peers, &[joined], None).len(), 1);
        // The news comes again and again, until it is so.
        assert!(console.tell(ONE, &peers, &[News::Leads], None).is_empty());
        let lines = text(console.tell(OWN, &peers, &[News::Leads, News::Leads], None));
        assert_eq!(lines, ["pinned as leader: this node leads from now on, with the room's time"]);
        assert!(console.tell(OWN, &peers, &[News::Leads], None).is_empty());
        let lines = text(console.tell(TWO, &peers, &[News::Joined { leader: TWO, via: None }], None));
        assert_eq!(
            lines[1],
            "0000000000000003 (10.0.0.3:9000) is pinned as leader too: this node follows it until it goes"
        );
    }

    #[test]
    fn a_jump_has_its_cause_and_its_effect() {
        let now = EnsembleTime::from_bits(1 << 40);
        let by = Span::from_secs(-3);
        let announcement = Announcement { by, at: now + Span::from_millis(1_480), epoch: 1 };
        let wall = |synchronised| WallAnchor {
            local: LocalTime::from_ticks(0),
            wall: now,
            uncertainty: Span::ZERO,
            synchronised,
        };
        let peers = [peer(ONE, 0, false)];
        let effect = "all nodes jump in 1.5 s; nothing that waits moves";
        let mut console = Console::new(OWN, true);
        let (_, line) = console.announced(announcement, now, wall(true), &peers);
        assert_eq!(line, format!("this host's clock was set by -3 s: {effect}"));
        console.tell(ONE, &peers, &[News::Joined { leader: ONE, via: None }], None);
        let (_, line) = console.announced(announcement, now, wall(true), &peers);
        let leader = "leader 0000000000000002 (10.0.0.2:9000)";
        assert_eq!(line, format!("{leader} announced a jump of the ensemble's time by -3 s: {effect}"));
        console.tell(OWN, &peers, &[News::Leads], None);
        let forward = Announcement { by: Span::from_secs(5), ..announcement };
        let (_, line) = console.announced(forward, now, wall(true), &peers);
        let cause = "the room is 5 s behind this host's clock, which NTP or PTP keeps";
        assert_eq!(line, format!("{cause}: {effect}"));
        let (_, line) = console.announced(forward, now, wall(true), &peers);
        assert_eq!(line, format!("this host's clock was set by 5 s: {effect}"));
        assert_eq!(
            text(console.tell(OWN, &peers, &[], jump(-3, true))),
            ["the ensemble's time has jumped by -3 s"]
        );
    }
}
