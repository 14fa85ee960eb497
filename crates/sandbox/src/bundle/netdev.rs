//! Network devices of the host that a container gets (config-linux.md "Network Devices").

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ctr_sys::netlink::Route;
use ctr_sys::process::{self, Namespaces};
use ctr_sys::{Errno, RawResult, small};

use super::plan::{Bundle, NetDevice};
use crate::error::SandboxError;
use crate::prepare::namespaces;

/// Moves the devices of `bundle` to the network namespace of its process `pid`: renamed, with their permanent addresses, up.
pub(super) fn take(bundle: &Bundle, pid: i32) -> Result<(), SandboxError> {
    if bundle.net_devices.is_empty() {
        return Ok(());
    }
    let host = |call| move |errno| SandboxError::host("reach the container's network", call, "net", errno);
    let target = match bundle.joins.iter().find(|join| join.kind == "net") {
        Some(join) => namespaces::open(join)?,
        None => own_namespace(&format!("/proc/{pid}/ns/net"))?,
    };
    let here = own_namespace("/proc/self/ns/net")?;
    let outside = Route::open().map_err(host("socket"))?;
    process::join_namespaces(target.as_fd(), Namespaces::NET).map_err(host("setns"))?;
    let inside = Route::open();
    // Whatever that came to, nothing else happens in there.
    process::join_namespaces(here.as_fd(), Namespaces::NET).map_err(host("setns"))?;
    let inside = inside.map_err(host("socket"))?;
    for device in &bundle.net_devices {
        move_device(device, &outside, &inside, target.as_fd()).map_err(|errno| explain(device, errno))?;
    }
    Ok(())
}

fn own_namespace(path: &str) -> Result<OwnedFd, SandboxError> {
    small::open_read(Path::new(path)).map_err(|error| SandboxError::request(format!("cannot open {path}: {error}")))
}

fn move_device(device: &NetDevice, outside: &Route, inside: &Route, target: BorrowedFd<'_>) -> RawResult<()> {
    let template = device.name.to_bytes().contains(&b'%');
    // Looked at before: the kernel tells of a name that is taken only when the device has left.
    if !template && inside.index(&device.name) != Err(Errno::ENODEV) {
        return Err(Errno::EEXIST);
    }
    let index = outside.index(&device.host)?;
    let addresses = outside.addresses(index)?;
    let before = inside.indices()?;
    outside.send_away(index, target)?;
    let moved = inside.indices()?.into_iter().find(|index| !before.contains(index)).ok_or(Errno::ENODEV)?;
    if device.name != device.host {
        inside.rename(moved, &device.name)?;
    }
    for address in &addresses {
        inside.add_address(moved, address)?;
    }
    inside.up(moved)
}

fn explain(device: &NetDevice, errno: Errno) -> SandboxError {
    let (host, name) = (device.host.to_string_lossy(), device.name.to_string_lossy());
    let error = SandboxError::host(
        format!("give the network device {host} to the container as {name} (linux.netDevices[\"{host}\"])"),
        "netlink",
        host.clone(),
        errno,
    );
    match errno {
        Errno::ENODEV => error.hinted("the host has no such device: see ip link"),
        Errno::EEXIST => {
            error.hinted("the container has a device of that name already: give another name, or one with %d")
        }
        Errno::EINVAL => error.hinted("some devices cannot be moved: loopback, bridges and their like"),
        Errno::EPERM => error.hinted("that needs CAP_NET_ADMIN over the host's network"),
        _ => error,
    }
}
