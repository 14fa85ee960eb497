//! Small files of our own: read with a limit, written in whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// Largest record that is read. Ours have a few KiB; labels can make a launch record larger.
pub(crate) const RECORD_MAX: u64 = 8 << 20;

/// Reads at most `limit` bytes of `path`; `None` if it is not there.
pub(crate) fn read_capped(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    match ctr_sys::small::read(path, usize::try_from(limit).unwrap_or(usize::MAX - 1)) {
        Ok(Some(bytes)) => Ok(Some(bytes)),
        Ok(None) => {
            let size = fs::metadata(path).map_or(limit + 1, |meta| meta.len());
            Err(StoreError::TooLarge { path: path.to_owned(), size, limit })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// Reads a JSON record; `None` if it is not there.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let Some(bytes) = read_capped(path, RECORD_MAX)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(_) if bytes.is_empty() => Err(StoreError::damaged(path, "it is empty")),
        Err(error) => Err(StoreError::damaged(path, error.to_string())),
    }
}

/// The bytes of a record.
pub(crate) fn to_json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| StoreError::damaged(path, error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Makes the new file `path` of `bytes`, on the disk when this returns.
pub(crate) fn write_new_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::io("create", path))?;
    file.write_all(bytes).map_err(StoreError::io("write", path))?;
    ctr_sys::durable::fsync(&file).map_err(StoreError::sys("sync", path))
}

/// Puts `bytes` at `to` in one step: written and synced as `staged`, renamed, the directory synced.
pub(crate) fn publish(staged: &Path, to: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_new_synced(staged, bytes)?;
    fs::rename(staged, to).map_err(StoreError::io("rename a new file to", to))?;
    sync_parent(to)
}

/// Makes the name `path` last.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().unwrap_or(path);
    sync_dir(parent)
}

/// Makes the names in `dir` last.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    ctr_sys::durable::fsync_dir(dir).map_err(StoreError::sys("sync", dir))
}

/// Removes a file; `false` if it was gone already.
pub(crate) fn remove_file(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("remove", path)(error)),
    }
}

/// Names in `dir`; none if it is not there.
pub(crate) fn names_in(dir: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("read", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("read", dir))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// A name that nobody else uses: 16 random hexadecimal digits.
pub(crate) fn random_name(dir: &Path) -> Result<String, StoreError> {
    let bytes = ctr_sys::random::bytes::<8>().map_err(StoreError::sys("draw a random name in", dir))?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}
