//! Blobs of the store, hashed while they are read.

use std::fs::File;
use std::io::{self, Read};

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::{Digest, Hasher};
use ctr_core::spec::Link;
use ctr_core::store::Store;

use crate::hinted;

/// A reader of a blob of the store that fails at its end if the content is not what it must be.
pub fn open_blob(store: &Store, blob: &Link) -> Result<Verified<File>, Failure> {
    let found = store.blob(&blob.digest).map_err(hinted)?;
    let file = File::open(&found.path).context(|| format!("cannot open blob {}", blob.digest))?;
    Ok(Verified::new(file, blob.digest, blob.size))
}

/// Reads a blob, and fails where its end should be if digest or size are not the descriptor's.
#[derive(Debug)]
pub struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    left: u64,
}

impl<R> Verified<R> {
    /// `inner` must have exactly `size` bytes with the digest `expected`.
    pub fn new(inner: R, expected: Digest, size: u64) -> Self {
        Self { inner, hasher: Some(Hasher::new()), expected, left: size }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most) else { return Ok(0) };
        let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let read = if buffer.is_empty() { 0 } else { self.inner.read(buffer)? };
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..read).unwrap_or_default());
        }
        self.left -= read as u64;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(damaged(format!("blob {} of the store is cut short", self.expected)));
        }
        if self.left == 0
            && let Some(hasher) = self.hasher.take()
        {
            let found = hasher.finish();
            if found != self.expected {
                return Err(damaged(format!("blob {} of the store is damaged: it has digest {found}", self.expected)));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], expected: &[u8], size: u64) -> io::Result<Vec<u8>> {
        let reader = Verified::new(content, Digest::of(expected), size);
        let mut out = Vec::new();
        // As a writer of archives reads: no further than the size.
        reader.take(size).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn damage_is_an_error_before_the_end() {
        assert_eq!(read(b"content", b"content", 7).unwrap(), b"content");
        assert!(read(b"c0ntent", b"content", 7).is_err());
        assert!(read(b"conten", b"content", 7).is_err());
        assert_eq!(read(b"", b"", 0).unwrap(), b"");
    }
}
