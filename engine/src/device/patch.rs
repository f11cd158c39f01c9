//! [`Patch`]: the JACK graph around our ports: what latency they have, and whom they are connected to.
//!
//! A second, silent client that only asks. cpal makes the client that plays and tells its latency only mixed with how
//! late each callback was; the server knows it in whole frames.

use super::Format;
use downbeat_sync::Span;
use jack::{Client, ClientOptions, LatencyType, PortFlags};

/// Our ports, as cpal names them: `cpal_client_<pid>_out:out_0`.
const OURS: &str = "^cpal_client_.*:out_[0-9]+$";

/// The graph around one card's ports.
pub(crate) struct Patch {
    client: Client,
    /// Ports that were there before ours.
    others: Vec<String>,
    /// Client whose inputs the user wants ours to be connected to, instead of the hardware's.
    target: Option<String>,
    ours: Vec<String>,
}

impl Patch {
    /// Looks at the graph before the card's client joins it.
    ///
    /// # Errors
    /// If no server runs, or JACK is not installed.
    pub(crate) fn open(target: Option<&str>) -> Result<Patch, String> {
        let name = format!("downbeat_{}_patch", std::process::id());
        let (client, _) =
            Client::new(&name, ClientOptions::NO_START_SERVER).map_err(|error| match error {
                jack::Error::LibraryError(_) => "JACK is not installed".to_owned(),
                _ => "no JACK server is running".to_owned(),
            })?;
        let others = client.ports(Some(OURS), None, PortFlags::IS_OUTPUT);
        Ok(Patch { client, others, target: target.map(str::to_owned), ours: Vec::new() })
    }

    /// Finds the card's ports and makes the connections the user asked for.
    ///
    /// # Errors
    /// If there is no such client, or the server refuses.
    pub(crate) fn connect(&mut self) -> Result<(), String> {
        self.ours = self.client.ports(Some(OURS), None, PortFlags::IS_OUTPUT);
        self.ours.retain(|port| !self.others.contains(port));
        let Some(target) = &self.target else { return Ok(()) };
        let theirs: Vec<_> = self.client.ports(None, None, PortFlags::IS_INPUT);
        let theirs: Vec<_> =
            theirs.iter().filter(|port| port.split(':').next() == Some(target.as_str())).collect();
        if theirs.is_empty() {
            return Err(format!("no JACK client {target:?} with inputs"));
        }
        // cpal has connected the hardware, and cannot be told not to.
        let hardware = self.client.ports(Some("^system:playback_"), None, PortFlags::IS_INPUT);
        for (our, hardware) in self.ours.iter().zip(&hardware) {
            // Not connected is just what is wanted.
            let _ = self.client.disconnect_ports_by_name(our, hardware);
        }
        for (our, their) in self.ours.iter().zip(theirs) {
            match self.client.connect_ports_by_name(our, their) {
                Ok(()) | Err(jack::Error::PortAlreadyConnected(..)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// From the start of a cycle until its first frame leaves the connector; one block while nothing is connected.
    pub(crate) fn latency(&self, format: Format) -> Span {
        let of_port = |name: &String| {
            let port = self.client.port_by_name(name)?;
            Some(port.get_latency_range(LatencyType::Playback).1)
        };
        let frames = self.ours.iter().filter_map(of_port).max().filter(|frames| *frames > 0);
        Span::from_ratio(i128::from(frames.unwrap_or(format.block)), i128::from(format.rate))
    }
}
