//! Owners, modes, attributes and times.

use std::os::fd::{AsFd, BorrowedFd};

use ctr_sys::dirfd::{self, OpenFlags, Timestamp};
use ctr_sys::xattr::{self, Target};

use super::lower::Found;
use super::{Ownership, Unpacker, host, refused};
use crate::dialect::{
    OVERRIDE_STAT, Override, is_foreign_attribute, is_overlay_attribute, override_value, parse_override,
};
use crate::error::{EntryFault, Result, show};
use crate::tar::{Entry, EntryKind};

/// What a file gets besides its content.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Metadata {
    /// Of a directory that neither the archive nor a layer below tells anything of.
    pub(super) fn of_implicit_directory() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime: Timestamp::default(), xattrs: Vec::new() }
    }

    /// Owner, mode and device number as [`OVERRIDE_STAT`] keeps them.
    pub(super) fn record(&self, device: Option<(EntryKind, u32, u32)>) -> Vec<u8> {
        override_value(&Override { uid: self.uid, gid: self.gid, mode: self.mode, device })
    }
}

/// What new files look like before anything is set: owner and permission bits that the process gives them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fresh {
    uid: u32,
    gid: u32,
    /// Bits that the umask lets through.
    mask: u32,
}

impl Fresh {
    /// Makes a file in `dir` to see. Cheaper than asking for, or setting, what the owner of each file is already.
    pub(super) fn probe(dir: BorrowedFd<'_>) -> ctr_sys::Result<Self> {
        let name = b".ctr-probe";
        let flags = OpenFlags::O_WRONLY | OpenFlags::O_CREAT | OpenFlags::O_EXCL;
        let fd = dirfd::open_child(dir, name, flags, 0o777)?;
        let stat = dirfd::fstat(fd.as_fd());
        dirfd::unlinkat(dir, name)?;
        let stat = stat?;
        Ok(Self { uid: stat.uid, gid: stat.gid, mask: stat.mode })
    }

    fn owns(&self, metadata: &Metadata) -> bool {
        (self.uid, self.gid) == (metadata.uid, metadata.gid)
    }

    /// Has a file that was made with `mode` that mode?
    fn keeps(&self, mode: u32) -> bool {
        mode & !self.mask == 0
    }
}

impl Unpacker<'_> {
    /// The metadata of an entry, as far as it can be given here.
    pub(super) fn metadata_of(&mut self, entry: &Entry) -> Result<Metadata> {
        let id = |id: u64| match u32::try_from(id) {
            // The highest id means "leave as it is" to chown(2).
            Ok(u32::MAX) | Err(_) => Err(refused(&entry.name, EntryFault::Owner(id))),
            Ok(id) => Ok(id),
        };
        let (uid, gid) = (id(entry.uid)?, id(entry.gid)?);
        self.count_owner(uid, gid);
        let mut xattrs = Vec::new();
        for (name, value) in &entry.xattrs {
            if is_overlay_attribute(name) {
                return Err(refused(&entry.name, EntryFault::OverlayAttribute(show(name))));
            }
            if self.can_set(name) {
                xattrs.push((name.clone(), value.clone()));
            } else {
                self.stats.dropped_xattrs += 1;
            }
        }
        Ok(Metadata { mode: entry.mode, uid, gid, mtime: entry.mtime, xattrs })
    }

    /// The metadata of a file below, overlay's attributes left out.
    pub(super) fn metadata_of_lower(&mut self, found: &Found) -> Result<Metadata> {
        let fail = |source| host(&found.name, source);
        let target = Target::Child(found.dir.as_fd(), &found.name);
        let stat = &found.stat;
        let mut metadata =
            Metadata { mode: stat.mode, uid: stat.uid, gid: stat.gid, mtime: stat.mtime, xattrs: Vec::new() };
        for name in xattr::list(target).map_err(fail)? {
            if is_overlay_attribute(&name) || is_foreign_attribute(&name) {
                continue;
            }
            let value = xattr::get(target, &name).map_err(fail)?.unwrap_or_default();
            if name == OVERRIDE_STAT && self.options.ownership == Ownership::Record {
                // The owner that counts is the recorded one.
                if let Some(record) = parse_override(&value) {
                    (metadata.uid, metadata.gid, metadata.mode) = (record.uid, record.gid, record.mode);
                }
                continue;
            }
            metadata.xattrs.push((name, value));
        }
        self.count_owner(metadata.uid, metadata.gid);
        Ok(metadata)
    }

    pub(super) fn count_owner(&mut self, uid: u32, gid: u32) {
        self.stats.max_uid = self.stats.max_uid.max(uid);
        self.stats.max_gid = self.stats.max_gid.max(gid);
    }

    fn can_set(&self, name: &[u8]) -> bool {
        if is_foreign_attribute(name) || name == OVERRIDE_STAT {
            return false;
        }
        match self.options.ownership {
            Ownership::Record => name.starts_with(b"user."),
            // Outside the initial user namespace the kernel refuses all of trusted.*.
            Ownership::Chown => !name.starts_with(b"trusted.") || self.options.dialect == super::XattrDialect::Trusted,
        }
    }

    /// Mode to make a regular file with. Recording needs to write attributes, whatever the final mode allows.
    pub(super) fn mode_to_create(&self, metadata: &Metadata) -> u32 {
        match self.options.ownership {
            Ownership::Chown => metadata.mode & 0o777,
            Ownership::Record => 0o600,
        }
    }

    /// Mode of a file that was made with `created`. Where the true one is on record the owner keeps what it was made with,
    /// or an ordinary user could not read (verify, export) a file that only root may read in the image.
    fn mode_on_disk(&self, metadata: &Metadata, created: u32) -> u32 {
        match self.options.ownership {
            Ownership::Chown => metadata.mode,
            Ownership::Record => metadata.mode | created & 0o700,
        }
    }

    /// Gives metadata to the open file `fd`, made with the mode `created`, of this kind. Order: the owner first, because
    /// chown clears capabilities and set-id bits; then attributes, mode, times.
    pub(super) fn apply_open(&self, fd: BorrowedFd<'_>, metadata: &Metadata, created: u32) -> ctr_sys::Result<()> {
        match self.options.ownership {
            Ownership::Chown if !self.fresh.owns(metadata) => dirfd::fchown(fd, metadata.uid, metadata.gid)?,
            Ownership::Chown => {}
            Ownership::Record => xattr::set_open(fd, OVERRIDE_STAT, &metadata.record(None))?,
        }
        for (name, value) in &metadata.xattrs {
            xattr::set_open(fd, name, value)?;
        }
        let mode = self.mode_on_disk(metadata, created);
        if created != mode || !self.fresh.keeps(created) {
            dirfd::fchmod(fd, mode)?;
        }
        dirfd::set_times(fd, metadata.mtime)
    }

    /// Gives metadata to `name` in `dir`, which was just made as a symbolic link, device or fifo.
    pub(super) fn apply_special(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        kind: EntryKind,
        metadata: &Metadata,
    ) -> ctr_sys::Result<()> {
        if self.options.ownership == Ownership::Chown {
            if !self.fresh.owns(metadata) {
                dirfd::chownat(dir, name, metadata.uid, metadata.gid)?;
            }
            for (attribute, value) in &metadata.xattrs {
                xattr::set(Target::Child(dir, name), attribute, value)?;
            }
        }
        if kind != EntryKind::Symlink {
            dirfd::fchmodat_own(dir, name, metadata.mode)?;
        }
        dirfd::set_times_at(dir, name, metadata.mtime)
    }
}
