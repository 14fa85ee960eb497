//! Layers in a store of a single id: owners, modes and devices are on record and come back out. Needs no privilege.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use ctr_layer::OVERRIDE_STAT;
use ctr_layer::limits::Limits;
use ctr_layer::pack::PackOptions;
use ctr_layer::unpack::{Ownership, UnpackOptions, Unpacked, Unpacker, XattrDialect};
use ctr_tests::tarball::{Entry, Tar};
use support::packed;

fn unpack(dir: &Path, archive: &[u8], below: &[&Path]) -> Unpacked {
    fs::create_dir(dir).unwrap();
    let below: Vec<File> = below.iter().map(|dir| File::open(dir).unwrap()).collect();
    let parents: Vec<_> = below.iter().map(AsFd::as_fd).collect();
    let options = UnpackOptions {
        dialect: XattrDialect::User,
        parents: &parents,
        ownership: Ownership::Record,
        limits: Limits::default(),
    };
    Unpacker::new(File::open(dir).unwrap(), options).unwrap().unpack(archive).unwrap()
}

fn record(path: &Path) -> Option<String> {
    let name = std::str::from_utf8(OVERRIDE_STAT).unwrap();
    xattr::get(path, name).unwrap().map(|value| String::from_utf8(value).unwrap())
}

fn layer() -> Vec<u8> {
    let mut file = Entry::new(b'0', "d/file").mode(0o4750).owner(1000, 2000).pax("SCHILY.xattr.user.note", "n");
    file.content = b"content".to_vec();
    let capability = Entry::new(b'0', "d/ping").mode(0o755).pax("SCHILY.xattr.security.capability", [1u8; 20]);
    Tar::new()
        .add(Entry::new(b'5', "./").mode(0o755))
        .add(Entry::new(b'5', "d/").mode(0o500).owner(5, 6))
        .add(file)
        .add(capability)
        .add(Entry::new(b'0', "d/secret").mode(0).owner(7, 8))
        .hardlink("d/other-name", "d/file")
        .symlink("link", "d/file")
        .device("null", b'3', 1, 3)
        .device("disk", b'4', 8, 1)
        .fifo("fifo")
        .finish()
}

#[test]
fn owners_and_devices_are_on_record() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("fs");
    let stats = unpack(&dir, &layer(), &[]);
    assert_eq!((stats.max_uid, stats.max_gid, stats.devices_as_files, stats.dropped_xattrs), (1000, 2000, 2, 1));
    let me = fs::metadata(scratch.path()).unwrap();
    for (path, mode, value) in [
        ("", 0o40_755, Some("0:0:0755")),
        ("d", 0o40_700, Some("5:6:0500")),
        ("d/file", 0o104_750, Some("1000:2000:04750")),
        ("d/secret", 0o100_600, Some("7:8:00")),
        ("null", 0o100_666, Some("0:0:0666:char-1-3")),
        ("disk", 0o100_666, Some("0:0:0666:block-8-1")),
        ("link", 0o120_777, None),
    ] {
        let meta = fs::symlink_metadata(dir.join(path)).unwrap();
        assert_eq!((meta.mode(), meta.uid(), meta.gid()), (mode, me.uid(), me.gid()), "{path}");
        if meta.is_file() || meta.is_dir() {
            assert_eq!(record(&dir.join(path)).as_deref(), value, "{path}");
        }
    }
    assert!(fs::symlink_metadata(dir.join("fifo")).unwrap().file_type().is_fifo());
    assert_eq!(xattr::get(dir.join("d/file"), "user.note").unwrap().unwrap(), b"n");
}

#[test]
fn packing_gives_the_recorded_owners_back() {
    let scratch = tempfile::tempdir().unwrap();
    let (once, twice) = (scratch.path().join("once"), scratch.path().join("twice"));
    let options = PackOptions { ownership: Ownership::Record, ..PackOptions::default() };
    unpack(&once, &layer(), &[]);
    let first = packed(&once, &options);
    unpack(&twice, &first, &[]);
    assert_eq!(packed(&twice, &options), first);
    let mut reader = ctr_layer::tar::TarReader::new(first.as_slice(), Limits::default());
    let mut seen = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        if entry.name.ends_with(b"file") || entry.name == b"null" {
            seen.push((entry.uid, entry.gid, entry.mode, entry.device));
        }
        assert!(entry.xattrs.iter().all(|(name, _)| name != OVERRIDE_STAT));
    }
    assert!(seen.contains(&(1000, 2000, 0o4750, (0, 0))), "{seen:?}");
    assert!(seen.contains(&(0, 0, 0o666, (1, 3))), "{seen:?}");
}

#[test]
fn what_is_taken_from_below_keeps_its_recorded_owner() {
    let scratch = tempfile::tempdir().unwrap();
    let (below, dir) = (scratch.path().join("below"), scratch.path().join("fs"));
    unpack(&below, &layer(), &[]);
    let upper = Tar::new().file("d/new", 0o644, "x").hardlink("again", "d/file").whiteout("", "link").finish();
    let stats = unpack(&dir, &upper, &[&below]);
    assert!(!stats.self_contained);
    assert_eq!(record(&dir.join("d")).as_deref(), Some("5:6:0500"));
    assert_eq!(record(&dir.join("d/file")).as_deref(), Some("1000:2000:04750"));
    let (a, b) = (fs::metadata(dir.join("d/file")).unwrap(), fs::metadata(dir.join("again")).unwrap());
    assert_eq!(a.ino(), b.ino());
    let whiteout = fs::symlink_metadata(dir.join("link")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
}
