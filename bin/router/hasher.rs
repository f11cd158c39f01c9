//! [`Hasher`]: the thread that hashes passwords, which takes milliseconds by design, so that no packet waits for it.
//!
//! It has the lowest priority, so neither side may ever wait for the other in the midst of something, as they would at a lock or
//! in a channel of the standard library: rings without locks lie between them. Not for: which password is whose (the router).

use downbeat_engine::device::priority::lower_this_thread;
use downbeat_net::router::{HashJob, HashResult, HashRoom};
use rtrb::{Consumer, Producer, RingBuffer};
use std::collections::VecDeque;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A router never gives more at once.
const JOBS: usize = 2;

/// Until the results are looked at again, if there is no room for another.
const PAUSE: Duration = Duration::from_millis(10);

/// See the module. The thread ends soon after it is dropped.
pub(super) struct Hasher {
    /// `None` only while it is dropped.
    jobs: Option<Producer<HashJob>>,
    results: Consumer<(u64, HashResult)>,
    failed: VecDeque<u64>,
    thread: JoinHandle<()>,
}

impl Hasher {
    /// Starts the thread; `wake` is called there whenever a result has come.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub(super) fn start(wake: impl Fn() + Send + 'static) -> io::Result<Hasher> {
        let (jobs, waiting) = RingBuffer::new(JOBS);
        let (done, results) = RingBuffer::new(JOBS);
        let thread = thread::Builder::new().name("hasher".into()).spawn(move || {
            // Hundreds may join at once, or guess; the groups play on beside that.
            if !lower_this_thread() {
                tracing::debug!("the thread that hashes has the priority of the others");
            }
            work(waiting, done, wake);
        })?;
        Ok(Hasher { jobs: Some(jobs), results, failed: VecDeque::new(), thread })
    }

    /// Has a job done.
    pub(super) fn give(&mut self, job: HashJob) {
        let ticket = job.ticket();
        let given = self.jobs.as_mut().is_some_and(|jobs| jobs.push(job).is_ok());
        if given && !self.thread.is_finished() {
            self.thread.thread().unpark();
        } else {
            tracing::error!("a password cannot be hashed: the thread for it is busy or gone");
            self.failed.push_back(ticket);
        }
    }

    /// The next result, with the ticket of its job.
    pub(super) fn done(&mut self) -> Option<(u64, HashResult)> {
        let failed = self.failed.pop_front().map(|ticket| (ticket, HashResult::Failed));
        failed.or_else(|| self.results.pop().ok())
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.jobs = None;
        self.thread.thread().unpark();
    }
}

fn work(mut jobs: Consumer<HashJob>, mut done: Producer<(u64, HashResult)>, wake: impl Fn()) {
    let mut room = HashRoom::default();
    loop {
        let Ok(job) = jobs.pop() else {
            if jobs.is_abandoned() {
                return;
            }
            thread::park();
            continue;
        };
        let mut result = (job.ticket(), job.run(&mut room));
        // There is room for as many results as for jobs: it is only short while old ones are not yet taken.
        while let Err(rtrb::PushError::Full(full)) = done.push(result) {
            if done.is_abandoned() {
                return;
            }
            result = full;
            wake();
            thread::park_timeout(PAUSE);
        }
        wake();
    }
}
