//! What is used.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use super::{ContainerRoots, Item, NameRule, Policy, Reach};
use crate::digest::Digest;
use crate::launch::LayerId;
use crate::store::image::{self, RefEntry};
use crate::store::keep::{self, Kept};
use crate::store::layout::Layout;
use crate::store::{StoreError, record, referrers};

/// The objects that something uses.
#[derive(Debug, Default)]
pub(super) struct Marked {
    pub(super) images: BTreeSet<Digest>,
    pub(super) layers: BTreeSet<LayerId>,
    pub(super) blobs: BTreeSet<Digest>,
    /// Indexes that names came with. Those of their images that are there stay.
    pub(super) indexes: BTreeSet<Digest>,
    /// Names that go, with the reason.
    pub(super) dropped: Vec<(RefEntry, String)>,
    /// Directories in `tmp/` whose owner lives.
    pub(super) live: BTreeSet<String>,
    /// Roots that cannot be read.
    pub(super) unreadable: Vec<String>,
    /// What builds remember and that goes.
    pub(super) builds: Vec<Item>,
}

pub(super) fn mark(
    layout: &Layout,
    roots: &ContainerRoots,
    policy: &Policy,
    reach: &mut Reach,
) -> Result<Marked, StoreError> {
    let mut marked = Marked { unreadable: roots.unreadable.clone(), ..Marked::default() };
    mark_names(layout, roots, policy, &mut marked)?;
    mark_transactions(layout, &mut marked)?;
    mark_young(layout, policy, &mut marked)?;
    super::builds::mark(layout, policy, &mut marked)?;
    mark_indexes(layout, &mut marked, reach);
    // Whoever must be whole: a damaged one keeps everything, since nobody knows what belongs to it.
    for digest in marked.images.clone() {
        match image::read_launch(layout, &digest) {
            Ok(Some(launch)) => {
                marked.layers.extend(launch.layers);
                marked.blobs.insert(launch.config);
            }
            Ok(None) => marked.unreadable.push(format!("image {digest} has no launch record")),
            Err(error) => marked.unreadable.push(error.to_string()),
        }
        if let Err(error) = reach.follow(layout, &digest, &mut marked.blobs) {
            marked.unreadable.push(error.to_string());
        }
    }
    // A container lists its layers itself and runs without the rest, which is kept where it is there.
    marked.layers.extend(&roots.layers);
    for (digest, container) in &roots.images {
        if !marked.images.insert(*digest) {
            continue;
        }
        if let Ok(Some(launch)) = image::read_launch(layout, digest) {
            marked.layers.extend(launch.layers);
            marked.blobs.insert(launch.config);
        }
        match reach.follow(layout, digest, &mut marked.blobs) {
            Ok(()) | Err(StoreError::NoBlob(_)) => {}
            Err(error) => marked.unreadable.push(format!("image of container {container}: {error}")),
        }
    }
    mark_referrers(layout, &mut marked, reach)?;
    Ok(marked)
}

/// An index keeps its own blob and its images that were fetched. One that is lost keeps nothing: its names have images.
fn mark_indexes(layout: &Layout, marked: &mut Marked, reach: &mut Reach) {
    for index in marked.indexes.clone() {
        match reach.follow(layout, &index, &mut marked.blobs) {
            Ok(()) => {
                let fetched = reach.nested(&index).filter(|manifest| layout.image(manifest).exists());
                marked.images.extend(fetched);
            }
            Err(StoreError::NoBlob(_)) => {}
            Err(error) => marked.unreadable.push(error.to_string()),
        }
    }
}

/// Referrers stay as long as what they refer to; that may be a referrer in turn.
fn mark_referrers(layout: &Layout, marked: &mut Marked, reach: &mut Reach) -> Result<(), StoreError> {
    let mut open = Vec::new();
    for list in referrers::all(layout)? {
        match list {
            Ok(list) => open.push(list),
            Err(error) => marked.unreadable.push(error.to_string()),
        }
    }
    loop {
        let (used, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|list| marked.blobs.contains(&list.subject));
        if used.is_empty() {
            return Ok(());
        }
        for referrer in used.iter().flat_map(|list| &list.manifests) {
            match reach.follow(layout, &referrer.digest, &mut marked.blobs) {
                Ok(()) | Err(StoreError::NoBlob(_)) => {}
                Err(error) => marked.unreadable.push(error.to_string()),
            }
        }
        open = rest;
    }
}

fn mark_names(layout: &Layout, roots: &ContainerRoots, policy: &Policy, marked: &mut Marked) -> Result<(), StoreError> {
    let refs = image::list_refs(layout)?;
    marked.unreadable.extend(refs.damaged.iter().map(|(_, error)| error.to_string()));
    for entry in refs.entries {
        let age = policy.now.duration_since(entry.updated).unwrap_or_default();
        let reason = match policy.names {
            NameRule::Keep => None,
            NameRule::All => Some("no container uses its image".to_owned()),
            NameRule::OlderThan(limit) => (age > limit).then(|| {
                format!("fetched {} ago, and no container uses its image", crate::quantity::format_duration(age))
            }),
        };
        match reason {
            Some(reason) if !roots.images.contains_key(&entry.digest) => marked.dropped.push((entry, reason)),
            _ => {
                marked.images.insert(entry.digest);
                marked.indexes.extend(entry.index);
            }
        }
    }
    Ok(())
}

fn mark_transactions(layout: &Layout, marked: &mut Marked) -> Result<(), StoreError> {
    let tmp = layout.tmp();
    for name in record::names_in(&tmp)? {
        let dir = tmp.join(&name);
        if !is_held(&dir.join("lock"))? {
            continue;
        }
        match keep::read(&dir.join("keep"))? {
            Some(kept) => {
                for object in kept {
                    match object {
                        Kept::Blob(digest) => {
                            marked.blobs.insert(digest);
                        }
                        Kept::Layer(id) => {
                            marked.layers.insert(id);
                        }
                        // One that has no record yet is about to be published; its parts are listed one by one.
                        Kept::Image(digest) if layout.image(&digest).exists() => {
                            marked.images.insert(digest);
                        }
                        Kept::Image(_) => {}
                    }
                }
            }
            None => marked.unreadable.push(format!("{} is damaged", dir.join("keep").display())),
        }
        marked.live.insert(name);
    }
    Ok(())
}

/// Images without a name, just imported: their digest was printed and somebody may be about to start them.
fn mark_young(layout: &Layout, policy: &Policy, marked: &mut Marked) -> Result<(), StoreError> {
    for digest in image::list_images(layout)? {
        if !marked.images.contains(&digest)
            && age(&layout.image(&digest), policy.now)?.is_some_and(|a| a < policy.grace)
        {
            let named = marked.dropped.iter().any(|(entry, _)| entry.digest == digest);
            if !named {
                marked.images.insert(digest);
            }
        }
    }
    Ok(())
}

/// How long ago a file was changed; `None` if it is gone.
pub(super) fn age(path: &Path, now: SystemTime) -> Result<Option<std::time::Duration>, StoreError> {
    match fs::symlink_metadata(path).and_then(|meta| meta.modified()) {
        Ok(changed) => Ok(Some(now.duration_since(changed).unwrap_or_default())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("look at", path)(error)),
    }
}

/// Whether the owner of a transaction lives.
fn is_held(lock: &Path) -> Result<bool, StoreError> {
    use ctr_sys::lock::{LockKind, LockRange, is_held};
    match File::open(lock) {
        Ok(file) => is_held(&file, LockKind::Exclusive, LockRange::WHOLE).map_err(StoreError::sys("ask for", lock)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(StoreError::io("open", lock)(error)),
    }
}
