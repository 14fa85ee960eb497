//! What builds remember, below `R/build` (spec/11-build.md "Keys and the cache"): records of steps keep the layers and blobs
//! that they name; what was of no use for long goes, and then what it kept.
//!
//! A build that takes a layer by a record keeps it through its transaction, under the gate ([`Txn::keep_whole_layer`]): it
//! does so before a collection has the gate, which then sees it kept, or after, and then finds nothing and does the step.
//!
//! [`Txn::keep_whole_layer`]: crate::store::Txn::keep_whole_layer

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::mark::{Marked, age};
use super::{Item, ItemKind, Policy};
use crate::digest::Digest;
use crate::launch::LayerId;
use crate::quantity::format_duration;
use crate::store::layer::{self, LayerState};
use crate::store::layout::Layout;
use crate::store::{StoreError, blob, record};

/// How old what builds remember is when it goes, unless the policy says otherwise (spec/limits.md).
pub const BUILD_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// The largest record that is read, in bytes.
const RECORD_MAX: usize = 64 << 10;

/// A record of a step, as far as it keeps something.
#[derive(Deserialize)]
struct Step {
    layer: Option<StepLayer>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
struct StepLayer {
    digest: Digest,
    diff_id: Digest,
    chain_id: Digest,
}

/// A record that can be read and is young enough.
struct Known {
    age: Duration,
    path: PathBuf,
    id: String,
    layer: Option<StepLayer>,
}

/// Marks what records keep; what of `R/build` goes becomes items.
pub(super) fn mark(layout: &Layout, policy: &Policy, marked: &mut Marked) -> Result<(), StoreError> {
    let Some(root) = layout.store.parent() else { return Ok(()) };
    let build = root.join("build");
    let mut known = Vec::new();
    for head in entries(&build.join("actions"))? {
        for path in entries(&head)? {
            let id = [name(&head), name(&path)].concat();
            let Some(age) = age(&path, policy.now)? else { continue };
            match (read(&path), too_old(&path, age, policy)) {
                (_, Some(reason)) | (Err(reason), None) => {
                    marked.builds.push(item(ItemKind::BuildStep, id, path, reason));
                }
                (Ok(step), None) => known.push(Known { age, path, id, layer: step.layer }),
            }
        }
    }
    let over = policy.build_size.map_or_else(Vec::new, |most| evict(layout, &mut known, most));
    marked.builds.extend(over);
    for layer in known.iter().filter_map(|known| known.layer) {
        marked.blobs.insert(layer.digest);
        marked.layers.extend([LayerId(layer.chain_id), LayerId(layer.diff_id)]);
    }
    for path in entries(&build.join("stat"))? {
        if let Some(reason) = age(&path, policy.now)?.and_then(|age| too_old(&path, age, policy)) {
            marked.builds.push(item(ItemKind::BuildFile, name(&path), path, reason));
        }
    }
    for path in entries(&build.join("caches"))? {
        let is_dir = path.is_dir();
        // Locks stay with their caches.
        if !is_dir && path.extension().is_some_and(|extension| extension == "lock") {
            continue;
        }
        if is_dir && is_used(&path)? {
            continue;
        }
        if let Some(reason) = age(&path, policy.now)?.and_then(|age| too_old(&path, age, policy)) {
            marked.builds.push(item(ItemKind::BuildCache, name(&path), path, reason));
        }
    }
    Ok(())
}

fn item(kind: ItemKind, id: String, path: PathBuf, reason: String) -> Item {
    Item { kind, id, path, reason }
}

/// Why something goes by its age. What a killed process was writing goes after the grace.
fn too_old(path: &Path, age: Duration, policy: &Policy) -> Option<String> {
    if path.extension().is_some_and(|extension| extension == "new") {
        return (age >= policy.grace).then(|| "the process that wrote it is gone".to_owned());
    }
    (age >= policy.build_age).then(|| format!("not used for {}", format_duration(age)))
}

fn read(path: &Path) -> Result<Step, String> {
    match ctr_sys::small::read(path, RECORD_MAX) {
        Ok(Some(bytes)) => serde_json::from_slice(&bytes).map_err(|_| "it is no record".to_owned()),
        Ok(None) => Err("it is no record".to_owned()),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

/// Takes records away, those first that were of no use for longest, until what the others keep is no more than `most` bytes.
fn evict(layout: &Layout, known: &mut Vec<Known>, most: u64) -> Vec<Item> {
    known.sort_by(|one, other| (one.age, &one.id).cmp(&(other.age, &other.id)));
    let (mut seen, mut sum) = (BTreeSet::new(), 0u64);
    let mut sizes: BTreeMap<usize, u64> = BTreeMap::new();
    for (at, step) in known.iter().enumerate() {
        if let Some(layer) = step.layer.filter(|layer| seen.insert(layer.digest)) {
            let stored = blob::find(layout, &layer.digest).ok().flatten().map_or(0, |blob| blob.size);
            let unpacked =
                [layer.chain_id, layer.diff_id].into_iter().find_map(|id| match layer::look(layout, &LayerId(id)) {
                    Ok(LayerState::Whole(done)) => Some(done.bytes),
                    _ => None,
                });
            sum = sum.saturating_add(stored).saturating_add(unpacked.unwrap_or(0));
        }
        sizes.insert(at, sum);
    }
    let keep = sizes.values().filter(|sum| **sum <= most).count();
    let over = known.split_off(keep.min(known.len()));
    let reason = |age| format!("last used {} ago, and others fill the size that is kept", format_duration(age));
    over.into_iter().map(|step| item(ItemKind::BuildStep, step.id, step.path, reason(step.age))).collect()
}

/// Whether a build has the cache now.
fn is_used(dir: &Path) -> Result<bool, StoreError> {
    let number = dir.extension().map_or_else(|| "0".to_owned(), |number| number.to_string_lossy().into_owned());
    let path = dir.with_extension(format!("{number}.lock"));
    match File::open(&path) {
        Ok(lock) => {
            ctr_sys::lock::is_locked(std::os::fd::AsFd::as_fd(&lock)).map_err(StoreError::sys("ask for", &path))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("open", path)(error)),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !fs::metadata(dir).is_ok_and(|meta| meta.is_dir()) {
        return Ok(Vec::new());
    }
    let mut paths: Vec<PathBuf> = record::names_in(dir)?.into_iter().map(|name| dir.join(name)).collect();
    paths.sort();
    Ok(paths)
}
