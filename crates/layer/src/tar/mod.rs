//! Reading tar archives entry by entry: ustar, GNU and PAX forms.
//!
//! The header's layout comes from the `tar` crate. Walking from header to header is done here, because the crate's raw
//! iterator skips data by the size in the ustar header, and a PAX record may say another: readers that disagree on
//! where the next header is can be shown different archives. Where programs differ, this reader does what Go's
//! `archive/tar` does (Docker, Podman, containerd and umoci read layers with it).

mod number;
mod pax;
mod reader;
mod sparse;
mod writer;

pub use reader::TarReader;
pub use sparse::Segment;
pub use writer::TarWriter;

use ctr_sys::dirfd::{FileKind, Timestamp};

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    Regular,
    /// Another name of a file: [`Entry::link`] is the path of the first.
    Hardlink,
    /// A symbolic link to [`Entry::link`].
    Symlink,
    /// A character device [`Entry::device`].
    CharDevice,
    /// A block device [`Entry::device`].
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

impl EntryKind {
    /// The kind of entry that makes a file like one that is there. A socket has none.
    pub fn of(kind: FileKind) -> Option<Self> {
        Some(match kind {
            FileKind::Regular => Self::Regular,
            FileKind::Directory => Self::Directory,
            FileKind::Symlink => Self::Symlink,
            FileKind::CharDevice => Self::CharDevice,
            FileKind::BlockDevice => Self::BlockDevice,
            FileKind::Fifo => Self::Fifo,
            FileKind::Socket => return None,
        })
    }
}

/// One entry, with all that its extended headers said applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path as the archive has it: bytes, not checked for anything.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Target of a link, as the archive has it.
    pub link: Vec<u8>,
    /// The twelve permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Size of the file in bytes, holes included; 0 for all but regular files.
    pub size: u64,
    /// Bytes of data in the archive.
    pub stored: u64,
    /// Offset of the data in the archive.
    pub data_at: u64,
    /// Last modification.
    pub mtime: Timestamp,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// For a sparse file: where the data belongs.
    pub sparse: Option<Vec<Segment>>,
}
