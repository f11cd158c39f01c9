//! [`Limiter`]: keeps the output within full scale. Transparent to the bit below -1 dBFS, without latency.
//!
//! Not for: loudness or sound; it is a safety, switched off with a flag.

/// The amplitude below which nothing is touched: -1 dBFS.
pub const THRESHOLD: f32 = 0.891_250_9;

/// Peak limiter over all channels together. `RT:` yes, allocates nothing.
#[derive(Clone, Debug)]
pub struct Limiter {
    /// Gain in force, 1 at rest.
    gain: f32,
    /// How much of the way to 1 the gain recovers per frame.
    recovery: f32,
}

impl Limiter {
    /// A limiter at rest, for `rate` frames per second.
    pub fn new(rate: f64) -> Limiter {
        Limiter { gain: 1.0, recovery: (1.0 / (0.1 * rate)) as f32 }
    }

    /// Limits `frames` of the bus in place.
    pub fn process(&mut self, bus: &mut [Box<[f32]>], frames: std::ops::Range<usize>) {
        for frame in frames {
            let peak = bus.iter().fold(0.0f32, |peak, channel| peak.max(channel[frame].abs()));
            self.gain = (self.gain + self.recovery).min(1.0);
            if peak * self.gain > THRESHOLD {
                self.gain = THRESHOLD / peak;
            }
            if self.gain < 1.0 {
                bus.iter_mut().for_each(|channel| channel[frame] *= self.gain);
            }
        }
    }
}
