//! Proves the order of writes against power loss, from a recorded run (spec/05-store.md "Publishing").
//!
//! The model is the weakest that POSIX promises: what was written is on the disk only after `fsync` of the file (or
//! `syncfs`), and a name only after `fsync` of its directory. Then these must hold, whatever the filesystem adds:
//!
//! 1. nothing is created at its final place; it gets there by rename or link, and all of it was durable before;
//! 2. when a ref gets its place, every object that came to its place before is durable there, and so is every
//!    directory above it: a ref that survives leads to a whole image;
//! 3. when an object leaves its place, every ref that was taken away is durably away;
//! 4. when success is reported, every place is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::trace::{Change, Event};

/// What lies at a path of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `blobs/sha256/HEX`, `layers/HEX`, `images/HEX`, `format.json`.
    Object,
    /// `refs/HASH`.
    Ref,
    /// Inside an object.
    Inside,
    /// Staging, locks, caches: nothing is promised.
    Other,
}

/// The disk as the checker knows it: what a power cut would lose.
struct Disk<'a> {
    store: &'a Path,
    /// Content or metadata that is not durable, with the event that changed it.
    data: BTreeMap<PathBuf, usize>,
    /// Names that came or went and are not durable: path of the name -> event.
    names: BTreeMap<PathBuf, usize>,
    complaints: Vec<String>,
}

/// What a power cut could break in the run that `events` recorded, one line each; empty if nothing.
///
/// `reused` are objects that an earlier run renamed into place without living to make that durable.
pub fn check(store: &Path, events: &[Event], succeeded: bool, reused: &[PathBuf]) -> Vec<String> {
    let mut disk = Disk {
        store,
        data: BTreeMap::new(),
        names: reused.iter().map(|path| (path.clone(), 0)).collect(),
        complaints: Vec::new(),
    };
    let mut reported = false;
    for event in events.iter().filter(|event| event.ok == Some(true)) {
        if matches!(event.change, Change::Report(_)) && succeeded && !reported {
            reported = true;
            disk.must_all_be_durable(&format!("success is reported ({event})"));
        }
        disk.apply(event);
    }
    if succeeded {
        disk.must_all_be_durable("the command ends with success");
    }
    disk.complaints
}

/// How many objects and refs the run put into their place: a check of a run that did nothing proves nothing.
pub fn published(store: &Path, events: &[Event]) -> (usize, usize) {
    let disk = Disk { store, data: BTreeMap::new(), names: BTreeMap::new(), complaints: Vec::new() };
    let placed = |wanted| {
        events
            .iter()
            .filter(|event| event.ok == Some(true))
            .filter(|event| matches!(&event.change, Change::Rename { to, .. } | Change::Link { to, .. } if disk.place(to) == wanted))
            .count()
    };
    (placed(Place::Object), placed(Place::Ref))
}

impl Disk<'_> {
    fn place(&self, path: &Path) -> Place {
        let Ok(rest) = path.strip_prefix(self.store) else { return Place::Other };
        let parts: Vec<_> = rest.iter().map(|part| part.to_string_lossy()).collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        match parts.as_slice() {
            ["format.json"] | ["blobs", _, _] | ["layers" | "images", _] => Place::Object,
            ["refs", _] => Place::Ref,
            ["blobs", _, _, ..] | ["layers" | "images", _, ..] => Place::Inside,
            _ => Place::Other,
        }
    }

    fn apply(&mut self, event: &Event) {
        let number = event.number;
        match &event.change {
            Change::Create(path) | Change::Mkdir(path) | Change::Symlink(path) | Change::Mknod(path) => {
                if matches!(self.place(path), Place::Object | Place::Ref) {
                    self.complain(event, "made at its final place, where a reader can find it half written");
                }
                self.names.insert(path.clone(), number);
                self.data.insert(path.clone(), number);
            }
            Change::Write(path) | Change::Meta(path) => {
                if matches!(self.place(path), Place::Object | Place::Ref | Place::Inside) && event.call != "utimensat" {
                    self.complain(event, "changes an object that is published");
                }
                self.data.insert(path.clone(), number);
            }
            Change::Fsync(path) => {
                self.data.remove(path);
                let path = path.as_path();
                self.names.retain(|name, _| name.parent() != Some(path));
                // A symbolic link or a device cannot be synced itself: its directory carries it.
                let carried: Vec<PathBuf> = self
                    .data
                    .keys()
                    .filter(|file| file.parent() == Some(path) && cannot_be_opened(file))
                    .cloned()
                    .collect();
                for file in carried {
                    self.data.remove(&file);
                }
            }
            Change::Syncfs => {
                self.data.clear();
                self.names.clear();
            }
            Change::Rename { from, to } => {
                self.must_be_whole(event, from, to);
                self.leaves(event, from);
                self.moved(from, to);
                self.names.insert(from.clone(), number);
                self.names.insert(to.clone(), number);
            }
            Change::Link { from, to } => {
                self.must_be_whole(event, from, to);
                if let Some(dirty) = self.data.get(from).copied() {
                    self.data.insert(to.clone(), dirty);
                }
                self.names.insert(to.clone(), number);
            }
            Change::Unlink(path) | Change::Rmdir(path) => {
                self.leaves(event, path);
                self.data.remove(path);
                self.names.insert(path.clone(), number);
            }
            Change::Report(_) | Change::Mount | Change::Process => {}
        }
    }

    /// Rules 1 and 2.
    fn must_be_whole(&mut self, event: &Event, from: &Path, to: &Path) {
        let place = self.place(to);
        if !matches!(place, Place::Object | Place::Ref) {
            return;
        }
        let dirty: BTreeSet<PathBuf> = self
            .data
            .keys()
            .filter(|path| path.starts_with(from))
            .chain(self.names.keys().filter(|path| path.starts_with(from) && path.as_path() != from))
            .cloned()
            .collect();
        if let Some(first) = dirty.first() {
            let what = format!("published before {} ({} in all) was durable", first.display(), dirty.len());
            self.complain(event, &what);
        }
        if place == Place::Ref {
            self.objects_must_be_durable(event);
        }
    }

    fn objects_must_be_durable(&mut self, event: &Event) {
        let pending: Vec<PathBuf> =
            self.names.keys().filter(|path| self.is_object_or_way_to_one(path)).cloned().collect();
        for path in pending {
            self.complain(event, &format!("the ref is written before the name {} is durable", path.display()));
        }
    }

    /// An object's name, or that of a directory that leads to objects.
    fn is_object_or_way_to_one(&self, path: &Path) -> bool {
        self.place(path) == Place::Object
            || self.store.starts_with(path)
            || ["blobs", "blobs/sha256", "layers", "images", "refs"].iter().any(|dir| path == self.store.join(dir))
    }

    /// Rule 3.
    fn leaves(&mut self, event: &Event, path: &Path) {
        if self.place(path) != Place::Object {
            return;
        }
        let refs: Vec<PathBuf> = self.names.keys().filter(|name| self.place(name) == Place::Ref).cloned().collect();
        for name in refs {
            self.complain(
                event,
                &format!("an object is taken away before the change of {} is durable", name.display()),
            );
        }
    }

    /// Rule 4.
    fn must_all_be_durable(&mut self, when: &str) {
        let pending: Vec<PathBuf> = self
            .names
            .keys()
            .filter(|path| self.place(path) == Place::Ref || self.is_object_or_way_to_one(path))
            .filter(|path| path.exists())
            .cloned()
            .collect();
        for path in pending {
            self.complaints.push(format!("{when}, but {} can still be lost", path.display()));
        }
    }

    fn moved(&mut self, from: &Path, to: &Path) {
        for map in [&mut self.data, &mut self.names] {
            let old: Vec<PathBuf> = map.keys().filter(|path| path.starts_with(from)).cloned().collect();
            for path in old {
                let number = map.remove(&path).expect("just seen");
                let rest = path.strip_prefix(from).expect("starts with it");
                map.insert(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) }, number);
            }
        }
    }

    fn complain(&mut self, event: &Event, what: &str) {
        self.complaints.push(format!("{event}: {what}"));
    }
}

/// Whether `fsync` cannot reach the object itself.
fn cannot_be_opened(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(changes: &[Change]) -> Vec<Event> {
        let event =
            |(n, change): (usize, &Change)| Event { number: n + 1, call: "x", change: change.clone(), ok: Some(true) };
        changes.iter().enumerate().map(event).collect()
    }

    fn at(path: &str) -> PathBuf {
        Path::new("/s").join(path)
    }

    fn complaints(changes: &[Change]) -> Vec<String> {
        check(Path::new("/s"), &events(changes), false, &[])
    }

    fn publish_blob() -> Vec<Change> {
        vec![
            Change::Create(at("tmp/a")),
            Change::Write(at("tmp/a")),
            Change::Fsync(at("tmp/a")),
            Change::Rename { from: at("tmp/a"), to: at("blobs/sha256/a") },
            Change::Fsync(at("blobs/sha256")),
            Change::Create(at("tmp/r")),
            Change::Write(at("tmp/r")),
            Change::Fsync(at("tmp/r")),
            Change::Rename { from: at("tmp/r"), to: at("refs/r") },
            Change::Fsync(at("refs")),
        ]
    }

    #[test]
    fn the_right_order_passes_and_every_missing_sync_is_seen() {
        let whole = publish_blob();
        assert_eq!(complaints(&whole), Vec::<String>::new());
        assert_eq!(published(Path::new("/s"), &events(&whole)), (1, 1));
        for missing in [2, 4, 7] {
            let mut less = whole.clone();
            less.remove(missing);
            assert_eq!(complaints(&less).len(), 1, "without step {missing}: {:?}", complaints(&less));
        }
    }

    #[test]
    fn a_tree_needs_every_file_or_one_syncfs() {
        let tree = [
            Change::Mkdir(at("tmp/l")),
            Change::Create(at("tmp/l/f")),
            Change::Write(at("tmp/l/f")),
            Change::Fsync(at("tmp/l/f")),
            Change::Fsync(at("tmp/l")),
            Change::Rename { from: at("tmp/l"), to: at("layers/l") },
        ];
        assert_eq!(complaints(&tree), Vec::<String>::new());
        assert_eq!(complaints(&[&tree[..4], &tree[5..]].concat()).len(), 1);
        let synced = [&tree[..3], &[Change::Syncfs], &tree[5..]].concat();
        assert_eq!(complaints(&synced), Vec::<String>::new());
        let late = [&tree[..2], &[Change::Syncfs], &tree[2..3], &tree[5..]].concat();
        assert_eq!(complaints(&late).len(), 1);
    }

    #[test]
    fn in_place_writes_and_early_sweeps_are_seen() {
        assert_eq!(complaints(&[Change::Create(at("refs/r"))]).len(), 1);
        assert_eq!(complaints(&[Change::Write(at("layers/l/fs/x"))]).len(), 1);
        let sweep = [Change::Unlink(at("refs/r")), Change::Unlink(at("blobs/sha256/a"))];
        assert_eq!(complaints(&sweep).len(), 1);
        assert_eq!(complaints(&[&sweep[..1], &[Change::Fsync(at("refs"))], &sweep[1..]].concat()).len(), 0);
        let whole = events(&publish_blob()[5..]);
        assert_eq!(check(Path::new("/s"), &whole, false, &[at("blobs/sha256/a")]).len(), 1);
    }
}
