//! What a directory tree is, to the last attribute, and how two differ.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::oci;

/// A tree: relative path -> one line with type, mode, owner, size, digest, link target, attributes, time, hard links.
pub type Listing = BTreeMap<String, String>;

/// Lists everything below `root`, the root itself as `.`.
///
/// Overlay's own attributes are left out, and the size and time of directories that a merged view computes.
pub fn list(root: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut first_names = BTreeMap::new();
    let mut stack = vec![root.to_owned()];
    while let Some(path) = stack.pop() {
        let meta = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if meta.is_dir() {
            stack.extend(fs::read_dir(&path).expect("directory").map(|entry| entry.expect("entry").path()));
        }
        let name = path.strip_prefix(root).expect("below the root");
        let name = if name.as_os_str().is_empty() { ".".to_owned() } else { shown(name) };
        listing.insert(name.clone(), describe(&path, &meta));
        if meta.nlink() > 1 && !meta.is_dir() {
            first_names.entry((meta.dev(), meta.ino())).or_insert_with(Vec::new).push(name);
        }
    }
    for mut names in first_names.into_values() {
        names.sort();
        for name in &names {
            write!(listing.get_mut(name).expect("listed"), " links={}", names.join("|")).expect("to a string");
        }
    }
    listing
}

fn shown(name: &Path) -> String {
    name.as_os_str().as_bytes().escape_ascii().to_string()
}

fn describe(path: &Path, meta: &fs::Metadata) -> String {
    let kind = meta.file_type();
    let mut line = format!("{:06o} {}:{}", meta.mode(), meta.uid(), meta.gid());
    if kind.is_file() {
        let content = fs::read(path).expect("content");
        write!(line, " {} {}", meta.size(), oci::digest(&content)).expect("to a string");
    } else if kind.is_symlink() {
        write!(line, " -> {}", shown(&fs::read_link(path).expect("link"))).expect("to a string");
    } else if kind.is_block_device() || kind.is_char_device() {
        write!(line, " {:x}", meta.rdev()).expect("to a string");
    }
    // A whiteout has the time of its making: archives give it none that counts.
    let whiteout = kind.is_char_device() && meta.rdev() == 0;
    if !kind.is_dir() && !whiteout {
        write!(line, " mtime={}.{:09}", meta.mtime(), meta.mtime_nsec()).expect("to a string");
    }
    for (name, value) in attributes(path) {
        write!(line, " {name}={}", value.escape_ascii()).expect("to a string");
    }
    line
}

/// Extended attributes but overlay's, sorted.
pub fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = xattr::list(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("trusted.overlay.") && !name.starts_with("user.overlay."))
        .map(|name| (name.clone(), xattr::get(path, &name).expect("attribute").unwrap_or_default()))
        .collect()
}

/// The lines in which two trees differ: `-` of the first, `+` of the second.
pub fn differences(first: &Listing, second: &Listing) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, line) in first {
        if second.get(name) != Some(line) {
            lines.push(format!("- {name}: {line}"));
        }
        if let Some(other) = second.get(name).filter(|other| *other != line) {
            lines.push(format!("+ {name}: {other}"));
        }
    }
    let added = second.iter().filter(|(name, _)| !first.contains_key(*name));
    lines.extend(added.map(|(name, line)| format!("+ {name}: {line}")));
    lines
}

/// Asserts that two trees are the same.
#[track_caller]
pub fn assert_same(first: &Listing, second: &Listing) {
    let lines = differences(first, second);
    assert!(lines.is_empty(), "{} differences:\n{}", lines.len(), lines[..lines.len().min(40)].join("\n"));
}

/// Gives the calling thread a mount namespace of its own: what it mounts, it alone sees, and its end ends.
pub fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("unshare(CLONE_NEWNS)");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
}

/// The merged view of layer trees, lowest first, mounted at `at`. Needs [`own_mounts`].
pub fn mount_layers(layers: &[PathBuf], at: &Path, options: &str) {
    fs::create_dir_all(at).expect("mount point");
    let empty = at.with_added_extension("empty");
    fs::create_dir_all(&empty).expect("empty layer");
    // Overlay wants two lower directories where there is no upper one.
    let lower: Vec<String> =
        layers.iter().rev().chain([&empty]).map(|path| path.display().to_string().replace(':', "\\:")).collect();
    let data = format!("lowerdir={}{options}", lower.join(":"));
    mount(Some("overlay"), at, Some("overlay"), MsFlags::MS_RDONLY, Some(data.as_str())).expect("overlay");
}

/// Whether `path` is a fifo (which must not be opened).
pub fn is_fifo(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}
