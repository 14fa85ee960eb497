//! Which devices a container has, and what it may do with them.
//!
//! The nodes of `plan.devices` appear in the container's `/dev`: made there where the container's ids are the host's, else
//! as copies of the host's nodes, whose numbers are compared before. The device rules of the control group are made of
//! `plan.devices` and `plan.device_rules` together ([`rules`]); everything else is forbidden where rules are in force.

use std::path::Path;

use serde::Serialize;

use super::HostFacts;
use crate::error::SandboxError;
use crate::options::{DeviceAccess, DeviceKind, DeviceRule, RunOptions};

/// Character devices of every `/dev`: name, major, minor (Linux, Documentation/admin-guide/devices.txt).
const STANDARD: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// Names of `/dev` that are ours (spec/07-executor.md "Devices").
const OWN: [&str; 9] = ["pts", "ptmx", "shm", "mqueue", "console", "fd", "stdin", "stdout", "stderr"];

/// Whether a name of `/dev` is one of ctr's own, or of a standard device.
pub(super) fn is_own(name: &str) -> bool {
    OWN.contains(&name) || STANDARD.iter().any(|(device, ..)| *device == name)
}

/// Terminals of the container's own devpts, and `/dev/ptmx` (which is none of the host's either).
const TERMINALS: [(u32, Option<u32>); 2] = [(5, Some(2)), (136, None)];

/// A device node of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DevicePlan {
    /// Where in the container: a path below `/dev`.
    pub path: String,
    /// The host's node.
    pub source: String,
    /// Character or block device.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// What the device rules allow.
    pub access: DeviceAccess,
    /// Permission bits, where the node is made.
    pub mode: u32,
    /// Owner, where the node is made.
    pub uid: u32,
    /// Group, where the node is made.
    pub gid: u32,
}

impl DevicePlan {
    /// What lets the container use it.
    pub fn rule(&self) -> DeviceRule {
        DeviceRule { kind: Some(self.kind), major: Some(self.major), minor: Some(self.minor), access: self.access }
    }

    /// Whether the device rules must hold something off that the node itself would let through.
    pub fn needs_rules(&self) -> bool {
        !(self.access.read && self.access.write)
    }
}

/// Everything that the device rules of a container allow: its nodes, its terminals, what was asked for beyond.
pub fn rules(devices: &[DevicePlan], more: &[DeviceRule]) -> Vec<DeviceRule> {
    let terminal = |(major, minor)| DeviceRule {
        kind: Some(DeviceKind::Char),
        major: Some(major),
        minor,
        access: DeviceAccess::ALL,
    };
    let nodes = devices.iter().map(DevicePlan::rule);
    nodes.chain(TERMINALS.map(terminal)).chain(more.iter().copied()).collect()
}

/// A device of the host as it was found for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDevice {
    /// Its path on the host.
    pub path: String,
    /// Its path below what was asked for; empty for the thing itself.
    pub below: String,
    /// Character or block device.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The standard devices, then those that were asked for.
///
/// `--privileged` asks for all of `/dev`: over the host's ids that is what it says. In a user namespace of its own the
/// container's root would be the owner of the host's disks: there it gets those that every user of the host may open.
pub(super) fn plan(options: &RunOptions, host: &HostFacts, own_userns: bool) -> Result<Vec<DevicePlan>, SandboxError> {
    let mut devices: Vec<DevicePlan> = STANDARD
        .iter()
        .map(|(name, major, minor)| DevicePlan {
            path: format!("/dev/{name}"),
            source: format!("/dev/{name}"),
            kind: DeviceKind::Char,
            major: *major,
            minor: *minor,
            access: DeviceAccess::ALL,
            mode: 0o666,
            uid: 0,
            gid: 0,
        })
        .collect();
    for (request, found) in options.devices.devices.iter().zip(&host.devices) {
        let shown = request.source.display();
        let nodes = found.as_ref().map_err(|why| {
            SandboxError::request_hint(
                format!("--device {shown}: {why}"),
                "name a device node of the host, or a directory of them",
            )
        })?;
        let base = request.target.clone().unwrap_or_else(|| shown.to_string());
        for node in nodes {
            let of_all = options.security.privileged && request.source == Path::new("/dev");
            if of_all && own_userns && node.mode & 0o006 != 0o006 {
                continue;
            }
            let path = target(&base, &node.below)?;
            let taken = devices.iter().any(|other| other.path == path);
            if taken && request.source == Path::new("/dev") {
                continue;
            }
            if taken {
                return Err(SandboxError::request(format!("--device {shown}: there is another device at {path}")));
            }
            devices.push(DevicePlan {
                path,
                source: node.path.clone(),
                kind: node.kind,
                major: node.major,
                minor: node.minor,
                access: request.access,
                mode: node.mode,
                uid: node.uid,
                gid: node.gid,
            });
        }
    }
    Ok(devices)
}

/// Whether a name below `/dev` is one that every container has of its own.
pub(crate) fn is_own_device(below: &str) -> bool {
    let first = below.split('/').next().unwrap_or_default();
    OWN.contains(&first) || STANDARD.iter().any(|(name, ..)| *name == first)
}

/// A place below `/dev` that is not ours.
fn target(base: &str, below: &str) -> Result<String, SandboxError> {
    let path = super::mounts::normal_path(&if below.is_empty() { base.to_owned() } else { format!("{base}/{below}") })?;
    let Some(name) = path.strip_prefix("/dev/") else {
        return Err(SandboxError::request_hint(
            format!("the device cannot be at {path}: everything but /dev is mounted nodev"),
            "give a place below /dev, as in --device /dev/sda:/dev/disk",
        ));
    };
    let first = name.split('/').next().unwrap_or_default();
    if OWN.contains(&first) {
        return Err(SandboxError::request(format!("no device can be at {path}: /dev/{first} belongs to ctr")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_below_dev_and_not_at_our_names() {
        assert_eq!(target("/dev/net", "tun").unwrap(), "/dev/net/tun");
        assert_eq!(target("/dev//fuse", "").unwrap(), "/dev/fuse");
        for bad in ["/fuse", "/dev", "/dev/pts/0", "/dev/../x", "/dev/shm", "dev/x", "/dev/console", "/device"] {
            assert!(target(bad, "").is_err(), "{bad}");
        }
    }
}
