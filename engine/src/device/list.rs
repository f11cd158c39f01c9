//! What could be played on: plain data for `downbeat devices`.

use super::Host;

/// One kind of device and what there is of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HostListing {
    /// The kind.
    pub host: Host,
    /// Its devices, the default one first; or why there are none.
    pub devices: Result<Vec<DeviceListing>, String>,
}

/// A device that can be opened.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceListing {
    /// What to give as `--device`.
    pub name: String,
    /// What people call it.
    pub description: String,
    /// It is used when no name is given.
    pub default: bool,
    /// Numbers of output channels, ascending.
    pub channels: Vec<u16>,
    /// Ranges of frames per second, both ends included (Hz), ascending.
    pub rates: Vec<(u32, u32)>,
    /// Range of frames per block, both ends included, where it is known.
    pub blocks: Option<(u32, u32)>,
}

/// Every host of this build, the virtual one last. Opens devices for a moment to ask them; takes up to seconds.
pub fn list() -> Vec<HostListing> {
    #[cfg(feature = "device")]
    let mut hosts = cards::list();
    #[cfg(not(feature = "device"))]
    let mut hosts = Vec::new();
    let paced = DeviceListing {
        name: "virtual".into(),
        description: "paced, without hardware".into(),
        default: true,
        channels: (1..=super::MAX_CHANNELS).collect(),
        rates: vec![super::VIRTUAL_RATES],
        blocks: Some(super::VIRTUAL_BLOCKS),
    };
    hosts.push(HostListing { host: Host::Virtual, devices: Ok(vec![paced]) });
    hosts
}

#[cfg(feature = "device")]
pub(crate) use cards::cpal_host;

#[cfg(feature = "device")]
mod cards {
    use super::{DeviceListing, HostListing};
    use crate::device::Host;
    use crate::device::card::say;
    use crate::device::hush::Hush;
    use cpal::traits::{DeviceTrait, HostTrait};
    use cpal::{HostId, SupportedBufferSize, SupportedStreamConfigRange};

    pub(super) fn list() -> Vec<HostListing> {
        let _hush = Hush::new();
        vec![
            HostListing { host: Host::Alsa, devices: devices(Host::Alsa) },
            #[cfg(feature = "jack")]
            HostListing { host: Host::Jack, devices: crate::device::jack::list() },
        ]
    }

    /// cpal's host of this kind.
    pub(crate) fn cpal_host(host: Host) -> Result<cpal::Host, String> {
        let id = id(host).ok_or_else(|| format!("this build has no host {host}"))?;
        cpal::host_from_id(id).map_err(|error| say(&error))
    }

    fn id(host: Host) -> Option<HostId> {
        match host {
            Host::Alsa => Some(HostId::Alsa),
            _ => None,
        }
    }

    fn devices(host: Host) -> Result<Vec<DeviceListing>, String> {
        let host = cpal_host(host)?;
        let default = host.default_output_device();
        let mut listed = Vec::new();
        // The default is first, and it is often not among the rest.
        listed.extend(default.as_ref().and_then(|device| describe(device, true)));
        for device in host.output_devices().map_err(|error| say(&error))? {
            if default.as_ref().map(DeviceTrait::id) != Some(device.id()) {
                listed.extend(describe(&device, false));
            }
        }
        if listed.is_empty() { Err("nothing that opens".to_owned()) } else { Ok(listed) }
    }

    /// `None` if it does not open: ALSA lists many a name that leads nowhere.
    fn describe(device: &cpal::Device, default: bool) -> Option<DeviceListing> {
        let ranges: Vec<SupportedStreamConfigRange> = device.supported_output_configs().ok()?.collect();
        let name = device.id().map_or_else(|_| device.to_string(), |id| id.id().to_owned());
        let mut channels: Vec<_> = ranges.iter().map(SupportedStreamConfigRange::channels).collect();
        channels.sort_unstable();
        channels.dedup();
        let mut rates: Vec<_> =
            ranges.iter().map(|range| (range.min_sample_rate(), range.max_sample_rate())).collect();
        rates.sort_unstable();
        rates.dedup();
        let blocks = ranges.iter().find_map(|range| match *range.buffer_size() {
            SupportedBufferSize::Range { min, max } => Some((min, max)),
            SupportedBufferSize::Unknown => None,
        });
        let description = device.to_string();
        (!ranges.is_empty()).then_some(DeviceListing { name, description, default, channels, rates, blocks })
    }
}
