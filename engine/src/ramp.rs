//! [`Ramp`]: a value that moves in a straight line, one step per frame, and ends exactly where it should.
//!
//! For gain, pan, rate and frequency. Not for: envelopes, which know of onsets and releases (`envelope`).

/// A value on its way, or at rest.
///
/// Frame `k` of a ramp over `n` frames has `from + (to - from) * k / n`, computed from `k` and not summed up, so that
/// the values are the same whatever the lengths of the runs they are asked for in. `RT:` yes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    from: f64,
    to: f64,
    frames: u32,
    done: u32,
}

/// The values of a run of frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Values<'a> {
    /// The same for every frame.
    Flat(f32),
    /// One by one.
    Moving(&'a [f32]),
}

impl Values<'_> {
    /// The value of one frame of the run.
    #[inline(always)]
    pub(crate) fn at(self, frame: usize) -> f32 {
        match self {
            Values::Flat(value) => value,
            Values::Moving(values) => values[frame],
        }
    }
}

impl Ramp {
    /// At rest.
    pub(crate) fn new(value: f64) -> Ramp {
        Ramp { from: value, to: value, frames: 0, done: 0 }
    }

    /// Leaves from where it is for `value`, which it reaches after so many frames (0: at once).
    pub(crate) fn head_for(&mut self, value: f64, frames: u32) {
        *self = Ramp { from: self.value(), to: value, frames, done: 0 };
    }

    /// The value of the next frame.
    pub(crate) fn value(&self) -> f64 {
        self.at(self.done)
    }

    /// The value it ends at.
    pub(crate) fn target(&self) -> f64 {
        self.to
    }

    /// Whether every frame from the next on has the same value.
    pub(crate) fn at_rest(&self) -> bool {
        self.done >= self.frames
    }

    /// The value of the next frame; moves on by one.
    pub(crate) fn step(&mut self) -> f64 {
        let value = self.value();
        self.skip(1);
        value
    }

    /// Moves on by so many frames.
    pub(crate) fn skip(&mut self, frames: usize) {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        self.done = self.done.saturating_add(frames).min(self.frames);
    }

    /// Leaps over so many frames [0 or more, whole or not]; the sum of their values.
    pub(crate) fn leap(&mut self, frames: f64) -> f64 {
        let moving = frames.min(f64::from(self.frames - self.done));
        let first = self.value();
        self.skip(moving as usize);
        // A straight line, so its mean is that of its ends.
        moving * (first + self.value()) / 2.0 + (frames - moving) * self.to
    }

    /// The values of the next `room.len()` frames, written there if they differ; moves on.
    pub(crate) fn run<'a>(&mut self, room: &'a mut [f32]) -> Values<'a> {
        if self.at_rest() {
            return Values::Flat(self.to as f32);
        }
        for value in room.iter_mut() {
            *value = self.step() as f32;
        }
        Values::Moving(room)
    }

    /// Multiplies these frames of every channel of the bus by the value; moves on.
    pub(crate) fn scale(&mut self, bus: &mut [Box<[f32]>], frames: std::ops::Range<usize>) {
        if self.at_rest() && self.to == 1.0 {
            return;
        }
        for frame in frames {
            let value = self.step() as f32;
            for channel in bus.iter_mut() {
                channel[frame] *= value;
            }
        }
    }

    fn at(&self, frame: u32) -> f64 {
        if frame >= self.frames {
            self.to
        } else {
            self.from + (self.to - self.from) * (f64::from(frame) / f64::from(self.frames))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_exactly_and_stays() {
        let mut ramp = Ramp::new(0.1);
        ramp.head_for(0.3, 7);
        let values: Vec<f64> = (0..10).map(|_| ramp.step()).collect();
        assert_eq!(values[0], 0.1);
        assert!(values[..8].windows(2).all(|w| w[1] > w[0]));
        assert_eq!(values[7..], [0.3; 3]);
        assert!(ramp.at_rest());
    }

    #[test]
    fn leaves_from_where_it_is() {
        let mut ramp = Ramp::new(0.0);
        ramp.head_for(1.0, 10);
        ramp.skip(5);
        ramp.head_for(0.0, 10);
        assert_eq!(ramp.value(), 0.5);
        ramp.head_for(2.0, 0);
        assert_eq!(ramp.value(), 2.0);
    }

    proptest! {
        #[test]
        fn the_same_whatever_the_run_lengths(frames in 0u32..300, cuts in prop::collection::vec(1usize..50, 1..40)) {
            let mut ramp = Ramp::new(-0.7);
            ramp.head_for(1.3, frames);
            let mut one_by_one = ramp;
            for cut in cuts {
                let mut room = vec![0.0; cut];
                let values = ramp.run(&mut room);
                for i in 0..cut {
                    prop_assert_eq!(values.at(i), one_by_one.step() as f32);
                }
            }
        }
    }
}
