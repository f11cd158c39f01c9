//! Recordings: their frames, and the clicks in them.

use std::path::Path;

/// A WAV file: its rate (Hz) and its channels' frames.
pub(crate) fn read_wav(path: &Path) -> (u32, Vec<Vec<f32>>) {
    let mut reader =
        hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let spec = reader.spec();
    let mut channels = vec![Vec::new(); spec.channels.into()];
    for (index, sample) in reader.samples::<f32>().enumerate() {
        channels[index % usize::from(spec.channels)].push(sample.expect("the file is whole"));
    }
    (spec.sample_rate, channels)
}

/// Where a channel clicks: every frame louder than a quarter of full scale.
pub(crate) fn clicks(channel: &[f32]) -> Vec<i64> {
    let loud = channel.iter().enumerate().filter(|(_, sample)| sample.abs() > 0.25);
    loud.map(|(frame, _)| frame as i64).collect()
}
