//! A tree that is looked at once: what was seen of it stays what it is for as long as it is remembered.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ctr_core::digest::Digest;

use crate::path::TreePath;
use crate::tree::{Attributes, Kind, Meta, Tree, TreeError};

/// Entries of a directory.
type Entries = Arc<Vec<(Vec<u8>, Meta)>>;

/// What is known of a path.
enum Seen {
    /// Its directory was listed, and it was not in it.
    Absent,
    There(Meta),
}

/// What is known of the content of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its digest.
    pub(crate) digest: Digest,
    /// How much is below it.
    pub(crate) entries: usize,
}

/// What was seen of a tree.
#[derive(Debug, Default)]
pub struct Memory {
    /// Whoever lists a directory holds its place: another one that wants it waits.
    lists: Mutex<HashMap<TreePath, Arc<Mutex<Option<Entries>>>>>,
    looks: Mutex<HashMap<TreePath, Meta>>,
    links: Mutex<HashMap<TreePath, Vec<u8>>>,
    /// Of directories.
    attributes: Mutex<HashMap<TreePath, Attributes>>,
    /// Digests of files, of links and of directories' attributes.
    contents: Mutex<HashMap<TreePath, (Meta, Digest)>>,
    /// Digests of directories' content, with owners or without.
    directories: Mutex<HashMap<(TreePath, bool), Known>>,
    hashing: Mutex<()>,
    doubtful: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn known<K: Hash + Eq, V: Clone>(map: &Mutex<HashMap<K, V>>, key: &K) -> Option<V> {
    locked(map).get(key).cloned()
}

impl Memory {
    /// One at a time: what another one is hashing is known afterwards.
    pub(crate) fn hashing(&self) -> MutexGuard<'_, ()> {
        locked(&self.hashing)
    }

    /// Something is not, or no longer, as it is remembered.
    pub(crate) fn doubt(&self) {
        self.doubtful.store(true, Ordering::Relaxed);
    }

    pub(crate) fn content(&self, path: &TreePath, meta: &Meta) -> Option<Digest> {
        locked(&self.contents).get(path).filter(|(of, _)| of == meta).map(|(_, digest)| *digest)
    }

    pub(crate) fn keep_content(&self, path: &TreePath, meta: &Meta, digest: Digest) {
        locked(&self.contents).insert(path.clone(), (meta.clone(), digest));
    }

    pub(crate) fn directory(&self, path: &TreePath, owners: bool) -> Option<Known> {
        known(&self.directories, &(path.clone(), owners))
    }

    pub(crate) fn keep_directory(&self, path: &TreePath, owners: bool, what: Known) {
        locked(&self.directories).insert((path.clone(), owners), what);
    }

    /// What is at `path`, if it was looked at or the directory that it is in was listed.
    fn seen(&self, path: &TreePath) -> Option<Seen> {
        if let Some(meta) = known(&self.looks, path) {
            return Some(Seen::There(meta));
        }
        let place = known(&self.lists, &path.parent()?)?;
        let entries = locked(&place).clone()?;
        let at = entries.binary_search_by(|(name, _)| name.as_slice().cmp(path.name()));
        let found = at.ok().and_then(|at| entries.get(at));
        Some(found.map_or(Seen::Absent, |(_, meta)| Seen::There(meta.clone())))
    }
}

/// A tree with a memory: each directory is listed once, each link and each directory's attributes are read once.
pub struct Remembered {
    tree: Arc<dyn Tree>,
    memory: Memory,
}

impl Remembered {
    /// Nothing was seen of `tree` yet.
    pub fn new(tree: Arc<dyn Tree>) -> Self {
        Self { tree, memory: Memory::default() }
    }

    /// Whether something was not as it is remembered: what was begun with it failed, and may be begun anew with a tree that
    /// remembers nothing.
    pub fn is_doubtful(&self) -> bool {
        self.memory.doubtful.load(Ordering::Relaxed)
    }

    fn told<T>(&self, result: Result<T, TreeError>) -> Result<T, TreeError> {
        if result.is_err() {
            self.memory.doubt();
        }
        result
    }
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

impl Tree for Remembered {
    fn look(&self, path: &TreePath) -> Result<Option<Meta>, TreeError> {
        match self.memory.seen(path) {
            Some(Seen::There(meta)) => return Ok(Some(meta)),
            Some(Seen::Absent) => return Ok(None),
            None => {}
        }
        let found = self.told(self.tree.look(path))?;
        if let Some(meta) = &found {
            locked(&self.memory.looks).insert(path.clone(), meta.clone());
        }
        Ok(found)
    }

    fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Meta)>, TreeError> {
        let place = Arc::clone(locked(&self.memory.lists).entry(path.clone()).or_default());
        let mut entries = locked(&place);
        if let Some(entries) = &*entries {
            return Ok(entries.to_vec());
        }
        let found = self.told(self.tree.list(path))?;
        *entries = Some(Arc::new(found.clone()));
        Ok(found)
    }

    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        if let Some(target) = known(&self.memory.links, path) {
            return Ok(target);
        }
        let target = self.told(self.tree.read_link(path))?;
        locked(&self.memory.links).insert(path.clone(), target.clone());
        Ok(target)
    }

    fn open(&self, path: &TreePath) -> Result<File, TreeError> {
        self.told(self.tree.open(path))
    }

    fn attributes(&self, path: &TreePath) -> Result<Attributes, TreeError> {
        if let Some(attributes) = known(&self.memory.attributes, path) {
            return Ok(attributes);
        }
        let attributes = self.told(self.tree.attributes(path))?;
        // A file that is read has to be what it was; of a directory nothing else says so.
        if matches!(self.memory.seen(path), Some(Seen::There(meta)) if meta.kind == Kind::Directory) {
            locked(&self.memory.attributes).insert(path.clone(), attributes.clone());
        }
        Ok(attributes)
    }

    fn memory(&self) -> Option<&Memory> {
        Some(&self.memory)
    }
}
