//! [`Card`]: an open output stream: of cpal (ALSA), or a client of a JACK server.
//!
//! Not for: deciding when to open or close one (`machine`), nor for what its callback does (`feed`). All of it is called by
//! one thread (`worker`).

use super::choose::{choose, note};
use super::feed::{Feed, Stamps};
pub(crate) use super::hush::Hush;
use super::seat::Seat;
use super::signals::Signals;
use super::{Format, Host, Wanted};
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{ErrorKind, FromSample, I24, SampleFormat, SizedSample, StreamConfig};
use downbeat_sync::{Clock, Span};
use std::sync::Arc;

/// An open, running card. Dropping it closes it.
pub(crate) enum Card {
    Alsa(#[expect(dead_code, reason = "it plays until it is dropped")] cpal::Stream),
    #[cfg(feature = "jack")]
    Jack(#[expect(dead_code, reason = "it plays until it is dropped")] super::jack::Playing),
}

/// What a card is opened for.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// [`Host::Alsa`] or [`Host::Jack`].
    pub(crate) host: Host,
    pub(crate) wanted: Wanted,
    /// How many sample formats were tried before and did not work.
    pub(crate) step: usize,
    pub(crate) clock: Clock,
}

/// What is known of an open card.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) host: Host,
    pub(crate) format: Format,
    pub(crate) name: String,
    /// What it does differently than the user asked.
    pub(crate) notes: Vec<String>,
}

impl Card {
    /// Opens and starts it; it calls what sits in the seat, and plays silence while nothing does.
    ///
    /// # Errors
    /// Why not, for the user.
    pub(crate) fn open(order: &Order, seat: Seat, signals: &Arc<Signals>) -> Result<(Card, About), String> {
        match order.host {
            #[cfg(feature = "jack")]
            Host::Jack => {
                let (playing, about) = super::jack::open(order, seat, signals)?;
                Ok((Card::Jack(playing), about))
            }
            _ => {
                let (stream, about) = open(order, seat, signals)?;
                Ok((Card::Alsa(stream), about))
            }
        }
    }
}

fn open(order: &Order, seat: Seat, signals: &Arc<Signals>) -> Result<(cpal::Stream, About), String> {
    let Order { host, wanted, step, clock } = order;
    let device = find(*host, wanted)?;
    let offered: Vec<_> = device.supported_output_configs().map_err(|error| say(&error))?.collect();
    let choice = choose(&offered, wanted, *step)?;
    let config = choice.config;
    let shape = (config.sample_rate, config.channels, choice.block);
    let feed = Feed::new((seat, Arc::clone(signals)), *clock, Stamps::Relative, shape);
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
        note(&mut notes, "frames per block", wanted.buffer, block);
    }
    // ALSA's ring is two blocks, and it asks for one when one of them is free.
    signals.set_claimed(Span::from_ratio(i128::from(block), i128::from(config.sample_rate)));
    stream.play().map_err(|error| say(&error))?;
    let format =
        Format { rate: config.sample_rate, channels: config.channels, block, max_block: choice.block };
    Ok((stream, About { host: *host, format, name: name(&device), notes }))
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
fn name(device: &cpal::Device) -> String {
    device.id().map_or_else(|_| device.to_string(), |id| id.id().to_owned())
}

/// The host's device of the name the user gave, or its default one.
fn find(host: Host, wanted: &Wanted) -> Result<cpal::Device, String> {
    let host = super::list::cpal_host(host)?;
    let name = wanted.device.as_deref().filter(|name| *name != "default");
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
