//! [`Hasher`]: the thread that hashes passwords, which takes milliseconds by design, so that no packet waits for it.
//!
//! Not for: which password is whose (the router).

use downbeat_net::router::{HashJob, HashResult, HashRoom};
use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// A router never gives more at once.
const JOBS: usize = 2;

/// See the module. The thread ends soon after it is dropped.
pub(super) struct Hasher {
    jobs: SyncSender<HashJob>,
    results: Receiver<(u64, HashResult)>,
    failed: VecDeque<u64>,
}

impl Hasher {
    /// Starts the thread; `wake` is called there whenever a result has come.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub(super) fn start(wake: impl Fn() + Send + 'static) -> io::Result<Hasher> {
        let (jobs, waiting) = sync_channel::<HashJob>(JOBS);
        let (done, results) = sync_channel(JOBS);
        thread::Builder::new().name("hasher".into()).spawn(move || {
            let mut room = HashRoom::default();
            for job in waiting {
                let ticket = job.ticket();
                if done.send((ticket, job.run(&mut room))).is_err() {
                    break;
                }
                wake();
            }
        })?;
        Ok(Hasher { jobs, results, failed: VecDeque::new() })
    }

    /// Has a job done.
    pub(super) fn give(&mut self, job: HashJob) {
        let ticket = job.ticket();
        if self.jobs.try_send(job).is_err() {
            tracing::error!("a password cannot be hashed: the thread for it is busy or gone");
            self.failed.push_back(ticket);
        }
    }

    /// The next result, with the ticket of its job.
    pub(super) fn done(&mut self) -> Option<(u64, HashResult)> {
        let failed = self.failed.pop_front().map(|ticket| (ticket, HashResult::Failed));
        failed.or_else(|| self.results.try_recv().ok())
    }
}
