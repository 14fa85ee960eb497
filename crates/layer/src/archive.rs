//! Writing image archives: tars of a few ordinary files, the same bytes from the same content.
//!
//! Entries have owner 0:0 without names, one fixed time, and ustar headers; a PAX record only for a size that ustar
//! cannot hold (spec/02-image-file.md, ACI-1 and ACI-7).

use std::io::{self, Read, Write};

use ctr_sys::dirfd::Timestamp;

use crate::tar::{Entry, EntryKind, TarWriter};

/// Writes an archive.
pub struct ArchiveWriter<W: Write> {
    writer: TarWriter<W>,
}

impl<W: Write> ArchiveWriter<W> {
    /// An archive that is written to `out`, which is best buffered.
    pub fn new(out: W) -> Self {
        Self { writer: TarWriter::new(out) }
    }

    /// Adds the directory `name`.
    pub fn directory(&mut self, name: &str) -> io::Result<()> {
        self.writer.append(&fixed(name, EntryKind::Directory, 0), io::empty())
    }

    /// Adds the file `name` with the content `bytes`.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.copy(name, bytes.len() as u64, bytes)
    }

    /// Adds the file `name` with the next `size` bytes of `content`; an error if there are less.
    pub fn copy(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        self.writer.append(&fixed(name, EntryKind::Regular, size), content)
    }

    /// Ends the archive and gives its writer back.
    pub fn finish(self) -> io::Result<W> {
        self.writer.finish()
    }
}

/// An entry with the metadata that all entries of image archives have.
fn fixed(name: &str, kind: EntryKind, size: u64) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        kind,
        link: Vec::new(),
        mode: if kind == EntryKind::Directory { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        size,
        stored: 0,
        data_at: 0,
        mtime: Timestamp::default(),
        device: (0, 0),
        xattrs: Vec::new(),
        sparse: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_read_back_by_the_tar_crate() {
        let write = || {
            let mut archive = ArchiveWriter::new(Vec::new());
            archive.file("oci-layout", b"{}").unwrap();
            archive.directory("blobs/").unwrap();
            archive.copy("blobs/x", 513, [7_u8; 600].as_slice()).unwrap();
            archive.finish().unwrap()
        };
        let bytes = write();
        assert_eq!(bytes, write());
        assert_eq!(bytes.len() % 512, 0);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<(String, u64)> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.map(|e| (e.path().unwrap().display().to_string(), e.size())).unwrap())
            .collect();
        assert_eq!(found, [("oci-layout".to_owned(), 2), ("blobs/".to_owned(), 0), ("blobs/x".to_owned(), 513)]);
    }

    #[test]
    fn content_that_ends_early_is_an_error() {
        let mut archive = ArchiveWriter::new(Vec::new());
        assert!(archive.copy("x", 10, [0_u8; 9].as_slice()).is_err());
    }
}
