//! Directory trees that somebody else filled: removed and measured by directory descriptors.
//!
//! No symlink is followed, no path longer than one name is resolved, memory and descriptors stay bounded however deep
//! or wide the tree is.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::{Result, SysError};

/// Levels that are descended with a descriptor each; what lies deeper is first moved up.
const DESCENT: usize = 24;

/// Names that are read from a directory before they are worked on.
const BATCH: usize = 512;

const OPEN_DIR: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Removes `path`, whatever it is, with all below it. What is not there is no error.
///
/// Directories without permission bits (the kernel makes overlay work directories so) get them first. Goes on after
/// an error and returns the first one. A mount point inside is an error (`EBUSY`), nothing below it is touched.
pub fn remove_tree(path: &Path) -> Result<()> {
    let refuse = |errno| SysError::new("remove_tree", path.display().to_string(), errno);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(refuse(Errno::EINVAL)) };
    let name = CString::new(name.as_bytes()).map_err(|_| refuse(Errno::EINVAL))?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    match crate::small::open_read(parent) {
        Ok(dir) => remove_tree_at(dir, &name),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(SysError::from_io("open", parent.display().to_string(), &error)),
    }
}

/// [`remove_tree`] of the entry `name` of the directory `dir`.
pub fn remove_tree_at(dir: impl AsFd, name: &CStr) -> Result<()> {
    let dir = dir.as_fd();
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(errno) => return Err(fail("unlinkat", name, errno)),
    }
    let as_root = crate::ids::effective_uid() == 0;
    let top = open_for_removal(dir, name, as_root)?;
    let mut removal = Removal { top: top.as_fd(), as_root, moved_up: 0, first_error: None };
    // What is moved up becomes a child of the top, which is read until nothing is left in it.
    removal.empty(top.as_fd(), 0);
    match removal.first_error.take() {
        Some(error) => Err(error),
        None => match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(fail("rmdir", name, errno)),
        },
    }
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    as_root: bool,
    moved_up: u64,
    first_error: Option<SysError>,
}

impl Removal<'_> {
    fn note(&mut self, error: SysError) {
        self.first_error.get_or_insert(error);
    }

    /// Empties the directory `dir`, `depth` levels below the top.
    fn empty(&mut self, dir: BorrowedFd<'_>, depth: usize) {
        let (mut stuck, mut again) = (0, false);
        // Entries that could not be removed stay; they are skipped by reading past them.
        loop {
            let moved_before = self.moved_up;
            let (entries, whole) = match read_batch(dir, stuck, again) {
                Ok(batch) => batch,
                Err(error) => return self.note(error),
            };
            for entry in entries {
                if let Err(error) = self.remove_entry(dir, &entry, depth) {
                    self.note(error);
                    stuck += 1;
                }
            }
            again = true;
            // The top is read again where something from below was moved to it.
            if whole && (depth > 0 || self.moved_up == moved_before) {
                return;
            }
        }
    }

    fn remove_entry(&mut self, dir: BorrowedFd<'_>, entry: &Entry, depth: usize) -> Result<()> {
        let name = entry.name.as_c_str();
        if entry.may_be_file {
            match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => return Ok(()),
                Err(Errno::EISDIR | Errno::EPERM) => {}
                Err(errno) => return Err(fail("unlinkat", name, errno)),
            }
        }
        match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::EACCES) => {}
            Err(errno) => return Err(fail("rmdir", name, errno)),
        }
        let child = open_for_removal(dir, name, self.as_root)?;
        if depth >= DESCENT {
            drop(child);
            self.moved_up += 1;
            let up = CString::new(format!(".ctr-removed-{}", self.moved_up)).unwrap_or_default();
            return renameat(dir, name, self.top, up.as_c_str()).map_err(|errno| fail("renameat", name, errno));
        }
        self.empty(child.as_fd(), depth + 1);
        match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(fail("rmdir", name, errno)),
        }
    }
}

/// Opens a directory that shall be emptied, gives it permissions if it lacks them, and refuses other filesystems.
fn open_for_removal(dir: BorrowedFd<'_>, name: &CStr, as_root: bool) -> Result<OwnedFd> {
    // RESOLVE_NO_XDEV: what is mounted inside, a bind mount of the same filesystem too, is not ours to empty.
    let open_it = || openat2(dir, name, OpenHow::new().flags(OPEN_DIR).resolve(ResolveFlag::RESOLVE_NO_XDEV));
    let fd = match open_it() {
        Ok(fd) => fd,
        Err(Errno::EXDEV) => return Err(fail("remove_tree", name, Errno::EBUSY)),
        Err(Errno::EACCES) => {
            // Not a symlink: O_DIRECTORY with O_NOFOLLOW was refused for permissions, not with ENOTDIR or ELOOP;
            // fstatat makes sure, since fchmodat follows links.
            let stat =
                fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|errno| fail("fstatat", name, errno))?;
            if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFDIR.bits() {
                return Err(fail("openat", name, Errno::EACCES));
            }
            fchmodat(dir, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)
                .map_err(|errno| fail("fchmodat", name, errno))?;
            open_it().map_err(|errno| fail("openat2", name, errno))?
        }
        Err(errno) => return Err(fail("openat", name, errno)),
    };
    // Root needs no permission bits; an ordinary owner does.
    if !as_root {
        let stat = fstat(&fd).map_err(|errno| fail("fstat", name, errno))?;
        if stat.st_mode & 0o300 != 0o300 {
            // A failure shows at the first unlink.
            let _ = nix::sys::stat::fchmod(&fd, Mode::S_IRWXU);
        }
    }
    Ok(fd)
}

/// A name in a directory.
struct Entry {
    name: CString,
    /// Not known to be a directory.
    may_be_file: bool,
}

/// Up to [`BATCH`] entries of `dir` after the first `skip`, and whether these were all. `again`: it was read before.
fn read_batch(dir: BorrowedFd<'_>, skip: usize, again: bool) -> Result<(Vec<Entry>, bool)> {
    let list = |errno| fail("getdents64", c".", errno);
    if again {
        crate::files::rewind(dir).map_err(|errno| fail("lseek", c".", errno))?;
    }
    let mut buffer = vec![0u8; 16 << 10];
    let (mut entries, mut seen) = (Vec::new(), 0);
    loop {
        let count = crate::files::read_entries(dir, &mut buffer).map_err(list)?;
        // What fits in half of the buffer was all that there is, on every file system that we know; were there more, the
        // directory would not let itself be removed, and would be reported.
        let whole = count < buffer.len() / 2;
        for (name, kind) in crate::files::entries(buffer.get(..count).unwrap_or_default()) {
            if is_dot(name) {
                continue;
            }
            seen += 1;
            if seen > skip {
                entries.push(Entry { name: name.to_owned(), may_be_file: kind != crate::files::DT_DIR });
            }
        }
        if whole || entries.len() >= BATCH {
            return Ok((entries, whole));
        }
    }
}

/// What a tree holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeSize {
    /// Directory entries below the top, each name once.
    pub entries: u64,
    /// Sum of the sizes of the regular files, in bytes, each name once.
    pub bytes: u64,
    /// Blocks that the tree takes on the disk, in bytes; a file with several names counts for each.
    pub disk: u64,
}

/// Counts what lies below the directory `path` (which may be a path of our own only; what is inside may be anybody's).
pub fn measure_tree(path: &Path) -> Result<TreeSize> {
    let flags = OPEN_DIR;
    let mut current =
        open(path, flags, Mode::empty()).map_err(|errno| SysError::new("open", path.display().to_string(), errno))?;
    let mut size = TreeSize::default();
    // One descriptor: the way up is "..", checked by inode, so that depth costs no descriptors.
    let mut pending: Vec<(u64, Vec<CString>)> = vec![list(&current, &mut size)?];
    while let Some((inode, directories)) = pending.last_mut() {
        if let Some(name) = directories.pop() {
            current = openat(&current, name.as_c_str(), flags, Mode::empty()).map_err(|e| fail("openat", &name, e))?;
            let level = list(&current, &mut size)?;
            pending.push(level);
        } else {
            let _ = inode;
            pending.pop();
            if let Some((parent, _)) = pending.last() {
                current = openat(&current, c"..", flags, Mode::empty()).map_err(|e| fail("openat", c"..", e))?;
                let found = fstat(&current).map_err(|errno| fail("fstat", c"..", errno))?.st_ino;
                if found != *parent {
                    // Somebody moves directories while we read: the count would mean nothing.
                    return Err(SysError::new("measure_tree", path.display().to_string(), Errno::ESTALE));
                }
            }
        }
    }
    Ok(size)
}

/// Adds the entries of `dir` to `size`; returns its inode and the directories in it.
fn list(dir: &OwnedFd, size: &mut TreeSize) -> Result<(u64, Vec<CString>)> {
    let inode = fstat(dir).map_err(|errno| fail("fstat", c".", errno))?.st_ino;
    let reopened = openat(dir, c".", OPEN_DIR, Mode::empty()).map_err(|errno| fail("openat", c".", errno))?;
    let mut listing = Dir::from_fd(reopened).map_err(|errno| fail("fdopendir", c".", errno))?;
    let mut directories = Vec::new();
    for entry in listing.iter() {
        let entry = entry.map_err(|errno| fail("readdir", c".", errno))?;
        let name = entry.file_name();
        if is_dot(name) {
            continue;
        }
        size.entries += 1;
        let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|errno| fail("fstatat", name, errno))?;
        size.disk += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        match stat.st_mode & SFlag::S_IFMT.bits() {
            kind if kind == SFlag::S_IFREG.bits() => size.bytes += u64::try_from(stat.st_size).unwrap_or(0),
            kind if kind == SFlag::S_IFDIR.bits() => directories.push(name.to_owned()),
            _ => {}
        }
    }
    Ok((inode, directories))
}

fn is_dot(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

fn fail(call: &'static str, name: &CStr, errno: Errno) -> SysError {
    SysError::new(call, name.to_string_lossy(), errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn removes_deep_wide_and_locked_trees_and_follows_no_link() {
        let dir = crate::test_dir("tree");
        let outside = dir.join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        let tree = dir.join("tree");
        fs::create_dir(&tree).unwrap();
        symlink(&outside, tree.join("link")).unwrap();
        let locked = tree.join("work/work");
        fs::create_dir_all(&locked).unwrap();
        fs::write(locked.join("x"), "x").unwrap();
        for n in 0..1500 {
            fs::write(tree.join(format!("f{n}")), "").unwrap();
        }
        let mut deep = tree.clone();
        for _ in 0..120 {
            deep.push("d");
            fs::create_dir(&deep).unwrap();
            fs::write(deep.join("file"), "abc").unwrap();
        }
        let size = measure_tree(&tree).unwrap();
        assert_eq!((size.entries, size.bytes), (1 + 3 + 1500 + 240, 1 + 360));
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
        remove_tree(&tree).unwrap();
        remove_tree(&outside.join("kept")).unwrap();
        assert!(!outside.join("kept").exists());
        fs::remove_dir_all(dir).unwrap();
    }
}
