//! Any packets, one after another, to a whole node without sockets: hub, address space, lane, renderer. No panic, the
//! sound finite and within full scale, every answer a packet, and a good message after all that is still heard.
#![no_main]

use downbeat_engine::{Clip, Control, Offline, Settings, Streams};
use downbeat_net::hub::Output;
use downbeat_net::{Endpoint, Hub, HubConfig, NetCounters, osc};
use downbeat_sync::{EnsembleTime, LocalTime, Span, WallAnchor};
use std::sync::Arc;

const BLOCK: usize = 64;

fn node() -> (Hub, Offline) {
    let settings = Settings { voices: 8, agenda: 64, ..Settings::default() };
    let (control, offline): (Control, Offline) = Offline::new(settings, Streams::none());
    let config = HubConfig::alone("fuzzed", "");
    let mut hub = Hub::new(config, control, Arc::new(NetCounters::default()), at(Span::ZERO));
    let wave: Vec<f32> = (0..200).map(|n| (n as f32 * 0.3).sin()).collect();
    for (name, rate) in [("kick", 48_000), ("hat", 44_100)] {
        hub.add_sample(name, Arc::new(Clip::from_channels(rate, &[&wave]))).expect("there is room");
    }
    (hub, offline)
}

/// The instant so long after the start. Ensemble and local time both begin with 0, as the offline renderer has them.
fn at(since: Span) -> WallAnchor {
    let (local, wall) = (LocalTime::from_ticks(0) + since, EnsembleTime::from_bits(0) + since);
    WallAnchor { local, wall, uncertainty: Span::ZERO, synchronised: false }
}

/// Renders a block; its loudest sample.
fn hear(offline: &mut Offline) -> f32 {
    let mut out = [0.0; 2 * BLOCK];
    offline.render(&mut out);
    assert!(out.iter().all(|sample| sample.abs() <= 1.0), "not a sound: {out:?}");
    out.iter().fold(0.0, |loudest, sample| sample.abs().max(loudest))
}

/// Takes the answers, and loads nothing.
fn answer(hub: &mut Hub, now: LocalTime) {
    while let Some(output) = hub.poll(now) {
        match output {
            Output::Send { packet, .. } => assert!(osc::read(&packet).all(|message| message.is_ok())),
            Output::Load(request) => hub.loaded(&request, Err("no disk here".into())),
        }
    }
}

libfuzzer_sys::fuzz_target!(|packets: Vec<Vec<u8>>| {
    let (mut hub, mut offline) = node();
    let from = Endpoint::Udp(([127, 0, 0, 1], 9).into());
    let mut now = at(Span::ZERO);
    for packet in &packets {
        hub.handle(now.local, from, packet);
        hear(&mut offline);
        now = at((now.local - LocalTime::from_ticks(0)) + Span::from_ratio(BLOCK as i128, 48_000));
        hub.tick(now);
        answer(&mut hub, now.local);
    }
    let mut good = Vec::new();
    for address in ["/panic", "/master/gain", "/master/mute"] {
        good.clear();
        let args = [osc::Arg::Int(i32::from(address == "/master/gain"))];
        let args = if address == "/panic" { &args[..0] } else { &args[..] };
        osc::write(&mut good, address, args.iter().copied()).expect("it is legal");
        hub.handle(now.local, from, &good);
    }
    // Changes of the master that were to take long are over when these are heard.
    hear(&mut offline);
    good.clear();
    osc::write(&mut good, "/click", []).expect("it is legal");
    hub.handle(now.local, from, &good);
    let heard = (0..4).map(|_| hear(&mut offline)).fold(0.0, f32::max);
    assert!(heard > 0.5, "the node is deaf after {packets:?}");
});
