//! What can be done only when all entries are there.

use std::os::fd::AsFd;

use ctr_sys::dirfd::{self, FileKind, OpenFlags};
use ctr_sys::{Errno, xattr};

use super::whiteout::make_whiteout;
use super::{Ownership, Unpacked, Unpacker, host};
use crate::dialect;
use crate::error::Result;
use crate::path;

impl Unpacker<'_> {
    /// Gives directories their metadata; nothing may be made in them afterwards.
    pub(crate) fn finish(mut self) -> Result<Unpacked> {
        self.expand_opaque_root()?;
        self.drop_hidden_whiteouts()?;
        let dirs = std::mem::take(&mut self.dirs);
        self.stats.self_contained = !self.depends && !dirs.values().any(|dir| dir.implicit);
        // Backwards, so that children come before their parents: making the parent unreadable must not matter.
        for (path, dir) in dirs.iter().rev() {
            let fail = |source| host(path, source);
            let name: &[u8] = if path.is_empty() { b"." } else { path };
            let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
            let fd = dirfd::openat2(self.root.as_fd(), name, flags, 0, dirfd::BENEATH_NO_LINKS).map_err(fail)?;
            if dir.opaque && !path.is_empty() {
                xattr::set_open(fd.as_fd(), dialect::opaque(self.options.dialect), b"y").map_err(fail)?;
            }
            if path.is_empty() && self.options.ownership == Ownership::Chown {
                // The root was made by the caller, perhaps with the group of a set-gid directory.
                dirfd::fchown(fd.as_fd(), dir.metadata.uid, dir.metadata.gid).map_err(fail)?;
            }
            self.apply_open(fd.as_fd(), &dir.metadata, 0o700).map_err(fail)?;
        }
        Ok(self.stats)
    }

    /// Overlay does not look at the mark on the root of a layer, so an opaque root is spelled out, name by name.
    fn expand_opaque_root(&mut self) -> Result<()> {
        if !self.dirs.get(&b""[..]).is_some_and(|root| root.opaque) {
            return Ok(());
        }
        self.depends = true;
        for name in self.lowers.root_names().map_err(|source| host(b"", source))? {
            let fail = |source| host(&name, source);
            match dirfd::statat(self.root.as_fd(), &name) {
                Ok(stat) if stat.kind == FileKind::Directory => {
                    if let Some(dir) = self.dirs.get_mut(&name) {
                        dir.opaque = true;
                    }
                }
                Ok(_) => {}
                Err(error) if error.errno == Errno::ENOENT => {
                    make_whiteout(self.options.dialect, self.root.as_fd(), &name, &name)?;
                }
                Err(error) => return Err(fail(error)),
            }
        }
        Ok(())
    }

    /// Overlay lists whiteouts in a directory that merges with nothing, so those below an opaque directory go.
    fn drop_hidden_whiteouts(&mut self) -> Result<()> {
        for whiteout in std::mem::take(&mut self.whiteouts) {
            // An opaque root was spelled out before: there a whiteout is what hides.
            let in_root = path::split(&whiteout).0.is_empty();
            if in_root || !self.hides_lower(&whiteout) {
                continue;
            }
            let parent = self.parent(path::split(&whiteout).0)?;
            dirfd::unlinkat(parent.fd.as_fd(), path::split(&whiteout).1).map_err(|source| host(&whiteout, source))?;
        }
        Ok(())
    }
}
