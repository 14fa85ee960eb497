//! Making the file of an entry.

use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use ctr_sys::dirfd::{self, FileKind, OpenFlags};
use ctr_sys::{Errno, SysError, xattr};

use super::lower::Found;
use super::metadata::Metadata;
use super::resolve::Parent;
use super::{Directory, Ownership, Unpacker, XattrDialect, host, limit, path_error, refused};
use crate::dialect::OVERRIDE_STAT;
use crate::error::{EntryFault, Result, show};
use crate::limits::LimitError;
use crate::path;
use crate::tar::{Entry, EntryKind, TarReader};

const NEW_FILE: OpenFlags = OpenFlags::O_WRONLY.union(OpenFlags::O_CREAT).union(OpenFlags::O_EXCL);

impl Unpacker<'_> {
    /// Makes the entry at the clean path `asked`.
    pub(super) fn create<R: BufRead>(&mut self, asked: &[u8], entry: &Entry, reader: &mut TarReader<R>) -> Result<()> {
        let metadata = self.metadata_of(entry)?;
        if asked.is_empty() {
            let opaque = self.dirs.get(&b""[..]).is_some_and(|root| root.opaque);
            return self.remember(Vec::new(), Directory { metadata, opaque, implicit: false });
        }
        let (above, name) = path::split(asked);
        let parent = self.parent(above)?;
        let child = path::join(&parent.path, name);
        match entry.kind {
            EntryKind::Directory => self.directory(&parent, name, child, metadata),
            EntryKind::Regular => self.regular(&parent, name, &child, &metadata, entry, reader),
            EntryKind::Hardlink => self.hardlink(&parent, name, &child, entry),
            EntryKind::Symlink if entry.link.is_empty() => Err(refused(&entry.name, EntryFault::EmptyLink)),
            EntryKind::Symlink if entry.link.contains(&0) => Err(refused(&entry.name, EntryFault::Nul)),
            EntryKind::Symlink | EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Fifo => {
                self.special(&parent, name, &child, entry.kind, &metadata, &entry.link, entry.device)
            }
        }
    }

    fn directory(&mut self, parent: &Parent, name: &[u8], child: Vec<u8>, metadata: Metadata) -> Result<()> {
        let dir = parent.fd.as_fd();
        let mut opaque = false;
        match dirfd::mkdirat(dir, name, 0o700) {
            Ok(()) => {}
            Err(error) if error.errno == Errno::EEXIST => {
                if let Some(known) = self.dirs.get(&child) {
                    let opaque = known.opaque;
                    return self.remember(child, Directory { metadata, opaque, implicit: false });
                }
                // What it replaces has replaced what is below: that must not show through.
                opaque = true;
                self.clear(dir, name, &child)?;
                dirfd::mkdirat(dir, name, 0o700).map_err(|source| host(&child, source))?;
            }
            Err(error) => return Err(host(&child, error)),
        }
        self.remember(child, Directory { metadata, opaque, implicit: false })
    }

    /// Does `make`; if something is in the way, removes that and does it again.
    fn make<T>(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        child: &[u8],
        make: impl Fn() -> ctr_sys::Result<T>,
    ) -> Result<T> {
        match make() {
            Err(error) if error.errno == Errno::EEXIST => {
                self.clear(dir, name, child)?;
                make().map_err(|source| host(child, source))
            }
            other => other.map_err(|source| host(child, source)),
        }
    }

    fn new_file(&mut self, parent: &Parent, name: &[u8], child: &[u8], mode: u32) -> Result<OwnedFd> {
        let dir = parent.fd.as_fd();
        self.make(dir, name, child, || dirfd::open_child(dir, name, NEW_FILE, mode))
    }

    fn regular<R: BufRead>(
        &mut self,
        parent: &Parent,
        name: &[u8],
        child: &[u8],
        metadata: &Metadata,
        entry: &Entry,
        reader: &mut TarReader<R>,
    ) -> Result<()> {
        let limits = self.options.limits;
        if entry.size > limits.file_bytes {
            return Err(limit(child, LimitError::FileBytes { limit: limits.file_bytes, found: entry.size }));
        }
        self.stats.bytes += entry.stored;
        if self.stats.bytes > limits.layer_bytes {
            return Err(limit(child, LimitError::LayerBytes(limits.layer_bytes)));
        }
        let mode = self.mode_to_create(metadata);
        let file = File::from(self.new_file(parent, name, child, mode)?);
        match &entry.sparse {
            None => write_data(&file, reader, child)?,
            Some(map) => {
                for segment in map {
                    write_segment(&file, reader, segment.offset, segment.length, child)?;
                }
                file.set_len(entry.size).map_err(|error| io_host("ftruncate", child, &error))?;
            }
        }
        self.apply_open(file.as_fd(), metadata, mode).map_err(|source| host(child, source))
    }

    #[allow(clippy::too_many_arguments)]
    fn special(
        &mut self,
        parent: &Parent,
        name: &[u8],
        child: &[u8],
        kind: EntryKind,
        metadata: &Metadata,
        link: &[u8],
        (major, minor): (u32, u32),
    ) -> Result<()> {
        let dir = parent.fd.as_fd();
        let file_kind = match kind {
            EntryKind::CharDevice => FileKind::CharDevice,
            EntryKind::BlockDevice => FileKind::BlockDevice,
            _ => FileKind::Fifo,
        };
        if kind == EntryKind::Symlink {
            self.make(dir, name, child, || dirfd::symlinkat(link, dir, name))?;
        } else if kind == EntryKind::Fifo {
            self.make(dir, name, child, || dirfd::mknodat(dir, name, file_kind, 0o600, 0))?;
        } else {
            let dev = dirfd::makedev(major, minor);
            // The kernel keeps 12 bits of the major number and 20 of the minor one (include/linux/kdev_t.h).
            if major >= 1 << 12 || minor >= 1 << 20 {
                return Err(refused(child, EntryFault::Device));
            }
            if kind == EntryKind::CharDevice && dev == 0 {
                return Err(refused(child, EntryFault::WhiteoutDevice));
            }
            if self.options.ownership == Ownership::Record {
                return self.device_as_file(parent, name, child, metadata, (kind, major, minor));
            }
            match self.make(dir, name, child, || dirfd::mknodat(dir, name, file_kind, 0o600, dev)) {
                Ok(()) => {}
                // A user namespace may not make devices.
                Err(crate::LayerError::Host { source, .. })
                    if source.errno == Errno::EPERM && self.options.dialect == XattrDialect::User =>
                {
                    return self.device_as_file(parent, name, child, metadata, (kind, major, minor));
                }
                Err(error) => return Err(error),
            }
        }
        self.apply_special(dir, name, kind, metadata).map_err(|source| host(child, source))
    }

    /// An empty file in place of a device, with the device's number on record.
    fn device_as_file(
        &mut self,
        parent: &Parent,
        name: &[u8],
        child: &[u8],
        metadata: &Metadata,
        device: (EntryKind, u32, u32),
    ) -> Result<()> {
        let file = self.new_file(parent, name, child, 0o600)?;
        self.stats.devices_as_files += 1;
        let record = metadata.record(Some(device));
        let plain = Metadata { mode: metadata.mode & 0o777, ..metadata.clone() };
        self.apply_open(file.as_fd(), &plain, 0o600)
            .and_then(|()| xattr::set_open(file.as_fd(), OVERRIDE_STAT, &record))
            .map_err(|source| host(child, source))
    }

    fn hardlink(&mut self, parent: &Parent, name: &[u8], child: &[u8], entry: &Entry) -> Result<()> {
        let limits = self.options.limits;
        let asked = path::clean(&entry.link, &limits).map_err(|error| match error {
            path::PathError::Fault(EntryFault::DotDot) => refused(&entry.name, EntryFault::LinkDotDot),
            other => path_error(&entry.link, other),
        })?;
        let missing = || refused(&entry.name, EntryFault::NoLinkTarget(show(&entry.link)));
        let is_directory = || refused(&entry.name, EntryFault::LinkToDirectory(show(&entry.link)));
        let (above, source_name) = path::split(&asked);
        if source_name.is_empty() {
            return Err(is_directory());
        }
        let source = self.parent(above)?;
        let source_path = path::join(&source.path, source_name);
        if source_path == child {
            // A link to itself: nothing to do if it is there, and clearing the way would delete it.
            return dirfd::statat(source.fd.as_fd(), source_name).map(drop).map_err(|_| missing());
        }
        if path::is_within(&source_path, child) {
            // Clearing the way would delete the target.
            return Err(is_directory());
        }
        match dirfd::statat(source.fd.as_fd(), source_name) {
            Ok(stat) if stat.kind == FileKind::Directory => return Err(is_directory()),
            Ok(stat) if stat.is_whiteout_device() => return Err(missing()),
            Ok(_) => {}
            Err(error) if error.errno == Errno::ENOENT => match self.find_below(&source_path)? {
                Some(found) if found.stat.kind == FileKind::Directory => return Err(is_directory()),
                Some(found) => self.copy_up(&source, source_name, &source_path, &found)?,
                None => return Err(missing()),
            },
            Err(error) => return Err(host(&source_path, error)),
        }
        let (from, to) = (source.fd.as_fd(), parent.fd.as_fd());
        self.make(to, name, child, || dirfd::linkat(from, source_name, to, name))
    }

    /// Copies a file of a layer below into this one, so that it can get another name here.
    fn copy_up(&mut self, parent: &Parent, name: &[u8], child: &[u8], found: &Found) -> Result<()> {
        let fail = |source| host(child, source);
        let metadata = self.metadata_of_lower(found)?;
        let (dir, stat) = (found.dir.as_fd(), &found.stat);
        match EntryKind::of(stat.kind) {
            Some(EntryKind::Regular) => {
                let from = dirfd::open_child(dir, &found.name, OpenFlags::O_RDONLY, 0).map_err(fail)?;
                let mode = self.mode_to_create(&metadata);
                let to = File::from(self.new_file(parent, name, child, mode)?);
                std::io::copy(&mut File::from(from), &mut &to).map_err(|error| io_host("copy", child, &error))?;
                self.apply_open(to.as_fd(), &metadata, mode).map_err(fail)
            }
            Some(kind) => {
                let link = match kind {
                    EntryKind::Symlink => dirfd::readlinkat(dir, &found.name).map_err(fail)?,
                    _ => Vec::new(),
                };
                let device = (dirfd::major(stat.rdev), dirfd::minor(stat.rdev));
                self.special(parent, name, child, kind, &metadata, &link, device)
            }
            None => Err(refused(child, EntryFault::NoLinkTarget(show(&found.name)))),
        }
    }
}

fn write_data<R: BufRead>(file: &File, reader: &mut TarReader<R>, child: &[u8]) -> Result<()> {
    loop {
        let data = reader.data()?;
        if data.is_empty() {
            return Ok(());
        }
        let length = data.len();
        (&mut &*file).write_all(data).map_err(|error| io_host("write", child, &error))?;
        reader.consume(length);
    }
}

fn write_segment<R: BufRead>(
    file: &File,
    reader: &mut TarReader<R>,
    mut offset: u64,
    mut length: u64,
    child: &[u8],
) -> Result<()> {
    while length > 0 {
        let data = reader.data()?;
        // The map was checked against the size of the data, so there is as much as it says.
        let count = usize::try_from(length).map_or(data.len(), |most| most.min(data.len()));
        let Some(data) = data.get(..count).filter(|data| !data.is_empty()) else { break };
        file.write_all_at(data, offset).map_err(|error| io_host("pwrite", child, &error))?;
        reader.consume(count);
        offset += count as u64;
        length -= count as u64;
    }
    Ok(())
}

fn io_host(call: &'static str, child: &[u8], error: &std::io::Error) -> crate::LayerError {
    host(child, SysError::from_io(call, show(child), error))
}
