//! How overlay is told of whiteouts and opaque directories (kernel Documentation/filesystems/overlayfs.rst).

use std::os::fd::BorrowedFd;

use ctr_sys::dirfd::{FileKind, Stat};
use ctr_sys::xattr::{self, Target};

/// Namespace of overlay's own attributes: `trusted.*` needs `CAP_SYS_ADMIN` in the initial user namespace, `user.*` is
/// read by overlay mounts with `userxattr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XattrDialect {
    /// `trusted.overlay.*`: stores of root.
    Trusted,
    /// `user.overlay.*`: stores of users.
    User,
}

/// Attribute in which the owner and mode are kept that a store of a single id cannot give to files (read by
/// fuse-overlayfs, written by containers/storage too): `UID:GID:0MODE`.
pub const OVERRIDE_STAT: &[u8] = b"user.containers.override_stat";

impl XattrDialect {
    /// The attribute that marks an opaque directory with `y`.
    pub fn opaque(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.opaque",
            Self::User => b"user.overlay.opaque",
        }
    }

    /// The attribute of whiteouts that are empty regular files (Linux 6.7).
    fn whiteout(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.whiteout",
            Self::User => b"user.overlay.whiteout",
        }
    }

    /// Does the directory hide what is below it?
    pub(crate) fn is_opaque(self, dir: BorrowedFd<'_>) -> ctr_sys::Result<bool> {
        Ok(xattr::get(Target::Fd(dir), self.opaque())?.as_deref() == Some(b"y"))
    }

    /// Is `name` in `dir`, which has this `stat`, a whiteout in one of the two forms?
    pub(crate) fn is_whiteout(self, dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> ctr_sys::Result<bool> {
        if stat.is_whiteout_device() {
            return Ok(true);
        }
        if stat.kind != FileKind::Regular || stat.size != 0 {
            return Ok(false);
        }
        Ok(xattr::get(Target::Child(dir, name), self.whiteout())?.is_some())
    }
}

/// Is `name` an attribute by which overlay is told what to show? Layers may not bring those.
pub(crate) fn is_overlay_attribute(name: &[u8]) -> bool {
    [&b"trusted.overlay."[..], b"user.overlay."].iter().any(|prefix| name.starts_with(prefix))
}
