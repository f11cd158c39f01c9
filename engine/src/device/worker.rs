//! [`Worker`]: the one thread that calls sound libraries: it opens the card, and closes it, one after the other.
//!
//! A driver can hang for as long as it likes, and a sound server that stands still does: then this thread hangs and no
//! other. libjack has one lock and one set of shared memory per process, so that two clients at once, of a server that
//! died and of its successor, bring the process down. Hence: never a second card before the close of the first came back,
//! and never a second thread. A thread that does not come back at the node's end is left behind, one per [`super::Device`].
//! Not for: deciding (`machine`).

use super::card::{About, Card, Hush, Order};
use super::seat::Seat;
use super::signals::Signals;
use downbeat_sync::{Clock, Span};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, Thread};

/// What the thread is asked to do.
enum Job {
    Open(Order, Seat, Arc<Signals>),
    Close,
}

/// What the thread has done.
pub(crate) enum Done {
    /// The card is open, and calls what sits in its seat; or why it is not.
    Opened(Result<About, String>),
    Closed,
}

/// The thread, seen from outside: at most one job is under way.
pub(crate) struct Worker {
    jobs: Sender<Job>,
    done: Receiver<Done>,
}

impl Worker {
    /// Starts the thread; it wakes `owner` whenever it has done something.
    pub(crate) fn start(owner: Thread) -> io::Result<Worker> {
        let (jobs, todo) = channel();
        let (told, done) = channel();
        thread::Builder::new().name("card".into()).spawn(move || work(&todo, &told, &owner))?;
        Ok(Worker { jobs, done })
    }

    /// Begins to open a card, where none is open.
    pub(crate) fn open(&self, order: Order, seat: Seat, signals: Arc<Signals>) {
        // A thread that is gone has panicked, and was reported.
        let _ = self.jobs.send(Job::Open(order, seat, signals));
    }

    /// Begins to close the card.
    pub(crate) fn close(&self) {
        let _ = self.jobs.send(Job::Close);
    }

    /// What has been done since last asked.
    pub(crate) fn done(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    /// Ends the thread, and with it the card, if both come back within this time; else they are left behind.
    pub(crate) fn end(self, clock: Clock, patience: Span) -> bool {
        drop(self.jobs);
        let deadline = clock.now() + patience;
        loop {
            match self.done.recv_timeout((deadline - clock.now()).max(Span::ZERO).into()) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}

fn work(todo: &Receiver<Job>, told: &Sender<Done>, owner: &Thread) {
    let mut hush = Hush::new();
    let mut card = None;
    while let Ok(job) = todo.recv() {
        let done = match job {
            Job::Open(order, seat, signals) => {
                let opened = Card::open(&order, seat, &signals);
                hush.flush();
                Done::Opened(opened.map(|(opened, about)| {
                    card = Some(opened);
                    about
                }))
            }
            Job::Close => {
                card = None;
                Done::Closed
            }
        };
        if told.send(done).is_err() {
            break;
        }
        owner.unpark();
    }
    // Before `told` goes, which says that the end is reached.
    drop(card);
}
