//! Blobs that come over a network: what has come is kept in `partial/HEX`, whoever dies, and the next one goes on there.
//!
//! Whoever holds the blob's digest lock is the only writer. What a crash left is hashed again before more is added, and
//! a file whose digest turns out wrong at the end is removed: after a loss of power anything may be in it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::blob::StagedBlob;
use super::lock::DigestLock;
use crate::digest::{Digest, Hasher};

/// A download: append with [`Partial::push`], then [`super::Txn::finish_partial`]. Dropped before, what has come stays.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    digest: Digest,
    size: u64,
    written: u64,
    /// Others wait until the blob can be found.
    lock: DigestLock,
}

impl Partial {
    /// The caller holds the lock of `digest`.
    pub(super) fn open(path: PathBuf, digest: Digest, size: u64, lock: DigestLock) -> Result<Self, StoreError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(StoreError::io("open", &path))?;
        let mut partial = Self { path, file, hasher: Hasher::new(), digest, size, written: 0, lock };
        let found = partial.file.metadata().map_err(StoreError::io("look at", &partial.path))?;
        if found.len() > size || !found.is_file() {
            partial.restart()?;
        } else {
            partial.resume()?;
        }
        Ok(partial)
    }

    /// Hashes what is there.
    fn resume(&mut self) -> Result<(), StoreError> {
        let mut buffer = vec![0u8; 256 << 10];
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.hasher.update(buffer.get(..count).unwrap_or_default());
                    self.written += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read", &self.path)(error)),
            }
        }
    }

    /// Bytes that have come, in earlier runs too.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether all bytes have come.
    pub fn is_complete(&self) -> bool {
        self.written == self.size
    }

    /// A second descriptor of the file, for a reader that follows the writer with `read_at`.
    pub fn reader(&self) -> Result<File, StoreError> {
        self.file.try_clone().map_err(StoreError::io("keep open", &self.path))
    }

    /// Adds `bytes`. More than the announced size is refused before it reaches the disk.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let after = self.written + bytes.len() as u64;
        if after > self.size {
            let (digest, expected) = (self.digest, self.size);
            return Err(StoreError::WrongSize { digest, expected, found: after, more: true });
        }
        self.file.write_all_at(bytes, self.written).map_err(StoreError::io("write", &self.path))?;
        self.hasher.update(bytes);
        self.written = after;
        Ok(())
    }

    /// Throws away what has come: it was of something else, or the server cannot go on in the middle.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.file.set_len(0).map_err(StoreError::io("empty", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(StoreError::io("rewind", &self.path))?;
        (self.hasher, self.written) = (Hasher::new(), 0);
        Ok(())
    }

    /// Checks size and digest. A file with another digest is removed, one that is too short stays.
    pub(super) fn seal(self) -> Result<StagedBlob, StoreError> {
        let (digest, expected, found) = (self.digest, self.size, self.written);
        if found != expected {
            return Err(StoreError::WrongSize { digest, expected, found, more: false });
        }
        let found = self.hasher.finish();
        if found != digest {
            remove(&self.path)?;
            return Err(StoreError::WrongDigest { expected: digest, found });
        }
        Ok(StagedBlob { path: self.path, file: self.file, digest, size: expected, _lock: Some(self.lock) })
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
