//! A hub whose wall clock is set while it plays: what waits, what comes later, and what is said of it.

use super::*;

const SECOND: i64 = 1_000;
/// When the clock is set, and when the jump takes effect: the wall clock is looked at once a second (ms).
const SET: i64 = 3 * SECOND;
const EFFECT: i64 = SET + 1_500;

/// Both ways, by less than a sender's lead may be and by far more.
fn steps() -> [Span; 4] {
    [3, -3, 3_600, -3_600].map(Span::from_secs)
}

fn millis(n: i64) -> Span {
    Span::from_millis(n)
}

impl Lab {
    /// A tick, when the wall clock is ahead of local time by so much.
    fn tick(&mut self, millis: i64, step: Span) {
        self.now = at(millis);
        self.hub.tick(wall(self.now, step));
    }
}

fn at(millis: i64) -> LocalTime {
    LocalTime::from_ticks(0) + Span::from_millis(millis)
}

fn click_at(timetag: EnsembleTime) -> Vec<u8> {
    let mut packet = Vec::new();
    let mut bundle = BundleWriter::new(&mut packet, timetag.bits());
    bundle.packet(&message("/click", &[])).unwrap();
    packet
}

/// Plays a click every 50 ms, stamped half a second ahead by a clock of the sender's own, for eight seconds, while the wall
/// clock is set. Returns the frames of the clicks, and what was said.
fn play(lab: &mut Lab, step: Span, sender: impl Fn(&Lab, i64) -> EnsembleTime) -> (Vec<usize>, Vec<String>) {
    let mut sound = Vec::new();
    lab.ask(peer(1), "/notify", &[Arg::Int(1)]);
    let mut said = Vec::new();
    for step_of_10 in 0..800 {
        let now = 10 * step_of_10;
        lab.now = at(now);
        lab.hub.tick(wall(lab.now, if now >= SET { step } else { Span::ZERO }));
        if now % 50 == 0 && now < 7 * SECOND {
            let timetag = sender(lab, now) + millis(500);
            lab.send(peer(1), &click_at(timetag));
        }
        let mut out = vec![0.0; 20];
        lab.offline.render(&mut out);
        sound.extend(out.into_iter().step_by(2));
        said.extend(lab.said().into_iter().map(|(_, text)| text));
    }
    (sound.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(frame, _)| frame).collect(), said)
}

/// Every click half a second after it was sent.
fn all_in_time() -> Vec<usize> {
    (0..7 * SECOND as usize).step_by(50).map(|sent| sent + 500).collect()
}

#[test]
fn clicks_of_a_sender_that_hears_of_the_jump_a_second_later_go_on_in_time() {
    for step in steps() {
        for hears_after in [0, 10, SECOND, 1_900] {
            let mut lab = Lab::new(4_096);
            let (heard, said) = play(&mut lab, step, |lab, now| {
                let known = if now >= EFFECT + hears_after { step } else { Span::ZERO };
                wall(lab.now, known).wall
            });
            assert_eq!(heard, all_in_time(), "{step}, heard of after {hears_after} ms");
            let seconds = step.as_secs_f64();
            // At the third second it is looked at, and the epoch before is that of local time.
            let told = ["/announced", ""].map(|when| format!("/sync/jump{when} {seconds} 1 4 {}", i32::MIN));
            assert_eq!(said, told.map(String::from), "{step}");
        }
    }
}

#[test]
fn a_sender_that_asks_for_the_time_is_told_that_of_the_moment() {
    for step in steps() {
        let mut lab = Lab::new(64);
        for second in 0..3 {
            lab.tick(second * SECOND, Span::ZERO);
        }
        lab.tick(SET, step);
        for (asked, ahead) in [(EFFECT - 1, Span::ZERO), (EFFECT, step)] {
            // No tick came in between.
            let reply = text(&{
                lab.now = at(asked);
                lab.said();
                lab.send(peer(1), &message("/sync/time", &[]));
                let Some(Output::Send { packet, .. }) = lab.hub.poll(lab.now) else {
                    panic!("it is answered")
                };
                packet
            });
            assert_eq!(reply, format!("/sync/time/reply t{:x}", wall(at(asked), ahead).wall.bits()));
        }
    }
}

#[test]
fn what_is_late_is_named_as_it_was_stamped() {
    for step in steps() {
        let mut lab = Lab::new(64);
        lab.ask(peer(1), "/notify", &[Arg::Int(1)]);
        let mut lates = Vec::new();
        for now in (0..7 * SECOND).step_by(10) {
            lab.now = at(now);
            lab.hub.tick(wall(lab.now, if now >= SET { step } else { Span::ZERO }));
            if now % 100 == 0 && now > 0 {
                // Late by 70 ms, by a clock that hears of the jump half a second later.
                let known = if now >= EFFECT + 500 { step } else { Span::ZERO };
                lab.send(peer(1), &click_at(wall(lab.now, known).wall - millis(70)));
                let [seconds, fraction] =
                    [32, 0].map(|shift| ((wall(lab.now, known).wall - millis(70)).bits() >> shift) as i32);
                lates.push(format!(" play {seconds} {fraction}"));
            }
            lab.offline.render(&mut [0.0; 20]);
        }
        lab.pass(10);
        let said = lab.said();
        let said: Vec<&String> =
            said.iter().map(|(_, text)| text).filter(|text| text.starts_with("/late")).collect();
        assert_eq!(said.len(), lates.len());
        for (said, late) in said.into_iter().zip(lates) {
            assert!(said.ends_with(&late), "{step}: {said}, not {late}");
        }
    }
}

#[test]
fn by_its_own_clock_a_sender_goes_on_as_if_nothing_had_been() {
    for step in steps() {
        let mut lab = Lab::by_senders(4_096);
        // Its clock is seven minutes behind, and nobody sets it.
        let (heard, _) = play(&mut lab, step, |lab, _| wall(lab.now, -Span::from_secs(420)).wall);
        let expected: Vec<usize> = (0..7 * SECOND as usize).step_by(50).map(|sent| sent + 100).collect();
        assert_eq!(heard, expected, "{step}");
    }
}

#[test]
fn a_sender_that_goes_along_with_a_jump_is_not_said_to_have_jumped() {
    for step in steps() {
        let mut lab = Lab::new(4_096);
        play(&mut lab, step, |lab, now| {
            wall(lab.now, if now >= EFFECT + 700 { step } else { Span::ZERO }).wall
        });
        let told = lab.ask(peer(9), "/sync/senders", &[]);
        let reply = &told[0].1.replacen(" udp 10.0.0.1:1", " it", 1);
        assert_eq!((value(reply, "state"), value(reply, "jumps")), ("right", "0"), "{reply}");
        let lead: f64 = value(reply, "lead_ms").parse().unwrap();
        assert!((lead - 500.0).abs() < 0.1, "{reply}");
    }
}

/// A lab whose hub is one of an ensemble, begun when its clock shows `now` (ms) and its wall clock is ahead by so much.
fn member(id: u64, peers: Vec<SocketAddr>, now: i64, ahead: Span) -> Lab {
    let settings = Settings { rate: RATE, limiter: false, ..Settings::default() };
    let (control, mut offline) = Offline::new(settings, Streams::none());
    let membership = Membership { ensemble: "lab".into(), key: None };
    let session = SessionConfig { id: PeerId(id), secret: id, peers, ..SessionConfig::default() };
    let config = HubConfig { membership, session, ..HubConfig::alone("lab", "1.2.3") };
    offline.render(&mut vec![0.0; 2 * now as usize]);
    let now = at(now);
    Lab { hub: Hub::new(config, control, Arc::default(), wall(now, ahead)), offline, now }
}

#[test]
fn what_waits_where_somebody_joins_keeps_its_timetag_and_sounds_the_same_on_all() {
    let place = |n: usize| SocketAddr::from(([10, 0, 0, n as u8 + 1], 9_000));
    let (minute, step) = (Span::from_secs(60), Span::from_secs(7));
    let mut labs = vec![member(1, Vec::new(), 0, Span::ZERO)];
    // Noise at the 20th second, by the ensemble's time after its jump; and once more after another jump.
    let [due, later] = [20_000, 30_000].map(|millis| wall(at(millis), minute).wall);
    let noise = |due: EnsembleTime| {
        let mut packet = Vec::new();
        let mut bundle = BundleWriter::new(&mut packet, due.bits());
        let hiss =
            message("/tone", &[Arg::Int(440), "shape".into(), "noise".into(), "dur".into(), 0.2.into()]);
        bundle.packet(&hiss).unwrap();
        packet
    };
    let mut sound = [Vec::new(), Vec::new()];
    for now in (0..32 * SECOND).step_by(10) {
        if now == 10 * SECOND {
            // The other comes, and its wall clock is an hour behind the ensemble's time.
            labs.push(member(2, vec![place(0)], now, minute - Span::from_secs(3_600) + Span::from_secs(10)));
            sound[1] = vec![0.0; 10_000];
        }
        let mut sent = Vec::new();
        for (n, lab) in labs.iter_mut().enumerate() {
            lab.now = at(now);
            let ahead = match n {
                0 if now >= 22 * SECOND => minute + step,
                0 if now >= SET => minute,
                0 => Span::ZERO,
                _ => minute - Span::from_secs(3_590),
            };
            lab.hub.tick(wall(lab.now, ahead));
            if now == 10 * SECOND {
                // It takes none of its own that are more than an hour ahead: these are a little less.
                lab.send(peer(1), &noise(due));
            }
            if now == 23 * SECOND {
                lab.send(peer(1), &noise(later));
            }
            sent.extend(std::iter::from_fn(|| lab.hub.poll(lab.now)).map(|output| (n, output)));
            let mut out = vec![0.0; 20];
            lab.offline.render(&mut out);
            sound[n].extend(out.into_iter().step_by(2));
        }
        for (from, output) in sent {
            let Output::Send { to: Endpoint::Udp(to), packet, .. } = output else { continue };
            let to = (0..labs.len()).find(|n| place(*n) == to);
            if let Some(lab) = to.and_then(|to| labs.get_mut(to)) {
                lab.hub.handle(at(now), Endpoint::Udp(place(from)), &packet);
            }
        }
    }
    let [first, second] = sound;
    let status = labs[1].ask(peer(9), "/sync/status", &[]).swap_remove(0).1;
    assert_eq!(value(&status, "role"), "follower");
    for begin in [20_000, 30_000] {
        let heard = begin - 100..begin + 300;
        assert!(first[begin..begin + 100].iter().any(|x| *x != 0.0), "it is heard at {begin}");
        assert_eq!(first[heard.clone()], second[heard], "at {begin}");
    }
    let loud = |sound: &[f32]| sound.iter().filter(|x| **x != 0.0).count();
    assert_eq!(loud(&first), loud(&second), "and at no other time");
}
