//! Places that are made for mounts are no part of a layer: what was missing before and is empty afterwards goes again, and with
//! it the copies of directories above that overlay made for nothing else.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ctr_core::container::ContainerError;
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Resolve};
use ctr_sys::xattr::{self, Target};
use ctr_sys::{Errno, SysError};

use crate::error::SandboxError;

/// Symbolic links that one path may go through.
const LINKS_MAX: usize = 40;

/// Permissions, owner and extended attributes of a directory.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Attributes {
    mode: u32,
    owner: (u32, u32),
    extended: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Attributes {
    /// Of a directory of the tree, or of its copy in the upper directory: overlay's own do not count.
    fn of(dir: BorrowedFd<'_>) -> Result<Self, SysError> {
        let stat = dirfd::fstat(dir)?;
        let mut extended = Vec::new();
        for name in xattr::list(Target::Fd(dir))? {
            if !OVERLAYS.iter().any(|prefix| name.starts_with(prefix)) {
                let value = xattr::get(Target::Fd(dir), &name)?;
                extended.push((name, value));
            }
        }
        Ok(Self { mode: stat.mode & 0o7777, owner: (stat.uid, stat.gid), extended })
    }
}

/// How the names of overlay's own attributes begin.
const OVERLAYS: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// What was there before the program, and what was not.
#[derive(Debug)]
pub(super) struct Strip {
    upper: PathBuf,
    /// Paths that mounts made, each before those within it.
    made: Vec<Vec<u8>>,
    /// Those that a link leads to, which leads nowhere else: each before what is within it.
    dangling: Vec<Vec<u8>>,
    /// Directories above them that were there.
    kept: Vec<(Vec<u8>, Attributes)>,
}

impl Strip {
    /// Looks at the places of mounts in the tree at `root`. `merged`: `upper` has what was changed alone, and not the whole tree.
    pub(super) fn look<'a>(
        root: &Path,
        upper: &Path,
        merged: bool,
        targets: impl Iterator<Item = &'a str>,
    ) -> Result<Self, SandboxError> {
        let mut strip = Self { upper: upper.to_owned(), made: Vec::new(), dangling: Vec::new(), kept: Vec::new() };
        for target in targets {
            strip.one(root, target)?;
        }
        strip.made.sort();
        strip.made.dedup();
        strip.kept.sort();
        strip.kept.dedup();
        // Mounts within mounts are made in those.
        strip.kept.retain(|(path, _)| merged && !strip.made.contains(path));
        Ok(strip)
    }

    /// Goes along `target`, following links as the mount will.
    fn one(&mut self, root: &Path, target: &str) -> Result<(), SandboxError> {
        let mut todo: VecDeque<OsString> = parts(OsStr::new(target));
        let mut at: Vec<OsString> = Vec::new();
        let mut missing = false;
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            at.push(name);
            let path = joined(&at);
            if missing {
                self.missing(path, links > 0);
                continue;
            }
            let on_host = root.join(OsStr::from_bytes(&path));
            match std::fs::symlink_metadata(&on_host) {
                Ok(facts) if facts.is_symlink() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Ok(());
                    }
                    let to = std::fs::read_link(&on_host).map_err(|source| ContainerError::Io {
                        action: "read",
                        path: on_host.clone(),
                        source,
                    })?;
                    at.pop();
                    if to.is_absolute() {
                        at.clear();
                    }
                    for part in parts(to.as_os_str()).into_iter().rev() {
                        todo.push_front(part);
                    }
                }
                Ok(facts) if facts.is_dir() => {
                    let failed = |source| ContainerError::Io { action: "open", path: on_host.clone(), source };
                    let dir = File::open(&on_host).map_err(failed)?;
                    let attributes = Attributes::of(dir.as_fd()).map_err(|cause| not_looked_at(&path, cause))?;
                    self.kept.push((path, attributes));
                }
                Ok(_) => return Ok(()),
                Err(_) => {
                    missing = true;
                    self.missing(path, links > 0);
                }
            }
        }
        Ok(())
    }

    fn missing(&mut self, path: Vec<u8>, behind_link: bool) {
        if behind_link {
            self.dangling.push(path.clone());
        }
        self.made.push(path);
    }

    /// Makes a file where the link `target` leads, if nothing is there: a mount makes places, but none behind links. An image
    /// of a machine with systemd-resolved has such an `/etc/resolv.conf`. Nothing of the image runs yet, and the path was
    /// followed link by link: it does not lead out of the tree.
    pub(super) fn fill(root: &Path, target: &str) -> Result<(), SandboxError> {
        let mut found = Self { upper: PathBuf::new(), made: Vec::new(), dangling: Vec::new(), kept: Vec::new() };
        found.one(root, target)?;
        let Some((file, dirs)) = found.dangling.split_last() else { return Ok(()) };
        let place = |path: &Vec<u8>| root.join(OsStr::from_bytes(path));
        let failed = |path: &Path, source| ContainerError::Io { action: "create", path: path.to_owned(), source };
        for dir in dirs.iter().map(place) {
            DirBuilder::new().mode(0o755).create(&dir).map_err(|source| failed(&dir, source))?;
        }
        let file = place(file);
        ctr_sys::small::create(&file, 0o644).map_err(|source| failed(&file, source))?;
        Ok(())
    }

    /// Takes them away.
    pub(super) fn away(&self) -> Result<(), SandboxError> {
        let failed = |source| ContainerError::Io { action: "open", path: self.upper.clone(), source };
        let upper: OwnedFd = File::open(&self.upper).map_err(failed)?.into();
        for path in self.made.iter().rev() {
            remove(&upper, path, None).map_err(|cause| not_removed(path, cause))?;
        }
        for (path, attributes) in self.kept.iter().rev() {
            remove(&upper, path, Some(attributes)).map_err(|cause| not_removed(path, cause))?;
        }
        Ok(())
    }
}

fn not_looked_at(path: &[u8], cause: SysError) -> SandboxError {
    let action = format!("look at a place of a mount, /{}", path.escape_ascii());
    SandboxError::Host { action, cause, hint: None }
}

fn not_removed(path: &[u8], cause: SysError) -> SandboxError {
    let action = format!("remove the place of a mount, /{}", path.escape_ascii());
    SandboxError::Host { action, cause, hint: None }
}

fn parts(path: &OsStr) -> VecDeque<OsString> {
    let parts = path.as_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(|part| OsString::from_vec(part.to_vec())).collect()
}

fn joined(parts: &[OsString]) -> Vec<u8> {
    parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>().join(&b'/')
}

/// Removes an empty file or directory of the upper directory; with `as_before` a directory that looks so. What is not there,
/// or not empty, or reached through a link that the program put there, stays.
fn remove(upper: &OwnedFd, path: &[u8], as_before: Option<&Attributes>) -> Result<(), SysError> {
    let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&b"."[..], path),
    };
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
    let resolve = Resolve::RESOLVE_BENEATH | Resolve::RESOLVE_NO_SYMLINKS | Resolve::RESOLVE_NO_XDEV;
    let dir = match dirfd::openat2(upper.as_fd(), above, flags, 0, resolve) {
        Ok(dir) => dir,
        Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let stat = match dirfd::statat(dir.as_fd(), name) {
        Ok(stat) => stat,
        Err(error) if error.errno == Errno::ENOENT => return Ok(()),
        Err(error) => return Err(error),
    };
    match stat.kind {
        FileKind::Directory => {
            let child = dirfd::open_child(dir.as_fd(), name, flags, 0)?;
            if let Some(before) = as_before
                && Attributes::of(child.as_fd())? != *before
            {
                return Ok(());
            }
            // It would show again what the program took away.
            for mark in [&b"trusted.overlay.opaque"[..], b"user.overlay.opaque"] {
                if xattr::get(Target::Fd(child.as_fd()), mark)?.is_some() {
                    return Ok(());
                }
            }
            match dirfd::rmdirat(dir.as_fd(), name) {
                Err(error) if matches!(error.errno, Errno::ENOTEMPTY | Errno::EEXIST) => Ok(()),
                result => result,
            }
        }
        FileKind::Regular if as_before.is_none() && stat.size == 0 => dirfd::unlinkat(dir.as_fd(), name),
        _ => Ok(()),
    }
}
