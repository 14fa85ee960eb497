//! Host paths: opened and copied as detached mounts by the parent, with their attributes, before the container exists.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ctr_sys::mount::{self, MountAttr, Propagation};
use ctr_sys::{Errno, files, small};

use crate::error::SandboxError;
use crate::options::DeviceKind;
use crate::plan::{DevicePlan, PlannedMount};
use crate::script::Leaf;

/// A detached copy of `source` as `mount` wants it, and what it is mounted on: a directory or a file.
pub(super) fn open(
    source: &Path,
    recursive: bool,
    slave: bool,
    mount: &PlannedMount,
    idmap: Option<BorrowedFd<'_>>,
) -> Result<(OwnedFd, Leaf), SandboxError> {
    let shown = source.display();
    let location = small::open_location(source).map_err(|error| {
        let what = format!("cannot use the volume source {shown}: {error}");
        match error.kind() {
            ErrorKind::NotFound => {
                SandboxError::request_hint(what, format!("ctr makes no host directories: mkdir -p {shown}"))
            }
            _ => SandboxError::request(what),
        }
    })?;
    let host = |call, errno| SandboxError::host(format!("prepare the volume {shown}"), call, shown.to_string(), errno);
    let facts = files::facts(location.as_fd()).map_err(|errno| host("fstat", errno))?;
    let copy = mount::open_tree_clone(location.as_fd(), c"", recursive).map_err(|errno| host("open_tree", errno))?;
    let propagation = if slave { Propagation::Slave } else { Propagation::Private };
    mount::mount_setattr(copy.as_fd(), recursive, attributes(mount), MountAttr::NONE, Some(propagation))
        .map_err(|errno| host("mount_setattr", errno))?;
    if let Some(userns) = idmap {
        mount::idmap(copy.as_fd(), recursive, userns).map_err(|errno| match errno {
            Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EPERM => host("mount_setattr", errno).hinted(
                "its file system, or one mounted below it, cannot be shown under other ids: run with --userns=host",
            ),
            _ => host("mount_setattr", errno),
        })?;
    }
    Ok((copy, if facts.is_dir() { Leaf::Dir } else { Leaf::File }))
}

/// A detached copy of a device node of the host, which is the device that the plan says.
pub(super) fn device(device: &DevicePlan) -> Result<OwnedFd, SandboxError> {
    let shown = &device.source;
    let host =
        |call, errno| SandboxError::host(format!("give the container the device {shown}"), call, shown.clone(), errno);
    let node = small::open_location(Path::new(shown))
        .map_err(|error| SandboxError::request(format!("cannot give the container the device {shown}: {error}")))?;
    let facts = files::facts(node.as_fd()).map_err(|errno| host("fstat", errno))?;
    let is_kind = match device.kind {
        DeviceKind::Char => facts.is_char_device(),
        DeviceKind::Block => facts.is_block_device(),
    };
    if !is_kind || facts.device != (device.major, device.minor) {
        return Err(SandboxError::request(format!(
            "{shown} is not the device {}:{} of this host",
            device.major, device.minor
        )));
    }
    let copy = mount::open_tree_clone(node.as_fd(), c"", false).map_err(|errno| host("open_tree", errno))?;
    // Private: what is mounted on it in the container must not appear on the host.
    mount::mount_setattr(copy.as_fd(), false, MountAttr::NONE, MountAttr::NONE, Some(Propagation::Private))
        .map_err(|errno| host("mount_setattr", errno))?;
    Ok(copy)
}

/// A detached copy of a file that ctr itself wrote.
pub(super) fn own_file(path: &Path, mount: &PlannedMount) -> Result<OwnedFd, SandboxError> {
    let shown = path.display();
    let host =
        |call, errno| SandboxError::host(format!("prepare the mount of {shown}"), call, shown.to_string(), errno);
    let copy =
        mount::open_tree_clone(files::CWD, &super::c_path(path)?, false).map_err(|errno| host("open_tree", errno))?;
    mount::mount_setattr(copy.as_fd(), false, attributes(mount), MountAttr::NONE, Some(Propagation::Private))
        .map_err(|errno| host("mount_setattr", errno))?;
    Ok(copy)
}

/// The attributes of a planned mount as mount_setattr(2) takes them.
pub(super) fn attributes(mount: &PlannedMount) -> MountAttr {
    [
        (mount.read_only, MountAttr::RDONLY),
        (mount.nosuid, MountAttr::NOSUID),
        (mount.nodev, MountAttr::NODEV),
        (mount.noexec, MountAttr::NOEXEC),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(MountAttr::NONE, |all, (_, attribute)| all.and(attribute))
}
