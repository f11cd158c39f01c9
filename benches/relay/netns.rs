//! [`Net`]: two hosts and a relay between them, as network namespaces of our own on this one.
//!
//! ```text
//! namespace a  10.77.1.1 --veth-- 10.77.1.2  namespace relay  10.77.2.2 --veth-- 10.77.2.1  namespace b
//! ```
//!
//! Needs root and `ip` (Debian: iproute2). Nothing outside of these namespaces is touched: the pairs of interfaces are made
//! inside. They are removed when the net is dropped; those of a process that was killed, by the next one. Not for: routing,
//! which there is none of, so that nothing passes but through the relay.

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Uid;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::thread;

/// What every namespace of ours is called, before the process and the place.
const PREFIX: &str = "downbeat-relay";

/// One of the three hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    A,
    Relay,
    B,
}

/// See the module.
pub(crate) struct Net {
    id: String,
}

impl Net {
    /// Why this process may have no namespaces, if it may not. What else goes wrong is an error.
    pub(crate) fn forbidden() -> Option<String> {
        if !Uid::effective().is_root() {
            return Some("network namespaces need root".into());
        }
        // Of a thread that ends with it.
        match thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("the system gives no network namespaces: {error}")),
            Err(_) => Some("the attempt to have a network namespace panicked".into()),
        }
    }

    /// Makes the namespaces.
    ///
    /// # Errors
    /// Why that is not possible here, as a sentence.
    pub(crate) fn new() -> Result<Net, String> {
        remove_abandoned()?;
        let serial = thread::current().id();
        let serial: String = format!("{serial:?}").chars().filter(char::is_ascii_digit).collect();
        let net = Net { id: format!("{}-{serial}", std::process::id()) };
        for host in [Host::A, Host::Relay, Host::B] {
            ip(&["netns", "add", &net.name(host)])?;
            ip(&["-n", &net.name(host), "link", "set", "dev", "lo", "up"])?;
        }
        for (host, device) in [(Host::A, "a"), (Host::B, "b")] {
            let (far, relay) = (net.name(host), net.name(Host::Relay));
            ip(&[
                "-n", &relay, "link", "add", "name", device, "type", "veth", "peer", "name", "up", "netns",
                &far,
            ])?;
            for (place, link, address) in
                [(&relay, device, Host::Relay.facing(host)), (&far, "up", host.facing(Host::Relay))]
            {
                ip(&["-n", place, "address", "add", &format!("{address}/30"), "dev", link])?;
                ip(&["-n", place, "link", "set", "dev", link, "up"])?;
            }
        }
        Ok(net)
    }

    /// Does something on a host: sockets that are made there stay there. On a thread of its own, which ends with it.
    pub(crate) fn on<T: Send>(&self, host: Host, work: impl FnOnce() -> T + Send) -> Result<T, String> {
        let place = format!("/run/netns/{}", self.name(host));
        let file = File::open(&place).map_err(|error| format!("{place}: {error}"))?;
        let task = || {
            setns(&file, CloneFlags::CLONE_NEWNET).map_err(|error| format!("{place}: {error}"))?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(task).join().unwrap_or_else(|_| Err("it panicked".into())))
    }

    /// A program that will run on a host.
    pub(crate) fn command(&self, host: Host, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(host), program]);
        command
    }

    fn name(&self, host: Host) -> String {
        format!("{PREFIX}-{}-{host:?}", self.id)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in [Host::A, Host::Relay, Host::B] {
            // One that was never made cannot be removed.
            let _ = ip(&["netns", "delete", &self.name(host)]);
        }
    }
}

impl Host {
    /// The host's address on its link to another. The two ends have none between them.
    pub(crate) fn facing(self, other: Host) -> Ipv4Addr {
        let link = if self == Host::B || other == Host::B { 2 } else { 1 };
        Ipv4Addr::new(10, 77, link, if self == Host::Relay { 2 } else { 1 })
    }

    /// A port there.
    pub(crate) fn port_facing(self, other: Host, port: u16) -> SocketAddr {
        SocketAddr::from((self.facing(other), port))
    }
}

/// Removes namespaces of ours whose process is gone.
fn remove_abandoned() -> Result<(), String> {
    for line in ip(&["netns", "list"])?.lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').nth(1));
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            // Another one may just be doing the same.
            let _ = ip(&["netns", "delete", name]);
        }
    }
    Ok(())
}

/// Runs `ip`, and returns what it prints.
fn ip(args: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("ip ({error}): sudo apt install iproute2"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("ip {}: {}", args.join(" "), why.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
