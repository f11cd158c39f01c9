//! [`Tap`]: a wire between a peer and a node that keeps a copy of every packet. Answers go back to the peer.

use super::process::PATIENCE;
use super::{Process, osc};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Passes datagrams on to a node for as long as the test runs.
pub(crate) struct Tap {
    address: SocketAddr,
    kept: Arc<(Mutex<Vec<Passed>>, Condvar)>,
}

/// A packet, and when it passed by the host's clock, as a timetag.
pub(crate) type Passed = (u64, Vec<u8>);

impl Tap {
    /// A wire that ends at this node.
    pub(crate) fn start(node: &Process) -> Tap {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
        let address = socket.local_addr().expect("it is bound");
        let kept = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (keep, onward) = (Arc::clone(&kept), node.socket());
        let peer = Arc::new(Mutex::new(None));
        let [back, ahead] = [&socket, &onward].map(|socket| socket.try_clone().expect("it can be shared"));
        let answered = Arc::clone(&peer);
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            loop {
                // A node that is gone may come again.
                let Ok(len) = ahead.recv(&mut buffer) else { continue };
                let to: Option<SocketAddr> = *answered.lock().expect("nobody panics with it");
                // The peer may be gone already.
                let _ = to.map(|to| back.send_to(&buffer[..len], to));
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                *peer.lock().expect("nobody panics with it") = Some(from);
                // The node may be gone already.
                let _ = onward.send(&buffer[..len]);
                keep.0
                    .lock()
                    .expect("nobody panics with it")
                    .push((osc::wall_clock(), buffer[..len].to_vec()));
                keep.1.notify_all();
            }
        });
        Tap { address, kept }
    }

    /// Where the peer is to send.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// What has passed.
    pub(crate) fn packets(&self) -> Vec<Vec<u8>> {
        self.passed().into_iter().map(|(_, packet)| packet).collect()
    }

    /// The timetags of the bundles that have passed, and when they did by the host's clock, as a timetag too.
    pub(crate) fn stamped(&self) -> Vec<(u64, u64)> {
        self.passed().into_iter().filter_map(|(at, packet)| Some((osc::timetag(&packet)?, at))).collect()
    }

    /// The packets that have passed, and when.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.kept.0.lock().expect("nobody panics with it").clone()
    }

    /// Waits until so many packets have passed.
    pub(crate) fn wait_for(&self, count: usize) {
        let kept = self.kept.0.lock().expect("nobody panics with it");
        let wait = self.kept.1.wait_timeout_while(kept, PATIENCE, |kept| kept.len() < count);
        let (kept, timeout) = wait.expect("nobody panics with it");
        assert!(!timeout.timed_out(), "{} of {count} packets came", kept.len());
    }
}
