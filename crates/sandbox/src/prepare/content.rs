//! The first content of a volume: what the image has at its place, copied by directory descriptors. The image is hostile:
//! no link is followed, no device is opened, depth is bounded, and set-ID bits of files are left behind.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::dirfd::{self, FileKind, OpenFlags, Stat};
use ctr_sys::files::{self, OpenAs};
use ctr_sys::{Errno, SysError};

use crate::error::SandboxError;

/// Directories below each other that are copied (spec/limits.md); each takes two descriptors.
const DEPTH_MAX: usize = 200;
/// Names at one place that are copied (spec/limits.md).
const ENTRIES_MAX: u64 = 2_000_000;

/// Which owner a copy gets, by the owner that the original shows.
pub(crate) type Owner<'a> = &'a dyn Fn(u32, u32) -> (u32, u32);

/// Copies the directory `path` of the root filesystem into the directory `into`, with its own mode and owner. Whether there
/// was something to copy; a `path` that is not there, or no directory, leaves `into` as it is.
pub(crate) fn copy(
    rootfs: BorrowedFd<'_>,
    path: &str,
    into: BorrowedFd<'_>,
    owner: Owner<'_>,
) -> Result<bool, SandboxError> {
    let failed = |cause| SandboxError::Host {
        action: format!("copy what the image has at {path} into the volume"),
        cause,
        hint: Some("nocopy (tmpcopyup left out of a bundle's options) leaves the volume empty".to_owned()),
    };
    let name = super::c_string(path)?;
    let Some(source) = open_source(rootfs, &name).map_err(failed)? else { return Ok(false) };
    let mut copy = Copy { owner, entries: 0 };
    copy.directory(&source, into, 0).map_err(failed)?;
    Ok(true)
}

fn open_source(rootfs: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>, SysError> {
    let location = match files::open_in_root(rootfs, path, OpenAs::Directory, 0) {
        Ok(location) => location,
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
        Err(errno) => return Err(SysError::new("openat2", path.to_string_lossy(), errno)),
    };
    dirfd::open_child(location.as_fd(), b".", OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY, 0).map(Some)
}

struct Copy<'a> {
    owner: Owner<'a>,
    entries: u64,
}

impl Copy<'_> {
    /// Everything in `from`, then its own attributes: writing changes the times of a directory.
    fn directory(&mut self, from: &OwnedFd, into: BorrowedFd<'_>, depth: usize) -> Result<(), SysError> {
        if depth > DEPTH_MAX {
            return Err(SysError::new(
                "openat",
                format!("{DEPTH_MAX} directories below each other"),
                Errno::ENAMETOOLONG,
            ));
        }
        for entry in dirfd::read_dir(from.as_fd())? {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                return Err(SysError::new("getdents64", format!("more than {ENTRIES_MAX} names"), Errno::EFBIG));
            }
            self.entry(from.as_fd(), &entry.name, into, depth)?;
        }
        self.finish(into, &dirfd::fstat(from.as_fd())?, 0o7777)
    }

    fn entry(&mut self, from: BorrowedFd<'_>, name: &[u8], into: BorrowedFd<'_>, depth: usize) -> Result<(), SysError> {
        let stat = dirfd::statat(from, name)?;
        match stat.kind {
            FileKind::Directory => {
                let source = dirfd::open_child(from, name, OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY, 0)?;
                dirfd::mkdirat(into, name, 0o700)?;
                let made = dirfd::open_child(into, name, OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY, 0)?;
                self.directory(&source, made.as_fd(), depth + 1)
            }
            FileKind::Regular => {
                let source = dirfd::open_child(from, name, OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK, 0)?;
                let flags = OpenFlags::O_WRONLY | OpenFlags::O_CREAT | OpenFlags::O_EXCL;
                let made = dirfd::open_child(into, name, flags, 0o600)?;
                let (mut source, mut made) = (File::from(source), File::from(made));
                std::io::copy(&mut source, &mut made)
                    .map_err(|error| SysError::from_io("copy_file_range", String::from_utf8_lossy(name), &error))?;
                self.finish(made.as_fd(), &stat, 0o1777)
            }
            FileKind::Symlink => {
                dirfd::symlinkat(&dirfd::readlinkat(from, name)?, into, name)?;
                self.finish_name(into, name, &stat)
            }
            FileKind::Fifo => {
                dirfd::mknodat(into, name, FileKind::Fifo, 0o600, 0)?;
                self.finish_name(into, name, &stat)?;
                dirfd::fchmodat_own(into, name, stat.mode & 0o777)
            }
            // A socket is nobody's without its server, and a device could not be opened there.
            FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => Ok(()),
        }
    }

    /// Owner first: chown(2) clears set-ID bits.
    fn finish(&self, made: BorrowedFd<'_>, stat: &Stat, bits: u32) -> Result<(), SysError> {
        let (uid, gid) = (self.owner)(stat.uid, stat.gid);
        dirfd::fchown(made, uid, gid)?;
        dirfd::fchmod(made, stat.mode & bits)?;
        dirfd::set_times(made, stat.mtime)
    }

    fn finish_name(&self, dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Result<(), SysError> {
        let (uid, gid) = (self.owner)(stat.uid, stat.gid);
        dirfd::chownat(dir, name, uid, gid)?;
        dirfd::set_times_at(dir, name, stat.mtime)
    }
}
