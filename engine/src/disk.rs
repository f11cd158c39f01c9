//! [`Disk`]: the thread that keeps streams fed and loads samples on request, and [`DiskWorker`], the work it does.
//!
//! The thread is never woken by the audio thread, which would be a system call: it looks by itself, often while
//! streams are open. Not for: recording, which has a thread of its own, so that a slow card cannot starve the streams.

use crate::clip::Clip;
use crate::feeder::{Feeder, StreamFailure};
use crate::folder::{LoadError, SampleFolder};
use crate::shelf::Shelf;
use crate::wav::ClipConfig;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Requests to load that can wait.
const MAX_ORDERS: usize = 256;
/// Between two looks while streams are open. The emptiest ring lasts 40 ms even at 8 times the speed of a clip of four
/// times the device's rate.
const BUSY: Duration = Duration::from_millis(5);
/// Between two looks while none is: how late a stream may begin to fill. Its head lasts longer.
const IDLE: Duration = Duration::from_millis(20);

/// A sample that was asked for, read or not.
#[derive(Debug)]
pub struct Loaded {
    /// What it is to be called.
    pub name: String,
    /// The number the request was given.
    pub ticket: u64,
    /// The sound.
    pub clip: Result<Arc<Clip>, LoadError>,
}

/// Too many requests to load are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_ORDERS} samples are waiting to be loaded")]
pub struct DiskBusy;

struct Order {
    name: String,
    file: String,
    ticket: u64,
}

/// The disk thread, held by the network thread. Dropping it ends the thread; open streams then go silent.
pub struct Disk {
    /// `None` only while it is dropped.
    orders: Option<SyncSender<Order>>,
    loaded: Receiver<Loaded>,
    failed: Receiver<StreamFailure>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// Starts the thread. `wake` is called on it whenever [`Disk::loaded`] has something new.
    ///
    /// # Errors
    /// If the system has no thread for it.
    pub fn start(
        feeder: Feeder,
        folder: Option<SampleFolder>,
        config: ClipConfig,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Disk> {
        let (mut disk, mut worker) = disk(feeder, folder, config, wake);
        let work = move || {
            loop {
                match worker.step() {
                    Next::Now => {}
                    Next::Within(pause) => thread::park_timeout(pause),
                    Next::Never => return,
                }
            }
        };
        disk.thread = Some(thread::Builder::new().name("disk".into()).spawn(work)?);
        Ok(disk)
    }

    /// Asks for a file below the samples folder, `NAME.wav` if `None`; the answer comes by [`Disk::loaded`].
    ///
    /// # Errors
    /// If too many requests are waiting.
    pub fn load(&self, name: &str, file: Option<&str>, ticket: u64) -> Result<(), DiskBusy> {
        let file = file.map_or_else(|| format!("{name}.wav"), str::to_owned);
        let order = Order { name: name.to_owned(), file, ticket };
        let orders = self.orders.as_ref().ok_or(DiskBusy)?;
        orders.try_send(order).map_err(|_| DiskBusy)?;
        self.unpark();
        Ok(())
    }

    /// The next answer to a request, if there is one, in the order of the requests.
    pub fn loaded(&self) -> Option<Loaded> {
        let loaded = self.loaded.try_recv().ok();
        if loaded.is_some() {
            self.unpark();
        }
        loaded
    }

    /// The next stream whose file could not be read on, if there is one.
    pub fn failed(&self) -> Option<StreamFailure> {
        self.failed.try_recv().ok()
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.orders = None;
        self.unpark();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the panic has been printed.
            let _ = thread.join();
        }
    }
}

/// When to work again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Now,
    Within(Duration),
    Never,
}

/// What the disk thread does, one step at a time.
struct DiskWorker<W> {
    feeder: Feeder,
    folder: Option<SampleFolder>,
    shelf: Shelf,
    config: ClipConfig,
    orders: Receiver<Order>,
    loaded: SyncSender<Loaded>,
    failed: SyncSender<StreamFailure>,
    /// Found no room yet.
    unsent: Option<Loaded>,
    wake: W,
}

/// Both ends, without the thread.
fn disk<W: Fn()>(
    feeder: Feeder,
    folder: Option<SampleFolder>,
    config: ClipConfig,
    wake: W,
) -> (Disk, DiskWorker<W>) {
    let (orders_in, orders_out) = sync_channel(MAX_ORDERS);
    let (loaded_in, loaded_out) = sync_channel(MAX_ORDERS);
    let (failed_in, failed_out) = sync_channel(MAX_ORDERS);
    let disk = Disk { orders: Some(orders_in), loaded: loaded_out, failed: failed_out, thread: None };
    let orders = orders_out;
    (
        disk,
        DiskWorker {
            feeder,
            folder,
            shelf: Shelf::default(),
            config,
            orders,
            loaded: loaded_in,
            failed: failed_in,
            unsent: None,
            wake,
        },
    )
}

impl<W: Fn()> DiskWorker<W> {
    /// Streams first; when all are full, one request to load.
    fn step(&mut self) -> Next {
        let more = self.feeder.step();
        while let Some(failure) = self.feeder.failure() {
            // What finds no room was said and counted.
            if self.failed.try_send(failure).is_ok() {
                (self.wake)();
            }
        }
        if more {
            return Next::Now;
        }
        if let Some(loaded) = self.unsent.take() {
            self.answer(loaded);
        }
        let rest = Next::Within(if self.feeder.is_open() { BUSY } else { IDLE });
        if self.unsent.is_some() {
            return rest;
        }
        match self.orders.try_recv() {
            Ok(order) => {
                let loaded = self.load(order);
                self.answer(loaded);
                Next::Now
            }
            Err(TryRecvError::Empty) => rest,
            Err(TryRecvError::Disconnected) => Next::Never,
        }
    }

    fn load(&mut self, order: Order) -> Loaded {
        let Order { name, file, ticket } = order;
        let clip = match &self.folder {
            Some(folder) => self.shelf.load(folder, &file, self.config),
            None => Err(LoadError::NoFolder),
        };
        Loaded { name, ticket, clip }
    }

    fn answer(&mut self, loaded: Loaded) {
        match self.loaded.try_send(loaded) {
            Ok(()) => (self.wake)(),
            Err(TrySendError::Full(loaded)) => self.unsent = Some(loaded),
            // Nobody is left to hear it.
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::{Scratch, write_wav};
    use crate::stream::{StreamConfig, streams};
    use std::cell::Cell;
    use std::sync::mpsc::channel;

    fn folder(scratch: &Scratch) -> Option<SampleFolder> {
        write_wav(&scratch.path("tick.wav"), &[&[0.5; 10]]);
        Some(SampleFolder::open(scratch.root()).unwrap())
    }

    #[test]
    fn samples_are_loaded_in_turn_and_each_wakes_the_asker() {
        let scratch = Scratch::new("orders");
        let woken = Cell::new(0);
        let (_streams, feeder) = streams(StreamConfig::default());
        let wake = || woken.set(woken.get() + 1);
        let (disk, mut worker) = disk(feeder, folder(&scratch), ClipConfig::default(), wake);
        assert_eq!(worker.step(), Next::Within(IDLE));
        disk.load("tick", None, 7).unwrap();
        disk.load("tock", Some("tick.wav"), 8).unwrap();
        disk.load("none", None, 9).unwrap();
        while worker.step() == Next::Now {}
        assert_eq!(woken.get(), 3);
        let answers: Vec<_> = std::iter::from_fn(|| disk.loaded())
            .map(|loaded| (loaded.name, loaded.ticket, loaded.clip.map(|clip| clip.frames()).ok()))
            .collect();
        assert_eq!(
            answers,
            [("tick".into(), 7, Some(10)), ("tock".into(), 8, Some(10)), ("none".into(), 9, None)]
        );
        drop(disk);
        assert_eq!(worker.step(), Next::Never);
    }

    #[test]
    fn whoever_does_not_fetch_answers_is_refused_in_the_end() {
        let scratch = Scratch::new("full");
        let (_streams, feeder) = streams(StreamConfig::default());
        let (disk, mut worker) = disk(feeder, folder(&scratch), ClipConfig::default(), || {});
        let mut taken = 0;
        while disk.load("tick", None, taken).is_ok() {
            while worker.step() == Next::Now {}
            taken += 1;
        }
        assert_eq!(taken, 2 * MAX_ORDERS as u64 + 1);
        for ticket in 0..taken {
            while worker.step() == Next::Now {}
            assert_eq!(disk.loaded().unwrap().ticket, ticket);
        }
        assert!(disk.loaded().is_none());
    }

    #[test]
    fn the_thread_loads_and_ends() {
        let scratch = Scratch::new("thread");
        let (_streams, feeder) = streams(StreamConfig::default());
        let (woken_in, woken) = channel();
        let wake = move || woken_in.send(()).unwrap();
        let disk = Disk::start(feeder, folder(&scratch), ClipConfig::default(), wake).unwrap();
        disk.load("tick", None, 1).unwrap();
        woken.recv().unwrap();
        assert_eq!(disk.loaded().unwrap().ticket, 1);
        drop(disk);
        assert!(woken.recv().is_err(), "the thread has ended");
    }

    #[test]
    fn without_a_folder_there_is_nothing_to_load() {
        let (_streams, feeder) = streams(StreamConfig::default());
        let (disk, mut worker) = disk(feeder, None, ClipConfig::default(), || {});
        disk.load("tick", None, 1).unwrap();
        worker.step();
        assert_eq!(disk.loaded().unwrap().clip.unwrap_err().to_string(), "there is no samples folder");
    }
}
