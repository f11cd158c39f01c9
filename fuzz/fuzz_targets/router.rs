//! Any packets to a router from four connections that come and go. No panic, nobody told twice, everything delivered is a packet,
//! honest users are still served after all that, and when all have gone nobody is left.
#![no_main]

use downbeat_net::router::{HashResult, Output, Router, RouterConfig};
use downbeat_net::{ConnId, Key, osc};
use downbeat_sync::{EnsembleTime, LocalTime, Span, WallAnchor};

/// The instant so long after the start.
fn at(since: Span) -> WallAnchor {
    let (local, wall) = (LocalTime::from_ticks(0) + since, EnsembleTime::from_bits(0) + since);
    WallAnchor { local, wall, uncertainty: Span::ZERO, synchronised: false }
}

/// Does what the router wants done, but for argon2, which is too slow here: hashes cannot be made, and wait for ever.
fn serve(router: &mut Router, now: LocalTime, mut hear: impl FnMut(ConnId, &[u8])) {
    let mut failed = Vec::new();
    loop {
        match router.poll(now) {
            Some(Output::Deliver { to, packet }) => {
                assert!(osc::read(packet).any_tags().all(|message| message.is_ok()));
                let mut once = to.to_vec();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), to.len());
                to.iter().for_each(|conn| hear(*conn, packet));
            }
            Some(Output::Close(_) | Output::Pause(_) | Output::Resume(_)) => {}
            Some(Output::Hash(job)) => failed.push(job.ticket()),
            None => break,
        }
    }
    failed.into_iter().for_each(|ticket| router.hashed(ticket, HashResult::Failed, now));
}

fn message(address: &str, args: &[&str]) -> Vec<u8> {
    let mut packet = Vec::new();
    osc::write(&mut packet, address, args.iter().map(|arg| osc::Arg::from(*arg))).expect("it is legal");
    packet
}

libfuzzer_sys::fuzz_target!(|steps: Vec<(u8, Vec<u8>)>| {
    let config = RouterConfig { idle: Some(Span::from_secs(60)), ..RouterConfig::default() };
    let key = Key::new(&[7; 32]).expect("it is long enough");
    let mut router = Router::new(config, key, at(Span::ZERO));
    let mut since = Span::ZERO;
    let peer = ([127, 0, 0, 1], 9).into();
    let mut serial = 0;
    let mut conns = [None; 4];
    for (step, packet) in &steps {
        let now = at(since).local;
        let conn = &mut conns[usize::from(step % 4)];
        match (step / 4 % 16, *conn) {
            (0, Some(open)) => {
                router.close(open, now);
                *conn = None;
            }
            (1, _) => {
                since += Span::from_millis(i64::from(*step) * 7);
                router.tick(at(since));
            }
            (_, Some(open)) => router.handle(open, now, packet),
            (_, None) => {
                let open = ConnId::numbered(serial);
                serial += 1;
                *conn = Some(open);
                router.open(open, peer, now);
                // Most want to go on to what members may do.
                if step / 64 > 0 {
                    router.handle(
                        open,
                        now,
                        &message("/oscrouter/register", &["eve", "pw", "g", "", "0", "errors"]),
                    );
                }
                router.handle(open, now, packet);
            }
        }
        serve(&mut router, now, |_, _| {});
    }
    let now = at(since).local;
    let [alice, bob] = [serial, serial + 1].map(ConnId::numbered);
    for (conn, name) in [(alice, "alice"), (bob, "bob")] {
        router.open(conn, peer, now);
        router.handle(
            conn,
            now,
            &message("/oscrouter/register", &[name, "pw", "a group of their own", "gpw"]),
        );
    }
    let hello = message("/hello", &[]);
    router.handle(alice, now, &hello);
    let mut heard = 0;
    serve(&mut router, now, |conn, packet| heard += u32::from(conn == bob && packet == hello));
    assert_eq!(heard, 1, "the router does not serve after {steps:?}");
    (0..serial + 2).map(ConnId::numbered).for_each(|conn| router.close(conn, now));
    assert_eq!((router.connections(), router.users(), router.groups().count()), (0, 0, 0));
});
