//! All directories of a tree below one of them, listed by several threads.

use crate::parallel;
use crate::path::TreePath;
use crate::select::{ITEMS_MAX, SelectError};
use crate::tree::{Kind, Meta, Tree};

/// A directory with what is in it.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Where it is in the tree.
    pub(crate) path: TreePath,
    /// Where it is below the first one.
    pub(crate) below: TreePath,
    /// Sorted by name, without sockets: archives cannot have those.
    pub(crate) entries: Vec<(Vec<u8>, Meta)>,
}

/// Lists `dir` and the directories below it, each before those in it. What `skip` says yes to is not looked into.
pub(crate) fn directories(
    tree: &dyn Tree,
    dir: &TreePath,
    threads: usize,
    skip: impl Fn(&TreePath) -> bool,
) -> Result<Vec<Directory>, SelectError> {
    let mut all: Vec<Directory> = Vec::new();
    let mut count = 0;
    let mut level = vec![(dir.clone(), TreePath::root())];
    // One level after the other.
    while !level.is_empty() {
        let lists = parallel::map(&level, threads, 4, |(path, _)| tree.list(path))?;
        let mut next = Vec::new();
        for ((path, below), mut entries) in level.into_iter().zip(lists) {
            entries.retain(|(_, meta)| meta.kind != Kind::Socket);
            count += entries.len();
            if count > ITEMS_MAX {
                return Err(SelectError::TooMany(dir.clone()));
            }
            for (name, _) in entries.iter().filter(|(_, meta)| meta.kind == Kind::Directory) {
                let inner = path.join(name);
                if !skip(&inner) {
                    next.push((inner, below.join(name)));
                }
            }
            all.push(Directory { path, below, entries });
        }
        level = next;
    }
    Ok(all)
}
