//! The locks of a store: the gate between users and garbage collection, and one lock per digest.
//!
//! All are OFD locks on ranges of the one file `store/lock`, so that nothing is ever left over, whoever dies:
//! ```text
//! byte 0        the gate: shared to look something up and register it, exclusive to sweep
//! byte 1        the waiting line: gc holds it for moments so that newcomers let it pass
//! 2^62 + n      digests that are being brought in; n comes from the digest
//! ```
//! Two digests can share a byte; they then wait for each other for nothing, which is harmless and does not happen.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use ctr_sys::lock::{self, LockKind, LockRange};
use ctr_sys::small;

use super::StoreError;
use crate::digest::Digest;

const GATE: LockRange = LockRange::byte(0);
const LINE: LockRange = LockRange::byte(1);
const DIGESTS: u64 = 1 << 62;

/// How long gc keeps newcomers waiting at a time while somebody inside takes long.
const LINE_SLICE: Duration = Duration::from_millis(100);

/// A hold of the gate, given back when dropped.
#[derive(Debug)]
#[must_use = "the gate is open again as soon as this is dropped"]
pub struct Gate {
    _file: File,
}

impl Gate {
    /// Joins those that use the store. Waits while gc sweeps, which it does in moments.
    pub(crate) fn shared(path: &Path) -> Result<Self, StoreError> {
        let file = open(path, false)?;
        let fail = |error| StoreError::sys("lock", path)(error);
        lock::lock(&file, LockKind::Shared, LINE).map_err(fail)?;
        lock::lock(&file, LockKind::Shared, GATE).map_err(fail)?;
        lock::unlock_range(&file, LINE).map_err(fail)?;
        Ok(Self { _file: file })
    }

    /// Waits until nobody else uses the store; `None` if that did not come within `wait`.
    ///
    /// With many starts in parallel there may never be a moment without any, so newcomers are held back, but only for
    /// slices of time: one slow fetch must not stop all starts for as long as gc is willing to wait.
    pub(crate) fn exclusive(path: &Path, wait: Duration) -> Result<Option<Self>, StoreError> {
        let file = open(path, true)?;
        let fail = |error| StoreError::sys("lock", path)(error);
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if lock::lock_within(&file, LockKind::Exclusive, LINE, left).map_err(fail)? {
                let got = lock::lock_within(&file, LockKind::Exclusive, GATE, left.min(LINE_SLICE)).map_err(fail)?;
                lock::unlock_range(&file, LINE).map_err(fail)?;
                if got {
                    return Ok(Some(Self { _file: file }));
                }
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(LINE_SLICE.min(end.saturating_duration_since(Instant::now())));
        }
    }
}

/// The right to bring in one digest; other processes and threads that want the same wait. Given back when dropped.
#[derive(Debug)]
#[must_use = "others may bring in the same digest as soon as this is dropped"]
pub struct DigestLock {
    _file: File,
}

impl DigestLock {
    /// Takes the lock if it is free.
    pub(crate) fn try_take(path: &Path, digest: &Digest) -> Result<Option<Self>, StoreError> {
        let file = open(path, true)?;
        let got = lock::try_lock(&file, LockKind::Exclusive, range(digest)).map_err(StoreError::sys("lock", path))?;
        Ok(got.then_some(Self { _file: file }))
    }

    /// Whether somebody has it now.
    pub(crate) fn is_held(path: &Path, digest: &Digest) -> Result<bool, StoreError> {
        let file = open(path, true)?;
        lock::is_held(&file, LockKind::Exclusive, range(digest)).map_err(StoreError::sys("look at", path))
    }

    /// Takes the lock, waiting for it.
    pub(crate) fn take(path: &Path, digest: &Digest) -> Result<Self, StoreError> {
        let file = open(path, true)?;
        lock::lock(&file, LockKind::Exclusive, range(digest)).map_err(StoreError::sys("lock", path))?;
        Ok(Self { _file: file })
    }

    /// What is locked for a download of `digest`. Downloads have locks of their own: a thread that unpacks a layer holds
    /// the one of its diff id, and that of a layer that is not compressed is also its blob's digest.
    pub(crate) fn of_download(digest: &Digest) -> Digest {
        Digest::of(format!("download {digest}").as_bytes())
    }

    /// Takes the lock, waiting for it as long as `go_on` says so.
    pub(crate) fn take_while(
        path: &Path,
        digest: &Digest,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, StoreError> {
        let file = open(path, true)?;
        while go_on() {
            let taken = lock::lock_within(&file, LockKind::Exclusive, range(digest), LINE_SLICE);
            if taken.map_err(StoreError::sys("lock", path))? {
                return Ok(Some(Self { _file: file }));
            }
        }
        Ok(None)
    }
}

fn range(digest: &Digest) -> LockRange {
    let hex = digest.hex();
    let number = hex.get(..15).and_then(|head| u64::from_str_radix(head, 16).ok()).unwrap_or(0);
    LockRange::byte(DIGESTS + number)
}

/// A lock belongs to an open file, so each hold opens the file anew.
fn open(path: &Path, write: bool) -> Result<File, StoreError> {
    let opened = if write { small::open_read_write(path) } else { small::open_read(path) };
    opened.map(File::from).map_err(|error| match error.kind() {
        ErrorKind::NotFound => StoreError::damaged(path, "the lock file is gone"),
        _ => StoreError::io("open", path)(error),
    })
}
