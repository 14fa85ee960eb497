//! A tree as files of a directory: what a program works on where no overlay can be mounted.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use ctr_layer::dialect::{OVERRIDE_STAT, Override, override_value};
use ctr_layer::tar::EntryKind;
use ctr_sys::Errno;
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Timestamp};
use ctr_sys::xattr::{self, Target};

use crate::path::TreePath;
use crate::tree::{Kind, Meta, Tree, TreeError};

/// A directory that is being filled.
struct Level {
    path: TreePath,
    meta: Meta,
    fd: OwnedFd,
    /// What is still to be copied, last first.
    entries: Vec<(Vec<u8>, Meta)>,
}

fn failed(path: &TreePath, error: impl Into<io::Error>) -> TreeError {
    TreeError::Io { action: "copy", path: path.clone(), source: error.into() }
}

fn host(path: &TreePath) -> impl Fn(ctr_sys::SysError) -> TreeError {
    move |error| failed(path, error.errno)
}

/// Copies what `tree` has at `from`, whatever it is, to the new `name` in the directory `to`, with owners, permission bits,
/// times and attributes. Names of one file become files of their own, as a change of one of them does on an overlay.
pub fn copy(tree: &dyn Tree, from: &TreePath, to: BorrowedFd<'_>, name: &[u8]) -> Result<(), TreeError> {
    let meta = tree.look(from)?.ok_or_else(|| failed(from, io::ErrorKind::NotFound))?;
    if meta.kind != Kind::Directory {
        return leaf(tree, from, &meta, to, name);
    }
    levels(tree, make_directory(tree, from.clone(), meta, to, name)?)
}

/// Copies what is in the directory `from` of `tree` into the empty directory `to`, which becomes like it.
pub fn fill(tree: &dyn Tree, from: &TreePath, to: BorrowedFd<'_>) -> Result<(), TreeError> {
    let meta = tree.look(from)?.ok_or_else(|| failed(from, io::ErrorKind::NotFound))?;
    let fd = dirfd::open_child(to, b".", OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY, 0).map_err(host(from))?;
    levels(tree, level(tree, from.clone(), meta, fd)?)
}

fn level(tree: &dyn Tree, path: TreePath, meta: Meta, fd: OwnedFd) -> Result<Level, TreeError> {
    let mut entries = tree.list(&path)?;
    entries.reverse();
    Ok(Level { path, meta, fd, entries })
}

fn make_directory(
    tree: &dyn Tree,
    path: TreePath,
    meta: Meta,
    above: BorrowedFd<'_>,
    name: &[u8],
) -> Result<Level, TreeError> {
    dirfd::mkdirat(above, name, 0o700).map_err(host(&path))?;
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
    let fd = dirfd::open_child(above, name, flags, 0).map_err(host(&path))?;
    level(tree, path, meta, fd)
}

fn levels(tree: &dyn Tree, first: Level) -> Result<(), TreeError> {
    let mut levels = vec![first];
    while let Some(level) = levels.last_mut() {
        let Some((name, meta)) = level.entries.pop() else {
            // Last: what is made in a directory changes its times.
            settle(tree, &level.path, &level.meta, level.fd.as_fd())?;
            levels.pop();
            continue;
        };
        let path = level.path.join(&name);
        if meta.kind == Kind::Directory {
            let next = make_directory(tree, path, meta, level.fd.as_fd(), &name)?;
            levels.push(next);
        } else {
            leaf(tree, &path, &meta, level.fd.as_fd(), &name)?;
        }
    }
    Ok(())
}

/// Owner, attributes, permission bits, times of an open file, in this order: a change of the owner takes others away.
fn settle(tree: &dyn Tree, path: &TreePath, meta: &Meta, fd: BorrowedFd<'_>) -> Result<(), TreeError> {
    let fail = host(path);
    dirfd::fchown(fd, meta.uid, meta.gid).map_err(&fail)?;
    for (name, value) in tree.attributes(path)? {
        xattr::set_open(fd, &name, &value).map_err(&fail)?;
    }
    dirfd::fchmod(fd, meta.mode).map_err(&fail)?;
    dirfd::set_times(fd, time(meta)).map_err(&fail)
}

fn time(meta: &Meta) -> Timestamp {
    Timestamp { secs: meta.mtime.0, nanos: meta.mtime.1 }
}

fn record_device(meta: &Meta, file: BorrowedFd<'_>) -> ctr_sys::Result<()> {
    let kind = if meta.kind == Kind::Block { EntryKind::BlockDevice } else { EntryKind::CharDevice };
    let device = Some((kind, meta.device.0, meta.device.1));
    let record = Override { uid: meta.uid, gid: meta.gid, mode: meta.mode, device };
    xattr::set_open(file, OVERRIDE_STAT, &override_value(&record))
}

fn leaf(tree: &dyn Tree, path: &TreePath, meta: &Meta, to: BorrowedFd<'_>, name: &[u8]) -> Result<(), TreeError> {
    let fail = host(path);
    let device = |kind| dirfd::mknodat(to, name, kind, meta.mode, dirfd::makedev(meta.device.0, meta.device.1));
    let new_file = || {
        let flags = OpenFlags::O_WRONLY | OpenFlags::O_CREAT | OpenFlags::O_EXCL;
        dirfd::open_child(to, name, flags, 0o600).map(File::from).map_err(&fail)
    };
    match meta.kind {
        Kind::File => {
            let mut new = new_file()?;
            // By copy_file_range(2), so that file systems that can share the blocks do.
            io::copy(&mut tree.open(path)?, &mut new).map_err(|error| failed(path, error))?;
            return settle(tree, path, meta, new.as_fd());
        }
        // None to copy: a socket is nothing without its process.
        Kind::Directory | Kind::Socket => return Ok(()),
        Kind::Symlink => dirfd::symlinkat(&tree.read_link(path)?, to, name).map_err(&fail)?,
        Kind::Fifo => dirfd::mknodat(to, name, FileKind::Fifo, meta.mode, 0).map_err(&fail)?,
        Kind::Character | Kind::Block => {
            let kind = if meta.kind == Kind::Block { FileKind::BlockDevice } else { FileKind::CharDevice };
            match device(kind) {
                // A user namespace may not make devices: as in a store ([LAY-41] of spec/04-layers.md).
                Err(error) if error.errno == Errno::EPERM => {
                    let new = new_file()?;
                    settle(tree, path, meta, new.as_fd())?;
                    return record_device(meta, new.as_fd()).map_err(&fail);
                }
                made => made.map_err(&fail)?,
            }
        }
    }
    dirfd::chownat(to, name, meta.uid, meta.gid).map_err(&fail)?;
    if meta.kind != Kind::Symlink {
        for (attribute, value) in tree.attributes(path)? {
            xattr::set(Target::Child(to, name), &attribute, &value).map_err(&fail)?;
        }
        dirfd::fchmodat_own(to, name, meta.mode).map_err(&fail)?;
    }
    dirfd::set_times_at(to, name, time(meta)).map_err(&fail)
}
