//! What files of a context had in them when they were last read, by inode, size and times: a file that did not change since
//! is not read again.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ctr_core::digest::Digest;

use crate::tree::Meta;

/// The largest cache that is read, in bytes: half a million files.
const MAX: usize = 64 << 20;

/// The first line of a cache.
const HEAD: &str = "ctr stat cache 1\n";

/// A file that changed this long before it was read, in seconds, may change again without another time showing it.
const RACY: i64 = 2;

/// Device, inode, size, modification and change.
type Key = (u64, u64, u64, (i64, u32), (i64, u32));

/// Digests of files.
#[derive(Debug, Default)]
pub struct StatCache {
    known: HashMap<Key, Digest>,
    /// What was asked for and known.
    used: Mutex<Vec<(Key, Digest)>>,
    new: Mutex<Vec<(Key, Digest)>>,
}

fn key(meta: &Meta) -> Key {
    (meta.inode.0, meta.inode.1, meta.size, meta.mtime, meta.ctime)
}

impl StatCache {
    /// Reads a cache. One that is missing, damaged, somebody else's or too large is empty: files are read then.
    pub fn load(path: &Path) -> Self {
        let own = |path: &Path| {
            let meta = fs::symlink_metadata(path).ok()?;
            (meta.is_file() && meta.uid() == ctr_sys::ids::effective_uid()).then_some(())
        };
        let bytes = own(path).and_then(|()| ctr_sys::small::read(path, MAX).ok().flatten()).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap_or_default();
        let lines = text.strip_prefix(HEAD).unwrap_or_default().lines();
        Self { known: lines.filter_map(parse).collect(), ..Self::default() }
    }

    /// The digest of a file that has not changed.
    pub fn get(&self, meta: &Meta) -> Option<Digest> {
        let (key, digest) = self.known.get_key_value(&key(meta))?;
        self.used.lock().unwrap_or_else(PoisonError::into_inner).push((*key, *digest));
        Some(*digest)
    }

    /// Remembers the digest of a file that was read at `now`, in seconds since 1970.
    pub fn put(&self, meta: &Meta, digest: Digest, now: i64) {
        if meta.mtime.0.max(meta.ctime.0) < now - RACY {
            self.new.lock().unwrap_or_else(PoisonError::into_inner).push((key(meta), digest));
        }
    }

    /// Writes what is new and what was of use: files that are gone are forgotten. Nothing new, nothing written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let new = std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner));
        if new.is_empty() {
            return Ok(());
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // Each platform of a build saves it.
        used.extend(new);
        let mut lines: Vec<String> = used.iter().map(|(key, digest)| line(key, digest)).collect();
        lines.sort_unstable();
        lines.dedup();
        let staged = path.with_extension(format!("{}.new", std::process::id()));
        let file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&staged)?;
        let mut out = io::BufWriter::new(file);
        out.write_all(HEAD.as_bytes())?;
        lines.iter().try_for_each(|line| out.write_all(line.as_bytes()))?;
        out.flush()?;
        fs::rename(staged, path)
    }
}

fn line(key: &Key, digest: &Digest) -> String {
    let (device, inode, size, mtime, ctime) = key;
    format!("{device} {inode} {size} {} {} {} {} {}\n", mtime.0, mtime.1, ctime.0, ctime.1, digest.hex())
}

fn parse(line: &str) -> Option<(Key, Digest)> {
    let mut fields = line.split(' ');
    let key = (
        fields.next()?.parse().ok()?,
        fields.next()?.parse().ok()?,
        fields.next()?.parse().ok()?,
        (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?),
        (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?),
    );
    let digest = format!("sha256:{}", fields.next()?).parse().ok()?;
    Some((key, digest))
}
