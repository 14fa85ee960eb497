//! The digest of what a COPY takes: names, kinds, modes, owners, content. No times, no inodes.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use ctr_core::digest::{Digest, Hasher};

use crate::merkle::{self, Fields};
use crate::parallel;
use crate::path::TreePath;
use crate::select::{Rules, SelectError, Source};
use crate::stat_cache::StatCache;
use crate::tree::{Kind, Meta, Tree, TreeError};

/// How files are read.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Most threads.
    pub threads: usize,
    /// What is known of files that are not read again, and the time, in seconds since 1970.
    pub cache: Option<(&'a StatCache, i64)>,
    /// Owners count; else all is root's.
    pub owners: bool,
}

impl Reading<'_> {
    /// Most threads that list directories: they wait for little but the processors.
    pub(crate) fn walkers(&self) -> usize {
        self.threads.min(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }
}

/// The digest of `sources`, which `rules` found in `tree`. What is in directories is looked up for it, if it is not known.
pub fn digest(
    tree: &dyn Tree,
    sources: &[Source],
    rules: Rules<'_>,
    reading: Reading<'_>,
) -> Result<Digest, SelectError> {
    let own: Vec<(TreePath, &Meta)> =
        sources.iter().filter_map(Source::first).map(|item| (item.from.clone(), &item.meta)).collect();
    let contents = contents(tree, &own, reading)?;
    let mut fields = Fields::default();
    for (source, (item, content)) in sources.iter().zip(own.iter().zip(contents)) {
        let (path, meta) = item;
        fields.add(b"source");
        fields.add(&source.name);
        fields.add(source.below.as_ref().map_or(b"", TreePath::as_bytes));
        for (path, meta) in &source.above {
            fields.add(path.as_bytes());
            fields.meta(meta, reading.owners);
        }
        fields.add(b"item");
        fields.meta(meta, reading.owners);
        let within = match meta.kind {
            Kind::Directory => Some(merkle::directory(tree, path, rules, reading)?),
            _ => None,
        };
        for digest in [content, within] {
            fields.add(digest.map(|digest| digest.to_string()).unwrap_or_default().as_bytes());
        }
    }
    Ok(fields.finish())
}

/// Of each file, directory and link the digest of what it is beside its [`Meta`]; of a directory that is its attributes.
pub(crate) fn contents(
    tree: &dyn Tree,
    items: &[(TreePath, &Meta)],
    reading: Reading<'_>,
) -> Result<Vec<Option<Digest>>, TreeError> {
    parallel::map(items, reading.threads, 64, |(path, meta)| {
        if let Some(known) = tree.memory().and_then(|memory| memory.content(path, meta)) {
            return Ok(Some(known));
        }
        let found = content(tree, path, meta, reading)?;
        if let (Some(memory), Some(digest)) = (tree.memory(), found) {
            memory.keep_content(path, meta, digest);
        }
        Ok(found)
    })
}

fn content(tree: &dyn Tree, path: &TreePath, meta: &Meta, reading: Reading<'_>) -> Result<Option<Digest>, TreeError> {
    match meta.kind {
        Kind::File => {
            if let Some(known) = reading.cache.and_then(|(cache, _)| cache.get(meta)) {
                return Ok(Some(known));
            }
            let mut hasher = Hasher::new();
            attributes(tree, path, &mut hasher)?;
            let mut file = tree.open(path)?;
            doubted(tree, read(path, &mut file, meta, |bytes| hasher.update(bytes)))?;
            let digest = hasher.finish();
            if let Some((cache, now)) = reading.cache {
                cache.put(meta, digest, now);
            }
            Ok(Some(digest))
        }
        Kind::Directory => {
            let mut hasher = Hasher::new();
            attributes(tree, path, &mut hasher)?;
            Ok(Some(hasher.finish()))
        }
        Kind::Symlink => Ok(Some(Digest::of(&tree.read_link(path)?))),
        _ => Ok(None),
    }
}

/// Has `tree` know that it is not as it remembers.
pub(crate) fn doubted<T, E>(tree: &dyn Tree, result: Result<T, E>) -> Result<T, E> {
    if let (Err(_), Some(memory)) = (&result, tree.memory()) {
        memory.doubt();
    }
    result
}

fn attributes(tree: &dyn Tree, path: &TreePath, hasher: &mut Hasher) -> Result<(), TreeError> {
    let attributes = tree.attributes(path)?;
    hasher.update(&(attributes.len() as u64).to_le_bytes());
    for (name, value) in attributes {
        for bytes in [name, value] {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
        }
    }
    Ok(())
}

/// Reads a whole file, which has to stay what `meta` says.
fn read(path: &TreePath, file: &mut File, meta: &Meta, mut each: impl FnMut(&[u8])) -> Result<(), TreeError> {
    let failed = |source: io::Error| TreeError::Io { action: "read", path: path.clone(), source };
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0u64;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        size += count as u64;
        each(buffer.get(..count).unwrap_or_default());
    }
    unchanged(path, file, meta)?;
    if size == meta.size { Ok(()) } else { Err(TreeError::Changed(path.clone())) }
}

/// Checks that an open file is what was looked at: by size and both times.
pub(crate) fn unchanged(path: &TreePath, file: &File, meta: &Meta) -> Result<(), TreeError> {
    let now = file.metadata().map_err(|source| TreeError::Io { action: "look at", path: path.clone(), source })?;
    let seconds = (now.mtime(), now.ctime());
    let same = now.size() == meta.size
        && (now.dev(), now.ino()) == meta.inode
        && seconds == (meta.mtime.0, meta.ctime.0)
        && (now.mtime_nsec(), now.ctime_nsec()) == (i64::from(meta.mtime.1), i64::from(meta.ctime.1));
    if same { Ok(()) } else { Err(TreeError::Changed(path.clone())) }
}
