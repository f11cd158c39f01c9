//! Senders with wrong clocks behind jittering networks, in virtual time: where their events are placed, against the
//! instants at which they were meant.

use super::*;

/// A small generator (SplitMix64, Steele et al. 2014), so that a seed means the same for ever.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: Seconds) -> Seconds {
        -mean * (1.0 - self.unit()).ln()
    }
}

const LEAD: Seconds = 0.1;
/// The least that the networks below take.
const LEAST: Seconds = 1e-3;

fn local(secs: Seconds) -> LocalTime {
    LocalTime::from_ticks(1 << 44) + Span::from_secs_f64(secs)
}

fn ensemble(secs: Seconds) -> EnsembleTime {
    EnsembleTime::from_unix(Span::from_secs(1_700_000_000)) + Span::from_secs_f64(secs)
}

fn clock() -> ClockEstimate {
    ClockEstimate::new(local(0.0), ensemble(0.0))
}

/// A sender, its clock's error and its network.
struct Link {
    sender: SenderClock,
    /// How far ahead of the truth its clock is at 0, and how fast it runs.
    ahead: Seconds,
    ppm: f64,
    random: Random,
    /// When events were meant, and where they were placed.
    heard: Vec<(Seconds, Seconds)>,
}

impl Link {
    fn new(ahead: Seconds, ppm: f64, seed: u64) -> Link {
        let sender = SenderClock::new(Span::from_secs_f64(LEAD));
        Link { sender, ahead, ppm, random: Random(seed), heard: Vec::new() }
    }

    /// The reference's Wi-Fi: what a packet sent at this instant takes, if it is not lost.
    fn wifi(&mut self, now: Seconds) -> Option<Seconds> {
        let random = &mut self.random;
        let mut delay = LEAST + random.exponential(0.8e-3);
        if random.unit() < 0.05 {
            delay += 20e-3 * random.unit();
        }
        if now % 20.0 < 5.0 && random.unit() < 0.8 {
            delay += 0.1 * random.unit();
        }
        (random.unit() >= 0.05).then_some(delay)
    }

    /// At `now` an event is sent, due `latency` later by the sender's clock, that takes `delay`.
    fn send(&mut self, now: Seconds, latency: Seconds, delay: Seconds) -> Seconds {
        let stamp = |at: Seconds| ensemble(at + self.ahead + at * self.ppm * 1e-6);
        self.sender.take(local(now + delay), stamp(now + latency));
        let placed = (self.sender.place(stamp(now + latency)).unwrap() - local(0.0)).as_secs_f64();
        self.heard.push((now + latency, placed));
        placed
    }

    /// Eighth notes with rests from one time to another.
    fn play(&mut self, from: Seconds, to: Seconds) {
        let mut now = from;
        while now < to {
            if let Some(delay) = self.wifi(now) {
                self.send(now, 0.2, delay);
            }
            now += if self.random.unit() < 0.3 { 0.5 } else { 0.25 };
        }
    }

    /// By how much neighbours' distances are wrong at most, of events meant after `from`.
    fn worst_distance(&self, from: Seconds) -> Seconds {
        let errors = self.errors(from);
        errors.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max)
    }

    /// The same for any two events.
    fn worst_span(&self, from: Seconds) -> Seconds {
        let errors = self.errors(from);
        let (low, high) = errors.iter().fold((f64::MAX, f64::MIN), |(l, h), e| (e.min(l), e.max(h)));
        high - low
    }

    fn errors(&self, from: Seconds) -> Vec<Seconds> {
        self.heard.iter().filter(|(meant, _)| *meant > from).map(|(meant, placed)| placed - meant).collect()
    }

    fn report(&self) -> SenderReport {
        self.sender.report(&clock()).expect("there were packets")
    }
}

#[test]
fn a_wrong_clock_keeps_its_rhythm_over_wi_fi_for_ten_minutes() {
    for seed in 0..20 {
        for (ahead, ppm) in [(1.5, 50.0), (-0.6, -50.0), (86_400.0, 120.0)] {
            let mut link = Link::new(ahead, ppm, seed);
            // In the midst of a burst of a sleeping Wi-Fi, or elsewhere.
            let start = seed as f64;
            link.play(start, start + 800.0);
            let distance = link.worst_distance(0.0);
            assert!(distance < 1e-3, "seed {seed}: two neighbours are {distance} s off");
            // What a first packet that was held up takes to be made good.
            let span = link.worst_span(start + 200.0);
            assert!(span < 1e-3, "seed {seed}: two events of ten minutes are {span} s off");
            // The event whose packet took the least time sounds the lead after it came.
            let (meant, placed) = *link.heard.last().unwrap();
            let lead = placed - (meant - 0.2 + LEAST);
            assert!((lead - LEAD).abs() < 1e-3, "seed {seed}: it is placed {lead} s after the earliest");
            let report = link.report();
            assert_eq!((report.jumps, report.packets), (0, link.heard.len() as u64));
            let drift = report.drift.expect("it had ten minutes") * 1e6;
            assert!((drift - ppm).abs() < 5.0, "seed {seed}: {drift} ppm");
        }
    }
}

#[test]
fn a_steady_network_needs_no_time_to_settle() {
    let mut link = Link::new(3_600.0, -80.0, 1);
    for step in 0..2_400 {
        let delay = 150e-6 + link.random.exponential(25e-6);
        link.send(0.25 * f64::from(step), 0.2, delay);
    }
    // Half a minute of a drift that is not known yet, a fifth of a millisecond.
    assert!(link.worst_distance(0.0) < 0.1e-3, "{}", link.worst_distance(0.0));
    assert!(link.worst_span(30.0) < 0.3e-3, "{}", link.worst_span(30.0));
    assert!(link.worst_span(120.0) < 0.05e-3, "{}", link.worst_span(120.0));
}

#[test]
fn what_is_told_of_a_sender_is_what_it_does() {
    let state = |ahead: Seconds, packets: u32| {
        let mut link = Link::new(ahead, 0.0, 3);
        for n in 0..packets {
            link.send(0.25 * f64::from(n), 0.2, LEAST);
        }
        link.report()
    };
    assert_eq!(SenderClock::new(Span::ZERO).report(&clock()), None);
    assert_eq!(SenderClock::new(Span::ZERO).place(ensemble(0.0)), None);
    assert_eq!(state(0.0, 7).state, SenderState::New);
    let right = state(0.0, 40);
    assert_eq!((right.state, right.jumps), (SenderState::Right, 0));
    assert!((right.lead - Span::from_millis(199)).abs() < Span::from_micros(10), "{right:?}");
    assert!((right.bias - Span::from_millis(99)).abs() < Span::from_micros(10), "{right:?}");
    assert!(right.spread < Span::from_micros(10), "{right:?}");
    assert_eq!(state(-0.6, 40).state, SenderState::Off);
    assert_eq!(state(6.0, 40).state, SenderState::Off);
    assert_eq!(state(1.5, 40).state, SenderState::Right, "it may be meant so");

    let mut link = Link::new(0.0, 0.0, 4);
    link.play(0.0, 120.0);
    let spread = link.report().spread;
    assert!(spread > Span::from_millis(5) && spread < Span::from_millis(100), "{spread}");
    let fast = ClockEstimate::new(local(0.0), ensemble(0.0)).with_rate(30e-6);
    let drift = link.sender.report(&fast).and_then(|report| report.drift).expect("it had two minutes");
    assert!((drift + 30e-6).abs() < 5e-6, "against an ensemble that is fast it is slow: {drift}");
}

#[test]
fn a_sender_whose_clock_is_set_jumps_once_and_goes_on() {
    for (step, late) in [(3_600.0, 8), (0.7, 8), (-0.7, 12), (-3_600.0, 12)] {
        let mut link = Link::new(0.4, 20.0, 5);
        link.play(0.0, 300.0);
        let before = link.heard.len();
        link.ahead += step;
        link.play(305.0, 500.0);
        let report = link.report();
        assert_eq!(report.jumps, 1, "{step} s");
        // The events before that was known, and none later.
        let after = link.heard[before + late].0;
        assert!(link.worst_distance(after) < 1e-3, "{step} s: {}", link.worst_distance(after));
        let (meant, placed) = *link.heard.last().unwrap();
        let lead = placed - (meant - 0.2 + LEAST);
        assert!((lead - LEAD).abs() < 20e-3, "{step} s: {lead} s");
    }
}

#[test]
fn a_small_step_is_followed_without_a_jump() {
    for step in [30e-3, -30e-3] {
        let mut link = Link::new(0.4, 20.0, 6);
        link.play(0.0, 300.0);
        link.ahead += step;
        link.play(300.0, 700.0);
        assert_eq!(link.report().jumps, 0);
        // The event right after the step is off by it, if no other jumps.
        let distances = link.errors(0.0);
        let jumps = distances.windows(2).filter(|pair| (pair[1] - pair[0]).abs() > 1e-3).count();
        assert_eq!(jumps, 1, "{step}");
        assert!(link.worst_span(600.0) < 1e-3, "{step}: {}", link.worst_span(600.0));
    }
}

#[test]
fn duplicates_change_nothing_that_is_heard() {
    let mut once = Link::new(1.5, 50.0, 7);
    let mut twice = Link::new(1.5, 50.0, 7);
    for n in 0..2_000 {
        let now = 0.25 * f64::from(n);
        let delay = LEAST + once.random.exponential(0.8e-3);
        let later = if n % 2 == 0 { 2e-3 } else { 40e-3 };
        once.send(now, 0.2, delay);
        let first = twice.send(now, 0.2, delay);
        let again = twice.send(now, 0.2, delay + later);
        assert!((again - first).abs() < 50e-6, "both are placed on one instant: {}", again - first);
    }
    assert!(twice.worst_span(30.0) < 1e-3);
    let drift = once.heard.last().unwrap().1 - twice.heard.last().unwrap().1;
    assert!(drift.abs() < 0.5e-3, "{drift}");
}

#[test]
fn a_bar_that_is_sent_at_once_keeps_its_distances_and_its_first_note_the_lead() {
    let mut link = Link::new(-500.0, 50.0, 8);
    for bar in 0..60 {
        let now = 2.0 * f64::from(bar);
        for beat in 0..4 {
            let delay = LEAST + link.random.exponential(0.2e-3);
            link.send(now + 1e-4 * f64::from(beat), 0.5 + 0.5 * f64::from(beat), delay);
        }
    }
    assert!(link.worst_distance(0.0) < 1e-3, "{}", link.worst_distance(0.0));
    let report = link.report();
    assert_eq!((report.jumps, report.state), (0, SenderState::Varied));
    let first = link.heard[link.heard.len() - 4];
    let lead = first.1 - (first.0 - 0.5 + LEAST);
    assert!((lead - LEAD).abs() < 2e-3, "{lead}");
}

#[test]
fn a_whole_score_that_is_sent_at_once_is_one_rhythm() {
    let mut link = Link::new(7.0, 0.0, 9);
    for note in 0..200 {
        // Slowly enough that many are measured.
        link.send(4e-3 * f64::from(note), 1.0 + 0.5 * f64::from(note) - 4e-3 * f64::from(note), LEAST);
    }
    assert!(link.worst_span(0.0) < 1e-3, "{}", link.worst_span(0.0));
    assert_eq!(link.report().jumps, 0);
}

#[test]
fn after_a_silence_it_is_where_it_should_be() {
    let mut link = Link::new(1.5, 50.0, 10);
    link.play(0.0, 200.0);
    link.play(260.0, 320.0);
    assert!(link.worst_span(200.0) < 1e-3, "{}", link.worst_span(200.0));
    // Past what is remembered: another place, the same drift.
    link.play(1_000.0, 1_060.0);
    assert!(link.worst_distance(1_000.0) < 1e-3);
    assert_eq!(link.report().jumps, 0);
    let drift = link.report().drift;
    assert!(drift.is_none_or(|drift| (drift - 50e-6).abs() < 10e-6), "{drift:?}");
}

#[test]
fn any_timetag_is_survived() {
    let mut link = Link::new(0.0, 0.0, 11);
    // Not in the midst of a sleeping Wi-Fi, whose first packet would take minutes to be made good.
    link.play(6.0, 60.0);
    for bits in [2, u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 32] {
        let timetag = EnsembleTime::from_bits(bits);
        link.sender.take(local(60.0), timetag);
        assert!(link.sender.place(timetag).is_some());
    }
    // Packets of another interface may have been stamped before the newest.
    link.sender.take(local(5.0), ensemble(5.2));
    link.play(60.1, 120.0);
    assert!(link.worst_span(60.0) < 2e-3, "{}", link.worst_span(60.0));
    assert_eq!(link.report().jumps, 0);
}
