//! Layers into the store: what a COPY writes, what a RUN changed, what an archive has in it.

use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::store::{BlobWriter, LayerDone, LayerStaging};
use ctr_layer::LayerError;
use ctr_layer::codec::{self, Encoder};
use ctr_layer::install::{Target, install};
use ctr_layer::limits::Limits;
use ctr_layer::pack::{Hashing, PackOptions, pack_tree};
use ctr_layer::pipeline::Expected;
use ctr_layer::tar::TarWriter;
use ctr_layer::unpack::{UnpackOptions, Unpacker};
use ctr_tree::copy::CopyError;
use ctr_tree::{Tree, TreePath};

use crate::actions::LayerAction;
use crate::builder::{Builder, hinted};
use crate::copy::{copy_failure, tree_failure};
use crate::layer::{Layer, Sealed, chain_id, chain_of};

/// Where the bytes of a layer go: hashed, compressed, into a blob of the store.
pub(crate) type Sink<'w> = Hashing<Encoder<&'w mut BlobWriter>>;

/// A blob that was written.
struct Blob {
    digest: Digest,
    size: u64,
    diff_id: Digest,
}

fn layer_failure(error: LayerError) -> Failure {
    Failure::hinted(error, LayerError::hint)
}

/// Writes a blob; `None` if `write` says that nothing was written.
fn blob(
    builder: &Builder<'_>,
    write: impl FnOnce(&mut Sink<'_>) -> Result<bool, Failure>,
) -> Result<Option<Blob>, Failure> {
    let failed = |error: &io::Error| Failure::new("cannot write a layer").caused_by(error);
    let mut blob = builder.txn.blob_writer(None).map_err(hinted)?;
    let encoder = builder.request.compression.encoder(&mut blob).map_err(|error| failed(&error))?;
    let mut sink = Hashing::new(encoder);
    if !write(&mut sink)? {
        return Ok(None);
    }
    let (encoder, diff_id, _) = sink.finish();
    encoder.finish().map_err(|error| failed(&error))?;
    let (digest, size) = builder.txn.finish_blob(blob).map_err(hinted)?;
    Ok(Some(Blob { digest, size, diff_id }))
}

/// A layer of a tar that `write` writes; none if it has no entries.
pub(crate) fn written(
    builder: &Builder<'_>,
    below: &[Arc<Layer>],
    write: impl FnOnce(&mut TarWriter<&mut Sink<'_>>) -> Result<u64, CopyError>,
) -> Result<Option<Sealed>, Failure> {
    let blob = blob(builder, |sink| {
        let mut writer = TarWriter::new(sink);
        let entries = write(&mut writer).map_err(copy_failure)?;
        let sink = writer.finish().map_err(|error| Failure::new("cannot write a layer").caused_by(&error))?;
        sink.flush().map_err(|error| Failure::new("cannot write a layer").caused_by(&error))?;
        Ok(entries > 0)
    })?;
    let Some(blob) = blob else { return Ok(None) };
    let action = describe(builder, &blob, chain_of(below)?);
    if let Some(done) = builder.txn.keep_whole_layer(&action.chain_id, &action.diff_id).map_err(hinted)? {
        return Ok(Some(Sealed::new(action, &done)));
    }
    let staging = builder.txn.layer_staging().map_err(hinted)?;
    let dirs = builder.dirs(below);
    let target =
        Target { dir: &staging.fs(), below: &dirs, dialect: builder.store.dialect(), ownership: builder.ownership };
    let expected = Expected { blob: Some(blob.digest), size: Some(blob.size), diff_id: Some(blob.diff_id) };
    let source = builder.txn.open_blob(&blob.digest).map_err(hinted)?;
    let unpacked = install(source, &expected, None, &target).map_err(layer_failure)?;
    let done = unpacked.done(action.diff_id, action.chain_id);
    let sealed = Sealed::new(action, &done);
    builder.txn.publish_layer(staging, done).map_err(hinted)?;
    Ok(Some(sealed))
}

fn describe(builder: &Builder<'_>, blob: &Blob, below: Option<Digest>) -> LayerAction {
    LayerAction {
        digest: blob.digest,
        size: blob.size,
        media_type: builder.request.compression.codec().media_type().unwrap_or_default().to_owned(),
        diff_id: blob.diff_id,
        chain_id: chain_id(below, &blob.diff_id),
    }
}

/// Packs what a RUN changed; the tree itself becomes the layer's. It was settled, and `max` are its largest ids.
pub(crate) fn packed(
    builder: &Builder<'_>,
    below: &[Arc<Layer>],
    staging: LayerStaging,
    max: (u32, u32),
    secrets: &[(String, Vec<u8>)],
) -> Result<Sealed, Failure> {
    let tree = File::open(staging.fs())
        .map_err(|error| Failure::new("cannot pack what the command changed").caused_by(&error))?;
    let options = PackOptions {
        clamp_mtime: Some(builder.request.epoch),
        upper: Some(builder.store.dialect()),
        ownership: builder.ownership,
        ..PackOptions::default()
    };
    let blob = blob(builder, |sink| {
        let mut guarded = crate::secrets::Guard::new(secrets, sink);
        pack_tree(tree.as_fd(), &options, &mut guarded).map_err(layer_failure)?;
        guarded.finish()?;
        Ok(true)
    })?;
    let Some(blob) = blob else { return Err(Failure::new("nothing was packed")) };
    let action = describe(builder, &blob, chain_of(below)?);
    let done = LayerDone {
        diff_id: action.diff_id,
        chain_id: action.chain_id,
        // It may take files away that are below.
        self_contained: false,
        max_uid: max.0,
        max_gid: max.1,
        entries: 0,
        bytes: 0,
        counted: false,
    };
    let sealed = Sealed::new(action, &done);
    builder.txn.publish_layer(staging, done).map_err(hinted)?;
    Ok(sealed)
}

/// What is in the archive at `path`, in a directory of the transaction; `None` if it is no archive.
pub(crate) fn archive(builder: &Builder<'_>, tree: &dyn Tree, path: &TreePath) -> Result<Option<PathBuf>, Failure> {
    let file = tree.open(path).map_err(|error| tree_failure(&error))?;
    if !is_archive(BufReader::new(&file)) {
        return Ok(None);
    }
    let within = |error: LayerError| layer_failure(error).within(format!("cannot unpack {path}"));
    let staging = builder.txn.layer_staging().map_err(hinted)?;
    let dir = staging.fs();
    let target = File::open(&dir).map_err(|error| Failure::new("cannot open a new directory").caused_by(&error))?;
    let options = UnpackOptions {
        dialect: builder.store.dialect(),
        parents: &[],
        ownership: builder.ownership,
        limits: Limits::default(),
    };
    let file = tree.open(path).map_err(|error| tree_failure(&error))?;
    let (_, decoded) = codec::open(BufReader::with_capacity(128 << 10, file)).map_err(within)?;
    let unpacker = Unpacker::new(target.as_fd(), options).map_err(within)?;
    unpacker.unpack(BufReader::with_capacity(128 << 10, decoded)).map_err(within)?;
    Ok(Some(dir))
}

/// Whether a stream is a tar, compressed or not, by its first header.
fn is_archive(input: BufReader<&File>) -> bool {
    let Ok((_, decoded)) = codec::open(input) else { return false };
    let mut block = Vec::with_capacity(512);
    if decoded.take(512).read_to_end(&mut block).is_err() || block.len() < 512 {
        return false;
    }
    if block.iter().all(|byte| *byte == 0) {
        return true;
    }
    // tar(5): the sum of all bytes, those of its own field as blanks.
    let Some(field) = block.get(148..156) else { return false };
    let digits: String = field.iter().map(|byte| char::from(*byte)).filter(char::is_ascii_digit).collect();
    let sum: u64 =
        block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum();
    u64::from_str_radix(&digits, 8).is_ok_and(|stored| stored == sum)
}

/// Whether a directory has nothing in it.
pub(crate) fn is_empty(dir: &Path) -> Result<bool, Failure> {
    let mut entries = std::fs::read_dir(dir)
        .map_err(|error| Failure::new(format!("cannot read {}", dir.display())).caused_by(&error))?;
    Ok(entries.next().is_none())
}

/// What `write` writes, in a new directory of the transaction.
pub(crate) fn unpacked(
    builder: &Builder<'_>,
    write: impl FnOnce(&mut TarWriter<&mut File>) -> Result<u64, CopyError>,
) -> Result<PathBuf, Failure> {
    let failed = |error: &io::Error| Failure::new("cannot copy files for a mount").caused_by(error);
    let staging = builder.txn.layer_staging().map_err(hinted)?;
    let dir = staging.fs();
    let mut archive =
        ctr_sys::small::create(&dir.with_file_name("tar"), 0o600).map(File::from).map_err(|error| failed(&error))?;
    let mut writer = TarWriter::new(&mut archive);
    write(&mut writer).map_err(copy_failure)?;
    writer.finish().map_err(|error| failed(&error))?;
    io::Seek::rewind(&mut archive).map_err(|error| failed(&error))?;
    let target = File::open(&dir).map_err(|error| failed(&error))?;
    let options = UnpackOptions {
        dialect: builder.store.dialect(),
        parents: &[],
        ownership: builder.ownership,
        limits: Limits::default(),
    };
    let unpacker = Unpacker::new(target.as_fd(), options).map_err(layer_failure)?;
    unpacker.unpack(BufReader::with_capacity(128 << 10, archive)).map_err(layer_failure)?;
    Ok(dir)
}
