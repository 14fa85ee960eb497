//! Trees to archives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use ctr_core::digest::Digest;
use ctr_layer::codec::Compression;
use ctr_layer::limits::{LimitError, Limits};
use ctr_layer::pack::{PackOptions, pack_layer, pack_tree};
use ctr_layer::pipeline::verify_blob;
use ctr_layer::tar::TarReader;
use ctr_layer::{EntryFault, LayerError};
use support::{packed, shell};

const TREE: &str = "mkdir -p b/c a; echo 1 > b/c/f; echo 2 > a.b; ln a.b a/hard; ln -s ../a.b a/soft; mkfifo p; : > b-";

fn names(archive: &[u8]) -> Vec<String> {
    let mut reader = TarReader::new(archive, Limits::default());
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(String::from_utf8(entry.name).unwrap());
    }
    names
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let options = PackOptions { clamp_mtime: Some(1_000_000), owner: Some((0, 0)), ..PackOptions::default() };
    let archives: Vec<Vec<u8>> = [
        TREE,
        "mkdir b a; echo 2 > a.b; ln a.b a/hard; : > b-; mkfifo p; mkdir b/c; ln -s ../a.b a/soft; echo 1 > b/c/f",
    ]
    .iter()
    .map(|script| {
        let scratch = tempfile::tempdir().unwrap();
        shell(scratch.path(), &format!("umask 022; chmod 755 .; {script}"));
        packed(scratch.path(), &options)
    })
    .collect();
    assert_eq!(archives[0], archives[1]);
    assert_eq!(names(&archives[0]), ["./", "a/", "a/hard", "a/soft", "a.b", "b/", "b/c/", "b/c/f", "b-", "p"]);
    let mut reader = TarReader::new(archives[0].as_slice(), Limits::default());
    while let Some(entry) = reader.next_entry().unwrap() {
        assert_eq!((entry.uid, entry.gid, entry.mtime.secs, entry.mtime.nanos), (0, 0, 1_000_000, 0));
    }
}

#[test]
fn older_times_are_kept() {
    let scratch = tempfile::tempdir().unwrap();
    shell(scratch.path(), "touch -d @1000.5 old; touch -d @9000 new; touch -d @1 .");
    let options = PackOptions { clamp_mtime: Some(5000), ..PackOptions::default() };
    for (nanoseconds, old) in [(false, (1000, 0)), (true, (1000, 500_000_000))] {
        let archive = packed(scratch.path(), &PackOptions { nanoseconds, ..options });
        let mut reader = TarReader::new(archive.as_slice(), Limits::default());
        let mut times = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            times.push((entry.mtime.secs, entry.mtime.nanos));
        }
        assert_eq!(times, [(1, 0), (5000, 0), old]);
    }
}

#[test]
fn a_layer_has_the_digests_that_it_says() {
    let scratch = tempfile::tempdir().unwrap();
    shell(scratch.path(), TREE);
    let root = File::open(scratch.path()).unwrap();
    for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        let mut blob = Vec::new();
        let layer = pack_layer(root.as_fd(), &PackOptions::default(), compression, &mut blob).unwrap();
        assert_eq!((layer.digest, layer.size), (Digest::of(&blob), blob.len() as u64));
        let digests = verify_blob(blob.as_slice(), &ctr_layer::pipeline::Expected::default()).unwrap();
        assert_eq!((digests.diff_id, digests.tar_size), (layer.diff_id, layer.tar_size));
        assert_eq!(digests.codec, compression.codec());
    }
}

#[test]
fn sockets_are_left_out_with_a_note() {
    let scratch = tempfile::tempdir().unwrap();
    let _socket = UnixListener::bind(scratch.path().join("socket")).unwrap();
    let root = File::open(scratch.path()).unwrap();
    let mut archive = Vec::new();
    let stats = pack_tree(root.as_fd(), &PackOptions::default(), &mut archive).unwrap();
    assert_eq!((stats.sockets, names(&archive)), (vec!["socket".to_owned()], vec!["./".to_owned()]));
}

#[test]
fn what_could_not_be_unpacked_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let root = File::open(scratch.path()).unwrap();
    let pack = |options: &PackOptions| pack_tree(root.as_fd(), options, std::io::sink());
    shell(scratch.path(), ": > .wh.name");
    let error = pack(&PackOptions::default()).unwrap_err();
    assert!(matches!(error, LayerError::Refused { fault: EntryFault::Reserved, .. }), "{error}");
    fs::remove_file(scratch.path().join(".wh.name")).unwrap();
    shell(scratch.path(), "mkdir -p a/b/c/d");
    let limits = Limits { path_depth: 3, ..Limits::default() };
    let error = pack(&PackOptions { limits, ..PackOptions::default() }).unwrap_err();
    assert!(matches!(error, LayerError::Limit { limit: LimitError::PathDepth { .. }, .. }), "{error}");
    pack(&PackOptions { limits: Limits { path_depth: 4, ..Limits::default() }, ..PackOptions::default() }).unwrap();
}
