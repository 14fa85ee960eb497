//! A cache that can be carried to another machine: records, their blobs, and what caches of RUN have in them.
//!
//! ```text
//! DIR/actions/AB/REST      as in the store's root
//! DIR/blobs/sha256/HEX     layers
//! DIR/caches/NAME          directories of RUN --mount=type=cache, packed
//! ```
//! Files appear whole or not at all, and a directory can be used by several builds at once. Blobs are checked as they are
//! read; what a record says of a key is believed.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_layer::LayerError;
use ctr_layer::codec::Compression;
use ctr_layer::install::{Target, install};
use ctr_layer::pack::{PackOptions, pack_layer};
use ctr_layer::pipeline::Expected;

use crate::actions::{Action, Actions, LayerAction};
use crate::builder::{Builder, hinted};
use crate::layer::{Layer, Sealed, chain_id, chain_of};

fn blob_path(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join("blobs/sha256").join(digest.hex())
}

/// Brings the result of a step in from a cache; `None` if it has none that can be used.
pub(crate) fn fetch(
    builder: &Builder<'_>,
    dir: &Path,
    key: &Digest,
    below: &[Arc<Layer>],
) -> Result<Option<(Action, Option<Sealed>)>, Failure> {
    let Some(action) = Actions::at(dir.join("actions")).get(key) else { return Ok(None) };
    let Some(blob) = &action.layer else { return Ok(Some((action, None))) };
    let Ok(file) = File::open(blob_path(dir, &blob.digest)) else { return Ok(None) };
    // Whatever the record says: a layer's place is what is below it here.
    let layer = LayerAction { chain_id: chain_id(chain_of(below)?, &blob.diff_id), ..blob.clone() };
    match bring(builder, layer, file, below) {
        Ok(sealed) => Ok(Some((Action { key: *key, layer: Some(sealed.blob.clone()) }, Some(sealed)))),
        Err(failure) => {
            ctr_cli::warn(format!("the cache {} was not used for a step: {}", dir.display(), failure.one_line()));
            Ok(None)
        }
    }
}

fn bring(builder: &Builder<'_>, layer: LayerAction, file: File, below: &[Arc<Layer>]) -> Result<Sealed, Failure> {
    let txn = &builder.txn;
    if let Some(done) = txn.keep_whole_layer(&layer.chain_id, &layer.diff_id).map_err(hinted)? {
        if !txn.keep_sized_blob(&layer.digest, layer.size).map_err(hinted)? {
            txn.copy_blob(file, Some((layer.digest, layer.size))).map_err(hinted)?;
        }
        return Ok(Sealed::new(layer, &done));
    }
    let _hold = builder.hold();
    let staging = txn.layer_staging().map_err(hinted)?;
    let dirs = builder.dirs(below);
    let (dialect, ownership) = (builder.store.dialect(), builder.ownership);
    let target = Target { dir: &staging.fs(), below: &dirs, dialect, ownership };
    let expected = Expected { blob: Some(layer.digest), size: Some(layer.size), diff_id: Some(layer.diff_id) };
    let mut sink = txn.blob_sink(layer.digest, layer.size).map_err(hinted)?;
    let unpacked =
        install(file, &expected, Some(&mut sink), &target).map_err(|error| Failure::hinted(error, LayerError::hint))?;
    txn.finish_blob(sink).map_err(hinted)?;
    let done = unpacked.done(layer.diff_id, layer.chain_id);
    let sealed = Sealed::new(layer, &done);
    txn.publish_layer(staging, done).map_err(hinted)?;
    Ok(sealed)
}

/// Writes what this build used.
pub(crate) fn write(builder: &Builder<'_>, dir: &Path) -> Result<(), Failure> {
    let failed = || format!("cannot write the cache {}", dir.display());
    let actions = Actions::at(dir.join("actions"));
    fs::create_dir_all(dir.join("blobs/sha256")).context(failed)?;
    fs::create_dir_all(dir.join("caches")).context(failed)?;
    for action in builder.used() {
        if let Some(layer) = &action.layer {
            let path = blob_path(dir, &layer.digest);
            if fs::metadata(&path).map_or(true, |meta| meta.len() != layer.size) {
                let mut from = builder.txn.open_blob(&layer.digest).map_err(hinted)?;
                whole(&path, |to| io::copy(&mut from, to).map(drop)).context(failed)?;
            }
        }
        if actions.get(&action.key).is_none_or(|known| known != action) {
            actions.put(&action).context(failed)?;
        }
    }
    for (name, cache) in builder.used_caches() {
        let options = PackOptions { ownership: builder.ownership, ..PackOptions::default() };
        let from = File::open(&cache).context(failed)?;
        let pack = |to: &mut File| {
            pack_layer(from.as_fd(), &options, Compression::Zstd, to).map(drop).map_err(io::Error::other)
        };
        whole(&dir.join("caches").join(name), pack).context(failed)?;
    }
    Ok(())
}

/// Fills a new directory of a cache from those that were carried here.
pub(crate) fn fill(builder: &Builder<'_>, name: &str, target: &Path) -> Result<bool, Failure> {
    for dir in &builder.request.cache_from {
        let Ok(file) = File::open(dir.join("caches").join(name)) else { continue };
        let (dialect, ownership) = (builder.store.dialect(), builder.ownership);
        let target = Target { dir: target, below: &[], dialect, ownership };
        install(file, &Expected::default(), None, &target)
            .map_err(|error| Failure::hinted(error, LayerError::hint))
            .map_err(|failure| failure.within(format!("cannot unpack {}", dir.join("caches").join(name).display())))?;
        return Ok(true);
    }
    Ok(false)
}

/// A file that appears when it is written.
fn whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let staged = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = File::create(&staged)?;
    let written = write(&mut file);
    if written.is_err() {
        let _ = fs::remove_file(&staged);
    }
    written?;
    fs::rename(&staged, path)
}
