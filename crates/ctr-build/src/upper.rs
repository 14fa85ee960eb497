//! The directory that takes what a RUN changes: made like the root below it, and settled when the command has ended.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ctr_cli::Failure;
use ctr_core::store::XattrDialect;
use ctr_layer::dialect::{clear_opaque, is_opaque};
use ctr_sys::SysError;
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Stat, Timestamp};
use ctr_tree::{Kind, Layers, Meta, Tree, TreePath};

use crate::builder::Builder;
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

/// Makes the tree what its layer unpacks to, and says what the largest ids are: times are cut to seconds and to the build's,
/// sockets, which layers cannot have, go.
///
/// So does what is no change: a file that was opened to be written and is as it was, and the mark of a directory that hides
/// nothing, because it was renamed. What is left does not depend on how it came about.
pub(crate) fn settle(dir: &Path, builder: &Builder<'_>, base: &dyn Tree) -> Result<(u32, u32), Failure> {
    let (epoch, dialect) = (builder.request.epoch, builder.store.dialect());
    let upper = Layers::new(&[dir.to_owned()], dialect, builder.ownership)
        .map_err(|error| Failure::new(format!("cannot open {}", dir.display())).caused_by(&error))?;
    let mut settling = Settling { epoch, base, upper, dialect, max: (0, 0) };
    settling.walk(open(dir)?.as_fd())?;
    Ok(settling.max)
}

struct Settling<'a> {
    epoch: i64,
    base: &'a dyn Tree,
    /// The tree itself, as images have it.
    upper: Layers,
    dialect: XattrDialect,
    /// The largest user and group id.
    max: (u32, u32),
}

struct Level {
    path: TreePath,
    dir: OwnedFd,
    /// As the command left it.
    stat: Stat,
    names: Vec<Vec<u8>>,
    /// It has a directory below it, which it does not hide.
    merged: bool,
}

fn clamp(time: Timestamp, epoch: i64) -> Timestamp {
    Timestamp { secs: time.secs.min(epoch), nanos: 0 }
}

impl Settling<'_> {
    /// Directories within each other are entered one after the other, without recursion: a command can nest thousands.
    fn walk(&mut self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut levels = vec![self.enter(root, b".", TreePath::root(), true)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.pop() else {
                let Some(level) = levels.pop() else { break };
                self.leave(&level, levels.last())?;
                continue;
            };
            let stat = dirfd::statat(level.dir.as_fd(), &name).map_err(|error| failure(&error))?;
            let path = level.path.join(&name);
            if stat.kind == FileKind::Directory {
                let next = self.enter(level.dir.as_fd(), &name, path, level.merged)?;
                levels.push(next);
                continue;
            }
            self.file(level, &name, &path, &stat)?;
        }
        Ok(())
    }

    fn enter(&self, above: BorrowedFd<'_>, name: &[u8], path: TreePath, merged: bool) -> Result<Level, Failure> {
        let fail = |error: SysError| failure(&error);
        let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
        let dir = dirfd::open_child(above, name, flags, 0).map_err(fail)?;
        let stat = dirfd::fstat(dir.as_fd()).map_err(fail)?;
        let mut merged = merged && self.below(&path)?.is_some_and(|meta| meta.kind == Kind::Directory);
        if is_opaque(self.dialect, dir.as_fd()).map_err(fail)? {
            if !merged {
                clear_opaque(self.dialect, dir.as_fd()).map_err(fail)?;
            }
            merged = false;
        }
        let names = dirfd::read_dir(dir.as_fd()).map_err(fail)?.into_iter().map(|entry| entry.name).collect();
        Ok(Level { path, dir, stat, names, merged })
    }

    fn leave(&mut self, level: &Level, above: Option<&Level>) -> Result<(), Failure> {
        if let Some(above) = above
            && level.merged
            && dirfd::read_dir(level.dir.as_fd()).map_err(|error| failure(&error))?.is_empty()
            && self.is_as_below(&level.path, &level.stat)?
        {
            return dirfd::rmdirat(above.dir.as_fd(), level.path.name()).map_err(|error| failure(&error));
        }
        self.note(&level.stat);
        dirfd::set_times(level.dir.as_fd(), clamp(level.stat.mtime, self.epoch)).map_err(|error| failure(&error))
    }

    fn file(&mut self, level: &Level, name: &[u8], path: &TreePath, stat: &Stat) -> Result<(), Failure> {
        let dir = level.dir.as_fd();
        if stat.kind == FileKind::Socket || level.merged && self.is_as_below(path, stat)? {
            return dirfd::unlinkat(dir, name).map_err(|error| failure(&error));
        }
        self.note(stat);
        dirfd::set_times_at(dir, name, clamp(stat.mtime, self.epoch)).map_err(|error| failure(&error))
    }

    fn below(&self, path: &TreePath) -> Result<Option<Meta>, Failure> {
        self.base.look(path).map_err(|error| tree_failure(&error))
    }

    /// Whether what the tree has at `path` is what is there without it. `stat` is how it was left.
    fn is_as_below(&self, path: &TreePath, stat: &Stat) -> Result<bool, Failure> {
        // A second name is a change, also if the file is none.
        if stat.kind == FileKind::Regular && stat.nlink > 1 {
            return Ok(false);
        }
        let fail = |error| tree_failure(&error);
        // None of a whiteout.
        let (Some(now), Some(before)) = (self.upper.look(path).map_err(fail)?, self.below(path)?) else {
            return Ok(false);
        };
        let seen = |meta: &Meta| (meta.kind, meta.mode, meta.uid, meta.gid, meta.device);
        let size = now.kind == Kind::File && now.size != before.size;
        if seen(&now) != seen(&before) || (stat.mtime.secs, stat.mtime.nanos) != before.mtime || size {
            return Ok(false);
        }
        let same = match now.kind {
            Kind::File => same_content(self.upper.open(path).map_err(fail)?, self.base.open(path).map_err(fail)?)?,
            Kind::Symlink => self.upper.read_link(path).map_err(fail)? == self.base.read_link(path).map_err(fail)?,
            _ => true,
        };
        Ok(same && self.upper.attributes(path).map_err(fail)? == self.base.attributes(path).map_err(fail)?)
    }

    fn note(&mut self, stat: &Stat) {
        self.max = (self.max.0.max(stat.uid), self.max.1.max(stat.gid));
    }
}

/// Whether two files of the same size have the same bytes.
fn same_content(one: File, other: File) -> Result<bool, Failure> {
    let fail = |error: std::io::Error| Failure::new("cannot compare files").caused_by(&error);
    let (mut one, mut other) = (BufReader::with_capacity(64 << 10, one), BufReader::with_capacity(64 << 10, other));
    loop {
        let (left, right) = (one.fill_buf().map_err(fail)?, other.fill_buf().map_err(fail)?);
        let count = left.len().min(right.len());
        if count == 0 {
            return Ok(left.len() == right.len());
        }
        if left.get(..count) != right.get(..count) {
            return Ok(false);
        }
        one.consume(count);
        other.consume(count);
    }
}
