//! From a blob to a verified tree: reading and hashing the blob, decompressing, hashing the tar, and unpacking overlap.
//!
//! ```text
//!  source ─▶ read + sha256 (+ copy to sink) ─▶ decompress ─▶ sha256 ─▶ unpack
//!             thread                            thread        thread    the caller's thread
//! ```
//! Buffers go round (3 MiB in all). A stage that fails drops its ends of the channels, so that its neighbours end too,
//! and so on in both directions. Digests are compared only after the last byte; until then the tree must not be shown.

mod channel;

use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;

use ctr_core::digest::{Digest, Hasher};

use crate::codec::{self, Codec};
use crate::error::{LayerError, Result};
use crate::limits::{LimitError, Limits};
use crate::listing::Listing;
use crate::tar::TarReader;
use crate::unpack::{Unpacked, Unpacker};
use channel::{Gone, Input, Message, Output, pool};

/// Buffers between reading and decompression, and from there on.
const COMPRESSED_BUFFERS: usize = 8;
const TAR_BUFFERS: usize = 16;

/// What the caller knows of a blob; what it does not know is not checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Digest of the blob, from its descriptor.
    pub blob: Option<Digest>,
    /// Size of the blob in bytes, from its descriptor.
    pub size: Option<u64>,
    /// Digest of the tar, from `rootfs.diff_ids` of the image config.
    pub diff_id: Option<Digest>,
}

/// What a blob turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Digest of the blob.
    pub blob: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Digest of the tar in it.
    pub diff_id: Digest,
    /// Size of the tar in bytes.
    pub tar_size: u64,
    /// How it is compressed.
    pub codec: Codec,
}

/// Reads the blob from `source`, copies it to `sink`, and unpacks it; all of `expected` holds when this returns `Ok`.
pub fn unpack_blob(
    source: impl Read + Send,
    expected: &Expected,
    sink: Option<&mut (dyn Write + Send)>,
    mut unpacker: Unpacker<'_>,
) -> Result<(Digests, Unpacked)> {
    let limits = unpacker.limits();
    run(source, expected, sink, limits, |input| {
        let mut reader = TarReader::new(input, limits);
        unpacker.unpack_entries(&mut reader)?;
        // Behind the end mark there may be padding, which the digests cover.
        reader.into_inner().drain().map_err(LayerError::Source)?;
        unpacker.finish()
    })
}

/// Reads the blob from `source` and only computes and compares its digests.
pub fn verify_blob(source: impl Read + Send, expected: &Expected) -> Result<Digests> {
    let check = |input: &mut Input| input.drain().map_err(LayerError::Source);
    run(source, expected, None, Limits::default(), check).map(|(digests, ())| digests)
}

/// Reads the blob from `source` and lists what is in it; all of `expected` holds when this returns `Ok`.
pub fn list_blob(source: impl Read + Send, expected: &Expected) -> Result<(Digests, Listing)> {
    let limits = Limits::default();
    run(source, expected, None, limits, |input| {
        let mut reader = TarReader::new(input, limits);
        let listing = Listing::of_archive(&mut reader, &limits)?;
        reader.into_inner().drain().map_err(LayerError::Source)?;
        Ok(listing)
    })
}

/// How a stage ended, other than well.
enum Stop {
    /// For a reason of its own.
    Failed(LayerError),
    /// Because a neighbour did.
    Cancelled,
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Cancelled
    }
}

impl From<LayerError> for Stop {
    fn from(error: LayerError) -> Self {
        // An input that broke off is the neighbour's failure.
        match error {
            LayerError::Source(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Self::Cancelled,
            error => Self::Failed(error),
        }
    }
}

type Stage<T> = std::result::Result<T, Stop>;

fn run<T>(
    source: impl Read + Send,
    expected: &Expected,
    sink: Option<&mut (dyn Write + Send)>,
    limits: Limits,
    consume: impl FnOnce(&mut Input) -> Result<T>,
) -> Result<(Digests, T)> {
    let (blob_out, blob_in, blob_back) = pool(COMPRESSED_BUFFERS);
    let (tar_out, tar_in, tar_back) = pool(TAR_BUFFERS);
    let (hashed_out, hashed_in) = std::sync::mpsc::sync_channel(TAR_BUFFERS);
    thread::scope(|scope| {
        let read = thread::Builder::new().name("layer-read".into());
        let read = read.spawn_scoped(scope, move || read_blob(source, expected, sink, &blob_out));
        let decode = thread::Builder::new().name("layer-decode".into());
        let decode = decode.spawn_scoped(scope, move || decompress(Input::new(blob_in, blob_back), &tar_out, &limits));
        let hash = thread::Builder::new().name("layer-hash".into());
        let hash = hash.spawn_scoped(scope, move || hash_tar(&tar_in, &hashed_out));

        let mut input = Input::new(hashed_in, tar_back);
        let consumed = consume(&mut input).map_err(Stop::from);
        drop(input);
        let decoded = join(decode, "decompressing");
        let hashed = join(hash, "hashing");
        let blob = join(read, "reading");

        // The first stage that failed for a reason of its own tells why; a blob that is not the right one comes before
        // what its wrong bytes led to.
        let (blob, size) = match blob {
            Err(Stop::Failed(error)) => return Err(error),
            Ok(blob) => check_blob(blob, expected).map(Some)?,
            Err(Stop::Cancelled) => None,
        }
        .unzip();
        let codec = failed(decoded)?;
        let diff = failed(hashed)?;
        let consumed = failed(consumed)?;
        match (blob, size, codec, diff, consumed) {
            (Some(blob), Some(size), Some(codec), Some((diff_id, tar_size)), Some(consumed)) => {
                check_diff_id(diff_id, expected)?;
                Ok((Digests { blob, size, diff_id, tar_size, codec }, consumed))
            }
            _ => Err(LayerError::Stage("some")),
        }
    })
}

/// The result of a stage, or its own error; `None` if it was only cancelled.
fn failed<T>(stage: Stage<T>) -> Result<Option<T>> {
    match stage {
        Ok(value) => Ok(Some(value)),
        Err(Stop::Cancelled) => Ok(None),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn join<T>(handle: std::io::Result<thread::ScopedJoinHandle<'_, Stage<T>>>, name: &'static str) -> Stage<T> {
    let handle = handle.map_err(|error| Stop::Failed(LayerError::Source(error)))?;
    handle.join().unwrap_or(Err(Stop::Failed(LayerError::Stage(name))))
}

fn check_blob((blob, size): (Digest, u64), expected: &Expected) -> Result<(Digest, u64)> {
    match (expected.size, expected.blob) {
        (Some(expected), _) if expected != size => {
            Err(LayerError::BlobSize { expected, found: size, more: size > expected })
        }
        (_, Some(expected)) if expected != blob => Err(LayerError::BlobDigest { expected, found: blob }),
        _ => Ok((blob, size)),
    }
}

fn check_diff_id(found: Digest, expected: &Expected) -> Result<()> {
    match expected.diff_id {
        Some(expected) if expected != found => Err(LayerError::DiffId { expected, found }),
        _ => Ok(()),
    }
}

/// First stage. Reads one byte more than is expected at most, so that a source without end cannot keep it.
fn read_blob(
    source: impl Read,
    expected: &Expected,
    mut sink: Option<&mut (dyn Write + Send)>,
    output: &Output,
) -> Stage<(Digest, u64)> {
    let mut source = source.take(expected.size.map_or(u64::MAX, |size| size.saturating_add(1)));
    let mut hasher = Hasher::new();
    let mut size = 0u64;
    loop {
        let mut chunk = output.empty()?;
        let count = chunk.fill(&mut source).map_err(|error| Stop::Failed(LayerError::Source(error)))?;
        if count == 0 {
            break;
        }
        size += count as u64;
        hasher.update(chunk.data());
        if let Some(sink) = sink.as_mut() {
            sink.write_all(chunk.data()).map_err(|error| Stop::Failed(LayerError::Sink(error)))?;
        }
        output.send(chunk)?;
    }
    // The digest counts even if nobody waits for the end any more.
    let _ = output.end();
    Ok((hasher.finish(), size))
}

/// Second stage.
fn decompress(mut input: Input, output: &Output, limits: &Limits) -> Stage<Codec> {
    let received = input.received();
    let (codec, mut decoder) = codec::open(&mut input)?;
    let mut total = 0u64;
    loop {
        let mut chunk = output.empty()?;
        let count = chunk.fill(&mut decoder).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Stop::Cancelled,
            _ => Stop::Failed(LayerError::Compressed { codec: codec.name(), source: error }),
        })?;
        if count == 0 {
            break;
        }
        total = total.saturating_add(count as u64);
        check_growth(total, received.load(Ordering::Relaxed), limits)?;
        output.send(chunk)?;
    }
    drop(decoder);
    // What the decoder left (padding after the last frame) still belongs to the blob's digest.
    input.drain().map_err(|error| Stop::from(LayerError::Source(error)))?;
    output.end()?;
    Ok(codec)
}

/// Holds decompression bombs off before their content reaches the disk.
fn check_growth(decompressed: u64, compressed: u64, limits: &Limits) -> Result<()> {
    let limit = if decompressed > limits.layer_bytes {
        LimitError::LayerBytes(limits.layer_bytes)
    } else if decompressed.saturating_sub(limits.ratio_floor) > compressed.saturating_mul(limits.ratio) {
        LimitError::Ratio { limit: limits.ratio, compressed, decompressed }
    } else {
        return Ok(());
    };
    Err(LayerError::Limit { path: String::new(), limit })
}

/// Third stage.
fn hash_tar(input: &Receiver<Message>, output: &SyncSender<Message>) -> Stage<(Digest, u64)> {
    let mut hasher = Hasher::new();
    let mut size = 0u64;
    loop {
        let message = input.recv().map_err(|_| Stop::Cancelled)?;
        let ended = match &message {
            Message::Data(chunk) => {
                hasher.update(chunk.data());
                size += chunk.data().len() as u64;
                false
            }
            Message::End => true,
        };
        output.send(message).map_err(|_| Stop::Cancelled)?;
        if ended {
            return Ok((hasher.finish(), size));
        }
    }
}
