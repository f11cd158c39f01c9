//! [`Device`]: a sound card in virtual time, whose every frame's true instant is known.
//!
//! Its callbacks wake late by what a host's scheduler makes of it, and a node's own frame clock makes a line of them. Not for:
//! sound.

use crate::report::random::Random;
use downbeat_sync::{DeviceRate, FrameClock, FrameMap, LocalTime};

/// Nominal rate (Hz).
pub(crate) const RATE: f64 = 48_000.0;

/// See the module.
pub(crate) struct Device {
    frames: u32,
    /// How long a block really lasts (s).
    period: f64,
    host: Host,
    cycle: u64,
    clock: FrameClock,
    block: Option<(FrameMap, f64)>,
}

/// What a node remembers of a card that was this fast when it was last heard, to three tenths of a ppm.
pub(crate) fn remembered(seed: u64, ppm: f64) -> DeviceRate {
    DeviceRate { ppm: ppm + 0.3 * Random(seed ^ 0x5eed).normal(), sigma: 0.4 }
}

/// How late callbacks wake, as fitted to recordings of an idle host: a third of the variance forgets within a callback, a third in
/// 0.1 s, a third in 1 s; one callback in 200 is late by 0.3 ms more.
struct Host {
    random: Random,
    slow: f64,
    quick: f64,
}

impl Host {
    fn lateness(&mut self, dt: f64) -> f64 {
        let (slow, quick) = ((-dt).exp(), (-dt / 0.1).exp());
        self.slow = slow * self.slow + (1.0 - slow * slow).sqrt() * 25e-6 * self.random.normal();
        self.quick = quick * self.quick + (1.0 - quick * quick).sqrt() * 21e-6 * self.random.normal();
        let spike = if self.random.unit() < 0.005 { self.random.exponential(300e-6) } else { 0.0 };
        (160e-6 + self.slow + self.quick + 26e-6 * self.random.normal()).max(50e-6) + spike
    }
}

impl Device {
    /// A card that is `ppm` fast and is asked for blocks of so many frames, from the true time 0 on; `known` is what its node
    /// remembers of it.
    pub(crate) fn new(seed: u64, frames: u32, ppm: f64, known: DeviceRate) -> Device {
        Device {
            frames,
            period: f64::from(frames) / (RATE * (1.0 + 1e-6 * ppm)),
            host: Host {
                random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xde),
                slow: 0.0,
                quick: 0.0,
            },
            cycle: 0,
            clock: FrameClock::knowing(RATE, known),
            block: None,
        }
    }

    /// Plays on until the true time `until` (s), by a host whose local clock this is. `on_wake` is told of each callback how late
    /// the line says its first frame is, against the truth (s); when that truly was, and when the callback woke.
    pub(crate) fn play(
        &mut self,
        until: f64,
        local: impl Fn(f64) -> LocalTime,
        mut on_wake: impl FnMut(f64, (f64, f64)),
    ) {
        loop {
            let truth = self.cycle as f64 * self.period;
            if truth + self.period > until {
                return;
            }
            let wake = truth + self.host.lateness(self.period);
            let map = self.clock.begin(self.frames, local(wake));
            self.block = Some((map, truth));
            self.cycle += 1;
            on_wake((map.local - local(truth)).as_secs_f64(), (truth, wake));
        }
    }

    /// When what is due at this local time really sounds (s of true time), on a whole frame; `None` before the first block.
    pub(crate) fn sounds(&self, due: LocalTime) -> Option<f64> {
        let (map, truth) = self.block?;
        Some(truth + map.frames_until(due).round() * self.period / f64::from(self.frames))
    }
}
