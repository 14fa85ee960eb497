//! Where something is mounted: a path below a base, opened when its turn comes, created where it is missing.
//!
//! Nothing is looked up by name twice: the descriptor that was opened is what is mounted on. Resolution never leaves the
//! base (openat2(2), `RESOLVE_IN_ROOT`), whatever links the image or another container with the same volume puts there.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::files::{self, OpenAs};
use ctr_sys::{Errno, RawResult};

use super::Base;

/// What the last component must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// A directory.
    Dir,
    /// A file.
    File,
}

/// What a symbolic link as last component means. Links before it are followed within the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Refused: the place is the kernel's.
    Refuse,
    /// Mounted over, as a name like any other.
    Cover,
    /// Followed within the base.
    Follow,
}

/// A place below a base.
#[derive(Debug)]
pub(crate) struct Target {
    /// Below what.
    pub(crate) base: Base,
    /// Every prefix of the path (`a`, `a/b`) with its last component (`a`, `b`).
    parts: Vec<(CString, CString)>,
    leaf: Leaf,
    links: Links,
}

impl Target {
    /// `path` is normal: no `.`, no `..`, no doubled slash; a leading slash is passed over. `None` if it holds a NUL byte.
    pub(crate) fn new(base: Base, path: &str, leaf: Leaf, links: Links) -> Option<Self> {
        let mut parts = Vec::new();
        let mut prefix = String::with_capacity(path.len());
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if !prefix.is_empty() {
                prefix.push('/');
            }
            prefix.push_str(name);
            parts.push((CString::new(prefix.as_str()).ok()?, CString::new(name).ok()?));
        }
        Some(Self { base, parts, leaf, links })
    }

    /// Whether a link may have led somewhere else.
    pub(crate) fn follows_links(&self) -> bool {
        self.links == Links::Follow
    }

    /// The path, for people.
    pub(crate) fn path(&self) -> String {
        let path = self.parts.last().map(|(path, _)| path.to_string_lossy()).unwrap_or_default();
        match self.base {
            Base::Root => format!("/{path}"),
            Base::Proc => format!("/proc/{path}"),
            Base::Sys => format!("/sys/{path}"),
            Base::Dev => format!("/dev/{path}"),
            Base::Secrets => format!("/run/secrets/{path}"),
        }
    }

    fn open_last(&self) -> OpenAs {
        match self.links {
            Links::Follow => OpenAs::LocationFollow,
            Links::Refuse | Links::Cover => OpenAs::Location,
        }
    }

    /// Opens the place, making what is missing.
    pub(crate) fn open(&self, base: BorrowedFd<'_>) -> RawResult<OwnedFd> {
        let Some((whole, _)) = self.parts.last() else { return Err(Errno::ENOENT) };
        let found = match files::open_in_root(base, whole, self.open_last(), 0) {
            Err(Errno::ENOENT) => self.create(base)?,
            result => result?,
        };
        if self.links == Links::Refuse && files::facts(found.as_fd())?.is_link() {
            return Err(Errno::ELOOP);
        }
        Ok(found)
    }

    fn create(&self, base: BorrowedFd<'_>) -> RawResult<OwnedFd> {
        let mut parent: Option<OwnedFd> = None;
        for (index, (prefix, name)) in self.parts.iter().enumerate() {
            let last = index + 1 == self.parts.len();
            let how = if last { self.open_last() } else { OpenAs::Directory };
            let found = match files::open_in_root(base, prefix, how, 0) {
                Err(Errno::ENOENT) => {
                    let dir = parent.as_ref().map_or(base, AsFd::as_fd);
                    let made = if last && self.leaf == Leaf::File {
                        files::make_file(dir, name, 0o644)
                    } else {
                        files::make_dir(dir, name, 0o755)
                    };
                    match made {
                        // Another container with the same volume may have been first; a dangling link stays an error.
                        Ok(()) | Err(Errno::EEXIST) => files::open_in_root(base, prefix, how, 0)?,
                        Err(errno) => return Err(errno),
                    }
                }
                result => result?,
            };
            parent = Some(found);
        }
        parent.ok_or(Errno::ENOENT)
    }
}
