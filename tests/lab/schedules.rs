//! Random schedules of what may happen to an ensemble, and what must hold whatever does.
//!
//! Nodes start, are killed, started again by other wall clocks, stopped and go on; links become deaf or mute or are cut, and heal; nodes are
//! pinned, with clocks that are right or not. Not for: clocks that lie, nor how exact the time is.

use super::ensemble::{Ensemble, HostClock, Links, Seconds};
use crate::report::random::Random;
use std::cell::RefCell;
use std::rc::Rc;

/// How long things happen, and how long after that all must agree.
const TROUBLE: Seconds = 30.0;
/// A leader that answers nobody is replaced after 4 s and not followed for 10 s; then others may find each other, one after the other, each in a
/// second or two.
const AGREED: Seconds = 25.0;
/// For so long they must stay so.
const CALM: Seconds = 3.0;
/// No node changes its leader more often than this in all that time.
const CHANGES: u32 = 25;
/// All clocks are together then, on a wire and on a radio that loses one in fifty: what is less than a millisecond, or than four standard
/// errors of an estimate, is no reason to jump, and is bent away at 100 ppm.
const TOGETHER: [Seconds; 2] = [1e-3, 2e-3];
/// How often it is looked at what holds.
const STEP: Seconds = 0.01;
/// Sessions that were founded within this time are of one age, and a message takes some of it.
const SAME_AGE: Seconds = 0.32;
/// Within this of its session's time is a clock that is in it: of two halves of a split session one may be slewed, and both drift.
const SAME_TIME: Seconds = 0.015;
/// No timescale is faster or slower than the truth by more: crystals are within 80 ppm, and slew 50.
const DRIFT: f64 = 150e-6;
/// In a step a clock that does not jump moves no further than this against the truth.
const MOVES: Seconds = 100e-6;
/// After a node has come to a session, or has been cut off, its first estimate may be corrected for so long, and be that wrong until then.
const CORRECTS: Seconds = 8.0;
const FIRST: Seconds = 0.5;
/// Of these some are there at once, at most.
const NODES: usize = 6;

/// Which links pass, from and to.
type Passes = Rc<RefCell<Vec<Vec<bool>>>>;

/// What one schedule did, for the table of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Story {
    pub(crate) events: usize,
    pub(crate) starts: usize,
    pub(crate) successions: u32,
    pub(crate) joined: u32,
    pub(crate) deaf: u32,
    /// How long after the last event all agreed for good (s).
    pub(crate) agreed: Seconds,
}

/// What is known of a session: who founded it, and the times it may show.
struct Founded {
    session: u64,
    at: Seconds,
    /// How far ahead of the truth it is, from when on: at first, and after each jump that was announced.
    ahead: Vec<(Seconds, Seconds)>,
}

/// What was seen of a node last.
struct Seen {
    session: u64,
    error: Seconds,
    jumps: usize,
    /// When it came to this session, was stopped, or could not hear somebody, last.
    troubled: Seconds,
}

/// One schedule, from its seed.
pub(crate) struct Schedule {
    random: Random,
    ensemble: Ensemble,
    passes: Passes,
    is_wireless: bool,
    /// Nodes that are there: running or stopped.
    alive: Vec<usize>,
    /// Killed ones that may be started again.
    killed: Vec<usize>,
    pinned: Vec<bool>,
    founded: Vec<Founded>,
    seen: Vec<Option<Seen>>,
    synchronised: Vec<bool>,
    story: Story,
    log: Vec<String>,
}

impl Schedule {
    /// Runs the schedule of this seed. Fails with what did not hold, and all that happened before.
    pub(crate) fn run(seed: u64) -> Result<Story, String> {
        let mut random = Random(seed ^ 0x5ced);
        let passes: Passes = Rc::default();
        let (seed_of_links, is_wireless) = (random.bits(), random.unit() < 0.3);
        let ensemble = Ensemble::new(links(seed_of_links, Rc::clone(&passes), is_wireless));
        let mut schedule = Schedule {
            random,
            ensemble,
            passes,
            is_wireless,
            alive: Vec::new(),
            killed: Vec::new(),
            pinned: Vec::new(),
            founded: Vec::new(),
            seen: Vec::new(),
            synchronised: Vec::new(),
            story: Story::default(),
            log: Vec::new(),
        };
        schedule.play().map_err(|why| format!("seed {seed}: {why}\n{}", schedule.log.join("\n")))?;
        Ok(schedule.story)
    }

    fn play(&mut self) -> Result<(), String> {
        if self.random.unit() < 0.2 {
            self.power_up()?;
        } else {
            self.start(None);
        }
        while self.ensemble.now < TROUBLE {
            let wait = match self.random.unit() {
                // Within a lease, or when all is calm again.
                x if x < 0.5 => 2.0 * self.random.unit(),
                _ => self.random.exponential(2.5),
            };
            self.go_on(wait)?;
            self.happen()?;
            self.story.events += 1;
        }
        let stopped: Vec<usize> =
            self.alive.iter().copied().filter(|node| !self.ensemble.runs(*node)).collect();
        for node in stopped {
            self.note(format!("{node} goes on"));
            self.ensemble.resume(node);
        }
        if self.random.unit() < 0.6 {
            self.heal();
        }
        let last = self.ensemble.now;
        let mut agreed = last;
        while self.ensemble.now < last + AGREED + CALM {
            self.go_on(0.1)?;
            if let Err(why) = self.agree() {
                agreed = self.ensemble.now;
                if agreed > last + AGREED {
                    return Err(format!("{why}, {AGREED} s after the last event"));
                }
            }
        }
        self.story.agreed = agreed - last;
        let busy = self.alive.iter().map(|node| self.ensemble.nodes[*node].session.tally().successions).max();
        if busy.is_some_and(|busy| busy > CHANGES) {
            return Err(format!("one changed its leader {} times", busy.unwrap_or(0)));
        }
        for node in &self.alive {
            let tally = self.ensemble.nodes[*node].session.tally();
            self.story.successions += tally.successions;
            self.story.joined += tally.joined;
            self.story.deaf += tally.deaf;
        }
        Ok(())
    }

    /// Something happens.
    fn happen(&mut self) -> Result<(), String> {
        let kind = self.random.unit();
        let any = self.any(&self.alive.clone());
        match kind {
            x if x < 0.05 && self.alive.len() < NODES => return self.power_up(),
            x if x < 0.25 && self.alive.len() < NODES => self.start(None),
            x if x < 0.40 => self.kill(any),
            // The leader, whoever that is: most often what happens to it matters.
            x if x < 0.52 => {
                if let Some(leader) = self.leader() {
                    self.kill(leader);
                }
            }
            x if x < 0.66 && self.alive.len() < NODES => {
                let killed = self.killed.clone();
                if let Some(killed) = killed.last().copied().filter(|_| self.random.unit() < 0.8) {
                    self.start(Some(killed));
                }
            }
            x if x < 0.74 => {
                if self.ensemble.runs(any) {
                    self.note(format!("{any} is stopped"));
                    self.ensemble.pause(any);
                } else {
                    self.note(format!("{any} goes on"));
                    self.ensemble.resume(any);
                }
            }
            x if x < 0.80 => {
                let whom = self.leader().unwrap_or(any);
                self.note(format!("{whom} is deaf"));
                self.set(|from, to| (to == whom && from != whom).then_some(false));
            }
            x if x < 0.84 => {
                self.note(format!("{any} is mute"));
                self.set(|from, to| (from == any && to != any).then_some(false));
            }
            x if x < 0.90 => {
                let other = self.any(&self.alive.clone());
                self.note(format!("nothing passes from {any} to {other}"));
                self.set(|from, to| ((from, to) == (any, other)).then_some(false));
            }
            x if x < 0.94 => {
                let half = self.random.bits();
                self.note("a cable is cut".to_owned());
                self.set(|from, to| ((half >> (from % 64)) & 1 != (half >> (to % 64)) & 1).then_some(false));
            }
            _ => self.heal(),
        }
        Ok(())
    }

    /// Several start at nearly one instant.
    fn power_up(&mut self) -> Result<(), String> {
        while self.alive.len() < NODES {
            self.start(None);
            let wait = 0.15 * self.random.unit();
            self.go_on(wait)?;
        }
        Ok(())
    }

    fn start(&mut self, place: Option<usize>) {
        let random = &mut self.random;
        let sign = if random.unit() < 0.5 { -1.0 } else { 1.0 };
        let wall = match random.unit() {
            x if x < 0.25 => 0.0,
            x if x < 0.5 => 0.02,
            x if x < 0.75 => 60.0,
            x if x < 0.9 => 3_600.0,
            _ => 400_000.0,
        };
        let wall = sign * wall * (1.0 + 0.1 * random.unit());
        let pinned = random.unit() < 0.2;
        let synchronised = pinned && random.unit() < 0.5;
        let clock = HostClock {
            start: 1_000.0 * random.unit(),
            ppm: 160.0 * random.unit() - 80.0,
            // What keeps it right keeps it so.
            wall: if synchronised { 1e-3 * random.unit() } else { wall },
            synchronised,
            ..HostClock::default()
        };
        let node = self.ensemble.nodes.len();
        {
            let mut passes = self.passes.borrow_mut();
            passes.iter_mut().for_each(|row| row.push(true));
            passes.push(vec![true; node + 1]);
            if let Some(killed) = place {
                // The same cables.
                for other in 0..node {
                    passes[node][other] = passes[killed][other];
                    passes[other][node] = passes[other][killed];
                }
            }
        }
        let _ = match place {
            Some(killed) => self.ensemble.restart(killed, clock, pinned),
            None => self.ensemble.start(clock, pinned),
        };
        self.killed.retain(|killed| Some(*killed) != place);
        let what = place.map_or("starts".to_owned(), |killed| format!("starts in the place of {killed}"));
        let kept = if synchronised { ", synchronised" } else { "" };
        let pin = if pinned { ", pinned" } else { "" };
        self.note(format!("{node} {what}, {:.3} s ahead{pin}{kept}", clock.wall));
        let session = self.ensemble.age(node).0;
        let (at, error) = (self.ensemble.now, self.ensemble.error(node));
        self.founded.push(Founded { session, at, ahead: vec![(at, error)] });
        self.alive.push(node);
        self.pinned.push(pinned);
        self.synchronised.push(synchronised);
        self.seen.push(None);
        self.story.starts += 1;
    }

    fn kill(&mut self, node: usize) {
        if self.alive.len() < 2 {
            return;
        }
        self.note(format!("{node} is killed"));
        self.ensemble.kill(node);
        self.alive.retain(|alive| *alive != node);
        self.killed.push(node);
    }

    fn heal(&mut self) {
        self.note("all links are good".to_owned());
        self.set(|_, _| Some(true));
    }

    /// Sets the links of which the rule says something. Who was cut off may have to correct itself.
    fn set(&mut self, rule: impl Fn(usize, usize) -> Option<bool>) {
        let now = self.ensemble.now;
        for (from, row) in self.passes.borrow_mut().iter_mut().enumerate() {
            for (to, passes) in row.iter_mut().enumerate() {
                *passes = rule(from, to).unwrap_or(*passes);
            }
        }
        for seen in self.seen.iter_mut().flatten() {
            seen.troubled = now;
        }
    }

    fn leader(&self) -> Option<usize> {
        let followed = |leader: usize| {
            let id = self.ensemble.nodes[leader].id;
            self.alive.iter().filter(|node| self.ensemble.nodes[**node].session.leader() == id).count()
        };
        let leaders = self.ensemble.leaders();
        leaders.into_iter().max_by_key(|leader| followed(*leader))
    }

    fn any(&mut self, of: &[usize]) -> usize {
        of[(self.random.unit() * of.len() as f64) as usize]
    }

    fn note(&mut self, what: String) {
        self.log.push(format!("  {:7.3} {what}", self.ensemble.now));
    }

    /// Lets time pass, and checks at each step what must hold.
    fn go_on(&mut self, long: Seconds) -> Result<(), String> {
        let end = self.ensemble.now + long;
        while self.ensemble.now < end {
            let to = end.min(self.ensemble.now + STEP);
            self.ensemble.run_to(to);
            for node in self.alive.clone() {
                self.note_lead(node);
            }
            for node in self.alive.clone() {
                self.check(node)?;
            }
        }
        Ok(())
    }

    /// A pinned leader whose clock is right may lead its room there, by a jump that it announces.
    fn note_lead(&mut self, node: usize) {
        let (session, error) = (self.ensemble.age(node).0, self.ensemble.error(node));
        let known = &self.ensemble.nodes[node].session;
        let announced = known.announcement(self.ensemble.local(node));
        let may = self.pinned[node] && self.synchronised[node] && known.leads() && self.ensemble.runs(node);
        let Some(announced) = announced.filter(|_| may) else { return };
        let (now, ahead) = (self.ensemble.now, error + announced.by.as_secs_f64());
        let Some(founded) = self.founded.iter_mut().find(|founded| founded.session == session) else {
            return;
        };
        if founded.ahead.last().is_none_or(|(_, last)| (last - ahead).abs() > SAME_TIME) {
            founded.ahead.push((now, ahead));
            self.note(format!("  {node} announces a jump by {} to its own clock", announced.by));
        }
    }

    fn check(&mut self, node: usize) -> Result<(), String> {
        let ensemble = &self.ensemble;
        let now = ensemble.now;
        let (session, error) = (ensemble.age(node).0, ensemble.error(node));
        let jumps = ensemble.nodes[node].jumps.len();
        let runs = ensemble.runs(node);
        let Some(seen) = self.seen[node].as_mut() else {
            self.seen[node] = Some(Seen { session, error, jumps, troubled: now });
            return Ok(());
        };
        if !runs {
            seen.troubled = now;
        }
        let founded = |session: u64| self.founded.iter().position(|founded| founded.session == session);
        let (Some(own), Some(before)) = (founded(session), founded(seen.session)) else {
            return Err(format!("at {now:.3} {node} is in a session that nobody founded"));
        };
        if own != before {
            let older = self.founded[before].at - self.founded[own].at;
            if older < -SAME_AGE {
                return Err(format!(
                    "at {now:.3} {node} gives its session up for one {:.3} s younger",
                    -older
                ));
            }
            seen.troubled = now;
            self.log.push(format!("  {now:7.3}   {node} joins the session of {own}"));
        }
        let moved = error - seen.error;
        let has_jumped = jumps > seen.jumps;
        let jump: Seconds =
            ensemble.nodes[node].jumps[seen.jumps..].iter().map(|(_, jump)| jump.by.as_secs_f64()).sum();
        let is_announced = ensemble.nodes[node].jumps[seen.jumps..].iter().all(|(_, jump)| jump.is_announced);
        if (moved - jump).abs() > MOVES + DRIFT * STEP {
            return Err(format!("at {now:.3} {node} moves by {moved:.6} s, and tells of {jump:.6}"));
        }
        // One that was announced and heard of late may come with a correction; where it leads to is looked at below.
        let may_correct = now - seen.troubled < CORRECTS || is_announced || self.founded[own].ahead.len() > 1;
        if has_jumped && !may_correct && jump.abs() > SAME_TIME {
            return Err(format!("at {now:.3} {node} jumps by {jump:.6} s, for no reason"));
        }
        if has_jumped {
            let how = if is_announced { "as was announced" } else { "to be right" };
            self.log.push(format!("  {now:7.3}   {node} jumps by {jump:.6} s, {how}"));
        }
        *seen = Seen { session, error, jumps, ..*seen };
        // Where it was told of a jump of its room late, an older time of that holds.
        let near = if now - self.seen_trouble(node) < CORRECTS { FIRST } else { SAME_TIME };
        let is_right =
            |(since, ahead): &(Seconds, Seconds)| (error - ahead).abs() < near + DRIFT * (now - since);
        if !self.founded[own].ahead.iter().any(is_right) {
            let (_, ahead) = self.founded[own].ahead[self.founded[own].ahead.len() - 1];
            return Err(format!(
                "at {now:.3} {node} says that its session is {error:.6} s ahead, which is {ahead:.6}"
            ));
        }
        Ok(())
    }

    fn seen_trouble(&self, node: usize) -> Seconds {
        self.seen[node].as_ref().map_or(f64::NEG_INFINITY, |seen| seen.troubled)
    }

    /// Nodes that reach each other over links that work both ways, be it through others.
    fn components(&self) -> Vec<Vec<usize>> {
        let passes = self.passes.borrow();
        let mut left = self.alive.clone();
        let mut all = Vec::new();
        while let Some(first) = left.pop() {
            let mut component = vec![first];
            let mut next = 0;
            while let Some(node) = component.get(next).copied() {
                next += 1;
                let (near, far): (Vec<usize>, Vec<usize>) =
                    left.iter().partition(|other| passes[node][**other] && passes[**other][node]);
                component.extend(near);
                left = far;
            }
            all.push(component);
        }
        all
    }

    /// Whether each component keeps one time: by one leader, who is in it.
    fn agree(&self) -> Result<(), String> {
        for component in self.components() {
            let session = |node: usize| &self.ensemble.nodes[node].session;
            let told = || {
                let rows = component.iter().map(|node| {
                    let leader = self.ensemble.number(session(*node).leader());
                    let via = session(*node).via().and_then(|via| self.ensemble.number(via));
                    let outvoted = session(*node).tally().outvoted;
                    let which = self.ensemble.age(*node).0 >> 48;
                    format!("{node} in {which:x} after {leader:?} via {via:?}, {outvoted} outvoted")
                });
                rows.collect::<Vec<_>>().join("; ")
            };
            let first = component[0];
            if component.iter().any(|node| self.ensemble.age(*node).0 != self.ensemble.age(first).0) {
                return Err(format!("not one session: {}", told()));
            }
            let leader = session(first).leader();
            if component.iter().any(|node| session(*node).leader() != leader) {
                return Err(format!("not one leader: {}", told()));
            }
            if !self.ensemble.number(leader).is_some_and(|leader| component.contains(&leader)) {
                return Err(format!("the leader is none of them: {}", told()));
            }
            let spread = self.ensemble.spread(&component);
            if spread > TOGETHER[usize::from(self.is_wireless)] {
                return Err(format!("{spread:.6} s apart: {}", told()));
            }
        }
        Ok(())
    }
}

/// A network in which what `passes` says passes: a wire, or something like Wi-Fi that loses one in fifty.
fn links(seed: u64, passes: Passes, is_wireless: bool) -> Links {
    let mut random = Random(seed);
    Box::new(move |from, to, _| {
        let (least, mean, loss) = if is_wireless { (1e-3, 0.5e-3, 0.02) } else { (150e-6, 25e-6, 0.001) };
        let delay = least + random.exponential(mean);
        let comes = random.unit() >= loss;
        (comes && passes.borrow()[from][to]).then_some(delay)
    })
}
