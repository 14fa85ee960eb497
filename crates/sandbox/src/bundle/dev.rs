//! `/dev` of a bundle: the tmpfs that its mount asks for, filled before it is attached.
//!
//! Where the container's ids are the caller's the nodes are made on it. Elsewhere, where nobody may make nodes (mknod(2), EPERM),
//! the host's nodes of the same paths are attached.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::dirfd::{self, FileKind};
use ctr_sys::mount::{self, MountAttr};
use ctr_sys::{Errno, RawResult, SysError};

use super::ids::Ids;
use super::plan::{DeviceNode, NodeKind};
use crate::error::SandboxError;
use crate::options::{DeviceAccess, DeviceKind};
use crate::plan::DevicePlan;
use crate::prepare::{self, DEVICE_LINKS};
use crate::script::{Base, Leaf, Links, Step, Target};

/// The steps that attach `/dev`: a tmpfs with these options and attributes, `nodes` in it.
pub(super) fn steps(
    options: &[(CString, CString)],
    attributes: MountAttr,
    nodes: &[DeviceNode],
    ids: &Ids,
) -> Result<Vec<Step>, SandboxError> {
    let host = |call, errno| SandboxError::host("make the container's /dev", call, "tmpfs", errno);
    let mount = tmpfs(options, attributes, ids).map_err(|errno| host("fsmount", errno))?;
    let mut copies = Vec::new();
    let failed =
        |cause: SysError| SandboxError::Host { action: "make the container's /dev".to_owned(), cause, hint: None };
    for (name, points_to) in DEVICE_LINKS {
        dirfd::symlinkat(points_to.as_bytes(), mount.as_fd(), name.as_bytes()).map_err(failed)?;
    }
    for device in nodes {
        let name = device.path.strip_prefix("/dev/").unwrap_or(&device.path);
        prepare::make_parents(mount.as_fd(), name, ids.outside(0, 0)).map_err(failed)?;
        match node(mount.as_fd(), device, name, ids) {
            Ok(()) => {}
            Err(error) if matches!(error.errno, Errno::EPERM | Errno::EACCES) => copies.extend(copy(device, name)?),
            Err(error) => return Err(failed(error)),
        }
    }
    let place = Target::new(Base::Root, "/dev", Leaf::Dir, Links::Refuse).ok_or_else(|| host("open", Errno::EINVAL))?;
    let mut steps = vec![Step::Attach { mount, target: place, keep: Some(Base::Dev), in_turn: true }];
    steps.extend(copies);
    Ok(steps)
}

/// Root of it is the container's, unless the options say otherwise; ids in them are the container's.
pub(super) fn tmpfs(options: &[(CString, CString)], attributes: MountAttr, ids: &Ids) -> RawResult<OwnedFd> {
    let fs = mount::fsopen(c"tmpfs")?;
    let (uid, gid) = ids.outside(0, 0);
    for (key, id) in [(c"uid", uid), (c"gid", gid)] {
        if id != 0 && !options.iter().any(|(name, _)| name.as_c_str() == key) {
            set_number(fs.as_fd(), key, id)?;
        }
    }
    for (key, value) in options {
        match (key.as_bytes(), value.to_str().ok().and_then(|value| value.parse().ok())) {
            (b"uid", Some(uid)) => set_number(fs.as_fd(), key, ids.outside(uid, 0).0)?,
            (b"gid", Some(gid)) => set_number(fs.as_fd(), key, ids.outside(0, gid).1)?,
            _ if value.is_empty() => mount::fsconfig_flag(fs.as_fd(), key)?,
            _ => mount::fsconfig_string(fs.as_fd(), key, value)?,
        }
    }
    mount::fsconfig_create(fs.as_fd())?;
    mount::fsmount(fs.as_fd(), attributes)
}

fn set_number(fs: BorrowedFd<'_>, key: &std::ffi::CStr, number: u32) -> RawResult<()> {
    let value = CString::new(number.to_string()).map_err(|_| Errno::EINVAL)?;
    mount::fsconfig_string(fs, key, &value)
}

fn node(dir: BorrowedFd<'_>, device: &DeviceNode, name: &str, ids: &Ids) -> Result<(), SysError> {
    let (kind, major, minor) = match device.kind {
        NodeKind::Char(major, minor) => (FileKind::CharDevice, major, minor),
        NodeKind::Block(major, minor) => (FileKind::BlockDevice, major, minor),
        NodeKind::Fifo => (FileKind::Fifo, 0, 0),
    };
    dirfd::mknodat(dir, name.as_bytes(), kind, device.mode, dirfd::makedev(major, minor))?;
    prepare::give(dir, name, ids.outside(device.uid, device.gid))
}

/// The host's node of the same path. A host that has none of a standard device cannot give it.
fn copy(device: &DeviceNode, name: &str) -> Result<Option<Step>, SandboxError> {
    let (kind, major, minor) = match device.kind {
        NodeKind::Char(major, minor) => (DeviceKind::Char, major, minor),
        NodeKind::Block(major, minor) => (DeviceKind::Block, major, minor),
        NodeKind::Fifo => return Err(SandboxError::request(format!("cannot make the named pipe {}", device.path))),
    };
    let plan = DevicePlan {
        path: device.path.clone(),
        source: device.path.clone(),
        kind,
        major,
        minor,
        // Whether it may be opened is between the program and the kernel: engines give nodes that a user cannot open.
        access: DeviceAccess { read: false, write: false, mknod: false },
        mode: device.mode,
        uid: device.uid,
        gid: device.gid,
    };
    prepare::copy_of_device(&plan, name).map(Some)
}
