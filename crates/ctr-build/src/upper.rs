//! The directory that takes what a RUN changes: made like the root below it, and settled when the command has ended.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ctr_cli::Failure;
use ctr_core::store::XattrDialect;
use ctr_layer::dialect::{clear_opaque, is_opaque};
use ctr_sys::SysError;
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Stat, Timestamp};
use ctr_tree::{Kind, Meta, Tree, TreePath};

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
///
/// How a directory came about is no part of it either: overlay marks one that was renamed as opaque, also where `base` has
/// nothing that it could hide.
pub(crate) fn settle(dir: &Path, epoch: i64, base: &dyn Tree, dialect: XattrDialect) -> Result<(u32, u32), Failure> {
    let mut settling = Settling { epoch, base, dialect, max: (0, 0) };
    settling.walk(open(dir)?.as_fd())?;
    Ok(settling.max)
}

struct Settling<'a> {
    epoch: i64,
    base: &'a dyn Tree,
    dialect: XattrDialect,
    /// The largest user and group id.
    max: (u32, u32),
}

fn clamp(time: Timestamp, epoch: i64) -> Timestamp {
    Timestamp { secs: time.secs.min(epoch), nanos: 0 }
}

struct Level {
    path: TreePath,
    dir: OwnedFd,
    names: Vec<Vec<u8>>,
}

impl Settling<'_> {
    /// Directories within each other are entered one after the other, without recursion: a command can nest thousands.
    fn walk(&mut self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut levels = vec![self.enter(root, b".", TreePath::root())?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                self.directory(level.dir.as_fd()).map_err(|error| failure(&error))?;
                levels.pop();
                continue;
            };
            let stat = dirfd::statat(level.dir.as_fd(), &name).map_err(|error| failure(&error))?;
            if stat.kind == FileKind::Directory {
                let next = self.enter(level.dir.as_fd(), &name, level.path.join(&name))?;
                levels.push(next);
                continue;
            }
            self.other(level.dir.as_fd(), &name, &stat).map_err(|error| failure(&error))?;
        }
        Ok(())
    }

    fn enter(&self, above: BorrowedFd<'_>, name: &[u8], path: TreePath) -> Result<Level, Failure> {
        let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
        let dir = dirfd::open_child(above, name, flags, 0).map_err(|error| failure(&error))?;
        if is_opaque(self.dialect, dir.as_fd()).map_err(|error| failure(&error))? {
            let below = self.base.look(&path).map_err(|error| tree_failure(&error))?;
            if below.is_none_or(|meta| meta.kind != Kind::Directory) {
                clear_opaque(self.dialect, dir.as_fd()).map_err(|error| failure(&error))?;
            }
        }
        let names = dirfd::read_dir(dir.as_fd()).map_err(|error| failure(&error))?;
        Ok(Level { path, dir, names: names.into_iter().map(|entry| entry.name).collect() })
    }

    fn directory(&mut self, dir: BorrowedFd<'_>) -> Result<(), SysError> {
        let stat = dirfd::fstat(dir)?;
        self.note(&stat);
        dirfd::set_times(dir, clamp(stat.mtime, self.epoch))
    }

    fn other(&mut self, dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> Result<(), SysError> {
        if stat.kind == FileKind::Socket {
            return dirfd::unlinkat(dir, name);
        }
        self.note(stat);
        dirfd::set_times_at(dir, name, clamp(stat.mtime, self.epoch))
    }

    fn note(&mut self, stat: &Stat) {
        self.max = (self.max.0.max(stat.uid), self.max.1.max(stat.gid));
    }
}
