//! [`Offline`]: the renderer without a device, as fast as the processor allows and the same bits every time.
//!
//! Not for: reading scores or writing files. Here ensemble time 0 (the timetag's bits) is frame 0, local time 0 too, and
//! nothing is ever late but what names a time before the frames already rendered. An event with an arrival is held to it as on a
//! device ([`crate::Immediate`]); what a program plans itself has none.

use crate::lane::{Control, lane};
use crate::renderer::Renderer;
use crate::settings::Settings;
use crate::stream::Streams;
use downbeat_sync::{ClockEstimate, EnsembleTime, FrameMap, LocalTime, Span};

/// A renderer whose clocks are exact and all start at 0.
pub struct Offline {
    renderer: Renderer,
    map: FrameMap,
    channels: usize,
}

impl Offline {
    /// A silent stage, and the control that sends events to it. `settings.agenda` is the ring's size too.
    pub fn new(settings: Settings, streams: Streams) -> (Control, Offline) {
        // There is no hurry: what was sent is taken before the next block, however much it is.
        let settings = Settings { drain: usize::MAX, ..settings };
        let (control, stage) = lane(settings.agenda);
        let zero = LocalTime::from_ticks(0);
        let map = FrameMap::new(0, zero, f64::from(settings.rate));
        let estimate = ClockEstimate::new(zero, EnsembleTime::from_bits(0));
        let channels = settings.channels;
        (control, Offline { renderer: Renderer::new(settings, stage, streams, estimate), map, channels })
    }

    /// Renders the next frames into `out` (interleaved). What was sent before is heard from its instant on.
    pub fn render(&mut self, out: &mut [f32]) {
        self.renderer.render(self.map, Span::ZERO, out);
    }

    /// How many output channels there are.
    pub fn channels(&self) -> usize {
        self.channels
    }
}
