//! Whiteouts (OCI image-spec layer.md, "Whiteouts"): `.wh.NAME` deletes NAME of the layers below, `.wh..wh..opq` all that
//! is in its directory.

use std::os::fd::{AsFd, BorrowedFd};

use ctr_core::store::XattrDialect;
use ctr_sys::Errno;
use ctr_sys::dirfd::{self, FileKind};

use super::{Unpacker, host};
use crate::error::{EntryFault, LayerError, Result, show};
use crate::{dialect, path};

/// What a path's name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// Nothing special.
    Ordinary,
    /// Deletes this name of the layers below.
    Whiteout(&'a [u8]),
    /// Hides what its directory has below.
    Opaque,
    /// Bookkeeping of aufs, which Docker's early layers have; everyone skips it.
    Ignored,
}

const PREFIX: &[u8] = b".wh.";
const META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Sorts a clean path.
pub(super) fn kind_of(path: &[u8]) -> std::result::Result<Name<'_>, EntryFault> {
    let (parent, name) = path::split(path);
    for component in path::components(parent) {
        if component.starts_with(META) {
            return Ok(Name::Ignored);
        }
        if component.starts_with(PREFIX) {
            return Err(EntryFault::Reserved);
        }
    }
    match name.strip_prefix(PREFIX) {
        None => Ok(Name::Ordinary),
        Some(_) if name == OPAQUE => Ok(Name::Opaque),
        Some(_) if name.starts_with(META) => Ok(Name::Ignored),
        Some(b"" | b"." | b"..") => Err(EntryFault::Whiteout),
        Some(deleted) => Ok(Name::Whiteout(deleted)),
    }
}

impl Unpacker<'_> {
    /// Deletes `name`, in the directory `asked`, of the layers below.
    pub(super) fn white_out(&mut self, asked: &[u8], name: &[u8]) -> Result<()> {
        if self.is_no_directory(asked) {
            return Ok(());
        }
        let parent = self.parent(asked)?;
        let child = path::join(&parent.path, name);
        match dirfd::statat(parent.fd.as_fd(), name) {
            Ok(stat) if stat.kind == FileKind::Directory => {
                // The layer has a directory of that name: it replaces the deleted one.
                if let Some(dir) = self.dirs.get_mut(&child) {
                    dir.opaque = true;
                }
                return Ok(());
            }
            Ok(_) => return Ok(()),
            Err(error) if error.errno == Errno::ENOENT => {}
            Err(error) => return Err(host(&child, error)),
        }
        // Whether a whiteout is needed depends on what is below.
        self.depends = true;
        if self.find_below(&child)?.is_none() {
            return Ok(());
        }
        make_whiteout(self.options.dialect, parent.fd.as_fd(), name, &child)?;
        self.whiteouts.insert(child);
        Ok(())
    }

    /// Whether this layer has something else at `asked` or above it. umoci deletes the content of a directory that became a
    /// file name by name, after the file: that hides all of it already, and must not become a directory again.
    fn is_no_directory(&self, asked: &[u8]) -> bool {
        self.open_directory(asked).is_err_and(|error| error.errno == Errno::ENOTDIR)
    }

    /// Hides what the directory `asked` has below.
    pub(super) fn make_opaque(&mut self, asked: &[u8]) -> Result<()> {
        if self.is_no_directory(asked) {
            return Ok(());
        }
        let parent = self.parent(asked)?;
        if let Some(dir) = self.dirs.get_mut(&parent.path) {
            dir.opaque = true;
        }
        Ok(())
    }
}

/// Makes overlay's form of a whiteout: a layer whose deleted files come back must not be made.
pub(super) fn make_whiteout(dialect: XattrDialect, dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<()> {
    dialect::make_whiteout(dialect, dir, name).map_err(|source| match source.errno {
        Errno::EPERM | Errno::EOPNOTSUPP => LayerError::NoWhiteouts { path: show(path), source },
        _ => host(path, source),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (path, kind) in [
            (&b"a/.wh.b"[..], Ok(Name::Whiteout(&b"b"[..]))),
            (b".wh.b", Ok(Name::Whiteout(b"b"))),
            (b".wh.b.wh.", Ok(Name::Whiteout(b"b.wh."))),
            (b"a/.wh..wh..opq", Ok(Name::Opaque)),
            (b".wh..wh..opq", Ok(Name::Opaque)),
            (b".wh..wh.plnk/1.2", Ok(Name::Ignored)),
            (b".wh..wh.aufs", Ok(Name::Ignored)),
            (b".wh...", Err(EntryFault::Whiteout)),
            (b".wh..", Err(EntryFault::Whiteout)),
            (b"a/.wh.", Err(EntryFault::Whiteout)),
            (b".wh..b", Ok(Name::Whiteout(b".b"))),
            (b".wh.a/b", Err(EntryFault::Reserved)),
            (b".wh", Ok(Name::Ordinary)),
            (b"a.wh.b", Ok(Name::Ordinary)),
        ] {
            assert_eq!(kind_of(path), kind, "{}", path.escape_ascii());
        }
    }
}
