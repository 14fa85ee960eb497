//! A layer's archive to a directory in overlay's form.
//!
//! Everything happens by directory fds below the layer's own directory, which nobody else writes. The parent directory
//! of an entry is opened with `openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)`; the last component is made exclusively
//! and never followed; what is in the way is removed first.
//!
//! - A symbolic link in the parent of an entry is resolved as a container would resolve it that had this layer on top of
//!   its parents (umoci and containerd do so too): links and `..` in them stay below the root.
//! - A directory that the archive names only as parent takes its owner, mode, times and attributes from the layers below.
//! - A whiteout and an entry of the same name in one layer: the entry wins, whatever their order, because whiteouts are
//!   about the layers below only (OCI image-spec layer.md, "Whiteouts"); a directory is then opaque.
//! - A whiteout of what is not there is dropped: overlay would show it in directory listings.
//! - Directories get owner, mode, attributes and times at the end: making files in them changes their times, and a mode
//!   without write permission would keep a user out.

mod create;
mod finish;
mod lower;
mod metadata;
mod resolve;
mod whiteout;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::SysError;
use ctr_sys::dirfd::{self, FileKind, OpenFlags};
use ctr_sys::xattr::{self, Target};

use crate::error::{EntryFault, LayerError, Result, show};
use crate::limits::{DIRECTORY_OVERHEAD, LimitError, Limits};
use crate::path::{self, PathError};
use crate::tar::{Entry, EntryKind, TarReader};
use ctr_core::digest::Digest;
use ctr_core::store::LayerDone;
pub use ctr_core::store::XattrDialect;
use lower::Lowers;
use metadata::{Fresh, Metadata};
use resolve::Parent;

/// How owners are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Files get the owners of the archive. Needs root, or root of a user namespace with a range of ids.
    Chown,
    /// All files belong to the caller; owner, mode and device number are recorded in
    /// [`OVERRIDE_STAT`](crate::OVERRIDE_STAT). Devices become empty files.
    Record,
}

/// How a layer is unpacked.
#[derive(Debug, Clone, Copy)]
pub struct UnpackOptions<'a> {
    /// Which attributes overlay will read.
    pub dialect: XattrDialect,
    /// The `fs` directories of the layers below, top first.
    pub parents: &'a [BorrowedFd<'a>],
    /// How owners are kept.
    pub ownership: Ownership,
    /// Limits against bombs.
    pub limits: Limits,
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// Nothing depended on the layers below: the tree is the same on top of any other.
    pub self_contained: bool,
    /// The largest user id that owns something.
    pub max_uid: u32,
    /// The largest group id that owns something.
    pub max_gid: u32,
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Attributes of the archive that were left out: labels of the machine that made it, and what
    /// [`Ownership::Record`] cannot set.
    pub dropped_xattrs: u64,
    /// Devices that became empty files, because devices cannot be made here.
    pub devices_as_files: u64,
}

impl Unpacked {
    /// The record that goes beside the layer in the store.
    pub fn done(&self, diff_id: Digest, chain_id: Digest) -> LayerDone {
        LayerDone {
            diff_id,
            chain_id,
            self_contained: self.self_contained,
            max_uid: self.max_uid,
            max_gid: self.max_gid,
            entries: self.entries,
            bytes: self.bytes,
            counted: false,
        }
    }
}

/// Unpacks one layer.
pub struct Unpacker<'a> {
    root: OwnedFd,
    options: UnpackOptions<'a>,
    lowers: Lowers,
    fresh: Fresh,
    /// The directory that the last entry was made in.
    parent: Option<Parent>,
    /// All directories of the layer by path, with what they get at the end.
    dirs: BTreeMap<Vec<u8>, Directory>,
    /// Bytes that went into `dirs`.
    remembered: usize,
    /// Paths of the whiteouts made.
    whiteouts: BTreeSet<Vec<u8>>,
    /// Something was taken from the layers below, or would have been.
    depends: bool,
    stats: Unpacked,
}

/// What a directory gets at the end.
#[derive(Debug, Clone)]
struct Directory {
    metadata: Metadata,
    /// It hides the directory of that name below.
    opaque: bool,
    /// The archive had no entry for it (yet).
    implicit: bool,
}

impl<'a> Unpacker<'a> {
    /// Unpacks into the empty directory `target`, which no one else may write.
    pub fn new(target: impl AsFd, options: UnpackOptions<'a>) -> Result<Self> {
        let host = |source| LayerError::Host { path: String::new(), source };
        let root = dirfd::open_child(target.as_fd(), b".", OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY, 0);
        let root = root.map_err(host)?;
        // Neither may leak into the files: an inherited ACL, an inherited group.
        xattr::remove(Target::Fd(root.as_fd()), b"system.posix_acl_default").map_err(host)?;
        dirfd::fchmod(root.as_fd(), 0o700).map_err(host)?;
        let fresh = Fresh::probe(root.as_fd()).map_err(host)?;
        let lowers = Lowers::new(options.parents, options.dialect).map_err(host)?;
        let stats = Unpacked {
            self_contained: false,
            max_uid: 0,
            max_gid: 0,
            entries: 0,
            bytes: 0,
            dropped_xattrs: 0,
            devices_as_files: 0,
        };
        let mut unpacker = Self {
            root,
            options,
            lowers,
            fresh,
            parent: None,
            dirs: BTreeMap::new(),
            remembered: 0,
            whiteouts: BTreeSet::new(),
            depends: false,
            stats,
        };
        unpacker.start_root()?;
        Ok(unpacker)
    }

    /// Unpacks the archive that `input` is at the start of, up to its end mark.
    pub fn unpack(mut self, input: impl BufRead) -> Result<Unpacked> {
        let mut reader = TarReader::new(input, self.options.limits);
        self.unpack_entries(&mut reader)?;
        self.finish()
    }

    /// The limits it was made with.
    pub fn limits(&self) -> Limits {
        self.options.limits
    }

    /// Unpacks all entries of `reader`; [`Unpacker::finish`] must follow.
    pub(crate) fn unpack_entries<R: BufRead>(&mut self, reader: &mut TarReader<R>) -> Result<()> {
        while let Some(entry) = reader.next_entry()? {
            self.stats.entries += 1;
            if self.stats.entries > self.options.limits.entries {
                return Err(limit(b"", LimitError::Entries(self.options.limits.entries)));
            }
            self.unpack_entry(&entry, reader).map_err(|error| name_entry(error, &entry.name))?;
        }
        Ok(())
    }

    fn unpack_entry<R: BufRead>(&mut self, entry: &Entry, reader: &mut TarReader<R>) -> Result<()> {
        let limits = self.options.limits;
        let path = path::clean(&entry.name, &limits).map_err(|error| path_error(&entry.name, error))?;
        if entry.link.len() > limits.path_bytes {
            return Err(limit(&path, LimitError::PathBytes { limit: limits.path_bytes, found: entry.link.len() }));
        }
        if path.is_empty() && entry.kind != EntryKind::Directory {
            return Err(refused(&path, EntryFault::Root));
        }
        match whiteout::kind_of(&path).map_err(|fault| refused(&entry.name, fault))? {
            whiteout::Name::Ordinary => self.create(&path, entry, reader),
            whiteout::Name::Ignored => Ok(()),
            whiteout::Name::Whiteout(name) => self.white_out(path::split(&path).0, name),
            whiteout::Name::Opaque => self.make_opaque(path::split(&path).0),
        }
    }

    /// The root of the layer exists, whether the archive names it or not. If it does not, it looks like the root below.
    /// The usual root (0755, owned by root) does not make the layer depend on its parents.
    fn start_root(&mut self) -> Result<()> {
        let mut metadata = Metadata::of_implicit_directory();
        if let Some(found) = self.lowers.find(b"").map_err(|source| host(b"", source))? {
            let below = self.metadata_of_lower(&found)?;
            self.depends |= (below.mode, below.uid, below.gid) != (metadata.mode, metadata.uid, metadata.gid)
                || !below.xattrs.is_empty();
            metadata = below;
        }
        // Not marked as implicit: what it took from below is decided here.
        self.remember(Vec::new(), Directory { metadata, opaque: false, implicit: false })
    }

    /// Keeps what the directory at `path` gets at the end. One long name makes many directories, and each may have large
    /// attributes, so what is kept has a limit of its own.
    fn remember(&mut self, path: Vec<u8>, dir: Directory) -> Result<()> {
        let attributes: usize = dir.metadata.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.remembered = self.remembered.saturating_add(path.len() + attributes + DIRECTORY_OVERHEAD);
        let most = self.options.limits.directory_bytes;
        if self.remembered > most {
            return Err(limit(&path, LimitError::DirectoryBytes(most)));
        }
        self.dirs.insert(path, dir);
        Ok(())
    }

    /// Is what lies below the layer at `path` hidden by the layer itself?
    fn hides_lower(&self, path: &[u8]) -> bool {
        let mut above = path;
        while !above.is_empty() {
            above = path::split(above).0;
            if self.dirs.get(above).is_some_and(|dir| dir.opaque) {
                return true;
            }
        }
        false
    }

    /// What the layers below show at `path`, unless this layer hides it. Makes the layer depend on them.
    fn find_below(&mut self, path: &[u8]) -> Result<Option<lower::Found>> {
        if self.hides_lower(path) {
            return Ok(None);
        }
        self.depends = true;
        self.lowers.find(path).map_err(|source| host(path, source))
    }

    /// Removes what the layer has at `path`, which is `name` in `dir`.
    fn clear(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<()> {
        let stat = dirfd::statat(dir, name).map_err(|source| host(path, source))?;
        if stat.kind != FileKind::Directory {
            self.whiteouts.remove(path);
            return dirfd::unlinkat(dir, name).map_err(|source| host(path, source));
        }
        self.parent = None;
        self.dirs.remove(path);
        // All that is below stands together: "/" is followed by "0".
        let (first, end) = ([path, b"/"].concat(), [path, b"0"].concat());
        while let Some(known) = self.dirs.range(first.clone()..end.clone()).next().map(|(known, _)| known.clone()) {
            self.dirs.remove(&known);
        }
        while let Some(known) = self.whiteouts.range(first.clone()..end.clone()).next().cloned() {
            self.whiteouts.remove(&known);
        }
        dirfd::remove_tree(dir, name).map_err(|source| host(path, source))
    }
}

fn host(path: &[u8], source: SysError) -> LayerError {
    LayerError::Host { path: show(path), source }
}

fn refused(path: &[u8], fault: EntryFault) -> LayerError {
    LayerError::Refused { path: show(path), fault }
}

fn limit(path: &[u8], limit: LimitError) -> LayerError {
    LayerError::Limit { path: show(path), limit }
}

fn path_error(name: &[u8], error: PathError) -> LayerError {
    match error {
        PathError::Fault(fault) => refused(name, fault),
        PathError::Limit(which) => limit(name, which),
    }
}

/// Adds the entry's name to an error that has none.
fn name_entry(error: LayerError, name: &[u8]) -> LayerError {
    match error {
        LayerError::Limit { path, limit } if path.is_empty() => LayerError::Limit { path: show(name), limit },
        LayerError::Host { path, source } if path.is_empty() => LayerError::Host { path: show(name), source },
        other => other,
    }
}
