//! Lookups below an open directory, through no symbolic link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use ctr_layer::dialect::{OVERRIDE_STAT, is_foreign_attribute, is_overlay_attribute};
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Stat};
use ctr_sys::xattr::{self, Target};
use ctr_sys::{Errno, SysError};

use crate::path::TreePath;
use crate::tree::{Attributes, Kind, Meta, TreeError};

/// A directory, opened once. Each lookup is one openat2(2) from it, so nothing that is renamed meanwhile is served from a
/// descriptor that was kept.
#[derive(Debug)]
pub(crate) struct Beneath {
    fd: OwnedFd,
}

impl Beneath {
    /// Opens `dir`, a path of the host: links on the way to it count as usual.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let file = File::open(dir)?;
        if !file.metadata()?.is_dir() {
            return Err(io::Error::from(Errno::ENOTDIR));
        }
        Ok(Self { fd: file.into() })
    }

    /// Opens `path` with `flags`, never a link unless `flags` has `O_PATH`.
    fn open_at(&self, path: &TreePath, flags: OpenFlags) -> ctr_sys::Result<OwnedFd> {
        let bytes = if path.is_root() { b"." } else { path.as_bytes() };
        if bytes.contains(&0) {
            return Err(SysError::new("openat2", path.to_string(), Errno::ENOENT));
        }
        match dirfd::openat2(self.fd.as_fd(), bytes, flags | OpenFlags::O_NOFOLLOW, 0, dirfd::BENEATH_NO_LINKS) {
            // No openat2 before Linux 5.6; a path of more than 4,095 bytes takes several steps.
            Err(error) if matches!(error.errno, Errno::ENOSYS | Errno::ENAMETOOLONG) => self.walk(path, flags),
            other => other,
        }
    }

    /// The same, component by component.
    fn walk(&self, path: &TreePath, flags: OpenFlags) -> ctr_sys::Result<OwnedFd> {
        let directory = OpenFlags::O_PATH | OpenFlags::O_DIRECTORY;
        let Some(parent) = path.parent() else { return dirfd::open_child(self.fd.as_fd(), b".", flags, 0) };
        let mut at = dirfd::open_child(self.fd.as_fd(), b".", directory, 0)?;
        for name in parent.parts() {
            at = dirfd::open_child(at.as_fd(), name, directory, 0)?;
        }
        dirfd::open_child(at.as_fd(), path.name(), flags, 0)
    }

    /// What is at `path`, and a handle (`O_PATH`) of it; `None` if nothing is, or a parent is no directory.
    pub(crate) fn look(&self, path: &TreePath) -> Result<Option<(OwnedFd, Stat)>, TreeError> {
        let fail = |source| failed("look at", path, &source);
        match self.open_at(path, OpenFlags::O_PATH) {
            Ok(fd) => {
                let stat = dirfd::fstat(fd.as_fd()).map_err(fail)?;
                Ok(Some((fd, stat)))
            }
            Err(error) if is_nothing(error.errno) => Ok(None),
            Err(error) => Err(fail(error)),
        }
    }

    /// What is at `path`; an error if nothing is.
    pub(crate) fn find(&self, path: &TreePath) -> Result<(OwnedFd, Stat), TreeError> {
        self.look(path)?.ok_or_else(|| missing("look at", path))
    }

    /// A directory, to be listed.
    pub(crate) fn directory(&self, path: &TreePath) -> Result<OwnedFd, TreeError> {
        self.open_at(path, OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY).map_err(|error| match error.errno {
            Errno::ENOTDIR | Errno::ELOOP => TreeError::NotADirectory(path.clone()),
            _ => failed("list", path, &error),
        })
    }

    /// A regular file, to be read. Not blocking: the name could have become a fifo since it was looked at.
    pub(crate) fn file(&self, path: &TreePath) -> Result<File, TreeError> {
        let flags = OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK | OpenFlags::O_NOCTTY;
        let fd = self.open_at(path, flags).map_err(|error| match error.errno {
            Errno::ELOOP | Errno::ENOTDIR | Errno::ENXIO | Errno::ENODEV => TreeError::Changed(path.clone()),
            _ => failed("open", path, &error),
        })?;
        match dirfd::fstat(fd.as_fd()).map_err(|error| failed("look at", path, &error))?.kind {
            FileKind::Regular => Ok(File::from(fd)),
            _ => Err(TreeError::Changed(path.clone())),
        }
    }

    /// Where the link at `path` points to.
    pub(crate) fn link(&self, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        let (fd, stat) = self.find(path)?;
        if stat.kind != FileKind::Symlink {
            return Err(TreeError::Changed(path.clone()));
        }
        dirfd::readlinkat(fd.as_fd(), b"").map_err(|error| failed("read the link", path, &error))
    }

    /// The attributes of `path` that belong into an image: neither overlay's, nor ctr's own, nor the machine's.
    pub(crate) fn attributes(&self, path: &TreePath) -> Result<Attributes, TreeError> {
        let fail = |source| failed("read the attributes of", path, &source);
        let (fd, _) = self.find(path)?;
        let target = Target::Fd(fd.as_fd());
        let mut found = Vec::new();
        for name in xattr::list(target).map_err(fail)? {
            if is_overlay_attribute(&name) || is_foreign_attribute(&name) || name == OVERRIDE_STAT {
                continue;
            }
            if let Some(value) = xattr::get(target, &name).map_err(fail)? {
                found.push((name, value));
            }
        }
        Ok(found)
    }
}

/// Entries of the open directory `dir`, at `path`, in no order; those that vanish meanwhile are left out.
pub(crate) fn entries(dir: BorrowedFd<'_>, path: &TreePath) -> Result<Vec<(Vec<u8>, Stat)>, TreeError> {
    let names = dirfd::read_dir(dir).map_err(|error| failed("list", path, &error))?;
    let mut entries = Vec::with_capacity(names.len());
    for entry in names {
        match dirfd::statat(dir, &entry.name) {
            Ok(stat) => entries.push((entry.name, stat)),
            Err(error) if error.errno == Errno::ENOENT => {}
            Err(error) => return Err(failed("look at", &path.join(&entry.name), &error)),
        }
    }
    Ok(entries)
}

pub(crate) fn meta(stat: &Stat) -> Meta {
    let kind = match stat.kind {
        FileKind::Regular => Kind::File,
        FileKind::Directory => Kind::Directory,
        FileKind::Symlink => Kind::Symlink,
        FileKind::CharDevice => Kind::Character,
        FileKind::BlockDevice => Kind::Block,
        FileKind::Fifo => Kind::Fifo,
        FileKind::Socket => Kind::Socket,
    };
    let device = match kind {
        Kind::Character | Kind::Block => (dirfd::major(stat.rdev), dirfd::minor(stat.rdev)),
        _ => (0, 0),
    };
    Meta {
        kind,
        // Links always show 0777, but not on every file system.
        mode: if kind == Kind::Symlink { 0o777 } else { stat.mode },
        uid: stat.uid,
        gid: stat.gid,
        size: stat.size,
        mtime: (stat.mtime.secs, stat.mtime.nanos),
        ctime: (stat.ctime.secs, stat.ctime.nanos),
        inode: (stat.dev, stat.ino),
        links: stat.nlink,
        device,
    }
}

/// No such name, a name that is too long to be one, or a parent that is no directory.
fn is_nothing(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG)
}

pub(crate) fn failed(action: &'static str, path: &TreePath, error: &SysError) -> TreeError {
    TreeError::Io { action, path: path.clone(), source: error.errno.into() }
}

pub(crate) fn missing(action: &'static str, path: &TreePath) -> TreeError {
    TreeError::Io { action, path: path.clone(), source: Errno::ENOENT.into() }
}
