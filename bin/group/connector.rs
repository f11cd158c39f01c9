//! [`Connector`]: makes connections to a router on a thread of its own, for looking up a name and waiting for a host take long.
//!
//! Not for: when (the member knows), nor what is said on them.

use crate::target::Target;
use downbeat_net::Handle;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Failures that nobody has looked at yet.
const FAILURES: usize = 4;

/// See the module. When it is dropped, the thread ends after the attempt it is at.
pub(super) struct Connector {
    orders: SyncSender<()>,
    failures: Receiver<String>,
}

impl Connector {
    /// The reactor of this handle gets the connections, and is woken if there is none.
    pub(super) fn start(router: Target, handle: Handle) -> io::Result<Connector> {
        let (orders, ordered) = sync_channel(1);
        let (failed, failures) = sync_channel(FAILURES);
        thread::Builder::new().name("router".into()).spawn(move || {
            for () in ordered {
                let made = router.connect().and_then(|stream| Ok(handle.adopt(stream)?));
                if let Err(error) = made {
                    // Full: nobody has looked for long, and the member gives up by itself.
                    let _ = failed.try_send(format!("{error:#}"));
                    handle.wake();
                }
            }
        })?;
        Ok(Connector { orders, failures })
    }

    /// Asks for a connection.
    pub(super) fn order(&self) {
        // Full: it is still at the attempt before, which will do as well.
        let _ = self.orders.try_send(());
    }

    /// Why the next of those that failed did.
    pub(super) fn failure(&self) -> Option<String> {
        self.failures.try_recv().ok()
    }
}
