//! [`Choice`]: the configuration nearest to what the user wants among those a card offers. Pure.
//!
//! A card that cannot do what was asked plays all the same, with a note of what it does differently: the renderer takes
//! any rate and any number of channels.

use super::Wanted;
use cpal::{BufferSize, SampleFormat, StreamConfig, SupportedBufferSize, SupportedStreamConfigRange};

const DEFAULT_RATE: u32 = 48_000;
pub(crate) const DEFAULT_CHANNELS: u16 = 2;
/// Frames per block of a card where nobody asked for another number: safe on a Raspberry Pi.
const DEFAULT_BLOCK: u32 = 512;

/// Sample formats in the order they are tried. Where floats are offered, somebody converts; some USB codecs cannot stand
/// that and report errors without end, so 16 bits are next. Where none are offered, this is the hardware: finest first.
const CONVERTED: [SampleFormat; 5] =
    [SampleFormat::F32, SampleFormat::I16, SampleFormat::I32, SampleFormat::I24, SampleFormat::U8];
const NATIVE: [SampleFormat; 4] = [SampleFormat::I32, SampleFormat::I24, SampleFormat::I16, SampleFormat::U8];

/// A configuration, and what of it the user did not ask for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    pub(crate) config: StreamConfig,
    pub(crate) sample_format: SampleFormat,
    /// Frames per block that were asked of the card.
    pub(crate) block: u32,
    pub(crate) notes: Vec<String>,
}

/// Chooses among what is offered; `step` counts the sample formats that were tried before and did not work.
///
/// # Errors
/// If nothing that can be played on is offered.
pub(crate) fn choose(
    offered: &[SupportedStreamConfigRange],
    wanted: &Wanted,
    step: usize,
) -> Result<Choice, String> {
    let mut notes = Vec::new();
    let mut usable: Vec<_> =
        offered.iter().filter(|range| CONVERTED.contains(&range.sample_format())).copied().collect();

    let channels = nearest_channels(&usable, wanted.channels.unwrap_or(DEFAULT_CHANNELS))
        .ok_or("it offers no format this program can play")?;
    usable.retain(|range| range.channels() == channels);
    note(&mut notes, "channels", wanted.channels.map(u32::from), u32::from(channels));

    let rate = nearest_rate(&usable, wanted.rate.unwrap_or(DEFAULT_RATE));
    usable.retain(|range| range.contains_rate(rate));
    note(&mut notes, "Hz", wanted.rate, rate);

    let offers = |format: &SampleFormat| usable.iter().any(|range| range.sample_format() == *format);
    let order: &[_] = if offers(&SampleFormat::F32) { &CONVERTED } else { &NATIVE };
    let formats: Vec<_> = order.iter().copied().filter(offers).collect();
    let sample_format = formats[step % formats.len()];
    usable.retain(|range| range.sample_format() == sample_format);

    let block = nearest_block(&usable[0], wanted.buffer.unwrap_or(DEFAULT_BLOCK));
    note(&mut notes, "frames per block", wanted.buffer, block);
    let config = StreamConfig { channels, sample_rate: rate, buffer_size: BufferSize::Fixed(block) };
    Ok(Choice { config, sample_format, block, notes })
}

/// Notes a wish that is not fulfilled.
pub(crate) fn note(notes: &mut Vec<String>, unit: &str, wanted: Option<u32>, got: u32) {
    if let Some(wanted) = wanted.filter(|wanted| *wanted != got) {
        notes.push(format!("{got} instead of {wanted} {unit}"));
    }
}

/// As many as wanted, else the next more, else the most there are.
fn nearest_channels(usable: &[SupportedStreamConfigRange], wanted: u16) -> Option<u16> {
    let offered = || usable.iter().map(SupportedStreamConfigRange::channels);
    offered().filter(|channels| *channels >= wanted).min().or_else(|| offered().max())
}

fn nearest_rate(usable: &[SupportedStreamConfigRange], wanted: u32) -> u32 {
    let nearest = |range: &SupportedStreamConfigRange| {
        wanted.clamp(range.min_sample_rate(), range.max_sample_rate().max(range.min_sample_rate()))
    };
    usable.iter().map(nearest).min_by_key(|rate| rate.abs_diff(wanted)).unwrap_or(wanted)
}

fn nearest_block(range: &SupportedStreamConfigRange, wanted: u32) -> u32 {
    match *range.buffer_size() {
        SupportedBufferSize::Range { min, max } => wanted.clamp(min.max(1), max.max(min).max(1)),
        SupportedBufferSize::Unknown => wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(channels: u16, rates: (u32, u32), format: SampleFormat) -> SupportedStreamConfigRange {
        let blocks = SupportedBufferSize::Range { min: 64, max: 1024 };
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, blocks, format)
    }

    fn wanting(rate: Option<u32>, buffer: Option<u32>, channels: Option<u16>) -> Wanted {
        Wanted { rate, buffer, channels, ..Wanted::default() }
    }

    #[test]
    fn without_wishes_it_is_stereo_at_48_khz_and_nothing_is_noted() {
        let offered = [
            range(1, (8_000, 192_000), SampleFormat::F32),
            range(2, (8_000, 192_000), SampleFormat::I16),
            range(2, (8_000, 192_000), SampleFormat::F32),
        ];
        let choice = choose(&offered, &Wanted::default(), 0).expect("plenty is offered");
        assert_eq!((choice.config.channels, choice.config.sample_rate, choice.block), (2, 48_000, 512));
        assert_eq!((choice.sample_format, choice.notes.len()), (SampleFormat::F32, 0));
    }

    #[test]
    fn what_a_card_cannot_do_is_noted() {
        let offered = [range(8, (44_100, 44_100), SampleFormat::I32)];
        let choice =
            choose(&offered, &wanting(Some(96_000), Some(16), Some(2)), 0).expect("something is offered");
        assert_eq!((choice.config.channels, choice.config.sample_rate, choice.block), (8, 44_100, 64));
        assert_eq!(
            choice.notes,
            ["8 instead of 2 channels", "44100 instead of 96000 Hz", "64 instead of 16 frames per block"]
        );
    }

    #[test]
    fn a_codec_that_dislikes_floats_gets_sixteen_bits_next() {
        let both = [
            range(2, (48_000, 48_000), SampleFormat::F32),
            range(2, (48_000, 48_000), SampleFormat::I32),
            range(2, (48_000, 48_000), SampleFormat::I16),
        ];
        let formats: Vec<_> = (0..4)
            .map(|step| choose(&both, &Wanted::default(), step).map(|choice| choice.sample_format))
            .collect();
        let expected = [SampleFormat::F32, SampleFormat::I16, SampleFormat::I32, SampleFormat::F32];
        assert_eq!(formats, expected.map(Ok));
        let native = choose(&both[1..], &Wanted::default(), 0).map(|choice| choice.sample_format);
        assert_eq!(native, Ok(SampleFormat::I32));
    }

    #[test]
    fn a_card_without_a_playable_format_is_refused() {
        assert!(choose(&[], &Wanted::default(), 0).is_err());
        assert!(choose(&[range(2, (48_000, 48_000), SampleFormat::DsdU8)], &Wanted::default(), 0).is_err());
    }
}
