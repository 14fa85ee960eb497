//! What is not used, and its way out.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::mark::{Marked, age};
use super::{ContainerRoots, Item, ItemKind, NameRule, PARTIAL_AGE, Plan, Policy};
use crate::digest::Digest;
use crate::launch::LayerId;
use crate::quantity::format_duration;
use crate::store::layer::{self, LayerState};
use crate::store::layout::Layout;
use crate::store::lock::DigestLock;
use crate::store::{StoreError, files, record};

pub(super) fn plan(
    layout: &Layout,
    marked: &Marked,
    roots: &ContainerRoots,
    policy: &Policy,
) -> Result<Plan, StoreError> {
    let mut plan = Plan { items: Vec::new(), kept_because: marked.unreadable.clone() };
    for (entry, reason) in &marked.dropped {
        let path = layout.reference(&entry.name);
        plan.items.push(Item { kind: ItemKind::Name, id: entry.name.clone(), path, reason: reason.clone() });
    }
    plan.items.extend(marked.builds.iter().cloned());
    plan_tmp(layout, marked, roots, &mut plan)?;
    plan_partial(layout, policy, &mut plan)?;
    if marked.unreadable.is_empty() {
        plan_files(layout, marked, &mut plan)?;
        plan_objects(layout, marked, policy, &mut plan)?;
    }
    Ok(plan)
}

fn plan_objects(layout: &Layout, marked: &Marked, policy: &Policy, plan: &mut Plan) -> Result<(), StoreError> {
    let unused = |dir: PathBuf, used: &dyn Fn(&Digest) -> bool| -> Result<Vec<(Digest, PathBuf)>, StoreError> {
        let names = record::names_in(&dir)?;
        let digests = names.iter().filter_map(|name| Digest::from_hex(name).ok());
        Ok(digests.filter(|digest| !used(digest)).map(|digest| (digest, dir.join(digest.hex()))).collect())
    };
    for (digest, path) in unused(layout.images(), &|digest| marked.images.contains(digest))? {
        let reason = match policy.names {
            NameRule::Keep => "no name and no container",
            _ => "no name that stays, and no container",
        };
        let reason = format!("{reason} uses it");
        plan.items.push(Item { kind: ItemKind::Image, id: digest.to_string(), path, reason });
    }
    for (digest, path) in unused(layout.layers(), &|digest| marked.layers.contains(&LayerId(*digest)))? {
        let reason = match layer::look(layout, &LayerId(digest))? {
            LayerState::Damaged(reason) => format!("no image and no container uses it, and {reason}"),
            _ => "no image and no container uses it".to_owned(),
        };
        plan.items.push(Item { kind: ItemKind::Layer, id: digest.hex(), path, reason });
    }
    for (subject, path) in unused(layout.referrers(), &|subject| marked.blobs.contains(subject))? {
        let reason = "what they refer to is not used".to_owned();
        plan.items.push(Item { kind: ItemKind::Referrers, id: subject.to_string(), path, reason });
    }
    for (digest, path) in unused(layout.blobs(), &|digest| marked.blobs.contains(digest))? {
        let reason = "no image refers to it".to_owned();
        plan.items.push(Item { kind: ItemKind::Blob, id: digest.to_string(), path, reason });
    }
    Ok(())
}

fn plan_files(layout: &Layout, marked: &Marked, plan: &mut Plan) -> Result<(), StoreError> {
    for name in record::names_in(&layout.files())? {
        let path = layout.files().join(&name);
        let reason = match files::target(&path) {
            Ok(Some(digest)) if marked.images.contains(&digest) => continue,
            Ok(Some(_)) => "its image is not in the store".to_owned(),
            Ok(None) => continue,
            Err(error) => error.to_string(),
        };
        plan.items.push(Item { kind: ItemKind::KnownFile, id: name, path, reason });
    }
    Ok(())
}

fn plan_partial(layout: &Layout, policy: &Policy, plan: &mut Plan) -> Result<(), StoreError> {
    for name in record::names_in(&layout.partial())? {
        let path = layout.partial().join(&name);
        if let Some(age) = age(&path, policy.now)?.filter(|age| *age > PARTIAL_AGE) {
            let locked = Digest::from_hex(&name).map(|digest| DigestLock::of_download(&digest));
            if locked.is_ok_and(|locked| DigestLock::is_held(&layout.lock(), &locked).unwrap_or(true)) {
                continue;
            }
            let reason = format!("not continued for {}", format_duration(age));
            plan.items.push(Item { kind: ItemKind::Partial, id: name, path, reason });
        }
    }
    Ok(())
}

/// Everything in `tmp/` that has no living owner: under the gate nobody is between making a directory and locking it.
fn plan_tmp(layout: &Layout, marked: &Marked, roots: &ContainerRoots, plan: &mut Plan) -> Result<(), StoreError> {
    let tmp = layout.tmp();
    for name in record::names_in(&tmp)? {
        let path = tmp.join(&name);
        let old = name.strip_prefix("old-").and_then(|rest| rest.get(..64)).and_then(|hex| Digest::from_hex(hex).ok());
        let (kind, reason) = match old {
            Some(layer) if roots.layers.contains(&LayerId(layer)) || !roots.unreadable.is_empty() => continue,
            Some(_) => (ItemKind::OldLayer, "it was damaged and replaced, and no container uses it any more"),
            None if marked.live.contains(&name) => continue,
            None => (ItemKind::Staging, "the process that wrote it is gone"),
        };
        plan.items.push(Item { kind, id: name, path, reason: reason.to_owned() });
    }
    Ok(())
}

/// Names go first, then launch records, then what those refer to; each is known to be gone for good before the next goes,
/// so that no loss of power brings one back without what it refers to.
pub(super) fn sweep(layout: &Layout, plan: &Plan, trash: &Path) -> (Vec<(Item, PathBuf)>, Vec<StoreError>) {
    let mut moved = Vec::new();
    let mut failed = Vec::new();
    let step = |item: &Item| match item.kind {
        ItemKind::Name
        | ItemKind::KnownFile
        | ItemKind::Partial
        | ItemKind::Staging
        | ItemKind::OldLayer
        | ItemKind::BuildStep
        | ItemKind::BuildCache
        | ItemKind::BuildFile => 0,
        ItemKind::Image | ItemKind::Referrers => 1,
        ItemKind::Layer | ItemKind::Blob => 2,
    };
    let lists = Some(layout.referrers()).filter(|dir| dir.is_dir());
    let gone = [vec![], vec![layout.refs()], [layout.images()].into_iter().chain(lists).collect()];
    for (number, lasting) in gone.into_iter().enumerate() {
        let mut items = plan.items.iter().enumerate().filter(|(_, item)| step(item) == number).peekable();
        if items.peek().is_none() {
            continue;
        }
        // Also for names that another process took away, and was killed before it made that last.
        if let Err(error) = lasting.iter().try_for_each(|dir| record::sync_dir(dir)) {
            // What they refer to stays until they are known to be gone.
            failed.push(error);
            break;
        }
        for (place, item) in items {
            match claim(layout, item) {
                Ok(Claim::Ours(_lock)) => {
                    take_out(item, trash.join(format!("item-{place}")), &mut moved, &mut failed);
                }
                Ok(Claim::Theirs) => {}
                Err(error) => failed.push(error),
            }
        }
    }
    (moved, failed)
}

/// Whether an item may go.
enum Claim {
    /// Nobody has it, and nobody can begin to while the lock is held.
    Ours(Option<DigestLock>),
    /// A download that somebody went on with since it was looked at.
    Theirs,
}

/// The gate holds back who publishes, but not who downloads.
fn claim(layout: &Layout, item: &Item) -> Result<Claim, StoreError> {
    let digest = Some(&item.id).filter(|_| item.kind == ItemKind::Partial).and_then(|id| Digest::from_hex(id).ok());
    let Some(digest) = digest else { return Ok(Claim::Ours(None)) };
    let lock = DigestLock::try_take(&layout.lock(), &DigestLock::of_download(&digest))?;
    Ok(lock.map_or(Claim::Theirs, |lock| Claim::Ours(Some(lock))))
}

fn take_out(item: &Item, to: PathBuf, moved: &mut Vec<(Item, PathBuf)>, failed: &mut Vec<StoreError>) {
    match fs::rename(&item.path, &to) {
        Ok(()) => moved.push((item.clone(), to)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => failed.push(StoreError::io("take out", &item.path)(error)),
    }
}
