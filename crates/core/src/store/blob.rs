//! Blobs: manifests, configs, layers as they were received. The name is the sha256 of the content.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::layout::Layout;
use super::lock::DigestLock;
use super::record;
use crate::digest::{Digest, Hasher};

/// A blob of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Where it lies. Never write to it.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
}

pub(crate) fn find(layout: &Layout, digest: &Digest) -> Result<Option<Blob>, StoreError> {
    let path = layout.blob(digest);
    match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_file() => Ok(Some(Blob { size: meta.len(), path })),
        Ok(_) => Err(StoreError::damaged(&path, "it is not a regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("look at", path)(error)),
    }
}

pub(crate) fn read_capped(layout: &Layout, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
    let path = layout.blob(digest);
    let bytes = record::read_capped(&path, limit)?.ok_or(StoreError::NoBlob(*digest))?;
    if Digest::of(&bytes) != *digest {
        return Err(StoreError::damaged(&path, "its content does not have the digest that it is named by"));
    }
    Ok(bytes)
}

/// Whether the content of the file has this digest.
pub(crate) fn matches(path: &Path, digest: &Digest) -> Result<bool, StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("open", path))?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0u8; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish() == *digest),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::io("read", path)(error)),
        }
    }
}

/// A blob that is being written in a transaction. Dropped without [`BlobWriter::seal`], it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    path: PathBuf,
    file: File,
    hasher: Option<Hasher>,
    expected: Option<(Digest, u64)>,
    written: u64,
    finished: bool,
}

/// A blob that is written and verified, but neither synced nor published yet.
#[derive(Debug)]
pub(crate) struct StagedBlob {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// Held until the blob can be found.
    pub(crate) _lock: Option<DigestLock>,
}

impl BlobWriter {
    pub(crate) fn create(path: PathBuf, expected: Option<(Digest, u64)>, hash: bool) -> Result<Self, StoreError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(StoreError::io("create", &path))?;
        Ok(Self { path, file, hasher: hash.then(Hasher::new), expected, written: 0, finished: false })
    }

    /// Adds `bytes`. More than the announced size is refused before it reaches the disk.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let after = self.written + bytes.len() as u64;
        if let Some((digest, expected)) = self.expected.filter(|(_, size)| after > *size) {
            return Err(StoreError::WrongSize { digest, expected, found: after, more: true });
        }
        self.file.write_all(bytes).map_err(StoreError::io("write", &self.path))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.written = after;
        Ok(())
    }

    /// Bytes that were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Checks digest and size.
    pub(crate) fn seal(mut self) -> Result<StagedBlob, StoreError> {
        let expected = self.expected;
        let found = match (self.hasher.take(), expected) {
            (Some(hasher), _) => hasher.finish(),
            // The caller hashed what it wrote (`Txn::blob_sink`); the size is still counted here.
            (None, Some((digest, _))) => digest,
            (None, None) => return Err(StoreError::damaged(&self.path, "a blob of unknown digest was not hashed")),
        };
        if let Some((digest, size)) = expected {
            if self.written != size {
                return Err(StoreError::WrongSize { digest, expected: size, found: self.written, more: false });
            }
            if found != digest {
                return Err(StoreError::WrongDigest { expected: digest, found });
            }
        }
        let file = self.file.try_clone().map_err(StoreError::io("keep open", &self.path))?;
        self.finished = true;
        Ok(StagedBlob { path: self.path.clone(), file, digest: found, size: self.written, _lock: None })
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.push(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(StoreError::Io { source, .. }) => Err(source),
            Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What stays is swept with the transaction's directory.
            let _ = fs::remove_file(&self.path);
        }
    }
}
