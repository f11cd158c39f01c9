//! The hub with a renderer at the other end of its lane, in virtual time: what it is told, and what it says.

use super::*;
use crate::member::MemberTally;
use crate::osc::{Arg, BundleWriter};
use crate::score::Timetags;
use downbeat_engine::device::{Format, Host};
use downbeat_engine::{MAX_CLIPS, Offline, Settings, Streams};
use downbeat_sync::{Claim, EnsembleTime, Epochs, Message, PeerId, Ping, RemoteLine, Standing, SyncState};
use std::net::SocketAddr;

mod gate;
mod jumps;

const RATE: u32 = 1_000;

/// A hub, its renderer, and the time: ensemble time is local time, from 0, and a frame lasts a millisecond.
struct Lab {
    hub: Hub,
    offline: Offline,
    now: LocalTime,
}

impl Lab {
    fn new(agenda: usize) -> Lab {
        Lab::with(ScoreConfig { events: agenda, ..ScoreConfig::default() })
    }

    /// One that keeps of timetags only the rhythm.
    fn by_senders(agenda: usize) -> Lab {
        let timetags = Timetags::Sender;
        Lab::with(ScoreConfig { events: agenda, timetags, ..ScoreConfig::default() })
    }

    fn with(score: ScoreConfig) -> Lab {
        Lab::with_key(score, None)
    }

    fn with_key(score: ScoreConfig, key: Option<crate::Key>) -> Lab {
        // A pass is one block, however long: nothing is to wait for that.
        let immediate = downbeat_engine::Immediate::Asap;
        let agenda = score.events;
        let settings = Settings { rate: RATE, agenda, immediate, limiter: false, ..Settings::default() };
        let (control, offline) = Offline::new(settings, Streams::none());
        let membership = Membership { ensemble: "lab".into(), key };
        let config = HubConfig { score, membership, ..HubConfig::alone("lab", "1.2.3") };
        let now = LocalTime::from_ticks(0);
        let mut hub = Hub::new(config, control, Arc::default(), wall(now, Span::ZERO));
        hub.add_sample("kick", clip()).unwrap();
        Lab { hub, offline, now }
    }

    /// So many other nodes ask for the time.
    fn know_others(&mut self, count: u16) {
        let member = Membership { ensemble: "lab".into(), key: None };
        for number in 0..count {
            let id = PeerId(1 << 32 | u64::from(number));
            let claim = Claim { session: 1, ..Claim::default() };
            let line = RemoteLine::new(self.now.to_remote(), EnsembleTime::from_bits(0));
            let epochs = Epochs::default();
            let ping = Ping { standing: Standing { id, leader: PeerId(0), claim, line, epochs }, nonce: 1 };
            let mut packet = Vec::new();
            member.write(&mut packet, &Message::Ping(ping)).unwrap();
            self.send(peer(number), &packet);
        }
        self.said();
    }

    /// So many milliseconds go by, with a tick at the end. Returns the sound of the first channel.
    fn pass(&mut self, millis: usize) -> Vec<f32> {
        let mut out = vec![0.0; 2 * millis];
        self.offline.render(&mut out);
        self.now += Span::from_millis(millis as i64);
        self.hub.tick(wall(self.now, Span::ZERO));
        out.into_iter().step_by(2).collect()
    }

    fn send(&mut self, from: Endpoint, packet: &[u8]) {
        self.hub.handle(self.now, from, packet);
    }

    /// What was said since the last call, and to whom, as text.
    fn said(&mut self) -> Vec<(Endpoint, String)> {
        std::iter::from_fn(|| self.hub.poll(self.now))
            .map(|output| match output {
                Output::Send { to, packet, .. } => (to, text(&packet)),
                Output::Load(request) => (request.from, format!("load {} {}", request.name, request.file)),
            })
            .collect()
    }

    /// Sends one message and takes what is said to it at once.
    fn ask(&mut self, from: Endpoint, address: &str, args: &[Arg<'_>]) -> Vec<(Endpoint, String)> {
        self.send(from, &message(address, args));
        self.said()
    }
}

fn clip() -> Arc<Clip> {
    Arc::new(Clip::from_channels(RATE, &[&[1.0; 8]]))
}

fn wall(now: LocalTime, step: Span) -> WallAnchor {
    WallAnchor {
        local: now,
        wall: EnsembleTime::from_bits(now.ticks()) + step,
        uncertainty: Span::ZERO,
        synchronised: false,
    }
}

fn peer(port: u16) -> Endpoint {
    Endpoint::Udp(SocketAddr::from(([10, 0, 0, 1], port)))
}

fn message(address: &str, args: &[Arg<'_>]) -> Vec<u8> {
    let mut packet = Vec::new();
    osc::write(&mut packet, address, args.iter().copied()).unwrap();
    packet
}

fn bundle(millis: i64, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut bundle = BundleWriter::new(&mut packet, Span::from_millis(millis).ticks() as u64);
    for message in messages {
        bundle.packet(message).unwrap();
    }
    packet
}

/// A bundle that is due at once.
fn bundle_now(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut bundle = BundleWriter::new(&mut packet, osc::IMMEDIATELY);
    for message in messages {
        bundle.packet(message).unwrap();
    }
    packet
}

/// `/address arg arg`.
fn text(packet: &[u8]) -> String {
    let message = osc::read(packet).next().unwrap().unwrap().message;
    let mut text = String::from_utf8(message.address().to_vec()).unwrap();
    for arg in message.args() {
        text += &match arg {
            Arg::Int(x) => format!(" {x}"),
            Arg::Float(x) => format!(" {x}"),
            Arg::Time(x) => format!(" t{x:x}"),
            Arg::Str(s) => format!(" {}", String::from_utf8_lossy(s)),
            other => format!(" {other:?}"),
        };
    }
    text
}

/// The value of a key in a reply of pairs.
fn value<'t>(reply: &'t str, key: &str) -> &'t str {
    let mut words = reply.split(' ').skip(1);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        if name == key {
            return value;
        }
    }
    panic!("no {key} in {reply}")
}

#[test]
fn a_timetagged_message_sounds_on_its_frame_and_is_not_answered() {
    let mut lab = Lab::new(64);
    lab.send(peer(1), &bundle(37, &[message("/click", &[])]));
    let sound = lab.pass(100);
    assert_eq!(sound.iter().position(|sample| *sample != 0.0), Some(37));
    assert_eq!(lab.said(), []);
}

#[test]
fn a_wrong_message_is_answered_and_nothing_of_its_bundle_sounds() {
    let mut lab = Lab::new(64);
    lab.send(peer(1), &bundle(37, &[message("/click", &[]), message("/play", &["nope".into()])]));
    let said = "/error /play no sample named \"nope\" is loaded: /sample/list tells which are";
    assert_eq!(lab.said(), [(peer(1), said.into())]);
    assert!(lab.pass(100).iter().all(|sample| *sample == 0.0));
    assert_eq!(lab.hub.tally(), Tally { refused: 1, ..Tally::default() });
    assert_eq!(lab.ask(peer(1), "/error", &["/x".into(), "y".into()]), [], "answers are not answered");
    assert_eq!(lab.hub.tally().answers, 1);
}

#[test]
fn a_bundle_the_ring_has_no_room_for_is_refused_whole() {
    let mut lab = Lab::new(4);
    let click = || message("/click", &[]);
    lab.send(peer(1), &bundle(10, &[click(), click(), click()]));
    lab.send(peer(1), &bundle(20, &[click(), click()]));
    let said = "/error /click full: more events than can wait for the audio thread; send fewer at once";
    assert_eq!(lab.said(), [(peer(1), said.into())]);
    assert_eq!(lab.hub.tally().full, 1);
    let sound = lab.pass(50);
    assert_eq!((sound[10], sound[20]), (3.0, 0.0));
}

#[test]
fn an_agenda_that_is_full_is_told_to_the_sender() {
    let mut lab = Lab::new(2);
    for _ in 0..2 {
        lab.send(peer(1), &bundle(500, &[message("/click", &[]), message("/click", &[])]));
        lab.pass(10);
    }
    let said = "/error / full: too many events are scheduled; one was refused";
    assert_eq!(lab.said(), [(peer(1), said.into()), (peer(1), said.into())]);
}

#[test]
fn senders_of_whom_an_event_is_dropped_are_counted_each_host_once() {
    let mut lab = Lab::new(64);
    for step in 1..6 {
        lab.pass(10);
        let args = [Arg::from("kick"), "late".into(), "drop".into()];
        // Two programs of one host, the one with a new port for every message; and one that stamps ahead.
        lab.send(peer(step as u16), &bundle(10 * step - 3, &[message("/play", &args)]));
        lab.send(peer(99), &bundle(10 * step - 3, &[message("/play", &args)]));
        let punctual = Endpoint::Udp(SocketAddr::from(([10, 0, 0, 2], 1)));
        lab.send(punctual, &bundle(10 * step + 5, &[message("/play", &args)]));
    }
    lab.send(
        Endpoint::Tcp(ConnId::numbered(1)),
        &bundle(1, &[message("/play", &["kick".into(), "late".into(), "drop".into()])]),
    );
    lab.pass(10);
    let status = &lab.ask(peer(3), "/status", &[])[0].1;
    assert_eq!((value(status, "dropped"), value(status, "senders_dropped")), ("11", "2"));
}

#[test]
fn subscribers_are_told_of_the_late_events_of_all_senders() {
    let mut lab = Lab::new(64);
    for from in [peer(1), peer(3)] {
        assert_eq!(lab.ask(from, "/notify", &[Arg::Int(1)]), [(from, "/done /notify 1".into())]);
    }
    lab.pass(250);
    for from in [peer(1), peer(2)] {
        lab.send(from, &bundle(125, &[message("/click", &[])]));
    }
    lab.pass(10);
    let said = lab.said();
    let to: Vec<_> = said.iter().map(|(to, _)| *to).collect();
    assert_eq!(to, [peer(1), peer(3), peer(1), peer(3)], "{said:?}");
    for (_, text) in &said {
        assert!(text.starts_with("/late 125") && text.ends_with(" play 0 536870912"), "{said:?}");
    }
    for from in [peer(1), peer(3)] {
        assert_eq!(lab.ask(from, "/notify", &[Arg::Int(0)]), [(from, "/done /notify 0".into())]);
    }
    lab.send(peer(1), &bundle(125, &[message("/click", &[])]));
    lab.pass(10);
    assert_eq!(lab.said(), []);
}

#[test]
fn of_a_flood_of_late_events_others_are_told_up_to_a_rate_and_the_rest_is_counted() {
    let mut lab = Lab::new(2_048);
    lab.ask(peer(1), "/notify", &[Arg::Int(1)]);
    lab.pass(250);
    for _ in 0..20 {
        let clicks: Vec<_> = (0..50).map(|_| message("/click", &[])).collect();
        lab.send(peer(2), &bundle(125, &clicks));
    }
    lab.pass(1);
    let told = lab.said().len();
    assert!((200..=260).contains(&told), "{told}");
    let status = &lab.ask(peer(3), "/status", &[])[0].1;
    let lost: u64 = value(status, "lost").parse().unwrap();
    assert_eq!(told as u64 + lab.hub.tally().unanswered + lost, 1_000);
}

#[test]
fn cancel_tells_how_many() {
    let mut lab = Lab::new(64);
    let later = |id: i32| message("/play", &["kick".into(), "id".into(), Arg::Int(id)]);
    lab.send(peer(1), &bundle(500, &[later(1), later(2), later(2)]));
    lab.send(peer(2), &message("/cancel", &[Arg::Int(2)]));
    lab.send(peer(2), &message("/cancel", &[]));
    lab.pass(10);
    lab.pass(10);
    let replies = ["/cancel/reply 2", "/cancel/reply 1"].map(|reply| (peer(2), reply.into()));
    assert_eq!(lab.said(), replies);
}

#[test]
fn cancelling_what_nobody_is_named_makes_no_name_forgotten() {
    let mut lab = Lab::new(64);
    let play = message("/play", &["kick".into(), "id".into(), "drone".into()]);
    lab.send(peer(1), &bundle(500, &[play]));
    for number in 0..10_000 {
        lab.send(peer(1), &message("/cancel", &[format!("x{number}").as_str().into()]));
        if number % 50 == 0 {
            lab.hub.tick(wall(lab.now, Span::ZERO));
            lab.offline.render(&mut []);
        }
    }
    lab.pass(10);
    lab.said();
    lab.send(peer(1), &message("/cancel", &["drone".into()]));
    lab.pass(10);
    lab.pass(10);
    assert_eq!(lab.said(), [(peer(1), "/cancel/reply 1".into())]);
}

#[test]
fn a_sample_is_loaded_replaced_and_freed() {
    let mut lab = Lab::new(64);
    let asked = lab.ask(peer(1), "/sample/load", &["hat".into()]);
    assert_eq!(asked, [(peer(1), "load hat hat.wav".into())]);
    let request = |name: &str| LoadRequest { name: name.into(), file: "x.wav".into(), from: peer(1) };
    lab.hub.loaded(&request("hat"), Ok(clip()));
    lab.hub.loaded(&request("kick"), Ok(clip()));
    lab.hub.loaded(&request("gone"), Err("gone.wav: not found".into()));
    let told =
        ["/done /sample/load hat", "/done /sample/load kick", "/error /sample/load gone.wav: not found"];
    assert_eq!(lab.said(), told.map(|line| (peer(1), line.into())));
    let list = |lab: &mut Lab| lab.ask(peer(2), "/sample/list", &[])[0].1.clone();
    assert_eq!(list(&mut lab), "/sample/list/reply 2 hat kick");
    lab.send(peer(1), &bundle(5, &[message("/hat", &[])]));
    assert!(lab.pass(10)[5] > 0.5);
    assert_eq!(
        lab.ask(peer(1), "/sample/free", &["hat".into()]),
        [(peer(1), "/done /sample/free hat".into())]
    );
    assert!(
        lab.ask(peer(1), "/sample/free", &["hat".into()])[0].1.starts_with("/error /sample/free no sample")
    );
    assert_eq!(list(&mut lab), "/sample/list/reply 1 kick");
}

#[test]
fn places_of_freed_samples_are_used_again() {
    let mut lab = Lab::new(64);
    for _ in 0..3 * MAX_CLIPS {
        lab.hub.add_sample("kick", clip()).unwrap();
        lab.pass(1);
    }
    for number in 1..MAX_CLIPS {
        lab.hub.add_sample(&format!("s{number}"), clip()).unwrap();
        lab.pass(1);
    }
    assert_eq!(lab.hub.add_sample("more", clip()), Err("there are 1024 samples already".into()));
}

#[test]
fn a_long_list_comes_in_messages_that_fit_a_packet() {
    let mut lab = Lab::new(64);
    for number in 0..500 {
        lab.hub.add_sample(&format!("sample-{number}"), clip()).unwrap();
        lab.pass(1);
    }
    lab.send(peer(1), &message("/sample/list", &[]));
    let mut names = 0;
    while let Some(Output::Send { packet, .. }) = lab.hub.poll(lab.now) {
        assert!(packet.len() < 1_200);
        let line = text(&packet);
        let mut words = line.split(' ');
        assert_eq!((words.next(), words.next()), (Some("/sample/list/reply"), Some("501")));
        names += words.count();
    }
    assert_eq!(names, 501);
}

#[test]
fn a_group_is_told_what_was_late_but_not_of_every_event() {
    let mut lab = Lab::new(64);
    lab.pass(1_000);
    let [group, other] = [ConnId::numbered(1), ConnId::numbered(2)];
    let late = || {
        let mut packet = Vec::new();
        BundleWriter::new(&mut packet, 1 << 31).message("/kick", [Arg::Float(1.0)]).unwrap();
        packet
    };
    lab.hub.join(group);
    lab.send(Endpoint::Tcp(other), &late());
    lab.send(Endpoint::Tcp(group), &late());
    lab.pass(1);
    let said = lab.said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0].0, Endpoint::Tcp(group));
    assert!(said[0].1.starts_with("/late 500"), "{said:?}");
    (0..50).for_each(|_| lab.send(Endpoint::Tcp(group), &late()));
    lab.pass(1);
    assert_eq!(lab.said().len(), 31);
    assert_eq!(lab.hub.tally().unanswered, 19);
    lab.hub.set_router(MemberReport {
        joined: true,
        tally: MemberTally { joined: 2, failed: 5 },
        time: Some(SyncState::Holdover),
    });
    let status = &lab.ask(peer(1), "/status", &[])[0].1;
    assert!(
        status.ends_with(" router joined router_joined 2 router_failed 5 router_time holdover"),
        "{status}"
    );
    lab.pass(10_000);
    // One of its users alone, and others nothing.
    let anna = Endpoint::Member(group, 3);
    lab.send(anna, &late());
    lab.send(Endpoint::Member(other, 3), &late());
    lab.pass(1);
    let said = lab.said();
    assert_eq!((said.len(), said[0].0), (1, anna), "{said:?}");
    assert_eq!(lab.ask(anna, "/notify", &[Arg::Int(1)])[0].0, anna);
    lab.pass(1_000);
    lab.hub.forget(group);
    lab.send(anna, &late());
    lab.send(Endpoint::Tcp(group), &late());
    lab.pass(1);
    assert_eq!(lab.said(), []);
}

#[test]
fn subscribers_hear_what_happens_to_others() {
    let mut lab = Lab::new(64);
    let conn = ConnId::numbered(3);
    lab.ask(Endpoint::Tcp(conn), "/notify", &[Arg::Int(1)]);
    let said = lab.ask(peer(1), "/sample/free", &["kick".into()]);
    let line = String::from("/done /sample/free kick");
    assert_eq!(said, [(peer(1), line.clone()), (Endpoint::Tcp(conn), line)]);
    lab.hub.forget(conn);
    assert_eq!(lab.ask(peer(1), "/nobody", &[]).len(), 1);
}

#[test]
fn whoever_subscribed_longest_ago_makes_room_unless_it_is_a_connection() {
    let mut lab = Lab::new(64);
    let conn = Endpoint::Tcp(ConnId::numbered(3));
    lab.ask(conn, "/notify", &[Arg::Int(1)]);
    for port in 0..SUBSCRIBERS as u16 {
        let said = lab.ask(peer(port), "/notify", &[Arg::Int(1)]);
        assert_eq!(said, [(peer(port), "/done /notify 1".into())]);
    }
    let told: Vec<_> = lab.ask(conn, "/nobody", &[]).into_iter().map(|(to, _)| to).collect();
    assert_eq!(told, [&[conn][..], &(1..SUBSCRIBERS as u16).map(peer).collect::<Vec<_>>()].concat());
    for number in 0..2 * SUBSCRIBERS as u32 {
        lab.ask(Endpoint::Tcp(ConnId::numbered(4 + number)), "/notify", &[Arg::Int(1)]);
    }
    lab.now += Span::from_secs(2);
    let told = &lab.ask(peer(9_999), "/notify", &[Arg::Int(1)])[0].1;
    assert_eq!(told, "/error /notify there are too many subscribers already");
}

#[test]
fn errors_are_as_many_whoever_has_subscribed() {
    let mut lab = Lab::new(64);
    for port in 0..SUBSCRIBERS as u16 {
        lab.ask(peer(port), "/notify", &[Arg::Int(1)]);
    }
    let told: usize = (0..1_000).map(|_| lab.ask(peer(0), "/nobody", &[]).len()).sum();
    assert!((200..=256).contains(&told), "{told}");
}

#[test]
fn the_time_is_told_in_three_forms_after_what_was_asked() {
    let mut lab = Lab::new(64);
    lab.now += Span::from_millis(1_500);
    let args = [Arg::Nil, "x".into(), Arg::Double(2.0)];
    let replies =
        ["/sync/time", "/sync/time/ii", "/sync/time/s"].map(|address| lab.ask(peer(1), address, &args));
    assert_eq!(replies[0], [(peer(1), "/sync/time/reply Nil x Double(2.0) t180000000".into())]);
    assert_eq!(replies[1], [(peer(1), "/sync/time/ii/reply Nil x Double(2.0) 1 -2147483648".into())]);
    // 1.5 s into the era of 2036.
    assert_eq!(replies[2], [(peer(1), "/sync/time/s/reply Nil x Double(2.0) 2085978497.500000000".into())]);
    assert_eq!(lab.ask(peer(1), "/sync/time", &[]), [(peer(1), "/sync/time/reply t180000000".into())]);
}

#[test]
fn status_says_how_the_node_is() {
    let mut lab = Lab::new(64);
    let format = Format { rate: RATE, channels: 6, block: 64, max_block: 128 };
    lab.hub.set_device(DeviceState {
        host: Host::Virtual,
        device: "virtual".into(),
        format,
        latency: Span::ZERO,
        standing: downbeat_engine::device::Standing::Meanwhile,
        reopened: 0,
        stalls: 2,
        xruns: 0,
        realtime: Default::default(),
        note: None,
    });
    lab.ask(peer(1), "/nobody", &[]);
    lab.send(peer(1), &bundle(900, &[message("/play", &["kick".into(), "channel".into(), Arg::Int(5)])]));
    lab.pass(10);
    let said = lab.ask(peer(1), "/status", &[]);
    let reply = &said[0].1;
    assert!(
        reply.starts_with("/status/reply name lab version 1.2.3 state virtual device virtual rate 1000 ")
    );
    let wanted = [
        ("channels", "6"),
        ("buffer", "64"),
        ("card", "away"),
        ("stalls", "2"),
        ("pending", "1"),
        ("events", "1"),
        ("refused", "1"),
        ("samples", "1"),
        ("late", "0"),
        ("lost", "0"),
    ];
    for (key, wanted) in wanted {
        assert_eq!(value(reply, key), wanted, "{key}");
    }
    let said = lab.ask(peer(1), "/sync/status", &[]);
    let reply = &said[0].1;
    assert!(reply.starts_with("/sync/status/reply name lab id "), "{reply}");
    let wanted =
        [("ensemble", "lab"), ("role", "leader"), ("state", "leading"), ("wall_ms", "0"), ("peers", "0")];
    for (key, wanted) in wanted {
        assert_eq!(value(reply, key), wanted, "{key}");
    }
    assert_eq!(value(reply, "leader"), value(reply, "id"));
}

#[test]
fn it_is_ticked_soon_while_reports_may_come_and_seldom_otherwise() {
    let mut lab = Lab::new(64);
    // What the session has to say is taken first, as the hub's contract has it: until then it is overdue.
    let wait = |lab: &mut Lab| {
        lab.said();
        lab.hub.deadline() - lab.now
    };
    lab.pass(1);
    assert!(wait(&mut lab) > Span::from_millis(400), "the next sign of life of a leader");
    lab.send(peer(1), &bundle(5_000, &[message("/click", &[])]));
    assert_eq!(wait(&mut lab), REPORTS);
    for _ in 0..9 {
        lab.pass(100);
        assert!(wait(&mut lab) <= REPORTS, "an event is pending");
    }
    lab.send(peer(1), &message("/panic", &[]));
    for _ in 0..7 {
        lab.pass(100);
    }
    assert!(wait(&mut lab) > Span::from_millis(100));
}

#[test]
fn a_flood_of_errors_is_counted_and_only_its_beginning_answered() {
    let mut lab = Lab::new(64);
    for _ in 0..10_000 {
        lab.send(peer(1), b"garbage!");
    }
    let answers = lab.said();
    assert!(answers.len() < 300);
    assert_eq!(answers[0].1, "/error  not an OSC packet: neither an address nor a bundle at byte 0");
    let tally = lab.hub.tally();
    assert_eq!((tally.refused, tally.unanswered), (10_000, 10_000 - answers.len() as u64));
}

#[test]
fn a_flood_of_questions_is_answered_up_to_a_rate_and_delays_no_errors() {
    let mut lab = Lab::new(64);
    let questions: Vec<_> = (0..3_000)
        .map(|number| message(["/status", "/sync/status", "/sample/list"][number % 3], &[]))
        .collect();
    lab.send(peer(1), &bundle(0, &questions));
    let answers = lab.said();
    assert!(answers.len() < 300);
    assert_eq!(lab.hub.tally().unanswered, 3_000 - answers.len() as u64);
    assert!(lab.ask(peer(1), "/nobody", &[])[0].1.starts_with("/error /nobody "));
    lab.pass(1_000);
    assert_eq!(lab.ask(peer(1), "/status", &[]).len(), 1);
}

#[test]
fn whatever_is_asked_in_a_victims_name_it_is_sent_a_bounded_number_of_messages() {
    let mut lab = Lab::new(4_096);
    lab.know_others(20);
    for number in 0..500 {
        lab.hub.add_sample(&format!("sample-{number}"), clip()).unwrap();
        lab.pass(1);
    }
    for port in 0..100 {
        lab.send(peer(port), &bundle(5_000, &[message("/click", &[])]));
    }
    lab.said();
    let victim = peer(9_999);
    let mut asked = 0;
    for address in ["/sync/status", "/sample/list", "/sync/senders", "/status"] {
        // Long enough for the budget to be whole again.
        lab.pass(2_000);
        lab.said();
        let before = lab.hub.tally().unanswered;
        let mut sent = 0;
        for _ in 0..1_000 {
            lab.send(victim, &message(address, &[]));
            asked += 1;
            while let Some(Output::Send { to, packet, .. }) = lab.hub.poll(lab.now) {
                if to == victim {
                    assert!(packet.len() <= 1_400, "{} bytes for {address}", packet.len());
                    sent += 1;
                }
            }
        }
        assert_eq!(sent, budget::BURST, "{address}");
        assert!(lab.hub.tally().unanswered > before + 500);
    }
    assert_eq!(asked, 4_000);
    // Who asks now and then is told all.
    lab.pass(2_000);
    lab.said();
    let rows = lab.ask(victim, "/sync/status", &[]);
    assert_eq!(rows.iter().filter(|(_, line)| line.starts_with("/sync/peer/reply")).count(), PEERS_TOLD);
}

#[test]
fn of_a_wrong_address_no_more_is_sent_back_than_a_person_reads() {
    let mut lab = Lab::new(64);
    lab.send(peer(1), &message(&format!("/{}", "x".repeat(60_000)), &[]));
    let Some(Output::Send { packet, .. }) = lab.hub.poll(lab.now) else { panic!("it is answered") };
    assert!(packet.len() < 1_000);
}

#[test]
fn senders_are_remembered_up_to_a_number() {
    let mut lab = Lab::new(4_096);
    for port in 0..=SENDERS as u16 {
        lab.send(peer(port), &message("/cancel", &[]));
    }
    lab.pass(10);
    let said = lab.said();
    assert_eq!((said.len(), said[0].0), (SENDERS, peer(1)));
    assert_eq!(lab.hub.tally().orphaned, 1);
}

#[test]
fn senders_are_measured_and_told_and_nobody_is_moved_unless_asked() {
    let mut lab = Lab::new(512);
    assert_eq!(lab.ask(peer(9), "/sync/senders", &[]), [(peer(9), "/sync/senders/reply senders 0".into())]);
    let mut sound = Vec::new();
    for step in 0..40i64 {
        let click = || message("/click", &[Arg::Float(0.25)]);
        lab.send(peer(1), &bundle(100 * step + 20, &[click()]));
        lab.send(peer(2), &bundle(100 * step + 60_000, &[click()]));
        // What has no time of its own is nobody's timetag.
        lab.send(peer(3), &click());
        sound.extend(lab.pass(100));
    }
    // The right one on its frames.
    assert!((0..40).all(|step| sound[100 * step + 20] == 0.25), "{sound:?}");
    let said = lab.ask(peer(9), "/sync/senders", &[]);
    assert_eq!(said.len(), 2, "{said:?}");
    let [right, off] = [&said[0].1, &said[1].1];
    assert!(right.starts_with("/sync/senders/reply sender udp 10.0.0.1:1 packets 40 state right lead_ms "));
    assert!(off.starts_with("/sync/senders/reply sender udp 10.0.0.1:2 packets 40 state off lead_ms "));
    let number = |reply: &str, key: &str| {
        let after = reply.split_once(&format!(" {key} ")).expect("the key is there").1;
        after.split(' ').next().and_then(|word| word.parse::<f64>().ok()).expect("it is a number")
    };
    for (reply, lead, bias) in [(right, 20.0, -80.0), (off, 60_000.0, 59_900.0)] {
        assert!((number(reply, "lead_ms") - lead).abs() < 0.01, "{reply}");
        assert!((number(reply, "bias_ms") - bias).abs() < 0.01, "{reply}");
        assert!(number(reply, "spread_ms") < 0.01 && number(reply, "jumps") == 0.0, "{reply}");
    }
    let status = &lab.ask(peer(9), "/sync/status", &[])[0].1;
    let wanted = [("timetags", "ensemble"), ("senders", "2"), ("senders_off", "1"), ("senders_jumps", "0")];
    for (key, wanted) in wanted {
        assert_eq!(value(status, key), wanted, "{key}");
    }
}

#[test]
fn by_their_own_clocks_two_senders_keep_their_rhythms_at_once() {
    let mut lab = Lab::by_senders(512);
    let mut sound = Vec::new();
    // One an hour ahead, one at 1000 s before its time; distances of 100 and 150 ms.
    for step in 0..600i64 {
        if step % 10 == 0 {
            lab.send(peer(1), &bundle(10 * step + 3_600_000, &[message("/click", &[Arg::Float(0.25)])]));
        }
        if step % 15 == 0 {
            // A bundle of two times, and a message that is due at once.
            let late = bundle(10 * step + 1_000_040, &[message("/click", &[Arg::Float(0.0625)])]);
            let now = message("/click", &[Arg::Float(0.5)]);
            let soon = bundle(10 * step + 1_000_000, &[message("/click", &[Arg::Float(0.125)]), late]);
            lab.send(peer(2), &soon);
            lab.send(peer(2), &bundle_now(&[now]));
        }
        sound.extend(lab.pass(10));
    }
    let heard = |frame: i64| sound[frame as usize];
    for step in 11..580i64 {
        // The block after it came.
        let at_once = if step % 15 == 0 { 0.5 } else { 0.0 };
        assert_eq!(heard(10 * step), expected(step, at_once), "at {} ms", 10 * step);
    }
    assert!(sound.iter().enumerate().all(|(frame, x)| frame % 10 == 0 || *x == 0.0));
    assert_eq!(value(&lab.ask(peer(9), "/sync/status", &[])[0].1, "timetags"), "sender");

    /// 100 ms after each was sent, and 140 ms the second of the bundle.
    fn expected(step: i64, at_once: f32) -> f32 {
        let due = |after: i64, every: i64| (step - after) % every == 0;
        let one = if due(10, 10) { 0.25 } else { 0.0 };
        let two = if due(10, 15) { 0.125 } else { 0.0 };
        let three = if due(14, 15) { 0.0625 } else { 0.0 };
        one + two + three + at_once
    }
}

#[test]
fn a_placed_event_may_be_no_further_ahead_than_any_other() {
    let mut lab = Lab::by_senders(64);
    let click = || message("/click", &[]);
    lab.send(peer(1), &bundle(86_400_000, &[click()]));
    assert_eq!(lab.said(), [], "a day ahead is no more than its clock's error");
    lab.send(peer(1), &bundle(2 * 86_400_000, &[click()]));
    assert!(lab.said()[0].1.contains("ahead, more than 3600 s"));
}

#[test]
fn a_list_of_many_senders_is_cut_short_and_counted() {
    let mut lab = Lab::new(4_096);
    for port in 0..SENDERS as u16 {
        lab.send(peer(port), &bundle(1, &[message("/click", &[])]));
    }
    let said = lab.ask(peer(9), "/sync/senders", &[]);
    assert!(said.len() > 200 && said.len() < 300, "{}", said.len());
    assert_eq!(lab.hub.tally().unanswered, (SENDERS - said.len()) as u64);
}
