//! From a source into the store: layers that are missing are unpacked, everything is verified on the way, and the name
//! appears last, in one step.

use std::path::{Path, PathBuf};

use ctr_cli::{Failure, Progress};
use ctr_core::digest::Digest;
use ctr_core::launch::{LaunchRecord, LayerId};
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{self, Descriptor};
use ctr_core::spec::{MAX_DOCUMENT, UnpackedLayers, launch_record};
use ctr_core::store::{LayerDone, Store, StoreError, Txn, XattrDialect};
use ctr_layer::LayerError;
use ctr_layer::install::{Target, install};
use ctr_layer::pipeline::Expected;
use ctr_layer::unpack::{Ownership, Unpacked};

use crate::download::{Downloads, Follower, Remote};
use crate::source::{Image, Source};

/// Brings `image` of `source` in under `names`; what the store has already is not read again.
pub(crate) fn import(
    store: &Store,
    txn: &Txn,
    source: &dyn Source,
    image: &Image,
    names: &[Reference],
    unpacking: &Unpacking,
) -> Result<LaunchRecord, Failure> {
    let put = |bytes: &[u8], digest: Digest| txn.put_blob(bytes, Some((digest, bytes.len() as u64))).map_err(hinted);
    for index in &image.indexes {
        put(index, Digest::of(index))?;
    }
    if let Some(launch) = complete(store, txn, image)? {
        txn.publish_pending().map_err(hinted)?;
        for name in names {
            let known = (store.resolve(name).map_err(hinted)?, store.index_of(name).map_err(hinted)?);
            if known != (Some(image.digest), image.index) {
                txn.tag(name, &image.digest, image.index).map_err(hinted)?;
            }
        }
        return Ok(launch);
    }
    let unpacked = match source.remote() {
        None => {
            let bytes = image.manifest.layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size));
            unpacking.progress.expect(image.manifest.layers.len(), bytes);
            layers(txn, image, &Blobs::Local(source), unpacking)?
        }
        Some(remote) => with_referrers(txn, image, remote, unpacking, || remote_layers(txn, image, remote, unpacking))?,
    };
    put(&image.config_bytes, image.manifest.config.digest)?;
    put(&image.manifest_bytes, image.digest)?;
    let launch = launch_record(image.digest, image.manifest.config.digest, &image.config, unpacked);
    txn.add_image(&launch, names, image.index).map_err(hinted)?;
    Ok(launch)
}

/// Does `work` while what refers to the image is fetched. An image without its signatures is an image all the same: that
/// they could not be had is told, not a failure.
fn with_referrers<T>(
    txn: &Txn,
    image: &Image,
    remote: &dyn Remote,
    unpacking: &Unpacking,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    if !unpacking.referrers {
        return work();
    }
    std::thread::scope(|scope| {
        let subjects: Vec<Digest> = image.index.into_iter().chain([image.digest]).collect();
        let beside = scope.spawn(move || remote.referrers(txn, &subjects));
        let done = work();
        match beside.join() {
            Ok(Err(failure)) if done.is_ok() => {
                ctr_cli::note(format!("signatures and other referrers were not fetched: {}", failure.one_line()));
            }
            _ => {}
        }
        done
    })
}

/// Layers that lie far away. Where one came damaged, all that is missing is asked for once more.
fn remote_layers(
    txn: &Txn,
    image: &Image,
    remote: &dyn Remote,
    unpacking: &Unpacking,
) -> Result<UnpackedLayers, Failure> {
    let mut again = true;
    loop {
        let blobs = image.manifest.layers.iter().enumerate();
        let blobs = blobs.map(|(position, layer)| (label(position, layer), layer.clone()));
        let downloads = Downloads::new(txn, remote, blobs, &unpacking.progress);
        match downloads.beside(unpacking.jobs, || layers(txn, image, &Blobs::Remote(&downloads), unpacking)) {
            Err(_) if again && downloads.damaged() => {
                ctr_cli::note("a layer came damaged; it is asked for once more");
                again = false;
            }
            done => return done,
        }
    }
}

/// Where the blobs of the layers are read.
enum Blobs<'a> {
    Local(&'a dyn Source),
    Remote(&'a Downloads<'a>),
}

/// Finds or unpacks the layers, from the lowest up.
fn layers(txn: &Txn, image: &Image, blobs: &Blobs<'_>, unpacking: &Unpacking) -> Result<UnpackedLayers, Failure> {
    let mut unpacked = UnpackedLayers::default();
    let mut chain = None;
    for (position, (descriptor, diff_id)) in image.manifest.layers.iter().zip(&image.config.diff_ids).enumerate() {
        let chain_id = chain_id(chain, diff_id);
        chain = Some(chain_id);
        let layer = Layer { blobs, descriptor, diff_id: *diff_id, chain_id, below: &unpacked.layers, position };
        let (id, done) = bring(txn, &layer, unpacking)?;
        unpacked.layers.push(id);
        unpacked.max_uid = unpacked.max_uid.max(done.max_uid);
        unpacked.max_gid = unpacked.max_gid.max(done.max_gid);
    }
    Ok(unpacked)
}

fn label(position: usize, descriptor: &Descriptor) -> String {
    format!("layer {} {}", position + 1, descriptor.digest.short())
}

/// A store error with what the user can do about it.
pub(crate) fn hinted(error: StoreError) -> Failure {
    Failure::hinted(error, StoreError::hint)
}

/// The launch record of an image that the store has with all its parts.
fn complete(store: &Store, txn: &Txn, image: &Image) -> Result<Option<LaunchRecord>, Failure> {
    // Kept first, looked at afterwards: gc cannot come in between.
    match txn.keep_image(&image.digest) {
        Err(StoreError::NoImage(_)) => return Ok(None),
        kept => kept.map_err(hinted)?,
    }
    let Ok(launch) = store.launch_record(&image.digest) else { return Ok(None) };
    let config = &image.manifest.config;
    let manifest = (image.digest, image.manifest_bytes.len() as u64);
    let layers = image.manifest.layers.iter().chain([config]).map(|blob| (blob.digest, blob.size));
    for (digest, size) in layers.chain([manifest]) {
        // Its bytes are hashed: fetching again is what repairs a damaged one.
        if !txn.has_blob(&digest, size).map_err(hinted)? {
            return Ok(None);
        }
    }
    if launch.layers.len() != image.config.diff_ids.len() {
        return Ok(None);
    }
    let mut chain = None;
    for diff_id in &image.config.diff_ids {
        let chain_id = chain_id(chain, diff_id);
        chain = Some(chain_id);
        if txn.find_layer(&chain_id, diff_id).map_err(hinted)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(launch))
}

/// Whether everything that belongs to an image is there, by its size: nothing is read but the manifest.
pub(crate) fn is_there(store: &Store, launch: &LaunchRecord) -> bool {
    let blob = |digest: &Digest, size: u64| store.blob(digest).is_ok_and(|blob| blob.size == size);
    let Ok(bytes) = store.read_blob_capped(&launch.image, MAX_DOCUMENT) else { return false };
    let Ok(manifest) = oci::parse_manifest(&bytes) else { return false };
    manifest.layers.iter().chain([&manifest.config]).all(|part| blob(&part.digest, part.size))
        && launch.layers.iter().all(|id| matches!(store.layer(id), Ok(Some(_))))
}

/// Digest of a layer together with all below it (OCI image-spec config.md, "Layer ChainID").
fn chain_id(below: Option<Digest>, diff_id: &Digest) -> Digest {
    below.map_or(*diff_id, |below| Digest::of(format!("{below} {diff_id}").as_bytes()))
}

/// How layers are unpacked here.
pub(crate) struct Unpacking {
    /// Namespace of overlay's attributes in this store.
    pub(crate) dialect: XattrDialect,
    /// Whether files can be given to other owners.
    pub(crate) ownership: Ownership,
    /// Where progress is shown.
    pub(crate) progress: Progress,
    /// Most downloads at once.
    pub(crate) jobs: usize,
    /// Whether what refers to the image is fetched too.
    pub(crate) referrers: bool,
}

/// A layer that the store may lack.
struct Layer<'a> {
    blobs: &'a Blobs<'a>,
    descriptor: &'a Descriptor,
    diff_id: Digest,
    chain_id: Digest,
    /// Lowest first.
    below: &'a [LayerId],
    position: usize,
}

/// Finds the layer in the store, or unpacks it; then its blob is there too.
fn bring(txn: &Txn, layer: &Layer<'_>, unpacking: &Unpacking) -> Result<(LayerId, LayerDone), Failure> {
    let find = || txn.find_layer(&layer.chain_id, &layer.diff_id).map_err(hinted);
    if let Some(found) = find()? {
        bring_blob(txn, layer, unpacking)?;
        return Ok(found);
    }
    // Whoever came first brings it; we wait and then find it.
    let lock = txn.lock_digest(&layer.diff_id).map_err(hinted)?;
    if let Some(found) = find()? {
        bring_blob(txn, layer, unpacking)?;
        return Ok(found);
    }
    let staging = txn.layer_staging().map_err(hinted)?.hold(lock);
    let unpacked = unpack(txn, layer, &staging.fs(), unpacking);
    let unpacked = unpacked.map_err(|failure| in_layer(layer, failure))?;
    let done = unpacked.done(layer.diff_id, layer.chain_id);
    let id = txn.publish_layer(staging, done.clone()).map_err(hinted)?;
    Ok((id, done))
}

fn in_layer(layer: &Layer<'_>, failure: Failure) -> Failure {
    failure.within(format!("cannot bring in layer {} ({})", layer.position + 1, layer.descriptor.digest))
}

/// Unpacks the blob into the directory `target`; it goes into the store on the way, or as it was downloaded.
fn unpack(txn: &Txn, layer: &Layer<'_>, target: &Path, unpacking: &Unpacking) -> Result<Unpacked, Failure> {
    let below: Vec<PathBuf> = layer.below.iter().map(|id| txn.layer_fs(id)).collect();
    let target = Target { dir: target, below: &below, dialect: unpacking.dialect, ownership: unpacking.ownership };
    let descriptor = layer.descriptor;
    let failed = |error| Failure::hinted(error, LayerError::hint);
    let expected =
        Expected { blob: Some(descriptor.digest), size: Some(descriptor.size), diff_id: Some(layer.diff_id) };
    let unpacked = match layer.blobs {
        Blobs::Local(source) => {
            let bar = unpacking.progress.bar(&label(layer.position, descriptor), Some(descriptor.size));
            let mut sink = txn.blob_sink(descriptor.digest, descriptor.size).map_err(hinted)?;
            let blob = bar.reading(source.blob(descriptor)?);
            let unpacked = install(blob, &expected, Some(&mut sink), &target).map_err(failed)?;
            txn.finish_blob(sink).map_err(hinted)?;
            bar.finish("unpacked");
            unpacked
        }
        Blobs::Remote(downloads) => {
            // Its digest is checked before its end is read.
            let expected = Expected { blob: None, ..expected };
            let blob = downloads.read(layer.position).ok_or_else(|| Failure::new("no such download"))?;
            install(blob, &expected, None, &target).map_err(failed)?
        }
    };
    if unpacked.devices_as_files > 0 {
        let count = unpacked.devices_as_files;
        ctr_cli::note(format!("layer {}: {count} devices became empty files", layer.position + 1));
    }
    Ok(unpacked)
}

/// The blob of a layer whose tree is there: it may have been brought in another compression.
fn bring_blob(txn: &Txn, layer: &Layer<'_>, unpacking: &Unpacking) -> Result<(), Failure> {
    let Descriptor { digest, size, .. } = layer.descriptor;
    let source = match layer.blobs {
        Blobs::Local(source) => *source,
        Blobs::Remote(downloads) => return downloads.read(layer.position).map_or(Ok(()), Follower::wait),
    };
    let bar = unpacking.progress.bar(&label(layer.position, layer.descriptor), Some(*size));
    if txn.has_blob(digest, *size).map_err(hinted)? {
        bar.finish("already there");
    } else {
        let source = bar.reading(source.blob(layer.descriptor)?);
        txn.copy_blob(source, Some((*digest, *size))).map_err(hinted).map_err(|f| in_layer(layer, f))?;
        bar.finish("stored");
    }
    Ok(())
}
