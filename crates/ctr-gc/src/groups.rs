//! Control groups that no container has any more. Only groups without processes can be removed, so nothing is ended here.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctr_core::container::{Containers, Place};

use crate::containers::names_in;

/// Where hierarchies are mounted.
const MOUNTS: &str = "/sys/fs/cgroup";

/// How often a group is tried that the kernel still holds: it counts a process a moment longer than it is seen.
const TRIES: u32 = 20;

/// `parent` (`ctr/ROOTHASH`) in every hierarchy that has it.
fn parents(parent: &str) -> Vec<PathBuf> {
    let top = Path::new(MOUNTS);
    let hierarchies = names_in(top).unwrap_or_default().into_iter().map(|name| top.join(name));
    // v1 controllers that are mounted together have several names for one directory.
    let all = std::iter::once(top.to_owned()).chain(hierarchies.filter(|hierarchy| !hierarchy.is_symlink()));
    all.map(|hierarchy| hierarchy.join(parent)).filter(|ours| ours.is_dir()).collect()
}

/// Groups below `parent` whose container has no directory.
pub(crate) fn leftover(containers: &Containers, parent: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for ours in parents(parent) {
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

/// Removes `parent` itself where nothing is in it. The caller holds the gate alone and has seen that there is no
/// container: a start makes its directory under the gate, and its groups after that.
pub(crate) fn remove_parents(parent: &str) {
    for ours in parents(parent) {
        // One that is still in use for a moment stays for the next collection.
        let _ = fs::remove_dir(ours);
    }
}

/// Removes a group that a container recorded, with those below it. Anything but a group of that container is refused.
pub(crate) fn remove_recorded(group: &str, id: &str) -> Result<(), String> {
    let path = Path::new(group);
    let ours = path.starts_with(MOUNTS)
        && path.file_name().is_some_and(|name| name == id)
        && path.components().all(|part| part.as_os_str() != "..")
        && path.ancestors().nth(2).and_then(Path::file_name).is_some_and(|name| name == "ctr");
    if !ours {
        return Err(format!("{group} is no control group of container {id}"));
    }
    remove(path)
}

/// Removes a group and those below it.
pub(crate) fn remove(group: &Path) -> Result<(), String> {
    remove_below(group, 0).map_err(|error| format!("cannot remove control group {}: {error}", group.display()))
}

fn remove_below(group: &Path, depth: usize) -> std::io::Result<()> {
    let entries = match fs::read_dir(group) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if depth < 64 {
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                remove_below(&entry.path(), depth + 1)?;
            }
        }
    }
    for attempt in 0..=TRIES {
        match fs::remove_dir(group) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy && attempt < TRIES => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_that_container_are_touched() {
        for bad in [
            "/sys/fs/cgroup/system.slice",
            "/sys/fs/cgroup/ctr/abc/other",
            "/sys/fs/cgroup/x/../../../../home/ctr/abc/id",
            "/home/ctr/abc/id",
            "id",
            "",
        ] {
            assert!(remove_recorded(bad, "id").is_err(), "{bad}");
        }
        remove_recorded("/sys/fs/cgroup/memory/ctr/no-such-root/id", "id").unwrap();
    }
}
