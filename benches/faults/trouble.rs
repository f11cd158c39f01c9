//! [`Trouble`]: faults of a JACK server in random order, under a node; and what is found.
//!
//! Not for: printing it (`main`).

pub(crate) use super::life::Account;
use super::life::Life;
use super::server::Server;
use crate::report::random::Random;
use nix::sys::signal::Signal;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Faults in the life of one node.
const PER_LIFE: usize = 10;
/// So many faults are followed by the next only when clicks are heard again; the others whenever it comes.
const IN_PEACE: f64 = 0.7;
/// The card that does not come back by now never will.
const PATIENCE: Duration = Duration::from_secs(12);

/// What can befall a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It dies without a word, and is started again.
    Kill,
    /// It is asked to end, and is started again.
    Term,
    /// The same, at once.
    Restart,
    /// It stands still, and goes on.
    Stop,
    /// It stands still, and is killed.
    StopKill,
}

impl Fault {
    pub(crate) const ALL: [Fault; 5] =
        [Fault::Kill, Fault::Term, Fault::Restart, Fault::Stop, Fault::StopKill];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Kill => "SIGKILL, started later",
            Fault::Term => "SIGTERM, started later",
            Fault::Restart => "SIGTERM, started at once",
            Fault::Stop => "SIGSTOP, SIGCONT",
            Fault::StopKill => "SIGSTOP, SIGKILL, started",
        }
    }
}

/// What is found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How often each of [`Fault::ALL`] was done.
    pub(crate) done: [usize; 5],
    /// From the server's being back to the second click that is heard on it, where that was waited for (ms).
    pub(crate) resumed: [Vec<f64>; 5],
    /// How many nodes never moved back.
    pub(crate) lost_cards: usize,
    pub(crate) accounts: Vec<Account>,
    /// From each node's start until it said that it is ready: with a server that runs, and with one that stands still (ms).
    pub(crate) ready: [Vec<f64>; 2],
    /// How nodes died.
    pub(crate) deaths: Vec<String>,
}

/// Does so many faults; `None` if there is no JACK here.
pub(crate) fn run(server: &str, faults: usize, seed: u64, folder: &Path) -> Option<Found> {
    let mut random = Random(seed);
    let mut server = Server::start(server)?;
    let mut found = Found::default();
    thread::sleep(Duration::from_millis(300));
    let mut left = faults;
    while left > 0 {
        let frozen = random.unit() < 0.25;
        if frozen {
            server.signal(Signal::SIGSTOP);
        }
        let life = Life::begin(server.environment(), folder);
        let mut life = match life {
            Ok(life) => life,
            Err(death) => {
                found.deaths.push(death);
                left -= 1;
                server.signal(Signal::SIGCONT);
                continue;
            }
        };
        found.ready[usize::from(frozen)].push(life.ready.as_secs_f64() * 1e3);
        if frozen {
            server.signal(Signal::SIGCONT);
        }
        // Half of them have played on the card before.
        if random.unit() < 0.5 && life.until_heard(PATIENCE).is_none() {
            found.lost_cards += 1;
        }
        for _ in 0..left.min(PER_LIFE) {
            left -= 1;
            found.befall(&mut server, &mut life, &mut random);
            if life.death().is_some() {
                break;
            }
        }
        // Half of the nodes end while the server stands still.
        let frozen = random.unit() < 0.5;
        if frozen {
            server.signal(Signal::SIGSTOP);
        }
        match life.end() {
            Ok(account) => found.accounts.push(account),
            Err(death) => found.deaths.push(death),
        }
        if frozen {
            server.signal(Signal::SIGCONT);
        }
    }
    Some(found)
}

impl Found {
    fn befall(&mut self, server: &mut Server, life: &mut Life, random: &mut Random) {
        let kind = (random.bits() % Fault::ALL.len() as u64) as usize;
        let pause = |random: &mut Random, least: f64, most: f64| {
            thread::sleep(Duration::from_secs_f64(least + (most - least) * random.unit()));
        };
        self.done[kind] += 1;
        match Fault::ALL[kind] {
            Fault::Kill => {
                server.end(Signal::SIGKILL);
                pause(random, 0.0, 0.4);
                server.restart();
            }
            Fault::Term => {
                server.end(Signal::SIGTERM);
                pause(random, 0.0, 0.4);
                server.restart();
            }
            Fault::Restart => {
                server.end(Signal::SIGTERM);
                server.restart();
            }
            Fault::Stop => {
                server.signal(Signal::SIGSTOP);
                pause(random, 0.05, 1.0);
                server.signal(Signal::SIGCONT);
            }
            Fault::StopKill => {
                server.signal(Signal::SIGSTOP);
                pause(random, 0.05, 0.6);
                server.end(Signal::SIGKILL);
                server.restart();
            }
        }
        if random.unit() > IN_PEACE {
            return pause(random, 0.0, 0.5);
        }
        match life.until_heard(PATIENCE) {
            Some(took) => self.resumed[kind].push(took.as_secs_f64() * 1e3),
            None if life.death().is_none() => self.lost_cards += 1,
            None => {}
        }
        pause(random, 0.0, 0.3);
    }
}
