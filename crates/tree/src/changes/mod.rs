//! What a program changed in a tree that is no overlay, found without one: the tree is looked at before and after.
//!
//! A file that is the same has the same inode with the same time of change (ctime), which nobody can set. A directory that was
//! removed and made again can have the same inode, and has another time of birth. What is left of the tree afterwards is not
//! used: changed files are moved to where an overlay would have put them.

mod collect;
mod copy;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use collect::{Layer, collect};
pub use copy::{copy, fill};
pub use snapshot::Snapshot;

use crate::path::TreePath;

/// Places that something was put for the program, which are no change.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Nothing at these paths or below them counts.
    pub at: BTreeSet<TreePath>,
    /// Directories that were made above them: they count for what the program puts there.
    pub made: BTreeSet<TreePath>,
    /// Directories above them that were there: what is put in them changes their times.
    pub kept: BTreeSet<TreePath>,
}

impl Places {
    /// Adds a place: `path` without links, and the directories above it that were missing.
    pub fn add(&mut self, path: &TreePath, missing: &[TreePath]) {
        let mut above = path.parent();
        while let Some(dir) = above {
            above = dir.parent();
            // What was made for another place was not there before either.
            if missing.contains(&dir) {
                self.made.insert(dir);
            } else if !self.made.contains(&dir) {
                self.kept.insert(dir);
            }
        }
        self.at.insert(path.clone());
    }

    /// Adds the directories above a path at which something is made, and taken away again.
    pub fn keep_above(&mut self, path: &TreePath) {
        let mut above = path.parent();
        while let Some(dir) = above {
            above = dir.parent();
            self.kept.insert(dir);
        }
    }
}
