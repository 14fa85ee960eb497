//! `linux.devices`, with the devices that every container has (config-linux.md "Default Devices").

use ctr_sandbox::bundle::{BundleMount, BundleShown, DeviceNode, NodeKind};

use super::TranslateError;
use super::path::{absolute, is_within};
use crate::config::{Device, Linux};

/// Name, major and minor number (Linux, Documentation/admin-guide/devices.txt).
const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// What `/dev` has of the sandbox: links, and the container's own terminals.
const LINKS: [&str; 4] = ["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"];
/// The kernel's `dev_t` has 12 bits for the major and 20 for the minor number.
const MAJOR_MAX: i64 = (1 << 12) - 1;
const MINOR_MAX: i64 = (1 << 20) - 1;

/// The nodes to make. None where the bundle mounts a `/dev` that is not empty at first: its own.
pub(super) fn plan(linux: &Linux, terminal: bool, mounts: &[BundleMount]) -> Result<Vec<DeviceNode>, TranslateError> {
    let own_dev = mounts.iter().any(|mount| mount.target == "/dev" && !is_tmpfs(mount));
    let mut nodes: Vec<DeviceNode> = Vec::with_capacity(DEFAULT.len() + linux.devices.len());
    if !own_dev {
        nodes.extend(DEFAULT.iter().map(|&(name, major, minor)| DeviceNode {
            path: format!("/dev/{name}"),
            kind: NodeKind::Char(major, minor),
            mode: 0o666,
            uid: 0,
            gid: 0,
        }));
    }
    for (index, device) in linux.devices.iter().enumerate() {
        let property = format!("linux.devices[{index}]");
        let Some(node) = node(&property, device, terminal)? else { continue };
        if own_dev {
            continue;
        }
        nodes.retain(|other| other.path != node.path);
        nodes.push(node);
    }
    Ok(nodes)
}

fn is_tmpfs(mount: &BundleMount) -> bool {
    matches!(&mount.shown, BundleShown::Filesystem { kind, .. } if kind.as_c_str() == c"tmpfs")
}

/// `None` for what the container has of its own: `/dev/ptmx` of its devpts, `/dev/console` of its terminal. Engines that give
/// a container all devices of the host list those too.
fn node(property: &str, device: &Device, terminal: bool) -> Result<Option<DeviceNode>, TranslateError> {
    let at = |name: &str| format!("{property}.{name}");
    let path = absolute(&at("path"), &device.path)?;
    let shown = path.escape_debug();
    if path == "/dev" || !is_within(&path, "/dev") {
        return Err(TranslateError::invalid(at("path"), format!("\"{shown}\" is not below /dev"))
            .hinted("devices are made in the container's /dev; bind mount one to have it elsewhere"));
    }
    if LINKS.contains(&path.as_str()) {
        return Err(TranslateError::invalid(at("path"), format!("\"{shown}\" is a link in every container")));
    }
    let kind = kind(property, device)?;
    if path == "/dev/ptmx" || (terminal && path == "/dev/console") {
        return Ok(None);
    }
    Ok(Some(DeviceNode {
        path,
        kind,
        // Engines write the type of the file into it too.
        mode: device.file_mode.unwrap_or(0o666) & 0o777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
    }))
}

fn kind(property: &str, device: &Device) -> Result<NodeKind, TranslateError> {
    let number = |name: &str, value: Option<i64>, max: i64| {
        let at = || format!("{property}.{name}");
        let value = value.ok_or_else(|| TranslateError::missing(at()))?;
        u32::try_from(value)
            .ok()
            .filter(|_| value <= max)
            .ok_or_else(|| TranslateError::invalid(at(), format!("{value} is not a number from 0 to {max}")))
    };
    let numbers = || Ok((number("major", device.major, MAJOR_MAX)?, number("minor", device.minor, MINOR_MAX)?));
    match device.kind.as_str() {
        "c" | "u" => numbers().map(|(major, minor)| NodeKind::Char(major, minor)),
        "b" => numbers().map(|(major, minor)| NodeKind::Block(major, minor)),
        "p" => Ok(NodeKind::Fifo),
        other => Err(TranslateError::invalid(
            format!("{property}.type"),
            format!("\"{}\" is none of c, b, u, p", other.escape_debug()),
        )),
    }
}
