//! `downbeat devices`: what a node could play on.

use crate::args::DevicesArgs;
use crate::output::results;
use downbeat_engine::device::{DeviceListing, HostListing, list};
use serde_json::{Value, json};

/// Prints every host of this build and its devices.
pub(crate) fn run(args: DevicesArgs) -> anyhow::Result<()> {
    let hosts = list();
    if args.json {
        results(Value::Array(hosts.iter().map(as_json).collect()))
    } else {
        results(hosts.iter().map(as_text).collect::<Vec<_>>().join("\n"))
    }
}

fn as_text(host: &HostListing) -> String {
    let devices = match &host.devices {
        Ok(devices) => devices.iter().map(device_text).collect(),
        Err(why) => format!("\n    none: {why}"),
    };
    format!("{}{devices}", host.host)
}

fn device_text(device: &DeviceListing) -> String {
    let default = if device.default { " (default)" } else { "" };
    let described = Some(&device.description).filter(|description| **description != device.name);
    let described = described.map_or(String::new(), |description| format!("\n        {description}"));
    let channels = span(device.channels.first().zip(device.channels.last()));
    let rates: Vec<_> = device.rates.iter().map(|(min, max)| span(Some((min, max)))).collect();
    let blocks =
        device.blocks.map_or(String::new(), |(min, max)| format!(", {} frames", span(Some((min, max)))));
    let name = &device.name;
    format!("\n    {name}{default}{described}\n        {channels} channels, {} Hz{blocks}", rates.join(", "))
}

/// `2` or `1 to 8`.
fn span<T: PartialEq + std::fmt::Display>(ends: Option<(T, T)>) -> String {
    match ends {
        Some((min, max)) if min == max => min.to_string(),
        Some((min, max)) => format!("{min} to {max}"),
        None => "unknown".to_owned(),
    }
}

fn as_json(host: &HostListing) -> Value {
    let devices = host.devices.as_deref().unwrap_or_default();
    let devices: Vec<_> = devices
        .iter()
        .map(|device| {
            json!({
                "name": device.name,
                "description": device.description,
                "default": device.default,
                "channels": device.channels,
                "rates": device.rates,
                "frames": device.blocks,
            })
        })
        .collect();
    json!({ "host": host.host.to_string(), "devices": devices, "error": host.devices.as_ref().err() })
}
