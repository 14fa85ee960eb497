//! A tmpfs that begins with what the container would have had at its place (`tmpcopyup`).

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::dirfd::{self, OpenFlags};
use ctr_sys::mount::MountAttr;
use ctr_sys::{Errno, SysError, small};

use super::dev;
use super::ids::Ids;
use super::plan::{BundleMount, BundleShown};
use crate::error::SandboxError;
use crate::prepare;

/// The tmpfs of `mount`, filled from the root filesystem `root`, or from the bind mount of `earlier` that its place lies in.
pub(super) fn tmpfs(
    root: BorrowedFd<'_>,
    earlier: &[BundleMount],
    mount: &BundleMount,
    options: &[(CString, CString)],
    ids: &Ids,
) -> Result<OwnedFd, SandboxError> {
    let host = |call, errno| SandboxError::host("make a tmpfs", call, "tmpfs", errno);
    let attributes = mount.attributes.set.without(MountAttr::RDONLY);
    let made = dev::tmpfs(options, attributes, ids).map_err(|errno| host("fsmount", errno))?;
    let failed = |cause: SysError| SandboxError::Host { action: "fill a tmpfs".to_owned(), cause, hint: None };
    let into =
        dirfd::open_child(made.as_fd(), b".", OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY, 0).map_err(failed)?;
    let below = earlier.iter().rev().find_map(|other| Some((other, within(&mount.target, &other.target)?)));
    // The files keep their owners: a container's ids are those of its root filesystem already.
    let owner = |uid, gid| (uid, gid);
    match below {
        None => {
            prepare::copy_content(root, &mount.target, into.as_fd(), &owner)?;
        }
        Some((BundleMount { shown: BundleShown::Bind { source, .. }, .. }, path)) => {
            let shown = source.display();
            let source = small::open_location(source)
                .map_err(|error| SandboxError::request(format!("cannot copy from {shown}: {error}")))?;
            prepare::copy_content(source.as_fd(), path, into.as_fd(), &owner)?;
        }
        // A file system that is made for the container has nothing yet.
        Some(_) => {}
    }
    keep_options(options, ids, &into).map_err(failed)?;
    Ok(made)
}

/// The rest of `path` below `above`.
fn within<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    path.strip_prefix(above).filter(|rest| rest.starts_with('/'))
}

/// Mode and owner that were asked for win over those of the directory that was copied.
fn keep_options(options: &[(CString, CString)], ids: &Ids, root: &OwnedFd) -> Result<(), SysError> {
    let number = |name: &[u8], radix: u32| {
        let value = options.iter().rev().find(|(key, _)| key.to_bytes() == name)?.1.to_str().ok()?;
        u32::from_str_radix(value, radix).ok()
    };
    let now = dirfd::fstat(root.as_fd())?;
    let uid = number(b"uid", 10).map_or(now.uid, |uid| ids.outside(uid, 0).0);
    let gid = number(b"gid", 10).map_or(now.gid, |gid| ids.outside(0, gid).1);
    if (uid, gid) != (now.uid, now.gid) {
        dirfd::fchown(root.as_fd(), uid, gid)?;
    }
    match number(b"mode", 8) {
        Some(mode) if mode > 0o7777 => Err(SysError::new("fchmod", format!("{mode:o}"), Errno::EINVAL)),
        Some(mode) => dirfd::fchmod(root.as_fd(), mode),
        None => Ok(()),
    }
}
