//! [`Card`]: an output stream of cpal, opened with an empty seat.
//!
//! Not for: deciding when to open or close one (`machine`), nor for what its callback does (`feed`).

use super::choose::{choose, note};
use super::feed::{Feed, Stamps};
pub(crate) use super::hush::Hush;
use super::seat::{Guest, Usher, seat};
use super::signals::Signals;
use super::{Format, Host, Wanted};
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{ErrorKind, FromSample, I24, SampleFormat, SizedSample, StreamConfig};
use downbeat_sync::{Clock, Span};
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// The largest period a JACK server can be switched to while it runs (frames).
const JACK_MAX_BLOCK: u32 = 8_192;

/// An open, running card. Dropping it closes it and sends its guest home.
pub(crate) struct Card {
    // Closed before the rest.
    _stream: cpal::Stream,
    usher: Usher,
    host: Host,
    format: Format,
    name: String,
    notes: Vec<String>,
    #[cfg(feature = "jack")]
    patch: Option<super::patch::Patch>,
}

/// What a card is opened for.
pub(crate) struct Order<'a> {
    /// [`Host::Alsa`] or [`Host::Jack`].
    pub(crate) host: Host,
    pub(crate) wanted: &'a Wanted,
    /// How many sample formats were tried before and did not work.
    pub(crate) step: usize,
    pub(crate) clock: Clock,
}

impl Card {
    /// Opens and starts it; it plays silence until its usher leads somebody in.
    ///
    /// # Errors
    /// Why not, for the user.
    pub(crate) fn open(
        order: &Order<'_>,
        signals: &Arc<Signals>,
        home: Sender<Guest>,
    ) -> Result<Card, String> {
        #[cfg(feature = "jack")]
        let patch = match order.host {
            Host::Jack => Some(super::patch::Patch::open(order.wanted.device.as_deref())?),
            _ => None,
        };
        let device = find(order.host, order.wanted)?;
        let offered: Vec<_> = device.supported_output_configs().map_err(|error| say(&error))?.collect();
        let choice = choose(&offered, order.wanted, order.step)?;
        let (usher, seat) = seat(home);
        let (stamps, max_block) = match order.host {
            Host::Jack => (Stamps::Absolute, JACK_MAX_BLOCK),
            _ => (Stamps::Relative, choice.block),
        };
        let config = choice.config;
        let shape = (config.sample_rate, config.channels, max_block);
        let feed = Feed::new((seat, Arc::clone(signals)), order.clock, stamps, shape);
        let build = match choice.sample_format {
            SampleFormat::F32 => build::<f32>,
            SampleFormat::I32 => build::<i32>,
            SampleFormat::I24 => build::<I24>,
            SampleFormat::I16 => build::<i16>,
            SampleFormat::U8 => build::<u8>,
            other => return Err(format!("samples of format {other} are not played")),
        };
        let stream = build(&device, config, feed).map_err(|error| say(&error))?;
        let block = stream.buffer_size().unwrap_or(choice.block);
        let mut notes = choice.notes;
        if block != choice.block {
            // The nearest the driver could do: said once, not twice.
            notes.retain(|note| !note.ends_with("frames per block"));
            note(&mut notes, "frames per block", order.wanted.buffer, block);
        }
        stream.play().map_err(|error| say(&error))?;
        let format = Format { rate: config.sample_rate, channels: config.channels, block, max_block };
        let mut card = Card {
            _stream: stream,
            usher,
            host: order.host,
            format,
            name: name(order.host, &device),
            notes,
            #[cfg(feature = "jack")]
            patch,
        };
        card.connect()?;
        card.tend(signals);
        Ok(card)
    }

    pub(crate) fn usher(&mut self) -> &mut Usher {
        &mut self.usher
    }

    pub(crate) fn host(&self) -> Host {
        self.host
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it does differently than the user asked.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Makes the connections the user asked for, on hosts that have any.
    fn connect(&mut self) -> Result<(), String> {
        #[cfg(feature = "jack")]
        if let Some(patch) = &mut self.patch {
            patch.connect()?;
        }
        Ok(())
    }

    /// Looks after what the callback cannot ask: call it a few times a second.
    pub(crate) fn tend(&self, signals: &Signals) {
        // ALSA's ring is two blocks, and it asks for one when one of them is free.
        let one_block = Span::from_ratio(i128::from(self.format.block), i128::from(self.format.rate));
        #[cfg(feature = "jack")]
        let latency = self.patch.as_ref().map_or(one_block, |patch| patch.latency(self.format));
        #[cfg(not(feature = "jack"))]
        let latency = one_block;
        signals.set_claimed(latency);
    }
}

fn build<T: SizedSample + FromSample<f32>>(
    device: &cpal::Device,
    config: StreamConfig,
    mut feed: Feed,
) -> Result<cpal::Stream, cpal::Error> {
    let signals = Arc::clone(&feed.signals);
    let call = move |out: &mut [T], info: &cpal::OutputCallbackInfo| feed.call(info.timestamp(), out);
    device.build_output_stream(config, call, move |error| hear(&error, &signals), None)
}

/// Takes an error of the running stream: it may come from the audio thread, and a million times a second.
fn hear(error: &cpal::Error, signals: &Signals) {
    match error.kind() {
        ErrorKind::Xrun => signals.xrun(),
        ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => {
            signals.gone();
        }
        _ => signals.error(),
    }
}

/// The name the user can give to get this device, where devices have one.
fn name(host: Host, device: &cpal::Device) -> String {
    match device.id() {
        Ok(id) if host == Host::Alsa => id.id().to_owned(),
        _ => device.to_string(),
    }
}

/// The host's device of the name the user gave, or its default one.
fn find(host: Host, wanted: &Wanted) -> Result<cpal::Device, String> {
    let host = super::list::cpal_host(host)?;
    // A JACK server is one device; a name given there is a client to connect to.
    let name = wanted.device.as_deref().filter(|name| host.id() == cpal::HostId::Alsa && *name != "default");
    let Some(name) = name else {
        return host.default_output_device().ok_or_else(|| "there is none".to_owned());
    };
    if let Some(device) = host.device_by_id(&cpal::DeviceId::new(host.id(), name)) {
        return Ok(device);
    }
    let described = |device: &cpal::Device| device.to_string().to_lowercase().contains(&name.to_lowercase());
    let mut devices = host.output_devices().map_err(|error| say(&error))?;
    devices.find(described).ok_or_else(|| format!("there is no output device {name:?}"))
}

/// An error of cpal for the user, in one line.
pub(crate) fn say(error: &cpal::Error) -> String {
    match error.kind() {
        ErrorKind::DeviceNotAvailable => "it is not there".to_owned(),
        ErrorKind::DeviceBusy => "another program is using it".to_owned(),
        ErrorKind::PermissionDenied => "not allowed: is this user in the group audio?".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::signals::Signs;
    use super::*;

    #[test]
    fn what_a_running_stream_complains_of_is_counted_by_its_kind() {
        let signals = Signals::default();
        for (kind, times) in [(ErrorKind::Xrun, 1), (ErrorKind::Other, 2), (ErrorKind::DeviceBusy, 3)] {
            (0..times).for_each(|_| hear(&cpal::Error::new(kind), &signals));
        }
        assert_eq!(signals.read(), Signs { xruns: 1, errors: 5, ..Signs::default() });
        hear(&cpal::Error::new(ErrorKind::DeviceNotAvailable), &signals);
        assert!(signals.read().gone);
    }
}
