//! Unpacked layers: `layers/ID/{fs,done}`.
//!
//! `done` is written last of all, but its presence alone proves nothing after a power loss; it counts because the
//! whole directory was synced before it was renamed to its place.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ctr_sys::tree::measure_tree;
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::lock::DigestLock;
use super::{StoreError, record};
use crate::digest::Digest;
use crate::launch::LayerId;

/// The file `done` of a layer (spec/05-store.md "Layers").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerDone {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Digest of the diff ids from the lowest layer to this one (OCI image-spec, config.md "Layer ChainID").
    pub chain_id: Digest,
    /// Whether the tree depends on the archive alone; else it took something from the layers below.
    pub self_contained: bool,
    /// Largest user id that owns a file.
    pub max_uid: u32,
    /// Largest group id that owns a file.
    pub max_gid: u32,
    /// Directory entries below `fs/`. The store counts them itself when it publishes.
    pub entries: u64,
    /// Bytes of the regular files below `fs/`, each name once. The store counts them itself too.
    pub bytes: u64,
    /// Whether the store could count: an ordinary user cannot look into directories of its subordinate ids.
    #[serde(default)]
    pub counted: bool,
}

impl LayerDone {
    /// The directory that such a layer lies in.
    pub fn id(&self) -> LayerId {
        LayerId(if self.self_contained { self.diff_id } else { self.chain_id })
    }
}

/// A layer that is being unpacked in a transaction.
#[derive(Debug)]
pub struct LayerStaging {
    pub(crate) path: PathBuf,
    pub(crate) lock: Option<DigestLock>,
}

impl LayerStaging {
    /// The directory to unpack into. It exists, is empty, and has mode 0755.
    pub fn fs(&self) -> PathBuf {
        self.path.join("fs")
    }

    /// Keeps `lock` until the layer is published, so that who waits for it finds the layer.
    #[must_use]
    pub fn hold(mut self, lock: DigestLock) -> Self {
        self.lock = Some(lock);
        self
    }
}

/// A layer that is complete in staging, but neither synced nor published yet.
#[derive(Debug)]
pub(crate) struct StagedLayer {
    pub(crate) path: PathBuf,
    pub(crate) done: LayerDone,
    /// Dropped, and so given back, once the layer can be found.
    pub(crate) _lock: Option<DigestLock>,
}

/// Counts the tree and writes `done`.
pub(crate) fn seal(staging: LayerStaging, mut done: LayerDone) -> Result<StagedLayer, StoreError> {
    if let Some(counts) = count(&staging.fs())? {
        (done.entries, done.bytes, done.counted) = (counts.0, counts.1, true);
    } else {
        done.counted = false;
    }
    let path = staging.path.join("done");
    let bytes = record::to_json(&path, &done)?;
    // Synced together with the tree, by the transaction.
    fs::write(&path, bytes).map_err(StoreError::io("write", &path))?;
    Ok(StagedLayer { path: staging.path, done, _lock: staging.lock })
}

/// Entries and bytes; `None` if a directory cannot be looked into by this user.
fn count(tree: &Path) -> Result<Option<(u64, u64)>, StoreError> {
    match measure_tree(tree) {
        Ok(size) => Ok(Some((size.entries, size.bytes))),
        Err(error) if error.errno == ctr_sys::Errno::EACCES => Ok(None),
        Err(error) => Err(StoreError::sys("count the files of", tree)(error)),
    }
}

/// What is known of a layer directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LayerState {
    /// Nothing there.
    Absent,
    /// There, with a valid `done`.
    Whole(Box<LayerDone>),
    /// There, but not as it was published; says why.
    Damaged(String),
}

/// Looks at `done` and `fs` only: what a start relies on.
pub(crate) fn look(layout: &Layout, id: &LayerId) -> Result<LayerState, StoreError> {
    let dir = layout.layer(id);
    let done = match record::read_json::<LayerDone>(&dir.join("done")) {
        Ok(Some(done)) => done,
        Ok(None) => {
            let there = fs::symlink_metadata(&dir).is_ok();
            return Ok(if there { LayerState::Damaged("it has no file \"done\"".into()) } else { LayerState::Absent });
        }
        Err(StoreError::Damaged { reason, .. }) => return Ok(LayerState::Damaged(format!("its \"done\": {reason}"))),
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotADirectory => {
            return Ok(LayerState::Damaged("it is not a directory".into()));
        }
        Err(error) => return Err(error),
    };
    if done.id() != *id {
        return Ok(LayerState::Damaged(format!("its \"done\" is that of {}", done.id())));
    }
    match fs::symlink_metadata(dir.join("fs")) {
        Ok(meta) if meta.is_dir() => Ok(LayerState::Whole(Box::new(done))),
        _ => Ok(LayerState::Damaged("it has no directory \"fs\"".into())),
    }
}

/// [`look`], and counts the files: finds what was lost, not what was altered in place.
pub(crate) fn inspect(layout: &Layout, id: &LayerId) -> Result<LayerState, StoreError> {
    let state = look(layout, id)?;
    let LayerState::Whole(done) = &state else { return Ok(state) };
    if !done.counted {
        return Ok(state);
    }
    match count(&layout.layer(id).join("fs")) {
        Ok(Some((entries, bytes))) if (entries, bytes) != (done.entries, done.bytes) => Ok(LayerState::Damaged(
            format!("it has {entries} entries with {bytes} bytes, not {} with {}", done.entries, done.bytes),
        )),
        Ok(_) => Ok(state),
        Err(error) => Ok(LayerState::Damaged(error.to_string())),
    }
}
