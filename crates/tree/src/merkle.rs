//! The digest of a directory's content, made of the digests of what is in it: of a directory that is in it, of its digest.

use std::collections::HashMap;

use ctr_core::digest::{Digest, Hasher};

use crate::digest::{Reading, contents};
use crate::listing::{Directory, directories};
use crate::path::TreePath;
use crate::remember::Known;
use crate::select::{Rules, SelectError, check};
use crate::tree::{Kind, Meta, Tree};

/// Bytes in fields: what is in one is never taken for another.
#[derive(Default)]
pub(crate) struct Fields(Hasher);

impl Fields {
    /// One more.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Of something all but its name and its content.
    pub(crate) fn meta(&mut self, meta: &Meta, owners: bool) {
        let (uid, gid) = if owners { (meta.uid, meta.gid) } else { (0, 0) };
        for number in [meta.kind as u32, meta.mode, uid, gid, meta.device.0, meta.device.1] {
            self.0.update(&number.to_le_bytes());
        }
    }

    /// The digest of all of them.
    pub(crate) fn finish(self) -> Digest {
        self.0.finish()
    }
}

/// The digest of what is in the directory `dir`: neither its own name and mode, nor its attributes.
///
/// Where the tree has a memory it is worked out once, and so is that of each directory below. What `rules` leave out changes
/// the digests of the directories above it: those are worked out anew, of what is known of the files.
pub(crate) fn directory(
    tree: &dyn Tree,
    dir: &TreePath,
    rules: Rules<'_>,
    reading: Reading<'_>,
) -> Result<Digest, SelectError> {
    let memory = tree.memory();
    let _alone = memory.map(crate::remember::Memory::hashing);
    let remembered = |path: &TreePath| match (rules.exclude, memory) {
        (None, Some(memory)) => memory.directory(path, reading.owners),
        _ => None,
    };
    if let Some(known) = remembered(dir) {
        return Ok(known.digest);
    }
    let listed = directories(tree, dir, reading.walkers(), |path| remembered(path).is_some())?;
    let excluded = |below: &TreePath| rules.exclude.is_some_and(|exclude| exclude(below.as_bytes()));
    let mut items: Vec<(TreePath, &Meta)> = Vec::new();
    for directory in &listed {
        for (name, meta) in &directory.entries {
            if meta.kind != Kind::Directory && excluded(&directory.below.join(name)) {
                continue;
            }
            let path = directory.path.join(name);
            check(meta, &path, rules)?;
            items.push((path, meta));
        }
    }
    let digests = contents(tree, &items, reading)?;
    let contents = items.iter().map(|(path, _)| path).zip(digests).collect::<HashMap<_, _>>();
    let mut below: HashMap<TreePath, Known> = HashMap::new();
    // What is in a directory comes behind it.
    for directory in listed.iter().rev() {
        let inner = |path: &TreePath| below.get(path).copied().or_else(|| remembered(path));
        let content = |path: &TreePath| contents.get(path).copied().flatten();
        let known = one(directory, reading.owners, inner, content, excluded);
        if let Some(memory) = memory.filter(|_| rules.exclude.is_none()) {
            memory.keep_directory(&directory.path, reading.owners, known);
        }
        below.insert(directory.path.clone(), known);
    }
    let whole = below.remove(dir).ok_or_else(|| SelectError::Missing(dir.clone()))?;
    Ok(whole.digest)
}

fn one(
    directory: &Directory,
    owners: bool,
    inner: impl Fn(&TreePath) -> Option<Known>,
    content: impl Fn(&TreePath) -> Option<Digest>,
    excluded: impl Fn(&TreePath) -> bool,
) -> Known {
    let mut fields = Fields::default();
    fields.add(b"directory");
    let mut entries = 0;
    for (name, meta) in &directory.entries {
        let path = directory.path.join(name);
        let within = if meta.kind == Kind::Directory { inner(&path) } else { None };
        // An excluded directory is there for what is not excluded within.
        let holds = within.is_some_and(|within| within.entries > 0);
        if !holds && excluded(&directory.below.join(name)) {
            continue;
        }
        entries += 1 + within.map_or(0, |within| within.entries);
        fields.add(name);
        fields.meta(meta, owners);
        for digest in [content(&path), within.map(|within| within.digest)] {
            fields.add(digest.map(|digest| digest.to_string()).unwrap_or_default().as_bytes());
        }
    }
    Known { digest: fields.finish(), entries }
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
