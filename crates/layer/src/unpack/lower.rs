//! The layers below, seen as overlay shows them: the first that has a name decides, whiteouts and opaque directories hide,
//! directories merge.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use ctr_core::store::XattrDialect;
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Stat};
use ctr_sys::{Errno, Result};

use crate::dialect;
use crate::path;

/// A file of the layers below.
pub(super) struct Found {
    /// The directory that holds it, in the uppermost layer that has it.
    pub(super) dir: Rc<OwnedFd>,
    /// Its name there.
    pub(super) name: Vec<u8>,
    /// What it is.
    pub(super) stat: Stat,
}

/// A directory as merged: its pieces, top first.
type Merged = Vec<Rc<OwnedFd>>;

/// The merged view of the parents of a layer.
pub(super) struct Lowers {
    roots: Merged,
    dialect: XattrDialect,
    /// The directory that was asked for last: entries of one directory come together.
    last: Option<(Vec<u8>, Rc<Merged>)>,
}

impl Lowers {
    /// Over the `fs` directories `parents`, top first.
    pub(super) fn new(parents: &[BorrowedFd<'_>], dialect: XattrDialect) -> Result<Self> {
        let mut roots = Vec::with_capacity(parents.len());
        for parent in parents {
            let flags = OpenFlags::O_PATH | OpenFlags::O_DIRECTORY;
            roots.push(Rc::new(dirfd::open_child(*parent, b".", flags, 0)?));
        }
        Ok(Self { roots, dialect, last: None })
    }

    /// What is visible at `path`, which is clean and goes through no symbolic link.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<Found>> {
        if self.roots.is_empty() {
            return Ok(None);
        }
        let (parent, name) = path::split(path);
        if name.is_empty() {
            let Some(root) = self.roots.first() else { return Ok(None) };
            let stat = dirfd::fstat(root.as_fd())?;
            return Ok(Some(Found { dir: Rc::clone(root), name: b".".to_vec(), stat }));
        }
        for dir in self.merged(parent)?.iter() {
            match dirfd::statat(dir.as_fd(), name) {
                Ok(stat) if dialect::is_whiteout(self.dialect, dir.as_fd(), name, &stat)? => return Ok(None),
                Ok(stat) => return Ok(Some(Found { dir: Rc::clone(dir), name: name.to_vec(), stat })),
                Err(error) if error.errno == Errno::ENOENT => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Names of the merged root directory, whiteouts left out.
    pub(super) fn root_names(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut names = std::collections::BTreeSet::new();
        for root in &self.roots {
            names.extend(dirfd::read_dir(root.as_fd())?.into_iter().map(|entry| entry.name));
        }
        let mut visible = Vec::new();
        for name in names {
            if self.find(&name)?.is_some() {
                visible.push(name);
            }
        }
        Ok(visible)
    }

    fn merged(&mut self, path: &[u8]) -> Result<Rc<Merged>> {
        if let Some((_, merged)) = self.last.as_ref().filter(|(known, _)| known == path) {
            return Ok(Rc::clone(merged));
        }
        let mut merged = self.roots.clone();
        for component in path::components(path) {
            merged = self.descend(&merged, component)?;
            if merged.is_empty() {
                break;
            }
        }
        let merged = Rc::new(merged);
        self.last = Some((path.to_vec(), Rc::clone(&merged)));
        Ok(merged)
    }

    fn descend(&self, dirs: &[Rc<OwnedFd>], name: &[u8]) -> Result<Merged> {
        let mut below = Vec::new();
        for dir in dirs {
            let flags = OpenFlags::O_PATH;
            let child = match dirfd::open_child(dir.as_fd(), name, flags, 0) {
                Err(error) if error.errno == Errno::ENOENT => continue,
                other => other?,
            };
            // A whiteout or any other file ends the directory here.
            if dirfd::fstat(child.as_fd())?.kind != FileKind::Directory {
                break;
            }
            let opaque = dialect::is_opaque(self.dialect, child.as_fd())?;
            below.push(Rc::new(child));
            if opaque {
                break;
            }
        }
        Ok(below)
    }
}
