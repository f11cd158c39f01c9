//! Every way of storing a sample, hound as the oracle, and headers that lie.

use super::*;
use crate::scratch::{Scratch, write_wav};
use hound::{SampleFormat, WavSpec, WavWriter};
use proptest::prelude::*;
use std::io::Cursor;

const RATE: u32 = 48_000;

fn plain(tag: u16, channels: u16, bits: u16, container: u16) -> Vec<u8> {
    let block = channels * container;
    let mut fmt = Vec::new();
    fmt.extend(tag.to_le_bytes());
    fmt.extend(channels.to_le_bytes());
    fmt.extend(RATE.to_le_bytes());
    fmt.extend((RATE * u32::from(block)).to_le_bytes());
    fmt.extend(block.to_le_bytes());
    fmt.extend(bits.to_le_bytes());
    fmt
}

fn extensible(tag: u16, channels: u16, bits: u16, container: u16) -> Vec<u8> {
    let mut fmt = plain(0xfffe, channels, bits, container);
    fmt.extend([22, 0, bits as u8, 0, 3, 0, 0, 0]);
    fmt.extend(tag.to_le_bytes());
    fmt.extend([0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]);
    fmt
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = name.to_vec();
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(body);
    out.resize(out.len().next_multiple_of(2), 0);
    out
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    let mut out = b"RIFF".to_vec();
    out.extend((body.len() as u32 + 4).to_le_bytes());
    out.extend(b"WAVE");
    out.extend(body);
    out
}

fn decode(bytes: Vec<u8>) -> Result<Vec<Vec<f32>>, WavError> {
    let mut file = WavFile::new(Cursor::new(bytes))?;
    let mut planar = vec![Vec::new(); file.channels()];
    let frames = file.frames() as usize;
    file.read(0, frames, &mut planar)?;
    Ok(planar)
}

fn mono(fmt: Vec<u8>, data: &[u8]) -> Result<Vec<f32>, WavError> {
    decode(riff(&[chunk(b"fmt ", &fmt), chunk(b"data", data)])).map(|mut planar| planar.remove(0))
}

#[test]
fn each_width_has_its_full_scale_at_one() {
    assert_eq!(mono(plain(1, 1, 8, 1), &[0, 64, 128, 255]).unwrap(), [-1.0, -0.5, 0.0, 127.0 / 128.0]);
    let int16: Vec<u8> = [i16::MIN, -1, 0, i16::MAX].iter().flat_map(|s| s.to_le_bytes()).collect();
    assert_eq!(mono(plain(1, 1, 16, 2), &int16).unwrap(), [-1.0, -1.0 / 32_768.0, 0.0, 32_767.0 / 32_768.0]);
    let int24 = [0, 0, 0x80, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0x40];
    assert_eq!(mono(plain(1, 1, 24, 3), &int24).unwrap(), [-1.0, -1.0 / 8_388_608.0, 0.0, 0.5]);
    let int32: Vec<u8> = [i32::MIN, -1 << 8, 0, 1 << 30].iter().flat_map(|s| s.to_le_bytes()).collect();
    assert_eq!(mono(plain(1, 1, 32, 4), &int32).unwrap(), [-1.0, -1.0 / 8_388_608.0, 0.0, 0.5]);
    let float32: Vec<u8> = [-1.0f32, 1.5e-9, 0.0, 3.0].iter().flat_map(|s| s.to_le_bytes()).collect();
    assert_eq!(mono(plain(3, 1, 32, 4), &float32).unwrap(), [-1.0, 1.5e-9, 0.0, 3.0]);
    let float64: Vec<u8> = [-1.0f64, 0.25].iter().flat_map(|s| s.to_le_bytes()).collect();
    assert_eq!(mono(plain(3, 1, 64, 8), &float64).unwrap(), [-1.0, 0.25]);
}

#[test]
fn wider_containers_and_the_extensible_format_are_read() {
    let padded = [0, 0, 0x80, 0x5a, 0, 0, 0x40, 0xa5];
    assert_eq!(mono(plain(1, 1, 24, 4), &padded).unwrap(), [-1.0, 0.5]);
    assert_eq!(mono(extensible(1, 1, 24, 3), &[0, 0, 0x80]).unwrap(), [-1.0]);
    assert_eq!(mono(extensible(1, 1, 32, 4), &[0, 0, 0, 0xc0]).unwrap(), [-0.5]);
    assert_eq!(mono(extensible(1, 1, 20, 3), &[0, 0, 0xc0]).unwrap(), [-0.5]);
    assert_eq!(mono(extensible(3, 1, 32, 4), &0.75f32.to_le_bytes()).unwrap(), [0.75]);
}

#[test]
fn the_first_two_channels_are_heard() {
    let data: Vec<u8> = (0..6).flat_map(|s: i16| (s * 256).to_le_bytes()).collect();
    let stereo = decode(riff(&[chunk(b"fmt ", &plain(1, 2, 16, 2)), chunk(b"data", &data)])).unwrap();
    assert_eq!(stereo, [[0.0, 2.0 / 128.0, 4.0 / 128.0], [1.0 / 128.0, 3.0 / 128.0, 5.0 / 128.0]]);
    let three = decode(riff(&[chunk(b"fmt ", &plain(1, 3, 16, 2)), chunk(b"data", &data)])).unwrap();
    assert_eq!(three, [[0.0, 3.0 / 128.0], [1.0 / 128.0, 4.0 / 128.0]]);
}

#[test]
fn samples_that_are_not_finite_become_silence() {
    let data: Vec<u8> = [f32::NAN, 0.5, f32::INFINITY, f32::NEG_INFINITY].map(f32::to_le_bytes).concat();
    assert_eq!(mono(plain(3, 1, 32, 4), &data).unwrap(), [0.0, 0.5, 0.0, 0.0]);
    assert_eq!(mono(plain(3, 1, 64, 8), &1e300f64.to_le_bytes()).unwrap(), [0.0]);
}

#[test]
fn what_is_not_read_is_named() {
    let says = |fmt, data: &[u8]| mono(fmt, data).unwrap_err().to_string();
    assert!(says(plain(6, 1, 8, 1), &[0]).starts_with("A-law is not readable"));
    assert!(says(plain(3, 1, 16, 2), &[0, 0]).starts_with("16-bit float is not readable"));
    assert!(says(plain(1, 1, 64, 8), &[0; 8]).starts_with("64-bit PCM is not readable"));
    assert_eq!(says(plain(1, 1, 16, 2), &[]), "there is no sound in it");
    assert!(decode(b"OggS, not a WAV".to_vec()).unwrap_err().to_string().starts_with("not a WAV file"));
}

#[test]
fn chunks_of_odd_length_pipes_and_rf64_are_understood() {
    let fmt = chunk(b"fmt ", &plain(1, 1, 16, 2));
    let data = [0, 0x40, 0, 0xc0];
    let odd = riff(&[chunk(b"LIST", b"odd"), fmt.clone(), chunk(b"bext", &[7; 601]), chunk(b"data", &data)]);
    assert_eq!(decode(odd).unwrap(), [[0.5, -0.5]]);

    let mut piped = riff(&[fmt.clone(), chunk(b"data", &data)]);
    let length = piped.len() - data.len() - 4;
    piped[length..length + 4].fill(0xff);
    assert_eq!(decode(piped.clone()).unwrap(), [[0.5, -0.5]]);

    let mut sizes = [0; 28];
    sizes[8] = 4;
    let mut long = riff(&[chunk(b"ds64", &sizes), fmt, chunk(b"data", &data), chunk(b"LIST", b"after")]);
    long[..4].copy_from_slice(b"RF64");
    let length = 12 + 36 + 24 + 4;
    long[length..length + 4].fill(0xff);
    assert_eq!(decode(long).unwrap(), [[0.5, -0.5]]);
}

#[test]
fn a_long_file_is_held_by_its_head_and_what_follows_it() {
    let scratch = Scratch::new("long");
    let path = scratch.path("long.wav");
    let samples: Vec<f32> = (0..1_000).map(|n| n as f32).collect();
    write_wav(&path, &[&samples]);
    let load = |whole: f64, head: f64| load_clip(&path, ClipConfig { whole, head }).unwrap();
    let second = 1.0 / f64::from(RATE);

    let clip = load(999.0 * second, 100.0 * second);
    assert_eq!((clip.frames(), clip.head_frames(), clip.rest()), (1_000, 100, Some(path.as_path())));
    assert_eq!(clip.head(0)[..GUARD], [0.0; GUARD]);
    assert_eq!(clip.head(0)[GUARD..], samples[..100 + GUARD]);
    for whole in [load(1_000.0 * second, 0.0), load(f64::INFINITY, 1.0), load(0.0, 968.0 * second)] {
        assert_eq!((whole.head_frames(), whole.rest()), (1_000, None));
        assert_eq!(whole.head(0)[GUARD..GUARD + 1_000], samples);
    }
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    for fmt in [plain(1, 2, 16, 2), extensible(3, 2, 32, 4)] {
        let whole = riff(&[chunk(b"fmt ", &fmt), chunk(b"data", &[1; 64])]);
        assert!(decode(whole.clone()).is_ok());
        for end in 0..whole.len() {
            assert!(decode(whole[..end].to_vec()).is_err(), "cut off at {end}");
        }
    }
}

#[test]
fn a_length_that_the_file_does_not_have_is_an_error_before_anything_is_taken() {
    let mut lying = riff(&[chunk(b"fmt ", &plain(1, 1, 16, 2)), chunk(b"data", &[0; 4])]);
    lying[40..44].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
    let error = decode(lying).unwrap_err();
    assert!(matches!(error, WavError::Truncated { promised: 0xffff_fff0, there: 4 }), "{error}");
}

fn specs() -> impl Strategy<Value = WavSpec> {
    let widths = prop_oneof![
        Just((8, SampleFormat::Int)),
        Just((16, SampleFormat::Int)),
        Just((24, SampleFormat::Int)),
        Just((32, SampleFormat::Int)),
        Just((32, SampleFormat::Float)),
    ];
    (1..=2u16, 8_000..200_000u32, widths).prop_map(
        |(channels, sample_rate, (bits_per_sample, sample_format))| WavSpec {
            channels,
            sample_rate,
            bits_per_sample,
            sample_format,
        },
    )
}

fn hounds(spec: WavSpec, samples: &[i32]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
    for &sample in samples {
        match spec.sample_format {
            SampleFormat::Int => writer.write_sample(sample >> (32 - spec.bits_per_sample)).unwrap(),
            SampleFormat::Float => writer.write_sample(sample as f32 / 2_147_483_648.0).unwrap(),
        }
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

proptest! {
    #[test]
    fn reads_from_any_frame_what_hound_wrote(
        spec in specs(),
        frames in proptest::collection::vec(any::<[i32; 2]>(), 1..300),
        from: prop::sample::Index,
    ) {
        let samples: Vec<i32> =
            frames.iter().flat_map(|frame| frame[..usize::from(spec.channels)].to_vec()).collect();
        let bytes = hounds(spec, &samples);
        let scale = match spec.sample_format {
            SampleFormat::Int => 2f32.powi(1 - i32::from(spec.bits_per_sample)),
            SampleFormat::Float => 1.0,
        };
        let mut oracle = hound::WavReader::new(Cursor::new(&bytes)).unwrap();
        let expected: Vec<f32> = match spec.sample_format {
            SampleFormat::Int => oracle.samples::<i32>().map(|s| s.unwrap() as f32 * scale).collect(),
            SampleFormat::Float => oracle.samples::<f32>().map(|s| s.unwrap()).collect(),
        };
        let mut file = WavFile::new(Cursor::new(bytes)).unwrap();
        prop_assert_eq!(file.rate(), spec.sample_rate);
        prop_assert_eq!(file.frames(), frames.len() as u64);
        let from = from.index(frames.len());
        let mut planar = vec![Vec::new(); file.channels()];
        file.read(from as u64, frames.len() - from, &mut planar).unwrap();
        for (channel, read) in planar.iter().enumerate() {
            let expected: Vec<f32> =
                expected.chunks(usize::from(spec.channels)).skip(from).map(|frame| frame[channel]).collect();
            prop_assert_eq!(read, &expected);
        }
        prop_assert!(file.read(from as u64, frames.len() - from + 1, &mut planar).is_err());
    }

    /// Broken in a few places, a file is an error or sounds otherwise, but reading it ends and takes no more memory
    /// than the file is long.
    #[test]
    fn a_broken_file_never_harms(
        spec in specs(),
        samples in proptest::collection::vec(any::<[i32; 2]>(), 1..50),
        changes in proptest::collection::vec((0..90usize, any::<u8>()), 1..8),
    ) {
        let mut bytes = hounds(spec, samples.as_flattened());
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let length = bytes.len();
        if let Ok(planar) = decode(bytes) {
            prop_assert!(planar.iter().map(Vec::len).sum::<usize>() <= length);
            prop_assert!(planar.iter().flatten().all(|sample| sample.is_finite()));
        }
    }
}
