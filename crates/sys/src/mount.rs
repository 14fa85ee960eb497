//! The mount API of Linux 5.2 and later (fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2)) and
//! pivot_root(2). Nothing here allocates: the launcher's child calls it too.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use crate::raw::{RawResult, call, owned};

/// Attributes of a mount (mount_setattr(2), `MOUNT_ATTR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MountAttr(pub u64);

impl MountAttr {
    /// Nothing set.
    pub const NONE: Self = Self(0);
    /// Read-only.
    pub const RDONLY: Self = Self(libc::MOUNT_ATTR_RDONLY);
    /// Set-user-ID bits and file capabilities are ignored.
    pub const NOSUID: Self = Self(libc::MOUNT_ATTR_NOSUID);
    /// Device nodes cannot be opened.
    pub const NODEV: Self = Self(libc::MOUNT_ATTR_NODEV);
    /// Nothing can be executed.
    pub const NOEXEC: Self = Self(libc::MOUNT_ATTR_NOEXEC);

    /// Symbolic links are not followed (Linux 5.14).
    pub const NOSYMFOLLOW: Self = Self(libc::MOUNT_ATTR_NOSYMFOLLOW);
    /// Access times of directories are not written.
    pub const NODIRATIME: Self = Self(libc::MOUNT_ATTR_NODIRATIME);
    /// Access times are never written.
    pub const NOATIME: Self = Self(libc::MOUNT_ATTR_NOATIME);
    /// Access times are always written.
    pub const STRICTATIME: Self = Self(libc::MOUNT_ATTR_STRICTATIME);
    /// All bits that say when access times are written: to be cleared whenever one of them is set, or none (relatime).
    pub const ATIME: Self = Self(libc::MOUNT_ATTR__ATIME);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A new, not yet configured file system (fsopen(2)).
pub fn fsopen(kind: &CStr) -> RawResult<OwnedFd> {
    call!(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC).map(owned)
}

/// Sets a parameter that has a text value (`FSCONFIG_SET_STRING`); the kernel takes at most 255 bytes.
pub fn fsconfig_string(fs: BorrowedFd<'_>, key: &CStr, value: &CStr) -> RawResult<()> {
    let command = libc::FSCONFIG_SET_STRING;
    call!(libc::SYS_fsconfig, fs.as_raw_fd(), command, key.as_ptr(), value.as_ptr(), 0).map(drop)
}

/// Sets a parameter that has no value (`FSCONFIG_SET_FLAG`).
pub fn fsconfig_flag(fs: BorrowedFd<'_>, key: &CStr) -> RawResult<()> {
    let command = libc::FSCONFIG_SET_FLAG;
    call!(libc::SYS_fsconfig, fs.as_raw_fd(), command, key.as_ptr(), ptr::null::<u8>(), 0).map(drop)
}

/// Makes the file system from its parameters (`FSCONFIG_CMD_CREATE`).
pub fn fsconfig_create(fs: BorrowedFd<'_>) -> RawResult<()> {
    let command = libc::FSCONFIG_CMD_CREATE;
    call!(libc::SYS_fsconfig, fs.as_raw_fd(), command, ptr::null::<u8>(), ptr::null::<u8>(), 0).map(drop)
}

/// The file system at the mount that `mount` is open on, to be changed (fspick(2)).
pub fn fspick(mount: BorrowedFd<'_>) -> RawResult<OwnedFd> {
    let flags = libc::FSPICK_EMPTY_PATH | libc::FSPICK_CLOEXEC | libc::FSPICK_NO_AUTOMOUNT;
    call!(libc::SYS_fspick, mount.as_raw_fd(), c"".as_ptr(), flags).map(owned)
}

/// Changes the file system as its parameters say now (`FSCONFIG_CMD_RECONFIGURE`).
pub fn fsconfig_reconfigure(fs: BorrowedFd<'_>) -> RawResult<()> {
    let command = libc::FSCONFIG_CMD_RECONFIGURE;
    call!(libc::SYS_fsconfig, fs.as_raw_fd(), command, ptr::null::<u8>(), ptr::null::<u8>(), 0).map(drop)
}

/// A detached mount of a file system that was created (fsmount(2)).
pub fn fsmount(fs: BorrowedFd<'_>, attributes: MountAttr) -> RawResult<OwnedFd> {
    call!(libc::SYS_fsmount, fs.as_raw_fd(), libc::FSMOUNT_CLOEXEC, attributes.0).map(owned)
}

/// A detached copy of the mount at `path` below `dir`, with the mounts below it if `recursive` (open_tree(2)).
/// The last component is not followed; an empty path means `dir` itself.
pub fn open_tree_clone(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> RawResult<OwnedFd> {
    let below = if recursive { libc::AT_RECURSIVE } else { 0 };
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | (libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | below) as libc::c_uint;
    call!(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags).map(owned)
}

/// Attaches a detached mount on the file or directory that `target` is open on (move_mount(2)).
pub fn move_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> RawResult<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    call!(libc::SYS_move_mount, mount.as_raw_fd(), c"".as_ptr(), target.as_raw_fd(), c"".as_ptr(), flags).map(drop)
}

/// Attaches a detached mount at an absolute path of the caller's own choice; the last component may not be a link.
pub fn move_mount_to_path(mount: BorrowedFd<'_>, path: &CStr) -> RawResult<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH;
    call!(libc::SYS_move_mount, mount.as_raw_fd(), c"".as_ptr(), libc::AT_FDCWD, path.as_ptr(), flags).map(drop)
}

/// Propagation of mounts (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Neither gives nor receives.
    Private,
    /// Receives only.
    Slave,
    /// Gives and receives.
    Shared,
    /// Private, and cannot be bound again.
    Unbindable,
}

impl Propagation {
    fn flag(self) -> u64 {
        match self {
            Self::Private => libc::MS_PRIVATE,
            Self::Slave => libc::MS_SLAVE,
            Self::Shared => libc::MS_SHARED,
            Self::Unbindable => libc::MS_UNBINDABLE,
        }
    }
}

/// Changes attributes and propagation of a mount, and of those below it if `recursive` (mount_setattr(2), Linux 5.12).
pub fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: bool,
    set: MountAttr,
    clear: MountAttr,
    propagation: Option<Propagation>,
) -> RawResult<()> {
    let attributes = libc::mount_attr {
        attr_set: set.0,
        attr_clr: clear.0,
        propagation: propagation.map_or(0, Propagation::flag),
        userns_fd: 0,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let size = size_of::<libc::mount_attr>();
    call!(libc::SYS_mount_setattr, mount.as_raw_fd(), c"".as_ptr(), flags, ptr::from_ref(&attributes), size).map(drop)
}

/// Shows the ids of the detached mount `mount`, and of those below it if `recursive`, as the user namespace `userns` maps
/// them (mount_setattr(2), `MOUNT_ATTR_IDMAP`): a file of id 0 on disk belongs to id 0 of that namespace.
///
/// # Errors
/// EINVAL: the file system has no support for it. EPERM: it is idmapped already, or the caller lacks CAP_SYS_ADMIN over it.
pub fn idmap(mount: BorrowedFd<'_>, recursive: bool, userns: BorrowedFd<'_>) -> RawResult<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: userns.as_raw_fd() as u64,
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let size = size_of::<libc::mount_attr>();
    call!(libc::SYS_mount_setattr, mount.as_raw_fd(), c"".as_ptr(), flags, ptr::from_ref(&attributes), size).map(drop)
}

/// Makes every mount of the caller's namespace receive from the host but give nothing back.
pub fn make_all_slave() -> RawResult<()> {
    let flags = libc::MS_REC | libc::MS_SLAVE;
    call!(libc::SYS_mount, ptr::null::<u8>(), c"/".as_ptr(), ptr::null::<u8>(), flags, ptr::null::<u8>()).map(drop)
}

/// mount(2) as kernels before 6.8 need it for an overlay of many layers.
pub fn mount_old(source: &CStr, target: &CStr, kind: &CStr, flags: u64, data: &CStr) -> RawResult<()> {
    call!(libc::SYS_mount, source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr()).map(drop)
}

/// `MS_NODEV` for [`mount_old`].
pub const MS_NODEV: u64 = libc::MS_NODEV;

/// Takes what is mounted at `target` out of the tree: umount2(2) with `MNT_DETACH`.
pub fn detach(target: &CStr) -> RawResult<()> {
    call!(libc::SYS_umount2, target.as_ptr(), libc::MNT_DETACH).map(drop)
}

/// Makes the current directory the root and puts the old root over it (pivot_root(2), "pivot_root(".", ".")").
pub fn pivot_to_cwd() -> RawResult<()> {
    call!(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()).map(drop)
}

/// Detaches what is mounted at the current directory.
pub fn detach_cwd() -> RawResult<()> {
    call!(libc::SYS_umount2, c".".as_ptr(), libc::MNT_DETACH).map(drop)
}
