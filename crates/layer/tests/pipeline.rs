//! Blobs through the pipeline: every compression, every way to be wrong, and that it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use ctr_core::digest::Digest;
use ctr_layer::LayerError;
use ctr_layer::codec::{Codec, Compression};
use ctr_layer::limits::{LimitError, Limits};
use ctr_layer::pipeline::{Digests, Expected, unpack_blob, verify_blob};
use ctr_layer::unpack::{Ownership, UnpackOptions, Unpacked, Unpacker, XattrDialect};
use ctr_tests::tarball::Tar;

/// Larger than all buffers together, and not of one byte only.
fn tar() -> Vec<u8> {
    let mut tar = Tar::new().dir("d/", 0o755);
    for index in 0..20u32 {
        let content: Vec<u8> =
            (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> (index % 24)).to_le_bytes()[0]).collect();
        tar = tar.file(&format!("d/{index}"), 0o644, content);
    }
    tar.finish()
}

fn compressed(tar: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = compression.encoder(Vec::new()).unwrap();
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

/// Options that need no privilege.
fn unpacker(dir: &Path, limits: Limits) -> Unpacker<'static> {
    fs::create_dir(dir).unwrap();
    let options = UnpackOptions { dialect: XattrDialect::User, parents: &[], ownership: Ownership::Record, limits };
    Unpacker::new(File::open(dir).unwrap(), options).unwrap()
}

fn run(blob: impl Read + Send, expected: &Expected, limits: Limits) -> Result<(Digests, Unpacked), LayerError> {
    let scratch = tempfile::tempdir().unwrap();
    unpack_blob(blob, expected, None, unpacker(&scratch.path().join("fs"), limits))
}

fn expected(blob: &[u8], tar: &[u8]) -> Expected {
    Expected { blob: Some(Digest::of(blob)), size: Some(blob.len() as u64), diff_id: Some(Digest::of(tar)) }
}

#[test]
fn every_compression_is_found_and_verified() {
    let tar = tar();
    let (first, second) = tar.split_at(tar.len() / 3);
    let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0][..], b"junk!"].concat();
    let (gzip, zstd) = (Compression::Gzip, Compression::Zstd);
    let mut blobs = vec![
        (Codec::Plain, tar.clone()),
        (Codec::Gzip, compressed(&tar, gzip)),
        (Codec::Gzip, [compressed(first, gzip), compressed(second, gzip)].concat()),
        (Codec::Zstd, compressed(&tar, zstd)),
        (Codec::Zstd, [compressed(first, zstd), skippable.clone(), compressed(second, zstd)].concat()),
        (Codec::Zstd, [skippable.clone(), compressed(&tar, zstd), skippable].concat()),
    ];
    for (codec, program) in [(Codec::Bzip2, "bzip2"), (Codec::Xz, "xz")] {
        if ctr_tests::skip::missing(false, &[program]).is_none() {
            blobs.push((codec, ctr_tests::oci::filter(program, &["-c"], &tar)));
        }
    }
    for (codec, blob) in blobs {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("fs");
        let mut copy = Vec::new();
        let unpacker = unpacker(&dir, Limits::default());
        let (digests, stats) = unpack_blob(blob.as_slice(), &expected(&blob, &tar), Some(&mut copy), unpacker).unwrap();
        assert_eq!((digests.codec, digests.tar_size, stats.entries), (codec, tar.len() as u64, 21));
        assert_eq!(copy, blob);
        assert_eq!(fs::read_dir(dir.join("d")).unwrap().count(), 20);
        assert_eq!(verify_blob(blob.as_slice(), &expected(&blob, &tar)).unwrap(), digests);
    }
}

#[test]
fn the_same_input_is_encoded_to_the_same_bytes() {
    let tar = tar();
    for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        assert_eq!(compressed(&tar, compression), compressed(&tar, compression));
        assert_eq!(compression.codec(), Codec::sniff(&compressed(&tar, compression)));
    }
}

#[test]
fn a_wrong_blob_is_told_from_a_wrong_layer() {
    let tar = tar();
    let blob = compressed(&tar, Compression::Zstd);
    let good = expected(&blob, &tar);
    let other = Some(Digest::of(b"other"));
    let size = blob.len() as u64;
    for (wrong, name) in [
        (Expected { blob: other, ..good }, "digest"),
        (Expected { size: Some(size - 1), ..good }, "longer"),
        (Expected { size: Some(size + 1), ..good }, "shorter"),
        (Expected { diff_id: other, ..good }, "diff id"),
    ] {
        let error = run(blob.as_slice(), &wrong, Limits::default()).unwrap_err();
        match name {
            "digest" => assert!(matches!(error, LayerError::BlobDigest { .. }), "{name}: {error}"),
            "longer" => assert!(matches!(error, LayerError::BlobSize { more: true, .. }), "{name}: {error}"),
            "shorter" => assert!(matches!(error, LayerError::BlobSize { more: false, .. }), "{name}: {error}"),
            _ => assert!(matches!(error, LayerError::DiffId { .. }), "{name}: {error}"),
        }
    }
    // A blob that is cut or changed is named as the wrong blob where its descriptor is known, else as damaged.
    for compression in [Compression::Gzip, Compression::Zstd] {
        let blob = compressed(&tar, compression);
        let cut = &blob[..blob.len() - 5];
        let error = run(cut, &expected(&blob, &tar), Limits::default()).unwrap_err();
        assert!(matches!(error, LayerError::BlobSize { .. }), "{error}");
        let error = run(cut, &Expected::default(), Limits::default()).unwrap_err();
        assert!(matches!(error, LayerError::Compressed { .. }), "{error}");
        let trailing = [blob.as_slice(), b"and more"].concat();
        let error = run(trailing.as_slice(), &Expected::default(), Limits::default()).unwrap_err();
        assert!(matches!(error, LayerError::Compressed { .. }), "{error}");
    }
}

#[test]
fn every_cut_is_an_error_and_never_a_panic() {
    let tar = Tar::new().dir("d/", 0o755).file("d/f", 0o644, vec![7u8; 3000]).finish();
    for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        let blob = compressed(&tar, compression);
        for length in (0..blob.len()).step_by(37) {
            assert!(run(&blob[..length], &expected(&blob, &tar), Limits::default()).is_err(), "{length}");
        }
    }
}

/// Gives its content, then an error.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::ConnectionReset.into()) } else { self.0.read(buffer) }
    }
}

/// Takes some bytes, then refuses.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_source_or_a_copy_that_fails_is_named() {
    let tar = tar();
    let blob = compressed(&tar, Compression::Gzip);
    for length in [0, 1, 1000, blob.len() / 2, blob.len()] {
        let error = run(Failing(&blob[..length]), &Expected::default(), Limits::default()).unwrap_err();
        assert!(matches!(&error, LayerError::Source(e) if e.kind() == io::ErrorKind::ConnectionReset), "{error}");
    }
    for length in [0, blob.len() / 2] {
        let scratch = tempfile::tempdir().unwrap();
        let unpacker = unpacker(&scratch.path().join("fs"), Limits::default());
        let error = unpack_blob(blob.as_slice(), &Expected::default(), Some(&mut Full(length)), unpacker).unwrap_err();
        assert!(matches!(&error, LayerError::Sink(e) if e.kind() == io::ErrorKind::StorageFull), "{error}");
    }
}

#[test]
fn a_stage_that_fails_ends_the_endless_ones_before_it() {
    // Would go on for ever if reading did not end with unpacking.
    let error = run(io::repeat(b'x'), &Expected::default(), Limits::default()).unwrap_err();
    assert!(matches!(error, LayerError::Archive { .. }), "{error}");
    let endless = Tar::new().file("..", 0o644, "x").finish();
    let error = run(endless.as_slice().chain(io::repeat(0)), &Expected::default(), Limits::default()).unwrap_err();
    assert!(matches!(error, LayerError::Refused { .. }), "{error}");
    // The size of the descriptor bounds what is read at all.
    let sized = Expected { size: Some(1_000_000), ..Expected::default() };
    let error = run(Tar::new().finish().as_slice().chain(io::repeat(0)), &sized, Limits::default()).unwrap_err();
    assert!(matches!(error, LayerError::BlobSize { more: true, .. }), "{error}");
}

#[test]
fn bombs_meet_their_limits() {
    let limits = Limits { ratio_floor: 1 << 20, ratio: 100, ..Limits::default() };
    let zeros = Tar::new().file("zeros", 0o644, vec![0u8; 4 << 20]).finish();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let bomb = compressed(&zeros, compression);
        let error = run(bomb.as_slice(), &expected(&bomb, &zeros), limits).unwrap_err();
        assert!(matches!(error, LayerError::Limit { limit: LimitError::Ratio { .. }, .. }), "{error}");
    }
    // Under the floor any ratio is taken.
    let small = compressed(&zeros, Compression::Gzip);
    run(small.as_slice(), &expected(&small, &zeros), Limits::default()).unwrap();
    let limits = Limits { layer_bytes: 2 << 20, ..Limits::default() };
    let error = run(zeros.as_slice(), &Expected::default(), limits).unwrap_err();
    assert!(matches!(error, LayerError::Limit { limit: LimitError::LayerBytes(_), .. }), "{error}");
}
