//! Files that were imported, known again without being read: by device, inode, size and times.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::{StoreError, record};
use crate::digest::Digest;

/// A file changed so shortly before is not remembered: a second change could leave the same times, since the kernel's
/// file times advance in ticks of up to 10 ms.
const SETTLED: Duration = Duration::from_millis(30);

/// `files/HASH` (spec/05-store.md "Known files").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    dev: u64,
    ino: u64,
    size: u64,
    mtime_ns: i128,
    ctime_ns: i128,
    pub(crate) digest: Digest,
}

impl FileRecord {
    fn new(meta: &Metadata, digest: Digest) -> Self {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            dev: meta.dev(),
            ino: meta.ino(),
            size: meta.size(),
            mtime_ns: nanos(meta.mtime(), meta.mtime_nsec()),
            ctime_ns: nanos(meta.ctime(), meta.ctime_nsec()),
            digest,
        }
    }

    fn path(&self, layout: &Layout) -> PathBuf {
        layout.files().join(Digest::of(format!("{}:{}", self.dev, self.ino).as_bytes()).hex())
    }

    fn settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let limit = i128::try_from(now.saturating_sub(SETTLED).as_nanos()).unwrap_or(0);
        self.mtime_ns <= limit && self.ctime_ns <= limit
    }
}

/// What the file with this metadata was imported as. A record that cannot be read is none.
pub(crate) fn known(layout: &Layout, meta: &Metadata) -> Option<Digest> {
    let asked = FileRecord::new(meta, Digest::of(b""));
    let found = record::read_json::<FileRecord>(&asked.path(layout)).ok()??;
    (FileRecord { digest: asked.digest, ..found.clone() } == asked).then_some(found.digest)
}

/// Remembers that `file`, which had the metadata `before` when its reading began, is the image `digest`.
///
/// Says whether it did: a file that changed meanwhile, or only just before, is not remembered.
pub(crate) fn remember(layout: &Layout, before: &Metadata, file: &File, digest: Digest) -> Result<bool, StoreError> {
    let found = FileRecord::new(before, digest);
    let path = found.path(layout);
    let after = FileRecord::new(&file.metadata().map_err(StoreError::io("look at the file of", &path))?, digest);
    if after != found || !found.settled() {
        return Ok(false);
    }
    let staged = layout.tmp().join(format!("file-{}", record::random_name(&path)?));
    let published = record::publish(&staged, &path, &record::to_json(&path, &found)?);
    if published.is_err() {
        let _ = record::remove_file(&staged);
    }
    published.map(|()| true)
}

/// What a file record points to; an error if it cannot be read.
pub(crate) fn target(path: &std::path::Path) -> Result<Option<Digest>, StoreError> {
    Ok(record::read_json::<FileRecord>(path)?.map(|found| found.digest))
}
