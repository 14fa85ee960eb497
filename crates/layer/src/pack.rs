//! A directory tree to a layer, so that the same tree gives the same bytes: entries sorted by name bytewise, directory
//! by directory, fixed header fields, times cut to seconds. Names are opened one component at a time and never followed,
//! so a tree that somebody changes meanwhile cannot lead outside of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_core::digest::{Digest, Hasher};
use ctr_core::store::XattrDialect;
use ctr_sys::SysError;
use ctr_sys::dirfd::{self, DirEntry, FileKind, OpenFlags, Stat, Timestamp};
use ctr_sys::xattr::{self, Target};

use crate::codec::Compression;
use crate::dialect::{
    OVERRIDE_STAT, is_foreign_attribute, is_opaque, is_overlay_attribute, is_whiteout, parse_override, recorded_device,
};
use crate::error::{EntryFault, LayerError, Result, show};
use crate::limits::{LimitError, Limits};
use crate::path;
use crate::tar::{Entry, EntryKind, TarWriter};
use crate::unpack::Ownership;

/// How a tree is packed.
#[derive(Debug, Clone, Copy)]
pub struct PackOptions {
    /// Later times are set to this, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub clamp_mtime: Option<i64>,
    /// Owner of all files, instead of their own.
    pub owner: Option<(u32, u32)>,
    /// Keep nanoseconds of times.
    pub nanoseconds: bool,
    /// The tree is an overlay upper of this dialect: its whiteouts become `.wh.` entries.
    pub upper: Option<XattrDialect>,
    /// With [`Ownership::Record`] owners come from [`crate::OVERRIDE_STAT`].
    pub ownership: Ownership,
    /// Limits that the layer must keep, so that it can be unpacked again.
    pub limits: Limits,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            clamp_mtime: None,
            owner: None,
            nanoseconds: false,
            upper: None,
            ownership: Ownership::Chown,
            limits: Limits::default(),
        }
    }
}

/// What was packed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of file content.
    pub bytes: u64,
    /// Paths of sockets, which archives cannot have: they were left out.
    pub sockets: Vec<String>,
}

/// A packed and compressed layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedLayer {
    /// Digest of the compressed blob.
    pub digest: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Size of the tar in bytes.
    pub tar_size: u64,
    /// What is in it.
    pub packed: Packed,
}

/// Packs the tree below `root` and compresses it into `sink`.
pub fn pack_layer(
    root: BorrowedFd<'_>,
    options: &PackOptions,
    compression: Compression,
    sink: impl Write,
) -> Result<PackedLayer> {
    let encoder = compression.encoder(Hashing::new(sink)).map_err(LayerError::Sink)?;
    let mut tar = Hashing::new(encoder);
    let packed = pack_tree(root, options, &mut tar)?;
    let (encoder, diff_id, tar_size) = tar.finish();
    let (_, digest, size) = encoder.finish().map_err(LayerError::Sink)?.finish();
    Ok(PackedLayer { digest, size, diff_id, tar_size, packed })
}

/// Packs the tree below `root` as a tar into `output`.
pub fn pack_tree(root: BorrowedFd<'_>, options: &PackOptions, output: impl Write) -> Result<Packed> {
    let mut packer =
        Packer { options, writer: TarWriter::new(output), packed: Packed::default(), links: HashMap::new() };
    packer.tree(root)?;
    packer.writer.finish().map_err(LayerError::Sink)?;
    Ok(packer.packed)
}

/// A writer that hashes and counts what goes through it.
pub struct Hashing<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Hashing<W> {
    /// Around `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(), size: 0 }
    }

    /// The inner writer, digest and size of what was written.
    pub fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.hasher.finish(), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct Packer<'a, W> {
    options: &'a PackOptions,
    writer: TarWriter<W>,
    packed: Packed,
    /// First path of every file with several names.
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// A directory that is being packed: its remaining entries, last first.
struct Level {
    fd: OwnedFd,
    path: Vec<u8>,
    entries: Vec<DirEntry>,
}

impl<W: Write> Packer<'_, W> {
    fn tree(&mut self, root: BorrowedFd<'_>) -> Result<()> {
        let fd = dirfd::open_child(root, b".", OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY, 0);
        let mut stack = vec![self.enter(fd.map_err(|source| host(b"", source))?, Vec::new())?];
        while let Some(level) = stack.last_mut() {
            let Some(entry) = level.entries.pop() else {
                stack.pop();
                continue;
            };
            let child = path::join(&level.path, &entry.name);
            let opened = self.file(level.fd.as_fd(), &entry.name, &child)?;
            // As deep as there are directories above, the root among them.
            let (depth, limit) = (stack.len(), self.options.limits.path_depth);
            if depth > limit {
                return Err(limited(&child, LimitError::PathDepth { limit, found: depth }));
            }
            if let Some(fd) = opened {
                stack.push(self.enter(fd, child)?);
            }
        }
        Ok(())
    }

    /// Writes a directory's own entry, and reads its names.
    fn enter(&mut self, fd: OwnedFd, path: Vec<u8>) -> Result<Level> {
        let fail = |source| host(&path, source);
        let stat = dirfd::fstat(fd.as_fd()).map_err(fail)?;
        let mut entry = self.entry(&path, &stat, Target::Fd(fd.as_fd()), EntryKind::Directory)?;
        entry.name = [if path.is_empty() { b"." } else { path.as_slice() }, b"/"].concat();
        self.write(&entry, io::empty())?;
        if let Some(dialect) = self.options.upper
            && is_opaque(dialect, fd.as_fd()).map_err(fail)?
        {
            self.whiteout(&path::join(&path, b".wh..wh..opq"))?;
        }
        let mut entries = dirfd::read_dir(fd.as_fd()).map_err(fail)?;
        entries.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        Ok(Level { fd, path, entries })
    }

    /// Writes `name` in `dir`; a directory is opened and left to [`Packer::enter`].
    fn file(&mut self, dir: BorrowedFd<'_>, name: &[u8], child: &[u8]) -> Result<Option<OwnedFd>> {
        let fail = |source| host(child, source);
        let stat = dirfd::statat(dir, name).map_err(fail)?;
        if let Some(dialect) = self.options.upper {
            if is_whiteout(dialect, dir, name, &stat).map_err(fail)? {
                let (above, name) = path::split(child);
                self.whiteout(&path::join(above, &[b".wh.", name].concat()))?;
                return Ok(None);
            }
        } else if stat.is_whiteout_device() {
            return Err(refused(child, EntryFault::WhiteoutDevice));
        }
        if name.starts_with(b".wh.") {
            return Err(refused(child, EntryFault::Reserved));
        }
        let Some(kind) = EntryKind::of(stat.kind) else {
            self.packed.sockets.push(show(child));
            return Ok(None);
        };
        if kind == EntryKind::Directory {
            return dirfd::open_child(dir, name, OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY, 0)
                .map(Some)
                .map_err(fail);
        }
        if stat.nlink > 1 {
            let first = self.links.entry((stat.dev, stat.ino)).or_insert_with(|| child.to_vec());
            if first != child {
                let mut entry = self.options.bare(child, &stat, EntryKind::Hardlink);
                entry.link.clone_from(first);
                return self.write(&entry, io::empty()).map(|()| None);
            }
        }
        if kind == EntryKind::Regular {
            self.regular(dir, name, child)?;
        } else {
            let mut entry = self.entry(child, &stat, Target::Child(dir, name), kind)?;
            if kind == EntryKind::Symlink {
                entry.link = dirfd::readlinkat(dir, name).map_err(fail)?;
            }
            self.write(&entry, io::empty())?;
        }
        Ok(None)
    }

    fn regular(&mut self, dir: BorrowedFd<'_>, name: &[u8], child: &[u8]) -> Result<()> {
        let fail = |source| host(child, source);
        // Not blocking: the name could have become a fifo since it was looked at.
        let fd = dirfd::open_child(dir, name, OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK, 0).map_err(fail)?;
        let stat = dirfd::fstat(fd.as_fd()).map_err(fail)?;
        let mut entry = self.entry(child, &stat, Target::Fd(fd.as_fd()), EntryKind::Regular)?;
        // Of the upper directory of a build alone: whoever made another tree may not make devices by an attribute.
        if let (Some(dialect), Ownership::Chown, 0) = (self.options.upper, self.options.ownership, stat.size)
            && let Some((kind, major, minor)) = recorded_device(dialect, Target::Fd(fd.as_fd())).map_err(fail)?
        {
            (entry.kind, entry.device) = (kind, (major, minor));
        }
        if entry.kind != EntryKind::Regular {
            return self.write(&entry, io::empty());
        }
        entry.size = if stat.kind == FileKind::Regular { stat.size } else { 0 };
        let limit = self.options.limits.file_bytes;
        if entry.size > limit {
            return Err(limited(child, LimitError::FileBytes { limit, found: entry.size }));
        }
        self.packed.bytes += entry.size;
        self.write(&entry, File::from(fd))
    }

    fn whiteout(&mut self, name: &[u8]) -> Result<()> {
        let entry = Entry {
            name: name.to_vec(),
            kind: EntryKind::Regular,
            link: Vec::new(),
            mode: 0o600,
            uid: 0,
            gid: 0,
            size: 0,
            stored: 0,
            data_at: 0,
            mtime: Timestamp::default(),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        };
        self.write(&entry, io::empty())
    }

    fn write(&mut self, entry: &Entry, data: impl io::Read) -> Result<()> {
        self.packed.entries += 1;
        if self.packed.entries > self.options.limits.entries {
            return Err(limited(&entry.name, LimitError::Entries(self.options.limits.entries)));
        }
        self.writer.append(entry, data).map_err(LayerError::Sink)
    }

    /// The entry of a file, with its attributes.
    fn entry(&self, child: &[u8], stat: &Stat, target: Target<'_>, kind: EntryKind) -> Result<Entry> {
        let fail = |source| host(child, source);
        let mut entry = self.options.bare(child, stat, kind);
        for name in xattr::list(target).map_err(fail)? {
            if is_overlay_attribute(&name) || is_foreign_attribute(&name) {
                if self.options.upper.is_some() && (name.ends_with(b".redirect") || name.ends_with(b".metacopy")) {
                    return Err(refused(child, EntryFault::OverlayAttribute(show(&name))));
                }
                continue;
            }
            let value = xattr::get(target, &name).map_err(fail)?.unwrap_or_default();
            if name == OVERRIDE_STAT {
                if self.options.ownership == Ownership::Record {
                    self.options.apply_record(&mut entry, &value);
                }
                continue;
            }
            entry.xattrs.push((name, value));
        }
        Ok(entry)
    }
}

impl PackOptions {
    fn bare(&self, child: &[u8], stat: &Stat, kind: EntryKind) -> Entry {
        let (uid, gid) = self.owner.unwrap_or((stat.uid, stat.gid));
        let mut mtime = stat.mtime;
        if !self.nanoseconds {
            mtime.nanos = 0;
        }
        if let Some(latest) = self.clamp_mtime {
            mtime = mtime.min(Timestamp { secs: latest, nanos: 0 });
        }
        Entry {
            name: child.to_vec(),
            kind,
            link: Vec::new(),
            // Links always show 0777, but not on every file system.
            mode: if kind == EntryKind::Symlink { 0o777 } else { stat.mode },
            uid: uid.into(),
            gid: gid.into(),
            size: 0,
            stored: 0,
            data_at: 0,
            mtime,
            device: match kind {
                EntryKind::CharDevice | EntryKind::BlockDevice => (dirfd::major(stat.rdev), dirfd::minor(stat.rdev)),
                _ => (0, 0),
            },
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    /// Puts the recorded owner, mode and device in place of what the file shows.
    fn apply_record(&self, entry: &mut Entry, value: &[u8]) {
        let Some(record) = parse_override(value) else { return };
        if self.owner.is_none() {
            (entry.uid, entry.gid) = (record.uid.into(), record.gid.into());
        }
        entry.mode = record.mode;
        if let Some((kind, major, minor)) = record.device.filter(|_| entry.kind == EntryKind::Regular) {
            (entry.kind, entry.device) = (kind, (major, minor));
        }
    }
}

fn host(path: &[u8], source: SysError) -> LayerError {
    LayerError::Tree { path: show(path), source }
}

fn refused(path: &[u8], fault: EntryFault) -> LayerError {
    LayerError::Refused { path: show(path), fault }
}

fn limited(path: &[u8], limit: LimitError) -> LayerError {
    LayerError::Limit { path: show(path), limit }
}
