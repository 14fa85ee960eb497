//! The digest of what a COPY takes: names, kinds, modes, owners, content. No times, no inodes.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ctr_core::digest::{Digest, Hasher};

use crate::path::TreePath;
use crate::select::Source;
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

/// The digest of `sources`.
pub fn digest(tree: &dyn Tree, sources: &[Source], reading: Reading<'_>) -> Result<Digest, TreeError> {
    let items: Vec<(&TreePath, &Meta)> =
        sources.iter().flat_map(|source| &source.items).map(|item| (&item.from, &item.meta)).collect();
    let contents = contents(tree, &items, reading)?;
    let mut contents = contents.iter();
    let mut hasher = Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for source in sources {
        field(b"source");
        field(&source.name);
        field(source.below.as_ref().map_or(b"", TreePath::as_bytes));
        for item in &source.items {
            let meta = &item.meta;
            field(item.below.as_bytes());
            let (uid, gid) = if reading.owners { (meta.uid, meta.gid) } else { (0, 0) };
            let numbers = [meta.kind as u32, meta.mode, uid, gid, meta.device.0, meta.device.1];
            for number in numbers {
                field(&number.to_le_bytes());
            }
            if let Some(Some(content)) = contents.next() {
                field(content.to_string().as_bytes());
            }
        }
    }
    Ok(hasher.finish())
}

/// Of each file, directory and link the digest of what it is beside its [`Meta`].
fn contents(
    tree: &dyn Tree,
    items: &[(&TreePath, &Meta)],
    reading: Reading<'_>,
) -> Result<Vec<Option<Digest>>, TreeError> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<(usize, TreeError)>> = Mutex::new(None);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((path, meta)) = items.get(at) else { return done };
            match content(tree, path, meta, reading) {
                Ok(digest) => done.push((at, digest)),
                Err(error) => {
                    let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    // The same one is told however the threads ran.
                    if failed.as_ref().is_none_or(|(first, _)| at < *first) {
                        *failed = Some((at, error));
                    }
                    return done;
                }
            }
        }
    };
    let threads = reading.threads.clamp(1, items.len().div_ceil(64).max(1));
    let mut digests = vec![None; items.len()];
    let done: Vec<Vec<(usize, Option<Digest>)>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        others.into_iter().map(|thread| thread.join().unwrap_or_default()).chain([own]).collect()
    });
    if let Some((_, error)) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    for (at, digest) in done.into_iter().flatten() {
        if let Some(place) = digests.get_mut(at) {
            *place = digest;
        }
    }
    Ok(digests)
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
            read(path, &mut file, meta, |bytes| hasher.update(bytes))?;
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
