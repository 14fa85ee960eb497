//! The container's `/dev`: a tmpfs that is made and filled by the parent, so that the container's processes have nothing to
//! make there and no name to look up.
//!
//! Root on the host makes the device nodes itself: they belong to the container's ids, in an inode of its own, whatever the
//! host's nodes allow. Elsewhere, where nobody may make nodes (mknod(2), EPERM), copies of the host's nodes are attached.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::dirfd::{self, FileKind};
use ctr_sys::mount::{self, Propagation};
use ctr_sys::{Errno, RawResult, SysError, files, small};

use super::{c_string, userns, volume};
use crate::error::SandboxError;
use crate::options::DeviceKind;
use crate::plan::{DevicePlan, Plan, PlannedMount};
use crate::script::{Base, Leaf, Links, Step, Target};

/// Links of `/dev`.
pub(crate) const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// Directories of `/dev` that are mounted on.
const DIRS: [&str; 3] = ["pts", "shm", "mqueue"];
/// Bytes of the tmpfs: it is for names, not for files.
const SIZE: &str = "65536";

/// The steps that attach `/dev` and, where nodes cannot be made, those of the host on it.
pub(super) fn steps(plan: &Plan, mount: &PlannedMount) -> Result<Vec<Step>, SandboxError> {
    let owner = userns::outside(&plan.userns, 0, 0);
    let made = tmpfs(mount, owner)
        .map_err(|errno| SandboxError::host("make the container's /dev", "fsmount", "tmpfs", errno))?;
    let dev = Dev { plan, dir: made.as_fd(), owner };
    let mut copies = Vec::new();
    dev.names().map_err(failed)?;
    for device in &plan.devices {
        let name = device.path.strip_prefix("/dev/").unwrap_or(&device.path);
        make_parents(dev.dir, name, dev.owner).map_err(failed)?;
        match dev.node(device, name) {
            Ok(()) => {}
            Err(error) if matches!(error.errno, Errno::EPERM | Errno::EACCES) => copies.push(copy(device, name)?),
            Err(error) => return Err(failed(error)),
        }
    }
    let place = target(Base::Root, "/dev", Leaf::Dir)?;
    let mut steps = vec![Step::Attach { mount: made, target: place, keep: Some(Base::Dev), in_turn: false }];
    steps.extend(copies);
    Ok(steps)
}

fn failed(cause: SysError) -> SandboxError {
    SandboxError::Host { action: "make the container's /dev".to_owned(), cause, hint: None }
}

fn target(base: Base, path: &str, leaf: Leaf) -> Result<Target, SandboxError> {
    Target::new(base, path, leaf, Links::Refuse)
        .ok_or_else(|| SandboxError::request(format!("the path \"{}\" holds a NUL byte", path.escape_debug())))
}

fn tmpfs(mount: &PlannedMount, (uid, gid): (u32, u32)) -> RawResult<OwnedFd> {
    let fs = mount::fsopen(c"tmpfs")?;
    for (key, value) in [(c"mode", "755"), (c"size", SIZE), (c"uid", &uid.to_string()), (c"gid", &gid.to_string())] {
        let value = std::ffi::CString::new(value).map_err(|_| Errno::EINVAL)?;
        mount::fsconfig_string(fs.as_fd(), key, &value)?;
    }
    mount::fsconfig_create(fs.as_fd())?;
    mount::fsmount(fs.as_fd(), volume::attributes(mount))
}

/// Makes the directories above a device, which belong to `owner`: `net` for `net/tun`.
pub(crate) fn make_parents(dir: BorrowedFd<'_>, name: &str, owner: (u32, u32)) -> Result<(), SysError> {
    for (end, _) in name.match_indices('/') {
        let above = name.get(..end).unwrap_or_default();
        match dirfd::mkdirat(dir, above.as_bytes(), 0o755) {
            Ok(()) => give(dir, above, owner)?,
            Err(error) if error.errno == Errno::EEXIST => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives what was just made to its owner; the maker is root.
pub(crate) fn give(dir: BorrowedFd<'_>, name: &str, (uid, gid): (u32, u32)) -> Result<(), SysError> {
    if (uid, gid) == (0, 0) { Ok(()) } else { dirfd::chownat(dir, name.as_bytes(), uid, gid) }
}

/// A `/dev` that is being filled.
struct Dev<'a> {
    plan: &'a Plan,
    dir: BorrowedFd<'a>,
    owner: (u32, u32),
}

impl Dev<'_> {
    /// What every `/dev` has beside devices. Nobody needs to own these: directories are mounted on, links are read.
    fn names(&self) -> Result<(), SysError> {
        for name in DIRS {
            dirfd::mkdirat(self.dir, name.as_bytes(), 0o755)?;
        }
        LINKS.iter().try_for_each(|(name, points_to)| dirfd::symlinkat(points_to.as_bytes(), self.dir, name.as_bytes()))
    }

    /// Its owner is the container's user of the same number as on the host, root where there is none.
    fn node(&self, device: &DevicePlan, name: &str) -> Result<(), SysError> {
        let kind = match device.kind {
            DeviceKind::Char => FileKind::CharDevice,
            DeviceKind::Block => FileKind::BlockDevice,
        };
        dirfd::mknodat(self.dir, name.as_bytes(), kind, device.mode, dirfd::makedev(device.major, device.minor))?;
        let userns = &self.plan.userns;
        let uid = userns.outside_uid(device.uid).unwrap_or(self.owner.0);
        let gid = userns.outside_gid(device.gid).unwrap_or(self.owner.1);
        give(self.dir, name, (uid, gid))
    }
}

/// The host's node on a file of our own. What our user may not open there the container may not either, and that is said
/// now.
pub(crate) fn copy(device: &DevicePlan, name: &str) -> Result<Step, SandboxError> {
    let path = c_string(&device.source)?;
    let access = device.access;
    if let Err(errno @ (Errno::EACCES | Errno::EPERM | Errno::EROFS)) =
        files::may_open(&path, access.read, access.write)
    {
        return Err(SandboxError::request_hint(
            format!("the device {} cannot be opened by your user: {}", device.source, errno.desc()),
            "change its owner or mode on the host (udev), give less access as in --device PATH:r, or run as root",
        ));
    }
    Ok(Step::Attach {
        mount: node_of_host(device)?,
        target: target(Base::Dev, name, Leaf::File)?,
        keep: None,
        in_turn: false,
    })
}

/// A detached copy of a device node of the host, which is the device that the plan says.
fn node_of_host(device: &DevicePlan) -> Result<OwnedFd, SandboxError> {
    let shown = &device.source;
    let host =
        |call, errno| SandboxError::host(format!("give the container the device {shown}"), call, shown.clone(), errno);
    let node = small::open_location(shown.as_ref())
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
    // Private: what is mounted on it in the container must not appear on the host. Read-only: mode and owner of the host's
    // node stay as they are; to read and write the device itself that is no matter.
    let attributes = mount::MountAttr::RDONLY.and(mount::MountAttr::NOSUID).and(mount::MountAttr::NOEXEC);
    mount::mount_setattr(copy.as_fd(), false, attributes, mount::MountAttr::NONE, Some(Propagation::Private))
        .map_err(|errno| host("mount_setattr", errno))?;
    Ok(copy)
}
