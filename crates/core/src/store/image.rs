//! Names and launch records: what a reference points to.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::{StoreError, record};
use crate::digest::Digest;
use crate::launch::{LAUNCH_VERSION, LaunchRecord};
use crate::reference::Reference;

/// Fewest hexadecimal digits that name an image by the beginning of its digest.
pub const PREFIX_MIN: usize = 6;

/// The file of a reference (spec/05-store.md "References").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefRecord {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    /// The index that led to the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Digest>,
}

/// A name in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefEntry {
    /// Normalized name.
    pub name: String,
    /// Digest of the image manifest.
    pub digest: Digest,
    /// The index that the registry gave for the name, if it was one.
    pub index: Option<Digest>,
    /// When it was last fetched or tagged.
    pub updated: SystemTime,
}

/// The names of a store.
#[derive(Debug, Default)]
pub struct Refs {
    /// Those that can be read, sorted by name.
    pub entries: Vec<RefEntry>,
    /// Files that cannot be read: each an error that names it.
    pub damaged: Vec<(PathBuf, StoreError)>,
}

/// An image that was asked for, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// The name that led to it, if it was asked for by name.
    pub name: Option<String>,
    /// Digest of the image manifest.
    pub digest: Digest,
}

/// Reads the reference `name` (normalized).
pub(crate) fn read_ref(layout: &Layout, name: &str) -> Result<Option<Digest>, StoreError> {
    Ok(read_record(layout, name)?.map(|found| found.digest))
}

/// The record of the reference `name` (normalized).
pub(crate) fn read_record(layout: &Layout, name: &str) -> Result<Option<RefRecord>, StoreError> {
    let path = layout.reference(name);
    match record::read_json::<RefRecord>(&path)? {
        None => Ok(None),
        Some(found) if found.name == name => Ok(Some(found)),
        Some(found) => Err(StoreError::damaged(&path, format!("it holds the name \"{}\", not \"{name}\"", found.name))),
    }
}

/// The digest that a reference stands for.
pub(crate) fn resolve(layout: &Layout, reference: &Reference) -> Result<Option<Digest>, StoreError> {
    if let Some(found) = read_ref(layout, &reference.to_string())? {
        return Ok(Some(found));
    }
    // A digest names an image manifest directly; for the digest of an index, fetch left a reference.
    Ok(reference.digest().copied().filter(|digest| layout.image(digest).exists()))
}

/// Finds an image by name, digest, or the beginning of its digest.
pub(crate) fn find(layout: &Layout, text: &str) -> Result<ImageRef, StoreError> {
    let none = || StoreError::NoImage(text.to_owned());
    if text.starts_with("sha256:") && text.len() > "sha256:".len() + PREFIX_MIN - 1 {
        let hex = text.trim_start_matches("sha256:");
        return match by_prefix(layout, text, hex)? {
            Some(digest) => Ok(ImageRef { name: None, digest }),
            None => Err(none()),
        };
    }
    let is_hex = |t: &str| t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let could_be_digest = (PREFIX_MIN..=64).contains(&text.len()) && is_hex(text);
    let reference = match text.parse::<Reference>() {
        Ok(reference) => Some(reference),
        Err(_) if could_be_digest => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(reference) = &reference
        && let Some(digest) = resolve(layout, reference)?
    {
        return Ok(ImageRef { name: Some(reference.to_string()), digest });
    }
    if could_be_digest && let Some(digest) = by_prefix(layout, text, text)? {
        return Ok(ImageRef { name: None, digest });
    }
    Err(StoreError::NoImage(reference.map_or_else(|| text.to_owned(), |reference| reference.to_string())))
}

fn by_prefix(layout: &Layout, text: &str, hex: &str) -> Result<Option<Digest>, StoreError> {
    if hex.len() == 64 {
        return Ok(Digest::from_hex(hex).ok().filter(|digest| layout.image(digest).exists()));
    }
    let all = record::names_in(&layout.images())?;
    let matching: Vec<Digest> =
        all.iter().filter(|name| name.starts_with(hex)).filter_map(|name| Digest::from_hex(name).ok()).collect();
    match matching.as_slice() {
        [] => Ok(None),
        [digest] => Ok(Some(*digest)),
        several => Err(StoreError::Ambiguous { text: text.to_owned(), count: several.len() }),
    }
}

/// Reads the launch record of an image; `None` if there is none.
pub(crate) fn read_launch(layout: &Layout, image: &Digest) -> Result<Option<LaunchRecord>, StoreError> {
    let path = layout.image(image);
    let Some(launch) = record::read_json::<LaunchRecord>(&path)? else { return Ok(None) };
    if launch.image != *image {
        return Err(StoreError::damaged(&path, format!("it is the record of {}", launch.image)));
    }
    if launch.version != LAUNCH_VERSION {
        // Derived data of another release: written again from the blobs when the image is fetched again.
        let reason = format!("it has version {}, this release reads {LAUNCH_VERSION}", launch.version);
        return Err(StoreError::damaged(&path, reason));
    }
    Ok(Some(launch))
}

/// All names.
pub(crate) fn list_refs(layout: &Layout) -> Result<Refs, StoreError> {
    let mut refs = Refs::default();
    for file in record::names_in(&layout.refs())? {
        let path = layout.refs().join(&file);
        match read_entry(layout, &path) {
            Ok(Some(entry)) => refs.entries.push(entry),
            // Removed meanwhile.
            Ok(None) => {}
            Err(error) => refs.damaged.push((path, error)),
        }
    }
    refs.entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(refs)
}

fn read_entry(layout: &Layout, path: &std::path::Path) -> Result<Option<RefEntry>, StoreError> {
    let Some(found) = record::read_json::<RefRecord>(path)? else { return Ok(None) };
    if layout.reference(&found.name) != path {
        return Err(StoreError::damaged(path, format!("it holds the name \"{}\", whose file is another", found.name)));
    }
    let updated = match fs::metadata(path).and_then(|meta| meta.modified()) {
        Ok(updated) => updated,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("look at", path)(error)),
    };
    Ok(Some(RefEntry { name: found.name, digest: found.digest, index: found.index, updated }))
}

/// Digests of all images that have a launch record.
pub(crate) fn list_images(layout: &Layout) -> Result<Vec<Digest>, StoreError> {
    Ok(record::names_in(&layout.images())?.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
}
