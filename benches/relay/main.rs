//! The relay as a program: between two ports for a while, or, without arguments, how exact it is.
//!
//! ```text
//! cargo bench --bench relay                     its own lateness, on loopback and between namespaces
//! cargo bench --bench relay -- --to 127.0.0.1:9000 --from 127.0.0.1:9100 --law wifi --seed 7 --seconds 60 \
//!     --log relay.csv [--in-order] [--twice 0.01] [--loss 0.1] [--hole 10-40]
//! ```
//!
//! Not for: more than one pair of peers at once.

#[path = "mod.rs"]
mod relay;
#[path = "../report/mod.rs"]
mod report;

use downbeat_sync::Span;
use relay::Way;
use relay::law::Law;
use relay::log::{End, Log};
use relay::netns::{Host, Net};
use relay::wire::{Plan, Relay, Side};
use report::{Table, digits, unless_quick};
use std::error::Error;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Packets that are sent to find out how exact it is, and how far apart.
const PACKETS: (u64, u64) = (5_000, 40);
const APART: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.iter().any(|arg| arg == "--to") { run(&Orders::parse(&args)?) } else { measure() }
}

/// What a flag changes in both laws.
type Change = Box<dyn Fn(&mut Law)>;

/// What is to be done between whom.
struct Orders {
    from: SocketAddr,
    to: SocketAddr,
    plan: Plan,
    log: Option<PathBuf>,
}

impl Orders {
    fn parse(args: &[String]) -> Result<Orders, Box<dyn Error>> {
        let mut orders = Orders {
            from: "127.0.0.1:0".parse()?,
            to: "127.0.0.1:9000".parse()?,
            plan: Plan::new(Way::BOTH.map(Law::wifi), 1, Span::from_secs(60)),
            log: None,
        };
        // Changes of the law come after the law, wherever they stand.
        let mut changes: Vec<Change> = Vec::new();
        let mut words = args.iter();
        while let Some(flag) = words.next() {
            if flag == "--in-order" {
                changes.push(Box::new(|law| law.in_order = true));
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{flag} wants a value"))?;
            match flag.as_str() {
                "--from" => orders.from = value.parse()?,
                "--to" => orders.to = value.parse()?,
                "--law" => {
                    orders.plan.laws = Law::named(value).ok_or("--law is lan, wifi or wan")?;
                }
                "--seed" => orders.plan.seed = value.parse()?,
                "--seconds" => orders.plan.lasts = Span::from_secs_f64(value.parse()?),
                "--log" => orders.log = Some(value.into()),
                "--loss" => {
                    let part: f64 = value.parse()?;
                    changes.push(Box::new(move |law| law.loss = part));
                }
                "--twice" => {
                    let part: f64 = value.parse()?;
                    changes.push(Box::new(move |law| law.twice = part));
                }
                "--hole" => {
                    let (from, to) =
                        value.split_once('-').ok_or("--hole wants two times (s), as in 10-40")?;
                    let hole: (f64, f64) = (from.parse()?, to.parse()?);
                    changes.push(Box::new(move |law| law.holes.push(hole)));
                }
                _ => return Err(format!("unknown flag {flag}").into()),
            }
        }
        for law in &mut orders.plan.laws {
            changes.iter().for_each(|change| change(law));
        }
        Ok(orders)
    }
}

/// Relays until the time is over.
fn run(orders: &Orders) -> Result<(), Box<dyn Error>> {
    let sides = [Side::bind(orders.from, None)?, Side::bind("0.0.0.0:0", Some(orders.to))?];
    let seconds = orders.plan.lasts;
    let mut relay = Relay::start(sides, orders.plan.clone())?;
    println!("relays for {seconds}: udp {} to {}", relay.end(0), orders.to);
    let log = relay.join()?;
    println!("{log}");
    if let Some(path) = &orders.log {
        log.write(path)?;
    }
    Ok(())
}

/// Tells how late the relay itself is, by law and place.
fn measure() -> Result<(), Box<dyn Error>> {
    let packets = unless_quick(PACKETS.0, PACKETS.1);
    report::title(&format!("relay: how late it sends, us; {packets} packets each way, 1,000 a second"));
    let net = Net::forbidden().map_or_else(Net::new, Err);
    if let Err(why) = &net {
        println!("without namespaces: {why}");
    }
    let mut table = Table::new(&["law", "where", "way", "sent", "lost", "p50", "p99", "largest", "early"]);
    for name in ["lan", "wifi", "wan"] {
        let laws = Law::named(name).ok_or("the law is there")?;
        let plan = Plan::new(laws, 1, Span::from_secs(60));
        let log = pour(loopback(plan.clone())?, packets)?;
        rows(&mut table, name, "loopback", &log);
        if let Ok(net) = &net {
            let log = pour(between(net, plan)?, packets)?;
            rows(&mut table, name, "namespaces", &log);
        }
    }
    table.print();
    Ok(())
}

fn rows(table: &mut Table, law: &str, place: &str, log: &Log) {
    for way in Way::BOTH {
        let micros = |span: &Span| digits(span.as_secs_f64() * 1e6);
        let late = log.lateness(way);
        let at =
            |part: f64| late.get(((late.len() as f64 - 1.0) * part) as usize).map(micros).unwrap_or_default();
        let early = late.iter().filter(|late| **late < Span::ZERO).count();
        let name = if way == Way::Forth { "forth" } else { "back" };
        let sent = log.count(way, End::Sent);
        table.row(&[
            &law,
            &place,
            &name,
            &sent,
            &log.count(way, End::Lost),
            &at(0.5),
            &at(0.99),
            &at(1.0),
            &early,
        ]);
    }
}

/// A relay and the two peers beside it.
struct Setting {
    relay: Relay,
    peers: [UdpSocket; 2],
}

/// Two peers on loopback.
fn loopback(plan: Plan) -> io::Result<Setting> {
    let peers = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let side = |peer: &UdpSocket| Side::bind("127.0.0.1:0", Some(peer.local_addr()?));
    let relay = Relay::start([side(&peers[0])?, side(&peers[1])?], plan)?;
    for (peer, side) in peers.iter().zip(0..) {
        peer.connect(relay.end(side))?;
    }
    Ok(Setting { relay, peers })
}

/// Two peers in namespaces of their own.
fn between(net: &Net, plan: Plan) -> Result<Setting, Box<dyn Error>> {
    let sides = net.on(Host::Relay, || {
        let side = |far: Host| {
            Side::bind(Host::Relay.port_facing(far, 9_000), Some(far.port_facing(Host::Relay, 9_000)))
        };
        Ok::<_, io::Error>([side(Host::A)?, side(Host::B)?])
    })??;
    let peer = |host: Host| {
        net.on(host, move || {
            let socket = UdpSocket::bind(host.port_facing(Host::Relay, 9_000))?;
            socket.connect(Host::Relay.port_facing(host, 9_000))?;
            Ok::<_, io::Error>(socket)
        })
    };
    let peers = [peer(Host::A)??, peer(Host::B)??];
    Ok(Setting { relay: Relay::start(sides, plan)?, peers })
}

/// Sends packets both ways through it.
fn pour(setting: Setting, packets: u64) -> io::Result<Log> {
    for number in 0..packets {
        for peer in &setting.peers {
            peer.send(&number.to_be_bytes())?;
        }
        thread::sleep(APART);
    }
    thread::sleep(Duration::from_millis(200));
    setting.relay.stop()
}
