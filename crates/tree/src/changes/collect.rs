//! Changed files, moved to a directory that then looks like the upper one of an overlay.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use ctr_core::store::XattrDialect;
use ctr_layer::dialect::{is_overlay_attribute, make_whiteout, set_opaque};
use ctr_sys::Errno;
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Stat};
use ctr_sys::xattr::{self, Target};

use super::snapshot::{Dir, Node};
use super::{Places, Snapshot};
use crate::beneath::failed;
use crate::path::TreePath;
use crate::tree::TreeError;

/// The layer that is made of the changes.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// Its directory, empty, on the file system of the tree.
    pub upper: BorrowedFd<'a>,
    /// How it says what is gone.
    pub dialect: XattrDialect,
    /// There are layers below: what is gone or replaced has to be said.
    pub has_lower: bool,
}

/// A directory that was there before and is there still.
struct Level<'a> {
    path: TreePath,
    before: &'a Dir,
    fd: OwnedFd,
    /// As the program left it.
    stat: Stat,
    /// Names that are to be looked at.
    names: std::vec::IntoIter<Box<[u8]>>,
    /// Its counterpart in the layer, once something in it is changed.
    upper: Option<OwnedFd>,
}

const DIRECTORY: OpenFlags = OpenFlags::O_RDONLY.union(OpenFlags::O_DIRECTORY);

/// Moves what was changed in the tree at `root` since `before` into the layer.
pub fn collect(root: BorrowedFd<'_>, before: &Snapshot, places: &Places, layer: Layer<'_>) -> Result<(), TreeError> {
    let top = TreePath::root();
    let open = |dir: BorrowedFd<'_>| dirfd::open_child(dir, b".", DIRECTORY, 0);
    let fd = open(root).map_err(|error| failed("open", &top, &error))?;
    let upper = open(layer.upper).map_err(|error| failed("open", &top, &error))?;
    let first = level(top, &before.root, fd, Some(upper))?;
    Collection { places, layer, levels: vec![first] }.run()
}

fn level(path: TreePath, before: &Dir, fd: OwnedFd, upper: Option<OwnedFd>) -> Result<Level<'_>, TreeError> {
    let stat = dirfd::fstat(fd.as_fd()).map_err(|error| failed("look at", &path, &error))?;
    let now = dirfd::read_dir(fd.as_fd()).map_err(|error| failed("list", &path, &error))?;
    let mut names: BTreeSet<Box<[u8]>> = before.entries.keys().cloned().collect();
    names.extend(now.into_iter().map(|entry| entry.name.into_boxed_slice()));
    Ok(Level { path, before, fd, stat, names: names.into_iter().collect::<Vec<_>>().into_iter(), upper })
}

struct Collection<'a> {
    places: &'a Places,
    layer: Layer<'a>,
    /// From the root down.
    levels: Vec<Level<'a>>,
}

impl Collection<'_> {
    fn run(&mut self) -> Result<(), TreeError> {
        while let Some(level) = self.levels.last_mut() {
            match level.names.next() {
                Some(name) => self.entry(&name)?,
                None => self.finish()?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &[u8]) -> Result<(), TreeError> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        let path = level.path.join(name);
        if self.places.at.contains(&path) {
            return Ok(());
        }
        let fail = |error| failed("look at", &path, &error);
        let now = match dirfd::statat(level.fd.as_fd(), name) {
            Ok(stat) => Some(stat),
            Err(error) if error.errno == Errno::ENOENT => None,
            Err(error) => return Err(fail(error)),
        };
        match (level.before.entries.get(name), now) {
            (None, None) => Ok(()),
            (Some(_), None) => self.gone(name, &path),
            (Some(Node::Directory(before)), Some(stat)) if stat.kind == FileKind::Directory => {
                let fd = dirfd::open_child(level.fd.as_fd(), name, DIRECTORY, 0).map_err(fail)?;
                if before.is(&stat, fd.as_fd()).map_err(fail)? {
                    let next = self::level(path, before, fd, None)?;
                    self.levels.push(next);
                    return Ok(());
                }
                self.take(name, &path, &stat)
            }
            (Some(node), Some(stat)) if node.is_unchanged(&stat) => Ok(()),
            (_, Some(stat)) => self.take(name, &path, &stat),
        }
    }

    /// Something that was there and is not any more.
    fn gone(&mut self, name: &[u8], path: &TreePath) -> Result<(), TreeError> {
        // What was made for a place is in no layer below.
        if !self.layer.has_lower || self.places.made.contains(path) {
            return Ok(());
        }
        let dialect = self.layer.dialect;
        make_whiteout(dialect, self.upper()?, name).map_err(|error| failed("take away", path, &error))
    }

    /// Something new: it goes over as it is, with all that is in it.
    fn take(&mut self, name: &[u8], path: &TreePath, stat: &Stat) -> Result<(), TreeError> {
        let layer = self.layer;
        let replaces = self.levels.last().is_some_and(|level| level.before.entries.contains_key(name));
        let hides = replaces && layer.has_lower && stat.kind == FileKind::Directory;
        let fail = |error| failed("move", path, &error);
        self.upper()?;
        let Some((from, Some(to))) = self.levels.last().map(|level| (&level.fd, &level.upper)) else { return Ok(()) };
        dirfd::renameat(from.as_fd(), name, to.as_fd(), name).map_err(fail)?;
        if hides {
            let moved = dirfd::open_child(to.as_fd(), name, DIRECTORY, 0).map_err(fail)?;
            set_opaque(layer.dialect, moved.as_fd()).map_err(fail)?;
        }
        Ok(())
    }

    /// All of the directory was looked at.
    fn finish(&mut self) -> Result<(), TreeError> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        let (path, stat) = (level.path.clone(), level.stat);
        let (made, kept) = (self.places.made.contains(&path), self.places.kept.contains(&path));
        let own = if made {
            false
        } else if kept || path.is_root() {
            level.before.is_otherwise(&stat)
        } else {
            level.before.differs(&stat)
        };
        if own {
            self.upper()?;
        }
        let fail = |error| failed("copy", &path, &error);
        if let Some(Level { fd, upper: Some(upper), .. }) = self.levels.last() {
            let upper = upper.as_fd();
            dirfd::fchown(upper, stat.uid, stat.gid).map_err(fail)?;
            dirfd::fchmod(upper, stat.mode).map_err(fail)?;
            if !path.is_root() {
                attributes(fd.as_fd(), upper).map_err(fail)?;
            }
            dirfd::set_times(upper, stat.mtime).map_err(fail)?;
        }
        self.levels.pop();
        Ok(())
    }

    /// The counterpart of the current directory, made with all above it if need be.
    fn upper(&mut self) -> Result<BorrowedFd<'_>, TreeError> {
        // The root's is there from the beginning.
        let first = self.levels.iter().rposition(|level| level.upper.is_some()).unwrap_or(0);
        for at in first + 1..self.levels.len() {
            let Some((above, [level, ..])) = self.levels.split_at_mut_checked(at) else { break };
            let fail = |error| failed("make", &level.path, &error);
            let Some(parent) = above.last().and_then(|level| level.upper.as_ref()) else { break };
            dirfd::mkdirat(parent.as_fd(), level.path.name(), 0o700).map_err(fail)?;
            level.upper = Some(dirfd::open_child(parent.as_fd(), level.path.name(), DIRECTORY, 0).map_err(fail)?);
        }
        let upper = self.levels.last().and_then(|level| level.upper.as_ref());
        upper.map(|fd| fd.as_fd()).ok_or_else(|| TreeError::NotADirectory(TreePath::root()))
    }
}

/// Extended attributes, as an overlay copies them up.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> ctr_sys::Result<()> {
    for name in xattr::list(Target::Fd(from))? {
        if is_overlay_attribute(&name) {
            continue;
        }
        if let Some(value) = xattr::get(Target::Fd(from), &name)? {
            xattr::set_open(to, &name, &value)?;
        }
    }
    Ok(())
}
