//! Every archive of spec/vectors/archives.json through the extraction: the tree it has to give, or the reason to refuse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use ctr_layer::limits::{LimitError, Limits};
use ctr_layer::unpack::{Ownership, UnpackOptions, Unpacked, Unpacker, XattrDialect};
use ctr_layer::{ArchiveFault, EntryFault, LayerError};
use ctr_tests::vectors::{self, ArchiveVector, Expect, FileSpec};

#[test]
fn archives_become_what_the_specification_says() {
    ctr_tests::need!(root);
    let mut failed = Vec::new();
    let vectors = vectors::archives();
    for vector in &vectors {
        if let Err(problem) = check(vector) {
            failed.push(format!("{} ({}): {problem}", vector.name, vector.about));
        }
    }
    assert!(failed.is_empty(), "{} of {} vectors failed:\n{}", failed.len(), vectors.len(), failed.join("\n"));
}

fn check(vector: &ArchiveVector) -> Result<(), String> {
    let scratch = tempfile::tempdir().unwrap();
    let outside = snapshot_outside();
    let mut below: Vec<PathBuf> = Vec::new();
    for (index, archive) in vector.below().iter().enumerate() {
        let dir = scratch.path().join(format!("below{index}"));
        unpack(&dir, archive, &below, Limits::default()).map_err(|error| format!("layer {index} below: {error}"))?;
        below.push(dir);
    }
    let dir = scratch.path().join("layer");
    let result = unpack(&dir, &vector.archive(), &below, limits(vector));
    if snapshot_outside() != outside {
        return Err("something outside of the layer was changed".to_owned());
    }
    match (&vector.expect, result) {
        (Expect::Error(wanted), Err(error)) => match kind(&error) {
            found if found == *wanted => Ok(()),
            found => Err(format!("refused as {found} ({error}), not as {wanted}")),
        },
        (Expect::Error(wanted), Ok(_)) => Err(format!("taken, not refused as {wanted}")),
        (Expect::Tree { .. }, Err(error)) => Err(format!("refused: {error:?}")),
        (Expect::Tree { self_contained, files }, Ok(unpacked)) => {
            if self_contained.is_some_and(|wanted| wanted != unpacked.self_contained) {
                return Err(format!("self_contained is {}", unpacked.self_contained));
            }
            compare(&dir, files)
        }
    }
}

/// Names through which the vectors try to get out.
fn snapshot_outside() -> Vec<bool> {
    ["/escape", "/etc/ctr-escape", "/tmp/ctr-escape", "/tmp/2", "/ctr-escape"]
        .map(|path| Path::new(path).exists())
        .to_vec()
}

fn unpack(dir: &Path, archive: &[u8], below: &[PathBuf], limits: Limits) -> Result<Unpacked, LayerError> {
    fs::create_dir(dir).unwrap();
    let parents: Vec<fs::File> = below.iter().rev().map(|dir| fs::File::open(dir).unwrap()).collect();
    let parents: Vec<_> = parents.iter().map(AsFd::as_fd).collect();
    let options =
        UnpackOptions { dialect: XattrDialect::Trusted, parents: &parents, ownership: Ownership::Chown, limits };
    let target = fs::File::open(dir).unwrap();
    Unpacker::new(target.as_fd(), options)?.unpack(archive)
}

fn limits(vector: &ArchiveVector) -> Limits {
    let mut limits = Limits::default();
    for (name, value) in &vector.limits {
        let count = usize::try_from(*value).unwrap();
        match name.as_str() {
            "entries" => limits.entries = *value,
            "layer_bytes" => limits.layer_bytes = *value,
            "file_bytes" => limits.file_bytes = *value,
            "xattrs" => limits.xattrs = count,
            "sparse_segments" => limits.sparse_segments = count,
            other => panic!("no limit \"{other}\""),
        }
    }
    limits
}

fn kind(error: &LayerError) -> &'static str {
    match error {
        LayerError::Archive { fault, .. } => match fault {
            ArchiveFault::Truncated => "truncated",
            ArchiveFault::Checksum => "checksum",
            ArchiveFault::LoneZeroBlock => "lone-zero-block",
            ArchiveFault::Number(_) => "number",
            ArchiveFault::Pax => "pax",
            ArchiveFault::Dangling => "dangling",
            ArchiveFault::Sparse => "sparse",
            ArchiveFault::Type(_) => "type",
            ArchiveFault::Nameless => "nameless",
        },
        LayerError::Refused { fault, .. } => match fault {
            EntryFault::DotDot => "dot-dot",
            EntryFault::LinkDotDot => "link-dot-dot",
            EntryFault::Nul => "nul",
            EntryFault::Root => "root",
            EntryFault::Whiteout => "whiteout",
            EntryFault::Reserved => "reserved",
            EntryFault::OverlayAttribute(_) => "overlay-attribute",
            EntryFault::WhiteoutDevice => "whiteout-device",
            EntryFault::NoLinkTarget(_) => "no-link-target",
            EntryFault::LinkToDirectory(_) => "link-to-directory",
            EntryFault::EmptyLink => "empty-link",
            EntryFault::LinkLoop => "link-loop",
            EntryFault::Owner(_) => "owner",
            EntryFault::Device => "device",
        },
        LayerError::Limit { limit, .. } => match limit {
            LimitError::Entries(_) => "limit-entries",
            LimitError::LayerBytes(_) => "limit-layer-bytes",
            LimitError::FileBytes { .. } => "limit-file-bytes",
            LimitError::Ratio { .. } => "limit-ratio",
            LimitError::NameBytes(_) => "limit-name",
            LimitError::PathBytes { .. } => "limit-path",
            LimitError::PathDepth { .. } => "limit-depth",
            LimitError::HeaderBytes { .. } => "limit-header",
            LimitError::SparseSegments(_) => "limit-sparse",
            LimitError::Xattrs(_) => "limit-xattrs",
            LimitError::XattrBytes { .. } => "limit-xattr",
            LimitError::DirectoryBytes(_) => "limit-directories",
        },
        _ => "other",
    }
}

fn compare(dir: &Path, wanted: &[FileSpec]) -> Result<(), String> {
    let mut found = BTreeSet::new();
    list(dir, &mut Vec::new(), &mut found);
    let mut problems = Vec::new();
    for file in wanted {
        let path = file.path.bytes();
        let at = dir.join(OsString::from_vec(path.clone()));
        if path != b"." && !found.remove(&path) {
            problems.push(format!("{} is missing", path.escape_ascii()));
            continue;
        }
        for what in differences(dir, &at, file) {
            problems.push(format!("{}: {what}", path.escape_ascii()));
        }
    }
    problems.extend(found.iter().map(|path| format!("{} should not be there", path.escape_ascii())));
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn list(dir: &Path, prefix: &mut Vec<u8>, found: &mut BTreeSet<Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let length = prefix.len();
        if length > 0 {
            prefix.push(b'/');
        }
        prefix.extend(entry.file_name().as_bytes());
        found.insert(prefix.clone());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), prefix, found);
        }
        prefix.truncate(length);
    }
}

fn differences(dir: &Path, at: &Path, file: &FileSpec) -> Vec<String> {
    let mut problems = Vec::new();
    let mut same = |what: &str, wanted: String, found: String| {
        if wanted != found {
            problems.push(format!("{what} is {found}, not {wanted}"));
        }
    };
    let meta = fs::symlink_metadata(at).unwrap();
    let number = meta.rdev();
    let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
    let kind = meta.file_type();
    let found = match () {
        () if kind.is_dir() => "dir",
        () if kind.is_symlink() => "symlink",
        () if kind.is_char_device() && number == 0 => "whiteout",
        () if kind.is_char_device() => "char",
        () if kind.is_block_device() => "block",
        () if kind.is_fifo() => "fifo",
        () => "file",
    };
    same("type", file.kind.clone(), found.to_owned());
    if let Some(mode) = &file.mode {
        same("mode", mode.clone(), format!("{:04o}", meta.mode() & 0o7777));
    }
    file.uid.iter().for_each(|uid| same("uid", uid.to_string(), meta.uid().to_string()));
    file.gid.iter().for_each(|gid| same("gid", gid.to_string(), meta.gid().to_string()));
    file.size.iter().for_each(|size| same("size", size.to_string(), meta.size().to_string()));
    if let Some(content) = &file.content {
        same("content", content.bytes().escape_ascii().to_string(), fs::read(at).unwrap().escape_ascii().to_string());
    }
    if let Some(link) = &file.link {
        let found = fs::read_link(at).unwrap_or_default();
        same("link", link.bytes().escape_ascii().to_string(), found.as_os_str().as_bytes().escape_ascii().to_string());
    }
    if let Some(other) = &file.same_as {
        same("inode", fs::symlink_metadata(dir.join(other)).unwrap().ino().to_string(), meta.ino().to_string());
    }
    if let Some(device) = file.device {
        same("device", format!("{device:?}"), format!("{:?}", (major, minor)));
    }
    if let Some(mtime) = &file.mtime {
        let found = match meta.mtime_nsec() {
            0 => meta.mtime().to_string(),
            nanos => format!("{}.{nanos:09}", meta.mtime()),
        };
        same("mtime", mtime.clone(), found);
    }
    if found == "dir" {
        let opaque = xattr::get(at, "trusted.overlay.opaque").unwrap().as_deref() == Some(b"y");
        same("opaque", file.opaque.to_string(), opaque.to_string());
    }
    for (name, value) in &file.xattrs {
        let found = xattr::get(at, name).unwrap().map(|value| value.escape_ascii().to_string());
        same(name, format!("{:?}", Some(value.bytes().escape_ascii().to_string())), format!("{found:?}"));
    }
    problems
}
