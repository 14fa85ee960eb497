//! What a tree looks like before the program.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use ctr_sys::dirfd::{self, FileKind, OpenFlags, Stat, Timestamp};

use super::Places;
use crate::beneath::{entries, failed};
use crate::path::TreePath;
use crate::tree::TreeError;

/// A tree as it was.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) root: Dir,
}

/// A directory as it was.
#[derive(Debug)]
pub(super) struct Dir {
    inode: u64,
    birth: Option<Timestamp>,
    ctime: Timestamp,
    /// Permission bits, owner, group.
    attributes: (u32, u32, u32),
    pub(super) entries: BTreeMap<Box<[u8]>, Node>,
}

#[derive(Debug)]
pub(super) enum Node {
    Directory(Dir),
    /// Anything else: inode and time of change.
    Other(u64, Timestamp),
}

fn attributes(stat: &Stat) -> (u32, u32, u32) {
    (stat.mode, stat.uid, stat.gid)
}

impl Dir {
    fn new(fd: BorrowedFd<'_>, path: &TreePath) -> Result<Self, TreeError> {
        let fail = |error| failed("look at", path, &error);
        let stat = dirfd::fstat(fd).map_err(fail)?;
        let birth = dirfd::birth(fd).map_err(fail)?;
        let (inode, ctime) = (stat.ino, stat.ctime);
        Ok(Self { inode, birth, ctime, attributes: attributes(&stat), entries: BTreeMap::new() })
    }

    /// Whether it is still this one, and not another of its name.
    pub(super) fn is(&self, now: &Stat, fd: BorrowedFd<'_>) -> ctr_sys::Result<bool> {
        Ok(self.inode == now.ino && self.birth == dirfd::birth(fd)?)
    }

    /// Whether something of it was changed, or a name in it.
    pub(super) fn differs(&self, now: &Stat) -> bool {
        self.ctime != now.ctime
    }

    /// Whether its owner or permission bits were changed.
    pub(super) fn is_otherwise(&self, now: &Stat) -> bool {
        self.attributes != attributes(now)
    }
}

impl Node {
    /// Whether this file, no directory, is the same and unchanged.
    pub(super) fn is_unchanged(&self, now: &Stat) -> bool {
        matches!(self, Self::Other(inode, ctime) if (*inode, *ctime) == (now.ino, now.ctime))
    }
}

impl Snapshot {
    /// Looks at the tree in the open directory `root`, and waits until a change of any of its files will have another time.
    /// `probe`, a directory of the same file system, is changed meanwhile.
    pub fn take(root: BorrowedFd<'_>, places: &Places, probe: BorrowedFd<'_>) -> Result<Self, TreeError> {
        let mut latest = Timestamp::default();
        let root = look(root, &TreePath::root(), places, &mut latest)?;
        wait_beyond(latest, probe).map_err(|error| failed("look at", &TreePath::root(), &error))?;
        Ok(Self { root })
    }
}

fn look(dir: BorrowedFd<'_>, path: &TreePath, places: &Places, latest: &mut Timestamp) -> Result<Dir, TreeError> {
    let mut found = Dir::new(dir, path)?;
    *latest = found.ctime.max(*latest);
    for (name, stat) in entries(dir, path)? {
        let child = path.join(&name);
        if places.at.contains(&child) {
            continue;
        }
        let node = if stat.kind == FileKind::Directory {
            let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
            let fd = dirfd::open_child(dir, &name, flags, 0).map_err(|error| failed("open", &child, &error))?;
            Node::Directory(look(fd.as_fd(), &child, places, latest)?)
        } else {
            *latest = stat.ctime.max(*latest);
            Node::Other(stat.ino, stat.ctime)
        };
        found.entries.insert(name.into_boxed_slice(), node);
    }
    Ok(found)
}

/// The clock of file systems moves on by the tick of the kernel, up to ten milliseconds at once.
fn wait_beyond(latest: Timestamp, probe: BorrowedFd<'_>) -> ctr_sys::Result<()> {
    loop {
        dirfd::set_times(probe, Timestamp::default())?;
        if dirfd::fstat(probe)?.ctime > latest {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
