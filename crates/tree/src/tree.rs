//! What can be asked of a tree.

use std::fs::File;
use std::io;

use crate::path::TreePath;
use crate::remember::Memory;

/// What something in a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A socket.
    Socket,
}

/// What is known of something in a tree without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, 07777.
    pub mode: u32,
    /// Owner, as an image has it.
    pub uid: u32,
    /// Group, as an image has it.
    pub gid: u32,
    /// Bytes of a file.
    pub size: u64,
    /// Last modification, seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Last change of the inode.
    pub ctime: (i64, u32),
    /// Device and inode, and how many names it has: for hard links and caches.
    pub inode: (u64, u64),
    /// Names of the inode.
    pub links: u64,
    /// Numbers of a device node.
    pub device: (u32, u32),
}

/// Extended attributes, name and value.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// A tree. Nothing follows symbolic links; `resolve` does, below the root.
pub trait Tree: Send + Sync {
    /// What is at `path`; `None` if there is nothing, or a parent is no directory.
    fn look(&self, path: &TreePath) -> Result<Option<Meta>, TreeError>;
    /// Entries of a directory, sorted by name bytewise.
    fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Meta)>, TreeError>;
    /// Where a symbolic link points to.
    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, TreeError>;
    /// A regular file, to be read. Never one that another thing took the place of.
    fn open(&self, path: &TreePath) -> Result<File, TreeError>;
    /// Extended attributes that belong into an image, sorted by name.
    fn attributes(&self, path: &TreePath) -> Result<Attributes, TreeError>;
    /// What is remembered of it, if it is a tree that is.
    fn memory(&self) -> Option<&Memory> {
        None
    }
}

/// Why a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A system call failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where in the tree.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// Too many symbolic links on the way (40, as path_resolution(7) has it).
    #[error("{0} leads through too many symbolic links")]
    Loop(TreePath),
    /// A parent is something else.
    #[error("{0} is not a directory")]
    NotADirectory(TreePath),
    /// It changed while it was read.
    #[error("{0} changed while it was read")]
    Changed(TreePath),
}
