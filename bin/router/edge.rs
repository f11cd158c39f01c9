//! [`Edge`]: the router between its reactor, the thread that hashes, and those who watch it.
//!
//! Not for: deciding anything; the router does.

use super::board::{Board, Report};
use super::hasher::Hasher;
use super::service::Service;
use downbeat_net::router::{Output, Router};
use downbeat_net::{ConnId, Endpoint, Handler, Outgoing};
use downbeat_sync::{Clock, LocalTime, WallAnchor};
use std::net::SocketAddr;
use std::sync::Arc;

/// See the module.
pub(super) struct Edge {
    router: Router,
    hasher: Hasher,
    board: Arc<Board>,
    service: Service,
    clock: Clock,
}

impl Edge {
    pub(super) fn new(
        router: Router,
        hasher: Hasher,
        board: Arc<Board>,
        service: Service,
        clock: Clock,
    ) -> Edge {
        Edge { router, hasher, board, service, clock }
    }

    /// Tells systemd, if it started us, that clients may come.
    pub(super) fn ready(&self) {
        self.service.ready();
    }

    /// Tells everybody that it is over.
    pub(super) fn say_goodbye(&mut self) {
        self.service.stopping();
        self.router.stop(self.clock.now());
    }
}

impl Handler for Edge {
    fn on_packet(&mut self, arrival: LocalTime, from: Endpoint, packet: &[u8]) {
        if let Endpoint::Tcp(conn) = from {
            self.router.handle(conn, arrival, packet);
        }
    }

    fn on_open(&mut self, conn: ConnId, peer: SocketAddr) {
        self.router.open(conn, peer, self.clock.now());
    }

    fn last_words(&mut self, conn: ConnId, why: &str) -> Option<Vec<u8>> {
        self.router.last_words(conn, why, self.clock.now())
    }

    fn on_close(&mut self, conn: ConnId) {
        self.router.close(conn, self.clock.now());
    }

    fn on_tick(&mut self, now: WallAnchor) {
        while let Some((ticket, result)) = self.hasher.done() {
            self.router.hashed(ticket, result, now.local);
        }
        self.router.tick(now);
        self.service.tick(now.local);
        self.board.answer(|| {
            let (groups, users) = (self.router.groups().count(), self.router.users());
            Report { tally: *self.router.tally(), groups, users }
        });
    }

    fn deadline(&self) -> Option<LocalTime> {
        let deadlines = [self.router.deadline(), self.service.deadline()].into_iter().flatten();
        deadlines.reduce(LocalTime::earlier)
    }

    fn poll(&mut self, now: LocalTime) -> Option<Outgoing<'_>> {
        Some(match self.router.poll(now)? {
            Output::Deliver { to, packet } => Outgoing::Deliver { to, packet },
            Output::Close(conn) => Outgoing::Close(conn),
            Output::Pause(conn) => Outgoing::Pause(conn),
            Output::Resume(conn) => Outgoing::Resume(conn),
            Output::Hash(job) => {
                self.hasher.give(job);
                // Nothing for anybody; there may be more behind it.
                Outgoing::Deliver { to: &[], packet: &[] }
            }
        })
    }
}
