//! Trees as data, and layers unpacked into them.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctr_core::digest::Digest;
use ctr_layer::limits::Limits;
use ctr_layer::unpack::{Ownership, UnpackOptions, Unpacked, Unpacker, XattrDialect};
use ctr_layer::{LayerError, pack};

/// How exact times are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Nanoseconds,
    Seconds,
}

/// Every file below `root` by its path: type, mode, owner, size, digest, link, device, attributes, time, and the first
/// path of the files that it is one with.
pub(crate) fn snapshot(root: &Path, times: Times) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut first_names = BTreeMap::new();
    describe(root, root, times, &mut first_names, &mut files);
    files
}

fn describe(
    root: &Path,
    path: &Path,
    times: Times,
    first_names: &mut BTreeMap<(u64, u64), String>,
    files: &mut BTreeMap<String, String>,
) {
    let meta = fs::symlink_metadata(path).unwrap();
    let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
    let mut parts = vec![format!("{:o} {}:{} dev {}", meta.mode(), meta.uid(), meta.gid(), meta.rdev())];
    if meta.is_file() {
        parts.push(format!("size {} {}", meta.len(), Digest::of(&fs::read(path).unwrap()).short()));
    }
    if meta.is_symlink() {
        parts.push(format!("-> {}", fs::read_link(path).unwrap().as_os_str().as_bytes().escape_ascii()));
    }
    let mut attributes: Vec<_> = xattr::list(path).unwrap().collect();
    attributes.sort();
    for attribute in attributes {
        let value = xattr::get(path, &attribute).unwrap().unwrap_or_default();
        parts.push(format!("{}={}", attribute.display(), value.escape_ascii()));
    }
    parts.push(match times {
        Times::Nanoseconds => format!("at {}.{:09}", meta.mtime(), meta.mtime_nsec()),
        Times::Seconds => format!("at {}", meta.mtime()),
    });
    if !meta.is_dir() && meta.nlink() > 1 {
        let first = first_names.entry((meta.dev(), meta.ino())).or_insert_with(|| name.clone());
        parts.push(format!("is {first}"));
    }
    files.insert(name, parts.join(" "));
    if meta.is_dir() {
        let mut names: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for child in names {
            describe(root, &child, times, first_names, files);
        }
    }
}

/// Compares two trees and tells only what differs.
pub(crate) fn assert_same(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>, what: &str) {
    let mut differences = Vec::new();
    for path in left.keys().chain(right.keys().filter(|path| !left.contains_key(*path))) {
        let (a, b) = (left.get(path), right.get(path));
        if a != b {
            differences.push(format!("{path}\n  left:  {a:?}\n  right: {b:?}"));
        }
    }
    assert!(differences.is_empty(), "{what}:\n{}", differences.join("\n"));
}

/// Options of root's store.
pub(crate) fn options() -> UnpackOptions<'static> {
    UnpackOptions {
        dialect: XattrDialect::Trusted,
        parents: &[],
        ownership: Ownership::Chown,
        limits: Limits::default(),
    }
}

/// Unpacks `archive` into the new directory `dir`, on top of the directories `below` (lowest first).
pub(crate) fn unpack_over(dir: &Path, archive: &[u8], below: &[PathBuf]) -> Result<Unpacked, LayerError> {
    unpack_as(XattrDialect::Trusted, dir, archive, below)
}

/// [`unpack_over`] in one of overlay's dialects.
pub(crate) fn unpack_as(
    dialect: XattrDialect,
    dir: &Path,
    archive: &[u8],
    below: &[PathBuf],
) -> Result<Unpacked, LayerError> {
    fs::create_dir(dir).unwrap();
    let parents: Vec<File> = below.iter().rev().map(|dir| File::open(dir).unwrap()).collect();
    let parents: Vec<_> = parents.iter().map(AsFd::as_fd).collect();
    let options = UnpackOptions { parents: &parents, dialect, ..options() };
    Unpacker::new(File::open(dir).unwrap(), options)?.unpack(archive)
}

/// Packs the tree `dir`.
pub(crate) fn packed(dir: &Path, options: &pack::PackOptions) -> Vec<u8> {
    let mut archive = Vec::new();
    pack::pack_tree(File::open(dir).unwrap().as_fd(), options, &mut archive).unwrap();
    archive
}

/// Runs a shell script in `dir`, which must end well.
pub(crate) fn shell(dir: &Path, script: &str) {
    let output = Command::new("sh").arg("-euc").arg(script).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// What overlay shows of `layers` (lowest first), copied to `target`. Mounted in a mount namespace of its own.
pub(crate) fn merged(work: &Path, layers: &[PathBuf], target: &Path) {
    merged_as(XattrDialect::Trusted, work, layers, target);
}

/// [`merged`] in one of overlay's dialects.
pub(crate) fn merged_as(dialect: XattrDialect, work: &Path, layers: &[PathBuf], target: &Path) {
    let mount = work.join("mount");
    // Overlay without an upper wants two layers at least.
    let empty = work.join("empty");
    for dir in [&mount, &empty, &target.to_path_buf()] {
        fs::create_dir(dir).unwrap();
    }
    let mut lower: Vec<String> = layers.iter().rev().map(|dir| dir.display().to_string()).collect();
    lower.push(empty.display().to_string());
    let script = format!(
        "mount -t overlay overlay -o ro{userxattr},lowerdir={} {mount}; cp -a {mount}/. {}",
        lower.join(":"),
        target.display(),
        mount = mount.display(),
        userxattr = if dialect == XattrDialect::User { ",userxattr" } else { "" },
    );
    let output = Command::new("unshare").args(["-m", "sh", "-euc", &script]).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_dir(&mount).unwrap();
    fs::remove_dir(&empty).unwrap();
}
