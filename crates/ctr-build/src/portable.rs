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
use std::io::{self, Read};
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
use crate::request::CachePlace;

fn blob_path(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join("blobs/sha256").join(digest.hex())
}

/// The bytes of a blob.
type Bytes = Box<dyn Read + Send>;

/// Brings the result of a step in from a cache; `None` if it has none that can be used.
pub(crate) fn fetch(
    builder: &Builder<'_>,
    place: &CachePlace,
    key: &Digest,
    below: &[Arc<Layer>],
) -> Result<Option<(Action, Option<Sealed>)>, Failure> {
    let action = match place {
        CachePlace::Directory(dir) => Actions::at(dir.join("actions")).get(key),
        CachePlace::Registry(cache) => cache.get(key),
    };
    let Some(action) = action else { return Ok(None) };
    let Some(blob) = &action.layer else { return Ok(Some((action, None))) };
    let open = || -> Result<Bytes, Failure> {
        match place {
            CachePlace::Directory(dir) => {
                let path = blob_path(dir, &blob.digest);
                Ok(Box::new(File::open(&path).context(|| format!("cannot open {}", path.display()))?))
            }
            CachePlace::Registry(cache) => Ok(Box::new(cache.layer(&blob.digest, blob.size)?)),
        }
    };
    // Whatever the record says: a layer's place is what is below it here.
    let layer = LayerAction { chain_id: chain_id(chain_of(below)?, &blob.diff_id), ..blob.clone() };
    match bring(builder, layer, open, below) {
        Ok(sealed) => Ok(Some((Action { key: *key, layer: Some(sealed.blob.clone()) }, Some(sealed)))),
        Err(failure) => {
            ctr_cli::warn(format!("the cache {} was not used for a step: {}", name(place), failure.one_line()));
            Ok(None)
        }
    }
}

fn name(place: &CachePlace) -> String {
    match place {
        CachePlace::Directory(dir) => dir.display().to_string(),
        CachePlace::Registry(cache) => cache.name().to_string(),
    }
}

fn bring(
    builder: &Builder<'_>,
    layer: LayerAction,
    open: impl FnOnce() -> Result<Bytes, Failure>,
    below: &[Arc<Layer>],
) -> Result<Sealed, Failure> {
    let txn = &builder.txn;
    if let Some(done) = txn.keep_whole_layer(&layer.chain_id, &layer.diff_id).map_err(hinted)? {
        if !txn.keep_sized_blob(&layer.digest, layer.size).map_err(hinted)? {
            txn.copy_blob(open()?, Some((layer.digest, layer.size))).map_err(hinted)?;
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
    let unpacked = install(open()?, &expected, Some(&mut sink), &target)
        .map_err(|error| Failure::hinted(error, LayerError::hint))?;
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

/// Fills a new directory of a cache of RUN from caches that were carried here.
pub(crate) fn fill(builder: &Builder<'_>, name: &str, target: &Path) -> Result<bool, Failure> {
    for place in &builder.request.cache_from {
        let found: Option<Result<(Option<Digest>, Bytes), Failure>> = match place {
            CachePlace::Directory(dir) => {
                File::open(dir.join("caches").join(name)).ok().map(|file| Ok((None, Box::new(file) as Bytes)))
            }
            CachePlace::Registry(cache) => {
                cache.run_cache(name).map(|found| found.map(|(blob, bytes)| (Some(blob), Box::new(bytes) as Bytes)))
            }
        };
        let Some(found) = found else { continue };
        let Err(failure) = found.and_then(|(blob, bytes)| unpack(builder, blob, bytes, target)) else {
            return Ok(true);
        };
        ctr_cli::warn(format!("{name} of the cache {} was not used: {}", self::name(place), failure.one_line()));
        let failed = || format!("cannot empty {}", target.display());
        ctr_sys::tree::remove_tree(target).context(failed)?;
        fs::create_dir(target).context(failed)?;
    }
    Ok(false)
}

fn unpack(builder: &Builder<'_>, blob: Option<Digest>, bytes: Bytes, target: &Path) -> Result<(), Failure> {
    let (dialect, ownership) = (builder.store.dialect(), builder.ownership);
    let target = Target { dir: target, below: &[], dialect, ownership };
    let expected = Expected { blob, ..Expected::default() };
    install(bytes, &expected, None, &target).map(drop).map_err(|error| Failure::hinted(error, LayerError::hint))
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
