//! The directory that takes what a RUN changes: made like the root below it, and settled when the command has ended.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ctr_cli::Failure;
use ctr_sys::SysError;
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Timestamp};
use ctr_tree::{Meta, Tree, TreePath};

use crate::copy::tree_failure;

fn failure(error: &SysError) -> Failure {
    Failure::new("cannot settle what the command changed").caused_by(error)
}

fn open(dir: &Path) -> Result<File, Failure> {
    File::open(dir).map_err(|error| Failure::new(format!("cannot open {}", dir.display())).caused_by(&error))
}

/// Makes the empty directory look like the root of `base`: an overlay shows the topmost.
pub(crate) fn prepare(dir: &Path, base: &dyn Tree) -> Result<Meta, Failure> {
    let root = base.look(&TreePath::root()).map_err(|error| tree_failure(&error))?;
    let root = root.ok_or_else(|| Failure::new("the stage has no root directory"))?;
    let file = open(dir)?;
    dirfd::fchown(file.as_fd(), root.uid, root.gid).map_err(|error| failure(&error))?;
    dirfd::fchmod(file.as_fd(), root.mode).map_err(|error| failure(&error))?;
    put_time(dir, &root)?;
    Ok(root)
}

fn put_time(dir: &Path, root: &Meta) -> Result<(), Failure> {
    let time = Timestamp { secs: root.mtime.0, nanos: root.mtime.1 };
    dirfd::set_times(open(dir)?.as_fd(), time).map_err(|error| failure(&error))
}

/// Whether nothing was changed: nothing is in it, and the root looks as before.
pub(crate) fn is_untouched(dir: &Path, root: &Meta) -> Result<bool, Failure> {
    let now = dirfd::fstat(open(dir)?.as_fd()).map_err(|error| failure(&error))?;
    Ok(crate::pack::is_empty(dir)? && (now.mode, now.uid, now.gid) == (root.mode, root.uid, root.gid))
}

/// Cuts times to seconds and to the build's, takes sockets away, which layers cannot have, and says what the largest ids are.
/// The tree is then what its layer unpacks to.
pub(crate) fn settle(dir: &Path, epoch: i64) -> Result<(u32, u32), Failure> {
    let mut max = (0, 0);
    walk(open(dir)?.as_fd(), epoch, &mut max).map_err(|error| failure(&error))?;
    Ok(max)
}

fn clamp(time: Timestamp, epoch: i64) -> Timestamp {
    Timestamp { secs: time.secs.min(epoch), nanos: 0 }
}

/// Directories within each other are entered one after the other, without recursion: a command can nest thousands.
fn walk(root: BorrowedFd<'_>, epoch: i64, max: &mut (u32, u32)) -> Result<(), SysError> {
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
    let mut levels: Vec<(OwnedFd, Vec<Vec<u8>>)> = Vec::new();
    let first = dirfd::open_child(root, b".", flags, 0)?;
    let names = names(first.as_fd())?;
    levels.push((first, names));
    while let Some((dir, names)) = levels.last_mut() {
        let Some(name) = names.pop() else {
            let stat = dirfd::fstat(dir.as_fd())?;
            note(max, stat.uid, stat.gid);
            dirfd::set_times(dir.as_fd(), clamp(stat.mtime, epoch))?;
            levels.pop();
            continue;
        };
        let stat = dirfd::statat(dir.as_fd(), &name)?;
        match stat.kind {
            FileKind::Directory => {
                let child = dirfd::open_child(dir.as_fd(), &name, flags, 0)?;
                let names = self::names(child.as_fd())?;
                levels.push((child, names));
            }
            FileKind::Socket => dirfd::unlinkat(dir.as_fd(), &name)?,
            _ => {
                note(max, stat.uid, stat.gid);
                dirfd::set_times_at(dir.as_fd(), &name, clamp(stat.mtime, epoch))?;
            }
        }
    }
    Ok(())
}

fn note(max: &mut (u32, u32), uid: u32, gid: u32) {
    *max = (max.0.max(uid), max.1.max(gid));
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, SysError> {
    Ok(dirfd::read_dir(dir)?.into_iter().map(|entry| entry.name).collect())
}
