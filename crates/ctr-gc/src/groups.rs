//! Control groups that no container has any more. Only groups without processes can be removed, so nothing is ended here.

use std::fs;
use std::path::{Path, PathBuf};

use ctr_core::container::{Containers, Place, groups};

use crate::containers::names_in;

/// Groups of the store `root_hash` whose container has no directory.
pub(crate) fn leftover(containers: &Containers, root_hash: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for ours in groups::parents(root_hash) {
        for id in names_in(&ours).unwrap_or_default() {
            let group = ours.join(&id);
            let container = Place::ALL.iter().any(|place| containers.place(*place).join(&id).exists());
            // A container's directory is there before its groups, so a group without one is not on its way.
            if group.is_dir() && !container {
                found.push((id, group));
            }
        }
    }
    found
}

/// Removes the parents of all groups of the store where nothing is in them. The caller holds the gate alone and has seen
/// that there is no container: a start makes its directory under the gate, and its groups after that.
pub(crate) fn remove_parents(root_hash: &str) {
    for ours in groups::parents(root_hash) {
        // One that is still in use for a moment stays for the next collection.
        let _ = fs::remove_dir(ours);
    }
}

/// Removes every group of a dead container: the recorded ones, and others that a broken start or a program left.
pub(crate) fn remove_all(id: &str, root_hash: &str, recorded: &[String]) -> Result<(), String> {
    if let Some(foreign) = recorded.iter().find(|group| !groups::is_group_of(Path::new(group), id)) {
        return Err(format!("{foreign} is no control group of container {id}"));
    }
    groups::remove_all(id, root_hash, recorded).map_err(|error| format!("cannot remove a control group: {error}"))
}

/// Removes a group and those below it.
pub(crate) fn remove(group: &Path) -> Result<(), String> {
    groups::remove(group).map_err(|error| format!("cannot remove control group {}: {error}", group.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_names_a_foreign_group_is_not_followed() {
        for bad in ["/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/ctr/abc/other", "/home/ctr/abc/id"] {
            assert!(remove_all("id", "no-such-root", &[bad.to_owned()]).is_err(), "{bad}");
        }
        remove_all("id", "no-such-root", &["/sys/fs/cgroup/memory/ctr/no-such-root/id".to_owned()]).unwrap();
    }
}
