//! Digests that took reading to know, one file each: `R/build/stat/HEX`.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use ctr_core::digest::Digest;

/// The largest file that is read, in bytes: a digest as text.
const MAX: usize = 128;

/// One of them.
#[derive(Debug)]
pub(crate) struct Memo(PathBuf);

impl Memo {
    /// For what `key` stands for.
    pub(crate) fn new(root: &Path, key: &Digest) -> Self {
        Self(root.join("build/stat").join(key.hex()))
    }

    /// The digest, if it is known.
    pub(crate) fn get(&self) -> Option<Digest> {
        let bytes = ctr_sys::small::read(&self.0, MAX).ok().flatten()?;
        let digest = String::from_utf8(bytes).ok()?.parse().ok()?;
        // It was of use: ctr-gc takes what was not for long.
        let _ = fs::File::open(&self.0).map(|file| file.set_modified(std::time::SystemTime::now()));
        Some(digest)
    }

    /// Remembers it. Without that it is found out again, no more.
    pub(crate) fn put(&self, digest: &Digest) {
        let staged = self.0.with_extension(format!("{}.new", std::process::id()));
        if let Some(dir) = self.0.parent() {
            let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        }
        let _ = fs::remove_file(&staged);
        if ctr_sys::small::write_new(&staged, digest.to_string().as_bytes(), 0o600).is_ok() {
            let _ = fs::rename(&staged, &self.0);
        }
    }
}
