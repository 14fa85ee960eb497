//! The directory that an entry goes into.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use ctr_sys::Errno;
use ctr_sys::dirfd::{self, FileKind, OpenFlags};

use super::metadata::Metadata;
use super::{Directory, Unpacker, host, refused};
use crate::error::{EntryFault, Result};
use crate::limits::{LINKS_FOLLOWED, STEPS_WALKED};
use crate::path;

/// An open directory of the layer.
#[derive(Clone)]
pub(super) struct Parent {
    /// As the archive named it.
    asked: Vec<u8>,
    /// Where it is: no symbolic link on the way.
    pub(super) path: Vec<u8>,
    pub(super) fd: Rc<OwnedFd>,
}

const DIRECTORY: OpenFlags = OpenFlags::O_PATH.union(OpenFlags::O_DIRECTORY);

impl Unpacker<'_> {
    /// The directory at the clean path `asked`, made if it is missing.
    pub(super) fn parent(&mut self, asked: &[u8]) -> Result<Parent> {
        if let Some(parent) = self.parent.as_ref().filter(|parent| parent.asked == asked) {
            return Ok(parent.clone());
        }
        let parent = match self.open_directory(asked) {
            Ok(fd) => Parent { asked: asked.to_vec(), path: asked.to_vec(), fd: Rc::new(fd) },
            // Missing, or a link or another file is on the way.
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => self.walk(asked)?,
            Err(error) => return Err(host(asked, error)),
        };
        self.parent = Some(parent.clone());
        Ok(parent)
    }

    /// Opens a directory of the layer, through no symbolic link.
    pub(super) fn open_directory(&self, path: &[u8]) -> ctr_sys::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        dirfd::openat2(self.root.as_fd(), path, DIRECTORY, 0, dirfd::BENEATH_NO_LINKS)
    }

    /// Goes down `asked` component by component: makes what is missing, follows links below the root.
    fn walk(&mut self, asked: &[u8]) -> Result<Parent> {
        let mut todo: VecDeque<Vec<u8>> = path::components(asked).map(<[u8]>::to_vec).collect();
        let mut links = 0;
        let mut at = Vec::new();
        let mut fd = Rc::new(self.open_directory(b"").map_err(|source| host(b"", source))?);
        let mut steps = 0;
        while let Some(name) = todo.pop_front() {
            steps += 1;
            if steps > STEPS_WALKED {
                return Err(refused(asked, EntryFault::LinkLoop));
            }
            if name == b"." {
                continue;
            }
            if name == b".." {
                at = path::split(&at).0.to_vec();
                fd = Rc::new(self.open_directory(&at).map_err(|source| host(&at, source))?);
                continue;
            }
            let child = path::join(&at, &name);
            if child.len() > self.options.limits.path_bytes {
                return Err(refused(asked, EntryFault::LinkLoop));
            }
            match self.step(&fd, &name, &child)? {
                Step::Into(below) => (at, fd) = (child, below),
                Step::Link(target) => {
                    links += 1;
                    if links > LINKS_FOLLOWED {
                        return Err(refused(asked, EntryFault::LinkLoop));
                    }
                    if target.starts_with(b"/") {
                        at = Vec::new();
                        fd = Rc::new(self.open_directory(b"").map_err(|source| host(b"", source))?);
                    }
                    for component in path::components(&target).rev() {
                        todo.push_front(component.to_vec());
                    }
                }
            }
        }
        Ok(Parent { asked: asked.to_vec(), path: at, fd })
    }

    /// From the directory `dir` to `name` in it, which is `child` from the root.
    fn step(&mut self, dir: &Rc<OwnedFd>, name: &[u8], child: &[u8]) -> Result<Step> {
        let fail = |source| host(child, source);
        let (metadata, opaque) = match dirfd::statat(dir.as_fd(), name) {
            Ok(stat) if stat.kind == FileKind::Directory => {
                return dirfd::open_child(dir.as_fd(), name, DIRECTORY, 0)
                    .map(|fd| Step::Into(Rc::new(fd)))
                    .map_err(fail);
            }
            Ok(stat) if stat.kind == FileKind::Symlink => {
                return dirfd::readlinkat(dir.as_fd(), name).map(Step::Link).map_err(fail);
            }
            // A whiteout, or a file that a later entry takes for a directory: last wins.
            Ok(_) => {
                self.clear(dir.as_fd(), name, child)?;
                (Metadata::of_implicit_directory(), true)
            }
            Err(error) if error.errno == Errno::ENOENT => match self.find_below(child)? {
                Some(found) if found.stat.kind == FileKind::Symlink => {
                    return dirfd::readlinkat(found.dir.as_fd(), &found.name).map(Step::Link).map_err(fail);
                }
                Some(found) if found.stat.kind == FileKind::Directory => (self.metadata_of_lower(&found)?, false),
                _ => (Metadata::of_implicit_directory(), false),
            },
            Err(error) => return Err(fail(error)),
        };
        dirfd::mkdirat(dir.as_fd(), name, 0o700).map_err(fail)?;
        self.count_owner(metadata.uid, metadata.gid);
        self.remember(child.to_vec(), Directory { metadata, opaque, implicit: true })?;
        dirfd::open_child(dir.as_fd(), name, DIRECTORY, 0).map(|fd| Step::Into(Rc::new(fd))).map_err(fail)
    }
}

enum Step {
    Into(Rc<OwnedFd>),
    Link(Vec<u8>),
}
