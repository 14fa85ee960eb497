//! What is kept of a container's control groups, and what is done with them later.

use std::path::PathBuf;

use ctr_core::container::groups;
use serde::{Deserialize, Serialize};

use super::{CgroupError, facts, freeze, processes, systemd};

/// The groups of a container, as its record keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupRecord {
    /// Their directories, the one that tracks and kills first.
    pub dirs: Vec<PathBuf>,
    /// Those of them that were made for the container: only these are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<PathBuf>,
    /// Groups above them of our own naming, which go when they are empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<PathBuf>,
    /// The unit of systemd that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitRecord>,
}

/// A unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// `libpod-1234.scope`.
    pub name: String,
    /// `machine.slice`.
    pub slice: String,
    /// It is the user's service manager.
    pub user: bool,
}

impl CgroupRecord {
    /// Groups of our own naming that are there, for a container that has no record of them: its creation was cut off, or the
    /// record is damaged.
    pub fn by_name(id: &str, root_hash: &str) -> Self {
        let parents = groups::parents_below("ctr-oci", root_hash);
        let dirs: Vec<PathBuf> = parents.iter().map(|parent| parent.join(id)).filter(|dir| dir.is_dir()).collect();
        let parents = parents.iter().flat_map(|parent| parent.ancestors().take(2)).map(PathBuf::from).collect();
        Self { made: dirs.clone(), dirs, parents, unit: None }
    }

    /// Their directories.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// The process ids of the container, in order.
    pub fn processes(&self) -> Result<Vec<i32>, CgroupError> {
        self.dirs.first().map_or(Ok(Vec::new()), |dir| processes::of(dir))
    }

    /// Signals every process once; says how many there were.
    pub fn signal_all(&self, signal: i32) -> Result<usize, CgroupError> {
        processes::signal(&self.dirs, signal)
    }

    /// Ends every process, those of a frozen container too, and waits until they are gone: ten seconds at most.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        if processes::is_empty(&self.dirs) { Ok(()) } else { processes::kill(&self.dirs) }
    }

    /// Stops every process and waits until the kernel says so: ten seconds at most, then they run again and it is an error.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        freeze::freeze(&self.dirs)
    }

    /// Lets them run again.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        freeze::thaw(&self.dirs)
    }

    /// Whether it is paused.
    pub fn is_frozen(&self) -> bool {
        freeze::is_frozen(&self.dirs)
    }

    /// Whether the container can be paused at all.
    pub fn is_present(&self) -> bool {
        self.dirs.first().is_some_and(|dir| dir.is_dir())
    }

    /// Removes the groups that were made for the container, with those that it made below them. The container has
    /// ended: who is left in them is ended. What is gone already is no error.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let pure = facts::is_pure();
        let mut result = self.unit.as_ref().map_or(Ok(()), systemd::stop);
        // A record is a file: what is no group below the root of a hierarchy is not touched, whatever it says.
        for dir in self.made.iter().filter(|dir| facts::is_group(dir, pure)) {
            let removed = groups::remove(dir).or_else(|_| {
                // Somebody is in it who is not in the first: such processes are the container's, too.
                processes::kill(&self.dirs).map_err(std::io::Error::other)?;
                groups::remove(dir)
            });
            result = result
                .and(removed.map_err(|error| CgroupError::host("remove the control group", "rmdir", dir, &error)));
        }
        for dir in self.parents.iter().filter(|dir| facts::is_group(dir, pure)) {
            // Other containers may be in it.
            let _ = std::fs::remove_dir(dir);
        }
        result
    }
}
